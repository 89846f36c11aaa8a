"""The runner that puts off what a flow submits."""

from __future__ import annotations

import asyncio

import pytest

from millrace import DistributedFuture, Engine, MemoryStore, WorkerTaskRunner, aserve
from tests.loose import flow, task
from tests.runtime.walks import this_run


@task
async def double(x: int) -> int:
    return 2 * x


@task
async def add(a: int, b: int) -> int:
    assert this_run().scope.flow is None  # a worker's run belongs to no flow run
    return a + b


@pytest.mark.anyio
async def test_what_is_submitted_and_mapped_is_run_by_workers() -> None:
    @flow(task_runner=WorkerTaskRunner())
    async def sums() -> list[int]:
        doubled = double.map([1, 2, 3])
        sums = [add.submit(each, b=doubled[0], wait_for=[doubled[2]]) for each in doubled]
        assert all(isinstance(each, DistributedFuture) for each in (*doubled, *sums))
        return [await each for each in sums]

    async with Engine(store=MemoryStore()):
        serving = asyncio.ensure_future(aserve(double, add, limit=1))
        assert await sums() == [4, 6, 8]
        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


def test_one_that_was_not_started_puts_nothing_off() -> None:
    with pytest.raises(RuntimeError, match="Cannot submit task 'double' with WorkerTaskRunner"):
        _ = WorkerTaskRunner().submit(double, {"x": 1})

    assert WorkerTaskRunner() == WorkerTaskRunner().duplicate()
    assert WorkerTaskRunner().name == "worker"
