"""What a run remembers: the ordinary way costs hardly anything, and is told in full all the same."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

import pytest

from millrace.actors.events import Event
from millrace.actors.mailbox import Message
from millrace.actors.messages import Admit, Cancel, Propose, Raised, Returned, Stopped
from millrace.actors.run import NOT_READY, RunActor, is_final
from millrace.actors.state_details import RETRYING
from millrace.actors.states import TERMINAL, Completed, Failed, Pending, Scheduled, State, StateType
from tests.actors.runs import (
    at,
    bring_flow_to,
    bring_task_run_to,
    make,
    moment,
    pending_flow,
    propose,
    running_flow,
    task_run,
)

pytestmark = pytest.mark.usefixtures("surroundings")

RUNS = pytest.mark.parametrize("bring", [bring_task_run_to, bring_flow_to], ids=["task run", "flow run"])
Bring = Callable[[StateType, Callable[[Event], None]], RunActor]


def states_held_by(run: RunActor) -> int:
    return sum(isinstance(held, State) for held in gc.get_referents(run)) + len(run._past or ())


def test_a_task_run_that_goes_the_ordinary_way_holds_no_more_than_one_state() -> None:
    run = task_run()
    assert states_held_by(run) == 0

    run.ask(Admit(at(1)))
    assert states_held_by(run) == 0

    run.ask(Returned("plank", at(2)))
    assert states_held_by(run) <= 1
    assert run._past is None


def test_a_flow_run_that_goes_the_ordinary_way_holds_no_state_at_all() -> None:
    flow = running_flow()
    assert states_held_by(flow) == 0

    flow.ask(Returned("planks", at(2)))
    assert states_held_by(flow) == 0
    assert [state.name for state in flow.history()] == ["Pending", "Running", "Completed"]
    assert flow.state.data == "planks"
    assert flow._past is None


def test_looking_at_a_run_does_not_make_it_heavier_than_one_state() -> None:
    run = task_run()
    run.ask(Admit(at(1)))
    run.ask(Returned("plank", at(2)))
    for _ in range(3):
        run.history()
        assert run.state.result() == "plank"

    assert states_held_by(run) <= 1


def test_a_run_that_was_cancelled_while_its_body_ran_holds_the_two_states_that_tell_of_it() -> None:
    run = bring_task_run_to(StateType.CANCELLING)
    run.ask(Raised(ValueError("saw"), at(3)))

    assert states_held_by(run) <= 2
    assert [str(state) for state in run.history()] == [
        "Pending()", "Running()", "Cancelling('enough')", "Cancelled('enough')",
    ]  # fmt: skip


def test_a_failed_run_holds_the_one_state_that_says_why() -> None:
    run = task_run()
    run.ask(Admit(at(1)))
    run.ask(Stopped(Failed(message="knot"), at(2)))

    assert states_held_by(run) == 1


@RUNS
@pytest.mark.parametrize("kind", sorted(StateType))
def test_history_makes_the_states_with_the_ids_that_their_events_had(bring: Bring, kind: StateType) -> None:
    events: list[Event] = []
    run = bring(kind, events.append)

    for _ in range(2):
        assert [state.id for state in run.history()] == [event.id for event in events]
        assert run.state.id == events[-1].id
    assert [state.nanoseconds for state in run.history()] == [event.state.nanoseconds for event in events]
    assert [state.type for state in run.history()] == [event.state.type for event in events]
    assert run.history()[-1].type is run.type is kind


@RUNS
def test_history_is_the_same_whether_somebody_listens_or_not(bring: Callable[..., RunActor]) -> None:
    for kind in StateType:
        events: list[Event] = []
        silent, heard = bring(kind), bring(kind, events.append)

        assert [(state.id, str(state)) for state in silent.history()] == [
            (state.id, str(state)) for state in heard.history()
        ], kind


LATE: dict[str, list[Message]] = {
    "admitted": [Admit(at(-1))],
    "returned": [Admit(at(5)), Returned("plank", at(3))],
    "raised": [Admit(at(5)), Raised(ValueError("saw"), at(3))],
    "returned a state": [Admit(at(5)), Returned(Completed(), at(3))],
    "stopped": [Admit(at(5)), Stopped(Failed(), at(3))],
    "cancelled before it began": [Cancel("enough", at(-1))],
    "cancelled": [Admit(at(5)), Cancel("enough", at(3)), Raised(ValueError("saw"), at(4))],
    "cancelled again": [Admit(at(5)), Cancel("enough", at(7)), Raised(ValueError("saw"), at(6))],
    "forced": [Admit(at(5)), Propose(Completed(), at(3), True, lambda _verdict: None)],
}


@pytest.mark.parametrize("make_run", [task_run, pending_flow], ids=["task run", "flow run"])
@pytest.mark.parametrize("how", LATE)
def test_a_message_that_is_heard_late_does_not_put_a_run_back_in_time(
    how: str, make_run: Callable[[], RunActor]
) -> None:
    """Another thread asked for the time, was held up, and then told the run, which had got on meanwhile."""
    run = make_run()
    for message in LATE[how]:
        run.ask(message)

    times = [state.nanoseconds for state in run.history()]
    assert len(times) > 1
    assert times == sorted(times)


def test_a_result_that_is_heard_late_does_not_put_a_retried_run_back_in_time() -> None:
    run = task_run(retries=1, delays=(1,))
    for message in (Admit(at(1)), Raised(ValueError("saw"), at(2)), Admit(at(5)), Returned("plank", at(3))):
        run.ask(message)

    assert [(state.name, state.nanoseconds) for state in run.history()[-2:]] == [
        (RETRYING, at(5)),
        ("Completed", at(5)),
    ]


def test_the_history_of_a_retried_run_has_every_state() -> None:
    run = task_run(retries=2, delays=(1, 0))
    run.ask(Admit(at(1)))
    run.ask(Stopped(Failed(), at(2)))
    run.ask(Admit(at(3)))
    run.ask(Stopped(Failed(), at(4)))
    run.ask(Returned("plank", at(5)))

    history = run.history()
    assert [(state.name, state.nanoseconds) for state in history] == [
        ("Pending", at(0)),
        ("Running", at(1)),
        ("AwaitingRetry", at(2)),
        ("Retrying", at(3)),
        ("Retrying", at(4)),
        ("Completed", at(5)),
    ]
    assert history[-1].result() == "plank"
    assert len({state.id for state in history}) == 6
    assert run.sequence == 5


def test_the_history_of_a_run_that_was_forced_out_of_its_end_has_that_end() -> None:
    """Found by the exhaustive test: the plain COMPLETED was made from the run, which was something else by then."""
    run = bring_task_run_to(StateType.COMPLETED)
    completed = run.state

    propose(run, Scheduled(scheduled_time=moment(9)), 6, force=True)
    propose(run, Completed(data="other"), 7)

    assert [state.name for state in run.history()] == ["Pending", "Running", "Completed", "Scheduled", "Completed"]
    assert run.history()[2] == completed
    assert run.history()[2].result() == "plank"
    assert run.state.result() == "other"


def test_the_history_of_a_run_that_was_forced_out_of_a_cancellation_has_that_end_too() -> None:
    run = bring_task_run_to(StateType.CANCELLING)
    run.ask(Returned("plank", at(3)))

    propose(run, Scheduled(scheduled_time=moment(9)), 6, force=True)

    assert [state.name for state in run.history()][2:] == ["Cancelling", "Cancelled", "Scheduled"]
    assert run.history()[3].nanoseconds == run.ended == at(3)


def test_the_history_of_a_run_that_was_cancelled_twice_tells_of_both() -> None:
    """Found by reading: the first cancellation was made from the facts of the second."""
    run = task_run()
    run.ask(Admit(at(1)))
    run.ask(Cancel("enough", at(2)))
    propose(run, make(StateType.RUNNING), 3, force=True)
    run.ask(Cancel("really", at(4)))

    assert [(str(state), state.nanoseconds) for state in run.history()] == [
        ("Pending()", at(0)),
        ("Running()", at(1)),
        ("Cancelling('enough')", at(2)),
        ("Running()", at(3)),
        ("Cancelling('really')", at(4)),
    ]


def test_a_run_that_never_ran_has_no_running_state_in_its_history() -> None:
    run = task_run()
    run.ask(Cancel("enough", at(1)))

    assert [state.name for state in run.history()] == ["Pending", "Cancelled"]
    assert run.started == 0


def test_the_last_steps_can_be_read() -> None:
    run = task_run(retries=3)
    run.ask(Admit(at(1)))
    for _ in range(4):
        run.ask(Stopped(Failed(), at(2)))

    assert run.trail() == "Pending -> Running -> Retrying -> Retrying -> Retrying -> Failed"

    propose(run, Pending(), force=True)
    assert run.trail() == "Running -> Retrying -> Retrying -> Retrying -> Failed -> Pending"


def test_a_run_is_done_from_its_end_on() -> None:
    for kind in StateType:
        assert bring_task_run_to(kind).done is (kind in TERMINAL), kind
        assert bring_flow_to(kind).done is (kind in TERMINAL), kind


def test_the_times_of_attempts_add_up_without_the_waits_between_them() -> None:
    run = task_run(retries=1, delays=(60,))
    run.ask(Admit(at(1)))
    run.ask(Stopped(Failed(), at(2.5)))
    assert run.run_time == 1_500_000_000

    run.ask(Admit(at(62.5)))
    run.ask(Returned("plank", at(64)))
    assert run.run_time == 3_000_000_000
    assert (run.started, run.ended) == (at(1), at(64))


@pytest.mark.parametrize("kind", sorted(StateType))
def test_a_state_ends_its_run_when_it_is_terminal_or_not_ready(kind: StateType) -> None:
    assert is_final(make(kind)) is (kind in TERMINAL)
    assert is_final(State[Any](type=kind, name=NOT_READY)) is (kind in TERMINAL or kind is StateType.PENDING)


def test_a_run_of_no_kind_has_no_name_and_no_ids() -> None:
    flow = pending_flow()

    with pytest.raises(NotImplementedError):
        RunActor.ids(flow)
    with pytest.raises(NotImplementedError):
        _ = RunActor.name.__get__(flow)
