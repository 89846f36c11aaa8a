"""A body that waits for what it started holds no worker: nesting completes however few workers there are."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import DefaultTaskRunner, Engine, SequentialTaskRunner, TaskRunner, ThreadPoolTaskRunner
from millrace.runtime.stack import ROOM, ROOM_TO_START
from tests.loose import flow, task
from tests.runtime.worlds import PATIENCE, World

DEEP = 1_000
MODEST = 50


@task
def sync_down(n: int) -> int:
    return 1 + sync_down.submit(n - 1).result() if n else 0


@task
async def async_down(n: int) -> int:
    return 1 + await async_down.submit(n - 1) if n else 0


@task
def alternating_sync(n: int) -> int:
    return 1 + alternating_async.submit(n - 1).result() if n else 0


@task
async def alternating_async(n: int) -> int:
    return 1 + await alternating_sync.submit(n - 1) if n else 0


@pytest.mark.anyio
async def test_sync_tasks_that_wait_for_each_other_nest_a_thousand_deep_on_one_thread() -> None:
    async with Engine(threads=1) as engine:
        future = sync_down.submit(DEEP)
        assert await future == DEEP
        assert engine.stats().threads.limit == 1


def test_sync_tasks_nest_a_thousand_deep_in_a_sync_flow_on_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")

    @flow
    def body() -> Any:
        return sync_down.submit(DEEP).result()

    assert body() == DEEP


@pytest.mark.anyio
async def test_async_tasks_that_wait_for_each_other_nest_a_thousand_deep() -> None:
    @flow
    async def body() -> Any:
        return await async_down.submit(DEEP)

    assert await body() == DEEP


def test_async_tasks_nest_a_thousand_deep_in_a_sync_flow() -> None:
    @flow
    def body() -> Any:
        return async_down.submit(DEEP).result()

    assert body() == DEEP


@pytest.mark.parametrize("down", [sync_down, async_down], ids=["sync", "async"])
def test_tasks_nest_a_thousand_deep_in_a_pool_of_one_worker(down: Any) -> None:
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def body() -> Any:
        return down.submit(DEEP).result()

    assert body() == DEEP


@pytest.mark.anyio
async def test_kinds_may_alternate_on_the_way_down() -> None:
    async with Engine(threads=1):
        assert await alternating_sync.submit(200) == 200
        assert await alternating_async.submit(200) == 200


@pytest.mark.parametrize("down", [sync_down, async_down, alternating_sync], ids=["sync", "async", "alternating"])
def test_tasks_nest_when_they_run_one_after_another(down: Any) -> None:
    @flow(task_runner=SequentialTaskRunner())
    def body() -> Any:
        return down.submit(MODEST).result()

    assert body() == MODEST


@pytest.mark.anyio
@pytest.mark.parametrize(
    "runner", [DefaultTaskRunner(), SequentialTaskRunner(), ThreadPoolTaskRunner(max_workers=1)], ids=repr
)
async def test_a_task_may_wait_for_a_map_of_its_own(runner: TaskRunner) -> None:
    @task
    def leaf(x: int) -> int:
        return x

    @task
    def sync_parent(n: int) -> int:
        return sum(leaf.map(range(n)).result())

    @task
    async def async_parent(n: int) -> int:
        return sum(await leaf.map(range(n)))

    @flow(task_runner=runner)
    async def body() -> Any:
        return await sync_parent.map([3, 4]) + await async_parent.map([3, 4])

    assert await body() == [3, 6, 3, 6]


def test_a_body_that_waits_in_several_places_at_once_lends_its_place_once() -> None:
    guard = threading.Lock()
    inside: list[int] = []
    peak = 0

    @task
    def busy(_x: int) -> None:
        nonlocal peak
        with guard:
            inside.append(1)
            peak = max(peak, len(inside))
        another.wait(0.005)  # long enough that a second one would be seen
        with guard:
            inside.pop()

    another = threading.Event()

    @task
    async def parent() -> None:
        import asyncio  # noqa: PLC0415  # the body runs on a worker's own loop

        await asyncio.gather(*[busy.submit(x).wait_async() for x in range(4)])

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def body() -> None:
        parent.submit().result()

    body()
    assert peak == 1


@pytest.mark.anyio
async def test_a_subflow_of_a_task_of_a_subflow_nests_hundreds_deep() -> None:
    @flow
    async def level(n: int) -> int:
        return 1 + await below.submit(n - 1) if n else 0

    @task
    async def below(n: int) -> Any:
        return await level(n)

    assert await level(300) == 300


@pytest.mark.anyio
async def test_threads_that_were_lent_end_when_they_are_not_needed_any_more() -> None:
    async with Engine(threads=1) as engine:
        assert await sync_down.submit(100) == 100
        assert await sync_down.submit(0) == 0
        stats = engine.stats().threads
        assert stats.lent == 0
        assert stats.busy <= stats.threads


@pytest.mark.parametrize("kind", ["sync", "async"])
@pytest.mark.parametrize("runner", [None, ThreadPoolTaskRunner(max_workers=1)], ids=repr)
def test_a_run_of_a_map_may_wait_for_a_later_one(
    monkeypatch: pytest.MonkeyPatch, runner: TaskRunner | None, kind: str
) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")
    maps: list[Any] = []
    there = threading.Event()

    @task
    def sync_body(x: int) -> Any:
        assert there.wait(PATIENCE)
        return maps[0][x + 1].result() + 1 if x % 5 == 3 else x

    @task
    async def async_body(x: int) -> Any:
        assert there.wait(PATIENCE)
        return await maps[0][x + 1] + 1 if x % 5 == 3 else x

    @flow(task_runner=runner)
    def body() -> Any:
        maps.append({"sync": sync_body, "async": async_body}[kind].map(range(100)))
        there.set()
        return maps[0].result()

    assert body() == [x + 2 if x % 5 == 3 else x for x in range(100)]


def test_a_flow_that_calls_itself_without_end_fails(world: World) -> None:
    @world.flow
    async def again() -> Any:
        return await world.call(again)

    for _ in range(10):
        state = world.run(again, return_state=True)
        assert isinstance(state.data, RecursionError)


def test_wherever_the_stack_ends_a_flow_is_run_or_refused() -> None:
    @flow
    def inner() -> int:
        return 1

    def dig(calls: int) -> int:
        return inner() if calls == 0 else dig(calls - 1)

    def calls_left() -> int:
        try:
            return calls_left() + 1
        except RecursionError:
            return 0

    @flow
    def outer(left: int) -> int:
        return dig(calls_left() - left)

    came = [outer(left, return_state=True) for left in range(2, 2 * ROOM)]
    refused = [isinstance(state.data, RecursionError) for state in came]
    assert refused == sorted(refused, reverse=True)
    assert 0.9 * ROOM < sum(refused) < 1.1 * ROOM


@task
def one(_number: int = 1) -> int:
    return 1


@task
async def aone(_number: int = 1) -> int:
    return 1


STARTS: dict[str, Callable[[], Any]] = {
    "call": one,
    "submit": one.submit,
    "submit-async": aone.submit,
    "map": lambda: one.map(range(3)),
    "map-async": lambda: aone.map(range(3)),
}


@pytest.mark.parametrize("store", [None, "memory:"], ids=["plain", "recorded"])
@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_wherever_the_stack_ends_a_task_is_started_or_refused_and_its_flow_ends(
    start: Callable[[], Any], store: str | None
) -> None:
    def dig(calls: int) -> Any:
        return start() if calls == 0 else dig(calls - 1)

    def calls_left() -> int:
        try:
            return calls_left() + 1
        except RecursionError:
            return 0

    @flow
    def outer(left: int) -> str:
        try:
            dig(calls_left() - left)
        except RecursionError:
            return "refused"
        return "started"

    with Engine(threads=1, store=store):
        outer(5 * ROOM_TO_START)  # starts the engine's loop, where it takes one
        came = [outer(left) for left in range(2, 2 * ROOM_TO_START)]

    assert set(came) == {"refused", "started"}
    assert came == sorted(came)
