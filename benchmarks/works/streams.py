"""Streams of tasks that do nothing, a source that never ends; a heartbeat and a small flow beside what is big."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from statistics import quantiles
from time import perf_counter
from typing import Any

from benchmarks.works.maps import anoop, noop
from benchmarks.works.probes import Grown, Timed, expect, on_new_loop, resident_bytes
from benchmarks.works.repeating import awaited_once, called_once
from millrace import flow, run, task

WARM = 2_000
WINDOW = 100
LOOK_EVERY = 1_000  # items between two looks at the memory
BEAT_SECONDS = 0.002


async def _numbers(n: int) -> AsyncIterator[int]:
    for number in range(n):
        yield number


async def _total(stream: AsyncIterator[int] | Any) -> int:
    total = 0
    async for number in stream:
        total += number
    return total


@flow
async def plain(n: int) -> int:
    """A stream of the async task over a range."""
    return await _total(anoop.stream(range(n), max_in_flight=WINDOW))


@flow
async def ordered(n: int) -> int:
    """The same in order."""
    return await _total(anoop.stream(range(n), max_in_flight=WINDOW, ordered=True))


@flow
async def async_source(n: int) -> int:
    """The same over an async generator."""
    return await _total(anoop.stream(_numbers(n), max_in_flight=WINDOW))


@flow
async def chained(n: int) -> int:
    """Two of them in a row; each item has two runs."""
    return await _total(anoop.stream(anoop.stream(range(n), max_in_flight=WINDOW), max_in_flight=WINDOW))


@flow
async def threaded(n: int) -> int:
    """A stream of the sync task, on threads."""
    return await _total(noop.stream(range(n), max_in_flight=WINDOW))


@flow
def blocking(n: int) -> int:
    """The same from a sync flow."""
    return sum(noop.stream(range(n), max_in_flight=WINDOW))


FLOWS = {
    "plain": plain,
    "ordered": ordered,
    "async_source": async_source,
    "chained": chained,
    "threaded": threaded,
}


def items(n: int, name: str) -> dict[str, float]:
    """One async flow with a stream, from its call to its return."""
    return awaited_once(FLOWS[name], n, WARM)


def items_blocking(n: int) -> dict[str, float]:
    """One sync flow with a stream, likewise."""
    return called_once(blocking, n, WARM)


@flow
async def _watched(n: int, name: str) -> float:
    task = {"anoop": anoop, "noop": noop}[name]
    most = before = resident_bytes()
    given = 0
    async for _ in task.stream(range(n), max_in_flight=WINDOW):
        given += 1
        if given % LOOK_EVERY == 0:
            most = max(most, resident_bytes())
    expect(given, n)
    return (most - before) / 1e6


def resident(n: int, name: str) -> dict[str, float]:
    """The most memory that is occupied while a stream goes by, above what it was before, in megabytes."""
    run(_watched, WARM, name)
    return {"mb": run(_watched, n, name)}


@flow
async def _endless(n: int, meter: str) -> float:
    stream = anoop.stream(itertools.count(1_000_000), max_in_flight=WINDOW)
    numbers = aiter(stream)
    for _ in range(n):
        await anext(numbers)
    with Grown(meter) as grown:
        for _ in range(n):
            await anext(numbers)
    expect(stream.counts().given, 2 * n)
    return grown.bytes / n


def endless(n: int, meter: str) -> dict[str, float]:
    """Bytes left of each item of a source that never ends, while its flow goes on.

    Args:
        n: How many items go by before the first look, and again before the second.
        meter: See `Grown`.
    """
    return {"bytes": run(_endless, n, meter)}


@flow
async def _unending(seconds: float) -> dict[str, float]:
    stream = anoop.stream(itertools.count(), max_in_flight=WINDOW)
    most = before = resident_bytes()
    until = perf_counter() + seconds
    given = 0
    async for _ in stream:
        given += 1
        if given % LOOK_EVERY == 0:
            most = max(most, resident_bytes())
            if perf_counter() > until:
                break
    expect(stream.counts().given, given)
    return {"mb": (most - before) / 1e6, "items": given / 1e6}


def unending(seconds: float) -> dict[str, float]:
    """A source that never ends, for so long: the most memory above what it was before, and how many items went by.

    Returns:
        Megabytes in `mb`, and millions of items in `items`.
    """
    run(_unending, 0.1)
    return run(_unending, seconds)


@flow
async def _mapped(n: int) -> None:
    futures = anoop.map(range(n))
    await futures[n - 1]


@flow
async def _streamed(n: int) -> None:
    await _total(anoop.stream(range(n), max_in_flight=WINDOW))


def heartbeat(n: int, name: str) -> dict[str, float]:
    """How late a coroutine of the host's wakes up that sleeps for two milliseconds again and again.

    Args:
        n: How many items the map or the stream has that goes on beside it.
        name: Which of them: `map` or `stream`.

    Returns:
        In milliseconds: `p50`, `p99` and `most`.
    """
    body = {"map": _mapped, "stream": _streamed}[name]

    async def main() -> dict[str, float]:
        late: list[float] = []

        async def beat() -> None:
            while True:
                due = perf_counter() + BEAT_SECONDS
                await asyncio.sleep(BEAT_SECONDS)
                late.append(max(0.0, perf_counter() - due))

        await body(WARM)
        heart = asyncio.create_task(beat())
        with Timed():
            await body(n)
        heart.cancel()
        cuts = quantiles(late, n=100)
        return {"p50": cuts[49] * 1e3, "p99": cuts[98] * 1e3, "most": max(late) * 1e3}

    return on_new_loop(main())


@task
async def _step(number: int, seconds: float) -> int:
    if seconds:
        await asyncio.sleep(seconds)  # stands for a request
    return number


@flow
async def small(steps: int, seconds: float) -> float:
    """One step after another; seconds for each."""
    with Timed() as timed:
        for number in range(steps):
            expect(await _step.submit(number, seconds), number)
    return timed.seconds / steps


def small_flow(n: int, steps: int, seconds: float) -> dict[str, float]:
    """A small flow, by itself and beside a map on the same loop.

    Args:
        n: How many items the map has; enough of them that it goes on for as long.
        steps: How many the small flow has.
        seconds: How long each waits; 0 for not at all.

    Returns:
        In milliseconds for each step: `alone` and `beside`.
    """

    async def main() -> dict[str, float]:
        await _mapped(WARM)
        await small(steps, 0.0)
        alone = await small(steps, seconds)
        beside = asyncio.create_task(_mapped(n))
        await asyncio.sleep(0.01)
        found = await small(steps, seconds)
        expect(beside.done(), expected=False)
        beside.cancel()
        await asyncio.wait([beside])
        return {"alone": alone * 1e3, "beside": found * 1e3}

    return on_new_loop(main())


async def _bare(number: int) -> int:
    return number


async def _workers(source: Iterable[int]) -> AsyncGenerator[int]:
    inputs: asyncio.Queue[int] = asyncio.Queue(WINDOW)
    outputs: asyncio.Queue[int | None] = asyncio.Queue(WINDOW)

    async def work() -> None:
        while True:
            await outputs.put(await _bare(await inputs.get()))
            inputs.task_done()

    async def feed() -> None:
        for number in source:
            await inputs.put(number)
        await inputs.join()
        await outputs.put(None)

    tasks = [asyncio.create_task(each) for each in (feed(), *(work() for _ in range(WINDOW)))]
    while (found := await outputs.get()) is not None:
        yield found
    for each in tasks:
        each.cancel()


def queues(n: int) -> dict[str, float]:
    """The floor: a hundred asyncio tasks between two queues that are bounded."""

    async def main() -> dict[str, float]:
        await _total(_workers(range(WARM)))
        with Timed() as timed:
            total = await _total(_workers(range(n)))
        expect(total, sum(range(n)))
        return timed.figures(n)

    return on_new_loop(main())
