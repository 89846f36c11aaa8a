"""How runs are looked for: by indexes, never through whole tables, and values never become part of a query."""

from __future__ import annotations

import itertools
import re
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace.actors.states import StateType
from millrace.runtime.stores.port import Group, Owner
from millrace.runtime.stores.records import Record, TaskRunMade, Value
from millrace.runtime.stores.rows import RunFilter
from millrace.runtime.stores.sqlite import SqliteStore
from millrace.runtime.stores.verdicts import MOST_DEATHS, first_id_at
from tests.runtime.stores.places import entered, flow_made

MS = 1_000_000
RARE = 3
"""The one run with a rare tag, which is one of the oldest."""

STEPS = 100
"""So many instructions of SQLite's are counted as one."""


class Watched:
    """A store of which every query is seen.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.statements: set[str] = set()
        self.work = 0
        self.store = SqliteStore(path, connect=self._connect)

    def _connect(self, *args: Any, **options: Any) -> sqlite3.Connection:
        connection = sqlite3.connect(*args, factory=self._factory(), **options)
        connection.set_progress_handler(self._worked, STEPS)
        return connection

    def _factory(self) -> type[sqlite3.Connection]:
        watched = self

        class Connection(sqlite3.Connection):
            def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
                watched.statements.add(sql)
                return super().execute(sql, parameters)

        return Connection

    def _worked(self) -> int:
        self.work += 1
        return 0

    def work_of(self, act: Any) -> int:
        """How much SQLite has to do for something."""
        self.work = 0
        act()
        return self.work


def one_flow(number: int, tasks: int) -> Iterator[Record]:
    """A flow run that is over, with so many task runs."""
    run = first_id_at((number + 1) * MS)
    end = StateType.FAILED if number % 50 == 0 else StateType.COMPLETED
    tags = frozenset({"shop", "rare"} if number == RARE else {"shop"})
    yield flow_made(run, name=f"run-{number}", flow=f"flow-{number % 7}", tags=tags)
    yield entered(run, 1, StateType.RUNNING, is_flow=True, attempts=1)
    yield entered(run, 2, end, is_flow=True, ended=True)
    for key in range(tasks):
        yield TaskRunMade(run + 1 + key, 110, run, "load", key, None, frozenset(), None)
        yield entered(run + 1 + key, 1, StateType.RUNNING, attempts=1)
        yield entered(run + 1 + key, 2, StateType.COMPLETED, data=Value("json", b"1"), ended=True)


def in_groups(count: int, size: int) -> Iterator[range]:
    for start in range(0, count, size):
        yield range(start, min(count, start + size))


def fill(store: SqliteStore, flows: int, tasks: int) -> None:
    """Write flow runs, each with so many task runs."""
    opened = store.open(Owner("process 1 on mill", 1))
    for group, numbers in enumerate(in_groups(flows, 200), start=1):
        records = [record for number in numbers for record in one_flow(number, tasks)]
        store.append(Group(opened.token, group, records, lambda error: None))
    store.close()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("small", numbered=True)
    folder.chmod(0o700)
    watched = Watched(folder / "runs.db")
    fill(watched.store, 100, 2)
    yield watched
    watched.store.close()


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    folder = tmp_path_factory.mktemp("large", numbered=True)
    folder.chmod(0o700)
    watched = Watched(folder / "runs.db")
    fill(watched.store, 2_000, 2)
    yield watched
    watched.store.close()


# By what is looked for: the filter, and what SQLite finds it by.
FILTERS = {
    "the newest": (RunFilter(), "PRIMARY KEY"),
    "the outermost": (RunFilter(outermost=True), "PRIMARY KEY"),
    "by state": (RunFilter(types=[StateType.FAILED], outermost=True), "INDEX flow_runs_in"),
    "by states": (RunFilter(types=[StateType.FAILED, StateType.CRASHED], outermost=True), "INDEX flow_runs_in"),
    "by flow": (RunFilter(of=["flow-3"], outermost=True), "INDEX flow_runs_of"),
    "by flow and state": (RunFilter(of=["flow-3"], types=[StateType.FAILED]), "INDEX flow_runs_"),
    "by name": (RunFilter(names=["run-77"], limit=2), "INDEX flow_runs_named"),
    "by time": (RunFilter(first=first_id_at(20 * MS), last=first_id_at(30 * MS)), "PRIMARY KEY"),
    "by a tag that none has": (RunFilter(tags=["x"]), "PRIMARY KEY (tag=? AND run>? AND run<?)"),
    "by a rare tag": (RunFilter(tags=["rare"], outermost=True), "PRIMARY KEY (tag=? AND run>? AND run<?)"),
    "by a tag that all have": (RunFilter(tags=["shop"], outermost=True), "PRIMARY KEY (tag=? AND run>? AND run<?)"),
    "by two tags": (RunFilter(tags=["rare", "shop"]), "PRIMARY KEY (tag=? AND run>? AND run<?)"),
    "inside of one": (RunFilter(flow_run=first_id_at(20 * MS)), "INDEX flow_runs_inside"),
    "by beginning": (RunFilter(first=first_id_at(20 * MS), last=first_id_at(21 * MS), limit=2), "PRIMARY KEY"),
}


@pytest.mark.parametrize(("wanted", "way"), FILTERS.values(), ids=FILTERS)
def test_no_query_for_flow_runs_goes_through_a_whole_table(small: Watched, wanted: RunFilter, way: str) -> None:
    small.store.read_flow_runs(RunFilter(limit=1))  # connects
    small.statements.clear()
    small.store.read_flow_runs(wanted)

    (statement,) = small.statements
    plan = plan_of(small, statement)
    assert [step for step in plan if step.startswith("SCAN") and "VIRTUAL TABLE" not in step] == []
    assert plan[0].startswith(f"SEARCH {'t' if wanted.tags else 'r'} USING {way}")
    assert not any("TEMP B-TREE" in step for step in plan) or len(wanted.types or ()) > 1


def plan_of(watched: Watched, statement: str) -> list[str]:
    """What SQLite would do for a query."""
    with sqlite3.connect(watched.store.path) as connection:
        nameless = re.sub(r"\?\d+", "?", statement)
        found = connection.execute(f"EXPLAIN QUERY PLAN {nameless}", [b""] * nameless.count("?")).fetchall()
    connection.close()
    return [str(row[3]) for row in found]


@pytest.mark.parametrize(("wanted", "_way"), FILTERS.values(), ids=FILTERS)
def test_the_work_for_a_page_of_flow_runs_does_not_grow_with_the_store(
    small: Watched, large: Watched, wanted: RunFilter, _way: str
) -> None:
    few = small.work_of(lambda: small.store.read_flow_runs(wanted))
    many = large.work_of(lambda: large.store.read_flow_runs(wanted))

    # Twenty times as many runs; a page may be full that was not.
    assert many <= 4 * few + 50


@pytest.mark.parametrize("of_flow_run", [False, True])
def test_the_work_for_a_page_of_task_runs_does_not_grow_with_the_store(
    small: Watched, large: Watched, of_flow_run: bool
) -> None:
    wanted = RunFilter(flow_run=first_id_at(20 * MS) if of_flow_run else None)

    few = small.work_of(lambda: small.store.read_task_runs(wanted))
    many = large.work_of(lambda: large.store.read_task_runs(wanted))

    assert many <= 2 * few + 10


def test_the_work_to_find_what_is_over_grows_with_what_is_found(large: Watched) -> None:
    def find(before: int, limit: int) -> int:
        return large.work_of(lambda: large.store.read_finished(before, MOST_DEATHS, 0, limit))

    assert find(1 << 62, 10) < 10
    assert find(1, 1_000) < 10


TEXT = st.text(max_size=30) | st.sampled_from(["'", '"; DROP TABLE flow_runs; --', "' OR 1=1", "?", "%", "\x00", "\\"])


@settings(max_examples=30)
@given(
    names=st.lists(TEXT, max_size=3),
    of=st.lists(TEXT, max_size=3),
    tags=st.lists(TEXT, max_size=2),
    types=st.lists(st.sampled_from(StateType), max_size=3),
)
def test_what_is_looked_for_never_becomes_part_of_a_query(
    small: Watched, names: list[str], of: list[str], tags: list[str], types: list[StateType]
) -> None:
    wanted = RunFilter(names=names, of=of, tags=tags, types=types)
    small.store.read_facts()  # so that it is connected
    small.statements.clear()

    small.store.read_flow_runs(wanted)
    small.store.read_task_runs(wanted)

    texts = set(small.statements)
    small.statements.clear()
    plain = RunFilter(names=["a"] * len(names), of=["b"] * len(of), tags=["c"] * len(tags), types=types)
    small.store.read_flow_runs(plain)
    small.store.read_task_runs(plain)
    assert texts == small.statements
    assert len(small.store.read_flow_runs(RunFilter())) == 50


def test_a_statement_depends_on_how_many_values_there_are_and_on_nothing_else(small: Watched) -> None:
    small.statements.clear()
    for count, word in itertools.product(range(1, 4), ["a", "'b'"]):
        small.store.read_flow_runs(RunFilter(names=[word] * count))

    assert len(small.statements) == 3
