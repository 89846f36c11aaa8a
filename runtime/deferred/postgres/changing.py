"""Changing: what happens to runs that are put off, as statements. Each function is called inside of a transaction.

Decides what stands in which table, which rows are locked, and who is notified. A run is locked before those that wait
for it, so that one that is put off to wait for a run, and the end of that run, see each other. What becomes of runs
that have no worker is decided by `verdicts`.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from millrace.runtime.deferred import verdicts
from millrace.runtime.deferred.columns import columns, columns_of, job_of
from millrace.runtime.deferred.port import Job, Step, Taken, Told
from millrace.runtime.deferred.postgres import workers
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.postgres.connecting import Connection
from millrace.runtime.stores.postgres.writing import harmless_value

OFFERS, ENDS, COMERS = "offers", "ends", "workers"
"""What is told on channels of their own: there may be something for workers; a run has ended; a worker came or went."""

_NOTIFY: Final = "SELECT pg_notify('millrace_' || 'workers'::regclass::oid::bigint || '_' || $1::text, $2::text)"
_LIVE: Final = "SELECT id FROM jobs WHERE id = ANY($1::uuid[]) AND ended IS NULL ORDER BY id FOR SHARE"
_PUT: Final = (
    "INSERT INTO jobs (id, task, key, flow_run, tags, awaited, created, awaits) "
    "VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING RETURNING true"
)
_ENTER: Final = (
    "WITH job AS (UPDATE jobs SET sequence = sequence + 1 WHERE id = $1 RETURNING id, sequence) "
    "INSERT INTO states SELECT id, sequence, $2, $3, $4, $5, $6, $7 FROM job"
)
_FREE: Final = (
    "WITH over AS (DELETE FROM waits WHERE awaited = $1 RETURNING job) "
    "UPDATE jobs SET awaits = awaits - 1 FROM over WHERE id = over.job RETURNING true"
)
_READY: Final = (
    "SELECT id FROM jobs WHERE worker IS NULL AND ended IS NULL AND awaits = 0 AND key = ANY($1::text[]) "
    "ORDER BY id LIMIT $2 FOR UPDATE SKIP LOCKED"
)
_TAKEN: Final = (
    "SELECT j.id, j.task, j.key, j.created, j.tags, j.flow_run, j.awaited, j.lost, c.tag, c.blob, c.missing "
    "FROM jobs j JOIN calls c ON c.job = j.id WHERE j.worker = $1 AND j.turn = $2 ORDER BY j.id"
)
_CANCELLED: Final = "SELECT id, cancel FROM jobs WHERE worker = $1 AND cancel IS NOT NULL"


async def channel_of(connection: Connection, what: str) -> str:
    """The channel on which something is told."""
    number: int = await connection.fetchval("SELECT 'workers'::regclass::oid::bigint")
    return f"millrace_{number}_{what}"


async def notify(connection: Connection, what: str, text: str = "") -> None:
    """Tell something to all that listen, with the commit.

    Args:
        connection: The connection.
        what: Which channel.
        text: Of an offer, the worker that made it and need not hear of it; of an end, the run.
    """
    await connection.execute(_NOTIFY, what, text)


async def put(connection: Connection, job: Job, awaited: Collection[int]) -> bool:
    """A run is put off; False where there is one with that id, and nothing is changed."""
    key = id_of(job.id)
    live = [found for (found,) in await connection.fetch(_LIVE, [id_of(each) for each in set(awaited)])]
    if not await connection.fetchval(_PUT, key, *map(harmless_value, columns_of(job)), len(live)):
        return False
    await connection.execute("INSERT INTO calls VALUES ($1, $2, $3, $4)", key, *columns(job.call))
    await enter(connection, key, [verdicts.put_off(job)])
    await connection.execute("INSERT INTO waits SELECT unnest($1::uuid[]), $2", live, key)
    return True


async def cancel(connection: Connection, job: int, reason: str, at: int) -> None:
    """A run is to be cancelled.

    Raises:
        LookupError: there is none with that id.
    """
    key = id_of(job)
    found = await connection.fetchrow("SELECT worker, ended FROM jobs WHERE id = $1 FOR UPDATE", key)
    if found is None:
        raise LookupError(job)
    worker, ended = found
    if ended is not None:
        return
    if worker is None:
        step = verdicts.cancelled(reason, at)
        await end(connection, key, Told(job, [step], ended=True))
    else:
        await connection.execute("UPDATE jobs SET cancel = $2 WHERE id = $1", key, harmless_value(reason))
    await notify(connection, OFFERS)


async def exchange(  # noqa: PLR0917  # what an exchange is
    connection: Connection,
    worker: int,
    turn: int,
    told: Sequence[Told],
    keys: Collection[str],
    most: int | None,
    at: int,
    *,
    suspects: bool,
) -> Taken | None:
    """A worker tells of the runs that it has, and takes others; None where it is no worker any more.

    Args:
        connection: The connection.
        worker: Its number.
        turn: Which exchange this is. One that was committed is not done again, and gives what it gave.
        told: What there is to tell.
        keys: Of the tasks that it can run.
        most: How many to take at most.
        at: What time it is.
        suspects: Some worker may be over.
    """
    found = await connection.fetchrow("SELECT name, turn FROM workers WHERE number = $1 FOR UPDATE", worker)
    if found is None:
        return None
    name, last = found
    if last != turn:
        await connection.execute("UPDATE workers SET turn = $2 WHERE number = $1", worker, turn)
        freed = [await _tell(connection, worker, name, each, at) for each in told]
        if suspects:
            freed.append(await _release_dead(connection, worker, at))
        if most != 0:
            await _take(connection, worker, turn, name, keys, most, at)
        if any(freed):
            await notify(connection, OFFERS, str(worker))
    cancels = {int.from_bytes(key, "big"): str(why) for key, why in await connection.fetch(_CANCELLED, worker)}
    taken = await connection.fetch(_TAKEN, worker, turn) if most != 0 else ()
    return Taken([job_of(int.from_bytes(key, "big"), *rest) for key, *rest in taken], cancels)


async def leave(connection: Connection, worker: int, at: int) -> None:
    """A worker leaves, and gives back what it has."""
    name = await connection.fetchval("SELECT name FROM workers WHERE number = $1 FOR UPDATE", worker)
    if name is None:
        return
    for key, why in await _held(connection, worker):
        await _give_back(connection, key, name, why, at)
    await connection.execute("DELETE FROM workers WHERE number = $1", worker)
    await notify(connection, OFFERS, str(worker))
    await notify(connection, COMERS)


async def remove(connection: Connection, before: int, most: int) -> int:
    """Remove runs that ended before a time, so many at most; how many there were."""
    chosen = "SELECT id FROM jobs WHERE ended < $1 LIMIT $2 FOR UPDATE SKIP LOCKED"
    old = [key for (key,) in await connection.fetch(chosen, before, most)]
    for table, column in (("states", "job"), ("results", "job"), ("jobs", "id")):
        await connection.execute(f"DELETE FROM {table} WHERE {column} = ANY($1::uuid[])", old)  # noqa: S608  # names of ours
    return len(old)


async def enter(connection: Connection, key: bytes, steps: Iterable[Step]) -> None:
    """A run enters states."""
    for step in steps:
        more = (step.name, step.message, step.at, step.cause, step.details)
        await connection.execute(_ENTER, key, step.type.value, *map(harmless_value, more))


async def end(connection: Connection, key: bytes, told: Told) -> bool:
    """A run enters its last states; whether others may be taken now that have waited for that."""
    await enter(connection, key, told.steps)
    await connection.execute("UPDATE jobs SET ended = $2, worker = NULL WHERE id = $1", key, told.steps[-1].at)
    await connection.execute("DELETE FROM calls WHERE job = $1", key)
    if told.data is not None:
        values = (*columns(told.data), told.stored)
        await connection.execute("INSERT INTO results VALUES ($1, $2, $3, $4, $5)", key, *map(harmless_value, values))
    await notify(connection, ENDS, key.hex())
    return bool(await connection.fetch(_FREE, key))


async def _tell(connection: Connection, worker: int, name: str, told: Told, at: int) -> bool:
    """A worker tells of a run; whether others may be taken now because of that."""
    key = id_of(told.id)
    has = await connection.fetchrow("SELECT cancel FROM jobs WHERE id = $1 AND worker = $2 FOR UPDATE", key, worker)
    if has is None:
        return False
    if told.returned:
        await _give_back(connection, key, name, has[0], at)
        return True
    if told.ended:
        return await end(connection, key, told)
    await enter(connection, key, told.steps)
    return False


async def _held(connection: Connection, worker: int) -> Sequence[tuple[bytes, str | None]]:
    """The runs that a worker has, and why each is to be cancelled."""
    return await connection.fetch("SELECT id, cancel FROM jobs WHERE worker = $1 ORDER BY id FOR UPDATE", worker)


async def _give_back(connection: Connection, key: bytes, name: str, why: str | None, at: int) -> None:
    """A run has no worker any more."""
    step, over = verdicts.given_back(name, why, at)
    await _no_worker(connection, key, step, over=over)


async def _no_worker(connection: Connection, key: bytes, step: Step, *, over: bool) -> None:
    if over:
        await end(connection, key, Told(int.from_bytes(key, "big"), [step], ended=True))
    else:
        await enter(connection, key, [step])
        await connection.execute("UPDATE jobs SET worker = NULL WHERE id = $1", key)


async def _release_dead(connection: Connection, worker: int, at: int) -> bool:
    """Take away what those workers have that are over; whether there was one."""
    found = False
    for (number,) in await connection.fetch("SELECT number FROM workers WHERE number <> $1 ORDER BY number", worker):
        if not await workers.is_over(connection, number):
            continue
        name = await connection.fetchval("SELECT name FROM workers WHERE number = $1 FOR UPDATE", number)
        if name is None:
            continue
        found = True
        for key, why in await _held(connection, number):
            lost = await connection.fetchval("UPDATE jobs SET lost = lost + 1 WHERE id = $1 RETURNING lost", key)
            step, over = verdicts.released(name, why, lost, at)
            await _no_worker(connection, key, step, over=over)
        await connection.execute("DELETE FROM workers WHERE number = $1", number)
    if found:
        await notify(connection, COMERS)
    return found


async def _take(  # noqa: PLR0917  # see `exchange`
    connection: Connection, worker: int, turn: int, name: str, keys: Collection[str], most: int | None, at: int
) -> None:
    """A worker takes runs: the first ones of those that it can run."""
    step = verdicts.taken(name, at)
    for (key,) in await connection.fetch(_READY, list(keys), most):
        await connection.execute("UPDATE jobs SET worker = $2, turn = $3 WHERE id = $1", key, worker, turn)
        await enter(connection, key, [step])
