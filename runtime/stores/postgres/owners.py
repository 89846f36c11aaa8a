"""Owners: who may write, and who of those is over.

Decides when an owner is over: when nobody holds its lock any more. Each has one, an advisory lock of the server's that
belongs to a session, so that the server gives it back when the process ends, however it ends; and its token is in each
of its groups. Whoever finds a lock free may say that its owner is over. From then on that owner writes nothing: the
row by which its groups are counted says so, and the same transaction ends its runs. Nobody else's are touched.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

from millrace.runtime.stores.faults import reach
from millrace.runtime.stores.port import OWNER_DIED, Owner
from millrace.runtime.stores.postgres.connecting import Connection
from millrace.runtime.stores.verdicts import death_message

# The first half of a lock's name is the table of the store's owners, the second one is the token.
_SPACE: Final = "'owners'::regclass::oid::bigint::bit(32)::int"

_HOLDERS: Final = (
    "SELECT l.pid, l.objid::bigint AS token FROM pg_locks l WHERE l.locktype = 'advisory' AND l.objsubid = 2 "
    "AND l.granted AND l.mode = 'ExclusiveLock' AND l.classid = 'owners'::regclass::oid "
    "AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())"
)

LIVING: Final = (
    f"SELECT o.token, o.name FROM owners o JOIN ({_HOLDERS}) h USING (token) "  # noqa: S608  # fixed
    "WHERE o.ended IS NULL ORDER BY o.token"
)
"""Selects the owners that live: token and name."""

_HOLD: Final = f"SELECT pg_advisory_lock({_SPACE}, $1)"
_AWAIT_END: Final = f"SELECT pg_advisory_xact_lock_shared({_SPACE}, $1)"
_SHORTLY: Final = "SET LOCAL lock_timeout = '500ms'"
_NOT_YET: Final = "55P03"  # a lock was not available
_AWAIT_LOCK: Final = f"SELECT pg_advisory_xact_lock({_SPACE}, $1)"
_TRY: Final = f"SELECT pg_try_advisory_xact_lock({_SPACE}, $1)"
_END_SESSION: Final = (
    f"SELECT pg_terminate_backend(h.pid) FROM ({_HOLDERS}) h JOIN owners o USING (token) "  # noqa: S608  # fixed
    "WHERE o.token = $1 AND o.session = h.pid"
)
_GO_ON: Final = "UPDATE owners SET session = pg_backend_pid() WHERE token = $1 AND ended IS NULL RETURNING token"
_NEIGHBOUR: Final = (
    "SELECT token FROM owners WHERE ended IS NULL AND token <> $1 ORDER BY (token < $1) DESC, token DESC LIMIT 1"
)

_END_OWNER: Final = "UPDATE owners SET ended = $2 WHERE token = $1 AND ended IS NULL RETURNING name"

# The runs of an owner that is over, whatever table they are in: a state more, and what follows from it.
_END_RUNS: Final = """
WITH dead AS (
    UPDATE {table} r SET type = 'CRASHED', sequence = r.sequence + 1, ended = $2::bigint {deaths}
    WHERE r.owner = $1::int AND r.ended IS NULL {more} RETURNING r.id, r.sequence
), marked AS (
    INSERT INTO states (run, sequence, type, name, message, at, cause, details)
    SELECT d.id, d.sequence, 'CRASHED', NULL, $3::text, greatest($2, s.at), $4::text, NULL
    FROM dead d JOIN states s ON (s.run, s.sequence) = (d.id, d.sequence - 1)
), emptied AS (
    DELETE FROM results USING dead WHERE results.run = dead.id
)
SELECT id FROM dead ORDER BY id
"""
_CLAIM_TASK_RUN: Final = (
    "UPDATE task_runs SET owner = $1, ended = NULL "
    "WHERE id = $2 AND sequence = $3 AND ended IS NOT NULL AND flow_run IS NULL RETURNING 1"
)
_END_TASK_RUNS: Final = _END_RUNS.format(table="task_runs", deaths="", more="")
_END_FLOW_RUNS: Final = _END_RUNS.format(
    table="flow_runs", deaths=", deaths = r.deaths + 1", more="AND NOT r.suspended"
)


async def become_owner(connection: Connection, owner: Owner) -> tuple[int, list[int]]:
    """Become an owner, and end the runs of those that are over; in one transaction.

    Args:
        connection: Its session holds the lock from now on.
        owner: Who that is.

    Returns:
        The token, and the ids of the flow runs that were ended.
    """
    async with connection.transaction():
        query = "INSERT INTO owners (name, opened, session) VALUES ($1, $2, pg_backend_pid()) RETURNING token"
        token: int = await connection.fetchval(query, owner.name, owner.at)
        await connection.execute(_HOLD, token)  # before anybody can see that there is such an owner
        others = await connection.fetch("SELECT token FROM owners WHERE ended IS NULL AND token <> $1", token)
        crashed = await _end(connection, [each for (each,) in others], owner.at)
        await connection.execute("SELECT pg_notify($1, '')", await owners_channel(connection))
        reach("deaths marked")
    return token, crashed


async def end_if_over(connection: Connection, token: int, at: int) -> list[int]:
    """End an owner and its runs if it is over; the ids of the flow runs that were ended."""
    async with connection.transaction():
        crashed = await _end(connection, [token], at)
        await connection.execute("SELECT pg_notify($1, '')", await owners_channel(connection))
    return crashed


async def end_when_over(connection: Connection, token: int, at: int) -> bool:
    """The same, and wait a moment for that; whether it is over. The server may notice a death a moment late."""
    try:
        async with connection.transaction():
            await connection.execute(_SHORTLY)
            await connection.execute(_AWAIT_LOCK, token)
            await _end(connection, [token], at)
            await connection.execute("SELECT pg_notify($1, '')", await owners_channel(connection))
    except Exception as error:
        if getattr(error, "sqlstate", None) != _NOT_YET:
            raise
        return False
    return True


async def _end(connection: Connection, tokens: Collection[int], at: int) -> list[int]:
    """End those of some owners that are over, in the transaction at hand."""
    crashed: list[int] = []
    for token in tokens:
        if not await connection.fetchval(_TRY, token):
            continue
        # A group that it is writing is waited for here; another one finds that its owner is over.
        name = await connection.fetchval(_END_OWNER, token, at)
        if name is None:
            continue
        values = (token, at, death_message(name), OWNER_DIED)
        await connection.execute("DELETE FROM requests WHERE owner = $1", token)
        await connection.fetch(_END_TASK_RUNS, *values)
        crashed += [int.from_bytes(run, "big") for (run,) in await connection.fetch(_END_FLOW_RUNS, *values)]
    return sorted(crashed)


async def claim_task_run(connection: Connection, token: int, run: bytes, sequence: int) -> bool:
    """Make an owner that of a task run which has ended in a state; whether it is still in that."""
    return await connection.fetchval(_CLAIM_TASK_RUN, token, run, sequence) is not None


async def hold_again(connection: Connection, token: int) -> bool:
    """Take an owner's lock for another session, after the first one was lost; whether it is an owner still."""
    await connection.execute(_END_SESSION, token)  # the server may not have noticed yet
    await connection.execute(_HOLD, token)
    return await connection.fetchval(_GO_ON, token) is not None


async def await_end(connection: Connection, token: int) -> None:
    """Wait until nobody holds the lock of an owner. The server tells; nobody asks again and again."""
    await connection.execute(_AWAIT_END, token)


async def neighbour_of(connection: Connection, token: int) -> int | None:
    """The owner that one watches: the one before it, and the last one where it is the first. None where it is alone."""
    found: int | None = await connection.fetchval(_NEIGHBOUR, token)
    return found


async def owners_channel(connection: Connection) -> str:
    """The channel on which it is told that an owner has come or gone."""
    number: int = await connection.fetchval("SELECT 'owners'::regclass::oid::bigint")
    return f"millrace_{number}"


def channel_of(owners: str, token: int) -> str:
    """The channel on which an owner is told that it is asked for something.

    Args:
        owners: That of all owners.
        token: The owner's.
    """
    return f"{owners}_{token}"
