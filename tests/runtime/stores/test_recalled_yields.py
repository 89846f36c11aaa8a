"""What a generator task has yielded is given again to a flow that is resumed, without its body."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Callable, Generator
from functools import wraps
from pathlib import Path
from threading import Lock
from typing import Any

import pytest

from millrace import flow, read_flow_runs, read_task_runs, resume_run, task
from millrace.runtime.results import JSONSerializer, PickleSerializer
from millrace.runtime.yields import Yielded, Yields, yielded_from
from tests.runtime.stores.killing import Kill, Ran, engine_of, killed, killed_in, resumed
from tests.runtime.stores.places import EVERY_STORE, Place
from tests.runtime.worlds import ASYNC, SYNC, World


def generating(world: World, fn: Callable[..., Generator[Any]], **options: Any) -> Any:
    """A generator task of this world's kind; a sync one where a sync flow is to iterate over it."""
    if not (world.async_tasks and world.async_flows):
        return task(**options)(fn)

    @wraps(fn)
    async def body(*args: Any) -> AsyncGenerator[Any]:
        for value in fn(*args):
            yield value

    return task(**options)(body)


async def values(generator: Any) -> AsyncIterator[Any]:
    """What is yielded, in the body of a flow of either kind."""
    if hasattr(generator, "__anext__"):
        async for value in generator:
            yield value
    else:
        for value in generator:
            yield value


async def close(generator: Any) -> None:
    if hasattr(generator, "aclose"):
        await generator.aclose()
    else:
        generator.close()


async def first(generator: Any, count: int) -> list[Any]:
    """So many values; the rest is left."""
    step = generator.__anext__ if hasattr(generator, "__anext__") else generator.__next__
    found = []
    for _ in range(count):
        value = step()
        found.append(await value if hasattr(value, "__await__") else value)
    return found


@EVERY_STORE
def test_what_was_exhausted_is_given_again_and_its_body_does_not_run(world: World, kill: Kill, ran: Ran) -> None:
    def numbers(count: int) -> Generator[int]:
        for number in range(count):
            ran(number)
            yield number

    task_of_numbers = generating(world, numbers)

    @world.task
    async def double(number: int) -> Any:
        ran(("double", number))
        return 2 * number

    @world.flow
    async def body() -> Any:
        found = [await world.call(double, number) async for number in values(task_of_numbers(3))]
        kill.here()
        return found

    left = killed(world, kill, body)
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [0, 2, 4]
        assert {run.state.name for run in read_task_runs(tasks=["numbers"])} == {"Completed"}
    assert ran.calls == []


def test_it_is_given_a_second_time_after_a_second_kill(world: World, kill: Kill, ran: Ran, tmp_path: Path) -> None:
    def numbers() -> Generator[int]:
        ran("numbers")
        yield 1
        yield 2

    task_of_numbers = generating(world, numbers)

    @world.flow
    async def body() -> Any:
        found = [number async for number in values(task_of_numbers())]
        at[0].here()
        return found

    at = [kill]
    left = killed(world, kill, body)
    (tmp_path / "again").mkdir()
    at[0] = Kill(left, tmp_path / "again")
    left = killed_in(at[0], lambda engine: resumed(world, engine, body))
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [1, 2]
    assert ran.calls == []


def test_one_that_was_cut_off_runs_again_from_its_beginning(world: World, kill: Kill, ran: Ran) -> None:
    def numbers() -> Generator[int]:
        for number in (1, 2):
            ran(number)
            yield number

    task_of_numbers = generating(world, numbers)

    @world.flow
    async def body() -> Any:
        found = []
        async for number in values(task_of_numbers()):
            found.append(number)
            kill.here()
        return found

    left = killed(world, kill, body)
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [1, 2]
    assert ran.calls == [1, 2]


def test_one_that_was_left_early_gives_as_much_as_it_gave_without_its_body(world: World, kill: Kill, ran: Ran) -> None:
    def numbers() -> Generator[int]:
        for number in range(100):
            ran(number)
            yield number

    task_of_numbers = generating(world, numbers)

    @world.flow
    async def body() -> Any:
        generator = task_of_numbers()
        found = await first(generator, 3)
        await close(generator)
        kill.here()
        return found

    left = killed(world, kill, body)
    assert ran.calls == [0, 1, 2]
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [0, 1, 2]
        assert {run.state.name for run in read_task_runs()} == {"Completed"}
    assert ran.calls == []


def test_whoever_asks_for_more_than_was_given_gets_it_from_the_body_and_nothing_twice(
    world: World, place: Place, ran: Ran
) -> None:
    fails = [True]

    def numbers() -> Generator[int]:
        for number in range(4):
            ran(number)
            yield number

    task_of_numbers = generating(world, numbers)

    @world.task
    async def handle(number: int) -> Any:
        ran(("handle", number))
        if number == 2 and fails:
            raise OSError("down")
        return number

    @world.flow
    async def body() -> Any:
        generator = task_of_numbers()
        try:
            return [await world.call(handle, number) async for number in values(generator)]
        finally:
            await close(generator)

    with engine_of(place.store()) as engine, pytest.raises(OSError, match="down"):
        world.run(body, engine=engine)
    ran.forget()
    fails.clear()

    with engine_of(place.store()) as engine:
        assert resumed(world, engine, body) == [0, 1, 2, 3]
    handled = [call for call in ran.calls if isinstance(call, tuple)]
    assert handled == [("handle", 2), ("handle", 3)]
    assert ran.calls.count(3) == 1


def test_what_is_sent_reaches_the_body_again_when_it_is_to_go_on(kill: Kill, ran: Ran) -> None:
    asked_for = [2]

    @task
    def echo() -> Generator[Any, Any, str]:
        heard = "nothing"
        while True:
            ran(heard)
            heard = yield heard

    @flow
    def body() -> Any:
        generator = echo()
        found = [next(generator), *(generator.send(f"word {number}") for number in range(asked_for[0] - 1))]
        generator.close()
        kill.here()
        return found

    left = killed(SYNC, kill, body)
    ran.forget()
    asked_for[0] = 3

    with engine_of(left) as engine:
        assert resumed(SYNC, engine, body) == ["nothing", "word 0", "word 1"]
    assert ran.calls == ["nothing", "word 0", "word 1"]


def test_what_the_body_returned_is_given_again_too(kill: Kill, ran: Ran) -> None:
    @task
    def numbers() -> Generator[int, None, str]:
        ran("numbers")
        yield 1
        return "that was all"

    @flow
    def body() -> Any:
        def through() -> Generator[int, None, None]:
            said.append((yield from numbers()))

        said: list[str] = []
        found = list(through())
        kill.here()
        return found, said

    left = killed(SYNC, kill, body)
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(SYNC, engine, body) == ([1], ["that was all"])
    assert ran.calls == []


def test_values_are_those_of_the_moment_although_they_are_changed_later(kill: Kill) -> None:
    @task
    def rows() -> Generator[list[int]]:
        yield [1]
        yield [2]

    @flow
    def body() -> Any:
        found = []
        for row in rows():
            row.append(0)
            found.append(row)
        kill.here()
        return found

    left = killed(SYNC, kill, body)
    with engine_of(left) as engine:
        assert resumed(SYNC, engine, body) == [[1, 0], [2, 0]]


def test_a_value_that_cannot_be_serialized_makes_it_run_again_and_that_is_said(
    world: World, kill: Kill, ran: Ran, caplog: pytest.LogCaptureFixture
) -> None:
    def objects() -> Generator[Any]:
        ran("objects")
        yield 1
        yield Lock()

    task_of_objects = generating(world, objects)

    @world.flow
    async def body() -> Any:
        count = len([each async for each in values(task_of_objects())])
        kill.here()
        return count

    left = killed(world, kill, body)
    assert "a value of type '_thread.lock', which cannot be serialized" in caplog.text
    ran.forget()
    caplog.clear()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 2
    assert ran.calls == ["objects"]
    assert "calls of 'objects' that had completed run again" in caplog.text


def test_more_than_a_result_may_be_makes_it_run_again_and_costs_no_memory(
    kill: Kill, ran: Ran, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_STORE_RESULT_LIMIT", "1000")

    @task
    def texts() -> Generator[str]:
        ran("texts")
        for _ in range(30):
            yield "x" * 100

    @flow
    def body() -> Any:
        count = sum(1 for _ in texts())
        kill.here()
        return count

    left = killed(SYNC, kill, body)
    assert "too large to be recorded together" in caplog.text
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(SYNC, engine, body) == 30
    assert ran.calls == ["texts"]


def test_calls_inside_of_one_that_was_left_early_give_what_they_had_come_to(kill: Kill, ran: Ran) -> None:
    asked_for = [2]

    @task
    def fetch(number: int) -> int:
        ran(number)
        return number

    @task
    def pages() -> Generator[int]:
        for number in range(10):
            yield fetch(number)

    @flow
    def body() -> Any:
        generator = pages()
        found = [next(generator) for _ in range(asked_for[0])]
        generator.close()
        kill.here()
        return found

    left = killed(SYNC, kill, body)
    ran.forget()
    asked_for[0] = 4

    with engine_of(left) as engine:
        assert resumed(SYNC, engine, body) == [0, 1, 2, 3]
    assert ran.calls == [2, 3]


def test_another_attempt_of_the_flow_in_the_same_process_is_given_them_where_there_is_a_store(
    place: Place, ran: Ran
) -> None:
    @task
    def numbers() -> Generator[int]:
        ran("numbers")
        yield 1

    @flow(retries=1)
    def body() -> Any:
        found = list(numbers())
        if not ran.calls.count("body"):
            ran("body")
            raise OSError
        return found

    with engine_of(place.store()):
        assert body() == [1]
    assert ran.calls == ["numbers", "body"]


def test_one_that_is_left_open_is_closed_with_its_flow_and_given_again(place: Place, ran: Ran) -> None:
    @task
    def numbers() -> Generator[int]:
        for number in range(10):
            ran(number)
            yield number

    held: list[Any] = []

    @flow
    def body() -> Any:
        held.append(numbers())
        return next(held[-1]), fail()

    @task
    def fail() -> int:
        if not ran.calls.count("failed"):
            ran("failed")
            raise OSError("down")
        return 1

    with engine_of(place.store()) as engine, pytest.raises(OSError, match="down"):
        SYNC.run(body, engine=engine)
    ran.calls.remove(0)
    with engine_of(place.store()) as engine:
        assert resumed(SYNC, engine, body) == (0, 1)
    assert ran.calls == ["failed"]


def test_a_replay_that_is_left_open_ends_with_its_flow(kill: Kill, ran: Ran) -> None:
    held: list[Any] = []

    @task
    def numbers() -> Generator[int]:
        for number in range(10):
            ran(number)
            yield number

    @flow
    def body() -> Any:
        generator = numbers()
        found = next(generator)
        if kill.armed:
            generator.close()
        held.append(generator)
        kill.here()
        return found

    left = killed(SYNC, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(SYNC, engine, body) == 0
        assert {run.state.name for run in read_task_runs()} == {"Completed"}
        assert read_flow_runs()[0].state.name == "Completed"
    assert ran.calls == []


def test_a_submitted_one_does_not_take_what_an_iterated_one_has_left(kill: Kill, ran: Ran) -> None:
    submits: list[bool] = []

    @task
    def numbers() -> Generator[int]:
        ran("numbers")
        yield 1
        yield 2

    @flow
    def body() -> Any:
        found = numbers.submit().result() if submits else list(numbers())
        kill.here()
        return found

    left = killed(SYNC, kill, body)
    ran.forget()
    submits.append(True)
    with engine_of(left):
        assert resume_run(read_flow_runs()[0].id, body) == [1, 2]
    assert ran.calls == ["numbers"]


@pytest.mark.parametrize("serializer", [PickleSerializer(), JSONSerializer()])
@pytest.mark.parametrize("exhausted", [True, False])
def test_a_record_says_what_was_yielded(serializer: Any, exhausted: bool) -> None:
    yields = Yields(serializer, 1000)
    yields.begin()
    yields.add(1)
    yields.begin()
    yields.add(1)
    yields.add({"two": None})
    yields.exhausted, yields.returned = exhausted, "end"
    tag, blob, missing = yields.written()
    assert (tag, missing) == (f"yields:{serializer.tag}", "")
    assert blob is not None
    found = yielded_from(blob, serializer)
    assert isinstance(found, Yielded)
    assert (found.values, found.returned, found.exhausted, found.last) == ([1, 1, {"two": None}], "end", exhausted, 2)
    again = Yields(serializer, 1000, found)
    assert again.written() == (tag, blob, "")


@pytest.mark.parametrize("fails", [False, True])
def test_what_a_generator_flow_had_called_does_not_run_again(kill: Kill, ran: Ran, *, fails: bool) -> None:
    @task
    def fetch(number: int) -> int:
        ran(number)
        return number

    @flow
    def part(count: int) -> Generator[int]:
        for number in range(count):
            yield fetch(number)

    @flow
    def body() -> Any:
        found = list(part(3)), list(part(2))
        kill.here()
        if fails and not ran.calls:
            ran("failed")
            raise OSError
        return found

    left = killed(SYNC, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        if fails:
            with pytest.raises(OSError):  # noqa: PT011
                resumed(SYNC, engine, body)
        assert resumed(SYNC, engine, body) == ([0, 1, 2], [0, 1])
    assert ran.calls == (["failed"] if fails else [])


def test_an_async_generator_flow_that_was_left_goes_on_behind_what_it_had_called(kill: Kill, ran: Ran) -> None:
    asked_for = [1]

    @task
    async def fetch(number: int) -> int:
        ran(number)
        return number

    @flow
    async def part() -> AsyncGenerator[int]:
        for number in range(5):
            yield await fetch(number)

    @flow
    async def body() -> Any:
        generator = part()
        found = await first(generator, asked_for[0])
        await close(generator)
        kill.here()
        return found

    left = killed(ASYNC, kill, body)
    ran.forget()
    asked_for[0] = 3
    with engine_of(left) as engine:
        assert resumed(ASYNC, engine, body) == [0, 1, 2]
    assert ran.calls == [1, 2]
