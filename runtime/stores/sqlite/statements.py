"""Statements: rows by the thousand in a single step of SQLite's.

Decides how rows become statements. Python gives its interpreter lock back for each step of a statement, and may have to
wait for it as long as another thread computes: five milliseconds, a hundred times what the step takes. So all rows of a
table are written in one step, as far as a statement may have parameters. Statements are made for a few numbers of rows,
and stay prepared; the rows that are missing to the next such number are the first one again, which changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from millrace.runtime.stores.sqlite.connecting import Connection

MOST_PARAMETERS: Final = 32_766
"""How many a statement may have, at most."""


class _ManyRows:
    """A statement for many rows.

    Args:
        before: What stands before the rows.
        columns: How many values a row has.
        after: What stands after the rows.
    """

    def __init__(self, before: str, columns: int, after: str = "") -> None:
        self._before = before
        self._row = f"({', '.join('?' * columns)})"
        self._after = after
        most = MOST_PARAMETERS // columns
        self._sizes = [1 << power for power in range(most.bit_length()) if 1 << power <= most]
        self._texts: dict[int, str] = {}  # by number of rows; made when it is first needed

    def steps(self, rows: Sequence[Sequence[Any]]) -> Iterator[tuple[str, list[Any], int]]:
        """Statements for rows: the text, its parameters, and how many rows they are."""
        largest = self._sizes[-1]
        for start in range(0, len(rows), largest):
            some = rows[start : start + largest]
            count = len(some)
            size = next(each for each in self._sizes if each >= count)
            parameters: list[Any] = []
            for row in some:
                parameters.extend(row)
            parameters.extend(list(some[0]) * (size - count))
            yield self._text(size), parameters, count

    def _text(self, size: int) -> str:
        text = self._texts.get(size)
        if text is None:
            text = self._texts[size] = self._before + ", ".join([self._row] * size) + self._after
        return text


class Insert:
    """An INSERT of many rows.

    Args:
        table: Into which table.
        columns: Which columns.
        replace: A row with the same key is replaced; else it is an error.
    """

    def __init__(self, table: str, columns: Sequence[str], *, replace: bool = False) -> None:
        self._table = table
        self._replace = replace
        verb = "INSERT OR REPLACE" if replace else "INSERT OR IGNORE"  # what is ignored is counted
        # names of ours, and no values
        self._statement = _ManyRows(f"{verb} INTO {table} ({', '.join(columns)}) VALUES ", len(columns))

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Insert rows, in their order.

        Raises:
            DuplicateRow: one with the same key is there.
        """
        for text, parameters, count in self._statement.steps(rows):
            inserted = connection.execute(text, parameters).rowcount
            if inserted != count and not self._replace:
                raise DuplicateRow(f"{count - inserted} rows of {self._table} are there already")


class Update:
    """An UPDATE of many rows, each found by its id.

    Args:
        table: Of which table.
        changes: Column by column, how it is set; `new.column2` is the second value of a row, and so on. The first value
            is the id.
        provided: What has to be so of the row that is there, as a condition; None for nothing.
    """

    def __init__(self, table: str, changes: Sequence[str], provided: str | None = None) -> None:
        self._table = table
        self._provided = provided
        before = f"UPDATE {table} SET {', '.join(changes)} FROM (VALUES "  # noqa: S608  # names of ours, and no values
        where = "" if provided is None else f" AND {provided}"
        self._statement = _ManyRows(before, len(changes) + 1, f") AS new WHERE {table}.id = new.column1{where}")

    def run(self, connection: Connection, rows: Sequence[Sequence[Any]]) -> None:
        """Update rows; no two may have the same id.

        Raises:
            DuplicateRow: one is missing, or what has to be so of it is not.
        """
        for text, parameters, count in self._statement.steps(rows):
            updated = connection.execute(text, parameters).rowcount
            if updated != count and self._provided is not None:
                raise DuplicateRow(f"{count - updated} rows of {self._table} are missing, or have been there already")


class DuplicateRow(Exception):
    """A row was to be written that is there, or that is to follow one which is not."""
