"""Proposing a state to a run from outside of it: what each of the four answers means to whoever asks."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from threading import Event as Gate
from typing import Any
from uuid import UUID, uuid4

import pytest

from millrace import (
    Abort,
    Completed,
    ConfigurationError,
    Engine,
    Event,
    Failed,
    Future,
    Pending,
    Running,
    RunNotFound,
    Scheduled,
    current,
    flow,
    propose_state,
    task,
)
from tests.runtime.people import this_run
from tests.runtime.worlds import PATIENCE

LATER = datetime.now(UTC) + timedelta(days=1)


@task
def echo(x: Any) -> Any:
    return x


def blocked(go: Gate, **options: Any) -> Future[Any]:
    """A task run that does not start before the gate is open."""

    @task
    def first() -> int:
        assert go.wait(PATIENCE)
        return 1

    upstream = first.submit()
    future: Future[Any] = echo.with_options(**options).submit(upstream)
    return future


def names(future: Future[Any]) -> list[str]:
    return [state.name for state in future.source.history()]


def test_an_accepted_state_is_that_of_the_run_and_is_returned_with_its_details() -> None:
    go = Gate()

    @flow
    def body() -> list[str]:
        future = blocked(go)
        proposed = Scheduled(message="not yet", scheduled_time=datetime.now(UTC))
        state = propose_state(proposed, task_run_id=future.task_run_id)
        assert state == future.state == proposed
        assert state.state_details.task_run_id == future.task_run_id
        assert str(state.state_details.flow_run_id) == current.flow_run.id
        go.set()
        assert future.result(PATIENCE) == 1
        return names(future)

    assert body() == ["Pending", "Scheduled", "Running", "Completed"]


def test_of_a_rejected_state_the_one_that_was_set_instead_is_returned() -> None:
    begun, go = Gate(), Gate()

    @task(retries=1, retry_delay_seconds=3600)
    def slow() -> None:
        begun.set()
        assert go.wait(PATIENCE)

    @flow
    def body() -> str:
        future = slow.submit()
        assert begun.wait(PATIENCE)
        state = propose_state(Failed(message="enough"), task_run_id=future.task_run_id)
        told = state.name
        assert state == future.state
        go.set()
        future.cancel()
        return told

    assert body() == "AwaitingRetry"


def test_while_a_proposal_has_to_wait_the_run_keeps_its_state() -> None:
    waits = Gate()

    @task(retries=1, retry_delay_seconds=3600)
    def broken() -> None:
        raise LookupError

    @flow
    def body() -> list[str]:
        future = broken.submit()
        assert waits.wait(PATIENCE)
        state = propose_state(Running(), task_run_id=future.task_run_id)
        assert state == future.state
        future.cancel()
        return names(future)

    with Engine() as engine:
        engine.subscribe(lambda event: waits.set() if event.state.name == "AwaitingRetry" else None)
        assert body() == ["Pending", "Running", "AwaitingRetry", "Cancelled"]


def test_a_state_that_is_refused_raises_abort_and_the_run_keeps_its_own() -> None:
    @flow(flow_run_name="steady")
    def body() -> str:
        with pytest.raises(Abort, match=r"^The proposed state was refused: steady: .+\.$"):
            propose_state(Completed(), flow_run_id=current.flow_run.id)
        return this_run().state.name

    assert body() == "Running"


def test_by_force_the_rules_are_passed_and_the_event_says_so() -> None:
    go = Gate()
    events: list[Event] = []

    @flow
    def body() -> Any:
        future = blocked(go)
        propose_state(Scheduled(scheduled_time=LATER), task_run_id=future.task_run_id)
        state = propose_state(Completed(data=7), task_run_id=str(future.task_run_id), force=True)
        assert state.is_completed()
        go.set()
        return future.result(PATIENCE)

    with Engine() as engine:
        engine.subscribe(events.append)
        assert body() == 7
    assert [event.cause for event in events if event.state.data == 7 and event.task_run_id] == ["forced"]


def test_a_repeated_transition_id_gives_the_state_that_it_has_set() -> None:
    go = Gate()
    details = {"transition_id": uuid4()}

    @flow
    def body() -> list[str]:
        future = blocked(go)
        first = propose_state(Pending(name="Held", state_details=details), task_run_id=future.task_run_id)
        again = propose_state(Pending(name="Again", state_details=details), task_run_id=future.task_run_id)
        assert first == again
        go.set()
        future.wait(PATIENCE)
        return names(future)

    assert body() == ["Pending", "Held", "Running", "Completed"]


def test_exactly_one_id_has_to_be_given() -> None:
    both: dict[str, Any] = {"task_run_id": uuid4(), "flow_run_id": uuid4()}
    for ids in ({}, both):
        with pytest.raises(ValueError, match=r"^'task_run_id' takes the id of a task run, unless 'flow_run_id' has"):
            propose_state(Running(), **ids)


@pytest.mark.parametrize("run_id", [UUID(int=7), "7", "", 7.5], ids=range(4))
@pytest.mark.parametrize("kind", ["task", "flow"])
def test_a_run_that_is_not_there_is_not_found(run_id: Any, kind: str) -> None:
    with pytest.raises(RunNotFound, match=rf"^There is no {kind} run '{run_id}' in this engine\."):
        propose_state(Running(), **{f"{kind}_run_id": run_id})


def test_what_is_no_state_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^'state' takes a State, such as Running\(\), not 'RUNNING'\.$"):
        propose_state("RUNNING", task_run_id=uuid4())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
