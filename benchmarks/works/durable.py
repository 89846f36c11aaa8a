"""Runs that are recorded in a store: in maps, one after another; and a store with very many."""

from __future__ import annotations

import sqlite3
from collections.abc import Generator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from benchmarks.works.probes import Timed, expect
from millrace import Engine, SqliteStore, flow, read_flow_runs, read_task_runs, run, task
from millrace.actors.states import StateType
from millrace.runtime.stores.port import Group, Owner
from millrace.runtime.stores.records import Entered, Entry, FlowRunMade, Record, TaskRunMade

GROUP = 1_000
"""Task runs that are written together where a large store is made."""


@task
async def anothing(number: int) -> int:
    """Do nothing, on the loop."""
    return number


@task
def nothing(number: int) -> int:
    """Do nothing."""
    return number


@flow
async def _map_async(n: int) -> dict[str, float]:
    await anothing.map(range(100))
    with Timed() as timed:
        results = await anothing.map(range(n))
    expect(len(results), n)
    return timed.figures(n)


@flow
def _map_sync(n: int) -> dict[str, float]:
    nothing.map(range(100)).wait()
    with Timed() as timed:
        results = nothing.map(range(n)).result()
    expect(len(results), n)
    return timed.figures(n)


@flow
async def _await(n: int) -> dict[str, float]:
    await anothing(0)
    with Timed() as timed:
        total = sum([await anothing(number) for number in range(n)])
    expect(total, n * (n - 1) // 2)
    return timed.figures(n)


@flow
def _call(n: int) -> dict[str, float]:
    nothing(0)
    with Timed() as timed:
        total = sum([nothing(number) for number in range(n)])
    expect(total, n * (n - 1) // 2)
    return timed.figures(n)


FLOWS: Final[dict[str, Any]] = {"map_async": _map_async, "map_sync": _map_sync, "await": _await, "call": _call}


@contextmanager
def _place() -> Generator[Path]:
    """A file for a store, on the disk that this tree is on: memory is no disk."""
    with TemporaryDirectory(dir=Path(__file__).parent) as folder:
        yield Path(folder) / "runs.db"


def recorded(n: int, name: str, synchronous: str) -> dict[str, float]:
    """Tasks that do nothing, in a flow by name, each end told when it is committed."""
    with _place() as path, Engine(store=SqliteStore(path, synchronous=synchronous)):
        figures: dict[str, float] = run(FLOWS[name], n)
    return figures


def commits(n: int, synchronous: str) -> dict[str, float]:
    """Rows in a table of SQLite's, each committed by itself."""
    with _place() as path, closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("CREATE TABLE results (number INTEGER PRIMARY KEY, value INTEGER)")
        with Timed() as timed:
            for number in range(n):
                connection.execute("BEGIN")
                connection.execute("INSERT INTO results VALUES (?, ?)", (number, number))
                connection.execute("COMMIT")
    return timed.figures(n)


def large_store(n: int, flow_runs: int) -> dict[str, float]:
    """Opening a store with so many task runs, and listing the newest fifty runs of either kind."""
    with _place() as path:
        _fill(path, n, flow_runs)
        with Timed() as opening:
            engine = Engine(store=SqliteStore(path))
        with engine, Timed() as listing:
            expect(len(read_flow_runs()), 50)
        with Engine(store=SqliteStore(path)), Timed() as listing_tasks:
            expect(len(read_task_runs()), 50)
    return {
        "opening_ms": opening.seconds * 1e3,
        "flow_runs_ms": listing.seconds * 1e3,
        "task_runs_ms": listing_tasks.seconds * 1e3,
    }


def _fill(path: Path, n: int, flow_runs: int) -> None:
    store = SqliteStore(path, synchronous="NORMAL")
    token = store.open(Owner("a benchmark", 1)).token
    each, number = n // flow_runs, 0
    errors: list[BaseException | None] = []
    for flow_run in range(1, flow_runs + 1):
        base = flow_run << 96
        records: list[Record] = [
            FlowRunMade(
                base, 1, f"run-{flow_run}", "nightly", None, None, None, Entry("", "shop", "nightly"), {}, frozenset()
            )
        ]
        for child in range(1, each + 1):
            records.extend(_task_run(base, child))
            if child % GROUP == 0 or child == each:
                if child == each:
                    records.append(Entered(base, True, 1, StateType.COMPLETED, None, None, 9, "returned", ended=True))
                number += 1
                store.append(Group(token, number, records, errors.append))
                records = []
    store.close()
    expect([error for error in errors if error is not None], [])


def _task_run(base: int, child: int) -> list[Record]:
    run_id = base + child
    return [
        TaskRunMade(run_id, 1, base, "load", child - 1, None, frozenset(), None),
        Entered(run_id, False, 1, StateType.RUNNING, None, None, 2, "admitted", attempts=1),
        Entered(run_id, False, 2, StateType.COMPLETED, None, None, 3, "returned", ended=True, attempts=1),
    ]
