"""Whatever fails in the store: a group is written as a whole or not at all, and nothing is acknowledged that is not."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from millrace import Engine, StoreError, flow, read_flow_runs, resume_run, task
from millrace.runtime.stores.port import Group
from millrace.runtime.stores.records import Entered, FlowRunMade, TaskRunMade
from millrace.runtime.stores.sqlite import SqliteStore
from tests.runtime.stores.failing import Faults, WatchedStore
from tests.runtime.stores.killing import engine_of, quietly

CALLS = 5
TOTAL = 100  # what they come to
given: list[int] = []


@task
def work(number: int) -> int:
    return number * 10


@flow
def body() -> int:
    total = 0
    for number in range(CALLS):
        total += work(number)
        given.append(number)
    return total


def states_of(group: Group) -> set[tuple[bytes, int]]:
    """The states that a group brings, by run and position."""
    states: set[tuple[bytes, int]] = set()
    for record in group.records:
        if isinstance(record, (FlowRunMade, TaskRunMade)):
            states.add((record.id.to_bytes(16, "big"), 0))
        elif isinstance(record, Entered):
            states.add((record.run.to_bytes(16, "big"), record.sequence))
    return states


def recorded(path: Path) -> set[tuple[bytes, int]]:
    """The states that stand in a store."""
    with closing(sqlite3.connect(path)) as connection:
        return set(connection.execute("SELECT run, sequence FROM all_states"))


@pytest.fixture
def empty(tmp_path: Path) -> Path:
    """A store that was opened, and that nothing was written to."""
    path = tmp_path / "empty.db"
    Engine(store=SqliteStore(path)).close()
    return path


def places(empty: Path) -> Iterator[Path]:
    """Copies of it."""
    for number in count():
        path = empty.with_name(f"runs-{number}.db")
        path.write_bytes(empty.read_bytes())
        path.chmod(0o600)
        yield path


def check_groups(told: list[tuple[Group, BaseException | None]], outcome: set[tuple[bytes, int]], where: str) -> None:
    """Each group is there as a whole or not at all, and what was acknowledged is there.

    Args:
        told: The groups, and what was told of each.
        outcome: The states that stand in the store.
        where: For whoever reads that it is not so.
    """
    for group, error in told:
        there = len(states_of(group) & outcome)
        assert there in {0, len(states_of(group))}, f"half a group, {where}"
        if error is None:
            assert there or not states_of(group), f"acknowledged and not there, {where}"


def attempt(path: Path, at: int, *, for_good: bool, after: bool) -> bool:
    """Run a flow in a store whose statements fail from one on that comes after its opening; whether one did."""
    faults = Faults(for_good=for_good, after=after)
    store = WatchedStore(path, connect=faults.connect)
    given.clear()
    with engine_of(store):
        faults.at = faults.count + at
        ended = quietly(body)
        failed = bool(faults.hits)
        faults.at = 0
    outcome = recorded(path)
    check_groups(store.told, outcome, f"at {at}: {faults.hits}")
    if failed and any(error is not None for _, error in store.told):
        assert isinstance(ended, StoreError), ended
    else:
        assert ended == TOTAL
    done = list(given)
    with engine_of(SqliteStore(path)):
        runs = read_flow_runs()
        if runs and not runs[0].state.is_completed():
            given.clear()
            ran = [number for number in range(CALLS) if number not in done]
            assert resume_run(runs[0].id, body) == TOTAL
            assert set(ran) <= set(given)
    return failed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
def test_whichever_statement_fails_groups_are_whole_and_nothing_is_told_that_is_not(
    empty: Path, *, for_good: bool, after: bool
) -> None:
    reached = 0
    for at, path in zip(count(1), places(empty), strict=False):
        if not attempt(path, at, for_good=for_good, after=after):
            break
        reached = at

    assert reached > 20


def test_whichever_statement_fails_an_opening_is_refused_or_complete(tmp_path: Path) -> None:
    reached = 0
    for at in count(1):
        path = tmp_path / f"runs-{at}.db"
        faults = Faults(at)
        refused = quietly(lambda: Engine(store=SqliteStore(path, connect=faults.connect)).close())  # noqa: B023
        if not faults.hits:
            assert refused is None
            break
        assert isinstance(refused, StoreError)
        assert str(path) in str(refused)
        reached = at
        with engine_of(SqliteStore(path)):
            assert body() == TOTAL

    assert reached > 20


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (sqlite3.OperationalError("database is locked"), "database is locked"),
        (sqlite3.OperationalError("database or disk is full"), "database or disk is full"),
        (sqlite3.OperationalError("disk I/O error"), "disk I/O error"),
        (sqlite3.DatabaseError("database disk image is malformed"), "database disk image is malformed"),
        (sqlite3.OperationalError("unable to open database file"), "unable to open database file"),
    ],
)
def test_a_commit_that_fails_is_not_tried_again(tmp_path: Path, error: sqlite3.Error, text: str) -> None:
    faults = Faults(error=error)
    path = tmp_path / "runs.db"
    store = SqliteStore(path, connect=faults.connect)
    with engine_of(store):
        faults.at = faults.count + 1
        with pytest.raises(StoreError, match=f"Could not write a group of records to .*: {text}"):
            body()
        tried = faults.count
        with pytest.raises(StoreError, match=text):
            body()
        assert faults.count <= tried + 1  # the transaction is given up

    with closing(SqliteStore(path)) as readable:
        assert isinstance(read_flow_runs(store=readable), list)


def test_a_run_that_the_store_failed_is_parked_with_its_reason_and_can_be_resumed(tmp_path: Path) -> None:
    faults = Faults()
    path = tmp_path / "runs.db"
    with engine_of(SqliteStore(path, connect=faults.connect)):
        body_of_two: list[Any] = []

        @flow(name="two")
        def two() -> int:
            first = work(1)
            if not body_of_two:
                faults.at = faults.count + 1
            return first + work(2)

        state = quietly(lambda: two(return_state=True))
        assert state.is_crashed()
        assert "which could not be recorded" in state.message or "disk is full" in state.message

    body_of_two.append(1)
    with engine_of(SqliteStore(path)):
        run = read_flow_runs()[0]
        assert run.state.is_crashed()
        assert resume_run(run.id, two) == 30
