"""Locks that are asked for, and not waited for: a function is called when they are there."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millrace.runtime.results import FileSystemLockManager, MemoryLockManager, file_locks
from millrace.runtime.results.folders import file_name
from millrace.runtime.results.locking import QueuedLocks
from tests.runtime.results.patience import PATIENCE, await_true


@pytest.fixture(params=["memory", "files"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueuedLocks]:
    made = MemoryLockManager() if request.param == "memory" else FileSystemLockManager(tmp_path / "locks")
    yield made
    assert not made._entries


class Told:
    """What has been served."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def call(self, name: str, *, wanted: bool = True) -> Callable[[], bool]:
        """A function that writes down a name."""

        def served() -> bool:
            self.names.append(name)
            return wanted

        return served


@pytest.fixture
def told() -> Told:
    return Told()


def test_a_free_lock_is_there_at_once(manager: QueuedLocks, told: Told) -> None:
    assert manager.request_lock("k", "a", told.call("a"))
    assert manager.is_lock_holder("k", "a")
    assert manager.request_lock("k", "a", told.call("a"))
    assert told.names == []
    manager.release_lock("k", "a")


def test_whoever_asked_first_is_served_first(manager: QueuedLocks, told: Told) -> None:
    assert manager.acquire_lock("k", "a")
    assert not manager.request_lock("k", "b", told.call("b"))
    assert not manager.request_lock("k", "c", told.call("c"))

    manager.release_lock("k", "a")
    assert told.names == ["b"]
    assert manager.is_lock_holder("k", "b")
    assert manager.acquire_lock("k", "b", 0)  # it has that, and need not wait for it
    manager.release_lock("k", "b")
    assert told.names == ["b", "c"]
    manager.release_lock("k", "c")


def test_those_who_wait_and_those_who_asked_are_in_one_line(manager: QueuedLocks, told: Told) -> None:
    assert manager.acquire_lock("k", "a")
    thread = threading.Thread(target=manager.acquire_lock, args=("k", "b"), daemon=True)
    thread.start()
    await_true(lambda: len(manager._entries["k"].queue) == 1)
    assert not manager.request_lock("k", "c", told.call("c"))

    manager.release_lock("k", "a")
    thread.join(PATIENCE)
    assert manager.is_lock_holder("k", "b")
    assert told.names == []
    manager.release_lock("k", "b")
    assert told.names == ["c"]
    manager.release_lock("k", "c")


def test_what_is_wanted_no_more_goes_to_the_next(manager: QueuedLocks, told: Told) -> None:
    assert manager.acquire_lock("k", "a")
    assert not manager.request_lock("k", "b", told.call("b", wanted=False))
    assert not manager.request_lock("k", "c", told.call("c"))

    manager.release_lock("k", "a")
    assert told.names == ["b", "c"]
    assert manager.is_lock_holder("k", "c")
    manager.release_lock("k", "c")


def test_a_long_line_may_be_wanted_no_more(manager: QueuedLocks, told: Told) -> None:
    count = 3_000  # more than calls may be nested
    assert manager.acquire_lock("k", "a")
    for number in range(count):
        assert not manager.request_lock("k", str(number), told.call(str(number), wanted=False))

    manager.release_lock("k", "a")
    assert len(told.names) == count
    assert not manager.is_locked("k")


def test_a_lock_that_another_process_has_is_told_of_when_it_is_there(tmp_path: Path, told: Told) -> None:
    manager = FileSystemLockManager(tmp_path)
    descriptor = os.open(tmp_path / file_name("k"), os.O_RDWR | os.O_CREAT, 0o600)  # as another process has it
    assert file_locks._lock(descriptor, wait=False)

    assert not manager.request_lock("k", "a", told.call("a"))
    assert not manager.request_lock("k", "b", told.call("b", wanted=False))
    os.close(descriptor)

    await_true(lambda: told.names == ["a"])
    assert manager.is_lock_holder("k", "a")
    manager.release_lock("k", "a")
    assert told.names == ["a", "b"]
    assert not manager.is_locked("k")


def test_a_lock_that_cannot_be_had_is_told_to_whoever_acquires_it(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    manager = FileSystemLockManager(tmp_path)
    descriptor = os.open(tmp_path / file_name("k"), os.O_RDWR | os.O_CREAT, 0o600)
    assert file_locks._lock(descriptor, wait=False)
    lock = file_locks._lock

    def fails(descriptor: int, *, wait: bool, shared: bool = False) -> bool:
        if wait:
            raise OSError(5, "it does not answer")
        return lock(descriptor, wait=wait, shared=shared)

    monkeypatch.setattr(file_locks, "_lock", fails)
    assert not manager.request_lock("k", "a", told.call("a"))

    await_true(lambda: told.names == ["a"])
    assert not manager.is_lock_holder("k", "a")
    os.close(descriptor)
    assert manager.acquire_lock("k", "a", 0)
    manager.release_lock("k", "a")
