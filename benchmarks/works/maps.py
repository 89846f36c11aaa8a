"""Maps of tasks that do nothing, from async and sync flows."""

from __future__ import annotations

from benchmarks.works.probes import Timed, expect
from benchmarks.works.repeating import awaited_once, called_once
from millrace import flow, run, task

WARM = 1_000
AT_LEAST_S = 0.2  # a map that is done sooner is repeated


@task
async def anoop(number: int) -> int:
    """Do nothing, on the loop."""
    return number


@task
def noop(number: int) -> int:
    """Do nothing, in a thread where it is mapped."""
    return number


@flow
async def async_map(n: int) -> int:
    """Map the async task and take the results."""
    return sum(await anoop.map(range(n)))


@flow
async def async_map_looked_at(n: int) -> int:
    """Map the async task and look at each future and its final state."""
    futures = anoop.map(range(n))
    total = 0
    for future in futures:
        total += await future
        expect(future.state.is_completed(), expected=True)
    return total


@flow
async def threaded_map(n: int) -> int:
    """Map the sync task from an async flow and take the results."""
    return sum(await noop.map(range(n)))


@flow
def blocking_map(n: int) -> int:
    """Map the sync task from a sync flow and take the results."""
    return sum(noop.map(range(n)).result())


ASYNC_FLOWS = {"async_map": async_map, "async_map_looked_at": async_map_looked_at, "threaded_map": threaded_map}


def from_async_flow(n: int, name: str) -> dict[str, float]:
    """One async flow that maps, from its call to its return."""
    return awaited_once(ASYNC_FLOWS[name], n, WARM)


def from_sync_flow(n: int) -> dict[str, float]:
    """One sync flow that maps, from its call to its return."""
    return called_once(blocking_map, n, WARM)


@flow
async def _repeat(n: int) -> dict[str, float]:
    for _ in range(3):
        expect(sum(await anoop.map(range(WARM))), sum(range(WARM)))
    repeats = total = 0
    with Timed() as timed:
        while repeats == 0 or timed.so_far() < AT_LEAST_S:
            total = sum(await anoop.map(range(n)))
            repeats += 1
    expect(total, sum(range(n)))
    return timed.figures(n * repeats)


def repeated(n: int) -> dict[str, float]:
    """The async map of so many, inside one flow, repeated until it can be timed."""
    return run(_repeat, n)
