"""What stands in line for threads.

Decides which piece of work is next: what has a priority above the usual one, then what came first, then the rest.
Knows no thread: whoever has time takes what is next, and is told where there is nothing. Calls of the engine's own
stand here beside runs, and beside what runs are taken from.
"""

from __future__ import annotations

from collections.abc import Callable
from queue import Empty, SimpleQueue
from threading import Lock
from typing import Any, Final, Generic, TypeVar

from millrace.runtime.priorities import Ranks

W = TypeVar("W")


class Call:
    """A function of the engine's own that may block, to be called on a thread.

    Args:
        fn: The function.
        args: Its arguments.
        done: Called when it has returned or raised, on that thread.
    """

    __slots__ = ("_args", "_done", "_error", "_fn", "_value")

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], done: Callable[[], None]) -> None:
        self._fn = fn
        self._args = args
        self._done = done
        self._value: Any = None
        self._error: BaseException | None = None

    def make(self) -> None:
        """Call the function and keep what came of it."""
        try:
            self._value = self._fn(*self._args)
        except BaseException as error:  # noqa: BLE001  # raised to whoever asked for the call
            self._error = error
        self._done()

    def outcome(self) -> Any:
        """What the function returned; what it raised is raised."""
        error, self._error = self._error, None
        if error is not None:
            raise error
        return self._value


class _RankedWork:
    """Stands in the queue for a piece of work that has a rank."""

    __slots__ = ()


_RANKED: Final = _RankedWork()


class WorkLine(Generic[W]):
    """See the module's docstring. From any thread."""

    __slots__ = ("_lock", "_ranks", "_work")

    def __init__(self) -> None:
        self._work: SimpleQueue[W | _RankedWork] = SimpleQueue()
        self._ranks: Ranks[W] | None = None  # with another priority than the usual one; None: never any
        self._lock = Lock()

    @property
    def filled(self) -> bool:
        """Whether there is work, at this moment."""
        return self._work.qsize() > 0

    def put(self, work: W, priority: int = 0) -> None:
        """Put work in line. Where it has the usual priority no lock is taken."""
        if priority:
            with self._lock:
                ranks = self._ranks = self._ranks or Ranks()
            ranks.put(priority, work)
            self._work.put(_RANKED)  # behind the others, but whoever takes any of them looks at the ranks
        else:
            self._work.put(work)

    def next(self) -> W | None:
        """Take what is next; None where there is nothing."""
        try:
            work = self._work.get_nowait()
        except Empty:
            return None
        if self._ranks is not None:
            return self._first(self._ranks, work)
        assert not isinstance(work, _RankedWork)  # there are ranks where there is one of these
        return work

    def _first(self, ranks: Ranks[W], work: W | _RankedWork) -> W | None:
        """What comes first: a piece of work that was taken, or something that has a rank.

        For each piece that has one, a `_RANKED` stands in the queue. So what is passed over is given the usual rank,
        and the `_RANKED` of what has passed it stands for it from then on.
        """
        if not isinstance(work, _RankedWork):
            return ranks.first_or(work)
        found = ranks.first(above=-1)
        if found is not None:
            return found[1]
        # What comes after all the others: it stays where it is as long as there are others.
        for _ in range(self._work.qsize()):
            try:
                other = self._work.get_nowait()
            except Empty:
                break
            if not isinstance(other, _RankedWork):
                self._work.put(work)
                return ranks.first_or(other)
            self._work.put(other)
        found = ranks.first()
        return None if found is None else found[1]
