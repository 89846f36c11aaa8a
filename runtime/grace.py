"""Grace: how long a run that was told to stop may take to do so.

Decides when such a run is given up. Runs stand in the order in which they were told, which is that of their times, and
one timer is set, for the first of them.
"""

from __future__ import annotations

from collections import deque
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.runs import TaskRun


class Grace:
    """The runs of an engine that were told to stop and have not.

    Args:
        engine: Has the clock, the timers, and the length of the grace.
    """

    __slots__ = ("_engine", "_lock", "_minder", "_stopping")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._stopping: deque[tuple[int, TaskRun | FlowRun]] = deque()  # until when each may take to stop; by time
        self._minder: LoopLane | None = None  # whose loop wakes us for the first of them
        self._lock = Lock()

    def expect_end(self, run: TaskRun | FlowRun, scope: FlowRun) -> None:
        """Give up a run, if it has not ended when its grace is over.

        Args:
            run: The run.
            scope: Says which loop may keep the time.
        """
        engine = self._engine
        with self._lock:
            while self._stopping and self._stopping[0][1].done:
                self._stopping.popleft()
            if run.done:
                return
            self._stopping.append((engine.now() + round(engine.grace_seconds * 1e9), run))
            if self._minder is not None and not self._minder.loop.is_closed():
                return
        lane = scope.lane_for_async()
        self._mind(engine.own_lane() if lane.loop.is_closed() else lane)

    def _mind(self, lane: LoopLane) -> None:
        with self._lock:
            self._minder = lane if self._stopping else None
            at = self._stopping[0][0] if self._stopping else 0
        if at:
            self._engine.timers.call_at(at, lambda: self._give_up_overdue(lane), lambda: lane)

    def _give_up_overdue(self, lane: LoopLane) -> None:
        now = self._engine.now()
        overdue: list[TaskRun | FlowRun] = []
        with self._lock:
            while self._stopping and (self._stopping[0][0] <= now or self._stopping[0][1].done):
                overdue.append(self._stopping.popleft()[1])
        for run in overdue:
            if not run.done:
                run.give_up(f"It did not stop within {self._engine.grace_seconds:g} seconds of being cancelled.")
        self._mind(lane)
