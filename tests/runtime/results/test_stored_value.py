"""Stored values: what stands in a state in place of a value that lies in a storage."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from millrace import Completed, MissingResult, SerializationError
from millrace.actors.stored_result import StoredResult
from millrace.runtime.results import FileSystemLockManager, MemoryStorage, ResultStore, StoredValue
from tests.runtime.results.sending import sent


@pytest.fixture(params=["memory", "local"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    return ResultStore(MemoryStorage() if request.param == "memory" else tmp_path / "results")


def test_it_reads_the_value_when_it_is_asked(store: ResultStore) -> None:
    stored = StoredValue(store, "a")
    store.write("a", [1, 2])

    assert isinstance(stored, StoredResult)
    assert stored.load() == [1, 2]
    store.write("a", 3)
    assert stored.load() == 3


@pytest.mark.anyio
async def test_it_reads_the_value_without_blocking_the_loop(store: ResultStore) -> None:
    stored = StoredValue(store, "a")
    store.write("a", [1, 2])

    assert await stored.aload() == [1, 2]
    store.delete("a")
    with pytest.raises(MissingResult):
        await stored.aload()


def test_a_value_that_is_gone_is_a_missing_result(store: ResultStore) -> None:
    store.write("a", 1)
    stored = StoredValue(store, "a")
    store.delete("a")

    with pytest.raises(MissingResult) as caught:
        stored.load()
    assert caught.value.where == store.where("a")


@pytest.mark.anyio
async def test_a_state_gives_its_value(store: ResultStore) -> None:
    store.write("a", 7)
    state = Completed(data=StoredValue(store, "a"))

    assert state.result() == 7
    assert await state.aresult() == 7


def test_two_are_equal_by_key_and_storage(tmp_path: Path) -> None:
    store = ResultStore(tmp_path)
    stored = StoredValue(store, "a")

    assert stored == StoredValue(ResultStore(str(tmp_path)), "a")
    assert hash(stored) == hash(StoredValue(ResultStore(str(tmp_path)), "a"))
    assert stored != StoredValue(store, "b")
    assert stored != StoredValue(ResultStore(tmp_path / "other"), "a")
    assert stored != "a"
    assert StoredValue(ResultStore(MemoryStorage()), "a") != StoredValue(ResultStore(MemoryStorage()), "a")


def test_one_that_was_sent_finds_the_value_where_it_lies(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "results", lock_manager=FileSystemLockManager(tmp_path / "locks"))
    store.write("a", 1)
    stored = StoredValue(store, "a")

    copy = sent(stored)

    assert copy == stored
    assert copy.load() == 1
    assert copy.store.lock_manager is None


def test_one_that_was_sent_from_a_memory_misses_the_value() -> None:
    store = ResultStore(MemoryStorage())
    store.write("a", 1)

    copy = sent(StoredValue(store, "a"))

    with pytest.raises(MissingResult):
        copy.load()


def test_one_in_the_memory_of_the_process_finds_it_there() -> None:
    store = ResultStore("memory://")
    store.write("a", 1)

    assert sent(StoredValue(store, "a")).load() == 1
    store.delete("a")


def test_one_of_a_signed_store_is_not_sent() -> None:
    """A copy without the key would read what anybody has put there."""
    with pytest.raises(SerializationError):
        pickle.dumps(StoredValue(ResultStore(MemoryStorage(), signing_key=bytes(16)), "a"))


def test_it_shows_where_it_is_and_not_the_value(store: ResultStore) -> None:
    store.write("a", "s3cret")

    assert repr(StoredValue(store, "a")) == f"<StoredValue in {store.where('a')}>"
    assert StoredValue(store, "a").key == "a"
