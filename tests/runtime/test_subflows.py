"""Subflows: each is recorded in the flow around it as a task run that mirrors it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from inspect import isawaitable
from typing import Any

import pytest

from millrace import Engine, FlowRunContext, StateType, TaskRunContext, flow, quote, tags, task
from millrace.actors.events import Event
from millrace.runtime import subflow_run
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.subflow_run import SubflowTaskRun
from millrace.runtime.tracking import FlowRunResult, TaskRunResult
from tests.runtime.worlds import World


def this_run() -> FlowRun:
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


def stands_for(run: FlowRun) -> SubflowTaskRun:
    found = run.parent_task_run
    assert found is not None
    return found


def of_task_runs(events: list[Event]) -> list[Event]:
    """Those of task runs that stand for a subflow."""
    return [event for event in events if event.state.state_details.child_flow_run_id is not None]


@pytest.fixture
def engine() -> Engine:
    return Engine()


def test_it_is_a_task_run_of_the_flow_around_it_with_a_name_and_tags(world: World) -> None:
    async def inner() -> Any:
        return quote(this_run())

    subflow = world.flow(inner, name="child", flow_run_name="a run of it")

    async def body() -> Any:
        with tags("a"):
            child = (await world.call(subflow)).unquote()
        return quote((child, this_run()))

    child, parent = world.body(body).unquote()
    found = stands_for(child)
    assert child.parent_task_run_id == found.uuid
    assert found.uuid.int - parent.id in {1, 2}  # numbered as the other children are
    assert found.name == f"child-{str(found.uuid)[-3:]}"
    assert found.tags == child.tags == {"a"}
    assert found.parent is None
    assert found == child.parent_task_run


def test_it_mirrors_every_state_of_the_subflow_under_ids_of_its_own(world: World) -> None:
    attempts: list[int] = []

    async def inner() -> Any:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("the first time")
        return quote(this_run())

    subflow = world.flow(inner, retries=1)

    async def body() -> Any:
        return quote(((await world.call(subflow)).unquote(), this_run()))

    child, parent = world.body(body).unquote()
    found = stands_for(child)
    states = found.history()
    assert [state.name for state in states] == ["Pending", "Running", "Retrying", "Completed"]
    assert [(state.type, state.message, state.data, state.nanoseconds) for state in states] == [
        (state.type, state.message, state.data, state.nanoseconds) for state in child.history()
    ]
    for state in states:
        assert state.state_details.child_flow_run_id == child.uuid
        assert state.state_details.flow_run_id == parent.uuid
        assert state.state_details.task_run_id == found.uuid
    assert len({state.id for state in [*states, *child.history()]}) == 2 * len(states)
    assert states == found.history()  # the same ids whenever somebody looks
    assert found.state == states[-1]
    assert found.run_count == 2
    assert found.done


@pytest.mark.parametrize("end", ["fails", "is cancelled"])
def test_it_ends_as_the_subflow_does(world: World, end: str) -> None:
    seen: list[FlowRun] = []

    async def inner() -> None:
        seen.append(this_run())
        if end == "fails":
            raise ValueError("no")
        this_run().cancel("enough")

    subflow = world.flow(inner)

    async def body() -> Any:
        state = await world.call(subflow, return_state=True)
        return quote(state)

    state = world.body(body).unquote()
    found = stands_for(seen[0])
    assert found.state.type == (StateType.FAILED if end == "fails" else StateType.CANCELLED)
    assert found.state.data is state.data
    assert found.state.message == state.message


def test_its_inputs_are_those_of_the_parameters(world: World) -> None:
    @world.task
    def make(x: int) -> int:
        return x

    async def inner(a: int, b: Any, c: int = 0) -> Any:
        return quote((this_run(), a, b, c))

    subflow = world.flow(inner)

    async def body() -> None:
        first, second = make.submit(1000), make.submit(2000)
        child, *given = (await world.call(subflow, first, b=[second, first], wait_for=[second])).unquote()
        assert given == [1000, [2000, 1000], 0]
        one, two = TaskRunResult(first.task_run_id), TaskRunResult(second.task_run_id)
        assert stands_for(child).task_inputs == {"a": [one], "b": [two, one], "c": [], "wait_for": [two]}

    world.body(body)


def test_a_subflow_that_depends_on_nothing_has_a_place_for_every_parameter(world: World) -> None:
    async def inner(a: int, b: int = 0) -> Any:
        return quote(this_run())

    subflow = world.flow(inner)

    async def body() -> None:
        child = (await world.call(subflow, 1)).unquote()
        assert stands_for(child).task_inputs == {"a": [], "b": []}

    world.body(body)


def test_the_result_of_a_subflow_that_is_given_to_another_is_an_input_of_that(world: World) -> None:
    async def inner(x: Any = None) -> Any:
        return [quote(this_run())]

    subflow = world.flow(inner)

    async def body() -> None:
        first = await world.call(subflow)
        second = await world.call(subflow, first)
        assert stands_for(second[0].unquote()).task_inputs == {"x": [FlowRunResult(first[0].unquote().uuid)]}

    world.body(body)


def test_runs_of_one_flow_are_counted_in_the_flow_around_them(world: World) -> None:
    async def inner() -> Any:
        return quote(this_run())

    one, another = world.flow(inner, name="one"), world.flow(inner, name="another")

    async def body() -> Any:
        return quote([(await world.call(each)).unquote() for each in (one, another, one, one)])

    assert [stands_for(run).dynamic_key for run in world.body(body).unquote()] == ["0", "0", "1", "2"]


def test_a_flow_that_nothing_is_around_stands_for_itself(world: World) -> None:
    async def body() -> Any:
        return quote(this_run())

    run = world.body(body).unquote()
    assert run.parent_task_run is None
    assert run.parent_task_run_id is None


def test_a_flow_in_a_task_is_recorded_in_the_flow_of_that_with_the_task_run_as_its_parent(world: World) -> None:
    async def inner() -> Any:
        return quote(this_run())

    subflow = world.flow(inner)

    async def take() -> Any:
        context = TaskRunContext.get()
        assert context is not None
        child: Any = subflow()  # in a sync task the call of an async flow blocks
        child = await child if isawaitable(child) else child
        return quote((child.unquote(), context.task_run, this_run()))

    async def body() -> Any:
        return await world.result(world.task(take).submit())

    child, caller, parent = world.body(body).unquote()
    found = stands_for(child)
    assert found.parent == caller.id
    assert found.state.state_details.flow_run_id == parent.uuid


def test_a_flow_in_a_task_outside_of_any_flow_is_no_subflow() -> None:
    @flow
    def inner() -> quote[FlowRun]:
        return quote(this_run())

    @task
    def take() -> quote[FlowRun]:
        return inner()

    run = take().unquote()
    assert run.parent_task_run is None
    assert run.parent_task_run_id is None


def test_its_events_follow_each_other_beside_those_of_the_subflow(world: World, engine: Engine) -> None:
    events: list[Event] = []
    engine.subscribe(events.append)

    async def inner() -> Any:
        return quote(this_run())

    subflow = world.flow(inner)

    async def body() -> Any:
        return await world.call(subflow)

    child = world.body(body, engine=engine).unquote()
    found = stands_for(child)
    mirrored = of_task_runs(events)
    own = [event for event in events if event.flow_run_id == child.uuid]
    assert [event.task_run_id for event in mirrored] == [found.uuid] * 3
    assert [event.state for event in mirrored] == found.history()
    assert [event.follows for event in mirrored] == [None, mirrored[0].id, mirrored[1].id]
    assert [(event.sequence, event.cause) for event in mirrored] == [(event.sequence, event.cause) for event in own]
    assert {event.run_name for event in mirrored} == {found.name}
    assert {event.flow_run_id for event in mirrored} == {child.parent.uuid}


def test_a_subflow_is_told_of_before_anything_that_becomes_of_it(world: World, engine: Engine) -> None:
    """The flow around it is being stopped when it is begun."""
    events: list[Event] = []
    engine.subscribe(events.append)

    @world.flow
    async def inner() -> None:
        raise AssertionError("It never starts.")

    async def body() -> None:
        this_run().cancel()
        await world.call(inner)

    world.run(world.flow(body, name="outer"), engine=engine, return_state=True)
    causes = [event.cause for event in of_task_runs(events)]
    assert causes[0] == "created"
    assert of_task_runs(events)[-1].state.type is StateType.CANCELLED


def test_a_subflow_that_nobody_looks_at_makes_no_record(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    monkeypatch.setattr(subflow_run, "SubflowTaskRun", lambda *given: made.append(given))

    async def inner() -> Any:
        return quote(this_run())

    subflow = world.flow(inner)

    async def body() -> Any:
        return await world.call(subflow)

    child = world.body(body).unquote()
    assert not made
    assert child.parent_task_run is None
    assert len(made) == 1


def test_a_run_says_when_it_began_and_ended_and_how_long_it_ran(world: World) -> None:
    before = datetime.now(UTC)

    @world.task
    def work() -> int:
        return 1

    async def inner() -> Any:
        assert this_run().start_time is not None
        assert this_run().end_time is None
        return quote(this_run())

    subflow = world.flow(inner)

    async def body() -> Any:
        future = work.submit()
        await world.result(future)
        child = (await world.call(subflow)).unquote()
        return quote([future.source, child, child.parent_task_run])

    runs = world.body(body).unquote()
    for run in runs:
        assert before <= run.expected_start_time <= run.start_time <= run.end_time <= datetime.now(UTC)
        cut = run.total_run_time - (run.end_time - run.start_time)  # the times are whole microseconds
        assert abs(cut) <= timedelta(microseconds=1)
    assert [runs[0].dynamic_key, runs[2].dynamic_key] == ["0", "0"]
