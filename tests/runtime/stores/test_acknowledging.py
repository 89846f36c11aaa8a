"""Nobody is told of an end before it is committed; and of an end that cannot be committed everybody is told so."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator, Iterator
from threading import Thread
from typing import Any

import pytest

from millrace import (
    CancelledRun,
    Engine,
    Event,
    State,
    StoreError,
    flow,
    get_run_logger,
    pause_flow_run,
    resume_flow_run,
    suspend_flow_run,
    task,
)
from millrace.actors.states import StateType
from millrace.runtime.entering import ENTERED
from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.rows import RunFilter
from tests.runtime.stores.held import PATIENCE, HeldStore
from tests.runtime.worlds import World

FULL = StoreError("the disk", "write a group of records to", "it is full")


@pytest.fixture
def store() -> HeldStore:
    return HeldStore()


@pytest.fixture
def engine(store: HeldStore) -> Iterator[Engine]:
    made = Engine(store=store)
    token = ENTERED.set(made)
    yield made
    ENTERED.reset(token)
    store.release()
    made.close()


def beside(call: Callable[[], Any]) -> tuple[Thread, list[Any]]:
    """Call something in another thread; what it gives, or raises, is put into the list."""
    came: list[Any] = []

    def body() -> None:
        try:
            came.append(call())
        except BaseException as error:  # noqa: BLE001
            came.append(error)

    thread = Thread(target=body, daemon=True)
    thread.start()
    return thread, came


def test_a_flow_returns_when_its_end_is_committed(world: World, store: HeldStore, engine: Engine) -> None:
    @world.flow
    async def body() -> int:
        return 7

    thread, came = beside(lambda: world.run(body, engine=engine))
    store.arrived()
    assert came == []

    store.release()
    thread.join(PATIENCE)

    assert came == [7]
    assert [record.type for record in store.records() if hasattr(record, "ended") and record.ended] == ["COMPLETED"]


@pytest.mark.parametrize("how", ["call", "submit", "map"])
def test_a_body_hears_of_a_run_when_its_end_is_committed(
    world: World, store: HeldStore, engine: Engine, how: str
) -> None:
    seen: list[bool] = []

    @world.task
    async def work(number: int) -> int:
        return number

    @world.flow
    async def body() -> None:
        started = await world.start(how, work, [1] if how == "map" else 1)
        if how != "call":
            await world.result(started)
        ends = [record for record in store.records() if getattr(record, "type", None) is StateType.COMPLETED]
        seen.append(bool(ends) and store.waiting == 0)

    thread, came = beside(lambda: world.run(body, engine=engine))
    store.arrived()
    assert seen == []

    store.release()
    thread.join(PATIENCE)

    assert (came, seen) == ([None], [True])


class Stop(BaseException):
    """What crashes a run."""


@pytest.mark.parametrize("error", [Stop, KeyboardInterrupt, SystemExit, asyncio.CancelledError])
@pytest.mark.parametrize("options", [{}, {"on_failure": [lambda *_: None]}], ids=["plain", "conducted"])
def test_a_crash_of_a_task_that_is_called_goes_up_when_it_is_committed(
    world: World, store: HeldStore, engine: Engine, error: type[BaseException], options: dict[str, Any]
) -> None:
    seen: list[bool] = []

    @world.task(**options)
    async def work() -> None:
        raise error

    @world.flow
    async def body() -> None:
        try:
            await world.call(work)
        except error:
            ends = [record for record in store.records() if getattr(record, "type", None) is StateType.CRASHED]
            seen.append(bool(ends) and store.waiting == 0)

    thread, _ = beside(lambda: world.run(body, engine=engine))
    store.arrived()
    assert seen == []

    store.release()
    thread.join(PATIENCE)

    assert seen == [True]


@pytest.mark.anyio
async def test_a_task_that_is_cancelled_with_its_caller_crashes_before_that_goes_on(store: HeldStore) -> None:
    begun = asyncio.Event()

    @task
    async def work() -> None:
        begun.set()
        await asyncio.Event().wait()

    async def caller() -> bool:
        try:
            await work()
        except asyncio.CancelledError:
            ends = [record for record in store.records() if getattr(record, "type", None) is StateType.CRASHED]
            return bool(ends) and store.waiting == 0
        return False

    async with Engine(store=store):
        calling = asyncio.create_task(caller())
        await begun.wait()
        calling.cancel()
        await asyncio.to_thread(store.arrived)
        assert not calling.done()
        store.release()
        assert await calling


def test_a_future_shows_no_end_that_is_not_committed(store: HeldStore, engine: Engine) -> None:
    @task
    def work() -> int:
        return 7

    future = work.submit()
    store.arrived()
    engine.offload.close()  # waits for its threads: the body has returned

    assert not future.done()
    assert future.state.name in {"Pending", "Running"}
    assert future.wait(0) is False

    store.release()
    assert future.result(PATIENCE) == 7


def test_a_done_callback_is_called_when_the_end_is_committed_and_may_block(store: HeldStore, engine: Engine) -> None:
    @task
    def work(number: int) -> int:
        return number

    future = work.submit(1)
    thread, came = beside(lambda: None)
    thread.join()
    called: list[Any] = []
    done, told = beside(lambda: None)
    done.join()
    future.add_done_callback(lambda ended: called.append(work(ended.result() + 1)))  # runs another task, which commits
    store.arrived()
    assert called == []

    store.release()
    assert future.result(PATIENCE) == 1
    engine.close()

    assert called == [2]
    assert (came, told) == ([None], [None])


def test_listeners_hear_of_transitions_when_they_are_committed(store: HeldStore, engine: Engine) -> None:
    events: list[Event] = []
    engine.subscribe(events.append)

    @flow
    def body() -> int:
        return 7

    thread, _ = beside(lambda: engine_run(engine, body))
    store.arrived()
    assert events == []

    store.release()
    thread.join(PATIENCE)
    engine.close()

    assert [event.state.type for event in events] == ["PENDING", "RUNNING", "COMPLETED"]


def engine_run(engine: Engine, called: Any, *args: Any) -> Any:
    token = ENTERED.set(engine)
    try:
        return called(*args)
    finally:
        ENTERED.reset(token)


def test_a_generator_task_ends_when_that_is_committed(store: HeldStore, engine: Engine) -> None:
    @task
    def numbers() -> Generator[int]:
        yield 1
        yield 2

    @flow
    def body() -> list[int]:
        return list(numbers())

    thread, came = beside(lambda: engine_run(engine, body))
    store.arrived()
    assert came == []

    store.release()
    thread.join(PATIENCE)

    assert came == [[1, 2]]


# When the store fails.


def test_a_result_that_cannot_be_recorded_is_told_to_nobody(world: World, store: HeldStore, engine: Engine) -> None:
    told: list[Any] = []
    begun = threading.Event()

    @world.task
    async def work() -> int:
        begun.set()
        return 7

    @world.flow
    async def body() -> Any:
        future = work.submit()
        told.append(await world.ended(future))
        return await world.result(future)

    thread, came = beside(lambda: world.run(body, engine=engine))
    store.arrived()
    assert begun.wait(PATIENCE)
    store.fail(FULL)
    thread.join(PATIENCE)

    assert came == [FULL]
    state: State[Any] = told[0]
    assert state.is_crashed()
    assert state.data is FULL
    store.release()


def test_a_call_raises_what_the_store_has_failed_with(world: World, store: HeldStore, engine: Engine) -> None:
    @world.task
    async def work() -> int:
        return 7

    @world.flow
    async def body() -> Any:
        try:
            return await world.call(work)
        except StoreError as error:
            return error

    thread, came = beside(lambda: world.run(body, return_state=True, engine=engine))
    store.arrived()
    store.fail(FULL)
    thread.join(PATIENCE)

    assert came[0].is_crashed()
    assert came[0].data is FULL
    assert "which could not be recorded: Could not write a group of records to the disk: it is full." in came[0].message
    store.release()


def test_nothing_begins_any_more_when_the_store_has_failed(store: HeldStore, engine: Engine) -> None:
    @task
    def work() -> int:
        return 7

    @flow
    def body() -> int:
        return work()

    store.fail(FULL)
    with pytest.raises(StoreError, match="it is full"):
        body()

    with pytest.raises(StoreError, match="it is full"):
        body()
    with pytest.raises(StoreError, match="it is full"):
        work()
    store.release()


def test_dependants_of_what_could_not_be_recorded_never_begin(store: HeldStore, engine: Engine) -> None:
    ran: list[int] = []

    @task
    def first() -> int:
        return 7

    @task
    def second(number: int) -> int:
        ran.append(number)
        return number

    @flow
    def body() -> Any:
        return second.submit(first.submit())

    thread, came = beside(lambda: engine_run(engine, body))
    store.arrived()
    store.fail(FULL)
    thread.join(PATIENCE)

    assert isinstance(came[0], BaseException)
    assert ran == []
    store.release()


# Pauses.


def test_suspending_returns_when_it_is_committed(store: HeldStore, engine: Engine) -> None:
    @flow
    def body() -> Any:
        return suspend_flow_run()

    thread, came = beside(lambda: engine_run(engine, lambda: body(return_state=True)))
    store.arrived()
    assert came == []
    store.release()
    thread.join(PATIENCE)

    assert came[0].name == "Suspended"
    row = store.read_flow_runs(RunFilter())[0]
    assert row.suspended
    resumed = resume_flow_run(came[0].state_details.flow_run_id, 5)
    assert resumed.result(PATIENCE) == 5


def test_a_paused_run_goes_on_as_ever(store: HeldStore, engine: Engine) -> None:
    store.release()
    ids: list[Any] = []

    @flow
    def body() -> Any:
        get_run_logger()
        return pause_flow_run(key="approval")

    future = engine.start(body)
    ids.append(future.flow_run_id)
    while future.state.type is not StateType.PAUSED:
        future.wait(0.001)
    assert resume_flow_run(ids[0], "yes").name

    assert future.result(PATIENCE) == "yes"
    assert [answer.key for answer in store.read_answers(ids[0].int)] == ['"approval"']


@pytest.mark.anyio
async def test_the_loop_goes_on_while_a_commit_is_waited_for(store: HeldStore) -> None:
    ticks = 0
    begun = asyncio.Event()

    @task
    async def work(number: int) -> int:
        return number

    @flow
    async def body() -> list[int]:
        begun.set()
        return await work.map(range(100))

    async with Engine(store=store) as engine:
        future = engine.start(body)
        await begun.wait()
        for _ in range(100):
            await asyncio.sleep(0)
            ticks += 1
        assert not future.done()
        store.release()
        assert await future == list(range(100))

    assert ticks == 100


def test_a_flow_that_calls_itself_without_end_fails_with_a_store_too(world: World) -> None:
    """To put on record takes more of the stack, and a run that has none left to end would be waited for without end."""

    @world.flow
    async def again() -> Any:
        return await world.call(again)

    with Engine(store=MemoryStore()) as made:
        state = world.run(again, return_state=True, engine=made)

    assert isinstance(state.data, RecursionError)


@pytest.mark.anyio
async def test_whoever_looks_at_a_run_that_was_dropped_with_its_map_is_told_when_that_is_committed() -> None:
    @task
    async def waits(_number: int) -> None:
        await asyncio.Event().wait()

    @flow
    async def body() -> None:
        futures.append(waits.map(range(1_000)))
        begun.set()
        await asyncio.Event().wait()

    futures: list[Any] = []
    begun = asyncio.Event()
    async with Engine(store=MemoryStore()) as engine:
        running = asyncio.create_task(body())
        await begun.wait()
        engine.cancel_all()
        with pytest.raises(CancelledRun):
            await running

        states = [await futures[0][index].wait_async(PATIENCE) for index in (0, 999)]

    assert [each.type for each in states] == [StateType.CANCELLED] * 2


@pytest.mark.anyio
async def test_an_engine_with_a_store_is_closed_however_often_that_is_asked_for() -> None:
    async with asyncio.timeout(PATIENCE):
        async with Engine(store=MemoryStore()) as engine:
            await asyncio.gather(engine.aclose(), engine.aclose())
        engine.close()
    assert not [each for each in threading.enumerate() if each.name == "millrace-store"]
