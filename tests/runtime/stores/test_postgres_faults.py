"""Whatever statement fails on the server: a group is written as a whole or not at all, and nothing is told that is not.

As `test_failing` for a file.
"""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest

from millrace import Engine, PostgresStore, StoreError, read_flow_runs, resume_run
from millrace.runtime.stores.port import Group
from tests.postgres import Server
from tests.runtime.stores.killing import engine_of, quietly
from tests.runtime.stores.test_failing import CALLS, TOTAL, body, check_groups, given

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


def attempt(url: str, at: int, *, for_good: bool, after: bool) -> bool:
    """Run a flow in a store whose statements fail from one on that comes after its opening; whether one did."""
    faults = Faults(for_good=for_good, after=after)
    store = WatchedStore(url, return_seconds=0, connect=faults.connect)
    store.told = []
    given.clear()
    with engine_of(store):
        faults.at = faults.count + at
        ended = quietly(body)
        failed = bool(faults.hits)
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
            assert resume_run(runs[0].id, body) == TOTAL
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
