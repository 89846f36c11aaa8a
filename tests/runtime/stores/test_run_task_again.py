"""Task runs on record that crashed or failed, and are executed again by `run_task`, under their id."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from threading import Barrier, Thread
from typing import Any
from uuid import UUID

import pytest

from millrace import (
    ConfigurationError,
    Engine,
    StateType,
    flow,
    read_task_run,
    read_task_run_states,
    run_task,
    tags,
    task,
)
from millrace.runtime.entering import ENTERED
from tests.runtime.stores.places import Place
from tests.runtime.worlds import PATIENCE, World

CHOSEN = UUID(int=77 << 64)
MAY_NOT = "takes the id of no run that is on record, but of one of the same task, outside of any flow"


class Stop(BaseException):
    """What crashes a run, and is raised to nobody else."""


def ran(world: World, made: Any, number: int, **options: Any) -> Any:
    """What `run_task` gives, from plain code."""
    given = run_task(made, {"number": number}, task_run_id=CHOSEN, **options)
    if not world.async_tasks:
        return given
    with asyncio.Runner(loop_factory=world.new_loop) as runner:
        return runner.run(_awaited(given))


async def _awaited(given: Any) -> Any:
    return await given


def failing(world: World, times: int, error: Callable[[int], BaseException] = ValueError, **options: Any) -> Any:
    """A task whose first runs end with an error."""
    begun: list[int] = []

    @world.task(**options)
    async def work(number: int) -> int:
        begun.append(number)
        if len(begun) <= times:
            raise error(number)
        return number

    return work


def in_engine(place: Place, call: Callable[[], Any]) -> Any:
    """Call something in an engine with the store, which is closed after that."""
    with Engine(store=place.store()) as engine:
        token = ENTERED.set(engine)
        try:
            return call()
        finally:
            ENTERED.reset(token)


def names() -> list[str]:
    return [each.state.name for each in read_task_run_states(CHOSEN)]


def test_one_that_failed_is_executed_again_with_the_parameters_that_are_given(world: World, place: Place) -> None:
    work = failing(world, 1)

    def body() -> None:
        assert ran(world, work, 1, return_type="state").type is StateType.FAILED
        assert ran(world, work, 2) == 2
        assert names() == ["Pending", "Running", "Failed", "Resuming", "Retrying", "Completed"]

    in_engine(place, body)


def test_another_process_may_do_it_and_its_states_stand_in_one_row(world: World, place: Place) -> None:
    work = failing(world, 2, task_run_name="the work", tags=["a"])
    with tags("b"):
        first = in_engine(place, lambda: ran(world, work, 1, return_type="state"))
    assert first.type is StateType.FAILED
    in_engine(place, lambda: ran(world, work, 1, return_type="state"))

    def body() -> None:
        assert ran(world, work, 3) == 3
        recorded = read_task_run(CHOSEN)
        assert (recorded.name, recorded.run_count, recorded.state.result()) == ("the work", 3, 3)
        assert [each.sequence for each in read_task_run_states(CHOSEN)] == list(range(9))
        assert names()[2::3] == ["Failed", "Failed", "Completed"]

    in_engine(place, body)


def test_one_that_crashed_is_executed_again_too(world: World, place: Place) -> None:
    work = failing(world, 1, Stop)

    def body() -> None:
        with pytest.raises(Stop):
            ran(world, work, 1)
        assert ran(world, work, 4) == 4
        assert names() == ["Pending", "Running", "Crashed", "Resuming", "Retrying", "Completed"]

    in_engine(place, body)


def test_attempts_that_it_had_stay_used_up(world: World, place: Place) -> None:
    work = failing(world, 3, retries=1)

    def body() -> None:
        assert ran(world, work, 1, return_type="state").type is StateType.FAILED
        assert read_task_run(CHOSEN).run_count == 2
        assert ran(world, work, 1, return_type="state").type is StateType.FAILED
        assert read_task_run(CHOSEN).run_count == 3
        assert ran(world, work, 1) == 1

    in_engine(place, body)


def test_one_that_completed_is_not(world: World, place: Place) -> None:
    work = failing(world, 0)

    def body() -> None:
        assert ran(world, work, 1) == 1
        with pytest.raises(ConfigurationError, match=MAY_NOT):
            ran(world, work, 1)
        assert names() == ["Pending", "Running", "Completed"]

    in_engine(place, body)


def test_that_of_another_task_is_not(place: Place) -> None:
    @task
    def fails(number: int) -> None:
        raise ValueError(number)

    @task
    def other(number: int) -> int:
        return number

    def body() -> None:
        run_task(fails, {"number": 1}, task_run_id=CHOSEN, return_type="state")
        with pytest.raises(ConfigurationError, match=MAY_NOT):
            run_task(other, {"number": 1}, task_run_id=CHOSEN)

    in_engine(place, body)


def test_one_of_a_flow_goes_on_with_its_flow_only(place: Place) -> None:
    @task
    def fails(number: int) -> None:
        raise ValueError(number)

    def again() -> str:
        return str(run_task(fails, {"number": 1}, task_run_id=CHOSEN, return_type="state").type)

    @flow
    def around() -> str:
        return again()

    def body() -> None:
        assert around() == "FAILED"
        for where in (again, around):
            with pytest.raises(ConfigurationError, match=MAY_NOT):
                where()

    in_engine(place, body)


def test_one_that_was_outside_of_any_flow_is_not_executed_in_one(place: Place) -> None:
    @task
    def fails(number: int) -> None:
        raise ValueError(number)

    @flow
    def around() -> None:
        run_task(fails, {"number": 1}, task_run_id=CHOSEN, return_type="state")

    def body() -> None:
        run_task(fails, {"number": 1}, task_run_id=CHOSEN, return_type="state")
        with pytest.raises(ConfigurationError, match=MAY_NOT):
            around()

    in_engine(place, body)


def outcomes_at_once(work: Any, engines: Sequence[Engine]) -> list[Any]:
    """What comes of it where a thread in each of these engines wants the run in the same moment."""
    start, outcomes = Barrier(len(engines)), list[Any]()

    def come(engine: Engine) -> None:
        ENTERED.set(engine)
        start.wait(PATIENCE)
        try:
            outcomes.append(run_task(work, {"number": 2}, task_run_id=CHOSEN))
        except ConfigurationError:
            outcomes.append("refused")

    threads = [Thread(target=come, args=[engine]) for engine in engines]
    for each in threads:
        each.start()
    for each in threads:
        each.join(PATIENCE)
    return outcomes


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
def test_of_two_processes_that_want_it_one_executes_it(place: Place) -> None:
    begun: list[int] = []

    @task
    def work(number: int) -> int:
        begun.append(number)
        if number < 0:
            raise ValueError(number)
        return number

    with Engine(store=place.store()) as first, Engine(store=place.store()) as second:
        token = ENTERED.set(first)
        run_task(work, {"number": -1}, task_run_id=CHOSEN, return_type="state")
        ENTERED.reset(token)
        outcomes = outcomes_at_once(work, [first, second])

    assert sorted(map(str, outcomes)) == ["2", "refused"]
    assert begun == [-1, 2]


def test_one_that_was_put_off_is_a_workers(place: Place) -> None:
    @task
    def work(number: int) -> int:
        return number

    def body() -> None:
        run_id = work.delay(1).task_run_id
        with pytest.raises(ConfigurationError, match=r"which a worker executes; call delay\(\) for another one"):
            run_task(work, {"number": 1}, task_run_id=run_id)

    in_engine(place, body)


def test_of_many_who_want_it_at_once_one_executes_it(place: Place) -> None:
    begun: list[int] = []

    @task
    def work(number: int) -> int:
        begun.append(number)
        if len(begun) == 1:
            raise ValueError(number)
        return number

    def body() -> None:
        engine = Engine.current()
        run_task(work, {"number": 1}, task_run_id=CHOSEN, return_type="state")
        outcomes = outcomes_at_once(work, [engine] * 6)
        assert (outcomes.count(2), outcomes.count("refused"), begun) == (1, 5, [1, 2])

    in_engine(place, body)
