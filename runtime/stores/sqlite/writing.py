"""Writing: from the records of a group to rows.

Decides which rows a group comes to. What a group says of one run is written once, as what the run is in the end; its
states are all written. So a task run that begins and ends within one group costs a row of its own, one for each state,
and one for its result if it has one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Final

from millrace.actors.states import StateType
from millrace.runtime.stores.records import (
    Answered,
    Called,
    Entered,
    FlowRunMade,
    Record,
    Renamed,
    TaskRunMade,
    Undone,
    Value,
)
from millrace.runtime.stores.sqlite.connecting import Connection
from millrace.runtime.stores.sqlite.statements import Insert, Update
from millrace.runtime.stores.verdicts import suspends

_STATES: Final = Insert("states", ("run", "sequence", "type", "name", "message", "at", "cause", "details"))
_FLOW_RUNS: Final = Insert(
    "flow_runs",
    (
        "id", "name", "flow", "version", "parent", "parent_task_run", "file", "module", "function", "tags", "owner",
        "created", "started", "ended", "attempts", "sequence", "type", "suspended",
    ),
)  # fmt: skip
_TASK_RUNS: Final = Insert(
    "task_runs",
    (
        "id", "flow_run", "task", "name", "key", "parent", "tags", "inputs", "created", "started", "ended", "attempts",
        "sequence", "type",
    ),
)  # fmt: skip
_PARAMETERS: Final = Insert("parameters", ("flow_run", "name", "tag", "blob", "missing"))
_RESULTS: Final = Insert("results", ("run", "tag", "blob", "missing"), replace=True)
_CALLS: Final = Insert("calls", ("flow_run", "attempt", "position", "path", "name", "place", "first", "count"))
_ANSWERS: Final = Insert("answers", ("flow_run", "key", "tag", "blob", "missing"), replace=True)

_CHANGES: Final = (
    "name = coalesce(new.column2, name)",
    "started = coalesce(started, new.column3)",
    "ended = new.column4",
    "attempts = max(attempts, new.column5)",
    "sequence = new.column6",
    "type = new.column7",
)
_TASK_RUNS_AGAIN: Final = Update("task_runs", _CHANGES)
_FLOW_RUNS_AGAIN: Final = Update("flow_runs", (*_CHANGES, "suspended = new.column8"))

_RUNNING: Final = StateType.RUNNING
_PENDING: Final = str(StateType.PENDING)
_TEXTS: Final = {kind: str(kind) for kind in StateType}  # plain text: what derives from it is looked at more closely
_FIRST_END: Final = 2
"""The sequence of the earliest state that may hold something: before it come PENDING and RUNNING."""


def id_of(run: int) -> bytes:
    """An id as it stands in a column."""
    return run.to_bytes(16, "big")


def id_or_none(run: int | None) -> bytes | None:
    """The same, for a column that may be empty."""
    return None if run is None else run.to_bytes(16, "big")


class Rows:
    """The rows that the records of a group come to.

    Args:
        token: The owner's.
        records: The records.
    """

    __slots__ = (
        "_answers", "_calls", "_emptied", "_flow_runs", "_known", "_parameters", "_renamed", "_results", "_states",
        "_task_runs", "_token", "_undone",
    )  # fmt: skip

    def __init__(self, token: int, records: Sequence[Record]) -> None:
        self._token = token
        self._states: list[tuple[Any, ...]] = []
        # By id of the run: what is known when the group begins (None: it is made in it), and what it is in the end.
        self._known: dict[int, FlowRunMade | TaskRunMade] = {}
        self._flow_runs: dict[int, list[Any]] = {}  # by id: name, started, ended, attempts, sequence, type, suspended
        self._task_runs: dict[int, list[Any]] = {}  # the same, without the last
        self._parameters: list[tuple[Any, ...]] = []
        self._results: dict[int, tuple[Any, ...]] = {}
        self._emptied: set[int] = set()  # ids of runs whose present state holds nothing, and a former one may have
        self._calls: list[tuple[Any, ...]] = []
        self._answers: list[tuple[Any, ...]] = []
        self._renamed: list[tuple[str, bytes]] = []
        self._undone: list[bytes] = []
        for record in records:
            self._take[record.__class__](self, record)

    def write(self, connection: Connection) -> None:
        """Write them all, in the transaction at hand."""
        known = self._known
        flow_runs = self._flow_runs
        _FLOW_RUNS.run(connection, [self._flow_run(known[run], end) for run, end in flow_runs.items() if run in known])
        task_runs = self._task_runs
        _TASK_RUNS.run(connection, [_task_run(known[run], end) for run, end in task_runs.items() if run in known])
        _FLOW_RUNS_AGAIN.run(connection, [(id_of(run), *end) for run, end in flow_runs.items() if run not in known])
        _TASK_RUNS_AGAIN.run(connection, [(id_of(run), *end) for run, end in task_runs.items() if run not in known])
        _PARAMETERS.run(connection, self._parameters)
        _STATES.run(connection, self._states)
        for run in self._emptied:
            connection.execute("DELETE FROM results WHERE run = ?", (id_of(run),))
        _RESULTS.run(connection, list(self._results.values()))
        _CALLS.run(connection, self._calls)
        _ANSWERS.run(connection, self._answers)
        for renamed in self._renamed:
            connection.execute("UPDATE flow_runs SET name = ? WHERE id = ?", renamed)
        for each in self._undone:
            connection.execute("UPDATE task_runs SET undone = 1 WHERE id = ?", (each,))

    def _flow_run_made(self, record: FlowRunMade) -> None:
        self._known[record.id] = record
        self._flow_runs[record.id] = [None, None, None, 0, 0, _PENDING, False]
        self._states.append((id_of(record.id), 0, "PENDING", None, None, record.at, "created", None))
        for name, value in record.parameters.items():
            self._parameters.append((id_of(record.id), name, value.tag, value.blob, value.missing))

    def _task_run_made(self, record: TaskRunMade) -> None:
        run = record.id
        self._known[run] = record
        self._task_runs[run] = [None, None, None, 0, 0, _PENDING]
        self._states.append((run.to_bytes(16, "big"), 0, "PENDING", None, None, record.at, "created", None))

    def _entered(self, record: Entered) -> None:
        run, kind, at = record.run, record.type, record.at
        self._states.append((
            run.to_bytes(16, "big"), record.sequence, _TEXTS[kind], record.name, record.message, at, record.cause,
            record.details,
        ))  # fmt: skip
        runs = self._flow_runs if record.is_flow else self._task_runs
        end = runs.get(run)
        if end is None:
            end = runs[run] = [None, None, None, 0, 0, _PENDING, *((False,) if record.is_flow else ())]
        if record.run_name is not None:
            end[0] = record.run_name
        if kind is _RUNNING and end[1] is None:
            end[1] = at
        end[2] = at if record.ended else None
        end[3] = max(end[3], record.attempts)
        end[4] = record.sequence
        end[5] = _TEXTS[kind]
        if record.is_flow:
            end[6] = suspends(kind, record.details)
        value = record.data
        if value is not None:
            self._results[run] = (run.to_bytes(16, "big"), value.tag, value.blob, value.missing)
            self._emptied.discard(run)
        else:
            if self._results:
                self._results.pop(run, None)
            if record.sequence > _FIRST_END and run not in self._known:
                self._emptied.add(run)

    def _called(self, record: Called) -> None:
        self._calls.append((
            id_of(record.flow_run), record.attempt, record.order, record.path, record.name, record.place,
            id_of(record.first), record.count,
        ))  # fmt: skip

    def _answered(self, record: Answered) -> None:
        value = record.value
        self._answers.append((id_of(record.flow_run), record.key, value.tag, value.blob, value.missing))

    def _rename(self, record: Renamed) -> None:
        end = self._flow_runs.get(record.flow_run)
        if end is not None:
            end[0] = record.name
        else:
            self._renamed.append((record.name, id_of(record.flow_run)))

    def _undo(self, record: Undone) -> None:
        self._undone.append(id_of(record.run))

    _take: ClassVar[Mapping[type[Any], Callable[..., None]]] = {
        FlowRunMade: _flow_run_made,
        TaskRunMade: _task_run_made,
        Entered: _entered,
        Called: _called,
        Answered: _answered,
        Renamed: _rename,
        Undone: _undo,
    }

    def _flow_run(self, made: Any, end: Sequence[Any]) -> tuple[Any, ...]:
        name, started, ended, attempts, sequence, kind, suspended = end
        entry = made.entry
        return (
            id_of(made.id), name or made.name, made.flow, made.version, id_or_none(made.parent),
            id_or_none(made.parent_task_run), entry.file, entry.module, entry.name, _json_list(made.tags), self._token,
            made.at, started, ended, attempts, sequence, kind, suspended,
        )  # fmt: skip


def _task_run(made: Any, end: Sequence[Any]) -> tuple[Any, ...]:
    name, started, ended, attempts, sequence, kind = end
    return (
        id_of(made.id), id_or_none(made.flow_run), made.task, name, made.key, id_or_none(made.parent),
        _json_list(made.tags), _json_object(made.inputs), made.at, started, ended, attempts, sequence, kind,
    )  # fmt: skip


def _json_list(items: Collection[str]) -> str | None:
    return json.dumps(sorted(items), ensure_ascii=False) if items else None


def _json_object(items: Mapping[str, list[str]] | None) -> str | None:
    return json.dumps(items, ensure_ascii=False) if items else None


def value_of(tag: str | None, blob: bytes | None, missing: str | None) -> Value | None:
    """The value in the columns of a row; None where there is no row."""
    return None if tag is None or missing is None else Value(tag, blob, missing)
