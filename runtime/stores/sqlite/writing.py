"""Writing: the rows of a group, as statements of SQLite's. Decides in which order they are written, and how."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from millrace.runtime.stores import group_rows
from millrace.runtime.stores.sqlite.connecting import Connection
from millrace.runtime.stores.sqlite.packing import CHANGED, TASK_RUN, PackedRows
from millrace.runtime.stores.sqlite.statements import Insert, Update

_REPLACED: Final = frozenset({"results", "answers"})
_COLUMNS: Final = {**group_rows.COLUMNS, "task_runs": TASK_RUN}
_INSERTS: Final = {table: Insert(table, columns, replace=table in _REPLACED) for table, columns in _COLUMNS.items()}
_HOW: Final = {
    "name": "coalesce(new.{}, name)",
    "started": "coalesce(started, new.{})",
    "attempts": "max(attempts, new.{})",
}  # of the others the new value counts


def _update(table: str, columns: tuple[str, ...], provided: str | None = None) -> Update:
    values = {name: f"column{number}" for number, name in enumerate(columns, 1)}
    changes = [f"{name} = {_HOW.get(name, 'new.{}').format(values[name])}" for name in columns[1:]]
    return Update(table, changes, provided and provided.format_map(values))


_UPDATES: Final[Mapping[str, Update]] = {
    "flow_runs": _update("flow_runs", (*group_rows.CHANGED, "suspended")),
    "task_runs": _update("task_runs", CHANGED, "task_runs.sequence < new.{sequence}"),
}


def write(connection: Connection, rows: PackedRows) -> None:
    """Write the rows of a group, in the transaction at hand.

    Raises:
        DuplicateRow: one with the same key is there, or one is missing.
    """
    for emptied in rows.emptied():
        connection.execute("DELETE FROM results WHERE run = ?", emptied)
    for table, made in rows.made().items():
        if made:  # of most tables there is none
            _INSERTS[table].run(connection, made)
    for table, changed in rows.changed().items():
        if changed:
            _UPDATES[table].run(connection, changed)
    for run, name in rows.renamed():
        connection.execute("UPDATE flow_runs SET name = ? WHERE id = ?", (name, run))
    for undone in rows.undone():
        connection.execute("UPDATE task_runs SET undone = 1 WHERE id = ?", undone)
