"""What a paused flow run is resumed with, and which pauses count as the same."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from threading import Thread
from typing import Any

import attrs
import pytest

from millrace import Engine, FlowRun, ParameterTypeError, StateType, resume_flow_run
from tests.runtime.people import Person, Watcher, names, pause, resumed_with, suspend, this_run
from tests.runtime.worlds import PATIENCE, SYNC, World


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close(cancel=True)


@attrs.frozen
class Approval:
    who: str
    pages: int = 1


@dataclass
class Range:
    first: date
    last: date


@attrs.frozen
class Defaults:
    limit: int = 10


# Inputs.

KINDS = [pytest.param(pause, id="paused"), pytest.param(suspend, id="suspended")]
INPUTS: list[tuple[Any, Any, Any]] = [
    (int, "7", 7),
    (int, 7, 7),
    (Approval, {"who": "Ada", "pages": "3"}, Approval("Ada", 3)),
    (Approval, Approval("Ada"), Approval("Ada")),
    (Range, {"first": "2026-11-20", "last": "2026-11-21"}, Range(date(2026, 11, 20), date(2026, 11, 21))),
    (list[int], ("1", 2), [1, 2]),
    (dict[str, int], {"a": "1"}, {"a": 1}),
    (int | None, None, None),
    (Defaults, None, Defaults(10)),
    (dict[str, int], None, {}),
    (None, {"as": "it is"}, {"as": "it is"}),
    (None, None, None),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("wanted", "given", "expected"), INPUTS, ids=repr)
def test_the_input_is_converted_to_what_the_body_waits_for(
    engine: Engine, kind: Callable[..., Any], wanted: Any, given: Any, expected: Any
) -> None:
    @SYNC.flow
    async def waits() -> Any:
        return await kind(wait_for_input=wanted)

    person = Person(engine, resumed_with(given))
    future = engine.start(waits)
    assert future.result(PATIENCE) == expected
    person.done()


def test_what_fits_already_is_given_as_it_is(world: World, engine: Engine) -> None:
    approval = Approval("Ada")

    @world.flow
    async def waits() -> Any:
        return await pause(wait_for_input=Approval)

    person = Person(engine, resumed_with(approval))
    assert world.run(waits, engine=engine) is approval
    person.done()


MISTAKES: list[tuple[Any, Any, dict[str, str]]] = [
    (int, "seven", {"run_input": "'seven' is not a whole number"}),
    (int, None, {"run_input": "None is not a whole number"}),
    (Approval, {"who": "Ada", "pages": "many"}, {"run_input.pages": "'many' is not a whole number"}),
    (Approval, None, {"run_input.who": "is missing"}),
    (list[int], [1, "x"], {"run_input[1]": "'x' is not a whole number"}),
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("wanted", "given", "problems"), MISTAKES, ids=repr)
def test_wrong_input_is_an_error_where_it_is_given_and_the_run_stays_as_it_is(
    engine: Engine, kind: Callable[..., Any], wanted: Any, given: Any, problems: dict[str, str]
) -> None:
    right = {int: 3, Approval: Approval("Ada"), list[int]: [3]}[wanted]

    def attend(run: FlowRun) -> None:
        with pytest.raises(ParameterTypeError, match="Flow 'waits' was given 1 invalid parameter") as error:
            _ = resume_flow_run(run.uuid, given)
        assert error.value.problems == problems
        assert run.type is StateType.PAUSED
        _ = resume_flow_run(run.uuid, right)

    @SYNC.flow
    async def waits() -> Any:
        return await kind(wait_for_input=wanted)

    person = Person(engine, attend)
    assert engine.start(waits).result(PATIENCE) == right
    person.done()


# Keys.


def test_pauses_are_counted_and_each_has_its_own_input(world: World, engine: Engine) -> None:
    keys: list[Any] = []

    def answer(given: Any) -> Callable[[FlowRun], None]:
        def attend(run: FlowRun) -> None:
            keys.append(run.state.state_details.pause_key)
            _ = resume_flow_run(run.uuid, given)

        return attend

    @world.flow
    async def waits() -> Any:
        return await pause(), await pause(key="1"), await pause(), await pause(key="named")

    person = Person(engine, *map(answer, "abcd"))
    assert world.run(waits, engine=engine) == ("a", "b", "c", "d")
    person.done()
    assert keys == ["1", "1", "2", "named"]  # the first and the second are not the same, whatever they are called


def test_the_same_key_pauses_once(world: World, engine: Engine) -> None:
    @world.flow
    async def waits() -> Any:
        return [await pause(key="approve") for _ in range(3)]

    person = Person(engine, resumed_with("yes"))
    assert world.run(waits, engine=engine) == ["yes", "yes", "yes"]
    person.done()


def test_a_retry_of_the_flow_does_not_pause_again_where_it_was_resumed(world: World, engine: Engine) -> None:
    runs: list[FlowRun] = []

    @world.flow(retries=2)
    async def waits() -> Any:
        runs.append(this_run())
        given = [await pause(), await pause(key="named")]
        if len(runs) < 3:
            raise ValueError("once more")
        return given

    person = Person(engine, resumed_with("a"), resumed_with("b"))
    assert world.run(waits, engine=engine) == ["a", "b"]
    person.done()
    assert runs[0].run_count == 3
    assert names(runs[0]).count("Paused") == 2


def test_a_pause_in_a_task_that_is_not_run_again_is_not_taken_for_that_of_the_body(
    world: World, engine: Engine
) -> None:
    """Found by reading: both had the same number, so the body's did not happen, and was given what the task was."""
    attempts: list[int] = []

    @world.task
    async def asks() -> Any:
        return await pause()

    @world.flow(retries=1)
    async def waits() -> Any:
        attempts.append(1)
        first = await world.call(asks)
        if len(attempts) == 1:
            raise ValueError("once more")
        return first, await pause()

    person = Person(engine, resumed_with("the task's"), resumed_with("the body's"))
    assert world.run(waits, engine=engine) == ("the task's", "the body's")
    person.done()


def test_a_retry_of_a_task_does_not_pause_again(world: World, engine: Engine) -> None:
    attempts: list[int] = []

    @world.task(retries=1)
    async def asks() -> Any:
        attempts.append(1)
        given = await pause()
        if len(attempts) == 1:
            raise ValueError("once more")
        return given

    @world.flow
    async def waits() -> Any:
        return await world.call(asks)

    person = Person(engine, resumed_with("yes"))
    assert world.run(waits, engine=engine) == "yes"
    person.done()


def test_a_task_that_is_run_anew_in_a_retry_of_its_flow_does_not_pause_again(world: World, engine: Engine) -> None:
    attempts: list[int] = []

    @world.task
    async def asks(name: str) -> Any:
        attempts.append(1)
        given = await pause()
        if len(attempts) == 2:
            raise ValueError("once more")
        return f"{name}: {given}"

    @world.flow(retries=1)
    async def waits() -> Any:
        return [await world.call(asks, "first"), await world.call(asks, "second")]

    person = Person(engine, resumed_with("a"), resumed_with("b"))
    assert world.run(waits, engine=engine) == ["first: a", "second: b"]
    person.done()


def test_each_run_of_a_task_has_pauses_of_its_own(world: World, engine: Engine) -> None:
    @world.task
    async def asks() -> Any:
        return await pause(), await pause()

    @world.flow
    async def waits() -> Any:
        return [await world.call(asks), await world.call(asks)]

    person = Person(engine, *map(resumed_with, range(4)))
    assert world.run(waits, engine=engine) == [(0, 1), (2, 3)]
    person.done()


def test_who_pauses_with_the_key_of_the_present_pause_waits_for_the_end_of_that(world: World, engine: Engine) -> None:
    """Found by reading: the second one took the place of the first, which nobody could resume any more."""
    several = 3
    gate = world.gate()
    begun = Watcher(engine, lambda event: event.run_name.startswith("asks") and event.state.is_running())

    @world.task
    async def asks() -> Any:
        await gate.passed()
        return await pause(key="approve")

    @world.flow
    async def waits() -> Any:
        futures = [asks.submit() for _ in range(several)]
        return [await world.result(future) for future in futures]

    def attend() -> None:
        begun.await_one(several)
        gate.open()

    opener = Thread(target=attend)
    opener.start()
    person = Person(engine, resumed_with("yes"))
    assert world.run(waits, engine=engine) == ["yes"] * several
    opener.join(PATIENCE)
    person.done()
    assert names(person.runs[0]) == ["Pending", "Running", "Paused", "Running", "Completed"]
