"""Columns: between columns of tables and the runs of a queue, for queues that have tables.

Decides what stands in a column: an id is sixteen bytes, most significant first; tags and ids are JSON, and NULL where
there are none.
"""

from __future__ import annotations

import json
from typing import Any, Final

from millrace.actors.states import StateType
from millrace.runtime.deferred.port import Job, JobRow
from millrace.runtime.stores.columns import id_or_none
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.rows import StateRow

JOB: Final = (
    "j.id, j.task, j.key, j.tags, j.flow_run, j.created, j.ended, j.lost, "
    "(SELECT min(at) FROM states WHERE job = j.id AND type = 'RUNNING'), "
    "(SELECT count(*) FROM states WHERE job = j.id AND type = 'RUNNING'), "
    "s.sequence, s.type, s.name, s.message, s.at, s.cause, s.details"
)
"""The columns of a run, with those of its present state."""

PRESENT: Final = "JOIN states s ON (s.job, s.sequence) = (j.id, j.sequence)"
"""Finds that state."""


def columns_of(job: Job) -> tuple[str, str, bytes | None, str | None, str | None, int]:
    """A run that is put off: task, key, flow run, tags, what it waits for without data, and when it was made."""
    tags = json.dumps(sorted(job.tags)) if job.tags else None
    awaited = json.dumps([f"{each:032x}" for each in job.awaited]) if job.awaited else None
    return job.task, job.key, id_or_none(job.flow_run), tags, awaited, job.at


def columns(value: Value) -> tuple[str, bytes | None, str]:
    """What is put into the columns of a value."""
    return value.tag, value.blob, value.missing


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
    return Job(job, task, key, created, Value(*call), _tags(tags), _id(flow_run), _ids(awaited), lost)


def row_of(  # noqa: PLR0917  # a row
    key: bytes, task: str, task_key: str, tags: str | None, flow_run: bytes | None, created: int, ended: int | None,
    lost: int, started: int | None, attempts: int, *rest: Any,
) -> JobRow:  # fmt: skip
    """A run as it is now."""
    job = int.from_bytes(key, "big")
    *state, tag, blob, missing, stored = rest
    data = None if tag is None else Value(tag, blob, missing)
    present = state_row_of(job, *state)
    marks, around = _tags(tags), _id(flow_run)
    return JobRow(job, task, task_key, marks, around, created, present, ended, lost, data, stored, started, attempts)


def state_row_of(job: int, sequence: int, kind: str, *rest: Any) -> StateRow:
    """A state of a run."""
    return StateRow(job, sequence, StateType(kind), *rest)


def _id(column: bytes | None) -> int | None:
    return None if column is None else int.from_bytes(column, "big")


def _ids(column: str | None) -> tuple[int, ...]:
    return tuple(int(each, 16) for each in json.loads(column)) if column else ()


def _tags(column: str | None) -> frozenset[str]:
    return frozenset(json.loads(column)) if column else frozenset()
