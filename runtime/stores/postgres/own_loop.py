"""The own loop: a thread with an event loop, on which a store talks to the server.

Decides when there is one: from the first call on, and until it is stopped. No loop of the host's is ever touched. It is
not the writer's: what the store hears of other processes, and what is read, does not wait until a group is written.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from contextvars import Context
from threading import Lock, Thread
from typing import Any, Final, TypeVar

from millrace.runtime.loops import finish_loop, new_loop

T = TypeVar("T")

_GRACE_SECONDS: Final = 5.0


class OwnLoop:
    """A loop in a thread of its own, while it is needed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine there, and wait for what it gives or raises. From any other thread."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._started())
        try:
            return future.result()
        except BaseException:
            future.cancel()  # whoever waited was interrupted; else it has ended
            raise

    def _started(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                loop = self._loop = Context().run(new_loop)  # which keeps the context that it is made in
                self._thread = Thread(target=_turn, args=(loop,), name="millrace-postgres", daemon=True)
                self._thread.start()
            return self._loop

    def close(self, last: Coroutine[Any, Any, None]) -> None:
        """Run a last coroutine there, and end the thread; waits for that. It may be used again."""
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is None or thread is None:
            last.close()
            return
        try:
            asyncio.run_coroutine_threadsafe(last, loop).result(_GRACE_SECONDS)
        except TimeoutError:
            pass  # the server does not answer; what is left is cancelled
        finally:
            loop.call_soon_threadsafe(loop.stop)
            thread.join(_GRACE_SECONDS)

    def abandon(self) -> None:
        """In the child of a fork, which has no such thread: the loop is the parent's."""
        self._lock = Lock()
        if self._loop is not None:
            left_to_parents.append(self._loop)
        self._loop = self._thread = None


def run_apart(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine on a loop of its own, in a thread that ends with it; whatever loop this thread has."""
    own = OwnLoop()
    try:
        return own.run(coroutine)
    finally:
        own.close(_nothing())


async def _nothing() -> None:
    pass


def _turn(loop: asyncio.AbstractEventLoop) -> None:
    try:
        loop.run_forever()
    finally:
        finish_loop(loop, _GRACE_SECONDS)


left_to_parents: Final[list[Any]] = []
"""What a fork has inherited of loops and connections. They are its parent's, and are neither used here nor closed."""
