"""Waking: who waits for something to come through a stream.

Decides that one waits at a time, and that nothing which comes while they are about to wait is lost: whoever waits says
so first, and looks once more after that.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from millrace.actors.errors import StreamInUse

if TYPE_CHECKING:
    from millrace.runtime.waiting import LoopWaiter, ThreadWaiter


class Waker:
    """Wakes whoever waits for a stream, or for one that has streams as its source: one waker for all of them."""

    __slots__ = ("_lock", "waiter")

    def __init__(self) -> None:
        self._lock = Lock()
        self.waiter: ThreadWaiter | LoopWaiter | None = None  # to be notified; looked at without the lock

    def expect(self, waiter: ThreadWaiter | LoopWaiter, name: str) -> None:
        """Say who waits. What has happened before is to be looked at after this.

        Raises:
            StreamInUse: somebody else does.
        """
        with self._lock:
            if self.waiter is not None:
                raise StreamInUse(name, "it is being waited for by somebody else")
            self.waiter = waiter

    def forget(self, waiter: ThreadWaiter | LoopWaiter) -> None:
        """It does not wait any more."""
        with self._lock:
            if self.waiter is waiter:
                self.waiter = None

    def wake(self) -> None:
        """Something has happened. From any thread."""
        with self._lock:
            waiter, self.waiter = self.waiter, None
        if waiter is not None:
            waiter.notify()
