"""Reading: from rows to what the port promises.

Decides the queries. Values are bound, never written into a statement; the parts that a statement is made of are fixed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from millrace.runtime.stores.columns import (
    FLOW_RUNS,
    STATE,
    TAGGED_FLOW_RUNS,
    TASK_RUNS,
    flow_run_row_of,
    id_of,
    names_in,
    state_row_of,
    task_run_row_of,
    value_of,
)
from millrace.runtime.stores.postgres.connecting import Connection
from millrace.runtime.stores.records import CHILD_BITS, Answered, Called, Value
from millrace.runtime.stores.rows import FlowRunRow, RunFilter, StateRow, TaskRunRow

_NONE: Final[tuple[Any, ...]] = (None, None, None)


async def read_flow_run(connection: Connection, run_id: int) -> FlowRunRow | None:
    """A flow run with its parameters and the data of its state."""
    key = id_of(run_id)
    row = await connection.fetchrow(f"{FLOW_RUNS} WHERE r.id = $1", key)
    if row is None:
        return None
    query = "SELECT name, tag, blob, missing FROM parameters WHERE flow_run = $1 ORDER BY position"
    parameters = {name: Value(tag, blob, missing) for name, tag, blob, missing in await connection.fetch(query, key)}
    return flow_run_row_of(tuple(row), parameters, await _data_of(connection, key))


async def read_task_run(connection: Connection, run_id: int) -> TaskRunRow | None:
    """A task run with the data of its state."""
    key = id_of(run_id)
    row = await connection.fetchrow(f"{TASK_RUNS} WHERE r.id = $1", key)
    return None if row is None else task_run_row_of(tuple(row), await _data_of(connection, key))


async def read_flow_runs(connection: Connection, wanted: RunFilter) -> list[FlowRunRow]:
    """Flow runs, newest first."""
    more = ["r.parent IS NULL"] if wanted.outermost else []
    table = FLOW_RUNS
    if wanted.tags:  # by an index of their own, from the newest one back
        table, more = TAGGED_FLOW_RUNS, ["r.id = t.run", *more]
    rows = await _select(connection, table, wanted, more, of="flow", around="parent", name="r.name")
    return [flow_run_row_of(tuple(row), {}, None) for row in rows]


async def read_task_runs(connection: Connection, wanted: RunFilter) -> list[TaskRunRow]:
    """Task runs, newest first."""
    usual = "coalesce(r.name, r.task || '-' || right(r.id::text, 3))"
    rows = await _select(connection, TASK_RUNS, wanted, [], of="task", around="flow_run", name=usual)
    return [task_run_row_of(tuple(row), None) for row in rows]


async def read_states(connection: Connection, run_id: int) -> list[StateRow]:
    """All states of a run, first to last."""
    query = f"SELECT {STATE} FROM states s WHERE s.run = $1 ORDER BY s.sequence"  # noqa: S608  # fixed parts
    return [state_row_of(tuple(row)) for row in await connection.fetch(query, id_of(run_id))]


async def read_calls(connection: Connection, flow_run_id: int) -> list[Called]:
    """What the body of a flow run has called."""
    query = (
        "SELECT attempt, position, path, name, place, first, count, marks FROM calls WHERE flow_run = $1 "
        "ORDER BY attempt, position"
    )
    return [
        Called(flow_run_id, attempt, position, path, name, place, int.from_bytes(first, "big"), count, marks or b"")
        for attempt, position, path, name, place, first, count, marks in await connection.fetch(
            query, id_of(flow_run_id)
        )
    ]


async def read_results(connection: Connection, flow_run_id: int) -> Mapping[int, Value | None]:
    """The results of what a flow run has called."""
    query = (
        "SELECT r.id, d.tag, d.blob, d.missing FROM task_runs r LEFT JOIN results d ON d.run = r.id "
        "WHERE r.flow_run = $1 AND r.type = 'COMPLETED' AND NOT r.undone UNION ALL "
        "SELECT r.id, d.tag, d.blob, d.missing FROM flow_runs r LEFT JOIN results d ON d.run = r.id "
        "WHERE r.parent = $1 AND r.type = 'COMPLETED'"
    )
    rows = await connection.fetch(query, id_of(flow_run_id))
    return {int.from_bytes(run, "big"): value_of(*data) for run, *data in rows}


async def read_names(connection: Connection, flow_run_id: int) -> Mapping[int, tuple[str, str | None]]:
    """How the states of what has completed are called."""
    query = (
        "SELECT r.id, s.name, s.message FROM task_runs r JOIN states s ON (s.run, s.sequence) = (r.id, r.sequence) "
        "WHERE r.flow_run = $1 AND r.type = 'COMPLETED' AND NOT r.undone UNION ALL "
        "SELECT r.id, s.name, s.message FROM flow_runs r JOIN states s ON (s.run, s.sequence) = (r.id, r.sequence) "
        "WHERE r.parent = $1 AND r.type = 'COMPLETED'"
    )
    return names_in(await connection.fetch(query, id_of(flow_run_id)))


async def read_answers(connection: Connection, flow_run_id: int) -> list[Answered]:
    """What a flow run has been resumed with so far."""
    query = "SELECT key, tag, blob, missing FROM answers WHERE flow_run = $1 ORDER BY number"
    rows = await connection.fetch(query, id_of(flow_run_id))
    return [Answered(flow_run_id, key, Value(tag, blob, missing)) for key, tag, blob, missing in rows]


async def last_id(connection: Connection, flow_run_id: int) -> int:
    """The largest id that a run of a flow run has."""
    key, end = id_of(flow_run_id), flow_run_id + (1 << CHILD_BITS)
    query = "SELECT id FROM task_runs WHERE flow_run = $1 AND id BETWEEN $1 AND $2 ORDER BY id DESC LIMIT 1"
    task_run = await connection.fetchval(query, key, id_of(end - 1))
    calls = await connection.fetch("SELECT first, count FROM calls WHERE flow_run = $1", key)
    called = [int.from_bytes(first, "big") + count - 1 for first, count in calls]
    made = [] if task_run is None else [int.from_bytes(task_run, "big")]
    last: int = max([flow_run_id, *(each for each in (*called, *made) if flow_run_id <= each < end)])
    return last


async def _select(  # what both kinds of runs are asked for
    connection: Connection, query: str, wanted: RunFilter, more: Sequence[str], *, of: str, around: str, name: str
) -> Sequence[Any]:
    """The rows for which all holds that a filter asks for."""
    key = "t.run" if query is TAGGED_FLOW_RUNS else "r.id"
    conditions = [f"{key} BETWEEN $1 AND $2", *more]
    values: list[Any] = [id_of(wanted.first), id_of(wanted.last)]

    def ask(condition: str, value: Any) -> None:
        values.append(value)
        conditions.append(condition.format(f"${len(values)}"))

    choices: tuple[tuple[str, Collection[str] | None], ...] = (
        ("r.type", wanted.types), (name, wanted.names), (f"r.{of}", wanted.of),
    )  # fmt: skip
    for column, among in choices:
        if among is not None:
            ask(f"{column} = ANY({{}}::text[])", [str(each) for each in among])
    if wanted.flow_run is not None:
        ask(f"r.{around} = {{}}", id_of(wanted.flow_run))
    if query is TAGGED_FLOW_RUNS:
        ask("t.tag = {}", str(next(iter(wanted.tags))))
    for tag in wanted.tags:
        ask("EXISTS (SELECT 1 FROM json_array_elements_text(r.tags::json) AS tag WHERE tag = {})", str(tag))
    values.append(wanted.limit)
    text = f"{query} WHERE {' AND '.join(conditions)} ORDER BY {key} DESC LIMIT ${len(values)}"
    return await connection.fetch(text, *values)


async def _data_of(connection: Connection, key: bytes) -> Value | None:
    row = await connection.fetchrow("SELECT tag, blob, missing FROM results WHERE run = $1", key)
    return value_of(*(row or _NONE))
