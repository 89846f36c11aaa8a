"""Dask's figures: dask.distributed on a local cluster, with threads and with two processes.

It has no flows: its first flow is the start of a cluster and one task on it. `pure=False` keeps it
from answering a call with the result of an equal one.
"""

import os
from contextlib import ExitStack

from distributed import Client
from measure import check, document, row

MAPPED = 3_000
CALLS = 500


def noop(number: int) -> int:
    """Do nothing, in a thread of a worker."""
    return number


async def anoop(number: int) -> int:
    """Do nothing, on the loop of a worker."""
    return number


def threads() -> Client:
    """Start a cluster of one worker in this process, with a thread a core."""
    return Client(
        processes=False,
        n_workers=1,
        threads_per_worker=os.cpu_count(),
        dashboard_address=None,
    )


def processes() -> Client:
    """Start a cluster of two workers, each a process with one thread."""
    return Client(processes=True, n_workers=2, threads_per_worker=1, dashboard_address=None)


def main() -> None:
    """Run all works."""
    importing = "from distributed import Client"
    with document("dask", distribution="distributed", importing=importing):
        with ExitStack() as stack:
            with row("first_flow", 1):
                client = stack.enter_context(threads())
                check([client.submit(noop, 0, pure=False).result()], 1)
            with row("map_sync", MAPPED):
                check(client.gather(client.map(noop, range(MAPPED), pure=False)), MAPPED)
            with row("map_async", MAPPED):
                check(client.gather(client.map(anoop, range(MAPPED), pure=False)), MAPPED)
            with row("sequential_sync", CALLS):
                calls = [client.submit(noop, i, pure=False).result() for i in range(CALLS)]
                check(calls, CALLS)

        with processes() as client, row("map_sync_processes", MAPPED):
            check(client.gather(client.map(noop, range(MAPPED), pure=False)), MAPPED)


if __name__ == "__main__":
    main()
