"""Runs with hands: the actors of the lower floor, and what the upper floor needs to act for them.

Decides nothing; `perform` carries out what an actor instructs. A task run lets go of its arguments, context and
coroutine as soon as it has ended, so that what is left of it is its record and its result.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, Final

from millrace.actors.errors import BlockingCallOnLoop
from millrace.actors.instructions import (
    EXECUTE,
    PARK,
    READY,
    SETTLE,
    STOP_ATTEMPT,
    Escalate,
    Notify,
    Order,
    Tell,
    WakeAt,
)
from millrace.actors.messages import (
    Admit,
    Cancel,
    ChildCrashed,
    ChildEnded,
    ChildSeen,
    Committed,
    Stopped,
    Watch,
)
from millrace.actors.outcomes import exception_to_crashed_state, exception_to_failed_state
from millrace.actors.run import Withheld
from millrace.actors.states import AwaitingRetry, State, StateDetails, StateType
from millrace.actors.stored_result import Found, kept
from millrace.actors.task_run import TaskRunActor
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.callers import caller_of
from millrace.runtime.context import HELD
from millrace.runtime.holding import loop_of
from millrace.runtime.inputs import Inputs
from millrace.runtime.lanes import NOWHERE, RecordedLane
from millrace.runtime.lending import lend
from millrace.runtime.stack import ROOM_TO_START, check_room
from millrace.runtime.task_site import TaskSite
from millrace.runtime.tracking import NOTHING_TAKEN, UNTRACKED, TaskRunInput, TaskRunResult
from millrace.runtime.upstream import UpstreamLink

if TYPE_CHECKING:
    from millrace.actors.events import Journal
    from millrace.runtime.attempt import Interruptible
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.lanes import Lane
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.replaying import Replay
    from millrace.runtime.timers import Alarm

_PENDING = StateType.PENDING
_COMPLETED = StateType.COMPLETED
_CANCELLING = StateType.CANCELLING
_FAILURES = (StateType.FAILED, StateType.CRASHED)
_NO_KWARGS: Mapping[str, Any] = {}


class TaskRun(TaskRunActor[TaskSite]):
    """A run of a task.

    Attributes that users read: `uuid`, `name`, `state`, `tags`, `run_count`, `task_inputs`, `cache_key`.
    """

    is_flow: ClassVar[bool] = False

    __slots__ = ("alarm", "args", "context", "granted", "handle", "inputs", "kwargs", "lane", "shielded", "tags")

    # Every field of the whole line of ancestors, as they set it, in one flat function: a run is made for every item
    # of a map, and three calls of super().__init__() would cost more than the rest. A test compares the two.
    def __init__(  # noqa: PLR0917  # and keywords cost
        self,
        site: TaskSite,
        run_id: int,
        key: int,
        created: int,
        parent: int | None,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        context: Context,
        tags: frozenset[str],
        lane: Lane,
        inputs: Inputs | None = None,
    ) -> None:
        self._turn = None
        self._queue = None
        self.handled = 0
        self.id = run_id
        self.created = created
        self.journal: Journal = site.journal
        self.type = _PENDING
        self._state = None
        self._data = None
        self._past = None
        self.sequence = 0
        self.started = 0
        self.ended = 0
        self.run_count: int = 0
        self.watchers = None
        self.cancellation = None
        self.looked_at: bool = False
        self.node = site
        self.key = key
        self.parent = parent
        self.facts = None
        self.unready: int = 0 if inputs is None else len(inputs.upstreams)
        self.args: tuple[Any, ...] = args  # empty again once the run has ended, and so is `kwargs`
        self.kwargs: Mapping[str, Any] = kwargs
        self.context: Context = context  # a snapshot; each attempt runs in a copy. An empty one once the run has ended
        self.tags: frozenset[str] = tags
        self.lane: Lane = lane
        # None: the arguments hold no futures, states or annotations, and nothing is depended on.
        self.inputs = inputs
        self.handle: Interruptible | None = None  # while an async body waits
        self.alarm: Alarm | None = None  # that was set last, to put the run in line at a time
        self.granted: bool = False  # admitted by another thread than the one that asked
        self.shielded: bool = False  # what an async run does now, before or after its body, is not to be interrupted

    @property
    def scope(self) -> FlowRun:
        """The flow run it belongs to."""
        return self.node.scope

    @property
    def task(self) -> BaseTask[Any, Any]:
        """The task."""
        return self.node.task

    @property
    def task_inputs(self) -> dict[str, list[TaskRunInput]]:
        """What the run depends on, by parameter."""
        names = self.node.task.shape.names
        recorded = {} if self.inputs is None else self.inputs.sources
        return {name: [] for name in names} | {name: list(found) for name, found in recorded.items()}

    @property
    def cache_key(self) -> str | None:
        """What its result was looked for under, in the last attempt that looked; None where none did."""
        keys = (state.state_details.cache_key for state in reversed(self.history()) if state.has_details)
        return next(filter(None, keys), None)

    @property
    def logs_prints(self) -> bool:
        """Whether what its body prints goes to its log."""
        return self.node.logs_prints

    def arguments(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The arguments for the body, with futures replaced by their results."""
        if self.inputs is None:
            return self.args, self.kwargs
        return self.inputs.resolve(self.args, self.kwargs)

    def bound_parameters(self) -> dict[str, Any]:
        """The arguments by name, as the body sees them. Empty once the run has ended."""
        if self.ended:
            return {}
        args, kwargs = self.arguments()
        return self.node.task.shape.by_name(args, kwargs)

    def perform(self, instruction: Order) -> None:
        """Carry out what the actor instructs."""
        if instruction is SETTLE:
            self.finish()
        elif instruction is READY:
            self.lane.dispatch(self)
        elif instruction is EXECUTE:
            self.granted = True
            self.lane.dispatch(self)
        elif isinstance(instruction, WakeAt):
            self.node.scope.wake_at(instruction.at, self)
        elif instruction is STOP_ATTEMPT:
            self.lane.stop(self)
            if self.type is _CANCELLING:  # a body that is over its time has its grace from its deadline
                self.node.scope.engine.expect_end(self, self.node.scope)
        elif isinstance(instruction, (Notify, Tell)):
            self._tell(instruction)
        elif instruction is PARK:
            self.node.scope.park(self)  # as that of a timer, the call puts it in line
        elif isinstance(instruction, Escalate):
            self.node.supervisor.tell(ChildCrashed(self, instruction.state, instruction.at))

    def finish(self) -> None:
        """The run has ended, otherwise than at the end of an attempt: see to what its task wants done then."""
        if self.node.conduct is not None and self.node.task.hooks_at(self.type):
            self.granted = True
            blocked = getattr(self.lane, "loop", None) if getattr(self.lane, "is_the_callers", False) else None
            if blocked is not None:  # with a store the caller waits for the hooks: they are not to wait for its loop
                self.context.run(HELD.set, self.context.get(HELD, frozenset()) | {blocked})
            self.node.task.own_lane(self.node.scope).dispatch(self)
            return
        if self.node.conduct is not None and self.handle is not None and not self.shielded:
            self.lane.stop(self)  # it was still waiting to begin
        self.settle_up()

    def settle_up(self) -> None:
        """The run has ended: let go of what its attempts needed, tell the watchers and the supervisor. Once."""
        if self.context is _EMPTY:  # forced to its end while it was in line, and then taken from there
            return
        self.args, self.kwargs, self.context = (), _NO_KWARGS, _EMPTY
        if self.alarm is not None:
            self.alarm.call_off()
        if self.inputs is not None:
            self.inputs = self.inputs.let_go()
        node = self.node
        replay = node.scope.replay
        if replay is not None:
            if self.type is _COMPLETED and self.parent is None:
                state = self._state
                replay.completed(self.id, self._data if state is None else state.data, state)
            replay.ended(self.id)
        watchers = self.watchers
        if watchers is not None:
            if watchers.__class__ is Withheld:
                node.scope.engine.when_committed(self, helps=getattr(self.lane, "awake", False))
                return
            self.watchers = None
            for watcher in watchers:
                watcher.notify(self)
        supervisor = node.supervisor
        order = supervisor.ask(ChildEnded(self))
        if order is not None:
            supervisor.perform(order)

    def _tell(self, instruction: Notify | Tell) -> None:
        """Tell one watcher that came late of the end; or, when that is on record, all of them and the supervisor."""
        if isinstance(instruction, Notify):
            instruction.watcher.notify(self)
            return
        for watcher in instruction.watchers:
            watcher.notify(self)
        if self.lane is not NOWHERE:
            self.node.supervisor.tell(ChildEnded(self))

    def watch_upstreams(self) -> None:
        """Be told of the end of each run that this one waits for. Once, when it is made."""
        inputs = self.inputs
        if inputs is not None:
            held = self.node.scope.held_loops()
            for upstream, failure_allowed in inputs.upstreams:
                scope: FlowRun | None = getattr(upstream, "scope", None)
                if held and scope is not None and not upstream.done and scope.needs_one_of(held):
                    call = f"{self.name} of a sync flow, which depends on {upstream.name},"
                    self.fail_unstarted(BlockingCallOnLoop(call, "await the future before the sync flow is called"))
                    return
                upstream.tell(Watch(UpstreamLink(self, failure_allowed=failure_allowed)))
            if self.unready and self.node.scope.engine.rationing.tags:
                self.node.scope.engine.limits.limiter.holds_up((), None, self)  # what it waits for may be in vain

    @property
    def called_by(self) -> TaskRun | FlowRun | None:
        """The run whose code has called it, where its body runs in the middle of that."""
        is_called = getattr(self.lane, "is_a_call", False)
        return caller_of(self, self.node.scope, self.parent) if is_called else None

    @property
    def turns_on(self) -> asyncio.AbstractEventLoop | None:
        """The loop that its body goes on with; None where that is a thread, and when it has ended."""
        return None if self.blocks or self.ended else loop_of(self)

    def depends_on(self) -> list[Any]:
        """The runs that it waits for before it begins."""
        inputs = self.inputs
        return [] if inputs is None or not self.unready else [each for each, _ in inputs.upstreams if not each.done]

    def fail_unstarted(self, error: Exception) -> None:
        """End the run before its body, because its arguments cannot be used."""
        self.tell(Stopped(exception_to_failed_state(error), self.node.now()))

    def __call__(self) -> None:
        """Its time has come: it may be admitted. A timer calls the run itself; a method would be an object more."""
        self.lane.dispatch(self)

    def go_on(self, replay: Replay) -> None:
        """Go on where another process has left the run that this one takes the place of. Before anybody knows it.

        Attempts that have failed there stay used up, and the next one is when it was to be.
        """
        begun = self.context.run(replay.take_begun, self.id)
        if begun is None:
            return
        self.run_count = begun.failures
        if begun.due is not None:
            text = f"It goes on after {begun.failures} attempts in another process."
            self.enter(
                AwaitingRetry(scheduled_time=from_nanoseconds(begun.due), message=text), self.node.now(), "resumed"
            )

    def take_over(self, found: Found) -> None:
        """End the run, before its body, with the result that it had in an earlier attempt of its flow."""
        order = self.ask(Admit(self.node.now(), State(type=StateType.RUNNING, data=found, state_details=NO_DETAILS)))
        if order is None:
            return
        if order is PARK:  # once the flow goes on, it is to have its result, and not to run
            self.lane = RecordedLane(found)
            self.perform(order)
            return
        if self.watchers.__class__ is not Withheld:
            self.settle_up()
            return
        self.args, self.kwargs, self.context = (), _NO_KWARGS, _EMPTY
        replay = self.node.scope.replay
        if replay is not None:
            replay.completed(self.id, self.state.data, self.state)
            replay.ended(self.id)
        self.tell(Committed(self.node.now()))  # what it came to was, when it first did

    def end_unstarted(self) -> None:
        """End a run that nobody counts: its map was cancelled before it was made."""
        self.lane = NOWHERE
        self.ask(Cancel("Its map was cancelled.", self.node.now()))
        self.args, self.kwargs, self.context, self.inputs = (), _NO_KWARGS, _EMPTY, None

    def tell_when_recorded(self) -> None:
        """Have the end of such a run told when it is on record, where one is kept."""
        if self.watchers.__class__ is Withheld:
            self.node.scope.engine.when_committed(self)

    def crash(self, error: BaseException) -> None:
        """End the run because what was to see it through was interrupted, or failed.

        Where that may have been for want of stack, and there is no room for this either, the flow run it belongs to
        sees to it when its own body is over: else it would wait for it for ever.
        """
        try:
            check_room(ROOM_TO_START)
        except RecursionError:
            self.node.scope.end_later(self, error)
            return
        self.tell(
            Stopped(exception_to_crashed_state(error), self.node.now(), isinstance(error, asyncio.CancelledError))
        )

    def give_up(self, reason: str) -> None:
        """End the run although its body goes on."""
        self.tell(Stopped(exception_to_crashed_state(RuntimeError(reason)), self.node.now()))

    @property
    def blocks(self) -> bool:
        """Whether its body is sync."""
        return not self.node.task.is_async

    # The two ways to stop a body.

    def stop_body(self) -> None:
        """Cancel an async body at its await. On its loop's thread."""
        if self.handle is not None and not self.shielded:
            self.handle.cancel()

    def abandon_body(self) -> None:
        """End the run although its function goes on; what that comes to is a dead letter."""
        state = exception_to_crashed_state(RuntimeError("its thread was abandoned"))
        self.tell(Stopped(state, self.node.now(), interrupted=True))

    # For futures and for runs further down.

    def cancel(self, reason: str) -> None:
        """Ask for the end of the run."""
        self.tell(Cancel(reason, self.node.now()))

    def see(self) -> None:
        """Somebody takes the outcome: a failure counts as looked at from now on."""
        if not self.looked_at:
            self.looked_at = True
            if self.type in _FAILURES:
                self.node.scope.tell(ChildSeen(self))

    def take(self, *, raise_on_failure: bool) -> Any:
        """The outcome of the run, which has ended: its result, or where that lies, or what it raised: looked at now."""
        if self.type is _COMPLETED:
            state = self._state
            return self._data if state is None else kept(state.data)  # ordinarily without making the state
        self.see()
        try:
            return self.state.result(raise_on_failure=raise_on_failure)
        finally:
            del self  # the run holds the exception that holds this frame

    @property
    def stores(self) -> bool:
        """Whether its result may lie in a storage."""
        return self.node.keeping is not None

    def remember_all(self, sources: Sequence[Any], values: list[Any]) -> None:
        """Results of this and other runs go to the user, in one list."""
        self.node.scope.keep_track().remember_all([source.id for source in sources], values)

    def remember(self, value: Any) -> None:
        """The result goes to the user: what is made of it later depends on this run."""
        if value.__class__ not in UNTRACKED:
            scope, tracker = self.node.scope, self.node.scope.tracker
            (scope.keep_track() if tracker is NOTHING_TAKEN else tracker).remember(self.id, value)

    @property
    def reference(self) -> TaskRunInput:
        """What a dependency on this run is recorded as."""
        return TaskRunResult(self.uuid)

    @property
    def engine(self) -> Engine:
        """The engine it belongs to."""
        return self.node.scope.engine

    def waiting_lane(self) -> LoopLane:
        """The lane of the running loop."""
        return self.node.scope.engine.lane_here()

    @property
    def held_back_in(self) -> Lane | None:
        """The lane of its map, where that has not come to it yet."""
        holds_back = getattr(self.lane, "holds_back", None)
        return self.lane if holds_back is not None and holds_back(self) else None

    def blocks_here(self) -> bool:
        """Whether blocking this thread would hold up a loop that the run needs, or one for no reason."""
        return self.node.scope.blocks_here()

    def lend(self) -> AbstractContextManager[None]:
        """What to block in."""
        return lend()


_EMPTY = Context()
NO_DETAILS: Final = StateDetails(untrackable_result=False)
"""Details that say nothing, and make of a proposal one whose rules look at them."""
