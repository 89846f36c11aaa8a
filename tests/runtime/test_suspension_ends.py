"""What ends a suspended flow run that nobody resumes: its time, a cancellation, the end of its engine."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any
from weakref import ref

import pytest

from millrace import (
    Engine,
    FlowPauseTimeout,
    FlowRun,
    RunNotFound,
    StateType,
    resume_flow_run,
    suspend_flow_run,
)
from tests.checkpoints import at_every_checkpoint, cut_by_asyncio, cut_by_engine, cut_by_scope, turns, until
from tests.clock import Stepped
from tests.loose import flow, task
from tests.runtime.people import Person, id_of, in_engine, names, resume, suspend, suspended_run, this_run
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, World


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


# Its time.


def test_a_run_that_is_not_resumed_in_time_has_failed(world: World, engine: Engine, time: Stepped) -> None:
    told: list[str] = []

    @world.flow(retries=3, on_failure=[lambda _flow, _run, state: told.append(state.name)])
    async def waits() -> None:
        await suspend(timeout=60)

    run = suspended_run(world, waits, engine)
    timeout = run.state.state_details.pause_timeout
    assert timeout is not None
    assert timeout.timestamp() * 1e9 == time.now() + 60e9
    future = in_engine(engine, lambda: engine.find_flow_run(run.uuid))
    time.advance(59)
    assert not run.done
    time.advance(1)
    assert future is run
    assert run.state.is_failed()
    assert isinstance(run.state.data, FlowPauseTimeout)
    with pytest.raises(FlowPauseTimeout, match="was paused and not resumed within 60 seconds"):
        run.take(raise_on_failure=True)
    assert names(run) == ["Pending", "Running", "Suspended", "Failed"]
    engine.close()
    assert told == ["Failed"]
    with pytest.raises(RunNotFound):
        _ = resume(run)


def test_its_time_may_be_over_before_its_body_has_ended(world: World, engine: Engine, time: Stepped) -> None:
    """Found by reading: the run ended although its children went on."""
    gate, begun = world.gate(), world.flow_gate()
    futures: list[Any] = []

    @world.task
    async def slow() -> None:
        begun.open()
        await gate.passed()

    def attend(run: FlowRun) -> None:
        time.timer_set()
        time.advance(60)
        if not world.async_tasks:
            assert futures[0].state.is_cancelled()  # its thread is left to itself
        gate.open()

    @world.flow
    async def waits() -> None:
        futures.append(slow.submit())
        await begun.passed()
        await suspend(timeout=60)

    person = Person(engine, attend)
    state = world.run(waits, engine=engine, return_state=True)
    person.done()
    assert isinstance(state.data, FlowPauseTimeout)
    assert futures[0].state.is_cancelled()
    assert names(person.runs[0]) == ["Pending", "Running", "Suspended", "Failed"]


def test_one_that_is_resumed_in_time_is_not_failed_later(world: World, engine: Engine, time: Stepped) -> None:
    @world.flow
    async def waits() -> str:
        await suspend(timeout=60)
        time.advance(3600)
        return "on"

    run = suspended_run(world, waits, engine)
    time.advance(59)
    assert resume(run).result(PATIENCE) == "on"
    assert time.waiting == 0


def test_its_own_time_is_not_that_of_the_flow(world: World, engine: Engine, time: Stepped) -> None:
    @world.flow(timeout_seconds=30)
    async def waits() -> str:
        await suspend()
        time.advance(29)
        return "on"

    run = suspended_run(world, waits, engine)
    time.advance(3600)
    assert resume(run).result(PATIENCE) == "on"


# A cancellation.


def test_a_suspended_run_is_cancelled(world: World, engine: Engine) -> None:
    told: list[str] = []

    @world.flow(on_cancellation=[lambda _flow, _run, state: told.append(str(state))])
    async def waits() -> None:
        await suspend()

    run = suspended_run(world, waits, engine)
    run.cancel("Not wanted any more.")
    assert str(run.state) == "Cancelled('Not wanted any more.')"
    assert names(run) == ["Pending", "Running", "Suspended", "Cancelling", "Cancelled"]
    engine.close()
    assert told == ["Cancelling('Not wanted any more.')"]
    assert run.run_count == 1


@pytest.mark.anyio
async def test_cancelling_it_through_the_engine_waits_for_its_end() -> None:
    @flow
    async def waits() -> None:
        await suspend_flow_run()

    async with Engine() as engine:
        state = await waits(return_state=True)
        assert (await engine.cancel(id_of(state))).is_cancelled()


def test_it_may_be_cancelled_before_its_body_has_ended(world: World, engine: Engine) -> None:
    """Found by reading: the run crashed."""
    gate, begun = world.gate(), world.flow_gate()

    @world.task
    async def slow() -> None:
        begun.open()
        await gate.passed()

    def attend(run: FlowRun) -> None:
        run.cancel()
        gate.open()

    @world.flow
    async def waits() -> None:
        slow.submit()
        await begun.passed()
        await suspend()

    person = Person(engine, attend)
    assert world.run(waits, engine=engine, return_state=True).is_cancelled()
    person.done()


def test_one_that_has_just_been_resumed_is_cancelled(world: World, engine: Engine) -> None:
    bodies: list[int] = []

    @world.flow
    async def waits() -> None:
        bodies.append(1)
        await suspend()

    for _ in range(20):
        run = suspended_run(world, waits, engine)
        future = resume(run)
        run.cancel()
        assert future.wait(PATIENCE)
        # A sync body that is over before that completes; it has nothing to wait for.
        assert run.type in ((StateType.CANCELLED,) if world.async_flows else (StateType.CANCELLED, StateType.COMPLETED))
    assert len(bodies) >= 20


@pytest.mark.anyio
@pytest.mark.parametrize("cut", [cut_by_asyncio, cut_by_scope, cut_by_engine], ids=lambda cut: cut.__name__)
async def test_a_suspension_is_cut_off_at_any_point(cut: Any) -> None:
    @task
    async def beside() -> None:
        await asyncio.sleep(0)

    @task
    async def asks() -> None:
        await asyncio.sleep(0)
        await suspend_flow_run(key="task")

    @flow(retries=1)
    async def waits(runs: list[FlowRun]) -> None:
        runs.append(this_run())
        beside.submit()
        await suspend_flow_run(key="body")
        await asks()

    async def make() -> None:
        runs: list[FlowRun] = []
        try:
            state = await waits(runs, return_state=True)
            while state.is_paused():
                future = resume_flow_run(runs[0].uuid)
                await until(lambda: runs[0].let_go or runs[0].done)
                state = future.state
        finally:
            for run in runs:
                run.cancel()

    trials = [trial async for trial in at_every_checkpoint(make, cut)]
    assert len([trial for trial in trials if any(event.state.is_paused() for event in trial.events)]) > 4
    last = trials[-1].flow_state()
    assert last is not None
    assert last.is_completed()


# The end of the engine.


def test_an_engine_that_is_closed_cancels_a_suspended_run(world: World, engine: Engine) -> None:
    """Found by reading: a run whose loop was closed had crashed."""

    @world.flow
    async def waits() -> None:
        await suspend()

    run = suspended_run(world, waits, engine)
    engine.close()
    assert str(run.state) == "Cancelled('The engine is closing, and nobody can resume it any more.')"


@pytest.mark.anyio
async def test_a_run_that_is_suspended_while_its_engine_closes_is_cancelled() -> None:
    """Found by reading: the engine waited for it, and nobody could resume it."""
    gate = asyncio.Event()

    @flow
    async def waits() -> None:
        await gate.wait()
        await suspend_flow_run()

    engine = Engine()
    future = engine.start(waits)
    await until(lambda: future.flow_run.type is StateType.RUNNING)
    closing = asyncio.create_task(engine.aclose())
    await turns()
    assert not closing.done()
    gate.set()
    await closing
    assert names(future.flow_run) == ["Pending", "Running", "Suspended", "Cancelling", "Cancelled"]


@pytest.mark.anyio
async def test_a_run_that_has_just_been_resumed_is_waited_for_by_its_engine() -> None:
    @flow
    async def waits() -> str:
        await suspend_flow_run()
        return "on"

    async with Engine():
        state = await waits(return_state=True)
        future = resume_flow_run(id_of(state))
    assert future.state.is_completed()


# What is left behind.


@pytest.mark.parametrize("how", ["resumed", "cancelled", "lapsed"])
@pytest.mark.parametrize("kind", [SYNC, ASYNC], ids=lambda kind: kind.name)
def test_nothing_holds_a_run_that_was_suspended(engine: Engine, time: Stepped, kind: World, how: str) -> None:
    class Held:
        pass

    @kind.flow(retries=1)
    async def waits(_held: Held) -> None:
        await suspend(timeout=60)

    given = Held()
    run = suspended_run(kind, waits, engine, given)
    held = ref(given)
    if how == "resumed":
        assert resume(run).wait(PATIENCE)
    elif how == "cancelled":
        run.cancel()
    else:
        time.advance(60)
    assert run.done
    del run, given
    engine.close()
    gc.collect()
    assert held() is None
    assert time.waiting == 0


@pytest.mark.anyio
async def test_a_thousand_runs_are_suspended_at_once_and_resumed() -> None:
    @flow
    async def waits(number: int) -> Any:
        return number, await suspend_flow_run()

    async with Engine() as engine:
        futures = [engine.start(waits, number) for number in range(1000)]
        await until(lambda: all(future.flow_run.let_go for future in futures))
        assert len(engine.flow_runs()) == 1000
        for number, future in enumerate(futures):
            _ = resume_flow_run(future.flow_run_id, -number)
        assert [await future for future in futures] == [(number, -number) for number in range(1000)]
