"""Reading: runs that are put off, as they stand in the tables."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from millrace.actors.states import StateType
from millrace.runtime.deferred.port import Job, JobRow
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.rows import StateRow
from millrace.runtime.stores.sqlite.connecting import Connection


def columns(value: Value) -> tuple[str, bytes | None, str]:
    """What is put into the columns of a value."""
    return value.tag, value.blob, value.missing


def _ids(text: str | None) -> tuple[int, ...]:
    return tuple(int(each, 16) for each in json.loads(text)) if text else ()


def job_of(  # noqa: PLR0917  # a row
    job: int,
    task: str,
    key: str,
    created: int,
    tags: str | None,
    flow_run: bytes | None,
    awaited: str | None,
    lost: int,
    *call: Any,
) -> Job:
    """A run as its worker gets it."""
    around = None if flow_run is None else int.from_bytes(flow_run, "big")
    marks = frozenset(json.loads(tags)) if tags else frozenset[str]()
    return Job(job, task, key, created, Value(*call), marks, around, _ids(awaited), lost)


def row(connection: Connection, key: bytes) -> JobRow | None:
    """A run as it is now; None where there is none."""
    found = connection.execute(
        "SELECT j.task, j.key, j.tags, j.flow_run, j.created, j.ended, j.lost, s.sequence, s.type, s.name, s.message, "
        "s.at, s.cause, s.details, r.tag, r.blob, r.missing, r.stored "
        "FROM jobs j JOIN states s ON (s.job, s.sequence) = (j.id, j.sequence) LEFT JOIN results r ON r.job = j.id "
        "WHERE j.id = ?",
        (key,),
    ).fetchone()
    if found is None:
        return None
    job = int.from_bytes(key, "big")
    task, task_key, tags, flow_run, created, ended, lost, *rest = found
    *state, tag, blob, missing, stored = rest
    around = None if flow_run is None else int.from_bytes(flow_run, "big")
    marks = frozenset(json.loads(tags)) if tags else frozenset[str]()
    data = None if tag is None else Value(tag, blob, missing)
    return JobRow(job, task, task_key, marks, around, created, _state(job, *state), ended, lost, data, stored)


def _state(job: int, sequence: int, kind: str, *rest: Any) -> StateRow:
    return StateRow(job, sequence, StateType(kind), *rest)


def states(connection: Connection, key: bytes) -> list[StateRow]:
    """All states of a run, first to last."""
    found = connection.execute(
        "SELECT sequence, type, name, message, at, cause, details FROM states WHERE job = ? ORDER BY sequence", (key,)
    )
    return [_state(int.from_bytes(key, "big"), *row) for row in found]


def waiting(connection: Connection) -> Mapping[tuple[str, str], int]:
    """How many runs nobody has taken yet, by name and key of the task."""
    found = connection.execute(
        "SELECT task, key, count(*) FROM jobs WHERE worker IS NULL AND ended IS NULL GROUP BY task, key"
    )
    return {(task, key): count for task, key, count in found}


def count_ended(connection: Connection, before: int) -> int:
    """How many runs ended before a time."""
    (count,) = connection.execute("SELECT count(*) FROM jobs WHERE ended < ?", (before,)).fetchone()
    return int(count)


def last_end(connection: Connection) -> int:
    """The number of the last end."""
    (number,) = connection.execute("SELECT coalesce(max(number), 0) FROM ends").fetchone()
    return int(number)


def ends_since(connection: Connection, number: int) -> list[tuple[int, int]]:
    """The ends since one: their numbers, and the runs."""
    found = connection.execute("SELECT number, job FROM ends WHERE number > ? ORDER BY number", (number,))
    return [(number, int.from_bytes(key, "big")) for number, key in found]


def name_of(connection: Connection, worker: int) -> str:
    """What a worker is called."""
    (name,) = connection.execute("SELECT name FROM workers WHERE number = ?", (worker,)).fetchone()
    return str(name)


def held(connection: Connection, worker: int) -> list[tuple[bytes, str | None]]:
    """The runs that a worker has, and why each is to be cancelled."""
    found: list[tuple[bytes, str | None]] = connection.execute(
        "SELECT id, cancel FROM jobs WHERE worker = ? ORDER BY id", (worker,)
    ).fetchall()
    return found
