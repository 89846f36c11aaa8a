"""Whatever statement fails on the server: a group is written as a whole or not at all, and nothing is told that is not.

As `test_failing` for a file.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from itertools import count
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from millrace import (
    Engine,
    PostgresStore,
    RunNotFound,
    StoreError,
    flow,
    read_flow_run_states,
    read_flow_runs,
    resume_run,
    transaction,
)
from millrace.runtime.stores.port import Group
from tests.postgres import Server
from tests.runtime.stores.killing import engine_of, quietly
from tests.runtime.stores.test_failing import CALLS, TOTAL, body, check_groups, given, work

FULL = asyncpg.exceptions.DiskFullError("could not extend file: no space left on device")


class Faults:
    """Which statements of the connection that writes fail. See `failing.Faults`."""

    def __init__(self, at: int = 0, *, for_good: bool = False, after: bool = False) -> None:
        self.at = at
        self.for_good = for_good
        self.after = after
        self.count = 0
        self.hits: list[str] = []

    async def connect(self, dsn: str, **options: Any) -> Any:
        """Make a connection, as `asyncpg.connect` does."""
        made = await asyncpg.connect(dsn, **options)
        return _Connection(made, self) if "enable_hashjoin" in options["server_settings"] else made

    async def run(self, what: str, act: Any) -> Any:
        """Run a statement, or let it fail."""
        self.count += 1
        if not self.at or self.count < self.at or (self.count > self.at and not self.for_good):
            return await act()
        self.hits.append(what)
        if self.after:
            await act()
        raise FULL


class _Connection:
    def __init__(self, connection: Any, faults: Faults) -> None:
        self._connection = connection
        self._faults = faults

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._connection, name)
        if name not in {"execute", "fetch", "fetchrow", "fetchval", "executemany"}:
            return found

        async def run(query: str, *values: Any) -> Any:
            return await self._faults.run(query, lambda: found(query, *values))

        return run

    def transaction(self) -> Any:
        return _transaction(self._connection.transaction(), self._faults)


@asynccontextmanager
async def _transaction(transaction: Any, faults: Faults) -> AsyncGenerator[None]:
    """A transaction of which the beginning and the end are statements like others: each of them may fail."""
    try:
        await faults.run("BEGIN", transaction.start)
        yield
    except BaseException:
        with suppress(asyncpg.exceptions.InterfaceError):  # it never began
            await faults.run("ROLLBACK", transaction.rollback)
        raise
    try:
        await faults.run("COMMIT", transaction.commit)
    except asyncpg.exceptions.DiskFullError:
        if not faults.after:
            await transaction.rollback()  # as a server does that cannot commit
        raise


class Undo(Exception):
    """Has a transaction rolled back."""


@flow
def body_with_rollbacks() -> int:
    """As `body`; but results are rolled back, so that groups take more than one statement."""
    total = 0
    for number in range(CALLS):
        with suppress(Undo), transaction():
            total += work(number)
            given.append(number)
            if number % 2:
                raise Undo
    return total


class WatchedStore(PostgresStore):
    """Remembers its groups, and what was told of each."""

    told: list[tuple[Group, BaseException | None]]

    def append(self, group: Group) -> None:
        def done(error: BaseException | None) -> None:
            self.told.append((group, error))
            group.done(error)

        super().append(Group(group.token, group.number, group.records, done))


def recorded(url: str) -> set[tuple[bytes, int]]:
    """The states that stand in a store."""

    async def ask() -> set[tuple[bytes, int]]:
        bare, _, schema = url.partition("&schema=")
        connection = await asyncpg.connect(bare, server_settings={"search_path": schema})
        try:
            return {
                (run.bytes, sequence) for run, sequence in await connection.fetch("SELECT run, sequence FROM states")
            }
        finally:
            await connection.close()

    return asyncio.run(ask())


def attempt(url: str, at: int, *, for_good: bool, after: bool, called: Any = body) -> list[str]:
    """Run a flow in a store whose statements fail from one on that comes after its opening; which ones did."""
    faults = Faults(for_good=for_good, after=after)
    store = WatchedStore(url, return_seconds=0, connect=faults.connect)
    store.told = []
    given.clear()
    with engine_of(store):
        faults.at = faults.count + at
        ended = quietly(called)
        failed = list(faults.hits)
        faults.at = 0
    outcome = recorded(url)
    check_groups(store.told, outcome, f"at {at}: {faults.hits}")
    if any(error is not None for _, error in store.told):
        assert isinstance(ended, StoreError), ended
    else:
        assert ended == TOTAL
    done = list(given)
    with engine_of(PostgresStore(url, return_seconds=0)):
        runs = read_flow_runs()
        if runs and not runs[0].state.is_completed():
            given.clear()
            assert resume_run(runs[0].id, called) == TOTAL
            assert {number for number in range(CALLS) if number not in done} <= set(given)
    return failed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
def test_whichever_statement_fails_groups_are_whole_and_nothing_is_told_that_is_not(
    postgres: Server, *, for_good: bool, after: bool
) -> None:
    reached = 0
    for at in count(1):
        url = postgres.url(f"faults_{at}_{for_good:d}{after:d}")
        if not attempt(url, at, for_good=for_good, after=after):
            break
        reached = at

    assert reached >= CALLS


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for-good"])
def test_whichever_statement_of_a_group_that_takes_several_fails_the_group_is_whole(
    postgres: Server, *, for_good: bool, after: bool
) -> None:
    failed: set[str] = set()
    for at in count(1):
        url = postgres.url(f"rollbacks_{at}_{for_good:d}{after:d}")
        hits = attempt(url, at, for_good=for_good, after=after, called=body_with_rollbacks)
        if not hits:
            break
        failed.add(hits[0])

    assert {"BEGIN", "COMMIT"} <= failed


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_whichever_statement_of_a_removal_fails_a_run_is_there_as_a_whole_or_gone(
    postgres: Server, *, after: bool
) -> None:
    failed: set[str] = set()
    for at in count(1):
        url = postgres.url(f"removals_{at}_{after:d}")
        faults = Faults(after=after)
        store = PostgresStore(url, return_seconds=0, connect=faults.connect)
        with engine_of(store) as engine:
            assert body() == TOTAL
            assert engine.chronicle is not None
            writer, (run,) = engine.chronicle.writer, read_flow_runs()
            faults.at = faults.count + at
            outcome = quietly(lambda: writer.do(lambda: store.remove(run.id.int, writer.opened.token)))  # noqa: B023
            faults.at = 0
        with engine_of(PostgresStore(url, return_seconds=0)):
            left = [row.id for row in read_flow_runs()]
            assert left in ([], [run.id])
            assert outcome is not None or not left
            states = quietly(lambda: read_flow_run_states(run.id))  # noqa: B023
            assert len(states) == 3 if left else isinstance(states, RunNotFound)
        if not faults.hits:
            break
        failed.add(faults.hits[0])

    assert {"BEGIN", "COMMIT"} <= failed


def test_whichever_statement_of_the_writer_fails_an_opening_is_refused_or_complete(postgres: Server) -> None:
    for at in count(1):
        url = postgres.url(f"opening_{at}")
        faults = Faults(at)
        refused = quietly(lambda: Engine(store=PostgresStore(url, connect=faults.connect)).close())  # noqa: B023
        if not faults.hits:
            assert refused is None
            break
        assert isinstance(refused, StoreError)
        with engine_of(PostgresStore(url, return_seconds=0)):
            assert body() == TOTAL
