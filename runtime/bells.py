"""Bells: one waits, in a thread or on a loop, until somebody rings.

Decides that no ring is lost: one that comes while nobody waits wakes the next one who does, at once.
"""

from __future__ import annotations

from threading import Lock

from millrace.runtime.lending import lend
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter


class Bell:
    """Wakes whoever waits for it; rung while nobody waits, it wakes the next one at once."""

    __slots__ = ("_lock", "_rung", "_waiter")

    def __init__(self) -> None:
        self._lock = Lock()
        self._rung = False
        self._waiter: ThreadWaiter | LoopWaiter | None = None

    def ring(self) -> None:
        """From any thread."""
        with self._lock:
            waiter, self._waiter = self._waiter, None
            self._rung = waiter is None
        if waiter is not None:
            waiter.notify()

    async def wait(self, waiter: ThreadWaiter | LoopWaiter) -> None:
        """Wait, by a waiter that is made for that. Cancellation: only the wait ends."""
        with self._lock:
            rung, self._rung = self._rung, False
            if rung:
                return
            self._waiter = waiter
        if isinstance(waiter, ThreadWaiter):
            with lend():
                waiter.wait()
        else:
            await waiter.wait()
