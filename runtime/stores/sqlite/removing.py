"""Removing: runs are taken out of a database.

Decides that a flow run disappears at once and with all flow runs inside of it, and that its task runs, which may be a
million, go a few at a time: until they have all gone it stands in a table of removals, so that a process that ends in
between leaves nothing for ever.
"""

from __future__ import annotations

from typing import Any, Final

from millrace.actors.errors import RunNotFound
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.records import LARGEST_ID
from millrace.runtime.stores.sqlite.connecting import Connection
from millrace.runtime.stores.sqlite.reading import bounds, inside, numbered
from millrace.runtime.stores.verdicts import check_removable, first_id_at

_INSIDE: Final = """
WITH RECURSIVE inside (id) AS (
    VALUES (?) UNION ALL SELECT r.id FROM inside JOIN flow_runs r ON r.parent = inside.id
)
INSERT OR IGNORE INTO removals SELECT id FROM inside
"""

# What there are few rows of in each flow run, in this order.
_AT_ONCE: Final = (
    "DELETE FROM parameters WHERE flow_run IN (SELECT run FROM removals)",
    "DELETE FROM answers WHERE flow_run IN (SELECT run FROM removals)",
    "DELETE FROM results WHERE run IN (SELECT run FROM removals)",
    "DELETE FROM states WHERE run IN (SELECT run FROM removals)",
    "DELETE FROM flow_runs WHERE id IN (SELECT run FROM removals)",
)

_OF_FLOW_RUN: Final = f"{inside('id')} ORDER BY 1 LIMIT ?6"
_LOOSE: Final = "SELECT id FROM task_runs WHERE flow_run IS NULL AND id < ? AND ended < ? ORDER BY id LIMIT ?"
_CALLS: Final = (
    "DELETE FROM calls WHERE (flow_run, attempt, position) IN "
    "(SELECT flow_run, attempt, position FROM calls WHERE flow_run = ? ORDER BY attempt, position LIMIT ?)"
)


def remove(connection: Connection, run_id: int) -> None:
    """Remove a flow run and those inside of it, in the transaction at hand; see `port.Store`."""
    key = id_of(run_id)
    row = connection.execute(
        "SELECT name, type, parent, ended, suspended FROM flow_runs WHERE id = ?", (key,)
    ).fetchone()
    if row is None:
        raise RunNotFound(f"{run_id:032x}")
    name, kind, parent, ended, suspended = row
    check_removable(name, kind, parent, ended, suspended=bool(suspended))
    connection.execute(_INSIDE, (key,))
    for statement in _AT_ONCE:
        connection.execute(statement)


def sweep(connection: Connection, most: int) -> int:
    """Remove some of what belonged to flow runs that are removed; how many rows. In the transaction at hand."""
    row = connection.execute("SELECT run FROM removals LIMIT 1").fetchone()
    if row is None:
        return 0
    (key,) = row
    removed = _remove_task_runs(connection, _OF_FLOW_RUN, numbered(*bounds(int.from_bytes(key, "big")), most))
    if removed < most:
        removed += max(0, connection.execute(_CALLS, (key, most - removed)).rowcount)
    if removed < most:
        removed += connection.execute("DELETE FROM removals WHERE run = ?", (key,)).rowcount
    return removed


def remove_loose(connection: Connection, before: int, most: int) -> int:
    """Remove some of the task runs outside of any flow that have ended before a time; how many."""
    last = id_of(min(first_id_at(before), LARGEST_ID))
    return _remove_task_runs(connection, _LOOSE, (last, before, most))


def _remove_task_runs(connection: Connection, which: str, values: tuple[Any, ...] | dict[str, Any]) -> int:
    ids = connection.execute(which, values).fetchall()
    for (key,) in ids:
        connection.execute("DELETE FROM states WHERE run = ?", (key,))
        connection.execute("DELETE FROM task_runs WHERE id = ?", (key,))
    return len(ids)
