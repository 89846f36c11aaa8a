"""Facts: what is asked of a database as a whole, and which of its runs are over for long. Decides the queries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from millrace.actors.states import StateType
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.rows import StoreFacts
from millrace.runtime.stores.sqlite.connecting import Connection
from millrace.runtime.stores.sqlite.reading import bounds, inside, numbered
from millrace.runtime.stores.verdicts import first_id_at

# A run that has ended before a time was made before it: so only ids are looked at that are old enough.
_FINISHED: Final = (
    "SELECT id FROM flow_runs WHERE id > ? AND id < ? AND ended < ? AND parent IS NULL AND NOT suspended "
    "AND NOT (type = 'CRASHED' AND deaths >= ?) ORDER BY id LIMIT ?"
)
_COUNTS: Final = f"SELECT task, type, count(*) FROM ({inside('id, task, type')}) GROUP BY task, type ORDER BY min(id)"  # noqa: S608  # fixed parts


def read_finished(connection: Connection, before: int, parked: int, after: int, limit: int) -> list[int]:
    """Flow runs that are over. See `port.Store`."""
    values = (id_of(after), id_of(first_id_at(before)), before, parked, limit)
    return [int.from_bytes(run, "big") for (run,) in connection.execute(_FINISHED, values)]


def count_task_runs(connection: Connection, flow_run_id: int) -> Mapping[tuple[str, StateType], int]:
    """How many task runs a flow run has. See `port.Store`."""
    return {
        (task, StateType(kind)): count
        for task, kind, count in connection.execute(_COUNTS, numbered(*bounds(flow_run_id)))
    }


def read_facts(connection: Connection) -> StoreFacts:
    """What there is in the database. See `port.Store`."""

    def number(query: str) -> int:
        return int(connection.execute(query).fetchone()[0])

    owner = connection.execute("SELECT name, opened FROM owners ORDER BY token DESC LIMIT 1").fetchone() or ("", None)
    kinds = connection.execute("SELECT type, count(*) FROM flow_runs GROUP BY type")
    page = number("PRAGMA page_size")
    return StoreFacts(
        owner[0],
        owner[1],
        {StateType(kind): count for kind, count in kinds},
        number("SELECT count(*) FROM task_runs"),
        number("PRAGMA page_count") * page,
        number("PRAGMA freelist_count") * page,
        number("PRAGMA user_version"),
    )
