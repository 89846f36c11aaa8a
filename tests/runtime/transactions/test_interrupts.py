"""Cancellations and interrupts: what was begun is rolled back to the end, and then they go on up."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import anyio
import pytest

from millrace.actors.isolation import IsolationLevel
from millrace.actors.transaction_state import CommitMode
from millrace.runtime.results import LocalStorage, MemoryLockManager, MemoryStorage, ResultStore
from millrace.runtime.transactions import Transaction, atransaction, get_transaction, transaction
from tests.checkpoints import (
    Cut,
    at_every_checkpoint,
    cut_by_asyncio,
    cut_by_asyncio_again_and_again,
    cut_by_scope,
    turns,
    until,
)
from tests.loose import flow, task

pytestmark = pytest.mark.anyio

WAIT = 10.0
SERIALIZABLE = IsolationLevel.SERIALIZABLE


@pytest.fixture
def store() -> ResultStore:
    return ResultStore(MemoryStorage(), lock_manager=MemoryLockManager())


class Hook:
    """An async hook that goes on when it is let."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.go_on = asyncio.Event()
        self.ended = 0

    async def __call__(self, _: Transaction) -> None:
        self.begun.set()
        await self.go_on.wait()
        self.ended += 1


async def forever() -> None:
    await asyncio.Event().wait()


async def cancelled(work: Coroutine[Any, Any, Any]) -> None:
    """Run something until it waits, cancel it, and see that the cancellation comes out of it."""
    running = asyncio.create_task(work)
    await turns(5)
    assert not running.done()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running


async def test_a_cancelled_block_is_rolled_back_with_its_children(store: ResultStore) -> None:
    undone: list[str] = []

    def undo(name: str) -> Callable[[Transaction], None]:
        return lambda _: undone.append(name)

    async def body() -> None:
        async with atransaction("k", store, isolation_level=SERIALIZABLE) as outer:
            for name in "ab":
                async with atransaction(name, store) as inner:
                    inner.stage(1, [undo(name)])
            outer.stage(1, [undo("outer")])
            await forever()

    await cancelled(body())
    assert undone == ["outer", "b", "a"]
    assert not any(store.is_locked(key) or store.exists(key) for key in ("k", "a", "b"))


async def test_a_rollback_is_finished_whatever_is_cancelled_meanwhile() -> None:
    hook, last = Hook(), Hook()
    last.go_on.set()

    async def body() -> None:
        async with atransaction() as txn:
            txn.stage(1, [last, hook])
            raise ValueError

    running = asyncio.create_task(body())
    await hook.begun.wait()
    for _ in range(3):
        running.cancel()
        await turns(3)
    assert not running.done()
    hook.go_on.set()
    with pytest.raises(asyncio.CancelledError) as caught:
        await running
    assert isinstance(caught.value.__context__, ValueError)
    assert (hook.ended, last.ended) == (1, 1)


async def test_a_cancelled_scope_around_a_block_does_not_reach_its_rollback() -> None:
    hook = Hook()
    went_on = False
    host = asyncio.current_task()
    assert host is not None

    async def let_go() -> None:
        await hook.begun.wait()
        before = host.cancelling()
        await turns(10)
        assert host.cancelling() == before  # nobody spins
        hook.go_on.set()

    scope = anyio.CancelScope()
    async with anyio.create_task_group() as group:
        group.start_soon(let_go)
        with scope:
            async with atransaction() as txn:
                txn.stage(1, [hook])
                scope.cancel()
                await forever()
            went_on = True
    assert hook.ended == 1
    assert scope.cancelled_caught
    assert not went_on


async def test_a_timeout_around_a_block_stays_a_timeout() -> None:
    hook = Hook()
    hook.go_on.set()
    with pytest.raises(TimeoutError):  # noqa: PT012  # the block is what raises
        async with asyncio.timeout(0), atransaction() as txn:
            txn.stage(1, [hook])
            await forever()
    assert hook.ended == 1


async def test_a_commit_hook_that_is_cancelled_rolls_back_what_was_not_committed(store: ResultStore) -> None:
    hook = Hook()
    undone: list[str] = []

    async def body() -> None:
        async with atransaction("outer", store, isolation_level=SERIALIZABLE) as outer:
            async with atransaction("first", store) as first:
                first.stage(1, [lambda _: undone.append("first")])
            async with atransaction("second", store) as second:
                second.stage(2, [lambda _: undone.append("second")], [hook])
            outer.stage(3, [lambda _: undone.append("outer")])

    running = asyncio.create_task(body())
    await hook.begun.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert undone == ["outer", "second"]
    assert [store.exists(key) for key in ("first", "second", "outer")] == [True, False, False]
    assert not any(store.is_locked(key) for key in ("first", "second", "outer"))
    assert hook.ended == 0


class SlowToWrite(LocalStorage):
    """One whose writes take until they may go on."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun, self.go_on, self.written = threading.Event(), threading.Event(), threading.Event()

    def write(self, key: str, blob: bytes) -> None:
        self.begun.set()
        assert self.go_on.wait(WAIT)
        super().write(key, blob)
        self.written.set()


async def test_a_write_that_has_begun_is_seen_through(tmp_path: Path) -> None:
    slow = SlowToWrite(tmp_path)
    store = ResultStore(slow)
    made: list[Transaction] = []

    async def body() -> None:
        async with atransaction("k", store) as txn:
            made.append(txn)
            txn.stage(1)

    running = asyncio.create_task(body())
    await until(slow.begun.is_set)
    running.cancel()
    await turns(3)
    assert not running.done()
    slow.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert made[0].is_committed()
    assert store.read("k").value == 1


@pytest.mark.parametrize("times", [1, 3])
async def test_a_cancellation_outlives_a_write_that_fails_meanwhile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, times: int
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    undone: list[str] = []

    class Full(LocalStorage):
        def write(self, key: str, blob: bytes) -> None:
            begun.set()
            assert go_on.wait(WAIT)
            raise OSError(key, len(blob))

    async def body() -> None:
        async with atransaction("k", ResultStore(Full(tmp_path))) as txn:
            txn.stage(1, [lambda _: undone.append("undone")])

    running = asyncio.create_task(body())
    await until(begun.is_set)
    for _ in range(times):
        running.cancel()
        await turns(3)
    assert not running.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert undone == ["undone"]
    assert "is not written, and it is rolled back" in caplog.text


async def test_a_cancellation_outlives_a_rollback_hook_that_fails_meanwhile(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook()

    async def fails(_: Transaction) -> None:
        await hook(_)
        raise LookupError

    async def rolls_back() -> None:
        async with atransaction() as txn:
            txn.stage(1, [fails])
            await txn.arollback()

    running = asyncio.create_task(rolls_back())
    await hook.begun.wait()
    running.cancel()
    await turns(3)
    hook.go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert hook.ended == 1
    assert "LookupError" in caplog.text


async def test_a_cancelled_scope_around_a_write_waits_for_it_and_does_not_spin(tmp_path: Path) -> None:
    slow = SlowToWrite(tmp_path)
    store = ResultStore(slow)
    host = asyncio.current_task()
    assert host is not None
    scope = anyio.CancelScope()

    async def let_go() -> None:
        await until(slow.begun.is_set)
        scope.cancel()
        await turns(3)
        before = host.cancelling()
        await turns(10)
        assert host.cancelling() == before  # nobody spins
        slow.go_on.set()

    async with anyio.create_task_group() as group:
        group.start_soon(let_go)
        with scope:
            async with atransaction("k", store) as txn:
                txn.stage(1)
    assert scope.cancelled_caught
    assert store.read("k").value == 1


async def test_a_coroutine_that_is_closed_in_the_middle_of_a_write_is_rolled_back(tmp_path: Path) -> None:
    slow = SlowToWrite(tmp_path)
    undone: list[str] = []

    async def body() -> None:
        async with atransaction("k", ResultStore(slow), overwrite=True) as txn:
            txn.stage(1, [lambda _: undone.append("undone")])

    coroutine = body()
    contextvars.copy_context().run(coroutine.send, None)
    await until(slow.begun.is_set)
    coroutine.close()
    assert undone == ["undone"]
    slow.go_on.set()
    assert await asyncio.to_thread(slow.written.wait, WAIT)


async def test_a_wait_for_a_lock_that_is_cancelled_leaves_nothing_behind(store: ResultStore) -> None:
    store.acquire_lock("k", "somebody")

    async def body() -> None:
        async with atransaction("k", store, isolation_level=SERIALIZABLE):
            raise AssertionError

    await cancelled(body())
    assert get_transaction() is None
    store.release_lock("k", "somebody")
    assert not store.is_locked("k")


async def test_a_look_for_a_record_that_is_cancelled_gives_the_lock_back(tmp_path: Path) -> None:
    begun, go_on = threading.Event(), threading.Event()

    class Slow(LocalStorage):
        def read(self, key: str) -> bytes:
            begun.set()
            assert go_on.wait(WAIT)
            return super().read(key)

    store = ResultStore(Slow(tmp_path), lock_manager=MemoryLockManager())
    made = Transaction("k", store, isolation_level=SERIALIZABLE)
    running = asyncio.create_task(made.abegin())
    await until(begun.is_set)
    assert store.is_locked("k")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    go_on.set()
    assert not store.is_locked("k")
    assert made.is_pending()


async def test_a_closed_coroutine_is_rolled_back_at_once(store: ResultStore) -> None:
    undone: list[str] = []

    async def undo(_: Transaction) -> None:
        undone.append("async")

    async def body() -> None:
        async with atransaction("k", store, isolation_level=SERIALIZABLE) as txn:
            txn.stage(1, [lambda _: undone.append("sync"), undo])
            await forever()

    coroutine = body()
    coroutine.send(None)
    coroutine.close()
    assert undone == ["async", "sync"]
    assert not store.is_locked("k")


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_a_coroutine_that_is_closed_in_the_middle_of_a_rollback_gives_its_locks_back(
    store: ResultStore, caplog: pytest.LogCaptureFixture, *, elsewhere: bool
) -> None:
    hook = Hook()
    undone: list[str] = []

    async def body() -> None:
        async with atransaction("k", store, isolation_level=SERIALIZABLE) as txn:
            txn.stage(1, [lambda _: undone.append("sync"), hook])
            raise ValueError

    class Closes:
        """Awaits a coroutine for a while, then closes it."""

        def __await__(self) -> Any:
            coroutine = body()
            waits = coroutine.__await__()
            next(waits)
            while not hook.begun.is_set():
                yield
            coroutine.close()

    if elsewhere:
        coroutine = body()
        waits = coroutine.__await__()

        async def begins() -> None:
            next(waits)

        await asyncio.create_task(begins())
        await hook.begun.wait()
        coroutine.close()
    else:
        await Closes()
    assert undone == ["sync"]
    assert not store.is_locked("k")
    assert not caplog.records
    hook.go_on.set()
    await turns(5)
    assert hook.ended == 1


async def test_a_coroutine_that_is_closed_in_a_commit_hook_is_rolled_back(caplog: pytest.LogCaptureFixture) -> None:
    hook = Hook()
    undone: list[str] = []

    async def body() -> None:
        async with atransaction() as txn:
            txn.stage(1, [lambda _: undone.append("sync")], [hook])

    coroutine = body()
    contextvars.copy_context().run(coroutine.send, None)
    assert hook.begun.is_set()
    coroutine.close()
    assert undone == ["sync"]
    assert hook.ended == 0
    assert not caplog.records


async def test_an_interrupt_in_a_hook_goes_on_up_when_all_is_rolled_back() -> None:
    undone: list[str] = []

    def interrupted(_: Transaction) -> None:
        undone.append("interrupted")
        raise SystemExit

    def body(error: type[BaseException] | None) -> None:
        with transaction() as txn:
            txn.stage(1, [lambda _: undone.append("first"), interrupted], [] if error else [interrupted])
            if error:
                raise error

    with pytest.raises(SystemExit):
        body(ValueError)
    assert undone == ["interrupted", "first"]
    with pytest.raises(SystemExit):
        body(None)
    assert undone == ["interrupted", "first", "interrupted", "interrupted", "first"]


@pytest.mark.parametrize("interrupt", [SystemExit, KeyboardInterrupt])
def test_an_interrupt_in_a_write_rolls_back_what_was_not_written(interrupt: type[BaseException]) -> None:
    undone: list[str] = []
    made: list[Transaction] = []

    class Interrupted(MemoryStorage):
        def write(self, key: str, blob: bytes) -> None:
            raise interrupt

    def body() -> None:
        with transaction("k", ResultStore(Interrupted())) as txn:
            made.append(txn)
            txn.stage(1, [lambda _: undone.append("undone")])

    with pytest.raises(interrupt):
        body()
    assert undone == ["undone"]
    assert made[0].is_rolled_back()


async def test_a_cancelled_task_run_rolls_back_the_transaction_in_its_body() -> None:
    undone: list[str] = []
    begun = asyncio.Event()

    @task
    async def waits() -> None:
        async with atransaction() as txn:
            txn.stage(1, [lambda _: undone.append("undone")])
            begun.set()
            await forever()

    @flow
    async def body() -> Any:
        future = waits.submit()
        await begun.wait()
        future.cancel()
        return await future.wait_async(WAIT)

    assert (await body(return_state=True)).is_cancelled()
    assert undone == ["undone"]


# At every checkpoint.


class Story:
    """A tree of transactions in which every hook waits, and what became of what was staged in it."""

    def __init__(self) -> None:
        self.store = ResultStore(MemoryStorage(), lock_manager=MemoryLockManager())
        self.staged: list[tuple[Transaction, str]] = []
        self.happened: list[str] = []

    def hook(self, name: str) -> Callable[[Transaction], Any]:
        async def waits(_: Transaction) -> None:
            self.happened.append(name)
            await turns(2)
            self.happened.append(f"{name} ended")

        return waits

    def stage(self, txn: Transaction, name: str) -> None:
        txn.stage(name, [self.hook(f"undo {name}")], [self.hook(f"do {name}")])
        self.staged.append((txn, name))

    async def step(self, name: str, **options: Any) -> None:
        async with atransaction(name, self.store, isolation_level=SERIALIZABLE, **options) as txn:
            await turns(2)
            self.stage(txn, name)

    async def tell(self) -> None:
        async with atransaction("outer", self.store, isolation_level=SERIALIZABLE) as outer:
            await self.step("first")
            await asyncio.gather(self.step("second"), self.step("third"))
            await self.step("eager", commit_mode=CommitMode.EAGER)
            with contextlib.suppress(ValueError):
                async with atransaction("bad", self.store) as bad:
                    self.stage(bad, "bad")
                    raise ValueError
            self.stage(outer, "outer")

    def check(self) -> None:
        for txn, name in self.staged:
            committed, rolled_back = txn.is_committed(), txn.is_rolled_back()
            assert committed is not rolled_back
            assert self.happened.count(f"undo {name}") == self.happened.count(f"undo {name} ended") == rolled_back
            assert self.happened.count(f"do {name}") <= 1
            assert self.happened.count(f"do {name} ended") >= committed
            assert self.store.exists(name) is committed
        for name in ("outer", "first", "second", "third", "eager", "bad"):
            assert not self.store.is_locked(name)


@pytest.mark.parametrize("cut", [cut_by_asyncio, cut_by_asyncio_again_and_again, cut_by_scope])
async def test_wherever_it_is_cut_off_each_hook_runs_once_and_to_its_end(cut: Cut) -> None:
    stories: list[Story] = []

    def story() -> Coroutine[Any, Any, None]:
        stories.append(Story())
        return stories[-1].tell()

    async for _ in at_every_checkpoint(story, cut):
        for told in stories[-1:]:  # none, where it was cut off before it began
            told.check()
        assert get_transaction() is None
    assert len(stories) > 30
    assert [txn.is_committed() for txn, _ in stories[-1].staged] == [False, False, False, True, False, True]
