"""Stored values: what stands in a state's data in place of a value that lies in a storage.

Decides that such a one is known by its key and its storage, and holds nothing of the value.
"""

from __future__ import annotations

from typing import Any

from millrace.actors.stored_result import StoredResult
from millrace.runtime.results.store import ResultStore


class StoredValue(StoredResult):
    """A value that lies in a result store. It is read anew each time.

    Two are equal if they have the same key in equal storages. A pickled one takes along how to read its storage, and
    not the value; where that storage is the memory of a process, it is a missing result anywhere else.

    Args:
        store: Where it lies.
        key: What it lies under.
    """

    __slots__ = ("_key", "_store")

    def __init__(self, store: ResultStore, key: str) -> None:
        self._store = store
        self._key = key

    @property
    def key(self) -> str:
        """What it lies under."""
        return self._key

    @property
    def store(self) -> ResultStore:
        """Where it lies."""
        return self._store

    @property
    def blocking(self) -> bool:
        """Whether reading it may block."""
        return self._store.blocking

    def load(self) -> Any:
        """Read the value, blocking the calling thread. An expired one is read as well.

        Raises:
            MissingResult: it is not there any more.
            SerializationError: what is there cannot be read.
        """
        return self._store.read(self._key).value

    async def aload(self) -> Any:
        """Read the value without blocking the loop.

        Cancellation: the reading may go on in its thread; nothing is changed either way.

        Raises:
            MissingResult: it is not there any more.
            SerializationError: what is there cannot be read.
        """
        return (await self._store.aread(self._key)).value

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, StoredValue) and other._key == self._key and other._store.storage == self._store.storage
        )

    def __hash__(self) -> int:
        return hash(self._key)

    def __repr__(self) -> str:
        return f"<StoredValue in {self._store.where(self._key)}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return StoredValue, (self._store.with_options(lock_manager=None), self._key)
