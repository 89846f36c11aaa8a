"""Inflow: where the inputs of a stream come from, and who asks for them.

Decides where a source is asked. A plain iterator is asked by whoever takes results, in their thread, each time they do:
it may belong to that thread, as a cursor of a database does. Another stream is asked in the same way, and never waited
for. An async iterable is asked in one asyncio task, from its first item to its end, so that it may hold what belongs to
a task. How much is asked for is the window's to say.

Generators and streams are closed with the stream that they feed. Other sources, as open files, belong to somebody.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Generator, Iterator
from contextvars import Context
from itertools import islice
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import Signal
from millrace.runtime.pipe import Pipe
from millrace.runtime.stream_parts import END, MORE, WAIT

if TYPE_CHECKING:
    from millrace.runtime.loop_lane import LoopLane

SLICE_SECONDS: Final = 0.0002
"""How long a plain iterator is asked before what it gave is put in line."""


class IteratorSource:
    """A plain iterator.

    Args:
        pipe: Gets the items.
        iterator: Has them.
    """

    __slots__ = ("_asking", "_closed", "_iterator", "_lock", "_pipe")

    def __init__(self, pipe: Pipe, iterator: Iterator[Any]) -> None:
        self._pipe = pipe
        self._iterator = iterator
        self._lock = Lock()
        self._asking = False  # somebody is in `pull`
        self._closed = False

    def pull(self, most: int) -> None:
        """Take items, and put them in line; one that takes its time goes alone."""
        with self._lock:
            if self._closed:
                return
            self._asking = True
        items: list[Any] = []
        exhausted = False
        fault: Exception | None = None
        until = perf_counter() + SLICE_SECONDS
        try:
            for item in islice(self._iterator, most):
                items.append(item)
                if perf_counter() > until:
                    break
            else:
                exhausted = len(items) < most
        except Exception as error:  # noqa: BLE001  # it is raised when all that came before was given
            fault = error
        finally:
            with self._lock:
                self._asking = False
                closed = self._closed
            if closed:
                self._let_go()
        self._pipe.feed(items)
        if exhausted or fault is not None:
            self._pipe.end(fault)

    def close(self) -> None:
        """Close it, if it is a generator; as soon as it has given the item that it is asked for right now."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            asking = self._asking
        if not asking:
            self._let_go()

    leave = close  # the lock is never held while anything is made, and so no finalizer can come in between

    def _let_go(self) -> None:
        if isinstance(self._iterator, Generator):
            self._iterator.close()

    @property
    def closing(self) -> bool:
        """Closing it takes no time."""
        return False


class StreamSource:
    """Another stream, with the same waker.

    Args:
        pipe: Gets the items.
        inner: Has them.
    """

    __slots__ = ("_pipe", "inner")

    def __init__(self, pipe: Pipe, inner: Pipe) -> None:
        self._pipe = pipe
        self.inner = inner

    def pull(self, most: int) -> None:
        """Take results that are there, and put them in line."""
        pipe, inner = self._pipe, self.inner
        items: list[Any] = []
        fault: Exception | None = None
        found: Any = None
        try:
            while len(items) < most:
                found = inner.advance()
                if found is WAIT or found is END:
                    break
                if found is not MORE:
                    items.append(inner.passed_on(found))
        except Exception as error:  # noqa: BLE001  # it is raised when all that came before was given
            fault = error
        pipe.feed(items)
        if fault is not None or found is END:
            pipe.end(fault)

    def close(self) -> None:
        """Close it."""
        self.inner.close()

    def leave(self) -> None:
        """Nobody can ask it any more."""
        self.inner.leave()

    @property
    def closing(self) -> bool:
        """That is for the other stream to say: its scope waits for it."""
        return False


class AsyncSource:
    """An async iterable, which is asked in a task of its own.

    Args:
        pipe: Gets the items.
        iterable: Has them.
        lane: Of the loop that it is asked on.
        context: To ask it in.
    """

    __slots__ = ("_closed", "_items", "_iterable", "_lane", "_over", "_pipe", "_planned", "_room", "_task")

    def __init__(self, pipe: Pipe, iterable: AsyncIterable[Any], lane: LoopLane, context: Context) -> None:
        self._pipe = pipe
        self._iterable = iterable
        self._lane = lane
        self._items: list[Any] = []  # came in this turn of the loop, and are put in line at its end
        self._planned = False  # that is going to be done
        self._room: asyncio.Future[None] | None = None  # there while it waits for room in the window
        self._closed = False
        self._over = False  # it was closed, and is not waited for any more
        self._task: asyncio.Task[None] | None = None
        lane.post(lambda: self._begin(context))

    def pull(self, most: int) -> None:  # noqa: ARG002  # it looks itself
        """There is room: go on, if it waits for that."""
        if self._room is not None:
            if self._lane.here:
                self._wake()
            else:
                self._lane.post(self._wake)

    def close(self) -> None:
        """Cancel the task, which closes what it asks; it is waited for no longer than for a run that was cancelled."""
        if not self._closed:
            self._closed = True
            self._lane.post(self._cancel)

    leave = close  # posting takes no lock

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop that it is asked on."""
        return self._lane.loop

    @property
    def closing(self) -> bool:
        """Whether the task goes on."""
        return self._closed and not self._over and not self._lane.loop.is_closed()

    # On the loop.

    def _begin(self, context: Context) -> None:
        if not self._closed:
            self._task = self._lane.loop.create_task(self._ask(), context=context)
            self._task.add_done_callback(self._end)

    def _cancel(self) -> None:
        task, engine = self._task, self._pipe.scope.engine
        if task is None or task.done():
            self._end()
            return
        task.cancel()
        engine.timers.call_at(engine.now() + round(engine.grace_seconds * 1e9), self._end, lambda: self._lane)

    def _end(self, _task: Any = None) -> None:
        self._over = True
        self._pipe.settle()

    def _wake(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    async def _ask(self) -> None:
        iterator = aiter(self._iterable)
        fault: Exception | None = None
        try:
            while True:
                while self._pipe.window.room <= len(self._items):
                    await self._for_room()
                item = await anext(iterator)
                if self._closed:
                    break
                self._items.append(item)  # looked up after the wait: the list is another one by then
                if not self._planned:
                    self._planned = True
                    self._lane.loop.call_soon(self._flush)
        except StopAsyncIteration:
            pass
        except Exception as error:  # noqa: BLE001  # it is raised when all that came before was given
            fault = error
        except asyncio.CancelledError:
            if not self._closed:
                self._pipe.cancel("What its source was asked in was cancelled.")
                raise
        finally:
            await self._let_go(iterator)
        self._flush()
        if not self._closed:
            self._pipe.end(fault)

    async def _let_go(self, iterator: AsyncIterator[Any]) -> None:
        try:
            if isinstance(iterator, AsyncGenerator):
                await iterator.aclose()
        except Exception as error:  # noqa: BLE001  # nobody is there any more to raise it to
            told = {"message": f"The source of {self._pipe.name} raised this when it was closed.", "exception": error}
            self._lane.loop.call_exception_handler(told)

    async def _for_room(self) -> None:
        self._flush()
        room = self._room = self._lane.loop.create_future()
        if self._pipe.window.room > 0:  # looked at again: who gives looks at `_room` after that
            self._room = None
            return
        try:
            await room
        finally:
            self._room = None

    def _flush(self) -> None:
        self._planned = False
        items, self._items = self._items, []
        try:
            self._pipe.feed(items)
        except (Exception, Signal) as error:  # noqa: BLE001  # whoever takes results is told
            self._pipe.end(error)
