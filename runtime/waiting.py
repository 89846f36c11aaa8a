"""Waiting for the end of runs: from a thread, from a loop, by callback.

Decides who may block: never the thread of a loop whose own work is waited for. A watcher is any object with
`notify(run)`; it is called once, by whichever thread ended the run.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Generator
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any, Protocol

from millrace.actors.messages import Unwatch, Watch
from millrace.runtime import interrupting
from millrace.runtime.holding import waits_for
from millrace.runtime.lending import NOTHING, lend

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.runs import TaskRun


class Watchable(Protocol):
    """What can be waited for: a run's actor, or the stand-in for a promise of somebody else's."""

    @property
    def done(self) -> bool:
        """Whether it has ended."""
        ...

    def tell(self, message: Any) -> None:
        """Takes `Watch` and `Unwatch`."""


class Watcher(Protocol):
    """Who is told of an end."""

    def notify(self, run: Any, /) -> None:
        """The run has ended. Called once, on the thread that ended it."""


class ThreadWaiter:
    """Blocks one thread until it has been notified a number of times."""

    __slots__ = ("_guard", "_left", "_lock")

    def __init__(self, count: int = 1) -> None:
        self._lock = Lock()
        self._guard = Lock()
        self._left = count
        if count > 0:
            self._lock.acquire()

    def notify(self, _run: Any = None) -> None:
        """One end more."""
        with self._guard:
            self._left -= 1
            last = self._left == 0
        if last:
            self._lock.release()

    def wait(self, timeout: float | None = None) -> bool:
        """Block; whether all notifications came in time.

        Args:
            timeout: Seconds; None for no limit.
        """
        return self._lock.acquire(timeout=-1 if timeout is None else max(0.0, timeout))


class LoopWaiter:
    """Lets one asyncio task wait until it has been notified a number of times."""

    __slots__ = ("_future", "_guard", "_ident", "_lane", "_left")

    def __init__(self, lane: LoopLane, count: int = 1) -> None:
        self._lane = lane
        self._future: asyncio.Future[None] = lane.loop.create_future()
        self._ident = get_ident()
        self._left = count
        self._guard = Lock() if count > 1 else None  # the first one wakes it, and another does no harm
        if count <= 0:
            self._future.set_result(None)

    def notify(self, _run: Any = None) -> None:
        """One end more."""
        if self._guard is not None:
            with self._guard:
                self._left -= 1
                if self._left:
                    return
        if get_ident() == self._ident:
            self._wake()
        else:
            self._lane.post(self._wake)

    def _wake(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

    def wait(self) -> asyncio.Future[None]:
        """To be awaited at once. Cancellation: only the wait ends."""
        return self._future

    def wait_again(self) -> asyncio.Future[None]:
        """The same after a wait that was cancelled, where the notification has not come by then."""
        self._future = self._lane.loop.create_future()
        return self._future


class CallbackWatcher:
    """Calls a function at the end."""

    __slots__ = ("_call",)

    def __init__(self, call: Callable[[], None]) -> None:
        self._call = call

    def notify(self, _run: Any) -> None:
        """One end more."""
        self._call()


def block_until_done(run: Watchable, timeout: float | None) -> bool:
    """Block this thread until a run has ended; whether it has."""
    if run.done:
        return True
    waiter = ThreadWaiter()
    run.tell(Watch(waiter))
    if timeout is None:
        with waits_for(run, blocks=True):
            ended = waiter.wait()
    else:
        ended = waiter.wait(timeout)
    if not ended:
        run.tell(Unwatch(waiter))
    interrupting.check()
    return ended or run.done


def block_until_told(run: TaskRun | FlowRun) -> None:
    """Block this thread until the end of a run, which has come, is on record and may be told."""
    chronicle = run.engine.chronicle
    if chronicle is None:
        block_until_done(run, None)
    elif chronicle.writer.here:
        chronicle.writer.work_off()  # nobody else will
    else:
        with lend():
            chronicle.writer.help()
            block_until_done(run, None)
            interrupting.check()  # there has been nothing to wait for, mostly, and time has passed


def waiting(run: Watchable, lane: LoopLane) -> Generator[Any, Any, None]:
    """What `wait_until_done` does, for an `__await__`."""
    if run.done:
        return
    waiter = LoopWaiter(lane)
    run.tell(Watch(waiter))
    try:
        lent, told = lend(), waits_for(run)  # a body in a worker's own loop waits here for the worker too
        if lent is told is NOTHING:  # mostly; a block would keep its two ends for as long as this lasts
            yield from waiter.wait()
        else:
            with lent, told:
                yield from waiter.wait()
    except BaseException:
        run.tell(Unwatch(waiter))
        raise


wait_until_done = types.coroutine(waiting)
"""Wait in a loop until a run has ended. Cancellation: only the wait ends."""
