"""The result store: what it keeps, what it reads, when a result is too old, and what stays in memory."""

from __future__ import annotations

import gc
import pickle
import threading
import weakref
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from millrace import ConfigurationError, MissingResult, SerializationError
from millrace.actors.errors import StorageError
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.results import (
    CompressedSerializer,
    JSONSerializer,
    LocalStorage,
    MemoryLockManager,
    MemoryStorage,
    PickleSerializer,
    ResultStore,
    Storage,
)
from millrace.runtime.results import store as module
from tests.clock import VirtualTime
from tests.runtime.results.sending import sent

KEY = bytes(range(32))


class Thing:
    """Can be watched, and is equal to others like it."""

    def __init__(self, name: str = "thing") -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Thing) and other.name == self.name

    def __hash__(self) -> int:
        return hash(self.name)


@pytest.fixture(params=["memory", "local"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    return MemoryStorage() if request.param == "memory" else LocalStorage(tmp_path / "results")


@pytest.fixture
def store(storage: Storage) -> ResultStore:
    return ResultStore(storage)


def test_what_was_written_can_be_read(store: ResultStore) -> None:
    written = store.write("a", Thing())

    read = store.read("a")

    assert read.value == Thing()
    assert read.metadata == written.metadata
    assert read.key == "a"
    assert read.serializer == "pickle"
    assert read.expiration is None
    assert store.exists("a")


def test_a_value_is_replaced_by_the_next(store: ResultStore) -> None:
    store.write("a", 1)
    store.write("a", 2)

    assert store.read("a").value == 2


def test_none_is_a_value(store: ResultStore) -> None:
    store.write("a", None)

    found = store.find("a")
    assert found is not None
    assert found.value is None


def test_what_is_not_there_is_missing(store: ResultStore) -> None:
    with pytest.raises(MissingResult) as caught:
        store.read("a")

    assert caught.value.where == store.where("a")
    assert store.find("a") is None
    assert not store.exists("a")


def test_what_was_deleted_is_missing(store: ResultStore) -> None:
    store.write("a", 1)
    store.delete("a")
    store.delete("a")

    assert store.find("a") is None
    assert not store.exists("a")


@pytest.mark.parametrize("key", ["", None, 3, b"a"])
def test_a_key_is_a_string_that_is_not_empty(store: ResultStore, key: Any) -> None:
    for call in (store.read, store.find, store.exists, store.delete, lambda key: store.write(key, 1)):
        with pytest.raises(ConfigurationError, match="'key' takes a string that is not empty"):
            call(key)


def test_a_value_that_cannot_be_written_leaves_what_is_there(store: ResultStore) -> None:
    store.write("a", 1)

    with pytest.raises(SerializationError):
        store.write("a", threading.Lock())

    assert store.read("a").value == 1


# Expiration.


@pytest.mark.parametrize(("seconds", "there"), [(9.999999, True), (10, False), (11, False)])
def test_a_result_that_expired_is_not_found(storage: Storage, seconds: float, there: bool) -> None:
    time = VirtualTime()
    store = ResultStore(storage, clock=time.now)
    store.write("a", 1, expiration=from_nanoseconds(time.now()) + timedelta(seconds=10))

    time.advance(seconds)

    assert (store.find("a") is not None) is there
    assert store.exists("a") is there


def test_whoever_asks_may_say_what_time_it_is(store: ResultStore) -> None:
    soon = datetime.now(UTC) + timedelta(hours=1)
    store.write("a", 1, expiration=soon)

    assert store.find("a") is not None
    assert store.find("a", now=soon) is None
    assert not store.exists("a", now=soon)


def test_nobody_is_asked_what_time_it_is_for_a_result_that_does_not_expire(storage: Storage) -> None:
    asked: list[int] = []

    def clock() -> int:
        asked.append(1)
        return 1

    store = ResultStore(storage, clock=clock)
    store.write("k", 1)
    store.write("expires", 2, expiration=datetime(2040, 1, 1, tzinfo=UTC))
    asked.clear()

    store.find("k")
    assert not asked
    store.find("expires")
    assert asked


def test_an_expired_result_can_still_be_read(store: ResultStore) -> None:
    """It is too old for a cache, and still the result of the run that made it."""
    store.write("a", 1, expiration=datetime(2000, 1, 1, tzinfo=UTC))

    assert store.find("a") is None
    assert store.read("a").value == 1


def test_a_record_says_when_it_was_made(storage: Storage) -> None:
    time = VirtualTime()
    store = ResultStore(storage, clock=time.now)
    store.write("a", 1)
    time.advance(5)

    assert store.read("a").metadata.created == from_nanoseconds(time.now()) - timedelta(seconds=5)


def test_an_expiration_without_a_time_zone_is_refused(store: ResultStore) -> None:
    with pytest.raises(ConfigurationError):
        store.write("a", 1, expiration=datetime(2030, 1, 1))  # noqa: DTZ001  # that is what is refused

    assert not store.exists("a")


# Who reads what.


def test_a_store_reads_what_its_own_serializer_wrote_and_no_more(storage: Storage) -> None:
    ResultStore(storage, serializer="pickle").write("a", 1)

    with pytest.raises(SerializationError, match="it was written by serializer 'pickle', and this store reads 'json'"):
        ResultStore(storage, serializer="json").read("a")


def test_a_store_reads_what_it_was_told_to_accept_too(storage: Storage) -> None:
    ResultStore(storage, serializer="pickle").write("a", 1)
    store = ResultStore(storage, serializer="json", accept=["pickle", "compressed/json"])

    assert store.read("a").value == 1
    assert store.write("a", 2).serializer == "json"
    assert ResultStore(storage, serializer="json").read("a").value == 2


def test_a_single_serializer_may_be_accepted_without_a_list(storage: Storage) -> None:
    ResultStore(storage, serializer="pickle").write("a", 1)

    for accept in ("pickle", PickleSerializer()):
        assert ResultStore(storage, serializer="json", accept=accept).read("a").value == 1


def test_of_two_serializers_with_one_tag_the_store_s_own_reads(storage: Storage) -> None:
    own = JSONSerializer()
    store = ResultStore(storage, serializer=own, accept=["json"])

    assert store._readers["json"] is own


def test_a_serializer_of_ones_own_may_fail_in_any_way(storage: Storage) -> None:
    class Moody:
        tag = "moody"

        def dumps(self, value: Any) -> Any:
            return value if value != "raise" else 1 / 0

        def loads(self, blob: bytes) -> Any:
            raise KeyError(blob)

    store = ResultStore(storage, serializer=Moody(), cache_result_in_memory=False)

    with pytest.raises(SerializationError, match=r"^Could not write the record of 'a': ZeroDivisionError: .*\.$"):
        store.write("a", "raise")
    with pytest.raises(SerializationError, match="its serializer made a 'str' of it, and not bytes"):
        store.write("a", "text")
    store.write("a", b"bytes")
    with pytest.raises(SerializationError, match=r"^Could not read the record of 'a': KeyError: "):
        store.read("a")


def test_a_tag_that_is_too_long_is_refused_when_it_is_written(storage: Storage) -> None:
    class Long(PickleSerializer):
        @property
        def tag(self) -> str:
            return "x" * 256

    with pytest.raises(SerializationError, match="the tag of a serializer has at most 255 bytes"):
        ResultStore(storage, serializer=Long()).write("a", 1)


@pytest.mark.parametrize(
    "damage",
    [lambda blob: blob[:-1], lambda blob: blob[:40] + bytes([blob[40] ^ 1]) + blob[41:], lambda _: b""],
    ids=["cut off", "changed", "emptied"],
)
def test_a_record_that_was_damaged_is_refused_and_not_missing(store: ResultStore, damage: Any) -> None:
    store.write("a", [1, 2, 3])
    store.storage.write("a", damage(store.storage.read("a")))

    for call in (store.read, store.find, store.exists):
        with pytest.raises(SerializationError, match=r"^Could not read the record of 'a': "):
            call("a")


def test_a_record_that_was_moved_is_refused(store: ResultStore) -> None:
    store.write("a", 1)
    store.storage.write("b", store.storage.read("a"))

    with pytest.raises(SerializationError, match=r"^Could not read the record of 'b': it is the record of 'a'\.$"):
        store.read("b")


def test_a_signed_store_reads_what_it_signed(storage: Storage) -> None:
    ResultStore(storage, signing_key=KEY).write("a", 1)

    assert ResultStore(storage, signing_key=KEY).read("a").value == 1
    for other in (ResultStore(storage), ResultStore(storage, signing_key=KEY[::-1])):
        with pytest.raises(SerializationError):
            other.read("a")


def test_a_signed_store_reads_nothing_unsigned(storage: Storage) -> None:
    ResultStore(storage).write("a", 1)

    with pytest.raises(SerializationError, match="it is signed, or should be"):
        ResultStore(storage, signing_key=KEY).read("a")


@pytest.mark.parametrize("signing_key", [b"", b"x" * 15, "x" * 32, 7])
def test_a_signing_key_is_long_and_never_shown(signing_key: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        ResultStore("memory://", signing_key=signing_key)

    assert caught.value.name == "signing_key"
    assert not signing_key or repr(signing_key) not in str(caught.value)
    assert "signing" not in repr(ResultStore("memory://", signing_key=KEY))


# Memory.


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_store_keeps_values_only_in_memory_and_only_if_it_may(kind: str, tmp_path: Path, cached: bool) -> None:
    storage: Storage = MemoryStorage() if kind == "memory" else LocalStorage(tmp_path)
    store = ResultStore(storage, cache_result_in_memory=cached)
    value = Thing()
    alive = weakref.ref(value)

    store.write("a", value)
    same = store.read("a").value is value
    del value
    read = weakref.ref(store.read("a").value)
    gc.collect()

    kept = cached and kind == "memory"
    assert same is kept
    assert (alive() is not None) is kept
    assert (read() is not None) is kept
    assert store.read("a").value == Thing()


def test_a_kept_value_is_that_of_the_bytes_that_are_there() -> None:
    """Two stores over one storage: neither gives what the other one has replaced."""
    storage = MemoryStorage()
    one, other = ResultStore(storage), ResultStore(storage)
    one.write("a", "old")
    other.write("a", "new")

    assert one.read("a").value == "new"
    storage.delete("a")
    assert one.find("a") is None
    assert other.find("a") is None


def test_only_the_last_values_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    store = ResultStore(MemoryStorage())
    things = [Thing(str(at)) for at in range(4)]
    for at in range(3):
        store.write(str(at), things[at])

    assert store.read("0").value is things[0]
    store.write("3", things[3])  # the one used longest ago goes: that of "1"

    assert [store.read(str(at)).value is things[at] for at in (0, 2, 3)] == [True, True, True]
    assert store.read("1").value is not things[1]
    assert store.read("1").value == things[1]


def test_a_mutable_value_is_copied_where_values_are_not_kept(storage: Storage) -> None:
    store = ResultStore(storage, cache_result_in_memory=False)
    value = [1]
    store.write("a", value)
    value.append(2)

    assert store.read("a").value == [1]


# Making one.


def test_a_record_of_one_store_can_be_persisted_in_another(storage: Storage) -> None:
    record = ResultStore(MemoryStorage()).create_record("a", (1, 2))

    persisted = ResultStore(storage, serializer="json").persist(record)

    assert persisted.serializer == "json"
    assert persisted.metadata.created == record.metadata.created
    assert ResultStore(storage, serializer="json").read("a").value == (1, 2)


def test_making_a_record_writes_nothing(store: ResultStore) -> None:
    store.create_record("a", 1)

    assert not store.exists("a")


def test_a_copy_with_other_options_leaves_the_store_as_it_is(store: ResultStore) -> None:
    manager = MemoryLockManager()

    copy = store.with_options(serializer="json", lock_manager=manager, cache_result_in_memory=False)

    assert copy.storage is store.storage
    assert copy.lock_manager is manager
    assert (copy.serializer.tag, copy.cache_result_in_memory) == ("json", False)
    assert (store.serializer.tag, store.lock_manager, store.cache_result_in_memory) == ("pickle", None, True)
    copy.write("a", 1)
    assert copy.read("a").value == 1


def test_options_are_what_they_name(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results", serializer="compressed/json")

    assert store.storage == LocalStorage(tmp_path / "results")
    assert store.serializer == CompressedSerializer("json")
    assert store.blocking
    assert not ResultStore("memory://").blocking


def test_a_store_that_is_made_touches_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_LOCAL_STORAGE_PATH", str(tmp_path / "results"))
    store = ResultStore()

    assert store.find("a") is None
    assert not store.exists("a")
    store.delete("a")
    assert list(tmp_path.iterdir()) == []

    store.write("a", 1)
    assert [each.name for each in tmp_path.iterdir()] == ["results"]


def test_a_store_can_be_sent_but_not_its_signing_key(tmp_path: Path) -> None:
    store = ResultStore(tmp_path, serializer="json", accept=["pickle"], cache_result_in_memory=False)
    store.write("a", 1)

    copy = sent(store)

    assert copy.read("a").value == 1
    assert (copy.serializer, copy.accept, copy.cache_result_in_memory) == (store.serializer, store.accept, False)
    with pytest.raises(SerializationError, match="it has a signing key, and secrets are not sent along"):
        pickle.dumps(store.with_options(signing_key=KEY))


def test_without_a_lock_manager_every_call_for_a_lock_says_so(store: ResultStore) -> None:
    calls: list[Any] = [
        lambda: store.acquire_lock("a", "me"),
        lambda: store.release_lock("a", "me"),
        lambda: store.is_locked("a"),
        lambda: store.is_lock_holder("a", "me"),
        lambda: store.wait_for_lock("a"),
    ]
    for call in calls:
        with pytest.raises(ConfigurationError, match="'lock_manager' takes a lock manager, such as MemoryLockManager"):
            call()


def test_locks_are_those_of_the_manager() -> None:
    manager = MemoryLockManager()
    store = ResultStore("memory://", lock_manager=manager)

    assert store.acquire_lock("a", "me")
    assert manager.is_lock_holder("a", "me")
    assert store.is_locked("a")
    assert store.is_lock_holder("a", "me")
    assert not store.acquire_lock("a", "you", 0)
    assert not store.wait_for_lock("a", 0)
    store.release_lock("a", "me")
    assert store.wait_for_lock("a", 0)


# In async code.


@pytest.mark.anyio
async def test_async_code_can_do_the_same(store: ResultStore) -> None:
    assert await store.afind("a") is None
    with pytest.raises(MissingResult):
        await store.aread("a")
    written = await store.awrite("a", 1, expiration=datetime(2000, 1, 1, tzinfo=UTC))
    assert written.value == 1
    assert (await store.aread("a")).value == 1
    assert await store.afind("a") is None
    assert await store.afind("a", now=datetime(1999, 1, 1, tzinfo=UTC)) is not None
    assert await store.aexists("a", now=datetime(1999, 1, 1, tzinfo=UTC))
    assert not await store.aexists("a")
    await store.apersist(store.create_record("b", 2))
    assert (await store.aread("b")).value == 2
    await store.adelete("b")
    assert await store.afind("b") is None
    with pytest.raises(SerializationError):
        await store.awrite("a", threading.Lock())


@pytest.mark.anyio
async def test_a_storage_that_may_block_is_used_off_the_loop() -> None:
    threads: list[threading.Thread] = []

    class Noting(MemoryStorage):
        def read(self, key: str) -> bytes:
            threads.append(threading.current_thread())
            return super().read(key)

        def write(self, key: str, blob: bytes) -> None:
            threads.append(threading.current_thread())
            super().write(key, blob)

    quick, slow = Noting(), Noting()
    slow.blocking = True
    for storage in (quick, slow):
        store = ResultStore(storage)
        await store.awrite("a", 1)
        await store.aread("a")

    here = threading.current_thread()
    assert [each is here for each in threads] == [True, True, False, False]


@pytest.mark.anyio
async def test_async_code_locks_and_waits_by_the_manager() -> None:
    store = ResultStore("memory://", lock_manager=MemoryLockManager())

    assert await store.aacquire_lock("a", "me")
    assert not await store.aacquire_lock("a", "you", 0)
    assert not await store.await_for_lock("a", 0)
    store.release_lock("a", "me")
    assert await store.await_for_lock("a")


def test_a_storage_that_fails_raises_one_kind_of_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    store = ResultStore(tmp_path / "file" / "results")

    with pytest.raises(StorageError):
        store.write("a", 1)
