"""Retries of flows: a flow run that failed runs its body again, in virtual time."""

from __future__ import annotations

import asyncio
import itertools
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from millrace import (
    Cancelled,
    Completed,
    ConfigurationError,
    Crashed,
    CrashPolicy,
    Engine,
    Event,
    Failed,
    FailedRun,
    FlowRun,
    FlowRunContext,
    ParameterTypeError,
    RunNameError,
    StateType,
    ThreadPoolTaskRunner,
    UpstreamTaskError,
    exponential_backoff,
    flow,
    task,
)
from tests.checkpoints import until
from tests.clock import START, Stepped
from tests.runtime.worlds import PATIENCE, SYNC, World


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


def this_run() -> FlowRun:
    """The flow run that the code at hand belongs to."""
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


class Flaky:
    """The body of a flow that fails so many times, and then gives the number of the attempt."""

    def __init__(self, times: int, fails: Callable[[int], Any] | None = None) -> None:
        self.runs: list[FlowRun] = []
        self.moments: list[float] = []
        self._times = times
        self._fails = fails

    @property
    def attempts(self) -> int:
        return len(self.runs)

    @property
    def run(self) -> FlowRun:
        return self.runs[0]

    def body(self) -> Any:
        run = this_run()
        self.runs.append(run)
        self.moments.append((run.engine.now() - START) / 1e9)
        if self.attempts <= self._times:
            if self._fails is None:
                raise Broken(f"attempt {self.attempts}")
            return self._fails(self.attempts)
        return self.attempts

    def of(self, world: World, **options: Any) -> Any:
        """A flow with this body."""
        return world.flow(self.body, **options)


def names(run: FlowRun) -> list[str]:
    """The names of all states of a run."""
    return [state.name for state in run.history()]


def settled(future: Any) -> Any:
    """The final state of a flow run."""
    assert future.wait(PATIENCE)
    return future.state


# How often.


def test_without_retries_there_is_one_attempt(world: World) -> None:
    flaky = Flaky(9)
    with pytest.raises(Broken, match="attempt 1"):
        world.run(flaky.of(world))
    assert flaky.attempts == 1


def test_a_flow_that_failed_runs_again_at_once_where_there_is_no_delay(world: World) -> None:
    flaky = Flaky(2)
    assert world.run(flaky.of(world, retries=2)) == 3
    assert flaky.run.run_count == 3
    assert names(flaky.run) == ["Pending", "Running", "Retrying", "Retrying", "Completed"]


def test_all_attempts_are_of_one_run(world: World) -> None:
    flaky = Flaky(2)
    world.run(flaky.of(world, retries=2))
    assert len({run.uuid for run in flaky.runs}) == 1


def test_when_no_retries_are_left_the_last_failure_stands(world: World) -> None:
    flaky = Flaky(9)
    state = world.run(flaky.of(world, retries=2), return_state=True)
    assert (state.type, state.message) == (StateType.FAILED, "Broken: attempt 3")
    assert flaky.attempts == 3


def test_no_failure_is_recorded_while_retries_are_left(world: World, engine: Engine) -> None:
    events: list[Event] = []
    engine.subscribe(events.append)
    world.run(Flaky(1).of(world, retries=1), engine=engine)
    assert [event.state.type for event in events] == ["PENDING", "RUNNING", "RUNNING", "COMPLETED"]


def test_the_message_of_a_retry_counts_and_says_what_it_follows(world: World) -> None:
    flaky = Flaky(1)
    world.run(flaky.of(world, retries=3))
    assert flaky.run.history()[2].message == "Retry 1 of 3, after Failed('Broken: attempt 1')."


@pytest.mark.parametrize("made", [Failed(message="mine"), [Completed(), Failed()]], ids=str)
def test_a_returned_failure_is_retried_like_an_exception(world: World, made: Any) -> None:
    flaky = Flaky(1, lambda _: made)
    assert world.run(flaky.of(world, retries=1)) == 2


@pytest.mark.parametrize("made", [Crashed(), Cancelled(), [Completed(), Cancelled()]], ids=str)
def test_no_other_end_is_retried(world: World, made: Any) -> None:
    flaky = Flaky(1, lambda _: made)
    world.run(flaky.of(world, retries=1), return_state=True)
    assert flaky.attempts == 1


def test_a_crash_is_not_retried_and_goes_up(world: World) -> None:
    def exits(_: int) -> None:
        raise SystemExit(3)

    flaky = Flaky(1, exits)
    with pytest.raises(SystemExit):
        world.run(flaky.of(world, retries=3))
    assert flaky.attempts == 1
    assert flaky.run.state.is_crashed()


def test_a_failure_that_nobody_looked_at_is_retried_and_only_the_last_attempt_is_counted(world: World) -> None:
    @world.task
    def good() -> None: ...

    @world.task
    def bad() -> None:
        raise Broken

    async def body() -> None:
        await world.call(good)
        await world.ended(good.submit())
        bad.submit()

    state = world.run(world.flow(body, retries=2), return_state=True)
    assert state.is_failed()
    assert state.message.startswith("1 of 3 runs failed and nobody looked at it; the first: bad-")


def test_a_failure_of_an_earlier_attempt_that_nobody_looked_at_is_forgiven(world: World) -> None:
    attempts: list[int] = []

    @world.task
    def bad() -> None:
        raise Broken

    async def body() -> None:
        attempts.append(1)
        if len(attempts) == 1:
            bad.submit()

    assert world.run(world.flow(body, retries=1), return_state=True).is_completed()


def test_all_that_an_attempt_has_started_ends_before_the_next_one(world: World) -> None:
    alive: list[int] = []
    gate = world.gate()

    @world.task
    async def waits() -> None:
        await gate.passed()

    async def body() -> None:
        run = this_run()
        alive.append(run.live)
        if len(alive) == 1:
            waits.submit()
            threading.Timer(0.01, gate.open).start()
            raise Broken

    world.run(world.flow(body, retries=1))
    assert alive == [0, 0]


def test_settings_say_how_often_where_a_flow_does_not(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_FLOW_DEFAULT_RETRIES", "2")
    flaky, once = Flaky(2), Flaky(1)
    assert world.run(flaky.of(world)) == 3
    with pytest.raises(Broken):
        world.run(once.of(world, retries=0))


# When.


@pytest.mark.parametrize(
    ("delays", "moments"),
    [
        (10, [0, 10, 20, 30]),
        ([1, 2, 4], [0, 1, 3, 7]),
        ([1, 2], [0, 1, 3, 5]),
        ([0, 5], [0, 0, 5, 10]),
        (exponential_backoff(10), [0, 10, 30, 70]),
    ],
    ids=["a number", "a list", "a list whose last one repeats", "a zero in a list", "a function"],
)
def test_retries_come_after_their_delays(
    world: World, engine: Engine, time: Stepped, delays: Any, moments: list[float]
) -> None:
    flaky = Flaky(3)
    future = engine.start(flaky.of(world, retries=3, retry_delay_seconds=delays))
    for before, moment in itertools.pairwise(moments):
        if moment > before:
            time.timer_set()
            time.advance(moment - before)
    assert future.result(timeout=PATIENCE) == 4
    assert flaky.moments == moments


def test_a_run_that_waits_for_its_retry_says_so_and_for_how_long(world: World, engine: Engine, time: Stepped) -> None:
    flaky = Flaky(1)
    future = engine.start(flaky.of(world, retries=1, retry_delay_seconds=30))
    time.timer_set()
    state = future.state
    assert (state.type, state.name) == (StateType.SCHEDULED, "AwaitingRetry")
    scheduled = state.state_details.scheduled_time
    assert scheduled is not None
    assert (scheduled.timestamp() * 1e9 - START) / 1e9 == pytest.approx(30)
    time.advance(30)
    assert future.result(timeout=PATIENCE) == 2
    assert names(flaky.run) == ["Pending", "Running", "AwaitingRetry", "Retrying", "Completed"]


def test_a_retry_is_never_early(world: World, engine: Engine, time: Stepped) -> None:
    flaky = Flaky(1)
    future = engine.start(flaky.of(world, retries=1, retry_delay_seconds=1e-6))
    time.timer_set()
    time.advance(5e-7)
    assert flaky.attempts == 1
    time.advance(5e-7)
    assert future.result(timeout=PATIENCE) == 2


def test_while_it_waits_for_its_retry_nothing_is_admitted(world: World, engine: Engine, time: Stepped) -> None:
    future = engine.start(Flaky(1).of(world, retries=1, retry_delay_seconds=30))
    time.timer_set()
    run = future.flow_run
    assert (run.admits, run.done, run.live) == (False, False, 0)
    time.advance(30)
    assert future.result(timeout=PATIENCE) == 2


def test_settings_say_when_where_a_flow_does_not(
    world: World, engine: Engine, time: Stepped, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_FLOW_DEFAULT_RETRY_DELAY_SECONDS", "3,5")
    future = engine.start(Flaky(2).of(world, retries=2))
    for _ in range(2):
        time.timer_set()
        time.advance(5)
    assert future.result(timeout=PATIENCE) == 3
    assert time.delays == [3, 5]


# Parameters.


def test_every_attempt_gets_the_parameters_as_the_annotations_ask_for(world: World) -> None:
    seen: list[Any] = []

    async def body(size: int, names: list[str]) -> None:
        seen.append((size, names))
        if len(seen) < 3:
            raise Broken

    world.run(world.flow(body, retries=2), "5", ("a", "b"))
    assert seen == [(5, ["a", "b"])] * 3


def test_wrong_parameters_are_the_same_the_next_time_and_are_not_retried(world: World) -> None:
    attempts: list[int] = []

    async def body(size: int) -> None:
        attempts.append(size)

    state = world.run(world.flow(body, retries=3), "x", return_state=True)
    assert isinstance(state.data, ParameterTypeError)
    assert attempts == []
    assert state.state_details.retriable is False


def test_wrong_parameters_of_a_subflow_are_no_reason_not_to_retry_the_flow_around_it(world: World) -> None:
    attempts: list[int] = []

    @world.flow
    def inner(size: int) -> int:
        return size

    async def body() -> Any:
        attempts.append(1)
        return await world.call(inner, "x" if len(attempts) == 1 else "7")

    assert world.run(world.flow(body, retries=1)) == 7


def test_a_subflow_is_not_run_again_for_an_upstream_run_that_did_not_complete(world: World) -> None:
    counted: list[Any] = []

    @world.task
    def bad() -> None:
        raise Broken

    @world.flow(retries=5, retry_delay_seconds=1000, on_failure=[lambda _flow, run, _state: counted.append(run)])
    def inner(x: Any) -> Any:
        return x

    async def body() -> Any:
        failed = bad.submit()
        await world.ended(failed)
        with pytest.raises(UpstreamTaskError):
            await world.call(inner, failed)
        return 1

    assert world.body(body) == 1
    assert [run.run_count for run in counted] == [1]


def test_a_name_that_could_not_be_made_is_tried_again(world: World) -> None:
    tries: list[int] = []

    def name() -> str:
        tries.append(1)
        return "" if len(tries) == 1 else "willow"

    flaky = Flaky(0)
    assert world.run(flaky.of(world, retries=1, flow_run_name=name)) == 1
    assert flaky.run.name == "willow"


def test_a_run_keeps_the_name_of_its_first_attempt(world: World) -> None:
    numbers = iter(range(9))
    flaky = Flaky(2)
    world.run(flaky.of(world, retries=2, flow_run_name=lambda: f"run-{next(numbers)}"))
    assert flaky.run.name == "run-0"


def test_a_name_that_can_never_be_made_fails_the_run(world: World) -> None:
    def name() -> str:
        raise Broken

    flaky = Flaky(0)
    with pytest.raises(RunNameError):
        world.run(flaky.of(world, retries=2, flow_run_name=name))
    assert flaky.attempts == 0


# Stopped while it waits.


def test_cancelled_while_it_waits_for_its_retry_a_run_ends_at_once_and_its_hooks_are_told(
    world: World, engine: Engine, time: Stepped
) -> None:
    told: list[Any] = []
    flaky = Flaky(1)
    waiting = flaky.of(
        world,
        retries=1,
        retry_delay_seconds=30,
        on_cancellation=[lambda _flow, run, state: told.append((run.state.type, state.type, state.message))],
        on_failure=[lambda *_: told.append("failed")],
        on_crashed=[lambda *_: told.append("crashed")],
    )
    future = engine.start(waiting)
    time.timer_set()
    future.flow_run.cancel("enough")
    assert settled(future).type is StateType.CANCELLED
    assert told == [("CANCELLING", "CANCELLING", "enough")]
    assert flaky.attempts == 1


def test_a_flow_that_is_cancelled_while_its_subflow_waits_for_a_retry_ends(
    world: World, engine: Engine, time: Stepped
) -> None:
    inner = Flaky(1)
    waits = inner.of(world, retries=1, retry_delay_seconds=30)

    async def body() -> Any:
        return await world.call(waits)

    future = engine.start(world.flow(body))
    time.timer_set()
    future.flow_run.cancel()
    assert settled(future).type is StateType.CANCELLED
    assert inner.run.state.type is StateType.CANCELLED


def test_an_engine_that_closes_cancels_what_waits_for_its_retry(world: World, time: Stepped) -> None:
    engine = Engine(clock=time.now, timers=time)
    future = engine.start(Flaky(1).of(world, retries=1, retry_delay_seconds=30))
    time.timer_set()
    engine.close(cancel=True)
    assert future.state.is_cancelled()


@pytest.mark.anyio
@pytest.mark.parametrize("by", ["asyncio", "anyio"])
@pytest.mark.parametrize("return_state", [False, True])
async def test_a_cancellation_of_the_wait_crashes_the_run_and_goes_up(
    time: Stepped,
    by: str,
    return_state: bool,
) -> None:
    told: list[str] = []

    async def crashed(_flow: Any, _run: Any, state: Any) -> None:
        await asyncio.sleep(0)
        told.append(state.message)

    flaky = Flaky(1)
    waits: Any = flow(retries=1, retry_delay_seconds=30, on_crashed=[crashed])(flaky_coroutine(flaky))
    async with Engine(clock=time.now, timers=time):
        with anyio.CancelScope() as scope:
            call = asyncio.create_task(waits(return_state=return_state)) if by == "asyncio" else None
            if call is not None:
                await until(lambda: time.waiting == 1)
                call.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await call
            else:
                asyncio.get_running_loop().call_soon(scope.cancel)
                await waits(return_state=return_state)
        assert scope.cancelled_caught is (by == "anyio")
    assert names(flaky.run) == ["Pending", "Running", "AwaitingRetry", "Crashed"]
    assert told == ["The run was cancelled by the runtime environment."]


def flaky_coroutine(flaky: Flaky) -> Callable[[], Any]:
    """The body as a coroutine function."""

    async def body() -> Any:
        return flaky.body()

    return body


@pytest.mark.anyio
async def test_a_coroutine_that_is_closed_while_it_waits_crashes_its_run(time: Stepped) -> None:
    told = threading.Event()
    flaky = Flaky(1)
    waits = flow(retries=1, retry_delay_seconds=30, on_crashed=[lambda *_: told.set()])(flaky_coroutine(flaky))
    async with Engine(clock=time.now, timers=time):
        call = waits()
        call.send(None)  # as far as the wait
        assert names(flaky.run)[-1] == "AwaitingRetry"
        call.close()
        await until(lambda: flaky.run.done and told.is_set())
    assert names(flaky.run)[-1] == "Crashed"


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["cancelled", "closed"])
async def test_what_was_started_while_no_body_runs_ends_before_its_flow(time: Stepped, how: str) -> None:
    @task
    async def late() -> None: ...

    start = asyncio.Event()
    submitted = asyncio.Event()
    leaked: list[asyncio.Task[None]] = []

    async def submit_late() -> None:
        await start.wait()
        _ = late.submit()
        submitted.set()

    flaky = Flaky(1)

    @flow(retries=1, retry_delay_seconds=30)
    async def waits() -> Any:
        leaked.append(asyncio.create_task(submit_late()))
        return flaky.body()

    ends: list[str] = []
    async with Engine(clock=time.now, timers=time) as engine:
        engine.subscribe(lambda event: ends.append(str(event.state)) if event.state.is_final() else None)
        call = waits()
        if how == "closed":
            call.send(None)  # as far as the wait
            start.set()
            await submitted.wait()
            call.close()
        else:
            running = asyncio.create_task(call)
            await until(lambda: time.waiting == 1)
            start.set()
            await submitted.wait()
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
        await leaked[0]
    assert [each.split("(")[0] for each in ends] == ["Cancelled", "Crashed"]


def test_an_interrupt_of_a_thread_that_waits_for_a_retry_crashes_the_run(engine: Engine, time: Stepped) -> None:
    told: list[str] = []
    heard = threading.Event()
    flaky = Flaky(1)

    def crashed(_flow: Any, _run: Any, state: Any) -> None:
        told.append(state.message)
        heard.set()

    def interrupt() -> None:
        time.timer_set()
        ended = False
        while not ended:  # one that comes just before the system call that the thread waits in wakes nobody
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            ended = heard.wait(0.5)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        SYNC.run(flow(retries=1, retry_delay_seconds=30, on_crashed=[crashed])(flaky.body), engine=engine)
    thread.join()
    assert names(flaky.run) == ["Pending", "Running", "AwaitingRetry", "Crashed"]
    assert told == ["The run was ended by an interrupt signal."]


def test_a_stray_of_an_earlier_attempt_is_not_let_into_the_next() -> None:
    attempts: list[int] = []
    strays: list[asyncio.Task[Any]] = []
    done = asyncio.Event()

    @task
    async def work() -> int:
        return 1

    @flow(retries=1)
    async def has_strays() -> int:
        attempts.append(1)
        if len(attempts) == 1:

            async def stray() -> Any:
                await done.wait()
                return await work()

            strays.append(asyncio.create_task(stray()))
            await asyncio.sleep(0)
            raise Broken
        done.set()
        await asyncio.wait(strays)
        return await work()

    assert asyncio.run(has_strays()) == 1
    assert "attempt of the flow run is over" in str(strays[0].exception())


# With the rest.


def test_each_attempt_has_a_task_runner_of_its_own(world: World) -> None:
    runners: list[Any] = []

    @world.task
    def work() -> int:
        return 1

    async def body() -> Any:
        runners.append(this_run().runner)
        if len(runners) < 3:
            await world.result(work.submit())
            raise Broken
        return await world.result(work.submit())

    assert world.run(world.flow(body, retries=2, task_runner=ThreadPoolTaskRunner(max_workers=1))) == 1
    assert len(set(map(id, runners))) == 3
    assert this_runner_is_over(runners)


def this_runner_is_over(runners: list[Any]) -> bool:
    """Whether none of them takes anything any more."""
    for runner in runners:
        with pytest.raises(RuntimeError):
            runner.submit(task(lambda: None), {})
    return True


def test_a_task_runner_that_cannot_be_entered_again_fails_the_run(world: World) -> None:
    entered: list[int] = []

    class Once(ThreadPoolTaskRunner):
        def __enter__(self) -> Any:
            entered.append(1)
            if len(entered) > 1:
                raise Broken("no second time")
            return super().__enter__()

    flaky = Flaky(9)
    state = world.run(flaky.of(world, retries=1, task_runner=Once(max_workers=1)), return_state=True)
    assert (state.type, state.message) == (StateType.FAILED, "Broken: no second time")


def test_a_flow_inside_a_task_is_run_again_and_the_task_is_not(world: World) -> None:
    flaky, tasks = Flaky(1), list[int]()
    inner = flaky.of(world, retries=1)

    @world.task
    async def outer() -> Any:
        tasks.append(1)
        return await inner() if inner.is_async and world.async_tasks else inner()

    async def body() -> Any:
        return await world.result(outer.submit())

    assert world.body(body) == 2
    assert tasks == [1]


def test_a_task_and_the_flow_around_it_are_each_tried_as_often_as_they_say(world: World) -> None:
    tries: list[int] = []

    @world.task(retries=2)
    def fails() -> None:
        tries.append(1)
        raise Broken

    flaky = Flaky(0)

    async def body() -> Any:
        flaky.body()
        await world.call(fails)

    with pytest.raises(Broken):
        world.run(world.flow(body, retries=1))
    assert (len(tries), flaky.attempts) == (6, 2)


def test_crashes_that_were_too_many_are_not_retried(world: World) -> None:
    flaky = Flaky(0)

    @world.task
    def crashes() -> None:
        raise SystemExit

    async def body() -> None:
        flaky.body()
        await world.ended(crashes.submit())

    policy = CrashPolicy(restart="task", max_restarts=1, within_seconds=60)
    state = world.run(world.flow(body, retries=3, crash_policy=policy), return_state=True)
    assert state.is_failed()
    assert flaky.attempts == 1


def test_two_hundred_flow_runs_at_once_each_have_their_own_retries(engine: Engine) -> None:
    attempts: dict[int, int] = {}

    @task
    async def double(x: int) -> int:
        await asyncio.sleep(0)
        return 2 * x

    @flow(retries=3)
    async def shaky(x: int) -> int:
        doubled = await double(x)
        attempts[x] = attempts.get(x, 0) + 1
        if attempts[x] <= x % 4:
            raise Broken
        return doubled

    async def main() -> list[int]:
        async with engine:
            return await asyncio.gather(*(shaky(x) for x in range(200)))

    assert asyncio.run(main()) == [2 * x for x in range(200)]
    assert attempts == {x: x % 4 + 1 for x in range(200)}


@pytest.mark.parametrize(
    ("options", "named"),
    [({"retries": -1}, "retries"), ({"retries": "1"}, "retries"), ({"retry_delay_seconds": -1}, "retry_delay_seconds")],
    ids=str,
)
def test_what_cannot_be_used_is_refused_when_the_flow_is_made(options: dict[str, Any], named: str) -> None:
    with pytest.raises(ConfigurationError, match=f"^'{named}' takes"):
        flow(**options)(lambda: None)


def test_a_failure_made_by_hand_raises_its_message_after_the_last_attempt(world: World) -> None:
    flaky = Flaky(9, lambda number: Failed(message=f"attempt {number}"))
    with pytest.raises(FailedRun, match=r"^attempt 3$"):
        world.run(flaky.of(world, retries=2))


def test_another_attempt_gets_the_arguments_of_the_call_whatever_became_of_the_parameters(world: World) -> None:
    given: list[int] = []

    @world.flow(retries=1)
    async def body(number: int) -> int:
        given.append(number)
        context = FlowRunContext.get()
        assert context is not None
        context.parameters["number"] = 99
        if len(given) == 1:
            raise ValueError(number)
        return number

    assert world.run(body, 1) == 1
    assert given == [1, 1]
