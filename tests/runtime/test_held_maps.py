"""A map whose bodies take no time is held by one thread; where bodies block, as many run as there may be threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import Engine
from millrace.actors import pace
from millrace.runtime import lookout, offload
from tests.loose import flow, task
from tests.runtime.results.patience import await_true

WAIT = 20.0
THREADS = 32
MANY = 5_000


@pytest.fixture(autouse=True)
def _many_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", str(THREADS))


@pytest.fixture
def unhurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody is taken to be stuck, and no body to be slow: a machine that is busy is no reason for it."""
    monkeypatch.setattr(lookout.Lookout, "watch", lambda _lookout: None)
    monkeypatch.setattr(pace, "QUICK_SECONDS", WAIT)
    monkeypatch.setattr(pace, "MOST_IDLE_SECONDS", WAIT)


def meet_in(threads: int) -> Callable[[int], int]:
    """A body that returns when so many of its kind have begun."""
    barrier = threading.Barrier(threads)

    def meets(x: int) -> int:
        barrier.wait(WAIT)
        return x

    return meets


def of_the_engine() -> set[str]:
    return {each.name for each in threading.enumerate() if each.name.startswith("millrace")}


@pytest.mark.usefixtures("unhurried")
def test_a_map_of_bodies_that_take_no_time_is_run_by_one_thread() -> None:
    ran_on: list[str] = []

    @task
    def notes(_x: int) -> None:
        ran_on.append(threading.current_thread().name)

    flow(lambda: notes.map(range(MANY)).result(timeout=WAIT))()

    assert len(ran_on) == MANY
    assert len(set(ran_on)) == 1


@pytest.mark.usefixtures("unhurried")
@pytest.mark.anyio
async def test_a_stream_of_them_is_too_though_items_keep_coming() -> None:
    ran_on: list[str] = []

    @task
    def notes(x: int) -> int:
        ran_on.append(threading.current_thread().name)
        return x

    @flow
    async def body() -> int:
        return sum([x async for x in notes.stream(range(MANY), max_in_flight=100)])

    async with asyncio.timeout(WAIT):
        assert await body() == sum(range(MANY))
    assert len(ran_on) == MANY


def test_bodies_that_meet_are_begun_together_at_once() -> None:
    meets = task(meet_in(THREADS))

    @flow
    def body() -> Any:
        return meets.map(range(3 * THREADS)).result(timeout=WAIT)

    assert body() == list(range(3 * THREADS))


@pytest.mark.anyio
async def test_the_same_is_so_of_a_stream() -> None:
    meets = task(meet_in(THREADS))

    @flow
    async def body() -> list[int]:
        return [x async for x in meets.stream(range(2 * THREADS), max_in_flight=THREADS)]

    assert sorted(await body()) == list(range(2 * THREADS))


def test_the_same_is_so_of_a_map_of_which_only_some_may_be_on_their_way() -> None:
    meets = task(meet_in(2))

    @flow
    def body() -> Any:
        return meets.map(range(200), max_in_flight=2).result(timeout=WAIT)

    assert body() == list(range(200))


def test_bodies_that_begin_to_block_in_the_middle_of_a_map_are_begun_together() -> None:
    meets = meet_in(THREADS)

    @task
    def blocks_later(x: int) -> int:
        return meets(x) if x >= MANY else x

    @flow
    def body() -> Any:
        return blocks_later.map(range(MANY + THREADS)).result(timeout=WAIT)

    assert body() == list(range(MANY + THREADS))


def test_a_body_waits_for_one_behind_it_by_means_the_engine_knows_nothing_of() -> None:
    told = threading.Event()

    @task
    def waits_for_the_next(x: int) -> bool:
        if x:
            told.set()
        return told.wait(WAIT)

    assert flow(lambda: waits_for_the_next.map([0, 1]).result(timeout=WAIT))() == [True, True]


@pytest.mark.usefixtures("unhurried")
def test_a_body_waits_for_one_behind_it_and_nobody_needs_to_notice() -> None:
    futures: list[Any] = []
    there = threading.Event()

    @task
    def waits_for_the_next(x: int) -> int:
        assert there.wait(WAIT)
        return x or futures[0][1].result(timeout=WAIT) + 1

    @flow
    def body() -> Any:
        futures.append(waits_for_the_next.map([0, 1]))
        there.set()
        return futures[0].result(timeout=WAIT)

    assert body() == [2, 1]


@pytest.mark.usefixtures("unhurried")
def test_a_body_that_is_abandoned_holds_up_no_others() -> None:
    go_on = threading.Event()

    @task(timeout_seconds=0.01, interruptible=False)
    def blocks(x: int) -> int:
        if not x:
            assert go_on.wait(WAIT)
        return x

    @flow
    def body() -> Any:
        results = [each.result(WAIT, raise_on_failure=False) for each in blocks.map(range(100))]
        go_on.set()
        return results

    results = body()
    assert isinstance(results[0], TimeoutError)
    assert results[1:] == list(range(1, 100))


def test_with_one_thread_no_other_runs_a_body_though_one_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")
    at_once = threading.Lock()
    ran_on: set[str] = set()

    @task
    def blocks(x: int) -> int:
        assert at_once.acquire(blocking=False)
        ran_on.add(threading.current_thread().name)
        threading.Event().wait(0.005 if x % 50 == 0 else 0)
        at_once.release()
        return x

    assert flow(lambda: blocks.map(range(200)).result(timeout=WAIT))() == list(range(200))
    assert len(ran_on) == 1


def test_no_more_bodies_run_at_once_than_there_may_be_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "3")
    places = threading.Semaphore(3)

    @task
    def blocks(x: int) -> int:
        assert places.acquire(blocking=False)
        threading.Event().wait(0.002 if x % 7 == 0 else 0)
        places.release()
        return x

    @flow
    def body() -> Any:
        futures = [blocks.map(range(500)), blocks.map(range(500)), *[blocks.submit(x) for x in range(50)]]
        return [each.result(timeout=WAIT) for each in futures]

    assert body() == [list(range(500)), list(range(500)), *range(50)]


def test_threads_end_with_their_engine() -> None:
    before = of_the_engine()
    meets = task(meet_in(8))

    @flow
    def body() -> Any:
        return meets.map(range(8)).result(timeout=WAIT)

    with Engine(threads=8):
        body()
        assert len(of_the_engine() - before) == 8 + 1  # and the lookout

    assert of_the_engine() - before == set()


def test_threads_without_work_end_and_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(offload, "IDLE_SECONDS", 0.02)
    before = of_the_engine()
    meets = task(meet_in(4))

    @flow
    def body() -> Any:
        return meets.map(range(4)).result(timeout=WAIT)

    with Engine(threads=4):
        for _ in range(3):
            assert body() == list(range(4))
            await_true(lambda: of_the_engine() == before)
