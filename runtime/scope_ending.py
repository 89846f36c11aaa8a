"""Ending: how a scope is stopped, and how it is left.

Decides in which order what was started there is told to stop, what is given up because nothing else will end it, and
that the scope is left only when its last child has ended. What that makes of the flow run is decided by its supervisor.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from millrace.actors.instructions import STOP_ATTEMPT, STOP_CHILDREN
from millrace.actors.messages import Cancel, Interrupt, Stopped
from millrace.actors.outcomes import exception_to_crashed_state
from millrace.actors.states import StateType
from millrace.runtime.holding import Started, waits_for
from millrace.runtime.lanes import innermost
from millrace.runtime.lending import lend
from millrace.runtime.ongoing import is_of_the_body
from millrace.runtime.patience import Patience
from millrace.runtime.runs import TaskRun
from millrace.runtime.scope_starting import ScopeStarting
from millrace.runtime.waiting import CallbackWatcher, LoopWaiter, ThreadWaiter, Watcher

if TYPE_CHECKING:
    from millrace.runtime.conductor import Conductor
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.lanes import Lane
    from millrace.runtime.pauses import Pauses

LOOP_ENDED: Final = "Its event loop has ended."


class ScopeEnding(ScopeStarting):
    """A flow run, as far as its end goes. See the module's docstring."""

    __slots__ = ("_pauses", "_to_end", "conductor", "joiner")

    conductor: Conductor | None
    joiner: Watcher | None
    _pauses: Pauses | None
    _to_end: list[tuple[TaskRun, BaseException]] | None

    def _stop_scopes(self) -> None:
        """Cancel the children, and theirs; then the bodies of the flows that are to end."""
        scopes: list[ScopeEnding] = [self]
        for scope in scopes:  # grows; not one in another: subflows may be nested deeper than calls may
            scopes += scope.stop_children()
        for scope in scopes:  # when all know why: one asyncio task may run bodies of several
            scope.stop_body()

    def stop_children(self) -> list[FlowRun]:
        """Cancel the children; the subflows among them whose own children are to be stopped yet."""
        pauses = self._pauses
        if pauses is not None:
            pauses.stop()
        self.cancel_maps()
        subflows: list[FlowRun] = []
        cancel = Cancel(self.stopping, self.engine.now())
        for child in reversed(tuple(self.children.values())):
            order = child.ask(cancel)
            if order is STOP_ATTEMPT and isinstance(child, TaskRun):
                child.lane.stop(child)  # that it ends in time is expected of the whole scope, not of each child
            elif order is STOP_CHILDREN and not isinstance(child, TaskRun):
                subflows.append(child)
            elif order is not None:
                child.perform(order)
        if self.joiner is not None:
            self.joiner.notify(self)  # it waits with patience only as long as nothing is being stopped
        if self.type is StateType.CANCELLING or self.expired is not None:
            self.engine.expect_end(self.scope, self.scope)
        return subflows

    def stop_body(self) -> None:
        """Cancel the body, if the run is to end."""
        if self.conductor is not None and (self.type is StateType.CANCELLING or self.expired is not None):
            self.conductor.stop()
            self.engine.rationing.stop_waiting(self.scope)

    def cancel_maps(self) -> None:
        """Start no more runs of maps and streams."""
        self.ongoing.cancel(f"It was stopped: {self.stopping or 'its flow run was given up'}.")

    def cancel_lane(self, lane: Lane | None) -> None:
        """Cancel the children on one lane."""
        reason = "Its task runner cancelled all runs."
        self.ongoing.cancel_where(lambda each: innermost(each) is lane, reason)
        for child in tuple(self.children.values()):
            if isinstance(child, TaskRun) and innermost(child.lane) is lane:
                child.cancel(reason)

    def cancel(self, reason: str = "It was cancelled.") -> None:
        """Cancel the run: its children, then its body; it ends CANCELLED. From any thread; returns at once."""
        self.tell(Cancel(reason, self.engine.now()))

    def interrupt(self, reason: str) -> None:
        """The body was interrupted from outside: cancel the children."""
        self.tell(Interrupt(reason, self.engine.now()))

    def give_up(self, reason: str) -> None:
        """End the run, and all that it started, although their bodies go on."""
        self.give_up_children(reason)
        if self.conductor is not None and self.conductor.leaving and not self._is_dead():
            return  # its body has ended, and now it has nothing left to wait for
        self.tell(Stopped(exception_to_crashed_state(RuntimeError(reason)), self.engine.now()))

    def give_up_children(self, reason: str) -> None:
        """End all that was started here although it goes on; the innermost first."""
        inside: list[ScopeEnding] = [self]
        for scope in inside:  # grows while it is walked
            inside += [child for child in tuple(scope.children.values()) if not isinstance(child, TaskRun)]
        for scope in reversed(inside):
            scope.cancel_maps()
            for child in tuple(scope.children.values()):
                child.tell(Stopped(exception_to_crashed_state(RuntimeError(reason)), self.engine.now()))

    def give_up_the_dead(self, ending: asyncio.AbstractEventLoop | None = None) -> None:
        """End what was to run on loops that have been closed: nothing else will.

        Args:
            ending: A loop that is about to be.
        """
        if self._is_dead():
            self.give_up(LOOP_ENDED)
        self.ongoing.cancel_where(lambda lane: _is_dead(lane, ending), LOOP_ENDED)
        for child in tuple(self.children.values()):
            if isinstance(child, TaskRun) and child.id not in self.dormant and _is_dead(child.lane, ending):
                child.give_up(LOOP_ENDED)

    def close_generators(self) -> None:
        """The body is over: nobody iterates any more over what it has begun to iterate over."""
        self.ongoing.close_streams("The body of its flow run has ended.", is_of_the_body)
        for iteration in reversed(tuple(self.dormant.values())):
            if iteration.run.parent is None:
                iteration.leave()

    def _close_the_rest(self) -> bool:
        """Close generators that are left, if nothing else is; whether there were any."""
        left = tuple(self.dormant.values())
        if self.live > len(left):
            return False
        for iteration in reversed(left):
            iteration.leave()
        return bool(left)

    def end_later(self, child: TaskRun, error: BaseException) -> None:
        """Note that a child is to be ended when the body is over: where it was interrupted there was no stack left."""
        with self.lock:
            if self._to_end is None:
                self._to_end = []
            self._to_end.append((child, error))

    def unfinished(self) -> bool:
        """Whether something goes on that was started here; streams that are left when nothing else is are closed."""
        if self._to_end is not None:
            with self.lock:
                to_end, self._to_end = self._to_end, None
            for child, error in to_end or ():
                child.crash(error)
        if self.live:
            return True
        self.ongoing.close_streams("What it belongs to is ending.")
        return self.ongoing.closing

    def join(self) -> None:
        """Block this thread until the last child has ended; those that do not stop when told to are given up."""
        patience = Patience(self.scope)
        while self.unfinished():
            waiter = ThreadWaiter()
            self.joiner = waiter
            if self.unfinished() and not self._close_the_rest():
                with lend(), waits_for(Started(self.scope), self.scope, blocks=True):
                    in_time = waiter.wait(patience.left())
                if not in_time:
                    patience.end()

    async def join_async(self) -> None:
        """Wait until the last child has ended; those that do not stop when told to are given up in time.

        Cancellation: only the wait ends.
        """
        patience = Patience(self.scope)
        while self.unfinished():
            waiter = LoopWaiter(self.engine.lane_here())
            self.joiner = waiter
            if self.unfinished() and not self._close_the_rest():
                try:
                    with waits_for(Started(self.scope), self.scope):
                        async with asyncio.timeout(patience.left()):
                            await waiter.wait()
                except TimeoutError:
                    patience.end()

    def when_idle(self, call: Callable[[], None]) -> None:
        """Call something as soon as no child lives: now, or when the last one has ended. Perhaps more than once."""

        def look() -> None:
            self.joiner = watcher
            if not self.unfinished():
                call()
            else:
                self._close_the_rest()

        watcher = CallbackWatcher(look)
        look()


def _is_dead(lane: Lane, ending: asyncio.AbstractEventLoop | None) -> bool:
    loop: asyncio.AbstractEventLoop | None = getattr(lane, "loop", None)
    return loop is not None and (loop is ending or loop.is_closed())
