"""Generator flows: what they yield, and what becomes of their runs and of all that these start."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import threading
from collections.abc import AsyncGenerator, Generator, Iterator
from typing import Any

import anyio
import pytest

import millrace
from millrace import (
    AsyncGeneratorFlow,
    CancelledRun,
    Completed,
    ConfigurationError,
    Engine,
    Failed,
    FailedRun,
    FlowRun,
    FlowRunTimeoutError,
    GeneratorFlow,
    ParameterBindError,
    ParameterTypeError,
    StateType,
    UpstreamTaskError,
    get_run_context,
)
from tests.checkpoints import until
from tests.clock import Stepped
from tests.loose import flow, task
from tests.runtime.walks import PLACES, SYNC_PLACES, Broken, Exhausted, Place, Walk, as_async, entered, every, this_flow
from tests.runtime.worlds import PATIENCE


@pytest.fixture(params=PLACES, ids=lambda place: place.name)
def place(request: pytest.FixtureRequest) -> Place:
    """Everywhere that a generator flow can be called."""
    made: Place = request.param
    return made


@pytest.fixture
def time() -> Stepped:
    """Stands still until it is told to go on."""
    return Stepped()


@pytest.fixture
def engine(time: Stepped) -> Iterator[Engine]:
    """An engine in virtual time."""
    made = Engine(clock=time.now, timers=time)
    yield made
    made.close(cancel=True)


def made_in(place: Place, fn: Any, **options: Any) -> Any:
    """A generator flow of the place's kind."""
    return flow(**options)(as_async(fn) if place.world.async_tasks else fn)


def counting(place: Place, runs: list[FlowRun], **options: Any) -> Any:
    """A flow that yields 0, 1, and so on, and says which runs it has had."""

    def count(n: int) -> Generator[int]:
        runs.append(this_flow())
        for i in range(n):  # noqa: UP028  # `yield from` takes what is thrown at it otherwise
            yield i

    return made_in(place, count, **options)


def names(run: FlowRun) -> list[str]:
    """The names of all states of a run."""
    return [state.name for state in run.history()]


@task
def double(x: int) -> int:
    return 2 * x


# What is yielded, and what the run is meanwhile.


def test_what_the_body_yields_comes_through_in_order(place: Place) -> None:
    runs: list[FlowRun] = []
    count = counting(place, runs)

    async def body() -> Any:
        return await every(count(4))

    assert place.run(body) == [0, 1, 2, 3]
    assert names(runs[0]) == ["Pending", "Running", "Completed"]


def test_a_call_that_nobody_iterates_over_makes_no_run(place: Place) -> None:
    runs: list[FlowRun] = []
    count = counting(place, runs)

    async def body() -> Any:
        walk = Walk(count(4))
        await walk.close()
        del walk
        gc.collect()

    engine = Engine()
    place.run(body, engine=engine)
    engine.close()
    assert runs == []


def test_the_run_is_running_until_the_body_is_exhausted(place: Place) -> None:
    runs: list[FlowRun] = []
    count = counting(place, runs)

    async def body() -> Any:
        walk = Walk(count(2))
        seen: list[str] = []
        for _ in range(2):
            await walk.next()
            seen.append(runs[0].state.name)
        with pytest.raises(Exhausted):
            await walk.next()
        return [*seen, runs[0].state.name]

    assert place.run(body) == ["Running", "Running", "Completed"]


def test_the_body_goes_no_further_than_it_is_asked_to(place: Place) -> None:
    log: list[str] = []

    def speaks() -> Generator[int]:
        for i in range(2):
            log.append(f"makes {i}")
            yield i

    speaking = made_in(place, speaks)

    async def body() -> None:
        walk = Walk(speaking())
        for i in range(2):
            assert await walk.next() == i
            log.append(f"takes {i}")
        await walk.rest()

    place.run(body)
    assert log == ["makes 0", "takes 0", "makes 1", "takes 1"]


def test_closed_early_a_run_completes_and_its_body_cleans_up(place: Place) -> None:
    runs: list[FlowRun] = []
    log: list[str] = []

    def cleans() -> Generator[int]:
        runs.append(this_flow())
        try:
            yield 1
            yield 2
        finally:
            log.append("cleaned")

    cleaning = made_in(place, cleans)

    async def body() -> None:
        walk = Walk(cleaning())
        await walk.next()
        await walk.close()
        log.append(runs[0].state.name)

    place.run(body)
    assert log == ["cleaned", "Completed"]


def test_what_is_sent_and_thrown_reaches_the_body(place: Place) -> None:
    def echoes() -> Generator[Any, Any]:
        heard: Any = "nothing"
        while True:
            try:
                heard = yield heard
            except Broken as error:
                heard = error.args[0]

    echo = made_in(place, echoes)

    async def body() -> Any:
        walk = Walk(echo())
        heard = [await walk.next(), await walk.send("a"), await walk.throw(Broken("b")), await walk.send("c")]
        await walk.close()
        return heard

    assert place.run(body) == ["nothing", "a", "b", "c"]


@pytest.mark.parametrize("place", SYNC_PLACES, ids=lambda each: each.name)
def test_what_a_sync_body_returns_is_the_result_of_its_run(place: Place) -> None:
    runs: list[FlowRun] = []

    def pages() -> Generator[int, None, str]:
        runs.append(this_flow())
        yield 1
        return "the end"

    paging = made_in(place, pages)

    async def body() -> Any:
        walk = Walk(paging())
        await walk.next()
        with pytest.raises(Exhausted) as caught:
            await walk.next()
        return caught.value.value

    assert place.run(body) == "the end"
    assert runs[0].state.result() == "the end"


def test_the_state_that_a_sync_body_returns_is_the_runs() -> None:
    @flow
    def doubts() -> Generator[int, None, Any]:
        yield 1
        return Failed(message="no")

    walk = doubts()
    next(walk)
    with pytest.raises(FailedRun, match=r"^no$"):
        next(walk)


def test_the_body_is_in_the_context_of_its_run_and_whoever_iterates_is_not(place: Place) -> None:
    runs: list[FlowRun] = []
    count = counting(place, runs)
    outside: list[Any] = []

    def context_here() -> Any:
        try:
            context = get_run_context()
        except millrace.MissingContextError:
            return None
        return getattr(context, "flow_run", None) or getattr(context, "task_run", None)

    async def body() -> None:
        before = context_here()
        walk = Walk(count(2))
        await walk.next()
        outside.append(context_here() is before)
        await walk.rest()

    place.run(body)
    assert outside == [True]
    assert runs[0].name


# Errors.


def test_what_the_body_raises_fails_the_run_and_is_raised_to_whoever_iterates(place: Place) -> None:
    runs: list[FlowRun] = []

    def breaks() -> Generator[int]:
        runs.append(this_flow())
        yield 1
        raise Broken("here")

    breaking = made_in(place, breaks)

    async def body() -> None:
        walk = Walk(breaking())
        await walk.next()
        with pytest.raises(Broken, match="here"):
            await walk.next()

    place.run(body)
    assert (runs[0].type, runs[0].state.message) == (StateType.FAILED, "Broken: here")


def test_a_crash_is_recorded_and_goes_up(place: Place) -> None:
    runs: list[FlowRun] = []

    def exits() -> Generator[int]:
        runs.append(this_flow())
        yield 1
        raise SystemExit(3)

    exiting = made_in(place, exits)

    async def body() -> None:
        walk = Walk(exiting())
        await walk.next()
        with pytest.raises(SystemExit):
            await walk.next()

    place.run(body)
    assert runs[0].type is StateType.CRASHED


def test_what_the_body_raises_when_it_is_closed_fails_the_run(place: Place) -> None:
    runs: list[FlowRun] = []

    def clumsy() -> Generator[int]:
        runs.append(this_flow())
        try:
            yield 1
        finally:
            raise Broken("in the clean-up")

    made = made_in(place, clumsy, retries=3)

    async def body() -> None:
        walk = Walk(made())
        await walk.next()
        with pytest.raises(Broken, match="clean-up"):
            await walk.close()

    place.run(body)
    assert runs[0].type is StateType.FAILED
    assert len(runs) == 1


def test_wrong_calls_are_told_where_they_are_made(place: Place) -> None:
    count = counting(place, [])

    async def body() -> None:
        with pytest.raises(ParameterBindError):
            count(1, 2)
        with pytest.raises(ConfigurationError, match="return_state"):
            count(1, return_state=True)

    place.run(body)


def test_parameters_are_converted_and_wrong_ones_fail_the_run(place: Place) -> None:
    runs: list[FlowRun] = []
    count = counting(place, runs)

    async def body() -> Any:
        with pytest.raises(ParameterTypeError):
            await Walk(count("x")).next()
        return await every(count("3"))

    assert place.run(body) == [0, 1, 2]


# What it starts.


def test_what_it_has_started_is_waited_for_at_its_end(place: Place) -> None:
    children: list[Any] = []

    def starts() -> Generator[int]:
        children.append(double.submit(4))
        yield 1
        children.append(double.map(range(20)))

    starting = made_in(place, starts)

    async def body() -> Any:
        values = await every(starting())
        return values, children[0].done(), all(each.done() for each in children[1])

    assert place.run(body) == ([1], True, True)


def test_closed_early_it_waits_for_what_it_has_started_too(place: Place) -> None:
    children: list[Any] = []

    def starts() -> Generator[int]:
        children.append(double.map(range(20)))
        yield 1

    starting = made_in(place, starts)

    async def body() -> Any:
        walk = Walk(starting())
        await walk.next()
        await walk.close()
        return [each.done() for each in children[0]]

    assert place.run(body) == [True] * 20


def test_a_failure_that_nobody_looked_at_fails_it(place: Place) -> None:
    @task
    def bad() -> None:
        raise Broken

    def starts() -> Generator[int]:
        bad.submit()
        yield 1

    starting = made_in(place, starts)

    async def body() -> Any:
        walk = Walk(starting())
        await walk.next()
        with pytest.raises(Broken):
            await walk.next()

    place.run(body)


def test_what_it_has_started_goes_on_between_two_values() -> None:
    ran = threading.Event()

    @task
    def work() -> None:
        ran.set()

    @flow
    def starts() -> Generator[int]:
        work.submit()
        yield 1

    walk = starts()
    next(walk)
    assert ran.wait(PATIENCE)
    walk.close()


# Inside of others.


@pytest.mark.parametrize("place", [each for each in PLACES if each.how == "flow"], ids=lambda each: each.name)
def test_it_is_a_subflow_and_its_parent_does_not_end_before_it(place: Place) -> None:
    runs: list[FlowRun] = []
    parents: list[FlowRun] = []
    count = counting(place, runs)
    kept: list[Any] = []

    async def body() -> str:
        parents.append(this_flow())
        walk = Walk(count(3))
        kept.append(walk)
        await walk.next()
        return runs[0].state.name

    assert place.run(body) == "Running"
    assert runs[0].parent is parents[0]
    assert runs[0].type is StateType.COMPLETED
    assert parents[0].type is StateType.COMPLETED


@pytest.mark.parametrize("place", [each for each in PLACES if each.how == "flow"], ids=lambda each: each.name)
def test_iterated_on_after_its_parent_has_ended_it_says_that_it_was_closed(place: Place) -> None:
    count = counting(place, [])

    async def body() -> Any:
        return [(walk := Walk(count(3))), await walk.next()]

    async def afterwards() -> None:
        walk, _ = await place.world.call(place.world.flow(body))
        with pytest.raises(CancelledRun, match="was closed before it was exhausted"):
            await walk.next()

    place.run(afterwards)


@pytest.mark.parametrize("place", [each for each in PLACES if each.how == "flow"], ids=lambda each: each.name)
def test_a_future_in_its_parameters_is_waited_for(place: Place) -> None:
    count = counting(place, [])

    async def body() -> Any:
        return await every(count(double.submit(2)))

    assert place.run(body) == [0, 1, 2, 3]


@pytest.mark.parametrize("place", [each for each in PLACES if each.how == "flow"], ids=lambda each: each.name)
def test_what_it_waits_for_has_to_complete(place: Place) -> None:
    runs: list[FlowRun] = []
    count = counting(place, runs)

    @task
    def bad() -> None:
        raise Broken

    async def body() -> int:
        failed = bad.submit()
        with pytest.raises(UpstreamTaskError):
            await Walk(count(1, wait_for=[failed])).next()
        return 1

    place.run(body)
    assert runs == []


def test_several_are_iterated_over_in_turns() -> None:
    @flow
    def evens(n: int) -> Generator[int]:
        for i in range(n):
            yield double(i)

    @flow
    def both() -> Any:
        return list(zip(evens(3), evens(3), strict=True))

    assert both() == [(0, 0), (2, 2), (4, 4)]


# Attempts.


def test_a_retry_yields_from_the_start_and_gives_what_was_there_already(place: Place) -> None:
    calls: list[int] = []
    attempts: list[int] = []

    @task
    def work(x: int) -> int:
        calls.append(x)
        return x

    def flaky() -> Generator[int]:
        attempts.append(1)
        yield work(1)
        yield work(2)
        if len(attempts) == 1:
            raise Broken
        yield work(3)

    made = made_in(place, flaky, retries=1)

    async def body() -> Any:
        return await every(made())

    assert place.run(body) == [1, 2, 1, 2, 3]
    assert calls == [1, 2, 3]


def test_a_retry_waits_for_its_time(engine: Engine, time: Stepped) -> None:
    attempts: list[int] = []

    @flow(retries=1, retry_delay_seconds=10)
    def flaky() -> Generator[int]:
        attempts.append(1)
        yield len(attempts)
        if len(attempts) == 1:
            raise Broken

    values: list[int] = []
    thread = threading.Thread(target=lambda: _in(engine, lambda: values.extend(flaky())))
    thread.start()
    time.timer_set()
    assert values == [1]
    time.advance(10)
    thread.join(PATIENCE)
    assert values == [1, 2]


def _in(engine: Engine, call: Any) -> Any:
    with entered(engine):
        return call()


def test_hooks_are_called_for_every_begin_and_for_the_end(place: Place) -> None:
    told: list[str] = []
    attempts: list[int] = []

    def flaky() -> Generator[int]:
        attempts.append(1)
        yield 1
        if len(attempts) == 1:
            raise Broken

    hook = [lambda *each: told.append(each[2].name)]
    made = made_in(place, flaky, retries=1, on_running=hook, on_completion=hook, on_failure=hook)

    async def body() -> Any:
        return await every(made())

    assert place.run(body) == [1, 1]
    assert told == ["Running", "Retrying", "Completed"]


def test_a_name_is_made_of_the_parameters(place: Place) -> None:
    runs: list[FlowRun] = []
    count = counting(place, runs, flow_run_name="count to {n}")

    async def body() -> Any:
        return await every(count(2))

    place.run(body)
    assert runs[0].name == "count to 2"


# Stopped.


def test_cancelled_between_two_values_it_ends_and_says_so(place: Place) -> None:
    runs: list[FlowRun] = []
    told: list[str] = []
    count = counting(place, runs, on_cancellation=[lambda *each: told.append(each[2].message)])

    async def body() -> Any:
        walk = Walk(count(3))
        await walk.next()
        runs[0].cancel("enough")
        with pytest.raises((CancelledRun, asyncio.CancelledError)):
            await walk.next()

    place.run(body)
    assert runs[0].type is StateType.CANCELLED
    assert told == ["enough"]


def test_cancelled_and_never_asked_on_it_ends_all_the_same(place: Place) -> None:
    runs: list[FlowRun] = []
    count = counting(place, runs)
    ended = threading.Event()
    kept: list[Any] = []

    async def body() -> Any:
        walk = Walk(count(3))
        kept.append(walk)
        await walk.next()
        millrace.FlowFuture.of(runs[0]).add_done_callback(lambda _: ended.set())
        runs[0].cancel("enough")
        if place.world.async_flows:
            await until(ended.is_set)
        else:
            assert ended.wait(PATIENCE)

    place.run(body)
    assert runs[0].type is StateType.CANCELLED


def test_its_time_runs_out_between_two_values(time: Stepped) -> None:
    runs: list[FlowRun] = []
    log: list[str] = []

    @flow(timeout_seconds=5)
    def slow() -> Generator[int]:
        runs.append(this_flow())
        try:
            yield 1
            yield 2
        except FlowRunTimeoutError as error:
            log.append(str(error))
            raise

    with contextlib.closing(Engine(clock=time.now, timers=time)) as engine:

        def iterate() -> None:
            walk = slow()
            next(walk)
            time.advance(5)
            assert runs[0].state.name == "TimedOut"
            with pytest.raises(FlowRunTimeoutError):
                next(walk)

        _in(engine, iterate)
    assert len(log) == 1


def test_its_time_runs_out_while_an_async_body_waits(time: Stepped) -> None:
    @flow(timeout_seconds=5)
    async def slow() -> AsyncGenerator[int]:
        yield 1
        await asyncio.Event().wait()

    async def main() -> None:
        async with Engine(clock=time.now, timers=time):
            walk = slow()
            await anext(walk)
            asyncio.get_running_loop().call_soon(time.advance, 5)
            with pytest.raises(FlowRunTimeoutError):
                await anext(walk)

    asyncio.run(main())


@pytest.mark.anyio
@pytest.mark.parametrize("by", ["asyncio", "anyio"])
async def test_whoever_iterates_is_cancelled_and_the_run_crashes(by: str) -> None:
    runs: list[FlowRun] = []
    begun = asyncio.Event()
    told: list[str] = []

    async def crashed(*each: Any) -> None:
        await asyncio.sleep(0)
        told.append(each[2].name)

    @flow(on_crashed=[crashed])
    async def waits() -> AsyncGenerator[int]:
        runs.append(this_flow())
        yield 1
        begun.set()
        await asyncio.Event().wait()

    async def iterate() -> None:
        async for _ in waits():
            pass

    if by == "asyncio":
        call = asyncio.create_task(iterate())
        await begun.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    else:
        with anyio.CancelScope() as scope:
            async with anyio.create_task_group() as group:
                group.start_soon(iterate)
                await begun.wait()
                scope.cancel()
        assert scope.cancelled_caught
    assert runs[0].type is StateType.CRASHED
    assert told == ["Crashed"]


def test_an_engine_that_closes_ends_what_waits_to_be_asked_on() -> None:
    runs: list[FlowRun] = []

    @flow
    def count() -> Generator[int]:
        runs.append(this_flow())
        yield 1
        yield 2

    engine = Engine()
    walk = _in(engine, count)
    _in(engine, lambda: next(walk))
    engine.close()
    assert runs[0].type is StateType.COMPLETED
    with pytest.raises(CancelledRun, match="was closed before it was exhausted"):
        next(walk)


def test_an_async_engine_that_closes_ends_it_too() -> None:
    @flow
    async def count() -> AsyncGenerator[int]:
        yield 1
        yield 2

    async def main() -> None:
        async with Engine():
            walk = count()
            assert await anext(walk) == 1
        with pytest.raises(CancelledRun, match="was closed before it was exhausted"):
            await anext(walk)

    asyncio.run(main())


def test_dropped_on_the_way_it_completes() -> None:
    runs: list[FlowRun] = []

    @flow
    def count() -> Generator[int]:
        runs.append(this_flow())
        yield 1
        yield 2

    for value in count():
        assert value == 1
        break
    gc.collect()
    assert runs[0].type is StateType.COMPLETED


# In the background, and from plain code.


def test_in_the_background_it_gives_a_list(place: Place) -> None:
    count = counting(place, [])
    engine = Engine()
    future = engine.start(count, 3)
    assert future.result(timeout=PATIENCE) == [0, 1, 2]
    engine.close()


def test_run_gives_a_list() -> None:
    @flow
    def count(n: int) -> Generator[int]:
        yield from range(n)

    @flow
    async def count_async(n: int) -> AsyncGenerator[int]:
        for i in range(n):
            yield await asyncio.sleep(0, i)

    assert millrace.run(count, 3) == millrace.run(count_async, 3) == [0, 1, 2]


def test_a_flow_that_returns_a_generator_gives_a_list_made_in_its_context() -> None:
    names_seen: list[str] = []

    @flow
    def returns() -> Any:
        def values() -> Generator[int]:
            names_seen.append(this_flow().name)
            yield double(1)
            yield double(2)

        return values()

    assert returns() == [2, 4]
    assert len(names_seen) == 1


# What it is made of.


def test_functions_become_flows_of_their_kind() -> None:
    def plain() -> Generator[int]:
        yield 1

    async def asynchronous() -> AsyncGenerator[int]:
        yield 1

    assert type(flow(plain)) is GeneratorFlow
    assert type(flow(name="x")(asynchronous)) is AsyncGeneratorFlow
    assert type(flow(plain).with_options(name="other")) is GeneratorFlow


def test_methods_may_be_generator_flows() -> None:
    class Counter:
        def __init__(self, n: int) -> None:
            self.n = n

        @millrace.flow
        def count(self, start: int = 0) -> Generator[int]:
            yield from range(start, self.n)

    assert list(Counter(3).count(1)) == [1, 2]


def test_completed_states_may_be_yielded_and_are_data() -> None:
    @flow
    def states() -> Generator[Any]:
        yield Completed(data=1)

    (state,) = list(states())
    assert state.result() == 1


@pytest.mark.parametrize("replays", [True, False])
def test_in_a_flow_that_runs_again_it_is_iterated_over_again(replays: bool) -> None:
    calls: list[int] = []
    attempts: list[int] = []

    @task
    def work(x: int) -> int:
        calls.append(x)
        return x

    @flow
    def inner() -> Generator[int]:
        yield work(1)

    @flow(retries=1)
    def outer() -> Any:
        attempts.append(1)
        values = [*inner(), work(2)] if replays else [work(2), *inner()]
        if len(attempts) == 1:
            raise Broken
        return values

    assert sorted(outer()) == [1, 2]
    assert sorted(calls) == [1, 1, 2]
