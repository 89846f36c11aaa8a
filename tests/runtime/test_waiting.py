"""Waiting for several futures: `wait` and `as_completed`."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Lambdas stand in for code of users, who annotate none.

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from datetime import timedelta
from threading import Event
from typing import Any

import pytest

from millrace import (
    BlockingCallOnLoop,
    ConfigurationError,
    Future,
    FutureList,
    MillraceError,
    ThreadPoolTaskRunner,
    WaitTimeout,
    as_completed,
    flow,
    task,
    wait,
)
from tests.runtime.worlds import PATIENCE, World


@task
def double(x: int) -> int:
    return 2 * x


@task
def broken() -> int:
    raise ValueError("as ever")


# wait


def test_wait_gives_what_has_ended_and_what_has_not() -> None:
    go = Event()

    @task
    def late() -> None:
        assert go.wait(PATIENCE)

    @flow
    def patient() -> None:
        quick, failed, slow = double.submit(1), broken.submit(), late.submit()
        wait([quick, failed])
        done, not_done = wait([quick, failed, slow], timeout=0.001)
        assert done == {quick, failed}
        assert not_done == {slow}
        go.set()
        result = wait([quick, failed, slow])
        assert result.done == {quick, failed, slow}
        assert result.not_done == set()
        failed.result(raise_on_failure=False)

    patient()


def test_wait_takes_any_iterable_of_futures() -> None:
    @flow
    def patient() -> None:
        futures = double.map(range(3))
        assert wait(each for each in futures).done == set(futures)
        assert wait(futures).done == set(futures)
        assert wait([]) == (set(), set())

    patient()


def test_wait_does_not_look_at_outcomes() -> None:
    @flow
    def careless() -> None:
        wait([broken.submit()])

    assert careless(return_state=True).is_failed()


@pytest.mark.anyio
async def test_wait_on_the_thread_of_a_loop_is_an_error_that_says_to_await() -> None:
    gate = asyncio.Event()

    @task
    async def late() -> None:
        await gate.wait()

    @flow
    async def confused() -> None:
        with pytest.raises(
            BlockingCallOnLoop, match=r"^wait\(\) would block .* Use `await each future\.wait_async\(\)`"
        ):
            _ = wait([late.submit()])
        gate.set()

    await confused()


@pytest.mark.anyio
async def test_wait_for_what_has_ended_does_not_block_and_is_allowed_anywhere() -> None:
    @flow
    async def quick() -> None:
        futures = double.map(range(3))
        await futures
        assert wait(futures).done == set(futures)

    await quick()


# as_completed


async def order_of(world: World, futures: Any, timeout: float | None = None) -> list[Any]:
    if world.async_flows:
        return [await future async for future in as_completed(futures, timeout)]
    return [future.result() for future in as_completed(futures, timeout)]


async def first_of(world: World, completed: Any) -> Any:
    return await anext(completed) if world.async_flows else next(completed)


def test_as_completed_gives_futures_in_the_order_in_which_they_end(world: World) -> None:
    gates = [world.gate() for _ in range(3)]

    @world.task
    async def gated(index: int) -> int:
        await gates[index].passed()
        if index:
            gates[index - 1].open()
        return index

    async def body() -> Any:
        futures = [gated.submit(index) for index in range(3)]
        gates[2].open()
        return await order_of(world, futures)

    assert world.body(body) == [2, 1, 0]


def test_as_completed_gives_each_future_itself(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        futures = [tell.submit(x) for x in range(5)]
        ready = as_completed(futures)
        given = [each async for each in ready] if world.async_flows else list(ready)
        assert len(given) == 5
        assert set(given) == set(futures)

    world.body(body)


def test_as_completed_gives_those_that_had_ended_before(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        futures = tell.map(range(4))
        await world.result(futures)
        return await order_of(world, futures, timeout=0)

    assert sorted(world.body(body)) == [0, 2, 4, 6]


def test_as_completed_gives_one_that_failed_like_any_other(world: World) -> None:
    fail = world.task(broken.fn)

    async def body() -> None:
        (failed,) = [fail.submit()]
        future = await first_of(world, as_completed([failed]))
        assert future is failed
        assert isinstance(await world.error(future), ValueError)

    world.body(body)


def test_as_completed_of_nothing_is_empty(world: World) -> None:
    async def body() -> Any:
        return await order_of(world, [])

    assert world.body(body) == []


def test_a_future_that_stands_in_it_twice_comes_once(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        future = tell.submit(1)
        return await order_of(world, [future, future])

    assert world.body(body) == [2]


def test_it_is_an_iterator(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        completed = as_completed(tell.map(range(3)))
        if world.async_flows:
            assert aiter(completed) is completed
        else:
            assert iter(completed) is completed
        assert isinstance(await first_of(world, completed), Future)
        rest = 0
        if world.async_flows:
            async for _ in completed:
                rest += 1
            with pytest.raises(StopAsyncIteration):
                _ = await anext(completed)
        else:
            rest = len(list(completed))
            with pytest.raises(StopIteration):
                _ = next(completed)
        assert rest == 2

    world.body(body)


def test_as_completed_says_how_many_are_unfinished_when_the_time_is_over(world: World) -> None:
    gate = world.gate()
    tell = world.task(double.fn)

    @world.task
    async def late() -> int:
        await gate.passed()
        return -1

    async def body() -> None:
        quick = [tell.submit(x) for x in range(2)]
        for each in quick:
            await world.ended(each)
        completed = as_completed([*quick, late.submit(), late.submit()], timeout=0.001)
        assert {await first_of(world, completed), await first_of(world, completed)} == set(quick)
        with pytest.raises(TimeoutError, match=r"^2 of 4 runs did not finish within 0.001 seconds\.$") as caught:
            await first_of(world, completed)
        error = caught.value
        assert isinstance(error, WaitTimeout)
        assert isinstance(error, MillraceError)
        assert (error.unfinished, error.total, error.seconds) == (2, 4, 0.001)
        gate.open()

    world.body(body)


def test_after_a_timeout_the_runs_go_on_and_may_be_waited_for_again(world: World) -> None:
    gate = world.gate()

    @world.task
    async def late() -> str:
        await gate.passed()
        return "here"

    async def body() -> Any:
        futures = [late.submit()]
        with pytest.raises(TimeoutError):
            await first_of(world, as_completed(futures, timeout=0))
        gate.open()
        return await order_of(world, futures)

    assert world.body(body) == ["here"]


def test_leaving_the_loop_early_stops_nothing(world: World) -> None:
    gate = world.gate()
    seen: list[int] = []

    @world.task
    async def gated(index: int) -> None:
        if index:
            await gate.passed()
        seen.append(index)

    async def body() -> None:
        futures = [gated.submit(index) for index in range(3)]
        if world.async_flows:
            async for _ in as_completed(futures):
                break
        else:
            for _ in as_completed(futures):
                break
        gate.open()

    world.body(body)
    assert sorted(seen) == [0, 1, 2]


def test_leaving_the_loop_early_leaves_nothing_in_the_runs(world: World) -> None:
    gate = world.gate()

    @world.task
    async def gated(index: int) -> None:
        if index:
            await gate.passed()

    async def body() -> None:
        futures = [gated.submit(index) for index in range(2)]
        completed = as_completed(futures)
        await first_of(world, completed)
        remembered = weakref.ref(completed)
        assert futures[1].source.watchers
        del completed
        gc.collect()
        assert remembered() is None
        assert not futures[1].source.watchers
        gate.open()

    world.body(body)


def test_a_wait_for_the_next_one_that_is_cancelled_loses_nothing() -> None:
    async def main() -> None:
        gate = asyncio.Event()

        @task
        async def late() -> int:
            await gate.wait()
            return 1

        @flow
        async def impatient() -> None:
            completed = as_completed([late.submit()])
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0):
                    _ = await anext(completed)
            gate.set()
            assert await (await anext(completed)) == 1

        await impatient()

    asyncio.run(main())


@pytest.mark.anyio
async def test_for_over_as_completed_on_the_thread_of_a_loop_is_an_error_that_says_async_for() -> None:
    gate = asyncio.Event()

    @task
    async def late() -> None:
        await gate.wait()

    @flow
    async def confused() -> None:
        with pytest.raises(BlockingCallOnLoop, match=r"Use `async for \.\.\. in as_completed\(\)` instead"):
            _ = next(as_completed([late.submit()]))
        gate.set()

    await confused()


def test_as_completed_of_very_many_gives_each_once(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        return await order_of(world, tell.map(range(500)))

    assert sorted(world.body(body)) == [2 * x for x in range(500)]


@pytest.mark.parametrize("how", ["as_completed", "await", "direct call"])
def test_an_async_body_that_waits_in_a_pool_of_one_lends_its_worker(how: str) -> None:
    @task
    async def child(x: int) -> int:
        return x + 1

    @task
    async def parent() -> int:
        future = child.submit(1)
        if how == "as_completed":
            return sum([await each async for each in as_completed([future])])
        if how == "await":
            return await future
        return await child(0, wait_for=[future]) + 1

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def narrow() -> int:
        return parent.submit().result(timeout=PATIENCE)

    assert narrow() == 2


# What cannot be waited for, or not so long.

WAITS: list[Callable[[Future[Any], Any], object]] = [
    lambda future, timeout: future.result(timeout),
    lambda future, timeout: future.wait(timeout),
    lambda future, timeout: asyncio.run(future.wait_async(timeout)),
    lambda future, timeout: FutureList([future]).result(timeout),
    lambda future, timeout: FutureList([future]).wait(timeout),
    lambda future, timeout: FutureList([future]).as_completed(timeout),
    lambda future, timeout: wait([future], timeout),
    lambda future, timeout: as_completed([future], timeout),
]


@pytest.mark.parametrize("timeout", ["1", -1, float("nan"), float("inf"), True, timedelta(seconds=1), 10**99], ids=str)
def test_a_timeout_that_is_no_time_is_refused_by_every_wait_whether_the_run_has_ended_or_not(timeout: Any) -> None:
    go = Event()

    @task
    def late() -> None:
        assert go.wait(PATIENCE)

    ended, waiting = double.submit(1), late.submit()
    assert ended.wait()
    for future in (ended, waiting):
        for refused in WAITS:
            with pytest.raises(ConfigurationError) as raised:
                refused(future, timeout)
            assert str(raised.value) == (
                f"'timeout' takes a number of seconds, 0 or more, or None for no limit, not {timeout!r}."
            )
    go.set()
    assert waiting.wait()


def test_no_time_at_all_is_a_look() -> None:
    go = Event()

    @task
    def late() -> int:
        assert go.wait(PATIENCE)
        return 2

    future = late.submit()

    assert future.wait(0) is False
    go.set()
    assert future.wait(PATIENCE)
    assert (future.wait(0), future.result(0)) == (True, 2)


@pytest.mark.parametrize("call", [wait, as_completed])
def test_what_is_no_future_cannot_be_waited_for(call: Any) -> None:
    future = double.submit(1)
    expected = "several futures, as `submit` and `map` give them"

    for given, wrong in ((future, future), (3, 3), ([future, "x"], "x"), ([None], None), ([[future]], [future])):
        with pytest.raises(ConfigurationError) as raised:
            call(given)
        assert str(raised.value) == f"'futures' takes {expected}, not {wrong!r}."
    assert future.wait()
