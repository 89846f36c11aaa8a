"""Facts: what is asked of a database as a whole, and which of its runs are over for long. Decides the queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from millrace.actors.states import StateType
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.postgres.connecting import Connection
from millrace.runtime.stores.postgres.owners import LIVING
from millrace.runtime.stores.rows import StoreFacts
from millrace.runtime.stores.verdicts import first_id_at

# A run that has ended before a time was made before it: so only ids are looked at that are old enough.
_FINISHED: Final = (
    "SELECT id FROM flow_runs WHERE id > $1 AND id < $2 AND ended < $3 AND parent IS NULL AND NOT suspended "
    "AND NOT (type = 'CRASHED' AND deaths >= $4) ORDER BY id LIMIT $5"
)
_COUNTS: Final = (
    "SELECT task, type, count(*) FROM task_runs WHERE flow_run = $1 GROUP BY task, type ORDER BY min(id::text)"
)
_SIZE: Final = (
    "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c "
    "WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind = 'r'"
)


async def read_finished(connection: Connection, before: int, parked: int, after: int, limit: int) -> list[int]:
    """Flow runs that are over. See `port.Store`."""
    values = (id_of(after), id_of(first_id_at(before)), before, parked, limit)
    return [int.from_bytes(run, "big") for (run,) in await connection.fetch(_FINISHED, *values)]


async def count_task_runs(connection: Connection, flow_run_id: int) -> Mapping[tuple[str, StateType], int]:
    """How many task runs a flow run has. See `port.Store`."""
    rows = await connection.fetch(_COUNTS, id_of(flow_run_id))
    return {(task, StateType(kind)): count for task, kind, count in rows}


async def read_facts(connection: Connection) -> StoreFacts:
    """What there is in the database; as its owner, all that have it open. See `port.Store`."""
    last = await connection.fetchrow("SELECT name, opened FROM owners ORDER BY token DESC LIMIT 1")
    living = [name for _, name in await connection.fetch(LIVING)]
    name, opened = last or ("", None)
    kinds = await connection.fetch("SELECT type, count(*) FROM flow_runs GROUP BY type")
    return StoreFacts(
        ", ".join(living) or name,
        opened,
        {StateType(kind): count for kind, count in kinds},
        await connection.fetchval("SELECT count(*) FROM task_runs"),
        await connection.fetchval(_SIZE),
        0,
        await connection.fetchval("SELECT version FROM millrace_schema"),
    )
