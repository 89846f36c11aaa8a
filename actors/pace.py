"""The pace of a task's bodies, on threads: whether they are worth a thread each.

Decides from what turns of threads have come to, a turn being some bodies of one task in a row. Bodies that take no time
gain nothing from a second thread, which would only want the interpreter as well; so they are left to one thread. Bodies
that block, or take longer than it costs to have another thread come in, are done *apart*: by as many threads as there
may be. Both is taken to be so until the turns that follow say otherwise.

Knows no thread and no clock: durations come in. What several threads tell at once may be lost; the next turn says the
same again.
"""

from __future__ import annotations

from typing import Final

QUICK_SECONDS: Final = 0.00005
"""A body that takes longer, with what the engine does about it, is worth a thread of its own."""

SLOW_TURNS: Final = 3
"""So many turns of such bodies in a row, and they are done apart. One alone may have been held up by anything."""

QUICK_TURNS: Final = 64
"""So many turns of quicker bodies in a row, and they are left to one thread again."""

MANY_BODIES: Final = 10
"""As many in a turn were quick, all but one at least, however long it took."""

LONG_TURNS: Final = 16
"""A turn of many bodies that took long all the same outweighs so many quick ones: one of them may have blocked, but the
system may have had something else to do, too."""

IDLE_SHARE: Final = 0.03
"""Of the time of a turn so much may be spent waiting, before other threads had better use it."""

MOST_IDLE_SECONDS: Final = 0.002
"""When so much time was spent waiting beyond that share, the bodies are done apart."""


class Pace:
    """See the module's docstring."""

    __slots__ = ("_idle", "_quick_turns", "_slow_turns", "apart")

    def __init__(self) -> None:
        self.apart = False  # by as many threads as there may be
        self._slow_turns = 0  # in a row
        self._quick_turns = 0  # in a row, since they are done apart
        self._idle = 0.0  # seconds spent waiting, beyond the share that is allowed for

    def took(self, bodies: int, seconds: float, idle: float = 0.0) -> None:
        """A turn is over.

        Args:
            bodies: How many there were in it.
            seconds: How long it took; while one thread does them, without what the system has taken for others.
            idle: For how much of that nobody in the process computed. Matters only while one thread does them.
        """
        quick = seconds <= bodies * QUICK_SECONDS
        if self.apart:
            if quick:
                self._quick_turns += 1
            else:
                self._quick_turns = max(0, self._quick_turns - LONG_TURNS) if bodies >= MANY_BODIES else 0
            self.apart = self._quick_turns < QUICK_TURNS
            return
        self._slow_turns = 0 if quick else self._slow_turns + 1
        self._idle = max(0.0, self._idle + idle - IDLE_SHARE * seconds)
        if self._slow_turns >= SLOW_TURNS or self._idle > MOST_IDLE_SECONDS:
            self.blocks()

    def blocks(self) -> None:
        """A body was seen to block."""
        self.apart = True
        self._slow_turns = self._quick_turns = 0
        self._idle = 0.0
