"""Maps under limits: how the runs of one map, or of one stream with a rate, come up.

Decides that a map makes no more runs as long as enough of them wait for a limit, so that a map of a million items under
a limit holds little more than one without; and how often its runs may begin, where it has a rate of its own. A stream
holds no more than its window anyway, and so it comes here only for its rate. Others who
want the same slots come in between its runs, as maps take turns in a lane. Everything else is passed on to the lane.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

    from millrace.actors.tickets import Limit
    from millrace.runtime.lanes import Lane, RunSource
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.task_site import TaskSite


ENOUGH: Final = 16
"""So many runs of a map may wait: there is always one to be served before the lane comes to the map again."""


class RationedMap:
    """The lane of a map or stream, in front of the one that executes its runs; and what that takes them from.

    Args:
        lane: Executes the runs.
        rate: How often attempts of them may begin, all together; None where only their tags' limits matter.
        parent: The id of the task run that made it.
    """

    __slots__ = ("_lock", "_source", "_waiting", "in_line", "lane", "parent", "rate")

    def __init__(self, lane: Lane, rate: Limit | None, parent: int | None) -> None:
        self.lane = lane
        self.rate = rate
        self.parent = parent
        self.in_line = False
        self._source: RunSource | None = None  # there once it stands in line
        self._lock = Lock()
        self._waiting = 0  # of its runs, those that wait for a limit; for a moment fewer

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The loop that its bodies run on; None for threads."""
        loop: asyncio.AbstractEventLoop | None = getattr(self.lane, "loop", None)
        return loop

    # As a lane.

    def dispatch(self, run: TaskRun) -> None:
        """Put a run in line."""
        self.lane.dispatch(run)

    def dispatch_map(self, source: RunSource) -> None:
        """Put all the runs of a map in line."""
        self._source = source
        self.lane.dispatch_map(self)

    def stop(self, run: TaskRun) -> None:
        """Stop the body of a run."""
        self.lane.stop(run)

    # For the lane that executes the runs.

    @property
    def site(self) -> TaskSite:
        """The task whose runs they are."""
        assert self._source is not None  # it stands in line
        return self._source.site

    @property
    def more(self) -> bool:
        """Whether runs are left to be started, and not enough of those before them wait."""
        return self._waiting < ENOUGH and self._source is not None and self._source.more

    def take(self, most: int) -> list[TaskRun]:
        """The next runs to start, at most so many; none as long as enough of them wait."""
        return [] if self._waiting >= ENOUGH or self._source is None else self._source.take(most)

    def holds_back(self, run: TaskRun) -> bool:
        """Whether a run is still to be taken: as long as enough of those before it wait it asks for nothing."""
        return self._source is not None and self._source.holds_back(run)

    def cancel(self) -> None:
        """Start no more runs."""
        if self._source is not None:
            self._source.cancel()

    # For whoever sees to their slots.

    def waits(self) -> None:
        """One of its runs has to wait for a limit."""
        with self._lock:
            self._waiting += 1

    def goes_on(self) -> None:
        """It waits no longer: where it was one of enough, the map comes up again."""
        with self._lock:
            self._waiting -= 1
            again = self._waiting == ENOUGH - 1
        if again and self.more:
            self.lane.dispatch_map(self)
