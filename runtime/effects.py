"""Effects: how something is written once, for callers in threads and for callers on a loop.

What has to call a user's function or to touch a file is a coroutine that takes its effects from outside. On a loop
they await; in a thread they never suspend, so that the coroutine runs through in one step. Decides nothing else.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from typing import Any, Final, Generic, Protocol, TypeVar

from millrace.actors.errors import EngineClosed
from millrace.runtime.attempt import run_blocking
from millrace.runtime.engine import Engine, current_scope
from millrace.runtime.holding import waits_for
from millrace.runtime.lending import lend
from millrace.runtime.loop_lane import LoopLane, Posted
from millrace.runtime.thread_calls import Call
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter

__all__ = (
    "BLOCKING", "ON_LOOP", "Effects", "SeenThrough", "await_elsewhere", "in_thread", "run_blocking", "wait_out",
)  # fmt: skip

R = TypeVar("R")


class Effects(Protocol):
    """What a coroutine needs from the world around it."""

    async def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        """Call a user's function here; what it gives is seen through if it is awaitable.

        Cancellation: reaches an async function at its await.
        """
        ...

    async def io(self, fn: Callable[..., R], *args: Any) -> R:
        """Call something of the engine's own that may block, such as one that touches a file.

        Cancellation: only the wait ends.
        """
        ...


class _OnLoop:
    async def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        value = fn(*args)
        return await value if inspect.isawaitable(value) else value

    async def io(self, fn: Callable[..., R], *args: Any) -> R:
        return await in_thread(fn, *args)


class _Blocking:
    async def call(self, fn: Callable[..., Any], *args: Any) -> Any:
        value = fn(*args)
        return await_elsewhere(value) if inspect.isawaitable(value) else value

    async def io(self, fn: Callable[..., R], *args: Any) -> R:
        return fn(*args)


class SeenThrough(_OnLoop):
    """For coroutines that are awaited, and whose calls of the engine's own are waited for whatever is cancelled.

    `interrupt` is the last cancellation that came meanwhile; whoever has made this raises it in the end.
    """

    def __init__(self) -> None:
        self.interrupt: asyncio.CancelledError | None = None

    async def io(self, fn: Callable[..., R], *args: Any) -> R:
        """Call something of the engine's own. Cancellation: is kept, and the call waited for."""
        waiter, call = _begun_in_thread(fn, args)
        try:
            await waiter.wait()
        except asyncio.CancelledError as stop:
            later = await wait_out(lambda: call.made, waiter.wait_again)
            self.interrupt = later or stop
        result: R = call.outcome()
        return result


ON_LOOP: Final[Effects] = _OnLoop()
"""For coroutines that are awaited."""

BLOCKING: Final[Effects] = _Blocking()
"""For coroutines that are driven by `run_blocking`."""


async def in_thread(fn: Callable[..., R], *args: Any) -> R:
    """Call a function on one of the engine's own threads.

    Args:
        fn: The function.
        *args: Its arguments.

    Returns:
        What it returns; what it raises is raised.

    Cancellation: only the wait ends; the function goes on.
    """
    waiter, call = _begun_in_thread(fn, args)
    await waiter.wait()
    result: R = call.outcome()
    return result


def _begun_in_thread(fn: Callable[..., Any], args: tuple[Any, ...]) -> tuple[LoopWaiter, Call]:
    engine = Engine.current()
    waiter = LoopWaiter(engine.lane_here())
    call = Call(fn, args, waiter.notify)
    engine.offload.call(call)
    return waiter, call


async def wait_out(ended: Callable[[], bool], wait: Callable[[], Awaitable[Any]]) -> asyncio.CancelledError | None:
    """Wait for the end of something that goes on by itself, whatever is cancelled meanwhile.

    Args:
        ended: Whether it has ended.
        wait: Begins a wait for it, which a cancellation may end.

    Returns:
        The last cancellation.

    Raises:
        GeneratorExit: the coroutine was closed, and cannot wait any more.
    """
    from anyio import CancelScope  # noqa: PLC0415  # a tenth of the import, and few come here

    cancelled: asyncio.CancelledError | None = None
    closed: GeneratorExit | None = None
    try:
        with CancelScope(shield=True):  # a cancelled scope around this one would cancel each wait anew
            while closed is None and not ended():
                try:
                    await wait()
                except asyncio.CancelledError as again:
                    cancelled = again
                except GeneratorExit as closing:
                    closed = closing
    except RuntimeError:
        if closed is None:  # else it is closed in another task than it was running in, and the scope objects
            raise
    if closed is not None:
        raise closed
    return cancelled


class _Elsewhere(Generic[R]):
    """Something awaitable that is seen through on a loop, while a thread waits for that. See `awaits.Several`."""

    scopes = ()

    def __init__(self, awaitable: Awaitable[R], lane: LoopLane) -> None:
        self.waiter = ThreadWaiter()
        self.turns_on: asyncio.AbstractEventLoop | None = lane.loop  # None when it is over
        self._awaitable = awaitable
        self._lane = lane
        self._context = copy_context()
        self._task: asyncio.Task[R] | None = None
        self._end: BaseException | None = None  # what is meant for the thread that waits

    def begin(self) -> None:
        """On the loop."""
        self._task = self._lane.loop.create_task(self._see_through(), context=self._context)
        self._task.add_done_callback(self.tell)

    async def _see_through(self) -> R:
        try:
            return await self._awaitable
        except (KeyboardInterrupt, SystemExit) as end:  # it would end the loop
            self._end = end
            raise asyncio.CancelledError from None

    def tell(self, _task: object = None) -> None:
        """It is over, or never will begin."""
        self.turns_on = None
        self.waiter.notify()

    @staticmethod
    def covers(_run: Any) -> bool:
        """No run is waited for."""
        return False

    def cancel(self) -> None:
        """On the loop."""
        if self._task is not None:
            self._task.cancel()

    def outcome(self) -> R:
        """What it has come to."""
        if self._end is not None:
            raise self._end
        if self._task is None:
            if inspect.iscoroutine(self._awaitable):
                self._awaitable.close()
            raise EngineClosed("wait for a coroutine in sync code")
        return self._task.result()


def await_elsewhere(awaitable: Awaitable[R]) -> R:
    """Block this thread until something awaitable has been seen through on a loop that is not held up by that.

    It runs in a copy of the current context. An interrupt of the wait cancels it.

    Returns:
        What awaiting it gives; what it raises is raised.

    Raises:
        EngineClosed: the loop has ended, with the engine, before it was begun.
    """
    lane = current_scope().lane_that_turns()
    seen = _Elsewhere(awaitable, lane)
    lane.post(Posted(seen.begin, seen.tell))
    try:
        with lend(), waits_for(seen):
            seen.waiter.wait()
    except BaseException:
        lane.post(seen.cancel)
        raise
    return seen.outcome()
