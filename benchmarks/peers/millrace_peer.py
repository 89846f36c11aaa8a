"""millrace's own figures: the works of all peers, in memory and with a durable store.

The works in memory stand beside Prefect and Dask. The durable ones, on SQLite with its default of
an acknowledgement after the commit, stand beside DBOS and beside Prefect, whose server records
every state.
"""

import asyncio
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path

from measure import check, document, row

import millrace
from millrace import flow, run, task

MAPPED = 100_000
CALLS = 10_000
FLOWS = 1_000
DURABLE_MAPPED = 10_000
DURABLE_CALLS = 2_000
DURABLE_FLOWS = 500


@task
def noop(number: int) -> int:
    """Do nothing, in a thread where it is mapped."""
    return number


@task
async def anoop(number: int) -> int:
    """Do nothing, on the loop."""
    return number


@flow
def one() -> int:
    """Run a single task."""
    return noop(0)


@flow
async def aone() -> int:
    """Run a single async task."""
    return await anoop(0)


@flow
def map_sync(work: str, n: int) -> None:
    """Map a sync task."""
    with row(work, n):
        check(noop.map(range(n)).result(), n)


@flow
def sequential_sync(work: str, n: int) -> None:
    """Call a sync task, one call after another."""
    with row(work, n):
        check([noop(number) for number in range(n)], n)


@flow
async def map_async(work: str, n: int) -> None:
    """Map an async task."""
    with row(work, n):
        check(await anoop.map(range(n)), n)


@flow
async def sequential_async(work: str, n: int) -> None:
    """Await an async task, one call after another."""
    with row(work, n):
        check([await anoop(number) for number in range(n)], n)


async def run_durable_works(folder: str) -> None:
    """Run the works that are recorded, in an engine with a store of its own."""
    store = f"sqlite:///{Path(folder, 'millrace.sqlite')}"
    make = millrace.Engine  # outside the rows: without it there are no durable works at all
    async with AsyncExitStack() as stack:
        with row("durable_first_flow", 1):
            engine = await stack.enter_async_context(make(store=store))
            check([await engine.start(aone)], 1)
        with row("durable_flow_of_one", DURABLE_FLOWS):
            flows = [await engine.start(aone) + number for number in range(DURABLE_FLOWS)]
            check(flows, DURABLE_FLOWS)
        for body, work, n in (
            (sequential_sync, "durable_sequential_sync", DURABLE_CALLS),
            (sequential_async, "durable_sequential_async", DURABLE_CALLS),
            (map_async, "durable_map_async", DURABLE_MAPPED),
        ):
            await engine.start(body, work=work, n=n)


def main() -> None:
    """Run all works."""
    importing = "from millrace import flow, task"
    with (
        tempfile.TemporaryDirectory() as folder,
        document("millrace", distribution="millrace", importing=importing),
    ):
        with row("first_flow", 1):
            check([one()], 1)
        with row("flow_of_one", FLOWS):
            check([one() + number for number in range(FLOWS)], FLOWS)
        map_sync("map_sync", MAPPED)
        sequential_sync("sequential_sync", CALLS)
        run(map_async, work="map_async", n=MAPPED)
        run(sequential_async, work="sequential_async", n=CALLS)
        asyncio.run(run_durable_works(folder))


if __name__ == "__main__":
    main()
