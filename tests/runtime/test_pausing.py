"""Pausing a flow run: what goes on meanwhile, who may resume it, and what else may end a pause."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from queue import SimpleQueue
from threading import Barrier, Event, Thread
from typing import Any
from uuid import uuid4

import pytest

from millrace import (
    INPUTS,
    Engine,
    FlowRun,
    MemoryStorage,
    MissingContextError,
    NotPausedError,
    Paused,
    PausedRun,
    PauseRefused,
    Running,
    RunNotFound,
    State,
    StateType,
    ThreadPoolTaskRunner,
    current,
    pause_flow_run,
    propose_state,
    resume_flow_run,
)
from millrace.runtime.entering import ENTERED
from tests.checkpoints import turns, until
from tests.clock import VirtualTime
from tests.loose import flow, task
from tests.runtime.people import (
    Person,
    Watcher,
    names,
    pause,
    proposed,
    resumed_with,
    settled,
    this_run,
)
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, World


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close(cancel=True)


def nothing(*_: Any) -> None:
    pass


# The course of a pause.


def test_a_paused_run_waits_and_goes_on_with_what_it_is_given(world: World, engine: Engine) -> None:
    runs: list[FlowRun] = []

    @world.flow
    async def waits() -> Any:
        runs.append(this_run())
        return await pause()

    person = Person(engine, resumed_with("yes"))

    assert world.run(waits, engine=engine) == "yes"
    person.done()
    assert names(runs[0]) == ["Pending", "Running", "Paused", "Running", "Completed"]
    assert runs[0].run_count == 1


# What goes on, and what does not.

KINDS: dict[str, Callable[[], dict[str, Any]]] = {
    "plain": dict,
    "hooks": lambda: {"on_running": [nothing], "on_completion": [nothing]},
    "timeout": lambda: {"timeout_seconds": 3600},
    "kept": lambda: {"cache_policy": INPUTS, "result_storage": MemoryStorage()},
    "retries": lambda: {"retries": 1},
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("how", ["submit", "map", "call", "thread"])
def test_what_runs_goes_on_and_nothing_new_starts_before_it_is_resumed(
    world: World, engine: Engine, how: str, kind: str
) -> None:
    ran: list[int] = []
    gate, begun = world.gate(), world.flow_gate()
    parked = Watcher(engine, lambda event: event.run_name.startswith("later") and event.state.is_paused())

    def later(number: int) -> int:
        ran.append(number)
        return number

    late = world.task(later, **KINDS[kind]())

    @world.task
    async def early() -> Any:
        begun.open()
        await gate.passed()
        if how == "call":
            return await settled(late(1))
        if how == "thread":
            thread = Thread(target=copy_context().run, args=(late.submit, 1))
            thread.start()
            thread.join()
            return None
        return getattr(late, how)([1, 2] if how == "map" else 1)

    count = 2 if how == "map" else 1

    def attend(run: FlowRun) -> None:
        gate.open()
        parked.await_one(count)
        assert not ran
        _ = resume_flow_run(run.uuid)

    @world.flow
    async def waits() -> Any:
        early.submit()
        await begun.passed()
        await pause()

    person = Person(engine, attend)
    world.run(waits, engine=engine)
    person.done()
    assert sorted(ran) == [1, 2][:count]


def test_what_waits_for_others_when_it_is_paused_starts_afterwards(world: World, engine: Engine) -> None:
    gate, begun = world.gate(), world.flow_gate()
    parked = Watcher(engine, lambda event: event.run_name.startswith("later") and event.state.is_paused())
    ran: list[int] = []

    @world.task
    async def early() -> int:
        begun.open()
        await gate.passed()
        return 1

    def later(number: int) -> int:
        ran.append(number)
        return number + 1

    late = world.task(later)

    def attend(run: FlowRun) -> None:
        gate.open()
        parked.await_one()
        assert not ran
        _ = resume_flow_run(run.uuid)

    @world.flow
    async def waits() -> Any:
        first = late.submit(early.submit())
        second = late.submit(first)
        await begun.passed()
        await pause()
        return await world.result(second)

    person = Person(engine, attend)
    assert world.run(waits, engine=engine) == 3
    person.done()
    assert ran == [1, 2]


def test_a_retry_that_comes_up_while_it_is_paused_is_made_afterwards(world: World, engine: Engine) -> None:
    gate, begun = world.gate(), world.flow_gate()
    parked = Watcher(engine, lambda event: event.run_name.startswith("flaky") and event.state.is_paused())
    attempts: list[int] = []

    async def flaky() -> int:
        attempts.append(1)
        if len(attempts) == 1:
            begun.open()
            await gate.passed()
            raise ValueError("once")
        return len(attempts)

    def attend(run: FlowRun) -> None:
        gate.open()
        parked.await_one()
        assert len(attempts) == 1
        _ = resume_flow_run(run.uuid)

    @world.flow
    async def waits() -> Any:
        future = world.task(flaky, retries=1).submit()
        await begun.passed()
        await pause()
        return await world.result(future), names(future.source)

    person = Person(engine, attend)
    result, states = world.run(waits, engine=engine)
    person.done()
    assert result == 2
    assert states == ["Pending", "Running", "AwaitingRetry", "Paused", "Running", "Completed"]


def test_a_run_that_is_cancelled_while_it_waits_for_the_end_of_a_pause_never_starts(
    world: World, engine: Engine
) -> None:
    gate, begun = world.gate(), world.flow_gate()
    parked = Watcher(engine, lambda event: event.run_name.startswith("later") and event.state.is_paused())
    ran: list[int] = []
    futures: SimpleQueue[Any] = SimpleQueue()

    def later() -> None:
        ran.append(1)

    late = world.task(later)

    @world.task
    async def early() -> None:
        begun.open()
        await gate.passed()
        futures.put(late.submit())

    def attend(run: FlowRun) -> None:
        gate.open()
        parked.await_one()
        future = futures.get(timeout=PATIENCE)
        assert future.cancel()
        assert future.state.is_cancelled()
        _ = resume_flow_run(run.uuid)

    @world.flow
    async def waits() -> str:
        early.submit()
        await begun.passed()
        await pause()
        return "on"

    person = Person(engine, attend)
    assert world.run(waits, engine=engine) == "on"
    person.done()
    assert not ran


def test_a_generator_task_that_is_begun_while_it_is_paused_yields_afterwards(world: World, engine: Engine) -> None:
    gate, begun = world.gate(), world.flow_gate()
    parked = Watcher(engine, lambda event: event.run_name.startswith("count") and event.state.is_paused())
    got: list[int] = []

    @task
    def count() -> Any:
        yield from range(3)

    @task
    async def count_async() -> Any:
        for number in range(3):
            yield number

    @world.task
    async def early() -> None:
        begun.open()
        await gate.passed()
        if world.async_tasks:
            got.extend([number async for number in count_async()])
        else:
            got.extend(count())

    def attend(run: FlowRun) -> None:
        gate.open()
        parked.await_one()
        assert not got
        _ = resume_flow_run(run.uuid)

    @world.flow
    async def waits() -> None:
        early.submit()
        await begun.passed()
        await pause()

    person = Person(engine, attend)
    world.run(waits, engine=engine)
    person.done()
    assert got == [0, 1, 2]


@pytest.mark.anyio
@pytest.mark.parametrize(("timeout", "timers"), [(60.0, 1), (None, 0)])
async def test_pausing_and_going_on_takes_no_time_and_sets_no_timer_but_that_of_the_pause(
    timeout: float | None, timers: int
) -> None:
    time = VirtualTime()

    @flow
    async def waits() -> None:
        await pause_flow_run(timeout=timeout)

    async with Engine(clock=time.now, timers=time) as engine:
        future = engine.start(waits)
        await until(lambda: future.flow_run.type is StateType.PAUSED)
        await turns(20)
        assert time.waiting == timers
        _ = resume_flow_run(future.flow_run_id)
        await turns(5)
        assert future.done()
        assert time.waiting == 0


# Who resumes it.


@pytest.mark.parametrize("ends", ["task", "hook"])
def test_a_task_that_runs_may_resume_its_own_flow(world: World, engine: Engine, ends: str) -> None:
    gate, begun = world.gate(), world.flow_gate()

    def resume(_task: Any, run: Any, _state: State[Any]) -> None:
        _ = resume_flow_run(run.scope.uuid, "by a hook")

    @world.task(on_completion=[resume] if ends == "hook" else [])
    async def early() -> None:
        begun.open()
        await gate.passed()
        if ends == "task":
            _ = resume_flow_run(str(current.flow_run.id), "by a task")

    @world.flow
    async def waits() -> Any:
        early.submit()
        await begun.passed()
        return await pause()

    person = Person(engine, lambda _: gate.open())
    assert world.run(waits, engine=engine) == f"by a {ends}"
    person.done()


def test_whoever_hears_of_the_pause_may_resume_it_there_and_then(world: World, engine: Engine) -> None:
    """Found by reading: an answer was waited for that could come only when the listener had returned."""

    def listen(event: Any) -> None:
        if event.state.is_paused():
            _ = resume_flow_run(event.flow_run_id, run_input=5)

    engine.subscribe(listen)

    @world.flow
    async def waits() -> Any:
        return await pause(wait_for_input=int), await pause()

    assert world.run(waits, engine=engine) == (5, 5)


def test_of_many_who_resume_it_at_once_one_does(engine: Engine) -> None:
    """Found by reading: RUNNING may follow RUNNING, so each of them did, and the last one's input counted."""
    many, times = 4, 40
    won: list[list[int]] = []

    @flow
    def waits() -> Any:
        return pause_flow_run()

    with ThreadPoolExecutor(many) as pool:
        barrier = Barrier(many)

        def attend(run: FlowRun) -> None:
            def resume(number: int) -> int | None:
                barrier.wait(PATIENCE)
                try:
                    _ = resume_flow_run(run.uuid, number)
                except (NotPausedError, RunNotFound):
                    return None
                return number

            contexts = [copy_context() for _ in range(many)]
            answers = pool.map(lambda number: contexts[number].run(resume, number), range(many))
            won.append([number for number in answers if number is not None])

        person = Person(engine, *[attend] * times)
        given = [SYNC.run(waits, engine=engine) for _ in range(times)]
        person.done()
    assert won == [[number] for number in given]


@pytest.mark.anyio
async def test_it_is_resumed_from_another_task_of_the_loop_and_from_a_thread() -> None:
    runs: list[FlowRun] = []

    @flow
    async def waits() -> Any:
        runs.append(this_run())
        return await pause_flow_run(), await pause_flow_run()

    async with Engine() as engine:
        future = engine.start(waits)
        await until(lambda: bool(runs) and runs[0].type is StateType.PAUSED)
        paused = runs[0].state.id
        assert resume_flow_run(runs[0].uuid, 1).flow_run is runs[0]
        await until(lambda: runs[0].type is StateType.PAUSED and runs[0].state.id != paused)
        _ = await asyncio.to_thread(resume_flow_run, runs[0].uuid, 2)
        assert await future == (1, 2)
    assert names(runs[0]) == ["Pending", "Running", "Paused", "Running", "Paused", "Running", "Completed"]


@pytest.mark.anyio
async def test_a_thousand_flow_runs_are_paused_at_once_and_go_on() -> None:
    runs: list[FlowRun] = []

    @flow
    async def waits() -> Any:
        runs.append(this_run())
        return await pause_flow_run()

    async with Engine() as engine:
        futures = [engine.start(waits) for _ in range(1000)]
        await until(lambda: len(runs) == 1000 and all(run.type is StateType.PAUSED for run in runs))
        for number, future in enumerate(futures):
            _ = resume_flow_run(future.flow_run_id, number)
        assert [await future for future in futures] == list(range(1000))


# Where it is called.


def test_pausing_in_a_task_pauses_its_flow(world: World, engine: Engine) -> None:
    @world.task
    async def asks() -> Any:
        return await pause()

    @world.flow
    async def waits() -> Any:
        future = asks.submit()
        return await world.result(future), names(future.source), names(this_run())

    person = Person(engine, resumed_with("yes"))
    given, states_of_task, states_of_flow = world.run(waits, engine=engine)
    person.done()
    assert given == "yes"
    assert states_of_task == ["Pending", "Running", "Completed"]
    assert states_of_flow == ["Pending", "Running", "Paused", "Running"]


def test_a_task_on_a_pool_may_pause_however_few_workers_there_are(engine: Engine) -> None:
    """Found by reading: an async body kept its worker while it was paused."""

    @task
    async def asks() -> Any:
        other.submit()
        return await pause_flow_run()

    @task
    async def other() -> None:
        went_on.set()

    went_on = Event()

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def waits() -> Any:
        return asks.submit().result()

    person = Person(engine, resumed_with("yes"))
    assert SYNC.run(waits, engine=engine) == "yes"
    person.done()
    assert went_on.is_set()


def test_pausing_in_a_subflow_pauses_that_while_the_flow_around_it_waits(world: World, engine: Engine) -> None:
    runs: list[FlowRun] = []
    ran: list[str] = []

    @world.task
    async def beside() -> None:
        ran.append("beside")

    @world.flow
    async def inner() -> Any:
        runs.append(this_run())
        return await pause()

    @world.flow
    async def outer() -> Any:
        runs.append(this_run())
        return await world.call(inner)

    def attend(run: FlowRun) -> None:
        outside, inside = runs
        assert run is inside
        assert outside.type is StateType.RUNNING
        _ = resume_flow_run(run.uuid, "yes")

    person = Person(engine, attend)
    assert world.run(outer, engine=engine) == "yes"
    person.done()
    assert [names(run) for run in runs] == [
        ["Pending", "Running", "Completed"],
        ["Pending", "Running", "Paused", "Running", "Completed"],
    ]


# Subflows of a run that is paused.


def held_back(engine: Engine) -> Watcher:
    """Hears of each subflow that is paused with the flow around it."""
    return Watcher(
        engine, lambda event: event.state.is_paused() and event.state.state_details.child_flow_run_id is not None
    )


@pytest.mark.parametrize("how", ["call", "start"])
def test_a_subflow_begins_when_the_flow_around_it_goes_on(world: World, engine: Engine, how: str) -> None:
    ran: list[str] = []
    runs: list[FlowRun] = []
    gate, begun = world.gate(), world.flow_gate()
    held = held_back(engine)

    @world.flow
    async def inner() -> str:
        runs.append(this_run())
        ran.append("inner")
        return "done"

    @world.task
    async def early() -> Any:
        begun.open()
        await gate.passed()
        return await settled(inner()) if how == "call" else engine.start(inner)

    def attend(run: FlowRun) -> None:
        gate.open()
        held.await_one()
        assert not ran
        _ = resume_flow_run(run.uuid)

    @world.flow
    async def waits() -> Any:
        early.submit()
        await begun.passed()
        await pause()

    person = Person(engine, attend)
    world.run(waits, engine=engine)
    person.done()
    assert ran == ["inner"]
    assert names(runs[0]) == ["Pending", "Paused", "Running", "Completed"]
    assert runs[0].run_count == 1


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_a_generator_flow_begins_when_the_flow_around_it_goes_on(engine: Engine, *, asynchronous: bool) -> None:
    ran: list[str] = []
    gate, begun = Event(), Event()
    held = held_back(engine)

    @flow
    def numbers() -> Any:
        ran.append("numbers")
        yield 1

    @flow
    async def anumbers() -> Any:
        ran.append("numbers")
        yield 1

    @task
    def early() -> list[int]:
        begun.set()
        assert gate.wait(PATIENCE)
        return asyncio.run(all_of()) if asynchronous else list(numbers())

    async def all_of() -> list[int]:
        return [number async for number in anumbers()]

    def attend(run: FlowRun) -> None:
        gate.set()
        held.await_one()
        assert not ran
        _ = resume_flow_run(run.uuid)

    @flow
    def waits() -> Any:
        future = early.submit()
        assert begun.wait(PATIENCE)
        pause_flow_run()
        return future.result()

    person = Person(engine, attend)
    assert SYNC.run(waits, engine=engine) == [1]
    person.done()


def test_a_subflow_that_has_not_begun_is_cancelled_with_the_flow_around_it(world: World, engine: Engine) -> None:
    ran: list[str] = []
    gate, begun = world.gate(), world.flow_gate()
    held = held_back(engine)
    ends: list[State[Any]] = []
    engine.subscribe(lambda event: ends.append(event.state) if event.state.is_final() else None)

    @world.flow
    async def inner() -> None:
        ran.append("inner")

    @world.task
    async def early() -> Any:
        begun.open()
        await gate.passed()
        await settled(inner())

    def attend(run: FlowRun) -> None:
        gate.open()
        held.await_one()
        run.cancel("enough")

    @world.flow
    async def waits() -> Any:
        early.submit()
        await begun.passed()
        await pause()

    person = Person(engine, attend)
    assert world.run(waits, engine=engine, return_state=True).is_cancelled()
    person.done()
    assert not ran
    assert {state.type for state in ends} == {StateType.CANCELLED}


def test_a_subflow_that_has_not_begun_is_not_resumed_by_itself(engine: Engine) -> None:
    inside: list[FlowRun] = []

    @flow
    async def inner() -> int:
        return 1

    @flow
    async def waits() -> Any:
        async def beside() -> Any:
            await until(lambda: this_run().type is StateType.PAUSED)
            return await inner()

        _, given = await asyncio.gather(pause_flow_run(), beside())
        return given

    def attend(run: FlowRun) -> None:
        held.await_one()
        inside.extend(each for each in engine.flow_runs() if each.parent is run)
        with pytest.raises(NotPausedError):
            _ = resume_flow_run(inside[0].uuid)
        _ = resume_flow_run(run.uuid)

    held = held_back(engine)
    person = Person(engine, attend)
    assert ASYNC.run(waits, engine=engine) == 1
    person.done()
    assert names(inside[0]) == ["Pending", "Paused", "Running", "Completed"]


def test_a_retry_of_a_subflow_that_comes_up_while_the_flow_around_it_is_paused_is_made_afterwards(
    world: World, engine: Engine
) -> None:
    tries: list[FlowRun] = []
    gate, begun = world.flow_gate(), world.flow_gate()
    held = held_back(engine)

    @world.flow(retries=1)
    async def inner() -> str:
        tries.append(this_run())
        if len(tries) == 1:
            begun.open()
            await gate.passed()
            raise ValueError("once")
        return "done"

    def attend(run: FlowRun) -> None:
        gate.open()
        held.await_one()
        assert len(tries) == 1
        _ = resume_flow_run(run.uuid)

    @world.flow
    async def waits() -> Any:
        future = engine.start(inner)
        await begun.passed()
        await pause()
        return await world.result(future)

    person = Person(engine, attend)
    assert world.run(waits, engine=engine) == "done"
    person.done()
    assert names(tries[0]) == ["Pending", "Running", "AwaitingRetry", "Paused", "Running", "Completed"]


@pytest.mark.anyio
async def test_who_stops_waiting_for_a_subflow_that_has_not_begun_leaves_nothing(engine: Engine) -> None:
    ran: list[str] = []
    stopped = asyncio.Event()

    @flow
    async def inner() -> None:
        ran.append("inner")

    @flow
    async def waits() -> str:
        pausing = asyncio.create_task(pause_flow_run())
        await until(lambda: this_run().type is StateType.PAUSED)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await inner()
        stopped.set()
        return str(await pausing)

    async with engine:
        future = engine.start(waits)
        await stopped.wait()
        _ = resume_flow_run(future.flow_run_id, "yes")
        assert await future == "yes"
    assert not ran


def test_a_generator_may_pause_between_two_values(engine: Engine) -> None:
    @task
    def numbers() -> Any:
        yield 1
        yield pause_flow_run()

    @flow
    def waits() -> Any:
        yield from numbers()
        yield pause_flow_run()

    person = Person(engine, resumed_with(2), resumed_with(3))
    token = ENTERED.set(engine)
    try:
        assert list(waits()) == [1, 2, 3]
    finally:
        ENTERED.reset(token)
    person.done()


@pytest.mark.anyio
async def test_an_async_generator_may_pause_between_two_values() -> None:
    @task
    async def numbers() -> Any:
        yield 1
        yield await pause_flow_run()

    @flow
    async def waits() -> Any:
        async for number in numbers():
            yield number
        yield await pause_flow_run()

    async with Engine() as engine:
        person = Person(engine, resumed_with(2), resumed_with(3))
        assert [number async for number in waits()] == [1, 2, 3]
        await asyncio.to_thread(person.done)


def test_pausing_outside_of_a_flow_is_refused(engine: Engine) -> None:
    with pytest.raises(MissingContextError, match=r"pause_flow_run\(\) needs a flow run around it"):
        pause_flow_run()

    @task
    def alone() -> None:
        pause_flow_run()

    with pytest.raises(MissingContextError):
        SYNC.run(alone, engine=engine)


def test_in_a_sync_flow_on_the_thread_of_a_loop_another_thread_may_resume_and_it_is_said(
    engine: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    @flow
    def waits() -> Any:
        return pause_flow_run()

    @flow
    async def outer() -> Any:
        return waits()

    person = Person(engine, resumed_with("yes"))
    with caplog.at_level(logging.WARNING):
        assert ASYNC.run(outer, engine=engine) == "yes"
    person.done()
    (record,) = caplog.records
    assert record.getMessage() == (
        f"Flow run '{person.runs[0].name}' is paused in sync code on the thread of an event loop, which is held up "
        "until another thread resumes the run."
    )


# What cannot be paused, or resumed.


def test_a_run_that_is_paused_already_is_not_paused_again(world: World, engine: Engine) -> None:
    gate, begun = world.gate(), world.flow_gate()
    refusals: SimpleQueue[str] = SimpleQueue()

    @world.task
    async def second() -> None:
        begun.open()
        await gate.passed()
        with pytest.raises(PauseRefused) as refusal:
            await pause(key="another")
        refusals.put(refusal.value.reason)

    def attend(run: FlowRun) -> None:
        gate.open()
        assert refusals.get(timeout=PATIENCE) == "it is paused already"
        _ = resume_flow_run(run.uuid, "the first")

    @world.flow
    async def waits() -> Any:
        second.submit()
        await begun.passed()
        return await pause()

    person = Person(engine, attend)
    assert world.run(waits, engine=engine) == "the first"
    person.done()


def test_a_run_that_is_being_cancelled_is_not_paused(world: World, engine: Engine) -> None:
    refusals: list[str] = []

    @world.flow
    async def cancels() -> None:
        run = this_run()
        run.cancel()
        with pytest.raises(PauseRefused) as refusal:
            await pause(key="never")
        refusals.append(refusal.value.reason)
        assert "never" not in run.pauses.given

    assert world.run(cancels, engine=engine, return_state=True).is_cancelled()
    assert refusals == ["only a run that is RUNNING can be paused, and this one is CANCELLING"]


def test_only_a_paused_run_is_resumed(engine: Engine) -> None:
    runs: list[FlowRun] = []

    @flow
    def hurries() -> None:
        run = this_run()
        runs.append(run)
        with pytest.raises(NotPausedError, match=r"it is Running\(\)"):
            _ = resume_flow_run(run.uuid)

    SYNC.run(hurries, engine=engine)
    token = ENTERED.set(engine)
    try:
        with pytest.raises(RunNotFound):
            _ = resume_flow_run(runs[0].uuid)
        with pytest.raises(RunNotFound):
            _ = resume_flow_run(uuid4())
        with pytest.raises(RunNotFound, match="quiet-otter"):
            _ = resume_flow_run("quiet-otter")
    finally:
        ENTERED.reset(token)


def test_a_pause_may_be_proposed_from_outside_and_so_may_its_end(world: World, engine: Engine) -> None:
    """Found by reading: tasks that waited for the end of a pause that was proposed never started."""
    gate = world.flow_gate()
    parked = Watcher(engine, lambda event: event.run_name.startswith("later") and event.state.is_paused())

    def later() -> int:
        return 5

    late = world.task(later)

    def end(run: FlowRun) -> None:
        gate.open()
        parked.await_one()
        propose_state(Running(), flow_run_id=run.uuid)

    def resume(run: FlowRun) -> None:
        parked.await_one()
        _ = resume_flow_run(run.uuid)

    @world.flow
    async def waits() -> list[int]:
        propose_state(Paused(), flow_run_id=this_run().uuid)
        await gate.passed()
        first = await world.call(late)
        propose_state(Paused(), flow_run_id=this_run().uuid)
        return [first, await world.call(late)]

    person = Person(engine, end, resume)
    assert world.run(waits, engine=engine) == [5, 5]
    person.done()


def test_what_waits_in_a_pause_goes_on_when_running_is_proposed(world: World, engine: Engine) -> None:
    @world.flow
    async def waits() -> Any:
        return await pause(key="x"), await pause(key="x")

    person = Person(engine, proposed(Running()))
    assert world.run(waits, engine=engine) == (None, None)
    person.done()


@pytest.mark.anyio
async def test_a_run_that_is_paused_has_no_result_yet() -> None:
    @flow
    async def waits() -> None:
        await pause_flow_run()

    async with Engine() as engine:
        future = engine.start(waits)
        await until(lambda: future.flow_run.type is StateType.PAUSED)
        with pytest.raises(PausedRun, match="Resume it first"):
            future.state.result()
        _ = resume_flow_run(future.flow_run_id)
        await future
