"""Generator tasks: what they yield, and what becomes of their runs, wherever they are called."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import AsyncGenerator, Generator
from contextvars import ContextVar
from typing import Any

import pytest

from millrace import (
    INPUTS,
    BlockingCallOnLoop,
    ConfigurationError,
    CrashPolicy,
    Engine,
    Failed,
    FailedRun,
    ForeignFuture,
    MemoryStorage,
    ParameterBindError,
    State,
    StateType,
    TaskRun,
    TaskRunContext,
    TaskRunResult,
    UnfinishedRun,
    allow_failure,
    as_completed,
    cancelled,
    get_run_logger,
    quote,
    tags,
)
from tests.checkpoints import (
    turns,
)
from tests.clock import Stepped
from tests.loose import flow, task
from tests.runtime.walks import (
    PLACES,
    SYNC_PLACES,
    Broken,
    Exhausted,
    Place,
    Walk,
    counting,
    every,
    flaky_in,
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


# What is yielded, and what the run is meanwhile.


def test_what_the_body_yields_comes_through_in_order(place: Place) -> None:
    @place.task
    def squares(n: int) -> Generator[int]:
        for i in range(n):
            yield i * i

    async def body() -> Any:
        return await every(squares(5))

    assert place.run(body) == [0, 1, 4, 9, 16]


def test_the_body_goes_no_further_than_it_is_asked_to(place: Place) -> None:
    log: list[str] = []

    @place.task
    def speaks() -> Generator[int]:
        for i in range(3):
            log.append(f"makes {i}")
            yield i

    async def body() -> None:
        walk = Walk(speaks())
        for i in range(3):
            assert await walk.next() == i
            log.append(f"takes {i}")
        await walk.rest()

    place.run(body)
    assert log == ["makes 0", "takes 0", "makes 1", "takes 1", "makes 2", "takes 2"]


def test_the_run_is_running_until_the_body_is_exhausted(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)

    async def body() -> list[str]:
        walk = Walk(count(2))
        seen: list[str] = []
        for _ in range(2):
            await walk.next()
            seen.append(runs[0].state.name)
        assert await walk.rest() == []
        return [*seen, runs[0].state.name]

    assert place.run(body) == ["Running", "Running", "Completed"]
    assert steps_of(runs[0]) == ["Pending", "Running", "Completed"]
    assert len(runs) == 1


def test_a_body_that_yields_nothing_completes(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)

    async def body() -> Any:
        return await every(count(0))

    assert place.run(body) == []
    assert steps_of(runs[0]) == ["Pending", "Running", "Completed"]


def test_the_same_task_can_be_iterated_over_several_times_at_once(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)

    async def body() -> Any:
        first, second = Walk(count(3)), Walk(count(3))
        taken = [await each.next() for _ in range(3) for each in (first, second)]
        return [*taken, await first.rest(), await second.rest()]

    assert place.run(body) == [0, 0, 1, 1, 2, 2, [], []]
    assert [run.key for run in runs] == [0, 1]
    assert runs[0].id != runs[1].id


@pytest.mark.parametrize("place", SYNC_PLACES, ids=lambda each: each.name)
def test_what_a_sync_body_returns_is_the_result_of_its_run(place: Place) -> None:
    runs: list[TaskRun] = []

    @place.task
    def pages() -> Generator[int, None, str]:
        runs.append(this_run())
        yield 1
        return "the end"

    async def body() -> Any:
        walk = Walk(pages())
        assert await walk.next() == 1
        with pytest.raises(Exhausted) as caught:
            await walk.next()
        return caught.value.value

    assert place.run(body) == "the end"
    assert runs[0].state.result() == "the end"


def test_what_one_generator_delegates_to_another_comes_back_as_its_value() -> None:
    @task
    def part() -> Generator[int, None, int]:
        yield 1
        return 2

    @task
    def whole() -> Generator[int]:
        yield (yield from part())

    assert list(whole()) == [1, 2]


def test_a_failed_state_that_a_body_returns_fails_its_run() -> None:
    @task
    def doubts() -> Generator[int, None, Any]:
        yield 1
        return Failed(message="no")

    walk = doubts()
    assert next(walk) == 1
    with pytest.raises(FailedRun, match="no"):
        next(walk)


# Errors.


def test_what_the_body_raises_fails_the_run_and_is_raised_to_whoever_iterates(place: Place) -> None:
    runs: list[TaskRun] = []
    error = Broken("here")

    @place.task
    def breaks() -> Generator[int]:
        runs.append(this_run())
        yield 1
        raise error

    async def body() -> Any:
        walk = Walk(breaks())
        assert await walk.next() == 1
        with pytest.raises(Broken) as caught:
            await walk.next()
        assert await walk.rest() == []
        return quote(caught.value)

    assert place.run(body).unquote() is error
    assert steps_of(runs[0]) == ["Pending", "Running", "Failed"]
    assert runs[0].state.data is error


def test_an_error_that_nobody_catches_fails_the_flow() -> None:
    @task
    def breaks() -> Generator[int]:
        yield 1
        raise Broken("here")

    @flow
    def iterates() -> None:
        for _ in breaks():
            pass

    with pytest.raises(Broken, match="here"):
        iterates()


def test_an_error_that_was_caught_was_looked_at(place: Place) -> None:
    @place.task
    def breaks() -> Generator[int]:
        yield 1
        raise Broken("here")

    async def body() -> None:
        with pytest.raises(Broken):
            await every(breaks())

    place.run(body)  # a flow that returns nothing would fail


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, GeneratorExit])
def test_what_is_no_exception_crashes_the_run_and_goes_on_up(kind: type[BaseException]) -> None:
    runs: list[TaskRun] = []

    @task
    def leaves() -> Generator[int]:
        runs.append(this_run())
        yield 1
        raise kind

    @task
    async def leaves_async() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        raise kind

    async def iterate() -> None:
        walk = Walk(leaves_async())
        await walk.next()
        with pytest.raises(kind):
            await walk.next()

    walk = leaves()
    next(walk)
    with pytest.raises(kind):
        next(walk)
    asyncio.run(iterate())
    assert [run.state.type for run in runs] == [StateType.CRASHED] * 2


def test_a_wrong_call_is_told_when_it_is_made(place: Place) -> None:
    count = counting(place, [])

    async def body() -> None:
        with pytest.raises(ParameterBindError, match="'n'"):
            count()
        with pytest.raises(ParameterBindError):
            count(1, 2)

    place.run(body)


def test_there_is_no_state_to_return(place: Place) -> None:
    count = counting(place, [])

    async def body() -> None:
        with pytest.raises(ConfigurationError, match=r"'count'.*submit"):
            count(1, return_state=True)

    place.run(body)


# Nobody asks.


def test_a_call_that_nobody_iterates_over_is_no_run(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)
    engine = Engine()
    events: list[Any] = []
    engine.subscribe(lambda event: events.append(event.run_name))

    async def body() -> None:
        count(3)
        closed = Walk(count(3))
        await closed.close()
        assert await closed.rest() == []

    place.run(body, engine=engine)
    assert runs == []
    assert not [name for name in events if name.startswith("count")]


def test_an_error_thrown_into_a_call_before_its_first_value_makes_no_run(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)

    async def body() -> None:
        with pytest.raises(Broken):
            await Walk(count(3)).throw(Broken())

    place.run(body)
    assert runs == []


def test_a_run_begins_where_the_first_value_is_asked_for() -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[0], runs)

    @flow
    def makes() -> Any:
        return quote(count(2))

    call = makes().unquote()
    assert list(call) == [0, 1]
    assert runs[0].scope.flow is None


# Retries.


def test_a_retry_yields_from_the_start(place: Place) -> None:
    runs: list[TaskRun] = []
    flaky = flaky_in(place, runs, 2, retries=2)

    async def body() -> Any:
        return await every(flaky())

    assert place.run(body) == [(1, 1), (2, 1), (3, 1), (3, 2)]
    assert steps_of(runs[0]) == ["Pending", "Running", "Retrying", "Retrying", "Completed"]
    assert len(set(runs)) == 1


def test_when_no_retries_are_left_the_last_error_is_raised(place: Place) -> None:
    runs: list[TaskRun] = []
    flaky = flaky_in(place, runs, 9, retries=1)

    async def body() -> Any:
        walk = Walk(flaky())
        seen = [await walk.next(), await walk.next()]
        with pytest.raises(Broken, match="attempt 2"):
            await walk.next()
        return seen

    assert place.run(body) == [(1, 1), (2, 1)]
    assert runs[0].state.type is StateType.FAILED


@pytest.mark.parametrize("is_async", [False, True], ids=["sync condition", "async condition"])
def test_the_condition_is_asked_before_a_retry(place: Place, *, is_async: bool) -> None:
    asked: list[tuple[str, str]] = []

    def condition(_task: Any, run: TaskRun, state: State[Any]) -> bool:
        assert TaskRunContext.get() is not None
        asked.append((run.state.name, state.name))
        return False

    async def async_condition(*args: Any) -> bool:
        await asyncio.sleep(0)
        return condition(*args)

    flaky = flaky_in(place, [], 9, retries=5, retry_condition_fn=async_condition if is_async else condition)

    async def body() -> None:
        with pytest.raises(Broken, match="attempt 1"):
            await every(flaky())

    place.run(body)
    assert asked == [("Running", "Failed")]


def test_an_error_in_the_condition_means_no_and_is_logged(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    def condition(*_: Any) -> bool:
        raise KeyError("no")

    flaky = flaky_in(place, [], 9, retries=5, retry_condition_fn=condition)

    async def body() -> None:
        with pytest.raises(Broken, match="attempt 1"):
            await every(flaky())

    place.run(body)
    (message,) = [record.getMessage() for record in caplog.records if "Retry condition" in record.getMessage()]
    assert message.startswith("Retry condition 'condition' of run '")


def test_a_delayed_retry_is_waited_for(place: Place) -> None:
    time = Stepped()
    engine = Engine(clock=time.now, timers=time)
    runs: list[TaskRun] = []
    flaky = flaky_in(place, runs, 1, retries=1, retry_delay_seconds=30)
    after: list[float] = []

    def passes() -> None:
        time.timer_set()
        time.advance(30.001)

    clock = threading.Thread(target=passes)

    async def body() -> Any:
        walk = Walk(flaky())
        seen = [await walk.next()]
        clock.start()
        seen.append(await walk.next())
        after.append(time.elapsed)
        return [*seen, *await walk.rest()]

    assert place.run(body, engine=engine) == [(1, 1), (2, 1), (2, 2)]
    clock.join()
    assert after[0] >= 30
    assert time.delays == [pytest.approx(30, abs=1e-3)]
    assert steps_of(runs[0]) == ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]


# Where values come from.


def test_a_value_knows_the_run_that_yielded_it(place: Place) -> None:
    runs: list[TaskRun] = []
    users: list[TaskRun] = []

    @place.task
    def makes() -> Generator[Any]:
        runs.append(this_run())
        for i in range(2):
            yield {"number": i}

    @place.world.task
    def uses(x: Any) -> Any:
        users.append(this_run())
        return x

    async def body() -> None:
        walk = Walk(makes())
        first = await walk.next()
        await place.world.call(uses, first)  # while it is still running
        for value in await walk.rest():
            await place.world.call(uses, value)

    place.run(body)
    assert [run.task_inputs for run in users] == [{"x": [TaskRunResult(runs[0].uuid)]}] * 2


def test_the_items_of_a_value_know_it_too(place: Place) -> None:
    runs: list[TaskRun] = []
    users: list[TaskRun] = []

    @place.task
    def pages() -> Generator[list[str]]:
        runs.append(this_run())
        yield ["a page", "another"]

    @place.world.task
    def uses(x: str) -> str:
        users.append(this_run())
        return x

    async def body() -> None:
        for page in await every(pages()):
            await place.world.call(uses, page[1])

    place.run(body)
    assert users[0].task_inputs == {"x": [TaskRunResult(runs[0].uuid)]}


def test_what_a_user_made_of_a_value_knows_nothing() -> None:
    users: list[TaskRun] = []

    @task
    def makes() -> Generator[list[int]]:
        yield [1000]

    @task
    def uses(x: Any) -> None:
        users.append(this_run())

    @flow
    def makes_other() -> None:
        for value in makes():
            uses([len(value)])

    makes_other()
    assert users[0].task_inputs == {"x": []}


# Sending and throwing.


def test_values_that_are_sent_reach_the_body(place: Place) -> None:
    @place.task
    def echoes() -> Generator[Any, Any, None]:
        said = yield "ready"
        while said != "stop":
            said = yield f"heard {said}"

    async def body() -> Any:
        walk = Walk(echoes())
        seen = [await walk.next(), await walk.send("a"), await walk.send("b")]
        with pytest.raises(Exhausted):
            await walk.send("stop")
        return seen

    assert place.run(body) == ["ready", "heard a", "heard b"]


def test_errors_that_are_thrown_reach_the_body_which_may_go_on(place: Place) -> None:
    runs: list[TaskRun] = []

    @place.task
    def copes() -> Generator[Any, Any, None]:
        runs.append(this_run())
        try:
            yield 1
        except Broken as error:
            yield f"caught {error}"

    async def body() -> Any:
        walk = Walk(copes())
        await walk.next()
        return [await walk.throw(Broken("this")), await walk.rest()]

    assert place.run(body) == ["caught this", []]
    assert runs[0].state.is_completed()


@pytest.mark.parametrize("error", [Broken("this"), StopIteration(), SystemExit(3)], ids=repr)
def test_an_error_that_is_thrown_and_not_caught_ends_the_run(place: Place, error: BaseException) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)

    async def body() -> None:
        walk = Walk(count(3))
        await walk.next()
        with pytest.raises((type(error), RuntimeError)):  # Python makes a RuntimeError of a StopIteration
            await walk.throw(error)
        assert await walk.rest() == []

    place.run(body)
    assert runs[0].state.name == ("Crashed" if isinstance(error, SystemExit) else "Failed")


def test_a_generator_exit_that_is_thrown_closes() -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[0], runs)
    walk = count(3)
    next(walk)
    with pytest.raises(GeneratorExit):
        walk.throw(GeneratorExit())
    assert runs[0].state.is_completed()


def test_an_error_that_is_thrown_leads_to_a_retry_like_any_other(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs, retries=1)

    async def body() -> Any:
        walk = Walk(count(3))
        await walk.next()
        await walk.next()
        return [await walk.throw(Broken()), *await walk.rest()]

    assert place.run(body) == [0, 1, 2]
    assert runs[0].run_count == 2


# What a call depends on.


def test_futures_among_the_arguments_are_resolved(place: Place) -> None:
    gets: list[Any] = []

    @place.world.task
    def one(x: int) -> int:
        return x

    @place.task
    def adds(a: int, more: dict[str, int]) -> Generator[int]:
        gets.append((a, more))
        yield a + more["b"]

    async def body() -> Any:
        first, second = one.submit(1), one.submit(2)
        await place.world.result([first, second][0])
        await place.world.result(second)
        return await every(adds(first, more={"b": second}))

    assert place.run(body) == [3]
    assert gets == [(1, {"b": 2})]


@pytest.mark.parametrize("world", [SYNC, ASYNC], ids=lambda world: world.name)
def test_the_first_value_waits_for_the_futures(world: World) -> None:
    place = Place("", world, "flow")
    gate = world.gate()
    runs: list[TaskRun] = []

    @world.task
    async def slow() -> int:
        await gate.passed()
        return 2

    count = counting(place, runs)

    async def body() -> Any:
        walk = Walk(count(slow.submit()))
        threading.Timer(0, gate.open).start()
        return await walk.rest()

    assert world.body(body) == [0, 1]


def test_what_it_waits_for_without_data_is_waited_for_too() -> None:
    log: list[str] = []
    gate = threading.Event()
    runs: list[TaskRun] = []

    @task
    def first() -> None:
        assert gate.wait(PATIENCE)
        log.append("first")

    @task
    def second() -> Generator[int]:
        runs.append(this_run())
        log.append("second")
        yield 1

    @flow
    def waits() -> Any:
        future = first.submit()
        call = second(wait_for=[future])
        threading.Timer(0, gate.set).start()
        return [quote(future.task_run_id), *call]

    upstream, value = waits()
    assert (log, value) == (["first", "second"], 1)
    assert runs[0].task_inputs == {"wait_for": [TaskRunResult(upstream.unquote())]}


def test_where_something_that_it_needs_has_failed_it_never_begins(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)

    @place.world.task
    def fails() -> int:
        raise Broken("upstream")

    async def body() -> None:
        future = fails.submit()
        await place.world.error(future)
        with pytest.raises(UnfinishedRun, match="fails"):
            await Walk(count(future)).next()

    place.run(body)
    assert runs == []


def test_a_failure_that_is_allowed_is_passed_on(place: Place) -> None:
    @place.world.task
    def fails() -> int:
        raise Broken("upstream")

    @place.task
    def tells(what: Any) -> Generator[str]:
        yield type(what).__name__

    async def body() -> Any:
        future = fails.submit()
        await place.world.error(future)
        return await every(tells(allow_failure(future)))

    assert place.run(body) == ["Broken"]


@pytest.mark.anyio
async def test_a_sync_one_does_not_hold_up_the_loop_for_a_future() -> None:
    count = counting(PLACES[0], [])
    gate = ASYNC.gate()

    @task
    async def slow() -> int:
        await gate.passed()
        return 2

    @flow
    async def mixes() -> None:
        future = slow.submit()
        with pytest.raises(BlockingCallOnLoop, match=r"count\(\.\.\.\) with a future that is not done.*await"):
            next(count(future))
        gate.open()
        await future

    await mixes()


def test_a_future_of_another_engine_is_refused() -> None:
    count = counting(PLACES[0], [])

    @task
    def one() -> int:
        return 1

    future = one.submit()
    engine = Engine()

    @flow
    def uses() -> None:
        with pytest.raises(ForeignFuture):
            next(count(future))

    SYNC.run(uses, engine=engine)


# What surrounds the body.


def test_hooks_are_called_in_the_context_of_the_run(place: Place) -> None:
    seen: list[Any] = []

    def hook(_task: Any, run: TaskRun, state: State[Any]) -> None:
        seen.append((state.name, this_run() is run))

    async def async_hook(_task: Any, run: TaskRun, state: State[Any]) -> None:
        await asyncio.sleep(0)
        seen.append((f"async {state.name}", this_run() is run))

    hooks = [hook, async_hook]
    flaky = flaky_in(place, [], 1, retries=1, on_running=hooks, on_completion=hooks, on_failure=hooks)
    fails = flaky_in(place, [], 1, on_failure=[hook])

    async def body() -> None:
        await every(flaky())
        with pytest.raises(Broken):
            await every(fails())

    place.run(body)
    names = ["Running", "async Running", "Retrying", "async Retrying", "Completed", "async Completed", "Failed"]
    assert seen == [(name, True) for name in names]


@pytest.mark.parametrize("is_async", [False, True], ids=["sync hook", "async hook"])
def test_a_hook_that_raises_is_logged_by_name_and_stops_nothing(
    place: Place, caplog: pytest.LogCaptureFixture, *, is_async: bool
) -> None:
    log: list[str] = []

    def broken(*_: Any) -> None:
        raise KeyError("broken")

    async def broken_async(*_: Any) -> None:
        await asyncio.sleep(0)
        raise KeyError("broken")

    hooks = [broken_async if is_async else broken, lambda _task, _run, state: log.append(state.name)]
    count = counting(place, [], on_running=hooks, on_completion=hooks)

    async def body() -> Any:
        return await every(count(2))

    assert place.run(body) == [0, 1]
    assert log == ["Running", "Completed"]
    messages = [record.getMessage() for record in caplog.records if record.getMessage().startswith("Hook 'broken")]
    assert len(messages) == 2


def test_hooks_for_the_beginning_come_before_the_body(place: Place) -> None:
    log: list[str] = []

    @place.task(on_running=[lambda *_: log.append("hook")])
    def speaks() -> Generator[int]:
        log.append("body")
        yield 1

    async def body() -> None:
        await every(speaks())

    place.run(body)
    assert log == ["hook", "body"]


def test_a_run_is_named_by_its_parameters(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs, task_run_name="count to {n}")

    async def body() -> None:
        await every(count(2))
        await every(count(3))

    place.run(body)
    assert [run.name for run in runs] == ["count to 2", "count to 3"]


def test_the_body_belongs_to_its_run_and_the_caller_to_its_own(place: Place) -> None:
    inside: list[Any] = []
    outside: list[Any] = []

    @place.task
    def asks(n: int) -> Generator[int]:
        for i in range(n):
            context = TaskRunContext.get()
            assert context is not None
            inside.append((context.task.name, context.parameters))
            yield i

    async def body() -> None:
        before = TaskRunContext.get()
        walk = Walk(asks(3))
        for _ in range(3):
            await walk.next()
            outside.append(TaskRunContext.get() == before)
        await walk.rest()
        outside.append(TaskRunContext.get() == before)

    place.run(body)
    assert inside == [("asks", {"n": 3})] * 3
    assert outside == [True] * 4


def test_the_parent_is_the_task_run_that_asks_for_the_first_value(place: Place) -> None:
    runs: list[TaskRun] = []
    parents: list[int | None] = []
    count = counting(place, runs)

    async def body() -> None:
        context = TaskRunContext.get()
        parents.append(None if context is None else context.task_run.id)
        await every(count(1))

    place.run(body)
    assert [run.parent for run in runs] == parents
    assert (parents[0] is None) == (place.how != "task")


def test_what_is_iterated_over_does_not_change_which_attempt_the_caller_is_in() -> None:
    count = counting(PLACES[0], [])
    seen: list[bool] = []

    @task(retries=1, timeout_seconds=60)
    def iterates() -> None:
        if this_run().run_count == 1:
            raise Broken
        list(count(3))
        seen.append(cancelled())

    @flow
    def runs_it() -> None:
        iterates()

    runs_it()
    assert seen == [False]


VARIABLE: ContextVar[str] = ContextVar("variable", default="as ever")


def test_context_variables_of_the_body_last_and_do_not_get_out(place: Place) -> None:
    inside: list[str] = []

    @place.task
    def sets() -> Generator[int]:
        inside.append(VARIABLE.get())
        VARIABLE.set("set inside")
        yield 1
        inside.append(VARIABLE.get())
        yield 2
        inside.append(VARIABLE.get())

    async def body() -> list[str]:
        VARIABLE.set("set outside")
        walk = Walk(sets())
        outside: list[str] = []
        for _ in range(2):
            await walk.next()
            outside.append(VARIABLE.get())
            VARIABLE.set(f"{VARIABLE.get()}!")
        await walk.rest()
        return [*outside, VARIABLE.get()]

    assert place.run(body) == ["set outside", "set outside!", "set outside!!"]
    assert inside == ["set outside", "set inside", "set inside"]


def test_tags_are_those_of_where_the_first_value_is_asked_for(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs, tags=["own"])

    async def body() -> None:
        call = Walk(count(2))
        with tags("around"):
            await call.next()
        await call.rest()

    place.run(body)
    assert runs[0].tags == {"own", "around"}


def test_the_logger_of_the_body_is_that_of_its_run(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    runs: list[TaskRun] = []

    @place.task
    def logs() -> Generator[int]:
        runs.append(this_run())
        for i in range(2):
            get_run_logger().info("in the body")
            yield i

    async def body() -> None:
        walk = Walk(logs())
        while True:
            try:
                await walk.next()
            except Exhausted:
                return

    with caplog.at_level(logging.INFO, "millrace"):
        place.run(body)
    assert [record.task_run_name for record in caplog.records] == [runs[0].name] * 2  # type: ignore[attr-defined]


def test_tasks_that_the_body_starts_have_its_run_for_a_parent(place: Place) -> None:
    runs: list[TaskRun] = []
    children: list[TaskRun] = []

    @place.world.task
    def child(x: int) -> int:
        children.append(this_run())
        return x

    @place.task
    def starts() -> Generator[Any]:
        runs.append(this_run())
        for i in range(2):
            yield quote(child.submit(i))

    async def body() -> Any:
        walk = Walk(starts())
        futures = [(await walk.next()).unquote() for _ in range(2)]
        values = [await place.world.result(future) for future in futures]
        await walk.rest()
        return values

    assert place.run(body) == [0, 1]
    assert [run.parent for run in children] == [runs[0].id] * 2


# Lists.


@pytest.mark.parametrize("world", [SYNC, ASYNC, SYNC_IN_ASYNC], ids=lambda world: world.name)
def test_a_submitted_run_gives_a_list(world: World) -> None:
    runs: list[TaskRun] = []
    count = counting(Place("", world, "flow"), runs)

    async def body() -> Any:
        future = count.submit(3)
        return [await world.result(future), quote(future.state)]

    values, state = world.body(body)
    assert values == [0, 1, 2]
    assert state.unquote().result() == [0, 1, 2]


@pytest.mark.parametrize("world", [SYNC, ASYNC, SYNC_IN_ASYNC], ids=lambda world: world.name)
def test_a_map_gives_lists(world: World) -> None:
    count = counting(Place("", world, "flow"), [])

    async def body() -> Any:
        return await world.result(count.map([0, 1, 2]))

    assert world.body(body) == [[], [0], [0, 1]]


@pytest.mark.parametrize("world", [SYNC, ASYNC, SYNC_IN_ASYNC], ids=lambda world: world.name)
def test_a_submitted_run_is_retried_and_named_and_has_its_hooks(world: World) -> None:
    seen: list[str] = []
    options: dict[str, Any] = {"retries": 1, "on_completion": [lambda _task, run, _state: seen.append(run.name)]}
    flaky = flaky_in(Place("", world, "flow"), [], 1, task_run_name="flaky", **options)

    async def body() -> Any:
        return await world.result(flaky.submit())

    assert world.body(body) == [(2, 1), (2, 2)]
    assert seen == ["flaky"]


def test_futures_of_lists_can_be_waited_for_in_the_order_of_their_ends() -> None:
    count = counting(PLACES[0], [])

    @flow
    def collects() -> Any:
        return sorted(future.result() for future in as_completed(count.map([2, 1])))

    assert collects() == [[0], [0, 1]]


# Several levels.


@pytest.mark.parametrize("world", [SYNC, ASYNC], ids=lambda world: world.name)
@pytest.mark.parametrize("how", ["flow", "task", "outside"])
def test_generators_may_iterate_over_generators(world: World, how: str) -> None:
    numbers: list[TaskRun] = []
    pairs: list[TaskRun] = []

    @task
    def number(n: int) -> Generator[int]:
        numbers.append(this_run())
        yield from range(n)

    @task
    def pair(n: int) -> Generator[tuple[int, int]]:
        pairs.append(this_run())
        for i in number(n):
            assert this_run() is pairs[0]
            yield from ((i, j) for j in number(n))

    @task
    async def async_number(n: int) -> AsyncGenerator[int]:
        numbers.append(this_run())
        for i in range(n):
            await asyncio.sleep(0)
            yield i

    @task
    async def async_pair(n: int) -> AsyncGenerator[tuple[int, int]]:
        pairs.append(this_run())
        async for i in async_number(n):
            assert this_run() is pairs[0]
            for j in await every(async_number(n)):
                yield i, j

    async def body() -> Any:
        return await every((async_pair if world.async_tasks else pair)(2))

    assert Place("", world, how).run(body) == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [run.parent for run in numbers] == [pairs[0].id] * 3
    assert {run.state.name for run in (*numbers, *pairs)} == {"Completed"}


def test_generators_of_both_kinds_may_be_nested() -> None:
    @task
    def numbers(n: int) -> Generator[int]:
        yield from range(n)

    @task
    async def doubled(n: int) -> AsyncGenerator[int]:
        for i in numbers(n):
            await asyncio.sleep(0)
            yield 2 * i

    @flow
    async def iterates() -> Any:
        return [value async for value in doubled(3)]

    assert asyncio.run(iterates()) == [0, 2, 4]


def test_a_chain_of_fifty_levels() -> None:
    @task
    def level(n: int) -> Generator[int]:
        if n == 0:
            yield 7
        else:
            yield from level(n - 1)

    @flow
    def climbs() -> Any:
        return list(level(50))

    assert climbs() == [7]


@pytest.mark.parametrize("place", [PLACES[0], PLACES[3]], ids=lambda each: each.name)
def test_a_thousand_may_be_open_at_once(place: Place) -> None:
    runs: list[TaskRun] = []
    count = counting(place, runs)

    async def body() -> Any:
        walks = [Walk(count(3)) for _ in range(1_000)]
        first = [await walk.next() for walk in walks]
        counts = this_flow().counts()
        half = [await walk.rest() for walk in walks[::2]]
        return [first, counts, half, quote(walks)]

    first, counts, half, kept = place.run(body)
    assert first == [0] * 1_000
    assert counts == {"running": 1_000}
    assert half == [[1, 2]] * 500
    assert len({run.id for run in runs}) == 1_000
    assert {run.state.name for run in runs} == {"Completed"}
    del kept


# Flows that run again.


def test_another_attempt_of_a_flow_iterates_again() -> None:
    runs: list[TaskRun] = []
    count = counting(PLACES[0], runs)
    attempts: list[list[int]] = []

    @flow(retries=1)
    def tries() -> Any:
        attempts.append(list(count(2)))
        if len(attempts) < 2:
            raise Broken
        return attempts

    assert tries() == [[0, 1], [0, 1]]
    assert len(runs) == 2


def test_one_that_was_left_by_an_attempt_of_a_flow_is_closed_before_the_next() -> None:
    runs: list[TaskRun] = []
    kept: list[Any] = []
    count = counting(PLACES[0], runs)

    @flow(retries=1)
    def tries() -> Any:
        kept.append(count(2))
        next(kept[-1])
        if len(kept) < 2:
            raise Broken
        return runs[0].state.name

    assert tries() == "Completed"


# What else a task can have.


def test_calls_are_not_taken_from_the_cache_and_submitted_runs_are(place: Place) -> None:
    bodies: list[int] = []

    @place.task(cache_policy=INPUTS, result_storage=MemoryStorage())
    def count(n: int) -> Generator[int]:
        bodies.append(n)
        yield from range(n)

    async def body() -> Any:
        called = [await every(count(2)), await every(count(2))]
        submitted = [await place.world.result(count.submit(2)) for _ in range(2)]
        return called + submitted

    assert place.run(body) == [[0, 1]] * 4
    assert bodies == [2, 2, 2]


def test_a_crash_leads_to_a_restart_where_the_policy_says_so() -> None:
    runs: list[TaskRun] = []

    @task
    def leaves() -> Generator[int]:
        runs.append(this_run())
        yield 1
        if len(runs) < 2:
            raise SystemExit
        yield 2

    @flow(crash_policy=CrashPolicy(restart="task"))
    def iterates() -> Any:
        return list(leaves())

    assert iterates() == [1, 1, 2]
    assert steps_of(runs[0]) == ["Pending", "Running", "Retrying", "Completed"]


@pytest.mark.anyio
async def test_an_async_crash_leads_to_a_restart_too() -> None:
    runs: list[TaskRun] = []

    @task
    async def leaves() -> AsyncGenerator[int]:
        runs.append(this_run())
        yield 1
        if len(runs) < 2:
            raise SystemExit
        yield 2

    @flow(crash_policy=CrashPolicy(restart="task"))
    async def iterates() -> Any:
        return await every(leaves())

    assert await iterates() == [1, 1, 2]


@pytest.mark.anyio
async def test_whoever_is_cancelled_gets_no_restart() -> None:
    bodies: list[int] = []

    @task
    async def waits() -> AsyncGenerator[int]:
        bodies.append(1)
        yield 1
        await asyncio.Event().wait()

    @flow(crash_policy=CrashPolicy(restart="task"))
    async def iterates() -> None:
        consumer = asyncio.create_task(every(waits()))
        await turns(5)
        consumer.cancel()
        with pytest.raises(asyncio.CancelledError):
            await consumer

    await iterates()
    assert bodies == [1]
