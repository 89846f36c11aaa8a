"""Migrating: from the schema that a database has to the one that this version writes.

Decides which schemas can be read. Each step is a file of SQL beside this one, numbered from 1, and is never changed
once it was released. A schema that is newer than the last step is refused: nobody here knows what it means. Several
processes that come at once migrate one after another, and all but the first find nothing left to do.
"""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from millrace.actors.errors import StoreRefused
from millrace.runtime.stores.postgres.address import Address
from millrace.runtime.stores.postgres.connecting import OLDEST, Connection

_FOLDER: Final = "migrations"
_VERSION: Final = "millrace_schema"
"""The table with the version, by which the schema is known to be millrace's."""


RUNS: Final = "millrace.runtime.stores.postgres"
"""The package that has the steps to the schema of a store of runs."""


def steps(package: str = RUNS) -> list[str]:
    """The steps, as SQL; the first one makes version 1 of nothing."""
    folder = files(package) / _FOLDER
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]


async def check_schema(connection: Connection, address: Address, package: str = RUNS) -> int:
    """The version of the schema; 0 where there is none.

    Raises:
        StoreRefused: it is something else's, or of a later version; or the server is too old.
    """
    await _check_server(connection, address)
    tables = await connection.fetch("SELECT tablename FROM pg_tables WHERE schemaname = $1", address.schema)
    if not tables:
        return 0
    if _VERSION not in {table for (table,) in tables}:
        reason = f"its schema '{address.schema}' has tables of something else"
        raise StoreRefused(address.name, reason, "Name another schema: ?schema=NAME.")
    version: int = await connection.fetchval(f"SELECT version FROM {_VERSION}")  # noqa: S608  # a name of ours
    known = len(steps(package))
    if version > known:
        raise StoreRefused(
            address.name,
            f"it was written by a later version of millrace (schema {version}; this one knows {known})",
            "Install that version, or name another schema: ?schema=NAME.",
        )
    return version


async def _check_server(connection: Connection, address: Address) -> None:
    version, number = await connection.fetchrow(
        "SELECT current_setting('server_version'), current_setting('server_version_num')::int"
    )
    if number < OLDEST:
        reason = f"its server is PostgreSQL {version}"
        raise StoreRefused(address.name, reason, f"Take version {OLDEST // 10_000} or a later one.")


async def migrate(connection: Connection, address: Address, package: str = RUNS) -> None:
    """Bring the schema up to date, all of it or nothing.

    Raises:
        StoreRefused: see `check_schema`.
    """
    if await check_schema(connection, address, package) == len(steps(package)):
        return
    async with connection.transaction():
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", f"millrace {address.schema}")
        version = await check_schema(connection, address, package)  # somebody else may have been here
        if not version:
            await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{address.schema}"')
            await connection.execute(f"CREATE TABLE {_VERSION} (version integer NOT NULL)")
            await connection.execute(f"INSERT INTO {_VERSION} VALUES (0)")  # noqa: S608  # a name of ours
        for step in steps(package)[version:]:
            await connection.execute(step)
        await connection.execute(f"UPDATE {_VERSION} SET version = $1", len(steps(package)))  # noqa: S608  # a name of ours
