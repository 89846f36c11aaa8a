"""Any sequence of messages to a task run, against a model of what it should answer.

The model has a few facts where the actor has twenty, and no rules, table or mailbox: if the two agree over some
thousands of steps, both are right, or wrong in the same way.
"""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from millrace.actors.events import Event
from millrace.actors.instructions import (
    EXECUTE,
    READY,
    SETTLE,
    STOP_ATTEMPT,
    Escalate,
    Instruction,
    Notify,
    Order,
    WakeAt,
)
from millrace.actors.messages import (
    Admit,
    Cancel,
    Expired,
    Judged,
    Propose,
    Raised,
    Returned,
    Stopped,
    Unwatch,
    UpstreamEnded,
    Watch,
)
from millrace.actors.policies import Advice, CrashPolicy
from millrace.actors.states import TERMINAL, Crashed, Failed, Scheduled, StateType
from millrace.actors.verdicts import Answer, Verdict
from tests.actors.runs import FLOW_ID, at, check_chain, make, moment, running_flow, task_run

S = StateType
TIME_PASSES = st.integers(0, 3)
NUMBERED = st.booleans()


def shown(order: Order | None) -> str:
    """An instruction as text, to be compared."""
    if isinstance(order, WakeAt):
        return f"wake at {order.at}"
    if isinstance(order, Notify):
        return "notify"
    if isinstance(order, Escalate):
        return f"escalate at {order.at}"
    return order.name if isinstance(order, Instruction) else "nothing"


class TaskRunMachine(RuleBasedStateMachine):
    """A task run and its model. What the actor answers is checked at each step, what it remembers after each."""

    @initialize(
        retries=st.integers(0, 2),
        delay=st.integers(0, 2),
        unready=st.sampled_from([0, 0, 0, 1, 2]),
        restarts=st.booleans(),
    )
    def begin(self, retries: int, delay: int, unready: int, *, restarts: bool) -> None:
        self.events: list[Event] = []
        self.flow = running_flow()
        self.flow.crash_policy = CrashPolicy(restart="task" if restarts else "never")
        self.run = task_run(self.flow, retries=retries, delays=(delay,), unready=unready, sink=self.events.append)
        self.now = 1
        self.told = 0
        self.orders: list[str] = []
        # The model.
        self.type = S.PENDING
        self.ended = False
        self.body = 0  # the attempt whose body runs, and is expected to come to something
        self.left: list[int] = []  # attempts whose bodies run, and nobody listens
        self.expired = 0  # since when the body is over its time; 0: it is not
        self.crashed = 0  # the attempt that crashed, while the supervisor judges it
        self.verdicts = 0  # that the supervisor owes
        self.stopped = False  # the flow is being stopped
        self.due = 0  # when a SCHEDULED run may start
        self.attempts = self.restarts = 0
        self.restarting, self.refused = restarts, False
        self.retries, self.delay = retries, delay
        self.unready, self.upstreams = unready, unready  # not known to have ended well; not ended
        self.watchers: list[object] = []
        self.dead_letters = 0

    def tell(self, message: Any, expected: Order | None) -> None:
        self.told += 1
        order = self.run.ask(message)
        self.orders.append(shown(order))
        assert shown(order) == shown(expected), f"{message}: {shown(order)}, and not {shown(expected)}"

    def end(self, kind: StateType) -> Order:
        """The run ends; if a body runs, it goes on for nobody."""
        self.type, self.ended = kind, True
        self.leave()
        self.crashed = 0
        return SETTLE

    def start(self) -> Order:
        self.attempts += 1
        self.type, self.body, self.expired, self.crashed = S.RUNNING, self.attempts, 0, 0
        return EXECUTE

    def leave(self) -> None:
        """The body that runs, if one does, is left to itself."""
        self.left += [self.body] * bool(self.body)
        self.body = 0

    # What the run is told in the ordinary way.

    @rule(later=TIME_PASSES)
    def comes_up_in_line(self, later: int) -> None:
        self.now += later
        expected: Order | None
        if self.ended or self.unready or self.type in {S.RUNNING, S.CANCELLING}:
            expected = None
        elif self.type is S.SCHEDULED and self.now < self.due:
            expected = WakeAt(at(self.due))
        elif self.stopped:
            expected = self.end(S.CANCELLED)
        else:
            expected = self.start()
        self.tell(Admit(at(self.now)), expected)

    def failed(self, moment_of_failure: int, *, allowed: bool = True) -> Order:
        """What follows from a failure: another attempt, or the end."""
        failures = self.attempts - 1 - self.restarts
        self.refused = not allowed
        if self.type is not S.RUNNING or not allowed or self.stopped or failures >= self.retries:
            return self.end(S.FAILED)
        if not self.delay:
            return self.start()
        self.type, self.due, self.expired = S.SCHEDULED, moment_of_failure + self.delay, 0
        return WakeAt(at(self.due))

    def body_ended(self, numbered: bool) -> int:
        """The body has ended: what its message says of which attempt it was."""
        attempt, self.body = self.body, 0
        return attempt if numbered else 0

    def outcome(self, message: Any, *, kind: StateType, allowed: bool = True) -> None:
        """A body that is listened to has come to COMPLETED or FAILED, if nothing speaks against it."""
        if self.type is S.CANCELLING:
            self.tell(message, self.end(S.CANCELLED))
        elif self.expired:
            self.tell(message, self.failed(self.expired))
        else:
            self.tell(message, self.end(kind) if kind is S.COMPLETED else self.failed(self.now, allowed=allowed))

    @precondition(lambda self: self.body)
    @rule(later=TIME_PASSES, value=st.sampled_from([None, "plank", [], [1]]), numbered=NUMBERED)
    def body_returns(self, later: int, value: Any, *, numbered: bool) -> None:
        self.now += later
        self.outcome(Returned(value, at(self.now), self.body_ended(numbered)), kind=S.COMPLETED)

    @precondition(lambda self: self.body)
    @rule(
        later=TIME_PASSES,
        how=st.sampled_from(["raises", "returns", "is not retriable", "is advised against", "is advised"]),
        numbered=NUMBERED,
    )
    def body_fails(self, later: int, how: str, *, numbered: bool) -> None:
        self.now += later
        attempt = self.body_ended(numbered)
        advice = Advice(retry=how == "is advised") if "advised" in how else None
        final = Failed(state_details={"retriable": False})
        message: Any = Raised(ValueError(), at(self.now), attempt=attempt, advice=advice)
        if how in {"returns", "is not retriable"}:
            message = Returned(Failed() if how == "returns" else final, at(self.now), attempt, advice)
        if self.expired and self.type is not S.CANCELLING:  # then the timeout is what was asked about
            self.tell(message, self.failed(self.expired, allowed=how != "is advised against"))
        else:
            self.outcome(message, kind=S.FAILED, allowed=how not in {"is not retriable", "is advised against"})

    @precondition(lambda self: self.body)
    @rule(later=TIME_PASSES, interrupted=st.booleans())
    def run_is_given_up(self, later: int, *, interrupted: bool) -> None:
        self.now += later
        message = Stopped(Crashed(), at(self.now), interrupted)
        self.leave()
        if self.type is not S.CANCELLING and self.expired:
            self.tell(message, self.failed(self.expired))
        else:
            self.tell(message, self.end(S.CANCELLED if self.type is S.CANCELLING and interrupted else S.CRASHED))

    @precondition(lambda self: self.body)
    @rule(
        later=TIME_PASSES,
        how=st.sampled_from(["exit", "cancellation", "interrupt"]),
        for_good=st.booleans(),
        numbered=NUMBERED,
    )
    def body_crashes(self, later: int, how: str, *, for_good: bool, numbered: bool) -> None:
        self.now += later
        cancelled = how == "cancellation"
        error = KeyboardInterrupt() if how == "interrupt" else SystemExit()
        message = Raised(error, at(self.now), cancelled, self.body_ended(numbered), for_good=for_good)
        if cancelled and (self.type is S.CANCELLING or self.expired):
            self.outcome(message, kind=S.CRASHED)
        elif self.type is S.RUNNING and self.restarting and how != "interrupt" and not for_good:
            self.crashed = self.attempts
            self.verdicts += 1
            self.tell(message, Escalate(Crashed(), at(self.now)))
        else:
            self.tell(message, self.end(S.CRASHED))

    @precondition(lambda self: self.verdicts)
    @rule(later=TIME_PASSES, restart=st.booleans())
    def supervisor_judges(self, later: int, *, restart: bool) -> None:
        self.now += later
        self.verdicts -= 1
        expected: Order | None
        if not self.crashed:
            self.dead_letters += 1
            expected = None
        elif not restart:
            expected = self.end(S.CRASHED)
        else:
            self.restarts += 1
            if self.stopped:
                self.type, self.due, self.crashed, self.expired = S.SCHEDULED, self.now, 0, 0
                expected = WakeAt(at(self.now))
            else:
                expected = self.start()
        self.tell(Judged(Crashed(), at(self.now), restart=restart), expected)

    @rule(later=TIME_PASSES, stops=st.booleans(), early=st.integers(0, 1))
    def time_is_over(self, later: int, early: int, *, stops: bool) -> None:
        """For the present attempt, or for one before."""
        self.now += later
        attempt = self.attempts - early
        expected: Order | None = None
        if self.body and self.body == attempt and self.type in {S.RUNNING, S.PAUSED}:
            if not stops:
                since = self.expired or self.now
                self.leave()
                expected = self.failed(since)
            elif not self.expired:
                self.expired = self.now
                expected = STOP_ATTEMPT
        self.tell(Expired(1.5, at(self.now), attempt, stops=stops), expected)

    @precondition(lambda self: self.left)
    @rule(how=st.sampled_from(["returns", "fails", "raises", "crashes", "is cancelled"]))
    def somebody_comes_with_a_late_result(self, how: str) -> None:
        attempt = self.left.pop()
        self.dead_letters += 1
        messages = {
            "returns": Returned("plank", at(self.now), attempt),
            "fails": Returned([Failed()], at(self.now), attempt),
            "raises": Raised(ValueError(), at(self.now), attempt=attempt),
            "crashes": Raised(SystemExit(), at(self.now), attempt=attempt),
            "is cancelled": Raised(SystemExit(), at(self.now), True, attempt),
        }
        self.tell(messages[how], None)

    @precondition(lambda self: self.upstreams)
    @rule(good=st.sampled_from([True, True, False]))
    def an_upstream_ends(self, *, good: bool) -> None:
        self.upstreams -= 1
        expected: Order | None = None
        if not self.ended and not good:
            expected = self.end(S.PENDING)
        elif not self.ended:
            self.unready -= 1
            expected = None if self.unready else READY
        self.tell(UpstreamEnded(good, "fell-001", Failed(), at(self.now)), expected)

    # What comes from outside.

    @rule(later=TIME_PASSES)
    def is_cancelled(self, later: int) -> None:
        self.now += later
        expected: Order | None = None
        if self.body and not self.ended and self.type is not S.CANCELLING:
            self.type, expected = S.CANCELLING, STOP_ATTEMPT
        elif not self.ended and self.type is not S.CANCELLING:
            expected = self.end(S.CANCELLED)
        self.tell(Cancel("enough", at(self.now)), expected)

    @rule()
    def flow_is_cancelled(self) -> None:
        self.stopped = True
        self.flow.tell(Cancel("enough", at(self.now)))

    # Not FAILED and not SCHEDULED while a body runs: whether that body should be stopped is an open question.
    @rule(kind=st.sampled_from([*StateType]), wait=TIME_PASSES)
    def somebody_proposes(self, kind: StateType, wait: int) -> None:
        if (self.body or self.crashed) and kind in {S.FAILED, S.SCHEDULED, S.PAUSED}:
            return
        verdicts: list[Verdict] = []
        due = self.now + wait
        state = Scheduled(scheduled_time=moment(due)) if kind is S.SCHEDULED else make(kind)
        answer, expected = self.judged(kind, due)
        self.tell(Propose(state, at(self.now), reply=verdicts.append), expected)
        assert [verdict.answer for verdict in verdicts] == [answer], f"{kind}: {verdicts}"

    def judged(self, kind: StateType, due: int) -> tuple[Answer, Order | None]:  # noqa: C901, PLR0911  # case by case
        """What the run should answer to a proposal, and what should follow; the model is changed accordingly."""
        if self.ended or kind is S.PAUSED:
            return Answer.ABORT, None
        if self.type is S.CANCELLING and kind not in {S.CANCELLED, S.CRASHED}:
            return Answer.ABORT, None
        if self.type is S.RUNNING and kind is S.PENDING:
            return Answer.ABORT, None
        if kind in TERMINAL:
            return Answer.ACCEPT, self.end(kind)  # a body goes on, and what it comes to is a dead letter
        if kind is S.CANCELLING:
            if not self.body:
                return Answer.ACCEPT, self.end(S.CANCELLED)
            self.type = kind
            return Answer.ACCEPT, STOP_ATTEMPT
        if kind is S.RUNNING:
            if self.unready:
                return Answer.ABORT, None
            if self.body:
                return Answer.ACCEPT, None
            if self.type is S.SCHEDULED and self.now < self.due:
                return Answer.WAIT, None
            return (Answer.ABORT, None) if self.stopped and not self.crashed else (Answer.ACCEPT, self.start())
        self.type, self.due = kind, due
        return Answer.ACCEPT, WakeAt(at(due)) if kind is S.SCHEDULED else None

    @rule()
    def somebody_watches(self) -> None:
        watcher = object()
        if not self.ended:
            self.watchers.append(watcher)
        self.tell(Watch(watcher), Notify(watcher) if self.ended else None)

    @precondition(lambda self: self.watchers)
    @rule()
    def somebody_has_watched_enough(self) -> None:
        self.tell(Unwatch(self.watchers[0]), None)
        if not self.ended:
            del self.watchers[0]

    # What is true after every step.

    @invariant()
    def the_run_is_what_the_model_is(self) -> None:
        run = self.run
        assert (run.type, run.done, run.run_count) == (self.type, self.ended, self.attempts), run.trail()
        assert (run.watchers or []) == self.watchers
        assert run.dead_letters == self.dead_letters

    @invariant()
    def every_message_is_handled(self) -> None:
        assert (self.run.handled, self.run.waiting, self.run.refused) == (self.told, 0, 0)

    @invariant()
    def the_events_form_a_chain_that_leads_to_the_state(self) -> None:
        check_chain(self.run, self.events)

    @invariant()
    def the_run_ends_once_and_stays_so(self) -> None:
        ends = [event for event in self.events if event.state.type in TERMINAL or event.cause == "upstream"]
        assert len(ends) == self.orders.count(SETTLE.name) == self.ended
        assert not ends or ends[0] is self.events[-1]

    @invariant()
    def failed_is_recorded_when_no_retry_is_left_or_none_would_help(self) -> None:
        last = self.events[-1]
        if last.state.type is S.FAILED and last.cause != "proposed":
            assert self.refused or self.stopped or self.attempts - self.restarts > self.retries

    @invariant()
    def every_attempt_was_asked_for_once(self) -> None:
        running = sum(event.state.type is S.RUNNING for event in self.events)
        assert self.attempts <= running  # one that is proposed while a body runs is no attempt
        assert self.orders.count(EXECUTE.name) <= running

    @invariant()
    def every_state_carries_the_ids_of_the_run(self) -> None:
        details = self.run.state.state_details
        assert details.flow_run_id is not None
        assert (details.flow_run_id.int, details.task_run_id) == (FLOW_ID, self.run.uuid)


@pytest.mark.usefixtures("surroundings")
def test_a_task_run_answers_any_sequence_of_messages_as_the_model_does() -> None:
    run_state_machine_as_test(
        TaskRunMachine,
        settings=settings(
            max_examples=200,
            stateful_step_count=30,
            derandomize=True,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
