"""Thousands of cycles with errors, cancellations and timeouts at every point: nothing is lost or given out twice."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator
from contextlib import suppress
from threading import Thread
from typing import Any

import pytest

from millrace import AdaptiveLimit, DeadlockError, Engine, RateLimit, concurrency, flow, task
from millrace.runtime.entering import stand_in
from tests.checkpoints import Trial, at_every_checkpoint, cut_by_asyncio, cut_by_engine, turns, until
from tests.runtime.worlds import PATIENCE

CYCLES = 10_000
CYCLES_IN_DEBUG_MODE = 1_000  # where an asyncio task costs a hundred times as much
SIZES = {"db": 3, "gpu": 5}


class Broken(Exception):
    """What bodies raise here."""


class Inside:
    """How much is taken of each limit by bodies, as they see it."""

    def __init__(self) -> None:
        self.now = dict.fromkeys(SIZES, 0)
        self.most = dict.fromkeys(SIZES, 0)

    def add(self, names: list[str], occupy: int) -> None:
        for name in names:
            self.now[name] += occupy
            self.most[name] = max(self.most[name], self.now[name])


async def assert_full_throughput(engine: Engine) -> None:
    """As many as ever can hold slots at once."""
    gate = asyncio.Event()

    async def hold(name: str) -> None:
        async with concurrency(name):
            await gate.wait()

    holders = [asyncio.create_task(hold(name)) for name, size in SIZES.items() for _ in range(size + 1)]
    await until(lambda: all(engine.limits[name].held == size for name, size in SIZES.items()))
    assert [len(engine.limits[name].waiters()) for name in SIZES] == [1, 1]
    gate.set()
    await asyncio.gather(*holders)


class Cycles:
    """Blocks that come to every end: by themselves, by an error, by a timeout, by a cancellation."""

    def __init__(self, seed: int) -> None:
        self.draw = random.Random(seed)
        self.inside = Inside()
        self.ends = dict.fromkeys(("done", "Broken", "TimeoutError", "cancelled"), 0)

    async def one(self) -> None:
        draw = self.draw
        names = draw.choice([["db"], ["gpu"], ["db", "gpu"]])
        occupy = draw.randint(1, 3)
        async with concurrency(names, occupy, draw.choice([None, None, 0, 60.0])):
            self.inside.add(names, occupy)
            try:
                await turns(draw.randint(0, 3))
                if draw.random() < 0.2:
                    raise Broken
            finally:
                self.inside.add(names, -occupy)

    async def counted(self) -> None:
        end = "done"
        try:
            await self.one()
        except (Broken, TimeoutError) as error:
            end = "Broken" if isinstance(error, Broken) else "TimeoutError"
        except asyncio.CancelledError:
            end = "cancelled"
            raise
        finally:
            self.ends[end] += 1

    async def many(self, count: int) -> None:
        tasks = [asyncio.create_task(self.counted()) for _ in range(count)]
        victims = self.draw.sample(tasks, count * 3 // 10)
        while not all(each.done() for each in tasks):
            if victims:
                victims.pop().cancel()
            await asyncio.sleep(0)


@pytest.mark.anyio
async def test_blocks_with_errors_cancels_and_timeouts_lose_nothing() -> None:
    cycles = Cycles(7)
    count = CYCLES_IN_DEBUG_MODE if asyncio.get_running_loop().get_debug() else CYCLES
    async with Engine(limits=SIZES) as engine:
        for _ in range(count // 100):
            await cycles.many(100)
        assert cycles.inside.now == dict.fromkeys(SIZES, 0)
        assert cycles.inside.most == SIZES
        assert {name: engine.limits[name].held for name in SIZES} == dict.fromkeys(SIZES, 0)
        assert all(number > count // 50 for number in cycles.ends.values()), cycles.ends
        await assert_full_throughput(engine)


@pytest.mark.anyio
async def test_task_runs_with_errors_cancels_timeouts_and_retries_lose_nothing() -> None:
    draw = random.Random(11)
    inside = Inside()
    count = 100 if asyncio.get_running_loop().get_debug() else 400

    async def body(name: str) -> None:
        inside.add([name], 1)
        try:
            await turns(draw.randint(0, 3))
            if draw.random() < 0.2:
                raise Broken
            if draw.random() < 0.02:
                await asyncio.Event().wait()
        finally:
            inside.add([name], -1)

    tasks = {name: task(tags=[name, "adaptive"], retries=1, timeout_seconds=0.02, name=name)(body) for name in SIZES}

    @task(tags=["db", "adaptive"], timeout_seconds=0.02)
    async def hangs() -> None:
        await asyncio.Event().wait()

    @flow
    async def work() -> dict[str, int]:
        futures = [tasks[name].submit(name) for _ in range(count) for name in SIZES]
        futures += [each for name in SIZES for each in tasks[name].map([name] * count)]
        victims = draw.sample(futures, count * 3 // 4)
        while victims:
            victims.pop().cancel()
            await asyncio.sleep(0)
        futures.append(hangs.submit())
        ends: dict[str, int] = {}
        for each in futures:
            state = await each.wait_async()
            ends[state.name] = ends.get(state.name, 0) + 1
        return ends

    async with Engine(limits={**SIZES, "adaptive": AdaptiveLimit(initial=8)}) as engine:
        ends = await work()
        assert set(ends) == {"Completed", "Failed", "TimedOut", "Cancelled"}
        await until(lambda: inside.now == dict.fromkeys(SIZES, 0))
        assert all(inside.most[name] <= size for name, size in SIZES.items())
        assert [engine.limits[name].held for name in engine.limits] == [0, 0, 0]
        await assert_full_throughput(engine)


def test_threads_with_errors_and_timeouts_lose_nothing() -> None:
    engine = Engine(limits={**SIZES, "api": RateLimit(1_000_000)})
    inside = Inside()
    most: list[int] = []

    def cycles(seed: int) -> None:
        draw = random.Random(seed)
        for _ in range(400):
            names = draw.choice([["db"], ["gpu", "api"], ["db", "gpu"]])
            with suppress(Broken, TimeoutError), concurrency(names, draw.randint(1, 3), draw.choice([None, 0, 0.001])):
                most.append(engine.limits[names[0]].held - engine.limits[names[0]].limit)
                if draw.random() < 0.2:
                    raise Broken

    with stand_in(engine):
        threads = [Thread(target=cycles, args=(seed,)) for seed in range(6)]
        for each in threads:
            each.start()
        for each in threads:
            each.join(PATIENCE)
            assert not each.is_alive()
    assert max(most) <= 0
    assert inside.now == {name: engine.limits[name].held for name in SIZES}
    engine.close()


@pytest.mark.anyio
async def test_threads_and_coroutines_share_limits_and_lose_nothing() -> None:
    draw = random.Random(5)

    @task(tags=["db"])
    def in_thread(number: int) -> int:
        with concurrency("gpu", occupy=1 + number % 3):
            return number

    @task(tags=["gpu"])
    async def on_loop(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @flow
    async def work() -> int:
        futures: list[Any] = []
        for number in range(300):
            futures.append(in_thread.submit(number))
            futures.append(on_loop.submit(number))
        for each in draw.sample(futures, 60):
            each.cancel()
        ended = 0
        for each in futures:
            state = await each.wait_async()
            assert state.is_final()
            assert not isinstance(state.data, DeadlockError)
            ended += 1
        return ended

    async with Engine(limits=SIZES, threads=4) as engine:
        assert await work() == 600
        await until(lambda: all(engine.limits[name].held == 0 for name in SIZES))
        await assert_full_throughput(engine)


# Cancelled at every checkpoint.


@task(tags=["db"], retries=1)
async def _load(number: int) -> int:
    async with concurrency("gpu", occupy=2):
        await asyncio.sleep(0)
        if number == 1:
            raise Broken
    return number


@task(tags=["db"])
async def _pages(number: int) -> AsyncGenerator[int]:
    for each in range(number):
        await asyncio.sleep(0)
        yield each


@flow
async def _work() -> int:
    futures = [_load.submit(number) for number in range(4)]
    several = _load.map(range(5, 9), rate_limit=1_000_000)
    total = 0
    async for page in _pages(2):
        total += page
    for each in (futures[0], *futures[2:], *several):
        total += await each
    with suppress(Broken):
        await futures[1]
    return total


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [cut_by_asyncio, cut_by_engine])
async def test_a_flow_that_is_cut_off_at_any_point_holds_nothing(cut: Any) -> None:
    trial: Trial | None = None
    async for trial in at_every_checkpoint(_work, cut, limits={"db": 2, "gpu": 3}):
        engine = trial.engine
        assert [(engine.limits[name].held, engine.limits[name].waiters()) for name in ("db", "gpu")] == [(0, [])] * 2
        await turns(1)
    assert trial is not None
    assert trial.passes > 10
