"""What ends a pause beside somebody who resumes the run: its time, a cancellation, the end of the run or the engine."""

from __future__ import annotations

import asyncio
import gc
import signal
from collections.abc import Iterator
from contextvars import copy_context
from threading import Event, Thread, main_thread
from typing import Any
from weakref import ref

import anyio
import pytest

from millrace import (
    CancelledRun,
    ConfigurationError,
    CrashPolicy,
    Engine,
    FlowPauseTimeout,
    FlowRun,
    FlowRunTimeoutError,
    NotPausedError,
    PauseRefused,
    RestartLimitExceeded,
    RunNotFound,
    StateType,
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
)
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.entering import ENTERED
from tests.checkpoints import at_every_checkpoint, cut_by_asyncio, cut_by_engine, cut_by_scope, turns, until
from tests.clock import START, Stepped
from tests.loose import flow, task
from tests.runtime.people import Act, Person, Watcher, cancelled, names, pause, resumed, this_run
from tests.runtime.worlds import PATIENCE, SYNC, World


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


def after(time: Stepped, *steps: float) -> Act:
    """To let time pass, in steps, once somebody waits for it."""

    def act(_run: FlowRun) -> None:
        time.timer_set()
        for step in steps:
            time.advance(step)

    return act


# Its time.


def test_a_run_that_is_not_resumed_in_time_has_failed(world: World, engine: Engine, time: Stepped) -> None:
    raised: list[BaseException] = []

    def attend(run: FlowRun) -> None:
        time.timer_set()
        time.advance(59)
        assert run.type is StateType.PAUSED
        time.advance(1)

    @world.flow
    async def waits() -> None:
        try:
            await pause(timeout=60)
        except FlowPauseTimeout as error:
            raised.append(error)
            raise

    person = Person(engine, attend)
    state = world.run(waits, engine=engine, return_state=True)
    person.done()
    run = person.runs[0]
    assert (state.type, state.name) == (StateType.FAILED, "Failed")
    assert isinstance(state.data, FlowPauseTimeout)
    assert state.data.seconds == 60
    assert str(state.data) == str(raised[0]) == f"Flow run '{run.name}' was paused and not resumed within 60 seconds."
    assert names(run) == ["Pending", "Running", "Paused", "Failed"]
    assert time.waiting == 0


def test_the_state_says_until_when_it_is_paused(engine: Engine, time: Stepped) -> None:
    until: list[Any] = []

    def attend(run: FlowRun) -> None:
        until.append(run.state.state_details.pause_timeout)
        _ = resume_flow_run(run.uuid)

    @flow
    def waits() -> None:
        pause_flow_run(timeout=60)
        pause_flow_run(timeout=None)

    person = Person(engine, attend, attend)
    SYNC.run(waits, engine=engine)
    person.done()
    assert until[0].timestamp() * 1e9 == time.now() + 60e9
    assert until[1] is None


def test_where_nobody_says_how_long_it_is_paused_for_an_hour(world: World, engine: Engine, time: Stepped) -> None:
    @world.flow
    async def waits() -> Any:
        answer = pause_flow_run()
        return await answer if world.async_flows else answer

    future = engine.start(waits)
    time.timer_set()
    assert future.state.state_details.pause_timeout == from_nanoseconds(START + 3_600_000_000_000)
    time.advance(3599)
    assert not future.done()
    time.advance(1)
    assert future.wait(PATIENCE)
    assert isinstance(future.state.data, FlowPauseTimeout)


@pytest.mark.parametrize("seconds", [-1, 0, "soon"])
def test_a_time_that_is_none_is_refused_and_the_run_goes_on(world: World, engine: Engine, seconds: Any) -> None:
    @world.flow
    async def waits() -> str:
        for kind in (pause_flow_run, suspend_flow_run):
            with pytest.raises(ConfigurationError, match=r"^'timeout' takes a number of seconds"):
                kind(timeout=seconds)
        return "goes on"

    assert world.run(waits, engine=engine) == "goes on"


def test_it_has_failed_even_if_its_body_catches_that_and_no_retry_is_made(
    world: World, engine: Engine, time: Stepped
) -> None:
    ran: list[int] = []

    def later() -> None:
        ran.append(1)

    late = world.task(later)

    @world.flow(retries=3)
    async def waits() -> str:
        with pytest.raises(FlowPauseTimeout):
            await pause(timeout=60)
        with pytest.raises(CancelledRun, match="it was paused and not resumed within 60 seconds"):
            await world.call(late)
        with pytest.raises(PauseRefused):
            await pause(key="another")
        return "all is well"

    person = Person(engine, after(time, 60))
    state = world.run(waits, engine=engine, return_state=True)
    person.done()
    assert state.is_failed()
    assert isinstance(state.data, FlowPauseTimeout)
    assert names(person.runs[0]) == ["Pending", "Running", "Paused", "Failed"]
    assert not ran


def test_what_was_parked_never_starts_then(world: World, engine: Engine, time: Stepped) -> None:
    gate, begun = world.gate(), world.flow_gate()
    parked = Watcher(engine, lambda event: event.run_name.startswith("later") and event.state.is_paused())
    ran: list[int] = []
    futures: list[Any] = []

    def later() -> None:
        ran.append(1)

    late = world.task(later)

    @world.task
    async def early() -> None:
        begun.open()
        await gate.passed()
        late.submit()

    def attend(_run: FlowRun) -> None:
        gate.open()
        parked.await_one()
        time.advance(60)

    @world.flow
    async def waits() -> None:
        early.submit()
        await begun.passed()
        await pause(timeout=60)

    person = Person(engine, attend)
    state = world.run(waits, engine=engine, return_state=True)
    person.done()
    assert isinstance(state.data, FlowPauseTimeout)
    assert not ran
    assert not futures


def test_a_pause_in_a_task_that_is_not_ended_in_time_fails_the_flow(
    world: World, engine: Engine, time: Stepped
) -> None:
    @world.task(retries=3)
    async def asks() -> None:
        await pause(timeout=60)

    @world.flow
    async def waits() -> Any:
        return (await world.ended(asks.submit())).name

    person = Person(engine, after(time, 60))
    state = world.run(waits, engine=engine, return_state=True)
    person.done()
    assert state.name == "Failed"
    assert isinstance(state.data, FlowPauseTimeout)


def test_one_that_is_resumed_in_time_is_not_failed_later(world: World, engine: Engine, time: Stepped) -> None:
    @world.flow
    async def waits() -> str:
        await pause(timeout=60)
        time.advance(3600)
        return "on"

    def attend(run: FlowRun) -> None:
        time.timer_set()
        time.advance(59)
        resumed(run)

    person = Person(engine, attend)
    assert world.run(waits, engine=engine) == "on"
    person.done()
    assert time.waiting == 0


def test_whoever_comes_too_late_is_told_so(engine: Engine, time: Stepped) -> None:
    told: list[str] = []

    @flow
    def waits() -> None:
        try:
            pause_flow_run(timeout=60)
        except FlowPauseTimeout:
            with pytest.raises(NotPausedError) as error:
                _ = resume_flow_run(this_run().uuid)
            told.append(str(error.value))
            raise

    person = Person(engine, after(time, 60))
    SYNC.run(waits, engine=engine, return_state=True)
    person.done()
    (text,) = told
    assert text.endswith("and it is being stopped: it was paused and not resumed within 60 seconds.")


def test_of_the_one_who_resumes_it_and_its_time_one_counts(engine: Engine, time: Stepped) -> None:
    """Found by reading: it was resumed, whoever did that was told so, and it failed because its time was over."""
    outcomes: list[tuple[bool, bool]] = []
    ended = Watcher(engine, lambda event: event.state.is_final())

    @flow
    def waits() -> None:
        pause_flow_run(timeout=60)

    def attend(run: FlowRun) -> None:
        time.timer_set()
        late = Thread(target=time.advance, args=(60,))
        late.start()
        try:
            _ = resume_flow_run(run.uuid)
        except (NotPausedError, RunNotFound):
            resumed_it = False
        else:
            resumed_it = True
        late.join(PATIENCE)
        ended.await_one()
        outcomes.append((resumed_it, run.state.is_completed()))

    for _ in range(50):
        person = Person(engine, attend)
        SYNC.run(waits, engine=engine, return_state=True)
        person.done()
    assert len(outcomes) == 50
    assert all(resumed_it == completed for resumed_it, completed in outcomes)


def test_a_task_may_run_out_of_time_in_a_pause_which_goes_on(world: World, engine: Engine, time: Stepped) -> None:
    ran: list[int] = []

    @world.task(timeout_seconds=30)
    async def asks() -> None:
        await pause(timeout=60)

    def later() -> int:
        ran.append(1)
        return 5

    late = world.task(later)

    def attend(_run: FlowRun) -> None:
        time.timer_set()
        time.timer_set()
        time.advance(30)

    @world.flow
    async def waits() -> Any:
        run = this_run()
        state = await world.ended(asks.submit())
        assert (state.name, run.type) == ("TimedOut", StateType.PAUSED)
        future = late.submit()
        assert not ran
        _ = resume_flow_run(run.uuid)
        return await world.result(future)

    person = Person(engine, attend)
    assert world.run(waits, engine=engine) == 5
    person.done()


# A cancellation.


def test_a_paused_run_is_cancelled(world: World, engine: Engine) -> None:
    gate, begun = world.gate(), world.flow_gate()
    parked = Watcher(engine, lambda event: event.run_name.startswith("later") and event.state.is_paused())
    ran: list[int] = []

    def later() -> None:
        ran.append(1)

    late = world.task(later)

    @world.task
    async def early() -> None:
        begun.open()
        await gate.passed()
        late.submit()

    def attend(run: FlowRun) -> None:
        gate.open()
        parked.await_one()
        run.cancel("Not wanted any more.")

    @world.flow
    async def waits() -> None:
        early.submit()
        await begun.passed()
        await pause()

    person = Person(engine, attend)
    state = world.run(waits, engine=engine, return_state=True)
    person.done()
    assert str(state) == "Cancelled('Not wanted any more.')"
    assert names(person.runs[0]) == ["Pending", "Running", "Paused", "Cancelling", "Cancelled"]
    assert not ran


def test_a_flow_that_waits_for_a_paused_subflow_is_cancelled_with_it(world: World, engine: Engine) -> None:
    runs: list[FlowRun] = []

    @world.flow
    async def inner() -> None:
        await pause()

    @world.flow
    async def outer() -> None:
        runs.append(this_run())
        await world.call(inner)

    person = Person(engine, lambda _: runs[0].cancel())
    assert world.run(outer, engine=engine, return_state=True).is_cancelled()
    person.done()
    assert names(person.runs[0])[-2:] == ["Cancelling", "Cancelled"]


def test_a_run_that_is_paused_by_a_task_is_cancelled(world: World, engine: Engine) -> None:
    @world.task
    async def asks() -> None:
        await pause()

    @world.flow
    async def waits() -> None:
        await world.call(asks)

    person = Person(engine, cancelled)
    assert world.run(waits, engine=engine, return_state=True).is_cancelled()
    person.done()


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [cut_by_asyncio, cut_by_scope, cut_by_engine], ids=lambda cut: cut.__name__)
async def test_a_pause_is_cut_off_at_any_point(cut: Any) -> None:
    @task
    async def beside() -> None:
        await asyncio.sleep(0)

    @task
    async def asks() -> None:
        await pause_flow_run(key="task")

    @flow
    async def waits() -> None:
        beside.submit()
        asyncio.get_running_loop().call_later(0, lambda: None)
        resumer = asyncio.create_task(resume(this_run()))
        try:
            await pause_flow_run(key="body")
            await asks()
        finally:
            resumer.cancel()

    async def resume(run: FlowRun) -> None:
        for _ in range(2):
            while run.type is not StateType.PAUSED:  # noqa: ASYNC110  # passes are what is counted here
                await asyncio.sleep(0)
            await asyncio.sleep(0)
            _ = resume_flow_run(run.uuid)

    trials = [trial async for trial in at_every_checkpoint(waits, cut)]
    paused = [trial for trial in trials if any(event.state.is_paused() for event in trial.events)]
    assert len(paused) > 4
    last = trials[-1].flow_state()
    assert last is not None
    assert last.is_completed()


@pytest.mark.anyio
async def test_who_stops_waiting_leaves_the_run_paused_and_may_wait_again() -> None:
    """Found by reading: the pause was forgotten, and with it the right to resume the run."""
    ran: list[int] = []

    @task
    async def later() -> None:
        ran.append(1)

    @flow
    async def waits() -> Any:
        run = this_run()
        with anyio.move_on_after(0):
            await pause_flow_run(key="approve")
        assert run.type is StateType.PAUSED
        future = later.submit()
        await turns()
        assert future.state.is_paused()
        asyncio.get_running_loop().call_soon(resume_flow_run, run.uuid, "yes")
        given = await pause_flow_run(key="approve")
        await future
        return given

    async with Engine():
        assert await waits() == "yes"
    assert ran == [1]


@pytest.mark.anyio
async def test_a_run_that_nobody_waits_in_any_more_is_failed_when_its_time_is_over() -> None:
    time = Stepped()

    @task
    async def later() -> None:
        pass

    @flow
    async def waits() -> None:
        with anyio.move_on_after(0):
            await pause_flow_run(timeout=60)
        asyncio.get_running_loop().call_soon(time.advance, 60)
        await later()

    async with Engine(clock=time.now, timers=time):
        state = await waits(return_state=True)
    assert isinstance(state.data, FlowPauseTimeout)


@pytest.mark.anyio
async def test_a_pause_that_its_body_does_not_wait_for_ends_with_the_run() -> None:
    waiting: list[asyncio.Task[Any]] = []
    time = Stepped()

    @flow
    async def hurries() -> str:
        waiting.append(asyncio.create_task(pause_flow_run(timeout=60)))
        await until(lambda: this_run().type is StateType.PAUSED)
        return "done"

    async with Engine(clock=time.now, timers=time):
        assert await hurries() == "done"
        with pytest.raises(CancelledRun, match="was stopped while it was paused"):
            await waiting[0]
    assert time.waiting == 0


def test_an_interrupt_ends_a_pause_in_the_main_thread(engine: Engine) -> None:
    heard = Event()

    def interrupt(_run: FlowRun) -> None:
        ended = False
        while not ended:  # one that comes just before the system call that the thread waits in wakes nobody
            signal.pthread_kill(main_thread().ident or 0, signal.SIGINT)
            ended = heard.wait(0.5)

    @flow(on_crashed=[lambda *_: heard.set()])
    def waits() -> None:
        pause_flow_run()

    person = Person(engine, interrupt)
    with pytest.raises(KeyboardInterrupt):
        SYNC.run(waits, engine=engine)
    person.done()
    assert names(person.runs[0]) == ["Pending", "Running", "Paused", "Crashed"]


def test_a_crash_policy_that_gives_up_ends_a_pause(world: World, engine: Engine) -> None:
    gate, begun = world.gate(), world.flow_gate()

    @world.task
    async def breaks() -> None:
        begun.open()
        await gate.passed()
        raise SystemExit(3)

    policy = CrashPolicy(restart="task", max_restarts=0, within_seconds=60, then="cancel_siblings")

    @world.flow(crash_policy=policy)
    async def waits() -> None:
        breaks.submit()
        await begun.passed()
        with pytest.raises(CancelledRun):
            await pause()

    person = Person(engine, lambda _: gate.open())
    state = world.run(waits, engine=engine, return_state=True)
    person.done()
    assert isinstance(state.data, RestartLimitExceeded)


# The flow's own time.


def test_the_time_of_a_flow_goes_on_while_it_is_paused(world: World, engine: Engine, time: Stepped) -> None:
    @world.flow(timeout_seconds=30)
    async def waits() -> None:
        await pause(timeout=60)

    def attend(_run: FlowRun) -> None:
        time.timer_set()
        time.timer_set()
        time.advance(30)

    person = Person(engine, attend)
    state = world.run(waits, engine=engine, return_state=True)
    person.done()
    assert state.name == "TimedOut"
    assert isinstance(state.data, FlowRunTimeoutError)


# The end of the engine.


@pytest.mark.anyio
async def test_an_engine_that_is_closed_waits_for_a_paused_run() -> None:
    @flow
    async def waits() -> str:
        await pause_flow_run()
        return "on"

    engine = Engine()
    future = engine.start(waits)
    await until(lambda: future.flow_run.type is StateType.PAUSED)
    closing = asyncio.create_task(engine.aclose())
    await turns()
    assert not closing.done()
    context = copy_context()
    context.run(ENTERED.set, engine)
    _ = context.run(resume_flow_run, future.flow_run_id)
    await closing
    assert await future == "on"


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["async", "sync"])
async def test_an_engine_that_is_closed_for_good_cancels_a_paused_run(kind: str) -> None:
    @flow
    async def waits() -> None:
        await pause_flow_run()

    @flow
    def blocks() -> None:
        pause_flow_run()

    engine = Engine()
    future = engine.start(blocks if kind == "sync" else waits)
    await until(lambda: future.flow_run.type is StateType.PAUSED)
    await engine.aclose(cancel=True)
    assert future.state.is_cancelled()


# What is left behind.


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["resumed", "cancelled"])
async def test_nothing_holds_a_run_that_was_paused(how: str) -> None:
    time = Stepped()

    class Held:
        pass

    @flow
    async def waits(_held: Held) -> None:
        await pause_flow_run(timeout=60)

    async def ended(engine: Engine) -> tuple[ref[Held], ref[Any]]:
        future = engine.start(waits, Held())
        await until(lambda: future.flow_run.type is StateType.PAUSED)
        held = ref(future.flow_run.parameters["_held"])
        if how == "resumed":
            _ = resume_flow_run(future.flow_run_id)
        else:
            future.cancel()
        await future.wait_async()
        return held, ref(future)

    async with Engine(clock=time.now, timers=time) as engine:
        references = await ended(engine)
        time.advance(10)  # the grace of what was cancelled is over
        await turns()
        gc.collect()
        assert [reference() for reference in references] == [None, None]
