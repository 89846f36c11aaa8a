"""Recording: what an attempt does about its run's result. This one, which most attempts have: nothing.

Decides nothing. `transacted` has the one that keeps results; it is imported when a task asks for that.
"""

from __future__ import annotations

from typing import Any, Final

from millrace.actors.states import State
from millrace.runtime.effects import Effects


class Recording:
    """What is kept of one attempt's result. This one: nothing."""

    __slots__ = ()

    def postponed(self) -> bool:
        """Whether the attempt is not to begin yet. Its run is put in line again when it is.

        Only for what would hold up a thread otherwise.
        """
        return False

    async def begin(self, fx: Effects) -> State[Any] | None:
        """Look for a result that is there already.

        Returns:
            The RUNNING state that says what was looked for and found; None where there is nothing to say.

        Cancellation: ends the wait for whoever computes the same result.
        """
        del fx
        return None

    async def keep(self, value: Any, fx: Effects) -> Any:
        """Keep what the body returned.

        Returns:
            What is to stand in the data of the run's final state.
        """
        del fx
        return value

    async def leave(self, fx: Effects, error: BaseException | None = None) -> None:
        """The attempt is over, and the run knows what it came to.

        Args:
            fx: How to wait.
            error: What it was ended by from outside.
        """


NOT_RECORDED: Final = Recording()
