"""The queue in a database of PostgreSQL's."""

from millrace.runtime.deferred.postgres.queue import PostgresQueue

__all__ = ("PostgresQueue",)
