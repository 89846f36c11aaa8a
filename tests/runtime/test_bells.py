"""Bells and latches: nothing that is said to one who waits is lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from threading import Thread

import pytest

from millrace import Engine
from millrace.runtime.attempt import run_blocking
from millrace.runtime.bells import Bell, Latch
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter
from tests.checkpoints import turns
from tests.runtime.worlds import PATIENCE


async def begun(wait: Callable[[LoopWaiter], Coroutine[None, None, None]]) -> asyncio.Task[None]:
    """A task that waits."""
    task = asyncio.create_task(wait(LoopWaiter(Engine.current().lane_here())))
    await turns()
    assert not task.done()
    return task


async def woken(waits: asyncio.Task[None]) -> bool:
    """Whether a task that waits has been woken."""
    await asyncio.wait([waits], timeout=PATIENCE)
    return waits.done() and waits.exception() is None


@pytest.mark.anyio
async def test_a_bell_wakes_whoever_waits_and_nobody_twice() -> None:
    async with Engine():
        bell = Bell()
        first = await begun(bell.wait)
        bell.ring()
        assert await woken(first)
        second = await begun(bell.wait)
        await asyncio.to_thread(bell.ring)
        assert await woken(second)


@pytest.mark.anyio
async def test_a_bell_that_is_rung_while_nobody_waits_wakes_the_next_one() -> None:
    async with Engine() as engine:
        bell = Bell()
        bell.ring()
        bell.ring()
        await bell.wait(LoopWaiter(engine.lane_here()))
        waits = await begun(bell.wait)
        bell.ring()
        assert await woken(waits)


@pytest.mark.anyio
@pytest.mark.parametrize("rung", ["before", "after"])
async def test_a_bell_that_is_rung_for_a_wait_that_is_cancelled_wakes_the_next_one(rung: str) -> None:
    """Found by reading: it was rung for the one who did not wait any more."""
    async with Engine() as engine:
        bell = Bell()
        waits = await begun(bell.wait)
        if rung == "before":
            bell.ring()
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        if rung == "after":
            bell.ring()
        async with asyncio.timeout(PATIENCE):
            await bell.wait(LoopWaiter(engine.lane_here()))


@pytest.mark.anyio
async def test_a_latch_that_is_opened_lets_everybody_through_from_then_on() -> None:
    async with Engine() as engine:
        latch = Latch()
        tasks = [await begun(latch.wait) for _ in range(3)]
        waiters = [ThreadWaiter() for _ in range(3)]
        threads = [Thread(target=run_blocking, args=(latch.wait(waiter),)) for waiter in waiters]
        for thread in threads:
            thread.start()
        tasks[1].cancel()
        await turns()
        latch.open()
        latch.open()
        await asyncio.wait(tasks)
        assert [task.cancelled() for task in tasks] == [False, True, False]
        for thread in threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()
        await latch.wait(LoopWaiter(engine.lane_here()))
        run_blocking(latch.wait(ThreadWaiter()))
