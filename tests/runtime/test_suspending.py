"""Suspending a flow run: its body ends for now, and is run again, from its recorded results, when it is resumed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier, Event
from typing import Any
from uuid import uuid4

import pytest

from millrace import (
    Abort,
    Cancelling,
    Engine,
    FlowRun,
    MemoryStorage,
    MissingContextError,
    NotPausedError,
    Pause,
    PausedRun,
    PauseRefused,
    Running,
    RunNotFound,
    Scheduled,
    StateType,
    Suspended,
    get_transaction,
    pause_flow_run,
    propose_state,
    resume_flow_run,
    suspend_flow_run,
    tags,
    transaction,
)
from millrace.actors.messages import Propose, Watch
from millrace.runtime.entering import ENTERED
from millrace.runtime.waiting import CallbackWatcher, block_until_done
from tests.checkpoints import until
from tests.loose import flow, task
from tests.runtime.people import (
    Person,
    Watcher,
    id_of,
    in_engine,
    names,
    resume,
    settled,
    suspend,
    suspended_run,
    this_run,
)
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, World


@pytest.fixture
def engine() -> Iterator[Engine]:
    made = Engine()
    yield made
    made.close(cancel=True)


class Counted:
    """A task, and how often its body has run."""

    def __init__(self, world: World, **options: Any) -> None:
        self.ran: list[int] = []

        def work(number: int) -> int:
            self.ran.append(number)
            return 10 * number

        self.task = world.task(work, **options)


# The course of a suspension.


@pytest.mark.parametrize(
    "recorded",
    [{"retries": 1}, {"persist_result": True, "result_storage": MemoryStorage()}, {}],
    ids=["retries", "persist", "none"],
)
def test_resumed_it_runs_again_and_what_is_recorded_is_not_done_again(
    world: World, engine: Engine, recorded: dict[str, Any]
) -> None:
    work = Counted(world)

    @world.flow(**recorded)
    async def waits(number: int) -> Any:
        first = await world.call(work.task, number)
        given = await suspend()
        return first, given, await world.call(work.task, number + 1)

    run = suspended_run(world, waits, engine, 1)
    assert work.ran == [1]
    assert run.counts() == {"completed": 1}

    future = resume(run, "yes")

    assert future.result(PATIENCE) == (10, "yes", 20)
    assert work.ran == ([1, 2] if recorded else [1, 1, 2])
    assert names(run) == ["Pending", "Running", "Suspended", "Resuming", "Running", "Completed"]
    assert run.run_count == 1


def test_calling_it_says_that_there_is_no_result_yet(world: World, engine: Engine) -> None:
    @world.flow
    async def waits() -> str:
        await suspend()
        return "on"

    with pytest.raises(PausedRun, match=r"it is Suspended.*Resume it first"):
        world.run(waits, engine=engine)
    (run,) = engine.flow_runs()
    assert run.state.state_details.pause_reschedule
    assert resume(run).result(PATIENCE) == "on"


def test_it_may_be_suspended_several_times(world: World, engine: Engine) -> None:
    work = Counted(world)

    @world.flow(retries=1)
    async def waits() -> Any:
        given = []
        for number in range(3):
            await world.call(work.task, number)
            given.append(await suspend())
        return given

    person = Person(engine, *[lambda run, number=number: resume_flow_run(run.uuid, number) for number in range(3)])
    future = in_engine(engine, engine.start, waits)
    assert future.result(PATIENCE) == [0, 1, 2]
    person.done()
    assert work.ran == [0, 1, 2]
    assert names(future.flow_run).count("Suspended") == 3
    assert future.flow_run.run_count == 1


def test_a_suspension_uses_up_no_retry(world: World, engine: Engine) -> None:
    attempts: list[int] = []

    @world.flow(retries=1)
    async def waits() -> None:
        await suspend()
        attempts.append(this_run().run_count)
        raise ValueError("always")

    run = suspended_run(world, waits, engine)
    future = resume(run)
    assert future.wait(PATIENCE)
    assert attempts == [1, 2]
    assert names(run)[3:] == ["Resuming", "Running", "Retrying", "Failed"]


def test_the_hooks_for_a_run_that_begins_are_called_whenever_its_body_begins(world: World, engine: Engine) -> None:
    called: list[str] = []

    def note(_flow: Any, run: FlowRun, state: Any) -> None:
        called.append(f"{state.name} {run.name}")

    @world.flow(
        on_running=[note], on_completion=[note], on_failure=[note], on_crashed=[note], on_cancellation=[note],
        flow_run_name=lambda: f"name {len(called)}",
    )  # fmt: skip
    async def waits() -> None:
        await suspend()

    run = suspended_run(world, waits, engine)
    assert resume(run).wait(PATIENCE)
    assert called == ["Running name 0", "Running name 0", "Completed name 0"]


def test_the_same_key_suspends_once(world: World, engine: Engine) -> None:
    @world.flow
    async def waits() -> Any:
        return [await suspend(key="approve") for _ in range(3)]

    run = suspended_run(world, waits, engine)
    assert run.state.state_details.pause_key == "approve"
    assert resume(run, "yes").result(PATIENCE) == ["yes"] * 3


def test_a_body_that_is_run_again_is_in_nobodys_context_but_its_own(world: World, engine: Engine) -> None:
    @world.flow
    async def waits() -> Any:
        await suspend()
        return this_run().tags, get_transaction()

    run = suspended_run(world, waits, engine)

    def resumes() -> Any:
        with tags("somebody's"), transaction(key="somebody's"):
            return resume_flow_run(run.uuid)

    future = in_engine(engine, resumes)
    assert future.result(PATIENCE) == (frozenset(), None)


def test_a_suspended_run_whose_loop_is_closed_can_be_resumed(engine: Engine) -> None:
    work = Counted(ASYNC)

    @flow
    async def waits() -> int:
        await settled(suspend_flow_run())
        future = work.task.submit(1)
        return int(await future)

    run = suspended_run(ASYNC, waits, engine)  # in a loop that is closed then
    assert run.loop_lane is None
    assert resume(run).result(PATIENCE) == 10


@pytest.mark.anyio
async def test_it_is_resumed_on_the_loop_of_whoever_does_that() -> None:
    loops: list[Any] = []

    @flow
    async def waits() -> str:
        loops.append(asyncio.get_running_loop())
        await suspend_flow_run()
        return "on"

    async with Engine():
        state = await waits(return_state=True)
        assert await resume_flow_run(id_of(state)) == "on"
    assert loops == [asyncio.get_running_loop()] * 2


def test_the_parameters_are_those_of_the_first_time(world: World, engine: Engine) -> None:
    @world.flow
    async def waits(number: int, /, *rest: int, word: str = "x", **more: Any) -> Any:
        await suspend()
        return number, rest, word, more

    run = suspended_run(world, waits, engine, "1", 2, word="y", also=3)
    assert resume(run).result(PATIENCE) == (1, (2,), "y", {"also": 3})


def test_a_generator_that_is_suspended_gives_a_list_when_it_is_run_again(engine: Engine) -> None:
    got: list[int] = []

    @flow
    def numbers() -> Any:
        yield 1
        yield suspend_flow_run()

    def iterate() -> None:
        got.extend(numbers())

    with pytest.raises(PausedRun):
        in_engine(engine, iterate)
    (run,) = engine.flow_runs()
    assert got == [1]
    assert resume(run, 2).result(PATIENCE) == [1, 2]
    assert got == [1]


def test_a_sync_flow_that_was_called_on_the_thread_of_a_loop_is_run_again_elsewhere(engine: Engine) -> None:
    work = Counted(ASYNC)

    @flow
    def waits() -> Any:
        suspend_flow_run()
        return work.task(1)

    async def calls() -> Any:
        return waits(return_state=True)

    token = ENTERED.set(engine)
    try:
        state = asyncio.run(calls())
    finally:
        ENTERED.reset(token)
    run = engine.find_flow_run(id_of(state))
    assert not run.held_loops()
    assert resume(run).result(PATIENCE) == 10


# Its children.


def test_children_that_run_end_first(world: World, engine: Engine) -> None:
    gate, begun = world.gate(), world.flow_gate()
    futures: list[Any] = []

    @world.task
    async def slow() -> str:
        begun.open()
        await gate.passed()
        return "done"

    def attend(run: FlowRun) -> None:
        assert not futures[0].done()
        gate.open()

    @world.flow(retries=1)
    async def waits() -> Any:
        futures.append(slow.submit())
        await begun.passed()
        await suspend()
        return await world.result(futures[-1])

    person = Person(engine, attend)
    run = suspended_run(world, waits, engine)
    person.done()
    assert futures[0].state.is_completed()
    assert resume(run).result(PATIENCE) == "done"
    assert [names(each.source) for each in futures] == [["Pending", "Running", "Completed"], ["Pending", "Completed"]]


@pytest.mark.parametrize("how", ["submit", "map"])
def test_children_that_have_not_begun_end_and_others_take_their_places(world: World, engine: Engine, how: str) -> None:
    """Found by reading: they were parked, and the body waited for their ends, so the run was never let go."""
    gate, begun = world.gate(), world.flow_gate()
    work = Counted(world)
    futures: list[Any] = []

    @world.task
    async def slow() -> int:
        begun.open()
        await gate.passed()
        return 1

    @world.flow(retries=1)
    async def waits() -> Any:
        first = slow.submit()
        later = [work.task.submit(first)] if how == "submit" else work.task.map([1, 2, 3], wait_for=[first])
        futures.extend(later)
        await begun.passed()
        await suspend()
        return [await world.result(each) for each in later]

    person = Person(engine, lambda _: gate.open())
    run = suspended_run(world, waits, engine)
    person.done()
    count = len(futures)
    assert [str(each.state.message) for each in futures] == [
        "Its flow run was suspended; the body makes another run in its place when it is run again."
    ] * count
    assert all(each.state.is_cancelled() for each in futures)
    assert not work.ran
    assert resume(run).result(PATIENCE) == [10, 20, 30][:count]
    assert sorted(work.ran) == [1, 2, 3][:count]


def test_nobody_waits_for_a_retry_that_comes_later(world: World, engine: Engine) -> None:
    attempts: list[int] = []
    bodies: list[int] = []
    waiting = Watcher(engine, lambda event: event.state.name == "AwaitingRetry")

    @world.task(retries=1, retry_delay_seconds=3600)
    async def flaky() -> str:
        attempts.append(1)
        if len(attempts) == 1:
            raise ValueError("once")
        return "at last"

    @world.flow
    async def waits() -> Any:
        bodies.append(1)
        future = flaky.submit()
        if len(bodies) == 1:
            await asyncio.to_thread(waiting.await_one) if world.async_flows else waiting.await_one()
        await suspend()
        return await world.result(future)

    run = suspended_run(world, waits, engine)
    assert resume(run).result(PATIENCE) == "at last"


@pytest.mark.parametrize("begins", ["later", "again"])
def test_nobody_waits_for_a_subflow_that_begins_or_is_tried_again_later(
    world: World, engine: Engine, begins: str
) -> None:
    """Found by reading: a subflow was put off only when its time had come."""
    attempts: list[int] = []
    waiting = Watcher(engine, lambda event: event.task_run_id is None and event.state.is_scheduled())
    later = Scheduled(scheduled_time=datetime.now(UTC) + timedelta(hours=1))

    @world.flow(retries=1, retry_delay_seconds=3600)
    async def inner() -> str:
        attempts.append(1)
        if len(attempts) == 1 and begins == "again":
            raise ValueError("once")
        return "at last"

    @world.flow
    async def waits() -> Any:
        return await world.call(inner)

    def put_off(event: Any) -> None:
        if begins == "later" and event.task_run_id is None and event.sequence == 0 and not told:
            run = engine.find_flow_run(event.flow_run_id)
            if run.parent is not None and run.parent.flow is not None:
                told.append(event)
                run.tell(Propose(later, engine.now()))  # heard when it has been told of

    told: list[Any] = []
    engine.subscribe(put_off)

    def attend() -> None:
        waiting.await_one()
        (outer,) = [each for each in engine.flow_runs() if each.parent is None]
        suspend_flow_run(flow_run_id=outer.uuid)

    with ThreadPoolExecutor(1) as pool:
        attends = pool.submit(in_engine, engine, attend)
        run = suspended_run(world, waits, engine)
        attends.result(PATIENCE)
    assert len(attempts) == (1 if begins == "again" else 0)
    assert resume(run).result(PATIENCE) == "at last"


# By id, from outside.


@pytest.mark.parametrize("how", ["call", "submit", "map", "subflow"])
def test_suspended_from_outside_its_body_ends_at_its_next_call(world: World, engine: Engine, how: str) -> None:
    gate = world.flow_gate()
    begun = Watcher(engine, lambda event: event.task_run_id is None and event.state.is_running())
    work = Counted(world)
    steps: list[str] = []

    @world.flow
    async def inner(number: int) -> int:
        return 10 * number

    @world.flow
    async def waits() -> Any:
        await gate.passed()
        steps.append("before")
        if how == "subflow":
            return await world.call(inner, 1)
        value = await world.start(how, work.task, [1] if how == "map" else 1)
        steps.append("after")
        return value if how == "call" else await world.result(value)

    def attend() -> None:
        begun.await_one()
        (run,) = engine.flow_runs()
        assert suspend_flow_run(flow_run_id=run.uuid) is None
        gate.open()

    with ThreadPoolExecutor(1) as pool:
        attends = pool.submit(in_engine, engine, attend)
        run = suspended_run(world, waits, engine)
        attends.result(PATIENCE)
    assert steps == ["before"]
    assert not work.ran
    assert resume(run).result(PATIENCE) == ([10] if how == "map" else 10)


@pytest.mark.parametrize("ends", ["result", "state", "dependent", "returns"])
def test_suspended_from_outside_a_body_that_waits_for_what_never_starts_ends(
    world: World, engine: Engine, ends: str
) -> None:
    gate, begun = world.gate(), world.gate()
    work = Counted(world)
    running = Watcher(engine, lambda event: event.run_name.startswith("slow") and event.state.is_running())

    @world.task
    async def slow() -> int:
        await gate.passed()
        return 1

    @world.flow(retries=1)
    async def waits() -> Any:
        future = work.task.submit(slow.submit())
        if ends == "returns":
            return [future]
        if ends == "state":
            return (await world.ended(future)).result()
        if ends == "dependent":
            future = work.task.submit(future)
        return await world.result(future)

    def attend() -> None:
        running.await_one()
        (run,) = engine.flow_runs()
        suspend_flow_run(flow_run_id=run.uuid)
        gate.open()

    begun.open()
    with ThreadPoolExecutor(1) as pool:
        attends = pool.submit(in_engine, engine, attend)
        run = suspended_run(world, waits, engine)
        attends.result(PATIENCE)
    assert not work.ran
    future = resume(run)
    assert future.wait(PATIENCE)
    assert future.state.is_completed()
    assert work.ran[0] == 1


def test_suspended_from_outside_a_body_that_calls_nothing_more_completes(world: World, engine: Engine) -> None:
    @world.flow
    async def waits() -> str:
        in_engine(engine, propose_state, Suspended(), flow_run_id=this_run().uuid)
        return "done"

    assert world.run(waits, engine=engine) == "done"


def test_suspended_from_outside_a_body_that_fails_by_itself_has_failed(world: World, engine: Engine) -> None:
    @world.flow
    async def waits() -> None:
        in_engine(engine, propose_state, Suspended(), flow_run_id=this_run().uuid)
        raise ValueError("its own")

    state = world.run(waits, engine=engine, return_state=True)
    assert state.is_failed()
    assert isinstance(state.data, ValueError)


def test_a_suspension_may_be_proposed(world: World, engine: Engine) -> None:
    work = Counted(world)

    @world.flow
    async def waits() -> Any:
        if not work.ran:
            work.ran.append(0)
            propose_state(Suspended(), flow_run_id=this_run().uuid)
        return await world.call(work.task, 1)

    run = suspended_run(world, waits, engine)
    assert resume(run).result(PATIENCE) == 10


def test_its_own_id_suspends_a_body_at_once(world: World, engine: Engine) -> None:
    steps: list[str] = []

    @world.flow
    async def waits() -> str:
        await suspend(flow_run_id=this_run().uuid, key="once")
        steps.append("after")
        return "on"

    run = suspended_run(world, waits, engine)
    assert not steps
    assert resume(run).result(PATIENCE) == "on"


@pytest.mark.anyio
async def test_in_async_code_it_may_be_awaited_and_has_acted_before() -> None:
    @task
    async def work() -> int:
        return 1

    @flow
    async def waits() -> Any:
        await asyncio.sleep(0)
        return await work()

    async with Engine() as engine:
        future = engine.start(waits)
        await until(lambda: future.flow_run.type is StateType.RUNNING)
        assert await suspend_flow_run(flow_run_id=str(future.flow_run_id)) is None
        await until(lambda: future.flow_run.let_go)
        assert await resume_flow_run(future.flow_run_id) == 1


# Inside of tasks, and of groups of them.


@pytest.mark.parametrize("how", ["call", "submit"])
def test_suspending_in_a_task_suspends_its_flow(world: World, engine: Engine, how: str) -> None:
    """Found by reading: the task crashed."""
    states: list[list[str]] = []

    @world.task
    async def asks() -> Any:
        return await suspend(key="approve")

    @world.flow
    async def waits() -> Any:
        if how == "call":
            return await world.call(asks)
        future = asks.submit()
        try:
            return await world.result(future)
        finally:
            states.append(names(future.source))

    run = suspended_run(world, waits, engine)
    assert resume(run, "yes").result(PATIENCE) == "yes"
    assert states == (
        [] if how == "call" else [["Pending", "Running", "Cancelled"], ["Pending", "Running", "Completed"]]
    )


def test_a_task_that_runs_ends_where_it_wants_to_start_another(world: World, engine: Engine) -> None:
    gate, begun = world.gate(), world.flow_gate()
    work = Counted(world)

    @world.task
    async def outer() -> Any:
        begun.open()
        await gate.passed()
        return await settled(work.task(1))

    @world.flow
    async def waits() -> Any:
        future = outer.submit()
        await begun.passed()
        await suspend()
        return await world.result(future)

    person = Person(engine, lambda _: gate.open())
    run = suspended_run(world, waits, engine)
    person.done()
    assert not work.ran
    assert resume(run).result(PATIENCE) == 10


@pytest.mark.anyio
async def test_a_group_of_tasks_may_be_suspended() -> None:
    """Found by reading: the pause came out of the group as a part of another error, and the run crashed."""

    @task
    async def asks() -> Any:
        async with asyncio.TaskGroup() as group:
            asked = group.create_task(settled_later())
        return asked.result()

    async def settled_later() -> Any:
        await asyncio.sleep(0)
        return await suspend_flow_run(key="approve")

    @flow
    async def waits() -> Any:
        async with asyncio.TaskGroup() as group:
            async with asyncio.TaskGroup() as inner:
                first = inner.create_task(asks())
            second = group.create_task(settled_later())
        return first.result(), second.result()

    async with Engine():
        state = await waits(return_state=True)
        assert state.name == "Suspended"
        assert await resume_flow_run(id_of(state), "yes") == ("yes", "yes")


# Who resumes it, and when.


def test_resumed_before_its_body_has_ended_it_runs_again_at_once(world: World, engine: Engine) -> None:
    """Found by reading: nobody ran it again, as its body had not ended yet."""
    gate, begun = world.gate(), world.flow_gate()
    work = Counted(world)

    @world.task
    async def slow() -> str:
        begun.open()
        await gate.passed()
        return "done"

    def attend(run: FlowRun) -> None:
        _ = resume_flow_run(run.uuid, "yes")
        gate.open()

    @world.flow(retries=1)
    async def waits() -> Any:
        await world.call(work.task, 1)
        future = slow.submit()
        await begun.passed()
        return await suspend(), await world.result(future)

    person = Person(engine, attend)
    assert world.run(waits, engine=engine) == ("yes", "done")
    person.done()
    assert work.ran == [1]
    assert names(person.runs[0]) == ["Pending", "Running", "Suspended", "Running", "Completed"]
    assert person.runs[0].run_count == 1


def test_resumed_before_its_body_has_noticed_it_goes_on(world: World, engine: Engine) -> None:
    work = Counted(world)

    @world.flow
    async def waits() -> Any:
        run = this_run()
        in_engine(engine, suspend_flow_run, flow_run_id=run.uuid)
        _ = in_engine(engine, resume_flow_run, run.uuid)
        return await world.call(work.task, 1), names(run)

    assert world.run(waits, engine=engine) == (10, ["Pending", "Running", "Suspended", "Running"])
    assert work.ran == [1]


def test_whoever_hears_of_the_suspension_may_resume_it_there_and_then(world: World, engine: Engine) -> None:
    def listen(event: Any) -> None:
        if event.state.is_paused():
            _ = resume_flow_run(event.flow_run_id, run_input=5)

    engine.subscribe(listen)

    @world.flow
    async def waits() -> Any:
        return await suspend(wait_for_input=int), await suspend()

    assert world.run(waits, engine=engine) == (5, 5)


def test_of_many_who_resume_it_at_once_one_does_and_the_body_runs_once(world: World, engine: Engine) -> None:
    many, times = 4, 20
    bodies: list[int] = []

    @world.flow
    async def waits() -> Any:
        bodies.append(1)
        return await suspend()

    with ThreadPoolExecutor(many) as pool:
        barrier = Barrier(many)

        def attend(run: FlowRun, number: int) -> int | None:
            barrier.wait(PATIENCE)
            try:
                _ = resume(run, number)
            except (NotPausedError, RunNotFound):
                return None
            return number

        for _ in range(times):
            run = suspended_run(world, waits, engine)
            answers = list(pool.map(attend, [run] * many, range(many)))
            won = [number for number in answers if number is not None]
            assert len(won) == 1
            assert result_of(run) == won[0]
    assert len(bodies) == 2 * times


def result_of(run: FlowRun) -> Any:
    """The result of a run that somebody else has seen to."""
    assert block_until_done(run, PATIENCE)
    return run.take(raise_on_failure=True)


def test_a_run_is_admitted_although_somebody_else_has_its_turn(engine: Engine) -> None:
    """Found by reading: whoever had the turn then settled the run, whose body had just begun, and it never ended."""
    began, gate, patience = Event(), Event(), Event()
    ended: list[str] = []

    @flow
    def waits() -> str:
        began.set()
        assert gate.wait(PATIENCE)
        return "on"

    run = waits.begin(engine, (), {})
    assert run._take_turn()
    waits.run_again(run)  # in a thread
    for _ in range(2_000):
        if run.waiting:
            break
        patience.wait(0.001)
    run._turn = None
    run.tell(Watch(CallbackWatcher(lambda: ended.append(run.state.name))))  # and what waits is handled here, too
    assert began.wait(PATIENCE)
    assert not ended
    gate.set()
    assert result_of(run) == "on"
    assert ended == ["Completed"]


# What is refused.


def test_a_subflow_is_not_suspended_by_itself(world: World, engine: Engine) -> None:
    refusals: list[str] = []

    @world.flow
    async def inner() -> None:
        with pytest.raises(PauseRefused) as refusal:
            await suspend()
        refusals.append(refusal.value.reason)
        with pytest.raises(PauseRefused):
            in_engine(engine, suspend_flow_run, flow_run_id=this_run().uuid)

    @world.flow
    async def outer() -> None:
        await world.call(inner)

    world.run(outer, engine=engine)
    assert refusals == ["it is a subflow, which cannot be suspended by itself; suspend the outermost flow"]


def test_only_a_run_that_is_there_is_suspended(engine: Engine) -> None:
    with pytest.raises(MissingContextError, match=r"suspend_flow_run\(\)"):
        suspend_flow_run()
    with pytest.raises(RunNotFound):
        in_engine(engine, suspend_flow_run, flow_run_id=uuid4())


def test_a_run_that_is_suspended_or_paused_is_not_suspended_again(engine: Engine) -> None:
    refusals: list[str] = []

    def attend(run: FlowRun) -> None:
        with pytest.raises(PauseRefused) as refusal:
            suspend_flow_run(flow_run_id=run.uuid)
        refusals.append(refusal.value.reason)
        _ = resume_flow_run(run.uuid)

    @flow
    def waits() -> None:
        pause_flow_run()
        suspend_flow_run()

    person = Person(engine, attend, attend)
    assert in_engine(engine, engine.start, waits).wait(PATIENCE)
    person.done()
    assert refusals == ["it is paused already"] * 2


def test_nothing_but_its_end_can_be_proposed_to_a_run_without_a_body(engine: Engine) -> None:
    @flow
    def waits() -> None:
        suspend_flow_run()

    run = suspended_run(SYNC, waits, engine)
    for state, force in [(Running(), False), (Running(), True), (Suspended(), False)]:
        with pytest.raises(Abort, match="it is suspended and its body has ended"):
            in_engine(engine, propose_state, state, flow_run_id=run.uuid, force=force)
    in_engine(engine, propose_state, Cancelling(message="enough"), flow_run_id=run.uuid)
    assert str(run.state) == "Cancelled('enough')"
    assert run.done


def test_a_pause_that_nothing_has_suspended_crashes_the_run(engine: Engine) -> None:
    @flow
    def waits() -> None:
        raise Pause("made up")

    with pytest.raises(Pause):
        SYNC.run(waits, engine=engine)
    assert not engine.flow_runs()
