"""The rules: what a proposal meets on its way, beside the table; sentence by sentence."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from millrace.actors import rules
from millrace.actors.events import Event
from millrace.actors.instructions import EXECUTE, PARK, SETTLE, STOP_ATTEMPT, WakeAt
from millrace.actors.messages import Admit, Cancel, Interrupt, Propose, Raised, Returned, Stopped, UpstreamEnded
from millrace.actors.policies import RetryPolicy
from millrace.actors.rules import FLOW_RULES, TASK_RULES, follow_the_table, pick
from millrace.actors.states import (
    TERMINAL,
    AwaitingRetry,
    Completed,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    StateType,
)
from millrace.actors.stored_result import Found
from millrace.actors.transitions import possible
from millrace.actors.verdicts import Answer, Verdict
from tests.actors.runs import (
    at,
    bring_flow_to,
    bring_task_run_to,
    everything_about,
    make,
    moment,
    pending_flow,
    propose,
    running_flow,
    task_run,
)

pytestmark = pytest.mark.usefixtures("surroundings")

TRANSITION = UUID(int=77)


# ACCEPT.


def test_an_accepted_state_is_the_runs_state_with_its_details_filled_in() -> None:
    run = task_run()
    proposed = Scheduled(scheduled_time=moment(9), message="later")

    verdict = propose(run, proposed, 5)

    assert verdict == Verdict(Answer.ACCEPT, run.state)
    assert run.state.id == proposed.id
    assert run.state.message == "later"
    assert run.state.timestamp == moment(5)
    details = run.state.state_details
    assert (details.flow_run_id, details.task_run_id) == (UUID(int=run.node.supervisor.id), run.uuid)
    assert details.scheduled_time == moment(9)


def test_a_flow_runs_state_carries_the_id_of_the_flow_run_only() -> None:
    flow = running_flow()

    verdict = propose(flow, Paused())

    assert verdict.state is not None
    details = verdict.state.state_details
    assert (details.flow_run_id, details.task_run_id) == (UUID(int=flow.id), None)


def test_one_state_made_by_hand_serves_many_runs() -> None:
    later = Scheduled(scheduled_time=moment(9))
    first, second = task_run(number=1), task_run(number=2)

    propose(first, later)
    propose(second, later)

    assert first.state.state_details.task_run_id == first.uuid
    assert second.state.state_details.task_run_id == second.uuid
    assert first.state != second.state


# REJECT.


def test_a_rejected_state_is_not_set_but_another_one_that_is_returned() -> None:
    run = task_run(retries=1, delays=(3,))
    run.tell(Admit(at(1)))

    verdict = propose(run, Failed(message="split"), 5)

    assert verdict.answer is Answer.REJECT
    assert verdict.reason == "retry 1 of 1"
    assert verdict.state is not None
    assert verdict.state == run.state
    assert [str(state) for state in run.history()] == [
        "Pending()",
        "Running()",
        "AwaitingRetry(\"Retry 1 of 1, after Failed('split').\", type=SCHEDULED)",
    ]


def test_with_the_flow_paused_a_run_is_paused_instead_of_started() -> None:
    flow = running_flow()
    run = task_run(flow)
    propose(flow, Paused())

    verdict = propose(run, Running())

    assert verdict.answer is Answer.REJECT
    assert verdict.reason == "the flow run is paused"
    assert str(run.state) == "Paused('The flow run is paused.')"
    assert run.run_count == 0


def test_a_paused_run_starts_when_its_flow_runs_again() -> None:
    flow = running_flow()
    run = task_run(flow)
    propose(flow, Paused())
    assert run.ask(Admit(at(2))) is PARK
    assert run.type is StateType.PAUSED

    propose(flow, Running())

    assert run.ask(Admit(at(4))) is EXECUTE


# WAIT.


def test_a_run_that_is_scheduled_for_later_has_to_wait_and_says_until_when() -> None:
    run = task_run()
    propose(run, Scheduled(scheduled_time=moment(9)), 1)
    before = everything_about(run)

    verdict = propose(run, Running(), 5)

    assert verdict.answer is Answer.WAIT
    assert verdict.until == at(9)
    assert verdict.state is None
    assert verdict.reason == f"it is scheduled for {moment(9).isoformat()}"
    assert everything_about(run) == before


def test_a_run_that_stands_in_line_too_early_is_woken_at_its_time() -> None:
    run = task_run()
    propose(run, Scheduled(scheduled_time=moment(9)), 1)

    order = run.ask(Admit(at(5)))

    assert isinstance(order, WakeAt)
    assert order.at == at(9)
    assert run.ask(Admit(at(9))) is EXECUTE


@pytest.mark.parametrize("seconds", [9, 10])
def test_from_its_time_on_a_scheduled_run_starts(seconds: float) -> None:
    run = task_run()
    propose(run, Scheduled(scheduled_time=moment(9)), 1)

    assert propose(run, Running(), seconds).answer is Answer.ACCEPT


def test_a_flow_run_that_is_scheduled_for_later_is_not_admitted() -> None:
    flow = pending_flow()
    propose(flow, Scheduled(scheduled_time=moment(9)), 1)

    assert isinstance(flow.ask(Admit(at(5))), WakeAt)
    assert flow.type is StateType.SCHEDULED
    assert flow.ask(Admit(at(9))) is EXECUTE


def test_awaiting_retry_is_a_scheduled_state_too() -> None:
    run = task_run()
    propose(run, AwaitingRetry(scheduled_time=moment(9)), 1)

    assert propose(run, Running(), 8).answer is Answer.WAIT


# ABORT: the exhaustive test stands with the table. Here only what depends on more than the pair.


@pytest.mark.parametrize("ended", sorted(TERMINAL))
def test_a_terminal_state_is_not_left_for_itself_either(ended: StateType) -> None:
    run = bring_task_run_to(ended)

    verdict = propose(run, make(ended))

    assert verdict.answer is Answer.ABORT
    assert verdict.reason == f"it is {ended} already, which is final, and cannot become {ended}"


def test_a_run_whose_upstream_ended_badly_keeps_its_last_state() -> None:
    """NotReady is PENDING and yet the end of its run."""
    wrong: list[str] = []
    for proposed in StateType:
        run = task_run(unready=1)
        run.tell(UpstreamEnded(good=False, name="fell-001", state=Failed(), at=at(2)))
        before = everything_about(run)

        verdict = propose(run, make(proposed))

        if verdict.answer is not Answer.ABORT or everything_about(run) != before or run.orders != [SETTLE]:
            wrong.append(f"{proposed}: {verdict}, and the run went {run.trail()}")

    assert wrong == []


def test_a_run_is_not_started_from_outside_while_it_waits_for_its_upstream_runs() -> None:
    run = task_run(unready=1)

    verdict = propose(run, Running())

    assert verdict == Verdict(Answer.ABORT, None, "not all of its upstream runs have ended")
    assert run.type is StateType.PENDING


@pytest.mark.parametrize("current", sorted({*StateType} - TERMINAL - {StateType.RUNNING, StateType.PENDING}))
def test_a_task_does_not_start_while_its_flow_does_not_run(current: StateType) -> None:
    flow = bring_flow_to(current)
    run = task_run(flow)

    verdict = propose(run, Running())

    if current is StateType.PAUSED:
        assert verdict.answer is Answer.REJECT
    else:
        standing = "being stopped: enough" if current is StateType.CANCELLING else str(current)
        assert verdict == Verdict(Answer.ABORT, None, f"its flow run is {standing}")
        assert run.run_count == 0


@pytest.mark.parametrize("ended", sorted(TERMINAL))
def test_a_task_does_not_start_after_the_end_of_its_flow(ended: StateType) -> None:
    flow = bring_flow_to(ended)
    run = task_run(flow)

    assert propose(run, Running()).answer is Answer.ABORT
    assert run.ask(Admit(at(7))) is SETTLE
    assert run.type is StateType.CANCELLED


def test_a_task_does_not_start_in_a_flow_that_was_interrupted() -> None:
    flow = running_flow()
    flow.tell(Interrupt("the lights went out", at(2)))
    run = task_run(flow)

    verdict = propose(run, Running())

    assert verdict == Verdict(Answer.ABORT, None, "its flow run is being stopped: the lights went out")


def test_a_flow_that_was_interrupted_while_it_was_paused_pauses_no_task() -> None:
    flow = running_flow()
    propose(flow, Paused())
    flow.tell(Interrupt("the lights went out", at(2)))

    assert propose(task_run(flow), Running()).answer is Answer.ABORT


def test_a_run_that_is_being_cancelled_becomes_nothing_but_cancelled_or_crashed() -> None:
    accepted = {
        proposed
        for proposed in StateType
        if propose(bring_task_run_to(StateType.CANCELLING), make(proposed)).answer is Answer.ACCEPT
    }

    assert accepted == {StateType.CANCELLED, StateType.CRASHED}


# Repeated proposals.


def with_transition_id(**given: Any) -> State[Any]:
    return Scheduled(state_details={"transition_id": TRANSITION, "scheduled_time": moment(9)}, **given)


def test_a_repeated_transition_id_gives_the_state_it_set_and_makes_no_second_transition() -> None:
    events: list[Event] = []
    run = task_run(sink=events.append)
    first = propose(run, with_transition_id())
    before = everything_about(run)
    run.orders.clear()

    second = propose(run, with_transition_id(message="again"), 6)

    assert second == first
    assert everything_about(run) == before
    assert len(events) == 2
    assert run.orders == []


def test_a_repeated_transition_id_gives_its_state_also_when_the_run_has_gone_on() -> None:
    run = task_run()
    first = propose(run, with_transition_id())
    run.ask(Admit(at(9)))
    run.ask(Returned("plank", at(10)))
    before = everything_about(run)
    run.orders.clear()

    second = propose(run, with_transition_id(), 11)

    assert second == first
    assert everything_about(run) == before
    assert run.orders == []


def test_a_repeated_transition_id_makes_no_second_transition_by_force_either() -> None:
    """Found by the invariant: force passes the rules that guard the order of states, and this is none of them."""
    run = task_run()
    first = propose(run, with_transition_id(), force=True)
    before = everything_about(run)

    assert propose(run, with_transition_id(), force=True) == first
    assert everything_about(run) == before


@pytest.mark.parametrize("delays", [(), (3,)], ids=["at once", "after a delay"])
def test_a_rejected_proposal_that_is_repeated_gives_the_state_it_was_rejected_with(delays: tuple[float, ...]) -> None:
    """Found by the invariant: a FAILED sent twice was recorded as FAILED while a retry was left."""
    run = task_run(retries=2, delays=delays)
    run.tell(Admit(at(1)))
    details = {"transition_id": TRANSITION}
    first = propose(run, Failed(state_details=details), 2)
    before = everything_about(run)

    second = propose(run, Failed(state_details=details), 3)

    assert first.answer is Answer.REJECT
    assert second.state == first.state == run.state
    assert everything_about(run) == before


def test_another_transition_id_sets_another_state() -> None:
    run = task_run()
    propose(run, with_transition_id())

    propose(run, Pending(state_details={"transition_id": UUID(int=78)}))

    assert run.type is StateType.PENDING
    assert run.sequence == 2


# From outside: what else follows.


def test_a_run_that_is_started_from_outside_has_its_body_run_once() -> None:
    """Found while it stood in line: the line started the body a second time."""
    run = task_run()

    propose(run, Running())

    assert run.orders == [EXECUTE]
    assert run.ask(Admit(at(6))) is None
    assert run.run_count == 1


def test_a_run_that_is_ended_from_outside_is_settled_and_what_its_body_comes_to_is_a_dead_letter() -> None:
    run = task_run()
    run.tell(Admit(at(1)))
    run.orders.clear()

    propose(run, Completed(data="substitute"))

    assert run.orders == [SETTLE]
    assert run.ask(Returned("plank", at(6))) is None
    assert run.dead_letters == 1
    assert run.state.result() == "substitute"


def test_a_cancelling_state_from_outside_stops_the_body() -> None:
    run = task_run()
    run.tell(Admit(at(1)))
    run.orders.clear()

    propose(run, make(StateType.CANCELLING))

    assert run.orders == [STOP_ATTEMPT]
    assert run.type is StateType.CANCELLING


@pytest.mark.parametrize("current", [StateType.PENDING, StateType.SCHEDULED])
def test_a_cancelling_state_from_outside_ends_a_run_that_has_no_body(current: StateType) -> None:
    """Found by hand: the run stayed CANCELLING for ever, and so its flow did not end."""
    run = bring_task_run_to(current)

    verdict = propose(run, make(StateType.CANCELLING, message="enough"))

    assert verdict.answer is Answer.ACCEPT
    assert run.orders == [SETTLE]
    assert str(run.state) == "Cancelled('enough')"


def test_a_run_that_is_scheduled_from_outside_is_woken_at_its_time() -> None:
    run = task_run()

    propose(run, Scheduled(scheduled_time=moment(9)))

    (order,) = run.orders
    assert isinstance(order, WakeAt)
    assert order.at == at(9)


def test_beside_a_body_that_runs_no_other_is_started_from_outside() -> None:
    run = task_run(retries=3)
    run.tell(Admit(at(1)))
    run.orders.clear()

    propose(run, Running())
    propose(run, Failed())
    propose(run, Paused())
    propose(run, Running())

    assert run.orders == []


def test_a_body_that_runs_while_its_run_is_paused_ends_the_run() -> None:
    """Found by hand: its result was dropped, and the run stayed PAUSED for ever."""
    run = bring_task_run_to(StateType.PAUSED)

    order = run.ask(Returned("plank", at(6)))

    assert order is SETTLE
    assert run.state.result() == "plank"


def test_a_body_that_runs_while_its_run_is_paused_is_stopped_by_a_cancellation() -> None:
    run = bring_task_run_to(StateType.PAUSED)

    assert run.ask(Cancel("enough", at(6))) is STOP_ATTEMPT
    assert run.ask(Stopped(Crashed(), at(7), interrupted=True)) is SETTLE
    assert run.type is StateType.CANCELLED


def test_a_reply_is_not_asked_for() -> None:
    run = task_run()

    run.tell(Propose(Scheduled(scheduled_time=moment(9)), at(5)))

    assert run.type is StateType.SCHEDULED


def test_who_was_told_of_an_end_is_not_told_again_when_the_run_is_forced_out_of_it() -> None:
    run = bring_task_run_to(StateType.COMPLETED)
    ended = run.ended

    propose(run, Running(), 6, force=True)
    run.ask(Returned("other plank", at(7)))
    propose(run, Failed(), 8, force=True)

    assert run.orders == []
    assert run.ended == ended
    assert [state.name for state in run.history()] == ["Pending", "Running", "Completed", "Running", "Failed"]
    assert run.history()[2].result() == "plank"


# Going in circles.


def test_a_run_that_goes_in_circles_accepts_nothing_but_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.actors.run.TRANSITION_CAP", 50)
    run = task_run()
    for _ in range(25):
        assert propose(run, Scheduled(scheduled_time=moment(1))).answer is Answer.ACCEPT
        assert propose(run, Pending()).answer is Answer.ACCEPT

    verdict = propose(run, Scheduled(scheduled_time=moment(1)))

    assert verdict == Verdict(Answer.ABORT, None, "it has changed its state 50 times and goes in circles")
    assert run.sequence == 50
    assert propose(run, Completed()).answer is Answer.ACCEPT


def test_a_body_that_asks_again_and_again_to_be_scheduled_fails_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.actors.run.TRANSITION_CAP", 50)
    run = task_run()
    attempts = 0
    while not run.done:
        attempts += 1
        assert attempts < 100, "it goes on for ever"
        assert run.ask(Admit(at(2))) is EXECUTE
        run.tell(Returned(Scheduled(scheduled_time=moment(1)), at(2)))

    assert run.type is StateType.FAILED
    assert run.state.message is not None
    assert run.state.message.startswith("The task returned Scheduled(), and it has changed its state 50 times")
    assert run.sequence <= 52


def test_retries_without_end_have_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "TRANSITION_CAP", 50)
    run = task_run(retries=10**9)
    run.tell(Admit(at(1)))
    attempts = 0
    while not run.done:
        attempts += 1
        assert attempts < 100, "it goes on for ever"
        run.tell(Stopped(Failed(), at(1)))

    assert run.type is StateType.FAILED
    assert run.sequence == 51


def test_retries_of_a_flow_without_end_have_one_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rules, "TRANSITION_CAP", 50)
    flow = pending_flow()
    flow.retry = RetryPolicy(retries=10**9)
    flow.ask(Admit(at(1)))
    attempts = 0
    while not flow.done:
        attempts += 1
        assert attempts < 100, "it goes on for ever"
        flow.tell(Raised(ValueError("knot"), at(1)))

    assert flow.type is StateType.FAILED
    assert flow.sequence == 51


# The order and the choice of the rules.


def test_rules_are_picked_by_pair_and_stay_in_their_order() -> None:
    for ordered in (TASK_RULES, FLOW_RULES):
        positions = {rule.decide: index for index, rule in enumerate(ordered)}
        for by_proposed in pick(ordered, detailed=True).values():
            for decides in by_proposed.values():
                places = [positions[decide] for decide in decides]
                assert places == sorted(places)


def test_no_rule_is_picked_that_cannot_have_an_answer() -> None:
    picked = pick(TASK_RULES, detailed=False)

    for current, by_proposed in picked.items():
        for proposed, decides in by_proposed.items():
            assert (follow_the_table in decides) is not possible(current, proposed)
    assert len(picked[StateType.PENDING][StateType.RUNNING]) == 1
    assert picked[StateType.RUNNING][StateType.COMPLETED] == ()


def test_details_alone_bring_in_the_rule_about_repetitions() -> None:
    plain, detailed = pick(FLOW_RULES, detailed=False), pick(FLOW_RULES, detailed=True)

    assert {
        (current, proposed): decides
        for current, by_proposed in detailed.items()
        for proposed, decides in by_proposed.items()
    } == {
        (current, proposed): (rules.answer_a_repeated_proposal_as_before, *decides)
        for current, by_proposed in plain.items()
        for proposed, decides in by_proposed.items()
    }


def test_a_delay_is_counted_from_the_time_of_the_proposal() -> None:
    run = task_run(retries=1, delays=(0.25,))
    run.tell(Admit(at(1)))

    verdict = propose(run, Failed(), 2.5)

    assert verdict.state is not None
    assert verdict.state.state_details.scheduled_time == moment(2.5) + timedelta(seconds=0.25)


# Retries, beside what an attempt's end makes of them.


@pytest.mark.parametrize(("state", "answer"), [(Failed(), Answer.REJECT), (Failed(name="TimedOut"), Answer.REJECT)])
def test_a_failure_of_any_name_is_tried_again(state: State[Any], answer: Answer) -> None:
    run = task_run(retries=1)
    run.tell(Admit(at(1)))

    assert propose(run, state).answer is answer


@pytest.mark.parametrize("kind", sorted(TERMINAL - {StateType.FAILED}))
def test_no_other_end_than_a_failure_is_tried_again(kind: StateType) -> None:
    run = task_run(retries=3)
    run.tell(Admit(at(1)))

    assert propose(run, make(kind)).answer is Answer.ACCEPT
    assert run.type is kind


def test_a_run_that_fails_before_it_runs_is_not_tried_again() -> None:
    run = task_run(retries=3)

    assert propose(run, Failed()).answer is Answer.ACCEPT


def test_a_forced_failure_is_one_whatever_retries_are_left() -> None:
    run = task_run(retries=3)
    run.tell(Admit(at(1)))

    assert propose(run, Failed(), force=True).answer is Answer.ACCEPT
    assert run.type is StateType.FAILED


def test_the_message_of_a_retry_counts_and_says_what_it_follows() -> None:
    run = task_run(retries=2)
    run.tell(Admit(at(1)))
    said: list[str | None] = []
    for number in (1, 2):
        run.tell(Raised(ValueError(f"knot {number}"), at(2)))
        said.append(run.state.message)

    assert said == [
        "Retry 1 of 2, after Failed('ValueError: knot 1').",
        "Retry 2 of 2, after Failed('ValueError: knot 2').",
    ]


# What lies in the cache.


def found(data: Any, expires: datetime | None = None, **details: Any) -> State[Any]:
    """The RUNNING state that says what was found for a run."""
    return Running(data=Found(data, expires), state_details=details)


@pytest.mark.parametrize("data", ["plank", None, 0, [Failed()], ValueError("kept")], ids=repr)
def test_a_run_whose_result_is_in_the_cache_is_completed_with_it_and_never_runs(data: Any) -> None:
    run = task_run()

    assert run.ask(Admit(at(1), found(data))) is SETTLE
    assert (run.type, run.state.name, run.done) == (StateType.COMPLETED, "Cached", True)
    assert run.state.data is data
    assert (run.run_count, run.started, run.ended) == (0, 0, at(1))


def test_a_cached_state_knows_its_key_and_for_how_long_it_counts() -> None:
    run = task_run()
    run.ask(Admit(at(1), found("plank", moment(60), cache_key="oak", transition_id=TRANSITION)))

    details = run.state.state_details
    assert (details.cache_key, details.cache_expiration, details.transition_id) == ("oak", moment(60), TRANSITION)


def test_a_run_that_found_nothing_runs_and_its_state_says_under_which_key() -> None:
    run = task_run()

    assert run.ask(Admit(at(1), Running(state_details={"cache_key": "oak"}))) is EXECUTE
    assert (run.state.name, run.state.state_details.cache_key, run.run_count) == ("Running", "oak", 1)


def test_what_was_found_is_given_also_where_another_attempt_was_to_follow() -> None:
    run = task_run(retries=1, delays=(3,))
    run.tell(Admit(at(1)))
    run.tell(Raised(ValueError(), at(2)))

    assert run.ask(Admit(at(5), found("plank", cache_key="oak"))) is SETTLE
    assert [state.name for state in run.history()] == ["Pending", "Running", "AwaitingRetry", "Cached"]


def test_what_was_found_does_not_pass_by_the_flow() -> None:
    flow = running_flow()
    flow.tell(Cancel("enough", at(1)))
    run = task_run(flow)

    assert run.ask(Admit(at(2), found("plank", cache_key="oak"))) is SETTLE
    assert run.type is StateType.CANCELLED


def test_what_was_found_comes_not_before_its_time() -> None:
    run = task_run()
    propose(run, Scheduled(scheduled_time=moment(9)), 1)

    assert isinstance(run.ask(Admit(at(5), found("plank", cache_key="oak"))), WakeAt)
    assert run.type is StateType.SCHEDULED
