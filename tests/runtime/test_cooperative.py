"""`cancelled()` and `check_cancelled()` in bodies: code that asks is told, in every way in which it can be stopped."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from millrace import (
    CancelledRun,
    Engine,
    FlowRun,
    FlowRunTimeoutError,
    TaskRunTimeoutError,
    cancelled,
    check_cancelled,
    quote,
)
from tests.checkpoints import turns
from tests.clock import VirtualTime
from tests.loose import flow, task
from tests.runtime.walks import Broken, this_flow, this_run
from tests.runtime.worlds import PATIENCE, SYNC, World


class Asking:
    """A body in a thread that goes on until it is told to stop, or for too long."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.over = threading.Event()
        self.error: BaseException | None = None  # what it was told
        self.rounds = 0

    def loop(self) -> None:
        """Go on as long as nobody says anything."""
        self.begun.set()
        pause = threading.Event()
        for _ in range(20_000):
            if cancelled():
                break
            self.rounds += 1
            pause.wait(0.001)
        try:
            check_cancelled()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self.over.set()

    def has_begun(self) -> None:
        """Wait for its begin."""
        assert self.begun.wait(PATIENCE)

    def has_ended(self) -> BaseException | None:
        """Wait for its end; what it was told."""
        assert self.over.wait(PATIENCE)
        return self.error


# Nothing to stop for.


def test_a_body_that_goes_on_is_told_nothing(world: World) -> None:
    seen: list[bool] = []

    @world.task(retries=1, timeout_seconds=60)
    def asks() -> None:
        check_cancelled()
        seen.append(cancelled())
        if this_run().run_count == 1:
            raise Broken

    async def body() -> None:
        check_cancelled()
        seen.append(cancelled())
        await world.result(asks.submit())
        await world.call(asks)
        seen.append(cancelled())

    world.body(body)
    assert seen == [False] * 6


def test_outside_of_any_run_too() -> None:
    assert not cancelled()
    check_cancelled()


# Cancellation.


def test_a_task_whose_future_is_cancelled_is_told() -> None:
    asking = Asking()
    body = task(asking.loop)

    @flow
    def cancels() -> str:
        future = body.submit()
        asking.has_begun()
        future.cancel()
        assert isinstance(asking.has_ended(), CancelledRun)
        assert future.wait(PATIENCE)
        name: str = future.state.name
        return name

    assert cancels() == "Cancelled"
    assert "cancelled through its future" in str(asking.error)


def test_the_tasks_and_the_body_of_a_flow_that_is_cancelled_are_told() -> None:
    asking, around = Asking(), Asking()
    body = task(asking.loop)

    @flow
    def waits() -> None:
        body.submit()
        around.loop()

    engine = Engine()
    future = engine.start(waits)
    asking.has_begun()
    around.has_begun()
    future.flow_run.cancel("too slow")
    assert future.wait(PATIENCE)
    assert future.state.name == "Cancelled"
    for each in (asking, around):
        assert isinstance(each.has_ended(), CancelledRun)
        assert "too slow" in str(each.error)
        assert each.rounds < 20_000


def test_a_task_that_is_called_in_a_flow_that_is_cancelled_is_told() -> None:
    asking = Asking()
    body = task(asking.loop)

    @flow
    def calls() -> None:
        body()

    engine = Engine()
    future = engine.start(calls)
    asking.has_begun()
    future.flow_run.cancel("too slow")
    assert future.wait(PATIENCE)
    assert future.state.name == "Cancelled"
    assert "too slow" in str(asking.error)


def test_a_subflow_is_told_when_the_flow_around_it_is_cancelled() -> None:
    asking = Asking()
    runs: list[FlowRun] = []

    @flow
    def inner() -> None:
        asking.loop()

    @flow
    def outer() -> None:
        runs.append(this_flow())
        inner()

    engine = Engine()
    future = engine.start(outer)
    asking.has_begun()
    runs[0].cancel("too slow")
    assert isinstance(asking.has_ended(), CancelledRun)
    assert future.wait(PATIENCE)
    assert future.state.name == "Cancelled"


@pytest.mark.anyio
async def test_sync_tasks_of_an_async_flow_that_is_cancelled_are_told() -> None:
    asking = Asking()
    body = task(asking.loop)

    @flow
    async def waits() -> None:
        await body.submit()

    async with Engine() as engine:
        future = engine.start(waits)
        await asyncio.to_thread(asking.has_begun)
        state = await engine.cancel(future.flow_run_id)
    assert state.name == "Cancelled"
    assert isinstance(asking.has_ended(), CancelledRun)


@pytest.mark.anyio
async def test_async_code_that_catches_its_cancellation_is_told_why() -> None:
    seen: list[Any] = []

    @task
    async def catches() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append(cancelled())
            with pytest.raises(CancelledRun, match="too slow"):
                check_cancelled()
            raise

    @flow
    async def waits() -> None:
        future = catches.submit()
        await turns(3)
        future.source.cancel("too slow")
        await future.wait_async()

    await waits()
    assert seen == [True]


def test_sync_code_that_stops_by_itself_leaves_a_cancelled_run() -> None:
    begun = threading.Event()

    @task
    def returns() -> str:
        begun.set()
        pause = threading.Event()
        while not cancelled():
            pause.wait(0.001)
        return "in vain"

    @flow
    def cancels() -> Any:
        future = returns.submit()
        assert begun.wait(PATIENCE)
        future.cancel()
        assert future.wait(PATIENCE)
        return quote(future.state)

    state = cancels().unquote()
    assert (state.name, state.data) == ("Cancelled", None)


# Deadlines.


@pytest.mark.parametrize("options", [{}, {"retries": 1}, {"on_completion": [print]}], ids=str)
@pytest.mark.parametrize("how", ["call", "submit"])
def test_a_task_whose_time_is_over_is_told(how: str, options: dict[str, Any]) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    asking = Asking()
    attempts: list[int] = []

    @task(timeout_seconds=5, interruptible=False, **options)
    def slow() -> None:
        attempts.append(this_run().run_count)
        if len(attempts) == 1:
            asking.loop()
        assert not cancelled()

    def passes() -> None:
        asking.has_begun()
        time.advance(5)

    @flow
    def runs() -> Any:
        clock = threading.Thread(target=passes)
        clock.start()
        state = slow(return_state=True) if how == "call" else slow.submit(return_state=True)
        clock.join()
        asking.has_ended()
        return quote(state.name)

    assert SYNC.run(runs, engine=engine).unquote() == ("Completed" if "retries" in options else "TimedOut")
    assert isinstance(asking.error, TaskRunTimeoutError)
    assert "5" in str(asking.error)
    assert attempts == ([1, 2] if "retries" in options else [1])


def test_a_flow_whose_time_is_over_is_told_and_so_are_its_tasks() -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    asking = Asking()
    seen: list[Any] = []

    @flow(timeout_seconds=5)
    def slow() -> None:
        future = task(asking.loop).submit()
        asking.has_begun()
        time.advance(5)
        try:
            while True:
                seen.append(cancelled())
                check_cancelled()
        except FlowRunTimeoutError as error:
            seen.append(error)
        assert future.wait(PATIENCE)

    state = SYNC.run(slow, engine=engine, return_state=True)
    assert state.name == "TimedOut"
    assert isinstance(seen[-1], FlowRunTimeoutError)
    assert isinstance(asking.has_ended(), CancelledRun)


# Elsewhere in the same body.


def in_a_pool(ask: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(copy_context().run, ask).result()


def in_a_thread(ask: Callable[[], Any]) -> Any:
    found: list[Any] = []
    context = copy_context()
    thread = threading.Thread(target=lambda: found.append(context.run(ask)))
    thread.start()
    thread.join()
    return found[0]


@pytest.mark.parametrize("elsewhere", [in_a_pool, in_a_thread])
def test_a_thread_that_has_a_copy_of_the_context_is_told(elsewhere: Callable[..., Any]) -> None:
    seen: list[bool] = []

    @flow
    def cancels() -> None:
        seen.append(elsewhere(cancelled))
        this_flow().cancel()
        seen.append(elsewhere(cancelled))

    cancels(return_state=True)
    assert seen == [False, True]


def test_a_thread_without_one_is_not() -> None:
    seen: list[bool] = []

    @flow
    def cancels() -> None:
        this_flow().cancel()
        thread = threading.Thread(target=lambda: seen.append(cancelled()))
        thread.start()
        thread.join()

    cancels(return_state=True)
    assert seen == [False]


def test_code_that_goes_on_after_its_run_is_told() -> None:
    gate, over = threading.Event(), threading.Event()
    seen: list[Any] = []

    def later() -> None:
        assert gate.wait(PATIENCE)
        seen.append(cancelled())
        try:
            check_cancelled()
        except CancelledRun as error:
            seen.append(str(error))
        over.set()

    @task
    def leaves() -> None:
        threading.Thread(target=copy_context().run, args=(later,)).start()

    leaves()
    gate.set()
    assert over.wait(PATIENCE)
    assert seen[0] is True
    assert "has ended: Completed()" in seen[1]


def test_a_task_inside_of_one_that_has_another_number_of_attempts_is_not_confused() -> None:
    seen: list[bool] = []

    @task(timeout_seconds=60)
    def inner() -> None:
        seen.append(cancelled())

    @task(retries=2, timeout_seconds=60)
    def outer() -> None:
        inner()
        seen.append(cancelled())
        if this_run().run_count < 3:
            raise Broken

    outer()
    assert seen == [False] * 6


def test_a_plain_task_inside_of_an_attempt_is_not_confused() -> None:
    seen: list[bool] = []

    @task
    def inner() -> None:
        seen.append(cancelled())

    @task(retries=2, retry_condition_fn=lambda *_: True)
    def outer() -> None:
        inner()
        inner.submit().wait()
        seen.append(cancelled())
        if this_run().run_count < 3:
            raise Broken

    outer()
    assert seen == [False] * 9
