"""Flow runs with hands: the supervisor of the lower floor, and the scope of all that the flow starts.

Decides where a scope's runs are executed and what numbers they get; everything about states is decided by the
supervisor. A scope is left only when its last child has ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar, Final
from uuid import UUID

from millrace.actors.errors import EngineClosed
from millrace.actors.events import Event
from millrace.actors.instructions import (
    END_WAITING,
    EXECUTE,
    IDLE,
    RUN_AGAIN,
    STOP_ATTEMPT,
    STOP_CHILDREN,
    GoOn,
    Judge,
    Notify,
    Order,
    Tell,
)
from millrace.actors.messages import Born, Cancel, ChildEnded, ChildSeen, Interrupt, Judged, Leave, Spawned, Stopped
from millrace.actors.outcomes import exception_to_crashed_state
from millrace.actors.states import StateType
from millrace.actors.stored_result import Found, kept
from millrace.actors.supervisor import Supervisor
from millrace.runtime import interrupting
from millrace.runtime.context import CURRENT, HELD, TAGS
from millrace.runtime.future_list import FutureList
from millrace.runtime.here_lanes import HeldUp
from millrace.runtime.holding import waits_for
from millrace.runtime.inputs import dependencies, scan
from millrace.runtime.lanes import innermost
from millrace.runtime.lending import lend
from millrace.runtime.mapping import Cursor, Plan
from millrace.runtime.names import random_name
from millrace.runtime.ongoing import Ongoing, is_of_the_body
from millrace.runtime.patience import Patience
from millrace.runtime.pauses import Pauses
from millrace.runtime.running import running_loop
from millrace.runtime.runs import TaskRun, TaskSite, blocks_here
from millrace.runtime.tracking import FlowRunResult, TaskRunInput, Tracker
from millrace.runtime.waiting import CallbackWatcher, LoopWaiter, ThreadWaiter, Watcher

if TYPE_CHECKING:
    from millrace.actors.token_bucket import RateLimit
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.conductor import Conductor
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow import BaseFlow
    from millrace.runtime.given import Given
    from millrace.runtime.lanes import Lane
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.replaying import Replay
    from millrace.runtime.runners import TaskRunner
    from millrace.runtime.subflow_run import SubflowTaskRun

_NO_SOURCES: Mapping[str, list[TaskRunInput]] = {}
_NOTHING: frozenset[asyncio.AbstractEventLoop] = frozenset()
LOOP_ENDED: Final = "Its event loop has ended."
_FAILURES = (StateType.FAILED, StateType.CRASHED)


class FlowRun(Supervisor["TaskRun | FlowRun"]):
    """A run of a flow, and the scope of all that it starts.

    Users read `uuid`, `name`, `state`, `parameters`, `tags` and `counts()`, and call `cancel()`.
    """

    is_flow: ClassVar[bool] = True

    __slots__ = (
        "_held", "_lock", "_next_id", "_pauses", "_sites", "_subflows", "blocks", "caller", "conductor", "engine",
        "flow", "found", "joiner", "log_prints", "loop_lane", "ongoing", "outer_loop", "parameters", "parent",
        "persist_result", "replay", "result_serializer", "result_storage", "runner", "sources", "stands_for", "tags",
        "tracker", "transactional",
    )  # fmt: skip

    def __init__(
        self,
        engine: Engine,
        flow: BaseFlow[Any, Any] | None,
        parameters: dict[str, Any],
        *,
        blocks: bool = False,
        number: int | None = None,
    ) -> None:
        number = engine.ids.fresh() if number is None else number  # else another process has made it
        self.flow: BaseFlow[Any, Any] | None = flow  # None: the engine's own scope, for tasks outside of any flow
        if flow is None:
            super().__init__(number, engine.now(), engine.journal, "engine")
        else:
            name = random_name(number)
            super().__init__(
                number, engine.now(), engine.journal, name, retry=flow.retry_policy, crash_policy=flow.crash_policy
            )
        self.engine: Engine = engine
        self.parameters: dict[str, Any] = parameters
        self.log_prints: bool | None = None  # whether prints of its tasks go to their logs; None: nobody said
        self.persist_result: bool | None = None  # whether its tasks keep their results; None: nobody said
        self.result_storage: Any = None  # where, unless a task says so itself
        self.result_serializer: Any = None  # how, likewise
        self.transactional: bool = False  # there has been a transaction: its tasks take part in one
        self.blocks: bool = blocks  # the body is sync: it runs in the calling thread, and waiting blocks that
        self.parent: FlowRun | None = None  # the scope it was started in
        self.caller: int | None = None  # the id of the task run in there that called it, if one did
        self.stands_for: tuple[int, int] | None = None  # id and key of its task run there; None: it is no subflow
        self.sources: Mapping[str, list[TaskRunInput]] = _NO_SOURCES  # by parameter: what it depends on there
        self.tags: frozenset[str] = TAGS.get()
        self.outer_loop: asyncio.AbstractEventLoop | None = None  # ran on the thread of a sync body when that began
        self._held = _NOTHING
        self.loop_lane: LoopLane | None = None  # where async tasks run; a sync scope gets one when it needs it
        self.runner: TaskRunner | None = None  # None: the engine's own lanes
        self.joiner: Watcher | None = None  # waits for the last child
        self.conductor: Conductor | None = None  # sees the run through; None: nobody does, or not yet
        # What earlier attempts came to, where there may be another one; else None.
        records = self.retry.retries > 0 or (flow is not None and flow.persist_result is True)
        self.replay = _replay() if records else None
        if engine.chronicle is not None and flow is not None:
            self.replay = engine.chronicle.replay_of(self, keeps=records)
        self._pauses: Pauses | None = None  # made when somebody asks for it; guarded by the lock
        self.found: Found | None = None  # what it came to in an earlier attempt of the flow around it
        self.tracker: Tracker = Tracker()
        self._lock = Lock()  # guards the numbering
        self._next_id = number + 1
        self._sites: dict[tuple[int, int], TaskSite] = {}  # by identity of the task, which the site holds
        self.ongoing: Ongoing = Ongoing()  # maps and streams that have not come to their end
        self._subflows: dict[str, int] = {}  # by name: runs numbered so far. Guarded by the lock

    @property
    def uuid(self) -> UUID:
        """The run's id as users see it."""
        return UUID(int=self.id)

    @property
    def parent_task_run(self) -> SubflowTaskRun | None:
        """The task run that stands for it in the flow run around it; None where it is no subflow."""
        if self.stands_for is None or self.parent is None:
            return None
        from millrace.runtime.subflow_run import SubflowTaskRun  # noqa: PLC0415  # slow to import, seldom looked at

        number, key = self.stands_for
        return SubflowTaskRun(number, key, self, self.parent)

    @property
    def parent_task_run_id(self) -> UUID | None:
        """The id of that; None where it is no subflow."""
        return None if self.stands_for is None else UUID(int=self.stands_for[0])

    @property
    def scope(self) -> FlowRun:
        """The scope of what is started here: this."""
        return self

    @property
    def flow_id(self) -> int | None:
        """The id that the states of its children carry; None outside of any flow."""
        return None if self.flow is None else self.id

    @property
    def logs_prints(self) -> bool:
        """Whether what its body prints goes to its log."""
        return bool(self.log_prints)

    # Starting children.

    def site(self, task: BaseTask[Any, Any]) -> TaskSite:
        """The task as it stands in this run."""
        site = self._sites.get(task.identity)
        if site is None:
            site = self._sites.setdefault(task.identity, TaskSite(task, self))
            if not site.takes_slots and self.engine.rationing.concerns(task.tags):
                return self._rationed(site)  # there is a limit that there was not a moment ago
        return site

    def tagged(self, site: TaskSite) -> tuple[TaskSite, frozenset[str]]:
        """A task where tags are added to its own; and all of them."""
        added = TAGS.get()
        if not added:
            return site, site.task.tags
        tags = site.task.tags | added
        if not site.takes_slots and self.engine.rationing.concerns(tags):
            site = self._rationed(site)
        return site, tags

    def begin_transactions(self) -> None:
        """A transaction begins here: what is started from now on takes part in it."""
        if self.transactional:
            return
        with self._lock:
            self.transactional = True
            self._sites = {key: site.again() for key, site in self._sites.items()}

    def ration(self, tags: frozenset[str]) -> None:
        """There are new limits: tasks with these tags take slots from now on, also in maps and streams that go on."""
        for site in tuple(self._sites.values()):
            if not tags.isdisjoint(site.task.tags):
                self._rationed(site)
        for each in self.ongoing:
            if not tags.isdisjoint(each.tags):
                each.move_to(self._rationed(each.site))

    def _rationed(self, site: TaskSite) -> TaskSite:
        """A task whose runs take slots from now on."""
        with self._lock:
            present = self._sites.get(site.task.identity, site)
            if not present.takes_slots:
                present = self._sites[site.task.identity] = present.again(takes_slots=True)
            return present

    def sites(self) -> dict[TaskSite, int]:
        """The tasks that have run here, each with how many of its runs are not made yet. Empty after the end."""
        unmade = dict.fromkeys(tuple(self._sites.values()), 0)
        for site, count in self.ongoing.unmade():
            unmade[site] = unmade.get(site, 0) + count
        return unmade

    def number(self, site: TaskSite, count: int = 1) -> tuple[int, int]:
        """The first id and the first key for so many new runs of a task."""
        with self._lock:
            run_id, key = self._next_id, site.calls
            self._next_id += count
            site.calls += count
        return run_id, key

    def number_subflow(self, name: str) -> tuple[int, int]:
        """The id and the key of the task run that stands for a new subflow."""
        with self._lock:
            run_id, key = self._next_id, self._subflows.get(name, 0)
            self._next_id += 1
            self._subflows[name] = key + 1
        return run_id, key

    def start_run(  # noqa: PLR0917  # what a call is made of
        self,
        task: BaseTask[Any, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        wait_for: Any,
        lane: Lane,
        given: Given | None = None,
        *,
        in_line: bool,
    ) -> TaskRun:
        """Make a run of a task and count it as a child.

        Args:
            task: The task.
            args: Positional arguments; they fit.
            kwargs: Keyword arguments; they fit.
            wait_for: Dependencies without data.
            lane: Where it is to run.
            given: What somebody else has settled about the run.
            in_line: Put it in line as soon as what it waits for has ended; else that is the caller's to do.

        Raises:
            EngineClosed: this run has ended, or its engine is closing.
            InputResolutionError: an argument could not be looked into.
            ConfigurationError: the id that is given is that of a run that is going on.
        """
        interrupting.check()
        if self.ended or self.flow is None or self.engine.chronicle is not None:
            self.check_open(f"start task '{task.name}'")
        if not self.admits:
            self.pauses.refuse_if_suspended()
        site, tags = self.tagged(self.site(task))
        inputs = scan(task.shape.name_of, args, kwargs, wait_for, self)
        run_id, key = self.number(site)
        if given is not None:
            run_id = given.id_in(self, run_id)
            inputs = given.added_to(inputs)
        current = CURRENT.get()
        found = None
        if self.replay is not None and current is self:
            again = task.is_generator and not in_line  # what it yields is not kept
            found = self.replay.call(
                task.name, run_id, 1, lambda: (args, kwargs), again=again, serializer=task.result_serializer
            ).get(0)
        if found is not None:
            inputs = None  # what it depends on does not matter any more
        run = TaskRun(
            site,
            run_id,
            key,
            None if current is None or current.is_flow else current.id,
            args,
            kwargs,
            copy_context(),
            tags,
            lane,
            inputs,
        )
        if not site.journal.listening:
            self.tell(Spawned(1, (run,)))
        else:  # counted before it is told of, so that the flow's end waits; and put in place after that
            self.tell(Spawned(1))
            run.record("created")
            self.tell(Born((run,)))
        if found is not None:
            run.take_over(found)
        elif run.unready:
            run.watch_upstreams()
        elif in_line:
            lane.dispatch(run)
        return run

    def start_map(
        self, task: BaseTask[Any, Any], plan: Plan, wait_for: Any, lane: Lane, rate: RateLimit | None = None
    ) -> FutureList[Any]:
        """Put a run of a task for every item in line.

        Raises:
            EngineClosed: this run has ended, or its engine is closing.
        """
        interrupting.check()
        self.check_open(f"map task '{task.name}'")
        if not self.admits:
            self.pauses.refuse_if_suspended()
        site, tags = self.tagged(self.site(task))
        if rate is not None:
            site = self._rationed(site)
        first_id, first_key = self.number(site, plan.size)
        current = CURRENT.get()
        parent = None if current is None or current.is_flow else current.id
        if site.takes_slots:
            lane = self.engine.limits.in_front_of(lane, site, rate, parent)
        replays = self.replay is not None and current is self
        replayed = None
        if replays and self.replay is not None:
            replayed = self.replay.call(
                task.name, first_id, plan.size, plan.first_call, serializer=task.result_serializer
            )
        cursor = Cursor(
            site,
            plan,
            first_id,
            first_key,
            parent=parent,
            context=copy_context(),
            tags=tags,
            lane=lane,
            wait_for=None if wait_for is None else dependencies(wait_for),
            replayed=replayed,
        )
        futures: FutureList[Any] = FutureList(cursor=cursor)
        if plan.size:
            self.tell(Spawned(plan.size))  # first: whoever comes upon the map may drop what it has not made
            self.ongoing.add_map(cursor)
            if self.stopping:  # whoever stops the run may have looked before
                cursor.cancel()
            lane.dispatch_map(cursor)
        return futures

    def check_open(self, attempted: str) -> None:
        """Check that something can be started here.

        Raises:
            EngineClosed: the flow run has ended; or, outside of flows, the engine is closing.
        """
        if self.ended:
            raise EngineClosed(f"{attempted} in flow run '{self.name}', which has ended")
        if self.flow is None and self.engine.closed:
            raise EngineClosed(attempted)
        if self.engine.chronicle is not None:
            self.engine.chronicle.check_recording()

    # Acting for the supervisor.

    def perform(self, instruction: Order) -> None:
        """Carry out what the supervisor instructs."""
        if instruction is IDLE:
            joiner, self.joiner = self.joiner, None
            if joiner is not None:
                joiner.notify(self)
        elif instruction is STOP_CHILDREN:
            self._stop_scopes()
        elif isinstance(instruction, Notify):
            instruction.watcher.notify(self)
        elif isinstance(instruction, Tell):
            self._tell_end(instruction.watchers)
        elif isinstance(instruction, Judge):
            instruction.child.tell(Judged(instruction.state, instruction.at, restart=instruction.restart))
            if instruction.stop_siblings:
                self._stop_scopes()
        elif isinstance(instruction, GoOn) or instruction is END_WAITING:
            self.pauses.perform(instruction)
        elif self.conductor is None or not self.conductor.follow(instruction):
            self._follow_elsewhere(instruction)

    def _follow_elsewhere(self, instruction: Order) -> None:
        """Carry out what nobody who sees the run through is there for."""
        if self.flow is None:
            return
        if instruction is RUN_AGAIN:
            self.begin_again()
            Context().run(self.flow.run_again, self)  # with nothing that belongs to whoever resumes it
        elif instruction is not EXECUTE:  # that was asked for by whoever waits for it
            self.flow.finish_elsewhere(self)

    def _stop_scopes(self) -> None:
        """Cancel the children, and theirs; then the bodies of the flows that are to end."""
        scopes = [self]
        for scope in scopes:  # grows; not one in another: subflows may be nested deeper than calls may
            scopes += scope.stop_children()
        for scope in scopes:  # when all know why: one asyncio task may run bodies of several
            scope.stop_body()

    def stop_children(self) -> list[FlowRun]:
        """Cancel the children; the subflows among them whose own children are to be stopped yet."""
        if self._pauses is not None:
            self._pauses.stop()
        self.cancel_maps()
        subflows: list[FlowRun] = []
        cancel = Cancel(self.stopping, self.engine.now())
        for child in reversed(tuple(self.children.values())):
            order = child.ask(cancel)
            if order is STOP_ATTEMPT and isinstance(child, TaskRun):
                child.lane.stop(child)  # that it ends in time is expected of the whole scope, not of each child
            elif order is STOP_CHILDREN and isinstance(child, FlowRun):
                subflows.append(child)
            elif order is not None:
                child.perform(order)
        if self.joiner is not None:
            self.joiner.notify(self)  # it waits with patience only as long as nothing is being stopped
        if self.type is StateType.CANCELLING or self.expired is not None:
            self.engine.expect_end(self, self)
        return subflows

    def stop_body(self) -> None:
        """Cancel the body, if the run is to end."""
        if self.conductor is not None and (self.type is StateType.CANCELLING or self.expired is not None):
            self.conductor.stop()
            self.engine.rationing.stop_waiting(self)

    def cancel_maps(self) -> None:
        """Start no more runs of maps and streams."""
        self.ongoing.cancel(f"It was stopped: {self.stopping or 'its flow run was given up'}.")

    def give_up_children(self, reason: str) -> None:
        """End all that was started here although it goes on; the innermost first."""
        inside: list[FlowRun] = [self]
        for scope in inside:  # grows while it is walked
            inside += [child for child in tuple(scope.children.values()) if isinstance(child, FlowRun)]
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

    def _is_dead(self) -> bool:
        return self.loop_lane is not None and self.loop_lane.loop.is_closed()

    def settle_up(self) -> None:
        """The run has ended: let go of what it needed, tell the watchers and the scope around."""
        if self._pauses is not None:
            self._pauses.stop()
        self.ongoing.close_streams("Its flow run has ended.")
        self._sites, self.ongoing = {}, Ongoing()
        self.tracker = Tracker()
        if self.done:
            watchers, self.watchers = self.watchers, None
            self._tell_end(watchers or ())
        else:
            self.engine.when_committed(self)

    def _tell_end(self, watchers: Sequence[Watcher]) -> None:
        self.engine.discharge(self)
        for watcher in watchers:
            watcher.notify(self)
        if self.parent is not None:
            if self.parent.replay is not None and self.type is StateType.COMPLETED and self.caller is None:
                self.parent.replay.completed(self.id, self.state.data)
            self.parent.tell(ChildEnded(self))

    def cancel_lane(self, lane: Lane | None) -> None:
        """Cancel the children on one lane."""
        reason = "Its task runner cancelled all runs."
        self.ongoing.cancel_where(lambda each: innermost(each) is lane, reason)
        for child in tuple(self.children.values()):
            if isinstance(child, TaskRun) and innermost(child.lane) is lane:
                child.cancel(reason)

    def wake_at(self, at: int, run: TaskRun) -> None:
        """Put a run in line at a time."""
        run.alarm = self.engine.timers.call_at(at, run, lambda: self.lane_for_timer_of(run))

    def lane_for_timer_of(self, run: TaskRun) -> LoopLane:
        """A lane whose loop is not blocked by the very call that waits for the time."""
        lane = self.loop_lane or self.lane_for_async()
        held = run.context.get(HELD) or self._held
        if not held and not isinstance(run.lane, HeldUp):
            return lane  # mostly
        held = run.context.get(HELD, _NOTHING) | self._held
        if lane.loop in held or (isinstance(run.lane, HeldUp) and run.lane.loop is lane.loop):
            return self.engine.own_lane({*held, lane.loop})
        return lane

    def lane_that_turns(self) -> LoopLane:
        """A lane whose loop goes on while this thread is blocked."""
        lane = self.lane_for_async()
        held = self.held_loops()
        return self.engine.own_lane({*held, lane.loop}) if lane.here or lane.loop in held else lane

    def cancel(self, reason: str = "It was cancelled.") -> None:
        """Cancel the run: its children, then its body; it ends CANCELLED. From any thread; returns at once."""
        self.tell(Cancel(reason, self.engine.now()))

    def give_up(self, reason: str) -> None:
        """End the run, and all that it started, although their bodies go on."""
        self.give_up_children(reason)
        if self.conductor is not None and self.conductor.leaving and not self._is_dead():
            return  # its body has ended, and now it has nothing left to wait for
        self.tell(Stopped(exception_to_crashed_state(RuntimeError(reason)), self.engine.now()))

    def leave_suspended(self) -> None:
        """The engine is closing while the run is suspended: leave it to whoever resumes it, or end it if nobody can."""
        if self.engine.chronicle is None:
            self.cancel("The engine is closing, and nobody can resume it any more.")
        else:
            self.tell(Leave())

    def interrupt(self, reason: str) -> None:
        """The body was interrupted from outside: cancel the children."""
        self.tell(Interrupt(reason, self.engine.now()))

    # Pauses.

    @property
    def pauses(self) -> Pauses:
        """What is known of its pauses. Most runs have none, and nothing is kept for them."""
        if self._pauses is None:
            with self._lock:
                if self._pauses is None:
                    self._pauses = Pauses(self)
        return self._pauses

    def leave_loops(self) -> None:
        """The body has ended for now: it may run again on another thread, beside other loops."""
        self.loop_lane = self.outer_loop = None
        self._held = _NOTHING

    def park(self, run: TaskRun) -> None:
        """Put a run in line as soon as this one goes on."""
        self.pauses.park(run)

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

    def unfinished(self) -> bool:
        """Whether something goes on that was started here; streams that are left when nothing else is are closed."""
        if self.live:
            return True
        self.ongoing.close_streams("What it belongs to is ending.")
        return self.ongoing.closing

    # Leaving the scope.

    def join(self) -> None:
        """Block this thread until the last child has ended; those that do not stop when told to are given up."""
        patience = Patience(self)
        while self.unfinished():
            waiter = ThreadWaiter()
            self.joiner = waiter
            if self.unfinished() and not self._close_the_rest():
                with lend(), waits_for(None):
                    in_time = waiter.wait(patience.left())
                if not in_time:
                    patience.end()

    async def join_async(self) -> None:
        """Wait until the last child has ended; those that do not stop when told to are given up in time.

        Cancellation: only the wait ends.
        """
        patience = Patience(self)
        while self.unfinished():
            waiter = LoopWaiter(self.engine.lane_here())
            self.joiner = waiter
            if self.unfinished() and not self._close_the_rest():
                try:
                    with waits_for(None):
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

    # As a future's source.

    def see(self) -> None:
        """Somebody takes the outcome: a failure counts as looked at from now on."""
        if not self.looked_at:
            self.looked_at = True
            if self.type in _FAILURES and self.parent is not None:
                self.parent.tell(ChildSeen(self))

    def take(self, *, raise_on_failure: bool) -> Any:
        """The outcome of the run, which has ended: its result, or what it raised. A failure counts as looked at."""
        self.see()
        if self.type is StateType.COMPLETED:
            state = self._state
            return kept(self._data if state is None else state.data)  # ordinarily without making the state
        return self.state.result(raise_on_failure=raise_on_failure)

    @property
    def stores(self) -> bool:
        """Whether its result may lie in a storage: it may be that of one of its tasks."""
        return True

    def remember_all(self, sources: Sequence[Any], values: list[Any]) -> None:
        """See `remember`."""

    def remember(self, value: Any) -> None:
        """The result goes to the user: what is made of it later depends on this run."""
        if self.parent is not None:
            self.parent.tracker.remember(self.id, value, FlowRunResult)

    @property
    def reference(self) -> FlowRunResult:
        """What a dependency on this run is recorded as."""
        return FlowRunResult(self.uuid)

    def waiting_lane(self) -> LoopLane:
        """The lane of the running loop."""
        return self.engine.lane_here()

    def blocks_here(self) -> bool:
        """Whether blocking this thread would hold up a loop that the run needs, or one for no reason."""
        return blocks_here(self)

    def lend(self) -> AbstractContextManager[None]:
        """What to block in."""
        return lend()

    def held_loops(self) -> frozenset[asyncio.AbstractEventLoop]:
        """The loops that are held up until this scope is left, or this code has ended: sync calls were made there."""
        return self._held | HELD.get()

    def needs_one_of(self, loops: Collection[asyncio.AbstractEventLoop]) -> bool:
        """Whether runs of this scope may not end as long as these loops are held up."""
        return bool(loops) and self.loop_lane is not None and self.loop_lane.loop in loops

    def begin_again(self) -> None:
        """The body is about to run once more: count from the start."""
        if self.replay is not None:
            self.replay.begin_again()
        self.ongoing.begin_again()
        self.pauses.begin_again()

    def go_on_after(self, last_id: int) -> None:
        """Number what is started here from an id on: those up to that were given by another process."""
        with self._lock:
            self._next_id = max(self._next_id, last_id + 1)

    def rename(self, name: str) -> None:
        """Give the run another name than the one it was made with."""
        self._name = name
        if self.engine.chronicle is not None and self.sequence:  # else that is said when it is made
            self.engine.chronicle.renamed(self)

    def belong_to(self, parent: FlowRun, caller: int | None) -> None:
        """Become a child of another scope.

        Args:
            parent: The scope.
            caller: The id of the task run in it that started this one, if one did.
        """
        self.parent = parent
        self.caller = caller
        if parent.flow is not None:
            self.stands_for = parent.number_subflow("" if self.flow is None else self.flow.name)
        self.tags |= parent.tags
        self._held = parent.held_loops()
        self.log_prints = parent.log_prints
        self.persist_result = parent.persist_result
        self.result_storage = parent.result_storage
        self.result_serializer = parent.result_serializer

    def count(self) -> None:
        """It is there: tell whoever listens, and the scope around it. Before it begins."""
        told = self.journal.listening and self.sequence == 0  # else another process has made it
        if self.parent is not None:  # counted before it is told of, so that the end of its parent waits
            self.parent.tell(Spawned(1) if told else Spawned(1, (self,)))
        if told:
            self.record("created")
            if self.parent is not None:
                self.parent.tell(Born((self,)))

    def publish(self, event: Event) -> None:
        """Tell whoever listens of an event; and of the same one of the task run that stands for this in its parent."""
        super().publish(event)
        stands_for = self.parent_task_run
        if stands_for is not None:
            super().publish(stands_for.event(event))

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


def _replay() -> Replay:
    from millrace.runtime.replaying import Replay  # noqa: PLC0415  # slow to import, and most flows are run once

    return Replay()


def _is_dead(lane: Lane, ending: asyncio.AbstractEventLoop | None) -> bool:
    loop: asyncio.AbstractEventLoop | None = getattr(lane, "loop", None)
    return loop is not None and (loop is ending or loop.is_closed())
