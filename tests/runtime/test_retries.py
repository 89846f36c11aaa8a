"""Retries: a failed attempt is tried again, in virtual time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Semaphore
from typing import Any

import pytest

from millrace import (
    Completed,
    ConfigurationError,
    Crashed,
    Engine,
    Event,
    Failed,
    FailedRun,
    StateType,
    TaskRunContext,
    flow,
    quote,
    task,
)
from tests.clock import START, VirtualAlarm, VirtualTime
from tests.runtime.worlds import PATIENCE, World


class Broken(Exception):
    pass


class Stepped(VirtualTime):
    """Virtual time that can be waited for: until a timer has been set."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []
        self._set = Semaphore(0)

    def call_at(self, at: int, call: Callable[[], None], lane: Any) -> VirtualAlarm:
        self.delays.append((at - self.now()) / 1e9)
        alarm = super().call_at(at, call, lane)
        self._set.release()
        return alarm

    def timer_set(self) -> None:
        """Wait until somebody waits for a time."""
        assert self._set.acquire(timeout=PATIENCE), "Nobody waits for a time."


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


def failing(world: World, times: int, **options: Any) -> tuple[Any, list[float]]:
    """A task that fails so many times and then gives the number of the attempt, and the moments of its attempts."""
    attempts: list[float] = []

    def flaky() -> int:
        context = TaskRunContext.get()
        assert context is not None
        attempts.append((context.task_run.node.now() - START) / 1e9)
        if len(attempts) <= times:
            raise Broken(f"attempt {len(attempts)}")
        return len(attempts)

    return world.task(flaky, **options), attempts


def start(world: World, engine: Engine, run: Any, how: str = "submit") -> Any:
    """Start a flow in the background that runs a task and gives its final state."""

    async def body() -> Any:
        if how == "submit":
            return quote(await world.ended(run.submit()))
        return quote(await world.call(run, return_state=True))

    return engine.start(world.flow(body))


def outcome(future: Any) -> Any:
    return future.result(timeout=PATIENCE).unquote()


HOWS = pytest.mark.parametrize("how", ["submit", "call"])


# How often.


def test_without_retries_there_is_one_attempt(world: World) -> None:
    fail, attempts = failing(world, 9)

    async def body() -> None:
        await world.error(fail.submit())

    world.body(body)
    assert len(attempts) == 1


@HOWS
def test_a_failed_attempt_is_tried_again_at_once_where_there_is_no_delay(world: World, how: str) -> None:
    flaky, attempts = failing(world, 2, retries=2)

    async def body() -> Any:
        return await world.result(flaky.submit()) if how == "submit" else await world.call(flaky)

    assert world.body(body) == 3
    assert len(attempts) == 3


@HOWS
def test_when_no_retries_are_left_the_run_fails_with_the_last_error(world: World, how: str) -> None:
    flaky, attempts = failing(world, 9, retries=2)

    async def body() -> Any:
        if how == "submit":
            return quote(await world.error(flaky.submit()))
        with pytest.raises(Broken) as caught:
            await world.call(flaky)
        return quote(caught.value)

    assert str(world.body(body).unquote()) == "attempt 3"
    assert len(attempts) == 3


def test_each_item_of_a_map_is_retried_by_itself(world: World) -> None:
    seen: dict[int, int] = {}

    @world.task(retries=2)
    def flaky(x: int) -> int:
        seen[x] = seen.get(x, 0) + 1
        if seen[x] <= x:
            raise Broken(str(x))
        return x

    async def body() -> Any:
        return [state.type for state in await world.ended(flaky.map(range(4)))]

    state = world.run(world.flow(body), return_state=True)
    assert state.result() == [StateType.COMPLETED] * 3 + [StateType.FAILED]
    assert seen == {0: 1, 1: 2, 2: 3, 3: 3}


def test_a_failed_state_that_the_function_returns_is_retried_like_an_exception(world: World) -> None:
    attempts: list[int] = []

    @world.task(retries=3)
    def flaky() -> Any:
        attempts.append(1)
        return Failed(message="not yet") if len(attempts) < 3 else Completed(data="at last")

    async def body() -> Any:
        return await world.result(flaky.submit())

    assert world.body(body) == "at last"
    assert len(attempts) == 3


def test_such_a_state_is_the_last_word_when_no_retries_are_left(world: World) -> None:
    @world.task(retries=1)
    def never() -> Any:
        return Failed(message="not yet")

    async def body() -> Any:
        return quote(await world.error(never.submit()))

    error = world.body(body).unquote()
    assert isinstance(error, FailedRun)
    assert str(error) == "not yet"


def test_a_crash_is_not_retried(world: World) -> None:
    attempts: list[int] = []

    @world.task(retries=3)
    def crash() -> Any:
        attempts.append(1)
        return Crashed(message="gone")

    async def body() -> Any:
        state = await world.ended(crash.submit())
        return state.type

    assert world.run(world.flow(body), return_state=True).result() == StateType.CRASHED
    assert attempts == [1]


def test_the_run_counts_its_attempts_and_keeps_its_id(world: World) -> None:
    ids: set[Any] = set()
    counts: list[int] = []

    @world.task(retries=2)
    def flaky() -> None:
        context = TaskRunContext.get()
        assert context is not None
        ids.add(context.task_run.uuid)
        counts.append(context.task_run.run_count)
        if len(counts) < 3:
            raise Broken("not yet")

    async def body() -> None:
        future = flaky.submit()
        await world.result(future)
        assert ids == {future.task_run_id}
        assert future.source.run_count == 3

    world.body(body)
    assert counts == [1, 2, 3]


def test_each_attempt_gets_the_same_arguments(world: World) -> None:
    given: list[Any] = []

    @world.task
    def one() -> int:
        return 1

    @world.task(retries=1)
    def flaky(value: Any) -> None:
        given.append(value)
        if len(given) == 1:
            raise Broken("not yet")

    async def body() -> None:
        await world.result(flaky.submit([one.submit()]))

    world.body(body)
    assert given == [[1], [1]]


def test_failed_is_never_recorded_while_retries_remain(world: World) -> None:
    engine, events = Engine(), list[Event]()
    engine.subscribe(events.append)
    flaky, _ = failing(world, 2, retries=2)

    async def body() -> None:
        await world.result(flaky.submit())

    world.run(world.flow(body), engine=engine)
    names = [event.state.name for event in events if event.run_name.startswith("flaky-")]
    assert names == ["Pending", "Running", "Retrying", "Retrying", "Completed"]
    engine.close()


# When.


@HOWS
def test_between_attempts_the_run_waits_for_the_delay(world: World, engine: Engine, time: Stepped, how: str) -> None:
    flaky, attempts = failing(world, 1, retries=1, retry_delay_seconds=10)
    future = start(world, engine, flaky, how)
    time.timer_set()
    assert time.delays == [10]
    time.advance(9.999)
    assert attempts == [0]
    assert not future.done()
    time.advance(0.001)
    state = outcome(future)
    assert state.is_completed()
    assert state.result() == 2
    assert attempts == [0, 10]


def test_meanwhile_it_is_awaiting_its_retry(world: World, engine: Engine, time: Stepped) -> None:
    events: list[Event] = []
    engine.subscribe(events.append)
    flaky, _ = failing(world, 1, retries=1, retry_delay_seconds=10)
    future = start(world, engine, flaky)
    time.timer_set()
    waiting = [event for event in events if event.run_name.startswith("flaky-")][-1].state
    assert waiting.name == "AwaitingRetry"
    assert waiting.type is StateType.SCHEDULED
    assert waiting.state_details.scheduled_time is not None
    assert (waiting.state_details.scheduled_time - waiting.timestamp).total_seconds() == 10
    time.advance(10)
    outcome(future)
    names = [event.state.name for event in events if event.run_name.startswith("flaky-")]
    assert names == ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]


@HOWS
def test_a_list_of_delays_repeats_its_last_one(world: World, engine: Engine, time: Stepped, how: str) -> None:
    flaky, attempts = failing(world, 4, retries=4, retry_delay_seconds=[1, 5])
    future = start(world, engine, flaky, how)
    for delay in (1, 5, 5, 5):
        time.timer_set()
        assert time.delays[-1] == delay
        time.advance(delay)
    assert outcome(future).result() == 5
    assert attempts == [0, 1, 6, 11, 16]


def test_a_delay_may_be_a_fraction_of_a_second(world: World, engine: Engine, time: Stepped) -> None:
    flaky, attempts = failing(world, 1, retries=1, retry_delay_seconds=0.25)
    future = start(world, engine, flaky)
    time.timer_set()
    time.advance(0.25)
    outcome(future)
    assert attempts == [0, 0.25]


def test_a_delay_of_nothing_needs_no_timer(world: World, engine: Engine, time: Stepped) -> None:
    flaky, attempts = failing(world, 2, retries=2, retry_delay_seconds=[0, 0])
    assert outcome(start(world, engine, flaky)).is_completed()
    assert attempts == [0, 0, 0]
    assert time.delays == []


def test_after_the_last_attempt_nothing_is_waited_for(world: World, engine: Engine, time: Stepped) -> None:
    flaky, attempts = failing(world, 9, retries=1, retry_delay_seconds=10)
    future = start(world, engine, flaky)
    time.timer_set()
    time.advance(10)
    assert future.wait(PATIENCE)
    assert attempts == [0, 10]
    assert time.delays == [10]
    assert time.waiting == 0


def test_what_depends_on_the_run_waits_for_its_retries(world: World, engine: Engine, time: Stepped) -> None:
    flaky, _ = failing(world, 1, retries=1, retry_delay_seconds=10)

    @world.task
    def double(x: int) -> int:
        return 2 * x

    async def body() -> Any:
        return await world.result(double.submit(flaky.submit()))

    future = engine.start(world.flow(body))
    time.timer_set()
    assert not future.done()
    time.advance(10)
    assert future.result(timeout=PATIENCE) == 4


def test_while_it_waits_a_run_holds_no_thread(time: Stepped) -> None:
    narrow = Engine(threads=1, clock=time.now, timers=time)
    attempts: list[int] = []

    @task(retries=1, retry_delay_seconds=10)
    def flaky() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise Broken("not yet")
        return "flaky"

    @task
    def other() -> str:
        return "other"

    @flow
    def body() -> list[str]:
        waiting = flaky.submit()
        time.timer_set()
        beside = other.submit().result(timeout=PATIENCE)  # the only thread is free
        assert narrow.stats().threads.busy == 0
        time.advance(10)
        return [beside, waiting.result(timeout=PATIENCE)]

    assert narrow.start(body).result(timeout=PATIENCE) == ["other", "flaky"]
    narrow.close()


def test_many_that_wait_are_woken_each_at_its_own_moment(world: World, engine: Engine, time: Stepped) -> None:
    woken: list[int] = []
    woke = Semaphore(0)
    seen: set[int] = set()

    def make(delay: int) -> Any:
        @world.task(retries=1, retry_delay_seconds=delay)
        def flaky() -> int:
            if delay not in seen:
                seen.add(delay)
                raise Broken("not yet")
            woken.append(delay)
            woke.release()
            return delay

        return flaky

    async def body() -> Any:
        futures = [make(delay).submit() for delay in (30, 10, 20)]
        return [await world.result(each) for each in futures]

    future = engine.start(world.flow(body))
    for _ in range(3):
        time.timer_set()
    for _ in range(3):
        time.advance(10)
        assert woke.acquire(timeout=PATIENCE)
    assert future.result(timeout=PATIENCE) == [30, 10, 20]
    assert woken == [10, 20, 30]


def test_a_run_that_waits_for_its_retry_can_be_cancelled(world: World, engine: Engine, time: Stepped) -> None:
    flaky, attempts = failing(world, 9, retries=9, retry_delay_seconds=10)

    async def body() -> Any:
        future = flaky.submit()
        started.put(future)
        return quote(await world.ended(future))

    started: SimpleQueue[Any] = SimpleQueue()
    running = engine.start(world.flow(body))
    time.timer_set()
    assert started.get(timeout=PATIENCE).cancel() is True
    assert outcome(running).is_cancelled()
    time.advance(100)
    assert attempts == [0]


# What a user may write.


@pytest.mark.parametrize("retries", [-1, 1.5, "3", True])
def test_retries_are_a_whole_number_and_not_negative(retries: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'retries' takes a whole number, 0 or more"):
        task(retries=retries)(lambda: None)


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf"), "soon", [1, -1], [None], True])
def test_delays_are_numbers_of_seconds_and_not_negative(delay: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'retry_delay_seconds' takes a .*number of seconds"):
        task(retries=1, retry_delay_seconds=delay)(lambda: None)


def test_with_options_changes_retries_and_keeps_the_rest() -> None:
    @task(retries=3, retry_delay_seconds=[1, 2], name="named", tags=["t"])
    def original() -> None:
        pass

    changed = original.with_options(retries=5)
    assert (changed.retries, changed.name) == (5, "named")
    assert changed.retry_delay_seconds == [1, 2]
    assert changed.tags == {"t"}
    assert original.retries == 3
    assert original.with_options(retries=0).retries == 0
