"""When slots are given back: at each end that an attempt may come to, and not before its body has stopped."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from contextlib import suppress
from threading import Event
from typing import Any

import pytest

from millrace import (
    Abort,
    AdaptiveLimit,
    Engine,
    MemoryStorage,
    Running,
    StateType,
    cancelled,
    concurrency,
    flow,
    pause_flow_run,
    propose_state,
    resume_flow_run,
    task,
)
from millrace.runtime.caching import INPUTS
from millrace.runtime.entering import stand_in
from tests.checkpoints import turns, until
from tests.runtime.worlds import PATIENCE, World


class Failed(Exception):
    """What bodies raise here."""


def other(engine: Engine, name: str = "db") -> int:
    """How many slots are held."""
    return engine.limits[name].held


# Ends of attempts.


@pytest.mark.parametrize("end", ["return", "raise", "exit"])
def test_a_slot_is_given_back_before_anybody_is_told_of_the_end(world: World, end: str) -> None:
    engine = Engine(limits={"db": 1})

    @world.task(tags=["db"])
    async def load() -> None:
        if end == "raise":
            raise Failed
        if end == "exit":
            raise SystemExit

    async def body() -> None:
        for _ in range(3):
            await world.ended(load.submit())
            assert other(engine) == 0

    world.body(body, engine=engine)
    engine.close()


@pytest.mark.anyio
async def test_a_sync_body_that_is_cancelled_keeps_its_slot_until_it_returns() -> None:
    gate = Event()

    @task(tags=["db"])
    def load() -> None:
        gate.wait(PATIENCE)

    @task(tags=["db"])
    async def after() -> str:
        return "after"

    @flow
    async def work(engine: Engine) -> str:
        future = load.submit()
        await until(lambda: other(engine) == 1)
        future.cancel()
        state = await future.wait_async()
        assert state.is_cancelled()
        waits = after.submit()
        await until(lambda: len(engine.limits["db"].waiters()) == 1)
        assert [each.name for each in engine.limits["db"].holders()] == [future.source.name]
        gate.set()
        return await waits

    async with Engine(limits={"db": 1}) as engine:
        assert await work(engine) == "after"


@pytest.mark.anyio
async def test_a_sync_body_whose_time_is_over_keeps_its_slot_until_it_returns() -> None:
    gate = Event()

    @task(tags=["db"], timeout_seconds=0.02, interruptible=False)
    def load() -> None:
        gate.wait(PATIENCE)

    @flow
    async def work(engine: Engine) -> None:
        state = await load.submit().wait_async()
        assert state.name == "TimedOut"
        assert other(engine) == 1
        gate.set()
        await until(lambda: other(engine) == 0)

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)


@pytest.mark.anyio
async def test_an_async_body_that_does_not_stop_keeps_its_slot_until_it_does() -> None:
    gate = asyncio.Event()

    @task(tags=["db"])
    async def stubborn() -> None:
        while not gate.is_set():
            with suppress(asyncio.CancelledError):
                await gate.wait()

    @flow
    async def work(engine: Engine) -> None:
        future = stubborn.submit()
        await until(lambda: other(engine) == 1)
        future.cancel()
        await future.wait_async()
        assert other(engine) == 1
        gate.set()
        await until(lambda: other(engine) == 0)

    async with Engine(limits={"db": 1}, grace_seconds=0.02) as engine:
        await work(engine)


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_while_it_waits_for_a_slot_never_runs() -> None:
    ran: list[int] = []

    @task(tags=["db"])
    async def load(number: int) -> None:
        ran.append(number)

    @flow
    async def work(engine: Engine) -> None:
        async with concurrency("db"):
            futures = [load.submit(number) for number in range(3)]
            await until(lambda: len(engine.limits["db"].waiters()) == 3)
            futures[0].cancel()
            await until(lambda: len(engine.limits["db"].waiters()) == 2)
        for each in futures:
            await each.wait_async()
        assert [each.state.name for each in futures] == ["Cancelled", "Completed", "Completed"]

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
    assert ran == [1, 2]


@pytest.mark.anyio
async def test_a_run_that_is_served_and_cancelled_before_it_begins_passes_the_slot_on() -> None:
    ran: list[int] = []

    @task(tags=["db"])
    async def load(number: int) -> None:
        ran.append(number)

    @flow
    async def work(engine: Engine) -> None:
        block = concurrency("db")
        await block.__aenter__()
        futures = [load.submit(number) for number in range(2)]
        await until(lambda: len(engine.limits["db"].waiters()) == 2)
        await block.__aexit__(None, None, None)  # it is the first one's, which stands in line
        futures[0].cancel()
        assert [each.name for each in engine.limits["db"].holders()] == [futures[1].source.name]
        await futures[1]

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
    assert ran == [1]


@pytest.mark.anyio
async def test_a_cached_result_takes_no_slot() -> None:
    @task(tags=["db"], cache_policy=INPUTS, result_storage=MemoryStorage())
    async def load(number: int) -> int:
        return number

    @flow
    async def work() -> list[str]:
        await load(1)
        async with concurrency("db"):
            states = [await load.submit(1).wait_async() for _ in range(2)]
        return [state.name for state in states]

    async with Engine(limits={"db": 1}):
        assert await work() == ["Cached", "Cached"]


@pytest.mark.anyio
async def test_a_run_that_waits_for_a_slot_holds_no_lock_of_a_cache() -> None:
    policy = INPUTS.configure(isolation_level="SERIALIZABLE")

    @task(tags=["db"], cache_policy=policy, result_storage=MemoryStorage())
    def load(number: int) -> int:
        return number

    @flow
    async def work(engine: Engine) -> list[int]:
        async with concurrency("db"):
            futures = [load.submit(number // 2) for number in range(6)]
            await until(lambda: len(engine.limits["db"].waiters()) > 0)
            await turns()
        return [await each for each in futures]

    async with Engine(limits={"db": 1}, threads=2) as engine:
        assert await work(engine) == [0, 0, 1, 1, 2, 2]


# Generators.


@pytest.mark.parametrize("end", ["exhausted", "closed", "raised"])
def test_a_generator_holds_its_slot_from_its_first_value_to_its_end(end: str) -> None:
    engine = Engine(limits={"db": 1})

    @task(tags=["db"])
    def pages() -> Generator[int]:
        yield 1
        if end == "raised":
            raise Failed
        yield 2

    @flow
    def work() -> None:
        iterator = pages()
        assert other(engine) == 0
        assert next(iterator) == 1
        assert other(engine) == 1
        if end == "closed":
            iterator.close()
        else:
            with suppress(Failed):
                assert list(iterator) == [2]
        assert other(engine) == 0

    with stand_in(engine):
        work()
    engine.close()


@pytest.mark.anyio
async def test_an_async_generator_that_is_cancelled_between_two_values_gives_its_slot_back() -> None:
    @task(tags=["db"])
    async def pages() -> AsyncGenerator[int]:
        for number in range(100):
            yield number

    @flow
    async def work(engine: Engine) -> None:
        iterator = pages()
        assert await anext(iterator) == 0
        assert other(engine) == 1
        engine.flow_runs()[0].children.copy().popitem()[1].cancel("The test says so.")
        await until(lambda: other(engine) == 0)
        with suppress(Exception):
            await anext(iterator)

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)


def test_a_generator_that_is_cancelled_between_two_values_gives_its_slot_back() -> None:
    engine = Engine(limits={"db": 1})

    @task(tags=["db"])
    def pages() -> Generator[int]:
        while not cancelled():
            yield 1

    @flow
    def work() -> None:
        iterator = pages()
        next(iterator)
        assert other(engine) == 1
        engine.flow_runs()[0].children.copy().popitem()[1].cancel("The test says so.")
        assert other(engine) == 0
        with suppress(Exception):
            next(iterator)

    with stand_in(engine):
        work()
    engine.close()


@pytest.mark.anyio
async def test_generators_wait_for_their_slots() -> None:
    came: list[int] = []

    @task(tags=["db"])
    async def pages(number: int) -> AsyncGenerator[int]:
        came.append(number)
        yield number
        await asyncio.sleep(0)
        came.append(-number)

    async def consume(number: int) -> None:
        async for _ in pages(number):
            await asyncio.sleep(0)

    @flow
    async def work() -> None:
        await asyncio.gather(*(consume(number) for number in range(1, 4)))

    async with Engine(limits={"db": 1}):
        await work()
    assert came == [1, -1, 2, -2, 3, -3]


# Pauses, and states from outside.


@pytest.mark.anyio
async def test_a_run_that_is_refused_by_a_pause_holds_no_slot_meanwhile() -> None:
    @task(tags=["db"])
    async def load() -> str:
        return "loaded"

    @flow
    async def work() -> str:
        async with concurrency("db"):
            future = load.submit()
            await turns()
        await pause_flow_run(timeout=60)
        return await future

    async with Engine(limits={"db": 1}) as engine:
        started = engine.start(work)
        await until(lambda: bool(engine.flow_runs()) and engine.flow_runs()[0].type is StateType.PAUSED)
        await turns(50)
        assert other(engine) == 0
        await resume_flow_run(engine.flow_runs()[0].uuid)
        assert await started == "loaded"


@pytest.mark.anyio
async def test_a_run_that_waits_for_a_slot_runs_by_force_only() -> None:
    @task(tags=["db"])
    async def load() -> str:
        return "loaded"

    @flow
    async def work(engine: Engine) -> str:
        async with concurrency("db"):
            future = load.submit()
            await until(lambda: len(engine.limits["db"].waiters()) == 1)
            with pytest.raises(Abort, match="which it is given in its turn"):
                propose_state(Running(), task_run_id=future.task_run_id)
            propose_state(Running(), task_run_id=future.task_run_id, force=True)
            await until(future.done)
            assert engine.limits["db"].waiters() == []
            return await future

    async with Engine(limits={"db": 1}) as engine:
        assert await work(engine) == "loaded"


# How soon.


@pytest.mark.anyio
async def test_a_freed_slot_is_used_in_the_turn_of_the_loop_after_that_at_the_latest() -> None:
    """As with a semaphore of asyncio."""
    turn = 0
    taken: list[tuple[str, int]] = []

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    async def use(block: Any, name: str) -> None:
        async with block:
            taken.append((name, turn))
            await turns(3)
            taken.append((name, turn))

    async with Engine(limits={"db": 1}):
        counting = asyncio.create_task(count_turns())
        semaphore = asyncio.Semaphore(1)
        for make in (lambda: concurrency("db"), lambda: semaphore):
            await asyncio.gather(use(make(), "first"), use(make(), "second"))
        counting.cancel()
    waits = [after[1] - before[1] for before, after in ((taken[1], taken[2]), (taken[5], taken[6]))]
    assert waits[0] <= 1
    assert waits[1] <= 1


@pytest.mark.anyio
async def test_a_freed_slot_goes_to_a_run_that_waits_without_a_turn_of_the_loop() -> None:
    """Bodies that do not wait are run one after the other by the worker that is at it."""
    seen: list[int] = []
    turn = 0

    async def count_turns() -> None:
        nonlocal turn
        while True:
            turn += 1
            await asyncio.sleep(0)

    @task(tags=["db"])
    async def load(_number: int) -> None:
        seen.append(turn)

    @flow
    async def work(engine: Engine) -> None:
        async with concurrency("db"):
            futures = [load.submit(number) for number in range(5)]
            await until(lambda: len(engine.limits["db"].waiters()) == 5)
        await futures[-1]

    async with Engine(limits={"db": 1}) as engine:
        counting = asyncio.create_task(count_turns())
        await work(engine)
        counting.cancel()
    assert max(seen) - min(seen) <= 1


# Adaptive limits.


@pytest.mark.anyio
async def test_an_adaptive_limit_learns_from_the_runs_of_its_tag() -> None:
    most = now = 0

    @task(tags=["gpu"])
    async def infer(_number: int) -> None:
        nonlocal most, now
        now += 1
        most = max(most, now)
        await asyncio.sleep(0)
        now -= 1

    @flow
    async def work() -> None:
        await infer.map(range(400))

    async with Engine(limits={"gpu": AdaptiveLimit(initial=2, maximum=12, algorithm="aimd")}) as engine:
        await work()
        assert 2 < engine.limits["gpu"].limit <= 12
        assert most <= engine.limits["gpu"].limit


@pytest.mark.anyio
async def test_an_adaptive_limit_shrinks_where_runs_fail_and_not_where_they_are_cancelled() -> None:
    @task(tags=["gpu"])
    async def infer(number: int) -> None:
        if number < 0:
            raise Failed
        await asyncio.Event().wait()

    @flow
    async def work(engine: Engine) -> None:
        gpu = engine.limits["gpu"]
        cancelled_ones = [infer.submit(number) for number in range(100)]
        for each in cancelled_ones:
            each.cancel()
        for each in cancelled_ones:
            await each.wait_async()
        assert gpu.limit == 8
        for each in infer.map([-1] * 100):
            await each.wait_async()
        assert gpu.limit < 8

    async with Engine(limits={"gpu": AdaptiveLimit(initial=8, algorithm="aimd")}) as engine:
        await work(engine)
