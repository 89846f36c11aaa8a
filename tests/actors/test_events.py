"""Events: every accepted transition is one, and those of a run form a chain."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest

from millrace.actors import run as run_module
from millrace.actors.events import Event, Journal
from millrace.actors.messages import Admit, Cancel, Returned, Stopped, UpstreamEnded
from millrace.actors.run import RunActor
from millrace.actors.states import Completed, Crashed, Failed, Paused, Running, Scheduled, State
from millrace.actors.states import make_state as original
from tests.actors.runs import Outside, at, check_chain, moment, pending_flow, propose, running_flow, task_run

pytestmark = pytest.mark.usefixtures("surroundings")


def causes(events: list[Event]) -> list[str]:
    return [event.cause for event in events]


def shown(events: list[Event]) -> list[str]:
    return [str(event) for event in events]


def test_the_ordinary_way_of_a_task_run_makes_three_events() -> None:
    events: list[Event] = []
    run = task_run(sink=events.append)
    run.ask(Admit(at(1)))
    run.ask(Returned("plank", at(2)))

    assert shown(events) == [
        "carve-001[0]: - -> Pending (created)",
        "carve-001[1]: Pending -> Running (admitted)",
        "carve-001[2]: Running -> Completed (returned)",
    ]
    check_chain(run, events)


def test_the_ordinary_way_of_a_flow_run_makes_three_events() -> None:
    events: list[Event] = []
    flow = running_flow(sink=events.append)
    flow.ask(Returned("planks", at(2)))

    assert shown(events) == [
        "brook[0]: - -> Pending (created)",
        "brook[1]: Pending -> Running (admitted)",
        "brook[2]: Running -> Completed (returned)",
    ]
    check_chain(flow, events)


def test_a_transition_costs_the_same_however_many_there_were(monkeypatch: pytest.MonkeyPatch) -> None:
    looked = made = 0
    look = RunActor.history

    def history(run: RunActor) -> list[State[Any]]:
        nonlocal looked
        looked += 1
        return look(run)

    def make_state(*args: Any) -> State[Any]:
        nonlocal made
        made += 1
        return original(*args)

    monkeypatch.setattr(RunActor, "history", history)
    monkeypatch.setattr(run_module, "make_state", make_state)
    events: list[Event] = []
    run = task_run(retries=2_000, delays=(1,), sink=events.append)
    for second in range(1_000):
        run.ask(Admit(at(2 * second)))
        run.ask(Stopped(Failed(), at(2 * second + 1)))

    assert len(events) == 2_001
    assert looked == 0
    assert made <= 2 * len(events)
    check_chain(run, events)


def test_every_step_of_a_retry_is_an_event() -> None:
    events: list[Event] = []
    run = task_run(retries=2, delays=(1, 0), sink=events.append)
    run.ask(Admit(at(1)))
    run.ask(Stopped(Failed(), at(2)))
    run.ask(Admit(at(3)))
    run.ask(Returned(Failed(), at(4)))
    run.ask(Stopped(Failed(), at(5)))

    assert [event.state.name for event in events] == [
        "Pending", "Running", "AwaitingRetry", "Retrying", "Retrying", "Failed",
    ]  # fmt: skip
    assert causes(events) == ["created", "admitted", "raised", "admitted", "returned", "raised"]
    check_chain(run, events)


def test_a_cancellation_is_two_events_while_the_body_runs_and_one_before() -> None:
    events: list[Event] = []
    run = task_run(sink=events.append)
    run.ask(Admit(at(1)))
    run.ask(Cancel("enough", at(2)))
    run.ask(Stopped(Crashed(), at(3), interrupted=True))
    assert causes(events) == ["created", "admitted", "cancel", "cancel"]
    check_chain(run, events)

    events.clear()
    run = task_run(sink=events.append)
    run.ask(Cancel("enough", at(2)))
    assert causes(events) == ["created", "cancel"]
    check_chain(run, events)


def test_a_run_that_is_not_ready_says_that_its_upstream_was_the_cause() -> None:
    events: list[Event] = []
    run = task_run(unready=1, sink=events.append)
    run.ask(UpstreamEnded(good=False, name="fell-001", state=Failed(), at=at(2)))

    assert causes(events) == ["created", "upstream"]
    check_chain(run, events)


def test_what_is_proposed_from_outside_says_so_and_whether_it_was_forced() -> None:
    events: list[Event] = []
    run = task_run(sink=events.append)
    propose(run, Scheduled(scheduled_time=moment(1)), 1)
    run.ask(Admit(at(2)))
    run.ask(Returned("plank", at(3)))
    propose(run, Running(), 4, force=True)
    propose(run, Completed(), 5)

    assert causes(events) == ["created", "proposed", "admitted", "returned", "forced", "proposed"]
    check_chain(run, events)


def test_the_events_of_a_flow_run_that_is_paused_and_cancelled_form_a_chain() -> None:
    events: list[Event] = []
    flow = pending_flow(sink=events.append)
    flow.ask(Admit(at(1)))
    propose(flow, Paused(), 2)
    propose(flow, Running(), 3)
    flow.ask(Cancel("enough", at(4)))
    flow.ask(Returned(None, at(5)))

    assert causes(events) == ["created", "admitted", "proposed", "proposed", "cancel", "returned"]
    check_chain(flow, events)


def test_what_is_refused_is_no_event() -> None:
    events: list[Event] = []
    run = task_run(sink=events.append)
    propose(run, Paused())
    run.ask(Admit(at(1)))
    run.ask(Returned("plank", at(2)))
    propose(run, Running())
    run.ask(Cancel("enough", at(3)))
    run.ask(Returned("chip", at(4)))

    assert len(events) == 3


def test_an_event_knows_its_runs() -> None:
    events: list[Event] = []
    flow = running_flow(sink=events.append)
    run = task_run(flow, sink=events.append)

    of_flow, of_run = events[0], events[-1]
    assert (of_flow.flow_run_id, of_flow.task_run_id) == (UUID(int=flow.id), None)
    assert (of_run.flow_run_id, of_run.task_run_id) == (UUID(int=flow.id), run.uuid)
    assert of_run.id == run.state.id


def test_an_event_of_a_task_run_outside_of_flows_has_no_flow_run() -> None:
    events: list[Event] = []
    run = task_run(running_flow(kind=Outside), sink=events.append)

    assert (events[0].flow_run_id, events[0].task_run_id) == (None, run.uuid)


def test_events_arrive_in_the_turn_of_the_run() -> None:
    taken: list[bool] = []
    run = task_run()

    def look(_event: Event) -> None:
        taken.append(not hasattr(run, "_turn"))

    run.journal.sink = look

    run.ask(Admit(at(1)))
    run.ask(Returned("plank", at(2)))

    assert taken == [True, True]


def test_who_listens_from_the_middle_on_hears_the_chain_from_there() -> None:
    events: list[Event] = []
    run = task_run()
    run.ask(Admit(at(1)))

    run.journal.sink = events.append
    run.ask(Returned("plank", at(2)))

    (event,) = events
    assert event.sequence == 2
    assert event.follows == run.history()[1].id


def test_where_nobody_listens_no_event_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_run: RunActor, cause: str) -> None:
        raise AssertionError(cause)

    monkeypatch.setattr(RunActor, "record", fail)
    run = task_run(retries=1)
    run.ask(Admit(at(1)))
    run.ask(Stopped(Failed(), at(2)))
    run.ask(Returned("plank", at(3)))

    assert run.done


def test_a_journal_without_a_sink_swallows_what_is_recorded() -> None:
    run = task_run()
    assert run.journal.sink is None

    run.record("created")

    assert Journal().sink is None


def test_the_order_of_events_is_that_of_the_turns_although_messages_were_left() -> None:
    """Two messages wait while the run is busy with a third; their events follow its event."""
    events: list[Event] = []
    run = task_run(sink=events.append)
    sink = run.journal.sink
    assert sink is not None

    def interfere(event: Event) -> None:
        sink(event)
        if event.sequence == 1:
            run.tell(Returned("plank", at(3)))
            run.tell(Cancel("enough", at(2)))

    run.journal.sink = interfere
    run.tell(Admit(at(1)))

    assert [event.state.name for event in events] == ["Pending", "Running", "Cancelling", "Cancelled"]
    check_chain(run, events)
