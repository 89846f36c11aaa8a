"""Stack: whether enough of Python's stack is left for what the engine does around a body.

Decides how much that is, and how to find out. Code that runs out of stack in the middle of the engine's work would
leave a run that nobody ends, and a flow that waits for it; so it is stopped where it starts one, while there is nothing
to undo.
"""

from __future__ import annotations

import sys
from typing import Any, Final

ROOM: Final = 100
"""Calls that have to fit in when a flow is called; starting the run and leaving it takes half of that."""

ROOM_TO_RECORD: Final = 180
"""The same where the run is put on record, for which serializers are called."""

ROOM_TO_START: Final = 60
"""The same where a task is started, for which a thread may have to be started that sees to it."""


def _nested(depth: int) -> list[Any]:
    made: list[Any] = []
    for _ in range(depth):
        made = [made]
    return made


if sys.version_info >= (3, 12):  # the limit counts frames, and nothing else

    def check_room(room: int = ROOM) -> None:
        """Check that the stack has room for a run.

        Args:
            room: How many calls have to fit in: one of those above.

        Raises:
            RecursionError: it has not.
        """
        try:
            sys._getframe(sys.getrecursionlimit() - room)  # noqa: SLF001  # nothing else says how deep it is
        except ValueError:
            return
        raise RecursionError(f"Fewer than {room} calls are left of the stack. Does it call itself without end?")

else:  # calls from C count as well, which no frame tells; so whatever recurses in C goes there
    _NESTED: Final = {room: (_nested(room), _nested(room)) for room in (ROOM, ROOM_TO_RECORD, ROOM_TO_START)}

    def check_room(room: int = ROOM) -> None:
        """Check that the stack has room for a run.

        Args:
            room: How many calls have to fit in: one of those above.

        Raises:
            RecursionError: it has not.
        """
        one, other = _NESTED[room]
        _ = one == other


def has_room(room: int = ROOM) -> bool:
    """Whether `check_room` has nothing to say: for what can be left to another thread."""
    try:
        check_room(room)
    except RecursionError:
        return False
    return True
