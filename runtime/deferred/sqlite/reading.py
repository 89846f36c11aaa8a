"""Reading: runs that are put off, as they stand in the tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from millrace.runtime.deferred.columns import JOB, PRESENT, row_of, state_row_of
from millrace.runtime.deferred.port import JobRow
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.rows import RunFilter, StateRow
from millrace.runtime.stores.sqlite.connecting import Connection


def row(connection: Connection, key: bytes) -> JobRow | None:
    """A run as it is now; None where there is none."""
    data = "r.tag, r.blob, r.missing, r.stored FROM jobs j LEFT JOIN results r ON r.job = j.id"
    found = connection.execute(f"SELECT {JOB}, {data} {PRESENT} WHERE j.id = ?", (key,)).fetchone()  # fixed
    return None if found is None else row_of(*found)


def rows(connection: Connection, wanted: RunFilter) -> list[JobRow]:
    """Runs, newest first."""
    if wanted.flow_run is not None:
        return []
    name = "j.task || '-' || substr(lower(hex(j.id)), -3)"
    conditions = ["j.id BETWEEN ? AND ?"]
    values: list[Any] = [id_of(wanted.first), id_of(wanted.last)]
    for column, among in (("s.type", wanted.types), (name, wanted.names), ("j.task", wanted.of)):
        if among is not None:
            conditions.append(f"{column} IN ({', '.join('?' * len(among))})")
            values.extend(map(str, among))
    for tag in wanted.tags:
        conditions.append("EXISTS (SELECT 1 FROM json_each(j.tags) WHERE value = ?)")
        values.append(tag)
    text = f"SELECT {JOB}, NULL, NULL, NULL, NULL FROM jobs j {PRESENT} WHERE {' AND '.join(conditions)}"  # noqa: S608  # fixed parts
    found = connection.execute(f"{text} ORDER BY j.id DESC LIMIT ?", (*values, wanted.limit))
    return [row_of(*each) for each in found]


def states(connection: Connection, key: bytes) -> list[StateRow]:
    """All states of a run, first to last."""
    found = connection.execute(
        "SELECT sequence, type, name, message, at, cause, details FROM states WHERE job = ? ORDER BY sequence", (key,)
    )
    return [state_row_of(int.from_bytes(key, "big"), *row) for row in found]


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
