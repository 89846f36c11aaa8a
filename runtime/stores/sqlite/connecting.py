"""Connecting: connections to a database, and what each is told before it is used.

Decides the modes of SQLite that make a commit what the store promises. One connection writes, and checkpoints; any
other only reads, and can do neither.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal, Protocol
from urllib.parse import quote

from millrace.actors.errors import StoreError

Synchronous = Literal["FULL", "NORMAL"]
"""What a commit waits for: that the disk has it, or that the system has it."""

LOG_PAGES: Final = 250
"""After how many pages the write-ahead log is brought to the file, and begun anew."""

_PAGE: Final = 4096  # bytes, which SQLite's pages have unless somebody has said otherwise
_CACHE: Final = -2_000  # kilobytes, as SQLite has it by default

_FILLING: Final = f"""
CREATE TABLE filling AS WITH RECURSIVE numbers (number) AS (VALUES (1) UNION ALL SELECT number + 1 FROM numbers)
SELECT zeroblob({_PAGE - 100}) AS page FROM numbers LIMIT {LOG_PAGES + 50}
"""  # noqa: S608  # numbers of ours; some pages stay in the cache, and a commit may end beyond the length

BUSY_MS: Final = 5_000
"""How long a statement waits for a reader, or for a tool that somebody has opened the file with."""

Connect = Callable[..., Any]
"""Makes a connection, as `sqlite3.connect` does; for tests, one that fails where it is told to."""


class Connection(Protocol):
    """What is used of a connection."""

    def execute(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = (), /) -> Any:
        """Run a statement."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


def connect_to_write(path: Path, synchronous: str, connect: Connect) -> Connection:
    """The connection that writes."""
    connection: Connection = connect(
        str(path), isolation_level=None, check_same_thread=False, timeout=BUSY_MS / 1000, cached_statements=256
    )
    try:
        connection.execute("PRAGMA journal_mode = WAL").fetchone()
        connection.execute(f"PRAGMA synchronous = {synchronous}")
        connection.execute("PRAGMA mmap_size = 0").fetchone()
        connection.execute(f"PRAGMA wal_autocheckpoint = {LOG_PAGES}").fetchone()
        connection.execute("PRAGMA trusted_schema = OFF")
        connection.execute("PRAGMA cell_size_check = ON")
    except BaseException:
        connection.close()
        raise
    return connection


def lengthen_log(connection: Connection, path: Path) -> None:
    """Give the write-ahead log the length that it comes to have anyway, once the schema is there.

    The disk has to note that a file has become longer, which takes a commit about as long as all else; of a log that
    has its length it notes nothing but the pages. It gets there by a transaction too large for the cache, which is
    undone: its pages stand in the log, and count for nothing.
    """
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size >= LOG_PAGES * _PAGE:
        return
    connection.execute("PRAGMA cache_size = 10")
    connection.execute("BEGIN IMMEDIATE")
    connection.execute(_FILLING)
    connection.execute("ROLLBACK")
    connection.execute(f"PRAGMA cache_size = {_CACHE}")


def connect_to_read(path: Path, connect: Connect) -> Connection:
    """A connection that can only read."""
    connection: Connection = connect(
        f"file:{quote(str(path))}?mode=ro",
        uri=True,
        isolation_level=None,
        check_same_thread=False,
        timeout=BUSY_MS / 1000,
    )
    try:
        connection.execute("PRAGMA query_only = ON")
        connection.execute("PRAGMA trusted_schema = OFF")
    except BaseException:
        connection.close()
        raise
    return connection


def reported(error: Exception, name: str, attempted: str) -> StoreError:
    """What SQLite says, as an error of ours."""
    code = getattr(error, "sqlite_errorname", None)
    return StoreError(name, attempted, f"{error}{f' ({code})' if code else ''}")


def version() -> tuple[int, int, int]:
    """The version of the library."""
    major, minor, patch = sqlite3.sqlite_version_info[:3]
    return major, minor, patch
