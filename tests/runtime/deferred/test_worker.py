"""Workers, in virtual time: what they take, what they tell, and how they stop."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from millrace import Engine, MemoryStorage, StateType, tags
from millrace.runtime.deferred.memory import MemoryQueue
from millrace.runtime.deferred.port import Job, JobRow
from millrace.runtime.deferred.worker import Worker
from millrace.runtime.stores.records import Value
from tests.loose import task
from tests.runtime.walks import this_run
from tests.virtual_loop import now, run_virtually


class Shop:
    """A queue, and workers at it.

    Args:
        engine: What they work on.
        tasks: The tasks that there are.
    """

    def __init__(self, engine: Engine, *tasks: Any) -> None:
        self.engine = engine
        self.queue = MemoryQueue()
        self.tasks = {each.task_key: each for each in tasks}
        self.count = 0
        self._ended: dict[int, asyncio.Event] = {}

    def put(self, of: Any, *args: Any, **more: Any) -> int:
        """Put a call off; the id of the run."""
        self.count += 1
        call = Value("pickle", pickle.dumps((list(args), {})))
        self.queue.put(Job(self.count, of.name, of.task_key, self.engine.now(), call, **more))
        return self.count

    async def end(self, number: int) -> JobRow:
        """Wait for the end of a run."""
        ended = asyncio.Event()
        loop = asyncio.get_running_loop()

        def told() -> None:
            loop.call_soon_threadsafe(ended.set)

        self.queue.watch(number, told)
        await ended.wait()
        row = self.queue.read(number)
        assert row is not None
        return row

    def worker(self, limit: int | None = 2) -> Worker:
        """A worker."""
        return Worker(self.queue, self.engine, self.tasks, limit)

    @asynccontextmanager
    async def open(self, limit: int | None = 2) -> AsyncGenerator[asyncio.Task[None]]:
        """Have a worker work in the block."""
        work = asyncio.ensure_future(self.worker(limit).work())
        yield work
        work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

    def names(self, number: int) -> list[str]:
        """The states that a run has had."""
        return [state.name for state in self.queue.read_states(number)]


def value(row: JobRow) -> Any:
    """What the last state of a run holds."""
    assert row.data is not None
    assert row.data.blob is not None
    return pickle.loads(row.data.blob)


def in_shop(*tasks: Any) -> Callable[[Callable[[Shop], Any]], None]:
    """Run something with a shop, in virtual time."""

    def run(body: Callable[[Shop], Any]) -> None:
        async def main() -> None:
            async with Engine(clock=now) as engine:
                await body(Shop(engine, *tasks))

        run_virtually(main())

    return run


@task
async def double(x: int) -> int:
    return 2 * x


@task
async def wait(seconds: float) -> float:
    await asyncio.sleep(seconds)
    return seconds


def test_what_is_put_off_is_run_and_told_of() -> None:
    @in_shop(double)
    async def _(shop: Shop) -> None:
        number = shop.put(double, 21)
        async with shop.open():
            row = await shop.end(number)

        assert value(row) == 42
        assert shop.names(number) == ["Scheduled", "Pending", "Running", "Completed"]


def test_a_run_has_its_retries_and_all_its_states_are_told() -> None:
    @task(retries=2, retry_delay_seconds=[10, 20])
    async def fails_twice(tries: list[int]) -> int:
        run = this_run()
        if run.run_count < 3:
            raise OSError("not yet")
        return int(run.run_count)

    @in_shop(fails_twice)
    async def _(shop: Shop) -> None:
        begun = shop.engine.now()
        number = shop.put(fails_twice, [])
        async with shop.open():
            await asyncio.sleep(1)
            assert shop.names(number)[-1] == "AwaitingRetry"
            row = await shop.end(number)

        assert value(row) == 3
        assert shop.engine.now() - begun >= 30e9
        assert shop.names(number) == [
            "Scheduled", "Pending", "Running", "AwaitingRetry", "Retrying", "AwaitingRetry", "Retrying", "Completed",
        ]  # fmt: skip


def test_a_failure_is_told_with_its_exception() -> None:
    @task
    async def fails() -> None:
        raise KeyError("no such key")

    @in_shop(fails)
    async def _(shop: Shop) -> None:
        async with shop.open():
            row = await shop.end(shop.put(fails))

        assert row.state.type is StateType.FAILED
        assert repr(value(row)) == "KeyError('no such key')"


def test_a_run_that_is_over_its_time_has_timed_out() -> None:
    @task(timeout_seconds=5)
    async def never() -> None:
        await asyncio.Event().wait()

    @in_shop(never)
    async def _(shop: Shop) -> None:
        async with shop.open():
            row = await shop.end(shop.put(never))

        assert (row.state.type, row.state.name) == (StateType.FAILED, "TimedOut")


def test_no_more_run_at_a_time_than_its_limit() -> None:
    inside: list[int] = []
    most: list[int] = []

    @task
    async def count(seconds: float) -> None:
        inside.append(1)
        most.append(len(inside))
        await asyncio.sleep(seconds)
        inside.pop()

    @in_shop(count)
    async def _(shop: Shop) -> None:
        numbers = [shop.put(count, 1 + index % 3) for index in range(9)]
        async with shop.open(limit=3):
            for number in numbers:
                await shop.end(number)

    assert max(most) == 3


def test_a_run_has_its_id_its_tags_and_its_hooks() -> None:
    seen: list[Any] = []

    @task(tags=["own"], on_completion=[lambda _, run, state: seen.append((run.uuid.int, state.name))])
    async def look() -> list[str]:
        return sorted(this_run().tags)

    @in_shop(look)
    async def _(shop: Shop) -> None:
        async with shop.open():
            with tags("of the worker"):
                row = await shop.end(shop.put(look, tags=frozenset({"own", "given"})))

        assert value(row) == ["given", "own"]
        assert seen == [(1, "Completed")]


def test_arguments_that_cannot_be_read_make_the_run_fail() -> None:
    @in_shop(double)
    async def _(shop: Shop) -> None:
        broken = Job(1, double.name, double.task_key, 0, Value("json", b"[[1], {}]"))
        misfit = Job(2, double.name, double.task_key, 0, Value("pickle", pickle.dumps(([1, 2], {}))))
        for each in (broken, misfit):
            shop.queue.put(each)
        async with shop.open():
            rows = [await shop.end(1), await shop.end(2)]

        assert [row.state.type for row in rows] == [StateType.FAILED, StateType.FAILED]
        assert "they were written as 'json', and what reads them here is 'pickle'" in str(rows[0].state.message)
        assert "too many positional arguments" in str(rows[1].state.message)


def test_a_run_is_cancelled_where_it_runs() -> None:
    @in_shop(wait)
    async def _(shop: Shop) -> None:
        number = shop.put(wait, 1000)
        async with shop.open():
            await asyncio.sleep(1)
            assert shop.names(number)[-1] == "Running"
            shop.queue.cancel(number, "Nobody wants it.", shop.engine.now())
            row = await shop.end(number)

        assert row.state.type is StateType.CANCELLED
        assert shop.engine.now() < 1_700_000_000_000_000_000 + 1000e9


@pytest.mark.parametrize("in_memory", [True, False])
def test_a_result_that_is_too_large_for_the_queue_lies_in_the_storage(
    in_memory: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_STORE_RESULT_LIMIT", "100")
    storage = MemoryStorage()

    @task(result_storage=storage, cache_result_in_memory=in_memory)
    async def many() -> str:
        return "x" * 1000

    @in_shop(many)
    async def _(shop: Shop) -> None:
        async with shop.open():
            row = await shop.end(shop.put(many))

        assert row.stored is not None
        assert storage.exists(row.stored)


def test_a_result_that_cannot_be_written_is_lost_and_the_run_has_completed(caplog: pytest.LogCaptureFixture) -> None:
    @task
    async def opens() -> Any:
        return lambda: None

    @in_shop(opens)
    async def _(shop: Shop) -> None:
        async with shop.open():
            row = await shop.end(shop.put(opens))

        assert row.state.type is StateType.COMPLETED
        assert row.data is not None
        assert row.data.blob is None

    assert "The result of 'opens-001' is lost" in caplog.text


def test_it_is_said_which_runs_wait_for_other_code(caplog: pytest.LogCaptureFixture) -> None:
    @in_shop(double)
    async def _(shop: Shop) -> None:
        shop.queue.put(Job(101, "double", "double-0ld", 0, Value("pickle", b"")))
        shop.queue.put(Job(102, "other", "other-1a2b", 0, Value("pickle", b"")))
        async with shop.open():
            await shop.end(shop.put(double, 1))

        assert shop.names(101) == ["Scheduled"]

    assert "1 runs of task 'double' were put off by other code (double-0ld)" in caplog.text
    assert "other-1a2b" not in caplog.text


# Stopping.


def test_who_stops_waits_for_what_runs() -> None:
    @in_shop(wait)
    async def _(shop: Shop) -> None:
        one, other = shop.put(wait, 3), shop.put(wait, 3)
        worker = shop.worker(limit=1)
        work = asyncio.ensure_future(worker.work())
        await asyncio.sleep(1)

        worker.stop()
        await work

        assert shop.names(one)[-1] == "Completed"
        assert shop.names(other) == ["Scheduled"]


def test_what_does_not_end_in_time_is_given_back() -> None:
    @in_shop(wait)
    async def _(shop: Shop) -> None:
        number = shop.put(wait, 100)
        begun = shop.engine.now()
        async with shop.open():
            await asyncio.sleep(1)

        assert shop.names(number) == ["Scheduled", "Pending", "Running", "Scheduled"]
        assert shop.engine.now() - begun == pytest.approx(6e9, abs=1e8)  # a second, and the grace of five
        async with shop.open():
            assert value(await shop.end(number)) == 100


def test_who_is_told_twice_does_not_wait() -> None:
    @in_shop(wait)
    async def _(shop: Shop) -> None:
        number = shop.put(wait, 100)
        begun = shop.engine.now()
        work = asyncio.ensure_future(shop.worker().work())
        for _ in range(2):
            await asyncio.sleep(1)
            work.cancel()
        with pytest.raises(asyncio.CancelledError):
            await work

        assert shop.names(number)[-1] == "Scheduled"
        assert shop.engine.now() - begun < 4e9


def test_a_worker_of_an_engine_that_closes_gives_back_what_it_cannot_begin() -> None:
    @in_shop(double)
    async def _(shop: Shop) -> None:
        work = asyncio.ensure_future(shop.worker().work())
        await asyncio.sleep(1)
        await shop.engine.aclose()

        number = shop.put(double, 1)
        await work

        assert shop.names(number) == ["Scheduled", "Pending", "Scheduled"]
