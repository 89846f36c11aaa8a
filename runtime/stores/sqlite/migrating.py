"""Migrating: from the schema that a file has to the one that this version writes.

Decides which schemas can be read. Each step is a file of SQL beside this one, numbered from 1, and is never changed
once it was released. A schema that is newer than the last step is refused: nobody here knows what it means.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import attrs

from millrace.actors.errors import StoreRefused

if TYPE_CHECKING:
    from millrace.runtime.stores.sqlite.connecting import Connection

_FOLDER: Final = "migrations"


@attrs.frozen
class Schema:
    """What a kind of file may hold.

    Args:
        package: The package that has the steps.
        application: What the file's header says of whose file it is.
    """

    package: str
    application: int


RUNS: Final = Schema("millrace.runtime.stores.sqlite", 0x6D696C6C)  # `mill`
"""That of a store of runs."""


def steps(schema: Schema = RUNS) -> list[str]:
    """The steps, as SQL; the first one makes version 1 of nothing."""
    folder = files(schema.package) / _FOLDER
    names = sorted(each.name for each in folder.iterdir() if each.name.endswith(".sql"))
    return [(folder / name).read_text(encoding="utf-8") for name in names]


def check_schema(connection: Connection, name: str, schema: Schema = RUNS) -> int:
    """The version of the schema; 0 for an empty file.

    Raises:
        StoreRefused: it is no such file of millrace's, or one of a later version.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if application != schema.application and (tables or version or application):
        raise StoreRefused(name, "it is a database of something else", "Name another file.")
    known = len(steps(schema))
    if version > known:
        raise StoreRefused(
            name,
            f"it was written by a later version of millrace (schema {version}; this one knows {known})",
            "Install that version, or name another file.",
        )
    return int(version)


def migrate(connection: Connection, name: str, schema: Schema = RUNS) -> None:
    """Bring the schema up to date, all of it or nothing.

    Raises:
        StoreRefused: it is no such file of millrace's, or one of a later version.
    """
    version = check_schema(connection, name, schema)
    left = steps(schema)[version:]
    if not left:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for step in left:
            for statement in _statements(step):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {schema.application}")
        connection.execute(f"PRAGMA user_version = {version + len(left)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()  # on the disk, whatever commits wait for


def _statements(script: str) -> Iterator[str]:
    """The statements of a script, one by one: each in the transaction at hand, which `executescript` would end."""
    import sqlite3  # noqa: PLC0415  # whoever connects has imported it; the rest of the module does without

    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
