"""The task-run actor: one run of a task, from PENDING to its end.

Decides when the run may start (its upstream runs have ended well, the rules admit it), what its attempt's outcome makes of
it, and what a cancellation does at each point. Does not know bodies, threads, loops, futures: it answers with instructions.

Conflicts: a cancellation that arrives while the body runs makes the run CANCELLING, and whatever the body then comes to, the
run ends CANCELLED; a result that comes after the end is a dead letter. Meaning is never read from a state's display name:
that a run is over is `ended`, that it waits for others is `unready`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar
from uuid import UUID

from millrace.actors.events import Journal
from millrace.actors.instructions import (
    EXECUTE,
    READY,
    SETTLE,
    STOP_ATTEMPT,
    Notify,
    Order,
    WakeAt,
)
from millrace.actors.messages import (
    Admit,
    Cancel,
    Propose,
    Returned,
    Stopped,
    Unwatch,
    UpstreamEnded,
    Watch,
)
from millrace.actors.outcomes import is_state_iterable, return_value_to_state
from millrace.actors.policies import NO_RETRIES, RetryPolicy
from millrace.actors.rules import TASK_RULES, pick
from millrace.actors.run import NOT_READY, RunActor
from millrace.actors.states import Cancelled, Cancelling, Failed, State, StateType
from millrace.actors.supervisor import Supervisor
from millrace.actors.timestamps import to_nanoseconds
from millrace.actors.verdicts import Answer, Verdict

_COMPLETED = StateType.COMPLETED
_RUNNING = StateType.RUNNING
_SCHEDULED = StateType.SCHEDULED
_CANCELLING = StateType.CANCELLING


class TaskNode:
    """A task as it stands in one flow run; shared by all of its runs there.

    Args:
        name: The task's name.
        supervisor: Of the flow run, or of the engine for runs outside of any flow.
        retry: The task's retry policy.
    """

    __slots__ = ("name", "retry", "supervisor")

    def __init__(self, name: str, supervisor: Supervisor[Any], retry: RetryPolicy = NO_RETRIES) -> None:
        self.name = name
        self.supervisor = supervisor
        self.retry = retry


N = TypeVar("N", bound=TaskNode)


class TaskRunActor(RunActor, Generic[N]):
    """One run of a task. See the module's docstring."""

    __slots__ = ("key", "node", "parent", "unready")

    plain_rules: ClassVar = pick(TASK_RULES, detailed=False)
    detailed_rules: ClassVar = pick(TASK_RULES, detailed=True)

    def __init__(self, node: N, run_id: int, key: int, created: int, parent: int | None, unready: int = 0) -> None:
        super().__init__(run_id, created)
        self.node = node
        self.key = key  # position among the runs of its task in its flow run; what Prefect calls the dynamic key
        self.parent = parent  # id of the task run that started it
        self.unready = unready  # upstream runs that have not ended yet
        if node.supervisor.journal.sink is not None:
            self.record("created")

    @property
    def journal(self) -> Journal:
        return self.node.supervisor.journal

    @property
    def name(self) -> str:
        return f"{self.node.name}-{self.id & 0xFFF:03x}"

    @property
    def uuid(self) -> UUID:
        """The run's id as users see it."""
        return UUID(int=self.id)

    def ids(self) -> tuple[int | None, int | None]:
        return self.node.supervisor.flow_id, self.id

    def receive(self, message: Any) -> Order | None:
        return _HANDLERS[message.__class__](self, message)

    # The way of an attempt.

    def _admit(self, message: Admit) -> Order | None:
        if self.ended or self.unready:
            return None  # cancelled while it stood in line, or woken too early
        verdict = self.judge(_RUNNING, None, message.at)
        if verdict is None:
            self.start_plainly(message.at, "admitted")
            return EXECUTE
        if verdict.answer is Answer.WAIT:
            return WakeAt(verdict.until)
        if verdict.answer is Answer.REJECT and verdict.state is not None:
            self.enter(verdict.state, message.at, "admitted")
            return None
        if self.type is _RUNNING or self.type is _CANCELLING:
            return None
        return self._finish(Cancelled(message=f"It never started: {verdict.reason}."), message.at, "cancel")

    def _returned(self, message: Returned) -> Order | None:
        if self.ended:
            self.dead_letters += 1
            return None
        value = message.value
        if self.type is _CANCELLING:
            return self._finish(Cancelled(), message.at, "cancel")
        if not (isinstance(value, State) or is_state_iterable(value)):
            # The ordinary end, for which no rule can have an answer but those about leaving RUNNING.
            if self.type is _RUNNING:
                self.finish_plainly(_COMPLETED, None, value, message.at, "returned")
                return self._settle(message.at)
            return None
        state = return_value_to_state(value)
        if not state.is_final() and state.type is not _SCHEDULED:
            state = Failed(message=f"The task returned {state}, which is neither final nor scheduled.")
        return self._conclude(state, message.at, "returned")

    def _stopped(self, message: Stopped) -> Order | None:
        if self.ended:
            self.dead_letters += 1
            return None
        if self.type is _CANCELLING:
            if message.interrupted or message.state.type is not StateType.CRASHED:
                return self._finish(Cancelled(), message.at, "cancel")
            return self._finish(message.state, message.at, "raised")
        return self._conclude(message.state, message.at, "raised")

    def _conclude(self, state: State[Any], at: int, cause: str) -> Order | None:
        """Propose what an attempt came to, and say what is to be done with what became of that."""
        verdict = self.propose(state, at, cause)
        if verdict.answer is Answer.ABORT:
            self.dead_letters += 1  # somebody proposed another state meanwhile
            return None
        return self._after(verdict, at)

    def _after(self, verdict: Verdict, at: int) -> Order | None:
        state = verdict.state
        if verdict.answer is Answer.WAIT or state is None:
            return None
        if state.is_final():
            return self._settle(at)
        if state.type is _RUNNING and verdict.answer is Answer.REJECT:
            return EXECUTE
        if state.type is _SCHEDULED:
            scheduled = state.state_details.scheduled_time
            return WakeAt(at if scheduled is None else to_nanoseconds(scheduled))
        return None

    def _finish(self, state: State[Any], at: int, cause: str) -> Order | None:
        self.enter(state, at, cause)
        return self._settle(at)

    def _settle(self, at: int) -> Order | None:
        if self.ended:
            return None  # forced out of its end and into another: who waited has the first outcome
        self.ended = at
        return SETTLE

    # Dependencies.

    def _upstream_ended(self, message: UpstreamEnded) -> Order | None:
        if self.ended:
            return None
        if message.good:
            self.unready -= 1
            return None if self.unready else READY
        pending = State[Any](
            type=StateType.PENDING,
            name=NOT_READY,
            message=f"Upstream task run '{message.name}' did not reach COMPLETED: it is {message.state}.",
        )
        return self._finish(pending, message.at, "upstream")

    # From outside.

    def _cancel(self, message: Cancel) -> Order | None:
        if self.ended or self.type is _CANCELLING:
            return None
        if self.type is _RUNNING:
            self.enter(Cancelling(message=message.reason), message.at, "cancel")
            return STOP_ATTEMPT
        return self._finish(Cancelled(message=message.reason), message.at, "cancel")

    def _propose(self, message: Propose) -> Order | None:
        was_running = self.type is _RUNNING
        verdict = self.propose(message.state, message.at, "proposed", force=message.force)
        if message.reply is not None:
            message.reply(verdict)
        order = self._after(verdict, message.at) if verdict.answer is not Answer.ABORT else None
        if order is SETTLE and was_running:
            return SETTLE  # the body, if there is one, goes on; what it comes to is a dead letter
        return STOP_ATTEMPT if was_running and self.type is _CANCELLING else order

    def _watch(self, message: Watch) -> Order | None:
        if self.ended:
            return Notify(message.watcher)
        if self.watchers is None:
            self.watchers = []
        self.watchers.append(message.watcher)
        return None

    def _unwatch(self, message: Unwatch) -> Order | None:
        if self.watchers is not None and message.watcher in self.watchers:
            self.watchers.remove(message.watcher)
        return None


_HANDLERS: dict[type, Callable[[TaskRunActor[Any], Any], Order | None]] = {
    Admit: TaskRunActor._admit,
    Returned: TaskRunActor._returned,
    Stopped: TaskRunActor._stopped,
    UpstreamEnded: TaskRunActor._upstream_ended,
    Cancel: TaskRunActor._cancel,
    Propose: TaskRunActor._propose,
    Watch: TaskRunActor._watch,
    Unwatch: TaskRunActor._unwatch,
}
