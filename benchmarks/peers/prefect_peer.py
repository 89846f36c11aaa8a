"""Prefect's figures: its engine with the temporary local server it starts when none is configured.

Tasks and flows have Prefect's own defaults, so every state goes to the server and from there to
SQLite. Async tasks are gathered rather than mapped: its `map` runs each of them in a thread with a
loop of its own, which is no longer the same work.

A row ends when the results are there. The server is not done then: after a map it goes on recording
for longer than the map took, and holds up the next flow meanwhile. `settle` waits for that between
the works, so the rows do not disturb each other, and no row is charged with it.

The settings come from `environment.quiet`: a home of its own, no analytics, no logging.
"""

import asyncio
import time

import psutil
from measure import check, document, row
from prefect import flow, task

TASKS = 1_000
FLOWS = 3  # each costs a second, tasks or not
IDLE_SHARE = 0.2  # of a core: the server's periodic services stay below it
IDLE_WINDOWS = 4  # of half a second each


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
def map_sync() -> None:
    """Map a sync task."""
    with row("map_sync", TASKS):
        check(noop.map(range(TASKS)).result(), TASKS)


@flow
def sequential_sync() -> None:
    """Call a sync task, one call after another."""
    with row("sequential_sync", TASKS):
        check([noop(number) for number in range(TASKS)], TASKS)


@flow
async def map_async() -> None:
    """Gather an async task."""
    with row("map_async", TASKS):
        check(await asyncio.gather(*(anoop(number) for number in range(TASKS))), TASKS)


@flow
async def sequential_async() -> None:
    """Await an async task, one call after another."""
    with row("sequential_async", TASKS):
        check([await anoop(number) for number in range(TASKS)], TASKS)


def settle() -> None:
    """Wait until the server, a child of this process, has recorded what it was sent."""
    servers = psutil.Process().children()
    idle = 0
    for server in servers:
        server.cpu_percent()  # the first call only sets the mark for the next one
    while idle < IDLE_WINDOWS:
        time.sleep(0.5)
        busy = sum(server.cpu_percent() for server in servers) / 100
        idle = idle + 1 if busy < IDLE_SHARE else 0


def main() -> None:
    """Run all works."""
    importing = "from prefect import flow, task"
    with document("prefect", distribution="prefect", importing=importing):
        with row("first_flow", 1):
            check([one()], 1)
        with row("flow_of_one", FLOWS):
            check([one() + number for number in range(FLOWS)], FLOWS)
        sequential_sync()
        settle()
        asyncio.run(sequential_async())
        settle()
        asyncio.run(map_async())
        settle()
        map_sync()


if __name__ == "__main__":
    main()
