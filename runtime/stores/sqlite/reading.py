"""Reading: from rows to what the port promises.

Decides the queries. Values are bound, never written into a statement; the parts that a statement is made of are fixed.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from millrace.runtime.stores.columns import (
    FLOW_RUNS,
    STATE,
    TAGGED_FLOW_RUNS,
    TASK_RUN,
    flow_run_row_of,
    id_of,
    names_in,
    state_row_of,
    task_run_row_of,
    value_of,
)
from millrace.runtime.stores.records import CHILD_BITS, LARGEST_ID, Answered, Called, Value
from millrace.runtime.stores.rows import FlowRunRow, RunFilter, StateRow, TaskRunRow
from millrace.runtime.stores.sqlite.connecting import Connection
from millrace.runtime.stores.sqlite.packing import call_in, states_in

_NONE: Final[tuple[Any, ...]] = (None, None, None)

_TASK_RUN_COLUMNS: Final = f"{TASK_RUN}, {STATE}, r.sequence, r.first_states, r.tag, r.blob, r.missing"
_STATE_COLUMNS: Final = 8
_LATER: Final = "LEFT JOIN states s ON (s.run, s.sequence) = (r.id, r.sequence)"  # nothing where it came with its run
_TASK_RUNS: Final = f"SELECT {_TASK_RUN_COLUMNS} FROM task_runs r {_LATER}"  # noqa: S608  # fixed parts


def inside(columns: str, joined: str = "", more: str = "") -> str:
    """Selects the task runs of a flow run: those that lie side by side, and those that have other numbers.

    Args:
        columns: Which columns.
        joined: What is joined to them.
        more: Further conditions, beginning with AND.
    """
    some = f"SELECT {columns} FROM task_runs r {joined} WHERE r.flow_run = ?1"  # noqa: S608  # fixed parts
    elsewhere = "substr(r.id, 1, 12) <> substr(r.flow_run, 1, 12) AND r.id BETWEEN ?4 AND ?5"
    return f"{some} AND r.id BETWEEN ?2 AND ?3 {more} UNION ALL {some} AND {elsewhere} {more}"


def bounds(flow_run_id: int, first: int = 0, last: int = LARGEST_ID) -> tuple[bytes, bytes, bytes, bytes, bytes]:
    """The first parameters of what `inside` selects, from one id to another."""
    child = (1 << CHILD_BITS) - 1
    lowest, highest = max(first, flow_run_id & ~child), min(last, flow_run_id | child)
    return id_of(flow_run_id), id_of(lowest), id_of(highest), id_of(first), id_of(last)


def numbered(*values: Any) -> dict[str, Any]:
    """Values for `?1`, `?2`, …: those are names to Python, which takes no sequence for names from 3.14 on."""
    return {str(number): value for number, value in enumerate(values, 1)}


_RESULTS: Final = (
    inside("r.id, r.tag, r.blob, r.missing", more="AND r.type = 'COMPLETED' AND NOT r.undone") + " UNION ALL "  # noqa: S608  # fixed parts
    "SELECT r.id, d.tag, d.blob, d.missing FROM flow_runs r LEFT JOIN results d ON d.run = r.id "
    "WHERE r.parent = ?1 AND r.type = 'COMPLETED'"
)


_CAME_WITH: Final = "json_extract('[' || r.first_states || ']', '$[' || r.sequence || '][{}]')"
_SAYS: Final = f"r.id, coalesce(s.name, {_CAME_WITH.format(3)}), coalesce(s.message, {_CAME_WITH.format(4)})"
_NAMES: Final = (
    inside(_SAYS, _LATER, "AND r.type = 'COMPLETED' AND NOT r.undone") + " UNION ALL "  # noqa: S608  # fixed parts
    f"SELECT r.id, s.name, s.message FROM flow_runs r {_LATER} WHERE r.parent = ?1 AND r.type = 'COMPLETED'"
)


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
    row = connection.execute(f"{_TASK_RUNS} WHERE r.id = ?", (key,)).fetchone()
    return None if row is None else _task_run_of(row, value_of(*row[-3:]))


def _task_run_of(row: tuple[Any, ...], data: Value | None) -> TaskRunRow:
    *run, sequence, packed, _, _, _ = row
    if run[-_STATE_COLUMNS] is None:
        state = states_in(int.from_bytes(run[0], "big"), packed)[sequence]
        run[-_STATE_COLUMNS:] = (
            run[0], sequence, state.type, state.name, state.message, state.at, state.cause, state.details,
        )  # fmt: skip
    return task_run_row_of(run, data)


def read_flow_runs(connection: Connection, wanted: RunFilter) -> list[FlowRunRow]:
    """Flow runs, newest first."""
    values: list[Any] = [id_of(wanted.first), id_of(wanted.last)]
    tag = next(iter(wanted.tags), None)
    table, key, tagged = FLOW_RUNS, "r.id", []
    if tag is not None:  # by its own index, from the newest one back
        table, key, tagged = TAGGED_FLOW_RUNS, "t.run", ["r.id = t.run", f"t.tag = {_bound(values, tag)}"]
    found = [*tagged, f"{key} BETWEEN ?1 AND ?2", *_conditions(wanted, values, of="flow", name="r.name")]
    conditions = " AND ".join(found)
    if wanted.flow_run is not None:
        conditions += f" AND r.parent = {_bound(values, id_of(wanted.flow_run))}"
    if wanted.outermost:
        conditions += " AND r.parent IS NULL"
    rows = _newest(connection, f"{table} WHERE {conditions}", values, wanted.limit, key)
    return [flow_run_row_of(row, {}, None) for row in rows]


def read_task_runs(connection: Connection, wanted: RunFilter) -> list[TaskRunRow]:
    """Task runs, newest first."""
    usual = "coalesce(r.name, r.task || '-' || substr(lower(hex(r.id)), -3))"
    values: list[Any]
    if wanted.flow_run is None:
        values = [id_of(wanted.first), id_of(wanted.last)]
        conditions = _conditions(wanted, values, of="task", name=usual)
        query = f"{_TASK_RUNS} WHERE {' AND '.join(['r.id BETWEEN ?1 AND ?2', *conditions])}"
    else:
        values = [*bounds(wanted.flow_run, wanted.first, wanted.last)]
        conditions = _conditions(wanted, values, of="task", name=usual)
        query = inside(_TASK_RUN_COLUMNS, _LATER, "".join(f"AND {each} " for each in conditions))
    return [_task_run_of(row, None) for row in _newest(connection, query, values, wanted.limit)]


def read_states(connection: Connection, run_id: int) -> list[StateRow]:
    """All states of a run, first to last."""
    key = id_of(run_id)
    packed = connection.execute("SELECT first_states FROM task_runs WHERE id = ?", (key,)).fetchone()
    query = f"SELECT {STATE} FROM states s WHERE s.run = ? ORDER BY s.sequence"  # noqa: S608  # fixed parts
    later = [state_row_of(row) for row in connection.execute(query, (key,))]
    return later if packed is None else states_in(run_id, packed[0]) + later


def read_calls(connection: Connection, flow_run_id: int) -> list[Called]:
    """What the body of a flow run has called."""
    query = "SELECT attempt, position, path, name, place, first, count, marks FROM calls WHERE flow_run = ?"
    calls = [
        Called(flow_run_id, attempt, position, path, name, place, int.from_bytes(first, "big"), count, marks or b"")
        for attempt, position, path, name, place, first, count, marks in connection.execute(
            query, (id_of(flow_run_id),)
        )
    ]
    single = inside("r.id, r.task, r.called", more="AND r.called IS NOT NULL")
    rows = connection.execute(single, numbered(*bounds(flow_run_id)))
    calls += [call_in(int.from_bytes(run, "big"), flow_run_id, task, called) for run, task, called in rows]
    return sorted(calls, key=lambda call: (call.attempt, call.order))


def read_results(connection: Connection, flow_run_id: int) -> Mapping[int, Value | None]:
    """The results of what a flow run has called."""
    rows = connection.execute(_RESULTS, numbered(*bounds(flow_run_id)))
    return {int.from_bytes(run, "big"): value_of(*data) for run, *data in rows}


def read_names(connection: Connection, flow_run_id: int) -> Mapping[int, tuple[str, str | None]]:
    """How the states of what has completed are called."""
    return names_in(connection.execute(_NAMES, numbered(*bounds(flow_run_id))))


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


def _conditions(wanted: RunFilter, values: list[Any], *, of: str, name: str) -> list[str]:
    """What a filter asks for of either kind of runs, beside ids; the values that are bound go to the list."""
    conditions: list[str] = []
    choices: tuple[tuple[str, Collection[str] | None], ...] = (
        ("r.type", wanted.types), (name, wanted.names), (f"r.{of}", wanted.of),
    )  # fmt: skip
    for column, among in choices:
        if among is not None:
            conditions.append(f"{column} IN ({', '.join(_bound(values, str(each)) for each in among)})")
    tagged = "EXISTS (SELECT 1 FROM json_each(r.tags) WHERE value = {})"
    conditions += [tagged.format(_bound(values, tag)) for tag in wanted.tags]
    return conditions


def _bound(values: list[Any], value: Any) -> str:
    """A parameter with a value."""
    values.append(value)
    return f"?{len(values)}"


def _newest(connection: Connection, query: str, values: list[Any], limit: int, key: str = "1") -> Any:
    newest = f"{query} ORDER BY {key} DESC LIMIT {_bound(values, limit)}"
    return connection.execute(newest, numbered(*values)).fetchall()


def _data_of(connection: Connection, key: bytes) -> Value | None:
    row = connection.execute("SELECT tag, blob, missing FROM results WHERE run = ?", (key,)).fetchone()
    return value_of(*(row or _NONE))
