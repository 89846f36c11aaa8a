"""However much stands in line on a loop, whoever else lives there gets turns; counted in turns, never in seconds."""

from __future__ import annotations

import asyncio
import threading
from itertools import pairwise
from typing import Any

import pytest

from millrace import Engine
from millrace.runtime import loop_lane, offload
from tests.checkpoints import until
from tests.loose import flow, task

WAIT = 20.0
MANY = 50_000


@task
async def nothing(_x: int) -> None: ...


class Ticker:
    """A coroutine of the host's that only wants a turn now and then."""

    def __init__(self) -> None:
        self.turns = 0
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(0)
            self.turns += 1

    def stop(self) -> int:
        self._task.cancel()
        return self.turns


class Clock:
    """Time as the scheduler reads it: it goes on by so much at each look."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.mark.anyio
async def test_a_map_of_fifty_thousand_lets_others_have_turns_in_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        loop_lane, "perf_counter", Clock(step=0.6 * loop_lane.BUDGET_SECONDS)
    )  # over at every other look

    @flow
    async def body() -> int:
        ticker = Ticker()
        futures = nothing.map(range(MANY))
        await futures[MANY - 1]
        return ticker.stop()

    assert await asyncio.wait_for(body(), WAIT) >= MANY // (2 * loop_lane.CHUNK) - 1


@pytest.mark.anyio
@pytest.mark.parametrize("busy", [True, False])
async def test_while_others_have_something_to_do_they_have_turns_more_often(
    monkeypatch: pytest.MonkeyPatch, *, busy: bool
) -> None:
    """A request to a host takes several turns of its loop, each of which was a whole budget of ours later."""
    clock = Clock(step=0.0)
    monkeypatch.setattr(loop_lane, "perf_counter", clock)
    rows: list[int] = []
    row = 0

    @task
    async def takes_time(_x: int) -> None:
        nonlocal row
        row += 1
        clock.now += loop_lane.SHORT_BUDGET_SECONDS / (loop_lane.CHUNK - 1)

    async def ticks() -> None:
        nonlocal row
        while True:
            await asyncio.sleep(0)
            rows.append(row)
            row = 0
            if busy:
                clock.now += 2 * loop_lane.GUESTS_SECONDS

    @flow
    async def body() -> None:
        await takes_time.map(range(1_000))

    ticker = asyncio.create_task(ticks())
    await asyncio.wait_for(body(), WAIT)
    ticker.cancel()
    usual = sorted(rows)[-2]  # all but the first, which was when nobody had come yet
    assert usual == loop_lane.CHUNK if busy else usual >= 4 * loop_lane.CHUNK


@pytest.mark.anyio
async def test_others_are_expected_to_come_again_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(step=0.0)
    monkeypatch.setattr(loop_lane, "perf_counter", clock)
    lane = loop_lane.LoopLane(asyncio.get_running_loop())

    async def budget_after(seconds: float) -> float:
        asyncio.get_running_loop().call_soon(lambda: setattr(clock, "now", clock.now + seconds))
        return await lane._turn_of_the_loop()

    assert await budget_after(0.9 * loop_lane.GUESTS_SECONDS) == loop_lane.BUDGET_SECONDS
    assert await budget_after(1.1 * loop_lane.GUESTS_SECONDS) == loop_lane.SHORT_BUDGET_SECONDS
    budgets = [await budget_after(0) for _ in range(loop_lane.GUESTS_STAY)]
    assert budgets == [loop_lane.SHORT_BUDGET_SECONDS] * (loop_lane.GUESTS_STAY - 1) + [loop_lane.BUDGET_SECONDS]


@pytest.mark.anyio
async def test_the_longest_row_of_bodies_between_two_turns_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    # The budget is used up at the first look at the clock: then no row is longer than the runs between two looks.
    monkeypatch.setattr(loop_lane, "perf_counter", Clock(step=1.0))
    rows: list[int] = []
    row = 0

    @task
    async def counts(_x: int) -> None:
        nonlocal row
        row += 1

    async def ticks() -> None:
        nonlocal row
        while True:
            await asyncio.sleep(0)
            rows.append(row)
            row = 0

    @flow
    async def body() -> None:
        await counts.map(range(1_000))

    ticker = asyncio.create_task(ticks())
    await asyncio.wait_for(body(), WAIT)
    ticker.cancel()
    assert sum(rows) >= 1_000 - loop_lane.CHUNK
    assert max(rows) <= loop_lane.CHUNK


@pytest.mark.anyio
async def test_two_maps_share_the_loop() -> None:
    order: list[str] = []

    @task
    async def notes(name: str, _x: int) -> None:
        order.append(name)

    @flow
    async def body(name: str, n: int) -> None:
        await notes.map(name, range(n))

    n = 5_000
    async with asyncio.timeout(WAIT):
        await asyncio.gather(body("a", n), body("b", n))
    half = order[:n]
    assert len(order) == 2 * n
    # In the first half both have had about the same: a few chunks are between them at most.
    assert abs(half.count("a") - half.count("b")) <= 4 * loop_lane.CHUNK


@pytest.mark.anyio
async def test_a_small_map_beside_a_big_one_is_done_long_before_it() -> None:
    done: list[int] = []

    @task
    async def counts(_x: int) -> None:
        done.append(1)

    @flow
    async def big() -> None:
        await counts.map(range(MANY))

    @flow
    async def small() -> int:
        await nothing.map(range(100))
        return len(done)

    async with Engine() as engine:
        future = engine.start(big)
        await asyncio.sleep(0)
        seen = await asyncio.wait_for(small(), WAIT)
        assert seen < MANY // 2
        await asyncio.wait_for(future, WAIT)


@pytest.mark.anyio
async def test_a_single_run_beside_a_big_map_is_not_starved() -> None:
    done: list[int] = []

    @task
    async def counts(_x: int) -> None:
        done.append(1)

    @task
    async def looks() -> int:
        return len(done)

    @flow
    async def big() -> None:
        await counts.map(range(MANY))

    async with Engine() as engine:
        future = engine.start(big)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        before = len(done)
        seen = await asyncio.wait_for(looks.submit(), WAIT)
        # It stands behind the runs that were taken from the map already, and before all the others.
        assert seen - before <= 2 * loop_lane.CHUNK
        for _ in range(20):
            assert await looks.submit() <= MANY
        assert not future.done() or len(done) == MANY
        await asyncio.wait_for(future, WAIT)


@pytest.mark.anyio
async def test_bodies_that_wait_do_not_keep_others_from_starting() -> None:
    gate = asyncio.Event()
    started = 0

    @task
    async def waits(_x: int) -> None:
        nonlocal started
        started += 1
        await gate.wait()

    @flow
    async def body() -> int:
        futures = waits.map(range(500))
        await until(lambda: started == 500)
        ended: int = sum(each.done() for each in futures)
        gate.set()
        await futures
        return ended

    assert await asyncio.wait_for(body(), WAIT) == 0


def test_a_thread_lets_others_have_the_interpreter_after_each_of_its_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")
    monkeypatch.setattr(offload, "perf_counter", Clock(step=1.0))  # a turn is over behind its first run
    turns: list[float] = []
    monkeypatch.setattr(offload, "sleep", turns.append)

    @task
    def counts(_x: int) -> int:
        return len(turns)

    @flow
    def body() -> Any:
        return counts.map(range(50)).result(timeout=WAIT)

    assert body() == list(range(50))
    assert set(turns) == {0}


def test_a_run_beside_a_big_map_of_sync_tasks_is_not_starved(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")
    monkeypatch.setattr(offload, "perf_counter", Clock(step=1.0))
    done: list[int] = []
    looked = threading.Event()

    @task
    def counts(_x: int) -> None:
        done.append(1)
        if len(done) == 1:
            assert looked.wait(WAIT)

    @task
    def looks() -> int:
        return len(done)

    @flow
    def body() -> int:
        futures = counts.map(range(10_000))
        single = looks.submit()
        looked.set()
        seen: int = single.result(WAIT)
        futures.wait(WAIT)
        return seen

    assert body() <= 4
    assert len(done) == 10_000


def test_two_maps_of_sync_tasks_share_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")
    monkeypatch.setattr(offload, "perf_counter", Clock(step=1.0))
    order: list[str] = []
    both = threading.Event()

    @task
    def notes(name: str) -> None:
        assert both.wait(WAIT)
        order.append(name)

    @flow
    def body() -> None:
        maps: list[Any] = [notes.map(["a"] * 2_000), notes.map(["b"] * 2_000)]
        both.set()
        for each in maps:
            each.wait(WAIT)

    body()
    half = order[:2_000]
    assert abs(half.count("a") - half.count("b")) <= 8


@pytest.mark.anyio
@pytest.mark.parametrize("big_one", ["map", "stream"])
async def test_each_step_of_a_small_flow_lets_two_chunks_of_a_big_one_pass_at_most(big_one: str) -> None:
    done = 0

    @task
    async def counts(_x: int) -> None:
        nonlocal done
        done += 1

    @flow
    async def big() -> None:
        if big_one == "map":
            await counts.map(range(MANY))
        else:
            async for _ in counts.stream(range(MANY), max_in_flight=1_000):
                pass

    @flow
    async def small(steps: int) -> int:
        before = done
        for _ in range(steps):
            await nothing.submit(0)
        return done - before

    async with Engine() as engine:
        future = engine.start(big)
        await until(lambda: done > 0)
        passed = await asyncio.wait_for(small(100), WAIT)
        assert passed <= 100 * 2 * loop_lane.CHUNK
        assert done < MANY
        await engine.cancel(future.flow_run_id)


@pytest.mark.anyio
async def test_a_map_goes_on_although_single_runs_keep_coming() -> None:
    mapped = 0

    @task
    async def counts(_x: int) -> None:
        nonlocal mapped
        mapped += 1

    @task
    async def submits_itself(left: int) -> None:
        if left and mapped < 1_000:
            submits_itself.submit(left - 1)

    @flow
    async def body() -> int:
        for _ in range(20):  # so that there is always one in line
            submits_itself.submit(10_000)
        await counts.map(range(1_000))
        return mapped

    assert await asyncio.wait_for(body(), WAIT) == 1_000


@pytest.mark.anyio
async def test_a_stream_and_a_map_share_the_loop() -> None:
    order: list[str] = []

    @task
    async def notes(name: str) -> None:
        order.append(name)

    @flow
    async def streams() -> None:
        async for _ in notes.stream(["s"] * 2_000, max_in_flight=2_000):
            pass

    @flow
    async def maps() -> None:
        await notes.map(["m"] * 2_000)

    async with asyncio.timeout(WAIT):
        await asyncio.gather(streams(), maps())
    half = order[:2_000]
    assert abs(half.count("s") - half.count("m")) <= 8 * loop_lane.CHUNK


def test_a_small_flow_beside_a_big_map_in_threads_waits_for_one_turn_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")
    monkeypatch.setattr(offload, "perf_counter", Clock(step=1.0))
    done: list[int] = []

    @task
    def counts(_x: int) -> None:
        done.append(1)

    @task
    def looks() -> int:
        return len(done)

    @flow
    def body() -> list[int]:
        futures = counts.map(range(20_000))
        seen = [looks.submit().result(WAIT) for _ in range(20)]
        futures.wait(WAIT)
        return [after - before for before, after in pairwise(seen)]

    # Between two steps it is one run of the map that was begun, and those until this thread comes to submit again.
    between = sorted(body())
    assert between[len(between) // 2] < 1_000
    assert len(done) == 20_000
