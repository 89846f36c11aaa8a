"""Attempts with more to them: failed ones tried again, ones with a deadline, and runs that wait for a retry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from statistics import median
from typing import Any

from benchmarks.works import floors
from benchmarks.works.maps import anoop, noop
from benchmarks.works.probes import Grown, Timed, expect
from millrace import Future, flow, run, task

WARM = 1_000
FAR = 3_600.0
TURNS = 5


@task
async def fails(number: int) -> int:
    """Fail."""
    raise ValueError(number)


fails_twice = fails.with_options(retries=1)
fails_later = fails.with_options(retries=1, retry_delay_seconds=FAR)


@task
async def waits(number: int) -> int:
    """Let the loop turn once."""
    await asyncio.sleep(0)
    return number


TASKS = {"anoop": anoop, "fails": fails, "fails_twice": fails_twice, "noop": noop, "waits": waits}
IN_TIME = {name: TASKS[name].with_options(timeout_seconds=FAR) for name in ("anoop", "noop", "waits")}


async def _ended(futures: Iterable[Future[int]]) -> int:
    return sum([(await future.wait_async()).is_final() for future in futures])


@flow
async def _map(n: int, mapped: Any) -> dict[str, float]:
    await _ended(mapped.map(range(WARM)))
    with Timed() as timed:
        ended = await _ended(mapped.map(range(n)))
    expect(ended, n)
    return timed.figures(n)


def mapped(n: int, name: str) -> dict[str, float]:
    """A map of one of the tasks, until each run has ended."""
    return run(_map, n, TASKS[name])


def added_by_a_deadline(n: int, name: str) -> dict[str, float]:
    """What a deadline that nobody misses adds to each run of a map; and what a task of a bare task group costs.

    All by turns in one process: a few microseconds are less than what two processes differ by.
    """
    turns = [
        (run(_map, n, IN_TIME[name])["us"] - run(_map, n, TASKS[name])["us"], floors.task_group(n)["us"])
        for _ in range(TURNS)
    ]
    added, bare = zip(*turns, strict=True)
    return {"us": median(added), "task_group_us": median(bare)}


@flow
async def _wait_for_retries(n: int, meter: str) -> float:
    await _ended(anoop.map(range(WARM)))
    with Grown(meter) as grown:
        futures = fails_later.map(range(n))
        while not futures[-1].state.is_scheduled():  # noqa: ASYNC110  # nobody tells of that, on purpose
            await asyncio.sleep(0)
        expect(sum([future.state.is_scheduled() for future in futures]), n)
    for future in futures:
        future.cancel()
    return grown.bytes / n


def awaiting_retry(n: int, meter: str) -> dict[str, float]:
    """Bytes of a run that has failed and waits for its retry, with its timer and its place in the list of futures."""
    return {"bytes": run(_wait_for_retries, n, meter)}
