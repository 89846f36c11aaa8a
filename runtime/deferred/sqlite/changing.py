"""Changing: what happens to runs that are put off, as statements. Each function is called inside of a transaction.

Decides what stands in which table. What becomes of runs that have no worker is decided by `verdicts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from heapq import merge
from itertools import islice

from millrace.actors.errors import StoreError
from millrace.runtime.deferred import verdicts
from millrace.runtime.deferred.columns import columns, columns_of, job_of
from millrace.runtime.deferred.port import Job, Step, Told
from millrace.runtime.deferred.sqlite.reading import held, name_of
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.sqlite.connecting import Connection


def put(writer: Connection, job: Job, awaited: Collection[int], name: str) -> None:
    """A run is put off.

    Raises:
        StoreError: there is a run with that id.
    """
    key = id_of(job.id)
    if writer.execute("SELECT 1 FROM jobs WHERE id = ?", (key,)).fetchone() is not None:
        raise StoreError(name, "put a run into", f"there is a run with the id {job.id:032x} already")
    writer.execute(
        "INSERT INTO jobs (id, task, key, flow_run, tags, awaited, created, awaits, sequence) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, 0, -1)",
        (key, *columns_of(job)),
    )
    writer.execute("INSERT INTO calls VALUES (?, ?, ?, ?)", (key, *columns(job.call)))
    enter(writer, key, [verdicts.put_off(job)])
    for each in set(awaited):
        made = writer.execute(
            "INSERT INTO waits SELECT id, ? FROM jobs WHERE id = ? AND ended IS NULL", (key, id_of(each))
        )
        writer.execute("UPDATE jobs SET awaits = awaits + ? WHERE id = ?", (made.rowcount, key))


def cancel(writer: Connection, job: int, reason: str, at: int) -> bool:
    """A run is to be cancelled; whether it has ended by that.

    Raises:
        LookupError: there is none with that id.
    """
    key = id_of(job)
    found = writer.execute("SELECT worker, ended FROM jobs WHERE id = ?", (key,)).fetchone()
    if found is None:
        raise LookupError(job)
    worker, ended = found
    if ended is None and worker is None:
        step = verdicts.cancelled(reason, at)
        enter(writer, key, [step])
        end(writer, key, Told(job, [step], ended=True))
        return True
    if ended is None:
        writer.execute("UPDATE jobs SET cancel = ? WHERE id = ?", (reason, key))
    return False


def leave(writer: Connection, worker: int, at: int) -> None:
    """A worker leaves, and gives back what it has."""
    for key, cancels in held(writer, worker):
        give_back(writer, key, name_of(writer, worker), cancels, at)
    writer.execute("DELETE FROM workers WHERE number = ?", (worker,))


def enter(writer: Connection, key: bytes, steps: Iterable[Step]) -> None:
    """A run enters states."""
    for step in steps:
        ((sequence,),) = writer.execute(
            "UPDATE jobs SET sequence = sequence + 1 WHERE id = ? RETURNING sequence", (key,)
        ).fetchall()
        writer.execute(
            "INSERT INTO states VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (key, sequence, step.type.value, step.name, step.message, step.at, step.cause, step.details),
        )


def tell(writer: Connection, worker: int, told: Told, at: int) -> bool:
    """A worker tells of a run; whether others may be taken now because of that."""
    key = id_of(told.id)
    has = writer.execute("SELECT cancel FROM jobs WHERE id = ? AND worker = ?", (key, worker)).fetchone()
    if has is None:
        return False
    if told.returned:
        give_back(writer, key, name_of(writer, worker), has[0], at)
        return True
    enter(writer, key, told.steps)
    return told.ended and end(writer, key, told)


def give_back(writer: Connection, key: bytes, name: str, cancel: str | None, at: int) -> None:
    """A run has no worker any more."""
    step, over = verdicts.given_back(name, cancel, at)
    enter(writer, key, [step])
    if over:
        end(writer, key, Told(int.from_bytes(key, "big"), [step], ended=True))
    else:
        writer.execute("UPDATE jobs SET worker = NULL WHERE id = ?", (key,))


def release(writer: Connection, worker: int, at: int) -> bool:
    """Take away what a worker has that is over; whether some run has ended by that."""
    name, ended = name_of(writer, worker), False
    for key, cancel in held(writer, worker):
        ((lost,),) = writer.execute(
            "UPDATE jobs SET worker = NULL, lost = lost + 1 WHERE id = ? RETURNING lost", (key,)
        ).fetchall()
        step, over = verdicts.released(name, cancel, lost, at)
        enter(writer, key, [step])
        if over:
            end(writer, key, Told(int.from_bytes(key, "big"), [step], ended=True))
            ended = True
    writer.execute("DELETE FROM workers WHERE number = ?", (worker,))
    return ended


def end(writer: Connection, key: bytes, told: Told) -> bool:
    """A run has ended; whether others may be taken now that have waited for that."""
    writer.execute("UPDATE jobs SET ended = ?, worker = NULL WHERE id = ?", (told.steps[-1].at, key))
    writer.execute("DELETE FROM calls WHERE job = ?", (key,))
    writer.execute("INSERT INTO ends (job) VALUES (?)", (key,))
    if told.data is not None:
        writer.execute("INSERT INTO results VALUES (?, ?, ?, ?, ?)", (key, *columns(told.data), told.stored))
    writer.execute("UPDATE jobs SET awaits = awaits - 1 WHERE id IN (SELECT job FROM waits WHERE awaited = ?)", (key,))
    return bool(writer.execute("DELETE FROM waits WHERE awaited = ?", (key,)).rowcount)


def take(writer: Connection, worker: int, keys: Collection[str], most: int | None, at: int) -> Sequence[Job]:
    """A worker takes runs: the first ones of those that it can run."""
    if most == 0:
        return ()
    limit = -1 if most is None else most
    ready = "SELECT id FROM jobs WHERE worker IS NULL AND ended IS NULL AND awaits = 0 AND key = ? ORDER BY id LIMIT ?"
    lines = [[row[0] for row in writer.execute(ready, (key, limit))] for key in keys]
    chosen = list(islice(merge(*lines), most))
    step = verdicts.taken(name_of(writer, worker), at) if chosen else None
    jobs: list[Job] = []
    for key in chosen:
        writer.execute("UPDATE jobs SET worker = ? WHERE id = ?", (worker, key))
        enter(writer, key, [step] if step is not None else ())
        row = writer.execute(
            "SELECT task, key, created, tags, flow_run, awaited, lost, tag, blob, missing "
            "FROM jobs JOIN calls ON job = id WHERE id = ?",
            (key,),
        ).fetchone()
        jobs.append(job_of(int.from_bytes(key, "big"), *row))
    return jobs
