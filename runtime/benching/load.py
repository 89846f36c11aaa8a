"""Load: the items of one trial as they are given out, and what becomes of them.

Decides when a trial has had enough: when all items were given out, or when its time is over and its limit has been
filled a few times. Thread-safe where it says so.
"""

from __future__ import annotations

from threading import Lock, active_count, current_thread
from threading import enumerate as threads_alive

from millrace.actors.telling import told_of
from millrace.runtime.benching.figures import FILLS
from millrace.runtime.benching.trials import Sample
from millrace.runtime.benching.works import Work
from millrace.runtime.ports import Clock


class Load:
    """The items of one trial.

    Args:
        work: What is done.
        limit: How many at once; of a limit that finds itself, where it begins.
        now: Nanoseconds, of any clock that does not go back.
        seconds: After so long no more items are begun.
    """

    def __init__(self, work: Work, limit: int, now: Clock, seconds: float) -> None:
        self.work = work
        self.limit = limit
        self.now = now
        self.samples: list[Sample] = []
        self.first_error: str | None = None
        self.threads = 0  # the most that there were when a run ended; asked then, for they may be gone soon after
        # Left over from trials before, as anyio's are, which end with their loop: not this one's, unless they do work.
        self._others = {thread for thread in threads_alive() if thread is not current_thread()}
        self.offered = now()
        self._over_at = self.offered + round(seconds * 1e9)
        self._enough = (FILLS + 1) * limit
        self._begun = 0
        self._lock = Lock()

    def begin(self) -> bool:
        """Whether an item that has its slot is still to be done. From any thread."""
        with self._lock:
            if self._begun >= self._enough and self.now() >= self._over_at:
                return False
            self._begun += 1
            return True

    @property
    def over(self) -> bool:
        """Whether the time is over, and enough has ended."""
        return len(self.samples) >= self._enough and self.now() >= self._over_at

    def record(self, started: int, ended: int, error: BaseException | str | None) -> None:
        """Take down a run that has ended. From any thread."""
        self.samples.append(Sample(started, max(started, ended), error is None))
        self._others.discard(current_thread())
        self.threads = max(self.threads, active_count() - len(self._others))
        if error is not None and self.first_error is None:
            self.first_error = error if isinstance(error, str) else told_of(error)
