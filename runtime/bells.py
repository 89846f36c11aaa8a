"""Bells and latches: one waits, in a thread or on a loop, until somebody says that it is time.

Decides that nothing said is lost: neither what comes while nobody waits, nor what comes while a wait is interrupted.
"""

from __future__ import annotations

from threading import Lock

from millrace.runtime.lending import lend
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter

Waiter = ThreadWaiter | LoopWaiter


class Bell:
    """Wakes whoever waits for it; rung while nobody waits, it wakes the next one at once. One may wait at a time.

    Args:
        lock: One that whoever makes it has already, and holds for a moment only. None: a lock of its own.
    """

    __slots__ = ("_lock", "_rung", "_waiter")

    def __init__(self, lock: Lock | None = None) -> None:
        self._lock = Lock() if lock is None else lock
        self._rung = False
        self._waiter: Waiter | None = None

    def ring(self) -> None:
        """From any thread."""
        with self._lock:
            waiter, self._waiter = self._waiter, None
            self._rung = waiter is None
        if waiter is not None:
            waiter.notify()

    async def wait(self, waiter: Waiter) -> None:
        """Wait, by a waiter that is made for that. Cancellation: only the wait ends."""
        with self._lock:
            rung, self._rung = self._rung, False
            if rung:
                return
            self._waiter = waiter
        try:
            await _notified(waiter)
        except BaseException:
            with self._lock:
                if self._waiter is waiter:
                    self._waiter = None
                else:
                    self._rung = True  # it was rung for the wait that has just been interrupted
            raise


class Latch:
    """Closed until it is opened, once and for all. Any number may wait for that."""

    __slots__ = ("_lock", "_waiters", "is_open")

    def __init__(self) -> None:
        self._lock = Lock()
        self._waiters: list[Waiter] = []
        self.is_open = False

    def open(self) -> None:
        """From any thread; a second time, nothing happens."""
        with self._lock:
            self.is_open = True
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.notify()

    async def wait(self, waiter: Waiter) -> None:
        """Wait, by a waiter that is made for that. Cancellation: only the wait ends."""
        with self._lock:
            if self.is_open:
                return
            self._waiters.append(waiter)
        try:
            await _notified(waiter)
        except BaseException:
            with self._lock:
                if waiter in self._waiters:
                    self._waiters.remove(waiter)
            raise


async def _notified(waiter: Waiter) -> None:
    with lend():  # an async body in a worker's own loop waits here for the worker too
        if isinstance(waiter, ThreadWaiter):
            waiter.wait()
        else:
            await waiter.wait()
