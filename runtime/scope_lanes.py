"""The lanes of a scope: where what a flow run has started is executed, and which loops turn meanwhile.

Decides on which loop async tasks of a scope run, and which keeps a time for one of them. A loop is held up by a sync
call that was made on its thread, until that has returned: nothing that the call waits for may need that loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Final

from millrace.actors.supervisor import Supervisor
from millrace.runtime.context import CURRENT, HELD
from millrace.runtime.here_lanes import HeldUp
from millrace.runtime.lending import lend
from millrace.runtime.running import running_loop
from millrace.runtime.runs import TaskRun

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow import BaseFlow
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.loop_lane import LoopLane

NO_LOOPS: Final[frozenset[asyncio.AbstractEventLoop]] = frozenset()


class ScopeLanes(Supervisor["TaskRun | FlowRun"]):
    """A flow run, as far as places to run go. See the module's docstring."""

    __slots__ = ("_held", "engine", "flow", "loop_lane", "outer_loop", "parent")

    engine: Engine
    flow: BaseFlow[..., object] | None
    parent: FlowRun | None
    loop_lane: LoopLane | None
    outer_loop: asyncio.AbstractEventLoop | None
    _held: frozenset[asyncio.AbstractEventLoop]

    @property
    def scope(self) -> FlowRun:
        """The whole of it."""
        raise NotImplementedError

    def wake_at(self, at: int, run: TaskRun) -> None:
        """Put a run in line at a time."""
        run.alarm = self.engine.timers.call_at(at, run, lambda: self.lane_for_timer_of(run))

    def lane_for_timer_of(self, run: TaskRun) -> LoopLane:
        """A lane whose loop is not blocked by the very call that waits for the time."""
        lane = self.loop_lane or self.lane_for_async()
        held = run.context.get(HELD) or self._held
        if not held and not isinstance(run.lane, HeldUp):
            return lane  # mostly
        held = run.context.get(HELD, NO_LOOPS) | self._held
        if lane.loop in held or (isinstance(run.lane, HeldUp) and run.lane.loop is lane.loop):
            return self.engine.own_lane({*held, lane.loop})
        return lane

    def lane_for_async(self) -> LoopLane:
        """Where async tasks of this scope run: the loop of the flow, else the caller's, else the engine's own."""
        lane = self.loop_lane
        if lane is None:
            if self.flow is None and running_loop() is not None:
                return self.engine.lane_here()  # outside of any flow the caller's loop is the one, whichever it is
            lane = self.engine.own_lane(self.held_loops())
            if self.flow is not None:
                self.loop_lane = lane
        return lane

    def lane_that_turns(self) -> LoopLane:
        """A lane whose loop goes on while this thread is blocked."""
        lane = self.lane_for_async()
        held = self.held_loops()
        return self.engine.own_lane({*held, lane.loop}) if lane.here or lane.loop in held else lane

    def waiting_lane(self) -> LoopLane:
        """The lane of the running loop."""
        return self.engine.lane_here()

    def blocks_here(self) -> bool:
        """Whether blocking this thread, to wait for this or for a run of it, would hold up a loop that others need.

        There only a sync body may block: it holds the loop anyway, and its own runs are executed elsewhere.
        But not even that may wait for a run that needs the very loop.
        """
        loop, current = running_loop(), CURRENT.get()
        if current is not None and self.needs_one_of(current.scope.held_loops()):
            return True  # the loop is held up by a sync flow that this code belongs to, and so does its end
        if loop is None:
            return False
        if current is None or not current.scope.blocks:
            return True
        return self.loop_lane is not None and self.loop_lane.loop is loop

    def lend(self) -> AbstractContextManager[None]:
        """What to block in."""
        return lend()

    def held_loops(self) -> frozenset[asyncio.AbstractEventLoop]:
        """The loops that are held up until this scope is left, or this code has ended: sync calls were made there."""
        return self._held | HELD.get()

    def needs_one_of(self, loops: Collection[asyncio.AbstractEventLoop]) -> bool:
        """Whether runs of this scope may not end as long as these loops are held up."""
        return bool(loops) and self.loop_lane is not None and self.loop_lane.loop in loops

    def enter_on(self, loop: asyncio.AbstractEventLoop | None) -> None:
        """The body, a sync one, begins on this thread.

        Args:
            loop: Runs on this thread, and is held up until the scope is left.
        """
        self.outer_loop = loop
        if loop is not None:
            self._held |= {loop}
        around = None if self.parent is None else self.parent.loop_lane
        if around is not None and around.loop not in self._held:
            self.loop_lane = around  # it is free to run async tasks

    def leave_loops(self) -> None:
        """The body has ended for now: it may run again on another thread, beside other loops."""
        self.loop_lane = self.outer_loop = None
        self._held = NO_LOOPS

    def _is_dead(self) -> bool:
        return self.loop_lane is not None and self.loop_lane.loop.is_closed()
