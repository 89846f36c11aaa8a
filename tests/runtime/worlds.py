"""One test for sync and async flows and tasks: bodies are written once, and a world makes either kind of them.

A body that waits is a coroutine function that awaits through its world: `await world.result(future)`. In a sync world
that blocks and never suspends, so the same coroutine can be run to its end by a plain function.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
from collections.abc import Callable, Coroutine
from threading import Event, Lock
from typing import Any, cast, overload

import attrs
import uvloop

from millrace import Engine, FutureList, flow, task
from millrace.runtime.entering import ENTERED

PATIENCE = 20.0
"""Seconds after which a test that waits gives up: something that should have happened has not."""


def finish(body: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine that never suspends."""
    try:
        body.send(None)
    except StopIteration as stop:
        return stop.value
    body.close()
    raise AssertionError("A sync body suspended.")


def _async_body(fn: Callable[..., Any]) -> Callable[..., Any]:
    if inspect.iscoroutinefunction(fn):
        return fn

    @functools.wraps(fn)
    async def body(*args: Any, **kwargs: Any) -> Any:
        return fn(*args, **kwargs)

    return body


def _sync_body(fn: Callable[..., Any]) -> Callable[..., Any]:
    if not inspect.iscoroutinefunction(fn):
        return fn

    @functools.wraps(fn)
    def body(*args: Any, **kwargs: Any) -> Any:
        return finish(fn(*args, **kwargs))

    # What inspect looks at: this is a plain function, with the signature of the coroutine function.
    body.__signature__ = inspect.signature(fn)  # type: ignore[attr-defined]
    return body


class Gate:
    """Closed until it is opened; bodies of both kinds wait in front of it."""

    def __init__(self, *, blocks: bool) -> None:
        self._blocks = blocks
        self._event = Event()
        self._lock = Lock()
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def open(self) -> None:
        """Let everybody through, from now on; from any thread."""
        with self._lock:
            self._event.set()
            waiting, self._waiting = self._waiting, []
        for loop, future in waiting:
            loop.call_soon_threadsafe(_let_through, future)

    async def passed(self) -> None:
        """Wait in front of it."""
        if self._blocks:
            assert self._event.wait(PATIENCE), "The gate was never opened."
            return
        loop = asyncio.get_running_loop()
        with self._lock:
            if self._event.is_set():
                return
            future = loop.create_future()
            self._waiting.append((loop, future))
        async with asyncio.timeout(PATIENCE):
            await future


def _let_through(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


@attrs.frozen
class World:
    """Which kinds of flows and tasks a test is run with.

    Args:
        name: Its name.
        async_flows: Flows are coroutine functions.
        async_tasks: Tasks are.
        new_loop: Makes the event loop of async flows.
    """

    name: str
    async_flows: bool
    async_tasks: bool
    new_loop: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop

    @overload
    def task(self, fn: Callable[..., Any], /, **options: Any) -> Any: ...
    @overload
    def task(self, /, **options: Any) -> Callable[[Callable[..., Any]], Any]: ...
    def task(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """A task of this world's kind; `@world.task` or `@world.task(...)`."""
        if fn is None:
            return functools.partial(self.task, **options)
        return task(**options)((_async_body if self.async_tasks else _sync_body)(fn))

    @overload
    def flow(self, fn: Callable[..., Any], /, **options: Any) -> Any: ...
    @overload
    def flow(self, /, **options: Any) -> Callable[[Callable[..., Any]], Any]: ...
    def flow(self, fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
        """A flow of this world's kind; `@world.flow` or `@world.flow(...)`."""
        if fn is None:
            return functools.partial(self.flow, **options)
        return flow(**options)((_async_body if self.async_flows else _sync_body)(fn))

    def gate(self) -> Gate:
        """A gate for bodies of tasks."""
        return Gate(blocks=not self.async_tasks)

    def flow_gate(self) -> Gate:
        """A gate for bodies of flows."""
        return Gate(blocks=not self.async_flows)

    # In the body of a flow.

    async def result(self, future: Any) -> Any:
        """The result of a future, or of a list of them."""
        return await future if self.async_flows else future.result(timeout=PATIENCE)

    async def error(self, future: Any) -> BaseException:
        """What a future raises."""
        try:
            value = await self.result(future)
        except BaseException as error:  # noqa: BLE001  # whatever it is, it is asked for
            return error
        raise AssertionError(f"It gave {value!r}.")

    async def ended(self, future: Any) -> Any:
        """The final state of a future; the futures of a list are waited for one by one, and their states are given."""
        if isinstance(future, FutureList):
            return [await self.ended(each) for each in cast("list[Any]", future)]
        if self.async_flows:
            return await future.wait_async(PATIENCE)
        assert future.wait(PATIENCE)
        return future.state

    async def call(self, called: Any, *args: Any, **kwargs: Any) -> Any:
        """Call a task or a flow directly."""
        value = called(*args, **kwargs)
        return await value if self.async_flows and called.is_async else value

    async def start(self, how: str, called: Any, *args: Any, **kwargs: Any) -> Any:
        """Start a task with `submit` or `map`, or call it."""
        return await self.call(called, *args, **kwargs) if how == "call" else getattr(called, how)(*args, **kwargs)

    # From plain code.

    def run(self, called: Any, *args: Any, engine: Engine | None = None, **kwargs: Any) -> Any:
        """Run a flow to its end and give what calling it gives; in a new loop if it is async."""
        token = None if engine is None else ENTERED.set(engine)
        try:
            if not called.is_async:
                return called(*args, **kwargs)
            with asyncio.Runner(loop_factory=self.new_loop) as runner:
                return runner.run(called(*args, **kwargs))
        finally:
            if token is not None:
                ENTERED.reset(token)

    def body(self, fn: Callable[[], Coroutine[Any, Any, Any]], *, engine: Engine | None = None) -> Any:
        """Run a coroutine function as the body of a flow, and give its result."""
        return self.run(self.flow(fn), engine=engine)


def _debugged_loop() -> asyncio.AbstractEventLoop:
    loop = asyncio.new_event_loop()
    loop.set_debug(enabled=True)
    return loop


SYNC = World("sync", async_flows=False, async_tasks=False)
ASYNC = World("async", async_flows=True, async_tasks=True, new_loop=_debugged_loop)
SYNC_IN_ASYNC = World("sync-in-async", async_flows=True, async_tasks=False)
ASYNC_IN_SYNC = World("async-in-sync", async_flows=False, async_tasks=True)

WORLDS = (SYNC, ASYNC, SYNC_IN_ASYNC, ASYNC_IN_SYNC)
