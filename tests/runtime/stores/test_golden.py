"""Stores that were written by earlier versions are read, and their runs go on. Each version has left one here."""

from __future__ import annotations

import asyncio
import re
import shutil
import sqlite3
from contextlib import closing
from itertools import count
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from millrace import read_flow_run_states, read_flow_runs, read_task_runs, resume_flow_run, resume_run
from millrace.runtime.stores.port import Store
from millrace.runtime.stores.postgres import PostgresStore
from millrace.runtime.stores.postgres import migrating as on_server
from millrace.runtime.stores.sqlite import SqliteStore
from millrace.runtime.stores.sqlite.migrating import steps
from tests.postgres import Server
from tests.runtime.stores import recorded_flows
from tests.runtime.stores.golden.make import SCHEMA
from tests.runtime.stores.killing import PATIENCE, engine_of

FOLDER = Path(__file__).parent / "golden"
GOLDEN = sorted([*FOLDER.glob("*.db"), *FOLDER.glob("*.sql")])
TAGGING = """UPDATE {0}.flow_runs SET tags = '["shop", "ärger"]' WHERE name = (SELECT min(name) FROM {0}.flow_runs)"""
_schemas = count(1)


@pytest.fixture(params=GOLDEN, ids=lambda path: path.stem)
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    recorded_flows.ran.clear()
    recorded_flows.broken.clear()
    recorded_flows.dies.clear()
    if request.param.suffix == ".sql":
        return filled(request.getfixturevalue("postgres"), request.param)
    path = tmp_path / "runs.db"
    shutil.copy(request.param, path)
    path.chmod(0o600)
    return SqliteStore(path)


def filled(server: Server, script: Path, more: str = "") -> Store:
    """A store on a server, in a schema of its own, as a script has it, and some more SQL."""
    schema = f"{SCHEMA}_{next(_schemas)}"
    url = server.url(schema)
    text = re.sub(rf"\b{SCHEMA}\b", schema, script.read_text())

    async def fill() -> None:
        connection = await asyncpg.connect(url.partition("?")[0])
        await connection.execute(f"{text}\n{more.format(schema)}")
        await connection.close()

    asyncio.run(fill())
    return PostgresStore(url)


def test_runs_of_earlier_versions_are_found_by_their_tags(tmp_path: Path, postgres: Server) -> None:
    path = tmp_path / "runs.db"
    shutil.copy(FOLDER / "schema-5.db", path)
    path.chmod(0o600)
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(TAGGING.replace("{0}.", ""))
    for store in (SqliteStore(path), filled(postgres, FOLDER / "postgres-2.sql", f";{TAGGING}")):
        with engine_of(store):
            assert [run.tags for run in read_flow_runs(tags=["ärger"])] == [{"shop", "ärger"}]
            assert read_flow_runs(tags=["ärger", "other"]) == []


def test_each_schema_has_left_a_store() -> None:
    files = [f"schema-{number}.db" for number in range(1, len(steps()) + 1)]
    scripts = [f"postgres-{number}.sql" for number in range(1, len(on_server.steps()) + 1)]

    assert [path.name for path in GOLDEN] == sorted([*files, *scripts])


def test_runs_are_read(store: Store) -> None:
    with engine_of(store):
        runs = {run.state.name: run for run in read_flow_runs(outermost=True)}
        assert set(runs) == {"Completed", "Failed", "Suspended", "Crashed"}
        assert [run.flow_name for run in read_flow_runs(outermost=True)] == ["sums", "approved", "doubled", "sums"]
        done = runs["Completed"]
        assert (done.flow_version, done.run_count) == ("3", 1)
        assert [each.state.name for each in read_flow_run_states(done.id)] == ["Pending", "Running", "Completed"]
        assert [run.task_name for run in reversed(read_task_runs(flow_run_id=done.id))] == [
            "number", "number", "number", "inside", "last",
        ]  # fmt: skip


def test_a_run_that_was_killed_goes_on(store: Store) -> None:
    with engine_of(store):
        run = read_flow_runs(states=["CRASHED"])[0]
        assert resume_run(run.id) == 50 + 50 + 90 + 7

    assert recorded_flows.ran == ["last"]


def test_a_run_that_failed_goes_on(store: Store) -> None:
    with engine_of(store):
        assert resume_run(read_flow_runs(states=["FAILED"])[0].id) == 8


def test_a_run_that_was_suspended_goes_on(store: Store) -> None:
    with engine_of(store):
        run = read_flow_runs(states=["PAUSED"])[0]
        assert resume_flow_run(run.id, {"by": "Ada", "at": 3}).result(PATIENCE) == "Ada at 3"

    assert recorded_flows.ran == []
