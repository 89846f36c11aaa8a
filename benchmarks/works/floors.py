"""The floors: the same work with nothing but the standard library."""

from __future__ import annotations

import asyncio
import functools
import os
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory

from benchmarks.works.probes import Grown, Timed, expect, on_new_loop

WARM = 1_000
KEYS = 100  # of a cache
TASKS = 10  # of each of many groups
RESULT = bytes(range(256)) * 4  # what is written to a file
AT_LEAST_S = 0.2  # what is done sooner is repeated, where the size is what matters


async def anoop(number: int) -> int:
    """Do nothing, on the loop."""
    return number


def noop(number: int) -> int:
    """Do nothing."""
    return number


async def _fan_out(n: int) -> int:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(anoop(number)) for number in range(n)]
    return sum([task.result() for task in tasks])


def task_group(n: int) -> dict[str, float]:
    """One `asyncio.TaskGroup` with a task for each item, and the results collected."""

    async def main() -> dict[str, float]:
        await _fan_out(WARM)
        with Timed() as timed:
            total = await _fan_out(n)
        expect(total, sum(range(n)))
        return timed.figures(n)

    return on_new_loop(main())


def task_group_repeated(n: int) -> dict[str, float]:
    """A task group of so many, repeated until it can be timed."""

    async def main() -> dict[str, float]:
        for _ in range(3):
            await _fan_out(WARM)
        repeats = total = 0
        with Timed() as timed:
            while repeats == 0 or timed.so_far() < AT_LEAST_S:
                total = await _fan_out(n)
                repeats += 1
        expect(total, sum(range(n)))
        return timed.figures(n * repeats)

    return on_new_loop(main())


def many_at_once(n: int) -> dict[str, float]:
    """So many asyncio tasks at once, each with a task group of ten; few are repeated until they can be timed."""

    async def ten(gate: asyncio.Event) -> int:
        await gate.wait()
        return await _fan_out(TASKS)

    async def at_once(n: int) -> int:
        gate = asyncio.Event()
        tasks = [asyncio.create_task(ten(gate)) for _ in range(n)]
        asyncio.get_running_loop().call_soon(gate.set)
        return sum([await task for task in tasks])

    async def main() -> dict[str, float]:
        await at_once(200)
        repeats = total = 0
        with Timed() as timed:
            while repeats == 0 or timed.so_far() < AT_LEAST_S:
                total = await at_once(n)
                repeats += 1
        expect(total, n * sum(range(TASKS)))
        return timed.figures(n * TASKS * repeats)

    return on_new_loop(main())


def semaphore_handed_over(n: int) -> dict[str, float]:
    """From one coroutine in `async with` a semaphore to the next that waits."""
    done = 0

    async def use(semaphore: asyncio.Semaphore) -> None:
        nonlocal done
        async with semaphore:
            done += 1

    async def main() -> dict[str, float]:
        semaphore = asyncio.Semaphore(1)
        for count in (WARM, n):
            done_before = done
            async with semaphore:
                waiting = [asyncio.create_task(use(semaphore)) for _ in range(count)]
                await asyncio.sleep(0.01)
            with Timed() as timed:
                await waiting[-1]
            expect(done - done_before, count)
        return timed.figures(n)

    return on_new_loop(main())


def semaphore_free(n: int) -> dict[str, float]:
    """A semaphore that is free, again and again."""

    async def main() -> dict[str, float]:
        semaphore = asyncio.Semaphore(1)
        with Timed() as timed:
            for _ in range(n):
                async with semaphore:
                    pass
        return timed.figures(n)

    return on_new_loop(main())


def executor_map(n: int, threads: int | None) -> dict[str, float]:
    """`ThreadPoolExecutor.map`, its threads there already."""
    with ThreadPoolExecutor(threads) as pool:
        expect(sum(pool.map(noop, range(WARM))), sum(range(WARM)))
        with Timed() as timed:
            total = sum(pool.map(noop, range(n)))
        expect(total, sum(range(n)))
    return timed.figures(n)


def awaits(n: int) -> dict[str, float]:
    """Coroutines awaited one after another."""

    async def main() -> dict[str, float]:
        with Timed() as timed:
            for number in range(n):
                await anoop(number)
        return timed.figures(n)

    return on_new_loop(main())


def calls(n: int) -> dict[str, float]:
    """A function called again and again."""
    with Timed() as timed:
        for number in range(n):
            noop(number)
    return timed.figures(n)


@functools.cache
def _cached(number: int, unit: str) -> str:
    return f"{number} {unit}"


def cached_calls(n: int) -> dict[str, float]:
    """A function called again and again that remembers what it gave."""
    for number in range(KEYS):
        _cached(number, "kg")
    with Timed() as timed:
        for number in range(n):
            _cached(number % KEYS, "kg")
    expect(_cached.cache_info().hits, n)
    return timed.figures(n)


def files_written(n: int, *, folder: bool) -> dict[str, float]:
    """Files written under another name, brought to the disk and named; then the folder is, too, where asked for."""
    with TemporaryDirectory() as place:
        directory = os.open(place, os.O_RDONLY)
        with Timed() as timed:
            for number in range(n):
                name = f"{place}/{number}"
                descriptor = os.open(f"{name}.tmp", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
                os.write(descriptor, RESULT)
                os.fsync(descriptor)
                os.close(descriptor)
                os.replace(f"{name}.tmp", name)  # noqa: PTH105  # a path object costs
                if folder:
                    os.fsync(directory)
        os.close(directory)
        expect(len(os.listdir(place)), n)  # noqa: PTH208  # likewise
    return timed.figures(n)


async def _nothing() -> None:
    pass


def kept_tasks(n: int, meter: str) -> dict[str, float]:
    """What a finished asyncio task takes."""

    async def main() -> dict[str, float]:
        await asyncio.wait([asyncio.create_task(_nothing()) for _ in range(WARM)])
        with Grown(meter) as grown:
            tasks = [asyncio.create_task(_nothing()) for _ in range(n)]
            await asyncio.wait(tasks)
        expect(len(tasks), n)
        return {"bytes": grown.bytes / n}

    return on_new_loop(main())


def cancelled_tasks(n: int) -> dict[str, float]:
    """Sleeping asyncio tasks: each cancelled, all waited for."""
    asleep = 0

    async def sleep() -> None:
        nonlocal asleep
        asleep += 1
        await asyncio.sleep(3600)

    async def main() -> dict[str, float]:
        tasks = [asyncio.create_task(sleep()) for _ in range(n)]
        while asleep < n:  # noqa: ASYNC110  # asking now and then is the least work for all
            await asyncio.sleep(0.01)
        with Timed() as timed:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        expect(sum(task.cancelled() for task in tasks), n)
        return timed.figures(n)

    return on_new_loop(main())
