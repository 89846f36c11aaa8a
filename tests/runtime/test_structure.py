"""A flow ends only when all that it started has ended, however its body ends; and nobody is left behind in PENDING."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import CancelledRun, Engine, Event, FlowRunContext, Future, SequentialTaskRunner
from millrace.runtime.flow_body import see_through
from tests.loose import flow, task

WAIT = 10.0


class Log:
    """The transitions of an engine."""

    def __init__(self, engine: Engine) -> None:
        self.events: list[Event] = []
        engine.subscribe(self.events.append)

    def check(self) -> None:
        """Each run has an end, and no flow ended before what it started."""
        ended: dict[Any, int] = {}
        for index, event in enumerate(self.events):
            if event.state.is_final() or event.state.name == "NotReady":
                ended[event.task_run_id or event.flow_run_id] = index
        begun = {event.task_run_id or event.flow_run_id for event in self.events}
        assert begun == set(ended)
        for event in self.events:
            if event.task_run_id is not None and event.flow_run_id is not None:
                assert ended[event.task_run_id] < ended[event.flow_run_id]


@pytest.mark.anyio
async def test_a_flow_whose_body_returns_early_waits_for_its_children() -> None:
    finished: list[int] = []

    @task
    async def child(x: int) -> None:
        for _ in range(x):
            await asyncio.sleep(0)
        finished.append(x)

    @flow
    async def body() -> str:
        for x in range(10):
            child.submit(x)
        child.map(range(10, 20))
        return "early"

    async with Engine() as engine:
        log = Log(engine)
        assert await body() == "early"
        assert sorted(finished) == list(range(20))
    log.check()


def test_a_sync_flow_whose_body_returns_early_waits_for_its_children() -> None:
    finished: list[int] = []
    gate = threading.Event()

    @task
    def child(x: int) -> None:
        assert gate.wait(WAIT)
        finished.append(x)

    @task
    async def async_child(x: int) -> None:
        await asyncio.sleep(0)
        finished.append(x)

    @flow
    def body() -> str:
        child.map(range(5))
        async_child.map(range(5, 10))
        threading.Timer(0, gate.set).start()
        return "early"

    assert body() == "early"
    assert sorted(finished) == list(range(10))


@pytest.mark.anyio
async def test_grandchildren_are_waited_for_too() -> None:
    finished: list[str] = []

    @task
    async def grandchild() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        finished.append("grandchild")

    @task
    async def child() -> None:
        grandchild.submit()
        finished.append("child")

    @flow
    async def inner() -> None:
        child.submit()

    @flow
    async def body() -> None:
        child.submit()
        await inner()
        assert finished.count("grandchild") >= 1
        finished.append("inner")

    async with Engine() as engine:
        log = Log(engine)
        await body()
    log.check()
    assert sorted(finished) == ["child", "child", "grandchild", "grandchild", "inner"]


@pytest.mark.anyio
async def test_a_flow_whose_body_raises_waits_for_its_children_and_then_fails() -> None:
    finished: list[int] = []

    @task
    async def child(x: int) -> int:
        for _ in range(5):
            await asyncio.sleep(0)
        finished.append(x)
        return x

    @flow
    async def body() -> None:
        child.map(range(5))
        await asyncio.sleep(0)
        raise ValueError("mine")

    async with Engine() as engine:
        log = Log(engine)
        with pytest.raises(ValueError, match=r"^mine$"):
            await body()
        assert sorted(finished) == list(range(5))
    log.check()


def test_a_sync_flow_whose_body_raises_waits_for_its_children_and_then_fails() -> None:
    finished = threading.Event()

    @task
    async def child() -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        finished.set()

    @flow
    def body() -> None:
        child.submit()
        raise ValueError("mine")

    with pytest.raises(ValueError, match=r"^mine$"):
        body()
    assert finished.is_set()


@pytest.mark.anyio
async def test_a_flow_that_is_cancelled_waits_until_its_children_have_cleaned_up() -> None:
    cleaned: list[str] = []

    @task
    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            cleaned.append("child")

    @flow
    async def body() -> None:
        child.submit()
        await child()

    async with Engine() as engine:
        log = Log(engine)
        running = asyncio.create_task(body())
        for _ in range(10):
            await asyncio.sleep(0)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert cleaned == ["child", "child"]
    log.check()


@pytest.mark.anyio
async def test_children_that_depend_on_what_never_completes_are_not_left_in_pending() -> None:
    @task
    async def fails() -> int:
        raise ValueError

    @task
    async def after(x: int) -> int:
        return x

    @flow
    async def body() -> list[Future[int]]:
        failed = fails.submit()
        chain = [failed]
        for _ in range(5):
            chain.append(after.submit(chain[-1]))
        await asyncio.wait([asyncio.create_task(each.wait_async()) for each in chain])
        return [quiet(each) for each in chain]

    def quiet(future: Future[int]) -> Any:
        return future.state.name

    async with Engine() as engine:
        log = Log(engine)
        assert await body() == ["Failed", *["NotReady"] * 5]
    log.check()


@pytest.mark.anyio
async def test_thousands_of_runs_that_depend_on_a_failure_in_a_row_all_end() -> None:
    @task
    async def fails() -> int:
        await asyncio.sleep(0)
        raise ValueError

    @task
    async def after(x: int) -> int:
        return x

    @flow
    async def body() -> Any:
        future = fails.submit()
        for _ in range(3_000):
            future = after.submit(future)
        state = await future.wait_async(WAIT)
        return state.name

    assert await body() == "NotReady"


def test_a_sync_flow_leaves_no_child_in_pending_when_it_is_interrupted() -> None:
    gate = threading.Event()

    @task
    def holds() -> None:
        gate.wait(WAIT)

    @task
    def after(_x: Any) -> None: ...

    futures: list[Future[Any]] = []

    @flow
    def body() -> None:
        first = holds.submit()
        futures.extend([first, after.submit(first), *after.map([first, first])])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        body()
    assert {each.state.name for each in futures} <= {"Cancelled", "NotReady"}
    gate.set()
    wait_until(lambda: not Engine.current().stats().threads.busy)


def wait_until(condition: Callable[[], bool]) -> None:
    pause = threading.Event()
    for _ in range(5_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it did not come to that")


def test_a_second_interrupt_gives_up_what_does_not_stop() -> None:
    begun = threading.Event()
    stop: list[Callable[[], Any]] = []

    @task
    async def stubborn() -> None:
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()
        stop.append(lambda: loop.call_soon_threadsafe(ended.set))
        begun.set()
        while not ended.is_set():
            try:
                await ended.wait()
            except asyncio.CancelledError:
                continue

    futures: list[Future[None]] = []
    joins = 0

    @flow
    def body() -> None:
        futures.append(stubborn.submit())
        assert begun.wait(WAIT)
        context = FlowRunContext.get()
        assert context is not None
        run = context.flow_run
        original = type(run).join

        def join(self: Any) -> None:
            nonlocal joins
            joins += 1
            if self is run and joins == 1:
                raise KeyboardInterrupt  # the second Ctrl-C, while the children are waited for
            original(self)

        patch.setattr(type(run), "join", join)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        body()
    assert futures[0].state.is_crashed()
    for each in stop:
        each()


@pytest.mark.anyio
async def test_a_task_that_is_started_while_its_flow_is_being_stopped_never_runs() -> None:
    ran: list[int] = []

    @task
    async def late() -> None:
        ran.append(1)

    @task
    async def lates(x: int) -> None:
        ran.append(x)

    @flow
    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            for each in [late.submit(), *lates.map([1, 2, 3])]:
                assert (await each.wait_async(WAIT)).is_cancelled()

    async with Engine() as engine:
        started = engine.start(body)
        await asyncio.sleep(0)
        assert (await engine.cancel(started.flow_run_id)).is_cancelled()
    assert not ran


@pytest.mark.anyio
async def test_nothing_can_be_started_in_a_flow_that_has_ended() -> None:
    kept: list[Callable[[], Any]] = []

    @task
    async def child() -> None: ...

    @flow
    async def inner() -> None: ...

    @flow
    async def body() -> None:
        context = contextvars.copy_context()
        kept.append(lambda: context.run(child.submit))
        kept.append(lambda: context.run(child.map))
        kept.append(lambda: context.run(inner().send, None))

    await body()
    with pytest.raises(RuntimeError, match="which has ended"):
        kept[0]()
    with pytest.raises(RuntimeError, match="which has ended"):
        kept[2]()


@pytest.mark.anyio
async def test_a_coroutine_of_a_flow_that_is_closed_takes_its_children_with_it() -> None:
    stopped = asyncio.Event()

    @task
    async def child() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.set()

    futures: list[Future[None]] = []

    @flow
    async def body() -> None:
        futures.append(child.submit())
        await asyncio.Event().wait()

    class Closes:
        def __init__(self) -> None:
            self.coroutine = body()

        def __await__(self) -> Any:
            wrapped = self.coroutine.__await__()
            next(wrapped)
            for _ in range(5):
                yield
            self.coroutine.close()

    async with Engine() as engine:
        log = Log(engine)
        await Closes()
        assert futures[0].state.is_crashed()
        assert engine.stats().flow_runs == 0
        await asyncio.wait_for(stopped.wait(), WAIT)
    log.check()


@pytest.mark.anyio
async def test_a_flow_whose_runner_cannot_be_started_was_never_there() -> None:
    class Broken(SequentialTaskRunner):
        def __enter__(self) -> Any:
            raise OSError("no room")

    @flow(task_runner=Broken())
    async def body() -> None: ...

    async with Engine() as engine:
        with pytest.raises(OSError, match="no room"):
            await body()
        assert engine.stats().flow_runs == 0


@pytest.mark.anyio
async def test_a_flow_whose_runner_cannot_be_closed_fails_and_ends() -> None:
    class Broken(SequentialTaskRunner):
        def __exit__(self, *_: object) -> None:
            raise OSError("stuck")

    @flow(task_runner=Broken())
    async def body() -> int:
        return 1

    state = await body(return_state=True)
    assert state.is_failed()
    with pytest.raises(OSError, match="stuck"):
        await state.aresult()


@pytest.mark.anyio
async def test_a_flow_that_is_cancelled_before_it_begins_never_begins() -> None:
    ran: list[int] = []

    @flow
    async def body() -> None:
        ran.append(1)

    @flow
    def sync_body() -> None:
        ran.append(1)

    async with Engine() as engine:
        future = engine.start(body)
        assert future.cancel()
        with pytest.raises(CancelledRun):
            await future
        assert future.state.is_cancelled()
        run = sync_body.begin(engine, (), {})
        run.cancel()
        see_through(run, (), {}, None)  # the moment between making a run and beginning it
        assert run.state.is_cancelled()
    assert not ran


@pytest.mark.parametrize("store", [None, "memory:"], ids=["plain", "recorded"])
def test_a_run_that_was_forced_to_its_end_in_line_is_counted_once(store: str | None) -> None:
    # 1. A run is in line for its next attempt. 2. Somebody forces it to an end, which is told, and so it is counted.
    # 3. It is taken from the line, and what sees its attempts through ends it once more.
    @task
    def one() -> int:
        return 1

    @flow
    def body() -> None:
        context = FlowRunContext.get()
        assert context is not None
        future = one.submit()
        assert future.result() == 1
        future.source.settle_up()
        assert (context.flow_run.spawned, context.flow_run.live) == (1, 0)
        assert context.flow_run.counts() == {"completed": 1}

    with Engine(threads=1, store=store):
        body()
