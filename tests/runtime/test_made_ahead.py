"""Flow runs that are there before they are executed, in an engine without a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Generator, Iterator
from datetime import UTC, datetime, timedelta
from threading import Barrier, Thread
from typing import Any

import pytest

from millrace import (
    Abort,
    ConfigurationError,
    Engine,
    EngineClosed,
    Event,
    FlowDefinitionError,
    FlowRun,
    ParameterTypeError,
    Pending,
    RunNotFound,
    RunNotResumable,
    SignatureMismatchError,
    acreate_flow_run,
    create_flow_run,
    current,
    flow,
    propose_state,
    run_flow,
    tags,
)
from millrace.runtime.entering import ENTERED
from tests.clock import START, Stepped
from tests.runtime.people import execute
from tests.runtime.worlds import PATIENCE, World

IN_A_MINUTE = datetime.fromtimestamp(START / 1e9, UTC) + timedelta(minutes=1)


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    token = ENTERED.set(made)
    yield made
    ENTERED.reset(token)
    made.close(cancel=True)


def names(run: FlowRun) -> list[str]:
    return [state.name for state in run.history()]


async def doubled(number: int) -> int:
    return number * 2


def test_a_run_that_is_made_ahead_is_scheduled_until_it_is_executed_by_its_id(world: World, engine: Engine) -> None:
    ran: list[str | None] = []

    @world.flow(flow_run_name="of-{number}")
    async def body(number: int) -> int:
        ran.append(current.flow_run.id)
        return number * 2

    run_id = create_flow_run(body, {"number": "3"})
    run = engine.find_flow_run(run_id)
    assert run.state.explain().startswith("Scheduled: It was made ahead, and waits to be executed (due at ")
    assert (run.state.name, run.parameters, run.start_time, ran) == ("Scheduled", {"number": "3"}, None, [])

    assert execute(world, body, run_id) == 6
    assert ran == [str(run_id)]
    assert (run.name, run.parameters, run.run_count) == ("of-3", {"number": 3}, 1)
    assert names(run) == ["Pending", "Scheduled", "Running", "Completed"]
    assert not engine.flow_runs()


def test_its_final_state_is_given_where_that_is_asked_for(world: World, engine: Engine) -> None:
    body = world.flow(doubled)
    state = execute(world, body, create_flow_run(body, {"number": 3}), return_type="state")
    assert state.result() == 6
    assert not engine.flow_runs()


@pytest.mark.usefixtures("engine")
def test_its_parameters_are_validated_when_it_is_executed(world: World) -> None:
    body = world.flow(doubled)
    run_id = create_flow_run(body, {"number": "three"})
    with pytest.raises(ParameterTypeError):
        execute(world, body, run_id)


@pytest.mark.usefixtures("engine")
def test_other_parameters_take_the_place_of_those_that_it_was_made_with(world: World) -> None:
    body = world.flow(doubled)
    run_id = create_flow_run(body, {"number": "3"})
    with pytest.raises(SignatureMismatchError):
        execute(world, body, run_id, parameters={"digit": 5})
    assert execute(world, body, run_id, parameters={"number": "5"}) == 10


@pytest.mark.usefixtures("engine")
def test_it_has_the_tags_of_where_it_was_made(world: World) -> None:
    @world.flow
    async def body() -> Any:
        return current.flow_run.tags

    with tags("nightly"):
        run_id = create_flow_run(body)
    assert execute(world, body, run_id) == ["nightly"]


def test_it_begins_at_the_time_for_which_it_was_made_and_not_before(world: World) -> None:
    time = Stepped()

    @world.flow
    async def body() -> float:
        return time.elapsed

    with Engine(clock=time.now, timers=time) as engine:
        run = engine.find_flow_run(create_flow_run(body, scheduled_time=IN_A_MINUTE))
        future = engine.resume(run.uuid)
        time.timer_set()
        assert not future.done()
        assert run.expected_start_time == IN_A_MINUTE
        time.advance(60)
        assert future.result(timeout=PATIENCE) == 60
    assert names(run) == ["Pending", "Scheduled", "Running", "Completed"]


def test_cancelled_while_it_waits_for_its_time_it_never_begins(world: World) -> None:
    time = Stepped()
    ran: list[int] = []

    @world.flow
    async def body() -> None:
        ran.append(1)

    with Engine(clock=time.now, timers=time) as engine:
        future = engine.resume(create_flow_run(body, scheduled_time=IN_A_MINUTE))
        time.timer_set()
        future.flow_run.cancel()
        assert future.wait(PATIENCE)
        assert future.state.is_cancelled()
    assert not ran


def test_cancelled_before_anybody_executes_it_it_has_ended_and_its_hooks_are_called(
    world: World, engine: Engine
) -> None:
    told: list[str] = []
    body = world.flow(doubled, on_cancellation=[lambda *each: told.append(each[2].name)])
    run_id = create_flow_run(body, {"number": 3})
    run = engine.find_flow_run(run_id)
    state = asyncio.run(engine.cancel(run_id))
    assert state.is_cancelled()
    assert told == ["Cancelling"]
    assert names(run) == ["Pending", "Scheduled", "Cancelling", "Cancelled"]
    with pytest.raises(RunNotFound, match="without a store it may have ended"):
        execute(world, body, run_id)


def test_only_one_of_many_executes_it(world: World, engine: Engine) -> None:
    ran: list[int] = []
    outcomes: list[Any] = []
    together = Barrier(8)

    @world.flow
    async def body() -> None:
        ran.append(1)

    run_id = create_flow_run(body)

    def attempt() -> None:
        together.wait(PATIENCE)
        try:
            outcomes.append(engine.resume(run_id))
        except (RunNotResumable, RunNotFound) as error:
            outcomes.append(error)

    threads = [Thread(target=attempt) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    (future,) = [each for each in outcomes if not isinstance(each, Exception)]
    assert future.result(timeout=PATIENCE) is None
    assert ran == [1]


def test_one_that_is_being_executed_is_not_executed_again(world: World, engine: Engine) -> None:
    begun, gate = world.flow_gate(), world.flow_gate()

    @world.flow
    async def body() -> None:
        begun.open()
        await gate.passed()

    run_id = create_flow_run(body)
    future = engine.resume(run_id)
    assert begun._event.wait(PATIENCE)
    with pytest.raises(RunNotResumable, match="it is RUNNING, and no run that was made ahead and waits for somebody"):
        _ = engine.resume(run_id)
    gate.open()
    assert future.wait(PATIENCE)


def test_an_engine_that_is_closed_cancels_what_nobody_has_executed(world: World) -> None:
    body = world.flow(doubled)
    with Engine() as engine:
        run = engine.find_flow_run(create_flow_run(body, {"number": 3}))
    assert str(run.state) == "Cancelled('The engine is closing, and nobody can execute it any more.')"
    token = ENTERED.set(engine)
    with pytest.raises(EngineClosed):
        create_flow_run(body, {"number": 3})
    ENTERED.reset(token)


def test_whoever_is_told_that_it_was_made_finds_it_and_its_events_are_in_order(world: World, engine: Engine) -> None:
    heard: list[tuple[int, str, str]] = []

    def listen(event: Event) -> None:
        assert event.flow_run_id is not None
        assert engine.find_flow_run(event.flow_run_id).state.id == event.id
        heard.append((event.sequence, event.state.name, event.cause))

    engine.subscribe(listen)
    create_flow_run(world.flow(doubled), {"number": 3})
    assert heard == [(0, "Pending", "created"), (1, "Scheduled", "scheduled")]


def test_a_listener_that_is_told_of_it_is_not_kept_waiting_for_it(world: World, engine: Engine) -> None:
    body = world.flow(doubled)
    refused: list[str] = []

    def listen(event: Event) -> None:
        assert event.flow_run_id is not None
        try:
            _ = engine.resume(event.flow_run_id)
        except RunNotResumable as error:
            refused.append(error.reason)

    unsubscribe = engine.subscribe(listen)
    run_id = create_flow_run(body, {"number": 3})
    unsubscribe()
    assert len(refused) == 2
    assert execute(world, body, run_id) == 6


@pytest.mark.usefixtures("engine")
def test_as_long_as_nobody_executes_it_no_state_can_be_proposed_to_it(world: World) -> None:
    run_id = create_flow_run(world.flow(doubled), {"number": 3})
    with pytest.raises(Abort, match="nobody executes it yet; execute it by its id, or cancel it, instead"):
        propose_state(Pending(), flow_run_id=run_id)


@pytest.mark.usefixtures("engine")
def test_it_is_executed_as_a_run_of_its_own_flow(world: World) -> None:
    run_id = create_flow_run(world.flow(doubled), {"number": 3})
    with pytest.raises(ConfigurationError, match=r"^'flow' takes <.*Flow 'doubled'>, of which the run was made, not"):
        execute(world, world.flow(doubled), run_id)


@pytest.mark.usefixtures("engine")
def test_methods_are_made_ahead_too() -> None:
    class Shop:
        def __init__(self, town: str) -> None:
            self.town = town

        @flow
        def stock(self, year: int) -> str:
            return f"{self.town} in {year}"

    shop = Shop("Oslo")
    run_id = create_flow_run(shop.stock, {"year": 2026})
    assert run_flow(shop.stock, flow_run_id=run_id) == "Oslo in 2026"


@pytest.mark.anyio
async def test_async_code_makes_runs_ahead_too() -> None:
    @flow
    async def body() -> Any:
        return current.flow_run.tags

    async with Engine() as made:
        with tags("soon"):
            first, second = await acreate_flow_run(body), create_flow_run(body)
        assert await run_flow(body, flow_run_id=first) == ["soon"]
        assert await made.resume(second) == ["soon"]


# Misuse.


def test_what_is_no_flow_is_refused() -> None:
    with pytest.raises(FlowDefinitionError, match=r"^create_flow_run\(\) of"):
        create_flow_run(doubled)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_a_flow_that_yields_is_refused() -> None:
    @flow
    def count() -> Generator[int]:
        yield 1

    @flow
    async def count_async() -> AsyncGenerator[int]:
        yield 1

    for each in (count, count_async):
        with pytest.raises(FlowDefinitionError, match="expected a flow that returns"):
            create_flow_run(each)


def test_parameters_have_to_fit(world: World, engine: Engine) -> None:
    body = world.flow(doubled)
    for parameters in ({}, {"number": 1, "digit": 2}):
        with pytest.raises(SignatureMismatchError):
            create_flow_run(body, parameters)
    with pytest.raises(ConfigurationError, match=r"^'parameters' takes a mapping"):
        create_flow_run(body, [3])  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert not engine.flow_runs()


def test_a_time_that_is_none_is_refused(world: World, engine: Engine) -> None:
    body = world.flow(doubled)
    with pytest.raises(ConfigurationError, match=r"^'scheduled_time' takes a datetime"):
        create_flow_run(body, {"number": 1}, scheduled_time="now")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert not engine.flow_runs()
