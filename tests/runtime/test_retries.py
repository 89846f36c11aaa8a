"""Retries: a failed attempt is tried again, in virtual time."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from threading import Semaphore
from typing import Any, cast

import pytest

from millrace import (
    Cancelled,
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
from millrace.actors.policies import exponential_backoff
from millrace.runtime.entering import ENTERED
from tests.checkpoints import until
from tests.clock import START, Stepped, VirtualTime
from tests.runtime.worlds import PATIENCE, World


class Broken(Exception):
    pass


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


@HOWS
def test_a_cancelled_state_that_the_function_returns_is_not_retried(world: World, how: str) -> None:
    attempts: list[int] = []

    @world.task(retries=3)
    def stops() -> Any:
        attempts.append(1)
        return Cancelled(message="enough")

    async def body() -> Any:
        ended = world.ended(stops.submit()) if how == "submit" else world.call(stops, return_state=True)
        return quote(await ended)

    assert world.body(body).unquote().is_cancelled()
    assert attempts == [1]


@HOWS
def test_a_timeout_of_the_bodys_own_code_is_retried_like_any_error(world: World, how: str) -> None:
    attempts: list[int] = []

    @world.task(retries=2)
    def connects() -> int:
        attempts.append(1)
        if len(attempts) < 3:
            raise TimeoutError("no answer")
        return len(attempts)

    async def body() -> Any:
        return await world.result(connects.submit()) if how == "submit" else await world.call(connects)

    assert world.body(body) == 3


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


# What they say.


def test_states_and_messages_count_the_retries(world: World, engine: Engine, time: Stepped) -> None:
    events: list[Event] = []
    engine.subscribe(events.append)
    flaky, _ = failing(world, 3, retries=3, retry_delay_seconds=[10, 0])
    future = start(world, engine, flaky)
    time.timer_set()
    time.advance(10)
    state = outcome(future)
    said = [(event.state.name, event.state.message) for event in events if event.run_name.startswith("flaky-")]
    assert said == [
        ("Pending", None),
        ("Running", None),
        ("AwaitingRetry", "Retry 1 of 3, after Failed('Broken: attempt 1')."),
        ("Retrying", None),
        ("Retrying", "Retry 2 of 3, after Failed('Broken: attempt 2')."),
        ("Retrying", "Retry 3 of 3, after Failed('Broken: attempt 3')."),
        ("Completed", None),
    ]
    assert state.result() == 4


def test_the_time_in_running_is_that_of_all_attempts(world: World, engine: Engine, time: Stepped) -> None:
    begun = Semaphore(0)
    gates = [world.gate() for _ in range(3)]
    runs: list[Any] = []

    @world.task(retries=2, retry_delay_seconds=100)
    async def slow() -> int:
        context = TaskRunContext.get()
        assert context is not None
        runs.append(context.task_run)
        attempt = len(runs)
        begun.release()
        await gates[attempt - 1].passed()
        if attempt < 3:
            raise Broken
        return attempt

    future = start(world, engine, slow)
    for attempt in range(3):
        assert begun.acquire(timeout=PATIENCE)
        time.advance(2)
        gates[attempt].open()
        if attempt < 2:
            time.timer_set()
            time.advance(100)
    assert outcome(future).result() == 3
    assert (runs[0].run_time, runs[0].run_count) == (6 * 10**9, 3)


# When, to the nanosecond.

NANOSECONDS = [0, 1, 999, 1_000, 1_001, 10**6 + 7, 10**9, 3 * 10**9 + 123_456_789, 10**15]


def policies(count: int) -> Iterator[tuple[int, tuple[float, ...], int]]:
    """So many policies: retries, delays, and how many attempts fail."""
    chance = random.Random(11)
    for number in range(count):
        retries = chance.randrange(6)
        delays = tuple(chance.choice(NANOSECONDS) / 1e9 for _ in range(chance.randrange(1, 4)))
        yield retries, delays if number % 3 else delays[:1], chance.randrange(retries + 2)


def test_a_thousand_policies_are_kept_to_without_a_deviation() -> None:
    """Attempts are one and the retries; each begins as long after the failure before as its delay says.

    A time that people read has no nanoseconds, so a retry is due at the next microsecond, and never before its time.
    """
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    deviations: list[Any] = []
    count = 0

    @flow
    async def tries_them_all() -> None:
        nonlocal count
        for retries, delays, failures in policies(1_000):
            begun: list[int] = []
            expected: list[int] = []

            async def body(begun: list[int] = begun, failures: int = failures) -> str:
                begun.append(time.now())
                if len(begun) <= failures:
                    raise Broken
                return "done"

            future = task(retries=retries, retry_delay_seconds=list(delays))(body).submit()
            expected.append(time.now())
            while not future.done():
                before = time.waiting
                await asyncio.sleep(0)
                if time.waiting and before:
                    time.advance((time.due - time.now()) / 1e9)
            attempts = min(failures, retries) + 1
            for retry in range(1, attempts):
                due = expected[-1] + round(delays[min(retry, len(delays)) - 1] * 1e9)
                expected.append(due if due == expected[-1] else -(-due // 1_000) * 1_000)
            state = future.state.name
            count += len(begun)
            if begun != expected or state != ("Failed" if failures > retries else "Completed") or time.waiting:
                deviations.append((retries, delays, failures, state, begun, expected))
            time.advance(1e-9)  # so that not every first attempt is at a whole microsecond

    asyncio.run(cast("Any", engine_run(engine, tries_them_all)))
    assert deviations == []
    assert count > 2_000
    engine.close()


async def engine_run(engine: Engine, called: Any) -> None:
    ENTERED.set(engine)
    await called()


@pytest.mark.parametrize(("drawn", "expected"), [(0, 5.0), (2**63, 10.0), (2**64 - 1, 15.0)])
def test_jitter_spreads_a_delay_by_the_engines_random_bytes(
    world: World, time: Stepped, drawn: int, expected: float
) -> None:
    asked: list[int] = []

    def chance(size: int) -> bytes:
        asked.append(size)
        return drawn.to_bytes(8, "big") if size == 8 else bytes(size)

    engine = Engine(clock=time.now, timers=time, random=chance)
    flaky, _ = failing(world, 1, retries=1, retry_delay_seconds=10, retry_jitter_factor=0.5)
    future = start(world, engine, flaky)
    time.timer_set()
    assert time.delays == [pytest.approx(expected, abs=1e-6)]
    time.advance(20)
    assert outcome(future).result() == 2
    assert asked.count(8) == 1
    engine.close()


def test_a_random_number_is_never_one() -> None:
    assert Engine(random=lambda size: b"\xff" * size).draw() < 1
    assert Engine(random=lambda size: b"\x00" * size).draw() == 0


def test_exponential_backoff_is_waited_for(world: World, engine: Engine, time: Stepped) -> None:
    flaky, attempts = failing(world, 3, retries=3, retry_delay_seconds=exponential_backoff(10))
    future = start(world, engine, flaky)
    for delay in (10, 20, 40):
        time.timer_set()
        assert time.delays[-1] == delay
        time.advance(delay)
    assert outcome(future).result() == 4
    assert attempts == [0, 10, 30, 70]


def test_while_it_waits_a_sync_or_async_run_holds_no_thread_and_no_asyncio_task(
    world: World, engine: Engine, time: Stepped
) -> None:
    flaky, _ = failing(world, 1, retries=1, retry_delay_seconds=10)
    future = start(world, engine, flaky)
    time.timer_set()
    pause = threading.Event()
    for _ in range(2_000):
        if not engine.stats().threads.busy:
            break
        pause.wait(0.001)
    assert engine.stats().threads.busy == 0
    time.advance(10)
    assert outcome(future).result() == 2


def test_a_run_that_is_cancelled_while_it_waits_leaves_no_timer(world: World, engine: Engine, time: Stepped) -> None:
    """Found by reading: it stayed in the heap, and held the run, until the time that nobody waited for."""
    flaky, _ = failing(world, 9, retries=9, retry_delay_seconds=100_000)
    started: SimpleQueue[Any] = SimpleQueue()

    async def body() -> Any:
        future = flaky.submit()
        started.put(future)
        return quote(await world.ended(future))

    running = engine.start(world.flow(body))
    time.timer_set()
    assert time.waiting == 1
    assert started.get(timeout=PATIENCE).cancel() is True
    assert outcome(running).is_cancelled()
    assert time.waiting == 0


# Whether.

BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync condition", "async condition"])


def condition_of(answer: Callable[..., Any], *, is_async: bool) -> Callable[..., Any]:
    async def ask_async(*args: Any) -> Any:
        await asyncio.sleep(0)
        return answer(*args)

    def ask(*args: Any) -> Any:
        return answer(*args)

    return ask_async if is_async else ask


@BOTH
@HOWS
def test_the_condition_gets_task_run_and_state_and_decides(world: World, how: str, *, is_async: bool) -> None:
    asked: list[tuple[Any, ...]] = []

    def twice(*args: Any) -> bool:
        asked.append(args)
        return len(asked) < 3

    flaky, attempts = failing(world, 9, retries=5, retry_condition_fn=condition_of(twice, is_async=is_async))

    async def body() -> Any:
        if how == "submit":
            return quote(await world.ended(flaky.submit()))
        return quote(await world.call(flaky, return_state=True))

    state = world.body(body).unquote()
    assert (state.name, str(state.data)) == ("Failed", "attempt 3")
    assert len(attempts) == 3
    assert [given for given, _, _ in asked] == [flaky] * 3
    assert {run.uuid for _, run, _ in asked} == {state.state_details.task_run_id}
    assert [(each.type, str(each.data)) for _, _, each in asked] == [
        (StateType.FAILED, f"attempt {number}") for number in (1, 2, 3)
    ]


@BOTH
@pytest.mark.parametrize("answer", [False, None, 0, "", []], ids=repr)
def test_what_is_not_true_means_failed(world: World, answer: Any, *, is_async: bool) -> None:
    flaky, attempts = failing(
        world, 9, retries=5, retry_condition_fn=condition_of(lambda *_: answer, is_async=is_async)
    )

    async def body() -> Any:
        return quote(await world.ended(flaky.submit()))

    assert world.body(body).unquote().type is StateType.FAILED
    assert len(attempts) == 1


class Odd(BaseException):
    pass


@BOTH
@pytest.mark.parametrize("delay", [0, 0.001])
@pytest.mark.parametrize(
    "error", [KeyError("no"), SystemExit(3), asyncio.CancelledError(), Odd()], ids=["error", "exit", "cancelled", "odd"]
)
def test_an_error_in_the_condition_means_no_and_is_logged_by_name(
    world: World, error: BaseException, delay: float, caplog: pytest.LogCaptureFixture, *, is_async: bool
) -> None:
    """Found by reading: an exit in the condition of a second attempt ended nothing, and the run went on for ever."""
    asked: list[int] = []

    def raises_then(*_: Any) -> bool:
        asked.append(1)
        if len(asked) > 1:
            raise error
        return True

    condition = condition_of(raises_then, is_async=is_async)
    flaky, attempts = failing(world, 9, retries=5, retry_delay_seconds=delay, retry_condition_fn=condition)

    async def body() -> Any:
        return quote(await world.ended(flaky.submit()))

    state = world.body(body).unquote()
    assert (state.name, str(state.data)) == ("Failed", "attempt 2")
    assert len(attempts) == 2
    (message,) = [record.getMessage() for record in caplog.records if "Retry condition" in record.getMessage()]
    assert message.startswith(f"Retry condition '{condition.__name__}' of run 'flaky-")
    assert message.endswith("raised; the run is not tried again.")


def test_the_condition_is_asked_only_where_a_retry_is_left_and_there_was_a_failure(world: World) -> None:
    asked: list[str] = []

    def condition(_task: Any, _run: Any, state: Any) -> bool:
        asked.append(str(state.data))
        return True

    flaky, _ = failing(world, 9, retries=2, retry_condition_fn=condition)
    fine, _ = failing(world, 0, retries=2, retry_condition_fn=condition)
    without, _ = failing(world, 9, retries=0, retry_condition_fn=condition)

    @world.task(retries=2, retry_condition_fn=condition)
    def crashes() -> Any:
        return Crashed(message="gone")

    async def body() -> None:
        for each in (flaky, fine, without, crashes):
            await world.ended(each.submit())

    world.run(world.flow(body), return_state=True)
    assert asked == ["attempt 1", "attempt 2"]


@BOTH
def test_the_condition_is_asked_about_a_state_that_was_returned_as_well(world: World, *, is_async: bool) -> None:
    asked: list[str] = []

    def condition(_task: Any, _run: Any, state: Any) -> bool:
        asked.append(f"{state.name}: {state.message}")
        return len(asked) < 2

    @world.task(retries=5, retry_condition_fn=condition_of(condition, is_async=is_async))
    def flaky() -> Any:
        return Failed(message="not yet")

    async def body() -> Any:
        return quote(await world.ended(flaky.submit()))

    assert world.body(body).unquote().message == "not yet"
    assert asked == ["Failed: not yet", "Failed: not yet"]


def test_an_interrupt_in_the_condition_of_a_direct_call_goes_up_to_the_caller() -> None:
    def interrupted(*_: Any) -> bool:
        raise KeyboardInterrupt

    @task(retries=5, retry_condition_fn=interrupted)
    def flaky() -> None:
        raise Broken

    @flow
    def body() -> None:
        with pytest.raises(KeyboardInterrupt):
            flaky()
        raised.append("to the caller")

    raised: list[str] = []
    with pytest.raises(KeyboardInterrupt):  # and, as nobody looked at the run, again at the end
        body()
    assert raised == ["to the caller"]


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_while_its_condition_is_asked_is_cancelled() -> None:
    asked, go_on = asyncio.Event(), asyncio.Event()
    attempts: list[int] = []

    async def condition(*_: Any) -> bool:
        asked.set()
        await go_on.wait()
        return True

    @task(retries=5, retry_condition_fn=condition)
    async def flaky() -> None:
        attempts.append(1)
        raise Broken

    async with Engine():
        future = flaky.submit()
        await asked.wait()
        assert future.cancel()
        go_on.set()
        assert (await future.wait_async(PATIENCE)).is_cancelled()
    assert attempts == [1]


@pytest.mark.anyio
async def test_an_attempt_that_follows_is_cancelled_at_its_await_like_the_first() -> None:
    attempts: list[int] = []

    @task(retries=1, retry_condition_fn=lambda *_: True)
    async def flaky() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            raise Broken
        await asyncio.Event().wait()

    async with Engine():
        future = flaky.submit()
        await until(lambda: len(attempts) == 2)
        assert future.cancel()
        assert (await future.wait_async(PATIENCE)).is_cancelled()


# Where the environment says.


def test_a_task_that_does_not_say_so_is_tried_again_as_the_environment_says(
    world: World, engine: Engine, time: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_TASK_DEFAULT_RETRIES", "2")
    monkeypatch.setenv("MILLRACE_TASK_DEFAULT_RETRY_DELAY_SECONDS", "3, 7")
    flaky, attempts = failing(world, 2)
    monkeypatch.delenv("MILLRACE_TASK_DEFAULT_RETRIES")
    future = start(world, engine, flaky)
    for delay in (3, 7):
        time.timer_set()
        time.advance(delay)
    assert outcome(future).result() == 3
    assert attempts == [0, 3, 10]
