"""Task runners: where a flow's submitted tasks run, in which order, and how many at once."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import threading
from collections.abc import Mapping
from typing import Any, Self
from uuid import uuid4

import pytest

from millrace import (
    CancelledRun,
    Completed,
    ConfigurationError,
    DefaultTaskRunner,
    Future,
    FutureList,
    MappingLengthMismatch,
    MappingMissingIterable,
    SequentialTaskRunner,
    TaskRunner,
    ThreadPoolTaskRunner,
)
from millrace.runtime.base_task import BaseTask
from tests.checkpoints import until
from tests.loose import flow, task

WAIT = 10.0

RUNNERS = [DefaultTaskRunner(), SequentialTaskRunner(), ThreadPoolTaskRunner(max_workers=2), ThreadPoolTaskRunner()]


@task
def sync_add(a: int, b: int = 1) -> int:
    return a + b


@task
async def async_add(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    return a + b


# What every runner is.


def test_a_task_runner_is_abstract() -> None:
    with pytest.raises(TypeError, match=r"duplicate|submit"):
        TaskRunner()  # type: ignore[abstract]  # pyright: ignore[reportAbstractUsage]


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
def test_a_duplicate_is_another_runner_with_the_same_settings(runner: TaskRunner) -> None:
    other = runner.duplicate()
    assert other is not runner
    assert type(other) is type(runner)
    assert other == runner
    assert hash(other) == hash(runner)


def test_runners_with_other_settings_or_of_another_kind_are_not_equal() -> None:
    assert ThreadPoolTaskRunner(max_workers=1) != ThreadPoolTaskRunner(max_workers=2)
    assert DefaultTaskRunner() != SequentialTaskRunner()
    assert SequentialTaskRunner() != "sequential"
    assert len({ThreadPoolTaskRunner(1), ThreadPoolTaskRunner(1), ThreadPoolTaskRunner(2)}) == 2


def test_a_runner_has_a_short_name_and_a_representation_that_makes_it_again() -> None:
    assert [each.name for each in RUNNERS[:3]] == ["default", "sequential", "threadpool"]
    assert repr(ThreadPoolTaskRunner(max_workers=2)) == "ThreadPoolTaskRunner(2)"
    assert repr(SequentialTaskRunner()) == "SequentialTaskRunner()"


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
def test_a_runner_cannot_be_started_twice(runner: TaskRunner) -> None:
    mine = runner.duplicate()
    with mine:
        with pytest.raises(RuntimeError, match=r"is started already\. Use duplicate\(\)"), mine:
            pass
        assert mine.duplicate().__enter__() is not mine


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
def test_nothing_can_be_submitted_to_a_runner_that_is_not_started_or_was_closed(runner: TaskRunner) -> None:
    mine = runner.duplicate()
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"is not started\. Use it in a `with` block\.$"):
            _ = mine.submit(sync_add, {"a": 1})
        with pytest.raises(RuntimeError, match="is not started"):
            _ = mine.map(sync_add, {"a": [1]})
        with mine:
            pass


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
def test_a_runner_may_be_used_by_hand(runner: TaskRunner) -> None:
    with runner.duplicate() as mine:
        assert mine.submit(sync_add, {"a": 1}).result(WAIT) == 2
        assert mine.submit(async_add, {"a": 1, "b": 2}).result(WAIT) == 3
        first = mine.submit(sync_add, {"a": 1})
        assert mine.submit(sync_add, {"a": first}, wait_for=[first]).result(WAIT) == 3
        assert mine.map(sync_add, {"a": [1, 2], "b": 10}).result(WAIT) == [11, 12]
        with pytest.raises(MappingMissingIterable):
            _ = mine.map(sync_add, {"a": 1})
        with pytest.raises(MappingLengthMismatch):
            _ = mine.map(sync_add, {"a": [1, 2], "b": [1]})


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
def test_a_sync_flow_uses_its_runner(runner: TaskRunner) -> None:
    @flow(task_runner=runner)
    def body() -> list[Any]:
        return [
            sync_add.submit(1).result(WAIT),
            async_add.submit(1).result(WAIT),
            sync_add.map([1, 2, 3]).result(WAIT),
            async_add.map(sync_add.map([1, 2, 3])).result(WAIT),
            sync_add(1),
        ]

    assert body() == [2, 2, [2, 3, 4], [3, 4, 5], 2]
    assert body() == [2, 2, [2, 3, 4], [3, 4, 5], 2]


@pytest.mark.anyio
@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
async def test_an_async_flow_uses_its_runner(runner: TaskRunner) -> None:
    @flow(task_runner=runner)
    async def body() -> list[Any]:
        return [
            await sync_add.submit(1),
            await async_add.submit(1),
            await sync_add.map([1, 2, 3]),
            await async_add.map(sync_add.map([1, 2, 3])),
            await async_add(1),
        ]

    assert await body() == [2, 2, [2, 3, 4], [3, 4, 5], 2]
    assert [await body(), await body()] == [[2, 2, [2, 3, 4], [3, 4, 5], 2]] * 2


@pytest.mark.parametrize("runner", RUNNERS, ids=repr)
def test_what_fails_fails_wherever_it_runs(runner: TaskRunner) -> None:
    attempts: list[int] = []

    @task(retries=2)
    def fails() -> None:
        attempts.append(1)
        raise ValueError("as ever")

    @task
    async def fails_too() -> None:
        await asyncio.sleep(0)
        raise ValueError("as ever")

    @flow(task_runner=runner)
    def body() -> str:
        for each in (fails, fails_too):
            with pytest.raises(ValueError, match=r"^as ever$"):
                each.submit().result(WAIT)
        return "went on"

    assert body() == "went on"
    assert len(attempts) == 3


def test_what_is_no_runner_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="task_runner"):

        @flow(task_runner="threads")
        def body() -> None: ...


@pytest.mark.parametrize("workers", [0, -1, True, 1.5, "many"])
def test_a_pool_has_at_least_one_worker(workers: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'max_workers' takes a whole number, 1 or more, not "):
        ThreadPoolTaskRunner(max_workers=workers)


def test_a_subflow_has_a_runner_of_its_own() -> None:
    @task
    def where() -> str:
        return threading.current_thread().name

    @flow
    def inner() -> Any:
        return where.submit().result(WAIT)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def outer() -> tuple[str, str]:
        return where.submit().result(WAIT), inner()

    mine, theirs = outer()
    assert mine.startswith("millrace-pool-")
    assert not theirs.startswith("millrace-pool-")


# A runner of one's own.


class Immediate(TaskRunner):
    """Runs each task in a thread pool of the standard library's and keeps promises about it."""

    def __init__(self) -> None:
        super().__init__()
        self.submitted: list[Mapping[str, Any]] = []

    def duplicate(self) -> Self:
        made = type(self)()
        made.submitted = self.submitted
        return made

    def submit(self, task: BaseTask[Any, Any], parameters: Mapping[str, Any], wait_for: Any = None) -> Future[Any]:
        self.check_started("submit")
        self.submitted.append(dict(parameters))
        promise: concurrent.futures.Future[Any] = concurrent.futures.Future()
        promise.set_result(Completed(data=task.fn(**parameters)))
        return Future(promise, uuid4())


def test_a_runner_of_ones_own_gets_tasks_with_their_arguments_by_name() -> None:
    runner = Immediate()

    @flow(task_runner=runner)
    def body() -> list[Any]:
        mapped = sync_add.map([1, 2], b=10)
        assert isinstance(mapped, FutureList)
        return [sync_add.submit(1).result(WAIT), mapped.result(WAIT)]

    assert body() == [2, [11, 12]]
    assert runner.submitted == [{"a": 1, "b": 10}, {"a": 2, "b": 10}, {"a": 1, "b": 1}]


# One after another.


@pytest.mark.anyio
async def test_a_sequential_runner_runs_one_at_a_time_in_the_order_of_submission() -> None:
    guard = threading.Lock()
    inside = 0
    peak = 0
    order: list[Any] = []

    def enter(x: Any) -> None:
        nonlocal inside, peak
        with guard:
            inside += 1
            peak = max(peak, inside)
            order.append(x)

    def leave() -> None:
        nonlocal inside
        with guard:
            inside -= 1

    @task
    async def in_async(x: Any) -> None:
        enter(x)
        for _ in range(3):
            await asyncio.sleep(0)
        leave()

    @task
    def in_thread(x: Any) -> None:
        enter(x)
        leave()

    @flow(task_runner=SequentialTaskRunner())
    async def body() -> None:
        in_async.submit(0)
        in_thread.submit(1)
        in_async.map([2, 3])
        in_thread.map([4, 5])
        in_async.submit(6)

    await body()
    assert order == [0, 1, 2, 3, 4, 5, 6]
    assert peak == 1


@pytest.mark.anyio
async def test_in_a_sequence_a_run_that_waits_for_a_later_one_does_not_hold_up_the_line() -> None:
    order: list[str] = []

    @task
    async def note(name: str, _after: Any = None) -> None:
        order.append(name)

    gate = asyncio.Event()

    @task
    async def opens() -> None:
        order.append("opens")
        gate.set()

    @flow(task_runner=SequentialTaskRunner())
    async def body() -> None:
        first = note.submit("first")
        second = note.submit("second", note.submit("before second", first))
        opens.submit()
        await second

    await body()
    assert sorted(order) == ["before second", "first", "opens", "second"]
    assert order.index("before second") < order.index("second")


def is_running(future: Future[Any]) -> bool:
    return future.state.is_running()


@pytest.mark.anyio
async def test_in_a_sequence_what_is_cancelled_makes_room_for_the_next() -> None:
    @task
    async def forever() -> None:
        await asyncio.Event().wait()

    @flow(task_runner=SequentialTaskRunner())
    async def body() -> Any:
        stuck = [forever.submit() for _ in range(3)]
        last = async_add.submit(1)
        for each in stuck:
            await until(functools.partial(is_running, each))
            each.cancel()
        return await last

    assert await asyncio.wait_for(body(), WAIT) == 2


@pytest.mark.anyio
async def test_a_sequence_that_is_cancelled_while_it_takes_from_a_map_does_not_stand_still() -> None:
    @task
    def holds(_x: int) -> None:
        begun.set()
        assert gate.wait(WAIT)

    begun, gate = threading.Event(), threading.Event()

    @flow(task_runner=SequentialTaskRunner())
    async def body() -> None:
        holds.map(range(100))
        await asyncio.Event().wait()

    running = asyncio.ensure_future(body())
    await until(begun.is_set)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, WAIT)
    gate.set()


# Pools.


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_a_pool_runs_as_many_bodies_at_once_as_it_has_workers(workers: int) -> None:
    guard = threading.Lock()
    inside = peak = 0
    full = threading.Barrier(workers, timeout=WAIT)

    @task
    def body(_x: int) -> str:
        nonlocal inside, peak
        with guard:
            inside += 1
            peak = max(peak, inside)
        full.wait()  # so many are inside at once, or this breaks
        with guard:
            inside -= 1
        return threading.current_thread().name

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=workers))
    def all_of_them() -> set[str]:
        return set(body.map(range(3 * workers)).result(WAIT)) | {each.result(WAIT) for each in body.map(range(workers))}

    threads = all_of_them()
    assert peak == workers
    assert len(threads) == workers


def test_async_tasks_in_a_pool_run_on_a_loop_that_their_worker_keeps() -> None:
    @task
    async def where() -> tuple[str, int]:
        await asyncio.sleep(0)
        return threading.current_thread().name, id(asyncio.get_running_loop())

    opened: dict[int, asyncio.Event] = {}

    @task
    async def opens() -> int:
        loop = asyncio.get_running_loop()
        event = opened.setdefault(id(loop), asyncio.Event())
        event.set()
        await event.wait()
        return id(loop)

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def body() -> tuple[set[Any], set[int]]:
        futures = [where.submit() for _ in range(10)]
        return {each.result(WAIT) for each in futures}, {opens.submit().result(WAIT) for _ in range(10)}

    places, loops = body()
    assert len(places) == 1
    assert loops == {next(iter(places))[1]}


@pytest.mark.anyio
async def test_a_pool_ends_with_its_flow() -> None:
    @flow(task_runner=ThreadPoolTaskRunner(max_workers=3))
    async def body() -> Any:
        return await sync_add.map(range(10)) + await async_add.map(range(10))

    assert len(await body()) == 20
    await until(lambda: not any(each.name.startswith("millrace-pool") for each in threading.enumerate()))


@pytest.mark.anyio
async def test_cancelling_all_runs_of_a_pool_leaves_those_of_other_runners_alone() -> None:
    begun = threading.Event()

    @task
    async def in_a_worker() -> None:
        begun.set()
        await asyncio.Event().wait()

    @task
    async def never_starts(_x: int) -> None:
        raise AssertionError

    with ThreadPoolTaskRunner(max_workers=1) as pool:

        @flow
        async def body() -> list[str]:
            other = async_add.submit(1)
            running = pool.submit(in_a_worker, {})
            waiting = pool.submit(in_a_worker, {})
            mapped = pool.map(never_starts, {"_x": [1, 2, 3]})
            await until(begun.is_set)
            pool.cancel_all()
            for each in (running, waiting, *mapped):
                with pytest.raises(CancelledRun):
                    await each
            assert await pool.submit(async_add, {"a": 1}) == 2
            return [running.state.name, waiting.state.name, (await other.wait_async(WAIT)).name]

        assert await body() == ["Cancelled", "Cancelled", "Completed"]
