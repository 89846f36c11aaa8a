"""Streams: what is on its way, what comes back, and in which order; in all kinds of flows, with all kinds of tasks."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from millrace import (
    INPUTS,
    BlockingCallOnLoop,
    CancelledRun,
    Completed,
    ConfigurationError,
    Engine,
    MemoryStorage,
    ParameterBindError,
    State,
    Stream,
    StreamCounts,
    StreamInUse,
    allow_failure,
    current,
    quote,
    tags,
    unmapped,
)
from tests.loose import flow, task
from tests.runtime.crowds import Crowd
from tests.runtime.flowing import KINDS, Spring, all_of, each_of
from tests.runtime.worlds import PATIENCE, World


@task
async def double(x: int) -> int:
    return 2 * x


@task
def sync_double(x: int) -> int:
    return 2 * x


# What comes back.


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1, 2, 7, 100])
def test_there_is_a_result_for_each_item(world: World, kind: str, most: int) -> None:
    @world.task
    async def doubled(x: int) -> int:
        return 2 * x

    async def body() -> list[int]:
        return await all_of(world, doubled.stream(Spring(50).of(kind), max_in_flight=most))

    assert sorted(world.body(body)) == [2 * x for x in range(50)]


@pytest.mark.parametrize("kind", KINDS)
def test_results_come_in_the_order_of_the_items_where_that_is_asked_for(world: World, kind: str) -> None:
    gate = world.gate()

    @world.task
    async def waits(x: int) -> int:
        if x % 3 == 0:
            await gate.passed()
        elif x == 7:
            gate.open()
        return x

    async def body() -> list[int]:
        return await all_of(world, waits.stream(Spring(40).of(kind), max_in_flight=8, ordered=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_THREADS", "8")
        assert world.body(body) == list(range(40))


def test_results_come_as_they_are_there(world: World) -> None:
    gate = world.gate()

    @world.task
    async def waits(x: int) -> int:
        if x == 0:
            await gate.passed()
        return x

    async def body() -> list[int]:
        found: list[int] = []
        async for value in each_of(world, waits.stream(range(6), max_in_flight=2)):
            found.append(value)
            if len(found) == 5:
                gate.open()
        return found

    assert world.body(body) == [1, 2, 3, 4, 5, 0]


def test_nothing_comes_of_nothing(world: World) -> None:
    async def body() -> list[int]:
        return await all_of(world, double.stream([]))

    assert world.body(body) == []


# What is on its way.


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_asked_for_before_somebody_iterates(world: World, kind: str) -> None:
    spring = Spring(3)

    async def body() -> StreamCounts:
        stream: Stream[int] = double.stream(spring.of(kind))
        return stream.counts()

    assert world.body(body) == StreamCounts(0, 0, 0, 0)
    assert spring.asked == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("most", [1, 2, 5, 20])
def test_a_slow_loop_holds_up_the_source(world: World, kind: str, most: int) -> None:
    spring = Spring()

    async def body() -> None:
        given = 0
        async for _ in each_of(world, double.stream(spring.of(kind), max_in_flight=most)):
            given += 1
            for _ in range(3):  # the source has all the time it wants
                await asyncio.sleep(0) if world.async_flows else threading.Event().wait(0.001)
            # One more may have been asked for, to find out whether there is one: no, it waits for room before.
            assert spring.asked - given <= most
            if given == 60:
                break

    world.body(body)
    assert spring.closed


@pytest.mark.parametrize("most", [1, 3])
def test_never_more_bodies_run_than_may_be_in_flight(world: World, most: int) -> None:
    crowd = Crowd()
    enters = crowd.passing(world)

    async def body() -> list[int]:
        return await all_of(world, enters.stream(range(40), max_in_flight=most))

    assert sorted(world.body(body)) == list(range(40))
    assert crowd.most <= most


def test_as_many_run_as_may_be_in_flight(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "5")
    crowd = Crowd()
    enters = crowd.gathering(world, 5)

    async def body() -> list[int]:
        return await all_of(world, enters.stream(range(20), max_in_flight=5))

    assert len(world.body(body)) == 20
    assert crowd.most == 5


def test_a_stream_says_what_is_where(world: World) -> None:
    seen: list[StreamCounts] = []

    async def body() -> None:
        stream = double.stream(range(10), max_in_flight=4)
        seen.extend([stream.counts() async for _ in each_of(world, stream)])
        seen.append(stream.counts())
        assert repr(stream) == "<Stream of 'double': 10 given, 0 in flight>"
        assert stream.name == "double"

    world.body(body)
    assert [each.given for each in seen] == [*range(1, 11), 10]
    assert seen[-1] == StreamCounts(pulled=10, in_flight=0, ready=0, given=10)
    for each in seen:
        assert each.pulled == each.in_flight + each.ready + each.given
        assert each.in_flight + each.ready <= 4


def test_a_flow_run_counts_the_runs_of_its_streams(world: World) -> None:
    async def body() -> dict[str, int]:
        await all_of(world, double.stream(range(30)))
        run: Any = current_flow_run()
        return dict(run.counts())

    def current_flow_run() -> Any:
        from millrace import FlowRunContext  # noqa: PLC0415

        context = FlowRunContext.get()
        assert context is not None
        return context.flow_run

    assert world.body(body) == {"completed": 30}


# What goes in.


def test_other_arguments_go_to_every_run(world: World) -> None:
    @world.task
    async def joined(x: int, letters: list[str], *, end: str = "?") -> str:
        return f"{x}{''.join(letters)}{end}"

    @world.task
    async def exclamation() -> str:
        return "!"

    async def body() -> Any:
        mark = exclamation.submit()
        plain = await all_of(world, joined.stream([1, 2], ordered=True, letters=["a", "b"]))
        kept = await all_of(world, joined.stream([1, 2], ordered=True, letters=unmapped(["c"]), end=mark))
        return plain, kept

    assert world.body(body) == (["1ab?", "2ab?"], ["1c!", "2c!"])


def test_an_item_may_be_a_future_or_hold_one(world: World) -> None:
    @world.task
    async def added(x: Any) -> int:
        return sum(x) if isinstance(x, list) else x + 100

    async def body() -> Any:
        futures = double.map(range(5))
        one_by_one = await all_of(world, added.stream(futures, ordered=True, max_in_flight=2))
        nested = await all_of(world, added.stream(([each, 1] for each in futures), ordered=True))
        return one_by_one, nested

    assert world.body(body) == ([100, 102, 104, 106, 108], [1, 3, 5, 7, 9])


def test_annotations_around_the_inputs_stand_around_each_item(world: World) -> None:
    @world.task
    async def fails(x: int) -> int:
        raise ValueError(x)

    @world.task
    async def named(x: Any) -> str:
        return type(x).__name__

    async def body() -> Any:
        failed = fails.map(range(2))
        allowed = await all_of(world, named.stream(allow_failure(failed)))
        quoted = await all_of(world, named.stream(quote(double.map(range(2)))))
        for each in failed:
            await world.ended(each)
        return allowed, quoted

    assert world.body(body) == (["ValueError"] * 2, ["Future"] * 2)


def test_runs_may_wait_for_something_whose_result_they_do_not_use(world: World) -> None:
    order: list[Any] = []

    @world.task
    async def first() -> None:
        order.append("first")

    @world.task
    async def notes(x: int) -> None:
        order.append(x)

    async def body() -> None:
        await all_of(world, notes.stream(range(2), max_in_flight=1, wait_for=[first.submit()]))

    world.body(body)
    assert order == ["first", 0, 1]


def test_lines_of_a_file_are_items_and_the_file_stays_open(world: World, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_text("a\nb\nc\n", encoding="utf-8")

    @world.task
    async def stripped(line: str) -> str:
        return line.strip()

    async def body() -> Any:
        with path.open(encoding="utf-8") as file:
            async for value in each_of(world, stripped.stream(file, max_in_flight=1)):
                return value, file.closed
        return None

    assert world.body(body) == ("a", False)


def test_a_plain_iterator_is_asked_in_the_thread_of_whoever_iterates(world: World) -> None:
    threads: set[int] = set()

    def numbers() -> Iterator[int]:
        for x in range(50):
            threads.add(threading.get_ident())
            yield x

    async def body() -> int:
        await all_of(world, sync_double.stream(numbers(), max_in_flight=3))
        return threading.get_ident()

    assert {world.body(body)} == threads


def test_an_async_source_is_asked_in_one_asyncio_task(world: World) -> None:
    tasks: set[Any] = set()

    async def numbers() -> Any:
        async with asyncio.timeout(PATIENCE):  # must be left in the task that has entered it
            for x in range(50):
                tasks.add(asyncio.current_task())
                if x % 7 == 0:
                    await asyncio.sleep(0)
                yield x

    async def body() -> list[int]:
        return await all_of(world, double.stream(numbers(), max_in_flight=3))

    assert len(world.body(body)) == 50
    assert len(tasks) == 1


def test_what_a_source_calls_belongs_to_the_flow(world: World) -> None:
    names: set[Any] = set()

    async def numbers() -> Any:
        for x in range(3):
            names.add(current.flow_run.name)
            yield x

    async def body() -> str | None:
        await all_of(world, double.stream(numbers()))
        return current.flow_run.name

    assert {world.body(body)} == names


def test_tags_are_those_where_the_stream_was_made(world: World) -> None:
    @world.task(tags=["own"])
    async def tagged(_x: int) -> list[str]:
        return current.task_run.tags

    async def body() -> Any:
        with tags("around"):
            stream = tagged.stream([1])
        return await all_of(world, stream)

    assert world.body(body) == [["around", "own"]]


# Streams of streams.


@pytest.mark.parametrize("kind", KINDS)
def test_a_stream_may_be_the_source_of_another(world: World, kind: str) -> None:
    async def body() -> list[int]:
        inner = double.stream(Spring(40).of(kind), max_in_flight=3)
        return await all_of(world, sync_double.stream(inner, max_in_flight=5))

    assert sorted(world.body(body)) == [4 * x for x in range(40)]


def test_three_streams_in_a_row_keep_the_order_where_each_does(world: World) -> None:
    async def body() -> list[int]:
        stream: Any = range(60)
        for each in (double, sync_double, double):
            stream = each.stream(stream, max_in_flight=4, ordered=True)
        return await all_of(world, stream)

    assert world.body(body) == [8 * x for x in range(60)]


def test_an_item_goes_on_before_the_others_have_come_through_the_stream_before(world: World) -> None:
    gate = world.gate()

    @world.task
    async def waits(x: int) -> int:
        if x == 1:
            await gate.passed()
        return x

    @world.task
    async def opens(x: int) -> int:
        if x == 2:
            gate.open()
        return x

    async def body() -> list[int]:
        return await all_of(world, opens.stream(waits.stream(range(3), max_in_flight=2)))

    assert sorted(world.body(body)) == [0, 1, 2]


@pytest.mark.parametrize("kind", KINDS)
def test_a_slow_loop_holds_up_the_source_through_several_streams(world: World, kind: str) -> None:
    spring = Spring()

    async def body() -> None:
        given = 0
        stream = double.stream(double.stream(spring.of(kind), max_in_flight=3), max_in_flight=2)
        async for _ in each_of(world, stream):
            given += 1
            assert spring.asked - given <= 5
            if given == 50:
                break

    world.body(body)
    assert spring.closed


# Around runs.


def test_a_run_of_a_stream_is_tried_again(world: World) -> None:
    attempts: list[int] = []

    @world.task(retries=2, retry_delay_seconds=[0, 0.001])
    async def succeeds_late(x: int) -> int:
        attempts.append(x)
        if attempts.count(x) < 3:
            raise ValueError(x)
        return x

    async def body() -> list[int]:
        return await all_of(world, succeeds_late.stream(range(5), max_in_flight=2))

    assert sorted(world.body(body)) == list(range(5))
    assert len(attempts) == 15


def test_a_run_of_a_stream_has_its_own_time(world: World) -> None:
    gate = world.gate()

    @world.task(timeout_seconds=0.05)
    async def hangs(x: int) -> int:
        if x == 1:
            await gate.passed()
        return x

    async def body() -> list[str]:
        states = await all_of(world, hangs.stream(range(3), on_error="state", ordered=True))
        gate.open()
        return [each.name for each in states]

    assert world.body(body) == ["Completed", "TimedOut", "Completed"]


def test_a_stream_looks_into_the_cache(world: World) -> None:
    calls: list[int] = []
    storage = MemoryStorage()

    @world.task(cache_policy=INPUTS, result_storage=storage)
    async def cached(x: int) -> list[int]:
        calls.append(x)
        return [x]

    async def body() -> Any:
        once = await all_of(world, cached.stream([1, 2], ordered=True))
        again = await all_of(world, cached.stream([1, 2, 1], ordered=True, on_error="state"))
        through = await all_of(world, cached.stream(x[0] for x in once))
        chained = await all_of(world, double.stream(first.stream(cached.stream([1, 2])), ordered=True))
        return once, [each.name for each in again], sorted(through), sorted(chained)

    @world.task
    async def first(several: list[int]) -> int:
        return several[0]

    assert world.body(body) == ([[1], [2]], ["Cached"] * 3, [[1], [2]], [2, 4])
    assert sorted(calls) == [1, 2]


def test_hooks_are_called_for_runs_of_a_stream(world: World) -> None:
    called: list[str] = []

    @world.task(
        on_running=[lambda *_: called.append("running")],
        on_completion=[lambda *_: called.append("completion")],
        on_failure=[lambda *_: called.append("failure")],
    )
    async def fails_for_one(x: int) -> int:
        if x == 1:
            raise ValueError(x)
        return x

    async def body() -> None:
        await all_of(world, fails_for_one.stream(range(3), on_error="state"))

    world.body(body)
    assert sorted(called) == ["completion"] * 2 + ["failure"] + ["running"] * 3


def test_a_generator_task_gives_lists(world: World) -> None:
    @task
    def counts(x: int) -> Iterator[int]:
        yield from range(x)

    @task
    async def counts_too(x: int) -> Any:
        for each in range(x):
            yield each

    async def body() -> Any:
        return [await all_of(world, each.stream([1, 3], ordered=True)) for each in (counts, counts_too)]

    assert world.body(body) == [[[0], [0, 1, 2]]] * 2


def test_results_of_a_stream_are_known_as_what_later_runs_depend_on(world: World) -> None:
    @world.task
    async def listed(x: int) -> list[int]:
        return [x]

    @world.task
    async def takes(_x: Any) -> None: ...

    async def body() -> Any:
        (value,) = await all_of(world, listed.stream([1]))
        future = takes.submit(value)
        await world.ended(future)
        through: list[State[Any]] = await all_of(world, takes.stream(listed.stream([1]), on_error="state"))
        return future.source.task_inputs, through[0].is_completed()

    inputs, completed = world.body(body)
    assert len(inputs["_x"]) == 1
    assert completed


# What fails.


def test_what_a_run_raised_is_raised_and_ends_the_stream(world: World) -> None:
    spring = Spring()

    @world.task
    async def fails_for_some(x: int) -> int:
        if x == 3:
            raise ValueError("three")
        return x

    async def body() -> Any:
        found: list[int] = []
        stream = fails_for_some.stream(spring.plain(), max_in_flight=2, ordered=True)
        iterator = stream.__aiter__() if world.async_flows else iter(stream)

        async def following() -> int:
            return await anext(iterator) if world.async_flows else next(iterator)

        with pytest.raises(ValueError, match=r"^three$"):  # noqa: PT012  # after some that are as they should be
            while True:
                found.append(await following())
        with pytest.raises((StopIteration, StopAsyncIteration)) if world.async_flows else pytest.raises(RuntimeError):
            await following()
        return found

    assert world.body(body) == [0, 1, 2]
    assert spring.closed


def test_final_states_are_given_where_that_is_asked_for(world: World) -> None:
    @world.task
    async def fails_for_some(x: int) -> Any:
        if x == 1:
            raise ValueError(x)
        return Completed(message="said so", data=x) if x == 2 else x

    async def body() -> None:
        states = await all_of(world, fails_for_some.stream(range(3), on_error="state", ordered=True))
        assert [each.type for each in states] == ["COMPLETED", "FAILED", "COMPLETED"]
        assert [each.message for each in states] == [None, "ValueError: 1", "said so"]
        assert all(each.state_details.task_run_id is not None for each in states)

    world.body(body)  # and it does not fail because of the one that failed: somebody has looked at it


def test_a_state_of_one_stream_is_resolved_by_the_next(world: World) -> None:
    @world.task
    async def fails_for_some(x: int) -> int:
        if x == 1:
            raise ValueError(x)
        return x

    @world.task
    async def shown(x: Any) -> str:
        return repr(x)

    async def body() -> Any:
        inner = fails_for_some.stream(range(3), on_error="state", ordered=True)
        strict = await all_of(world, shown.stream(inner, on_error="state", ordered=True))
        inner = fails_for_some.stream(range(3), on_error="state", ordered=True)
        lenient = await all_of(world, shown.stream(allow_failure(inner), ordered=True))
        return [each.name for each in strict], lenient

    assert world.body(body) == (["Completed", "NotReady", "Completed"], ["0", "ValueError(1)", "2"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("through", [1, 2])
@pytest.mark.parametrize("most", [3, 20])  # asked for them by and by, and all at once
def test_what_a_source_raises_is_raised_when_all_before_was_given(
    world: World, kind: str, through: int, most: int
) -> None:
    spring = Spring(fails_at=7)

    async def body() -> list[int]:
        found: list[int] = []
        stream: Any = spring.of(kind)
        for _ in range(through):
            stream = double.stream(stream, max_in_flight=most)
        with pytest.raises(LookupError, match=r"^no number 7\n") as caught:  # noqa: PT012  # see above
            async for value in each_of(world, stream):
                found.append(value)  # noqa: PERF401  # those before the error count
        assert caught.value.__notes__[0] == (
            "Raised by the source of the stream of task 'double', when it was asked for item 8."
        )
        assert len(caught.value.__notes__) == through
        return found

    assert sorted(world.body(body)) == [2**through * x for x in range(7)]


def test_an_item_that_cannot_be_looked_into_fails_its_run_alone(world: World) -> None:
    deep: list[Any] = []
    for _ in range(100_000):
        deep = [deep]

    async def body() -> list[str]:
        states = await all_of(world, double.stream([1, deep, 2], on_error="state", ordered=True))
        return [each.name for each in states]

    assert world.body(body) == ["Completed", "Failed", "Completed"]


# Bad input.


@pytest.mark.parametrize("most", [0, -1, True, 1.5, "10", None])
def test_how_many_may_be_in_flight_is_a_whole_number(most: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'max_in_flight' takes a whole number, 1 or more, not "):
        double.stream([], max_in_flight=most)


@pytest.mark.parametrize(
    ("option", "value"),
    [("on_error", "ignore"), ("ordered", "yes"), ("priority", 1.5), ("priority", True), ("wait_for", 3)],
)
def test_an_option_that_makes_no_sense_is_refused(option: str, value: Any) -> None:
    with pytest.raises(ConfigurationError, match=rf"^'{option}' takes "):
        double.stream([], **{option: value})


@pytest.mark.parametrize("inputs", [3, "text", b"bytes", None, unmapped([1]), double])
def test_what_cannot_be_iterated_over_is_refused(inputs: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'inputs' takes an iterable or async iterable of items"):
        double.stream(inputs)


def test_arguments_that_do_not_fit_are_refused() -> None:
    @task
    async def takes_two(x: int, y: int) -> int:
        return x + y

    for options in ({}, {"x": 1}, {"y": 1, "z": 2}):
        with pytest.raises(ParameterBindError):
            takes_two.stream([1], **options)


def test_a_parameter_with_the_name_of_an_option_cannot_be_given() -> None:
    @task
    async def sorts(x: int, *, ordered: bool = False) -> int:
        return x if ordered else -x

    with pytest.raises(ConfigurationError, match=r"because a parameter of the task 'sorts' has this name"):
        sorts.stream([1], ordered=True)


def test_a_stream_is_iterated_over_once(world: World) -> None:
    async def body() -> None:
        stream = double.stream([1])
        assert await all_of(world, stream) == [2]
        with pytest.raises(StreamInUse, match="it has been iterated over already"):
            await all_of(world, stream)
        inner = double.stream([1])
        await all_of(world, double.stream(inner))
        with pytest.raises(StreamInUse):
            await all_of(world, inner)

    world.body(body)


@pytest.mark.anyio
async def test_two_cannot_wait_for_the_same_stream() -> None:
    gate = asyncio.Event()

    @task
    async def waits(x: int) -> int:
        await gate.wait()
        return x

    @flow
    async def body() -> None:
        iterator = aiter(waits.stream(range(3)))
        first = asyncio.create_task(anext(iterator))
        await asyncio.sleep(0)
        with pytest.raises(StreamInUse, match="waited for by somebody else"):
            await anext(iterator)
        gate.set()
        assert await first in range(3)

    await body()


@pytest.mark.anyio
async def test_blocking_on_the_loops_own_thread_is_refused() -> None:
    @flow
    async def body() -> None:
        for each in (double, sync_double):
            with pytest.raises(BlockingCallOnLoop, match=r"Use `async for ... in stream` instead"):
                for _ in each.stream(range(3)):
                    pass

    await body()
    with pytest.raises(BlockingCallOnLoop):
        list(sync_double.stream([1]))


# Where it is used.


def test_a_stream_runs_outside_of_flows() -> None:
    assert sorted(sync_double.stream(range(5))) == [0, 2, 4, 6, 8]
    assert sorted(double.stream(range(5))) == [0, 2, 4, 6, 8]


@pytest.mark.anyio
async def test_a_stream_runs_outside_of_flows_on_a_loop() -> None:
    for each in (double, sync_double):
        assert sorted([x async for x in each.stream(range(5))]) == [0, 2, 4, 6, 8]


def test_a_task_may_have_a_stream_of_its_own(world: World) -> None:
    @world.task
    async def sums(n: int) -> int:
        inner = World("inner", async_flows=world.async_tasks, async_tasks=world.async_tasks)
        return sum(await all_of(inner, sync_double.stream(range(n), max_in_flight=2)))

    async def body() -> list[int]:
        return await all_of(world, sums.stream(range(12), max_in_flight=6, ordered=True))

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_THREADS", "1")
        assert world.body(body) == [n * (n - 1) for n in range(12)]


def test_a_map_over_a_stream_takes_all_of_it() -> None:
    @flow
    def body() -> list[int]:
        return list(sync_double.map(sync_double.stream(range(3), ordered=True)).result())

    assert body() == [0, 4, 8]


def test_a_flow_that_is_run_again_runs_its_streams_again(world: World) -> None:
    calls: list[int] = []
    attempts: list[int] = []

    @world.task
    async def notes(x: int) -> int:
        calls.append(x)
        return x

    @world.flow(retries=1)
    async def body() -> list[int]:
        attempts.append(1)
        once = await world.call(notes, 100)
        found: list[int] = await all_of(world, notes.stream(range(3), ordered=True, max_in_flight=1))
        if len(attempts) == 1:
            raise ValueError(once)
        return found

    assert world.run(body) == [0, 1, 2]
    assert calls == [100, 0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("retries", [0, 1])
def test_a_source_that_never_ends_leaves_nothing_of_what_is_past(world: World, retries: int) -> None:
    import gc  # noqa: PLC0415

    from millrace.runtime.runs import TaskRun  # noqa: PLC0415

    class Value:
        """What runs come to."""

    def alive() -> int:
        gc.collect()
        return sum(type(each) in (TaskRun, Value) for each in gc.get_objects())

    @world.task
    async def made(_x: int) -> Value:
        return Value()

    @world.flow(retries=retries)
    async def body() -> list[int]:
        seen: list[int] = []
        before = alive()
        given = 0
        async for _ in each_of(world, made.stream(itertools.count(1_000), max_in_flight=20)):
            given += 1
            if given % 1_000 == 0:
                seen.append(alive() - before)
            if given == 3_000:
                break
        return seen

    assert max(world.run(body)) <= 2 * 20 + 2


@pytest.mark.anyio
async def test_an_engine_that_is_closed_closes_its_streams() -> None:
    engine = Engine()
    async with engine:
        stream = double.stream(Spring().plain(), max_in_flight=2)
        iterator = aiter(stream)
        await anext(iterator)
        await engine.aclose()
        with pytest.raises(
            CancelledRun, match=r"^The stream of task 'double' was closed\. What it belongs to is ending"
        ):
            await anext(iterator)
