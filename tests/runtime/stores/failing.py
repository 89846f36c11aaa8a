"""A connection that fails where it is told to: at its k-th statement, once or from then on, before it or after it."""

from __future__ import annotations

import sqlite3
from typing import Any

from millrace.runtime.stores.port import Group
from millrace.runtime.stores.sqlite import SqliteStore

FULL = sqlite3.OperationalError("database or disk is full")


class Faults:
    """Which statements of a connection that writes fail.

    Args:
        at: The first one, counted from 1; 0 for none.
        for_good: All after it fail, too.
        after: The statement is run, and then it fails: as where the answer is lost.
        error: What it fails with.
    """

    def __init__(
        self, at: int = 0, *, for_good: bool = False, after: bool = False, error: sqlite3.Error = FULL
    ) -> None:
        self.at = at
        self.for_good = for_good
        self.after = after
        self.error = error
        self.count = 0
        self.hits: list[str] = []

    def connect(self, *arguments: Any, **options: Any) -> Any:
        """Make a connection, as `sqlite3.connect` does."""
        connection = sqlite3.connect(*arguments, factory=_Connection, **options)
        if not options.get("uri"):
            connection.faults = self
        return connection

    def strikes(self) -> bool:
        """Whether the next statement fails."""
        self.count += 1
        return self.at > 0 and (self.count == self.at or (self.for_good and self.count > self.at))


class _Connection(sqlite3.Connection):
    faults: Faults | None = None

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        faults = self.faults
        if faults is None or not faults.strikes():
            return super().execute(sql, parameters)
        faults.hits.append(sql)
        if faults.after:
            super().execute(sql, parameters)
        raise faults.error


class WatchedStore(SqliteStore):
    """Remembers its groups, and what was told of each."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.told: list[tuple[Group, BaseException | None]] = []

    def append(self, group: Group) -> None:
        def done(error: BaseException | None) -> None:
            self.told.append((group, error))
            group.done(error)

        super().append(Group(group.token, group.number, group.records, done))
