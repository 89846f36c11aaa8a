"""Packing: what the records of a group come to in a file, where each table costs a page of each commit.

Decides what stands in the row of a task run beside what other stores have there: the call that made it, the states that
it came with, and what its present state holds. So one that begins and ends within a group is a single row, which is
written once. States that it enters in later groups are rows of their own, so that no row grows with them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, ClassVar, Final

from millrace.actors.states import DEFAULT_NAMES, StateType
from millrace.runtime.stores import group_rows
from millrace.runtime.stores.columns import id_or_none
from millrace.runtime.stores.group_rows import GroupRows, json_list, json_object
from millrace.runtime.stores.records import Called, Entered, Record, TaskRunMade
from millrace.runtime.stores.rows import StateRow
from millrace.runtime.stores.sqlite.statements import DuplicateRow

TASK_RUN: Final = (*group_rows.COLUMNS["task_runs"], "called", "first_states", "tag", "missing", "blob")
"""The columns that a new task run is given, in the order of its values."""

CHANGED: Final = (*group_rows.CHANGED, "tag", "missing", "blob")
"""What a changed task run is given."""

_VARYING: Final = ["name", "started", "ended", "attempts", "sequence", "type", "first_states", "tag", "missing", "blob"]
_NAME, _STARTED, _ENDED, _ATTEMPTS, _SEQUENCE, _TYPE, _STATES, _TAG, _MISSING, _BLOB = map(TASK_RUN.index, _VARYING)
_RUNNING: Final = StateType.RUNNING
_PENDING: Final = str(StateType.PENDING)
_TEXTS: Final = {kind: str(kind) for kind in StateType}
_quoted: Final = lru_cache(256)(json.dumps)  # causes and paths of strands, of which there are few


class PackedRows(GroupRows):
    """The rows that the records of a group come to. See `GroupRows`, and the module's docstring."""

    __slots__ = ("_called_singly", "_changed", "_made")

    def __init__(self, token: int, records: Sequence[Record]) -> None:
        self._made: dict[int, list[Any]] = {}  # by id: new task runs, as rows
        self._changed: dict[int, list[Any]] = {}  # by id: those from before the group, as `CHANGED` has it
        self._called_singly: dict[int, Called] = {}  # by id of the run: calls of a run that is not made yet
        super().__init__(token, records)

    def made(self) -> dict[str, list[tuple[Any, ...]]]:
        """New rows, by table."""
        for call in self._called_singly.values():
            super()._called(call)
        self._called_singly = {}
        return {**super().made(), "task_runs": list(map(tuple, self._made.values()))}

    def changed(self) -> dict[str, list[tuple[Any, ...]]]:
        """What is changed of runs that were there before the group, by table."""
        return {**super().changed(), "task_runs": list(map(tuple, self._changed.values()))}

    def _called(self, record: Called) -> None:
        if record.count == 1:
            self._called_singly[record.first] = record
        else:
            super()._called(record)

    def _task_run_made(self, record: TaskRunMade) -> None:
        run, at, task, flow_run = record.id, record.at, record.task, record.flow_run
        if run in self._made:
            raise DuplicateRow(f"task run {run:032x} is made twice")
        called = None
        if self._called_singly:
            call = self._called_singly.get(run)
            if call is not None and call.name == task and call.flow_run == flow_run:
                del self._called_singly[run]
                called = f'[{call.attempt},{call.order},{_quoted(call.path)},{call.place},"{call.marks.hex()}"]'
        self._made[run] = [
            run.to_bytes(16, "big"), id_or_none(flow_run), task, None, record.key, id_or_none(record.parent),
            json_list(record.tags), json_object(record.inputs), at, None, None, 0, 0, _PENDING, called,
            f'["PENDING",{at},"created"]', None, None, None,
        ]  # fmt: skip

    def _entered(self, record: Entered) -> None:
        if record.is_flow:
            super()._entered(record)
            return
        run, kind, at, value = record.run, record.type, record.at, record.data
        text = _TEXTS[kind]
        row = self._made.get(run)
        if row is None:
            self._entered_later(record, text)
            return
        if record.sequence != row[_SEQUENCE] + 1:
            raise DuplicateRow(f"state {record.sequence} of task run {run:032x} does not follow {row[_SEQUENCE]}")
        row[_STATES] += _packed(record, text)
        if record.run_name is not None:
            row[_NAME] = record.run_name
        if kind is _RUNNING and row[_STARTED] is None:
            row[_STARTED] = at
        row[_ENDED] = at if record.ended else None
        row[_ATTEMPTS] = max(row[_ATTEMPTS], record.attempts)
        row[_SEQUENCE] = record.sequence
        row[_TYPE] = text
        if value is not None:
            row[_TAG], row[_MISSING], row[_BLOB] = value.tag, value.missing, value.blob
        elif row[_TAG] is not None:
            row[_TAG] = row[_MISSING] = row[_BLOB] = None

    def _entered_later(self, record: Entered, kind: str) -> None:
        """A state of a run from before the group."""
        run, at, value = record.run, record.at, record.data
        key = run.to_bytes(16, "big")
        self._states.append((
            key, record.sequence, kind, record.name, record.message, at, record.cause, record.details,
        ))  # fmt: skip
        known = self._changed.get(run)
        _, name, started, _, attempts, *_ = known or (key, None, None, None, 0)
        self._changed[run] = [
            key, record.run_name or name, at if started is None and record.type is _RUNNING else started,
            at if record.ended else None, max(attempts, record.attempts), record.sequence, kind,
            *((None, None, None) if value is None else (value.tag, value.missing, value.blob)),
        ]  # fmt: skip

    takes: ClassVar[Mapping[type[Any], Callable[..., None]]] = {
        **GroupRows.takes,
        TaskRunMade: _task_run_made,
        Entered: _entered,
        Called: _called,
    }


def _packed(record: Entered, kind: str) -> str:
    """A state as it stands behind others."""
    if record.name is None and record.message is None and record.details is None:
        return f',["{kind}",{record.at},{_quoted(record.cause)}]'
    return "," + json.dumps([kind, record.at, record.cause, record.name, record.message, record.details])


def states_in(run: int, packed: str) -> list[StateRow]:
    """The states of a task run that stand in its row, from the first one on."""
    rows = []
    for sequence, (text, at, cause, *more) in enumerate(json.loads(f"[{packed}]")):
        kind = StateType(text)
        name, message, details = more or (None, None, None)
        rows.append(StateRow(run, sequence, kind, name or DEFAULT_NAMES[kind], message, at, cause, details))
    return rows


def call_in(run: int, flow_run: int, task: str, called: str) -> Called:
    """The call that made a task run, of which its row tells."""
    attempt, position, path, place, marks = json.loads(called)
    return Called(flow_run, attempt, position, path, task, place, run, 1, bytes.fromhex(marks))
