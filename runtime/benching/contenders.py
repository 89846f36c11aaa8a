"""Contenders: the same work under limits of different makes.

Decides how each make is used, which is the way its own documentation shows. millrace runs the task itself, with its
retries and timeouts, on an engine of its own, and the limit is that of a tag, as in any program. The others are given
the bare function. What is sync runs on threads, of which there are enough: the limit is to be what limits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from millrace.actors.errors import MissingExtra
from millrace.runtime.benching.load import Load

Body = Callable[[int], Awaitable[None]]
"""Does the work of an item that has its slot."""


async def under_semaphore(load: Load) -> None:
    """`asyncio.Semaphore` around each body, in an `asyncio.TaskGroup`."""
    gate = asyncio.Semaphore(load.limit)
    with ThreadPoolExecutor(load.limit) as pool:
        body = _body(load, pool)

        async def one(item: int) -> None:
            async with gate:
                await body(item)

        await _all(one, load)


async def under_capacity_limiter(load: Load) -> None:
    """`anyio.CapacityLimiter` around each body; sync ones by `anyio.to_thread.run_sync(limiter=)`."""
    from anyio import CapacityLimiter, to_thread  # noqa: PLC0415  # only who compares needs it

    limiter = CapacityLimiter(load.limit)
    call = _call(load)

    async def one(item: int) -> None:
        async with limiter:
            await _run_async(load, item)

    async def one_in_a_thread(item: int) -> None:
        await to_thread.run_sync(call, item, limiter=limiter)

    await _all(one if load.work.task.is_async else one_in_a_thread, load)


async def under_aiometer(load: Load) -> None:
    """`aiometer.run_on_each(max_at_once=)`.

    Raises:
        MissingExtra: aiometer is not installed.
    """
    try:
        import aiometer  # noqa: PLC0415  # an extra
    except ImportError:
        raise MissingExtra("The comparison with aiometer", "bench") from None
    with ThreadPoolExecutor(load.limit) as pool:
        await aiometer.run_on_each(_body(load, pool), range(load.work.count), max_at_once=load.limit)


async def under_thread_pool(load: Load) -> None:
    """`ThreadPoolExecutor` with as many threads as the limit; an async body is awaited by a thread that blocks."""
    loop = asyncio.get_running_loop()
    call = _call(load)

    def call_async(item: int) -> None:
        asyncio.run_coroutine_threadsafe(_run_async(load, item), loop).result()

    pool = ThreadPoolExecutor(load.limit)
    try:
        chosen = call_async if load.work.task.is_async else call
        futures = [pool.submit(chosen, item) for item in range(load.work.count)]
        ended = loop.create_future()
        pending = len(futures)

        def count_down() -> None:
            nonlocal pending
            pending -= 1
            if pending == 0 and not ended.done():
                ended.set_result(None)

        for future in futures:
            future.add_done_callback(lambda _: loop.call_soon_threadsafe(count_down))
        await ended
        pool.shutdown()  # nothing is left to wait for but the ends of its threads
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


RIVALS: Final[Mapping[str, Callable[[Load], Coroutine[Any, Any, None]]]] = {
    "asyncio.Semaphore": under_semaphore,
    "anyio.CapacityLimiter": under_capacity_limiter,
    "aiometer": under_aiometer,
    "ThreadPoolExecutor": under_thread_pool,
}
"""What `--compare` runs beside the engine, by name."""


async def _all(one: Callable[[int], Coroutine[Any, Any, None]], load: Load) -> None:
    async with asyncio.TaskGroup() as group:
        for item in range(load.work.count):
            group.create_task(one(item))


def _body(load: Load, pool: ThreadPoolExecutor) -> Body:
    if load.work.task.is_async:
        return partial(_run_async, load)
    call = _call(load)
    loop = asyncio.get_running_loop()

    async def body(item: int) -> None:
        await loop.run_in_executor(pool, call, item)

    return body


async def _run_async(load: Load, item: int) -> None:
    if not load.begin():
        return
    args, kwargs = load.work.call(item)
    started, error = load.now(), None
    try:
        await load.work.task.fn(*args, **kwargs)
    except Exception as raised:  # noqa: BLE001  # a failure is a figure
        error = raised
    load.record(started, load.now(), error)


def _call(load: Load) -> Callable[[int], None]:
    """Does the work of an item in the calling thread."""

    def call(item: int) -> None:
        if not load.begin():
            return
        args, kwargs = load.work.call(item)
        started, error = load.now(), None
        try:
            load.work.task.fn(*args, **kwargs)
        except Exception as raised:  # noqa: BLE001  # a failure is a figure
            error = raised
        load.record(started, load.now(), error)

    return call
