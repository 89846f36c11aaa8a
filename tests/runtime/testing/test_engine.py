"""The engine of tests: attempts that fail by request, runs that are remembered, and what is said of how they ended."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Generator
from typing import Any
from uuid import uuid4

import pytest

from millrace import ConfigurationError, Engine, Event, Failed, allow_failure, current
from millrace.runtime.entering import stand_in
from millrace.runtime.testing import SeenRun, VirtualEngine, assert_completed, assert_failed, assert_states, ending
from millrace.runtime.testing.ending import end, end_blocking
from tests.loose import flow, task
from tests.runtime.worlds import World


@pytest.fixture
def engine() -> Generator[VirtualEngine]:
    """The engine of all calls."""
    engine = VirtualEngine()
    with stand_in(engine):
        yield engine
    engine.close()


# Faults.


@pytest.mark.parametrize("how", ["call", "submit", "map"])
def test_the_first_attempts_of_each_run_fail(how: str, world: World, engine: VirtualEngine) -> None:
    @world.task(retries=2)
    def step(number: int) -> int:
        return number

    async def body() -> list[Any]:
        numbers = [[1], [2]] if how == "map" else [1, 2]
        started = [await world.start(how, step, number) for number in numbers]
        return started if how == "call" else [await world.result(each) for each in started]

    with engine.fail(step, attempts=2, error=TimeoutError("too late")) as fault:
        assert world.body(body) == ([[1], [2]] if how == "map" else [1, 2])

    assert fault.raised == 4
    assert [each.run_count for each in engine.runs(step)] == [3, 3]


@pytest.mark.parametrize(("attempts", "raised"), [(None, 3), (1, 1)])
def test_all_attempts_fail_or_the_first(attempts: int | None, raised: int, engine: VirtualEngine) -> None:
    @task(retries=2)
    def step() -> str:
        return "done"

    with engine.fail(step, attempts=attempts, error=ValueError) as fault:
        state = step(return_state=True)

    assert (fault.raised, state.is_failed()) == (raised, attempts is None)


def test_outside_of_the_block_nothing_fails(engine: VirtualEngine) -> None:
    @task
    def step() -> str:
        return "done"

    with engine.fail(step), pytest.raises(RuntimeError):
        step()

    assert step() == "done"


def test_the_error_is_the_one_that_was_given(engine: VirtualEngine) -> None:
    @task
    def step() -> None:
        raise AssertionError("The function is not called.")

    error = TimeoutError("too late")
    with engine.fail(step, error=error):
        state = step(return_state=True)

    assert assert_failed(state, TimeoutError) is error


def test_changed_copies_and_bound_ones_fail_too(engine: VirtualEngine) -> None:
    class Client:
        @task
        def fetch(self) -> str:
            return "fetched"

    changed = Client.fetch.with_options(name="changed", retries=1)

    with engine.fail(Client.fetch) as fault:
        with pytest.raises(RuntimeError):
            Client().fetch()
        assert changed(Client()) == "fetched"

    assert fault.raised == 2
    assert [each.run_count for each in engine.runs(Client.fetch)] == [1, 2]


def test_other_tasks_do_not_fail(engine: VirtualEngine) -> None:
    @task
    def step() -> str:
        return "done"

    @task
    def other() -> str:
        return "done"

    with engine.fail(other):
        assert step() == "done"


@pytest.mark.anyio
async def test_generators_fail_too(engine: VirtualEngine) -> None:
    @task(retries=1)
    def numbers() -> Generator[int]:
        yield from (current.task_run.run_count, 0)

    @task(retries=1)
    async def async_numbers() -> AsyncGenerator[int]:
        yield current.task_run.run_count

    @flow
    async def body() -> list[list[int]]:
        return [
            list(numbers()),
            [each async for each in async_numbers()],
            await numbers.submit(),
            await async_numbers.submit(),
        ]

    with engine.fail(numbers), engine.fail(async_numbers):
        assert await body() == [[2, 0], [2], [2, 0], [2]]


def test_a_crash_can_be_asked_for_too(engine: VirtualEngine) -> None:
    @task
    def step() -> None:
        pass

    with engine.fail(step, error=SystemExit(3)), pytest.raises(SystemExit):
        step()

    assert [each.state.name for each in engine.runs(step)] == ["Crashed"]


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"task": len}, r"^'task' takes a task, as @task makes them, not "),
        ({"attempts": 0}, r"^'attempts' takes a whole number, 1 or more, not 0\.$"),
        ({"error": "too late"}, r"^'error' takes an exception, or a class of exceptions, not 'too late'\.$"),
        ({"error": int}, r"^'error' takes an exception, or a class of exceptions, not "),
    ],
    ids=["task", "attempts", "error", "class"],
)
def test_a_fault_that_cannot_be_is_told(given: dict[str, Any], told: str, engine: VirtualEngine) -> None:
    @task
    def step() -> None:
        pass

    with pytest.raises(ConfigurationError, match=told):
        engine.fail(**{"task": step, **given}).__enter__()


# What is remembered.


def test_runs_are_remembered_with_all_their_states(world: World, engine: VirtualEngine) -> None:
    @world.task(retries=1, retry_delay_seconds=1, task_run_name="step-{number}")
    def step(number: int) -> int:
        return number

    @world.task
    def after(number: int) -> int:
        return number

    async def body() -> str:
        with engine.fail(step):
            await world.ended(after.map(step.map([1, 2])))
        return "done"

    world.body(body)

    seen = engine.runs(step)
    assert sorted(each.name for each in seen) == ["step-1", "step-2"]
    for each in seen:
        assert_states(each, "Pending", "Running", "AwaitingRetry", "Retrying", "Completed")
    assert len(engine.runs(after)) == 2
    assert len(engine.runs()) == 4


def test_runs_that_never_began_are_remembered_too(engine: VirtualEngine) -> None:
    @task
    def step() -> None:
        raise ValueError

    @task
    def after(_: Any) -> None:
        pass

    @flow
    def body() -> str:
        after.submit(step.submit()).wait()
        after.submit(allow_failure(step.submit())).wait()
        return "done"

    body()

    assert [[state.name for state in each.states] for each in engine.runs(after)] == [
        ["Pending", "NotReady"],
        ["Pending", "Running", "Completed"],
    ]


def test_flow_runs_are_remembered(engine: VirtualEngine) -> None:
    @flow
    def inner() -> int:
        return 1

    @flow
    def outer() -> Any:
        return inner() + inner.with_options(name="other")()

    assert outer() == 2

    assert [each.of.name for each in engine.runs(inner)] == ["inner", "other"]
    assert [assert_completed(each) for each in engine.runs(outer)] == [2]


def test_subscribers_hear_of_all_runs_as_of_any_engine(engine: VirtualEngine) -> None:
    events: list[Event] = []

    @task
    def step() -> None:
        pass

    engine.subscribe(events.append)
    step()

    assert [event.state.name for event in events] == ["Pending", "Running", "Completed"]


# What is said.


def test_of_a_run_that_did_not_complete_its_way_is_told_and_the_cause(engine: VirtualEngine) -> None:
    @task(retries=1, task_run_name="the step")
    def step() -> None:
        raise ValueError("no")

    future = step.submit()
    assert future.wait()

    for run in (future, engine.runs(step)[0], future.source):
        with pytest.raises(AssertionError) as told:
            assert_completed(run)
        assert str(told.value) == (
            "Run 'the step' is Failed('ValueError: no'), and it should be Completed."
            " Its states: Pending -> Running -> Retrying -> Failed."
        )
        assert repr(told.value.__cause__) == "ValueError('no')"


def test_a_state_is_told_without_a_way() -> None:
    with pytest.raises(AssertionError, match=r"^The run is Failed\('no'\), and it should be Completed\. Its states:"):
        assert_completed(Failed(message="no"))


def test_how_a_run_failed_is_checked(engine: VirtualEngine) -> None:
    @task(task_run_name="the step")
    def step(error: Exception | None) -> None:
        if error is not None:
            raise error

    failed = step(ValueError("no number"), return_state=True)

    assert str(assert_failed(failed)) == "no number"
    assert str(assert_failed(failed, ValueError, "number")) == "no number"
    with pytest.raises(AssertionError, match="it should have failed with KeyError"):
        assert_failed(failed, KeyError)
    with pytest.raises(AssertionError, match="it should have failed with ValueError with 'letter'"):
        assert_failed(failed, ValueError, "letter")
    with pytest.raises(AssertionError, match=r"^The run is Completed\(\), and it should be Failed\."):
        assert_failed(step(None, return_state=True))


def test_which_states_a_run_has_had_is_checked() -> None:
    @task
    def step() -> None:
        pass

    run = SeenRun(uuid4(), step, "run", [Failed()])

    assert_states(run, "Failed")
    with pytest.raises(AssertionError, match=r"and it should be Pending -> Failed\. Its states: Failed\.$"):
        assert_states(run, "Pending", "Failed")


# The end.


@pytest.fixture
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What ends by itself would have done so long ago."""
    monkeypatch.setattr(ending, "PATIENCE_SECONDS", 0.02)


@pytest.mark.anyio
async def test_what_ends_by_itself_is_not_left_behind(engine: VirtualEngine) -> None:
    @flow
    async def short() -> None:
        for _ in range(50):
            await asyncio.sleep(0)

    _ = engine.start(short)

    assert await end(engine) == []
    assert engine.closed
    assert await end(engine) == []


@pytest.mark.anyio
async def test_what_does_not_is_told_and_cancelled(no_patience: None) -> None:
    engine = VirtualEngine()

    @flow(name="endless")
    async def for_ever() -> None:
        await asyncio.Event().wait()

    future = engine.start(for_ever)

    assert await end(engine) == [f"Flow run '{future.name}' of 'endless' is still Running."]
    assert future.state.is_cancelled()


@pytest.mark.anyio
async def test_what_does_not_stop_either_is_given_up(no_patience: None) -> None:
    engine = VirtualEngine()
    stop = asyncio.Event()

    @flow
    async def stubborn() -> None:
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    future = engine.start(stubborn)
    await asyncio.sleep(0)
    left = await end(engine)
    stop.set()

    assert len(left) == 1
    assert future.state.is_crashed()
    assert "The test has ended." in str(future.state.data)


def test_a_thread_that_goes_on_is_left_behind(no_patience: None) -> None:
    engine = VirtualEngine()
    begun, gate = threading.Event(), threading.Event()

    @task
    def block() -> None:
        begun.set()
        gate.wait()

    with stand_in(engine):
        future = block.submit()
        begun.wait()
        future.cancel()
        left = end_blocking(engine)
        gate.set()

    assert left == ["1 of the engine's threads still run a body whose run was cancelled or timed out."]


def test_an_engine_that_stands_in_is_the_one_of_all_calls_in_no_other() -> None:
    outer, inner = VirtualEngine(), VirtualEngine()
    found: list[Engine] = []

    def look() -> None:
        found.append(Engine.current())

    async def entered() -> None:
        async with Engine() as own:
            look()
            assert found.pop() is own
        look()

    with stand_in(outer):
        look()
        with stand_in(inner):
            asyncio.run(entered())
        thread = threading.Thread(target=look)
        thread.start()
        thread.join()
    look()

    assert found[:3] == [outer, inner, outer]
    assert found[3] not in (outer, inner)
