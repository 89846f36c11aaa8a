"""Waiting for several futures: `wait`, `as_completed`, and all of a list.

Decides nothing about runs; each wait costs one watcher per future that is not done, and wakes once per end.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from threading import Lock
from time import monotonic
from typing import Any, Generic, NamedTuple, TypeVar

from millrace.actors.errors import WaitTimeout
from millrace.actors.messages import Unwatch, Watch
from millrace.runtime.futures import Future, refuse_to_block
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter, block_until_done

R = TypeVar("R")


class DoneAndNotDone(NamedTuple, Generic[R]):
    """What `wait` returns.

    Attributes:
        done: The futures that have ended.
        not_done: Those that have not.
    """

    done: set[Future[R]]
    not_done: set[Future[R]]


def wait(futures: Iterable[Future[R]], timeout: float | None = None) -> DoneAndNotDone[R]:
    """Block this thread until all futures have ended, or the time is over.

    Args:
        futures: What to wait for.
        timeout: Seconds; None for no limit.

    Returns:
        `(done, not_done)`, as sets. It does not raise when the time is over.

    Raises:
        BlockingCallOnLoop: this is the thread of a loop; use `await future.wait_async()` or `async for` over `as_completed`.
    """
    every = list(futures)
    try:
        block_for_all((each.source for each in every), timeout, "wait()", "await each future.wait_async()")
    except TimeoutError:
        pass
    done = {each for each in every if each.done()}
    return DoneAndNotDone(done, set(every) - done)


def block_for_all(sources: Iterable[Any], timeout: float | None, call: str, instead: str) -> None:
    """Block this thread until every source has ended.

    Raises:
        WaitTimeout: the time is over; it says how many have not ended.
        BlockingCallOnLoop: this is the thread of a loop.
    """
    every = list(sources)
    until = None if timeout is None else monotonic() + timeout
    for index, source in enumerate(every):
        if source.done:
            continue
        refuse_to_block(source, call, instead)
        left = None if until is None else max(0.0, until - monotonic())
        with source.lend():
            ended = block_until_done(source, left)
        if not ended:
            unfinished = sum(not each.done for each in every[index:])
            raise WaitTimeout(unfinished, len(every), timeout or 0.0)


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> AsCompleted[R]:
    """The futures in the order in which they end.

    Args:
        futures: What to wait for.
        timeout: Seconds for all of them, from the first look on; None for no limit.

    Returns:
        An iterator and an async iterator: `for future in ...`, or `async for future in ...` in a loop. Leaving it early
        stops nothing.

    Raises:
        TimeoutError: (while iterating) the time is over; it says how many have not ended.
        BlockingCallOnLoop: (in `for`) this is the thread of a loop; use `async for`.
    """
    return AsCompleted(futures, timeout)


class AsCompleted(Generic[R]):
    """Futures in the order in which they end. Made by `as_completed`."""

    def __init__(self, futures: Iterable[Future[R]], timeout: float | None = None) -> None:
        self._futures = list(dict.fromkeys(futures))
        self._timeout = timeout
        self._until: float | None = None
        self._ended: deque[Future[R]] = deque()
        self._given = 0
        self._lock = Lock()
        self._waiter: ThreadWaiter | LoopWaiter | None = None
        self._watchers: list[tuple[Any, _Arrival[R]]] | None = None

    def _begin(self) -> None:
        if self._watchers is not None:
            return
        self._until = None if self._timeout is None else monotonic() + self._timeout
        self._watchers = []
        for future in self._futures:
            arrival = _Arrival(self, future)
            self._watchers.append((future.source, arrival))
            future.source.tell(Watch(arrival))

    def arrived(self, future: Future[R]) -> None:
        """A future has ended. On the thread that ended it."""
        with self._lock:
            self._ended.append(future)
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.notify()

    def _next(self) -> Future[R] | None:
        if not self._ended:
            return None
        self._given += 1
        return self._ended.popleft()

    def _leave(self) -> None:
        for source, arrival in self._watchers or ():
            if not source.done:
                source.tell(Unwatch(arrival))

    def _left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - monotonic())

    def _timed_out(self) -> WaitTimeout:
        return WaitTimeout(len(self._futures) - self._given, len(self._futures), self._timeout or 0.0)

    def __iter__(self) -> Iterator[Future[R]]:
        self._begin()
        try:
            while self._given < len(self._futures):
                future = self._next()
                if future is None:
                    self._block()
                else:
                    yield future
        finally:
            self._leave()

    def _block(self) -> None:
        waiting_for = next((each for each in self._futures if not each.done()), None)
        if waiting_for is not None:
            refuse_to_block(waiting_for.source, "for ... in as_completed()", "async for ... in as_completed()")
        waiter = ThreadWaiter()
        with self._lock:
            if self._ended:
                return
            self._waiter = waiter
        with self._futures[0].source.lend():
            if not waiter.wait(self._left()):
                raise self._timed_out()

    async def __aiter__(self) -> AsyncIterator[Future[R]]:
        self._begin()
        try:
            while self._given < len(self._futures):
                future = self._next()
                if future is None:
                    await self._suspend()
                else:
                    yield future
        finally:
            self._leave()

    async def _suspend(self) -> None:
        waiter = LoopWaiter(self._futures[0].source.waiting_lane())
        with self._lock:
            if self._ended:
                return
            self._waiter = waiter
        try:
            async with asyncio.timeout(self._left()):
                await waiter.wait()
        except TimeoutError:
            raise self._timed_out() from None


class _Arrival(Generic[R]):
    """Tells an `AsCompleted` which future has ended."""

    __slots__ = ("_future", "_whole")

    def __init__(self, whole: AsCompleted[R], future: Future[R]) -> None:
        self._whole = whole
        self._future = future

    def notify(self, _run: Any) -> None:
        """The future has ended."""
        self._whole.arrived(self._future)
