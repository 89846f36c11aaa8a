"""DBOS's figures: durable steps of a workflow, recorded in SQLite.

A step is recorded before the workflow goes on, as a task is in millrace with a durable store;
those are the rows it stands beside. DBOS opens SQLite with the settings SQLite comes with.
"""

import asyncio
import tempfile
from pathlib import Path

from dbos import DBOS
from measure import check, document, row

STEPS = 1_500
WORKFLOWS = 200


@DBOS.step()
def noop(number: int) -> int:
    """Do nothing, durably."""
    return number


@DBOS.step()
async def anoop(number: int) -> int:
    """Do nothing, durably, on the loop."""
    return number


@DBOS.workflow()
def one() -> int:
    """Run a single step."""
    return noop(0)


@DBOS.workflow()
def sequential_sync() -> None:
    """Call a sync step, one call after another."""
    with row("durable_sequential_sync", STEPS):
        check([noop(number) for number in range(STEPS)], STEPS)


@DBOS.workflow()
async def sequential_async() -> None:
    """Await an async step, one call after another."""
    with row("durable_sequential_async", STEPS):
        check([await anoop(number) for number in range(STEPS)], STEPS)


@DBOS.workflow()
async def map_async() -> None:
    """Gather an async step."""
    with row("durable_map_async", STEPS):
        check(await asyncio.gather(*(anoop(number) for number in range(STEPS))), STEPS)


async def run_async_works() -> None:
    """Run the works that need a loop, on one loop."""
    await sequential_async()
    await map_async()


def main() -> None:
    """Run all works."""
    importing = "from dbos import DBOS"
    with (
        tempfile.TemporaryDirectory() as folder,
        document("dbos", distribution="dbos", importing=importing),
    ):
        with row("durable_first_flow", 1):
            DBOS(
                config={
                    "name": "peers",
                    "system_database_url": f"sqlite:///{Path(folder, 'dbos.sqlite')}",
                    "console_log_level": "CRITICAL",
                    "log_level": "CRITICAL",
                }
            )
            DBOS.launch()
            check([one()], 1)
        with row("durable_flow_of_one", WORKFLOWS):
            check([one() + number for number in range(WORKFLOWS)], WORKFLOWS)
        sequential_sync()
        asyncio.run(run_async_works())
        DBOS.destroy()


if __name__ == "__main__":
    main()
