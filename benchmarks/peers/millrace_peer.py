"""millrace's own figures: the works of all peers, in memory and then in a store.

The store is a file of SQLite's that waits for the disk at each commit, as it does unless it is told otherwise.
"""

import tempfile
from pathlib import Path

from measure import check, document, row

from millrace import Engine, SqliteStore, flow, run, task

MAPPED = 100_000
CALLS = 10_000
FLOWS = 1_000
DURABLE_MAPPED = 10_000
DURABLE_CALLS = 2_000
DURABLE_FLOWS = 200


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


def main() -> None:
    """Run all works."""
    importing = "from millrace import flow, task"
    with document("millrace", distribution="millrace", importing=importing):
        with row("first_flow", 1):
            check([one()], 1)
        with row("flow_of_one", FLOWS):
            check([one() + number for number in range(FLOWS)], FLOWS)
        map_sync("map_sync", MAPPED)
        sequential_sync("sequential_sync", CALLS)
        run(map_async, work="map_async", n=MAPPED)
        run(sequential_async, work="sequential_async", n=CALLS)
        with tempfile.TemporaryDirectory() as folder, Engine(store=SqliteStore(Path(folder, "runs.db"))):
            durable()


def durable() -> None:
    """Run the works with what is recorded in the store of the engine at hand."""
    check([one()], 1)
    with row("durable_flow_of_one", DURABLE_FLOWS):
        check([one() + number for number in range(DURABLE_FLOWS)], DURABLE_FLOWS)
    map_sync("durable_map_sync", DURABLE_MAPPED)
    sequential_sync("durable_sequential_sync", DURABLE_CALLS)
    run(map_async, work="durable_map_async", n=DURABLE_MAPPED)
    run(sequential_async, work="durable_sequential_async", n=DURABLE_CALLS)


if __name__ == "__main__":
    main()
