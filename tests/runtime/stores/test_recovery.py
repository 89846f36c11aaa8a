"""A flow run that was killed is run again by another process, from what was on record."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any
from uuid import UUID

import attrs
import pytest

from millrace import (
    ConfigurationError,
    Engine,
    FlowOrderChanged,
    NotPausedError,
    RollBack,
    RunNotFound,
    RunNotResumable,
    StoreError,
    flow,
    pause_flow_run,
    read_flow_run,
    read_flow_run_states,
    read_flow_runs,
    read_task_run,
    read_task_runs,
    resume_flow_run,
    resume_run,
    run_flow,
    run_task,
    suspend_flow_run,
    task,
    transaction,
)
from millrace.actors.states import StateType
from tests.clock import VirtualTime
from tests.runtime.stores import recorded_flows
from tests.runtime.stores.killing import PATIENCE, Kill, Ran, engine_of, killed, quietly, resumed
from tests.runtime.stores.places import EMBEDDED_STORES, EVERY_STORE, Place
from tests.runtime.worlds import SYNC, World


@pytest.mark.parametrize("return_type", ["result", "state"])
def test_run_flow_with_the_id_of_a_recorded_run_lets_that_go_on(
    world: World, kill: Kill, ran: Ran, return_type: str
) -> None:
    @world.task
    def work(number: int) -> int:
        ran(number)
        return number

    @world.flow
    async def body(count: int) -> Any:
        total = sum([await world.call(work, number) for number in range(count)])
        kill.here()
        return total

    left = killed(world, kill, body, 3)
    ran.forget()

    with engine_of(left) as engine:
        (recorded,) = read_flow_runs(outermost=True)
        given: dict[str, Any] = {"flow_run_id": recorded.id, "return_type": return_type}
        if world.async_flows:

            async def main() -> Any:
                return await run_flow(body, **given)

            with asyncio.Runner(loop_factory=world.new_loop) as runner:
                found = runner.run(main())
        else:
            found = run_flow(body, **given)
        assert (found if return_type == "result" else found.result()) == 3
        assert [run.id for run in read_flow_runs(outermost=True)] == [recorded.id]
        assert not engine.flow_runs()
        with pytest.raises(ConfigurationError, match=r"^'wait_for' takes nothing, for a recorded run"):
            run_flow(body, flow_run_id=recorded.id, wait_for=[])
    assert ran.calls == []


@pytest.mark.parametrize("how", ["call", "submit"])
def test_what_had_completed_does_not_run_again(world: World, kill: Kill, ran: Ran, how: str) -> None:
    @world.task
    async def work(number: int) -> Any:
        ran(number)
        return number * 10

    @world.flow
    async def body(count: int) -> Any:
        total = 0
        for number in range(count):
            if number == 3:
                kill.here()
            started = await world.start(how, work, number)
            total += started if how == "call" else await world.result(started)
        return total

    left = killed(world, kill, body, 5)
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 100

    assert ran.calls == [3, 4]


def test_items_of_a_map_that_had_completed_do_not_run_again(world: World, kill: Kill, ran: Ran) -> None:
    @world.task
    async def work(number: int) -> Any:
        ran(number)
        return number * 10

    @world.flow
    async def body() -> Any:
        first = work.map(range(20))
        await world.result(first)
        kill.here()
        return await world.result(work.map(first))

    left = killed(world, kill, body)
    ran.forget()

    with engine_of(left) as engine:
        assert resumed(world, engine, body) == [number * 100 for number in range(20)]

    assert sorted(ran.calls) == [number * 10 for number in range(20)]


@EVERY_STORE
def test_a_map_that_was_half_done_goes_on_with_the_other_half(world: World, kill: Kill, ran: Ran) -> None:
    @world.task
    async def work(number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def body() -> Any:
        early = work.map(range(5))
        await world.result(early)
        late = work.map(range(5, 10))
        await world.result(late[0])
        kill.here()
        return [*await world.result(early), *await world.result(late)]

    left = killed(world, kill, body)
    with engine_of(left) as engine:
        done = {run.name for run in read_task_runs(states=["COMPLETED"])}
        ran.forget()
        assert resumed(world, engine, body) == list(range(10))

    assert len(ran.calls) == 10 - len(done)
    assert set(ran.calls) <= set(range(5, 10))


def test_the_run_keeps_its_id_its_name_and_its_history(world: World, kill: Kill) -> None:
    @world.task
    async def work() -> Any:
        return 1

    @world.flow(flow_run_name="of {day}")
    async def body(day: str) -> Any:
        kill.here()
        return await world.call(work)

    left = killed(world, kill, body, "Friday")
    with engine_of(left) as engine:
        before = read_flow_runs()[0]
        assert resumed(world, engine, body) == 1
        after = read_flow_run(before.id)
        states = read_flow_run_states(before.id)

    assert (after.id, after.name, after.deaths) == (before.id, "of Friday", 1)
    assert [each.state.name for each in states] == ["Pending", "Running", "Crashed", "Resuming", "Running", "Completed"]
    assert [each.sequence for each in states] == list(range(6))
    assert after.parameters == {"day": "Friday"}
    assert after.state.result() == 1
    assert after.start_time == before.start_time


def test_a_run_can_be_killed_again_and_again(world: World, place: Place, tmp_path: Path, ran: Ran) -> None:
    kills: list[Kill] = []

    @world.task
    async def work(number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def body() -> Any:
        total = 0
        for number in range(4):
            total += await world.call(work, number)
            if kills[-1].armed and number >= len(kills) - 1:
                kills[-1].here()
        return total

    kills.append(Kill(place.store(), tmp_path))
    left = killed(world, kills[0], body)
    for life in range(1, 4):
        folder = tmp_path / str(life)
        folder.mkdir()
        kills.append(Kill(left, folder))
        ran.forget()
        with engine_of(left) as engine:
            thread = Thread(target=contextvars.copy_context().run, args=(lambda: resumed(world, engine, body),))
            thread.start()
            left = kills[-1].left(engine)
            assert ran.calls == [life]
            kills[-1].go_on()
            thread.join(PATIENCE)
    ran.forget()
    with engine_of(left) as engine:
        assert read_flow_runs()[0].deaths == 4
        assert resumed(world, engine, body) == 6

    assert ran.calls == []


@EVERY_STORE
def test_a_subflow_that_was_under_way_goes_on(world: World, kill: Kill, ran: Ran) -> None:
    @world.task
    async def work(number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def inner(number: int) -> Any:
        first = await world.call(work, number)
        kill.here()
        return first + await world.call(work, number + 1)

    @world.flow
    async def outer() -> Any:
        done = await world.call(work, 100)
        return done + await world.call(inner, 1) + await world.call(inner, 5)

    left = killed(world, kill, outer)
    ran.forget()
    with engine_of(left) as engine:
        under_way = read_flow_runs(flows=["inner"])
        assert resumed(world, engine, outer) == 100 + 3 + 11
        inside = read_flow_runs(flows=["inner"])

    assert ran.calls == [2, 5, 6]
    assert [run.id for run in under_way] == [inside[-1].id]
    assert [run.state.type for run in inside] == ["COMPLETED", "COMPLETED"]


def test_a_subflow_that_had_completed_does_not_run_again(world: World, kill: Kill, ran: Ran) -> None:
    @world.flow
    async def inner(number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def outer() -> Any:
        first = await world.call(inner, 1)
        kill.here()
        return first + await world.call(inner, 2)

    left = killed(world, kill, outer)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, outer) == 3

    assert ran.calls == [2]


def test_results_come_back_as_what_they_were(world: World, kill: Kill) -> None:
    values: list[Any] = [None, 1, "text", b"\0", [1, (2, {3})], {"a": Point(1, 2)}, ValueError("no failure")]

    @world.task
    async def give(number: int) -> Any:
        return values[number]

    @world.flow
    async def body() -> list[Any]:
        given = [await world.call(give, number) for number in range(len(values))]
        kill.here()
        return given

    left = killed(world, kill, body)
    with engine_of(left) as engine:
        found = resumed(world, engine, body)

    assert found[:-1] == values[:-1]
    assert repr(found[-1]) == repr(values[-1])


class Said(logging.Handler):
    """What the store's logger says, and what a look at something else gives in that moment."""

    def __init__(self) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.looks: list[int] = []
        self.look: Callable[[], int] = lambda: 0

    def emit(self, record: logging.LogRecord) -> None:
        self.texts.append(record.getMessage())
        self.looks.append(self.look())


@contextmanager
def listening() -> Generator[Said]:
    """Hear what the store's logger says in the block."""
    said, logger = Said(), logging.getLogger("millrace.store")
    logger.addHandler(said)
    try:
        yield said
    finally:
        logger.removeHandler(said)


@attrs.frozen
class Point:
    x: int
    y: int


def test_a_result_that_cannot_be_recorded_is_said_before_anything_runs(
    world: World, kill: Kill, ran: Ran, caplog: pytest.LogCaptureFixture
) -> None:
    @world.task
    async def secret(number: int) -> Any:
        ran(number)
        return lambda: number

    @world.flow
    async def body() -> Any:
        found = [(await world.call(secret, number))() for number in range(3)]
        kill.here()
        return sum(found)

    with caplog.at_level(logging.WARNING, "millrace.store"):
        left = killed(world, kill, body)
    told = [record.getMessage() for record in caplog.records]
    assert len(told) == 1
    assert "What 'secret' came to" in told[0]
    assert "a value of type 'function', which cannot be serialized" in told[0]
    caplog.clear()
    ran.forget()

    with engine_of(left) as engine, listening() as said:
        said.look = lambda: len(ran.calls)
        assert resumed(world, engine, body) == 3

    assert "calls of 'secret' that had completed run again" in said.texts[0]
    assert said.looks[0] == 0
    assert ran.calls == [0, 1, 2]


def test_a_result_that_is_too_large_is_not_recorded(
    world: World, kill: Kill, ran: Ran, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("MILLRACE_STORE_RESULT_LIMIT", "1000")

    @world.task
    async def load(size: int) -> bytes:
        ran(size)
        return b"x" * size

    @world.flow
    async def body() -> Any:
        sizes = [len(await world.call(load, 900)), len(await world.call(load, 2000))]
        kill.here()
        return sum(sizes)

    with caplog.at_level(logging.WARNING, "millrace.store"):
        left = killed(world, kill, body)
    assert "which is too large (it has 2,0" in caplog.text
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 2900

    assert ran.calls == [2000]


# Code that has changed.


def test_a_body_that_calls_something_else_is_an_error_that_names_both(world: World, kill: Kill, ran: Ran) -> None:
    changed: list[bool] = []

    @world.task
    async def first() -> Any:
        ran("first")
        return 1

    @world.task
    async def second() -> Any:
        ran("second")
        return 2

    @world.flow
    async def body() -> Any:
        calls = [second, first] if changed else [first, second]
        total = sum([await world.call(each) for each in calls])
        kill.here()
        return total

    left = killed(world, kill, body)
    changed.append(True)
    ran.forget()

    with engine_of(left) as engine:
        with pytest.raises(FlowOrderChanged, match=r"(?s)first.*second|second.*first"):
            resumed(world, engine, body)
        assert read_flow_runs()[0].state.type is StateType.FAILED
        changed.clear()
        assert resumed(world, engine, body) == 3  # it can be mended, and resumed again

    assert ran.calls == []


def test_a_body_that_does_more_at_its_end_goes_on(world: World, kill: Kill, ran: Ran) -> None:
    more: list[bool] = []

    @world.task
    async def work(number: int) -> Any:
        ran(number)
        return number

    @world.flow
    async def body() -> Any:
        total = await world.call(work, 1)
        kill.here()
        return total + (await world.call(work, 2) if more else 0)

    left = killed(world, kill, body)
    more.append(True)
    ran.forget()
    with engine_of(left) as engine:
        assert resumed(world, engine, body) == 3

    assert ran.calls == [2]


# Which runs may be resumed.


def test_a_run_that_has_completed_is_not_resumed(place: Place) -> None:
    @flow
    def body() -> int:
        return 1

    with engine_of(place.store()):
        body()
        run_id = read_flow_runs()[0].id
        with pytest.raises(RunNotResumable, match="it is COMPLETED"):
            resume_run(run_id, body)


def test_a_run_that_failed_can_be_resumed(place: Place, ran: Ran) -> None:
    broken = [True]

    @task
    def work() -> int:
        ran("work")
        return 1

    @task
    def fails() -> int:
        ran("fails")
        if broken:
            raise OSError("disk full")
        return 2

    @flow
    def body() -> int:
        return work() + fails()

    with engine_of(place.store()):
        with pytest.raises(OSError, match="disk full"):
            body()
        broken.clear()
        assert resume_run(read_flow_runs()[0].id, body) == 3

    assert ran.calls == ["work", "fails", "fails"]


def test_a_run_that_goes_on_here_is_not_resumed(world: World, kill: Kill) -> None:
    @flow
    def body() -> int:
        kill.here()
        return 1

    with engine_of(kill.store) as engine:
        future = engine.start(body)
        kill.left(engine)
        with pytest.raises(RunNotResumable, match="this engine runs it"):
            resume_run(future.flow_run_id, body)
        kill.go_on()
        assert future.result(PATIENCE) == 1


def test_a_run_that_is_not_there_is_not_resumed(place: Place) -> None:
    with engine_of(place.store()):
        with pytest.raises(RunNotFound):
            resume_run(UUID(int=1))
        with pytest.raises(RunNotFound):
            resume_run("nothing like an id")


def test_without_a_store_nothing_is_resumed() -> None:
    with pytest.raises(RunNotFound, match="without a store it may have ended"):
        resume_run(UUID(int=1))
    with pytest.raises(ConfigurationError, match="an engine with a store"):
        resume_run("01")


def test_a_run_is_found_by_the_beginning_of_its_id(place: Place) -> None:
    @flow
    def body() -> None:
        raise OSError

    with engine_of(place.store()):
        for _ in range(2):
            quietly(body)
        newest = read_flow_runs()[0].id
        with pytest.raises(RunNotFound, match="Several flow runs in"):
            read_flow_run(newest.hex[:4])
        assert read_flow_run(str(newest)[:-8]).id == newest


def test_a_subflow_is_not_resumed_by_itself(world: World, kill: Kill) -> None:
    @flow
    def inner() -> None:
        kill.here()

    @flow
    def outer() -> None:
        inner()

    left = killed(SYNC, kill, outer)
    with engine_of(left), pytest.raises(RunNotResumable, match="it belongs to another run"):
        resume_run(read_flow_runs(flows=["inner"])[0].id, inner)


@EMBEDDED_STORES
def test_a_run_that_kills_its_process_again_and_again_is_parked(place: Place, tmp_path: Path) -> None:
    kill = Kill(place.store(), tmp_path)

    @flow
    def body() -> int:
        kill.here()
        return 1

    left = killed(SYNC, kill, body)
    for death in range(1, 11):
        with engine_of(left) as engine:
            run = read_flow_runs()[0]
            assert (run.deaths, run.state.type) == (death, StateType.CRASHED)
            if death == 10:
                with pytest.raises(RunNotResumable, match="it is parked, because 10 processes have died"):
                    resume_run(run.id, body)
                assert resume_run(run.id, body, force=True) == 1
                continue
            again = Kill(left, tmp_path / str(death))
            (tmp_path / str(death)).mkdir()
            kill = again
            future = engine.resume(run.id, body)
            left = again.left(engine)
            again.go_on()
            assert future.result(PATIENCE) == 1


def test_an_owner_whose_run_was_resumed_elsewhere_tells_nobody_of_its_end(place: Place, tmp_path: Path) -> None:
    """1. A process is stopped, and believed dead. 2. Another one resumes its run. 3. The first one wakes up."""
    kill = Kill(place.store(), tmp_path)
    lives: list[str] = []

    @task
    def work() -> str:
        return lives[-1]

    @flow
    def body() -> str:
        kill.here()
        return work()

    with engine_of(kill.store) as stale:
        future = stale.start(body)
        kill.left(stale)
        place.usurp()
        lives.append("second")
        with engine_of(place.store()):
            assert resume_run(future.flow_run_id, body) == "second"
        lives.append("first")
        kill.go_on()
        with pytest.raises(StoreError, match="another one has taken its place"):
            future.result(PATIENCE)

    with engine_of(place.store()):
        assert read_flow_run(future.flow_run_id).state.result() == "second"


# Where the flow and its parameters are.


@EMBEDDED_STORES
def test_the_flow_is_found_where_it_was(place: Place, tmp_path: Path) -> None:
    recorded_flows.broken[:] = [True]
    with engine_of(place.store()):
        quietly(lambda: recorded_flows.doubled(4, wrong=True))
        run = read_flow_runs()[0]
        assert run.entry.endswith("recorded_flows.py:doubled")
        recorded_flows.broken.clear()
        assert resume_run(run.id) == 8


@EMBEDDED_STORES
def test_a_flow_that_is_nowhere_has_to_be_given(place: Place) -> None:
    @flow(name="hidden")
    def body() -> None:
        raise OSError

    with engine_of(place.store()):
        quietly(body)
        with pytest.raises(RunNotResumable, match=r"there is no flow 'hidden' in .*test_recovery\.py any more"):
            resume_run(read_flow_runs()[0].id)


@EMBEDDED_STORES
def test_parameters_that_could_not_be_recorded_have_to_be_given(place: Place) -> None:
    broken = [True]

    @flow
    def body(fn: Any) -> int:
        if broken:
            raise OSError
        return int(fn())

    with engine_of(place.store()):
        quietly(lambda: body(lambda: 1))
        broken.clear()
        run_id = read_flow_runs()[0].id
        with pytest.raises(RunNotResumable, match="its parameter 'fn' cannot be had"):
            resume_run(run_id, body)
        assert resume_run(run_id, body, parameters={"fn": lambda: 2}) == 2


# Pauses, transactions.


def test_a_suspended_run_goes_on_in_another_process(world: World, place: Place, tmp_path: Path, ran: Ran) -> None:
    recorded_flows.ran.clear()
    kill = Kill(place.store(), tmp_path)
    with engine_of(kill.store):
        state = recorded_flows.approved(return_state=True)
        left = kill.copy()
    assert state.name == "Suspended"

    with engine_of(left):
        run = read_flow_runs()[0]
        assert (run.state.name, run.deaths) == ("Suspended", 0)
        future = resume_flow_run(run.id, {"by": "Ada", "at": "3"})
        assert future.result(PATIENCE) == "Ada at 3"
        with pytest.raises(NotPausedError):
            assert resume_flow_run(run.id).name

    assert recorded_flows.ran == ["prepare"]


@EMBEDDED_STORES
def test_a_pause_whose_time_is_over_is_not_resumed_in_another_process(place: Place, tmp_path: Path) -> None:
    time = VirtualTime()

    @flow
    def body() -> object:
        return suspend_flow_run(timeout=10)

    with Engine(store=place.store(), clock=time.now, timers=time):
        engine = Engine.current()
        assert body(return_state=True).name == "Suspended"
        run_id = read_flow_runs()[0].id
        assert engine.chronicle is not None
    time.advance(10)
    with (
        Engine(store=place.store(), clock=time.now, timers=time),
        pytest.raises(RunNotResumable, match="its pause was over at"),
    ):
        assert resume_flow_run(run_id).name


def test_an_id_that_is_on_record_is_given_to_no_other_run(place: Place) -> None:
    @task
    def work() -> int:
        return 1

    chosen = UUID(int=5)
    with engine_of(place.store()):
        assert run_task(work, task_run_id=chosen) == 1
        with pytest.raises(ConfigurationError, match="the id of no run that is on record"):
            run_task(work, task_run_id=chosen)
        assert work() == 1
    with engine_of(place.store()):
        with pytest.raises(ConfigurationError, match="the id of no run that is on record"):
            run_task(work, task_run_id=chosen)
        assert read_task_run(chosen).state.result() == 1


def test_what_a_run_was_resumed_with_is_not_asked_for_again(kill: Kill) -> None:
    @flow
    def body() -> object:
        said = suspend_flow_run()
        kill.here()
        return said

    with engine_of(kill.store) as engine:
        state = body(return_state=True)
        run_id = state.state_details.flow_run_id
        assert run_id is not None
        future = resume_flow_run(run_id, [1, 2])
        left = kill.left(engine)
        kill.go_on()
        assert future.result(PATIENCE) == [1, 2]

    with engine_of(left):
        assert resume_run(read_flow_runs()[0].id, body) == [1, 2]


def test_a_run_that_was_paused_when_it_was_killed_pauses_again(place: Place, tmp_path: Path, ran: Ran) -> None:
    kill = Kill(place.store(), tmp_path)

    @task
    def work() -> None:
        ran("work")

    @flow
    def body() -> Any:
        work()
        return pause_flow_run()

    def paused(future: Any) -> None:
        while future.state.type is not StateType.PAUSED:
            future.wait(0.001)

    with engine_of(kill.store) as engine:
        future = engine.start(body)
        paused(future)
        engine.chronicle.writer.flush()  # type: ignore[union-attr]
        left = kill.copy()
        assert resume_flow_run(future.flow_run_id).name
        future.result(PATIENCE)

    with engine_of(left) as engine:
        again = engine.resume(future.flow_run_id, body)
        paused(again)
        assert resume_flow_run(again.flow_run_id, "yes").name
        assert again.result(PATIENCE) == "yes"

    assert ran.calls == ["work"]


@EMBEDDED_STORES
def test_what_was_rolled_back_runs_again(place: Place, ran: Ran) -> None:
    broken = [True]

    @task
    def book() -> int:
        ran("book")
        return 1

    @book.on_rollback
    def give_back(txn: Any) -> None:
        ran("give back")

    @task
    def pay() -> int:
        if broken:
            raise OSError
        return 2

    @flow
    def body() -> int:
        with transaction():
            return book() + pay()

    with engine_of(place.store()):
        quietly(body)
        broken.clear()
        assert resume_run(read_flow_runs()[0].id, body) == 3

    assert ran.calls == ["book", "give back", "book"]


@EMBEDDED_STORES
def test_only_what_runs_now_takes_part_in_a_transaction_that_was_open(place: Place, tmp_path: Path, ran: Ran) -> None:
    kill = Kill(place.store(), tmp_path)

    def noted(name: str) -> Any:
        def work() -> str:
            ran(name)
            return name

        made = task(name=name)(work)
        made.on_commit(lambda _txn: ran(f"{name} committed"))
        made.on_rollback(lambda _txn: ran(f"{name} rolled back"))
        return made

    before, after = noted("before"), noted("after")

    @task
    def undo(name: str) -> None:
        ran(f"{name} undone")

    @flow
    def body() -> str:
        done: list[str] = []
        with suppress(RollBack), transaction():
            done.append(before())
            kill.here()
            done.append(after())
            raise RollBack
        for name in reversed(done):
            undo(name)
        return ", ".join(done)

    left = killed(SYNC, kill, body)
    ran.forget()
    with engine_of(left):
        assert resume_run(read_flow_runs()[0].id, body) == "before, after"

    assert ran.calls == ["after", "after rolled back", "after undone", "before undone"]


@EMBEDDED_STORES
def test_retries_that_were_used_up_stay_so(place: Place, tmp_path: Path) -> None:
    kill = Kill(place.store(), tmp_path)
    attempts: list[int] = []

    @flow(retries=2)
    def body() -> None:
        attempts.append(1)
        if len(attempts) == 2:
            kill.here()
        raise OSError

    left = killed(SYNC, kill, body)
    attempts.clear()
    attempts.extend([1, 1, 1])
    with engine_of(left):
        quietly(lambda: resume_run(read_flow_runs()[0].id, body))
        assert read_flow_runs()[0].run_count == 3

    assert len(attempts) == 3 + 2  # the second attempt, which was under way, and the third
