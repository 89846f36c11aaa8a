"""The store in a database of PostgreSQL's: runs of several processes and hosts, which all write to it at once."""

from millrace.runtime.stores.postgres.store import PostgresStore

__all__ = ("PostgresStore",)
