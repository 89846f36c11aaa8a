"""Contexts: which run the code at hand belongs to, its tags, and the context variables of users."""

from __future__ import annotations

import asyncio
import contextvars
import itertools
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Thread, current_thread
from typing import Any

import pytest

from millrace import (
    ConfigurationError,
    Engine,
    FlowRunContext,
    MissingContextError,
    SequentialTaskRunner,
    TaskRunContext,
    ThreadPoolTaskRunner,
    flow,
    get_run_context,
    quote,
    tags,
    task,
)
from tests.runtime.worlds import PATIENCE, World

VARIABLE: contextvars.ContextVar[str] = contextvars.ContextVar("users_variable", default="unset")


def flow_context() -> FlowRunContext:
    context = FlowRunContext.get()
    assert context is not None
    return context


def task_context() -> TaskRunContext:
    context = TaskRunContext.get()
    assert context is not None
    return context


# Which run.


def test_outside_of_any_run_there_is_no_context() -> None:
    assert FlowRunContext.get() is None
    assert TaskRunContext.get() is None
    with pytest.raises(
        MissingContextError,
        match=r"^get_run_context\(\) needs a flow run or a task run around it, and there is none here",
    ):
        get_run_context()


def test_inside_a_flow_there_is_its_context(world: World) -> None:
    @world.flow
    def body(x: int, y: str = "default") -> None:
        context = flow_context()
        assert context.flow is body
        assert context.flow_run.flow is body
        assert context.parameters == {"x": 1, "y": "default"}
        assert context.start_time.tzinfo is UTC
        assert context.start_time <= datetime.now(UTC)
        assert context.flow_run.state.is_running()
        assert TaskRunContext.get() is None
        assert get_run_context() == context

    world.run(body, 1)


def test_they_say_when_their_runs_began_and_not_when_they_were_made(world: World) -> None:
    clock = itertools.count(1_800_000_000 * 10**9, 10**9)

    @world.task
    def inner() -> Any:
        return quote((task_context().start_time, task_context().task_run))

    async def body() -> Any:
        began, run = (await world.result(inner.submit())).unquote()
        assert (began, run.expected_start_time < began) == (run.start_time, True)
        return quote((flow_context().start_time, flow_context().flow_run))

    with Engine(clock=lambda: next(clock)) as engine:
        began, run = world.run(world.flow(body), engine=engine).unquote()
    assert (began, run.expected_start_time < began) == (run.start_time, True)


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_inside_a_task_there_is_its_context_and_that_of_its_flow(world: World, how: str) -> None:
    @world.task
    def one() -> int:
        return 1

    @world.task
    def take(a: Any, b: str = "default") -> Any:
        context = task_context()
        assert context.task is take
        assert context.task_run.task is take
        assert context.parameters == {"a": 1, "b": "default"}
        assert context.start_time.tzinfo is UTC
        assert context.task_run.state.is_running()
        assert get_run_context() == context
        return quote((context.task_run.uuid, flow_context().flow_run.uuid))

    async def body() -> None:
        upstream = one.submit()
        await world.ended(upstream)
        if how == "submit":
            future = take.submit(upstream)
            found, flow_id = (await world.result(future)).unquote()
            assert found == future.task_run_id
        elif how == "map":
            (future,) = take.map([upstream])
            found, flow_id = (await world.result(future)).unquote()
            assert found == future.task_run_id
        else:
            _, flow_id = (await world.call(take, upstream)).unquote()
        assert flow_id == flow_context().flow_run.uuid

    world.body(body)


def test_a_task_outside_of_any_flow_has_a_context_without_a_flow(world: World) -> None:
    @world.task
    def take() -> bool:
        assert FlowRunContext.get() is None
        return get_run_context() == task_context()

    assert take.submit().result(timeout=PATIENCE) is True


def test_a_subflow_has_a_context_of_its_own(world: World) -> None:
    @world.flow
    def inner() -> Any:
        return quote(flow_context().flow_run)

    async def body() -> None:
        outer = flow_context().flow_run
        run = (await world.call(inner)).unquote()
        assert run is not outer
        assert run.parent is outer
        assert flow_context().flow_run is outer

    world.body(body)


def test_a_flow_inside_a_task_has_a_context_of_its_own(world: World) -> None:
    seen: list[Any] = []

    @flow
    def inner() -> None:
        seen.append((FlowRunContext.get(), TaskRunContext.get(), get_run_context()))

    @task
    def take() -> Any:
        before = get_run_context()
        inner()
        assert get_run_context() == before
        return quote(before.task_run.id if isinstance(before, TaskRunContext) else None)

    async def body() -> Any:
        return (await world.result(take.submit())).unquote()

    task_run_id = world.body(body)
    ((flow_found, task_found, innermost),) = seen
    assert task_found is None
    assert innermost == flow_found
    assert flow_found.flow is inner
    assert flow_found.flow_run.caller == task_run_id


def test_a_task_inside_a_task_knows_the_run_that_started_it(world: World) -> None:
    @world.task
    def child(_x: int = 0) -> Any:
        return quote(task_context().task_run.parent)

    @world.task
    def parent() -> Any:
        futures = [child.submit(), *child.map([1])]
        return quote((task_context().task_run.id, futures))

    async def body() -> None:
        future = parent.submit()
        run_id, started = (await world.result(future)).unquote()
        assert len(started) == 2
        for each in started:
            assert (await world.result(each)).unquote() == run_id
        assert future.source.parent is None

    world.body(body)


def test_after_the_flow_nothing_is_left_of_its_context(world: World) -> None:
    @world.flow
    def body() -> None:
        flow_context()

    @world.flow
    def failing() -> None:
        raise ValueError("as ever")

    world.run(body)
    world.run(failing, return_state=True)
    assert FlowRunContext.get() is None
    with tags("t"):
        world.run(body)
        assert FlowRunContext.get() is None


@pytest.mark.anyio
async def test_after_an_awaited_flow_or_task_nothing_is_left_of_its_context() -> None:
    @task
    async def take() -> None:
        task_context()
        await asyncio.sleep(0)
        task_context()

    @flow
    async def body() -> None:
        await take()
        assert TaskRunContext.get() is None
        flow_context()

    await body()
    assert FlowRunContext.get() is None
    await take()
    assert TaskRunContext.get() is None


@pytest.mark.anyio
async def test_flows_side_by_side_see_each_its_own() -> None:
    turns = [asyncio.Event() for _ in range(2)]

    @flow
    async def body(index: int) -> bool:
        before = flow_context().flow_run.uuid
        turns[index].set()
        await turns[1 - index].wait()
        return flow_context().flow_run.uuid == before and flow_context().parameters == {"index": index}

    assert list(await asyncio.gather(body(0), body(1))) == [True, True]


@pytest.mark.anyio
async def test_tasks_side_by_side_see_each_its_own() -> None:
    together = asyncio.Event()
    seen: set[Any] = set()

    @task
    async def take(x: int) -> bool:
        before = task_context().task_run.uuid
        seen.add(before)
        if len(seen) == 10:
            together.set()
        await together.wait()
        return task_context().task_run.uuid == before and task_context().parameters == {"x": x}

    @flow
    async def body() -> Any:
        return await take.map(range(10))

    assert await body() == [True] * 10
    assert len(seen) == 10


@pytest.mark.parametrize(
    "runner", [None, SequentialTaskRunner(), ThreadPoolTaskRunner(max_workers=2)], ids=["default", "sequential", "pool"]
)
def test_the_context_goes_along_into_every_task_runner(world: World, runner: Any) -> None:
    @world.task
    def take(_x: int) -> Any:
        assert isinstance(get_run_context(), TaskRunContext)
        return flow_context().flow_run.id

    @world.flow(task_runner=runner)
    async def body() -> Any:
        found = await world.result(take.map(range(3)))
        return set(found) == {flow_context().flow_run.id}

    assert world.run(body) is True


def test_the_context_goes_along_into_copied_contexts_of_threads_of_the_users(world: World) -> None:
    async def body() -> None:
        found: list[Any] = []
        context = contextvars.copy_context()
        thread = Thread(target=lambda: context.run(lambda: found.append(flow_context().flow_run.id)))
        thread.start()
        if world.async_flows:
            found.append(await asyncio.to_thread(lambda: flow_context().flow_run.id))
        thread.join(PATIENCE)
        assert set(found) == {flow_context().flow_run.id}

    world.body(body)


def test_a_thread_without_it_belongs_to_no_run(world: World) -> None:
    async def body() -> None:
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(FlowRunContext.get).result(PATIENCE) is None

    world.body(body)


@pytest.mark.anyio
async def test_the_context_goes_along_into_asyncio_tasks_of_the_users() -> None:
    @flow
    async def body() -> None:
        async def inside() -> Any:
            await asyncio.sleep(0)
            return flow_context().flow_run.id

        assert list(await asyncio.gather(inside(), inside())) == [flow_context().flow_run.id] * 2

    await body()


def test_a_background_flow_has_its_context_too(world: World) -> None:
    engine = Engine()

    @world.flow
    def body() -> Any:
        return flow_context().flow_run.uuid

    future = engine.start(body)
    assert future.result(timeout=PATIENCE) == future.flow_run_id
    engine.close()


# Tags.


def tags_of_a_task(world: World) -> Any:
    @world.task(tags=["own"])
    def tagged(_x: int = 0) -> Any:
        return task_context().task_run.tags

    return tagged


def test_tags_are_added_to_the_runs_that_are_started_inside(world: World) -> None:
    tagged = tags_of_a_task(world)

    async def body() -> None:
        with tags("a", "b") as both:
            assert both == {"a", "b"}
            assert await world.result(tagged.submit()) == {"own", "a", "b"}
            assert await world.result(tagged.map([1, 2])) == [{"own", "a", "b"}] * 2
            assert await world.call(tagged) == {"own", "a", "b"}
        assert await world.result(tagged.submit()) == {"own"}
        assert await world.result(tagged.map([1])) == [{"own"}]
        assert await world.call(tagged) == {"own"}

    world.body(body)


@pytest.mark.parametrize("wrong", [3, None, ["a", "b"]], ids=str)
def test_a_tag_that_is_no_text_is_refused(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'tags' takes strings, each by itself, not "), tags("a", wrong):
        raise AssertionError
    with tags("b") as all_tags:
        assert all_tags == {"b"}


def test_tags_nest(world: World) -> None:
    tagged = tags_of_a_task(world)

    async def body() -> None:
        with tags("a"), tags("b", "a") as both:
            assert both == {"a", "b"}
            assert await world.result(tagged.submit()) == {"own", "a", "b"}
        with tags("a"):
            with tags("b"):
                pass
            assert await world.result(tagged.submit()) == {"own", "a"}

    world.body(body)


def test_tags_are_taken_back_when_the_block_raises(world: World) -> None:
    tagged = tags_of_a_task(world)

    async def body() -> None:
        with pytest.raises(ValueError, match="as ever"), tags("a"):
            raise ValueError("as ever")
        assert await world.result(tagged.submit()) == {"own"}

    world.body(body)


def test_tags_around_a_flow_are_its_own_and_its_tasks(world: World) -> None:
    tagged = tags_of_a_task(world)

    async def body() -> None:
        assert flow_context().flow_run.tags == {"a"}
        assert await world.result(tagged.submit()) == {"own", "a"}

    with tags("a"):
        world.body(body)

    async def later() -> None:
        assert flow_context().flow_run.tags == frozenset()

    world.body(later)


def test_a_subflow_takes_tags_from_its_parent(world: World) -> None:
    tagged = tags_of_a_task(world)

    @world.flow
    async def inner() -> Any:
        return quote((flow_context().flow_run.tags, await world.result(tagged.submit())))

    async def body() -> None:
        with tags("b"):
            assert (await world.call(inner)).unquote() == ({"a", "b"}, {"own", "a", "b"})
        assert (await world.call(inner)).unquote() == ({"a"}, {"own", "a"})

    with tags("a"):
        world.body(body)


def test_tags_that_hold_where_a_run_is_submitted_hold_in_its_body(world: World) -> None:
    tagged = tags_of_a_task(world)

    @world.task
    async def parent() -> Any:
        with tags("inner"):
            future = tagged.submit()
        return await future if world.async_tasks else future.result(timeout=PATIENCE)

    async def body() -> Any:
        with tags("outer"):
            future = parent.submit()
        return await world.result(future)

    assert world.body(body) == {"own", "outer", "inner"}


@pytest.mark.anyio
async def test_tags_of_flows_side_by_side_do_not_mix() -> None:
    turns = [asyncio.Event() for _ in range(2)]

    @flow
    async def body(index: int) -> Any:
        with tags(f"t{index}"):
            turns[index].set()
            await turns[1 - index].wait()

            @task
            def tagged() -> Any:
                return task_context().task_run.tags

            return await tagged.submit()

    assert list(await asyncio.gather(body(0), body(1))) == [{"t0"}, {"t1"}]


# Context variables of users.


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_a_body_sees_what_was_set_where_it_was_started(world: World, how: str) -> None:
    @world.task
    def look(_x: int = 0) -> str:
        return VARIABLE.get()

    async def body() -> Any:
        VARIABLE.set("in the flow")
        if how == "submit":
            future = look.submit()
        elif how == "map":
            (future,) = look.map([1])
        else:
            return await world.call(look)
        VARIABLE.set("changed later")
        return await world.result(future)

    assert world.body(body) == "in the flow"


def test_a_flow_sees_what_its_caller_set(world: World) -> None:
    async def body() -> str:
        return VARIABLE.get()

    token = VARIABLE.set("in the caller")
    try:
        assert world.body(body) == "in the caller"
    finally:
        VARIABLE.reset(token)


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_what_a_task_sets_is_seen_neither_by_its_flow_nor_by_other_tasks(world: World, how: str) -> None:
    @world.task
    def change(x: int = 0) -> str:
        before = VARIABLE.get()
        VARIABLE.set(f"in task {x}")
        return before

    async def body() -> None:
        for _ in range(3):
            if how == "submit":
                assert await world.result(change.submit()) == "unset"
            elif how == "map":
                assert await world.result(change.map(range(3))) == ["unset"] * 3
            else:
                assert await world.call(change) == "unset"
            assert VARIABLE.get() == "unset"

    world.body(body)


def test_what_a_flow_sets_does_not_leak_back_to_the_caller(world: World) -> None:
    async def body() -> None:
        VARIABLE.set("in the flow")

    world.body(body)
    assert VARIABLE.get() == "unset"


@pytest.mark.anyio
async def test_what_an_awaited_flow_or_task_sets_does_not_leak_back_to_the_caller() -> None:
    @task
    async def change() -> None:
        VARIABLE.set("in the task")
        await asyncio.sleep(0)
        assert VARIABLE.get() == "in the task"

    @flow
    async def body() -> None:
        VARIABLE.set("in the flow")
        await change()
        await asyncio.sleep(0)
        assert VARIABLE.get() == "in the flow"

    await body()
    assert VARIABLE.get() == "unset"
    await change()
    assert VARIABLE.get() == "unset"


def test_what_a_subflow_sets_does_not_leak_back_to_its_parent(world: World) -> None:
    @world.flow
    def inner() -> str:
        before = VARIABLE.get()
        VARIABLE.set("inside")
        return before

    async def body() -> None:
        VARIABLE.set("outside")
        assert await world.call(inner) == "outside"
        assert VARIABLE.get() == "outside"

    world.body(body)


def test_each_attempt_begins_with_what_was_set_at_the_start(world: World) -> None:
    seen: list[str] = []

    @world.task(retries=2)
    def flaky() -> None:
        seen.append(VARIABLE.get())
        VARIABLE.set("left by an attempt")
        if len(seen) < 3:
            raise ValueError("not yet")

    async def body() -> None:
        VARIABLE.set("at the start")
        await world.result(flaky.submit())

    world.body(body)
    assert seen == ["at the start"] * 3


def test_nothing_stays_behind_in_the_threads_of_the_engine() -> None:
    engine = Engine(threads=1)
    threads: set[Any] = set()

    @task
    def change() -> str:
        threads.add(current_thread())
        before = VARIABLE.get()
        VARIABLE.set("left in the thread")
        return before

    @flow
    def body() -> list[str]:
        return [change.submit().result(timeout=PATIENCE) for _ in range(3)]

    assert engine.start(body).result(timeout=PATIENCE) == ["unset"] * 3
    assert len(threads) == 1
    engine.close()
