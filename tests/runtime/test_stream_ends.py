"""How streams end before their sources do: the loop is left, the flow ends, is cancelled or fails. Nothing hangs."""

from __future__ import annotations

import asyncio
import concurrent.futures
import gc
import itertools
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Any
from uuid import uuid4

import pytest

from millrace import (
    CancelledRun,
    Engine,
    Event,
    FlowRunTimeoutError,
    Future,
    SequentialTaskRunner,
    TaskRunner,
    ThreadPoolTaskRunner,
    resume_flow_run,
    suspend_flow_run,
)
from millrace.actors.mailbox import _rarely
from millrace.runtime.waiting import ThreadWaiter
from tests.checkpoints import (
    Cut,
    at_every_checkpoint,
    cut_by_asyncio,
    cut_by_asyncio_again_and_again,
    cut_by_engine,
    cut_by_scope,
    turns,
    until,
)
from tests.loose import flow, task
from tests.runtime.flowing import KINDS, Spring, all_of, each_of
from tests.runtime.worlds import PATIENCE, World

WAIT = 20.0


@task
async def same(x: int) -> int:
    return x


@task
def sync_same(x: int) -> int:
    return x


def names_of(events: list[Event]) -> dict[str, int]:
    """How many task runs ended in which state."""
    last = {each.task_run_id: each.state.name for each in events if each.task_run_id is not None}
    counts: dict[str, int] = {}
    for name in last.values():
        counts[name] = counts.get(name, 0) + 1
    return counts


async def leave(world: World, stream: Any, error: Exception | None = None) -> None:
    """Leave a loop over a stream after its first result."""
    if world.async_flows:
        async for _ in stream:
            if error is not None:
                raise error
            break
    else:
        for _ in stream:
            if error is not None:
                raise error
            break


def run_counted(world: World, body: Any) -> dict[str, int]:
    """Run the body of a flow; how many of its task runs ended in which state."""
    engine = Engine()
    events: list[Event] = []
    engine.subscribe(events.append)
    world.body(body, engine=engine)
    engine.close()
    return names_of(events)


# The loop is left.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("held", [True, False])
def test_leaving_the_loop_cancels_what_is_on_its_way_and_closes_the_source(
    world: World,
    kind: str,
    held: bool,
) -> None:
    spring = Spring()
    gate = world.gate()

    @world.task
    async def waits_but_first(x: int) -> int:
        if x:
            await gate.passed()
        return x

    async def body() -> None:
        stream = waits_but_first.stream(spring.of(kind), max_in_flight=4)
        if held:  # as it is by a variable, in a flow that goes on
            await leave(world, stream)
        else:
            async for _ in each_of(world, stream):
                break
        del stream
        gc.collect()
        gate.open()

    counts = run_counted(world, body)
    assert spring.closed
    assert spring.asked <= 5
    assert counts.pop("Completed") in range(1, 2 + (not world.async_tasks) * 4)
    assert set(counts) <= {"Cancelled"}


def test_leaving_the_loop_closes_the_stream_although_it_is_held(world: World) -> None:
    spring = Spring()

    async def body() -> bool:
        stream = same.stream(spring.plain(), max_in_flight=2)
        await leave(world, stream)
        closed = spring.closed
        assert stream.counts().given == 1
        return closed

    assert world.body(body)


def test_an_exception_in_the_loop_closes_the_stream(world: World) -> None:
    spring = Spring()

    async def body() -> None:
        with pytest.raises(KeyError):
            await leave(world, sync_same.stream(same.stream(spring.plain())), KeyError())
        assert spring.closed

    world.body(body)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["a run fails", "its block ends", "it is closed"])
def test_a_stream_that_is_closed_closes_the_one_before_it_while_the_flow_goes_on(
    world: World, kind: str, how: str
) -> None:
    spring = Spring()
    failed = KeyError()

    @world.task
    async def fails_for_one(x: int) -> int:
        if x == 1 and how == "a run fails":
            raise failed
        return x

    async def body() -> None:
        first = same.stream(spring.of(kind), max_in_flight=2)
        second = fails_for_one.stream(first, max_in_flight=2)
        if how == "a run fails":
            with pytest.raises(KeyError):
                await all_of(world, second)
        elif world.async_flows:
            async with second:
                results = aiter(second)
                await anext(results)
                if how == "it is closed":
                    await second.aclose()
                    assert spring.closed
        else:
            with second:
                values = iter(second)
                next(values)
                if how == "it is closed":
                    second.close()
        if world.async_flows:
            await second.aclose()
        if kind == "plain" or world.async_flows:  # else the source is asked, and closed, on another loop
            assert spring.closed
        assert spring.asked <= 8

    world.body(body)
    assert spring.closed


def test_failures_that_nobody_asks_for_any_more_do_not_fail_the_flow(world: World) -> None:
    @world.task
    async def fails_but_first(x: int) -> int:
        if x:
            raise ValueError(x)
        return x

    async def body() -> None:
        async for _ in each_of(world, fails_but_first.stream(range(50), ordered=True, max_in_flight=10)):
            break

    world.body(body)


def test_a_stream_is_closed_at_the_end_of_its_block(world: World) -> None:
    spring = Spring()

    async def body() -> None:
        stream = same.stream(spring.plain(), max_in_flight=3)
        if world.async_flows:
            async with stream:
                iterator = aiter(stream)
                await anext(iterator)
            assert stream.counts().in_flight == 0 or not world.async_tasks
            with pytest.raises(StopAsyncIteration):
                await anext(iterator)
        else:
            with stream:
                values = iter(stream)
                next(values)
            assert list(values) == []
        assert spring.closed

    world.body(body)


@pytest.mark.anyio
async def test_aclose_waits_until_all_has_ended_that_was_on_its_way() -> None:
    ended: list[str] = []

    @task
    async def waits(_x: int) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await turns(5)
            ended.append("run")

    async def numbers() -> AsyncGenerator[int]:
        try:
            for x in itertools.count():
                yield x
        finally:
            await turns(5)
            ended.append("source")

    @flow
    async def body() -> None:
        stream = waits.stream(numbers(), max_in_flight=3)
        iterator = aiter(stream)
        first = asyncio.ensure_future(anext(iterator))
        await turns(10)
        await stream.aclose()
        assert sorted(ended) == ["run"] * 3 + ["source"]
        with pytest.raises(StopAsyncIteration):
            await first
        await stream.aclose()

    async with asyncio.timeout(WAIT):
        await body()


def test_a_stream_that_nobody_iterates_over_can_be_closed(world: World) -> None:
    spring = Spring()

    async def body() -> None:
        stream = same.stream(spring.plain())
        stream.close()
        stream.close()
        if world.async_flows:
            await stream.aclose()

    world.body(body)
    assert spring.asked == 0


@pytest.mark.anyio
async def test_an_async_iterator_that_is_collected_closes_its_stream() -> None:
    spring = Spring()

    async def through() -> AsyncGenerator[int]:
        async for value in same.stream(spring.asynchronous(), max_in_flight=2):
            yield value

    @flow
    async def body() -> None:
        generator = through()
        await anext(generator)
        del generator
        gc.collect()
        await until(lambda: spring.closed)

    async with asyncio.timeout(WAIT):
        await body()
    assert spring.closed


def test_a_source_that_closes_its_own_stream_is_closed_when_it_has_given_its_item(world: World) -> None:
    ends: list[str] = []
    streams: list[Any] = []

    def numbers() -> Generator[int]:
        try:
            for x in itertools.count():
                if x == 3:
                    streams[0].close()
                yield x
        finally:
            ends.append("closed")

    async def body() -> list[int]:
        streams.append(same.stream(numbers(), max_in_flight=1))
        return await all_of(world, streams[0])

    assert world.body(body) == [0, 1, 2]
    assert ends == ["closed"]


# The flow ends.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("through", [1, 2])
def test_a_flow_that_ends_closes_streams_that_are_held_elsewhere(world: World, kind: str, through: int) -> None:
    spring = Spring()
    kept: list[Any] = []
    gate = world.gate()

    @world.task
    async def waits_but_first(x: int) -> int:
        if x:
            await gate.passed()
        return x

    async def body() -> None:
        stream: Any = spring.of(kind)
        for _ in range(through):
            stream = waits_but_first.stream(stream, max_in_flight=3)
        iterator = aiter(stream) if world.async_flows else iter(stream)
        kept.append(iterator)
        value = await anext(iterator) if world.async_flows else next(iterator)
        assert value == 0
        gate.open()

    counts = run_counted(world, body)
    assert spring.closed
    assert set(counts) <= {"Completed", "Cancelled"}
    if world.async_flows:
        with pytest.raises(CancelledRun, match="The body of its flow run has ended"):
            asyncio.run(anext(kept[0]))
    else:
        with pytest.raises(CancelledRun, match="The body of its flow run has ended"):
            next(kept[0])


def test_a_stream_that_a_task_has_left_open_does_not_keep_its_flow_from_ending(world: World) -> None:
    kept: list[Any] = []
    spring = Spring()

    @task
    def leaves_it_open() -> int:
        kept.append(iter(sync_same.stream(spring.asynchronous(), max_in_flight=2)))
        first: int = next(kept[0])
        return first

    async def body() -> Any:
        return await world.result(leaves_it_open.submit())

    assert world.body(body) in (0, 1)
    assert spring.closed


def test_a_source_that_does_not_stop_is_given_up_in_time(world: World) -> None:
    release = threading.Event()
    loops: list[Any] = []

    async def stubborn() -> AsyncGenerator[int]:
        loops.append(asyncio.get_running_loop())
        try:
            for x in itertools.count():
                yield x
        finally:
            while not release.is_set():  # noqa: ASYNC110  # it does not stop, and that is what is tested
                await asyncio.sleep(0)

    async def body() -> None:
        async for _ in each_of(world, same.stream(stubborn(), max_in_flight=2)):
            break

    engine = Engine(grace_seconds=0.05)
    ends = threading.Timer(WAIT, release.set)
    ends.start()

    @world.flow
    async def outer() -> bool:
        await world.call(world.flow(body))
        return release.is_set()

    try:
        assert world.run(outer, engine=engine) is False
    finally:
        release.set()
        ends.cancel()
        engine.close()


@pytest.mark.parametrize("each", [same, sync_same])
def test_an_iterator_that_is_collected_while_its_thread_holds_a_lock_does_not_wait_for_that(each: Any) -> None:
    spring = Spring()

    @flow
    def body() -> None:
        results = iter(sync_same.stream(each.stream(spring.plain(), max_in_flight=3), max_in_flight=3))
        next(results)
        scope: Any = results._pipe.scope
        engine = scope.engine
        locks = (
            engine.loops._lock,
            engine.listeners._lock,
            engine.roll._lock,
            engine.offload._lock,
            engine._grace._lock,
            scope.lock,
            _rarely,
        )
        for lock in locks:
            assert lock.acquire(timeout=WAIT)
        del results  # as the collector does it at any allocation
        for lock in locks:
            lock.release()
        assert spring.closed

    body()


# The flow is stopped.


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_that_is_cancelled_while_it_waits_for_a_stream_ends(world: World, kind: str) -> None:
    spring = Spring()
    gate = world.gate()
    begun = threading.Event()

    @world.task
    async def waits(x: int) -> int:
        begun.set()
        await gate.passed()
        return x

    @world.flow
    async def body() -> None:
        await all_of(world, waits.stream(spring.of(kind), max_in_flight=3))

    async def main() -> None:
        async with Engine() as engine:
            events: list[Event] = []
            engine.subscribe(events.append)
            future = engine.start(body)
            await until(begun.is_set)
            state = await engine.cancel(future.flow_run_id)
            gate.open()
            assert state.is_cancelled()
            await until(lambda: spring.closed)
            assert set(names_of(events)) == {"Cancelled"}
            await until(lambda: not engine.stats().threads.busy)

    with asyncio.Runner(loop_factory=world.new_loop) as runner:
        runner.run(asyncio.wait_for(main(), WAIT))


def test_a_flow_that_is_cancelled_while_its_source_has_nothing_ends() -> None:
    asked = threading.Event()

    async def nothing() -> AsyncGenerator[int]:
        asked.set()
        await asyncio.Event().wait()
        yield 1

    @flow
    def body() -> None:
        list(same.stream(nothing()))

    async def main() -> None:
        async with Engine() as engine:
            future = engine.start(body)
            await until(asked.is_set)
            assert (await engine.cancel(future.flow_run_id)).is_cancelled()

    asyncio.run(asyncio.wait_for(main(), WAIT))


def test_a_flow_whose_time_is_over_while_it_waits_for_a_stream_ends(world: World) -> None:
    gate = world.gate()

    @world.task
    async def waits(x: int) -> int:
        await gate.passed()
        return x

    @world.flow(timeout_seconds=0.05)
    async def body() -> None:
        await all_of(world, waits.stream(itertools.count(), max_in_flight=3))

    with pytest.raises(FlowRunTimeoutError):
        world.run(body)
    if not world.async_tasks:
        gate.open()


@pytest.mark.anyio
async def test_a_wait_for_a_result_that_is_cancelled_loses_nothing() -> None:
    gate = asyncio.Event()

    @task
    async def waits(x: int) -> int:
        await gate.wait()
        return x

    @flow
    async def body() -> list[int]:
        iterator = aiter(waits.stream(range(5), ordered=True))
        for _ in range(3):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.001):
                    await anext(iterator)
        gate.set()
        return [value async for value in iterator]

    assert await body() == list(range(5))


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [cut_by_asyncio, cut_by_asyncio_again_and_again, cut_by_scope, cut_by_engine])
@pytest.mark.parametrize("kind", KINDS)
async def test_a_stream_can_be_cut_off_anywhere(cut: Cut, kind: str) -> None:
    @task
    async def pauses(x: int) -> int:
        await asyncio.sleep(0)
        return x

    springs: list[Spring] = []

    @flow
    async def body() -> None:
        springs.append(Spring(4))
        async for _ in pauses.stream(pauses.stream(springs[-1].of(kind), max_in_flight=2), max_in_flight=2):
            await asyncio.sleep(0)

    async for trial in at_every_checkpoint(body, cut):
        if springs and springs[-1].asked:
            assert springs[-1].closed, f"after {trial.passes} passes"
        springs.clear()


@pytest.mark.anyio
async def test_a_loop_that_ends_takes_its_streams_with_it() -> None:
    kept: list[Any] = []

    async def abandoned() -> None:
        kept.append(aiter(same.stream(Spring().asynchronous(), max_in_flight=2)))
        await anext(kept[0])

    await asyncio.to_thread(lambda: asyncio.run(abandoned()))
    with pytest.raises((CancelledRun, StopAsyncIteration)):  # noqa: PT012  # after what had come before, if anything
        while True:
            await asyncio.wait_for(anext(kept[0]), WAIT)


# With task runners.


@pytest.mark.parametrize("runner", [SequentialTaskRunner(), ThreadPoolTaskRunner(2)])
def test_streams_run_where_the_task_runner_says(world: World, runner: Any) -> None:
    threads: set[str] = set()

    @world.task
    async def notes(x: int) -> int:
        threads.add(threading.current_thread().name.rpartition("-")[0])
        return x

    @world.flow(task_runner=runner)
    async def body() -> list[int]:
        return await all_of(world, notes.stream(same.stream(range(30), max_in_flight=3), max_in_flight=4))

    assert sorted(world.run(body)) == list(range(30))
    if isinstance(runner, ThreadPoolTaskRunner):
        assert threads == {"millrace-pool"}


def test_a_runner_that_cancels_its_runs_closes_its_streams() -> None:
    gate = threading.Event()
    runner = ThreadPoolTaskRunner(2)

    @task
    def waits(x: int) -> int:
        gate.wait(PATIENCE)
        return x

    @flow(task_runner=runner)
    def body() -> None:
        from millrace import FlowRunContext  # noqa: PLC0415

        context = FlowRunContext.get()
        assert context is not None
        own: Any = context.flow_run.runner
        ends = threading.Timer(0.05, own.cancel_all)
        ends.start()
        with pytest.raises(CancelledRun):
            list(waits.stream(itertools.count(), max_in_flight=3))
        gate.set()

    body()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ordered", [True, False])
def test_a_runner_of_ones_own_is_given_each_run_when_its_item_has_come(
    world: World,
    kind: str,
    ordered: bool,
) -> None:
    spring = Spring(30)
    inside: list[int] = []
    pool = concurrent.futures.ThreadPoolExecutor(3)

    class Own(TaskRunner):
        def duplicate(self) -> Own:
            return Own()

        def submit(self, task: Any, parameters: Any, wait_for: Any = None) -> Future[Any]:
            inside.append(spring.asked)
            return Future(pool.submit(task.fn, **parameters), uuid4())

    @task
    def added(x: int, y: int) -> int:
        if x == 99:
            raise ValueError(x)
        return x + y

    @world.flow(task_runner=Own())
    async def body() -> None:
        found = await all_of(world, added.stream(spring.of(kind), max_in_flight=4, ordered=ordered, y=100))
        assert (found if ordered else sorted(found)) == list(range(100, 130))
        twice = await all_of(world, added.stream(added.stream([1, 2], y=1), y=1))
        assert sorted(twice) == [3, 4]
        with pytest.raises(ValueError, match="99"):
            await all_of(world, added.stream([99], y=1))
        states = await all_of(world, added.stream([99, 1], y=1, on_error="state", ordered=True))
        assert [each.name for each in states] == ["Failed", "Completed"]
        await leave(world, added.stream(Spring().plain(), y=1, max_in_flight=2))

    with pool:
        world.run(body)
    assert len(inside) >= 36


@pytest.mark.parametrize("kind", KINDS)
def test_a_flow_that_is_suspended_in_the_loop_runs_its_stream_anew_when_it_is_resumed(world: World, kind: str) -> None:
    given: list[int] = []
    springs: list[Spring] = []

    @world.task
    async def notes(x: int) -> int:
        return x

    @world.task
    async def suspends() -> None:
        suspended = suspend_flow_run(key="once")
        if world.async_tasks:
            await suspended

    @world.flow
    async def body() -> int:
        springs.append(Spring(10))
        async for value in each_of(world, notes.stream(springs[-1].of(kind), max_in_flight=2, ordered=True)):
            given.append(value)
            if value == 3:
                await world.result(suspends.submit())
        return len(given)

    async def main() -> int:
        async with Engine() as engine:
            future = engine.start(body)
            await until(lambda: future.state.name == "Suspended")
            await until(lambda: springs[0].closed)
            resumed = resume_flow_run(future.flow_run_id)
            await resumed
            ended: int = await future
            return ended

    with asyncio.Runner(loop_factory=world.new_loop) as runner:
        assert runner.run(asyncio.wait_for(main(), WAIT)) == 14
    assert given == [0, 1, 2, 3, *range(10)]


def test_a_source_that_cannot_be_iterated_over_after_all_leaves_nothing(world: World) -> None:
    class Odd:
        def __iter__(self) -> Any:
            raise OSError("gone")

    async def body() -> None:
        with pytest.raises(OSError, match="gone"):
            await all_of(world, same.stream(Odd()))

    world.body(body)


@pytest.mark.anyio
async def test_an_exception_that_is_held_does_not_hold_the_stream_that_was_left_by_it() -> None:
    spring = Spring()
    held: list[BaseException] = []

    @task
    async def waits(_x: int) -> None:
        await asyncio.Event().wait()

    @flow
    async def body() -> None:
        try:
            async with asyncio.timeout(0.001):
                async for _ in waits.stream(spring.plain(), max_in_flight=2):
                    pass
        except TimeoutError as error:
            held.append(error)
        assert spring.closed

    await body()
    assert held


def test_an_interrupt_that_is_held_does_not_hold_the_stream_that_was_left_by_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spring = Spring()
    gate = threading.Event()

    @task
    def waits(_x: int) -> None:
        gate.wait(PATIENCE)

    def interrupted(_waiter: Any, _timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    @flow
    def body() -> BaseException | None:
        with monkeypatch.context() as patch:
            patch.setattr(ThreadWaiter, "wait", interrupted)
            try:
                for _ in waits.stream(spring.plain(), max_in_flight=2):
                    pass
            except KeyboardInterrupt as error:
                gate.set()
                assert spring.closed
                return error
        return None

    assert body() is not None


@pytest.mark.anyio
async def test_the_first_result_is_given_although_nobody_holds_the_iterator() -> None:
    spring = Spring()

    @flow
    async def body() -> int:
        first: int = await anext(aiter(same.stream(spring.plain(), max_in_flight=2)))
        return first

    assert await body() == 0
    assert spring.closed
