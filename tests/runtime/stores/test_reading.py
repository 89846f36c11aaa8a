"""What programs read about recorded runs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from millrace import (
    ConfigurationError,
    Engine,
    MissingResult,
    RunNotFound,
    StateType,
    aread_flow_run,
    aread_flow_run_states,
    aread_flow_runs,
    aread_task_run,
    aread_task_run_states,
    aread_task_runs,
    flow,
    read_flow_run,
    read_flow_run_states,
    read_flow_runs,
    read_task_run,
    read_task_run_states,
    read_task_runs,
    tags,
    task,
)
from tests.runtime.stores.killing import engine_of, quietly
from tests.runtime.stores.places import EMBEDDED_STORES, Place


@task(tags=["numbers"])
def double(number: int) -> int:
    return 2 * number


@task(retries=1)
def fail(number: int) -> None:
    raise ValueError(f"no {number} here")


@flow
def inner(number: int) -> int:
    return double(number)


@flow(name="sums", version="7")
def outer(numbers: list[int], sign: Any = None) -> int:
    doubled = double.map(numbers)
    quietly(lambda: fail(doubled[0]))
    return sum(doubled.result()) + inner(1)


@pytest.fixture
def engine(place: Place) -> Iterator[Engine]:
    with engine_of(place.store()) as made:
        with tags("nightly", "x"):
            outer([1, 2, 3], lambda: None)
        yield made


def test_a_flow_run_says_what_it_was_made_of(engine: Engine) -> None:
    run = read_flow_run(read_flow_runs(flows=["sums"])[0].id)

    assert (run.flow_name, run.flow_version, run.run_count, run.deaths) == ("sums", "7", 1, 0)
    assert run.state.type is StateType.COMPLETED
    assert run.state.result() == 14
    assert run.state.state_details.flow_run_id == run.id
    assert run.tags == {"nightly", "x"}
    assert run.start_time is not None
    assert run.end_time is not None
    assert run.created <= run.start_time <= run.end_time
    assert (run.parent_flow_run_id, run.parent_task_run_id) == (None, None)
    assert run.parameters["numbers"] == [1, 2, 3]
    assert repr(run.parameters["sign"]) == "MISSING"  # a function without a name that others find
    assert run.entry.endswith("test_reading.py:outer")


@EMBEDDED_STORES
def test_a_subflow_is_recorded_in_the_flow_around_it_as_a_task_run(engine: Engine) -> None:
    around = read_flow_runs(outermost=True)[0]
    (run,) = read_flow_runs(parent=around.id)

    assert run.flow_name == "inner"
    assert run.parent_flow_run_id == around.id
    assert run.parent_task_run_id is not None
    mirror = read_task_run(run.parent_task_run_id)
    assert (mirror.task_name, mirror.flow_run_id, mirror.state.type) == ("inner", around.id, "COMPLETED")
    assert [each.state.type for each in read_task_run_states(mirror.id)] == ["PENDING", "RUNNING", "COMPLETED"]


def test_a_task_run_says_what_it_was_made_of(engine: Engine) -> None:
    around = read_flow_runs(outermost=True)[0]
    runs = read_task_runs(flow_run_id=around.id, tasks=["double"])
    assert [run.dynamic_key for run in runs] == ["2", "1", "0"]

    run = read_task_run(runs[0].id)
    assert (run.task_name, run.flow_run_id, run.parent_task_run_id, run.run_count) == ("double", around.id, None, 1)
    assert run.tags == {"numbers", "nightly", "x"}
    assert run.state.result() == 6
    assert run.name == f"double-{run.id.hex[-3:]}"


@EMBEDDED_STORES
def test_what_a_task_run_depends_on_is_recorded(engine: Engine) -> None:
    (failed,) = read_task_runs(states=["FAILED"])
    (first,) = [
        run
        for run in read_task_runs(tasks=["double"])
        if run.dynamic_key == "0" and run.flow_run_id == failed.flow_run_id
    ]

    assert failed.task_inputs == {"number": [first.id]}


def test_the_events_of_a_run_say_what_led_to_each_state(engine: Engine) -> None:
    (failed,) = read_task_runs(states=[StateType.FAILED])

    states = read_task_run_states(failed.id)

    assert [(each.sequence, each.state.name, each.cause) for each in states] == [
        (0, "Pending", "created"),
        (1, "Running", "admitted"),
        (2, "Retrying", "raised"),
        (3, "Failed", "raised"),
    ]
    assert states[-1].state.message == "ValueError: no 2 here"
    assert states[-1].state.state_details.attempts == 2
    assert states[-1].state.state_details.task_run_id == failed.id
    with pytest.raises(ValueError, match="no 2 here"):
        read_task_run(failed.id).state.result()


def test_recorded_states_have_the_ids_and_times_that_they_had(place: Place) -> None:
    kept: list[Any] = []

    @flow
    def body() -> int:
        return 1

    with engine_of(place.store()):
        kept.append(body(return_state=True))
        recorded = read_flow_run_states(read_flow_runs()[0].id)[-1].state

    assert (recorded.id, recorded.timestamp) == (kept[0].id, kept[0].timestamp)


@EMBEDDED_STORES
def test_lists_come_page_by_page(place: Place) -> None:
    with engine_of(place.store()):
        for number in range(5):
            inner(number)
        first = read_flow_runs(limit=2)
        second = read_flow_runs(limit=2, before=first[-1].id)
        third = read_flow_runs(limit=2, before=second[-1].id)

    ids = [run.id for page in (first, second, third) for run in page]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 5


@EMBEDDED_STORES
def test_in_lists_nothing_is_read_of_what_a_run_came_to(engine: Engine) -> None:
    run = read_flow_runs(flows=["sums"])[0]

    assert (run.state.data, run.parameters) == (None, {})


@EMBEDDED_STORES
@pytest.mark.parametrize("limit", [0, 1_001, "5"])
def test_a_list_has_a_limit(engine: Engine, limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="'limit' takes a whole number from 1 to 1,000"):
        read_flow_runs(limit=limit)


@EMBEDDED_STORES
def test_a_state_that_there_is_not_is_refused(engine: Engine) -> None:
    with pytest.raises(ConfigurationError, match="'states' takes of SCHEDULED"):
        read_task_runs(states=["DONE"])


def test_what_is_not_there_is_an_error(engine: Engine) -> None:
    for read in (read_flow_run, read_task_run, read_flow_run_states, read_task_run_states):
        with pytest.raises(RunNotFound):
            read(UUID(int=5))


def test_without_a_store_there_is_nothing_to_read() -> None:
    with pytest.raises(ConfigurationError, match="an engine with a store"):
        read_flow_runs()


def test_a_value_that_only_another_serializer_reads_is_missing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands in a store chooses no code: the reader says what it reads."""
    with engine_of(place.store()):
        inner(4)
        run_id = read_flow_runs()[0].id
        monkeypatch.setenv("MILLRACE_RESULTS_DEFAULT_SERIALIZER", "json")
        run = read_flow_run(run_id)

        with pytest.raises(MissingResult):
            run.state.result()


@EMBEDDED_STORES
@pytest.mark.anyio
async def test_async_code_reads_without_holding_up_its_loop(place: Place) -> None:
    async with Engine(store=place.store()) as engine:
        await engine.start(inner, 3)
        (run,) = await aread_flow_runs()
        assert (await aread_flow_run(run.id)).state.result() == 6
        assert [each.sequence for each in await aread_flow_run_states(run.id)] == [0, 1, 2]
        (task_run,) = await aread_task_runs(flow_run_id=run.id)
        assert (await aread_task_run(task_run.id)).state.result() == 6
        assert [each.sequence for each in await aread_task_run_states(task_run.id)] == [0, 1, 2]
