"""Who comes next of those who wait for a limit: the highest priority, and among equals whoever came first."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from millrace import Engine, RateLimit, concurrency, flow, rate_limit
from millrace.runtime.limits.maps import ENOUGH
from tests.checkpoints import until
from tests.runtime.limits.held import held
from tests.runtime.worlds import ASYNC, SYNC_IN_ASYNC, World

PRIORITIES = (0, -1, 5, 0, 5, 9)
ORDER = [(9, 5), (5, 2), (5, 4), (0, 0), (0, 3), (-1, 1)]

pytestmark = [pytest.mark.anyio, pytest.mark.parametrize("world", [ASYNC, SYNC_IN_ASYNC], ids=["async", "sync"])]


def waiting(engine: Engine, name: str = "db") -> int:
    """How many wait for a limit."""
    return len(engine.limits[name].waiters())


async def test_runs_that_wait_for_the_limit_of_a_tag_are_served_by_their_priorities(world: World) -> None:
    order: list[Any] = []

    @world.task(tags=["db"])
    async def load(item: Any) -> None:
        order.append(item)

    @flow
    async def work(engine: Engine) -> None:
        futures: list[Any] = []
        async with concurrency("db"):
            for number, priority in enumerate(PRIORITIES):
                futures.append(load.submit((priority, number), priority=priority))
                await until(lambda: waiting(engine) == len(futures))
        for each in futures:
            await each

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
    assert order == ORDER


async def test_bodies_wait_with_the_priority_of_their_run(world: World) -> None:
    order: list[Any] = []

    @world.task
    async def load(item: Any) -> None:
        async with held(world.async_tasks, "db"):
            order.append(item)

    @flow
    async def work(engine: Engine) -> None:
        futures: list[Any] = []
        async with concurrency("db"):
            for number, priority in enumerate(PRIORITIES):
                futures.append(load.submit((priority, number), priority=priority))
                await until(lambda: waiting(engine) == len(futures))
            assert [each.name for each in engine.limits["db"].waiters()] == [futures[n].name for _, n in ORDER]
        for each in futures:
            await each

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
    assert order == ORDER


async def test_a_map_that_waits_is_passed_by_one_of_a_higher_priority(world: World) -> None:
    order: list[Any] = []

    @world.task(tags=["db"])
    async def load(item: Any) -> None:
        order.append(item)

    @flow
    async def work(engine: Engine) -> None:
        async with concurrency("db"):
            usual = load.map(range(50))
            await until(lambda: waiting(engine) >= ENOUGH)
            before = waiting(engine)
            soon = load.map(["soon"] * 9, priority=1)
            await until(lambda: waiting(engine) == before + 9)
        await soon
        await usual

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
    assert order[:9] == ["soon"] * 9
    assert sorted(order[9:]) == list(range(50))


async def test_the_items_of_a_stream_are_served_by_its_priority(world: World) -> None:
    order: list[Any] = []

    @world.task(tags=["db"])
    async def load(item: Any) -> Any:
        order.append(item)
        return item

    @flow
    async def work(engine: Engine) -> None:
        async with concurrency("db"):
            usual = load.submit("usual")
            await until(lambda: waiting(engine) == 1)
            soon = asyncio.ensure_future(anext(aiter(load.stream(["soon"], priority=1))))
            await until(lambda: waiting(engine) == 2)
        assert await soon == "soon"
        await usual

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
    assert order == ["soon", "usual"]


async def test_tokens_are_given_out_by_priority(world: World, millrace_engine: Engine, millrace_clock: Any) -> None:
    order: list[Any] = []

    @world.task
    async def ask(item: Any) -> None:
        waits = rate_limit("api")
        if world.async_tasks:
            await waits
        order.append((item, round(millrace_clock.elapsed)))

    @flow
    async def work() -> None:
        futures: list[Any] = [ask.submit("first")]
        await until(lambda: len(order) == 1)
        for priority in (0, 5):
            futures.append(ask.submit(priority, priority=priority))
            await until(lambda: waiting(millrace_engine, "api") == len(futures) - 1)
        for each in futures:
            await each

    millrace_engine.limits.create("api", RateLimit(1, burst=1))
    await work()
    assert order == [("first", 0), (5, 1), (0, 2)]
