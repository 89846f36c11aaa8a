"""Columns: between columns of tables and what records and rows hold, for stores that have tables.

Decides what stands in a column: an id is sixteen bytes, most significant first; a set and a mapping are JSON, and NULL
where they are empty. Also in which order the columns of a run are selected.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from millrace.actors.states import DEFAULT_NAMES, StateType
from millrace.runtime.stores.records import Entry, Value
from millrace.runtime.stores.rows import FlowRunRow, StateRow, TaskRunRow

STATE: Final = "s.run, s.sequence, s.type, s.name, s.message, s.at, s.cause, s.details"
"""The columns of a state."""

_FLOW_RUN: Final = (
    "r.id, r.name, r.flow, r.version, r.parent, r.parent_task_run, r.file, r.module, r.function, r.tags, r.created, "
    "r.started, r.ended, r.attempts, r.owner, r.deaths, r.suspended"
)
_PRESENT: Final = "JOIN states s ON (s.run, s.sequence) = (r.id, r.sequence)"
FLOW_RUNS: Final = f"SELECT {_FLOW_RUN}, {STATE} FROM flow_runs r {_PRESENT}"  # noqa: S608  # fixed parts
"""Selects flow runs, each with its present state."""

TAGGED_FLOW_RUNS: Final = f"SELECT {_FLOW_RUN}, {STATE} FROM flow_run_tags t CROSS JOIN flow_runs r {_PRESENT}"  # noqa: S608  # fixed parts
"""The same for those that have a tag, which are found by that; it needs a condition that joins both tables."""

TASK_RUN: Final = (
    "r.id, r.name, r.flow_run, r.task, r.key, r.parent, r.tags, r.inputs, r.created, r.started, r.ended, r.attempts, "
    "r.undone"
)
"""The columns of a task run."""
TASK_RUNS: Final = (
    f"SELECT {TASK_RUN}, {STATE} FROM task_runs r JOIN states s ON (s.run, s.sequence) = (r.id, r.sequence)"  # noqa: S608  # fixed parts
)
"""Selects task runs, each with its present state."""


def id_of(run: int) -> bytes:
    """An id as it stands in a column."""
    return run.to_bytes(16, "big")


def id_or_none(run: int | None) -> bytes | None:
    """The same, for a column that may be empty."""
    return None if run is None else run.to_bytes(16, "big")


def value_of(tag: str | None, blob: bytes | None, missing: str | None) -> Value | None:
    """The value in the columns of a row; None where there is no row."""
    return None if tag is None or missing is None else Value(tag, blob, missing)


def names_in(rows: Iterable[Any]) -> dict[int, tuple[str, str | None]]:
    """By id: name and message in rows of completed runs, where a state has either of its own."""
    usual = DEFAULT_NAMES[StateType.COMPLETED]
    return {
        int.from_bytes(run, "big"): (name or usual, message)
        for run, name, message in rows
        if name is not None or message is not None
    }


def _number(column: bytes | None) -> int | None:
    return None if column is None else int.from_bytes(column, "big")


def _tags(column: str | None) -> frozenset[str]:
    return frozenset(json.loads(column)) if column else frozenset()


def state_row_of(row: Any) -> StateRow:
    """The state in a row of `STATE`."""
    run, sequence, kind, name, message, at, cause, details = row
    kind = StateType(kind)
    return StateRow(
        int.from_bytes(run, "big"), sequence, kind, name or DEFAULT_NAMES[kind], message, at, cause, details
    )


def flow_run_row_of(row: Any, parameters: Mapping[str, Value], data: Value | None) -> FlowRunRow:
    """The flow run in a row of `FLOW_RUNS`, with what is in other tables."""
    run, name, flow, version, parent, parent_task_run, file, module, function, tags, *times = row[:17]
    created, started, ended, attempts, owner, deaths, suspended = times
    return FlowRunRow(
        int.from_bytes(run, "big"), name, flow, version, _number(parent), _number(parent_task_run),
        Entry(file, module, function), _tags(tags), state_row_of(row[17:]), created, started, ended, attempts, owner,
        deaths, bool(suspended), parameters, data,
    )  # fmt: skip


def task_run_row_of(row: Any, data: Value | None) -> TaskRunRow:
    """The task run in a row of `TASK_RUNS`, with what is in another table."""
    run, name, flow_run, task, key, parent, tags, inputs, created, started, ended, attempts, undone = row[:13]
    number = int.from_bytes(run, "big")
    return TaskRunRow(
        number, name or f"{task}-{number & 0xFFF:03x}", _number(flow_run), task, key, _number(parent), _tags(tags),
        json.loads(inputs) if inputs else {}, state_row_of(row[13:]), created, started, ended, attempts, bool(undone),
        data,
    )  # fmt: skip
