"""Timeouts: a run has timed out at its deadline and not after, whatever its body and its thread are up to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millrace import (
    CancelledRun,
    Completed,
    Engine,
    Event,
    Failed,
    SequentialTaskRunner,
    StateType,
    TaskRunContext,
    TaskRunTimeoutError,
    ThreadPoolTaskRunner,
    allow_failure,
    quote,
)
from millrace.actors.instructions import EXECUTE, SETTLE
from millrace.actors.messages import Admit, Cancel, Expired, Returned
from tests.actors.runs import at, task_run
from tests.checkpoints import turns, until
from tests.clock import START, VirtualTime
from tests.loose import flow, task
from tests.runtime.worlds import PATIENCE, SYNC, World


class Stuck:
    """A sync body that goes on until it is let go, however it is interrupted."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Semaphore(0)
        self.ended = threading.Semaphore(0)
        self.interrupted = 0

    def __call__(self, value: Any = "late") -> Any:
        self.begun.release()
        while not self.gate.is_set():
            try:
                assert self.gate.wait(PATIENCE)
            except TaskRunTimeoutError:
                self.interrupted += 1
        self.ended.release()
        return value

    def has_begun(self, times: int = 1) -> None:
        for _ in range(times):
            assert self.begun.acquire(timeout=PATIENCE)

    def let_go(self, times: int = 1) -> None:
        self.gate.set()
        for _ in range(times):
            assert self.ended.acquire(timeout=PATIENCE)


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    made = Stuck()
    yield made
    made.gate.set()


@pytest.fixture
def time() -> VirtualTime:
    """Stands still until it is told to go on."""
    return VirtualTime()


@pytest.fixture
def engine(time: VirtualTime) -> Iterator[Engine]:
    """An engine in virtual time."""
    made = Engine(threads=2, grace_seconds=5, clock=time.now, timers=time)
    yield made
    made.close(cancel=True)


def patiently(condition: Callable[[], bool]) -> None:
    """Wait until another thread has done something that sets no event."""
    pause = threading.Event()
    for _ in range(4_000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("It did not happen.")


def abandoned(engine: Engine) -> int:
    return engine.stats().threads.abandoned


def let_go(world: World, gate: Any) -> None:
    """Open a gate for sync bodies that were left in front of it; async ones have been cancelled."""
    if not world.async_tasks:
        gate.open()


def seconds(state: Any) -> float:
    """When a run entered a state, in seconds of virtual time."""
    return float(state.nanoseconds - START) / 1e9


# In every world, however it is started.


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_a_run_that_takes_too_long_has_timed_out(world: World, how: str) -> None:
    gate = world.gate()

    @world.task(timeout_seconds=0.01)
    async def slow(_wood: str) -> None:
        await gate.passed()

    async def body() -> Any:
        if how == "call":
            return quote(await world.call(slow, "oak", return_state=True))
        started = slow.submit("oak") if how == "submit" else slow.map(["oak"])
        states = await world.ended(started)
        return quote(states if how == "submit" else states[0])

    state = world.body(body).unquote()
    let_go(world, gate)
    assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
    assert isinstance(state.data, TaskRunTimeoutError)
    assert isinstance(state.data, TimeoutError)
    assert state.data.seconds == 0.01
    assert state.message == f"Task run '{state.data.run}' exceeded its timeout of 0.01 seconds."


@pytest.mark.parametrize("how", ["submit", "call"])
def test_whoever_takes_its_result_gets_the_error(world: World, how: str) -> None:
    gate = world.gate()

    @world.task(timeout_seconds=0.01)
    async def slow() -> None:
        await gate.passed()

    async def body() -> Any:
        with pytest.raises(TaskRunTimeoutError, match=r"exceeded its timeout of 0\.01 seconds"):
            await (world.result(slow.submit()) if how == "submit" else world.call(slow))

    world.body(body)
    let_go(world, gate)


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_a_run_that_is_in_time_knows_nothing_of_its_deadline(
    world: World, how: str, engine: Engine, time: VirtualTime
) -> None:
    @world.task(timeout_seconds=60)
    def quick(wood: str) -> str:
        return wood

    async def body() -> Any:
        if how == "call":
            return [await world.call(quick, "oak")]
        return [await world.result(each) for each in ([quick.submit("oak")] if how == "submit" else quick.map(["oak"]))]

    assert world.body(body, engine=engine) == ["oak"]
    events: list[Event] = []
    engine.subscribe(events.append)
    time.advance(1_000)
    assert time.waiting == 0
    assert not events


@pytest.mark.parametrize("how", ["submit", "call"])
def test_a_timeout_of_the_bodys_own_code_is_named_so_and_is_another_error(world: World, how: str) -> None:
    error = TimeoutError("mine")

    @world.task(timeout_seconds=60)
    def carve() -> None:
        raise error

    @world.task
    def without_limit() -> None:
        raise error

    async def body() -> Any:
        both = [carve, without_limit]
        if how == "call":
            return quote([await world.call(each, return_state=True) for each in both])
        return quote([await world.ended(each.submit()) for each in both])

    for state in world.body(body).unquote():
        assert (state.type, state.name) == (StateType.FAILED, "TimedOut")
        assert state.data is error
        assert not isinstance(state.data, TaskRunTimeoutError)
        assert state.message == "Its own code ran into a timeout: TimeoutError: mine"


def test_the_time_counts_from_the_beginning_of_the_body(world: World, engine: Engine, time: VirtualTime) -> None:
    gate = world.gate()

    @world.task
    async def fells() -> str:
        await gate.passed()
        return "oak"

    @world.task(timeout_seconds=1)
    def carve(wood: str) -> str:
        return wood

    async def body() -> str:
        future = carve.submit(fells.submit())
        time.advance(1_000)
        gate.open()
        return str(await world.result(future))

    assert world.body(body, engine=engine) == "oak"


# Async bodies.


@pytest.mark.anyio
async def test_an_async_body_is_cancelled_at_its_await(engine: Engine, time: VirtualTime) -> None:
    steps: list[str] = []

    @task(timeout_seconds=3)
    async def slow() -> None:
        steps.append("begun")
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            steps.append("cancelled")
            raise
        finally:
            await turns(3)
            steps.append("clean")

    async with engine:
        future = slow.submit()
        await until(lambda: time.waiting == 1)
        time.advance(2.999)
        await turns()
        assert steps == ["begun"]
        time.advance(0.001)
        state = await future.wait_async(PATIENCE)
    assert steps == ["begun", "cancelled", "clean"]
    assert (state.name, seconds(state)) == ("TimedOut", 3)
    assert future.source.run_time == 3e9
    assert future.source.dead_letters == 0


@pytest.mark.parametrize("then", ["returns", "raises", "returns a state"])
@pytest.mark.anyio
async def test_a_body_that_catches_its_cancellation_has_timed_out_all_the_same(
    engine: Engine, time: VirtualTime, then: str
) -> None:
    @task(timeout_seconds=3)
    async def slow() -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if then == "raises":
                raise KeyError("mine") from None
        return "late" if then == "returns" else [StateType.COMPLETED]

    async with engine:
        future = slow.submit()
        await until(lambda: time.waiting == 1)
        time.advance(3)
        state = await future.wait_async(PATIENCE)
    assert (state.name, seconds(state)) == ("TimedOut", 3)
    assert isinstance(state.data, TaskRunTimeoutError)


class Stubborn:
    """Async bodies that will not be cancelled until they are let go."""

    def __init__(self) -> None:
        self.cancellations = self.begun = self.ended = 0
        self.gone = asyncio.Event()

    async def body(self, value: Any = "late") -> Any:
        self.begun += 1
        while not self.gone.is_set():
            try:
                await self.gone.wait()
            except asyncio.CancelledError:
                self.cancellations += 1
        self.ended += 1
        return value


@pytest.mark.anyio
async def test_a_body_that_swallows_its_cancellation_has_timed_out_when_its_grace_is_over(
    engine: Engine, time: VirtualTime
) -> None:
    stubborn = Stubborn()
    slow = task(timeout_seconds=3)(stubborn.body)

    @flow
    async def runs() -> str:
        future = slow.submit()
        futures.append(future)
        return str((await future.wait_async()).name)

    futures: list[Any] = []
    async with engine:
        ends = asyncio.create_task(runs())
        await until(lambda: time.waiting == 1)
        time.advance(3)
        await until(lambda: stubborn.cancellations == 1)
        time.advance(4.999)
        await turns()
        assert not ends.done()
        time.advance(0.001)
        assert await ends == "TimedOut"
        assert seconds(futures[0].state) == 3  # when its time was over, though it took so long to be left
        assert stubborn.ended == 0
        stubborn.gone.set()
        await until(lambda: stubborn.ended == 1)
        await until(lambda: futures[0].source.dead_letters == 1)
    assert futures[0].state.name == "TimedOut"


@pytest.mark.anyio
async def test_its_retry_runs_beside_it_and_what_it_comes_to_then_is_a_dead_letter(
    engine: Engine, time: VirtualTime
) -> None:
    stubborn = Stubborn()
    slow = task(timeout_seconds=3, retries=1)(stubborn.body)

    async with engine:
        future = slow.submit("first or second")
        await until(lambda: time.waiting == 1)
        time.advance(8)
        await until(lambda: stubborn.begun == 2)
        stubborn.gone.set()
        assert await future == "first or second"
        await until(lambda: stubborn.ended == 2)
        assert future.source.dead_letters == 1
        assert future.source.run_count == 2


@pytest.mark.parametrize("options", [{}, {"on_completion": [print]}], ids=["plain", "conducted"])
@pytest.mark.anyio
async def test_a_body_that_was_left_and_ends_at_last_takes_nothing_from_the_attempt_beside_it(
    engine: Engine, time: VirtualTime, options: Any
) -> None:
    """Found by reading: with it the other attempt's body could not be cancelled any more."""
    first_gone, cancelled = asyncio.Event(), list[str]()
    attempts = 0

    @task(timeout_seconds=3, retries=1, **options)
    async def slow() -> None:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            while not first_gone.is_set():
                try:
                    await first_gone.wait()
                except asyncio.CancelledError:
                    continue
            cancelled.append("first is gone")
            return
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.append("second")

    async with engine:
        future = slow.submit()
        await until(lambda: time.waiting == 1)
        time.advance(8)
        await until(lambda: attempts == 2)
        await turns()
        first_gone.set()
        await until(lambda: bool(cancelled))
        await turns()
        assert future.cancel()
        assert (await future.wait_async(PATIENCE)).is_cancelled()
    assert cancelled == ["first is gone", "second"]


@pytest.mark.anyio
async def test_an_attempt_after_a_timeout_has_all_its_time(engine: Engine, time: VirtualTime) -> None:
    """Found by reading: the grace of the attempt before, which had stopped at once, ended this one in the middle."""
    begun = 0

    @task(timeout_seconds=10, retries=1)
    async def slow() -> str:
        nonlocal begun
        begun += 1
        if begun == 1:
            await asyncio.Event().wait()
        await go_on.wait()
        return "in time"

    go_on = asyncio.Event()
    async with engine:
        future = slow.submit()
        await until(lambda: time.waiting == 1)
        time.advance(10)
        await until(lambda: begun == 2 and time.waiting >= 1)
        await turns()
        time.advance(9.9)
        await turns()
        assert not future.done()
        go_on.set()
        assert await future == "in time"
    time.advance(10)
    assert time.waiting == 0


@pytest.mark.anyio
async def test_a_body_that_never_waits_is_never_late(engine: Engine, time: VirtualTime) -> None:
    @task(timeout_seconds=1)
    async def busy() -> str:
        time.advance(5)
        return "done"

    async with engine:
        assert await busy.submit() == "done"
        assert await busy() == "done"


@pytest.mark.anyio
async def test_a_direct_call_of_an_async_task_is_left_at_its_deadline(engine: Engine, time: VirtualTime) -> None:
    @task(timeout_seconds=3)
    async def slow() -> None:
        await asyncio.Event().wait()

    async def calls() -> None:
        with pytest.raises(TaskRunTimeoutError):
            await slow()

    async with engine:
        calling = asyncio.create_task(calls())
        await until(lambda: time.waiting == 1)
        time.advance(3)
        await calling
        assert not calling.cancelling()


# Sync bodies.


@pytest.mark.parametrize("interruptible", [True, False])
def test_a_sync_run_has_timed_out_at_its_deadline_while_its_thread_goes_on(
    engine: Engine, time: VirtualTime, stuck: Stuck, *, interruptible: bool
) -> None:
    slow = task(timeout_seconds=3, interruptible=interruptible)(stuck)

    @flow
    def runs() -> Any:
        future = slow.submit()
        stuck.has_begun()
        assert time.waiting == 1
        time.advance(2.999)
        assert not future.done()
        time.advance(0.001)
        assert future.done()
        assert abandoned(engine) == 1
        return quote(future)

    future = SYNC.run(runs, engine=engine).unquote()
    assert (future.state.name, seconds(future.state)) == ("TimedOut", 3)
    stuck.let_go()
    patiently(lambda: future.source.dead_letters == 1)
    patiently(lambda: abandoned(engine) == 0)
    assert stuck.interrupted == interruptible
    assert future.state.name == "TimedOut"


def test_the_exception_is_raised_inside_the_body(engine: Engine, time: VirtualTime) -> None:
    begun, ended = threading.Event(), threading.Event()
    caught: list[BaseException] = []

    def tick() -> None:
        pass

    @task(timeout_seconds=3)
    def spins() -> None:
        begun.set()
        try:
            while True:
                tick()
        except TimeoutError as error:
            caught.append(error)
            raise
        finally:
            ended.set()

    @flow
    def runs() -> str:
        future = spins.submit()
        assert begun.wait(PATIENCE)
        time.advance(3)
        assert future.state.name == "TimedOut"
        assert ended.wait(PATIENCE)
        return "done"

    assert SYNC.run(runs, engine=engine) == "done"
    (error,) = caught
    assert isinstance(error, TaskRunTimeoutError)
    assert (error.seconds, error.run[:6]) == (3, "spins-")
    patiently(lambda: engine.stats().threads.busy == 0)


def test_what_depends_on_it_goes_on_at_the_deadline(engine: Engine, time: VirtualTime, stuck: Stuck) -> None:
    slow = task(timeout_seconds=3)(stuck)

    @task
    def carve(wood: Any) -> str:
        return f"got {type(wood).__name__}"

    @flow
    def runs() -> Any:
        first = slow.submit()
        goes_on, never = carve.submit(allow_failure(first)), carve.submit(first)
        stuck.has_begun()
        time.advance(3)
        assert never.wait(PATIENCE)
        return quote([goes_on.result(timeout=PATIENCE), never.state.name])

    assert SYNC.run(runs, engine=engine).unquote() == ["got TaskRunTimeoutError", "NotReady"]
    stuck.let_go()


def test_a_body_that_waits_for_other_runs_is_interrupted_when_it_has_waited(engine: Engine, time: VirtualTime) -> None:
    gate, begun = threading.Event(), threading.Event()
    after: list[str] = []

    @task
    def child() -> None:
        begun.set()
        assert gate.wait(PATIENCE)

    @task(timeout_seconds=3)
    def parent() -> None:
        child.submit().result(timeout=PATIENCE)
        after.append("went on")

    @flow
    def runs() -> str:
        future = parent.submit()
        assert begun.wait(PATIENCE)
        patiently(lambda: engine.stats().threads.lent == 1)
        time.advance(3)
        assert future.state.name == "TimedOut"
        gate.set()
        return "done"

    assert SYNC.run(runs, engine=engine) == "done"
    patiently(lambda: engine.stats().threads.busy == 0)
    assert after == []


def test_a_body_that_starts_run_after_run_is_interrupted_and_leaves_nothing_half_done() -> None:
    """Found by probing: one timeout in six hit the engine in the middle of starting a run, and the flow hung."""

    @task
    def child() -> int:
        return 1

    @task(timeout_seconds=0.002)
    def parent() -> None:
        while True:
            child()
            child.submit()

    @flow
    def runs() -> list[str]:
        futures = [parent.submit() for _ in range(25)]
        for future in futures:
            assert future.wait(PATIENCE)
        return [future.state.name for future in futures]

    engine = Engine(threads=2)
    assert SYNC.run(runs, engine=engine) == ["TimedOut"] * 25
    patiently(lambda: engine.stats().threads.busy == 0)
    engine.close()


# Threads that were abandoned.


def test_others_stand_in_for_abandoned_threads_up_to_the_limit(engine: Engine, time: VirtualTime, stuck: Stuck) -> None:
    slow = task(timeout_seconds=1, interruptible=False)(stuck)
    quick = task(lambda: "quick")

    @flow
    def runs() -> list[int]:
        counts: list[int] = []
        for _ in range(2):  # the limit is two: then as many again stand in
            futures = [slow.submit() for _ in range(2)]
            stuck.has_begun(2)
            time.advance(1)
            assert [future.state.name for future in futures] == ["TimedOut"] * 2
            counts.append(abandoned(engine))
        waits = quick.submit()
        assert engine.stats().threads.threads == 4
        assert not waits.done()
        stuck.let_go(4)
        assert waits.result(timeout=PATIENCE) == "quick"
        return counts

    assert SYNC.run(runs, engine=engine) == [2, 4]
    patiently(lambda: engine.stats().threads.threads <= 2)
    assert abandoned(engine) == 0


def test_a_thread_that_waits_for_others_and_is_abandoned_has_one_stand_in(time: VirtualTime) -> None:
    """Found by reading: it was counted as lent and as abandoned, and one body more could run than is allowed."""
    engine = Engine(threads=1, clock=time.now, timers=time)
    begun, gate = threading.Semaphore(0), threading.Event()
    running: list[int] = []

    @task
    def body() -> None:
        running.append(1)
        begun.release()
        assert gate.wait(PATIENCE)
        running.pop()

    @task(timeout_seconds=3, interruptible=False)
    def waits() -> None:
        body.submit().result(timeout=PATIENCE)

    @flow
    def runs() -> str:
        future = waits.submit()
        assert begun.acquire(timeout=PATIENCE)
        patiently(lambda: engine.stats().threads.lent == 1)
        time.advance(3)
        assert future.state.name == "TimedOut"
        body.submit()
        threads = engine.stats().threads
        assert (threads.lent, threads.abandoned, threads.threads) == (1, 1, 2)
        assert not begun.acquire(timeout=0.02)
        assert running == [1]
        gate.set()
        return "done"

    assert SYNC.run(runs, engine=engine) == "done"
    engine.close()


def test_a_retry_after_a_timeout_runs_beside_the_body_that_was_left(
    engine: Engine, time: VirtualTime, stuck: Stuck
) -> None:
    events: list[Event] = []
    engine.subscribe(events.append)
    attempts = 0

    @task(timeout_seconds=3, retries=1)
    def slow() -> str:
        nonlocal attempts
        attempts += 1
        return str(stuck("first")) if attempts == 1 else "second"

    @flow
    def runs() -> Any:
        future = slow.submit()
        stuck.has_begun()
        time.advance(3)
        assert future.result(timeout=PATIENCE) == "second"
        assert abandoned(engine) == 1
        return quote(future)

    future = SYNC.run(runs, engine=engine).unquote()
    stuck.let_go()
    patiently(lambda: future.source.dead_letters == 1)
    assert future.result() == "second"
    names = [event.state.name for event in events if event.run_name.startswith("slow-")]
    assert names == ["Pending", "Running", "Retrying", "Completed"]


@pytest.mark.parametrize("late", ["returns", "raises"])
def test_what_a_body_comes_to_while_its_retry_is_waited_for_is_a_dead_letter(
    engine: Engine, time: VirtualTime, stuck: Stuck, late: str
) -> None:
    """Found by reading: the run ended with the outcome of the attempt that had timed out."""
    attempts = 0

    @task(timeout_seconds=3, retries=1, retry_delay_seconds=10)
    def slow() -> str:
        nonlocal attempts
        attempts += 1
        if attempts > 1:
            return "second"
        stuck()
        if late == "raises":
            raise KeyError("first")
        return "first"

    @flow
    def runs() -> str:
        future = slow.submit()
        stuck.has_begun()
        time.advance(3)
        assert future.state.name == "AwaitingRetry"
        stuck.let_go()
        patiently(lambda: future.source.dead_letters == 1)
        assert future.state.name == "AwaitingRetry"
        time.advance(10)
        return str(future.result(timeout=PATIENCE))

    assert SYNC.run(runs, engine=engine) == "second"


@pytest.mark.parametrize("is_async", [False, True], ids=["sync", "async"])
def test_in_a_pool_the_next_body_gets_a_thread_although_one_is_abandoned(
    engine: Engine, time: VirtualTime, stuck: Stuck, *, is_async: bool
) -> None:
    """Found by reading: the engine's own threads were looked at, and the pool's stayed taken."""

    async def swallows() -> None:
        while not stuck.gate.is_set():
            try:
                stuck.begun.release()
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                stuck()

    slow = task(timeout_seconds=3)(swallows if is_async else stuck)
    quick = task(lambda: "quick")

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def runs() -> str:
        future = slow.submit()
        stuck.has_begun()
        patiently(lambda: time.waiting == 1)
        time.advance(3)
        if is_async:
            stuck.has_begun()  # it has swallowed its cancellation
            time.advance(5)
        assert future.wait(PATIENCE)
        assert future.state.name == "TimedOut"
        result = str(quick.submit().result(timeout=PATIENCE))
        stuck.gate.set()
        return result

    assert SYNC.run(runs, engine=engine) == "quick"


def test_in_a_line_the_next_begins_when_the_one_before_has_timed_out(
    engine: Engine, time: VirtualTime, stuck: Stuck
) -> None:
    slow = task(timeout_seconds=3)(stuck)
    quick = task(lambda: "quick")

    @flow(task_runner=SequentialTaskRunner())
    def runs() -> str:
        slow.submit()
        future = quick.submit()
        stuck.has_begun()
        assert not future.done()
        time.advance(3)
        return str(future.result(timeout=PATIENCE))

    assert SYNC.run(runs, engine=engine) == "quick"
    stuck.let_go()


# Direct calls of sync tasks.


def calls_and_is_left(slow: Any) -> str:
    try:
        slow()
    except TaskRunTimeoutError:
        return "left"
    return "stayed"


@pytest.mark.parametrize("where", ["sync flow", "async flow", "task", "async task", "task in a task", "nowhere"])
def test_a_direct_call_of_a_sync_task_returns_at_its_deadline(where: str, stuck: Stuck) -> None:
    """With one worker thread, and on the thread of a loop, too."""
    engine = Engine(threads=1)
    slow = task(timeout_seconds=0.01)(stuck)
    calls = task(lambda: calls_and_is_left(slow))

    @task
    async def calls_async() -> str:
        return calls_and_is_left(slow)

    async def async_body() -> str:
        if where == "async flow":
            return calls_and_is_left(slow)
        return str(await calls_async.submit())

    def sync_body() -> str:
        if where == "sync flow":
            return calls_and_is_left(slow)
        return str(
            calls.submit().result(timeout=PATIENCE) if where == "task" else task(calls.__call__).submit().result()
        )

    async def nowhere() -> str:
        async with engine:
            return calls_and_is_left(slow)

    if where == "nowhere":
        assert asyncio.run(nowhere()) == "left"
    else:
        assert engine.start(flow(async_body if "async" in where else sync_body)).result(timeout=PATIENCE) == "left"
    assert abandoned(engine) == 1
    stuck.let_go()
    patiently(lambda: abandoned(engine) == 0)
    engine.close()


def test_a_direct_call_that_is_in_time_gives_its_result_with_one_worker_thread_however_deep() -> None:
    engine = Engine(threads=1)

    @task(timeout_seconds=60)
    def deeper(depth: int) -> int:
        return depth if depth == 0 else 1 + int(deeper(depth - 1))

    @flow
    def runs() -> int:
        return int(deeper(30))

    assert engine.start(runs).result(timeout=PATIENCE) == 30
    engine.close()


def test_in_a_direct_call_that_holds_up_the_loop_nobody_waits_for_that_loop(stuck: Stuck) -> None:
    """Found by probing: the timer of a task inside stood on the loop that the call outside held up."""
    slow = task(timeout_seconds=0.01)(stuck)

    @task(timeout_seconds=60)
    def outer() -> str:
        return calls_and_is_left(slow)

    @task(timeout_seconds=60, retries=1, retry_delay_seconds=0.005)
    def again() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise KeyError("first")
        return "second"

    @flow
    async def runs() -> list[str]:
        return [outer(), again()]

    attempts: list[int] = []
    assert asyncio.run(runs()) == ["left", "second"]
    stuck.let_go()


@pytest.mark.parametrize("how", ["submit", "call"])
def test_a_run_that_needs_the_loop_that_is_held_up_is_refused_and_not_waited_for(how: str) -> None:
    @task
    async def needs_the_loop() -> None:
        pass

    @task(timeout_seconds=60)
    def waits() -> str:
        with pytest.raises(RuntimeError, match="would block the event loop"):
            needs_the_loop.submit().result() if how == "submit" else needs_the_loop()
        return "refused"

    @flow
    async def runs() -> str:
        return str(waits())

    assert asyncio.run(runs()) == "refused"


# Conditions and jitter.


@pytest.mark.parametrize("is_async", [False, True], ids=["sync condition", "async condition"])
@pytest.mark.parametrize("allowed", [True, False])
def test_the_condition_of_a_retry_is_asked_about_a_timeout_once_with_one_worker_thread(
    world: World, time: VirtualTime, *, is_async: bool, allowed: bool
) -> None:
    """Found by reading: it was asked on a thread that the very body held, and not at all where the body is async."""
    engine = Engine(threads=1, clock=time.now, timers=time)
    asked: list[Any] = []
    gate, begun = world.gate(), threading.Semaphore(0)

    def condition(task: Any, run: Any, state: Any) -> bool:
        asked.append((task, run.name, state.name, type(state.data), state.is_failed()))
        return allowed

    async def async_condition(*args: Any) -> bool:
        await asyncio.sleep(0)
        return condition(*args)

    @world.task(timeout_seconds=3, retries=1, retry_condition_fn=async_condition if is_async else condition)
    async def slow() -> str:
        begun.release()
        if begun_times() == 2:
            return "second"
        await gate.passed()
        return "first"

    times: list[int] = []

    def begun_times() -> int:
        times.append(1)
        return len(times)

    async def body() -> Any:
        return quote(await world.ended(slow.submit()))

    running = engine.start(world.flow(body))
    assert begun.acquire(timeout=PATIENCE)
    patiently(lambda: time.waiting == 1)
    time.advance(3)
    state = running.result(timeout=PATIENCE).unquote()
    let_go(world, gate)
    assert state.name == ("Completed" if allowed else "TimedOut")
    ((asked_task, name, state_name, kind, failed),) = asked
    assert asked_task is slow
    assert name.startswith("slow-")
    assert (state_name, kind, failed) == ("TimedOut", TaskRunTimeoutError, True)
    engine.close()


@pytest.mark.parametrize("returned", [Completed(data="late"), Failed(message="late"), "late"], ids=str)
@pytest.mark.anyio
async def test_the_condition_is_asked_about_the_timeout_and_not_about_what_the_body_returned_then(
    engine: Engine, time: VirtualTime, returned: Any
) -> None:
    asked: list[str] = []

    def condition(_task: Any, _run: Any, state: Any) -> bool:
        asked.append(state.name)
        return False

    @task(timeout_seconds=3, retries=3, retry_condition_fn=condition)
    async def slow() -> Any:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return returned

    async with engine:
        future = slow.submit()
        await until(lambda: time.waiting == 1)
        time.advance(3)
        assert (await future.wait_async(PATIENCE)).name == "TimedOut"
    assert asked == ["TimedOut"]


def test_the_condition_is_not_asked_again_about_a_body_that_was_left(
    engine: Engine, time: VirtualTime, stuck: Stuck
) -> None:
    asked: list[str] = []
    attempts = 0

    def condition(_task: Any, _run: Any, state: Any) -> bool:
        asked.append(state.name)
        return True

    @task(timeout_seconds=3, retries=3, retry_condition_fn=condition)
    def slow() -> str:
        nonlocal attempts
        attempts += 1
        if attempts == 1:
            stuck()
            raise KeyError("late")
        return "second"

    @flow
    def runs() -> str:
        future = slow.submit()
        stuck.has_begun()
        time.advance(3)
        result = str(future.result(timeout=PATIENCE))
        stuck.let_go()
        patiently(lambda: future.source.dead_letters == 1)
        return result

    assert SYNC.run(runs, engine=engine) == "second"
    assert asked == ["TimedOut"]


# Timeouts and cancellations.


@pytest.mark.anyio
async def test_a_cancellation_after_the_deadline_decides_while_the_body_has_not_stopped(
    engine: Engine, time: VirtualTime
) -> None:
    stubborn = Stubborn()
    slow = task(timeout_seconds=3, retries=3)(stubborn.body)

    async with engine:
        future = slow.submit()
        await until(lambda: time.waiting == 1)
        time.advance(3)
        await until(lambda: stubborn.cancellations == 1)
        assert future.cancel()
        assert future.state.name == "Cancelling"
        stubborn.gone.set()
        assert (await future.wait_async(PATIENCE)).is_cancelled()
        with pytest.raises(CancelledRun):
            await future
    assert time.waiting == 0 or stubborn.begun == 1


@pytest.mark.anyio
async def test_a_deadline_after_a_cancellation_changes_nothing(engine: Engine, time: VirtualTime) -> None:
    stubborn = Stubborn()
    slow = task(timeout_seconds=3, retries=3)(stubborn.body)

    async with engine:
        future = slow.submit()
        await until(lambda: time.waiting == 1)
        future.cancel()
        await until(lambda: stubborn.cancellations == 1)
        time.advance(3)
        await turns()
        assert future.state.name == "Cancelling"
        stubborn.gone.set()
        assert (await future.wait_async(PATIENCE)).is_cancelled()
    assert stubborn.begun == 1


def test_a_sync_run_that_timed_out_cannot_be_cancelled_any_more(
    engine: Engine, time: VirtualTime, stuck: Stuck
) -> None:
    slow = task(timeout_seconds=3)(stuck)

    @flow
    def runs() -> Any:
        future = slow.submit()
        stuck.has_begun()
        time.advance(3)
        assert not future.cancel()
        return quote(future.state)

    assert SYNC.run(runs, engine=engine).unquote().name == "TimedOut"
    stuck.let_go()


def test_a_sync_run_that_was_cancelled_does_not_time_out_any_more(
    engine: Engine, time: VirtualTime, stuck: Stuck
) -> None:
    slow = task(timeout_seconds=3)(stuck)

    @flow
    def runs() -> Any:
        future = slow.submit()
        stuck.has_begun()
        assert future.cancel()
        assert future.wait(PATIENCE)
        time.advance(3)
        return quote(future.state)

    assert SYNC.run(runs, engine=engine).unquote().is_cancelled()
    stuck.let_go()


# Races.


@pytest.mark.parametrize(
    "rival", [Expired(1.0, at(2), 1, stops=False), Cancel("enough", at(2))], ids=["deadline", "cancel"]
)
def test_ten_thousand_races_against_success_have_one_outcome_each(rival: Any) -> None:
    """Two threads tell one actor; here at the length of a function call, without bodies and loops.

    In `make proof` there are as many races of bodies: see `tests.proofs.races`.
    """
    rounds = 10_000
    runs = [task_run(number=number) for number in range(1, rounds + 1)]
    orders: list[list[Any]] = [[], []]
    for run in runs:
        assert run.ask(Admit(at(1))) is EXECUTE
    barrier = threading.Barrier(2)

    def tells(message: Any, answers: list[Any]) -> None:
        barrier.wait(PATIENCE)
        answers += [run.ask(message) for run in runs]

    threads = [
        threading.Thread(target=tells, args=(message, answers))
        for message, answers in zip([Returned("plank", at(2), 1), rival], orders, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    outcomes = set()
    for run, *answers in zip(runs, *orders, strict=True):
        settled = [*answers, *run.orders].count(SETTLE)
        assert settled == run.done == 1
        assert (run.dead_letters, len(run.history())) in {(1, 3), (0, 3), (0, 4)}
        outcomes.add(run.state.name)
    assert outcomes <= {"Completed", "TimedOut", "Cancelled"}


@pytest.mark.anyio
async def test_a_caller_that_is_cancelled_as_the_time_of_its_call_is_over_leaves_no_run_behind() -> None:
    """Found by a simulation.

    1. A task with a retry is called; its body waits.
    2. Its time is over, and before the body comes to know of that, the caller is cancelled.
    3. The run is to have another attempt, and the one who would see that through is gone.
    """
    runs: list[Any] = []

    @task(retries=1, timeout_seconds=3_600)
    async def waits() -> None:
        context = TaskRunContext.get()
        assert context is not None
        runs.append(context.task_run)
        await asyncio.Event().wait()

    @flow
    async def body() -> int:
        call = asyncio.ensure_future(waits())
        await asyncio.sleep(0)
        (run,) = runs
        run.tell(Expired(3_600, run.node.now(), 1, stops=True))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        return len(runs)

    async with asyncio.timeout(20):
        assert await body() == 1
    assert [run.state.type for run in runs] == ["CRASHED"]
