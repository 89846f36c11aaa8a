"""What runs hold: finished ones whose futures are kept, and what is left of those whose futures are dropped.

The tasks of kept runs return None, so that only the engine's own bytes count. Those of dropped runs return an object of
their own each: a result that nobody has any more must not stay either.
"""

from __future__ import annotations

import asyncio

from benchmarks.works.probes import Grown, expect
from millrace import flow, run, task

WARM = 1_000
BATCH = 5_000  # runs between two waits, of those that are dropped


@task
async def nothing(_number: int) -> None:
    """Return nothing."""


@task
async def something(number: int) -> int:
    """Return an object that is nobody else's."""
    return number + 1_000_000


@flow
async def _keep_map(n: int, meter: str, *, looked_at: bool) -> float:
    await nothing.map(range(WARM))
    with Grown(meter) as grown:
        futures = nothing.map(range(n))
        await futures
        if looked_at:
            expect(sum([future.state.is_completed() for future in futures]), n)
    expect(len(futures), n)
    return grown.bytes / n


@flow
async def _keep_submits(n: int, meter: str) -> float:
    await nothing.map(range(WARM))
    with Grown(meter) as grown:
        futures = [nothing.submit(0) for _ in range(n)]
        for future in futures:
            await future
    expect(len(futures), n)
    return grown.bytes / n


def kept_map(n: int, meter: str, *, looked_at: bool) -> dict[str, float]:
    """Bytes of a run of a map whose list of futures is kept, with its place in the list."""
    return {"bytes": run(_keep_map, n, meter, looked_at=looked_at)}


def kept_submits(n: int, meter: str) -> dict[str, float]:
    """Bytes of a run that was submitted and whose future is kept, with its place in the list."""
    return {"bytes": run(_keep_submits, n, meter)}


async def _drop(n: int, how: str) -> None:
    for _ in range(n // BATCH):
        if how == "map":
            await something.map(range(BATCH))
        elif how == "submit":
            for number in range(BATCH):
                _ = something.submit(number)
            await something.submit(0)
            await asyncio.sleep(0)
        else:
            for number in range(BATCH):
                await something(number)


@flow
async def _drop_twice(n: int, how: str, meter: str) -> float:
    await _drop(n // 2, how)
    with Grown(meter) as grown:
        await _drop(n // 2, how)
    return grown.bytes / (n // 2)


def dropped(n: int, how: str, meter: str) -> dict[str, float]:
    """Bytes left of each run whose future and result were dropped.

    Args:
        n: How many runs, a multiple of ten thousand. Half of them go before the first look and half before the second.
        how: They were started by `map`, `submit` or `call`.
        meter: See `Grown`.

    Returns:
        `in_flow`, while the flow goes on; and `after`, when it has ended.
    """
    expect(n % (2 * BATCH), 0)
    run(_drop_twice, 2 * BATCH, how, meter)
    in_flow = run(_drop_twice, n, how, meter)
    with Grown(meter) as grown:
        run(_drop_twice, n, how, meter)
    return {"in_flow": in_flow, "after": grown.bytes / n}
