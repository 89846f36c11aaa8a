"""Generator tasks: who may go on with one, and what becomes of one that nobody goes on with."""

from __future__ import annotations

import asyncio
import gc
import threading
import weakref
from collections.abc import AsyncGenerator, Generator
from contextvars import copy_context
from typing import Any

import pytest

from millrace import (
    CancelledRun,
    Engine,
    EngineClosed,
    TaskRun,
    quote,
)
from tests.checkpoints import (
    turns,
    until,
)
from tests.invariants import check_at_rest
from tests.loose import flow, task
from tests.runtime.walks import (
    PLACES,
    Broken,
    Place,
    Walk,
    counting,
    entered,
    every,
    steps_of,
    this_flow,
    this_run,
)
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, SYNC_IN_ASYNC, World


@pytest.fixture(params=PLACES, ids=lambda place: place.name)
def place(request: pytest.FixtureRequest) -> Place:
    """Everywhere that a generator task can be called."""
    made: Place = request.param
    return made


# Closing.


def test_closing_early_completes_the_run(place: Place) -> None:
    runs: list[TaskRun] = []
    log: list[str] = []

    @place.task
    def opens() -> Generator[int]:
        runs.append(this_run())
        try:
            yield 1
            yield 2
        finally:
            assert this_run() is runs[0]
            log.append("closed")

    async def body() -> None:
        walk = Walk(opens())
        await walk.next()
        await walk.close()
        assert log == ["closed"]
        assert steps_of(runs[0]) == ["Pending", "Running", "Completed"]
        await walk.close()
        assert await walk.rest() == []

    place.run(body)
    assert runs[0].state.result() is None


def test_leaving_a_loop_early_completes_the_run() -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[0], runs)

    @flow
    def leaves() -> str:
        for i in count(10):
            if i == 3:
                break
        return runs[0].state.name

    assert leaves() == "Completed"


@pytest.mark.anyio
async def test_leaving_an_async_loop_early_completes_the_run_at_the_end_of_the_flow_at_the_latest() -> None:
    runs: list[TaskRun] = []

    @task
    async def count() -> AsyncGenerator[int]:
        runs.append(this_run())
        while True:
            yield 1

    @flow
    async def leaves() -> None:
        async for _ in count():
            break

    await leaves()
    assert runs[0].state.name == "Completed"


def test_an_error_in_the_cleanup_fails_the_run_and_is_raised_to_whoever_closes(place: Place) -> None:
    bodies: list[int] = []
    runs: list[TaskRun] = []

    @place.task(retries=3)
    def cleans() -> Generator[int]:
        runs.append(this_run())
        bodies.append(1)
        try:
            yield 1
            yield 2
        finally:
            raise Broken("while cleaning up")

    async def body() -> None:
        walk = Walk(cleans())
        await walk.next()
        with pytest.raises(Broken, match="cleaning up"):
            await walk.close()
        assert await walk.rest() == []

    place.run(body)
    assert steps_of(runs[0]) == ["Pending", "Running", "Failed"]
    assert bodies == [1]  # nobody asks for what a retry would yield


@pytest.mark.anyio
async def test_a_cancellation_of_whoever_closes_reaches_the_cleanup_and_goes_on_up() -> None:
    runs: list[TaskRun] = []
    cleaning, log = asyncio.Event(), list[str]()

    @task
    async def opens() -> AsyncGenerator[int]:
        runs.append(this_run())
        try:
            yield 1
        finally:
            cleaning.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                log.append("cut off")
                raise

    async def closes() -> None:
        call = opens()
        await anext(call)
        await call.aclose()
        log.append("went on")

    closing = asyncio.create_task(closes())
    await cleaning.wait()
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing

    assert log == ["cut off"]
    assert runs[0].state.is_crashed()


def test_a_body_that_does_not_let_itself_be_closed_fails(place: Place) -> None:
    runs: list[TaskRun] = []

    @place.task(retries=1)
    def stubborn() -> Generator[int]:
        runs.append(this_run())
        try:
            yield 1
        except GeneratorExit:
            yield 2

    async def body() -> None:
        walk = Walk(stubborn())
        await walk.next()
        with pytest.raises(RuntimeError, match="ignored GeneratorExit"):
            await walk.close()

    place.run(body)
    assert runs[0].state.is_failed()


def test_hooks_are_called_for_a_run_that_is_closed(place: Place) -> None:
    seen: list[str] = []
    count = counting(place, [], on_completion=[lambda _task, _run, state: seen.append(state.name)])

    async def body() -> None:
        walk = Walk(count(3))
        await walk.next()
        await walk.close()
        assert seen == ["Completed"]

    place.run(body)


# Kept.


@pytest.mark.parametrize("world", [SYNC, SYNC_IN_ASYNC, ASYNC], ids=lambda world: world.name)
def test_one_that_is_kept_beyond_its_flow_is_closed_at_the_end_of_that(world: World) -> None:
    place = Place("", world, "flow")
    runs: list[TaskRun] = []
    log: list[Any] = []
    kept: list[Walk] = []

    @place.task(on_completion=[lambda *_: log.append("hook")])
    def opens() -> Generator[int]:
        runs.append(this_run())
        try:
            yield 1
            yield 2
        finally:
            log.append(this_flow().state.name)

    async def body() -> Any:
        walk = Walk(opens())
        await walk.next()
        kept.append(walk)

    world.body(body)
    assert log == ["Running", "hook"]  # before the flow has ended
    assert steps_of(runs[0]) == ["Pending", "Running", "Completed"]


def test_going_on_after_the_end_of_the_flow_is_an_error_and_not_an_early_end() -> None:
    count = counting(PLACES[0], [])

    @flow
    def keeps() -> Any:
        call = count(3)
        next(call)
        return quote(call)

    kept = keeps().unquote()
    with pytest.raises(CancelledRun, match=r"closed before it was exhausted.*before its flow has ended"):
        next(kept)


@pytest.mark.anyio
async def test_going_on_after_the_end_of_an_async_flow_is_an_error_too() -> None:
    @task
    async def count() -> AsyncGenerator[int]:
        yield 1
        yield 2

    @flow
    async def keeps() -> Any:
        call = count()
        await anext(call)
        return quote(call)

    kept = (await keeps()).unquote()
    with pytest.raises(CancelledRun, match="closed before it was exhausted"):
        await anext(kept)


@pytest.mark.parametrize("world", [SYNC, SYNC_IN_ASYNC, ASYNC], ids=lambda world: world.name)
def test_one_whose_cleanup_fails_at_the_end_of_its_flow_fails_that(world: World) -> None:
    place = Place("", world, "flow")
    kept: list[Any] = []

    @place.task
    def opens() -> Generator[int]:
        try:
            yield 1
            yield 2
        finally:
            raise Broken("while cleaning up")

    async def body() -> None:
        kept.append(Walk(opens()))
        await kept[0].next()

    with pytest.raises(Broken, match="cleaning up"):
        world.body(body)


def test_one_that_a_task_keeps_does_not_hold_up_its_flow(place: Place) -> None:
    runs: list[TaskRun] = []
    kept: list[Walk] = []
    count = counting(place, runs)

    async def keeps() -> str:
        kept.append(Walk(count(3)))
        await kept[0].next()
        return runs[0].state.name

    async def body() -> Any:
        return await place.world.call(place.world.task(keeps))

    assert place.world.body(body) == "Running"
    assert runs[0].state.name == "Completed"


def test_one_that_a_task_has_begun_can_be_finished_by_its_flow(place: Place) -> None:
    kept: list[Walk] = []
    count = counting(place, [])

    async def begins() -> Any:
        kept.append(Walk(count(3)))
        return await kept[0].next()

    async def body() -> Any:
        return [await place.world.call(place.world.task(begins)), *await kept[0].rest()]

    assert place.world.body(body) == [0, 1, 2]


def test_one_that_a_task_iterates_over_goes_on_although_the_body_of_the_flow_is_over(place: Place) -> None:
    count = counting(place, [])
    gate = place.world.gate()
    seen: list[int] = []

    async def iterates() -> None:
        walk = Walk(count(3))
        seen.append(await walk.next())
        await gate.passed()
        seen.extend(await walk.rest())

    async def body() -> Any:
        future = place.world.task(iterates).submit()
        future.add_done_callback(lambda _: None)
        threading.Timer(0, gate.open).start()
        return quote(future)

    future = place.world.body(body).unquote()
    assert future.state.is_completed()
    assert seen == [0, 1, 2]


def test_one_of_two_levels_is_closed_from_the_outside_in() -> None:
    log: list[str] = []
    kept: list[Any] = []

    @task
    def inner() -> Generator[int]:
        try:
            yield from range(3)
        finally:
            log.append("inner")

    @task
    def outer() -> Generator[int]:
        try:
            yield from inner()
        finally:
            log.append("outer")

    @flow
    def keeps() -> None:
        kept.append(outer())
        next(kept[0])

    keeps()
    assert log == ["inner", "outer"]


@pytest.mark.parametrize("world", [SYNC, SYNC_IN_ASYNC, ASYNC], ids=lambda world: world.name)
def test_one_outside_of_flows_does_not_hold_up_the_end_of_the_engine(world: World) -> None:
    place = Place("", world, "outside")
    runs: list[TaskRun] = []
    count = counting(place, runs)
    engine = Engine()
    kept: list[Walk] = []

    async def body() -> None:
        kept.append(Walk(count(3)))
        await kept[0].next()
        if world.async_flows:
            await engine.aclose()
        else:
            engine.close()
        assert runs[0].state.name == "Completed"
        with pytest.raises(CancelledRun, match="engine is closed"):
            await kept[0].next()

    place.run(body, engine=engine)


@pytest.mark.anyio
async def test_leaving_the_block_of_an_engine_closes_what_was_begun_in_it() -> None:
    @task
    async def ticks() -> AsyncGenerator[int]:
        while True:
            yield 1

    async with Engine() as engine:
        kept = ticks()
        async for _ in kept:
            break
        assert engine.stats().task_runs == 1
    assert engine.stats().task_runs == 0


def test_one_that_begins_after_the_end_of_its_flow_run_is_refused() -> None:
    count = counting(PLACES[0], [])

    @flow
    def makes() -> Any:
        return quote((copy_context(), count(2)))

    context, call = makes().unquote()
    with pytest.raises(EngineClosed, match="start task 'count' in flow run"):
        context.run(next, call)


# Threads and tasks.


def test_another_thread_may_iterate_on() -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[0], runs)
    seen: list[int] = []

    @flow
    def shares() -> list[TaskRun]:
        call = count(4)
        seen.append(next(call))
        thread = threading.Thread(target=lambda: seen.extend((next(call), next(call))))
        thread.start()
        thread.join()
        seen.extend(call)
        return quote(runs[0].state.name)  # type: ignore[return-value]

    assert shares().unquote() == "Completed"
    assert seen == [0, 1, 2, 3]


def test_a_thread_that_iterates_on_when_the_body_of_the_flow_is_over_is_cut_off_between_two_values() -> None:
    runs: list[TaskRun] = []
    begun, over = threading.Event(), threading.Event()
    seen: list[Any] = []
    gate = threading.Event()

    @task
    def count() -> Generator[int]:
        runs.append(this_run())
        yield 1
        begun.set()
        assert gate.wait(PATIENCE)
        yield 2
        yield 3

    def iterates(call: Any) -> None:
        try:
            seen.extend(call)
        except CancelledRun as error:
            seen.append(error)
        over.set()

    @flow
    def shares() -> None:
        call = count()
        seen.append(next(call))
        threading.Thread(target=iterates, args=(call,)).start()
        assert begun.wait(PATIENCE)
        threading.Timer(0, gate.set).start()

    shares()  # waits for the step that goes on
    assert runs[0].state.is_completed()
    assert over.wait(PATIENCE)
    # It may have been quick enough to take the rest.
    assert seen[:2] == [1, 2] or isinstance(seen[1], CancelledRun)


@pytest.mark.anyio
async def test_another_asyncio_task_may_iterate_on() -> None:
    @task
    async def count() -> AsyncGenerator[Any]:
        for i in range(4):
            await asyncio.sleep(0)
            yield i, asyncio.current_task()

    @flow
    async def shares() -> Any:
        call = count()
        here = [await anext(call), await anext(call)]
        elsewhere = asyncio.create_task(every(call))
        there = await elsewhere
        assert [i for i, _ in here + there] == [0, 1, 2, 3]
        assert {each for _, each in here} == {asyncio.current_task()}
        assert {each for _, each in there} == {elsewhere}
        return 1

    assert await shares() == 1


def test_two_threads_at_once_are_told_apart_as_they_would_be_without_a_task() -> None:
    gate, begun = threading.Event(), threading.Event()
    errors: list[ValueError] = []

    @task
    def slow() -> Generator[int]:
        begun.set()
        assert gate.wait(PATIENCE)
        yield 1

    call = slow()

    def second() -> None:
        assert begun.wait(PATIENCE)
        try:
            next(call)
        except ValueError as error:
            errors.append(error)
        gate.set()

    thread = threading.Thread(target=second)
    thread.start()
    assert list(call) == [1]
    thread.join()
    assert "already executing" in str(errors[0])


# Loops that end.


@pytest.mark.parametrize("world", [ASYNC, SYNC_IN_ASYNC], ids=lambda world: world.name)
def test_one_that_is_left_when_its_loop_is_shut_down_is_closed_by_that(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    runs: list[TaskRun] = []
    log: list[str] = []
    kept: list[Any] = []

    @task
    async def opens() -> AsyncGenerator[int]:
        runs.append(this_run())
        try:
            yield 1
            yield 2
        finally:
            await turns(3)  # so that all that is closed at once is closed at the same time
            log.append("cleaned up")

    @task
    async def outer() -> AsyncGenerator[int]:
        runs.append(this_run())
        inner = opens()
        kept.append(inner)
        async for value in inner:
            yield value

    async def main() -> None:
        kept.append(outer())
        await anext(kept[0])

    with asyncio.Runner(loop_factory=world.new_loop) as runner:
        runner.run(main())
    assert log == ["cleaned up"]
    assert [run.state.name for run in runs] == ["Completed", "Completed"]
    assert not caplog.records  # the loop has nothing to complain of


@pytest.mark.parametrize("closes", [True, False])
def test_one_that_is_left_on_a_loop_that_goes_on_no_more_does_not_hold_up_the_engine(*, closes: bool) -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[3], runs, timeout_seconds=60, log_prints=True)
    loop = asyncio.new_event_loop()
    engine = Engine()

    async def begins() -> Any:
        with entered(engine):
            call = count(3)
            await anext(call)
            return call

    kept = loop.run_until_complete(begins())
    if closes:
        loop.close()
    engine.close()
    assert runs[0].state.name == "Completed"
    loop.close()
    del kept


# What is left in memory.


class Big:
    """Something whose end can be seen."""


@pytest.mark.parametrize("place", PLACES, ids=lambda each: each.name)
def test_what_was_yielded_and_given_is_not_kept(place: Place) -> None:
    seen: list[weakref.ref[Any]] = []

    @place.task
    def passes(big: Big) -> Generator[Big]:
        yield big
        yield Big()

    async def body() -> None:
        big = Big()
        seen.append(weakref.ref(big))
        walk = Walk(passes(big))
        await walk.next()
        seen.append(weakref.ref(await walk.next()))
        await walk.rest()

    place.run(body)
    gc.collect()
    assert [each() for each in seen] == [None, None]


def test_a_generator_that_is_dropped_is_closed_at_once_and_without_the_collector() -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[0], runs)
    gc.disable()
    try:
        call = count(3)
        next(call)
        assert runs[0].state.name == "Running"
        del call
        assert runs[0].state.name == "Completed"
    finally:
        gc.enable()


@pytest.mark.anyio
async def test_an_async_generator_that_is_dropped_is_closed_by_its_loop() -> None:
    runs: list[TaskRun] = []

    @task
    async def count() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        yield 2

    call = count()
    await anext(call)
    del call
    gc.collect()
    await until(lambda: bool(runs[0].ended))
    assert runs[0].state.name == "Completed"
    check_at_rest(Engine.current())
