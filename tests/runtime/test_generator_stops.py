"""Generator tasks: deadlines and cancellations, during a step of the body and between two of them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Any

import anyio
import pytest

from millrace import (
    CancelledRun,
    Completed,
    Engine,
    TaskRun,
    TaskRunTimeoutError,
    cancelled,
    check_cancelled,
    propose_state,
)
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
from tests.clock import VirtualTime
from tests.loose import flow, task
from tests.runtime.walks import (
    PLACES,
    SYNC_PLACES,
    Broken,
    Place,
    Walk,
    counting,
    every,
    steps_of,
    this_flow,
    this_run,
)
from tests.runtime.worlds import PATIENCE, SYNC


@pytest.fixture(params=PLACES, ids=lambda place: place.name)
def place(request: pytest.FixtureRequest) -> Place:
    """Everywhere that a generator task can be called."""
    made: Place = request.param
    return made


# Deadlines.


def test_a_deadline_that_passes_between_two_values_ends_the_run_then(place: Place) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    runs: list[TaskRun] = []
    seen: list[BaseException] = []

    @place.task(timeout_seconds=5)
    def waits() -> Generator[int]:
        runs.append(this_run())
        try:
            yield 1
            yield 2
        except BaseException as error:
            seen.append(error)
            raise

    async def body() -> Any:
        walk = Walk(waits())
        await walk.next()
        time.advance(4.9)
        before = runs[0].state.name
        time.advance(0.1)
        if place.world.async_tasks:
            await turns()  # the body is told on its loop
        after = runs[0].state.name
        ended = runs[0].state.timestamp
        time.advance(60)
        with pytest.raises(TaskRunTimeoutError, match="5"):
            await walk.next()
        assert runs[0].state.timestamp == ended
        return [before, after]

    assert place.run(body, engine=engine) == ["Running", "TimedOut"]
    assert isinstance(seen[0], asyncio.CancelledError if place.world.async_tasks else TaskRunTimeoutError)
    assert time.waiting == 0


def test_the_time_that_a_caller_takes_counts(place: Place) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    count = counting(place, [], timeout_seconds=5)

    async def body() -> Any:
        walk = Walk(count(3))
        seen: list[int] = []
        for _ in range(3):
            seen.append(await walk.next())
            time.advance(2)
        with pytest.raises(TaskRunTimeoutError):
            await walk.next()
        return seen

    assert place.run(body, engine=engine) == [0, 1, 2]


def test_one_that_is_quick_enough_is_not_told_off(place: Place) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    count = counting(place, [], timeout_seconds=5)

    async def body() -> Any:
        values = await every(count(3))
        time.advance(60)
        return values

    assert place.run(body, engine=engine) == [0, 1, 2]
    assert time.waiting == 0


def test_after_a_deadline_the_next_attempt_yields_from_the_start(place: Place) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    runs: list[TaskRun] = []
    count = counting(place, runs, timeout_seconds=5, retries=1)

    async def body() -> Any:
        walk = Walk(count(3))
        seen = [await walk.next(), await walk.next()]
        time.advance(6)
        return [*seen, *await walk.rest()]

    assert place.run(body, engine=engine) == [0, 1, 0, 1, 2]
    assert steps_of(runs[0]) == ["Pending", "Running", "Retrying", "Completed"]


def test_one_whose_retry_nobody_asks_for_is_closed_at_the_end(place: Place) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    runs: list[TaskRun] = []
    kept: list[Walk] = []
    count = counting(place, runs, timeout_seconds=5, retries=1)

    async def body() -> str:
        kept.append(Walk(count(3)))
        await kept[0].next()
        time.advance(6)
        if place.world.async_tasks:
            await turns()
        return runs[0].state.name

    assert place.run(body, engine=engine) == "Retrying"
    if place.how == "outside":
        engine.close()
    assert runs[0].state.name == "Completed"


def test_closing_one_that_waits_for_its_next_attempt_ends_it(place: Place) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    runs: list[TaskRun] = []
    count = counting(place, runs, timeout_seconds=5, retries=1, retry_delay_seconds=30)

    async def body() -> None:
        walk = Walk(count(3))
        await walk.next()
        time.advance(6)
        if place.world.async_tasks:
            await turns()
        assert runs[0].state.name == "AwaitingRetry"
        await walk.close()
        assert runs[0].state.name == "Completed"

    place.run(body, engine=engine)


def test_a_sync_step_is_interrupted_at_its_deadline_whichever_step_it_is() -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    runs: list[TaskRun] = []
    turning = threading.Event()

    @task(timeout_seconds=5)
    def turns_for_ever() -> Generator[int]:
        runs.append(this_run())
        yield 1
        yield 2
        turning.set()
        while True:
            pass

    def passes() -> None:
        assert turning.wait(PATIENCE)
        time.advance(5)

    @flow
    def iterates() -> Any:
        clock = threading.Thread(target=passes)
        clock.start()
        seen: list[int] = []
        with pytest.raises(TaskRunTimeoutError):
            seen.extend(turns_for_ever())
        clock.join()
        return runs[0].state.name

    assert SYNC.run(iterates, engine=engine) == "TimedOut"


def test_many_steps_with_a_deadline_cost_next_to_nothing() -> None:
    count = counting(PLACES[0], [], timeout_seconds=60)
    assert sum(count(2_000)) == 1_999_000


@pytest.mark.anyio
async def test_an_async_step_is_cancelled_at_its_deadline() -> None:
    time = VirtualTime()
    runs: list[TaskRun] = []
    seen: list[str] = []

    @task(timeout_seconds=5)
    async def waits() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        yield 2

    @flow
    async def iterates() -> Any:
        asyncio.get_running_loop().call_later(0, time.advance, 5)
        with pytest.raises(TaskRunTimeoutError):
            await every(waits())
        task_here = asyncio.current_task()
        assert task_here is not None
        assert task_here.cancelling() == 0
        await asyncio.sleep(0)
        return runs[0].state.name

    async with Engine(clock=time.now, timers=time):
        assert await iterates() == "TimedOut"
    assert seen == ["cancelled"]


@pytest.mark.parametrize("place", SYNC_PLACES, ids=lambda each: each.name)
def test_code_that_asks_knows_that_its_attempt_is_over(place: Place) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    seen: list[Any] = []

    @place.task(timeout_seconds=5, retries=1, interruptible=False)
    def asks() -> Generator[int]:
        yield 1
        if this_run().run_count == 1:
            seen.append(cancelled())
            time.advance(5)
            seen.append(cancelled())
            check_cancelled()
        seen.append(cancelled())
        yield 2

    async def body() -> Any:
        return await every(asks())

    assert place.run(body, engine=engine) == [1, 1, 2]
    assert seen == [False, True, False]


# Cancellation.


def cancel_flow(_engine: Engine) -> None:
    this_flow().cancel("too slow")


def test_a_cancellation_between_two_values_ends_the_run_then() -> None:
    runs: list[TaskRun] = []
    seen: list[BaseException] = []

    @task
    def waits() -> Generator[int]:
        runs.append(this_run())
        try:
            yield 1
            yield 2
        except CancelledRun as error:
            seen.append(error)
            raise

    @flow
    def iterates() -> None:
        call = waits()
        next(call)
        this_flow().cancel("too slow")
        assert runs[0].state.name == "Cancelled"
        next(call)

    with pytest.raises(CancelledRun):
        iterates()
    assert "too slow" in str(seen[0])
    assert steps_of(runs[0]) == ["Pending", "Running", "Cancelling", "Cancelled"]


def test_a_cancellation_during_a_sync_step_ends_the_run_after_that() -> None:
    runs: list[TaskRun] = []
    log: list[Any] = []

    @task
    def goes_on() -> Generator[int]:
        runs.append(this_run())
        yield 1
        try:
            assert not cancelled()
            this_flow().cancel("too slow")
            assert cancelled()
            yield 2
            log.append("went on")
        except CancelledRun as error:
            log.append(str(error))
            raise

    @flow
    def iterates() -> None:
        log.extend(goes_on())

    state = iterates(return_state=True)
    assert state.name == "Cancelled"
    assert log[0] == 1
    assert "too slow" in log[1]
    assert len(log) == 2
    assert runs[0].state.name == "Cancelled"


def test_a_body_that_goes_on_although_it_is_told_to_stop_is_closed() -> None:
    runs: list[TaskRun] = []
    told: list[str] = []

    @task
    def stubborn() -> Generator[int]:
        runs.append(this_run())
        while True:
            try:
                yield 1
            except CancelledRun:
                told.append("told")

    @flow
    def iterates() -> None:
        call = stubborn()
        next(call)
        this_flow().cancel()
        next(call)

    assert iterates(return_state=True).name == "Cancelled"
    assert told == ["told"]
    assert runs[0].state.name == "Cancelled"


@pytest.mark.anyio
@pytest.mark.parametrize("waits", [True, False], ids=["during a step", "between steps"])
async def test_cancelling_an_async_flow_reaches_the_body(*, waits: bool) -> None:
    runs: list[TaskRun] = []
    seen: list[str] = []
    begun = asyncio.Event()

    @task
    async def waiting() -> AsyncGenerator[int]:
        runs.append(this_run())
        try:
            yield 1
            await asyncio.Event().wait()
        except BaseException as error:
            seen.append(type(error).__name__)
            raise

    @flow
    async def iterates() -> None:
        async for _ in waiting():
            begun.set()
            if not waits:
                await asyncio.Event().wait()

    async with Engine() as engine:
        future = engine.start(iterates)
        await begun.wait()
        await turns(3)
        state = await engine.cancel(future.flow_run_id)
        assert state.name == "Cancelled"
    assert seen == ["CancelledError"]
    assert runs[0].state.name == "Cancelled"


@pytest.mark.anyio
async def test_a_cancellation_of_a_run_is_not_one_of_whoever_iterates() -> None:
    runs: list[TaskRun] = []

    @task
    async def waits() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        await asyncio.Event().wait()

    @flow
    async def iterates() -> int:
        walk = Walk(waits())
        await walk.next()
        asyncio.get_running_loop().call_soon(runs[0].cancel, "of its own")
        with pytest.raises(CancelledRun):
            await walk.next()
        await asyncio.sleep(0)
        here = asyncio.current_task()
        assert here is not None
        return here.cancelling()

    assert await iterates() == 0
    assert steps_of(runs[0]) == ["Pending", "Running", "Cancelling", "Cancelled"]


@pytest.mark.anyio
async def test_a_cancellation_of_whoever_iterates_crashes_the_run() -> None:
    runs: list[TaskRun] = []

    @task(retries=3)
    async def waits() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        await asyncio.Event().wait()

    @flow
    async def iterates() -> None:
        consumer = asyncio.create_task(every(waits()))
        await turns(5)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer
        assert consumer.cancelled()

    await iterates()  # nobody has to look at a run that whoever iterated was told of
    assert runs[0].state.name == "Crashed"


@pytest.mark.anyio
async def test_a_cancellation_of_both_is_not_swallowed() -> None:
    runs: list[TaskRun] = []

    @task
    async def waits() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        await asyncio.Event().wait()

    @flow
    async def iterates() -> None:
        consumer = asyncio.create_task(every(waits()))
        await turns(5)
        runs[0].cancel("of its own")
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer

    await iterates()
    assert runs[0].state.name == "Cancelled"


@pytest.mark.anyio
async def test_an_async_one_that_is_dormant_is_cancelled_although_nobody_asks_for_more() -> None:
    runs: list[TaskRun] = []
    log: list[str] = []

    @task
    async def waits() -> AsyncGenerator[int]:
        runs.append(this_run())
        try:
            yield 1
        finally:
            await asyncio.sleep(0)
            log.append("cleaned up")

    @flow
    async def keeps() -> str:
        call = waits()
        await anext(call)
        runs[0].cancel("of its own")
        await until(lambda: bool(runs[0].ended))
        assert log == ["cleaned up"]
        with pytest.raises(CancelledRun):
            await anext(call)
        return runs[0].state.name

    assert await keeps() == "Cancelled"


def test_a_cancellation_while_the_first_value_is_waited_for_ends_the_run() -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[0], runs)
    gate = threading.Event()

    @task
    def slow() -> int:
        assert gate.wait(PATIENCE)
        return 3

    @flow
    def waits() -> None:
        run = this_flow()
        future = slow.submit()
        call = count(future)
        threading.Timer(0, run.cancel).start()
        try:
            next(call)
        finally:
            gate.set()

    assert waits(return_state=True).name == "Cancelled"
    assert runs == []


def test_a_state_that_is_proposed_from_outside_ends_the_iteration() -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[0], runs)

    @flow
    def iterates() -> None:
        call = count(3)
        next(call)
        propose_state(Completed(), task_run_id=runs[0].uuid, force=True)
        with pytest.raises(CancelledRun):
            next(call)

    iterates()


# What cuts off a wait: asyncio's and anyio's ways.


@pytest.mark.anyio
async def test_a_timeout_of_asyncio_around_a_step_is_the_callers_own() -> None:
    runs: list[TaskRun] = []

    @task
    async def waits() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        await asyncio.Event().wait()

    @flow
    async def iterates() -> Any:
        walk = Walk(waits())
        await walk.next()
        with pytest.raises(TimeoutError) as caught:
            async with asyncio.timeout(0.01):
                await walk.next()
        assert not isinstance(caught.value, TaskRunTimeoutError)
        return await walk.rest()

    assert await iterates() == []
    assert runs[0].state.name == "Crashed"


@pytest.mark.anyio
async def test_a_timeout_of_asyncio_inside_a_body_stays_there() -> None:
    @task
    async def copes() -> AsyncGenerator[str]:
        yield "before"
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            yield "timed out"
        yield "after"

    @flow
    async def iterates() -> Any:
        return await every(copes())

    assert await iterates() == ["before", "timed out", "after"]


@pytest.mark.anyio
async def test_a_scope_of_anyio_around_steps_cuts_them_off() -> None:
    runs: list[TaskRun] = []

    @task
    async def waits() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        await asyncio.Event().wait()

    @flow
    async def iterates() -> Any:
        seen: list[int] = []
        with anyio.CancelScope() as scope:
            async for value in waits():
                seen.append(value)
                asyncio.get_running_loop().call_soon(scope.cancel)
        assert scope.cancelled_caught
        await anyio.lowlevel.checkpoint()
        return seen

    assert await iterates() == [1]
    assert runs[0].state.name == "Crashed"


@pytest.mark.anyio
async def test_a_scope_of_anyio_inside_a_body_stays_there() -> None:
    @task
    async def copes() -> AsyncGenerator[str]:
        with anyio.move_on_after(0):
            await asyncio.Event().wait()
        yield "moved on"
        async with anyio.create_task_group() as group:
            group.start_soon(anyio.lowlevel.checkpoint)
        yield "and on"

    @flow
    async def iterates() -> Any:
        return await every(copes())

    assert await iterates() == ["moved on", "and on"]


@task
async def some(n: int) -> AsyncGenerator[int]:
    for i in range(n):
        await turns(2)
        try:
            yield i
        finally:
            await turns(1)


@task(retries=1)
async def again(tries: list[int]) -> AsyncGenerator[int]:
    tries.append(1)
    await turns(1)
    yield 1
    if len(tries) < 2:
        raise Broken
    yield 2


@flow
async def iterates_over_two() -> Any:
    async for i in some(2):
        await turns(1)
        async for j in some(2):
            assert (i, j) in {(0, 0), (0, 1), (1, 0), (1, 1)}
    return 1


@flow
async def iterates_again() -> Any:
    tries: list[int] = []
    return [value async for value in again(tries)]


@flow
async def keeps_some() -> Any:
    calls = [some(3) for _ in range(3)]
    for call in calls:
        await anext(call)
    await turns(2)
    return 1


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [cut_by_asyncio, cut_by_asyncio_again_and_again, cut_by_scope, cut_by_engine])
@pytest.mark.parametrize("flow_run", [iterates_over_two, iterates_again, keeps_some], ids=lambda each: each.name)
async def test_nothing_is_left_wherever_it_is_cut_off(flow_run: Any, cut: Cut) -> None:
    trials = 0
    async for _ in at_every_checkpoint(flow_run, cut):
        trials += 1
    assert trials > 3
