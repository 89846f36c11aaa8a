"""The embedded store: runs in a file of SQLite's, which one process writes to."""

from millrace.runtime.stores.sqlite.store import SqliteStore

__all__ = ("SqliteStore",)
