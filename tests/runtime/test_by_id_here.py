"""Flow runs of this process by their ids, from threads and tasks that are in no block of their engine."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from threading import Thread
from typing import Any, TypeVar

import pytest

from millrace import (
    BlockingCallOnLoop,
    Engine,
    FlowFuture,
    NotPausedError,
    RunNotFound,
    acancel_flow_run,
    cancel_flow_run,
    create_flow_run,
    flow,
    pause_flow_run,
    resume_flow_run,
    run_flow,
    suspend_flow_run,
)
from millrace.runtime.engines import engine_that_runs
from tests.runtime.people import Watcher
from tests.runtime.worlds import PATIENCE, World

R = TypeVar("R")


@pytest.fixture
def engine() -> Iterator[Engine]:
    """An engine that is in no block: whoever has a run's id has nothing else."""
    made = Engine()
    yield made
    made.close(cancel=True)


def in_a_thread(call: Callable[[], R]) -> R:
    """Call something in a thread, which begins in an empty context."""
    outcomes: list[Any] = []

    def run() -> None:
        try:
            outcomes.append(call())
        except BaseException as error:  # noqa: BLE001  # it is what is asked for
            outcomes.append(error)

    thread = Thread(target=run)
    thread.start()
    thread.join(PATIENCE)
    (outcome,) = outcomes
    if isinstance(outcome, BaseException):
        raise outcome
    result: R = outcome
    return result


def paused(world: World, engine: Engine) -> FlowFuture[Any]:
    """A run that is paused."""
    there = Watcher(engine, lambda event: event.state.is_paused())

    @world.flow
    async def asks() -> Any:
        answer = pause_flow_run(wait_for_input=int)
        return await answer if world.async_flows else answer

    future: FlowFuture[Any] = engine.start(asks)
    there.await_one()
    return future


def test_any_thread_resumes_it(world: World, engine: Engine) -> None:
    """Found by trying: a thread that was in no block looked in the default engine only."""
    future = paused(world, engine)
    _ = in_a_thread(lambda: resume_flow_run(future.flow_run_id, "7"))
    assert future.result(timeout=PATIENCE) == 7
    with pytest.raises(RunNotFound, match="it may have ended"):
        _ = in_a_thread(lambda: resume_flow_run(future.flow_run_id, "7"))


def test_any_task_of_another_loop_resumes_it(world: World, engine: Engine) -> None:
    future = paused(world, engine)

    async def resume() -> None:
        _ = resume_flow_run(str(future.flow_run_id), 8)

    asyncio.run(resume())
    assert future.result(timeout=PATIENCE) == 8


def test_any_thread_cancels_it(world: World, engine: Engine) -> None:
    future = paused(world, engine)
    assert in_a_thread(lambda: cancel_flow_run(future.flow_run_id)).is_cancelled()
    assert future.state.is_cancelled()
    other = paused(world, engine)
    assert asyncio.run(acancel_flow_run(other.flow_run_id)).is_cancelled()


def test_any_thread_pauses_and_suspends_it(world: World, engine: Engine) -> None:
    begun, gate = world.flow_gate(), world.flow_gate()

    @world.flow
    async def body() -> str:
        begun.open()
        await gate.passed()
        return "done"

    future = engine.start(body)
    assert begun._event.wait(PATIENCE)
    in_a_thread(lambda: pause_flow_run(flow_run_id=future.flow_run_id))
    assert future.state.is_paused()
    _ = in_a_thread(lambda: resume_flow_run(future.flow_run_id))
    in_a_thread(lambda: suspend_flow_run(flow_run_id=future.flow_run_id))
    assert future.state.name == "Suspended"
    _ = in_a_thread(lambda: resume_flow_run(future.flow_run_id))
    with pytest.raises(NotPausedError):
        _ = in_a_thread(lambda: resume_flow_run(future.flow_run_id))
    gate.open()
    assert future.result(timeout=PATIENCE) == "done"


def test_any_thread_executes_what_was_made_ahead(world: World) -> None:
    @world.flow
    async def body(number: int) -> int:
        return number * 2

    with Engine() as engine:
        run_id = create_flow_run(body, {"number": 3})
        call = (lambda: asyncio.run(run_flow(body, flow_run_id=run_id))) if world.async_flows else None
        assert in_a_thread(call or (lambda: run_flow(body, flow_run_id=run_id))) == 6
        assert not engine.flow_runs()


@pytest.mark.anyio
async def test_a_sync_flow_that_was_made_ahead_is_executed_on_the_thread_of_a_loop_as_it_is_called_there() -> None:
    @flow
    def body(number: int) -> int:
        return number * 2

    async with Engine() as engine:
        run_id = create_flow_run(body, {"number": 3})
        assert run_flow(body, flow_run_id=run_id) == 6
        other = create_flow_run(body, {"number": 3})
        with pytest.raises(BlockingCallOnLoop, match="await acancel_flow_run"):
            cancel_flow_run(other)
        assert (await acancel_flow_run(other)).is_cancelled()
        assert not engine.flow_runs()


def test_an_engine_that_nobody_holds_is_not_found_any_more() -> None:
    with Engine() as engine:
        run_id = create_flow_run(flow(lambda: None))
        assert engine_that_runs(run_id) is engine
        assert engine_that_runs("no id") is None
    assert engine_that_runs(run_id) is None
