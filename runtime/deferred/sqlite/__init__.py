"""The queue in a file of SQLite's, beside that of the store, for all processes of one user on one machine."""

from millrace.runtime.deferred.sqlite.queue import SqliteQueue

__all__ = ("SqliteQueue",)
