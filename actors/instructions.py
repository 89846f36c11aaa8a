"""Instructions: what an actor asks the upper floor to do. In the imperative, and without a word on how.

An actor returns at most one instruction per message; the upper floor carries it out after the actor's turn.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from uuid import UUID


class Instruction:
    """An instruction without arguments; compared by identity.

    Args:
        name: What is to be done, for reading.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name


EXECUTE: Final = Instruction("execute")
"""The run was admitted to RUNNING: run its body, then tell it how that went."""

READY: Final = Instruction("ready")
"""All upstream runs have ended well: put the run in line for admission."""

SETTLE: Final = Instruction("settle")
"""The run has its final state: tell the watchers and the supervisor, and let go of what the attempt needed."""

STOP_ATTEMPT: Final = Instruction("stop attempt")
"""Cancel the body that runs. How it ends is told by the attempt itself."""

STOP_CHILDREN: Final = Instruction("stop children")
"""Cancel the flow run's body and each of its children."""

PARK: Final = Instruction("park")
"""The flow run around it is paused: have the run admitted when that goes on."""

END_WAITING: Final = Instruction("end waiting")
"""The flow run is suspended: end the children that wait for another attempt, which they will not have."""

LET_GO: Final = Instruction("let go")
"""The flow run is suspended: its body has ended for now, and runs again when it is resumed."""

RUN_AGAIN: Final = Instruction("run again")
"""The flow run, which was let go, is resumed: have it admitted and run its body again."""

JOIN: Final = Instruction("join")
"""Something was started when the body, and all else, had ended: wait for that, and tell again what the body came to."""

IDLE: Final = Instruction("idle")
"""The last child has ended, but for those that are dormant: wake whoever waits for that."""


class WakeAt:
    """Put the run in line for admission at a time.

    Args:
        at: Nanoseconds since the epoch.
    """

    __slots__ = ("at",)

    def __init__(self, at: int) -> None:
        self.at = at


class GoOn:
    """The flow run is resumed: wake whoever waits for that, and put what was parked in line.

    Args:
        paused: The id of the state that it has left.
    """

    __slots__ = ("paused",)

    def __init__(self, paused: UUID) -> None:
        self.paused = paused


class Notify:
    """Tell one watcher that came after the end.

    Args:
        watcher: What the `Watch` message carried.
    """

    __slots__ = ("watcher",)

    def __init__(self, watcher: Any) -> None:
        self.watcher = watcher


class Tell:
    """The end of the run is on record: tell its watchers and its supervisor.

    Args:
        watchers: Whom `Watch` messages have named.
    """

    __slots__ = ("watchers",)

    def __init__(self, watchers: Sequence[Any]) -> None:
        self.watchers = watchers


class Escalate:
    """The run has crashed: ask the supervisor what follows.

    Args:
        state: The CRASHED state.
        at: Nanoseconds since the epoch.
    """

    __slots__ = ("at", "state")

    def __init__(self, state: Any, at: int) -> None:
        self.state = state
        self.at = at


class Judge:
    """Tell a child that crashed what follows.

    Args:
        child: The run.
        state: Its CRASHED state.
        at: Nanoseconds since the epoch.
        restart: It is started again.
        stop_siblings: All other children are to be stopped.
    """

    __slots__ = ("at", "child", "restart", "state", "stop_siblings")

    def __init__(self, child: Any, state: Any, at: int, *, restart: bool, stop_siblings: bool) -> None:
        self.child = child
        self.state = state
        self.at = at
        self.restart = restart
        self.stop_siblings = stop_siblings


class Serve:
    """Tell the owners of tickets, and see to it that others are looked at again.

    Args:
        tickets: They are held now; or gone, with an error.
        due: To be looked at again, each at its `due`.
    """

    __slots__ = ("due", "tickets")

    def __init__(self, tickets: Sequence[Any], due: Sequence[Any] = ()) -> None:
        self.tickets = tickets
        self.due = due


Order = Instruction | WakeAt | GoOn | Notify | Tell | Escalate | Judge | Serve
"""What `receive` may return, beside None."""
