"""Futures: taking the outcome of a run that was started elsewhere."""

from __future__ import annotations

import asyncio
import logging
from threading import Event, Thread, current_thread
from typing import Any
from uuid import UUID

import pytest

from millrace import (
    BlockingCallOnLoop,
    CancelledRun,
    ConfigurationError,
    Engine,
    Failed,
    FailedRun,
    FlowFuture,
    Future,
    UnfinishedRun,
    WaitTimeout,
    flow,
    get_state_exception,
    task,
)
from tests.runtime.worlds import PATIENCE, World


class Broken(Exception):
    pass


@task
def double(x: int) -> int:
    return 2 * x


@task
async def adouble(x: int) -> int:
    return 2 * x


@task
def broken() -> int:
    raise Broken("as ever")


# What a future is.


def test_submit_gives_a_future_at_once_and_the_result_later(world: World) -> None:
    gate = world.gate()

    @world.task
    async def late(x: int) -> int:
        await gate.passed()
        return 2 * x

    async def body() -> Any:
        future = late.submit(4)
        assert isinstance(future, Future)
        assert not future.done()
        gate.open()
        return await world.result(future)

    assert world.body(body) == 8


def test_it_has_the_id_and_the_name_of_its_run(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        future = tell.submit(1)
        state = await world.ended(future)
        assert isinstance(future.task_run_id, UUID)
        assert state.state_details.task_run_id == future.task_run_id
        assert future.name == f"double-{future.task_run_id.hex[-3:]}"
        assert repr(future) == f"<Future of '{future.name}': Completed>"

    world.body(body)


def test_its_state_follows_the_run(world: World) -> None:
    gate, begun = world.gate(), Event()

    @world.task
    async def late() -> str:
        begun.set()
        await gate.passed()
        return "done"

    async def body() -> list[str]:
        blocked = late.submit()
        waiting = late.submit(wait_for=[blocked])
        names = [waiting.state.name]
        if world.async_flows:
            await asyncio.to_thread(begun.wait, PATIENCE)
        else:
            begun.wait(PATIENCE)
        names.append(blocked.state.name)
        gate.open()
        await world.result(waiting)
        return [*names, blocked.state.name, waiting.state.name]

    assert world.body(body) == ["Pending", "Running", "Completed", "Completed"]


def test_it_is_done_once_the_run_has_ended(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> bool:
        future = tell.submit(1)
        await world.result(future)
        return bool(future.done())

    assert world.body(body) is True


def test_its_result_can_be_taken_again_and_again(world: World) -> None:
    @world.task
    def fresh() -> list[int]:
        return [1]

    async def body() -> None:
        future = fresh.submit()
        assert await world.result(future) is await world.result(future)

    world.body(body)


def test_it_raises_what_the_task_raised(world: World) -> None:
    fail = world.task(broken.fn)

    async def body() -> None:
        future = fail.submit()
        error = await world.error(future)
        assert isinstance(error, Broken)
        assert error is future.state.data
        assert error is await world.error(future)

    world.body(body)


def test_waiting_never_raises_what_the_task_raised(world: World) -> None:
    fail = world.task(broken.fn)

    async def body() -> None:
        state = await world.ended(fail.submit())
        assert state.is_failed()

    world.body(body)


def test_waiting_for_one_that_has_ended_gives_its_end_at_once(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        future = tell.submit(2)
        await world.result(future)
        assert future.wait(timeout=0) is True  # does not block, so it may be called on a loop too
        assert future.result(timeout=0) == 4
        assert (await world.ended(future)).is_completed()

    world.body(body)


def test_the_result_of_one_that_has_ended_may_be_taken_by_a_blocking_call_anywhere(world: World) -> None:
    fail = world.task(broken.fn)

    async def body() -> None:
        future = fail.submit()
        await world.ended(future)
        with pytest.raises(Broken):
            future.result()

    world.body(body)


def test_an_error_is_returned_where_it_shall_not_be_raised(world: World) -> None:
    fail = world.task(broken.fn)

    async def body() -> None:
        future = fail.submit()
        await world.ended(future)
        error = future.result(raise_on_failure=False)
        assert error is get_state_exception(future.state)

    world.body(body)


def test_a_task_that_returned_a_failed_state_raises_its_message(world: World) -> None:
    @world.task
    def give_up() -> Any:
        return Failed(message="No more ideas.")

    async def body() -> BaseException:
        return await world.error(give_up.submit())

    error = world.body(body)
    assert isinstance(error, FailedRun)
    assert str(error) == "No more ideas."


def test_a_result_that_is_an_exception_is_a_result(world: World) -> None:
    @world.task
    def give_one() -> Exception:
        return Broken("kept")

    async def body() -> Any:
        return await world.result(give_one.submit())

    assert isinstance(world.body(body), Broken)


def test_one_that_never_started_says_so(world: World) -> None:
    fail, tell = world.task(broken.fn), world.task(double.fn)

    async def body() -> None:
        failed = fail.submit()
        future = tell.submit(failed)
        assert isinstance(await world.error(future), UnfinishedRun)
        await world.error(failed)
        assert future.done()
        with pytest.raises(UnfinishedRun):
            future.result(raise_on_failure=False)
        assert (await world.ended(future)).name == "NotReady"

    world.body(body)


def test_dropping_a_future_neither_stops_nor_loses_the_run(world: World) -> None:
    seen: list[int] = []

    @world.task
    def note(x: int) -> None:
        seen.append(x)

    async def body() -> None:
        for x in range(5):
            note.submit(x)

    world.body(body)
    assert sorted(seen) == [0, 1, 2, 3, 4]


def test_a_task_outside_of_any_flow_gives_a_future_too() -> None:
    assert double.submit(3).result(timeout=PATIENCE) == 6
    assert adouble.submit(3).result(timeout=PATIENCE) == 6


@pytest.mark.anyio
async def test_a_task_outside_of_any_flow_gives_a_future_to_async_code_too() -> None:
    assert await double.submit(3) == 6
    assert await adouble.submit(3) == 6


# Blocking and awaiting.


def test_wait_says_whether_the_run_has_ended_in_time() -> None:
    go = Event()

    @task
    def late() -> None:
        assert go.wait(PATIENCE)

    @flow
    def patient() -> None:
        future = late.submit()
        assert future.wait(timeout=0.001) is False
        go.set()
        assert future.wait(timeout=PATIENCE) is True
        assert future.wait() is True

    patient()


def test_a_result_that_does_not_come_in_time_is_a_timeout_error_and_the_run_goes_on() -> None:
    go = Event()

    @task
    def late() -> str:
        assert go.wait(PATIENCE)
        return "after all"

    @flow
    def patient() -> str:
        future = late.submit()
        with pytest.raises(TimeoutError, match=r"^1 of 1 run did not finish within 0.001 seconds\.") as caught:
            future.result(timeout=0.001)
        go.set()
        assert isinstance(caught.value, WaitTimeout)
        assert caught.value.__notes__ == [f"It is '{future.name}'."]
        return future.result(timeout=PATIENCE)

    assert patient() == "after all"


@pytest.mark.anyio
async def test_wait_async_gives_the_state_the_run_is_in_when_the_time_is_over() -> None:
    gate = asyncio.Event()

    @task
    async def late() -> None:
        await gate.wait()

    @flow
    async def patient() -> None:
        future = late.submit()
        state = await future.wait_async(timeout=0.001)
        assert not state.is_final()
        gate.set()
        assert (await future.wait_async(timeout=PATIENCE)).is_completed()
        assert (await future.wait_async()).is_completed()

    await patient()


@pytest.mark.anyio
async def test_awaiting_may_be_cancelled_and_the_run_goes_on() -> None:
    gate = asyncio.Event()

    @task
    async def late() -> str:
        await gate.wait()
        return "still here"

    @flow
    async def impatient() -> str:
        future = late.submit()
        waiting = asyncio.ensure_future(future.wait_async())
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0):
                await future
        gate.set()
        return await future

    assert await impatient() == "still here"


@pytest.mark.anyio
async def test_many_may_wait_for_one_future() -> None:
    gate = asyncio.Event()

    @task
    async def late() -> int:
        await gate.wait()
        return 7

    @flow
    async def crowd() -> list[int]:
        future = late.submit()

        async def one() -> int:
            return await future

        waiting = [asyncio.ensure_future(one()) for _ in range(10)]
        await asyncio.sleep(0)
        gate.set()
        return await asyncio.gather(*waiting)

    assert await crowd() == [7] * 10


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_blocking_on_the_thread_of_a_loop_is_an_error_that_says_to_await(kind: str) -> None:
    gate = asyncio.Event()
    go = Event()

    @task
    async def later() -> int:
        await gate.wait()
        return 1

    @task
    def late() -> int:
        assert go.wait(PATIENCE)
        return 1

    @flow
    async def confused() -> int:
        future = late.submit() if kind == "sync" else later.submit()
        with pytest.raises(
            BlockingCallOnLoop,
            match=r"^Future\.result\(\) would block the event loop on its own thread\. Use `await future` instead\.$",
        ):
            future.result()
        with pytest.raises(BlockingCallOnLoop, match=r"Use `await future\.wait_async\(\)` instead"):
            future.wait(timeout=1)
        go.set()
        gate.set()
        return await future

    assert await confused() == 1


def test_a_future_may_be_waited_for_by_threads_of_the_users(world: World) -> None:
    gate = world.gate()
    got: list[Any] = []

    @world.task
    async def late() -> str:
        await gate.passed()
        return "here"

    async def body() -> None:
        future = late.submit()
        threads = [Thread(target=lambda: got.append(future.result(timeout=PATIENCE))) for _ in range(3)]
        for thread in threads:
            thread.start()
        gate.open()
        await world.result(future)
        for thread in threads:
            thread.join(PATIENCE)

    world.body(body)
    assert got == ["here"] * 3


# Callbacks.


def test_a_callback_is_called_once_with_the_future_when_the_run_has_ended(world: World) -> None:
    gate, called = world.gate(), Event()
    seen: list[Any] = []

    @world.task
    async def late() -> int:
        await gate.passed()
        return 3

    def note(future: Future[Any]) -> None:
        seen.append((future, future.state.name))
        called.set()

    async def body() -> None:
        future = late.submit()
        future.add_done_callback(note)
        assert seen == []
        gate.open()
        await world.result(future)
        assert await asyncio.to_thread(called.wait, PATIENCE) if world.async_flows else called.wait(PATIENCE)
        assert seen == [(future, "Completed")]

    world.body(body)
    assert len(seen) == 1


def test_a_callback_that_comes_late_is_called_at_once(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        future = tell.submit(1)
        await world.result(future)
        seen: list[Any] = []

        def note(done: object) -> None:
            seen.append((done, current_thread()))

        future.add_done_callback(note)
        assert seen == [(future, current_thread())]

    world.body(body)


@pytest.mark.parametrize("error", [Broken("not my day"), SystemExit(3)], ids=repr)
def test_a_callback_that_raises_is_logged_and_stops_nothing(
    error: BaseException, world: World, caplog: pytest.LogCaptureFixture
) -> None:
    tell = world.task(double.fn)
    seen: list[Any] = []

    def spoil(_future: Any) -> None:
        raise error

    async def body() -> Any:
        future = tell.submit(1)
        future.add_done_callback(spoil)
        future.add_done_callback(seen.append)
        await world.ended(future)
        return await world.result(tell.submit(future))

    with caplog.at_level(logging.ERROR, logger="millrace"):
        assert world.body(body) == 4
    assert len(seen) == 1
    (record,) = [each for each in caplog.records if each.name == "millrace.futures"]
    assert "spoil" in record.getMessage()
    assert "double-" in record.getMessage()


def test_what_cannot_be_called_is_no_callback() -> None:
    future = double.submit(1)

    with pytest.raises(ConfigurationError, match=r"^'fn' takes a function of a future, not 'print'"):
        future.add_done_callback("print")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    assert future.result(PATIENCE) == 2


# Cancelling.


def test_cancelling_one_that_has_not_started_ends_it_and_its_body_never_runs(world: World) -> None:
    gate = world.gate()
    began: list[int] = []

    @world.task
    async def late() -> None:
        await gate.passed()

    @world.task
    def never() -> None:
        began.append(1)

    async def body() -> None:
        first = late.submit()
        future = never.submit(wait_for=[first])
        assert future.cancel() is True
        assert (await world.ended(future)).is_cancelled()
        error = await world.error(future)
        assert isinstance(error, CancelledRun)
        assert future.cancel() is False
        gate.open()

    world.body(body)
    assert began == []


def test_cancelling_one_that_has_ended_does_nothing(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        future = tell.submit(1)
        await world.result(future)
        assert future.cancel() is False
        return await world.result(future)

    assert world.body(body) == 2


# Futures of flows, and futures in the hands of others.


@pytest.mark.parametrize("kind", ["sync", "async"])
def test_a_flow_started_in_the_background_gives_a_flow_future(kind: str) -> None:
    @flow
    def plain(x: int) -> int:
        return x + 1

    @flow
    async def coroutine(x: int) -> int:
        return x + 1

    engine = Engine()
    future: FlowFuture[int] = engine.start(plain if kind == "sync" else coroutine, 1)
    assert isinstance(future, FlowFuture)
    assert future.result(timeout=PATIENCE) == 2
    assert future.state.state_details.flow_run_id == future.flow_run_id
    engine.close()


def test_a_future_may_be_passed_to_a_task_of_another_run(world: World) -> None:
    tell = world.task(double.fn)

    @world.flow
    async def inner(futures: dict[str, Any]) -> Any:
        return await world.result(tell.submit(futures["a"]))

    async def body() -> Any:
        return await world.call(inner, {"a": tell.submit(5)})

    assert world.body(body) == 20


def test_a_future_kept_in_an_opaque_object_may_be_waited_for_in_a_subflow(world: World) -> None:
    gate = world.gate()

    class Box:
        def __init__(self, future: Any) -> None:
            self.future = future

    @world.task
    async def late() -> int:
        await gate.passed()
        return 2

    tell = world.task(double.fn)

    @world.flow
    async def inner(box: Box) -> Any:
        downstream = tell.submit(box.future)
        gate.open()
        return await world.result(downstream)

    async def body() -> Any:
        return await world.call(inner, Box(late.submit()))

    assert world.body(body) == 4
