"""Group rows: what the records of a group come to, for stores that have tables.

Decides which rows of which tables that is. What a group says of one run is written once, as what the run is in the
end; its states are all written. So a task run that begins and ends within one group costs a row of its own, one for
each state, and one for its result if it has one. How rows are written is each store's affair.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar, Final

from millrace.actors.states import StateType
from millrace.runtime.stores.columns import id_of, id_or_none
from millrace.runtime.stores.records import (
    Answered,
    Called,
    Entered,
    FlowRunMade,
    Record,
    Renamed,
    TaskRunMade,
    Undone,
)
from millrace.runtime.stores.verdicts import suspends

_RUNNING: Final = StateType.RUNNING
_PENDING: Final = str(StateType.PENDING)
_TEXTS: Final = {kind: str(kind) for kind in StateType}  # plain text: what derives from it is looked at more closely
_FIRST_END: Final = 2
"""The sequence of the earliest state that may hold something: before it come PENDING and RUNNING."""


COLUMNS: Final[Mapping[str, Sequence[str]]] = {
    "flow_runs": (
        "id", "name", "flow", "version", "parent", "parent_task_run", "file", "module", "function", "tags", "owner",
        "created", "started", "ended", "attempts", "sequence", "type", "suspended",
    ),
    "task_runs": (
        "id", "flow_run", "task", "name", "key", "parent", "tags", "inputs", "created", "started", "ended", "attempts",
        "sequence", "type",
    ),
    "parameters": ("flow_run", "name", "tag", "blob", "missing"),
    "states": ("run", "sequence", "type", "name", "message", "at", "cause", "details"),
    "results": ("run", "tag", "blob", "missing"),
    "calls": ("flow_run", "attempt", "position", "path", "name", "place", "first", "count", "marks"),
    "answers": ("flow_run", "key", "tag", "blob", "missing"),
}  # fmt: skip
"""By table: the columns that a new row is given, in the order of its values."""

CHANGED: Final = ("id", "name", "started", "ended", "attempts", "sequence", "type")
"""What a changed run is given; a flow run also whether it is suspended."""


class GroupRows:
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
        self._answers: dict[tuple[int, str], tuple[Any, ...]] = {}
        self._renamed: dict[int, str] = {}
        self._undone: list[bytes] = []
        for record in records:
            self.takes[record.__class__](self, record)

    def made(self) -> dict[str, list[tuple[Any, ...]]]:
        """New rows, by table; those of results and answers take the place of what has the same key."""
        known = self._known
        return {
            "flow_runs": [self._flow_run(known[run], end) for run, end in self._flow_runs.items() if run in known],
            "task_runs": [_task_run(known[run], end) for run, end in self._task_runs.items() if run in known],
            "parameters": self._parameters,
            "states": self._states,
            "results": list(self._results.values()),
            "calls": self._calls,
            "answers": list(self._answers.values()),
        }

    def changed(self) -> dict[str, list[tuple[Any, ...]]]:
        """What is changed of runs that were there before the group, by table; see `CHANGED`."""
        known = self._known
        return {
            "flow_runs": [(id_of(run), *end) for run, end in self._flow_runs.items() if run not in known],
            "task_runs": [(id_of(run), *end) for run, end in self._task_runs.items() if run not in known],
        }

    def emptied(self) -> list[tuple[bytes]]:
        """Runs from before the group whose present state holds nothing, and a former one may have."""
        return [(id_of(run),) for run in self._emptied]

    def renamed(self) -> list[tuple[bytes, str]]:
        """Flow runs from before the group of which only the name is changed."""
        return [(id_of(run), name) for run, name in self._renamed.items()]

    def undone(self) -> list[tuple[bytes]]:
        """Task runs that were rolled back; they may have been made in the group."""
        return [(run,) for run in self._undone]

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
            name = self._renamed.pop(run, None) if record.is_flow else None
            end = runs[run] = [name, None, None, 0, 0, _PENDING, *((False,) if record.is_flow else ())]
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
            id_of(record.first), record.count, record.marks or None,
        ))  # fmt: skip

    def _answered(self, record: Answered) -> None:
        value = record.value
        row = (id_of(record.flow_run), record.key, value.tag, value.blob, value.missing)
        self._answers[record.flow_run, record.key] = row

    def _rename(self, record: Renamed) -> None:
        end = self._flow_runs.get(record.flow_run)
        if end is not None:
            end[0] = record.name
        else:
            self._renamed[record.flow_run] = record.name

    def _undo(self, record: Undone) -> None:
        self._undone.append(id_of(record.run))

    takes: ClassVar[Mapping[type[Any], Callable[..., None]]] = {
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
            id_or_none(made.parent_task_run), entry.file, entry.module, entry.name, json_list(made.tags), self._token,
            made.at, started, ended, attempts, sequence, kind, suspended,
        )  # fmt: skip


def _task_run(made: Any, end: Sequence[Any]) -> tuple[Any, ...]:
    name, started, ended, attempts, sequence, kind = end
    return (
        id_of(made.id), id_or_none(made.flow_run), made.task, name, made.key, id_or_none(made.parent),
        json_list(made.tags), json_object(made.inputs), made.at, started, ended, attempts, sequence, kind,
    )  # fmt: skip


def json_list(items: Collection[str]) -> str | None:
    """A set, as it stands in a column."""
    return json.dumps(sorted(items), ensure_ascii=False) if items else None


def json_object(items: Mapping[str, list[str]] | None) -> str | None:
    """A mapping, as it stands in a column."""
    return json.dumps(items, ensure_ascii=False) if items else None
