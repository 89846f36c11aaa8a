"""Virtual time: it passes when an engine waits for nothing else, and not before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any

import pytest

from millrace import (
    ConfigurationError,
    SequentialTaskRunner,
    ThreadPoolTaskRunner,
    current,
    pause_flow_run,
    resume_flow_run,
)
from millrace.runtime.testing import VirtualClock, VirtualEngine, assert_completed
from tests.loose import flow, task
from tests.runtime.worlds import World

YEAR = 365 * 24 * 3600


def seconds(engine: VirtualEngine, of: Any) -> list[float]:
    """When the runs of a task ended."""
    start = engine.clock.now() / 1e9 - engine.clock.elapsed
    return [round(each.state.timestamp.timestamp() - start, 3) for each in engine.runs(of)]


def run(world: World, body: Any, engine: VirtualEngine | None = None) -> VirtualEngine:
    """Run a flow in an engine of tests."""
    engine = engine or VirtualEngine()
    world.body(body, engine=engine)
    engine.close()
    return engine


# It passes.


def test_delays_between_attempts_take_no_time(world: World) -> None:
    @world.task(retries=3, retry_delay_seconds=[1, 5, YEAR])
    def fetch() -> str:
        return "fetched"

    async def body() -> None:
        assert await world.call(fetch) == "fetched"

    engine = VirtualEngine()
    with engine.fail(fetch, attempts=3):
        run(world, body, engine)

    assert engine.clock.elapsed == 1 + 5 + YEAR


@pytest.mark.parametrize("how", ["submit", "map"])
def test_what_waits_at_once_ends_each_at_its_own_moment(how: str, world: World) -> None:
    def delays(number: int) -> list[float]:
        return [[1.0, 1.0, 1.0], [0.5, 2.0, 2.0], [5.0, 0.25, 0.25]][number]

    @world.task(retries=3)
    def step(number: int) -> int:
        if current.task_run.run_count <= 3:
            raise ValueError(number)
        return number

    steps = [step.with_options(retry_delay_seconds=delays(number)) for number in range(3)]

    async def body() -> None:
        if how == "map":
            mapped = [await world.start("map", each, [number]) for number, each in enumerate(steps)]
            assert [await world.result(each) for each in mapped] == [[0], [1], [2]]
        else:
            futures = [each.submit(number) for number, each in enumerate(steps)]
            assert [await world.result(each) for each in futures] == [0, 1, 2]

    engine = run(world, body)

    assert sorted(seconds(engine, step)) == [3, 4.5, 5.5]
    assert engine.clock.elapsed == 5.5


def test_a_map_with_more_items_than_threads_waits_once() -> None:
    @task(retries=1, retry_delay_seconds=60)
    def step(number: int) -> int:
        return number

    @flow
    async def mapped() -> int:
        return len(await step.map(range(50)))

    async def main() -> float:
        async with VirtualEngine(threads=3) as engine:
            with engine.fail(step) as fault:
                assert await mapped() == 50
            assert fault.raised == 50
        return engine.clock.elapsed

    assert asyncio.run(main()) == 60


def test_a_body_waits_for_the_runs_that_it_has_started(world: World) -> None:
    @world.task(retries=1, retry_delay_seconds=3)
    def inner() -> int:
        return 1

    @world.task
    async def outer() -> Any:
        return await call(inner)

    @world.flow
    async def subflow() -> Any:
        return await call(outer)

    async def call(called: Any) -> Any:
        value = called()
        return await value if asyncio.iscoroutine(value) else value

    async def body() -> None:
        assert await world.call(subflow) == 1

    engine = VirtualEngine()
    with engine.fail(inner):
        run(world, body, engine)

    assert engine.clock.elapsed == 3


def test_a_subflow_waits_for_what_its_arguments_need(world: World) -> None:
    @world.task(retries=1, retry_delay_seconds=3)
    def number() -> int:
        return 1

    @world.flow
    def subflow(given: int) -> int:
        return given

    async def body() -> None:
        assert await world.call(subflow, number.submit()) == 1

    engine = VirtualEngine()
    with engine.fail(number):
        run(world, body, engine)

    assert engine.clock.elapsed == 3


def test_what_stands_in_a_line_behind_one_that_waits_waits_too() -> None:
    @task(retries=1, retry_delay_seconds=3)
    def step(number: int) -> int:
        return number

    @flow(task_runner=SequentialTaskRunner())
    async def line() -> list[int]:
        first = step.submit(0)
        return [await first, *await step.map(range(1, 4))]

    async def main() -> float:
        async with VirtualEngine() as engine:
            with engine.fail(step):
                assert await line() == [0, 1, 2, 3]
        return engine.clock.elapsed

    assert asyncio.run(main()) == 4 * 3


def test_runs_of_a_pool_wait_once() -> None:
    @task(retries=1, retry_delay_seconds=3)
    def step(number: int) -> int:
        return number

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
    def pool() -> list[int]:
        numbers: list[int] = step.map(range(8)).result()
        return numbers

    engine = VirtualEngine()
    with engine.fail(step):
        state = engine.start(pool)
        assert state.result(timeout=20) == list(range(8))
    engine.close()

    assert engine.clock.elapsed == 3


def test_a_generator_that_has_yielded_waits_to_be_asked_on(world: World) -> None:
    @task
    async def numbers() -> AsyncGenerator[int]:
        for number in range(3):
            yield number

    @task
    def plain_numbers() -> Generator[int]:
        yield from range(3)

    @world.task(retries=1, retry_delay_seconds=2)
    def step(number: int) -> int:
        return number

    async def body() -> None:
        if world.async_flows:
            assert [await world.call(step, number) async for number in numbers()] == [0, 1, 2]
        else:
            assert [await world.call(step, number) for number in plain_numbers()] == [0, 1, 2]

    engine = VirtualEngine()
    with engine.fail(step):
        run(world, body, engine)

    assert engine.clock.elapsed == 6


def test_a_flow_waits_between_its_attempts(world: World) -> None:
    @world.flow(retries=2, retry_delay_seconds=[10, 20])
    def flaky() -> int:
        if current.flow_run.run_count < 3:
            raise ValueError("not yet")
        return current.flow_run.run_count

    engine = VirtualEngine()
    assert world.run(flaky, engine=engine) == 3
    engine.close()

    assert engine.clock.elapsed == 30


def test_a_deadline_passes_on_the_way_to_what_is_waited_for(world: World) -> None:
    @world.task(retries=1, retry_delay_seconds=5)
    def step() -> None:
        pass

    @world.flow(timeout_seconds=3)
    async def late() -> None:
        await world.call(step)

    engine = VirtualEngine()
    with engine.fail(step):
        state = world.run(late, engine=engine, return_state=True)
    engine.close()

    assert state.name == "TimedOut"
    assert engine.clock.elapsed == 3


# It does not pass.


@pytest.mark.anyio
async def test_a_body_at_work_holds_the_time_up() -> None:
    gate = asyncio.Event()

    @task(retries=1, retry_delay_seconds=5)
    async def retried() -> None:
        pass

    @task(timeout_seconds=1)
    async def at_work() -> float:
        await gate.wait()
        return engine.clock.elapsed

    @flow
    async def both() -> float:
        waits = retried.submit()
        began: float = await at_work.submit()
        await waits
        return began

    async with VirtualEngine() as engine:
        with engine.fail(retried):
            future = engine.start(both)
            for _ in range(200):
                await asyncio.sleep(0)
            assert [each.state.name for each in engine.runs(retried)] == ["AwaitingRetry"]
            assert engine.clock.elapsed == 0
            gate.set()
            assert await future == 0

        assert engine.clock.elapsed == 5


@pytest.mark.anyio
async def test_a_body_at_work_in_a_thread_holds_the_time_up() -> None:
    @task(retries=1, retry_delay_seconds=5)
    async def retried() -> None:
        pass

    @task
    def at_work() -> float:
        for _ in range(50):
            loop.call_soon_threadsafe(lambda: None)
        return engine.clock.elapsed

    @flow
    async def both() -> list[float]:
        waits = retried.submit()
        ended: list[float] = [await at_work.submit() for _ in range(20)]
        await waits
        return ended

    loop = asyncio.get_running_loop()
    async with VirtualEngine() as engine:
        with engine.fail(retried):
            ended = await both()

        assert len(ended) == 20
        assert engine.clock.elapsed == 5


@pytest.mark.anyio
async def test_but_not_for_ever_when_nothing_comes_of_it() -> None:
    """What the body waits for, it waits for in a queue, and so in a way that no engine sees."""
    queue: asyncio.Queue[int] = asyncio.Queue()

    @task(retries=1, retry_delay_seconds=5)
    async def produce() -> None:
        queue.put_nowait(3)

    @task
    async def consume() -> int:
        return await queue.get()

    @flow
    async def both() -> int:
        produce.submit()
        got: int = await consume.submit()
        return got

    async with VirtualEngine() as engine:
        with engine.fail(produce):
            assert await both() == 3

        assert engine.clock.elapsed == 5


@pytest.mark.anyio
async def test_a_deadline_alone_is_not_waited_for() -> None:
    gate = asyncio.Event()

    @task(timeout_seconds=1)
    async def at_work() -> None:
        await gate.wait()

    async with VirtualEngine() as engine:
        future = at_work.submit()
        for _ in range(200):
            await asyncio.sleep(0)
        gate.set()

        assert_completed(await future.wait_async())
        assert engine.clock.elapsed == 0


@pytest.mark.anyio
async def test_a_paused_flow_waits_for_somebody() -> None:
    paused = asyncio.Event()

    @flow
    async def patient() -> str:
        paused.set()
        given: str = await pause_flow_run(wait_for_input=str, timeout=60)
        return given

    async with VirtualEngine() as engine:
        future = engine.start(patient)
        await paused.wait()
        for _ in range(200):
            await asyncio.sleep(0)
        assert future.state.name == "Paused"
        _ = resume_flow_run(future.flow_run_id, "go on")

        assert await future == "go on"
        assert engine.clock.elapsed == 0


# It is told to.


@pytest.mark.anyio
async def test_held_it_passes_only_when_it_is_told_to() -> None:
    failed = asyncio.Event()

    @task(retries=2, retry_delay_seconds=5)
    async def retried() -> None:
        failed.set()
        if current.task_run.run_count < 3:
            raise ValueError

    async with VirtualEngine() as engine:
        clock = engine.clock
        with clock.held():
            future = retried.submit()
            for at in (4.5, 0.5, 4.5):
                await failed.wait()
                for _ in range(100):
                    await asyncio.sleep(0)
                failed.clear()
                assert future.state.name == "AwaitingRetry"
                clock.advance(at)
                if at == 4.5:
                    failed.set()
            assert clock.elapsed == 9.5
        await future

        assert clock.elapsed == 10


@pytest.mark.anyio
async def test_a_deadline_passes_when_time_is_told_to() -> None:
    begun = asyncio.Event()

    @task(timeout_seconds=10)
    async def patient() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with VirtualEngine() as engine:
        future = patient.submit()
        await begun.wait()
        engine.clock.advance(9.999)
        assert future.state.is_running()
        engine.clock.advance(0.001)

        assert (await future.wait_async()).name == "TimedOut"


@pytest.mark.anyio
async def test_advancing_calls_all_that_is_due_each_at_its_own_moment() -> None:
    async with VirtualEngine() as engine:
        clock, lane = engine.clock, engine.lane_here()
        told: list[tuple[str, float]] = []

        def tell(name: str) -> None:
            told.append((name, clock.elapsed))
            if name == "first":
                clock.call_at(clock.now() + 10**9, lambda: tell("set on the way"), lambda: lane)

        for name, at in (("third", 3), ("first", 1), ("called off", 2), ("after", 5)):
            alarm = clock.call_at(clock.now() + at * 10**9, partial(tell, name), lambda: lane)
            if name == "called off":
                alarm.call_off()
        clock.advance(4)

        assert told == [("first", 1), ("set on the way", 2), ("third", 3)]
        assert clock.elapsed == 4


@pytest.mark.parametrize("wrong", [-1, float("inf"), float("nan"), "1"])
def test_time_passes_by_a_number_of_seconds(wrong: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'seconds' takes a number of seconds, 0 or more, not "):
        VirtualClock().advance(wrong)


# Chance.


def test_jitter_is_the_same_every_time() -> None:
    @task(retries=3, retry_delay_seconds=10, retry_jitter_factor=0.5)
    def step() -> None:
        pass

    @flow
    def body() -> None:
        step()

    def elapsed(seed: str) -> float:
        engine = VirtualEngine(seed=seed)
        with engine.fail(step, attempts=3):
            engine.start(body).result(timeout=20)
        engine.close()
        return engine.clock.elapsed

    assert elapsed("a") == elapsed("a") != elapsed("b")
