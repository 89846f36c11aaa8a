"""A blocking wait on the thread of a loop is an error that says what to write instead, and never hangs."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import BlockingCallOnLoop, Engine, Future, as_completed, quote, run, wait
from tests.checkpoints import until
from tests.loose import flow, task

WAIT = 10.0


@task
async def slow(gate: asyncio.Event) -> int:
    await gate.wait()
    return 1


@task
async def plus_one(x: int) -> int:
    await asyncio.sleep(0)
    return x + 1


@task
def sync_plus_one(x: int) -> int:
    return x + 1


@flow
async def async_flow(x: int) -> Any:
    return await plus_one(x)


@flow
def sync_flow(x: Any) -> Any:
    return x


BLOCKING: dict[str, tuple[Callable[[Future[Any]], Any], str]] = {
    "result": (lambda future: future.result(), "await future"),
    "result with a timeout": (lambda future: future.result(WAIT), "await future"),
    "wait": (lambda future: future.wait(), "await future.wait_async()"),
    "wait for several": (lambda future: wait([future]), "await each future.wait_async()"),
    "as_completed": (lambda future: list(as_completed([future])), "async for ... in as_completed()"),
    "a sync task over a future": (sync_plus_one, "await the future first"),
    "a map over a future": (plus_one.map, "plus_one.map(await future)"),
    "submit that returns a state": (
        lambda future: plus_one.submit(future, return_state=True),
        "await future.wait_async()",
    ),
    "a sync flow over a future": (sync_flow, "await the future first"),
}


async def told(how: str) -> tuple[str, int]:
    """Block for a run of this loop, and see the run through: what to do instead, and what the run gave."""
    gate = asyncio.Event()
    future = slow.submit(gate)
    try:
        with pytest.raises(BlockingCallOnLoop, match=r"on its own thread\. Use `.*` instead\.$") as caught:
            BLOCKING[how][0](future)
    finally:
        gate.set()
    return caught.value.instead, await future


@pytest.mark.anyio
@pytest.mark.parametrize("how", [key for key in BLOCKING if key != "a sync flow over a future"])
async def test_blocking_is_refused_on_a_loop_outside_of_any_flow(how: str) -> None:
    assert await asyncio.wait_for(told(how), WAIT) == (BLOCKING[how][1], 1)


@pytest.mark.anyio
@pytest.mark.parametrize("how", BLOCKING)
async def test_blocking_is_refused_in_the_body_of_an_async_flow(how: str) -> None:
    @flow
    async def body() -> tuple[str, int]:
        return await told(how)

    assert await asyncio.wait_for(body(), WAIT) == (BLOCKING[how][1], 1)


@pytest.mark.anyio
@pytest.mark.parametrize("how", BLOCKING)
async def test_blocking_is_refused_in_an_async_task(how: str) -> None:
    @task
    async def body() -> tuple[str, int]:
        return await told(how)

    @flow
    async def outer() -> list[tuple[str, int]]:
        return [await body(), await body.submit()]

    assert await asyncio.wait_for(outer(), WAIT) == [(BLOCKING[how][1], 1)] * 2


@pytest.mark.parametrize("how", [key for key in BLOCKING if key != "a sync flow over a future"])
def test_blocking_is_refused_in_an_async_task_of_a_sync_flow(how: str) -> None:
    @task
    async def body() -> tuple[str, int]:
        return await told(how)

    @flow
    def outer() -> Any:
        return body.submit().result(WAIT)

    assert outer() == (BLOCKING[how][1], 1)


@pytest.mark.anyio
async def test_blocking_is_refused_in_a_sync_task_that_an_async_flow_calls() -> None:
    @task
    def body(future: Future[int]) -> int:
        return future.result()

    @flow
    async def outer() -> Any:
        gate = asyncio.Event()
        future = slow.submit(gate)
        with pytest.raises(BlockingCallOnLoop):
            body(quote(future))
        gate.set()
        return await future

    assert await asyncio.wait_for(outer(), WAIT) == 1


@pytest.mark.anyio
async def test_an_async_task_cannot_be_called_in_a_sync_task_that_an_async_flow_calls() -> None:
    @task
    def body() -> Any:
        return plus_one(1)

    @flow
    async def outer() -> bool:
        with pytest.raises(BlockingCallOnLoop, match=r"^plus_one\(\.\.\.\) in a sync body"):
            body()
        return True

    assert await asyncio.wait_for(outer(), WAIT)


@pytest.mark.anyio
async def test_an_async_task_cannot_be_called_in_a_sync_task_that_is_called_on_a_loop_outside_of_any_flow() -> None:
    @task
    def calls_a_task() -> Any:
        return plus_one(1)

    @task
    def calls_a_flow() -> Any:
        return async_flow(1)

    for body in (calls_a_task, calls_a_flow):
        with pytest.raises(BlockingCallOnLoop, match="in a sync body"):
            body()


@pytest.mark.anyio
async def test_a_sync_body_may_run_a_loop_of_its_own_in_its_thread_and_await_there() -> None:
    async def main() -> Any:
        return await plus_one(1) + await plus_one.submit(1) + await async_flow(1)

    @task
    def body() -> Any:
        return asyncio.run(main())

    assert await body.submit() == 6


@pytest.mark.anyio
async def test_run_is_refused_on_a_running_loop() -> None:
    with pytest.raises(BlockingCallOnLoop, match=r"await async_flow\(\.\.\.\)"):
        run(async_flow, 1)


@pytest.mark.anyio
async def test_closing_an_engine_is_refused_on_a_running_loop_while_something_runs() -> None:
    async with Engine() as engine:
        gate = asyncio.Event()
        future = slow.submit(gate)
        with pytest.raises(BlockingCallOnLoop, match=r"await engine\.aclose\(\)"):
            engine.close()
        gate.set()
        assert await future == 1


# A sync flow that is called on a loop holds that loop up: nothing in it may need the loop.


@pytest.mark.anyio
async def test_a_sync_flow_on_a_loop_may_wait_for_what_it_started_itself() -> None:
    @flow
    def inner() -> list[int]:
        return [plus_one.submit(1).result(), sync_plus_one.submit(1).result(), plus_one(1)]

    @flow
    async def outer() -> Any:
        return inner()

    assert await outer() == [2, 2, 2]
    assert inner() == [2, 2, 2]


def hold(how: Callable[[Future[int]], Any]) -> Any:
    """Call a sync flow on a loop, and in it something with a future that needs the loop."""

    @flow
    def inner(quoted: Any) -> Any:
        return how(quoted[0])

    @flow
    async def outer() -> Any:
        gate = asyncio.Event()
        future = slow.submit(gate)
        try:
            return inner(quote([future]))
        finally:
            gate.set()
            await future

    return outer()


@task
def waits_in_a_thread(quoted: list[Future[int]]) -> int:
    return quoted[0].result()


@task
async def waits_on_another_loop(quoted: list[Future[int]]) -> int:
    return quoted[0].result()


NEEDS_THE_LOOP: dict[str, Callable[[Future[int]], Any]] = {
    "result": lambda future: future.result(),
    "upstream of an async task": lambda future: plus_one.submit(future).result(),
    "upstream of a sync task": lambda future: sync_plus_one.submit(future).result(),
    "upstream of a call": sync_plus_one,
    "upstream of a map": lambda future: plus_one.map([future, 1]).result(),
    "upstream of an upstream": lambda future: plus_one.submit(plus_one.submit(future)).result(),
    "wait_for": lambda future: plus_one.submit(1, wait_for=[future]).result(),
    "in a thread": lambda future: waits_in_a_thread.submit(quote([future])).result(),
    "on another loop": lambda future: waits_on_another_loop.submit(quote([future])).result(),
    "of a subflow": sync_flow,
}


@pytest.mark.anyio
@pytest.mark.parametrize("how", NEEDS_THE_LOOP)
async def test_a_sync_flow_on_a_loop_cannot_wait_for_what_needs_that_loop(how: str) -> None:
    with pytest.raises(
        Exception, match=r"would block the event loop on its own thread|did not reach COMPLETED|NotReady"
    ):
        await asyncio.wait_for(hold(NEEDS_THE_LOOP[how]), WAIT)


@pytest.mark.anyio
async def test_a_loop_that_is_held_up_for_a_moment_goes_on_afterwards() -> None:
    turns = 0

    async def ticks() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1

    ticker = asyncio.create_task(ticks())
    assert sync_flow(1) == 1
    before = turns
    for _ in range(5):
        await asyncio.sleep(0)
    assert turns > before
    ticker.cancel()


# Threads may block.


def test_blocking_is_fine_without_a_loop() -> None:
    @flow
    def body() -> list[int]:
        first, second = plus_one.submit(1), sync_plus_one.submit(2)
        done, not_done = wait([first, second], timeout=WAIT)
        assert not not_done
        assert {each.result() for each in done} == {2, 3}
        return sorted(each.result() for each in as_completed([first, second]))

    assert body() == [2, 3]


@pytest.mark.anyio
async def test_blocking_is_fine_in_a_thread_beside_the_loop() -> None:
    future = plus_one.submit(1)
    found: list[int] = []
    thread = threading.Thread(target=lambda: found.append(future.result(WAIT)))
    thread.start()
    await until(lambda: not thread.is_alive())
    assert found == [2]


@pytest.mark.anyio
async def test_a_sync_task_in_a_thread_may_wait_for_async_tasks_of_the_loop() -> None:
    @task
    def body() -> Any:
        return plus_one(1) + plus_one.submit(1).result(WAIT)

    @flow
    async def outer() -> Any:
        return await body.submit()

    assert await outer() == 4
