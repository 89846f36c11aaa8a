"""Runs that are put off, and what users see of them: from sync and async code, in flows and outside, by id."""

from __future__ import annotations

import asyncio
import pickle
import shutil
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Lock, Thread
from typing import Any
from uuid import uuid4

import pytest

from millrace import (
    BlockingCallOnLoop,
    ConfigurationError,
    DistributedFuture,
    Engine,
    JSONSerializer,
    MemoryStore,
    MissingResult,
    ParameterBindError,
    RunNotFound,
    SerializationError,
    SqliteStore,
    StateType,
    TaskDefinitionError,
    TaskWorker,
    allow_failure,
    aread_task_run,
    as_completed,
    aserve,
    serve,
    tags,
    wait,
)
from millrace.runtime.deferred.opening import queue_for
from millrace.runtime.stores.rows import RunFilter
from tests.loose import flow, task
from tests.postgres import Server
from tests.runtime.deferred.places import PATIENCE_SECONDS
from tests.runtime.walks import this_run


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Any]:
    """What an engine takes for its store."""
    if request.param == "postgres":
        server: Server = request.getfixturevalue("postgres")
        with server.store("delayed") as url:
            yield url
    else:
        yield MemoryStore() if request.param == "memory" else f"sqlite:///{tmp_path / 'runs.db'}"


@pytest.fixture
def engine(store: Any) -> Iterator[Engine]:
    """The engine at hand."""
    with Engine(store=store) as made:
        yield made


@contextmanager
def served(*tasks: Any, limit: int | None = 10) -> Generator[None]:
    """Serve tasks of the store of the engine at hand, in a thread, in the block."""
    chronicle = Engine.current().chronicle
    assert chronicle is not None
    worker = TaskWorker(*tasks, limit=limit, store=chronicle.writer.store)
    thread = Thread(target=worker.run, name="millrace-served")
    thread.start()
    try:
        yield
    finally:
        worker.stop()
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


@task
def add(a: int, b: int = 1) -> int:
    return a + b


@task
async def double(x: int) -> int:
    return 2 * x


@task
def fail(text: str) -> None:
    raise LookupError(text)


# The run and its future.


@pytest.mark.usefixtures("engine")
def test_a_run_is_scheduled_until_somebody_serves_its_task() -> None:
    future = add.delay(1, b=2)

    assert isinstance(future, DistributedFuture)
    assert (future.state.type, future.done(), future.wait(timeout=0)) == (StateType.SCHEDULED, False, False)
    assert future.state.state_details.task_run_id == future.task_run_id
    assert future.name == f"add-{future.task_run_id.hex[-3:]}"
    with pytest.raises(TimeoutError, match="1 of 1"):
        future.result(timeout=0)

    with served(add, double):
        assert future.result(timeout=PATIENCE_SECONDS) == 3

    assert future.state.type is StateType.COMPLETED
    assert future.done()


@pytest.mark.usefixtures("engine")
def test_a_failure_is_raised_as_it_was_where_it_ran() -> None:
    future = fail.delay("nothing there")
    with served(fail):
        future.wait()

    with pytest.raises(LookupError, match=r"^nothing there$"):
        future.result()
    assert isinstance(future.result(raise_on_failure=False), LookupError)


@pytest.mark.anyio
async def test_async_code_puts_off_and_awaits(store: Any) -> None:
    async with Engine(store=store):
        futures = [double.delay(number) for number in range(5)]
        serving = asyncio.ensure_future(aserve(double))

        assert [await future for future in futures] == [0, 2, 4, 6, 8]
        assert (await futures[0].wait_async()).is_completed()
        assert await add.delay(1).wait_async(timeout=0) is not None
        with pytest.raises(BlockingCallOnLoop):
            add.delay(1).result()

        serving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await serving


@pytest.mark.usefixtures("engine")
def test_it_is_known_by_its_id() -> None:
    future = add.delay(1)

    again = DistributedFuture[int](str(future.task_run_id))
    pickled: DistributedFuture[int] = pickle.loads(pickle.dumps(future))
    with served(add):
        assert (again.result(), pickled.result(), future.result()) == (2, 2, 2)
    assert again.name == future.name

    unknown = DistributedFuture[int](uuid4())
    assert not unknown.done()
    with pytest.raises(RunNotFound):
        _ = unknown.state
    with pytest.raises(ConfigurationError, match="'task_run_id' takes the id of a task run"):
        _ = DistributedFuture[int]("seven")


@pytest.mark.usefixtures("engine")
def test_futures_of_both_kinds_are_waited_for_together() -> None:
    @flow
    def both() -> list[int]:
        mixed = [add.delay(1), add.submit(2), add.delay(3)]
        done, _ = wait(mixed)
        assert len(done) == 3
        return sorted(each.result() for each in as_completed(mixed))

    with served(add):
        assert both() == [2, 3, 4]


@pytest.mark.usefixtures("engine")
def test_a_run_is_cancelled_before_anybody_has_it() -> None:
    future = add.delay(1)

    assert future.cancel()

    assert future.state.type is StateType.CANCELLED
    assert not future.cancel()


@pytest.mark.usefixtures("engine")
def test_where_serializers_differ_a_task_reads_what_it_has_written() -> None:
    @task(result_serializer=JSONSerializer())
    def pair(a: int, *, b: str) -> dict[str, Any]:
        return {"a": a, "b": b}

    future = pair.delay(1, b="x")
    with served(pair):
        assert future.result() == {"a": 1, "b": "x"}

    assert DistributedFuture(future.task_run_id, task=pair).result() == {"a": 1, "b": "x"}
    with pytest.raises(SerializationError, match="it was written as 'json'"):
        DistributedFuture(future.task_run_id).result()


@pytest.mark.usefixtures("engine")
def test_a_result_too_large_for_the_queue_comes_out_of_the_storage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("MILLRACE_STORE_RESULT_LIMIT", "100")

    @task(result_storage=tmp_path / "results")
    def many() -> str:
        return "x" * 1000

    @task
    def opens() -> Any:
        return Lock()

    large, lost = many.delay(), opens.delay()
    with served(many, opens):
        assert large.result() == "x" * 1000
        lost.wait()

    assert lost.state.type is StateType.COMPLETED
    with pytest.raises((MissingResult, SerializationError), match="lost"):
        lost.result()


# What a call is made of.


@pytest.mark.usefixtures("engine")
def test_what_depends_on_other_runs_waits_for_them_in_the_queue() -> None:
    first = add.delay(1)
    second = add.delay([first, 1][0], b=first)
    last = add.apply_async((10,), wait_for=[second])

    with served(add, limit=1):
        assert (second.result(), last.result()) == (4, 11)


@pytest.mark.usefixtures("engine")
def test_a_run_never_begins_that_depends_on_one_that_failed() -> None:
    @task
    def say(error: object) -> str:
        return repr(error)

    failed = fail.delay("nothing there")
    never, told = add.delay(failed), say.delay(allow_failure(failed))
    with served(add, fail, say):
        never.wait()
        assert told.result() == "LookupError('nothing there')"

    assert never.state.name == "NotReady"
    assert f"Upstream task run '{failed.name}'" in str(never.state.message)


def test_in_a_flow_results_of_its_own_runs_go_along(store: Any) -> None:
    gate = asyncio.Event()

    @task
    async def late(x: int) -> int:
        await gate.wait()
        return x

    futures: list[Any] = []

    @flow
    async def mixed() -> None:
        upstream = late.submit(5)
        future = add.delay(upstream, b=2)
        assert future.state.type is StateType.PENDING
        gate.set()
        futures.append(future)

    async def main() -> None:
        async with Engine(store=store):
            await mixed()
            (future,) = futures
            assert future.state.type is StateType.SCHEDULED  # the flow has waited for that, and for no more
            serving = asyncio.ensure_future(aserve(add))
            assert await future == 7
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving

    asyncio.run(main())


@pytest.mark.usefixtures("engine")
def test_one_that_depends_on_a_failed_run_of_its_flow_ends_with_it() -> None:
    @flow
    def fails() -> Any:
        failed = fail.submit("nothing there")
        future = add.delay(failed)
        future.wait(timeout=PATIENCE_SECONDS)
        return future.state.name

    assert fails() == "NotReady"


@pytest.mark.usefixtures("engine")
def test_a_flow_that_is_run_again_puts_its_calls_off_again() -> None:
    futures: list[Any] = []

    @flow(retries=1)
    def twice() -> int:
        futures.append(add.delay(double.submit(len(futures))))
        if len(futures) < 2:
            raise OSError("once more")
        return 0

    with served(add):
        twice()
        assert [future.result(timeout=PATIENCE_SECONDS) for future in futures] == [1, 1]


@pytest.mark.usefixtures("engine")
def test_a_run_has_the_tags_of_where_it_was_put_off() -> None:
    @task(tags=["own"])
    def look() -> list[str]:
        return sorted(this_run().tags)

    with tags("added"):
        future = look.delay()
    with served(look):
        assert future.result() == ["added", "own"]


@pytest.mark.usefixtures("engine")
def test_what_cannot_be_put_off_is_an_error_and_nothing_is() -> None:
    @task
    def generates() -> Iterator[int]:
        yield 1

    class Shop:
        @task
        def sell(self) -> None: ...

    with pytest.raises(SerializationError, match="Could not write the arguments of task 'add', to put the call off"):
        add.delay(Lock())
    with pytest.raises(ParameterBindError, match="missing a required argument: 'a'"):
        add.delay()
    with pytest.raises(TaskDefinitionError, match="'generates' cannot be delayed: it is a generator"):
        generates.delay()
    with pytest.raises(TaskDefinitionError, match="'sell' cannot be delayed: it is bound to an object"):
        Shop().sell.delay()

    queue, _ = queue_for(None)
    assert queue.waiting() == {}


@pytest.mark.usefixtures("engine")
def test_what_cannot_be_written_when_it_is_known_makes_the_run_fail() -> None:
    @task
    def opens() -> Any:
        return Lock()

    future = add.delay(opens.submit())
    future.wait(timeout=PATIENCE_SECONDS)

    with pytest.raises(SerializationError, match="Could not write the arguments of task 'add'"):
        future.result()


def test_without_a_store_nothing_can_be_put_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MILLRACE_STORE", raising=False)

    with pytest.raises(ConfigurationError, match="'store' takes a store that has a queue"):
        add.delay(1)
    with pytest.raises(ConfigurationError, match="'store' takes a store that has a queue"):
        serve(add)


def test_who_only_puts_off_need_not_own_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MILLRACE_STORE", f"sqlite:///{tmp_path / 'runs.db'}")

    future = add.delay(1)
    queue, engine = queue_for(None)

    assert (engine, future.state.type) == (None, StateType.SCHEDULED)
    assert not (tmp_path / "runs.db").exists()
    queue.close()


def remove_all(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.mkdir()


def open_files(folder: Path) -> list[str]:
    """The files of a folder that this process has open."""
    places = [place.resolve() for place in Path("/proc/self/fd").iterdir()]
    return [str(place) for place in places if place.is_relative_to(folder)]


def test_a_store_has_a_queue_of_its_own_although_another_was_at_its_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It was given the first one's, whose files had been taken away, and the run was gone with these."""
    monkeypatch.setenv("MILLRACE_STORE", f"sqlite:///{tmp_path / 'runs.db'}")
    add.delay(1)
    first, _ = queue_for(None)
    remove_all(tmp_path)

    with Engine(store=SqliteStore(tmp_path / "runs.db")):
        future = add.delay(2)

    other = SqliteStore(tmp_path / "runs.db").queue
    assert other is not None
    assert [row.id for row in other.read_all(RunFilter())] == [future.task_run_id.int]
    other.close()
    first.close()


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="only Linux says which files are open")
def test_a_second_store_on_a_file_closes_the_queue_that_was_used(tmp_path: Path) -> None:
    """It was given the first one's, which stayed open when the second one was closed."""
    first = SqliteStore(tmp_path / "runs.db")
    for store in (first, SqliteStore(tmp_path / "runs.db")):
        with Engine(store=store):
            add.delay(1)
            assert open_files(tmp_path)
        assert open_files(tmp_path) == []


def test_whoever_has_the_url_of_a_store_that_is_there_has_its_queue(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'runs.db'}"
    kept, _ = queue_for(url)  # the one of no store, which was asked for first
    store = SqliteStore(tmp_path / "runs.db")
    with Engine(store=store) as engine:
        assert queue_for(url) == (store.queue, engine)
        assert queue_for(SqliteStore(tmp_path / "runs.db"))[0] not in {kept, store.queue}
    kept.close()


# Serving.


@pytest.mark.parametrize("limit", [0, -1, True, 2.5, "two"])
def test_a_worker_has_room_for_at_least_one_run(limit: Any) -> None:
    with pytest.raises(ConfigurationError, match="'limit' takes a whole number, 1 or more"):
        add.serve(limit=limit)


def test_only_tasks_are_served() -> None:
    @flow
    async def works() -> None: ...

    with pytest.raises(ConfigurationError, match="'tasks' takes at least one task to serve"):
        serve()
    with pytest.raises(TaskDefinitionError, match="It is a flow; only tasks are served"):
        serve(works)
    with pytest.raises(TaskDefinitionError, match="Pass the task itself, not a call of it"):
        serve(double(1))
    with pytest.raises(TaskDefinitionError, match="Decorate it with @task"):
        serve(print)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="tasks with different code"):
        serve(add, add.with_options(retries=3))


@pytest.mark.anyio
async def test_on_a_loop_serving_is_awaited(store: Any) -> None:
    async with Engine(store=store):
        with pytest.raises(BlockingCallOnLoop, match=r"await aserve\(\.\.\.\)"):
            serve(add)


def test_a_worker_that_was_stopped_before_it_began_ends_at_once(store: Any) -> None:
    with Engine(store=store):
        worker = TaskWorker(add)
        worker.stop()
        future = add.delay(1)

        worker.run()

        assert future.state.type is StateType.SCHEDULED


def test_what_is_served_here_is_on_record_in_the_store_too(store: Any) -> None:
    async def main() -> None:
        async with Engine(store=store):
            future = double.delay(21)
            serving = asyncio.ensure_future(aserve(double))
            assert await future == 42
            recorded = await aread_task_run(future.task_run_id)
            assert (recorded.task_name, recorded.state.name) == ("double", "Completed")
            serving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await serving

    asyncio.run(main())
