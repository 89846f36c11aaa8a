"""Results that lie in a storage and nowhere else: read when somebody asks, and never on an event loop."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from threading import Event
from typing import Any

import pytest

from millrace import (
    INPUTS,
    FutureList,
    MemoryStorage,
    MissingResult,
    State,
    TaskRunContext,
    TaskRunResult,
    allow_failure,
    as_completed,
    quote,
)
from millrace.runtime.results import StoredValue
from tests.loose import flow, task
from tests.runtime.ledgers import HOWS, Ledger, in_flow, outside, result_of, state_of
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, World

each_way = pytest.mark.parametrize("how", HOWS)


@pytest.fixture
def ledger() -> Ledger:
    return Ledger()


def double(x: Any) -> Any:
    return 2 * x


def keeping(world: World, ledger: Ledger, **options: Any) -> Any:
    """A task whose results lie in a storage alone."""
    return world.task(double, **{"result_storage": ledger, "cache_result_in_memory": False, **options})


def check(world: World, ledger: Ledger) -> None:
    """Async tasks in async flows have not used the storage on their loop."""
    if world is ASYNC:
        assert ledger.on_loops == 0


# Taking a result.


@each_way
def test_a_state_holds_where_the_result_lies_and_reads_it_each_time(world: World, how: str, ledger: Ledger) -> None:
    state = in_flow(world, how, keeping(world, ledger), [2])
    ledger.done.clear()

    assert isinstance(state.data, StoredValue)
    assert ledger.done == []
    assert state.result() == [2, 2]
    assert state.result() is not state.result()
    assert asyncio.run(state.aresult()) == [2, 2]
    assert ledger.done == ["read"] * 4


@each_way
def test_whoever_takes_a_result_gets_the_value(world: World, how: str, ledger: Ledger) -> None:
    run = keeping(world, ledger)

    async def body() -> Any:
        return quote(await result_of(world, how, run, 2))

    assert world.body(body).unquote() == 4
    check(world, ledger)


@each_way
@pytest.mark.parametrize("world", [SYNC, ASYNC], ids=lambda world: world.name)
def test_so_it_is_outside_of_flows(world: World, how: str, ledger: Ledger) -> None:
    state = outside(how, keeping(world, ledger), 2)

    assert isinstance(state.data, StoredValue)
    assert state.result() == 4
    assert keeping(SYNC, ledger)(2) == 4
    assert asyncio.run(keeping(ASYNC, ledger)(2)) == 4
    assert keeping(world, ledger).submit(2).result(timeout=PATIENCE) == 4
    assert keeping(world, ledger).map([2, 3]).result(timeout=PATIENCE) == [4, 6]


def test_a_list_of_futures_gives_the_values_in_order(world: World, ledger: Ledger) -> None:
    run, plain = keeping(world, ledger), world.task(double)

    async def body() -> Any:
        mapped = run.map(range(5))
        first = await world.result(mapped)
        mixed = FutureList([run.submit(10), plain.submit(10), mapped[2]])
        return quote((first, await world.result(mapped), await world.result(mixed)))

    assert world.body(body).unquote() == ([0, 2, 4, 6, 8], [0, 2, 4, 6, 8], [20, 20, 4])
    check(world, ledger)


def test_waiting_reads_nothing(world: World, ledger: Ledger) -> None:
    run = keeping(world, ledger, persist_result=True, refresh_cache=True)

    async def body() -> Any:
        mapped = run.map(range(3))
        await world.ended(mapped)
        return quote(await world.ended(run.submit(3)))

    world.body(body)
    assert ledger.done == ["write"] * 4


@pytest.mark.anyio
async def test_as_completed_gives_futures_of_values(ledger: Ledger) -> None:
    run = keeping(ASYNC, ledger)

    @flow
    async def collects() -> Any:
        return quote(sorted([await future async for future in as_completed(run.map(range(4)))]))

    assert (await collects()).unquote() == [0, 2, 4, 6]
    assert ledger.on_loops == 0


@pytest.mark.anyio
async def test_an_async_call_reads_its_result_in_a_thread(ledger: Ledger) -> None:
    run = keeping(ASYNC, ledger)

    @flow
    async def calls() -> Any:
        return quote((await run(2), (await run(3, return_state=True)).name))

    assert (await calls()).unquote() == (4, "Completed")
    assert await run(4) == 8
    assert ledger.on_loops == 0


class Gated(Ledger):
    """A storage that lets nobody read before its gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = Event()
        self.waits = Event()

    def read(self, key: str) -> bytes:
        self.waits.set()
        assert self.gate.wait(PATIENCE), "Nobody opened the gate: the loop stands still."
        return super().read(key)


async def opened(gated: Gated, reading: asyncio.Task[Any]) -> Any:
    """What comes of reading, when the loop that waits for that has opened the gate."""
    try:
        await asyncio.to_thread(gated.waits.wait, PATIENCE)
        assert not reading.done()
    finally:
        gated.gate.set()
    return await reading


@pytest.mark.anyio
@pytest.mark.parametrize(
    "take", ["future", "list", "aresult", "call", "submit downstream", "call downstream", "subflow", "flow"]
)
async def test_the_loop_turns_while_a_result_is_read(take: str) -> None:
    gated = Gated()
    run = keeping(ASYNC, gated, refresh_cache=True)
    plain = ASYNC.task(double)

    @flow
    async def inner(x: Any) -> Any:
        return double(x)

    @flow(persist_result=True, result_storage=gated, cache_result_in_memory=False)
    async def kept() -> Any:
        return 4

    @flow
    async def takes() -> Any:
        future = run.submit(2)
        futures = run.map([2])
        await future.wait_async()
        await futures[0].wait_async()
        ways: dict[str, Callable[[], Any]] = {
            "future": lambda: future,
            "list": lambda: futures,
            "aresult": future.state.aresult,
            "call": lambda: run(2),
            "submit downstream": lambda: plain.submit(future),
            "call downstream": lambda: plain(future),
            "subflow": lambda: inner(future),
            "flow": kept,
        }

        async def taken() -> Any:
            return await ways[take]()

        return quote(await opened(gated, asyncio.create_task(taken())))

    expected = {"list": [4]} | dict.fromkeys(["submit downstream", "call downstream", "subflow"], 8)
    assert (await takes()).unquote() == expected.get(take, 4)


# As an argument.


@each_way
@pytest.mark.parametrize("options", [{}, {"retries": 1, "task_run_name": "next-{x}"}], ids=["plain", "conducted"])
def test_a_task_further_down_gets_the_value(world: World, how: str, options: dict[str, Any], ledger: Ledger) -> None:
    run, then = keeping(world, ledger), world.task(double, **options)

    async def body() -> Any:
        future = run.submit(2)
        if not world.async_tasks and world.async_flows:
            await future.wait_async()  # else the call would have to block the loop
        return quote(
            (await result_of(world, how, then, future), await result_of(world, how, then, await world.ended(future)))
        )

    assert world.body(body).unquote() == (8, 8)
    check(world, ledger)


def test_values_are_put_in_wherever_they_stand(world: World, ledger: Ledger) -> None:
    run = keeping(world, ledger)
    collect = world.task(lambda *args, **kwargs: (args, kwargs), name="collect")

    async def body() -> Any:
        one, two = run.submit(1), run.submit(2)
        return quote(await world.result(collect.submit([one, {"two": two}], quote(3), last=(one,))))

    assert world.body(body).unquote() == (([2, {"two": 4}], 3), {"last": (2,)})
    check(world, ledger)


def test_a_map_over_a_map_gets_the_values(world: World, ledger: Ledger) -> None:
    run = keeping(world, ledger)

    async def body() -> Any:
        return quote(await world.result(run.map(run.map(range(4)))))

    assert world.body(body).unquote() == [0, 4, 8, 12]
    check(world, ledger)


def test_a_subflow_gets_the_value(world: World, ledger: Ledger) -> None:
    run = keeping(world, ledger)

    @world.flow
    def inner(x: int) -> int:
        return x + 1

    async def body() -> Any:
        future = run.submit(2)
        await world.ended(future)
        return quote(await world.call(inner, future))

    assert world.body(body).unquote() == 5


def test_who_only_waits_for_a_run_reads_nothing(world: World, ledger: Ledger) -> None:
    run, then = keeping(world, ledger, refresh_cache=True), world.task(double)

    async def body() -> Any:
        return quote(await world.result(then.submit(3, wait_for=[run.submit(2)])))

    assert world.body(body).unquote() == 6
    assert ledger.done == ["write"]


def test_a_failure_further_up_is_let_through_as_ever(world: World, ledger: Ledger) -> None:
    @world.task(result_storage=ledger, cache_result_in_memory=False)
    def fails() -> None:
        raise ValueError("no")

    then = world.task(lambda error: error.args, name="then")

    async def body() -> Any:
        future = fails.submit()
        await world.ended(future)
        return quote(await world.result(then.submit(allow_failure(future))))

    assert world.body(body).unquote() == ("no",)


def test_the_context_of_a_task_shows_the_values(world: World, ledger: Ledger) -> None:
    run = keeping(world, ledger)

    @world.task
    def looks(x: int) -> Any:
        context = TaskRunContext.get()
        return None if context is None else context.parameters

    async def body() -> Any:
        return quote(await world.result(looks.submit(run.submit(2))))

    assert world.body(body).unquote() == {"x": 4}


def test_what_is_made_of_a_taken_result_depends_on_its_run(world: World, ledger: Ledger) -> None:
    run, then = keeping(world, ledger), world.task(double)

    async def body() -> Any:
        future = run.submit(["a value"])
        downstream = then.submit(await world.result(future))
        await world.ended(downstream)
        return quote((downstream.source.task_inputs, future.task_run_id))

    inputs, run_id = world.body(body).unquote()
    assert inputs == {"x": [TaskRunResult(run_id)]}


# What holds the value.


class Heavy:
    """Something that one would rather not hold."""


@pytest.mark.parametrize("storage", [MemoryStorage, Ledger])
def test_neither_the_run_nor_its_flow_holds_the_value(storage: Any) -> None:
    made: list[weakref.ref[Heavy]] = []

    @task(result_storage=storage(), cache_result_in_memory=False)
    def heavy(_: int) -> Heavy:
        value = Heavy()
        made.append(weakref.ref(value))
        return value

    @flow
    def holds() -> Any:
        futures = [heavy.submit(1), *heavy.map([2])]
        states = [future.wait() and future.state for future in futures]
        heavy(3)
        gc.collect()
        return quote((states, [each() for each in made]))

    states, alive = holds().unquote()
    assert alive == [None] * 3
    assert all(isinstance(state.result(), Heavy) for state in states)


def test_a_value_with_ways_to_be_loaded_is_handed_out_as_it_is(world: World, ledger: Ledger) -> None:
    class Loader:
        def load(self) -> str:
            raise AssertionError("It was loaded.")

        aload = load

    value = Loader()
    run = world.task(lambda: value, name="plain")

    async def body() -> Any:
        return quote(await world.result(run.submit()))

    assert world.body(body).unquote() is value


# When it is gone.


@each_way
def test_a_result_that_was_deleted_is_missing(world: World, how: str, ledger: Ledger) -> None:
    run = keeping(world, ledger)

    async def body() -> Any:
        state = await state_of(world, how, run, 2)
        ledger.clear()
        return quote(state)

    state: State[int] = world.body(body).unquote()
    assert state.is_completed()
    with pytest.raises(MissingResult, match="its result is not in memory any more"):
        state.result()
    with pytest.raises(MissingResult):
        asyncio.run(state.aresult())


def test_whoever_takes_a_missing_result_is_told(world: World, ledger: Ledger) -> None:
    run, then = keeping(world, ledger), world.task(double)

    async def body() -> Any:
        future, futures = run.submit(2), run.map([2, 3])
        await world.ended(future)
        await world.ended(futures)
        ledger.clear()
        errors = [await world.error(each) for each in (future, futures, then.submit(future), then.submit(futures))]
        return quote(errors)

    assert [type(error) for error in world.body(body).unquote()] == [MissingResult] * 4
    check(world, ledger)


def test_a_task_whose_argument_is_missing_fails_before_its_body(world: World, ledger: Ledger) -> None:
    run = keeping(world, ledger)
    called: list[int] = []
    then = world.task(called.append, name="then")

    async def body() -> Any:
        future = run.submit(2)
        await world.ended(future)
        ledger.clear()
        return quote(await world.ended(then.submit(future)))

    state = world.body(body).unquote()
    assert state.is_failed()
    assert isinstance(state.data, MissingResult)
    assert called == []


# With a cache.


@each_way
def test_a_hit_lies_there_too(world: World, how: str, ledger: Ledger) -> None:
    run = keeping(world, ledger, cache_policy=INPUTS)

    first, second = in_flow(world, how, run, 2), in_flow(world, how, run, 2)

    assert (first.name, second.name) == ("Completed", "Cached")
    assert isinstance(second.data, StoredValue)
    assert second.data == first.data
    assert second.result() == 4


@pytest.mark.anyio
async def test_looking_and_writing_is_nothing_for_a_loop(ledger: Ledger) -> None:
    run = ASYNC.task(double, result_storage=ledger, cache_policy=INPUTS)

    @flow
    async def looks() -> Any:
        return quote([await run(2), await run(2), await run.submit(3), await run.map([2, 3, 4])])

    assert (await looks()).unquote() == [4, 4, 6, [4, 6, 8]]
    assert ledger.done.count("write") == 3
    assert ledger.on_loops == 0
