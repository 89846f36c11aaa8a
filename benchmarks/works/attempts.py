"""Attempts with more to them: failed ones tried again, ones with a deadline, and runs that wait for a retry."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from benchmarks.works.maps import anoop, noop
from benchmarks.works.probes import Grown, Timed, expect
from millrace import Future, flow, run, task

WARM = 1_000
FAR = 3_600.0


@task
async def fails(number: int) -> int:
    """Fail."""
    raise ValueError(number)


fails_twice = fails.with_options(retries=1)
fails_later = fails.with_options(retries=1, retry_delay_seconds=FAR)
in_time = anoop.with_options(timeout_seconds=FAR)
in_time_in_a_thread = noop.with_options(timeout_seconds=FAR)


@task
async def waits(number: int) -> int:
    """Let the loop turn once."""
    await asyncio.sleep(0)
    return number


waits_in_time = waits.with_options(timeout_seconds=FAR)

TASKS = {
    "anoop": anoop,
    "fails": fails,
    "fails_twice": fails_twice,
    "in_time": in_time,
    "in_time_in_a_thread": in_time_in_a_thread,
    "noop": noop,
    "waits": waits,
    "waits_in_time": waits_in_time,
}


async def _ended(futures: Iterable[Future[int]]) -> int:
    return sum([(await future.wait_async()).is_final() for future in futures])


@flow
async def _map(n: int, name: str) -> dict[str, float]:
    await _ended(TASKS[name].map(range(WARM)))
    with Timed() as timed:
        ended = await _ended(TASKS[name].map(range(n)))
    expect(ended, n)
    return timed.figures(n)


def mapped(n: int, name: str) -> dict[str, float]:
    """A map of one of the tasks, until each run has ended."""
    return run(_map, n, name)


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
