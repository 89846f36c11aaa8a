"""Locks of keys: who may work on a key, and who is next.

Decides that a lock goes from holder to holder in the order in which they asked, straight from one to the next, and that
whoever waits is woken by that: nobody asks again and again. A holder is a name, so a lock may be given back by another
thread than the one that took it. What it takes to have the lock of a key beyond this process, if anything, is said by
those who derive from `QueuedLocks`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from threading import Lock
from typing import Any, Protocol, TypeVar

from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError
from millrace.actors.seconds import checked_wait
from millrace.runtime.lending import lend
from millrace.runtime.results.refusals import shown
from millrace.runtime.running import running_loop

R = TypeVar("R")


class LockManager(Protocol):
    """Locks keys. Its methods may be called from several threads and loops at once.

    A lock is not counted: a holder that takes what it has already has it once, and gives it back once.
    """

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        """Lock a key, waiting for it where it is locked.

        Args:
            key: The key.
            holder: Who wants it.
            acquire_timeout: Seconds to wait; None for no limit.

        Returns:
            Whether the holder has it now.
        """
        ...

    async def aacquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        """Like `acquire_lock`, without blocking the loop. Cancellation: the holder does not have it."""
        ...

    def release_lock(self, key: str, holder: str) -> None:
        """Give a lock back.

        Raises:
            ConfigurationError: the holder does not have it.
        """
        ...

    def is_locked(self, key: str) -> bool:
        """Whether anybody has the lock of a key."""
        ...

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Whether it is this one who has the lock of a key."""
        ...

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until a key is not locked.

        Args:
            key: The key.
            timeout: Seconds to wait; None for no limit.

        Returns:
            Whether it was free, at that moment.
        """
        ...

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Like `wait_for_lock`, without blocking the loop. Cancellation: only the wait ends."""
        ...


class Waiter:
    """Somebody who wants a lock, or to know when it is free. All but `wake` under the guard of the locks.

    Args:
        holder: Who wants it; None for somebody who only wants to know.
    """

    def __init__(self, holder: str | None) -> None:
        self.holder = holder
        self.served = False  # has the lock, or knows that it is free
        self.gone = False  # does not wait any more, and must not be given anything
        self.error: BaseException | None = None  # why it will never be served

    def wake(self) -> bool:
        """Have it go on, from any thread; whether it can."""
        raise NotImplementedError


class ThreadWaiter(Waiter):
    """Blocks its thread."""

    def __init__(self, holder: str | None) -> None:
        super().__init__(holder)
        self._lock = Lock()
        self._lock.acquire()

    def wake(self) -> bool:
        """Have it go on."""
        self._lock.release()
        return True

    def wait(self, timeout: float | None) -> None:
        """Block until it is woken, or the time is over."""
        self._lock.acquire(timeout=-1 if timeout is None else timeout)


class LoopWaiter(Waiter):
    """Lets a coroutine wait on its loop."""

    def __init__(self, holder: str | None) -> None:
        super().__init__(holder)
        self._loop = asyncio.get_running_loop()
        self._woken: asyncio.Future[None] = self._loop.create_future()

    def wake(self) -> bool:
        """Have it go on, unless its loop is closed."""
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return False
        return True

    def _wake(self) -> None:
        if not self._woken.done():
            self._woken.set_result(None)

    async def wait(self, timeout: float | None) -> None:
        """Wait until it is woken, or the time is over. Cancellation: only the wait ends."""
        timer = None if timeout is None else self._loop.call_later(timeout, self._wake)
        try:
            with lend():
                await self._woken
        finally:
            if timer is not None:
                timer.cancel()


class CallWaiter(Waiter):
    """Waits nowhere: a function is called.

    Args:
        holder: Who wants it.
        call: The function. It is quick, as whoever gives the lock back calls it, and says whether it is wanted still.
    """

    def __init__(self, holder: str, call: Callable[[], bool]) -> None:
        super().__init__(holder)
        self._call = call

    def wake(self) -> bool:
        """Call the function."""
        return self._call()


class Entry:
    """The lock of one key, as long as somebody has it or wants it."""

    __slots__ = ("holder", "queue", "shares")

    def __init__(self) -> None:
        self.holder: str | None = None  # None while the claim of this process is under way
        self.shares = 0  # how often the holder was given it; what is not taken after all is subtracted
        self.queue: deque[Waiter] = deque()


class QueuedLocks:
    """Locks that go from one to the next. See the module's docstring.

    The first methods say what goes on beyond this process: nothing, unless a class that derives from this one says
    otherwise. They are called under the guard.
    """

    def __init__(self) -> None:
        self._guard = Lock()
        self._entries: dict[str, Entry] = {}  # of keys that are locked or wanted

    def _claim(self, key: str, *, wait: bool) -> bool:  # noqa: ARG002  # see above
        """Claim a key for this process; whether it has it now.

        If it has not and `wait` is set, `_claimed` or `_claim_failed` is called later, by another thread.
        """
        return True

    def _unclaim(self, key: str) -> None:
        """Give a key up for this process. Never raises."""

    def _inscribe(self, key: str, holder: str) -> None:
        """Say who has a key. Never raises."""

    def _locked_elsewhere(self, key: str) -> bool:  # noqa: ARG002  # see above
        """Whether another process has a key; asked if nobody here has or wants it."""
        return False

    def _held_elsewhere(self, key: str, holder: str) -> bool:  # noqa: ARG002  # see above
        """Whether this one has a key in another process; asked if nobody here has it."""
        return False

    # What everybody calls.

    def acquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        """Lock a key, waiting for it where it is locked. Who asked first gets it first.

        Args:
            key: The key.
            holder: Who wants it; one that has it already has it.
            acquire_timeout: Seconds to wait; None for no limit, 0 for not at all.

        Returns:
            Whether the holder has it now.

        Raises:
            BlockingCallOnLoop: it would have to wait, on the thread of a running loop.
            ConfigurationError: the timeout is no time.
        """
        return self._wait(key, ThreadWaiter(holder), acquire_timeout, "acquire_lock(...)", "await aacquire_lock(...)")

    async def aacquire_lock(self, key: str, holder: str, acquire_timeout: float | None = None) -> bool:
        """Like `acquire_lock`, without blocking the loop. Cancellation: the holder does not have it."""
        return await self._await(key, LoopWaiter(holder), acquire_timeout)

    def request_lock(self, key: str, holder: str, served: Callable[[], bool]) -> bool:
        """Ask for the lock of a key, and do not wait for it.

        Args:
            key: The key.
            holder: Who wants it; one that has it already has it.
            served: Called when the holder has it, unless that is now; quick, as it is called by whoever gives it back.
                It says whether the lock is wanted still: if not, the next one gets it. Called, too, when the lock can
                never be had, which whoever acquires it is told then.

        Returns:
            Whether the holder has it now.
        """
        return self._enter(key, CallWaiter(holder, served), wait=True)

    def wait_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Wait until whoever has a key, or wanted it before, has given it back.

        Args:
            key: The key.
            timeout: Seconds to wait; None for no limit, 0 for not at all.

        Returns:
            Whether it was free, at that moment.

        Raises:
            BlockingCallOnLoop: it would have to wait, on the thread of a running loop.
            ConfigurationError: the timeout is no time.
        """
        return self._wait(key, ThreadWaiter(None), timeout, "wait_for_lock(...)", "await await_for_lock(...)")

    async def await_for_lock(self, key: str, timeout: float | None = None) -> bool:
        """Like `wait_for_lock`, without blocking the loop. Cancellation: only the wait ends."""
        return await self._await(key, LoopWaiter(None), timeout)

    def release_lock(self, key: str, holder: str) -> None:
        """Give a lock back.

        Raises:
            ConfigurationError: the holder does not have it.
        """
        with self._guard:
            entry = self._entries.get(key)
            if entry is None or entry.holder != holder:
                raise ConfigurationError("holder", holder, f"whoever has the lock of '{shown(key)}'")
            woken = self._pass_on(key, entry)
        self._wake(key, woken)

    def is_locked(self, key: str) -> bool:
        """Whether anybody has the lock of a key."""
        with self._guard:
            return key in self._entries or self._locked_elsewhere(key)

    def is_lock_holder(self, key: str, holder: str) -> bool:
        """Whether it is this one who has the lock of a key."""
        with self._guard:
            entry = self._entries.get(key)
            if entry is None or entry.holder is None:
                return self._held_elsewhere(key, holder)
            return entry.holder == holder

    # Waiting.

    def _wait(self, key: str, waiter: ThreadWaiter, timeout: float | None, call: str, instead: str) -> bool:
        timeout = checked_wait("timeout", timeout)
        may_wait = timeout is None or timeout > 0
        on_loop = running_loop() is not None
        if self._enter(key, waiter, wait=may_wait and not on_loop):
            return True
        if not may_wait:
            return False
        if on_loop:
            raise BlockingCallOnLoop(call, instead)
        try:
            with lend():
                waiter.wait(timeout)
        except BaseException:
            self._withdraw(key, waiter)
            raise
        return self._served(key, waiter)

    async def _await(self, key: str, waiter: LoopWaiter, timeout: float | None) -> bool:
        timeout = checked_wait("timeout", timeout)
        may_wait = timeout is None or timeout > 0
        try:
            if await self._off_loop(lambda: self._enter(key, waiter, wait=may_wait)):
                return True
            if not may_wait:
                return False
            await waiter.wait(timeout)
        except BaseException:
            self._withdraw_from_loop(key, waiter)
            raise
        return self._served(key, waiter)

    async def _off_loop(self, fn: Callable[[], R]) -> R:
        """Do what may touch files."""
        return fn()

    def _withdraw_from_loop(self, key: str, waiter: Waiter) -> None:
        self._withdraw(key, waiter)

    def _enter(self, key: str, waiter: Waiter, *, wait: bool) -> bool:
        """Serve somebody at once, or put them in the queue if they may wait; whether they were served."""
        with self._guard:
            if waiter.gone:
                return False
            entry = self._entries.get(key)
            if entry is None:
                return self._enter_first(key, waiter, wait=wait)
            if waiter.holder is not None and entry.holder == waiter.holder:
                entry.shares += 1
                waiter.served = True
            elif wait:
                entry.queue.append(waiter)
            return waiter.served

    def _enter_first(self, key: str, waiter: Waiter, *, wait: bool) -> bool:
        claimed = self._claim(key, wait=wait)
        if not claimed and not wait:
            return False
        entry = self._entries[key] = Entry()
        entry.queue.append(waiter)
        if claimed:
            self._pass_on(key, entry)
        return waiter.served

    def _pass_on(self, key: str, entry: Entry) -> list[Waiter]:
        """Give the lock to the next in the queue; what this process has claimed it keeps as long as there is one.

        Returns:
            Who is to be woken, after the guard.
        """
        entry.holder = None
        entry.shares = 0
        served: list[Waiter] = []
        while entry.queue and entry.holder is None:
            waiter = entry.queue.popleft()
            served.append(waiter)
            entry.holder = waiter.holder
        if entry.holder is None:
            del self._entries[key]
            self._unclaim(key)
        else:
            served += [each for each in entry.queue if each.holder == entry.holder]
            entry.queue = deque([each for each in entry.queue if each.holder != entry.holder])
            entry.shares = sum(each.holder is not None for each in served)
            self._inscribe(key, entry.holder)
        for each in served:
            each.served = True
        return served

    def _claimed(self, key: str) -> None:
        """The claim that was under way has succeeded."""
        with self._guard:
            woken = self._pass_on(key, self._entries[key])
        self._wake(key, woken)

    def _claim_failed(self, key: str, error: BaseException) -> None:
        """The claim that was under way never will succeed."""
        with self._guard:
            woken = list(self._entries.pop(key).queue)
            for each in woken:
                each.error = error
        self._wake(key, woken)

    def _wake(self, key: str, woken: list[Waiter]) -> None:
        left = deque(woken)
        while left:  # one after the other, and not one in another: it may be a long line that has gone
            each = left.popleft()
            if not each.wake():  # it wants the lock no more, or its loop was closed while it waited
                left += self._withdrawn(key, each)

    def _served(self, key: str, waiter: Waiter) -> bool:
        """After a wait: whether somebody was served. If not, they leave the queue."""
        with self._guard:
            if waiter.error is not None:
                raise waiter.error
            if not waiter.served:
                self._leave(key, waiter)
            return waiter.served

    def _withdraw(self, key: str, waiter: Waiter) -> None:
        """Somebody does not want it after all; what they were given goes to the next."""
        self._wake(key, self._withdrawn(key, waiter))

    def _withdrawn(self, key: str, waiter: Waiter) -> list[Waiter]:
        """The same, but for waking whoever it goes to."""
        with self._guard:
            if not waiter.served:
                self._leave(key, waiter)
            elif waiter.holder is not None:
                entry = self._entries.get(key)
                if entry is not None and entry.holder == waiter.holder:
                    entry.shares -= 1
                    if entry.shares == 0:
                        return self._pass_on(key, entry)
        return []

    def _leave(self, key: str, waiter: Waiter) -> None:
        waiter.gone = True
        entry = self._entries.get(key)
        if entry is not None and waiter in entry.queue:
            entry.queue.remove(waiter)


class MemoryLockManager(QueuedLocks):
    """Locks keys for the threads and loops of this process.

    A pickled one arrives without any lock held.
    """

    def __reduce__(self) -> tuple[Any, ...]:
        return MemoryLockManager, ()
