"""Reading: from rows to what the port promises.

Decides the queries. Values are bound, never written into a statement; the parts that a statement is made of are fixed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from millrace.runtime.stores.columns import (
    FLOW_RUNS,
    STATE,
    TASK_RUNS,
    flow_run_row_of,
    id_of,
    state_row_of,
    task_run_row_of,
    value_of,
)
from millrace.runtime.stores.records import CHILD_BITS, Answered, Called, Value
from millrace.runtime.stores.rows import FlowRunRow, RunFilter, StateRow, TaskRunRow
from millrace.runtime.stores.sqlite.connecting import Connection

_NONE: Final[tuple[Any, ...]] = (None, None, None)


def read_flow_run(connection: Connection, run_id: int) -> FlowRunRow | None:
    """A flow run with its parameters and the data of its state."""
    key = id_of(run_id)
    row = connection.execute(f"{FLOW_RUNS} WHERE r.id = ?", (key,)).fetchone()
    if row is None:
        return None
    columns = "name, tag, blob, missing"
    found = connection.execute(f"SELECT {columns} FROM parameters WHERE flow_run = ? ORDER BY rowid", (key,)).fetchall()  # noqa: S608  # fixed
    parameters = {name: Value(tag, blob, missing) for name, tag, blob, missing in found}
    return flow_run_row_of(row, parameters, _data_of(connection, key))


def read_task_run(connection: Connection, run_id: int) -> TaskRunRow | None:
    """A task run with the data of its state."""
    key = id_of(run_id)
    row = connection.execute(f"{TASK_RUNS} WHERE r.id = ?", (key,)).fetchone()
    return None if row is None else task_run_row_of(row, _data_of(connection, key))


def read_flow_runs(connection: Connection, wanted: RunFilter) -> list[FlowRunRow]:
    """Flow runs, newest first."""
    conditions, values = _conditions(wanted, of="flow", around="parent", name="r.name")
    if wanted.outermost:
        conditions.append("r.parent IS NULL")
    return [flow_run_row_of(row, {}, None) for row in _select(connection, FLOW_RUNS, conditions, values, wanted.limit)]


def read_task_runs(connection: Connection, wanted: RunFilter) -> list[TaskRunRow]:
    """Task runs, newest first."""
    usual = "coalesce(r.name, r.task || '-' || substr(lower(hex(r.id)), -3))"
    conditions, values = _conditions(wanted, of="task", around="flow_run", name=usual)
    return [task_run_row_of(row, None) for row in _select(connection, TASK_RUNS, conditions, values, wanted.limit)]


def read_states(connection: Connection, run_id: int) -> list[StateRow]:
    """All states of a run, first to last."""
    query = f"SELECT {STATE} FROM states s WHERE s.run = ? ORDER BY s.sequence"  # noqa: S608  # fixed parts
    return [state_row_of(row) for row in connection.execute(query, (id_of(run_id),))]


def read_calls(connection: Connection, flow_run_id: int) -> list[Called]:
    """What the body of a flow run has called."""
    query = (
        "SELECT attempt, position, path, name, place, first, count, marks FROM calls WHERE flow_run = ? "
        "ORDER BY attempt, position"
    )
    return [
        Called(flow_run_id, attempt, position, path, name, place, int.from_bytes(first, "big"), count, marks or b"")
        for attempt, position, path, name, place, first, count, marks in connection.execute(
            query, (id_of(flow_run_id),)
        )
    ]


def read_results(connection: Connection, flow_run_id: int) -> Mapping[int, Value | None]:
    """The results of what a flow run has called."""
    query = (
        "SELECT r.id, d.tag, d.blob, d.missing FROM task_runs r LEFT JOIN results d ON d.run = r.id "
        "WHERE r.flow_run = ? AND r.type = 'COMPLETED' AND NOT r.undone UNION ALL "
        "SELECT r.id, d.tag, d.blob, d.missing FROM flow_runs r LEFT JOIN results d ON d.run = r.id "
        "WHERE r.parent = ? AND r.type = 'COMPLETED'"
    )
    rows = connection.execute(query, (id_of(flow_run_id), id_of(flow_run_id)))
    return {int.from_bytes(run, "big"): value_of(*data) for run, *data in rows}


def read_answers(connection: Connection, flow_run_id: int) -> list[Answered]:
    """What a flow run has been resumed with so far."""
    query = "SELECT key, tag, blob, missing FROM answers WHERE flow_run = ? ORDER BY rowid"
    rows = connection.execute(query, (id_of(flow_run_id),))
    return [Answered(flow_run_id, key, Value(tag, blob, missing)) for key, tag, blob, missing in rows]


def last_id(connection: Connection, flow_run_id: int) -> int:
    """The largest id that a run of a flow run has."""
    key, end = id_of(flow_run_id), flow_run_id + (1 << CHILD_BITS)
    query = "SELECT max(id) FROM task_runs WHERE flow_run = ? AND id BETWEEN ? AND ?"
    (task_run,) = connection.execute(query, (key, key, id_of(end - 1))).fetchone()
    calls = connection.execute("SELECT first, count FROM calls WHERE flow_run = ?", (key,))
    called = [int.from_bytes(first, "big") + count - 1 for first, count in calls]
    made = [] if task_run is None else [int.from_bytes(task_run, "big")]
    last: int = max([flow_run_id, *(each for each in (*called, *made) if flow_run_id <= each < end)])
    return last


def _conditions(wanted: RunFilter, *, of: str, around: str, name: str) -> tuple[list[str], list[Any]]:
    """What a filter asks for, as conditions and the values bound in them."""
    conditions = ["r.id BETWEEN ? AND ?"]
    values: list[Any] = [id_of(wanted.first), id_of(wanted.last)]
    choices: tuple[tuple[str, Collection[str] | None], ...] = (
        ("r.type", wanted.types), (name, wanted.names), (f"r.{of}", wanted.of),
    )  # fmt: skip
    for column, among in choices:
        if among is not None:
            conditions.append(f"{column} IN ({', '.join('?' * len(among))})")
            values.extend(map(str, among))
    if wanted.flow_run is not None:
        conditions.append(f"r.{around} = ?")
        values.append(id_of(wanted.flow_run))
    for tag in wanted.tags:
        conditions.append("EXISTS (SELECT 1 FROM json_each(r.tags) WHERE value = ?)")
        values.append(tag)
    return conditions, values


def _select(connection: Connection, query: str, conditions: list[str], values: list[Any], limit: int) -> Any:
    text = f"{query} WHERE {' AND '.join(conditions)} ORDER BY r.id DESC LIMIT ?"
    return connection.execute(text, (*values, limit)).fetchall()


def _data_of(connection: Connection, key: bytes) -> Value | None:
    row = connection.execute("SELECT tag, blob, missing FROM results WHERE run = ?", (key,)).fetchone()
    return value_of(*(row or _NONE))
