"""Removing: runs are taken out of a database.

Decides that a flow run disappears at once and with all flow runs inside of it, and that its task runs, which may be a
million, go a few at a time: until they have all gone it stands in a table of removals, so that a process that ends in
between leaves nothing for ever.
"""

from __future__ import annotations

from typing import Any, Final

from millrace.actors.errors import RunNotFound
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.postgres.connecting import Connection
from millrace.runtime.stores.records import LARGEST_ID
from millrace.runtime.stores.verdicts import check_removable, first_id_at

_FIND: Final = "SELECT name, type, parent, ended, suspended FROM flow_runs WHERE id = $1 FOR UPDATE"
_INSIDE: Final = """
WITH RECURSIVE inside (id) AS (
    SELECT $1::uuid UNION ALL SELECT r.id FROM inside JOIN flow_runs r ON r.parent = inside.id
)
INSERT INTO removals SELECT id FROM inside ON CONFLICT DO NOTHING
"""

# What there are few rows of in each flow run, in this order.
_AT_ONCE: Final = (
    "DELETE FROM parameters WHERE flow_run IN (SELECT run FROM removals)",
    "DELETE FROM answers WHERE flow_run IN (SELECT run FROM removals)",
    "DELETE FROM results WHERE run IN (SELECT run FROM removals)",
    "DELETE FROM states WHERE run IN (SELECT run FROM removals)",
    "DELETE FROM flow_runs WHERE id IN (SELECT run FROM removals)",
)

_OF_FLOW_RUN: Final = "SELECT id FROM task_runs WHERE flow_run = $1 ORDER BY id LIMIT $2"
_LOOSE: Final = "SELECT id FROM task_runs WHERE flow_run IS NULL AND id < $1 AND ended < $2 ORDER BY id LIMIT $3"
_CALLS: Final = (
    "WITH gone AS (DELETE FROM calls WHERE (flow_run, attempt, position) IN "
    "(SELECT flow_run, attempt, position FROM calls WHERE flow_run = $1 ORDER BY attempt, position LIMIT $2) "
    "RETURNING 1) SELECT count(*) FROM gone"
)
_OF_TASK_RUNS: Final = (
    "DELETE FROM states WHERE run = ANY($1::uuid[])",
    "DELETE FROM results WHERE run = ANY($1::uuid[])",
    "DELETE FROM task_runs WHERE id = ANY($1::uuid[])",
)


async def remove(connection: Connection, run_id: int) -> None:
    """Remove a flow run and those inside of it, in the transaction at hand; see `port.Store`."""
    key = id_of(run_id)
    row = await connection.fetchrow(_FIND, key)
    if row is None:
        raise RunNotFound(f"{run_id:032x}")
    name, kind, parent, ended, suspended = row
    check_removable(name, kind, parent, ended, suspended=suspended)
    await connection.execute(_INSIDE, key)
    for statement in _AT_ONCE:
        await connection.execute(statement)


async def sweep(connection: Connection, most: int) -> int:
    """Remove some of what belonged to flow runs that are removed; how many rows. In the transaction at hand.

    Where another process does the same, each takes a run that the other one does not have.
    """
    key = await connection.fetchval("SELECT run FROM removals LIMIT 1 FOR UPDATE SKIP LOCKED")
    if key is None:
        return 0
    removed = await _remove_task_runs(connection, _OF_FLOW_RUN, (key, most))
    if removed < most:
        removed += await connection.fetchval(_CALLS, key, most - removed)
    if removed < most:
        await connection.execute("DELETE FROM removals WHERE run = $1", key)
        removed += 1
    return removed


async def remove_loose(connection: Connection, before: int, most: int) -> int:
    """Remove some of the task runs outside of any flow that have ended before a time; how many."""
    last = id_of(min(first_id_at(before), LARGEST_ID))
    return await _remove_task_runs(connection, _LOOSE, (last, before, most))


async def _remove_task_runs(connection: Connection, which: str, values: tuple[Any, ...]) -> int:
    ids = [run for (run,) in await connection.fetch(which, *values)]
    for statement in _OF_TASK_RUNS if ids else ():
        await connection.execute(statement, ids)
    return len(ids)
