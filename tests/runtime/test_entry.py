"""Where flows run, and how they begin and end there, however they were called."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from threading import Thread, current_thread, get_ident
from typing import Any

import pytest
import uvloop

from millrace import (
    Abort,
    Completed,
    Engine,
    Event,
    FlowFuture,
    FlowRun,
    FlowRunContext,
    Paused,
    PauseRefused,
    Scheduled,
    StateType,
    flow,
    pause_flow_run,
    propose_state,
    resume_flow_run,
    run,
    task,
)
from millrace.actors.messages import Propose
from millrace.runtime import flow_attempt, loop_lane, offload
from millrace.runtime.background import start
from millrace.runtime.entering import ENTERED
from tests.clock import START, Stepped
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, World


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close(cancel=True)


# Where.


@pytest.mark.anyio
async def test_an_async_flow_runs_on_the_loop_and_in_the_task_of_whoever_awaits_it() -> None:
    @flow
    async def where() -> Any:
        return asyncio.get_running_loop(), asyncio.current_task(), get_ident()

    async def subflow() -> Any:
        return await where()

    here = asyncio.get_running_loop(), asyncio.current_task(), get_ident()
    assert await where() == await flow(subflow)() == here


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_one_flow_runs_on_any_loop(new_loop: Callable[[], asyncio.AbstractEventLoop]) -> None:
    @flow
    async def where() -> Any:
        await asyncio.sleep(0)
        return asyncio.get_running_loop()

    for _ in range(2):
        with asyncio.Runner(loop_factory=new_loop) as runner:
            assert runner.run(where()) is runner.get_loop()


def test_a_sync_flow_runs_on_the_thread_of_whoever_calls_it() -> None:
    seen: list[tuple[Thread, Thread]] = []

    @flow
    def where() -> Thread:
        return current_thread()

    @flow
    def around() -> Thread:
        return where()

    @task
    def in_a_task() -> bool:
        return where() is current_thread()

    @flow
    def around_a_task() -> bool:
        return in_a_task.submit().result(PATIENCE)

    async def inside_of_a_loop() -> Thread:
        return where()

    thread = Thread(target=lambda: seen.append((where(), current_thread())))
    thread.start()
    thread.join(PATIENCE)
    assert where() is around() is asyncio.run(inside_of_a_loop()) is current_thread()
    assert seen == [(thread, thread)]
    assert around_a_task()


def test_the_loop_that_a_sync_flow_needs_is_another_threads_and_there_when_it_is_needed(engine: Engine) -> None:
    @task
    async def where() -> Thread:
        return current_thread()

    @flow
    async def inner() -> Thread:
        return current_thread()

    @flow
    def body() -> Any:
        before = list(engine.loops.own)
        return before, where(), where.submit().result(PATIENCE), inner()

    before, called, submitted, subflow = SYNC.run(body, engine=engine)
    assert not before
    assert called is submitted is subflow is not current_thread()


def test_run_runs_a_flow_of_any_kind_from_plain_code_an_async_one_under_uvloop() -> None:
    @flow
    async def where(x: int, *, y: int) -> Any:
        return isinstance(asyncio.get_running_loop(), uvloop.Loop), x + y

    @flow
    def here(x: int) -> Any:
        return current_thread(), x

    assert run(where, 1, y=2) == (True, 3)
    assert run(here, 1) == (current_thread(), 1)


@pytest.mark.parametrize("inner_is_async", [False, True], ids=["sync", "async"])
def test_the_same_subflow_runs_many_times_at_once(world: World, engine: Engine, *, inner_is_async: bool) -> None:
    async def twice(x: int) -> int:
        return 2 * x

    subflow = (ASYNC if inner_is_async else SYNC).flow(twice)
    runs: list[FlowRun] = []

    @world.flow
    async def body() -> Any:
        futures = [engine.start(subflow, x) for x in range(20)]
        runs.extend(future.flow_run for future in futures)
        return [await world.result(each) for each in futures]

    assert world.run(body, engine=engine) == [2 * x for x in range(20)]
    keys = [each.parent_task_run.key for each in runs if each.parent_task_run is not None]
    assert keys == list(range(20))


# Beginning.


class Listener:
    """Does something when a flow run has entered a state for the first time.

    Args:
        engine: The engine.
        kind: The state.
        act: What.
    """

    def __init__(self, engine: Engine, kind: StateType, act: Callable[[FlowRun], None]) -> None:
        self._engine, self._kind, self._act = engine, kind, act
        self._acted = False
        engine.subscribe(self._told)

    def _told(self, event: Event) -> None:
        if not self._acted and event.state.type is self._kind and event.flow_run_id is not None:
            self._acted = True
            self._act(self._engine.find_flow_run(event.flow_run_id))


def begun_later(body: Any, engine: Engine, seconds: float) -> Any:
    """Start a flow whose run is scheduled for later before it begins."""
    run = body.begin(engine, (), {})
    moment = datetime.fromtimestamp(START / 1e9 + seconds, UTC)
    run.tell(Propose(Scheduled(scheduled_time=moment), engine.now()))
    start(run, (), {}, None)
    return FlowFuture[Any].of(run)


def test_a_run_that_is_scheduled_for_later_before_it_begins_begins_then(world: World) -> None:
    time = Stepped()

    @world.flow
    async def body() -> float:
        return time.elapsed

    with Engine(clock=time.now, timers=time) as engine:
        future = begun_later(body, engine, 60)
        time.timer_set()
        assert not future.done()
        time.advance(60)
        assert future.result(timeout=PATIENCE) == 60
    names = [state.name for state in future.flow_run.history()]
    assert names == ["Pending", "Scheduled", "Running", "Completed"]


def test_one_that_is_scheduled_for_later_is_cancelled_before_it_begins(world: World) -> None:
    time = Stepped()
    ran: list[int] = []

    @world.flow
    async def body() -> None:
        ran.append(1)

    with Engine(clock=time.now, timers=time) as engine:
        future = begun_later(body, engine, 60)
        time.timer_set()
        future.flow_run.cancel()
        assert future.wait(PATIENCE)
        assert future.state.is_cancelled()
    assert not ran


def test_a_run_that_is_paused_as_it_begins_begins_all_the_same(world: World, engine: Engine) -> None:
    ran: list[str] = []
    gate = world.flow_gate()

    @world.task
    async def child() -> None:
        ran.append("child")

    @world.flow
    async def body() -> str:
        ran.append("body")
        future = child.submit()
        gate.open()
        await world.ended(future)
        return "done"

    def pause(run: FlowRun) -> None:
        run.tell(Propose(Paused(), run.engine.now()))  # heard when the turn in which it began is over

    Listener(engine, StateType.RUNNING, pause)
    future = engine.start(body)
    assert gate._event.wait(PATIENCE)
    assert ran == ["body"]
    token = ENTERED.set(engine)
    _ = resume_flow_run(future.flow_run_id)
    ENTERED.reset(token)
    assert future.result(timeout=PATIENCE) == "done"
    assert ran == ["body", "child"]


def test_whoever_is_told_of_the_first_event_of_a_run_finds_it(world: World, engine: Engine) -> None:
    """Found by reading: the run was listed after it had been told of."""
    found: list[str] = []

    def note(run: FlowRun) -> None:
        found.append(run.state.name)

    @world.flow
    async def inner() -> Any:
        Listener(engine, StateType.PENDING, note)
        return await world.call(innermost)

    @world.flow
    async def innermost() -> str:
        return "done"

    Listener(engine, StateType.PENDING, note)
    assert world.run(inner, engine=engine) == "done"
    assert found == ["Pending", "Pending"]


def test_a_run_that_is_cancelled_at_its_first_event_never_begins_and_its_events_are_in_order(
    world: World, engine: Engine
) -> None:
    ran: list[str] = []
    events: list[Event] = []

    @world.flow
    async def body() -> None:
        ran.append("body")

    def cancel_elsewhere(run: FlowRun) -> None:
        thread = Thread(target=run.cancel)
        thread.start()
        thread.join(PATIENCE)  # it does not wait for this turn: it leaves the message
        run.cancel()

    engine.subscribe(events.append)
    Listener(engine, StateType.PENDING, cancel_elsewhere)
    events.clear()
    assert world.run(body, engine=engine, return_state=True).is_cancelled()
    assert not ran
    assert [(event.sequence, event.state.name) for event in events] == [
        (0, "Pending"),
        (1, "Cancelling"),
        (2, "Cancelled"),
    ]


@pytest.mark.parametrize("kind", [StateType.PENDING, StateType.RUNNING])
def test_a_listener_that_asks_something_of_the_run_that_it_is_told_of_is_refused_and_not_kept_waiting(
    world: World, engine: Engine, kind: StateType
) -> None:
    refused: list[str] = []

    @world.flow
    async def body() -> str:
        return "done"

    def asks(run: FlowRun) -> None:
        for ask in (
            lambda: propose_state(Paused(), flow_run_id=run.uuid),
            lambda: pause_flow_run(flow_run_id=run.uuid),
        ):
            token = ENTERED.set(engine)
            try:
                ask()
            except (Abort, PauseRefused) as error:
                refused.append(str(error))
            ENTERED.reset(token)

    Listener(engine, kind, asks)
    assert world.run(body, engine=engine) == "done"
    assert len(refused) == 2
    assert all("propose it when that has returned" in each for each in refused)


# Ending.


def test_what_is_stopped_is_stopped_last_to_first(world: World, engine: Engine) -> None:
    stopped: list[str] = []
    gate, begun = world.gate(), [world.flow_gate() for _ in range(3)]

    def heard(event: Event) -> None:
        if event.state.type is StateType.CANCELLING and event.task_run_id is not None:
            stopped.append(event.run_name)

    engine.subscribe(heard)

    @world.task(task_run_name="no-{number}")
    async def waits(number: int) -> None:
        begun[number].open()
        await gate.passed()

    @world.flow
    async def body() -> None:
        for number in range(3):
            waits.submit(number)
        for each in begun:
            await each.passed()
        context = FlowRunContext.get()
        assert context is not None
        context.flow_run.cancel()
        gate.open()

    assert world.run(body, engine=engine, return_state=True).is_cancelled()
    assert stopped == ["no-2", "no-1", "no-0"]


# Faults of the engine's own.


def test_a_fault_of_the_engines_in_one_task_run_touches_no_other(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    module, name = (loop_lane, "start") if world.async_tasks else (offload, "execute")
    whole = getattr(module, name)

    def faulty(run: Any) -> Any:
        if run.task.name == "unlucky":
            raise SystemError("a fault of the engine's own")
        return whole(run)

    monkeypatch.setattr(module, name, faulty)

    @world.task
    async def unlucky() -> None: ...

    @world.task
    async def lucky(x: int) -> int:
        return x

    @world.flow
    async def meets_it() -> Any:
        future = unlucky.submit()
        after = lucky.map(range(50))
        return str(await world.ended(future)), sum(await world.result(after))

    @world.flow
    async def beside() -> Any:
        return sum(await world.result(lucky.map(range(50))))

    futures = [engine.start(each) for each in (beside, meets_it, beside)]
    results = [future.result(timeout=PATIENCE) for future in futures]
    assert [results[0], results[2]] == [1225, 1225]
    assert results[1][0].startswith("Crashed(")
    assert "a fault of the engine's own" in results[1][0]
    assert results[1][1] == 1225


def test_a_fault_of_the_engines_in_one_flow_run_touches_no_other(
    world: World, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = flow_attempt.enter_body

    def faulty(run: FlowRun) -> None:
        if run.flow is not None and run.flow.name == "unlucky":
            raise SystemError("a fault of the engine's own")
        whole(run)

    monkeypatch.setattr(flow_attempt, "enter_body", faulty)

    @world.flow
    async def unlucky() -> None: ...

    @world.task
    async def lucky(x: int) -> int:
        return x

    @world.flow
    async def beside() -> Any:
        return sum(await world.result(lucky.map(range(50))))

    futures = [engine.start(each) for each in (beside, unlucky, beside)]
    for future in futures:
        with suppress(SystemError):
            future.result(timeout=PATIENCE)
    assert [str(future.state) for future in futures if future is not futures[1]] == [str(Completed())] * 2
    assert "a fault of the engine's own" in str(futures[1].state)
