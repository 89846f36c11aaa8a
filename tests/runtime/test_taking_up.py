"""Flow runs that are suspended, and executed by their id: in the engine that has them, or from a store."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread
from threading import Event as Flag
from typing import Any
from uuid import UUID

import pytest

from millrace import (
    ConfigurationError,
    Engine,
    Event,
    ParameterTypeError,
    RunNotResumable,
    State,
    create_flow_run,
    flow,
    resume_run,
    run_flow,
    suspend_flow_run,
    task,
)
from millrace.runtime.conductor import Conductor
from millrace.runtime.entering import ENTERED
from tests.clock import START
from tests.runtime.people import execute, id_of, names, pause, resume, suspend, suspended_run
from tests.runtime.worlds import PATIENCE, World

IT_IS_PAUSED = r"it is PAUSED, and .* Use resume_flow_run\(\)\.$"


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    token = ENTERED.set(made)
    yield made
    ENTERED.reset(token)
    made.close(cancel=True)


def asking(world: World, wanted: Any = None) -> Any:
    """A flow that asks something, and says how often its task has run and what it was told."""
    asked: list[str] = []

    @world.task
    async def asks(name: str) -> int:
        asked.append(name)
        return len(asked)

    @world.flow(persist_result=True)
    async def body(name: str) -> Any:
        count = asks(name)
        count = await count if world.async_tasks and world.async_flows else count
        return name, count, await suspend(wait_for_input=wanted)

    return body


def test_one_that_is_suspended_goes_on_here_with_what_it_had_come_to(world: World, engine: Engine) -> None:
    body = asking(world)
    run = suspended_run(world, body, engine, "Ada")

    assert execute(world, body, run.uuid) == ("Ada", 1, None)
    assert names(run) == ["Pending", "Running", "Suspended", "Resuming", "Running", "Completed"]


def test_plain_code_executes_one_of_an_async_flow_in_a_loop_of_its_own(engine: Engine) -> None:
    @task
    async def waits(number: int) -> int:
        await asyncio.sleep(0)
        return number

    @flow
    async def body(number: int) -> int:
        await suspend_flow_run()
        return await waits(number)

    run_id = create_flow_run(body, {"number": 3})
    assert resume_run(run_id, body, return_state=True).name == "Suspended"
    assert resume_run(run_id, body) == 3


def test_its_state_is_given_where_that_is_asked_for(world: World, engine: Engine) -> None:
    body = asking(world)
    run = suspended_run(world, body, engine, "Ada")

    state = execute(world, body, run.uuid, return_type="state")
    assert (state.name, id_of(state)) == ("Completed", run.uuid)


def test_other_parameters_take_the_place_of_those_that_it_had(world: World, engine: Engine) -> None:
    body = asking(world)
    run = suspended_run(world, body, engine, "Ada")

    assert execute(world, body, run.uuid, parameters={"name": "Grace"}) == ("Grace", 1, None)
    assert run.parameters == {"name": "Grace"}


def test_one_that_waits_for_what_has_to_be_given_stays_suspended(world: World, engine: Engine) -> None:
    body = asking(world, int)
    run = suspended_run(world, body, engine, "Ada")

    with pytest.raises(ParameterTypeError):
        execute(world, body, run.uuid)
    assert run.suspends
    assert resume(run, 3).result(PATIENCE) == ("Ada", 1, 3)


def test_one_whose_body_waits_for_the_end_of_its_pause_is_not_run_beside_it(world: World, engine: Engine) -> None:
    @world.flow
    async def body() -> Any:
        return await pause()

    paused = Flag()
    stop = engine.subscribe(lambda event: paused.set() if event.state.is_paused() else None)
    future = engine.start(body)
    assert paused.wait(PATIENCE)
    stop()
    run = engine.find_flow_run(future.flow_run_id)
    with pytest.raises(RunNotResumable, match=IT_IS_PAUSED):
        execute(world, body, run.uuid)
    assert names(run) == ["Pending", "Running", "Paused"]
    assert resume(run, 7).result(PATIENCE) == 7


def test_a_run_of_another_flow_is_not_taken_for_it(world: World, engine: Engine) -> None:
    body = asking(world)
    run = suspended_run(world, body, engine, "Ada")

    with pytest.raises(ConfigurationError, match="of which the run was made"):
        execute(world, asking(world), run.uuid)
    assert run.suspends


def test_of_many_who_come_one_executes_it(engine: Engine) -> None:
    begun: list[int] = []

    @flow
    def body() -> int:
        begun.append(1)
        suspend_flow_run()
        return len(begun)

    state = body(return_state=True)
    start, outcomes = Barrier(6), list[Any]()

    def come() -> None:
        token = ENTERED.set(engine)
        start.wait(PATIENCE)
        try:
            outcomes.append(run_flow(body, flow_run_id=id_of(state)))
        except (RunNotResumable, LookupError) as error:
            outcomes.append(type(error).__name__)
        ENTERED.reset(token)

    threads = [Thread(target=come) for _ in range(6)]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
    assert outcomes.count(2) == 1
    assert set(outcomes) - {2} <= {"RunNotResumable", "RunNotFound"}  # the latter, once it has ended
    assert (len(outcomes), begun) == (6, [1, 1])


def test_a_listener_that_is_told_of_its_suspension_cannot_execute_it(engine: Engine) -> None:
    refused: list[str] = []

    def listen(event: Event) -> None:
        if event.state.name == "Suspended" and event.flow_run_id is not None:
            with pytest.raises(RunNotResumable) as caught:
                run_flow(body, flow_run_id=event.flow_run_id)
            refused.append(caught.value.reason)

    @flow
    def body() -> None:
        suspend_flow_run()

    stop = engine.subscribe(listen)
    state: State[Any] = body(return_state=True)
    stop()
    assert (state.name, len(refused)) == ("Suspended", 1)


def test_one_that_is_about_to_be_let_go_is_left_to_whoever_comes_for_it(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1. The body ends for now. 2. Somebody executes the run. 3. Who saw it through before steps back from it."""
    body = asking(world)
    withdraw = Conductor._withdraw
    outcomes: list[Any] = []

    def come(run_id: UUID) -> None:
        ENTERED.set(engine)
        outcomes.append(execute(world, body, run_id))

    def withdraw_late(conductor: Conductor) -> Any:
        monkeypatch.undo()
        thread = Thread(target=come, args=[conductor.run.uuid])
        thread.start()
        thread.join(PATIENCE)
        return withdraw(conductor)

    monkeypatch.setattr(Conductor, "_withdraw", withdraw_late)
    state = world.run(body, "Ada", engine=engine, return_state=True)
    assert outcomes == [("Ada", 1, None)]
    assert state.name == "Completed"


def test_one_that_another_process_has_left_suspended_goes_on_too(world: World, tmp_path: Path) -> None:
    """It ran up to its suspension, and was suspended again."""
    store = f"sqlite:///{tmp_path}/runs.db"
    body = asking(world)
    with Engine(store=store) as engine:
        run_id = suspended_run(world, body, engine, "Ada").uuid
    with Engine(store=store) as engine:
        token = ENTERED.set(engine)
        assert execute(world, body, run_id) == ("Ada", 1, None)
        ENTERED.reset(token)


def test_one_whose_pause_was_over_before_anybody_came_is_not_executed(tmp_path: Path) -> None:
    store = f"sqlite:///{tmp_path}/runs.db"

    @flow
    def body() -> None:
        suspend_flow_run(timeout=60)

    with Engine(store=store, clock=lambda: START) as engine:
        token = ENTERED.set(engine)
        state = body(return_state=True)
        ENTERED.reset(token)
    with Engine(store=store, clock=lambda: START + 61_000_000_000) as engine:
        token = ENTERED.set(engine)
        with pytest.raises(RunNotResumable, match="its pause was over"):
            run_flow(body, flow_run_id=id_of(state))
        ENTERED.reset(token)
