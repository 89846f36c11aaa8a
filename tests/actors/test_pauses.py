"""What a flow run's supervisor and its task runs decide when the run is paused or suspended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from millrace.actors.errors import FlowPauseTimeout, FlowRunTimeoutError, Pause, RestartLimitExceeded
from millrace.actors.events import Event, Journal
from millrace.actors.instructions import (
    END_WAITING,
    EXECUTE,
    LET_GO,
    PARK,
    RUN_AGAIN,
    SETTLE,
    STOP_CHILDREN,
    GoOn,
    Instruction,
    Order,
    WakeAt,
)
from millrace.actors.mailbox import Message
from millrace.actors.messages import (
    Admit,
    Cancel,
    ChildEnded,
    Expired,
    Interrupt,
    Lapsed,
    Leave,
    Made,
    Propose,
    Raised,
    Resume,
    Returned,
    Spawned,
    Stopped,
    TakeUp,
)
from millrace.actors.outcomes import pause_in
from millrace.actors.policies import RetryPolicy
from millrace.actors.run import RunActor
from millrace.actors.states import (
    Cancelling,
    Crashed,
    Failed,
    Paused,
    Pending,
    Running,
    Scheduled,
    State,
    StateType,
    Suspended,
)
from millrace.actors.verdicts import Answer
from tests.actors.runs import (
    FLOW_ID,
    Flow,
    TaskRun,
    at,
    check_chain,
    child_of,
    moment,
    pending_flow,
    propose,
    running_flow,
    task_run,
)

LATE = FlowPauseTimeout("brook", 60)


def paused_flow(state: State[Any] | None = None, **options: Any) -> Flow:
    """A flow run that has been paused, or suspended, in second 1."""
    flow = running_flow(**options)
    assert propose(flow, state or Paused(), 1).answer is Answer.ACCEPT
    flow.orders.clear()
    return flow


def suspended_flow(**options: Any) -> Flow:
    """A flow run that has been suspended in second 1; its body has not ended."""
    return paused_flow(Suspended(), **options)


def let_go_flow(**options: Any) -> Flow:
    """A flow run that was suspended, and whose body has ended for now."""
    flow = suspended_flow(**options)
    assert flow.ask(Raised(Pause(), at(2))) is LET_GO
    return flow


def names(run: RunActor) -> list[str]:
    return [state.name for state in run.history()]


def resume(flow: Flow, seconds: float = 3) -> Any:
    return flow.ask(Resume(flow.state.id, at(seconds)))


def lapse(flow: Flow, seconds: float = 61) -> Any:
    return flow.ask(Lapsed(flow.state.id, LATE, at(seconds)))


# Going on.


def test_resumed_a_run_is_running_again_in_the_same_attempt() -> None:
    flow = paused_flow()
    paused = flow.state.id

    order = resume(flow)

    assert isinstance(order, GoOn)
    assert order.paused == paused
    assert names(flow) == ["Pending", "Running", "Paused", "Running"]
    assert flow.run_count == 1
    assert flow.admits


def test_it_is_resumed_once() -> None:
    flow = paused_flow()
    message = Resume(flow.state.id, at(3))
    assert flow.ask(message) is not None
    assert flow.ask(message) is None
    assert flow.sequence == 3


def test_what_was_meant_for_an_earlier_pause_does_not_end_a_later_one() -> None:
    flow = paused_flow()
    late = Resume(flow.state.id, at(4)), Lapsed(flow.state.id, LATE, at(61))
    resume(flow)
    propose(flow, Paused(), 4)
    for message in late:
        assert flow.ask(message) is None
    assert flow.paused


@pytest.mark.parametrize(
    "stop", [Interrupt("why", at(2)), Cancel("why", at(2)), Lapsed], ids=["interrupt", "cancel", ""]
)
def test_one_that_is_being_stopped_is_not_resumed(stop: Any) -> None:
    flow = paused_flow()
    state = flow.state
    assert flow.ask(Lapsed(state.id, LATE, at(2)) if stop is Lapsed else stop) is STOP_CHILDREN
    assert flow.ask(Resume(state.id, at(3))) is None
    assert flow.ask(Lapsed(state.id, LATE, at(61))) is None
    assert flow.type is not StateType.RUNNING
    assert not flow.admits


@pytest.mark.parametrize("state", [Running(), Scheduled(), Pending()], ids=str)
def test_whoever_proposes_another_state_ends_the_pause_too(state: State[Any]) -> None:
    flow = paused_flow()
    paused = flow.state.id
    assert propose(flow, state, 3).answer is Answer.ACCEPT
    (order,) = flow.orders
    assert isinstance(order, GoOn)
    assert order.paused == paused
    assert flow.run_count == 1


def test_the_events_of_a_run_that_was_paused_and_suspended_form_a_chain() -> None:
    events: list[Event] = []
    flow = paused_flow(sink=events.append)
    resume(flow)
    propose(flow, Suspended(), 4)
    flow.ask(Raised(Pause(), at(5)))
    resume(flow, 6)
    flow.ask(Admit(at(7)))
    flow.ask(Returned(1, at(8)))
    check_chain(flow, events)
    assert names(flow)[4:] == ["Suspended", "Resuming", "Running", "Completed"]
    assert [event.cause for event in events][3:7] == ["resumed", "proposed", "resumed", "admitted"]


# Its time.


@pytest.mark.parametrize(
    "outcome",
    [
        Returned(5, at(62)),
        Raised(LATE, at(62)),
        Raised(ValueError(), at(62)),
        Raised(KeyError(), at(62), cancelled=True),
    ],
    ids=["returned", "late", "failed", "cancelled"],
)
def test_a_run_whose_time_was_over_has_failed_whatever_its_body_comes_to(outcome: Any) -> None:
    flow = paused_flow()
    flow.retry = RetryPolicy(3)

    assert lapse(flow) is STOP_CHILDREN
    assert flow.ask(outcome) is SETTLE

    assert flow.state.name == "Failed"
    assert flow.state.data is LATE
    assert flow.run_count == 1


def test_nothing_starts_in_a_run_whose_time_is_over() -> None:
    flow = paused_flow()
    run = child_of(flow)
    assert run.ask(Admit(at(2))) is PARK
    lapse(flow)
    assert run.ask(Admit(at(62))) is SETTLE
    assert run.state.message == (
        "It never started: its flow run is being stopped: it was paused and not resumed within 60 seconds."
    )


def test_a_crash_is_one_all_the_same() -> None:
    flow = paused_flow()
    lapse(flow)
    flow.ask(Raised(KeyboardInterrupt(), at(62)))
    assert flow.state.is_crashed()


def test_a_cancellation_comes_before_the_end_of_its_time() -> None:
    flow = paused_flow()
    lapse(flow)
    flow.ask(Cancel("enough", at(62)))
    flow.ask(Raised(LATE, at(63)))
    assert flow.state.is_cancelled()


def test_the_time_of_an_attempt_that_is_over_means_nothing_to_the_next_one() -> None:
    flow = running_flow()
    flow.retry = RetryPolicy(1)
    assert flow.ask(Raised(ValueError(), at(2))) is EXECUTE

    assert flow.ask(Expired(5, at(6), 1, stops=True)) is None
    assert (flow.stopping, flow.admits) == ("", True)
    assert flow.ask(Expired(5, at(7), 2, stops=True)) is STOP_CHILDREN


def test_the_flows_own_time_goes_on_in_a_pause_and_not_between_two_bodies() -> None:
    flow = paused_flow()
    assert flow.ask(Expired(5, at(6), 1, stops=True)) is STOP_CHILDREN
    flow.ask(Raised(ValueError(), at(7)))
    assert isinstance(flow.state.data, FlowRunTimeoutError)

    flow = let_go_flow()
    assert flow.ask(Expired(5, at(6), 1, stops=True)) is None
    assert not flow.stopping


# Suspending.


def test_suspended_a_run_has_no_children_that_wait_for_another_attempt() -> None:
    flow = running_flow()
    propose(flow, Suspended(), 1)
    assert flow.orders == [END_WAITING]
    assert flow.suspends
    assert not flow.let_go


@pytest.mark.parametrize(
    "error",
    [
        Pause(),
        BaseExceptionGroup("tasks", [Pause()]),
        BaseExceptionGroup("tasks", [ValueError(), BaseExceptionGroup("more", [KeyError(), Pause()])]),
    ],
    ids=["alone", "in a group", "deep in a group"],
)
def test_a_body_that_ends_by_a_pause_is_let_go_and_runs_again_when_it_is_resumed(error: BaseException) -> None:
    flow = suspended_flow()
    assert isinstance(pause_in(error), Pause)

    assert flow.ask(Raised(error, at(2))) is LET_GO
    assert flow.let_go
    assert not flow.ended
    assert resume(flow) is RUN_AGAIN
    assert not flow.let_go
    assert flow.type is StateType.SCHEDULED
    assert flow.ask(Admit(at(4))) is EXECUTE

    assert names(flow) == ["Pending", "Running", "Suspended", "Resuming", "Running"]
    assert (flow.run_count, flow.resumptions) == (1, 1)
    assert flow.admits


def test_a_suspension_uses_up_no_retry() -> None:
    flow = let_go_flow()
    flow.retry = RetryPolicy(1)
    resume(flow)
    flow.ask(Admit(at(4)))
    assert flow.ask(Raised(ValueError(), at(5))) is EXECUTE
    assert flow.ask(Raised(ValueError(), at(6))) is SETTLE
    assert names(flow)[3:] == ["Resuming", "Running", "Retrying", "Failed"]
    assert flow.run_count == 2


def test_resumed_before_its_body_has_ended_it_is_not_suspended_any_more() -> None:
    flow = suspended_flow()
    assert isinstance(resume(flow), GoOn)
    assert flow.ask(Returned("done", at(4))) is SETTLE
    assert flow.state.is_completed()


def test_a_body_that_has_ended_by_a_pause_before_it_was_resumed_runs_again_at_once() -> None:
    flow = suspended_flow()
    resume(flow)
    assert flow.ask(Raised(Pause(), at(4))) is EXECUTE
    assert flow.type is StateType.RUNNING
    assert flow.run_count == 1
    assert flow.ask(Raised(Pause(), at(5))) is SETTLE  # nothing has suspended this one
    assert flow.state.is_crashed()


@pytest.mark.parametrize("kind", [running_flow, paused_flow])
def test_a_pause_that_no_suspension_has_made_is_a_crash(kind: Any) -> None:
    flow = kind()
    assert flow.ask(Raised(Pause(), at(2))) is SETTLE
    assert flow.state.is_crashed()


@pytest.mark.parametrize("outcome", [Returned(5, at(2)), Raised(ValueError(), at(2))], ids=["returned", "failed"])
def test_a_body_that_ends_by_itself_ends_its_run(outcome: Any) -> None:
    flow = suspended_flow()
    assert flow.ask(outcome) is SETTLE
    assert flow.type in {StateType.COMPLETED, StateType.FAILED}


def test_suspended_again_it_is_let_go_again() -> None:
    flow = let_go_flow()
    resume(flow)
    flow.ask(Admit(at(4)))
    propose(flow, Suspended(), 5)
    assert flow.ask(Raised(Pause(), at(6))) is LET_GO
    assert flow.resumptions == 2


# Its children.


def test_a_run_that_has_not_begun_ends_when_its_flow_is_suspended() -> None:
    flow = suspended_flow()
    run = child_of(flow)
    assert run.ask(Admit(at(2))) is SETTLE
    assert names(run) == ["Pending", "Cancelled"]
    assert isinstance(run.state.data, Pause)
    with pytest.raises(Pause):
        run.state.result()


def test_a_run_that_was_parked_in_a_pause_ends_when_its_flow_is_suspended_later() -> None:
    flow = paused_flow()
    run = child_of(flow)
    assert run.ask(Admit(at(2))) is PARK
    resume(flow)
    propose(flow, Suspended(), 4)
    assert run.ask(Admit(at(5))) is SETTLE
    assert names(run) == ["Pending", "Paused", "Cancelled"]


@pytest.mark.parametrize("error", [Pause(), BaseExceptionGroup("tasks", [Pause()])], ids=["alone", "in a group"])
def test_a_run_whose_body_was_ended_by_the_suspension_is_cancelled(error: BaseException) -> None:
    flow = running_flow()
    run = child_of(flow)
    run.ask(Admit(at(0)))
    propose(flow, Suspended(), 1)
    assert run.ask(Raised(error, at(2))) is SETTLE
    assert run.type is StateType.CANCELLED
    assert isinstance(run.state.data, Pause)


def test_a_pause_in_a_run_that_no_suspension_has_made_is_a_crash() -> None:
    run = task_run(running_flow())
    run.ask(Admit(at(0)))
    assert run.ask(Raised(Pause(), at(2))) is SETTLE
    assert run.state.is_crashed()


def test_a_retry_that_will_not_be_made_is_waited_for_by_nobody() -> None:
    flow = running_flow()
    run = task_run(flow, retries=1, delays=(3600,))
    run.ask(Admit(at(0)))
    propose(flow, Suspended(), 1)
    order = run.ask(Raised(ValueError(), at(2)))
    assert isinstance(order, WakeAt)
    assert order.at == at(2)
    assert run.ask(Admit(at(2))) is SETTLE
    assert names(run) == ["Pending", "Running", "AwaitingRetry", "Cancelled"]


def put_off(flow: Flow) -> TaskRun:
    """A child that never ran because of the suspension."""
    run = child_of(flow)
    run.ask(Admit(at(2)))
    flow.tell(ChildEnded(run))
    return run


@pytest.mark.parametrize(
    "outcome",
    [Returned([Crashed()], at(4)), Raised(ValueError(), at(4)), Raised(Pause(), at(4))],
    ids=["returned", "failed", "paused"],
)
@pytest.mark.parametrize(("meanwhile", "order"), [("nothing", LET_GO), ("resumed", EXECUTE)])
def test_a_body_runs_again_if_something_that_it_has_started_never_ran(
    outcome: Any, meanwhile: str, order: Instruction
) -> None:
    flow = suspended_flow()
    put_off(flow)
    if meanwhile == "resumed":
        resume(flow)
    assert flow.ask(outcome) is order
    assert not flow.ended


def test_but_not_if_it_was_interrupted() -> None:
    flow = suspended_flow()
    put_off(flow)
    flow.ask(Raised(KeyboardInterrupt(), at(4)))
    assert flow.state.is_crashed()


def test_what_never_ran_is_not_remembered_in_the_next_body() -> None:
    flow = suspended_flow()
    put_off(flow)
    flow.ask(Returned(1, at(4)))
    resume(flow)
    flow.ask(Admit(at(5)))
    assert flow.ask(Returned(2, at(6))) is SETTLE
    assert flow.state.data == 2


# The end of a run that nobody sees through.


def test_one_that_was_let_go_is_cancelled_at_once() -> None:
    flow = let_go_flow()
    assert flow.ask(Cancel("enough", at(3))) is SETTLE
    assert names(flow) == ["Pending", "Running", "Suspended", "Cancelling", "Cancelled"]
    assert flow.state.message == "enough"
    assert flow.ended


def test_one_that_was_let_go_fails_at_once_when_its_time_is_over() -> None:
    flow = let_go_flow()
    flow.retry = RetryPolicy(3)
    assert lapse(flow) is SETTLE
    assert flow.state.data is LATE
    assert flow.ended


def test_one_that_was_let_go_is_given_up_at_once() -> None:
    flow = let_go_flow()
    assert flow.ask(Stopped(Crashed(), at(3))) is SETTLE
    assert flow.state.is_crashed()


@pytest.mark.parametrize("state", [Running(), Pending(), Paused(), Suspended(), Failed()], ids=lambda state: state.name)
def test_one_that_was_let_go_takes_no_other_state_from_outside_not_even_by_force(state: State[Any]) -> None:
    flow = let_go_flow()
    before = flow.state
    for force in (False, True):
        assert propose(flow, state, 3, force=force).answer is Answer.ABORT
    assert flow.state == before
    assert flow.let_go


def test_one_that_was_let_go_may_be_proposed_to_be_cancelled() -> None:
    flow = let_go_flow()
    assert flow.ask(Propose(Cancelling(message="enough"), at(3))) is SETTLE
    assert str(flow.state) == "Cancelled('enough')"


def test_one_that_is_about_to_run_again_is_cancelled_when_it_asks_for_that() -> None:
    flow = let_go_flow()
    resume(flow)
    assert flow.ask(Cancel("enough", at(4))) is STOP_CHILDREN
    assert flow.ask(Admit(at(5))) is None
    flow.ask(Raised(KeyError(), at(6), cancelled=True))
    assert flow.state.is_cancelled()


def test_a_body_that_ends_by_a_pause_in_a_run_that_is_cancelled_ends_that() -> None:
    flow = suspended_flow()
    flow.ask(Cancel("enough", at(2)))
    assert flow.ask(Raised(Pause(), at(3))) is SETTLE
    assert flow.state.is_cancelled()


def test_a_body_that_ends_by_a_pause_in_a_run_whose_time_is_over_fails_that() -> None:
    flow = suspended_flow()
    lapse(flow)
    assert flow.ask(Raised(Pause(), at(62))) is SETTLE
    assert flow.state.data is LATE


def test_a_body_that_ends_by_a_pause_in_a_run_with_too_many_crashes_fails_that() -> None:
    flow = suspended_flow()
    flow.escalated = RestartLimitExceeded("carve-001", 0, 60, "Crashed()")
    flow.stopping = "too many"
    assert flow.ask(Raised(Pause(), at(3))) is SETTLE
    assert flow.state.data is flow.escalated


# Subflows.


def subflow_of(flow: Flow, *, retries: int = 0, delays: tuple[float, ...] = ()) -> Flow:
    """A flow run that was started in another one and has not begun."""
    inner = Flow(FLOW_ID + 1, at(0), Journal(None), "rill")
    inner.around = flow
    inner.retry = RetryPolicy(retries, delays)
    flow.tell(Spawned(1, (inner,)))
    return inner


def held_subflow(flow: Flow) -> Flow:
    """One that has asked for admission in second 2, while the flow run around it was paused."""
    inner = subflow_of(flow)
    assert inner.ask(Admit(at(2))) is PARK
    return inner


def test_a_subflow_of_a_paused_flow_is_paused_instead_of_begun_and_begins_when_that_goes_on() -> None:
    flow = paused_flow()
    inner = held_subflow(flow)
    assert names(inner) == ["Pending", "Paused"]
    assert (inner.attempting, inner.run_count, inner.started) == (False, 0, 0)

    resume(flow)

    assert inner.ask(Admit(at(4))) is EXECUTE
    assert names(inner) == ["Pending", "Paused", "Running"]
    assert (inner.attempting, inner.run_count, inner.started) == (True, 1, at(4))
    assert inner.admits


def test_a_subflow_that_asks_again_too_early_goes_on_waiting() -> None:
    flow = paused_flow()
    inner = held_subflow(flow)
    assert inner.ask(Admit(at(3))) is PARK
    assert inner.type is StateType.PAUSED


def test_a_subflow_is_admitted_once_however_often_it_asks() -> None:
    inner = subflow_of(running_flow())
    assert inner.ask(Admit(at(1))) is EXECUTE
    assert inner.ask(Admit(at(1))) is None
    assert inner.run_count == 1


def test_a_subflow_of_a_flow_that_runs_begins_although_one_further_out_is_paused() -> None:
    outermost = paused_flow()
    flow = running_flow()
    flow.around = outermost
    assert subflow_of(flow).ask(Admit(at(2))) is EXECUTE


def test_a_subflow_that_waits_for_the_end_of_a_pause_is_not_resumed_by_itself() -> None:
    inner = held_subflow(paused_flow())
    paused = inner.state.id
    assert not inner.paused
    assert inner.ask(Resume(paused, at(3))) is None
    assert inner.ask(Lapsed(paused, LATE, at(61))) is None
    for force in (False, True):
        verdict = propose(inner, Running(), 3, force=force)
        assert verdict.answer is Answer.ABORT
        assert "resume that" in verdict.reason
    assert names(inner) == ["Pending", "Paused"]
    assert inner.state.id == paused


def test_a_subflow_that_waits_for_the_end_of_a_pause_is_cancelled_and_never_begins() -> None:
    flow = paused_flow()
    inner = held_subflow(flow)
    assert inner.ask(Cancel("enough", at(3))) is STOP_CHILDREN
    resume(flow)
    assert inner.ask(Admit(at(4))) is None
    assert inner.ask(Raised(asyncio.CancelledError(), at(5), cancelled=True)) is SETTLE
    assert names(inner) == ["Pending", "Paused", "Cancelling", "Cancelled"]


def test_a_subflow_that_waits_for_the_end_of_a_pause_admits_nothing() -> None:
    inner = held_subflow(paused_flow())
    stray = child_of(inner)
    assert stray.ask(Admit(at(3))) is SETTLE
    assert stray.state.message == "It never started: its flow run is PAUSED."


def test_a_retry_of_a_subflow_waits_for_the_end_of_a_pause() -> None:
    flow = running_flow()
    inner = subflow_of(flow, retries=1)
    inner.ask(Admit(at(0)))
    propose(flow, Paused(), 1)

    order = inner.ask(Raised(ValueError(), at(2)))
    assert isinstance(order, WakeAt)
    assert order.at == at(2)
    assert inner.ask(Admit(at(2))) is PARK
    resume(flow)
    assert inner.ask(Admit(at(4))) is EXECUTE
    assert names(inner) == ["Pending", "Running", "AwaitingRetry", "Paused", "Running"]
    assert inner.run_count == 2


def test_a_subflow_that_has_not_begun_ends_when_the_flow_around_it_is_suspended() -> None:
    flow = suspended_flow()
    inner = subflow_of(flow)
    assert inner.ask(Admit(at(2))) is SETTLE
    assert names(inner) == ["Pending", "Cancelled"]
    with pytest.raises(Pause):
        inner.state.result()
    assert inner.ask(Admit(at(3))) is None

    flow.tell(ChildEnded(inner))
    assert flow.ask(Returned(None, at(4))) is LET_GO  # what it has put off is done when it runs again


def test_a_retry_of_a_subflow_that_will_not_be_made_is_waited_for_by_nobody() -> None:
    flow = running_flow()
    inner = subflow_of(flow, retries=1, delays=(3600,))
    inner.ask(Admit(at(0)))
    propose(flow, Suspended(), 1)
    order = inner.ask(Raised(ValueError(), at(2)))
    assert isinstance(order, WakeAt)
    assert order.at == at(2)
    assert inner.ask(Admit(at(2))) is SETTLE
    assert inner.type is StateType.CANCELLED


def test_a_subflow_that_waits_for_its_retry_does_not_wait_in_a_flow_that_is_suspended() -> None:
    flow = running_flow()
    inner = subflow_of(flow, retries=1, delays=(3600,))
    inner.ask(Admit(at(0)))
    order = inner.ask(Raised(ValueError(), at(1)))
    assert isinstance(order, WakeAt)
    assert order.at == at(3601)
    propose(flow, Suspended(), 2)
    assert inner.ask(Admit(at(3))) is SETTLE
    assert inner.type is StateType.CANCELLED


def test_in_a_flow_that_is_paused_it_waits_for_its_time() -> None:
    flow = running_flow()
    inner = subflow_of(flow, retries=1, delays=(3600,))
    inner.ask(Admit(at(0)))
    inner.ask(Raised(ValueError(), at(1)))
    propose(flow, Paused(), 2)
    order = inner.ask(Admit(at(3)))
    assert isinstance(order, WakeAt)
    assert order.at == at(3601)


def made_ahead() -> Flow:
    """A flow run that was made ahead, in second 0 for second 60."""
    flow = pending_flow()
    flow.tell(Made(at(0), Scheduled(scheduled_time=moment(60), state_details={"deferred": True})))
    return flow


def taken(flow: Flow) -> bool:
    """Whether somebody who comes to execute it may."""
    answers: list[bool] = []
    assert flow.ask(TakeUp(answers.append, at(1))) is None
    (answer,) = answers
    return answer


def test_one_that_was_made_ahead_is_executed_by_the_first_who_comes_and_not_before_its_time() -> None:
    flow = made_ahead()
    assert names(flow) == ["Pending", "Scheduled"]
    assert flow.let_go
    assert [taken(flow), taken(flow)] == [True, False]
    assert not flow.let_go
    order = flow.ask(Admit(at(1)))
    assert isinstance(order, WakeAt)
    assert order.at == at(60)
    assert flow.ask(Admit(at(60))) is EXECUTE
    assert (names(flow), flow.run_count) == (["Pending", "Scheduled", "Running"], 1)
    assert flow.expected_start_time == moment(60)


@pytest.mark.parametrize("message", [Cancel("enough", at(1)), Leave()], ids=["cancelled", "left"])
def test_one_that_was_cancelled_or_left_to_others_is_executed_by_nobody(message: Message) -> None:
    flow = made_ahead()
    assert flow.ask(message) is not None
    assert not taken(flow)


def test_one_that_nobody_has_made_ahead_is_taken_by_nobody() -> None:
    assert not taken(pending_flow())
    assert not taken(running_flow())


@pytest.mark.parametrize("ended", [False, True], ids=["being stopped", "ended"])
def test_a_subflow_of_a_flow_that_does_not_run_any_more_never_begins(*, ended: bool) -> None:
    flow = running_flow()
    flow.ask(Returned(1, at(1)) if ended else Interrupt("why", at(1)))
    inner = subflow_of(flow)
    assert inner.ask(Admit(at(2))) is SETTLE
    standing = "COMPLETED" if ended else "being stopped: why"
    assert (inner.type, inner.state.message) == (
        StateType.CANCELLED,
        f"It never started: its flow run is {standing}.",
    )


def test_a_subflow_that_was_paused_by_itself_goes_on_although_the_flow_around_it_is_paused() -> None:
    flow = running_flow()
    resumed, proposed = subflow_of(flow), subflow_of(flow)
    for inner in (resumed, proposed):
        inner.ask(Admit(at(0)))
        propose(inner, Paused(), 1)
    propose(flow, Paused(), 1)
    assert isinstance(resume(resumed), GoOn)
    assert propose(proposed, Running(), 3).answer is Answer.ACCEPT
    assert resumed.run_count == proposed.run_count == 1


def test_a_flow_that_nothing_is_around_begins_by_itself() -> None:
    assert pending_flow().ask(Admit(at(0))) is EXECUTE


# Of two threads one looks at the flow run while the other has its turn.


def test_whoever_is_told_of_a_pause_finds_that_nothing_is_admitted_any_more() -> None:
    told: list[tuple[StateType, Order | None]] = []

    def hear(event: Event) -> None:
        told.append((event.state.type, task_run(flow, number=len(told) + 1).ask(Admit(at(9)))))

    flow = running_flow()
    flow.journal.sink = hear
    propose(flow, Paused())

    assert told == [(StateType.PAUSED, PARK)]


@pytest.mark.parametrize("how", ["resumed", "set to RUNNING"])
def test_a_task_that_comes_as_its_flow_run_goes_on_is_not_ended(how: str) -> None:
    told: list[tuple[StateType, Order | None]] = []

    def hear(event: Event) -> None:
        told.append((event.state.type, task_run(flow, number=len(told) + 1).ask(Admit(at(9)))))

    flow = running_flow()
    propose(flow, Paused())
    flow.journal.sink = hear
    if how == "resumed":
        flow.tell(Resume(flow.state.id, at(8)))
    else:
        propose(flow, Running())

    assert told == [(StateType.RUNNING, EXECUTE)]


def test_a_task_that_fails_as_its_flow_run_goes_on_is_tried_again() -> None:
    told: list[Order | None] = []

    flow = running_flow()
    run = task_run(flow, retries=1, delays=(60,))
    run.ask(Admit(at(1)))
    propose(flow, Paused())
    flow.journal.sink = lambda _event: told.append(run.ask(Raised(ValueError(), at(8), attempt=1)))
    flow.tell(Resume(flow.state.id, at(8)))

    assert isinstance(told[0], WakeAt)
    assert run.state.name == "AwaitingRetry"
