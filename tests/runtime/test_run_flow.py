"""`run_flow`: a flow and its parameters in hand, in place of a call."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncGenerator, Generator
from contextvars import ContextVar, copy_context
from typing import Any

import pytest

from millrace import (
    ConfigurationError,
    FlowDefinitionError,
    FlowRunContext,
    ParameterTypeError,
    SignatureMismatchError,
    State,
    UpstreamTaskError,
    flow,
    run_flow,
    task,
)
from tests.runtime.worlds import World


class Broken(Exception):
    pass


COLOUR: ContextVar[str] = ContextVar("colour", default="none")


def run(world: World, made: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a flow with `run_flow` from plain code."""
    if not world.async_flows:
        return run_flow(made, *args, **kwargs)

    async def main() -> Any:
        return await run_flow(made, *args, **kwargs)

    with asyncio.Runner(loop_factory=world.new_loop) as runner:
        return runner.run(main())


async def run_inside(world: World, made: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a flow with `run_flow` from the body of another."""
    value = run_flow(made, *args, **kwargs)
    return await value if world.async_flows else value


async def body(x: int, *rest: int, y: int = 2, **more: int) -> Any:
    return x, rest, y, more


def test_it_gives_the_result(world: World) -> None:
    assert run(world, world.flow(body), {"x": 1, "y": 3}) == (1, (), 3, {})


def test_parameters_are_given_by_name_whatever_their_kind(world: World) -> None:
    assert run(world, world.flow(body), {"x": 1, "rest": (5, 6), "more": {"z": 7}}) == (1, (5, 6), 2, {"z": 7})


def test_it_gives_the_state_where_that_is_asked_for(world: World) -> None:
    state = run(world, world.flow(body), {"x": 1}, return_type="state")
    assert isinstance(state, State)
    assert state.result() == (1, (), 2, {})


def test_a_failure_is_raised_or_in_the_state(world: World) -> None:
    async def fails() -> None:
        raise Broken

    made = world.flow(fails)
    with pytest.raises(Broken):
        run(world, made)
    assert run(world, made, return_type="state").is_failed()


def test_an_async_flow_gives_a_coroutine() -> None:
    coroutine = run_flow(flow(body), {"x": 1})
    assert inspect.iscoroutine(coroutine)
    assert asyncio.run(coroutine) == (1, (), 2, {})


def test_in_a_sync_flow_an_async_one_gives_its_result() -> None:
    inner = flow(body)

    @flow
    def outer() -> Any:
        return run_flow(inner, {"x": 1}), run_flow(inner, {"x": 1}, context=copy_context())

    assert outer() == ((1, (), 2, {}),) * 2


@pytest.mark.parametrize("return_type", ["future", "State", "", None])
def test_another_return_type_is_refused(return_type: Any) -> None:
    with pytest.raises(ValueError, match=r"^'return_type' takes 'result' or 'state', not "):
        run_flow(flow(body), {"x": 1}, return_type=return_type)


@pytest.mark.parametrize("thing", [lambda: 1, 5, None], ids=repr)
def test_what_is_no_flow_is_refused(thing: Any) -> None:
    with pytest.raises(FlowDefinitionError, match=r"^run_flow\(\) of"):
        run_flow(thing)


def test_parameters_that_are_no_mapping_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^'parameters' takes a mapping from names to values, not \[1\]"):
        run_flow(flow(body), [1])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_context_that_is_none_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"^'context' takes a context"):
        run_flow(flow(body), {"x": 1}, context={})  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("parameters", [{}, {"y": 1}, {"x": 1, "rest": 5, "unknown": 2}], ids=str)
def test_parameters_have_to_fit(parameters: Any) -> None:
    @flow
    def strict(x: int, y: int = 2) -> int:
        return x + y

    with pytest.raises(SignatureMismatchError):
        run_flow(strict, parameters)


def test_parameters_are_validated(world: World) -> None:
    with pytest.raises(ParameterTypeError):
        run(world, world.flow(body), {"x": "nothing"})


def test_the_mapping_is_left_as_it_is(world: World) -> None:
    given = {"x": "1"}
    run(world, world.flow(body), given)
    assert given == {"x": "1"}


def test_in_a_flow_it_runs_a_subflow_that_waits(world: World) -> None:
    inner = world.flow(body)
    order: list[str] = []

    @world.task
    def work() -> None:
        order.append("work")

    async def outer() -> Any:
        future = work.submit()
        result = await run_inside(world, inner, {"x": 1}, wait_for=[future])
        order.append("after")
        return result

    assert world.body(outer) == (1, (), 2, {})
    assert order == ["work", "after"]


def test_in_a_flow_what_it_waits_for_has_to_complete(world: World) -> None:
    inner = world.flow(body)

    @world.task
    def bad() -> None:
        raise Broken

    async def outer() -> int:
        value = bad.submit()
        with pytest.raises(UpstreamTaskError):
            await run_inside(world, inner, {"x": 1}, wait_for=[value])
        return 1

    assert world.body(outer) == 1


def test_outside_of_a_flow_there_is_nothing_to_wait_for(world: World) -> None:
    with pytest.raises(ConfigurationError, match=r"^'wait_for' takes nothing"):
        run(world, world.flow(body), {"x": 1}, wait_for=[5])


def test_it_runs_in_a_copy_of_the_context_that_is_given(world: World) -> None:
    async def asks() -> str:
        before = COLOUR.get()
        COLOUR.set("of the body")
        return before

    context = copy_context()
    context.run(COLOUR.set, "red")
    assert run(world, world.flow(asks), context=context) == "red"
    assert context.run(COLOUR.get) == "red"
    assert COLOUR.get() == "none"


def test_the_context_says_which_flow_it_belongs_to(world: World) -> None:
    inner = world.flow(body)
    contexts: list[Any] = []

    async def outer() -> Any:
        contexts.append(copy_context())
        context = FlowRunContext.get()
        assert context is not None
        result = await run_inside(world, inner, {"x": 1}, context=contexts[0])
        return result, context.flow_run.spawned

    assert world.body(outer) == ((1, (), 2, {}), 1)


def test_a_generator_flow_gives_a_generator() -> None:
    @flow
    def count(n: int) -> Generator[str]:
        for i in range(n):
            yield f"{COLOUR.get()} {i}"

    @flow
    async def count_async(n: int) -> AsyncGenerator[str]:
        for i in range(n):
            yield f"{COLOUR.get()} {i}"

    context = copy_context()
    context.run(COLOUR.set, "red")

    async def collected(call: Any) -> list[str]:
        return [value async for value in call]

    assert list(run_flow(count, {"n": 2})) == ["none 0", "none 1"]
    assert list(run_flow(count, {"n": 1}, context=context)) == ["red 0"]
    assert asyncio.run(collected(run_flow(count_async, {"n": 2}))) == ["none 0", "none 1"]


def test_methods_run_too() -> None:
    class Crawler:
        @flow
        def crawl(self, depth: int) -> int:
            return depth + 1

    assert run_flow(Crawler().crawl, {"depth": 1}) == 2


def test_cancelled_it_is_the_flow_that_is_cancelled() -> None:
    seen: list[str] = []

    @task
    async def waits() -> None:
        await asyncio.Event().wait()

    @flow(on_crashed=[lambda *each: seen.append(each[2].name)])
    async def outer() -> None:
        await waits()

    async def main() -> None:
        call = asyncio.create_task(run_flow(outer))
        await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call

    asyncio.run(main())
    assert seen == ["Crashed"]
