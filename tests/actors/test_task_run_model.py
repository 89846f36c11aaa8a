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
from millrace.actors.instructions import EXECUTE, READY, SETTLE, STOP_ATTEMPT, Instruction, Notify, Order, WakeAt
from millrace.actors.messages import (
    Admit,
    Cancel,
    Propose,
    Raised,
    Returned,
    Stopped,
    Unwatch,
    UpstreamEnded,
    Watch,
)
from millrace.actors.states import TERMINAL, Crashed, Failed, Scheduled, StateType
from millrace.actors.verdicts import Answer, Verdict
from tests.actors.runs import FLOW_ID, at, check_chain, make, moment, running_flow, task_run

S = StateType
TIME_PASSES = st.integers(0, 3)


def shown(order: Order | None) -> str:
    """An instruction as text, to be compared."""
    if isinstance(order, WakeAt):
        return f"wake at {order.at}"
    if isinstance(order, Notify):
        return "notify"
    return order.name if isinstance(order, Instruction) else "nothing"


class TaskRunMachine(RuleBasedStateMachine):
    """A task run and its model. What the actor answers is checked at each step, what it remembers after each."""

    @initialize(retries=st.integers(0, 2), delay=st.integers(0, 2), unready=st.sampled_from([0, 0, 0, 1, 2]))
    def begin(self, retries: int, delay: int, unready: int) -> None:
        self.events: list[Event] = []
        self.flow = running_flow()
        self.run = task_run(self.flow, retries=retries, delays=(delay,), unready=unready, sink=self.events.append)
        self.now = 1
        self.told = 0
        self.orders: list[str] = []
        # The model.
        self.type = S.PENDING
        self.ended = False
        self.body = False  # a body runs
        self.stopped = False  # the flow is being stopped
        self.due = 0  # when a SCHEDULED run may start
        self.attempts = 0
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
        self.type, self.ended, self.body = kind, True, False
        return SETTLE

    def start(self) -> Order:
        self.type, self.body = S.RUNNING, True
        self.attempts += 1
        return EXECUTE

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

    def outcome(self, message: Any, kind: StateType, *, crash: bool = False) -> None:
        """The body has ended, and makes a state of a type of the run if nothing speaks against it."""
        if self.ended:
            self.body = False
            self.dead_letters += 1
            self.tell(message, None)
        else:
            self.tell(message, self.end(S.CANCELLED if self.type is S.CANCELLING and not crash else kind))

    @precondition(lambda self: self.body)
    @rule(later=TIME_PASSES, value=st.sampled_from([None, "plank", [], [1]]))
    def body_returns(self, later: int, value: Any) -> None:
        self.now += later
        self.outcome(Returned(value, at(self.now)), S.COMPLETED)

    @precondition(lambda self: self.body)
    @rule(later=TIME_PASSES, how=st.sampled_from(["raises", "returns", "says it is final"]))
    def body_fails(self, later: int, how: str) -> None:
        self.now += later
        final = how == "says it is final"
        failed = Failed(state_details={"retriable": False}) if final else Failed()
        messages = {"raises": Raised(ValueError(), at(self.now)), "returns": Returned(failed, at(self.now))}
        message = messages.get(how, Stopped(failed, at(self.now)))
        if self.type is not S.RUNNING or self.ended or final or self.stopped or self.attempts > self.retries:
            self.outcome(message, S.FAILED)
        elif self.delay:
            self.type, self.body, self.due = S.SCHEDULED, False, self.now + self.delay
            self.tell(message, WakeAt(at(self.due)))
        else:
            self.tell(message, self.start())

    @precondition(lambda self: self.body)
    @rule(later=TIME_PASSES, interrupted=st.booleans(), raised=st.booleans())
    def body_is_cut_off(self, later: int, *, interrupted: bool, raised: bool) -> None:
        self.now += later
        message: Any = Stopped(Crashed(), at(self.now), interrupted)
        if raised:
            message = Raised(GeneratorExit(), at(self.now), interrupted)
        self.outcome(message, S.CRASHED, crash=not interrupted)

    @precondition(lambda self: self.ended)
    @rule(value=st.sampled_from(["plank", Failed(), [Failed()]]))
    def somebody_comes_with_a_late_result(self, value: Any) -> None:
        self.dead_letters += 1
        self.tell(Returned(value, at(self.now)), None)

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
        if self.body and kind in {S.FAILED, S.SCHEDULED, S.PAUSED}:
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
            body, order = self.body, self.end(kind)
            self.body = body  # it goes on, and what it comes to is a dead letter
            return Answer.ACCEPT, order
        if kind is S.CANCELLING:
            if not self.body:
                return Answer.ACCEPT, self.end(S.CANCELLED)
            self.type = kind
            return Answer.ACCEPT, STOP_ATTEMPT
        if kind is S.RUNNING:
            if self.unready:
                return Answer.ABORT, None
            if self.body:
                self.attempts += 1
                return Answer.ACCEPT, None
            if self.type is S.SCHEDULED and self.now < self.due:
                return Answer.WAIT, None
            return (Answer.ABORT, None) if self.stopped else (Answer.ACCEPT, self.start())
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
            refused = last.state.state_details.retriable is False
            assert refused or self.stopped or self.attempts > self.retries

    @invariant()
    def every_attempt_was_asked_for_once(self) -> None:
        running = sum(event.state.type is S.RUNNING for event in self.events)
        assert self.attempts == running
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
            deadline=None,
            suppress_health_check=[HealthCheck.too_slow],
        ),
    )
