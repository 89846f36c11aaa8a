"""Promises: a task runner of one's own, that makes futures around promises of its own."""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from threading import Event
from typing import Any, Self
from uuid import UUID, uuid4

import pytest

from millrace import (
    BlockingCallOnLoop,
    CancelledRun,
    Completed,
    ConfigurationError,
    Crashed,
    CrashedRun,
    Engine,
    Failed,
    FailedRun,
    Future,
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    TaskRunner,
    TaskRunnerError,
    TaskRunResult,
    as_completed,
    flow,
    task,
    unmapped,
    wait,
)
from tests.runtime.worlds import PATIENCE

Promise = concurrent.futures.Future


class PoolRunner(TaskRunner):
    """Runs the bare functions of tasks on a pool of the standard library's."""

    def __init__(self, workers: int = 2) -> None:
        super().__init__()
        self.workers = workers
        self.pool: concurrent.futures.ThreadPoolExecutor | None = None
        self.submitted: list[tuple[str, dict[str, Any], Any]] = []

    def duplicate(self) -> Self:
        twin = type(self)(self.workers)
        twin.submitted = self.submitted
        return twin

    def settings(self) -> tuple[Any, ...]:
        return (self.workers,)

    def submit(self, task: Any, parameters: Mapping[str, Any], wait_for: Any = None) -> Future[Any]:
        self.check_started(f"submit task '{task.name}'")
        assert self.pool is not None
        self.submitted.append((task.name, dict(parameters), wait_for))
        return Future(self.pool.submit(task.fn, **parameters), uuid4())

    def __enter__(self) -> Self:
        super().__enter__()
        self.pool = concurrent.futures.ThreadPoolExecutor(self.workers)
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(None, None, None)
        assert self.pool is not None
        self.pool.shutdown()


@task
def double(x: int) -> int:
    return 2 * x


@task
def add(x: int, y: int = 10) -> int:
    return x + y


@task
def broken() -> int:
    raise ValueError("as ever")


def promised(value: Any = None, error: BaseException | None = None) -> Future[Any]:
    promise: Promise[Any] = Promise()
    if error is None:
        promise.set_result(value)
    else:
        promise.set_exception(error)
    return Future(promise, UUID(int=0xABC))


# A runner of one's own.


def test_a_sync_flow_submits_to_a_runner_of_ones_own() -> None:
    runner = PoolRunner()

    @flow(task_runner=runner)
    def body() -> int:
        future = double.submit(4)
        assert type(future) is Future
        return future.result(timeout=PATIENCE)

    assert body() == 8
    assert runner.submitted == [("double", {"x": 4}, None)]


@pytest.mark.anyio
async def test_an_async_flow_submits_to_a_runner_of_ones_own() -> None:
    @flow(task_runner=PoolRunner())
    async def body() -> int:
        return await double.submit(4)

    assert await body() == 8


def test_it_gets_the_arguments_by_name_with_defaults_and_what_to_wait_for() -> None:
    runner = PoolRunner()

    @flow(task_runner=runner)
    def body() -> None:
        first = add.submit(1)
        first.result(timeout=PATIENCE)
        add.submit(y=2, x=3, wait_for=[first]).result(timeout=PATIENCE)
        assert runner.submitted == [("add", {"x": 1, "y": 10}, None), ("add", {"x": 3, "y": 2}, [first])]

    body()


def test_a_wrong_call_never_reaches_it() -> None:
    runner = PoolRunner()

    @flow(task_runner=runner)
    def body() -> None:
        with pytest.raises(ParameterBindError):
            _ = double.submit(z=1)  # type: ignore[call-overload]
        with pytest.raises(MappingMissingIterable):
            _ = double.map(1)
        with pytest.raises(MappingLengthMismatch):
            _ = add.map([1, 2], [1])

    body()
    assert runner.submitted == []


def test_a_map_submits_each_item_to_it() -> None:
    runner = PoolRunner()

    @flow(task_runner=runner)
    def body() -> list[int]:
        return add.map(range(3), unmapped(5)).result(timeout=PATIENCE)

    assert body() == [5, 6, 7]
    assert [parameters for _, parameters, _ in runner.submitted] == [{"x": x, "y": 5} for x in range(3)]


def test_its_own_map_does_the_same() -> None:
    with PoolRunner() as runner:
        assert runner.map(add, {"x": [1, 2], "y": 5}).result(timeout=PATIENCE) == [6, 7]
        with pytest.raises(MappingMissingIterable):
            _ = runner.map(add, {"x": 1})


def test_direct_calls_do_not_go_to_it() -> None:
    runner = PoolRunner()

    @flow(task_runner=runner)
    def body() -> int:
        return double(2)

    assert body() == 4
    assert runner.submitted == []


def test_each_flow_run_starts_a_duplicate_and_closes_it_at_its_end() -> None:
    kept: list[PoolRunner] = []

    class Noted(PoolRunner):
        def __enter__(self) -> Self:
            kept.append(self)
            return super().__enter__()

    original = Noted()

    @flow(task_runner=original)
    def body() -> int:
        return double.submit(1).result(timeout=PATIENCE)

    body()
    body()
    assert len(kept) == 2
    assert original not in [id(each) for each in kept]
    assert all(each is not original for each in kept)
    for each in kept:
        with pytest.raises(RuntimeError, match="it is not started"):
            _ = each.submit(double, {"x": 1})


def test_one_that_is_not_started_refuses_work() -> None:
    with pytest.raises(RuntimeError, match=r"^Cannot submit task 'double' with PoolRunner\(2\): it is not started"):
        _ = PoolRunner().submit(double, {"x": 1})
    with pytest.raises(RuntimeError, match="it is not started"):
        _ = PoolRunner().map(double, {"x": [1]})


def test_starting_it_twice_is_an_error() -> None:
    with PoolRunner() as runner, pytest.raises(RuntimeError, match="is started already"):
        runner.__enter__()


def test_two_with_the_same_settings_are_equal() -> None:
    assert PoolRunner(3) == PoolRunner(3)
    assert hash(PoolRunner(3)) == hash(PoolRunner(3))
    assert PoolRunner(3) != PoolRunner(4)
    assert PoolRunner(3).duplicate() == PoolRunner(3)
    assert PoolRunner(3).name == "PoolRunner".lower()


# What a promise comes to.


class Careless(TaskRunner):
    """A runner whose author forgot one thing or the other."""

    def __init__(self, twin: Any = None, future: Any = None) -> None:  # calls no other constructor
        self.twin, self.future = twin, future

    def __repr__(self) -> str:
        return "Careless()"

    def duplicate(self) -> Any:
        return Careless(future=self.future) if self.twin is None else self.twin

    def submit(self, task: Any, parameters: Mapping[str, Any], wait_for: Any = None) -> Any:
        self.check_started(f"submit task '{task.name}'")
        return self.future


@pytest.mark.parametrize("how", ["submit", "map", "with a limit"])
def test_a_runner_that_gives_no_future_is_told_what_it_has_to_give(how: str) -> None:
    @task(tags=["db"] if how == "with a limit" else [])
    def double(x: int) -> int:
        raise AssertionError

    @flow(task_runner=Careless(future=5))
    def body() -> Any:
        return double.map([1]) if how == "map" else double.submit(1)

    with Engine(limits={"db": 1}), pytest.raises(TaskRunnerError) as raised:
        _ = body()
    assert str(raised.value) == (
        "Cannot submit task 'double' with Careless(): its submit() gave 5. Have it return a Future of its promise."
    )


def test_a_runner_whose_duplicate_is_none_is_told_so() -> None:
    @flow(task_runner=Careless(twin=3))
    def body() -> None:
        raise AssertionError

    with pytest.raises(TaskRunnerError, match=r"^Cannot run a flow with Careless\(\): its duplicate\(\) gave 3\."):
        body()


@pytest.mark.parametrize("promise", [3, None, Promise], ids=str)
def test_what_is_no_promise_makes_no_future(promise: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'promise' takes a future of concurrent\.futures or asyncio, not "):
        _ = Future[int](promise, uuid4())


def test_a_value_completes_the_run() -> None:
    future = promised(5)
    assert future.state.state_details.task_run_id == future.task_run_id
    assert future.done()
    assert future.result() == 5
    assert future.state.is_completed()
    assert future.task_run_id == UUID(int=0xABC)
    assert future.name == "task-run-abc"


def test_a_state_is_the_final_state() -> None:
    assert promised(Completed(data=3)).result() == 3
    failed = promised(Failed(message="No."))
    assert failed.state.message == "No."
    with pytest.raises(FailedRun, match=r"^No\.$"):
        failed.result()


def test_an_exception_fails_the_run() -> None:
    error = ValueError("as ever")
    future = promised(error=error)
    assert future.state.is_failed()
    assert future.result(raise_on_failure=False) is error
    with pytest.raises(ValueError, match="as ever"):
        future.result()


def test_an_exception_that_is_no_error_crashes_the_run() -> None:
    future = promised(error=SystemExit(3))
    assert future.state.is_crashed()
    with pytest.raises(SystemExit):
        future.result()
    assert promised(error=SystemExit()).result(raise_on_failure=False).__class__ is SystemExit
    with pytest.raises(CrashedRun):
        promised(_crashed_by_hand()).result()


def _crashed_by_hand() -> Any:
    return Crashed(message="Somewhere else.")


def test_cancelling_the_future_cancels_the_promise() -> None:
    promise: Promise[int] = Promise()
    future: Future[int] = Future(promise, uuid4())
    assert future.state.is_pending()
    assert future.cancel() is True
    assert promise.cancelled()
    assert future.state.is_cancelled()
    assert future.cancel() is False
    with pytest.raises(CancelledRun):
        future.result()


def test_one_that_is_not_kept_yet_can_be_waited_for_in_every_way() -> None:
    @contextmanager
    def kept_soon() -> Generator[Future[int]]:
        promise: Promise[int] = Promise()
        go = Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:

            def keep() -> None:
                assert go.wait(PATIENCE)
                promise.set_result(1)

            pool.submit(keep)
            future: Future[int] = Future(promise, uuid4())
            assert future.wait(timeout=0.001) is False
            with pytest.raises(TimeoutError):
                future.result(timeout=0.001)
            go.set()
            yield future

    with kept_soon() as future:
        assert future.wait(PATIENCE)
    with kept_soon() as future:
        assert future.result(timeout=PATIENCE) == 1
    with kept_soon() as future:
        assert wait([future]).done == {future}
    with kept_soon() as future:
        assert [each.result() for each in as_completed([future])] == [1]
    with kept_soon() as future:
        called = Event()
        future.add_done_callback(lambda _future: called.set())
        assert called.wait(PATIENCE)


@pytest.mark.anyio
async def test_it_can_be_awaited_while_another_thread_keeps_the_promise() -> None:
    promise: Promise[int] = Promise()
    future: Future[int] = Future(promise, uuid4())

    async def one() -> int:
        return await future

    async def other() -> Any:
        return (await future.wait_async()).type

    async def third() -> list[int]:
        return [await each async for each in as_completed([future])]

    with pytest.raises(BlockingCallOnLoop):
        future.result()
    waiting = asyncio.gather(one(), other(), third())
    await asyncio.sleep(0)
    await asyncio.to_thread(promise.set_result, 6)
    assert list(await waiting) == [6, "COMPLETED", [6]]


@pytest.mark.anyio
async def test_a_promise_may_be_a_future_of_asyncio() -> None:
    promise: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    future: Future[int] = Future(promise, uuid4())
    asyncio.get_running_loop().call_soon(promise.set_result, 8)
    assert not future.done()
    assert await future == 8
    cancelled: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    gone: Future[int] = Future(cancelled, uuid4())
    gone.cancel()
    with pytest.raises(CancelledRun):
        await gone


# As an input.


def test_it_is_an_input_like_any_other_future() -> None:
    promise: Promise[int] = Promise()
    future: Future[int] = Future(promise, uuid4())

    @flow
    def body() -> int:
        downstream = double.submit({"x": future}["x"])
        assert not downstream.done()
        promise.set_result(4)
        result = downstream.result(timeout=PATIENCE)
        assert downstream.source.task_inputs == {"x": [TaskRunResult(future.task_run_id)]}
        return result

    assert body() == 8


def test_one_that_failed_keeps_what_depends_on_it_from_starting() -> None:
    @flow
    def body() -> None:
        future = double.submit(promised(error=ValueError("as ever")))
        assert future.wait(PATIENCE)
        state = future.state
        assert state.name == "NotReady"
        assert "'task-run-abc'" in (state.message or "")

    body()


def test_a_flow_may_return_it() -> None:
    @flow
    def good() -> Future[int]:
        return promised(5)

    @flow
    def bad() -> list[Future[int]]:
        return [promised(5), promised(error=ValueError("as ever"))]

    assert good().result() == 5
    state = bad(return_state=True)
    assert state.is_failed()
    assert state.message == "1/2 states failed."
