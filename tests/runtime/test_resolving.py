"""Resolving: a value with the futures in it replaced by their results or states, by hand."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import attrs
import pytest

from millrace import (
    BlockingCallOnLoop,
    State,
    UnfinishedRun,
    allow_failure,
    flow,
    opaque,
    quote,
    resolve_futures_to_results,
    resolve_futures_to_states,
    task,
)
from tests.runtime.worlds import World


class Broken(Exception):
    pass


@attrs.frozen
class Box:
    content: Any


@task
def double(x: int) -> int:
    return 2 * x


@task
def bad() -> None:
    raise Broken("as ever")


async def done(world: World, *futures: Any) -> Any:
    """The futures, when they have ended."""
    for future in futures:
        await world.ended(future)
    return futures


def test_futures_become_results_at_any_depth(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        (f,) = await done(world, tell.submit(2))
        assert resolve_futures_to_results(f) == 4
        assert resolve_futures_to_results([f, {"a": (f, Box({f}))}]) == [4, {"a": (4, Box({4}))}]
        futures = tell.map(range(3))
        await world.result(futures)
        found = resolve_futures_to_results(futures)
        assert found == [0, 2, 4]
        assert type(found) is list

    world.body(body)


def test_futures_become_states_at_any_depth(world: World) -> None:
    tell, fail = world.task(double.fn), world.task(bad.fn)

    async def body() -> None:
        good, failed = await done(world, tell.submit(2), fail.submit())
        found = resolve_futures_to_states({"a": [good], "b": Box(failed)})
        assert found["a"][0].result() == 4
        assert found["b"].content.is_failed()
        assert isinstance(resolve_futures_to_states(good), State)

    world.body(body)


def test_a_value_without_futures_is_the_same_object() -> None:
    for value in ([1, {"a": (2,)}], {"a": 1}, Box([1]), "text", 3, None, object()):
        assert resolve_futures_to_results(value) is value
        assert resolve_futures_to_states(value) is value


def test_states_stay_states(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        state = await world.ended(tell.submit(2))
        value = [state]
        assert resolve_futures_to_results(value) is value
        assert resolve_futures_to_states(value) is value

    world.body(body)


def test_results_of_failed_runs_are_raised(world: World) -> None:
    fail, tell = world.task(bad.fn), world.task(double.fn)

    async def body() -> None:
        failed = fail.submit()
        skipped = tell.submit(failed)
        await done(world, failed, skipped)
        with pytest.raises(Broken):
            resolve_futures_to_results([failed])
        with pytest.raises(UnfinishedRun):
            resolve_futures_to_results({"a": skipped})

    world.body(body)


def test_annotations_stay_and_quoted_futures_too(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        (f,) = await done(world, tell.submit(2))
        assert resolve_futures_to_results([quote([f]), f]) == [quote([f]), 4]
        assert resolve_futures_to_results(allow_failure([f])) == allow_failure([4])
        assert resolve_futures_to_results(opaque(f)) == opaque(4)
        assert resolve_futures_to_results([opaque([f])]) == [opaque([f])]
        value = quote(f)
        assert resolve_futures_to_states(value) is value

    world.body(body)


def test_a_structure_that_holds_itself_is_resolved(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        (f,) = await done(world, tell.submit(2))
        value: dict[str, Any] = {"f": f}
        value["self"] = [value]
        found = resolve_futures_to_results(value)
        assert found["f"] == 4
        assert found["self"][0] is found

    world.body(body)


def test_in_sync_code_futures_are_waited_for() -> None:
    go = Event()

    @task
    def late() -> int:
        assert go.wait(20)
        return 1

    @flow
    def body() -> Any:
        future = late.submit()
        go.set()
        assert resolve_futures_to_states([future])[0].is_completed()
        return resolve_futures_to_results({"a": late.submit()})

    assert body() == {"a": 1}


@pytest.mark.anyio
async def test_on_the_thread_of_a_loop_one_that_is_not_done_is_an_error_that_says_to_await() -> None:
    gate = asyncio.Event()

    @task
    async def late() -> int:
        await gate.wait()
        return 1

    @flow
    async def body() -> None:
        future = late.submit()
        for resolve in (resolve_futures_to_results, resolve_futures_to_states):
            with pytest.raises(BlockingCallOnLoop, match="await the future"):
                resolve([future])
        gate.set()
        await future
        assert resolve_futures_to_results([future]) == [1]

    await body()
