"""Loops: the engine's own event loop, for sync callers, and `run`, which gives a flow a loop of its own.

Decides when a loop is made and how it ends. A loop of somebody else's is never touched; the own one is a daemon thread with a
uvloop loop (asyncio's where uvloop is not there), started when the first async task is needed from sync code.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from threading import Event, Thread
from typing import Any, TypeVar

from millrace.runtime.loop_lane import LoopLane

R = TypeVar("R")


def new_loop() -> asyncio.AbstractEventLoop:
    """A new event loop: uvloop's where there is one."""
    try:
        import uvloop  # noqa: PLC0415  # 15 MB that an async host never needs
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class LoopThread:
    """A thread that runs an event loop until it is closed."""

    def __init__(self, name: str) -> None:
        self._loop = new_loop()
        self.lane = LoopLane(self._loop)
        self._running = Event()
        self._thread = Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self._running.wait()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.call_soon(self._running.set)
        try:
            self._loop.run_forever()
        finally:
            finish_loop(self._loop)

    def close(self) -> None:
        """Cancel what runs on the loop, and end the thread."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()


def finish_loop(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel what is left on a loop, let it end, and close the loop."""
    left = asyncio.all_tasks(loop)
    for task in left:
        task.cancel()
    if left:
        loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
    loop.run_until_complete(loop.shutdown_asyncgens())
    loop.close()


def run_in_new_loop(make: Callable[[], Coroutine[Any, Any, R]]) -> R:
    """Run a coroutine to its end in a loop of its own, on this thread.

    The first interrupt (Ctrl-C) cancels it and lets it clean up; `KeyboardInterrupt` is raised when it has.
    """
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(make())
