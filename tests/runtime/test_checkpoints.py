"""Canonical flows, cancelled at every checkpoint: nothing is ever left behind, and everything has an end."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Literal

import pytest

from millrace import (
    CrashPolicy,
    Engine,
    FlowRun,
    FlowRunContext,
    MemoryStorage,
    SequentialTaskRunner,
    ThreadPoolTaskRunner,
    allow_failure,
    atransaction,
    pause_flow_run,
    resume_flow_run,
)
from tests.checkpoints import (
    Cut,
    at_every_checkpoint,
    cut_by_asyncio,
    cut_by_asyncio_again_and_again,
    cut_by_engine,
    cut_by_scope,
)
from tests.loose import flow, task


def current_run() -> FlowRun:
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


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


@flow
async def yields() -> Any:
    for number in range(3):
        yield await work(number)


@flow
async def iterates_over_a_flow() -> Any:
    return [number async for number in yields()]


@flow
async def leaves_a_generator_half_way() -> Any:
    async for _ in yields():
        break


@task
async def counts(n: int) -> Any:
    for number in range(n):
        await steps(1)
        yield number


@flow
async def iterates_over_a_task() -> Any:
    return [number async for number in counts(3)]


@flow
async def streams() -> Any:
    return [number async for number in work.stream(range(5), max_in_flight=2)]


def is_tried_again() -> Any:
    tries: list[int] = []

    @flow(retries=1)
    async def once_more() -> Any:
        tries.append(await work(1))
        if len(tries) == 1:
            raise ValueError(tries)
        return await quick(2)

    return once_more()


@flow(timeout_seconds=3600)
async def has_a_deadline() -> Any:
    return await work.submit(1)


async def hook(*_: Any) -> None:
    await steps(1)


@flow(on_running=[hook], on_completion=[hook], on_cancellation=[hook], on_crashed=[hook])
async def has_hooks() -> Any:
    return await work(1)


@task(timeout_seconds=3600, on_running=[hook], on_completion=[hook])
async def conducted(x: int) -> int:
    await steps(1)
    return x


@flow
async def has_tasks_with_more_to_them() -> Any:
    return await conducted(1) + await conducted.submit(2)


@flow(flow_run_name="no-{number}", log_prints=True)
async def named(number: int) -> int:
    print(number)  # noqa: T201  # it is logged
    await steps(1)
    return number


@flow
async def gives_futures_to_subflows() -> Any:
    first, second = work.submit(1), quick.submit(2)
    return await named(first, wait_for=[second])


@flow
async def starts_subflows_in_the_background() -> Any:
    started = [Engine.current().start(child, 0), Engine.current().start(sync_child)]
    return [await each for each in started]


@task
async def calls_a_flow() -> Any:
    return await child(0)


@flow
async def has_a_flow_in_a_task() -> Any:
    return await calls_a_flow.submit()


@flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
async def has_a_flow_in_a_pool() -> Any:
    return await calls_a_flow.submit()


async def resume_when_paused(run: FlowRun) -> None:
    while not run.paused:  # noqa: ASYNC110  # a pass of the loop is what is counted here
        await asyncio.sleep(0)
    _ = resume_flow_run(run.uuid, 1)


@flow
async def is_paused() -> Any:
    async with asyncio.TaskGroup() as group:
        group.create_task(resume_when_paused(current_run()))
        return await pause_flow_run()


@flow
async def has_a_subflow_while_it_is_paused() -> Any:
    async with asyncio.TaskGroup() as group:
        pausing = group.create_task(pause_flow_run())
        await steps(1)
        group.create_task(resume_when_paused(current_run()))
        return await child(0), await pausing


@flow(persist_result=True, result_storage=MemoryStorage())
async def keeps_its_results() -> Any:
    return await work(1) + await work.submit(2)


@flow
async def has_a_transaction() -> Any:
    async with atransaction():
        return await work(1) + await work.submit(2)


def has_crashes_that_are_restarted() -> Any:
    tries: list[int] = []

    @task
    async def crashes() -> int:
        await steps(1)
        tries.append(1)
        if len(tries) == 1:
            raise SystemExit(1)
        return len(tries)

    @flow(crash_policy=CrashPolicy(restart="task", max_restarts=1, within_seconds=60))
    async def restarts() -> Any:
        return await crashes.submit()

    return restarts()


FLOWS: list[Callable[[], Coroutine[Any, Any, Any]]] = [
    calls, submits, leaves_children_behind, maps, chains, depends_on_a_failure, nests, has_subflows,
    has_a_sync_subflow, retries, cleans_up, swallows_one_cancellation, has_a_task_group, has_a_timeout_of_its_own,
    one_after_another, in_a_pool, iterates_over_a_flow, leaves_a_generator_half_way, iterates_over_a_task, streams,
    is_tried_again, has_a_deadline, has_hooks, has_tasks_with_more_to_them, gives_futures_to_subflows,
    starts_subflows_in_the_background, has_a_flow_in_a_task, has_a_flow_in_a_pool, is_paused,
    has_a_subflow_while_it_is_paused, keeps_its_results, has_a_transaction, has_crashes_that_are_restarted,
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
