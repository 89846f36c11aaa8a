"""The supervisor: the flow run's own actor, which owns everything the flow starts.

Decides whether children may start, keeps account of them, spreads cancellation, and judges the flow's final state. A
flow ends only when its last child has ended, and a child never outlives it. Does not know bodies, loops or threads.

An engine has one supervisor without a flow, for the tasks that run outside of any; it always admits and never ends by
itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from types import GeneratorType
from typing import Any, ClassVar, Generic, TypeVar

from millrace.actors.errors import FlowRunTimeoutError, Pause, RestartLimitExceeded, Signal
from millrace.actors.events import Journal
from millrace.actors.instructions import (
    END_WAITING,
    EXECUTE,
    IDLE,
    JOIN,
    SETTLE,
    STOP_CHILDREN,
    GoOn,
    Judge,
    Order,
    WakeAt,
)
from millrace.actors.messages import (
    Admit,
    Born,
    Cancel,
    ChildCrashed,
    ChildEnded,
    ChildrenDropped,
    ChildSeen,
    Expired,
    HandedOver,
    Interrupt,
    Propose,
    Raised,
    Returned,
    Spawned,
    Stopped,
)
from millrace.actors.outcomes import (
    PLAIN,
    exception_to_crashed_state,
    exception_to_failed_state,
    failure,
    holds_states,
    judged,
    not_to_be_retried,
    pause_in,
    timed_out,
)
from millrace.actors.pausable import Pausable
from millrace.actors.policies import LET_IT_CRASH, NO_RETRIES, CrashPolicy, Escalation, RestartWindow, RetryPolicy
from millrace.actors.rules import FLOW_RULES, pick
from millrace.actors.run import RunActor
from millrace.actors.states import TERMINAL, Cancelled, Cancelling, Failed, State, StateType
from millrace.actors.telling import told_of
from millrace.actors.verdicts import Answer, abort

_FAILURES = (StateType.FAILED, StateType.CRASHED)
_COMPLETED = StateType.COMPLETED
_RUNNING = StateType.RUNNING
_CANCELLING = StateType.CANCELLING
_LIVES_ON = (_RUNNING, StateType.PENDING, StateType.SCHEDULED)
_NO_REASON = "no reason was given"
_LONGEST_LINE = 200  # of what a final state's message quotes

C = TypeVar("C", bound=RunActor)


class Supervisor(Pausable, Generic[C]):
    """A flow run and all that it started. See the module's docstring."""

    plain_rules: ClassVar = pick(FLOW_RULES, detailed=False)
    detailed_rules: ClassVar = pick(FLOW_RULES, detailed=True)

    __slots__ = (
        "_name", "around", "children", "crash_policy", "dormant", "earlier", "escalated", "expired", "live", "retry",
        "spawned", "tally", "unseen", "window",
    )  # fmt: skip

    def __init__(
        self,
        run_id: int,
        created: int,
        journal: Journal,
        name: str,
        *,
        retry: RetryPolicy = NO_RETRIES,
        crash_policy: CrashPolicy = LET_IT_CRASH,
    ) -> None:
        super().__init__(run_id, created, journal)
        self._name = name
        self.around: Supervisor[Any] | None = None  # of the scope that it was started in
        self.retry = retry
        self.expired: Expired | None = None  # its time is over, and its body and its children are being stopped
        self.crash_policy = crash_policy
        self.window: RestartWindow | None = None  # of restarts; made by the first crash
        self.escalated: RestartLimitExceeded | None = None  # crashes were too many: how the run is to end
        self.spawned = 0  # children ever started
        self.earlier = 0  # of these, before the present attempt
        self.live = 0  # children started and not ended, made or not; 0 after the end
        self.children: dict[int, C] = {}  # by id: made and not ended; len <= live
        self.dormant: dict[int, Any] = {}  # by id of those that go on only when they are asked to: who asks them
        self.tally: dict[StateType, int] = {}  # ended, by type of last state
        self.unseen: dict[int, C] = {}  # by id: failed, not looked at; as they ended

    @property
    def name(self) -> str:
        """The display name."""
        return self._name

    @property
    def flow_id(self) -> int | None:
        """The flow run's id, as its children's states carry it."""
        return self.id

    @property
    def standing(self) -> str:
        """Why it admits nothing, as the end of a sentence."""
        return f"being stopped: {self.stopping}" if self.stopping else str(self.type)

    def ids(self) -> tuple[int | None, int | None]:
        """The flow run's id, and none of a task run."""
        return self.id, None

    # Children.

    def _spawned(self, message: Spawned) -> Order | None:
        self.spawned += message.count
        self.live += message.count
        for child in message.children:
            self.children[child.id] = child
        return self._welcome()

    def _born(self, message: Born) -> Order | None:
        for child in message.children:
            if not child.ended:
                self.children[child.id] = child
        return self._welcome()

    def _welcome(self) -> Order | None:
        """What is done about children that come now: where nothing may run any more, they are stopped."""
        return STOP_CHILDREN if self.stopping or self.ended else None

    def _child_ended(self, message: ChildEnded) -> Order | None:
        child = message.child
        known = self.children.pop(child.id, None)
        if known is not child and known is not None:  # whoever waited for the end has had it run again already
            self.children[child.id] = known
        kind = child.type
        self.tally[kind] = self.tally.get(kind, 0) + 1
        if kind is not _COMPLETED:
            child.count_setback()
            if kind in _FAILURES and not child.looked_at and self.flow_id is not None:
                self.unseen[child.id] = child
            elif self.broken_off and isinstance(child.state.data, Pause):
                self.put_off = True
        self.live -= 1
        return None if self.live > len(self.dormant) else IDLE

    def restarts_after(self, crash: State[Any]) -> bool:
        """Whether a child with such a crash is to ask what follows.

        An interrupt is meant for the whole program, and a body that is closed has nowhere to run any more.
        """
        return self.crash_policy.restarts and not isinstance(crash.data, (KeyboardInterrupt, GeneratorExit, Signal))

    def _child_crashed(self, message: ChildCrashed) -> Order | None:
        child, state, at = message.child, message.state, message.at
        if self.ended or self.stopping or self.escalated is not None:
            return Judge(child, state, at, restart=False, stop_siblings=False)
        self.window = self.window or RestartWindow(self.crash_policy)
        if self.window.admits(at):
            return Judge(child, state, at, restart=True, stop_siblings=False)
        policy = self.crash_policy
        self.escalated = RestartLimitExceeded(child.name, policy.max_restarts, policy.within_seconds, str(state))
        stop = policy.then == Escalation.CANCEL_SIBLINGS
        if stop:
            self.stopping = str(self.escalated)
            self.admits = False
        return Judge(child, state, at, restart=False, stop_siblings=stop)

    def _children_dropped(self, message: ChildrenDropped) -> Order | None:
        self.tally[StateType.CANCELLED] = self.tally.get(StateType.CANCELLED, 0) + message.count
        self.live -= message.count
        return None if self.live > len(self.dormant) else IDLE

    def _handed_over(self, message: HandedOver) -> Order | None:
        self.spawned -= message.count
        self.live -= message.count
        return None if self.live > len(self.dormant) else IDLE

    def _child_seen(self, message: ChildSeen) -> Order | None:
        self.unseen.pop(message.child.id, None)
        return None

    # The flow's own way.

    def _admit(self, message: Admit) -> Order | None:
        if self.ended or self.attempting:
            return None  # asked for twice, as somebody else had its turn when it was asked for first
        verdict = self.judge(_RUNNING, None, message.at)
        if verdict is not None:
            return self.not_admitted(verdict, message.at)
        if self.resuming:
            self.resuming = False
            self.become(_RUNNING, None, None, message.at, "admitted")  # going on after a pause is no other attempt
        else:
            self.start_plainly(message.at, "admitted")
        self.admits = not self.stopping
        self.begin()
        return EXECUTE

    def begin(self) -> None:
        """The body begins, with nothing that is remembered of how it ended before."""
        super().begin()
        self.earlier = self.spawned
        self.unseen.clear()

    def _expired(self, message: Expired) -> Order | None:
        if not self.attempting or self.stopping or message.attempt != self.run_count or self.type in TERMINAL:
            return None
        self.expired = message
        self.stopping = f"its flow run exceeded its timeout of {message.seconds:g} seconds"
        self.admits = False
        return STOP_CHILDREN

    def _overdue(self) -> State[Any] | None:
        """What the attempt came to if its time was over before it ended; a cancellation comes before that."""
        if self.type is _CANCELLING:
            return None
        if self.lapsed is not None:
            return exception_to_failed_state(self.lapsed)
        return None if self.expired is None else timed_out(FlowRunTimeoutError(self.name, self.expired.seconds))

    def _cancelled(self) -> State[Any]:
        """The end of a run that is CANCELLING; it says again why."""
        return Cancelled(message=self.state.message)

    @property
    def _goes_on(self) -> bool:
        """Whether a child lives although no body does: code that was left behind has started one since then."""
        return self.live > 0 and not self.ended

    def _returned(self, message: Returned) -> Order | None:
        if self._goes_on:
            return JOIN
        if self.put_off and not self.stopping:
            return self.end_for_now()
        value = message.value
        if self._is_plain_end(value):
            self.end_plainly(_COMPLETED, value, message.at, "returned")
            self._left()
            return SETTLE
        overdue = self._overdue()
        if overdue is not None:
            return self.conclude(overdue, message.at, "timeout")
        return self.conclude(self.judge_return(value), message.at, "returned")

    def _is_plain_end(self, value: Any) -> bool:
        """Whether a returned value is data and all has gone well: no rule about leaving RUNNING has an answer to it."""
        if self.type is not _RUNNING or self.expired is not None or self.lapsed is not None or self.ended:
            return False
        if self.escalated is not None or (value is None and self.unseen):
            return False
        return type(value) in PLAIN or not (type(value) is GeneratorType or holds_states(value))

    def _left(self) -> None:
        """The body and all that it has started have ended, and so has the run."""
        self.attempting = False
        self.admits = False
        self.unseen.clear()

    def _raised(self, message: Raised) -> Order | None:
        error = message.error
        if self._goes_on and not isinstance(error, GeneratorExit):
            return JOIN
        pause = pause_in(error) if self.broken_off else None
        is_failure = isinstance(error, Exception) or pause is not None
        if self.type is _CANCELLING and (is_failure or message.cancelled):
            return self.conclude(self._cancelled(), message.at, "cancel")
        if (pause is not None or (self.put_off and is_failure)) and not self.stopping:
            return self.end_for_now()
        overdue = self._overdue()
        if overdue is not None and (is_failure or message.cancelled):
            state, cause = overdue, "timeout"
        elif pause is not None and self.escalated is not None:
            state, cause = exception_to_failed_state(self.escalated), "raised"
        else:
            state = failure(error) if isinstance(error, Exception) else exception_to_crashed_state(error)
            cause = "raised"
        if message.advice is not None and not message.advice.retry:
            state = not_to_be_retried(state)
        return self.conclude(state, message.at, cause)

    def _stopped(self, message: Stopped) -> Order | None:
        if self.type is _CANCELLING and (message.interrupted or message.state.type is not StateType.CRASHED):
            return self.conclude(self._cancelled(), message.at, "cancel")
        overdue = self._overdue()
        if overdue is not None:  # its body goes on, beside which no other attempt is made
            return self.conclude(not_to_be_retried(overdue), message.at, "timeout")
        return self.conclude(message.state, message.at, "raised")

    def judge_return(self, value: Any) -> State[Any]:
        """The final state that a returned value makes, children considered.

        A returned state, or a collection of nothing but states, decides by itself; so does any other data, which is
        COMPLETED. A flow that returns nothing fails if a child failed and nobody looked at it: where it differs from
        Prefect, which counts every child (2) or none (3).
        """
        if self.type is _CANCELLING:
            return self._cancelled()
        if self.escalated is not None:
            return exception_to_failed_state(self.escalated)
        if value is None and self.unseen:
            return self._failed_unseen()
        state = judged(value)
        if state.is_final():
            return state
        return Failed(message=f"The flow returned {state}, which is not final.")

    def _failed_unseen(self) -> State[Any]:
        first = next(iter(self.unseen.values()))
        count = len(self.unseen)
        return Failed(
            message=(
                f"{count:,} of {self.spawned - self.earlier:,} runs failed and nobody looked at "
                f"{'it' if count == 1 else 'them'}; the first: {first.name}, {_brief(first.state)}"
            ),
            data=first.state,
        )

    def conclude(self, state: State[Any], at: int, cause: str) -> Order | None:
        """The run ends in a state, unless the rules have its body run again."""
        if self.ended:
            self.dead_letters += 1
            return None
        self.attempting = False
        verdict = self.propose(state, at, cause)
        if verdict.answer is Answer.REJECT and verdict.state is not None and not verdict.state.is_final():
            return self._begin_again(verdict.state, at)
        if verdict.answer is Answer.ABORT or self.type not in TERMINAL:
            # Only from outside could the state have moved: a body that has ended ends its run whatever was proposed.
            self.enter(state, at, "forced")
        self.withhold()
        self.ended = at
        self._left()
        return SETTLE

    def _begin_again(self, state: State[Any], at: int) -> Order:
        """The body runs again: with what is to be forgotten of the attempt before."""
        self.stopping = ""
        self.expired = None
        self.unseen.clear()
        self.admits = self.type is _RUNNING
        if self.type is _RUNNING:
            self.begin()
            return EXECUTE
        return WakeAt(state.scheduled_ns or at)

    def _cancel(self, message: Cancel) -> Order | None:
        if self.ended or self.type is _CANCELLING:
            return None
        if self.type in TERMINAL:
            return self._interrupt(message)  # forced there before its body has ended
        let_go = self.let_go
        self.stopping = message.reason or _NO_REASON
        self.enter(Cancelling(message=message.reason), message.at, "cancel")
        return self.conclude(self._cancelled(), message.at, "cancel") if let_go else STOP_CHILDREN

    def _interrupt(self, message: Interrupt | Cancel) -> Order | None:
        if self.ended:
            return None
        self.stopping = self.stopping or message.reason or _NO_REASON
        self.admits = False
        return STOP_CHILDREN

    def _propose(self, message: Propose) -> Order | None:
        state = message.state
        before, let_go = self.state, self.let_go
        if state.is_final() and not message.force:
            verdict = abort("a flow run ends when its body and its children have; cancel it instead")
        elif self.ahead and state.type is not _CANCELLING:
            verdict = abort("nobody executes it yet; execute it by its id, or cancel it, instead")
        elif let_go and state.type is not _CANCELLING:
            verdict = abort("it is suspended and its body has ended; resume it, or cancel it, instead")
        elif self.held and state.type is not _CANCELLING:
            verdict = abort("it begins when the flow run around it goes on; resume that, or cancel this one, instead")
        else:
            attempts = self.run_count
            verdict = self.propose(state, message.at, "proposed", force=message.force)
            self.run_count = attempts  # going on after a pause is no other attempt
        if message.reply is not None:
            message.reply(verdict)
        if verdict.answer is not Answer.ABORT and self.type is _CANCELLING and not self.stopping:
            self.stopping = state.message or _NO_REASON
            return self.conclude(self._cancelled(), message.at, "cancel") if let_go else STOP_CHILDREN
        # Also for what cannot go on, and is to hear that.
        if before.type is StateType.PAUSED and self.type in _LIVES_ON:
            return GoOn(before.id)
        return END_WAITING if self.suspends else None

    handlers: ClassVar = {
        **Pausable.handlers,
        Admit: _admit,
        Returned: _returned,
        Raised: _raised,
        Expired: _expired,
        Stopped: _stopped,
        Propose: _propose,
        Spawned: _spawned,
        Born: _born,
        ChildEnded: _child_ended,
        ChildCrashed: _child_crashed,
        ChildrenDropped: _children_dropped,
        HandedOver: _handed_over,
        ChildSeen: _child_seen,
        Cancel: _cancel,
        Interrupt: _interrupt,
    }

    def counts(self) -> dict[str, int]:
        """Children by state: `pending` (started, not made yet, or not admitted), `running` and so on, without zeros."""
        counts = {kind.lower(): number for kind, number in self.tally.items()}
        made = _count(child.type for child in tuple(self.children.values()))
        unborn = self.live - sum(made.values())
        if unborn > 0:
            made[StateType.PENDING] = made.get(StateType.PENDING, 0) + unborn
        for kind, number in made.items():
            counts[kind.lower()] = counts.get(kind.lower(), 0) + number
        return counts


def _count(kinds: Iterable[StateType]) -> dict[StateType, int]:
    counts: dict[StateType, int] = {}
    for kind in kinds:
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _brief(state: State[Any]) -> str:
    """What a failed state says, on one line."""
    text = told_of(state.data) if issubclass(type(state.data), BaseException) else str(state)
    first_line = text.splitlines()[0] if text else state.name
    return first_line if len(first_line) <= _LONGEST_LINE else first_line[: _LONGEST_LINE - 1] + "…"
