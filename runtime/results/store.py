"""The result store: values under keys, by a storage, a serializer and locks that are chosen apart from each other.

Decides what it takes for a record to be read: that it is sealed as it should be, belongs to the key, and was written by
a serializer that this store was told to read. The record names its serializer, and never chooses it. Does not know who
asks, nor what keys mean.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from threading import Lock
from typing import Any, Final, TypeVar

import attrs

from millrace.actors.errors import ConfigurationError, MillraceError, MissingResult, SerializationError, StorageError
from millrace.actors.telling import text_of
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.ports import Clock, system_clock
from millrace.runtime.results.locking import LockManager
from millrace.runtime.results.records import ResultMetadata, ResultRecord, pack, unpack
from millrace.runtime.results.refusals import refusal, refusing, shown, shown_type
from millrace.runtime.results.serializers import Serializer, serializer_of
from millrace.runtime.results.storages import Storage, storage_of

R = TypeVar("R")

KEPT: Final = 1000
"""How many values a store keeps in memory, where it keeps any."""

_SHORTEST_KEY: Final = 16  # bytes; a signature is as hard to forge as its key is to guess


def _serializers(options: Iterable[Serializer | str] | Serializer | str) -> tuple[Serializer, ...]:
    if isinstance(options, str) or not isinstance(options, Iterable):
        options = (options,)
    return tuple([serializer_of(each) for each in options])


class _Kept:
    """The values of the last records of one store, each with the very bytes that it was read from or written to."""

    __slots__ = ("_entries", "_lock")

    def __init__(self) -> None:
        self._entries: dict[str, tuple[bytes, ResultRecord[Any]]] = {}  # the one used last is last
        self._lock = Lock()

    def get(self, key: str, blob: bytes) -> ResultRecord[Any] | None:
        with self._lock:
            entry = self._entries.pop(key, None)
            if entry is None or entry[0] is not blob:
                return None
            self._entries[key] = entry
            return entry[1]

    def put(self, key: str, blob: bytes, record: ResultRecord[Any]) -> None:
        with self._lock:
            self._entries.pop(key, None)
            self._entries[key] = blob, record
            if len(self._entries) > KEPT:
                del self._entries[next(iter(self._entries))]


def _signing_key(key: object) -> bytes | None:
    if key is None:
        return None
    if not isinstance(key, bytes) or len(key) < _SHORTEST_KEY:
        given = f"{len(key)} bytes" if isinstance(key, bytes) else shown_type(key)  # never the key itself
        raise ConfigurationError("signing_key", given, f"None or at least {_SHORTEST_KEY} bytes")
    return key


def _readers_of(store: ResultStore) -> dict[str, Serializer]:
    """What a store reads, by tag; of two with one tag its own."""
    return {each.tag: each for each in (*store.accept, store.serializer)}


def _kept_by(store: ResultStore) -> _Kept | None:
    return _Kept() if store.cache_result_in_memory and not store.blocking else None


@attrs.frozen(eq=False)
class ResultStore:
    """Keeps results under keys.

    **Trust.** Reading a pickle, which is how results are written unless another serializer is chosen, runs whatever its
    writer wanted. So a store reads only what it was told to read: what its own `serializer` writes, and what those in
    `accept` do. A record that names any other is refused, and so is one that was changed, cut off, or moved to another
    key. The digest that tells so can be made by anybody who can write to the storage. Where that is somebody else, use
    JSON, or a `signing_key`, without which nobody can make a record that the store reads.

    **Memory.** With `cache_result_in_memory` a store whose storage is in memory keeps the last 1,000 values beside
    their bytes, and reading gives the same object again. Without, and with any other storage, it keeps none: each
    reading makes a new object, and sees what other processes have written.

    Args:
        storage: Where: a folder, a URL, a storage; None for what the settings say. See `storage_of`.
        serializer: How: a tag or a serializer; None for what the settings say. See `serializer_of`.
        lock_manager: Locks keys; None where no locks are needed.
        cache_result_in_memory: Whether values may stay in memory.
        accept: Serializers, or their tags, beside its own whose records the store reads.
        signing_key: At least 16 bytes that nobody else knows. Records are signed with it, and others are refused.
        clock: Tells when records are made and, where nobody says what time it is, whether they have expired.

    Raises:
        ConfigurationError: an option is none of these.
    """

    storage: Storage = attrs.field(default=None, converter=storage_of)
    serializer: Serializer = attrs.field(default=None, converter=serializer_of, kw_only=True)
    lock_manager: LockManager | None = attrs.field(default=None, kw_only=True)
    cache_result_in_memory: bool = attrs.field(default=True, kw_only=True)
    accept: tuple[Serializer, ...] = attrs.field(default=(), converter=_serializers, kw_only=True)
    signing_key: bytes | None = attrs.field(default=None, converter=_signing_key, repr=False, kw_only=True)
    clock: Clock = attrs.field(default=system_clock, repr=False, kw_only=True)
    _readers: dict[str, Serializer] = attrs.field(
        init=False, repr=False, default=attrs.Factory(_readers_of, takes_self=True)
    )
    _kept: _Kept | None = attrs.field(init=False, repr=False, default=attrs.Factory(_kept_by, takes_self=True))

    @property
    def blocking(self) -> bool:
        """Whether reading and writing may block, so that neither is done on an event loop."""
        return self.storage.blocking

    def with_options(self, **changes: Any) -> ResultStore:
        """A store like this one but for some options, which are named as when it is made."""
        return attrs.evolve(self, **changes)

    def create_record(self, key: str, value: R, *, expiration: datetime | None = None) -> ResultRecord[R]:
        """A record that `persist` can write.

        Args:
            key: What it is to lie under: any string but the empty one.
            value: The result.
            expiration: From when on it is not good enough for a cache; an aware datetime, or None.

        Raises:
            ConfigurationError: the key or the expiration is none.
        """
        _check_key(key)
        created = from_nanoseconds(self.clock())
        return ResultRecord(ResultMetadata(key, self.serializer.tag, created, expiration), value)

    # Reading.

    def read(self, key: str) -> ResultRecord[Any]:
        """The record under a key, whether it has expired or not.

        Raises:
            MissingResult: there is none.
            SerializationError: what is there is refused, or cannot be read.
            StorageError: the storage cannot tell.
        """
        _check_key(key)
        blob: bytes = _ask("read the record", self.storage.read, key)
        kept = None if self._kept is None else self._kept.get(key, blob)
        if kept is not None:
            return kept
        metadata, payload = unpack(blob, key, self.signing_key)
        reader = self._readers.get(metadata.serializer)
        if reader is None:
            known = " and ".join(f"'{tag}'" for tag in self._readers)
            raise SerializationError(
                f"read the record of '{shown(key)}'",
                f"it was written by serializer '{shown(metadata.serializer)}', and this store reads {known}",
            )
        with refusing(f"read the record of '{shown(key)}'"):
            record = ResultRecord(metadata, reader.loads(payload))
        if self._kept is not None:
            self._kept.put(key, blob, record)
        return record

    def find(self, key: str, *, now: datetime | None = None) -> ResultRecord[Any] | None:
        """The record under a key, where there is one that has not expired.

        Args:
            key: The key.
            now: What time it is; None for the store's clock.

        Raises:
            SerializationError: what is there is refused, or cannot be read.
            StorageError: the storage cannot tell.
        """
        try:
            record = self.read(key)
        except MissingResult:
            return None
        if record.metadata.expiration is None:  # mostly, and then nobody has to ask what time it is
            return record
        return None if record.metadata.expired(self._now(now)) else record

    def exists(self, key: str, *, now: datetime | None = None) -> bool:
        """Whether there is a record that has not expired; its value is not looked at.

        Args:
            key: The key.
            now: What time it is; None for the store's clock.

        Raises:
            SerializationError: what is there is refused.
            StorageError: the storage cannot tell.
        """
        _check_key(key)
        if not _ask("look for the record", self.storage.exists, key):
            return False
        try:
            metadata, _ = unpack(_ask("read the record", self.storage.read, key), key, self.signing_key)
        except MissingResult:  # gone in between
            return False
        return not metadata.expired(self._now(now))

    def where(self, key: str) -> str:
        """The place of a key, for people."""
        return self.storage.where(key)

    # Writing.

    def write(self, key: str, value: R, *, expiration: datetime | None = None) -> ResultRecord[R]:
        """Put a value under a key, whole or not at all, in place of what is there.

        Args:
            key: What it is to lie under: any string but the empty one.
            value: The result.
            expiration: From when on it is not good enough for a cache; an aware datetime, or None.

        Returns:
            The record that was written.

        Raises:
            ConfigurationError: the key or the expiration is none.
            SerializationError: the value cannot be written; nothing is changed.
            StorageError: the storage cannot take it.
        """
        return self.persist(self.create_record(key, value, expiration=expiration))

    def persist(self, record: ResultRecord[R]) -> ResultRecord[R]:
        """Write a record, whole or not at all, in place of what is under its key.

        Args:
            record: Of this store or of another one; it is written by this store's serializer.

        Returns:
            The record as it was written.

        Raises:
            SerializationError: the value cannot be written; nothing is changed.
            StorageError: the storage cannot take it.
        """
        if record.serializer != self.serializer.tag:
            record = attrs.evolve(record, metadata=attrs.evolve(record.metadata, serializer=self.serializer.tag))
        payload = self.serialized(record)
        blob = pack(record.metadata, payload, self.signing_key)
        _ask("write the record", self.storage.write, record.key, blob)
        if self._kept is not None:
            self._kept.put(record.key, blob, record)
        return record

    def serialized(self, record: ResultRecord[Any]) -> bytes:
        """The value of a record as it would be written; nothing is.

        Raises:
            SerializationError: it cannot be written.
        """
        try:
            payload: object = self.serializer.dumps(record.value)
        except SerializationError:
            raise
        except Exception as error:  # values and serializers bring code of their own
            raise refusal(_writing(record), error) from error
        if not isinstance(payload, bytes):
            made = f"its serializer made a '{shown_type(payload)}' of it, and not bytes"
            raise SerializationError(_writing(record), made)
        return payload

    def delete(self, key: str) -> None:
        """Take away what is under a key, if there is anything.

        Raises:
            StorageError: the storage cannot do it.
        """
        _check_key(key)
        _ask("delete the record", self.storage.delete, key)

    # The same for async code. Where the storage may block, it is used in a thread of the engine's.

    async def aread(self, key: str) -> ResultRecord[Any]:
        """Like `read`. Cancellation: only the wait ends."""
        return await self._off_loop(self.read, key)

    async def afind(self, key: str, *, now: datetime | None = None) -> ResultRecord[Any] | None:
        """Like `find`. Cancellation: only the wait ends."""
        return await self._off_loop(lambda: self.find(key, now=now))

    async def aexists(self, key: str, *, now: datetime | None = None) -> bool:
        """Like `exists`. Cancellation: only the wait ends."""
        return await self._off_loop(lambda: self.exists(key, now=now))

    async def awrite(self, key: str, value: R, *, expiration: datetime | None = None) -> ResultRecord[R]:
        """Like `write`. Cancellation: only the wait ends, and what was begun is written."""
        return await self.apersist(self.create_record(key, value, expiration=expiration))

    async def apersist(self, record: ResultRecord[R]) -> ResultRecord[R]:
        """Like `persist`. Cancellation: only the wait ends, and what was begun is written."""
        return await self._off_loop(lambda: self.persist(record))

    async def adelete(self, key: str) -> None:
        """Like `delete`. Cancellation: only the wait ends."""
        await self._off_loop(self.delete, key)

    async def _off_loop(self, fn: Callable[..., R], *args: Any) -> R:
        if not self.blocking:
            return fn(*args)
        from millrace.runtime.effects import in_thread  # noqa: PLC0415  # the engine, which imports this

        return await in_thread(fn, *args)

    # Locks.

    def acquire_lock(self, key: str, holder: str, timeout: float | None = None) -> bool:
        """Lock a key, waiting for it where it is locked.

        Args:
            key: The key.
            holder: Who wants it.
            timeout: Seconds to wait; None for no limit.

        Returns:
            Whether the holder has it now.

        Raises:
            ConfigurationError: the store has no lock manager.
        """
        return self._locks("acquire_lock").acquire_lock(key, holder, timeout)

    async def aacquire_lock(self, key: str, holder: str, timeout: float | None = None) -> bool:
        """Like `acquire_lock`, without blocking the loop. Cancellation: the holder does not have it."""
        return await self._locks("aacquire_lock").aacquire_lock(key, holder, timeout)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until a key is not locked.

        Args:
            key: The key.
            timeout: Seconds to wait; None for no limit.

        Returns:
            Whether it was free, at that moment.

        Raises:
            ConfigurationError: the store has no lock manager.
        """
        return self._locks("wait_for_lock").wait_for_lock(key, timeout)

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Like `wait_for_lock`, without blocking the loop. Cancellation: only the wait ends."""
        return await self._locks("await_for_lock").await_for_lock(key, timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Give a lock back.

        Raises:
            ConfigurationError: the holder does not have it, or the store has no lock manager.
        """
        self._locks("release_lock").release_lock(key, holder)

    def is_locked(self, key: str) -> bool:
        """Whether anybody has the lock of a key.

        Raises:
            ConfigurationError: the store has no lock manager.
        """
        return self._locks("is_locked").is_locked(key)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Whether it is this one who has the lock of a key.

        Raises:
            ConfigurationError: the store has no lock manager.
        """
        return self._locks("is_lock_holder").is_lock_holder(key, holder)

    def _locks(self, call: str) -> LockManager:
        if self.lock_manager is None:
            raise ConfigurationError(
                "lock_manager", None, f"a lock manager, such as MemoryLockManager(), as {call} needs one"
            )
        return self.lock_manager

    def _now(self, now: datetime | None) -> datetime:
        return from_nanoseconds(self.clock()) if now is None else now

    def __reduce__(self) -> tuple[Any, ...]:
        if self.signing_key is not None:
            raise SerializationError("pickle a result store", "it has a signing key, and secrets are not sent along")
        # Where it arrives it goes by that system's clock.
        names = ("storage", "serializer", "lock_manager", "cache_result_in_memory", "accept")
        options = {name: getattr(self, name) for name in names}
        return _remade, (options,)


def _remade(options: dict[str, Any]) -> ResultStore:
    return ResultStore(**options)


def _ask(attempted: str, fn: Callable[..., Any], key: str, *more: Any) -> Any:
    """Ask a storage, which may be somebody else's, and raise what nobody expects.

    Raises:
        StorageError: it did.
    """
    try:
        return fn(key, *more)
    except MillraceError:
        raise
    except Exception as error:
        raise StorageError(
            f"{attempted} of '{shown(key)}'", f"{type(error).__name__}: {shown(text_of(error))}"
        ) from error


def _writing(record: ResultRecord[Any]) -> str:
    return f"write the record of '{shown(record.key)}'"


def _check_key(key: object) -> None:
    if not isinstance(key, str) or not key:
        raise ConfigurationError("key", key, "a string that is not empty")
