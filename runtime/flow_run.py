"""Flow runs with hands: the supervisor of the lower floor, and the scope of all that the flow starts.

Decides what a flow run takes over from the one around it, and what follows from what the supervisor instructs;
everything about states is decided by that. Where its runs are executed, how they are started and how the scope ends is
decided by the classes that this one is made of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextvars import Context
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from millrace.actors.events import Event
from millrace.actors.instructions import (
    END_WAITING,
    IDLE,
    RUN_AGAIN,
    SETTLE,
    STOP_CHILDREN,
    GoOn,
    Judge,
    Notify,
    Order,
    Tell,
)
from millrace.actors.messages import Born, ChildEnded, ChildSeen, Judged, Leave, Made, Spawned
from millrace.actors.states import State, StateType
from millrace.actors.stored_result import Found, kept
from millrace.actors.uuids import to_uuid
from millrace.runtime.callers import caller_of
from millrace.runtime.context import TAGS
from millrace.runtime.names import random_name
from millrace.runtime.ongoing import NOTHING_GOES_ON, Ongoing
from millrace.runtime.pauses import Pauses
from millrace.runtime.scope_ending import ScopeEnding
from millrace.runtime.scope_lanes import NO_LOOPS
from millrace.runtime.task_site import TaskSite
from millrace.runtime.tracking import NOTHING_TAKEN, FlowRunResult, TaskRunInput, Tracker
from millrace.runtime.waiting import Watcher

if TYPE_CHECKING:
    from uuid import UUID

    from millrace.runtime.conductor import Conductor
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow import BaseFlow
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.own_keys import OwnKeys
    from millrace.runtime.replaying import Replay
    from millrace.runtime.runners import TaskRunner
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.subflow_run import SubflowTaskRun

_NO_SOURCES: Mapping[str, list[TaskRunInput]] = {}
_FAILURES = (StateType.FAILED, StateType.CRASHED)


class FlowRun(ScopeEnding):
    """A run of a flow, and the scope of all that it starts.

    Users read `uuid`, `name`, `state`, `parameters`, `tags` and `counts()`, and call `cancel()`.
    """

    is_flow: ClassVar[bool] = True

    __slots__ = (
        "_made_here", "_own_keys", "blocks", "caller", "found", "is_called", "log_prints", "parameters",
        "persist_result", "result_serializer", "result_storage", "runner", "sources", "stands_for", "tags",
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
        self._made_here = number is None  # else another process has made it
        number = engine.ids.fresh() if number is None else number
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
        self.is_called: bool = False  # its body runs in the middle of the code that called it
        self.stands_for: tuple[int, int] | None = None  # id and key of its task run there; None: it is no subflow
        self.sources: Mapping[str, list[TaskRunInput]] = _NO_SOURCES  # by parameter: what it depends on there
        self.tags: frozenset[str] = TAGS.get()
        self.outer_loop: asyncio.AbstractEventLoop | None = None  # ran on the thread of a sync body when that began
        self._held = NO_LOOPS
        self.loop_lane: LoopLane | None = None  # where async tasks run; a sync scope gets one when it needs it
        self.runner: TaskRunner | None = None  # None: the engine's own lanes
        self.joiner: Watcher | None = None  # waits for the last child
        self._to_end: list[tuple[TaskRun, BaseException]] | None = None  # see `end_later`; guarded by the lock
        self.conductor: Conductor | None = None  # sees the run through; None: nobody does, or not yet
        # What earlier attempts came to, where there may be another one; else None.
        records = self.retry.retries > 0 or (flow is not None and flow.persist_result is True)
        self.replay = _replay() if records else None
        if engine.chronicle is not None and flow is not None:
            self.replay = engine.chronicle.replay_of(self, keeps=records)
        self._pauses: Pauses | None = None  # made when somebody asks for it; guarded by the lock
        self._own_keys: OwnKeys | None = None  # likewise
        self.found: Found | None = None  # what it came to in an earlier attempt of the flow around it
        # These two are made when they are needed: there may be very many flow runs that wait for something.
        self.tracker: Tracker = NOTHING_TAKEN
        self.ongoing: Ongoing = NOTHING_GOES_ON  # maps and streams that have not come to their end
        self.lock: Lock = Lock()  # held for a moment only: guards the numbering, and what is said to be guarded by it
        self._next_id = number + 1
        self._sites: dict[tuple[int, int], TaskSite] = {}  # by identity of the task, which the site holds
        self._subflows: dict[str, int] = {}  # by name: runs numbered so far. Guarded by the lock

    @property
    def uuid(self) -> UUID:
        """The run's id as users see it."""
        return to_uuid(self.id)

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
        return None if self.stands_for is None else to_uuid(self.stands_for[0])

    @property
    def scope(self) -> FlowRun:
        """The scope of what is started here: this."""
        return self

    @property
    def flow_id(self) -> int | None:
        """The id that the states of its children carry; None outside of any flow."""
        return None if self.flow is None else self.id

    @property
    def called_by(self) -> TaskRun | FlowRun | None:
        """The run whose code has called it, where its body runs in the middle of that."""
        return caller_of(self, self.parent, self.caller) if self.is_called and self.parent is not None else None

    @property
    def turns_on(self) -> asyncio.AbstractEventLoop | None:
        """The loop that its body goes on with; None where that is a thread, and when it has ended."""
        return None if self.blocks or self.ended or self.loop_lane is None else self.loop_lane.loop

    @property
    def logs_prints(self) -> bool:
        """Whether what its body prints goes to its log."""
        return bool(self.log_prints)

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
        """Carry out what nobody who sees the run through is there for; all else was meant for who did."""
        if self.flow is None:
            return
        if instruction is RUN_AGAIN:
            self.begin_again()
            Context().run(self.flow.run_again, self)  # with nothing that belongs to whoever resumes it
        elif instruction is SETTLE:
            self.flow.finish_elsewhere(self)

    def settle_up(self, *, helps: bool = False) -> None:
        """The run has ended: let go of what it needed, tell the watchers and the scope around.

        Args:
            helps: Where that is to be recorded first, this thread waits for it next, by `block_until_told`.
        """
        pauses, self._pauses = self._pauses, None
        if pauses is not None:
            pauses.stop()
        if self.replay is not None:
            self.replay.close()
        self.ongoing.close_streams("Its flow run has ended.")
        self._sites = {}
        self.ongoing.forget()
        self.tracker.forget()
        if self.done:
            watchers, self.watchers = self.watchers, None
            self._tell_end(watchers or ())
        else:
            self.engine.when_committed(self, helps=helps)

    def _tell_end(self, watchers: Sequence[Watcher]) -> None:
        self.engine.discharge(self)
        for watcher in watchers:
            watcher.notify(self)
        if self.parent is not None:
            if self.parent.replay is not None and self.type is StateType.COMPLETED and self.caller is None:
                self.parent.replay.completed(self.id, self.state.data, self.state)
            self.parent.tell(ChildEnded(self))

    def leave_it(self) -> None:
        """Nobody sees the run through, and the engine is closing: leave it to others, or end it if there are none."""
        if self.engine.chronicle is None:
            wanted = "execute" if self.ahead else "resume"
            self.cancel(f"The engine is closing, and nobody can {wanted} it any more.")
        else:
            self.tell(Leave())

    # Pauses.

    @property
    def pauses(self) -> Pauses:
        """What is known of its pauses. Most runs have none, and nothing is kept for them."""
        pauses = self._pauses  # looked at once: the run may end meanwhile, and let go of them
        if pauses is None:
            with self.lock:
                pauses = self._pauses
                if pauses is None:
                    pauses = self._pauses = Pauses(self)
        return pauses

    def own_keys(self) -> OwnKeys | None:
        """The cache keys that are its own; None where it is not known which of them were used."""
        if self.flow is None or not self._made_here:
            return None
        from millrace.runtime.own_keys import OwnKeys  # noqa: PLC0415  # most runs keep nothing

        with self.lock:
            own_keys = self._own_keys = self._own_keys or OwnKeys()
        return own_keys

    def park(self, go_on: Callable[[], None]) -> None:
        """Call something that has a child admitted as soon as this run goes on."""
        self.pauses.park(go_on)

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
        try:
            return self.state.result(raise_on_failure=raise_on_failure)
        finally:
            del self  # the run holds the exception that holds this frame

    @property
    def stores(self) -> bool:
        """Whether its result may lie in a storage: it may be that of one of its tasks."""
        return True

    def remember_all(self, sources: Sequence[Any], values: list[Any]) -> None:
        """See `remember`."""

    def remember(self, value: Any) -> None:
        """The result goes to the user: what is made of it later depends on this run."""
        if self.parent is not None:
            self.parent.keep_track().remember(self.id, value, FlowRunResult)

    @property
    def reference(self) -> FlowRunResult:
        """What a dependency on this run is recorded as."""
        return FlowRunResult(self.uuid)

    def begin_again(self) -> None:
        """The body is about to run once more: count from the start."""
        if self.replay is not None:
            self.replay.begin_again()
        self.ongoing.begin_again()
        self.pauses.begin_again()

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
        self.parent = self.around = parent
        self.caller = caller
        if parent.flow is not None:
            self.stands_for = parent.number_subflow("" if self.flow is None else self.flow.name)
        self.tags |= parent.tags
        self._held = parent.held_loops()
        self.log_prints = parent.log_prints
        self.persist_result = parent.persist_result
        self.result_storage = parent.result_storage
        self.result_serializer = parent.result_serializer

    def count(self, ahead: State[Any] | None = None) -> None:
        """It is there: tell the scope around it, the engine, and whoever listens. Before it begins.

        Args:
            ahead: Its SCHEDULED state, where it is to be executed later; it belongs to no scope then.
        """
        if ahead is not None:
            self.tell(Made(self.created, ahead))
            return
        told = self.journal.listening and self.sequence == 0  # else another process has made it
        if not told:
            self.enlist()
        if self.parent is not None:  # counted before it is told of, so that the end of its parent waits
            self.parent.tell(Spawned(1) if told else Spawned(1, (self,)))
        if told:
            self.tell(Made(self.created))
            if self.parent is not None:
                self.parent.tell(Born((self,)))

    def enlist(self) -> None:
        """From now on the engine finds it by its id."""
        self.engine.enlist(self)

    def publish(self, event: Event) -> None:
        """Tell whoever listens of an event; and of the same one of the task run that stands for this in its parent."""
        super().publish(event)
        stands_for = self.parent_task_run
        if stands_for is not None:
            super().publish(stands_for.event(event))


def _replay() -> Replay:
    from millrace.runtime.replaying import Replay  # noqa: PLC0415  # slow to import, and most flows are run once

    return Replay()
