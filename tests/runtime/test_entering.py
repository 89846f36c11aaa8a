"""Which engine a call belongs to where the engine was entered in another task: as a server runs an application."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from contextvars import Context
from typing import Any, Self

import pytest

from millrace import Engine, EngineClosed
from millrace.runtime import entering
from millrace.runtime.engines import default_engine
from tests.checkpoints import turns
from tests.loose import flow, task

WAIT = 10.0

Message = dict[str, Any]


@task
async def echo(x: int) -> int:
    await asyncio.sleep(0)
    return x


@flow
async def echoes(n: int) -> Any:
    return await echo.map(range(n))


def elsewhere(coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
    """A task in a context of its own, in which nothing was entered."""
    return asyncio.create_task(coroutine, context=Context())


async def engine_here() -> Engine:
    """The engine of a call made in this task."""
    return Engine.current()


class Application:
    """An ASGI application with a lifespan: one that makes an engine, and a handler that runs a flow."""

    def __init__(self, lifespan: Callable[[], Any], handler: Callable[[], Awaitable[Any]]) -> None:
        self._lifespan = lifespan
        self._handler = handler

    async def __call__(
        self,
        scope: Message,
        receive: Callable[[], Awaitable[Message]],
        send: Callable[[Message], Awaitable[None]],
    ) -> None:
        """Serve one scope, as the protocol says."""
        if scope["type"] == "http":
            await send({"type": "http.response.body", "body": await self._handler()})
            return
        assert (await receive())["type"] == "lifespan.startup"
        async with self._lifespan():
            await send({"type": "lifespan.startup.complete"})
            assert (await receive())["type"] == "lifespan.shutdown"
        await send({"type": "lifespan.shutdown.complete"})


class Server:
    """What a server does with an application: its lifespan in one task, each request in another."""

    def __init__(self, application: Application) -> None:
        self._application = application
        self._to_lifespan: asyncio.Queue[Message] = asyncio.Queue()
        self._from_lifespan: asyncio.Queue[Message] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        scope = {"type": "lifespan"}
        self._life = elsewhere(self._application(scope, self._to_lifespan.get, self._from_lifespan.put))
        await self._to_lifespan.put({"type": "lifespan.startup"})
        assert await self._from_lifespan.get() == {"type": "lifespan.startup.complete"}
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._to_lifespan.put({"type": "lifespan.shutdown"})
        assert await self._from_lifespan.get() == {"type": "lifespan.shutdown.complete"}
        await self._life

    async def request(self) -> Any:
        """The body of one answer."""
        answers: asyncio.Queue[Message] = asyncio.Queue()
        await elsewhere(self._application({"type": "http"}, asyncio.Queue[Message]().get, answers.put))
        return answers.get_nowait()["body"]


@pytest.mark.anyio
async def test_request_handlers_use_the_engine_of_the_lifespan() -> None:
    engine = Engine()
    seen: list[Engine] = []

    async def handler() -> Any:
        seen.append(Engine.current())
        return await echoes(3)

    async with Server(Application(lambda: engine, handler)) as server:
        assert await asyncio.gather(*[server.request() for _ in range(5)]) == [[0, 1, 2]] * 5
        assert engine.flow_runs() == []
    assert seen == [engine] * 5
    assert engine.closed
    assert await elsewhere(engine_here()) is default_engine()


@pytest.mark.anyio
async def test_a_flow_that_a_handler_starts_is_waited_for_when_the_lifespan_ends() -> None:
    gate = asyncio.Event()

    @flow
    async def waits() -> str:
        await gate.wait()
        return "done"

    @asynccontextmanager
    async def lifespan() -> AsyncGenerator[None]:
        async with Engine():
            yield
            asyncio.get_running_loop().call_soon(gate.set)

    async def handler() -> Any:
        return Engine.current().start(waits)

    async with Server(Application(lifespan, handler)) as server:
        future = await server.request()
        assert not future.done()
    assert future.done()
    assert await future == "done"


# Which one counts.


@pytest.mark.anyio
async def test_the_last_one_entered_on_a_loop_counts_and_the_one_before_it_comes_back() -> None:
    async with Engine() as outer:
        assert await elsewhere(engine_here()) is outer
        async with Engine() as inner:
            assert await elsewhere(engine_here()) is inner
        assert await elsewhere(engine_here()) is outer
    assert await elsewhere(engine_here()) is default_engine()
    assert asyncio.get_running_loop() not in entering._on_loop


@pytest.mark.anyio
@pytest.mark.parametrize("order", [[0, 1, 2], [2, 1, 0], [1, 2, 0]])
async def test_engines_may_be_left_in_any_order(order: list[int]) -> None:
    engines = [Engine() for _ in range(3)]
    for each in engines:
        await elsewhere(each.__aenter__())
    open_ones = list(engines)
    for index in order:
        assert await elsewhere(engine_here()) is open_ones[-1]
        await elsewhere(engines[index].__aexit__(None, None, None))
        open_ones.remove(engines[index])
    assert await elsewhere(engine_here()) is default_engine()


@pytest.mark.anyio
async def test_the_engine_of_the_context_counts_before_that_of_the_loop() -> None:
    mine = Engine()
    go_on = asyncio.Event()

    async def block() -> Engine:
        async with mine:
            await go_on.wait()
            return Engine.current()

    inside = elsewhere(block())
    await turns()
    async with Engine() as last:
        assert await elsewhere(engine_here()) is last
        go_on.set()
        assert await inside is mine
        assert await elsewhere(engine_here()) is last


@pytest.mark.anyio
async def test_a_run_keeps_its_engine_though_another_one_is_entered_on_its_loop() -> None:
    gate = asyncio.Event()

    @flow
    async def body() -> Engine:
        await gate.wait()
        return Engine.current()

    async with Engine() as first:
        future = first.start(body)
        await turns()
        async with Engine():
            gate.set()
            assert await future is first


@pytest.mark.anyio
async def test_an_engine_may_be_entered_twice_and_is_left_with_the_outer_block() -> None:
    engine = Engine()
    async with engine, Engine() as other:
        await engine.__aenter__()
        assert await elsewhere(engine_here()) is engine
        await engine.__aexit__(None, None, None)
        assert await elsewhere(engine_here()) is other
        assert Engine.current() is other


@pytest.mark.anyio
async def test_whoever_calls_while_the_engine_closes_hears_that_it_does() -> None:
    gate = asyncio.Event()

    @task
    async def waits() -> None:
        await gate.wait()

    async def lifespan() -> None:
        async with Engine():
            waits.submit()

    closing = elsewhere(lifespan())
    await turns()
    with pytest.raises(EngineClosed):
        await elsewhere(echoes(1))
    gate.set()
    await closing
    assert await elsewhere(echoes(1)) == [0]


@pytest.mark.anyio
async def test_an_engine_that_fails_to_close_is_left_all_the_same() -> None:
    @task
    async def forever() -> None:
        await asyncio.Event().wait()

    async def lifespan() -> None:
        async with Engine():
            forever.submit()

    closing = elsewhere(lifespan())
    await turns()
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    assert await elsewhere(engine_here()) is default_engine()


# Loops and threads.


def test_engines_on_two_loops_at_once_stay_apart() -> None:
    meet = threading.Barrier(2, timeout=WAIT)
    found: dict[int, tuple[Engine, Engine, Any]] = {}

    async def main(me: int) -> None:
        async with Engine() as engine:
            meet.wait()
            found[me] = engine, await elsewhere(engine_here()), await elsewhere(echoes(20))
            meet.wait()

    threads = [threading.Thread(target=asyncio.run, args=(main(me),)) for me in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(WAIT)
    assert found[0][0] is found[0][1] is not found[1][0]
    assert found[1][0] is found[1][1]
    assert found[0][2] == found[1][2] == list(range(20))


@pytest.mark.anyio
async def test_a_thread_without_a_loop_has_the_default_engine() -> None:
    async with Engine():
        found = await asyncio.get_running_loop().run_in_executor(None, Engine.current)
        assert found is default_engine()


def test_an_engine_that_is_left_on_another_loop_is_no_longer_that_of_the_first() -> None:
    engine = Engine()
    first, second = asyncio.new_event_loop(), asyncio.new_event_loop()
    try:
        first.run_until_complete(engine.__aenter__())
        assert first.run_until_complete(elsewhere_on(first)) is engine
        second.run_until_complete(engine.__aexit__(None, None, None))
        assert first.run_until_complete(elsewhere_on(first)) is default_engine()
        assert second.run_until_complete(elsewhere_on(second)) is default_engine()
    finally:
        first.close()
        second.close()


async def elsewhere_on(loop: asyncio.AbstractEventLoop) -> Engine:
    """The engine of a call in a fresh context on a loop."""
    found: Engine = await loop.create_task(engine_here(), context=Context())
    return found


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_a_loop_that_was_closed_before_the_engine_was_left_leaves_nothing_behind(kind: str) -> None:
    def enter_and_forget() -> tuple[weakref.ref[Any], weakref.ref[Any]]:
        if kind == "uvloop":
            loop: asyncio.AbstractEventLoop = pytest.importorskip("uvloop").new_event_loop()
        else:
            loop = asyncio.new_event_loop()

        async def enter() -> weakref.ref[Engine]:
            engine = await Engine().__aenter__()
            assert await echoes(1) == [0]
            assert len(entering._on_loop[loop]) == 1
            return weakref.ref(engine)

        engine = loop.run_until_complete(loop.create_task(enter(), context=Context()))
        loop.close()
        return weakref.ref(loop), engine

    before = len(entering._on_loop)  # what other tests have forgotten may not have been collected
    loop, engine = enter_and_forget()
    gc.collect()
    assert loop() is None
    assert engine() is None
    assert len(entering._on_loop) == before
    assert asyncio.run(engine_here()) is default_engine()


@pytest.mark.anyio
async def test_an_engine_that_was_dropped_without_being_left_does_not_count() -> None:
    async with Engine() as kept:
        await elsewhere(Engine().__aenter__())
        await turns()  # the loop itself lets go of the task that entered it
        gc.collect()
        assert await elsewhere(engine_here()) is kept
