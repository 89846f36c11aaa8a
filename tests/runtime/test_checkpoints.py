"""Canonical flows, cancelled at every checkpoint: nothing is ever left behind, and everything has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest

from millrace import SequentialTaskRunner, ThreadPoolTaskRunner, allow_failure
from tests.checkpoints import (
    Cut,
    at_every_checkpoint,
    cut_by_asyncio,
    cut_by_asyncio_again_and_again,
    cut_by_engine,
    cut_by_scope,
)
from tests.loose import flow, task


async def steps(n: int) -> None:
    for _ in range(n):
        await asyncio.sleep(0)


@task
async def work(x: int) -> int:
    await steps(2)
    return x


@task
async def quick(x: int) -> int:
    return x


@task
def in_thread(x: int) -> int:
    return x


@task(retries=2)
async def flaky(tries: list[int]) -> int:
    await steps(1)
    tries.append(1)
    if len(tries) < 3:
        raise ValueError(tries)
    return len(tries)


@task
async def fails(x: int) -> int:
    await steps(1)
    raise ValueError(x)


@flow
async def calls() -> Any:
    return await work(1) + await quick(1) + in_thread(1)


@flow
async def submits() -> int:
    futures = [work.submit(1), quick.submit(1), in_thread.submit(1)]
    return sum([await each for each in futures])


@flow
async def leaves_children_behind() -> int:
    work.submit(1)
    work.map(range(5))
    return 1


@flow
async def maps() -> int:
    return sum(await work.map(await quick.map(range(30))))


@flow
async def chains() -> Any:
    future = work.submit(1)
    for _ in range(4):
        future = quick.submit(future)
    return await future


@flow
async def depends_on_a_failure() -> Any:
    failed = fails.submit(1)
    never = quick.submit(failed)
    lets_through = quick.submit(allow_failure(failed))
    await never.wait_async()
    return isinstance(await lets_through, ValueError)


@task
async def parent(n: int) -> Any:
    return 1 + await parent.submit(n - 1) if n else await work(0)


@flow
async def nests() -> Any:
    return await parent.submit(4)


@flow
async def child(n: int) -> Any:
    return await work.submit(n) + (await child(n - 1) if n else 0)


@flow
async def has_subflows() -> Any:
    return await child(2)


@flow
def sync_child() -> Any:
    return work.submit(1).result(10) + in_thread.submit(1).result(10)


@flow
async def has_a_sync_subflow() -> Any:
    await steps(1)
    return sync_child() + await work(1)


@flow
async def retries() -> Any:
    tries: list[int] = []
    return await flaky.submit(tries) + await flaky([1])


@flow
async def cleans_up() -> Any:
    try:
        return await work.submit(1)
    finally:
        await steps(3)


@flow
async def swallows_one_cancellation() -> Any:
    try:
        await work(1)
    except asyncio.CancelledError:
        await steps(3)
    return await quick(1)


@flow
async def has_a_task_group() -> Any:
    async with asyncio.TaskGroup() as group:
        first = group.create_task(work(1))
        second = group.create_task(child(1))
    return first.result() + second.result()


@flow
async def has_a_timeout_of_its_own() -> str:
    try:
        async with asyncio.timeout(0):
            await asyncio.Event().wait()
    except TimeoutError:
        await work(1)
        return "late"
    return "never"


@flow(task_runner=SequentialTaskRunner())
async def one_after_another() -> Any:
    return sum(await work.map(range(3))) + await in_thread.submit(1) + await work.submit(1)


@flow(task_runner=ThreadPoolTaskRunner(max_workers=2))
async def in_a_pool() -> Any:
    return sum(await work.map(range(3))) + await in_thread.submit(1)


FLOWS: list[Callable[[], Coroutine[Any, Any, Any]]] = [
    calls, submits, leaves_children_behind, maps, chains, depends_on_a_failure, nests, has_subflows,
    has_a_sync_subflow, retries, cleans_up, swallows_one_cancellation, has_a_task_group, has_a_timeout_of_its_own,
    one_after_another, in_a_pool,
]  # fmt: skip


CUTS = [cut_by_asyncio, cut_by_asyncio_again_and_again, cut_by_scope, cut_by_engine]


def by_name(each: Any) -> Any:
    return getattr(each, "name", None) or each.__name__


@pytest.mark.anyio
@pytest.mark.parametrize("cut", CUTS, ids=by_name)
@pytest.mark.parametrize("make", FLOWS, ids=by_name)
async def test_cancelled_at_any_checkpoint_a_flow_leaves_nothing_behind(
    make: Callable[[], Coroutine[Any, Any, Any]], cut: Cut
) -> None:
    expected = "Cancelled" if cut is cut_by_engine else "Crashed"
    ends: set[str] = set()
    trials = 0
    async for trial in at_every_checkpoint(make, cut):
        state = trial.flow_state()
        trials += 1
        if state is not None:
            ends.add(state.name)
    assert trials > 1
    # The last trial was not cut off; the swallower completes when the cancellation was not the engine's.
    assert ends <= {"Completed", expected}
    assert "Completed" in ends


@pytest.mark.anyio
async def test_the_tool_itself_tells_when_something_is_left_behind() -> None:
    left: list[asyncio.Task[Literal[True]]] = []

    async def leaks() -> None:
        left.append(asyncio.create_task(asyncio.Event().wait()))
        await asyncio.sleep(0)

    with pytest.raises(AssertionError, match="after 1 passes"):
        async for _ in at_every_checkpoint(leaks, cut_by_asyncio):
            pass
    for each in left:
        each.cancel()
