"""Calls for threads: a function of the engine's own that may block, and what came of it.

Decides what is kept of a call until whoever asked for it looks. Does not know which thread makes it, nor when.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


class Call:
    """A function of the engine's own that may block, to be called on a thread.

    Args:
        fn: The function.
        args: Its arguments.
        done: Called when it has returned or raised, on that thread. It never raises.

    `made` says whether it has returned or raised.
    """

    __slots__ = ("_args", "_done", "_error", "_fn", "_value", "made")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], done: Callable[[], None]) -> None:
        self._fn = fn
        self._args = args
        self._done = done
        self._value: Any = None
        self._error: BaseException | None = None
        self.made: bool = False

    def make(self) -> None:
        """Call the function and keep what came of it."""
        try:
            self._value = self._fn(*self._args)
        except BaseException as error:  # noqa: BLE001  # raised to whoever asked for the call
            self._error = error
        self.made = True

    def tell(self) -> None:
        """After that: say to whoever waits that it was made."""
        self._done()

    def outcome(self) -> Any:
        """What the function returned; what it raised is raised."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value
