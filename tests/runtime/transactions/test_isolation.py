"""SERIALIZABLE: one works on a key at a time, whoever waits finds what was committed, and nobody hangs."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError, RollBack
from millrace.actors.isolation import IsolationLevel
from millrace.actors.transaction_state import CommitMode
from millrace.runtime.results import (
    FileSystemLockManager,
    LocalStorage,
    MemoryLockManager,
    MemoryStorage,
    ResultStore,
)
from millrace.runtime.transactions import Transaction, atransaction, transaction
from tests.checkpoints import turns, until

WAIT = 10.0
SERIALIZABLE = IsolationLevel.SERIALIZABLE


@pytest.fixture(params=["memory", "files"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> ResultStore:
    if request.param == "memory":
        return ResultStore(MemoryStorage(), lock_manager=MemoryLockManager())
    return ResultStore(LocalStorage(tmp_path / "results"), lock_manager=FileSystemLockManager(tmp_path / "locks"))


@pytest.fixture
def memory() -> ResultStore:
    return ResultStore(MemoryStorage(), lock_manager=MemoryLockManager())


class Work:
    """What is done under one key, counted."""

    def __init__(self, store: ResultStore, *, failures: int = 0) -> None:
        self.store = store
        self.failures = failures
        self.guard = threading.Lock()
        self.at_once = 0
        self.done = 0
        self.found: list[Any] = []

    def enter(self) -> None:
        with self.guard:
            self.at_once += 1
            assert self.at_once == 1
            self.done += 1

    def leave(self, txn: Transaction) -> None:
        with self.guard:
            self.at_once -= 1
        if self.done <= self.failures:
            raise RollBack
        txn.stage(self.done)

    def in_thread(self) -> None:
        try:
            with transaction("k", self.store, isolation_level=SERIALIZABLE) as txn:
                if txn.is_committed():
                    self.note(txn.read())
                else:
                    self.enter()
                    self.leave(txn)
        except RollBack:
            pass

    async def on_loop(self) -> None:
        try:
            async with atransaction("k", self.store, isolation_level=SERIALIZABLE) as txn:
                if txn.is_committed():
                    self.note(await txn.aread())
                else:
                    self.enter()
                    await turns(3)
                    self.leave(txn)
        except RollBack:
            pass

    def note(self, record: Any) -> None:
        self.found.append(record.value)


@pytest.mark.parametrize("failures", [0, 3])
def test_of_many_threads_one_works_and_the_others_find_its_result(store: ResultStore, failures: int) -> None:
    work = Work(store, failures=failures)
    with ThreadPoolExecutor(8) as pool:
        for each in [pool.submit(work.in_thread) for _ in range(16)]:
            each.result(WAIT)
    assert work.done == failures + 1
    assert work.found == [failures + 1] * (15 - failures)
    assert not store.is_locked("k")


@pytest.mark.anyio
@pytest.mark.parametrize("failures", [0, 3])
async def test_of_many_on_one_loop_one_works_and_the_others_find_its_result(store: ResultStore, failures: int) -> None:
    work = Work(store, failures=failures)
    await asyncio.gather(*[work.on_loop() for _ in range(16)])
    assert work.done == failures + 1
    assert work.found == [failures + 1] * (15 - failures)
    assert not store.is_locked("k")


@pytest.mark.anyio
async def test_threads_and_loops_wait_for_each_other(store: ResultStore) -> None:
    work = Work(store, failures=2)
    await asyncio.gather(*[asyncio.to_thread(work.in_thread) if at % 2 else work.on_loop() for at in range(12)])
    assert work.done == 3
    assert work.found == [3] * 9
    assert not store.is_locked("k")


def test_without_isolation_nobody_waits(memory: ResultStore) -> None:
    memory.acquire_lock("k", "somebody")
    with transaction("k", memory) as txn:
        txn.stage(1)
    assert txn.is_committed()
    assert txn.isolation_level is IsolationLevel.READ_COMMITTED


def test_a_lock_is_held_until_the_outermost_one_is_settled(memory: ResultStore) -> None:
    with transaction():
        with transaction("k", memory, isolation_level=SERIALIZABLE) as inner:
            inner.stage(1)
        assert memory.is_locked("k")
    assert not memory.is_locked("k")
    assert memory.exists("k")


def test_a_hit_holds_no_lock(memory: ResultStore) -> None:
    memory.write("k", 1)
    with transaction("k", memory, isolation_level=SERIALIZABLE) as txn:
        assert txn.is_committed()
        assert not memory.is_locked("k")


def test_those_who_overwrite_take_turns(memory: ResultStore) -> None:
    memory.write("k", 1)
    with transaction("k", memory, isolation_level=SERIALIZABLE, overwrite=True) as txn:
        assert txn.is_active()
        assert memory.is_locked("k")
        txn.stage(2)
    assert memory.read("k").value == 2
    assert not memory.is_locked("k")


@pytest.mark.parametrize("options", [{"key": "k"}, {}])
def test_a_level_without_a_lock_manager_is_refused_where_it_would_matter(options: dict[str, Any]) -> None:
    store = ResultStore(MemoryStorage())
    if not options:
        with transaction(isolation_level=SERIALIZABLE, store=store) as txn:
            assert txn.is_active()
        return
    message = r"^'isolation_level' takes READ_COMMITTED where the store has no lock manager, as with ResultStore"
    with pytest.raises(ConfigurationError, match=message), transaction("k", store, isolation_level=SERIALIZABLE):
        raise AssertionError


def test_a_level_that_comes_from_around_is_kept_as_far_as_the_store_can(memory: ResultStore) -> None:
    with (
        transaction(isolation_level=SERIALIZABLE),
        transaction("a", ResultStore(MemoryStorage())) as unlocked,
        transaction("b", memory),
    ):
        assert unlocked.is_active()
        assert memory.is_locked("b")


@pytest.mark.anyio
async def test_a_block_that_would_hold_up_its_loop_says_what_to_use_instead(memory: ResultStore) -> None:
    with transaction("free", memory, isolation_level=SERIALIZABLE):
        pass
    memory.acquire_lock("k", "somebody")
    with (
        pytest.raises(BlockingCallOnLoop, match=r"Use `async with atransaction\(\.\.\.\)` instead\.$"),
        transaction("k", memory, isolation_level=SERIALIZABLE),
    ):
        raise AssertionError


# Within one tree.


def test_blocks_in_each_other_with_one_key_do_not_wait_for_each_other(memory: ResultStore) -> None:
    with transaction("k", memory, isolation_level=SERIALIZABLE) as outer:
        with transaction("k", memory) as inner:
            assert inner.is_active()
            inner.stage("inner")
        outer.stage("outer")
    assert memory.read("k").value == "outer"
    assert not memory.is_locked("k")


def test_a_block_finds_what_another_one_has_staged_before(memory: ResultStore) -> None:
    with transaction(isolation_level=SERIALIZABLE):
        with transaction("k", memory) as first:
            first.stage([1])
        with transaction("k", memory) as second:
            found = second.read()
        assert first.is_staged()
        assert second.is_committed()
    assert found is not None
    assert (found.key, found.value) == ("k", [1])
    assert not memory.is_locked("k")


def test_a_block_that_overwrites_goes_after_what_another_one_has_staged(memory: ResultStore) -> None:
    with transaction(isolation_level=SERIALIZABLE):
        with transaction("k", memory) as first:
            first.stage(memory.create_record("k", 1))
        with transaction("k", memory, overwrite=True) as second:
            assert second.is_active()
            second.stage(memory.create_record("k", 2))
        with transaction("k", memory) as third:
            found = third.read()
    assert found is not None
    assert found.value == 2
    assert memory.read("k").value == 2
    assert not memory.is_locked("k")


def test_what_was_rolled_back_is_not_found(memory: ResultStore) -> None:
    with transaction(isolation_level=SERIALIZABLE):
        with pytest.raises(RollBack), transaction("k", memory) as first:  # noqa: PT012  # the block is what raises
            first.stage(1)
            raise RollBack
        with transaction("k", memory) as second:
            assert second.is_active()
    assert not memory.is_locked("k")


def test_what_was_staged_is_not_found_once_it_is_rolled_back(memory: ResultStore) -> None:
    with transaction(isolation_level=SERIALIZABLE) as outer:
        with transaction("k", memory) as first:
            first.stage(1)
        with transaction("k", memory, overwrite=True):
            outer.rollback()
            with transaction("k", memory) as third:
                assert third.is_active()
    assert not memory.is_locked("k")


def test_an_eager_block_leaves_the_key_to_other_trees(memory: ResultStore) -> None:
    with transaction(isolation_level=SERIALIZABLE):
        with transaction("k", memory, CommitMode.EAGER) as first:
            first.stage(1)
        assert not memory.is_locked("k")
        with transaction("k", memory) as second:
            assert second.is_committed()


@pytest.mark.anyio
async def test_of_many_in_one_tree_one_works_and_the_others_find_what_it_has_staged(store: ResultStore) -> None:
    work = Work(store)
    async with atransaction():
        await asyncio.gather(*[asyncio.to_thread(work.in_thread) if at % 2 else work.on_loop() for at in range(12)])
        assert store.is_locked("k")
        assert not store.exists("k")
    assert work.done == 1
    assert work.found == [1] * 11
    assert store.read("k").value == 1
    assert not store.is_locked("k")


@pytest.mark.anyio
async def test_who_gives_up_waiting_gives_up_its_turn_too(memory: ResultStore) -> None:
    work = Work(memory)
    memory.acquire_lock("k", "somebody")
    async with atransaction():
        waiting = [asyncio.create_task(work.on_loop()) for _ in range(2)]
        await turns(5)
        waiting[0].cancel()
        await turns(5)
        memory.release_lock("k", "somebody")
        await waiting[1]
    assert work.done == 1
    assert not memory.is_locked("k")


@pytest.mark.anyio
async def test_a_block_that_begins_after_the_one_around_it_has_ended_takes_turns_with_others(
    memory: ResultStore,
) -> None:
    go_on = asyncio.Event()
    begun: list[Transaction] = []

    async def late() -> None:
        await go_on.wait()
        async with atransaction("k", memory, overwrite=True) as txn:
            begun.append(txn)

    async with atransaction(isolation_level=SERIALIZABLE):
        async with atransaction("k", memory) as first:
            started = asyncio.create_task(late())
            first.stage(1)
        async with atransaction("k", memory, overwrite=True):
            go_on.set()
            await turns(5)
            assert not begun
        await started
        assert begun[0].parent is first
    assert not memory.is_locked("k")


@pytest.mark.anyio
async def test_another_tree_waits_for_the_end_of_this_one(memory: ResultStore) -> None:
    work = Work(memory)
    async with atransaction():
        await work.on_loop()
        other = asyncio.create_task(outside(work))
        await turns(5)
        assert not other.done()
    await other
    assert work.done == 1
    assert work.found == [1]


async def outside(work: Work) -> None:
    """The same work in a tree of its own, although it was started inside another one."""
    await asyncio.to_thread(in_a_new_thread, work)


def in_a_new_thread(work: Work) -> None:
    thread = threading.Thread(target=work.in_thread)
    thread.start()
    thread.join(WAIT)


@pytest.mark.anyio
async def test_a_block_whose_child_took_it_along_keeps_its_key_until_it_ends(memory: ResultStore) -> None:
    work = Work(memory)
    async with atransaction("k", memory, isolation_level=SERIALIZABLE) as txn:
        with pytest.raises(RollBack):
            async with atransaction():
                raise RollBack
        assert txn.is_rolled_back()
        other = asyncio.create_task(outside(work))
        await until(lambda: bool(memory.lock_manager._entries["k"].queue))  # type: ignore[union-attr]
        txn.stage("another way")
    await other
    assert work.done == 0
    assert work.found == ["another way"]
