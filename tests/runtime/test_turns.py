"""Bodies that do not block are run by one thread, however many there are; bodies that block, by all there may be."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import Engine
from millrace.actors import turns
from millrace.runtime import offload
from tests.loose import flow, task
from tests.runtime.results.patience import await_true

WAIT = 20.0
THREADS = 32
MANY = 5_000


class Clock:
    """Time as the scheduler reads it: it goes on by so much at each look."""

    def __init__(self, step: float) -> None:
        self.now = 0.0
        self.step = step

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@pytest.fixture
def many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", str(THREADS))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody looks after who leads: a machine that is busy is no reason to take the lead."""
    monkeypatch.setattr(offload.Worker, "wait", lambda worker, _seconds: worker._bell.acquire())
    monkeypatch.setattr(turns, "QUICK_SECONDS", WAIT)


def meet_in(threads: int) -> Callable[[int], int]:
    """A body that returns when so many of its kind have begun."""
    barrier = threading.Barrier(threads)

    def meets(x: int) -> int:
        barrier.wait(WAIT)
        return x

    return meets


def at_work() -> set[str]:
    return {each.name for each in threading.enumerate() if isinstance(each, offload.Worker)}


@pytest.mark.usefixtures("many_threads", "unhurried")
def test_a_map_of_bodies_that_do_not_block_is_run_by_one_thread() -> None:
    ran_on: list[str] = []

    @task
    def notes(_x: int) -> None:
        ran_on.append(threading.current_thread().name)

    flow(lambda: notes.map(range(MANY)).result(timeout=WAIT))()

    assert len(ran_on) == MANY
    assert len(set(ran_on)) == 1


@pytest.mark.usefixtures("many_threads", "unhurried")
@pytest.mark.anyio
async def test_the_same_is_so_of_several_maps_in_an_async_flow() -> None:
    ran_on: list[str] = []

    @task
    def notes(_x: int) -> None:
        ran_on.append(threading.current_thread().name)

    @flow
    async def body() -> None:
        for futures in [notes.map(range(MANY)) for _ in range(4)]:
            await futures

    async with asyncio.timeout(WAIT):
        await body()

    assert len(ran_on) == 4 * MANY
    assert len(set(ran_on)) == 1


@pytest.mark.usefixtures("many_threads")
def test_as_many_bodies_that_block_are_begun_as_there_are_threads_though_none_ends() -> None:
    meets = task(meet_in(THREADS))

    @flow
    def body() -> Any:
        return meets.map(range(3 * THREADS)).result(timeout=WAIT)

    assert body() == list(range(3 * THREADS))


@pytest.mark.usefixtures("many_threads")
def test_the_same_is_so_of_runs_that_are_started_singly() -> None:
    meets = task(meet_in(THREADS))

    @flow
    def body() -> list[int]:
        futures = [meets.submit(x) for x in range(2 * THREADS)]
        return [each.result(WAIT) for each in futures]

    assert body() == list(range(2 * THREADS))


@pytest.mark.usefixtures("many_threads")
@pytest.mark.anyio
async def test_the_same_is_so_of_a_stream() -> None:
    meets = task(meet_in(THREADS))

    @flow
    async def body() -> list[int]:
        return [x async for x in meets.stream(range(2 * THREADS), max_in_flight=THREADS)]

    assert sorted(await body()) == list(range(2 * THREADS))


@pytest.mark.usefixtures("many_threads")
def test_bodies_that_begin_to_block_in_the_middle_of_a_map_are_begun_together() -> None:
    meets = meet_in(THREADS)

    @task
    def blocks_later(x: int) -> int:
        return meets(x) if x >= MANY else x

    @flow
    def body() -> Any:
        return blocks_later.map(range(MANY + THREADS)).result(timeout=WAIT)

    assert body() == list(range(MANY + THREADS))


@pytest.mark.usefixtures("many_threads")
def test_a_map_goes_on_beside_one_that_blocks() -> None:
    go_on = threading.Event()

    @task
    def blocks(_x: int) -> bool:
        return go_on.wait(WAIT)

    @task
    def passes(x: int) -> int:
        return x

    @flow
    def body() -> Any:
        blocked = blocks.map(range(THREADS - 1))
        passed = passes.map(range(MANY)).result(timeout=WAIT)
        go_on.set()
        assert all(blocked.result(timeout=WAIT))
        return passed

    assert body() == list(range(MANY))


@pytest.mark.usefixtures("many_threads", "unhurried")
def test_bodies_that_are_seen_to_take_long_are_given_a_thread_each(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "perf_counter", Clock(step=2 * offload.TURN_SECONDS))
    monkeypatch.setattr(turns, "QUICK_SECONDS", offload.TURN_SECONDS)
    monkeypatch.setattr(turns, "APART_SECONDS", WAIT)
    meets = meet_in(THREADS)

    @task
    def takes_long(x: int) -> int:
        return x if x < 2 * turns.SLOW_TURNS else meets(x)

    @flow
    def body() -> Any:
        return takes_long.map(range(2 * turns.SLOW_TURNS + THREADS)).result(timeout=WAIT)

    assert body() == list(range(2 * turns.SLOW_TURNS + THREADS))


def test_idle_threads_end_with_their_engine() -> None:
    before = at_work()
    engine = Engine(threads=8)
    meets = task(meet_in(8))

    @flow
    def body() -> Any:
        return meets.map(range(8)).result(timeout=WAIT)

    with engine:
        body()
        assert len(at_work() - before) == 8

    assert at_work() - before == set()


def test_what_a_finalizer_posts_is_called_by_a_thread_that_rests() -> None:
    called: list[str] = []

    @task
    def nothing() -> None: ...

    class Dropped:
        def __init__(self, threads: offload.Offload) -> None:
            self._threads = threads

        def __del__(self) -> None:
            self._threads.post(lambda: called.append(threading.current_thread().name))

    with Engine(threads=1) as engine:
        flow(lambda: nothing.submit().result(WAIT))()
        await_true(lambda: bool(engine.offload._turns.resting))
        dropped = Dropped(engine.offload)
        del dropped
        gc.collect()
        await_true(lambda: bool(called))

    assert [each.startswith("millrace-") for each in called] == [True]
