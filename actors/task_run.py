"""The task-run actor: one run of a task, from PENDING to its end.

Decides when the run may start (its upstream runs have ended well, the rules admit it), what its attempt's outcome makes
of it, and what a cancellation does at each point. Does not know bodies, threads, loops, futures: it answers with
instructions.

Conflicts: a cancellation that arrives while the body runs makes the run CANCELLING, and whatever the body then comes
to, the run ends CANCELLED. A deadline that passes while the body runs makes the attempt a failure, whatever the body
then comes to. What an attempt comes to after the run's end, or after the next attempt has begun, is a dead letter.
Meaning is never read from a state's
display name: that a run is over is `ended`, that it waits for others is `unready`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from millrace.actors.errors import TaskRunTimeoutError
from millrace.actors.events import Journal
from millrace.actors.instructions import (
    EXECUTE,
    PARK,
    READY,
    SETTLE,
    STOP_ATTEMPT,
    Escalate,
    Order,
    WakeAt,
)
from millrace.actors.made_states import make_awaiting
from millrace.actors.messages import (
    Admit,
    Cancel,
    Expired,
    Judged,
    Propose,
    Queued,
    Raised,
    Returned,
    Stopped,
    UpstreamEnded,
)
from millrace.actors.outcomes import (
    PLAIN,
    exception_to_crashed_state,
    failure,
    holds_states,
    judged,
    pause_in,
    timed_out,
)
from millrace.actors.policies import NO_ADVICE, NO_RETRIES, Advice, RetryPolicy
from millrace.actors.rules import PUT_OFF, TASK_RULES, TRANSITION_CAP, pick
from millrace.actors.run import NOT_READY, RunActor
from millrace.actors.states import AwaitingRetry, Cancelled, Failed, Retrying, State, StateType
from millrace.actors.supervisor import Supervisor
from millrace.actors.timestamps import from_nanoseconds
from millrace.actors.uuids import to_uuid
from millrace.actors.verdicts import Answer, Verdict, abort

if TYPE_CHECKING:
    from uuid import UUID

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

    __slots__ = ("flow_id", "name", "retry", "setbacks", "supervisor", "takes_slots")

    def __init__(self, name: str, supervisor: Supervisor[Any], retry: RetryPolicy = NO_RETRIES) -> None:
        self.name = name
        self.takes_slots = False  # its attempts may have to wait for slots, each anew
        self.supervisor = supervisor
        self.retry = retry
        self.flow_id = supervisor.flow_id
        self.setbacks: dict[StateType, int] = {}  # runs that ended otherwise than COMPLETED, by type of last state


class Facts:
    """What is seldom there to know of a run; most runs have none."""

    __slots__ = ("advice", "crashed", "expired", "name", "over", "restarts")

    def __init__(self) -> None:
        self.advice = NO_ADVICE  # on the retry that is being judged
        self.crashed = 0  # the attempt that crashed, while its supervisor judges that
        self.expired: Expired | None = None  # the deadline has passed, and the body has not stopped yet
        self.name: str | None = None  # the display name, where it is not the usual one
        self.over = 0  # the last attempt that nothing is expected of any more, though none may have followed it yet
        self.restarts = 0  # attempts that followed a crash

    @property
    def say_nothing(self) -> bool:
        """Whether a run has no use for them."""
        known = self.crashed or self.over or self.restarts or self.advice is not NO_ADVICE
        return not known and self.expired is None and self.name is None


N = TypeVar("N", bound=TaskNode)


class TaskRunActor(RunActor, Generic[N]):
    """One run of a task. See the module's docstring."""

    plain_rules: ClassVar = pick(TASK_RULES, detailed=False)
    detailed_rules: ClassVar = pick(TASK_RULES, detailed=True)

    __slots__ = ("facts", "key", "node", "parent", "unready")

    def __init__(  # noqa: PLR0917  # made for every run, and keywords cost
        self, run_id: int, created: int, journal: Journal, node: N, key: int, parent: int | None, unready: int = 0
    ) -> None:
        super().__init__(run_id, created, journal)
        self.node = node
        self.key = key  # position among the runs of its task in its flow run; what Prefect calls the dynamic key
        self.parent = parent  # id of the task run that started it
        self.unready = unready  # upstream runs that have not ended yet
        self.facts: Facts | None = None

    @property
    def name(self) -> str:
        """The display name; where nobody gave one, the task's and the end of the id."""
        facts = self.facts  # looked at once, here and below: they may be let go of by the thread at work on the run
        if facts is not None and facts.name is not None:
            return facts.name
        return f"{self.node.name}-{self.id & 0xFFF:03x}"

    @property
    def dynamic_key(self) -> str:
        """Which run of its task in its flow run this is, counted from 0, as text."""
        return str(self.key)

    @property
    def failures(self) -> int:
        """Attempts that have failed, the present one not counted."""
        facts = self.facts
        return self.run_count - 1 - (0 if facts is None else facts.restarts)

    @property
    def advice(self) -> Advice:
        """What the upper floor has to say about the retry that is being judged."""
        facts = self.facts
        return NO_ADVICE if facts is None else facts.advice

    @property
    def stopping(self) -> bool:
        """Whether the body has been told to stop and has not yet."""
        facts = self.facts
        return self.type is _CANCELLING or (facts is not None and facts.expired is not None)

    @property
    def overdue(self) -> Expired | None:
        """The deadline, if it has passed and decides what the attempt comes to; a cancellation comes before it."""
        facts = self.facts
        return None if facts is None or self.type is _CANCELLING else facts.expired

    def expects(self, attempt: int) -> bool:
        """Whether it matters yet what an attempt comes to."""
        return not self.ended and not self._is_past(attempt)

    def known(self) -> Facts:
        """The facts, to add one."""
        if self.facts is None:
            self.facts = Facts()
        return self.facts

    @property
    def uuid(self) -> UUID:
        """The run's id as users see it."""
        return to_uuid(self.id)

    def ids(self) -> tuple[int | None, int | None]:
        """The flow run's id and its own."""
        return self.node.flow_id, self.id

    def count_setback(self) -> None:
        """Count it where its task keeps account. In its supervisor's turn."""
        setbacks = self.node.setbacks
        setbacks[self.type] = setbacks.get(self.type, 0) + 1

    # The way of an attempt.

    def _admit(self, message: Admit) -> Order | None:
        if self.ended or self.unready or self.type is _RUNNING:
            return None  # cancelled while it stood in line, or woken too early, or twice
        state = message.state
        verdict = self.judge(_RUNNING, state, message.at)
        if verdict is None:
            if state is None:
                self.start_plainly(message.at, "admitted")
            else:
                self.enter(state, message.at, "admitted")
            return EXECUTE
        if verdict.answer is Answer.WAIT:
            return WakeAt(verdict.until)
        if verdict.answer is Answer.REJECT and verdict.state is not None:
            entered = self.enter(verdict.state, message.at, "admitted")
            return self._settle(message.at) if entered.is_final() else PARK
        if self.type is _CANCELLING:
            return None
        return self._finish_cancelled(f"It never started: {verdict.reason}.", message.at)

    def _returned(self, message: Returned) -> Order | None:
        attempt = message.attempt
        # Of a run without facts the present attempt cannot be past, which saves most of them the question.
        if self.ended or (attempt and (attempt != self.run_count or self.facts is not None) and self._is_past(attempt)):
            self.dead_letters += 1
            return None
        if self.facts is not None and (expired := self.overdue) is not None:
            return self._conclude_expired(expired, message.advice)
        value = message.value
        if self.type is _RUNNING and (type(value) in PLAIN or not holds_states(value)):
            # The ordinary end: data, for which no rule about leaving RUNNING has an answer.
            self.end_plainly(_COMPLETED, value, message.at, "returned")
            return SETTLE
        if self.type is _CANCELLING:
            return self._finish_cancelled(None, message.at)
        state = judged(value)
        if not state.is_final() and state.type is not _SCHEDULED:
            state = Failed(message=f"The task returned {state}, which is neither final nor scheduled.")
        return self._conclude(state, message.at, "returned", message.advice)

    def _raised(self, message: Raised) -> Order | None:
        attempt = message.attempt
        if self.ended or (attempt and self._is_past(attempt)):
            self.dead_letters += 1
            return None
        error = message.error
        pause = pause_in(error) if self.node.supervisor.broken_off else None
        is_failure = isinstance(error, Exception) or pause is not None
        if self.type is _CANCELLING and (is_failure or message.cancelled):
            return self._finish_cancelled(None, message.at)
        if (is_failure or message.cancelled) and (expired := self.overdue) is not None:
            return self._conclude_expired(expired, message.advice)
        if isinstance(error, Exception):
            return self._conclude(failure(error), message.at, "raised", message.advice)
        if pause is not None:
            return self._conclude(Cancelled(message=PUT_OFF, data=pause), message.at, "raised")
        return self._crash(exception_to_crashed_state(error), message)

    def _is_past(self, attempt: int) -> bool:
        """Whether the run goes on without an attempt: the next one has begun, or is waited for."""
        facts = self.facts
        return attempt != self.run_count or (facts is not None and attempt <= facts.over)

    def _expired(self, message: Expired) -> Order | None:
        if self.ended or message.attempt != self.run_count or not self._has_body() or self.type is _CANCELLING:
            return None
        expired = self.overdue
        if not message.stops:
            self.known().over = self.run_count
            return self._conclude_expired(expired or message, message.advice)
        if expired is not None:
            return None
        self.known().expired = message
        return STOP_ATTEMPT

    def _conclude_expired(self, expired: Expired, advice: Advice | None) -> Order | None:
        """The attempt has timed out; that was when its time was over, however long its body took to stop."""
        self.known().expired = None
        at = max(expired.at, self.state.nanoseconds)  # another state may have been proposed meanwhile
        return self._conclude(timed_out(TaskRunTimeoutError(self.name, expired.seconds)), at, "timeout", advice)

    def _stopped(self, message: Stopped) -> Order | None:
        if self.ended:
            self.dead_letters += 1
            return None
        if self.type is _CANCELLING:
            if message.interrupted or message.state.type is not StateType.CRASHED:
                return self._finish_cancelled(None, message.at)
            return self._finish(message.state, message.at, "raised")
        if self.facts is not None and (expired := self.overdue) is not None:
            self.facts.over = self.run_count
            return self._conclude_expired(expired, None)
        return self._conclude(message.state, message.at, "raised")

    def _crash(self, state: State[Any], message: Raised) -> Order | None:
        """The body has crashed: the supervisor says whether that stands, where it may be otherwise."""
        again = self.type is _RUNNING and self.sequence < TRANSITION_CAP and not message.for_good
        if again and self.node.supervisor.restarts_after(state):
            facts = self.known()
            facts.crashed = facts.over = self.run_count
            return Escalate(state, message.at)
        return self._conclude(state, message.at, "raised")

    def _judged(self, message: Judged) -> Order | None:
        facts = self.known()
        if self.ended or facts.crashed != self.run_count:
            self.dead_letters += 1  # it was cancelled, or begun anew from outside, meanwhile
            return None
        facts.crashed = 0
        if not message.restart:
            return self._conclude(message.state, message.at, "raised")
        facts.restarts += 1
        facts.expired = None
        text = f"Restart {facts.restarts}, after {message.state}."
        if self.node.supervisor.admits and not self.node.takes_slots:
            self.enter(Retrying(message=text), message.at, "restarted")
            return EXECUTE
        now = from_nanoseconds(message.at)
        self.enter(AwaitingRetry(scheduled_time=now, message=text), message.at, "restarted")
        return WakeAt(message.at)

    def _queued(self, message: Queued) -> Order | None:
        if self.ended or self.run_count != message.attempts or self._has_body():
            self.dead_letters += 1  # it was served by the time this came, and has gone on
            return None
        waits = make_awaiting("AwaitingConcurrencySlot", f"It waits for {message.limits}.", message.at // 1000 * 1000)
        self.enter(waits, message.at, "queued")
        return None

    def _conclude(self, state: State[Any], at: int, cause: str, advice: Advice | None = None) -> Order | None:
        """Propose what an attempt came to, and say what is to be done with what became of that."""
        if advice is not None or self.facts is not None:
            self.known().advice = advice or NO_ADVICE
        verdict = self.propose(state, at, cause)
        if advice is not None:  # it has been heard, and the run may wait for long, beside very many others
            facts = self.known()
            facts.advice = NO_ADVICE
            if facts.say_nothing:
                self.facts = None
        if verdict.answer is Answer.ABORT:
            # Its body has ended, so the run has, whatever state was proposed to it meanwhile.
            if not state.is_final():
                state = Failed(message=f"The task returned {state}, and {verdict.reason}.")
            return self._finish(state, at, "forced")
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
            return WakeAt(state.scheduled_ns or at)
        return None

    def _finish(self, state: State[Any], at: int, cause: str) -> Order | None:
        self.enter(state, at, cause)
        return self._settle(at)

    def _finish_cancelled(self, reason: str | None, at: int) -> Order | None:
        if reason is None and not self.ended:
            self.end_plainly(StateType.CANCELLED, None, at, "cancel")
            return SETTLE
        self.become(StateType.CANCELLED, reason, None, at, "cancel")
        return self._settle(at)

    def _settle(self, at: int) -> Order | None:
        if self.ended:
            return None  # forced out of its end and into another: who waited has the first outcome
        self.withhold()
        self.ended = at
        return SETTLE

    # Dependencies.

    def _upstream_ended(self, message: UpstreamEnded) -> Order | None:
        if self.ended or not self.unready:
            return None
        if message.good:
            self.unready -= 1
            return None if self.unready else READY
        # Of an upstream run that never ran only the name: messages that quote each other double with every run.
        state = str(message.state) if message.state.is_final() else message.state.name
        pending = State[Any](
            type=StateType.PENDING,
            name=NOT_READY,
            message=f"Upstream task run '{message.name}' did not reach COMPLETED: it is {state}.",
        )
        return self._finish(pending, message.at, "upstream")

    # From outside.

    def _cancel(self, message: Cancel) -> Order | None:
        if self.ended or self.type is _CANCELLING:
            return None
        if self._has_body():
            self.cancel_plainly(message)
            return STOP_ATTEMPT
        return self._finish_cancelled(message.reason, message.at)

    def _propose(self, message: Propose) -> Order | None:
        sequence, has_body, attempts = self.sequence, self._has_body(), self.run_count
        verdict = self._refusal(message)
        if verdict is None:
            verdict = self.propose(message.state, message.at, "proposed", force=message.force)
        if has_body:
            self.run_count = attempts  # the body that runs goes on, and is no other attempt
        if message.reply is not None:
            message.reply(verdict)
        if self.sequence == sequence or self.ended:
            return None  # nothing follows from what changed nothing, nor from what changed a run that is over
        if self.type is _CANCELLING:
            reason = self.state.message
            return STOP_ATTEMPT if has_body else self._finish_cancelled(reason, message.at)
        if self.type is _RUNNING and not has_body:
            self.unready = 0
            return EXECUTE
        order = self._after(verdict, message.at)
        # A body that runs goes on, and no other is started beside it. After SETTLE, what it comes to is a dead letter.
        return order if order is SETTLE or not has_body else None

    def _refusal(self, message: Propose) -> Verdict | None:
        """What speaks against a proposal from outside, besides the rules."""
        proposed = message.state.type
        if message.force:
            return None
        if self.ended and self.type is StateType.PENDING:
            return abort(f"it is {NOT_READY}, which is final for it, and cannot become {proposed}")
        if self.unready and proposed is _RUNNING:
            return abort("not all of its upstream runs have ended")
        if self.node.takes_slots and proposed is _RUNNING and not self._has_body():
            return abort("it runs when it has slots of its limits, which it is given in its turn")
        return None

    def _has_body(self) -> bool:
        """Whether a body runs, as far as the states tell: one that was RUNNING goes on while its run is PAUSED."""
        if self.facts is not None and self.facts.over == self.run_count > 0:
            return False
        if self.type is StateType.PAUSED:
            return self.history()[-2].type is _RUNNING
        return self.type is _RUNNING or self.type is _CANCELLING

    handlers: ClassVar = {
        **RunActor.handlers,
        Admit: _admit,
        Returned: _returned,
        Raised: _raised,
        Expired: _expired,
        Judged: _judged,
        Queued: _queued,
        Stopped: _stopped,
        UpstreamEnded: _upstream_ended,
        Cancel: _cancel,
        Propose: _propose,
    }
