"""Workers: who of them lives, as the server knows it.

Decides that a worker lives as long as its lock is held, an advisory lock of the server's that belongs to a session: the
server gives it back when the connection ends, and with that the process, however it ends. Whoever gets such a lock
knows that the worker is over.
"""

from __future__ import annotations

from typing import Final

from millrace.runtime.stores.postgres.connecting import LOOK_AFTER_CLIENT, Connection, Connector, shut

# The first half of a lock's name is the table of the queue's workers, the second one is the number.
_SPACE: Final = "'workers'::regclass::oid::bigint::bit(32)::int"

_HOLD: Final = f"SELECT pg_advisory_lock({_SPACE}, $1)"
_LET_GO: Final = f"SELECT pg_advisory_unlock({_SPACE}, $1)"
_TRY: Final = f"SELECT pg_try_advisory_xact_lock({_SPACE}, $1)"
_AWAIT_END: Final = f"SELECT pg_advisory_xact_lock_shared({_SPACE}, $1)"
_END_SESSION: Final = (
    "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN workers w ON w.session = l.pid "
    "WHERE w.number = $1 AND l.locktype = 'advisory' AND l.objsubid = 2 AND l.granted AND l.mode = 'ExclusiveLock' "
    "AND l.classid = 'workers'::regclass::oid AND l.objid::bigint = $1::bigint "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)
_GO_ON: Final = "UPDATE workers SET session = pg_backend_pid() WHERE number = $1 RETURNING number"
_NEIGHBOUR: Final = "SELECT number FROM workers WHERE number <> $1 ORDER BY (number < $1) DESC, number DESC LIMIT 1"


async def enlist(connection: Connection, name: str, at: int) -> int:
    """A worker more, whose lock the session of this connection holds; its number."""
    async with connection.transaction():
        query = "INSERT INTO workers (name, session, enlisted) VALUES ($1, pg_backend_pid(), $2) RETURNING number"
        number: int = await connection.fetchval(query, name, at)
        await connection.execute(_HOLD, number)  # before anybody can see that there is such a worker
    return number


async def hold_again(connection: Connection, number: int) -> None:
    """Take a worker's lock for another session, after the first one was lost."""
    await connection.execute(_END_SESSION, number)  # the server may not have noticed yet
    await connection.execute(_HOLD, number)
    await connection.fetchval(_GO_ON, number)


async def let_go(connection: Connection, number: int) -> None:
    """Give a worker's lock back."""
    await connection.execute(_LET_GO, number)


async def is_over(connection: Connection, number: int) -> bool:
    """Whether a worker is over; until the end of the transaction at hand it cannot come back."""
    return bool(await connection.fetchval(_TRY, number))


async def neighbour_of(connection: Connection, number: int) -> int | None:
    """The worker that one watches: the one before it, and the last one where it is the first. None where it is alone.

    So all stand in a circle, and whoever ends is noticed by somebody.
    """
    found: int | None = await connection.fetchval(_NEIGHBOUR, number)
    return found


async def await_end(connector: Connector, number: int) -> None:
    """Wait until nobody holds the lock of a worker, by a connection of its own. The server tells; nobody asks again."""
    connection = await connector.try_to_connect(**LOOK_AFTER_CLIENT)
    try:
        await connection.execute(_AWAIT_END, number)
    finally:
        await shut(connection)
