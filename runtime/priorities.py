"""Priorities: what starts first of all that stands in line for the same lane.

Decides that a higher number comes first, that what is waiting is passed over and what runs never is, and that among
equals whoever came first does. Work with a priority below the usual one starts only when nothing else is in line.
"""

from __future__ import annotations

import itertools
from heapq import heappop, heappush
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Generic, TypeVar

from millrace.actors.errors import ConfigurationError

if TYPE_CHECKING:
    import asyncio

    from millrace.runtime.lanes import Lane, RunSource
    from millrace.runtime.runs import TaskRun

S = TypeVar("S")

USUAL: Final = 0
"""The priority of what was given none."""


def checked_priority(value: Any) -> int:
    """Check a priority.

    Raises:
        ConfigurationError: it is no whole number.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigurationError("priority", value, "a whole number: the higher, the sooner, and 0 is usual")
    return value


class Ranks(Generic[S]):
    """What stands in line with a priority. From any thread."""

    __slots__ = ("_heap", "_lock", "_order")

    def __init__(self) -> None:
        self._heap: list[tuple[int, int, S]] = []  # (priority, negative; order of arrival; what stands in line)
        self._order = itertools.count()
        self._lock = Lock()

    def __len__(self) -> int:
        return len(self._heap)

    def put(self, priority: int, *several: S) -> None:
        """Put something in line behind its equals."""
        with self._lock:
            for each in several:
                heappush(self._heap, (-priority, next(self._order), each))

    def first(self, above: int | None = None) -> tuple[int, S] | None:
        """Take out what comes first, with its priority; None where nothing is there.

        Args:
            above: Only what has a priority above this.
        """
        with self._lock:
            if not self._heap or (above is not None and -self._heap[0][0] <= above):
                return None
            priority, _, found = heappop(self._heap)
            return -priority, found

    def first_or(self, other: S) -> S:
        """Take out what comes first, with something of the usual priority that came last."""
        with self._lock:
            if not self._heap or self._heap[0][0] > USUAL:
                return other
            heappush(self._heap, (USUAL, next(self._order), other))
            return heappop(self._heap)[2]


class Ranked:
    """A lane, for runs with a priority there.

    Args:
        lane: Where they are executed; knows of priorities.
        priority: Theirs.
    """

    __slots__ = ("lane", "priority")

    def __init__(self, lane: Any, priority: int) -> None:
        self.lane = lane
        self.priority = priority

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that its bodies run on; None for threads."""
        loop: asyncio.AbstractEventLoop | None = getattr(self.lane, "loop", None)
        return loop

    def dispatch(self, run: TaskRun) -> None:
        """Put a run in line."""
        self.lane.dispatch(run, self.priority)

    def dispatch_map(self, source: RunSource) -> None:
        """Put all the runs of a map or of a stream in line."""
        self.lane.dispatch_map(source, self.priority)

    def stop(self, run: TaskRun) -> None:
        """Stop the body of a run."""
        self.lane.stop(run)


def ranked(lane: Lane, priority: int) -> Lane:
    """A lane for runs with a priority. One that has an order of its own keeps to that."""
    return Ranked(lane, priority) if priority != USUAL and getattr(lane, "has_priorities", False) else lane


def priority_on(lane: Lane) -> int:
    """The priority of the runs that are given a lane."""
    while not isinstance(lane, Ranked):
        inner: Lane | None = getattr(lane, "lane", None)
        if inner is None:
            return USUAL
        lane = inner
    return lane.priority
