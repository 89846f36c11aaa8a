"""Who waits in vain through other runs: whatever the holder of a slot waits for, and however that comes to need it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from threading import Event
from typing import Any

import pytest

from millrace import DeadlockError, Engine, UnfinishedRun, as_completed, concurrency, flow, task
from millrace.runtime.entering import stand_in
from tests.checkpoints import until
from tests.runtime.limits.held import held
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, SYNC_IN_ASYNC, World

TASKS = {"async": ASYNC, "sync": SYNC}


async def outcome(world: World, future: Any) -> Any:
    """What a future comes to, in the body of a task."""
    return await future if world.async_tasks else future.result()


async def listed(world: World, several: Any) -> list[Any]:
    """All that can be iterated over, in the body of a task."""
    return [each async for each in several] if world.async_tasks else list(several)


HOWS = ("await", "list", "as_completed", "stream", "streams", "through a run", "through a dependency", "subflow")


@pytest.mark.parametrize("how", HOWS)
def test_what_a_holder_waits_for_is_told_that_it_needs_the_same_slot(world: World, how: str) -> None:
    tasks = TASKS["async" if world.async_tasks else "sync"]

    @world.task(tags=["db"])
    def wants(item: Any) -> Any:
        return item

    @world.task
    def passes(item: Any) -> Any:
        return item

    @world.task
    async def asks() -> Any:
        return await outcome(tasks, wants.submit(1))

    @tasks.flow
    async def inner(item: Any) -> Any:
        return await outcome(tasks, wants.submit(item))

    async def each_as_completed() -> Any:
        return [await outcome(tasks, each) for each in await listed(tasks, as_completed([wants.submit(1)]))]

    async def subflow() -> Any:
        return await inner(1) if tasks.async_flows else inner(1)

    ways = {
        "await": lambda: outcome(tasks, wants.submit(1)),
        "list": lambda: outcome(tasks, wants.map([1, 2])),
        "as_completed": each_as_completed,
        "stream": lambda: listed(tasks, wants.stream([1, 2])),
        "streams": lambda: listed(tasks, passes.stream(wants.stream([1, 2]))),
        "through a run": lambda: outcome(tasks, asks.submit()),
        "through a dependency": lambda: outcome(tasks, passes.submit(wants.submit(1))),
        "subflow": subflow,
    }

    @world.task(tags=["db"])
    async def holds() -> Any:
        return await ways[how]()

    async def body() -> str:
        return repr(await world.error(holds.submit()))

    told: list[Any] = []
    engine = Engine(limits={"db": 1})
    engine.subscribe(lambda event: told.append(event.state.data) if event.state.is_failed() else None)
    world.body(body, engine=engine)
    assert isinstance(told[0], DeadlockError)
    assert (told[0].waiter.split("-")[0], told[0].holder.split("-")[0]) == ("task run 'wants", "task run 'holds")
    assert (engine.limits["db"].held, engine.limits["db"].waiters()) == (0, [])
    engine.close()


@pytest.mark.parametrize("world", [ASYNC, SYNC_IN_ASYNC], ids=["async", "sync"])
@pytest.mark.anyio
async def test_a_run_that_was_started_elsewhere_and_waits_for_one_that_needs_the_slot_is_seen_through(
    world: World,
) -> None:
    tasks = TASKS["async" if world.async_tasks else "sync"]
    started: dict[str, Any] = {}

    @world.task(tags=["db"])
    def wants() -> None:
        """Never runs."""

    @world.task
    async def between() -> Any:
        return await outcome(tasks, started["wants"])

    @world.task
    async def holds() -> Any:
        async with held(world.async_tasks, "db"):
            started["held"] = True
            await gate.passed()
            return await outcome(tasks, started["between"])

    @flow
    async def work(engine: Engine) -> BaseException:
        holding = holds.submit()
        await until(lambda: "held" in started)
        started["wants"] = wants.submit()  # nothing of this was started by the one that holds the slot
        started["between"] = between.submit()
        await until(lambda: len(engine.limits["db"].waiters()) == 1)
        gate.open()
        with pytest.raises(DeadlockError) as caught:
            await started["wants"]
        await holding.wait_async()
        return caught.value

    gate = world.gate()
    async with Engine(limits={"db": 1}) as engine:
        error = await work(engine)
    assert isinstance(error, DeadlockError)
    assert (error.waiter.split("-")[0], error.holder.split("-")[0]) == ("task run 'wants", "task run 'holds")


@pytest.mark.parametrize("how", ["await", "stream", "as_completed"])
def test_what_a_holder_has_started_and_does_not_wait_for_is_served_when_it_is_done(world: World, how: str) -> None:
    tasks = TASKS["async" if world.async_tasks else "sync"]
    later: list[Any] = []

    @world.task(tags=["db"])
    def wants() -> str:
        return "served"

    @world.task
    def other(item: int) -> int:
        return item

    @world.task(tags=["db"])
    async def holds(engine: Engine) -> None:
        later.append(wants.submit())
        while not engine.limits["db"].waiters():
            await asyncio.sleep(0) if world.async_tasks else None
        if how == "await":
            await outcome(tasks, other.submit(1))
        elif how == "stream":
            await listed(tasks, other.stream(range(5)))
        else:
            await listed(tasks, as_completed([other.submit(item) for item in range(5)]))

    async def body() -> Any:
        await world.result(holds.submit(engine))
        return await world.result(later[0])

    engine = Engine(limits={"db": 1})
    with stand_in(engine):
        assert world.body(body, engine=engine) == "served"
    engine.close()


@pytest.mark.parametrize("how", ["await", "as_completed", "what depends on it", "what depends on that"])
@pytest.mark.anyio
async def test_whoever_waits_for_a_late_item_of_a_map_waits_for_those_before_it(how: str) -> None:
    """As long as sixteen of a map wait, the items behind them ask for nothing: but they need the slot all the same."""

    @ASYNC.task(tags=["db", "disk"])
    def wants_both() -> str:
        return "served"

    @ASYNC.task(tags=["db"])
    def wants(item: int) -> int:
        return item

    @ASYNC.task
    def depends(item: int) -> int:
        return item

    async def wait_for(item: Any) -> None:
        if how == "as_completed":
            await _first_of(as_completed([item]))
        elif how == "await":
            await item
        else:
            first = depends.submit(item)
            await (first if how == "what depends on it" else depends.submit(first))

    @flow
    async def work(engine: Engine) -> str:
        async with concurrency("disk"):
            both = wants_both.submit()
            await until(lambda: len(engine.limits["db"].waiters()) == 1)  # it is before the map, and has to wait
            items = wants.map(range(20))
            await until(lambda: len(engine.limits["db"].waiters()) == 17)
            with pytest.raises((DeadlockError, UnfinishedRun)):  # the run that it needs has failed with the first
                await wait_for(items[-1])
        return str(await both)

    async with Engine(limits={"db": 1, "disk": 1}) as engine:
        assert await work(engine) == "served"


async def _first_of(several: Any) -> Any:
    return await (await anext(aiter(several)))


@pytest.mark.parametrize("kind", ["async", "sync"])
@pytest.mark.anyio
async def test_who_asks_a_generator_for_a_value_waits_for_its_slot(kind: str) -> None:
    @task(tags=["db"])
    async def numbers() -> AsyncGenerator[int]:
        yield 1

    @task(tags=["db"])
    def sync_numbers() -> Generator[int]:
        yield 1

    @task
    async def iterates() -> list[int]:
        return [each async for each in numbers()]

    @task
    def sync_iterates() -> list[int]:
        return list(sync_numbers())

    @task(tags=["db"])
    async def holds() -> list[int]:
        return await (iterates.submit() if kind == "async" else sync_iterates.submit())

    @flow
    async def work() -> None:
        with pytest.raises(DeadlockError):
            await holds()

    async with Engine(limits={"db": 1}):
        await work()


def test_who_waits_for_a_run_waits_for_what_that_calls_in_its_own_thread() -> None:
    taken = Event()

    @task(tags=["db"])
    def wants() -> str:
        return "served"

    @task
    def asks() -> Any:
        assert taken.wait(PATIENCE)
        return wants.submit().result()

    @task
    def calls() -> Any:
        return asks()

    @flow
    def holds() -> Any:
        called = calls.submit()  # before there is anything that is held around it
        with concurrency("db"):
            taken.set()
            with pytest.raises(DeadlockError):
                called.result()
        return wants()

    with Engine(limits={"db": 1}):
        assert holds() == "served"
