"""Flow runs that are made ahead of their execution, on record: any process executes them, and only one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest

from millrace import (
    BlockingCallOnLoop,
    Engine,
    NotPausedError,
    PauseRefused,
    RunEnded,
    RunNotRemovable,
    RunNotResumable,
    acreate_flow_run,
    aresume_run,
    cancel_flow_run,
    create_flow_run,
    flow,
    pause_flow_run,
    read_flow_run,
    read_flow_run_states,
    read_flow_runs,
    resume_flow_run,
    resume_run,
    run_flow,
)
from millrace.actors.states import StateType
from millrace.runtime.cli import main
from millrace.runtime.stores import resuming
from millrace.runtime.stores.control import Request
from millrace.runtime.stores.steering import obey
from tests.clock import START, Stepped
from tests.runtime.people import execute
from tests.runtime.stores import recorded_flows
from tests.runtime.stores.killing import PATIENCE, engine_of
from tests.runtime.stores.places import EVERY_STORE, Place
from tests.runtime.worlds import World

SUMS = recorded_flows.sums
IN_A_MINUTE = datetime.fromtimestamp(START / 1e9, UTC) + timedelta(minutes=1)


async def doubled(number: int) -> int:
    return number * 2


def steps(run_id: UUID) -> list[tuple[str, str]]:
    return [(each.state.name, each.cause) for each in read_flow_run_states(run_id)]


@EVERY_STORE
def test_it_is_on_record_as_soon_as_it_is_made_and_another_process_executes_it(world: World, place: Place) -> None:
    body = world.flow(doubled, flow_run_name="of-{number}")
    with engine_of(place.store()) as engine:
        run_id = create_flow_run(body, {"number": 3})
        recorded = read_flow_run(run_id)
        assert (recorded.state.name, recorded.start_time, recorded.parameters) == ("Scheduled", None, {"number": 3})
        assert not engine.flow_runs()

    with engine_of(place.store()):
        assert read_flow_run(run_id).state.is_scheduled()  # the end of its maker means nothing to it
        assert execute(world, body, run_id) == 6
        assert read_flow_run(run_id).name == "of-3"
        assert read_flow_run(run_id).run_count == 1
        assert steps(run_id) == [
            ("Pending", "created"),
            ("Scheduled", "scheduled"),
            ("Running", "admitted"),
            ("Completed", "returned"),
        ]
        assert [run.id for run in read_flow_runs()] == [run_id]
        with pytest.raises(RunNotResumable, match="it is COMPLETED"):
            execute(world, body, run_id)


def test_in_the_engine_that_made_it_it_is_executed_too(world: World, place: Place) -> None:
    body = world.flow(doubled)
    with engine_of(place.store()) as engine:
        assert execute(world, body, create_flow_run(body, {"number": 3})) == 6
        assert engine.resume(create_flow_run(body, {"number": 4}), body).result(PATIENCE) == 8


def test_it_begins_at_the_time_for_which_it_was_made_and_not_before(world: World, place: Place) -> None:
    time = Stepped()

    @world.flow
    async def body() -> float:
        return time.elapsed

    with Engine(clock=time.now, timers=time, store=place.store()) as engine:
        run_id = create_flow_run(body, scheduled_time=IN_A_MINUTE)
        future = engine.resume(run_id, body)
        time.timer_set()
        assert not future.done()
        with pytest.raises(RunNotResumable, match="this engine runs it"):
            _ = engine.resume(run_id, body)
        time.advance(60)
        assert future.result(timeout=PATIENCE) == 60
        assert future.flow_run.expected_start_time == IN_A_MINUTE


def test_cancelled_while_it_waits_for_its_time_it_never_begins(world: World, place: Place) -> None:
    time = Stepped()
    ran: list[int] = []

    @world.flow
    async def body() -> None:
        ran.append(1)

    with Engine(clock=time.now, timers=time, store=place.store()) as engine:
        future = engine.resume(create_flow_run(body, scheduled_time=IN_A_MINUTE), body)
        time.timer_set()
        future.flow_run.cancel()
        assert future.wait(PATIENCE)
        assert read_flow_run(future.flow_run_id).state.is_cancelled()
    assert not ran


@EVERY_STORE
def test_cancelled_on_record_it_is_never_executed(place: Place) -> None:
    with engine_of(place.store()) as engine:
        run_id = create_flow_run(SUMS)
        assert asyncio.run(engine.cancel(run_id)).is_cancelled()
        assert read_flow_run(run_id).state.is_cancelled()
        with pytest.raises(RunNotResumable, match="it is CANCELLED"):
            resume_run(run_id)
        with pytest.raises(RunEnded):
            cancel_flow_run(run_id)


def test_it_is_no_paused_run(place: Place) -> None:
    with engine_of(place.store()) as engine:
        run_id = create_flow_run(SUMS)
        with pytest.raises(NotPausedError, match="it is SCHEDULED"):
            _ = resume_flow_run(run_id)
        with pytest.raises(NotPausedError):
            obey(engine, Request("resume", run_id.int, {"input": None}), lambda _: None)
        with pytest.raises(PauseRefused, match="it has not begun"):
            obey(engine, Request("pause", run_id.int), lambda _: None)
        with pytest.raises(RunNotRemovable, match="it was made ahead, and waits to be executed"):
            obey(engine, Request("remove", run_id.int), lambda _: None)
        assert read_flow_run(run_id).state.is_scheduled()


def test_nobody_pauses_it_and_nobody_resumes_it_where_nobody_has_the_store_open(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    with engine_of(url):
        run_id = create_flow_run(SUMS)
    with pytest.raises(NotPausedError):
        _ = resume_flow_run(run_id, store=url)
    with pytest.raises(PauseRefused, match="it has not begun"):
        pause_flow_run(flow_run_id=run_id, store=url)
    assert cancel_flow_run(run_id, store=url).is_cancelled()


@pytest.mark.parametrize("command", [["resume"], ["runs", "resume"]], ids=" ".join)
def test_a_command_executes_it(tmp_path: Path, command: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    with engine_of(url):
        run_id = create_flow_run(SUMS, {"first": 2})
    assert main([*command, str(run_id), "--store", url]) == 0
    assert capsys.readouterr().out.strip().isdigit()


def test_the_command_that_runs_a_flow_executes_it_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/runs.db"
    target = f"{recorded_flows.__file__}:doubled"
    with engine_of(url):
        run_id = create_flow_run(recorded_flows.doubled, {"number": 3, "wrong": False})
        other = create_flow_run(recorded_flows.doubled, {"number": 3, "wrong": False})
    assert main(["run", target, "--id", str(run_id), "--store", url]) == 0
    assert main(["run", target, "--id", str(other), "-p", "number=5", "-p", "wrong=false", "--store", url]) == 0
    assert main(["run", target, "--id", str(run_id), "--store", url]) == 2
    told = capsys.readouterr()
    assert told.out == "6\n10\n"
    assert "it is COMPLETED" in told.err
    with engine_of(url):
        assert {run.id for run in read_flow_runs()} == {run_id, other}


@pytest.mark.anyio
async def test_async_code_makes_runs_ahead_without_blocking_its_loop(place: Place) -> None:
    @flow
    async def body(number: int) -> int:
        return number * 2

    async with Engine(store=place.store()):
        with pytest.raises(BlockingCallOnLoop, match="await acreate_flow_run"):
            create_flow_run(body, {"number": 3})
        run_id = await acreate_flow_run(body, {"number": 3})
        assert await run_flow(body, flow_run_id=run_id) == 6


@pytest.mark.parametrize("brought", [False, True], ids=["while it is brought", "when it was brought"])
@pytest.mark.anyio
async def test_an_execution_that_is_cancelled_as_it_begins_ends_the_run_and_the_engine_can_be_closed(
    place: Place, monkeypatch: pytest.MonkeyPatch, *, brought: bool
) -> None:
    """Found by reading: the run was taken, and nobody was left to see it through, so closing the engine hung."""

    @flow
    async def body() -> None: ...

    async def at_once_and_told_never(call: Callable[[], Any]) -> None:
        call()
        await asyncio.Event().wait()

    if brought:
        monkeypatch.setattr(resuming, "in_thread", at_once_and_told_never)
    async with asyncio.timeout(PATIENCE):
        async with Engine(store=place.store()):
            run_id = await acreate_flow_run(body)
            call = asyncio.create_task(aresume_run(run_id, body))
            await asyncio.sleep(0)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        if brought:
            store = place.store()
            row = store.read_flow_run(run_id.int)
            assert row is not None
            assert row.state.type is StateType.CRASHED
            store.close()
