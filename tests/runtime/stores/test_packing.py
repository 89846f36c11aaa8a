"""What a group of records costs in a file: rows, statements and pages are counted. And that all can be read back."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from millrace import flow, task
from millrace.actors.states import StateType
from millrace.runtime.stores.records import Called, Record, Value
from millrace.runtime.stores.rows import RunFilter
from millrace.runtime.stores.sqlite import SqliteStore
from millrace.runtime.stores.sqlite.connecting import LOG_PAGES
from tests.runtime.stores.failing import Faults
from tests.runtime.stores.killing import engine_of
from tests.runtime.stores.places import FLOW, Writer, completed_task, entered, in_sqlite, running_flow, task_made

SEVEN = Value("json", b"7")
CALLS = 50


@pytest.fixture
def writer(tmp_path: Path) -> Iterator[Writer]:
    made = Writer.of(in_sqlite(tmp_path))
    made.write(*running_flow())
    yield made
    made.store.close()


def rows(tmp_path: Path, query: str) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(tmp_path / "runs.db")) as connection:
        return connection.execute(query).fetchall()


def called(place: int, *, name: str = "load", count: int = 1) -> Called:
    return Called(FLOW, 0, place, "", name, place, FLOW + 1 + place, count, b"\x07\xff")


def one_call(place: int) -> list[Record]:
    """All that a task comes to that is called by the body of a flow."""
    return [called(place), *completed_task(FLOW + 1 + place, SEVEN, key=place)]


def test_a_task_run_that_begins_and_ends_within_a_group_is_one_row(writer: Writer, tmp_path: Path) -> None:
    before = rows(tmp_path, "SELECT (SELECT count(*) FROM states), (SELECT count(*) FROM results)")
    writer.write(*one_call(0))

    after = rows(tmp_path, "SELECT (SELECT count(*) FROM states), (SELECT count(*) FROM results)")
    assert after == before
    assert rows(tmp_path, "SELECT count(*) FROM task_runs") == [(1,)]
    assert rows(tmp_path, "SELECT count(*) FROM calls") == [(0,)]


def test_a_call_is_committed_with_one_page(writer: Writer) -> None:
    assert isinstance(writer.store, SqliteStore)
    assert writer.store._writer is not None
    checkpoint = "PRAGMA wal_checkpoint(PASSIVE)"
    writer.store._writer.execute(checkpoint).fetchall()
    for place in range(CALLS):
        writer.write(*one_call(place))

    ((_, pages, _),) = writer.store._writer.execute(checkpoint).fetchall()
    assert pages <= 1.5 * CALLS  # some are filled, and others begun


def test_a_call_takes_four_statements(tmp_path: Path) -> None:
    faults = Faults()

    @task
    def work(number: int) -> int:
        return number

    @flow
    def body() -> int:
        work(0)
        before = faults.count
        for number in range(CALLS):
            work(number)
        return faults.count - before

    with engine_of(SqliteStore(tmp_path / "runs.db", connect=faults.connect)):
        assert 0 < body() <= 4 * CALLS  # begun, the owner looked at, a row written, committed


def test_the_log_has_its_length_from_the_start(tmp_path: Path) -> None:
    writer = Writer.of(in_sqlite(tmp_path))
    log = tmp_path / "runs.db-wal"
    length = log.stat().st_size
    writer.write(*running_flow())
    for place in range(LOG_PAGES):
        writer.write(*one_call(place))

    assert length > LOG_PAGES * 4096
    assert log.stat().st_size == length
    assert rows(tmp_path, "SELECT name FROM sqlite_schema WHERE name = 'filling'") == []
    writer.store.close()


def test_states_that_come_later_stand_behind_those_that_a_run_came_with(writer: Writer) -> None:
    run = FLOW + 1
    writer.write(task_made(run), entered(run, 1, StateType.RUNNING, attempts=1, message='"so" it began'))
    writer.write(entered(run, 2, StateType.SCHEDULED, name="AwaitingRetry", details='{"a": 1}'))
    writer.write(entered(run, 3, StateType.RUNNING, attempts=2), entered(run, 4, StateType.COMPLETED, ended=True))

    states = writer.store.read_states(run)
    assert [state.sequence for state in states] == [0, 1, 2, 3, 4]
    assert [state.name for state in states] == ["Pending", "Running", "AwaitingRetry", "Running", "Completed"]
    assert (states[1].message, states[2].details) == ('"so" it began', '{"a": 1}')
    found = writer.store.read_task_run(run)
    assert found is not None
    assert (found.state, found.attempts) == (states[4], 2)


def test_for_people_all_states_are_in_one_view(writer: Writer, tmp_path: Path) -> None:
    writer.write(task_made(), entered(FLOW + 1, 1, StateType.RUNNING, attempts=1, message="now"))
    writer.write(entered(FLOW + 1, 2, StateType.COMPLETED, ended=True))

    query = f"SELECT sequence, type, message, at, cause FROM all_states WHERE run = x'{FLOW + 1:032x}' ORDER BY 1"
    assert rows(tmp_path, query) == [
        (0, "PENDING", None, 110, "created"), (1, "RUNNING", "now", 121, "told"), (2, "COMPLETED", None, 122, "told"),
    ]  # fmt: skip


def test_calls_are_read_in_their_order_wherever_they_stand(writer: Writer) -> None:
    records = [called(0), called(1, count=3), called(4, name="other"), called(5)]
    writer.write(records[0], *completed_task(), records[1], records[2], *completed_task(FLOW + 5))
    writer.write(records[3])
    writer.write(*completed_task(FLOW + 6))

    calls = writer.store.read_calls(FLOW)
    assert {call.marks for call in calls} == {b"\x07\xff"}
    assert [(call.order, call.name, call.place, call.count) for call in calls] == [
        (0, "load", 0, 1), (1, "load", 1, 3), (4, "other", 4, 1), (5, "load", 5, 1),
    ]  # fmt: skip


def test_a_task_run_with_a_number_of_its_own_is_found_in_its_flow_run(writer: Writer) -> None:
    strange = 9 << 96 | 5
    writer.write(*completed_task(data=SEVEN), *completed_task(strange, SEVEN), *completed_task(FLOW + 2))
    store = writer.store

    assert [run.id for run in store.read_task_runs(RunFilter(flow_run=FLOW))] == [strange, FLOW + 2, FLOW + 1]
    assert [run.id for run in store.read_task_runs(RunFilter(flow_run=FLOW, last=FLOW + 1))] == [FLOW + 1]
    assert [run.id for run in store.read_task_runs(RunFilter(flow_run=FLOW, first=strange))] == [strange]
    assert sum(store.count_task_runs(FLOW).values()) == 3
    assert set(store.read_results(FLOW)) == {FLOW + 1, FLOW + 2, strange}
    assert store.last_id(FLOW) == FLOW + 2


def test_a_state_that_is_not_the_next_one_is_refused(writer: Writer) -> None:
    assert writer.outcome(task_made(), entered(FLOW + 1, 2, StateType.RUNNING)) is not None
