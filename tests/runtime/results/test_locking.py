"""Locks of keys, in memory and in files: one holder at a time, first come first served, and no polling."""

from __future__ import annotations

import asyncio
import gc
import itertools
import threading
import weakref
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from millrace import BlockingCallOnLoop, ConfigurationError, ThreadPoolTaskRunner, flow, task
from millrace.runtime.results import FileSystemLockManager, LockManager, MemoryLockManager, locking
from millrace.runtime.results.locking import QueuedLocks
from tests.checkpoints import until
from tests.runtime.results.patience import PATIENCE, await_true
from tests.runtime.results.sending import sent


@pytest.fixture(params=["memory", "files"])
def manager(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[QueuedLocks]:
    made = MemoryLockManager() if request.param == "memory" else FileSystemLockManager(tmp_path / "locks")
    yield made
    await_true(lambda: not made._entries)  # a cancelled wait is taken back by another thread


def waiting(manager: QueuedLocks, key: str = "k") -> int:
    entry = manager._entries.get(key)
    return 0 if entry is None else len(entry.queue)


def await_waiting(manager: QueuedLocks, count: int, key: str = "k") -> None:
    await_true(lambda: waiting(manager, key) == count)


class Later(threading.Thread):
    """Calls something in a thread of its own."""

    def __init__(self, call: Callable[..., Any], *args: Any) -> None:
        super().__init__(daemon=True)
        self._call = call
        self._args = args
        self.value: Any = None
        self.start()

    def run(self) -> None:
        try:
            self.value = self._call(*self._args)
        except BaseException as error:  # noqa: BLE001  # looked at by the test
            self.value = error

    def result(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive()
        return self.value


def test_a_manager_is_one_for_the_type_checker(manager: QueuedLocks) -> None:
    locks: LockManager = manager

    assert locks.is_locked("k") is False


def test_a_lock_has_one_holder(manager: QueuedLocks) -> None:
    assert manager.acquire_lock("k", "a")

    assert manager.is_locked("k")
    assert manager.is_lock_holder("k", "a")
    assert not manager.is_lock_holder("k", "b")
    assert not manager.acquire_lock("k", "b", 0)
    manager.release_lock("k", "a")
    assert not manager.is_locked("k")
    assert not manager.is_lock_holder("k", "a")
    assert manager.acquire_lock("k", "b", 0)
    manager.release_lock("k", "b")


def test_keys_are_locked_apart(manager: QueuedLocks) -> None:
    assert manager.acquire_lock("k", "a")
    assert manager.acquire_lock("../k\0", "b", 0)
    assert manager.is_lock_holder("../k\0", "b")
    manager.release_lock("k", "a")
    assert manager.is_locked("../k\0")
    manager.release_lock("../k\0", "b")


def test_a_holder_has_what_it_has_and_gives_it_back_once(manager: QueuedLocks) -> None:
    assert manager.acquire_lock("k", "a")
    assert manager.acquire_lock("k", "a")
    assert manager.acquire_lock("k", "a", 0)

    manager.release_lock("k", "a")

    assert not manager.is_locked("k")


def test_a_lock_may_be_given_back_by_another_thread(manager: QueuedLocks) -> None:
    manager.acquire_lock("k", "a")

    Later(manager.release_lock, "k", "a").result()

    assert not manager.is_locked("k")


@pytest.mark.parametrize("held", [True, False])
def test_to_release_what_one_does_not_hold_is_an_error(manager: QueuedLocks, held: bool) -> None:
    if held:
        manager.acquire_lock("k", "a")

    with pytest.raises(ConfigurationError, match=r"^'holder' takes whoever has the lock of 'k', not 'b'\.$"):
        manager.release_lock("k", "b")

    assert manager.is_locked("k") is held
    if held:
        manager.release_lock("k", "a")


@pytest.mark.parametrize("timeout", [0, 0.001])
def test_a_wait_ends_when_its_time_is_over(manager: QueuedLocks, timeout: float) -> None:
    manager.acquire_lock("k", "a")

    assert manager.acquire_lock("k", "b", timeout) is False
    assert manager.wait_for_lock("k", timeout) is False
    assert waiting(manager) == 0
    manager.release_lock("k", "a")
    assert manager.wait_for_lock("k", timeout) is True
    assert not manager.is_locked("k")


@pytest.mark.parametrize("timeout", [-1, 1e300, "1"])
def test_a_wait_for_what_is_no_time_is_refused(manager: QueuedLocks, timeout: Any) -> None:
    message = r"^'timeout' takes a number of seconds, 0 or more, or None for no limit, not "

    with pytest.raises(ConfigurationError, match=message):
        manager.acquire_lock("k", "a", timeout)
    with pytest.raises(ConfigurationError, match=message):
        manager.wait_for_lock("k", timeout)
    with pytest.raises(ConfigurationError, match=message):
        asyncio.run(manager.aacquire_lock("k", "a", timeout))
    assert not manager.is_locked("k")


def test_a_wait_may_be_as_long_as_one_likes(manager: QueuedLocks) -> None:
    manager.acquire_lock("k", "a")
    waits = Later(manager.acquire_lock, "k", "b", 1e9)
    await_waiting(manager, 1)
    manager.release_lock("k", "a")

    assert waits.result() is True
    manager.release_lock("k", "b")


def test_who_asked_first_gets_it_first(manager: QueuedLocks) -> None:
    order: list[int] = []

    def work(at: int) -> None:
        manager.acquire_lock("k", f"holder {at}")
        order.append(at)
        manager.release_lock("k", f"holder {at}")

    manager.acquire_lock("k", "first")
    threads = []
    for at in range(10):
        threads.append(Later(work, at))
        await_waiting(manager, at + 1)
    assert order == []
    manager.release_lock("k", "first")
    for each in threads:
        each.result()

    assert order == list(range(10))


def test_a_lock_goes_straight_to_the_next(manager: QueuedLocks) -> None:
    """Nobody who comes at the moment of the release is quicker than somebody who waits."""
    manager.acquire_lock("k", "a")
    waits = Later(manager.acquire_lock, "k", "b")
    await_waiting(manager, 1)

    manager.release_lock("k", "a")

    assert manager.is_lock_holder("k", "b")
    assert not manager.acquire_lock("k", "c", 0)
    assert waits.result() is True
    manager.release_lock("k", "b")


def test_who_gives_up_is_passed_over(manager: QueuedLocks) -> None:
    manager.acquire_lock("k", "a")
    assert not manager.acquire_lock("k", "b", 0.001)
    waits = Later(manager.acquire_lock, "k", "c")
    await_waiting(manager, 1)
    manager.release_lock("k", "a")

    assert waits.result() is True
    assert manager.is_lock_holder("k", "c")
    manager.release_lock("k", "c")


def test_those_who_wait_to_know_are_told_in_their_turn(manager: QueuedLocks) -> None:
    manager.acquire_lock("k", "a")
    early = Later(manager.wait_for_lock, "k")
    await_waiting(manager, 1)
    next_one = Later(manager.acquire_lock, "k", "b")
    await_waiting(manager, 2)
    late = Later(manager.wait_for_lock, "k")
    await_waiting(manager, 3)

    manager.release_lock("k", "a")

    assert early.result() is True
    assert next_one.result() is True
    assert late.is_alive()
    manager.release_lock("k", "b")
    assert late.result() is True


def test_a_holder_that_waits_twice_is_served_once(manager: QueuedLocks) -> None:
    manager.acquire_lock("k", "a")
    waits = []
    for at, holder in enumerate(["b", "c", "b"]):
        waits.append(Later(manager.acquire_lock, "k", holder))
        await_waiting(manager, at + 1)

    manager.release_lock("k", "a")

    assert [waits[0].result(), waits[2].result()] == [True, True]
    assert waits[1].is_alive()
    manager.release_lock("k", "b")
    assert waits[1].result() is True
    manager.release_lock("k", "c")


def test_only_one_works_at_a_time(manager: QueuedLocks) -> None:
    working = itertools.count()
    inside: list[int] = []
    most = 0

    def work(name: str) -> None:
        nonlocal most
        for _ in range(25):
            manager.acquire_lock("k", name)
            inside.append(next(working))
            most = max(most, len(inside))
            inside.pop()
            manager.release_lock("k", name)

    threads = [Later(work, str(at)) for at in range(4)]
    for each in threads:
        each.result()

    assert next(working) == 100
    assert most == 1


def test_an_interrupted_wait_leaves_the_queue(manager: QueuedLocks, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    manager.acquire_lock("k", "a")
    with monkeypatch.context() as patch:
        patch.setattr(locking.ThreadWaiter, "wait", interrupted)
        with pytest.raises(KeyboardInterrupt):
            manager.acquire_lock("k", "b")

    assert waiting(manager) == 0
    manager.release_lock("k", "a")


def test_what_an_interrupted_wait_was_given_goes_to_the_next(
    manager: QueuedLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = locking.ThreadWaiter.wait

    def interrupted(waiter: Any, timeout: float | None) -> None:
        wait(waiter, timeout)
        if waiter.holder == "b":
            raise KeyboardInterrupt

    monkeypatch.setattr(locking.ThreadWaiter, "wait", interrupted)
    manager.acquire_lock("k", "a")
    first = Later(manager.acquire_lock, "k", "b")
    await_waiting(manager, 1)
    second = Later(manager.acquire_lock, "k", "c")
    await_waiting(manager, 2)
    manager.release_lock("k", "a")

    assert isinstance(first.result(), KeyboardInterrupt)
    assert second.result() is True
    assert manager.is_lock_holder("k", "c")
    manager.release_lock("k", "c")


def test_a_holder_that_is_interrupted_leaves_its_lock_to_its_other_wait(
    manager: QueuedLocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = locking.ThreadWaiter.wait
    interrupted: list[threading.Thread] = []

    def wait_and_be_interrupted(waiter: Any, timeout: float | None) -> None:
        wait(waiter, timeout)
        if threading.current_thread() in interrupted:
            raise KeyboardInterrupt

    monkeypatch.setattr(locking.ThreadWaiter, "wait", wait_and_be_interrupted)
    manager.acquire_lock("k", "a")
    first = Later(manager.acquire_lock, "k", "b")
    await_waiting(manager, 1)
    second = Later(manager.acquire_lock, "k", "b")
    await_waiting(manager, 2)
    interrupted.append(first)
    manager.release_lock("k", "a")

    assert isinstance(first.result(), KeyboardInterrupt)
    assert second.result() is True
    assert manager.is_lock_holder("k", "b")
    manager.release_lock("k", "b")


def test_who_went_away_before_they_came_into_the_queue_gets_nothing(manager: QueuedLocks) -> None:
    """A coroutine is cancelled while a thread is about to ask for the lock on its behalf."""
    waiter = locking.ThreadWaiter("b")
    manager._withdraw("k", waiter)

    assert not manager._enter("k", waiter, wait=True)
    assert not manager.is_locked("k")


# On loops.


@pytest.mark.anyio
async def test_a_coroutine_waits_without_blocking_its_loop(manager: QueuedLocks) -> None:
    assert await manager.aacquire_lock("k", "a")
    waits = asyncio.create_task(manager.aacquire_lock("k", "b"))
    await until(lambda: waiting(manager) == 1)
    assert not waits.done()

    manager.release_lock("k", "a")

    assert await waits is True
    assert manager.is_lock_holder("k", "b")
    manager.release_lock("k", "b")


@pytest.mark.anyio
@pytest.mark.parametrize("timeout", [0, 0.001])
async def test_a_coroutine_s_wait_ends_when_its_time_is_over(
    manager: QueuedLocks, timeout: float
) -> None:  # what is tested
    manager.acquire_lock("k", "a")

    assert await manager.aacquire_lock("k", "b", timeout) is False
    assert await manager.await_for_lock("k", timeout) is False
    assert waiting(manager) == 0
    manager.release_lock("k", "a")
    assert await manager.await_for_lock("k", timeout) is True
    assert not manager.is_locked("k")


@pytest.mark.anyio
async def test_threads_and_coroutines_wait_in_one_line(manager: QueuedLocks) -> None:
    order: list[int] = []

    def in_thread(at: int) -> None:
        manager.acquire_lock("k", str(at))
        order.append(at)
        manager.release_lock("k", str(at))

    async def on_loop(at: int) -> None:
        await manager.aacquire_lock("k", str(at))
        order.append(at)
        manager.release_lock("k", str(at))

    manager.acquire_lock("k", "first")
    threads: list[Later] = []
    tasks: list[Awaitable[None]] = []
    for at in range(6):
        if at % 2:
            threads.append(Later(in_thread, at))
        else:
            tasks.append(asyncio.create_task(on_loop(at)))
        await until(lambda at=at: waiting(manager) == at + 1)  # type: ignore[misc]
    manager.release_lock("k", "first")
    await asyncio.gather(*tasks)
    await until(lambda: len(order) == 6)
    for each in threads:
        each.result()

    assert order == list(range(6))


@pytest.mark.anyio
async def test_a_coroutine_that_is_cancelled_leaves_the_queue(manager: QueuedLocks) -> None:
    manager.acquire_lock("k", "a")
    waits = asyncio.create_task(manager.aacquire_lock("k", "b"))
    await until(lambda: waiting(manager) == 1)

    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    await until(lambda: waiting(manager) == 0)

    manager.release_lock("k", "a")
    assert not manager.is_locked("k")


@pytest.mark.anyio
async def test_a_coroutine_that_is_cancelled_at_any_moment_holds_nothing(manager: QueuedLocks) -> None:
    """It may be cancelled before it waits, while it does, and when it was just given the lock."""
    for passes in range(12):
        manager.acquire_lock("k", "a")
        waits = asyncio.create_task(manager.aacquire_lock("k", "b"))
        for at in range(passes):
            await asyncio.sleep(0)
            if at == 5:
                manager.release_lock("k", "a")
        waits.cancel()
        got = False
        with suppress(asyncio.CancelledError):
            got = await waits
        for holder in ["a"] * (passes <= 5) + ["b"] * got:
            manager.release_lock("k", holder)
        assert await manager.aacquire_lock("k", "c", PATIENCE)
        manager.release_lock("k", "c")


@pytest.mark.anyio
async def test_what_a_cancelled_coroutine_was_given_goes_to_the_next(manager: QueuedLocks) -> None:
    manager.acquire_lock("k", "a")
    first = asyncio.create_task(manager.aacquire_lock("k", "b"))
    await until(lambda: waiting(manager) == 1)
    second = asyncio.create_task(manager.aacquire_lock("k", "c"))
    await until(lambda: waiting(manager) == 2)

    manager.release_lock("k", "a")  # gives it to the first, which is woken at the next pass of the loop
    first.cancel()

    with pytest.raises(asyncio.CancelledError):
        await first
    assert await second is True
    manager.release_lock("k", "c")


def test_a_coroutine_whose_loop_is_closed_is_passed_over(manager: QueuedLocks) -> None:
    manager.acquire_lock("k", "a")
    loop = asyncio.new_event_loop()
    coroutine = manager.aacquire_lock("k", "b")

    async def begin() -> None:
        if isinstance(manager, FileSystemLockManager):
            task = asyncio.ensure_future(coroutine)
            await until(lambda: waiting(manager) == 1)
            assert not task.done()
            tasks.append(task)
        else:
            coroutine.send(None)

    tasks: list[asyncio.Future[bool]] = []
    loop.run_until_complete(begin())
    assert waiting(manager) == 1
    after = Later(manager.acquire_lock, "k", "c")
    await_waiting(manager, 2)
    for each in tasks:
        each._log_destroy_pending = False  # type: ignore[attr-defined]  # that is what is tested
    loop.close()

    manager.release_lock("k", "a")

    assert after.result() is True
    manager.release_lock("k", "c")
    with suppress(BaseException):
        coroutine.close()


@pytest.mark.anyio
async def test_a_blocking_wait_on_a_loop_s_thread_is_refused(manager: QueuedLocks) -> None:
    """The holder may need that very loop in order to go on."""
    assert manager.acquire_lock("k", "a")  # takes no time, and is allowed

    for timeout in (None, 5.0):
        with pytest.raises(BlockingCallOnLoop, match=r"Use `await aacquire_lock\(...\)` instead"):
            manager.acquire_lock("k", "b", timeout)
        with pytest.raises(BlockingCallOnLoop, match=r"Use `await await_for_lock\(...\)` instead"):
            manager.wait_for_lock("k", timeout)

    assert not manager.acquire_lock("k", "b", 0)
    assert waiting(manager) == 0
    manager.release_lock("k", "a")


@pytest.mark.anyio
async def test_who_waits_is_forgotten_afterwards(manager: QueuedLocks) -> None:
    class Holder(str):  # an object that can be watched
        __slots__ = ("__weakref__",)

    holder = Holder("b")
    watched = weakref.ref(holder)
    manager.acquire_lock("k", "a")
    waits = asyncio.create_task(manager.aacquire_lock("k", holder))
    await until(lambda: waiting(manager) == 1)
    manager.release_lock("k", "a")
    await waits
    manager.release_lock("k", holder)
    del holder, waits

    def gone() -> bool:
        gc.collect()
        return watched() is None

    await until(gone)
    assert not manager.is_locked("k")


def test_a_task_that_waits_for_a_lock_lends_its_worker() -> None:
    """One thread is enough for the task that waits and the task that holds."""
    manager = MemoryLockManager()
    manager.acquire_lock("k", "holder")

    @task
    def waits() -> bool:
        return manager.acquire_lock("k", "waiter", PATIENCE)

    @task
    def releases() -> None:
        await_waiting(manager, 1)
        manager.release_lock("k", "holder")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def both() -> bool:
        waiter = waits.submit()
        releases.submit().result()
        return waiter.result()

    assert both() is True
    manager.release_lock("k", "waiter")


def test_a_manager_in_memory_that_was_sent_arrives_free() -> None:
    manager = MemoryLockManager()
    manager.acquire_lock("k", "a")

    assert not sent(manager).is_locked("k")
    manager.release_lock("k", "a")
