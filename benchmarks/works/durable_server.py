"""Runs that are recorded on a server of PostgreSQL's, which is started for each work as the tests start theirs.

python -m benchmarks.works.durable_server URL      # starts a run for each line that it reads, and prints its id
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from importlib.util import find_spec
from statistics import median
from time import perf_counter

from benchmarks.works.durable import FLOWS
from benchmarks.works.probes import Timed, expect
from millrace import Engine, cancel_flow_run, flow, run, task


def is_there() -> bool:
    """Whether a server can be started here, with nothing installed for that."""
    if find_spec("asyncpg") is None:
        return False
    from tests.postgres import found  # noqa: PLC0415  # it needs the driver

    return found("initdb")


@contextmanager
def _server() -> Generator[str]:
    from tests.postgres import DURABLE, Server  # noqa: PLC0415  # as above

    server = Server(DURABLE)
    try:
        yield server.url("benchmark")
    finally:
        server.remove()


def recorded(n: int, name: str) -> dict[str, float]:
    """Tasks that do nothing, in a flow by name, each end told when it is committed."""
    with _server() as url, Engine(store=url):
        figures: dict[str, float] = run(FLOWS[name], n)
    return figures


def commits(n: int) -> dict[str, float]:
    """Rows in a table, each committed by itself, over the driver."""

    async def insert(url: str) -> dict[str, float]:
        import asyncpg  # type: ignore[import-untyped]  # noqa: PLC0415  # an extra

        connection = await asyncpg.connect(url.partition("&schema=")[0])
        await connection.execute("CREATE TABLE results (number integer PRIMARY KEY, value integer)")
        insert = await connection.prepare("INSERT INTO results VALUES ($1, $2)")
        with Timed() as timed:
            for number in range(n):
                await insert.fetch(number, number)
        await connection.close()
        return timed.figures(n)

    with _server() as url:
        return asyncio.run(insert(url))


@task
async def _wait() -> None:
    """Wait for the end."""
    await _going_on[-1].put(1)
    await asyncio.Event().wait()


@flow
async def _waiting() -> None:
    await _wait()


_going_on: list[asyncio.Queue[int]] = []


def cancelled(n: int) -> dict[str, float]:
    """Flow runs of another process that are cancelled by their ids, one after another, until that is known here.

    The first one is told by itself: both processes import there what such a request needs.
    """
    took: list[float] = []
    with _server() as url:
        command = [sys.executable, "-m", __name__, url]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as owner:
            assert owner.stdin is not None
            assert owner.stdout is not None
            for _ in range(n + 1):
                owner.stdin.write("\n")
                owner.stdin.flush()
                run_id = owner.stdout.readline().strip()
                begun = perf_counter()
                state = cancel_flow_run(run_id, store=url)
                took.append((perf_counter() - begun) * 1e3)
                expect(state.is_cancelled(), True)
            owner.stdin.close()
    first, *later = took
    return {"first_ms": first, "median_ms": median(later), "worst_ms": max(later)}


async def _own(url: str) -> None:
    """Start a run for each line, and print its id when it waits."""
    loop = asyncio.get_running_loop()
    _going_on.append(asyncio.Queue())
    with Engine(store=url) as engine:
        while await loop.run_in_executor(None, sys.stdin.readline):
            future = engine.start(_waiting)
            await _going_on[-1].get()
            print(future.flow_run_id, flush=True)
            await future.wait_async()


if __name__ == "__main__":
    asyncio.run(_own(sys.argv[1]))
