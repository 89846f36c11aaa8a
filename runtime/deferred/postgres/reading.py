"""Reading: runs that are put off, as they stand in the tables."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from millrace.runtime.deferred.columns import JOB, PRESENT, row_of, state_row_of
from millrace.runtime.deferred.port import JobRow
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.postgres.connecting import Connection
from millrace.runtime.stores.rows import RunFilter, StateRow


async def row(connection: Connection, job: int) -> JobRow | None:
    """A run as it is now; None where there is none."""
    data = "r.tag, r.blob, r.missing, r.stored FROM jobs j LEFT JOIN results r ON r.job = j.id"
    found = await connection.fetchrow(f"SELECT {JOB}, {data} {PRESENT} WHERE j.id = $1", id_of(job))  # fixed
    return None if found is None else row_of(*found)


async def rows(connection: Connection, wanted: RunFilter) -> list[JobRow]:
    """Runs, newest first."""
    if wanted.flow_run is not None:
        return []
    name = "j.task || '-' || right(j.id::text, 3)"
    conditions = ["j.id BETWEEN $1 AND $2"]
    values: list[Any] = [id_of(wanted.first), id_of(wanted.last)]
    choices: tuple[tuple[str, Collection[Any] | None], ...] = (
        ("s.type", wanted.types), (name, wanted.names), ("j.task", wanted.of),
    )  # fmt: skip
    for column, among in choices:
        if among is not None:
            values.append(list(map(str, among)))
            conditions.append(f"{column} = ANY(${len(values)}::text[])")
    if wanted.tags:
        values.append(list(wanted.tags))
        conditions.append(f"coalesce(j.tags, '[]')::jsonb ?& ${len(values)}::text[]")
    values.append(wanted.limit)
    text = f"SELECT {JOB}, NULL, NULL, NULL, NULL FROM jobs j {PRESENT} WHERE {' AND '.join(conditions)}"  # noqa: S608  # fixed parts
    found = await connection.fetch(f"{text} ORDER BY j.id DESC LIMIT ${len(values)}", *values)
    return [row_of(*each) for each in found]


async def states(connection: Connection, job: int) -> list[StateRow]:
    """All states of a run, first to last."""
    query = "SELECT sequence, type, name, message, at, cause, details FROM states WHERE job = $1 ORDER BY sequence"
    return [state_row_of(job, *each) for each in await connection.fetch(query, id_of(job))]


async def waiting(connection: Connection) -> Mapping[tuple[str, str], int]:
    """How many runs nobody has taken yet, by name and key of the task."""
    query = "SELECT task, key, count(*) FROM jobs WHERE worker IS NULL AND ended IS NULL GROUP BY task, key"
    return {(task, key): count for task, key, count in await connection.fetch(query)}


async def ended_among(connection: Connection, jobs: Collection[int]) -> list[int]:
    """Which of some runs have ended."""
    query = "SELECT id FROM jobs WHERE id = ANY($1::uuid[]) AND ended IS NOT NULL"
    return [int.from_bytes(key, "big") for (key,) in await connection.fetch(query, [id_of(job) for job in jobs])]


async def count_ended(connection: Connection, before: int) -> int:
    """How many runs ended before a time."""
    return int(await connection.fetchval("SELECT count(*) FROM jobs WHERE ended < $1", before))
