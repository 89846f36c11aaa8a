"""Waiting for several futures: `wait`, `as_completed`, and all of a list.

Decides nothing about runs; each wait costs one watcher per future that is not done, and wakes once per end.
"""

from __future__ import annotations

import asyncio
import weakref
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager, nullcontext, suppress
from threading import Lock
from time import monotonic
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple, Self, TypeVar

from millrace.actors.awaits import comes_after
from millrace.actors.errors import ConfigurationError, WaitTimeout
from millrace.actors.messages import Unwatch, Watch
from millrace.actors.seconds import checked_wait
from millrace.runtime.context import CURRENT
from millrace.runtime.futures import Future, refuse_to_block
from millrace.runtime.holding import waits_for
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter, block_until_done

if TYPE_CHECKING:
    from millrace.runtime.streamed import StreamReplay

R = TypeVar("R")

_NAME: Final = "as_completed"
"""What it is known by, among the streams of a body."""

EXPECTED: Final = "several futures, as `submit` and `map` give them"


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
        BlockingCallOnLoop: this is the thread of a loop; use `await future.wait_async()` or `async for` over
        `as_completed`.
        ConfigurationError: these are no futures, or the timeout is no time.
    """
    every = _futures_in(futures)
    with suppress(TimeoutError):
        block_for_all(
            len(every), lambda index: every[index].source, timeout, "wait()", "await each future.wait_async()"
        )
    done = {each for each in every if each.done()}
    return DoneAndNotDone(done, set(every) - done)


def block_for_all(count: int, source_at: Callable[[int], Any], timeout: float | None, call: str, instead: str) -> None:
    """Block this thread until so many sources have ended.

    It waits for the last one first: when that has ended most others have, and one wake-up does for all of them.

    Raises:
        WaitTimeout: the time is over; it says how many have not ended.
        BlockingCallOnLoop: this is the thread of a loop.
        ConfigurationError: the timeout is no time.
    """
    timeout = checked_wait("timeout", timeout)
    until = None if timeout is None else monotonic() + timeout
    for index in reversed(range(count)):
        source = source_at(index)
        if source.done:
            continue
        refuse_to_block(source, call, instead)
        left = None if until is None else max(0.0, until - monotonic())
        with source.lend():
            ended = block_until_done(source, left)
        if not ended:
            unfinished = sum(not source_at(each).done for each in range(index + 1))
            raise WaitTimeout(unfinished, count, timeout or 0.0)


def as_completed(futures: Iterable[Future[R]], timeout: float | None = None) -> AsCompleted[R]:
    """The futures in the order in which they end.

    Where the body of a flow runs again, because it is tried again or resumed, they come in the order in which they came
    before, as far as that went; the others follow as they end.

    Args:
        futures: What to wait for.
        timeout: Seconds for all of them, from the first look on; None for no limit.

    Returns:
        An iterator and an async iterator: `for future in ...`, or `async for future in ...` in a loop; a future that
        stands in it twice comes once. Leaving it early stops nothing.

    Raises:
        TimeoutError: (while iterating) the time is over; it says how many have not ended.
        BlockingCallOnLoop: (in `for`) this is the thread of a loop; use `async for`.
        ConfigurationError: these are no futures, or the timeout is no time.
    """
    every = _futures_in(futures)
    if isinstance(futures, (set, frozenset)):
        every.sort(key=_number_of)  # so that each is known by its place, if the body runs again
    return AsCompleted(every, timeout)


def _number_of(future: Future[Any]) -> int:
    return int(getattr(future.source, "id", 0))


def _futures_in(futures: Any) -> list[Future[Any]]:
    """The futures that somebody wants to wait for.

    Raises:
        ConfigurationError: there is something else among them, or they are no collection.
    """
    if not isinstance(futures, Iterable):
        raise ConfigurationError("futures", futures, EXPECTED)
    every: list[Any] = list(futures)
    for each in every:
        if not isinstance(each, Future):
            raise ConfigurationError("futures", each, EXPECTED)
    return every


class AsCompleted(Generic[R]):
    """Futures in the order in which they end. Made by `as_completed`."""

    def __init__(self, futures: Iterable[Future[R]], timeout: float | None = None) -> None:
        self._watchers: list[_Arrival[R]] | None = None  # one for each future; None before the first look
        self._futures = list(dict.fromkeys(futures))
        self._timeout = checked_wait("timeout", timeout)
        self._until: float | None = None
        self._ended: deque[Future[R]] = deque()
        self._given = 0
        self._replay: StreamReplay | None = None  # which of them were given in attempts of the flow before
        self._script: deque[Future[R]] = deque()  # those that are to come next
        self._early: dict[Future[R], None] = {}  # that have ended, while there is such a script
        self._indexes: dict[Future[R], int] = {}  # where there is a replay: by what each is known
        self._lock = Lock()
        self._waiter: ThreadWaiter | LoopWaiter | None = None  # of whoever waits for the next one to end

    def _begin(self) -> None:
        if self._watchers is not None:
            return
        self._until = None if self._timeout is None else monotonic() + self._timeout
        self._look_back()
        self._watchers = [_Arrival(self, future) for future in self._futures]
        for arrival in self._watchers:
            arrival.future.source.tell(Watch(arrival))

    def _look_back(self) -> None:
        """See which came first when the body ran before: what it called then belongs to them, in that order."""
        from millrace.runtime.scope_starting import body_of  # noqa: PLC0415  # it needs the list of futures, as this does

        current = CURRENT.get()
        replay = None if current is None else current.scope.replay
        self._replay = None if replay is None else replay.order(_NAME, body_of(current))
        if self._replay is not None:
            futures = self._futures
            self._indexes = {future: index for index, future in enumerate(futures)}
            script = dict.fromkeys(index for index in self._replay.script if index < len(futures))
            self._script.extend(futures[index] for index in script)

    def arrived(self, future: Future[R]) -> None:
        """A future has ended. On the thread that ended it."""
        with self._lock:
            if self._script:
                self._early[future] = None
            else:
                self._ended.append(future)
            waiter, self._waiter = self._waiter, None
        if waiter is not None:
            waiter.notify()

    @property
    def _ready(self) -> bool:
        """Whether there is one that can be given."""
        return self._script[0] in self._early if self._script else bool(self._ended)

    def _take(self) -> Future[R] | None:
        """One that has ended and was not given yet."""
        if not self._ready:
            return None
        if self._script:
            with self._lock:
                future = self._script.popleft()
                del self._early[future]
                if not self._script:
                    self._ended.extend(self._early)
                    self._early = {}
        else:
            future = self._ended.popleft()
        self._given += 1
        if self._replay is not None:
            self._replay.give_index(self._indexes[future])
        return future

    def __del__(self) -> None:
        # Left before the end: the runs that go on need not remember it. Nothing else refers to it; the watchers do so
        # weakly.
        for arrival in self._watchers or ():
            if not arrival.future.done():
                arrival.future.source.tell(Unwatch(arrival))

    def _left(self) -> float | None:
        return None if self._until is None else max(0.0, self._until - monotonic())

    def _timed_out(self) -> WaitTimeout:
        return WaitTimeout(len(self._futures) - self._given, len(self._futures), self._timeout or 0.0)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> Future[R]:
        self._begin()
        while self._given < len(self._futures):
            future = self._take()
            if future is not None:
                return future
            self._block()
        raise StopIteration

    def _block(self) -> None:
        waiting_for = next((each for each in self._futures if not each.done()), None)
        if waiting_for is not None:
            refuse_to_block(waiting_for.source, "for ... in as_completed()", "async for ... in as_completed()")
        waiter = ThreadWaiter()
        if not self._expect(waiter):
            return
        with self._futures[0].source.lend(), self._waits(blocks=True):
            in_time = waiter.wait(self._left())
        if not in_time and not self._ready:
            raise self._timed_out()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Future[R]:
        """The next one to end. Cancellation: only the wait ends, and nothing is lost."""
        self._begin()
        while self._given < len(self._futures):
            future = self._take()
            if future is not None:
                return future
            await self._suspend()
        raise StopAsyncIteration

    async def _suspend(self) -> None:
        source = self._futures[0].source
        waiter = LoopWaiter(source.waiting_lane())
        if not self._expect(waiter):
            return
        try:
            with source.lend(), self._waits():  # a body in a worker's own loop waits here for the worker too
                async with asyncio.timeout(self._left()):
                    await waiter.wait()
        except TimeoutError:
            if not self._ready:
                raise self._timed_out() from None

    def _waits(self, *, blocks: bool = False) -> AbstractContextManager[None]:
        """What to wait in; where that comes to an end anyhow, nobody need know of it."""
        return nullcontext() if self._timeout is not None else waits_for(self, blocks=blocks)

    def covers(self, run: Any) -> bool:
        """Whether the end of a run is waited for."""
        return any(each.source is run or comes_after(each.source, run) for each in self._futures)

    def _expect(self, waiter: ThreadWaiter | LoopWaiter) -> bool:
        """Set the waiter to be woken by the next end; False if there has been one already."""
        with self._lock:
            if self._ready:
                return False
            self._waiter = waiter
            return True


class _Arrival(Generic[R]):
    """Tells an `AsCompleted` which future has ended, if anybody still iterates over it."""

    __slots__ = ("_whole", "future")

    def __init__(self, whole: AsCompleted[R], future: Future[R]) -> None:
        self._whole = weakref.ref(whole)
        self.future = future

    def notify(self, _run: Any) -> None:
        """The future has ended."""
        whole = self._whole()
        if whole is not None:
            whole.arrived(self.future)
