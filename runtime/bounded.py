"""Bounded: of the runs of one map, only so many between start and end.

Decides who has a place: a run from when it is put in line for the first time to its end, however often it waits in
between. The others stand in front of the lane, in the order in which they could have started.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import ConfigurationError
from millrace.actors.messages import Watch
from millrace.runtime.context import CURRENT

if TYPE_CHECKING:
    import asyncio

    from millrace.runtime.lanes import Lane, RunSource
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.task_site import TaskSite


class Bounded:
    """The lane of a map, in front of the one that executes its runs; and what that takes them from.

    Args:
        lane: Executes the runs.
        most: How many have a place.
        parent: The id of the task run that made the map.
    """

    __slots__ = ("_cursor", "_full", "_inside", "_lock", "_reserved", "_waiting", "in_line", "lane", "most", "parent")

    def __init__(self, lane: Lane, most: int, parent: int | None) -> None:
        self.lane = lane
        self.most = most
        self.parent = parent
        self.in_line = False
        self._cursor: RunSource | None = None  # there once the map stands in line
        self._lock = Lock()  # never held while a run is told something, nor while any is made
        self._inside: set[int] = set()  # ids of the runs that have a place; with those reserved, `most` at most
        self._reserved = 0  # places for runs that are being taken right now
        self._full = False  # somebody has come in vain since the last place was free
        self._waiting: deque[TaskRun] = deque()  # could start, and have no place

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that its bodies run on; None for threads."""
        loop: asyncio.AbstractEventLoop | None = getattr(self.lane, "loop", None)
        return loop

    # As a lane.

    def dispatch(self, run: TaskRun) -> None:
        """Put a run in line; in front of the lane, if it has no place and none is free."""
        with self._lock:
            known = run.id in self._inside
            if not known:
                if self._free() <= 0:
                    self._waiting.append(run)
                    self._full = True
                    return
                self._inside.add(run.id)
        if not known:
            run.tell(Watch(self))
        self.lane.dispatch(run)

    def dispatch_map(self, source: RunSource) -> None:
        """Put all the runs of a map in line."""
        self._cursor = source
        self.lane.dispatch_map(self)

    def stop(self, run: TaskRun) -> None:
        """Stop the body of a run."""
        self.lane.stop(run)

    def notify(self, run: Any) -> None:
        """A run has ended: its place is free."""
        with self._lock:
            self._inside.discard(run.id)
            full, self._full = self._full, False
        if full:
            self.lane.dispatch_map(self)

    def _free(self) -> int:
        return self.most - len(self._inside) - self._reserved

    # For the lane that executes the runs.

    @property
    def site(self) -> TaskSite:
        """The task whose runs they are."""
        assert self._cursor is not None  # it stands in line
        return self._cursor.site

    @property
    def more(self) -> bool:
        """Whether runs are left to be started for which there is a place."""
        with self._lock:
            left = bool(self._waiting) or (self._cursor is not None and self._cursor.more)
            free = self._free() > 0
            self._full |= left and not free
            return left and free

    def take(self, most: int) -> list[TaskRun]:
        """The next runs to start; at most so many, and as many as there are places."""
        with self._lock:
            count = min(most, self._free())
            if count <= 0:
                self._full = True
                return []
            self._reserved += count
        runs: list[TaskRun] = []
        while self._waiting and len(runs) < count:
            try:
                runs.append(self._waiting.popleft())
            except IndexError:  # others take, too
                break
        if len(runs) < count and self._cursor is not None:
            runs += self._cursor.take(count - len(runs))
        with self._lock:
            self._reserved -= count
            self._inside.update([run.id for run in runs])
            full = self._full and len(runs) < count
            self._full &= not full
        for run in runs:
            run.tell(Watch(self))
        if full:  # others have found no place that was free after all
            self.lane.dispatch_map(self)
        return runs

    def holds_back(self, run: TaskRun) -> bool:
        """Whether a run is still to be taken."""
        return self._cursor is not None and self._cursor.holds_back(run)

    def cancel(self) -> None:
        """Start no more runs."""
        if self._cursor is not None:
            self._cursor.cancel()


def bounded(lane: Lane, most: int) -> Lane:
    """A lane for the runs of one map that is made here, of which only so many are to be between start and end."""
    current = CURRENT.get()
    return Bounded(lane, most, None if current is None or current.is_flow else current.id)


def in_flight(value: Any) -> int:
    """Check how many may be on their way.

    Raises:
        ConfigurationError: it is no whole number, or less than 1.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError("max_in_flight", value, "a whole number, 1 or more")
    return value
