"""Loops: the engine's own event loops, for sync callers, and `run`, which gives a flow a loop of its own.

Decides when a loop is made and how it ends. A loop of somebody else's is never touched; an own one is a daemon thread
with a uvloop loop (asyncio's where uvloop is not there), started when the first async task is needed from sync code.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import suppress
from contextvars import Context, copy_context
from threading import Event, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from millrace.runtime.loop_lane import LoopLane
from millrace.runtime.signals import STOPPED_BY, OnLoop

if TYPE_CHECKING:
    from millrace.runtime.stores.writer import StoreWriter

R = TypeVar("R")

GRACE_SECONDS: Final = 5.0
"""How long what is left on the loop of `run_in_new_loop` may take to stop."""


MOST_ROUNDS: Final = 3
"""So often what is left on a loop that ends is cancelled: a task may begin another one as it is."""


def new_loop() -> asyncio.AbstractEventLoop:
    """A new event loop: uvloop's where there is one."""
    try:
        import uvloop  # noqa: PLC0415  # 15 MB that an async host never needs
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class LoopThread:
    """A thread that runs an event loop until it is closed.

    Args:
        name: The thread's name.
        grace_seconds: How long what runs on the loop may take to stop when it is closed.
        writer: See `LoopLane`.
    """

    def __init__(self, name: str, grace_seconds: float, writer: StoreWriter | None = None) -> None:
        self._loop = Context().run(new_loop)  # a loop keeps the context that it is made in, and with that a run
        self._grace_seconds = grace_seconds
        self.lane = LoopLane(self._loop, writer)
        self._running = Event()
        self._stopping = False
        self._on_end: Callable[[], None] | None = None
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._running.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._running.set)
        try:
            while not self._stopping:
                try:
                    self._loop.run_forever()
                except (KeyboardInterrupt, SystemExit):
                    continue  # the run that raised it has it on record, and the other runs of this loop go on
            while not self._loop.is_closed():
                try:
                    finish_loop(self._loop, self._grace_seconds)
                except (KeyboardInterrupt, SystemExit):
                    continue  # likewise, and the others are yet to end
        finally:
            self.lane.drop_calls()
            if self._on_end is not None:
                self._on_end()

    def stop(self, on_end: Callable[[], None] | None = None) -> None:
        """Cancel what runs on the loop, and end the thread; returns at once.

        Args:
            on_end: Called by the thread when the loop is closed.
        """
        self._on_end = on_end
        self._loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._stopping = True
        self._loop.stop()

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, so long at most: a body that blocks its loop is left behind."""
        self._thread.join(seconds)


def finish_loop(loop: asyncio.AbstractEventLoop, grace_seconds: float, *, and_its_threads: bool = False) -> None:
    """Cancel what is left on a loop, let it end, and close the loop.

    Args:
        loop: The loop. It does not run.
        grace_seconds: What has not ended after so long is left behind.
        and_its_threads: Wait for the threads of its own executor, too, however long that takes.
    """
    _end_tasks(loop, grace_seconds)
    loop.run_until_complete(loop.shutdown_asyncgens())
    if and_its_threads:
        loop.run_until_complete(loop.shutdown_default_executor())
    _end_tasks(loop, grace_seconds)  # that other threads have begun meanwhile
    loop.close()


def _end_tasks(loop: asyncio.AbstractEventLoop, grace_seconds: float) -> None:
    """Cancel what is left, and what comes in its place; but not for ever."""
    stubborn: set[asyncio.Task[Any]] = set()
    for _ in range(MOST_ROUNDS):
        left = [task for task in asyncio.all_tasks(loop) if task not in stubborn]
        if not left:
            return
        for task in left:
            task.cancel()
        _, still = loop.run_until_complete(asyncio.wait(left, timeout=grace_seconds))
        stubborn |= still


def at_shutdown(call: Callable[[], None]) -> Callable[[], None]:
    """Have something called when the running loop is being shut down.

    Nothing is installed in the loop: whoever shuts one down closes the async generators that were begun in it, and
    one that waits for its end is begun here.

    Args:
        call: What to call, on the loop's thread.

    Returns:
        A function that calls it off. On the loop's thread.
    """
    wanted = True

    async def waits() -> AsyncGenerator[None]:
        try:
            yield
        finally:
            if wanted:
                call()

    generator = waits()
    with suppress(StopIteration):
        generator.asend(None).send(None)  # the first step, which needs no loop to go on

    def call_off() -> None:
        nonlocal wanted
        wanted = False
        with suppress(StopIteration):
            generator.aclose().send(None)

    return call_off


def run_in_new_loop(make: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run a coroutine to its end in a loop of its own, on this thread.

    The first Ctrl-C, or request to terminate, cancels it and lets it clean up; `KeyboardInterrupt`, or
    `TerminationSignal`, is raised when it has. The second ends all at once.
    """
    loop = new_loop()
    context = copy_context()
    task = context.run(loop.create_task, make(), context=context)
    stops = OnLoop(task)
    context.run(STOPPED_BY.set, stops)
    try:
        with stops:
            try:
                return loop.run_until_complete(task)
            finally:
                if not stops.killed:
                    finish_loop(loop, GRACE_SECONDS, and_its_threads=True)
    except BaseException as error:
        why = stops.error
        if why is None or not (stops.killed or isinstance(error, asyncio.CancelledError)):
            raise
        raise why from None
    finally:
        if not loop.is_closed():
            loop.set_exception_handler(lambda *_: None)  # it was left at once, with all that stands there
            loop.close()
