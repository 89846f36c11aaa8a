"""What a flow that is resumed gets back beyond its own calls of tasks: what tasks called inside, streams, attempts."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from threading import Event, Thread
from typing import Any
from uuid import uuid4

import pytest

from millrace import (
    INPUTS,
    Completed,
    FlowArgumentsChanged,
    flow,
    read_flow_runs,
    read_task_run_states,
    read_task_runs,
    resume_run,
    task,
)
from millrace.actors.states import StateType
from millrace.runtime.entering import ENTERED
from millrace.runtime.running import running_loop
from tests.checkpoints import turns
from tests.runtime.stores.killing import Kill, Ran, engine_of, killed, resumed
from tests.runtime.stores.places import EVERY_STORE, Place
from tests.runtime.worlds import ASYNC, SYNC, World


async def inside(called: Any, *args: Any) -> Any:
    """Call something in the body of a task."""
    value = called(*args)
    return await value if inspect.isawaitable(value) else value


async def results(world: World, stream: Any) -> AsyncIterator[Any]:
    """The results of a stream, in the body of a flow or task of this kind."""
    if running_loop() is not None:
        async for each in stream:
            yield each
    else:
        for each in stream:
            yield each


# Arguments.


@pytest.mark.parametrize("how", ["call", "submit"])
def test_a_call_with_other_arguments_is_an_error_that_names_task_and_parameter(
    world: World, kill: Kill, ran: Ran, how: str
) -> None:
    factor = [1]

    @world.task
    async def times(number: int, factor: int) -> Any:
        ran((number, factor))
        return number * factor

    @world.flow
    async def body() -> Any:
        found = []
        for number in (1, 2):
            started = await world.start(how, times, number, factor=factor[0] if number == 2 else 1)
            found.append(started if how == "call" else await world.result(started))
        kill.here()
        return found

    left = killed(world, kill, body)
    ran.forget()
    factor[0] = 5

    with engine_of(left) as engine:
        with pytest.raises(
            FlowArgumentsChanged, match="'times' as its call 2, with another 'factor' than before"
        ) as it:
            resumed(world, engine, body)
        assert it.value.recorded in {run.id for run in read_task_runs()}
        factor[0] = 1
        assert resumed(world, engine, body) == [1, 2]  # it can be mended, and resumed again
    assert ran.calls == []


@EVERY_STORE
def test_a_map_with_another_item_is_an_error_that_says_which(world: World, kill: Kill, ran: Ran) -> None:
    items = [1, 2, 3]

    @world.task
    async def double(number: int) -> Any:
        ran(number)
        return 2 * number

    @world.flow
    async def body() -> Any:
        found = await world.result(double.map(items))
        kill.here()
        return found

    left = killed(world, kill, body)
    ran.forget()
    items[1:] = [3, 2]

    with engine_of(left) as engine, pytest.raises(FlowArgumentsChanged, match=r"another item 1 than before"):
        resumed(world, engine, body)
    assert ran.calls == []


def test_a_subflow_with_other_parameters_is_an_error(world: World, kill: Kill, ran: Ran) -> None:
    given = [1]

    @world.flow
    async def part(number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def body() -> Any:
        found = await world.call(part, given[0])
        kill.here()
        return found

    left = killed(world, kill, body)
    ran.forget()
    given[0] = 2

    with engine_of(left) as engine, pytest.raises(FlowArgumentsChanged, match=r"'flow part' as its call 1.*'number'"):
        resumed(world, engine, body)
    assert ran.calls == []


def test_arguments_that_say_nothing_are_not_compared(world: World, kill: Kill, ran: Ran) -> None:
    class Connection:
        """Another object in each process."""

    @world.task
    async def fetch(connection: Any, number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def body() -> Any:
        found = await world.call(fetch, Connection(), 1)
        kill.here()
        return found

    left = killed(world, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 1
    assert ran.calls == []


def test_behind_what_had_not_completed_a_call_with_other_arguments_runs_anew(
    world: World, kill: Kill, ran: Ran
) -> None:
    given = [1]

    @world.task
    async def slow() -> Any:
        kill.here()
        return given[0]

    @world.task
    async def work(number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def body() -> Any:
        waits = slow.submit()
        found = await world.call(work, given[0])
        return found, await world.result(waits)

    left = killed(world, kill, body)
    ran.forget()
    given[0] = 2
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == (2, 2)
    assert ran.calls == [2]


def test_in_one_process_a_flow_that_is_tried_again_may_call_with_other_arguments(place: Place) -> None:
    attempts: list[int] = []

    @task
    def work(attempt: int) -> int:
        return attempt

    @flow(retries=1)
    def body() -> int:
        attempts.append(1)
        found = work(len(attempts))
        if len(attempts) == 1:
            raise OSError
        return found

    with engine_of(place.store()):
        assert body() == 1


# What tasks call.


@EVERY_STORE
def test_what_a_task_had_called_inside_does_not_run_again(world: World, kill: Kill, ran: Ran) -> None:
    @world.task
    async def part(number: int) -> Any:
        ran(number)
        return number * 10

    @world.task
    async def whole(count: int) -> Any:
        ran("whole")
        total = 0
        for number in range(count):
            if number == 2:
                kill.here()
            total += await inside(part, number)
        return total

    @world.flow
    async def body() -> Any:
        return await world.call(whole, 3)

    left = killed(world, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 30
    assert ran.calls == ["whole", 2]


def test_tasks_in_tasks_in_tasks_of_a_map_do_not_run_again(world: World, kill: Kill, ran: Ran) -> None:
    @world.task
    async def leaf(number: int) -> Any:
        ran(number)
        return number

    @world.task
    async def twig(number: int) -> Any:
        return await inside(leaf, number) + await inside(leaf, number + 1)

    @world.task
    async def branch(number: int) -> Any:
        first = await inside(twig, number)
        second = [await inside(leaf, number + 2), await inside(leaf, number + 3)]
        if number == 20:
            kill.here()
        return first + sum(second)

    @world.flow
    async def body() -> Any:
        return [await world.call(branch, number) for number in (10, 20)]

    left = killed(world, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [46, 86]
    assert ran.calls == []


def test_what_a_task_had_called_survives_several_deaths(world: World, place: Place, tmp_path: Path, ran: Ran) -> None:
    stops, deaths = [1], list[Kill]()

    @world.task
    async def part(number: int) -> Any:
        ran(number)
        return number

    @world.task
    async def whole() -> Any:
        total = 0
        for number in range(4):
            if number == stops[0]:
                deaths[-1].here()
            total += await inside(part, number)
        return total

    @world.flow
    async def body() -> Any:
        return await world.call(whole)

    deaths.append(Kill(place.store(), tmp_path))
    left = killed(world, deaths[-1], body)
    for stop in (0, 3):  # the second process dies before it gets as far as the first
        stops[0] = stop
        (tmp_path / str(stop)).mkdir()
        deaths.append(Kill(left, tmp_path / str(stop)))
        left = killed_again(world, deaths[-1], body)
    stops[0] = -1
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 6
    assert ran.calls == [3]


def killed_again(world: World, kill: Kill, called: Any) -> Any:
    """Resume a flow until it comes to where the process is killed."""
    with engine_of(kill.store) as engine:
        thread = Thread(target=lambda: in_engine(engine, lambda: resumed(world, engine, called)), daemon=True)
        thread.start()
        left = kill.left(engine)
        kill.go_on()
        thread.join(20)
    return left


def in_engine(engine: Any, call: Callable[[], Any]) -> None:
    token = ENTERED.set(engine)
    try:
        call()
    finally:
        ENTERED.reset(token)


def test_what_runs_beside_each_other_in_a_task_gets_its_own_results(kill: Kill, ran: Ran) -> None:
    @task
    async def part(number: int) -> int:
        ran(number)
        await turns((number * 7) % 5)
        return number

    @task
    async def whole() -> list[int]:
        found = await asyncio.gather(*(part(number) for number in range(5)))
        kill.here()
        return found

    @flow
    async def body() -> list[int]:
        return await whole()

    left = killed(ASYNC, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(ASYNC, engine, body) == [0, 1, 2, 3, 4]
    assert ran.calls == []


def test_a_task_whose_call_has_changed_gets_nothing_of_what_the_other_had_called(
    world: World, kill: Kill, ran: Ran
) -> None:
    given = [1]

    @world.task
    async def now() -> Any:
        ran("now")
        return given[0]

    @world.task
    async def whole(number: int) -> Any:
        found = await inside(now)
        kill.here()
        return found

    @world.flow
    async def body() -> Any:
        return await world.call(whole, given[0])

    left = killed(world, kill, body)
    ran.forget()
    given[0] = 2
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 2
    assert ran.calls == ["now"]


def test_a_task_that_had_failed_by_itself_begins_anew_with_all_that_it_calls(
    world: World, kill: Kill, ran: Ran
) -> None:
    broken = [True]

    @world.task
    async def part() -> Any:
        ran("part")
        return 1

    @world.task
    async def whole() -> Any:
        found = await inside(part)
        if broken:
            raise OSError
        return found

    @world.flow
    async def body() -> Any:
        waits = whole.submit()
        await world.ended(waits)
        kill.here()
        return await world.result(waits)

    left = killed(world, kill, body)
    ran.forget()
    broken.clear()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 1
    assert ran.calls == ["part"]


@pytest.mark.parametrize("kind", [SYNC, ASYNC], ids=lambda kind: kind.name)
def test_a_subflow_that_a_task_had_called_does_not_run_again(kind: World, kill: Kill, ran: Ran) -> None:
    @kind.flow
    async def part(number: int) -> Any:
        ran(number)
        return number

    @kind.task
    async def whole() -> Any:
        found = await inside(part, 5)
        kill.here()
        return found

    @kind.flow
    async def body() -> Any:
        return await kind.call(whole)

    left = killed(kind, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(kind, engine, body) == 5
    assert ran.calls == []


# Streams.


@EVERY_STORE
@pytest.mark.parametrize("ordered", [True, False])
def test_items_of_a_stream_that_had_completed_do_not_run_again(
    world: World, kill: Kill, ran: Ran, ordered: bool
) -> None:
    @world.task
    async def work(number: int, factor: int) -> Any:
        ran(number)
        return number * factor

    @world.flow
    async def body() -> Any:
        found = []
        async for each in results(world, work.stream(range(20), factor=10, max_in_flight=4, ordered=ordered)):
            found.append(each)
            if len(found) == 10:
                kill.here()
        return sorted(found)

    left = killed(world, kill, body)
    with engine_of(left):
        done = len(read_task_runs(states=["COMPLETED"], limit=100))
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [number * 10 for number in range(20)]
    assert done >= 10
    assert len(ran.calls) == 20 - done


def test_what_is_called_for_each_result_of_a_stream_gets_what_it_got_before(kill: Kill, ran: Ran) -> None:
    """Results come in another order than their items, and another one each time."""
    delays = {number: 3 * ((number * 7) % 10) for number in range(10)}

    @task
    async def load(number: int) -> int:
        await turns(delays[number])
        return number

    @task
    async def save(number: int) -> int:
        ran(number)
        return number

    @flow
    async def body() -> list[int]:
        saved = []
        async for each in load.stream(range(10), max_in_flight=10):
            saved.append(await save(each))
            if len(saved) == 6:
                kill.here()
        return saved

    left = killed(ASYNC, kill, body)
    before = ran.calls[:6]
    ran.forget()
    with engine_of(left) as engine:
        saved = resumed(ASYNC, engine, body)
    assert saved[:6] == before
    assert sorted(saved) == list(range(10))
    assert not set(ran.calls) & set(before)


def test_a_stream_of_a_stream_goes_on(world: World, kill: Kill, ran: Ran) -> None:
    @world.task
    async def first(number: int) -> Any:
        ran(("first", number))
        return number + 1

    @world.task
    async def second(number: int) -> Any:
        ran(("second", number))
        return number * 10

    @world.flow
    async def body() -> Any:
        found = []
        inner = first.stream(range(8), max_in_flight=2)
        async for each in results(world, second.stream(inner, max_in_flight=2)):
            found.append(each)
            if len(found) == 4:
                kill.here()
        return sorted(found)

    left = killed(world, kill, body)
    with engine_of(left):
        done = len(read_task_runs(states=["COMPLETED"], limit=100))
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [number * 10 for number in range(1, 9)]
    assert len(ran.calls) == 16 - done


def test_an_item_of_a_stream_that_is_another_one_runs_anew(world: World, kill: Kill, ran: Ran) -> None:
    items = [1, 2, 3]

    @world.task
    async def work(number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def body() -> Any:
        found = [each async for each in results(world, work.stream(items, ordered=True))]
        kill.here()
        return found

    left = killed(world, kill, body)
    ran.forget()
    items[1] = 7
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [1, 7, 3]
    assert ran.calls == [7]


@pytest.mark.parametrize("kind", [SYNC, ASYNC], ids=lambda kind: kind.name)
def test_a_stream_in_a_task_does_not_run_its_items_again(kind: World, kill: Kill, ran: Ran) -> None:
    @kind.task
    async def inner(number: int) -> Any:
        ran(number)
        return number

    @kind.task
    async def outer(number: int) -> Any:
        return await inside(inner, number)

    @kind.task
    async def whole() -> Any:
        found = [each async for each in results(kind, outer.stream(range(5)))]
        kill.here()
        return sum(found)

    @kind.flow
    async def body() -> Any:
        return await kind.call(whole)

    left = killed(kind, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(kind, engine, body) == 10
    assert ran.calls == []


# Attempts.


def test_an_attempt_that_was_cut_off_is_made_again_and_those_before_count(place: Place, tmp_path: Path) -> None:
    kill = Kill(place.store(), tmp_path)
    attempts: list[int] = []

    @task(retries=2)
    def work() -> None:
        attempts.append(1)
        if len(attempts) == 2:
            kill.here()
        raise OSError

    @flow
    def body() -> None:
        work()

    left = killed(SYNC, kill, body)
    attempts.clear()
    attempts.extend([1, 1, 1])
    with engine_of(left):
        resume_run(read_flow_runs()[0].id, body, return_state=True)
        run = read_task_runs(states=["FAILED"])[0]
        assert run.run_count == 3
    assert len(attempts) == 3 + 2  # the second attempt, which was under way, and the third


def test_a_retry_that_was_waited_for_comes_when_it_was_to_come(place: Place, tmp_path: Path) -> None:
    kill = Kill(place.store(), tmp_path)
    attempts: list[int] = []
    at_rest = Event()

    def goes_on(*_: object) -> bool:
        at_rest.set()
        return True

    @task(retries=1, retry_delay_seconds=[0.5], retry_condition_fn=goes_on)
    def work() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            raise OSError
        return len(attempts)

    @flow
    def body() -> int:
        waits = work.submit()
        at_rest.wait(20)
        kill.here()
        return waits.result()

    left = killed(SYNC, kill, body)
    attempts[1:] = []
    with engine_of(left):
        assert resume_run(read_flow_runs()[0].id, body) == 2
        new, old = read_task_runs()
        assert (old.state.type, new.state.type) == (StateType.CRASHED, StateType.COMPLETED)
        states = {run.id: read_task_run_states(run.id) for run in (old, new)}
        due = next(each for each in states[old.id] if each.state.name == "AwaitingRetry").state.state_details
        assert due.scheduled_time is not None
        began = next(each for each in states[new.id] if each.state.is_running())
        assert began.state.timestamp >= due.scheduled_time
        assert [each.state.name for each in states[new.id]] == ["Pending", "AwaitingRetry", "Retrying", "Completed"]
        assert new.run_count == 2


# States.


@EVERY_STORE
def test_a_call_that_had_completed_is_in_the_state_that_is_on_record(world: World, kill: Kill) -> None:
    @world.task
    async def look(number: int) -> Any:
        return Completed(name="Skipped", message="nothing to do", data=number) if number else number

    @world.task(cache_policy=INPUTS)
    async def cached(key: str) -> Any:
        return key

    @world.flow
    async def part(number: int) -> Any:
        return Completed(name="Partial", message="half of it", data=number)

    @world.flow
    async def body() -> Any:
        found = [await world.start("call", look, number, return_state=True) for number in (0, 1)]
        found += [await world.start("call", cached, key, return_state=True) for _ in range(2)]
        found += [await world.start("call", part, 7, return_state=True)]
        said = [(state.name, state.message, await state.aresult()) for state in found]
        states.append(said)
        kill.here()
        return said

    states: list[Any] = []
    key = str(uuid4())  # caches are shared
    left = killed(world, kill, body)
    with engine_of(left) as engine:
        resumed(world, engine, body)

    assert states[1] == states[0]
    assert [name for name, *_ in states[0]] == ["Completed", "Skipped", "Completed", "Cached", "Partial"]
