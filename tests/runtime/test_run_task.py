"""`run_task`: what a call of a task does, said explicitly."""

from __future__ import annotations

import asyncio
import inspect
import threading
import uuid
from collections.abc import AsyncGenerator, Generator
from contextvars import Context, ContextVar, copy_context
from typing import Any

import pytest

from millrace import (
    BlockingCallOnLoop,
    ConfigurationError,
    Engine,
    FlowRunResult,
    SignatureMismatchError,
    TaskRun,
    TaskRunResult,
    UnfinishedRun,
    allow_failure,
    quote,
    run_task,
)
from tests.checkpoints import turns
from tests.loose import flow, task
from tests.runtime.walks import PLACES, Broken, Place, Walk, counting, every, steps_of, this_flow, this_run
from tests.runtime.worlds import ASYNC_IN_SYNC, PATIENCE, World

VARIABLE: ContextVar[str] = ContextVar("variable", default="as ever")


async def ran(world: World, called: Any, parameters: Any = None, **options: Any) -> Any:
    """What `run_task` gives, in the body of a flow."""
    given = run_task(called, parameters, **options)
    return await given if world.async_flows and called.is_async else given


def added(world: World, runs: list[TaskRun] | None = None, **options: Any) -> Any:
    """A task that adds two numbers, and says which runs it has had."""

    @world.task(**options)
    def add(a: int, b: int = 10) -> int:
        if runs is not None:
            runs.append(this_run())
        return a + b

    return add


# What it gives.


def test_it_gives_the_result(world: World) -> None:
    add = added(world)

    async def body() -> Any:
        return [await ran(world, add, {"a": 1, "b": 2}), await ran(world, add, {"a": 1})]

    assert world.body(body) == [3, 11]


def test_a_task_without_parameters_needs_none(world: World) -> None:
    @world.task
    def one() -> int:
        return 1

    async def body() -> Any:
        return [await ran(world, one), await ran(world, one, {})]

    assert world.body(body) == [1, 1]


def test_outside_of_flows_too() -> None:
    @task
    def one() -> int:
        return 1

    @task
    async def two() -> int:
        await asyncio.sleep(0)
        return 2

    assert run_task(one) == 1
    assert asyncio.run(run_task(two)) == 2


def test_it_gives_the_state_where_that_is_asked_for(world: World) -> None:
    @world.task
    def fails() -> None:
        raise Broken("no")

    async def body() -> Any:
        failed = await ran(world, fails, return_type="state")
        done = await ran(world, added(world), {"a": 1}, return_type="state")
        return [quote(failed), quote(done)]

    failed, done = (each.unquote() for each in world.body(body))
    assert (failed.name, str(failed.data)) == ("Failed", "no")
    assert done.result() == 11


def test_it_raises_what_the_task_raises(world: World) -> None:
    error = Broken("no")

    @world.task
    def fails() -> None:
        raise error

    async def body() -> Any:
        with pytest.raises(Broken) as caught:
            await ran(world, fails)
        return quote(caught.value)

    assert world.body(body).unquote() is error


def test_an_async_task_gives_a_coroutine_that_does_nothing_before_it_is_awaited() -> None:
    runs: list[TaskRun] = []

    @task
    async def one() -> int:
        runs.append(this_run())
        return 1

    async def main() -> int:
        given = run_task(one)
        assert inspect.iscoroutine(given)
        await turns(3)
        assert runs == []
        result: int = await asyncio.create_task(given)
        return result

    assert asyncio.run(main()) == 1


def test_what_belongs_to_a_task_belongs_to_it_here_too(world: World) -> None:
    seen: list[str] = []
    runs: list[TaskRun] = []
    add = added(
        world,
        runs,
        task_run_name="{a} and {b}",
        tags=["arithmetic"],
        on_completion=[lambda _task, run, _state: seen.append(run.name)],
    )

    async def body() -> Any:
        return await ran(world, add, {"a": 1})

    assert world.body(body) == 11
    assert seen == ["1 and 10"]
    assert runs[0].tags == {"arithmetic"}


# Generator tasks.


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
@pytest.mark.parametrize("return_type", ["result", "state"])
def test_a_generator_task_gives_a_generator_whatever_is_asked_for(place: Place, return_type: str) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)

    async def body() -> Any:
        walk = Walk(run_task(count, {"n": 3}, return_type=return_type))
        assert runs == []
        return await walk.rest()

    assert place.run(body) == [0, 1, 2]
    assert steps_of(runs[0]) == ["Pending", "Running", "Completed"]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_generator_task_takes_all_that_others_take(place: Place) -> None:
    runs: list[TaskRun] = []
    run_id, other = uuid.uuid4(), TaskRunResult(uuid.uuid4())
    count = counting(place, runs)

    @place.world.task
    def before() -> None: ...

    async def body() -> Any:
        future = before.submit()
        await place.world.result(future)
        return await every(
            run_task(count, {"n": 1}, task_run_id=run_id, wait_for=[future], dependencies={"n": [other]})
        )

    assert place.run(body) == [0]
    assert runs[0].uuid == run_id
    assert runs[0].task_inputs["n"] == [other]
    assert len(runs[0].task_inputs["wait_for"]) == 1


# Parameters.


def test_parameters_of_all_kinds_find_their_places() -> None:
    @task
    def takes(a: Any, /, b: Any, *more: Any, c: Any, d: Any = "default", **others: Any) -> Any:
        return a, b, more, c, d, others

    assert run_task(takes, {"a": 1, "b": 2, "c": 3}) == (1, 2, (), 3, "default", {})
    given = {"a": 1, "b": 2, "more": [3, 4], "c": 5, "d": 6, "others": {"e": 7}}
    assert run_task(takes, given) == (1, 2, (3, 4), 5, 6, {"e": 7})


def test_the_mapping_that_is_given_is_left_as_it_is() -> None:
    @task
    def changes(items: list[int], **others: Any) -> Any:
        others["more"] = 1
        return sorted(others)

    given = {"items": [1], "x": 2}
    assert run_task(changes, given) == ["more", "x"]
    assert given == {"items": [1], "x": 2}


@pytest.mark.parametrize("given", [{}, {"b": 1}, {"a": 1, "c": 2}, {"a": 1, "wait_for": []}], ids=str)
def test_parameters_that_do_not_fit_are_told_with_those_that_would(given: dict[str, Any]) -> None:
    @task
    def add(a: int, b: int = 10) -> int:
        return a + b

    @task
    async def add_async(a: int, b: int = 10) -> int:
        return a + b

    @task
    def count(a: int, b: int = 10) -> Generator[int]:
        yield a

    for called in (add, add_async, count):
        with pytest.raises(SignatureMismatchError, match=r"'a'.*'b'"):
            run_task(called, given)


def test_futures_and_annotations_among_the_parameters_mean_what_they_mean(world: World) -> None:
    @world.task
    def fails() -> None:
        raise Broken("no")

    @world.task
    def tells(x: Any) -> Any:
        return x if isinstance(x, dict) else type(x).__name__

    async def body() -> Any:
        good, bad = added(world).submit(1), fails.submit()
        await world.result(good)
        await world.error(bad)
        return [await ran(world, tells, {"x": {"in": [good]}}), await ran(world, tells, {"x": allow_failure(bad)})]

    assert world.body(body) == [{"in": [11]}, "Broken"]


def test_methods_can_be_run() -> None:
    class Shop:
        price = 3

        @task
        def total(self, count: int) -> int:
            return self.price * count

    assert run_task(Shop().total, {"count": 2}) == 6


# Dependencies.


def test_what_is_waited_for_has_ended_before(world: World) -> None:
    log: list[str] = []
    runs: list[TaskRun] = []
    gate = world.gate()

    @world.task
    async def before() -> None:
        await gate.passed()
        log.append("before")

    @world.task
    def after() -> None:
        runs.append(this_run())
        log.append("after")

    async def body() -> Any:
        future = before.submit()
        if world.async_flows and not world.async_tasks:
            with pytest.raises(BlockingCallOnLoop):
                run_task(after, wait_for=[future])
            gate.open()
            await world.result(future)
        threading.Timer(0, gate.open).start()
        await ran(world, after, wait_for=[future])
        return quote(future.task_run_id)

    upstream = world.body(body).unquote()
    assert log == ["before", "after"]
    assert runs[0].task_inputs == {"wait_for": [TaskRunResult(upstream)]}


def test_where_what_is_waited_for_fails_it_does_not_begin(world: World) -> None:
    @world.task
    def fails() -> None:
        raise Broken("no")

    async def body() -> Any:
        future = fails.submit()
        await world.error(future)
        with pytest.raises(UnfinishedRun):
            await ran(world, added(world), {"a": 1}, wait_for=[future])
        state = await ran(world, added(world), {"a": 1}, wait_for=[future], return_type="state")
        return quote(state.name)

    assert world.body(body).unquote() == "NotReady"


def test_dependencies_that_are_given_stand_beside_those_that_were_found(world: World) -> None:
    runs: list[TaskRun] = []
    given = [TaskRunResult(uuid.uuid4()), FlowRunResult(uuid.uuid4())]

    async def body() -> Any:
        future = added(world).submit(1)
        await world.result(future)
        found = TaskRunResult(future.task_run_id)
        dependencies = {"a": [found, given[0]], "b": iter([given[1]])}
        await ran(world, added(world, runs), {"a": future}, dependencies=dependencies)
        return quote(found)

    found = world.body(body).unquote()
    assert runs[0].task_inputs == {"a": [found, given[0]], "b": [given[1]]}


def test_dependencies_are_recorded_although_nothing_has_to_be_waited_for() -> None:
    runs: list[TaskRun] = []
    given = TaskRunResult(uuid.uuid4())

    @task
    def one() -> int:
        runs.append(this_run())
        return 1

    assert run_task(one, dependencies={"elsewhere": [given]}) == 1
    assert runs[0].task_inputs == {"elsewhere": [given]}


# The id.


def test_the_run_has_the_id_that_is_given(world: World) -> None:
    runs: list[TaskRun] = []
    run_id = uuid.uuid4()

    async def body() -> None:
        await ran(world, added(world, runs), {"a": 1}, task_run_id=run_id)
        await ran(world, added(world, runs), {"a": 1})

    world.body(body)
    assert runs[0].uuid == run_id
    assert runs[0].state.state_details.task_run_id == run_id
    assert runs[1].uuid != run_id


def test_the_id_of_a_run_that_goes_on_is_refused(world: World) -> None:
    gate = world.gate()
    runs: list[TaskRun] = []

    @world.task
    async def waits() -> None:
        await gate.passed()

    async def body() -> None:
        future = waits.submit()
        with pytest.raises(ConfigurationError, match="'task_run_id' takes the id of no run that is going on"):
            await ran(world, added(world, runs), {"a": 1}, task_run_id=future.task_run_id)
        gate.open()
        await world.result(future)
        await ran(world, added(world, runs), {"a": 1}, task_run_id=future.task_run_id)  # it is free again

    world.body(body)
    assert len(runs) == 1


# The context.


def test_the_task_runs_in_the_context_that_is_given(world: World) -> None:
    seen: list[str] = []

    @world.task
    async def looks() -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("set in the body")
        if world.async_tasks:
            await turns(2)
            seen.append(VARIABLE.get())

    async def body() -> str:
        context = copy_context()
        context.run(VARIABLE.set, "set there")
        await ran(world, looks, context=context)
        assert context[VARIABLE] == "set there"
        return VARIABLE.get()

    assert world.body(body) == "as ever"
    assert seen[0] == "set there"
    assert seen[1:] in ([], ["set in the body"])


def test_the_context_says_which_flow_run_it_belongs_to() -> None:
    runs: list[TaskRun] = []

    @task
    def child() -> None:
        runs.append(this_run())

    @flow
    def inner() -> None:
        run_task(child, context=Context())
        run_task(child, context=copy_context())

    inner()
    assert [run.scope.flow is None for run in runs] == [True, False]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_generator_begins_in_the_context_that_is_given(place: Place) -> None:
    runs: list[TaskRun] = []
    seen: list[str] = []

    @place.task
    def looks() -> Generator[int]:
        runs.append(this_run())
        for i in range(2):
            seen.append(VARIABLE.get())
            yield i

    async def body() -> Any:
        context = Context()
        context.run(VARIABLE.set, "set there")
        return await every(run_task(looks, context=context))

    assert place.run(body) == [0, 1]
    assert seen == ["set there"] * 2
    assert runs[0].scope.flow is None


def test_the_very_context_that_the_caller_is_in_can_be_given() -> None:
    @task
    def one() -> str:
        return VARIABLE.get()

    @task
    async def one_async() -> str:
        await asyncio.sleep(0)
        return VARIABLE.get()

    context = copy_context()
    context.run(VARIABLE.set, "set there")
    assert context.run(lambda: run_task(one, context=context)) == "set there"

    async def main() -> Any:
        return await asyncio.create_task(run_task(one_async, context=context), context=context)

    assert asyncio.run(main()) == "set there"


def test_in_the_body_of_a_sync_flow_an_async_task_blocks_in_whatever_context() -> None:
    add = added(ASYNC_IN_SYNC)

    @flow
    def calls() -> Any:
        return run_task(add, {"a": 1}, context=copy_context())

    assert calls() == 11


@pytest.mark.anyio
async def test_a_task_in_another_context_runs_in_the_asyncio_task_of_its_caller() -> None:
    @task
    async def here() -> Any:
        await asyncio.sleep(0)
        return quote(asyncio.current_task())

    found = await run_task(here, context=copy_context())
    assert found.unquote() is asyncio.current_task()


@pytest.mark.anyio
async def test_a_cancellation_reaches_a_task_in_another_context() -> None:
    runs: list[TaskRun] = []
    begun = asyncio.Event()

    @task
    async def waits() -> None:
        runs.append(this_run())
        begun.set()
        await asyncio.Event().wait()

    caller = asyncio.create_task(run_task(waits, context=copy_context()))
    async with asyncio.timeout(PATIENCE):
        await begun.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert runs[0].state.is_crashed()


# What is wrong.


@pytest.mark.parametrize("return_type", ["future", "", None, "Result"])
def test_there_are_two_return_types(return_type: Any) -> None:
    @task
    def one() -> int:
        raise AssertionError

    with pytest.raises(ValueError, match="'return_type' takes 'result' or 'state'"):
        run_task(one, return_type=return_type)


@pytest.mark.parametrize("thing", [len, None, 3, "task"], ids=repr)
def test_what_is_no_task_is_refused(thing: Any) -> None:
    with pytest.raises(ConfigurationError, match="'task' takes a task"):
        run_task(thing)


def test_a_flow_is_no_task() -> None:
    @flow
    def empty() -> None: ...

    with pytest.raises(ConfigurationError, match="'task' takes a task"):
        run_task(empty)


@pytest.mark.parametrize(
    ("option", "value"),
    [("task_run_id", str(uuid.uuid4())), ("task_run_id", 3), ("context", {}), ("context", "here")],
    ids=str,
)
def test_an_argument_of_the_wrong_type_is_named(option: str, value: Any) -> None:
    @task
    def one() -> int:
        raise AssertionError

    given: dict[str, Any] = {option: value}
    with pytest.raises(ConfigurationError, match=option):
        run_task(one, **given)


@pytest.mark.parametrize("parameters", [[1], "x", 3, [("x", 1)]], ids=repr)
def test_parameters_that_are_no_mapping_are_refused(parameters: Any) -> None:
    @task
    def one(x: int) -> int:
        raise AssertionError

    with pytest.raises(ConfigurationError, match=r"^'parameters' takes a mapping from names to values, not "):
        run_task(one, parameters)


def test_the_engine_that_was_entered_is_the_one_that_is_used() -> None:
    runs: list[TaskRun] = []

    @task
    async def one() -> None:
        runs.append(this_run())

    async def main() -> Engine:
        async with Engine() as engine:
            await run_task(one)
        return engine

    assert asyncio.run(main()) is runs[0].engine


def test_the_parent_is_the_task_that_it_is_called_in() -> None:
    parents: list[Any] = []

    @task
    def child() -> None:
        parents.append(this_run().parent)

    @task
    def parent() -> int:
        run_task(child)
        return this_run().id

    @flow
    def calls() -> int:
        assert this_flow().flow is not None
        run_id: int = parent()
        return run_id

    assert [calls()] == parents


def test_an_async_generator_task_can_be_run_in_an_own_loop_of_a_sync_flow() -> None:
    @task
    async def count(n: int) -> AsyncGenerator[int]:
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    @flow
    def calls() -> Any:
        return asyncio.run(every(run_task(count, {"n": 3})))

    assert calls() == [0, 1, 2]
