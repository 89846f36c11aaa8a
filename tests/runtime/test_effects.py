"""Effects: one coroutine for callers on loops and callers in threads, which take the same steps."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

import pytest

from millrace import Engine, flow, task
from millrace.runtime import effects
from millrace.runtime.context import CURRENT
from millrace.runtime.effects import BLOCKING, ON_LOOP, Effects, await_elsewhere, in_thread, run_blocking
from millrace.runtime.entering import ENTERED
from millrace.runtime.offload import Offload
from millrace.runtime.thread_calls import Call
from millrace.runtime.waiting import ThreadWaiter
from tests.checkpoints import turns, until
from tests.loose import flow as any_flow
from tests.loose import task as any_task
from tests.runtime.worlds import PATIENCE

WHERE: ContextVar[str] = ContextVar("where", default="nowhere")


class Odd(BaseException):
    """None of those that the interpreter knows."""


async def twice(fx: Effects, fn: Callable[..., Any], *args: Any) -> list[Any]:
    """Two steps, written once."""
    return [await fx.call(fn, *args), await fx.call(fn, *args)]


def add(first: int, second: int) -> int:
    return first + second


async def add_slowly(first: int, second: int) -> int:
    await asyncio.sleep(0)
    return first + second


class Awaits:
    """What is awaitable without being a coroutine."""

    def __await__(self) -> Any:
        yield from asyncio.sleep(0).__await__()
        return "awaited"


@pytest.mark.parametrize("fn", [add, add_slowly], ids=["sync", "async"])
def test_in_a_thread_functions_of_both_kinds_are_called_and_nothing_suspends(fn: Any) -> None:
    assert run_blocking(twice(BLOCKING, fn, 1, 2)) == [3, 3]


@pytest.mark.parametrize("fn", [add, add_slowly], ids=["sync", "async"])
@pytest.mark.anyio
async def test_on_a_loop_functions_of_both_kinds_are_called(fn: Any) -> None:
    assert await twice(ON_LOOP, fn, 1, 2) == [3, 3]


def test_whatever_is_awaitable_is_seen_through() -> None:
    assert run_blocking(BLOCKING.call(Awaits)) == "awaited"
    assert asyncio.run(any_coroutine(ON_LOOP.call(Awaits))) == "awaited"


async def any_coroutine(awaitable: Any) -> Any:
    return await awaitable


ERRORS = pytest.mark.parametrize("error", [KeyError("no"), SystemExit(2), KeyboardInterrupt(), Odd("no")], ids=repr)


@ERRORS
@pytest.mark.parametrize("slowly", [False, True], ids=["sync", "async"])
def test_in_a_thread_what_is_raised_is_raised_there(error: BaseException, *, slowly: bool) -> None:
    """Also what would end the loop that an async function runs on."""

    def fn() -> None:
        raise error

    async def slow_fn() -> None:
        await asyncio.sleep(0)
        raise error

    with pytest.raises(type(error)) as caught:
        run_blocking(BLOCKING.call(slow_fn if slowly else fn))
    assert caught.value is error
    assert run_blocking(BLOCKING.call(add_slowly, 1, 2)) == 3  # the loop is still there


def test_a_coroutine_that_needs_a_loop_cannot_be_driven_without_one() -> None:
    closed: list[int] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(1)

    with pytest.raises(AssertionError, match="waits for something, and there is no loop to wait on"):
        run_blocking(waits())
    assert closed == [1]


# Elsewhere.


def test_an_async_function_is_seen_through_in_the_context_of_its_caller() -> None:
    async def where() -> tuple[str, str]:
        before = WHERE.get()
        WHERE.set("changed")
        return before, WHERE.get()

    token = WHERE.set("here")
    try:
        assert run_blocking(BLOCKING.call(where)) == ("here", "changed")
        assert WHERE.get() == "here"
    finally:
        WHERE.reset(token)


def test_in_the_body_of_a_run_it_belongs_to_that_run() -> None:
    async def current() -> Any:
        await asyncio.sleep(0)
        run = CURRENT.get()
        return None if run is None else run.name

    @task
    def body() -> tuple[Any, Any]:
        run = CURRENT.get()
        assert run is not None
        return run_blocking(BLOCKING.call(current)), run.name

    @flow
    def wood() -> tuple[Any, Any]:
        return body()

    inside, name = wood()
    assert inside == name


def test_it_uses_the_engine_of_its_caller_and_one_loop_for_all() -> None:
    engine = Engine()
    token = ENTERED.set(engine)
    loops: set[Any] = set()

    async def note() -> None:
        loops.add(asyncio.get_running_loop())

    try:
        for _ in range(5):
            run_blocking(BLOCKING.call(note))
    finally:
        ENTERED.reset(token)
    assert loops == {engine.own_lane().loop}
    engine.close()


def test_a_sync_call_on_the_thread_of_a_loop_has_it_seen_through_on_another() -> None:
    loops: list[Any] = []

    async def note() -> None:
        await asyncio.sleep(0)
        loops.append(asyncio.get_running_loop())

    async def main() -> None:
        run_blocking(BLOCKING.call(note))
        assert loops != [asyncio.get_running_loop()]

    asyncio.run(main())
    assert len(loops) == 1


def test_while_it_blocks_a_worker_lends_its_place() -> None:
    engine = Engine(threads=1)
    gate = threading.Event()
    order: list[str] = []

    @any_task
    def other() -> None:
        order.append("other")
        gate.set()

    async def waits() -> None:
        while not gate.is_set():  # noqa: ASYNC110  # opened by another thread
            await asyncio.sleep(0)

    @any_task
    def blocks() -> None:
        future = other.submit()
        run_blocking(BLOCKING.call(waits))
        order.append("blocks")
        future.result(timeout=PATIENCE)

    @any_flow
    def body() -> None:
        blocks.submit().result(timeout=PATIENCE)

    engine.start(body).result(timeout=PATIENCE)
    assert order == ["other", "blocks"]
    engine.close()


def test_an_interrupt_of_the_wait_cancels_what_is_waited_for() -> None:
    begun, cancelled = threading.Event(), threading.Event()

    async def forever() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    class Interrupted(BaseException):
        pass

    class Waiter(ThreadWaiter):
        def wait(self, timeout: float | None = None) -> bool:
            assert begun.wait(PATIENCE)
            raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(effects, "ThreadWaiter", Waiter)
        with pytest.raises(Interrupted):
            await_elsewhere(forever())
    assert cancelled.wait(PATIENCE)


def test_what_is_cancelled_elsewhere_is_a_cancellation_here() -> None:
    async def cancels() -> None:
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(0)

    with pytest.raises(asyncio.CancelledError):
        run_blocking(BLOCKING.call(cancels))


# In a thread.


@pytest.mark.anyio
async def test_what_may_block_is_called_on_a_thread_of_the_engines() -> None:
    async with Engine(threads=1) as engine:
        here = threading.get_ident()
        assert await ON_LOOP.io(threading.get_ident) != here
        assert await in_thread(add, 1, 2) == 3
        assert engine.stats().threads.threads == 1


def test_in_a_thread_it_is_called_right_there() -> None:
    assert run_blocking(BLOCKING.io(threading.get_ident)) == threading.get_ident()


@ERRORS
@pytest.mark.anyio
async def test_what_it_raises_is_raised_to_whoever_waits(error: BaseException) -> None:
    def fails() -> None:
        raise error

    async with Engine(threads=1) as engine:
        caught: BaseException | None = None
        try:
            await in_thread(fails)
        except BaseException as raised:  # noqa: BLE001  # looked at below
            caught = raised
        assert caught is error
        assert await in_thread(add, 1, 2) == 3
        assert engine.stats().threads.threads == 1  # its thread has survived that


@pytest.mark.anyio
async def test_of_a_cancellation_only_the_wait_ends() -> None:
    begun, gate, ended = threading.Event(), threading.Event(), threading.Event()

    def slow() -> None:
        begun.set()
        assert gate.wait(PATIENCE)
        ended.set()

    async with Engine():
        waits = asyncio.create_task(in_thread(slow))
        await until(begun.is_set)
        waits.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waits
        assert not ended.is_set()
        gate.set()
        await until(ended.is_set)
        await turns()


def test_calls_one_after_another_take_one_thread_however_soon_the_next_one_comes() -> None:
    """A thread that tells of its call is as good as free: of two that take turns each is woken in vain, or cold."""
    offload, ended, left = Offload(4), threading.Event(), iter(range(10))

    def go_on() -> None:
        if next(left, None) is None:
            ended.set()
        else:
            offload.call(Call(lambda: None, (), go_on))

    go_on()
    assert ended.wait(PATIENCE)
    assert offload.stats().threads == 1
    offload.close()


def test_a_call_that_waits_for_another_one_does_not_wait_in_vain() -> None:
    """Only a thread that has made its call is as good as free."""
    offload, inner, ended = Offload(2), threading.Event(), threading.Event()

    def outer() -> bool:
        offload.call(Call(inner.set, (), lambda: None))
        return inner.wait(PATIENCE)

    call = Call(outer, (), ended.set)
    offload.call(call)
    assert ended.wait(PATIENCE)
    assert call.outcome()
    offload.close()
