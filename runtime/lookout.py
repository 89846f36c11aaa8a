"""The lookout: a thread that looks after threads which keep work to themselves.

Decides when to look, and that nobody looks while nothing is kept. What it sees is judged by `actors/looks.py`, and what
is to be done about somebody who does not get on is said by whoever set it up. It is started when there is something to
look after for the first time, sleeps while there is nothing, and ends when that lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from threading import Lock, Thread
from time import perf_counter
from typing import Final, Generic, TypeVar

from millrace.actors.looks import Looks

W = TypeVar("W")

LATE_SECONDS: Final = 0.0005
"""A thread that is woken up so much later than it was to be has waited for the interpreter."""


class Lookout(Generic[W]):
    """See the module's docstring.

    Args:
        name: The thread's.
        counts: Who is to be looked after at this moment, and what each has done so far. From any thread.
        stuck: Called with one that does not get on, on the lookout's thread.
        idle_seconds: With nothing to look after for so long it ends.
    """

    def __init__(
        self, name: str, counts: Callable[[], Mapping[W, int]], stuck: Callable[[W], None], idle_seconds: float
    ) -> None:
        self._name = name
        self._counts = counts
        self._stuck = stuck
        self._idle_seconds = idle_seconds
        self._lock = Lock()
        self._bell = Lock()  # free: rung
        self._bell.acquire()
        self._thread: Thread | None = None
        self._asleep = True  # or not there
        self._closed = False

    def watch(self) -> None:
        """There is somebody to look after: `counts` has them already. From any thread; a look while it is awake."""
        if self._asleep:
            self._wake()

    def _wake(self) -> None:
        with self._lock:
            if self._closed or not self._asleep:
                return
            self._asleep = False
            if self._thread is not None:
                self._ring()
                return
            thread = Thread(target=self._run, name=self._name, daemon=True)
            try:
                thread.start()
            except RuntimeError:  # none can be started now: tried again the next time
                self._asleep = True
            else:
                self._thread = thread

    def _ring(self) -> None:
        with suppress(RuntimeError):  # rung for already
            self._bell.release()

    def close(self, *, wait: bool) -> None:
        """End it.

        Args:
            wait: Block until it has ended.
        """
        with self._lock:
            self._closed = True
            thread = self._thread
            self._ring()
        if wait and thread is not None:
            thread.join()

    # On its own thread.

    def _run(self) -> None:
        while not self._closed:
            self._look_after()
            if self._closed or not self._sleep():  # the ring for the end may have been heard while it looked
                return

    def _look_after(self) -> None:
        looks: Looks[W] = Looks()
        counts = self._counts()
        while counts and not self._closed:
            due = perf_counter() + looks.patience
            if not self._bell.acquire(timeout=looks.patience):
                late = perf_counter() - due
                counts = self._counts()
                for each in looks.look(counts, doubtful=late > LATE_SECONDS):
                    self._stuck(each)

    def _sleep(self) -> bool:
        """Wait for something to look after; False when that has lasted too long, and the thread is to end."""
        self._asleep = True
        if self._counts():  # somebody came who had found it awake
            self._asleep = False
            return True
        if self._bell.acquire(timeout=self._idle_seconds):
            return True
        with self._lock:
            if self._asleep:
                self._thread = None
                return False
        return True
