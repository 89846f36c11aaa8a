"""Timeouts of flows: an attempt that takes too long is stopped with all that it started, in virtual time."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time as real_time
from collections.abc import Callable, Iterator
from typing import Any

import anyio
import pytest

from millrace import (
    CancelledRun,
    ConfigurationError,
    Engine,
    FlowRun,
    FlowRunContext,
    FlowRunTimeoutError,
    StateType,
    ThreadPoolTaskRunner,
    check_cancelled,
    flow,
    task,
)
from tests.checkpoints import until
from tests.clock import Stepped
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


@pytest.fixture
def patient(time: Stepped) -> Iterator[Engine]:
    """The same, for tests that pass the time until something happens: it never gives anything up."""
    made = Engine(clock=time.now, timers=time, grace_seconds=1e6)
    yield made
    made.close(cancel=True)


def pass_time_until(time: Stepped, condition: Callable[[], bool]) -> None:
    """Pass the time, step by step, until something is the case: an interrupted thread needs its turn for it."""
    for _ in range(20_000):
        if condition():
            return
        time.advance(0.001)
        real_time.sleep(0.0001)
    raise AssertionError("It never was.")


def this_run() -> FlowRun:
    """The flow run that the code at hand belongs to."""
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


def settled(future: Any) -> Any:
    """The final state of a flow run."""
    assert future.wait(PATIENCE)
    return future.state


def timed_out(state: Any, run: FlowRun, seconds: float) -> bool:
    """Whether a state says that the run has exceeded its timeout, and nothing else."""
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert type(state.data) is FlowRunTimeoutError
    unit = "second" if seconds == 1 else "seconds"
    assert state.message == f"Flow run '{run.name}' exceeded its timeout of {seconds:g} {unit}."
    assert str(state.data) == state.message
    with pytest.raises(FlowRunTimeoutError):
        state.result()
    return True


def test_a_flow_that_ends_in_time_has_no_timer_left(world: World, engine: Engine, time: Stepped) -> None:
    async def body() -> int:
        return 1

    assert world.run(world.flow(body, timeout_seconds=5), engine=engine) == 1
    assert (time.delays, time.waiting) == ([5], 0)


def test_a_body_that_waits_for_a_task_is_stopped_with_it(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()
    begun = threading.Event()
    children: list[Any] = []

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    async def body() -> None:
        children.append(waits.submit())
        await world.result(children[0])

    future = engine.start(world.flow(body, timeout_seconds=5))
    assert begun.wait(PATIENCE)
    time.advance(5)
    gate.open()
    state = settled(future)
    assert timed_out(state, future.flow_run, 5)
    assert children[0].state.type is StateType.CANCELLED


def test_at_the_deadline_and_not_before(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()

    @world.task
    async def waits() -> int:
        await gate.passed()
        return 1

    async def body() -> Any:
        return await world.result(waits.submit())

    future = engine.start(world.flow(body, timeout_seconds=5))
    time.timer_set()
    time.advance(4.999)
    gate.open()
    assert future.result(timeout=PATIENCE) == 1


def test_a_body_that_only_awaits_is_cancelled_at_its_await(engine: Engine, time: Stepped) -> None:
    seen: list[str] = []

    @flow(timeout_seconds=3)
    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    future = engine.start(waits)
    time.timer_set()
    time.advance(3)
    assert timed_out(settled(future), future.flow_run, 3)
    assert seen == ["cancelled"]


def test_a_sync_body_that_is_busy_is_interrupted_by_the_error(patient: Engine, time: Stepped) -> None:
    seen: list[str] = []

    @flow(timeout_seconds=1)
    def busy() -> None:
        try:
            while True:
                real_time.sleep(0)
        except TimeoutError as error:
            seen.append(str(error))
            raise

    future = patient.start(busy)
    time.timer_set()
    time.advance(1)
    pass_time_until(time, future.done)
    assert timed_out(future.state, future.flow_run, 1)
    assert seen == [future.state.message]


def test_whatever_a_body_makes_of_its_interruption_it_timed_out(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()
    begun = threading.Event()

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    async def body() -> int:
        with contextlib.suppress(Exception, asyncio.CancelledError):
            await world.result(waits.submit())
        return 1

    future = engine.start(world.flow(body, timeout_seconds=5))
    assert begun.wait(PATIENCE)
    time.advance(5)
    gate.open()
    assert timed_out(settled(future), future.flow_run, 5)


def test_another_error_that_the_interruption_leads_to_is_not_the_outcome(
    world: World, engine: Engine, time: Stepped
) -> None:
    gate = world.gate()
    begun = threading.Event()

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    async def body() -> None:
        try:
            await world.result(waits.submit())
        except BaseException:  # noqa: BLE001  # whatever the interruption is
            raise Broken from None

    future = engine.start(world.flow(body, timeout_seconds=5))
    assert begun.wait(PATIENCE)
    time.advance(5)
    gate.open()
    assert timed_out(settled(future), future.flow_run, 5)


def test_a_timeout_of_the_users_own_code_is_named_so_and_is_another_error(world: World) -> None:
    async def body() -> None:
        raise TimeoutError("the server")

    state = world.run(world.flow(body, timeout_seconds=5), return_state=True)
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert state.message == "Its own code ran into a timeout: TimeoutError: the server"
    assert type(state.data) is TimeoutError


def test_the_time_includes_the_wait_for_what_the_body_left_running(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()
    begun = threading.Event()
    left: list[Any] = []

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    async def body() -> int:
        left.append(waits.submit())
        return 1

    future = engine.start(world.flow(body, timeout_seconds=5))
    assert begun.wait(PATIENCE)
    time.advance(5)
    gate.open()
    assert timed_out(settled(future), future.flow_run, 5)
    assert left[0].state.type is StateType.CANCELLED


def test_what_has_not_started_at_the_deadline_never_does(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()
    begun = threading.Event()
    ran: list[int] = []

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    @world.task
    def after(x: Any) -> None:
        ran.append(1)

    async def body() -> None:
        first = waits.submit()
        after.submit(first)
        after.map([first] * 20)
        await world.result(first)

    future = engine.start(world.flow(body, timeout_seconds=5))
    assert begun.wait(PATIENCE)
    time.advance(5)
    gate.open()
    assert settled(future).name == "TimedOut"
    assert ran == []
    assert future.flow_run.live == 0


def test_a_body_that_goes_on_after_its_deadline_can_start_nothing(engine: Engine, time: Stepped) -> None:
    ran: list[int] = []
    outcome: list[Any] = []

    @task
    async def work() -> None:
        ran.append(1)

    @flow(timeout_seconds=1)
    async def goes_on() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            future = work.submit()
            outcome.append(await future.wait_async())

    future = engine.start(goes_on)
    time.timer_set()
    time.advance(1)
    assert timed_out(settled(future), future.flow_run, 1)
    assert ran == []
    assert outcome[0].is_cancelled()


def test_a_subflow_has_a_time_of_its_own_and_its_parent_goes_on(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()
    begun = threading.Event()

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    @world.flow(timeout_seconds=2)
    async def inner() -> None:
        await world.result(waits.submit())

    async def body() -> Any:
        with pytest.raises(FlowRunTimeoutError) as caught:
            await world.call(inner)
        return type(caught.value).__name__

    future = engine.start(world.flow(body))
    assert begun.wait(PATIENCE)
    time.advance(2)
    gate.open()
    assert future.result(timeout=PATIENCE) == "FlowRunTimeoutError"


def test_the_parents_deadline_cancels_its_subflow(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()
    begun = threading.Event()
    inside: list[FlowRun] = []

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    @world.flow(timeout_seconds=100)
    async def inner() -> None:
        inside.append(this_run())
        await world.result(waits.submit())

    async def body() -> None:
        await world.call(inner)

    future = engine.start(world.flow(body, timeout_seconds=2))
    assert begun.wait(PATIENCE)
    time.advance(2)
    gate.open()
    assert timed_out(settled(future), future.flow_run, 2)
    assert inside[0].type is StateType.CANCELLED
    assert inside[0].state.message == "its flow run exceeded its timeout of 2 seconds"


def test_a_timeout_counts_as_a_failure_for_retries(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()
    begun = threading.Semaphore(0)
    attempts: list[FlowRun] = []

    @world.task
    async def waits() -> None:
        begun.release()
        await gate.passed()

    async def body() -> int:
        attempts.append(this_run())
        if len(attempts) == 1:
            await world.result(waits.submit())
        return len(attempts)

    future = engine.start(world.flow(body, timeout_seconds=5, retries=1))
    assert begun.acquire(timeout=PATIENCE)
    time.advance(5)
    gate.open()
    assert future.result(timeout=PATIENCE) == 2
    run = attempts[0]
    assert [state.name for state in run.history()] == ["Pending", "Running", "Retrying", "Completed"]
    assert "exceeded its timeout of 5 seconds" in str(run.history()[2].message)


def test_each_attempt_has_the_whole_time(world: World, engine: Engine, time: Stepped) -> None:
    future = engine.start(world.flow(fails_first := FailsFirst(), timeout_seconds=5, retries=1, retry_delay_seconds=4))
    time.timer_set()  # of the first attempt
    time.timer_set()  # of the wait
    time.advance(4)
    assert future.result(timeout=PATIENCE) == 2
    assert time.delays == [5, 4, 5]
    assert fails_first.attempts == 2


class FailsFirst:
    """A body that fails once."""

    __name__ = "fails_first"

    def __init__(self) -> None:
        self.attempts = 0

    def __call__(self) -> int:
        self.attempts += 1
        if self.attempts == 1:
            raise Broken
        return self.attempts


def test_cancelled_before_its_deadline_a_flow_is_cancelled(world: World, engine: Engine, time: Stepped) -> None:
    gate = world.gate()
    begun = threading.Event()

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    async def body() -> None:
        await world.result(waits.submit())

    future = engine.start(world.flow(body, timeout_seconds=5))
    assert begun.wait(PATIENCE)
    future.flow_run.cancel("enough")
    time.advance(4)  # the deadline is called off, or finds that it has come too late
    gate.open()
    assert settled(future).type is StateType.CANCELLED


def test_cancelled_after_its_deadline_too_a_flow_is_cancelled(patient: Engine, time: Stepped) -> None:
    in_clean_up, go_on = threading.Event(), threading.Event()

    @flow(timeout_seconds=1)
    def cleans_up() -> None:
        try:
            while True:
                real_time.sleep(0)
        except FlowRunTimeoutError:
            in_clean_up.set()
            assert go_on.wait(PATIENCE)
            raise

    future = patient.start(cleans_up)
    time.timer_set()
    time.advance(1)
    pass_time_until(time, in_clean_up.is_set)
    future.flow_run.cancel("enough")
    go_on.set()
    state = settled(future)
    assert (state.type, state.message) == (StateType.CANCELLED, "enough")


def test_a_child_that_does_not_stop_is_given_up_after_the_grace(time: Stepped) -> None:
    engine = Engine(clock=time.now, timers=time, grace_seconds=0.05)
    begun, go_on = threading.Event(), asyncio.Event()
    kept: list[Any] = []

    @task
    async def stubborn() -> None:
        begun.set()
        while not go_on.is_set():
            try:
                await go_on.wait()
            except asyncio.CancelledError:
                continue

    @flow(timeout_seconds=5)
    async def waits() -> None:
        kept.append((asyncio.get_running_loop(), stubborn.submit()))
        await kept[0][1]

    future = engine.start(waits)
    assert begun.wait(PATIENCE)
    time.advance(5)
    state = settled(future)
    loop, child = kept[0]
    loop.call_soon_threadsafe(go_on.set)
    engine.close(cancel=True)
    assert timed_out(state, future.flow_run, 5)
    assert child.state.type is StateType.CRASHED
    assert "did not stop within 0.05 seconds" in child.state.message


def test_a_body_that_does_not_stop_is_given_up_after_the_grace_and_is_not_tried_again(
    engine: Engine, time: Stepped
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    attempts: list[int] = []
    told: list[str] = []

    @flow(timeout_seconds=5, retries=3, on_failure=[lambda *each: told.append(each[2].name)])
    def stubborn() -> int:
        attempts.append(1)
        begun.set()
        assert go_on.wait(PATIENCE)  # in C, where no exception is raised
        return 1

    future = engine.start(stubborn)
    assert begun.wait(PATIENCE)
    time.advance(5)
    time.advance(engine.grace_seconds)
    state = settled(future)
    assert timed_out(state, future.flow_run, 5)
    go_on.set()
    assert (attempts, told) == ([1], ["TimedOut"])


def test_a_sync_flow_on_a_loops_thread_is_interrupted_too(patient: Engine, time: Stepped) -> None:
    @flow(timeout_seconds=1)
    def busy() -> None:
        while True:
            real_time.sleep(0)

    @flow
    async def outer() -> str:
        stopper = threading.Thread(target=pass_time)
        stopper.start()
        try:
            busy()
        except FlowRunTimeoutError as error:
            return str(error)
        finally:
            over.set()
            stopper.join()
        return "never"

    over = threading.Event()

    def pass_time() -> None:
        time.timer_set()
        time.advance(1)
        pass_time_until(time, over.is_set)

    async def main() -> str:
        async with patient:
            return await outer()

    assert "exceeded its timeout of 1 second." in asyncio.run(main())


@pytest.mark.anyio
async def test_a_timeout_in_a_cancelled_scope_goes_up_as_the_scopes_cancellation(time: Stepped) -> None:
    @flow(timeout_seconds=5)
    async def waits() -> None:
        await asyncio.Event().wait()

    async with Engine(clock=time.now, timers=time) as engine:
        task = asyncio.create_task(waits())
        await until(lambda: time.waiting == 1)
        (run,) = engine.flow_runs()
        with anyio.CancelScope() as scope:
            time.advance(5)
            scope.cancel()
            with pytest.raises((FlowRunTimeoutError, asyncio.CancelledError)):
                await task
        with anyio.CancelScope(shield=True):
            await asyncio.wait([task])
    assert run.state.name == "TimedOut"


@pytest.mark.anyio
async def test_timed_out_and_cancelled_by_its_task_at_once_a_flow_has_crashed(time: Stepped) -> None:
    @flow(timeout_seconds=5)
    async def waits() -> None:
        await asyncio.Event().wait()

    async with Engine(clock=time.now, timers=time) as engine:
        call = asyncio.create_task(waits())
        await until(lambda: time.waiting == 1)
        (run,) = engine.flow_runs()
        call.cancel()
        time.advance(5)
        with pytest.raises(asyncio.CancelledError):
            await call
    assert run.done
    assert run.type in {StateType.CRASHED, StateType.FAILED}


@pytest.mark.anyio
async def test_the_timeout_does_not_cancel_the_caller(time: Stepped) -> None:
    @flow(timeout_seconds=5)
    async def waits() -> None:
        await asyncio.Event().wait()

    async def calls() -> str:
        try:
            await waits()
        except FlowRunTimeoutError:
            current = asyncio.current_task()
            assert current is not None
            await asyncio.sleep(0)
            return f"{current.cancelling()} cancellations"
        return "never"

    async with Engine(clock=time.now, timers=time):
        call = asyncio.create_task(calls())
        await until(lambda: time.waiting == 1)
        time.advance(5)
        assert await call == "0 cancellations"


def test_tasks_of_a_task_runner_are_stopped_too(engine: Engine, time: Stepped) -> None:
    begun, go_on = threading.Event(), threading.Event()
    children: list[Any] = []

    @task
    def waits() -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    @flow(timeout_seconds=5, task_runner=ThreadPoolTaskRunner(max_workers=1))
    def body() -> None:
        children.extend([waits.submit(), waits.submit()])
        children[0].result()

    future = engine.start(body)
    assert begun.wait(PATIENCE)
    time.advance(5)
    go_on.set()
    assert timed_out(settled(future), future.flow_run, 5)
    assert [child.state.type for child in children] == ["CANCELLED", "CANCELLED"]


def test_a_direct_call_of_a_task_is_stopped_as_far_as_it_asks(patient: Engine, time: Stepped) -> None:
    @task
    def busy() -> None:
        while True:
            check_cancelled()
            real_time.sleep(0)

    @flow(timeout_seconds=1)
    def body() -> None:
        busy()

    future = patient.start(body)
    time.timer_set()
    time.advance(1)
    pass_time_until(time, future.done)
    assert timed_out(future.state, future.flow_run, 1)


def test_code_that_asks_is_told_that_it_should_stop(engine: Engine, time: Stepped) -> None:
    raised: list[BaseException] = []

    @flow(timeout_seconds=1)
    async def asks() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                check_cancelled()
            except (FlowRunTimeoutError, CancelledRun) as error:
                raised.append(error)
            raise

    future = engine.start(asks)
    time.timer_set()
    time.advance(1)
    assert settled(future).name == "TimedOut"
    assert len(raised) == 1


@pytest.mark.parametrize("seconds", [0, -1, "5", True, float("nan")], ids=repr)
def test_a_timeout_that_is_no_time_is_refused(seconds: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'timeout_seconds' takes"):
        flow(timeout_seconds=seconds)(lambda: None)


def test_a_real_clock_stops_a_flow_too() -> None:
    @flow(timeout_seconds=0.01)
    def busy() -> None:
        while True:
            real_time.sleep(0)

    assert SYNC.run(busy, return_state=True).name == "TimedOut"
