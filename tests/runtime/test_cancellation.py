"""Cancelling: one run at each point of its way, a flow and all that it started, from anywhere and by whatever means."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import anyio
import pytest

from millrace import CancelledRun, Engine, Event, FlowRun, FlowRunContext, Future, ThreadPoolTaskRunner, UnfinishedRun
from millrace.runtime.engines import default_engine
from tests.checkpoints import turns, until
from tests.clock import VirtualTime
from tests.loose import flow, task

WAIT = 10.0


def this_run() -> FlowRun:
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


@task
async def forever() -> None:
    await asyncio.Event().wait()


@task
async def echo(x: int) -> int:
    await asyncio.sleep(0)
    return x


class Stubborn:
    """Async bodies that will not be cancelled until they are let go."""

    def __init__(self) -> None:
        self.cancellations = 0
        self.gone = asyncio.Event()

    async def body(self) -> None:
        while not self.gone.is_set():
            try:
                await self.gone.wait()
            except asyncio.CancelledError:
                self.cancellations += 1


def names_of(events: list[Event], future: Future[Any]) -> list[str]:
    run_id = future.source.uuid
    return [
        each.state.name
        for each in events
        if run_id in (each.task_run_id, each.flow_run_id if each.task_run_id is None else None)
    ]


# One run, by its future.


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_while_it_stands_in_line_never_starts() -> None:
    ran: list[int] = []

    @task
    async def runs() -> None:
        ran.append(1)

    async with Engine() as engine:
        events: list[Event] = []
        engine.subscribe(events.append)
        future = runs.submit()
        assert future.cancel()
        assert future.state.is_cancelled()
        with pytest.raises(CancelledRun):
            await future
        await turns()
        assert names_of(events, future) == ["Pending", "Cancelled"]
    assert not ran


@pytest.mark.anyio
async def test_a_sync_run_that_is_cancelled_while_it_stands_in_line_never_starts() -> None:
    begun, gate = threading.Event(), threading.Event()
    ran: list[int] = []

    @task
    def holds() -> None:
        begun.set()
        assert gate.wait(WAIT)

    @task
    def runs() -> None:
        ran.append(1)

    async with Engine(threads=1):
        first = holds.submit()
        await until(begun.is_set)
        second = runs.submit()
        assert second.cancel()
        assert second.state.is_cancelled()
        gate.set()
        await first
    assert not ran


@pytest.mark.anyio
async def test_an_async_body_is_cancelled_at_its_await_and_may_clean_up() -> None:
    steps: list[str] = []

    @task
    async def body() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            steps.append("cleaning")
            await turns(3)
            steps.append("clean")

    async with Engine() as engine:
        events: list[Event] = []
        engine.subscribe(events.append)
        future = body.submit()
        await turns()
        assert future.cancel()
        assert future.state.name == "Cancelling"
        assert future.cancel()  # asking again changes nothing
        assert (await future.wait_async(WAIT)).is_cancelled()
        assert steps == ["cleaning", "clean"]
        assert names_of(events, future) == ["Pending", "Running", "Cancelling", "Cancelled"]


@pytest.mark.anyio
async def test_a_body_that_returns_or_fails_when_it_is_cancelled_is_cancelled_all_the_same() -> None:
    @task
    async def returns() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return "too late"
        return "never"

    @task(retries=5)
    async def fails() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ValueError from None

    for body in (returns, fails):
        future: Future[Any] = body.submit()
        await turns()
        future.cancel()
        assert (await future.wait_async(WAIT)).is_cancelled()
        assert future.source.run_count == 1


@pytest.mark.anyio
async def test_a_sync_body_cannot_be_stopped_so_its_run_ends_at_once_and_its_thread_counts_until_it_returns() -> None:
    begun, gate = threading.Event(), threading.Event()

    @task
    def body() -> str:
        begun.set()
        assert gate.wait(WAIT)
        return "too late"

    @task
    def after() -> str:
        return "free"

    async with Engine(threads=1) as engine:
        future = body.submit()
        await until(begun.is_set)
        assert future.cancel()
        assert future.state.is_cancelled()
        stats = engine.stats().threads
        assert (stats.busy, stats.abandoned, stats.limit) == (1, 1, 1)
        assert await after.submit() == "free"  # another thread stands in for it

        begun.clear()
        second = body.submit()
        await until(begun.is_set)
        assert second.cancel()
        waits = after.submit()
        await turns()
        assert engine.stats().threads.abandoned == 2
        assert not waits.done()  # and no more than the limit allows at all
        gate.set()
        assert await waits == "free"
        assert future.state.is_cancelled()
        await until(lambda: engine.stats().threads.busy == 0)
        assert (future.source.dead_letters, second.source.dead_letters) == (1, 1)
        assert engine.stats().threads.abandoned == 0


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_while_it_waits_for_others_never_starts_and_they_go_on() -> None:
    gate = asyncio.Event()

    @task
    async def first() -> int:
        await gate.wait()
        return 1

    upstream = first.submit()
    downstream = echo.submit(upstream)
    await turns()
    assert downstream.cancel()
    assert downstream.state.is_cancelled()
    gate.set()
    assert await upstream == 1
    await turns()
    assert downstream.source.run_count == 0


@pytest.mark.anyio
async def test_a_run_that_depends_on_a_cancelled_one_never_starts() -> None:
    upstream = forever.submit()
    downstream = echo.submit(upstream)
    await turns()
    upstream.cancel()
    with pytest.raises(UnfinishedRun):
        await downstream
    assert downstream.state.name == "NotReady"


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_between_two_attempts_has_no_further_one() -> None:
    time = VirtualTime()
    attempts: list[int] = []

    @task(retries=3, retry_delay_seconds=60)
    async def fails() -> None:
        attempts.append(1)
        raise ValueError

    async with Engine(clock=time.now, timers=time) as engine:
        events: list[Event] = []
        engine.subscribe(events.append)
        future = fails.submit()
        await until(lambda: future.state.name == "AwaitingRetry")
        assert future.cancel()
        assert future.state.is_cancelled()
        time.advance(1000)
        await turns()
        assert names_of(events, future) == ["Pending", "Running", "AwaitingRetry", "Cancelled"]
    assert len(attempts) == 1


@pytest.mark.anyio
async def test_cancelling_what_has_ended_changes_nothing() -> None:
    future = echo.submit(1)
    assert await future == 1
    assert not future.cancel()
    assert future.state.is_completed()
    cancelled = forever.submit()
    cancelled.cancel()
    assert not cancelled.cancel()


@pytest.mark.anyio
async def test_cancelling_one_run_leaves_its_siblings_alone() -> None:
    @flow
    async def body() -> list[int]:
        futures = [echo.submit(1), forever.submit(), echo.submit(2)]
        await turns()
        futures[1].cancel()
        with pytest.raises(CancelledRun):
            await futures[1]
        return [await futures[0], await futures[2]]

    assert await body() == [1, 2]


@pytest.mark.anyio
async def test_a_future_of_a_flow_cancels_the_flow() -> None:
    @flow
    async def body() -> None:
        await forever()

    async with Engine() as engine:
        future = engine.start(body)
        await turns()
        assert future.cancel()
        with pytest.raises(CancelledRun):
            await future


# A flow, through the engine, from anywhere.


@flow
async def family() -> None:
    """A flow with children of every kind."""
    forever.submit()
    echo.submit(forever.submit())
    await asyncio.gather(forever(), nested())


@flow
async def nested() -> None:
    await parent.submit()


@task
async def parent() -> None:
    await forever.submit()


async def cancel_here(engine: Engine, run: FlowRun) -> None:
    await engine.cancel(run.uuid)


async def cancel_in_a_thread(_engine: Engine, run: FlowRun) -> None:
    thread = threading.Thread(target=run.cancel)
    thread.start()
    thread.join(WAIT)


async def cancel_at_once(_engine: Engine, run: FlowRun) -> None:
    run.cancel("I changed my mind.")


@pytest.mark.anyio
@pytest.mark.parametrize("how", [cancel_here, cancel_in_a_thread, cancel_at_once])
async def test_cancelling_a_flow_run_cancels_all_that_it_started(
    how: Callable[[Engine, FlowRun], Awaitable[None]],
) -> None:
    async with Engine() as engine:
        events: list[Event] = []
        engine.subscribe(events.append)
        future = engine.start(family)
        await turns(20)
        await how(engine, future.source)
        state = await future.wait_async(WAIT)
        assert state.is_cancelled()
        last = {each.task_run_id or each.flow_run_id: each.state.name for each in events}
        assert set(last.values()) <= {"Cancelled", "NotReady"}
        assert len(last) == 9  # one of them is the task run that stands for the subflow
        assert names_of(events, future) == ["Pending", "Running", "Cancelling", "Cancelled"]
        assert events[-1].flow_run_id == future.flow_run_id
        assert events[-1].task_run_id is None
        if how is cancel_at_once:
            reasons = [each.state.message for each in events if each.state.name == "Cancelling"]
            assert set(reasons) == {"I changed my mind."}


@pytest.mark.anyio
async def test_a_flow_may_cancel_itself_from_inside_its_body() -> None:
    reached: list[str] = []

    @flow
    async def body() -> None:
        child = forever.submit()
        this_run().cancel()
        reached.append("the next line")
        try:
            await child
        except CancelledRun:
            reached.append("the child's end")
        await asyncio.Event().wait()

    with pytest.raises(CancelledRun):
        await asyncio.wait_for(body(), WAIT)
    assert reached[0] == "the next line"


@pytest.mark.anyio
async def test_a_body_may_wait_for_its_own_cancellation() -> None:
    @flow
    async def body() -> None:
        await Engine.current().cancel(this_run().uuid)

    with pytest.raises(CancelledRun):
        await asyncio.wait_for(body(), WAIT)


@pytest.mark.anyio
@pytest.mark.parametrize("where", ["async", "thread"])
async def test_a_task_may_cancel_its_flow(where: str) -> None:
    @task
    async def in_async() -> None:
        this_run().cancel()
        await asyncio.Event().wait()

    @task
    def in_thread() -> None:
        this_run().cancel()

    @flow
    async def body() -> None:
        {"async": in_async, "thread": in_thread}[where].submit()
        await forever()

    with pytest.raises(CancelledRun):
        await asyncio.wait_for(body(), WAIT)


def test_a_sync_flow_that_is_cancelled_from_another_thread_ends_cancelled() -> None:
    begun = threading.Event()

    @task
    async def signals() -> None:
        begun.set()
        await asyncio.Event().wait()

    @flow
    def body() -> None:
        run = this_run()

        def cancels() -> None:
            assert begun.wait(WAIT)
            run.cancel()

        threading.Thread(target=cancels).start()
        signals.submit().wait()
        raise ValueError("whatever the body comes to")

    with pytest.raises(CancelledRun):
        body()


def test_a_sync_flow_that_cancelled_itself_starts_nothing_more() -> None:
    ran: list[int] = []

    @task
    async def child() -> None:
        ran.append(1)

    @flow
    def body() -> list[str]:
        this_run().cancel()
        return [child.submit().state.name, *[each.state.name for each in child_of.map([1, 2])]]

    @task
    def child_of(x: int) -> None:
        ran.append(x)

    state = body(return_state=True)
    assert state.is_cancelled()
    assert not ran


@pytest.mark.anyio
async def test_a_flow_that_completes_in_spite_of_its_cancellation_is_cancelled() -> None:
    @flow
    async def body() -> str:
        try:
            await forever()
        except asyncio.CancelledError:
            return "done anyway"
        return "never"

    async with Engine() as engine:
        future = engine.start(body)
        await turns()
        assert (await engine.cancel(future.flow_run_id)).is_cancelled()


@pytest.mark.anyio
async def test_a_subflow_that_is_cancelled_raises_in_the_flow_around_it_which_goes_on() -> None:
    @flow
    async def inner() -> None:
        this_run().cancel()
        await forever()

    @flow
    async def outer() -> str:
        with pytest.raises(CancelledRun):
            await inner()
        assert await echo(1) == 1
        return "went on"

    assert await asyncio.wait_for(outer(), WAIT) == "went on"


@pytest.mark.anyio
async def test_flows_that_are_nested_hundreds_deep_are_cancelled_too() -> None:
    @flow
    async def level(n: int) -> None:
        await (below.submit(n - 1) if n else forever.submit())

    @task
    async def below(n: int) -> None:
        await level(n)

    async with Engine() as engine:
        future = engine.start(level, 400)
        await until(lambda: engine.stats().flow_runs == 401)
        async with asyncio.timeout(WAIT):
            assert (await engine.cancel(future.flow_run_id)).is_cancelled()


# By the means of asyncio and anyio: the run is CRASHED, and the cancellation goes on up.


async def check_environment(run_it: Callable[[Callable[[], Coroutine[Any, Any, Any]]], Awaitable[None]]) -> None:
    """Run the family under something that cuts it off, and look at what is left."""
    async with Engine() as engine:
        events: list[Event] = []
        engine.subscribe(events.append)
        async with asyncio.timeout(WAIT):
            await run_it(family)
        flows = [each for each in events if each.task_run_id is None]
        last = {each.flow_run_id: each.state for each in flows}
        assert len(last) == 2
        assert next(state.name for state in last.values()) == "Crashed"
        assert "cancelled by the runtime environment" in (next(iter(last.values())).message or "")
        tasks = {each.task_run_id: each.state.name for each in events if each.task_run_id is not None}
        assert len(tasks) == 7  # one of them stands for the subflow
        assert set(tasks.values()) <= {"Cancelled", "Crashed", "NotReady"}
        assert engine.stats().flow_runs == engine.stats().task_runs == 0


async def after_turns(call: Callable[[], None]) -> None:
    """Call something when the family has had the time to start."""
    await turns(20)
    call()


@pytest.mark.anyio
async def test_a_cancelled_asyncio_task_takes_the_flow_with_it() -> None:
    async def cut(make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        running = asyncio.ensure_future(make())
        await turns(20)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert running.cancelled()

    await check_environment(cut)


@pytest.mark.anyio
async def test_a_timeout_of_asyncio_takes_the_flow_with_it_and_is_a_timeout() -> None:
    async def cut(make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        async def limited() -> None:
            async with asyncio.timeout(None) as limit:
                async with asyncio.TaskGroup() as group:
                    group.create_task(after_turns(lambda: limit.reschedule(0)))
                    await make()

        with pytest.raises(TimeoutError):
            await limited()

    await check_environment(cut)


@pytest.mark.anyio
async def test_a_task_group_of_asyncio_takes_the_flow_with_it() -> None:
    async def cut(make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        async def fails() -> None:
            await turns(20)
            raise ZeroDivisionError

        async def grouped() -> None:
            async with asyncio.TaskGroup() as group:
                group.create_task(make())
                group.create_task(fails())

        with pytest.raises(ExceptionGroup) as caught:
            await grouped()
        assert [type(each) for each in caught.value.exceptions] == [ZeroDivisionError]

    await check_environment(cut)


@pytest.mark.anyio
async def test_a_cancel_scope_of_anyio_takes_the_flow_with_it() -> None:
    async def cut(make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        with anyio.CancelScope() as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(after_turns(scope.cancel))
                await make()
        assert scope.cancelled_caught

    await check_environment(cut)


@pytest.mark.anyio
async def test_move_on_after_takes_the_flow_with_it() -> None:
    async def cut(make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        def time_is_over() -> None:
            scope.deadline = 0

        with anyio.move_on_after(WAIT) as scope:
            async with asyncio.TaskGroup() as group:
                group.create_task(after_turns(time_is_over))
                await make()
        assert scope.cancelled_caught

    await check_environment(cut)


@pytest.mark.anyio
async def test_a_task_group_of_anyio_takes_the_flow_with_it() -> None:
    async def cut(make: Callable[[], Coroutine[Any, Any, Any]]) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(make)
            await turns(20)
            group.cancel_scope.cancel()

    await check_environment(cut)


@pytest.mark.anyio
async def test_a_timeout_around_one_call_leaves_the_flow_around_it_alone() -> None:
    @flow
    async def body() -> str:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await forever()
        with anyio.move_on_after(0):
            await forever()
        with anyio.move_on_after(0):
            await nested()
        assert await echo(1) == 1
        return "went on"

    assert await asyncio.wait_for(body(), WAIT) == "went on"


@pytest.mark.anyio
async def test_a_wait_that_is_cut_off_leaves_the_run_alone() -> None:
    gate = asyncio.Event()

    @task
    async def waits() -> int:
        await gate.wait()
        return 1

    future = waits.submit()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(future, 0)
    with anyio.move_on_after(0):
        await future
    assert (await future.wait_async(0)).is_running() or not future.done()
    gate.set()
    assert await future == 1


@pytest.mark.anyio
async def test_a_cancellation_that_comes_while_children_are_waited_for_reaches_them_and_goes_on_up() -> None:
    @flow
    async def body() -> str:
        forever.submit()
        return "early"

    running = asyncio.ensure_future(body())
    await turns()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, WAIT)


@pytest.mark.anyio
async def test_later_cancellations_do_not_cut_short_the_cleaning_up_of_children() -> None:
    cleaned: list[int] = []
    gate = asyncio.Event()

    @task
    async def child(x: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await gate.wait()
            cleaned.append(x)

    @flow
    async def body() -> None:
        await child.map(range(3))

    running = asyncio.ensure_future(body())
    await turns()
    for _ in range(5):
        running.cancel()
        await turns(3)
    assert not running.done()
    gate.set()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, WAIT)
    assert sorted(cleaned) == [0, 1, 2]


@pytest.mark.anyio
async def test_a_cancellation_by_the_engine_and_one_by_asyncio_at_once_both_have_their_effect() -> None:
    states: list[Any] = []

    @flow
    async def body() -> None:
        states.append(this_run())
        await forever()

    running = asyncio.ensure_future(body())
    await turns()
    states[0].cancel()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, WAIT)
    assert states[0].state.is_cancelled()
    assert running.cancelled()


@pytest.mark.anyio
async def test_after_a_cancellation_by_the_engine_the_callers_task_is_as_it_was() -> None:
    runs: list[FlowRun] = []

    @flow
    async def body() -> None:
        runs.append(this_run())
        asyncio.get_running_loop().call_soon(runs[-1].cancel)
        await forever()

    mine = asyncio.current_task()
    assert mine is not None
    before = mine.cancelling()
    for _ in range(3):
        with pytest.raises(CancelledRun):
            await body()
        assert mine.cancelling() == before
        await asyncio.sleep(0)
    async with asyncio.timeout(WAIT):
        assert await echo(1) == 1


# What will not be cancelled.


@pytest.mark.anyio
async def test_a_task_that_swallows_its_cancellation_is_given_up_after_the_engines_grace() -> None:
    time = VirtualTime()
    stubborn = Stubborn()

    @task
    async def swallows() -> None:
        await stubborn.body()

    async with Engine(clock=time.now, timers=time, grace_seconds=5) as engine:
        future = swallows.submit()
        await turns()
        future.cancel()
        await turns()
        time.advance(4.9)
        assert future.state.name == "Cancelling"
        time.advance(0.2)
        assert future.state.is_crashed()
        assert "did not stop within 5 seconds" in (future.state.message or "")
        assert stubborn.cancellations == 1
        assert engine.stats().task_runs == 0
        stubborn.gone.set()
        await turns()
        assert future.state.is_crashed()
        assert future.source.dead_letters == 1
        time.advance(100)
        assert time.waiting == 0


@pytest.mark.anyio
async def test_a_flow_that_swallows_its_cancellation_is_given_up_after_the_engines_grace() -> None:
    time = VirtualTime()
    stubborn = Stubborn()

    @flow
    async def swallows() -> None:
        forever.submit()
        await stubborn.body()

    async with Engine(clock=time.now, timers=time, grace_seconds=5) as engine:
        future = engine.start(swallows)
        await turns()
        future.cancel()
        await turns()
        time.advance(5.1)
        assert future.state.is_crashed()
        assert engine.stats().flow_runs == engine.stats().task_runs == 0
        stubborn.gone.set()
        await turns()
        assert future.state.is_crashed()


@pytest.mark.anyio
async def test_children_that_swallow_the_end_of_their_flow_are_given_up_so_that_it_ends() -> None:
    stubborn = Stubborn()

    @task
    async def swallows() -> None:
        await stubborn.body()

    futures: list[Future[None]] = []

    @flow
    async def inner() -> None:
        futures.append(swallows.submit())
        await forever()

    @flow
    async def body() -> None:
        futures.append(swallows.submit())
        await inner()

    async with Engine(grace_seconds=0.01):
        running = asyncio.ensure_future(body())
        await turns()
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(running, WAIT)
        assert [each.state.is_crashed() for each in futures] == [True, True]
        stubborn.gone.set()
        await turns()


@pytest.mark.anyio
async def test_a_body_that_stops_in_time_is_not_given_up() -> None:
    time = VirtualTime()

    async with Engine(clock=time.now, timers=time) as engine:
        first = forever.submit()
        await turns()
        first.cancel()
        assert (await first.wait_async(WAIT)).is_cancelled()
        time.advance(3)
        second = forever.submit()
        await turns()
        second.cancel()
        assert (await second.wait_async(WAIT)).is_cancelled()
        time.advance(60)
        assert engine.stats().task_runs == 0
        assert first.state.is_cancelled()
        assert time.waiting == 0


# Many.


@pytest.mark.anyio
async def test_a_map_of_ten_thousand_tasks_that_sleep_is_cancelled() -> None:
    many = 10_000

    @task
    async def sleeps(_x: int) -> None:
        started.append(1)
        await asyncio.Event().wait()

    started: list[int] = []

    @flow
    async def body() -> None:
        await sleeps.map(range(many))

    asyncio.get_running_loop().set_debug(False)  # it notes for each task where that was made

    async with Engine() as engine:
        future = engine.start(body)
        await until(lambda: len(started) == many)
        assert future.source.counts() == {"running": many}
        async with asyncio.timeout(WAIT):
            assert (await engine.cancel(future.flow_run_id)).is_cancelled()
        assert future.source.counts() == {"cancelled": many}


@pytest.mark.anyio
async def test_runs_of_a_map_that_have_not_started_are_dropped_and_look_cancelled() -> None:
    begun, gate = threading.Event(), threading.Event()
    ran: list[int] = []

    @task
    def holds(x: int) -> None:
        ran.append(x)
        begun.set()
        assert gate.wait(WAIT)

    maps: list[Any] = []

    def looks(future: Future[Any]) -> None: ...

    @flow
    async def body() -> None:
        maps.append(holds.map(range(1000)))
        maps[0][900].add_done_callback(looks)  # somebody looked at this one
        await asyncio.Event().wait()

    async with Engine(threads=1) as engine:
        future = engine.start(body)
        await until(begun.is_set)
        assert (await engine.cancel(future.flow_run_id)).is_cancelled()
        assert future.source.counts() == {"cancelled": 1000}
        assert {maps[0][index].state.name for index in (0, 1, 499, 900, 999)} == {"Cancelled"}
        with pytest.raises(CancelledRun):
            await maps[0]
        gate.set()
        await until(lambda: engine.stats().threads.busy == 0)
    assert len(ran) <= 16


@pytest.mark.anyio
async def test_a_map_that_is_cancelled_in_the_middle_of_starting_loses_no_run() -> None:
    @task
    async def sleeps(_x: int) -> None:
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async with Engine() as engine:
        for passes in range(1, 12):
            future = engine.start(maps_over, sleeps, 3_000)
            await turns(passes)
            assert (await engine.cancel(future.flow_run_id)).is_final()
            assert sum(future.source.counts().values()) == 3_000


@flow
async def maps_over(work: Any, n: int) -> None:
    await work.map(range(n))


# Races.


def notes(told: list[str], future: Future[Any]) -> None:
    told.append(future.state.name)


def test_a_cancellation_that_races_with_a_result_has_exactly_one_outcome() -> None:
    engine = default_engine()
    ends: dict[Any, int] = {}
    outcomes: dict[str, int] = {}
    lock = threading.Lock()

    def count(event: Event) -> None:
        if event.state.is_final() and event.task_run_id is not None:
            with lock:
                ends[event.task_run_id] = ends.get(event.task_run_id, 0) + 1

    engine.subscribe(count)

    @task
    def returns_at_once(x: int) -> int:
        return x

    @flow
    def body() -> None:
        for number in range(2_000):
            future = returns_at_once.submit(number)
            told: list[str] = []
            future.add_done_callback(functools.partial(notes, told))
            for _ in range(number % 50):
                pass
            future.cancel()
            assert future.wait(WAIT)
            name = future.state.name
            outcomes[name] = outcomes.get(name, 0) + 1
            assert told == [name]
            result = future.result(raise_on_failure=False)
            assert result == number if name == "Completed" else isinstance(result, CancelledRun)

    body()
    assert set(ends.values()) == {1}
    assert len(ends) == 2_000 == sum(outcomes.values())
    assert set(outcomes) <= {"Completed", "Cancelled"}


def test_a_cancellation_from_another_thread_that_races_with_a_result_on_the_loop_has_exactly_one_outcome() -> None:
    engine = default_engine()
    ends: dict[Any, list[str]] = {}

    def count(event: Event) -> None:
        if event.state.is_final() and event.task_run_id is not None:
            ends.setdefault(event.task_run_id, []).append(event.state.name)

    engine.subscribe(count)

    @task
    async def returns_soon(x: int) -> int:
        await asyncio.sleep(0)
        return x

    @flow
    def body() -> list[str]:
        names: list[str] = []
        for start in range(0, 2_000, 100):
            futures = [returns_soon.submit(start + x) for x in range(100)]
            for each in futures:
                each.cancel()
            for each in futures:
                assert each.wait(WAIT)
                names.append(each.state.name)
        return names

    names = body()
    assert len(names) == len(ends) == 2_000
    assert all(len(each) == 1 for each in ends.values())
    assert set(names) <= {"Completed", "Cancelled"}


# Runners.


@pytest.mark.anyio
async def test_bodies_in_a_pool_of_threads_are_cancelled_where_they_run() -> None:
    begun = threading.Event()

    @task
    async def in_a_worker() -> None:
        begun.set()
        await asyncio.Event().wait()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    async def body() -> list[str]:
        future = in_a_worker.submit()
        behind = in_a_worker.submit()
        await until(begun.is_set)
        future.cancel()
        behind.cancel()
        states = [await each.wait_async(WAIT) for each in (future, behind)]
        assert await echo.submit(1) == 1  # the worker is free again
        return [each.name for each in states]

    assert await body() == ["Cancelled", "Cancelled"]


@pytest.mark.anyio
async def test_what_was_started_last_is_cancelled_first() -> None:
    @flow
    async def body() -> None:
        futures = [forever.submit() for _ in range(5)]
        await asyncio.gather(*futures)

    async with Engine() as engine:
        future = engine.start(body)
        await until(lambda: future.source.counts() == {"running": 5})
        told: list[Event] = []
        engine.subscribe(told.append)
        future.cancel()
        await future.wait_async(WAIT)
    stopped = [each.task_run_id for each in told if each.task_run_id is not None and each.state.is_cancelling()]
    assert len(stopped) == 5
    assert stopped == sorted(stopped, reverse=True)


@pytest.mark.anyio
async def test_runs_of_a_map_whose_turn_has_not_come_are_never_made() -> None:
    begun = asyncio.Event()

    @task
    async def waits(_x: int) -> None:
        begun.set()
        await asyncio.Event().wait()

    @flow
    async def body() -> None:
        waits.map(range(10_000), max_in_flight=10)
        await asyncio.Event().wait()  # who waited for the futures would look at each of them now

    async with Engine() as engine:
        made = set[Any]()
        engine.subscribe(lambda event: made.add(event.task_run_id))
        future = engine.start(body)
        await begun.wait()
        future.cancel()
        await future.wait_async(WAIT)
    assert future.state.is_cancelled()
    assert len(made) <= 100
