"""Statements: rows by the hundred in a single step of SQLite's.

Decides how rows become statements. Python gives its interpreter lock back for each step of a statement, and may have to
wait for it as long as another thread computes: five milliseconds, a hundred times what the step takes. So many rows are
written in one step, and few kinds of statements are made, which stay prepared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from millrace.runtime.stores.sqlite.connecting import Connection

_SIZES: Final = (128, 32, 8, 1)
"""Rows per statement. 128 rows of fifteen columns are well below the 32,766 parameters that a statement may have."""


class Insert:
    """An INSERT of many rows.

    Args:
        table: Into which table.
        columns: Which columns.
        replace: A row with the same key is replaced; else it is an error.
    """

    def __init__(self, table: str, columns: Sequence[str], *, replace: bool = False) -> None:
        row = f"({', '.join('?' * len(columns))})"
        verb = "INSERT OR REPLACE" if replace else "INSERT"
        head = f"{verb} INTO {table} ({', '.join(columns)}) VALUES "  # names of ours, and no values
        self._texts = {size: head + ", ".join([row] * size) for size in _SIZES}

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, in their order."""
        for size, parameters in _in_steps(rows):
            connection.execute(self._texts[size], parameters)


class Update:
    """An UPDATE of many rows, each found by its id.

    Args:
        table: Of which table.
        changes: Column by column, how it is set; `new.column2` is the second value of a row, and so on. The first value
            is the id.
    """

    def __init__(self, table: str, changes: Sequence[str]) -> None:
        row = f"({', '.join('?' * (len(changes) + 1))})"
        before = f"UPDATE {table} SET {', '.join(changes)} FROM (VALUES "  # noqa: S608  # names of ours, and no values
        after = f") AS new WHERE {table}.id = new.column1"
        self._texts = {size: before + ", ".join([row] * size) + after for size in _SIZES}

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Update rows; no two may have the same id."""
        for size, parameters in _in_steps(rows):
            connection.execute(self._texts[size], parameters)


def _in_steps(rows: Sequence[Sequence[Any]]) -> Iterator[tuple[int, list[Any]]]:
    """The parameters of rows, so many rows at a time as there are statements for."""
    start, count = 0, len(rows)
    for size in _SIZES:
        while count - start >= size:
            parameters: list[Any] = []
            for row in rows[start : start + size]:
                parameters.extend(row)
            yield size, parameters
            start += size
