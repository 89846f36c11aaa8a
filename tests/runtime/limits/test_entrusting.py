"""Limits by tag under every task runner: those of the engine's kind, and those of somebody else's."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import pickle
import threading
from collections.abc import Callable, Mapping
from contextvars import copy_context
from typing import Any, Self
from uuid import uuid4

import pytest

from millrace import (
    Engine,
    Future,
    SequentialTaskRunner,
    TaskRunner,
    ThreadPoolTaskRunner,
    flow,
    run_task,
    tags,
    task,
)
from millrace.runtime.entering import stand_in
from tests.checkpoints import until
from tests.runtime.flowing import all_of
from tests.runtime.worlds import PATIENCE, World

Promise = concurrent.futures.Future


class Pooled(TaskRunner):
    """Runs tasks on a pool of the standard library's."""

    def __init__(self) -> None:
        super().__init__()
        self.pool: concurrent.futures.ThreadPoolExecutor | None = None

    def duplicate(self) -> Self:
        return type(self)()

    def __enter__(self) -> Self:
        super().__enter__()
        self.pool = concurrent.futures.ThreadPoolExecutor(8)
        return self

    def __exit__(self, *error: object) -> None:
        super().__exit__(None, None, None)
        assert self.pool is not None
        self.pool.shutdown()

    def submit(self, task: Any, parameters: Mapping[str, Any], wait_for: Any = None) -> Future[Any]:
        self.check_started(f"submit task '{task.name}'")
        return Future(self.start(task, parameters), uuid4())

    def start(self, task: Any, parameters: Mapping[str, Any]) -> Promise[Any]:
        assert self.pool is not None
        resolved = {name: each.result() if isinstance(each, Future) else each for name, each in parameters.items()}
        return self.pool.submit(task.fn, **resolved)


class PooledRuns(Pooled):
    """The same, with runs of the engine's."""

    def start(self, task: Any, parameters: Mapping[str, Any]) -> Promise[Any]:
        assert self.pool is not None
        run = functools.partial(run_task, task, parameters=parameters, return_type="state")
        return self.pool.submit(copy_context().run, run)


class Elsewhere(Pooled):
    """The same, where nothing is known of the flow."""

    def start(self, task: Any, parameters: Mapping[str, Any]) -> Promise[Any]:
        assert self.pool is not None
        return self.pool.submit(run_task, task, parameters=parameters, return_type="state")


class Kept(TaskRunner):
    """Keeps promises that tests see to, and notes what it is given and where."""

    def __init__(self, given: list[tuple[Any, Promise[Any]]] | None = None) -> None:
        super().__init__()
        self.given = [] if given is None else given
        self.threads: set[int] = set()
        self.fails = False

    def duplicate(self) -> Self:
        return self

    def submit(self, task: Any, parameters: Mapping[str, Any], wait_for: Any = None) -> Future[Any]:
        self.check_started(f"submit task '{task.name}'")
        if self.fails:
            raise ConnectionError("nobody is there")
        self.threads.add(threading.get_ident())
        promise: Promise[Any] = Promise()
        self.given.append((parameters["item"], promise))
        return Future(promise, uuid4())

    def has(self, count: int) -> bool:
        """Whether it has been given so many."""
        return len(self.given) == count

    @property
    def items(self) -> list[Any]:
        return [item for item, _ in self.given]


class Crowd:
    """How many bodies are inside at once, and how many have been at most."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self.most = 0
        self.two = threading.Event()  # as many have been

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)
        if self.most > 1:
            self.two.set()

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self.inside -= 1


@task(tags=["db"])
async def load(item: Any) -> Any:
    return item


@pytest.mark.parametrize("runner", [Pooled, PooledRuns, Elsewhere, ThreadPoolTaskRunner, SequentialTaskRunner])
@pytest.mark.parametrize("how", ["submit", "map", "stream"])
def test_never_more_than_the_limit_run_at_once_under_any_runner(
    world: World, runner: Callable[[], TaskRunner], how: str
) -> None:
    crowd = Crowd()

    @task(tags=["db"])
    def load(number: int) -> int:
        with crowd:
            assert runner is SequentialTaskRunner or crowd.two.wait(PATIENCE)
        return number

    @world.flow(task_runner=runner())
    async def body() -> int:
        if how == "stream":
            return sum(await all_of(world, load.stream(range(12), max_in_flight=6)))
        futures = load.map(range(12)) if how == "map" else [load.submit(number) for number in range(12)]
        return sum([await world.result(each) for each in futures])

    engine = Engine(limits={"db": 2})
    assert world.run(body, engine=engine) == sum(range(12))
    assert crowd.most == (1 if runner is SequentialTaskRunner else 2)
    assert (engine.limits["db"].holders(), engine.limits["db"].waiters()) == ([], [])
    engine.close()


def test_tags_of_the_code_around_count_too(world: World) -> None:
    runner = Kept()

    @task
    async def load(item: Any) -> Any:
        return item

    @world.flow(task_runner=runner)
    async def body() -> None:
        with tags("db"):
            first, second = load.submit(1), load.submit(2)
        assert runner.items == [1]
        runner.given[0][1].set_result("a")
        assert await world.result(first) == "a"
        await given(world, runner, 2)
        runner.given[1][1].set_result("b")
        assert await world.result(second) == "b"

    engine = Engine(limits={"db": 1})
    world.run(body, engine=engine)
    engine.close()


async def later(world: World, condition: Callable[[], bool]) -> None:
    """Wait for what happens soon on the flow's own loop; in sync flows it has happened."""
    if world.async_flows:
        await until(condition)
    assert condition()


async def given(world: World, runner: Kept, count: int) -> None:
    """Wait until a runner has been given so many runs."""
    await later(world, functools.partial(runner.has, count))


def outcomes(promise: Promise[Any], how: str) -> None:
    """Keep or break a promise."""
    if how == "result":
        promise.set_result(None)
    elif how == "error":
        promise.set_exception(ValueError("as ever"))
    elif how == "crash":
        promise.set_exception(KeyboardInterrupt())
    else:
        promise.cancel()


@pytest.mark.parametrize("how", ["result", "error", "crash", "cancel"])
def test_slots_are_given_back_however_a_promise_ends(world: World, how: str) -> None:
    runner = Kept()

    @world.flow(task_runner=runner)
    async def body(engine: Engine) -> None:
        futures = [load.submit(item) for item in range(3)]
        assert [each.state.name for each in futures] == ["Pending", *["AwaitingConcurrencySlot"] * 2]
        limit = engine.limits["db"]
        assert ([each.name for each in limit.waiters()]) == [each.name for each in futures[1:]]
        for number in range(3):
            await given(world, runner, number + 1)
            assert limit.held == 1
            outcomes(runner.given[number][1], how)
        states = [await world.ended(each) for each in futures]
        assert limit.held == 0
        assert len({each.type for each in states}) == 1

    engine = Engine(limits={"db": 1})
    world.run(body, engine, engine=engine)
    assert runner.items == [0, 1, 2]
    engine.close()


def test_one_that_is_cancelled_while_it_waits_never_comes_to_its_runner(world: World) -> None:
    runner = Kept()

    @world.flow(task_runner=runner)
    async def body(engine: Engine) -> None:
        futures = [load.submit(item) for item in range(3)]
        assert futures[1].cancel()
        assert (await world.ended(futures[1])).is_cancelled()
        runner.given[0][1].set_result(None)
        await given(world, runner, 2)
        assert futures[2].cancel()
        assert (await world.ended(futures[2])).is_cancelled()
        assert engine.limits["db"].held == 0

    engine = Engine(limits={"db": 1})
    world.run(body, engine, engine=engine)
    assert runner.items == [0, 2]
    assert runner.given[1][1].cancelled()
    engine.close()


def test_a_runner_that_fails_keeps_no_slots(world: World) -> None:
    runner = Kept()

    @world.flow(task_runner=runner)
    async def body(engine: Engine) -> None:
        first, second = load.submit(1), load.submit(2)
        runner.fails = True
        runner.given[0][1].set_result(None)
        assert isinstance(await world.error(second), ConnectionError)
        with pytest.raises(ConnectionError):
            _ = load.submit(3)
        assert (engine.limits["db"].held, engine.limits["db"].waiters()) == (0, [])
        await world.result(first)

    engine = Engine(limits={"db": 1})
    world.run(body, engine, engine=engine)
    engine.close()


def test_a_flow_ends_when_its_runner_has_all_that_waited(world: World) -> None:
    @task(tags=["db"])
    def note(item: int) -> None:
        noted.append(item)

    noted: list[int] = []

    @world.flow(task_runner=Pooled())
    async def body(engine: Engine) -> None:
        for item in range(20):
            _ = note.submit(item)
        runs.extend(engine.flow_runs())

    runs: list[Any] = []
    engine = Engine(limits={"db": 1})
    world.run(body, engine, engine=engine)
    assert noted == list(range(20))
    assert runs[0].counts() == {}
    engine.close()


@pytest.mark.anyio
async def test_a_flow_that_is_cancelled_takes_back_what_waits() -> None:
    runner = Kept()
    futures: list[Any] = []

    @flow(task_runner=runner)
    async def work(engine: Engine) -> None:
        futures.extend(load.submit(item) for item in range(5))
        engine.flow_runs()[0].cancel()
        await futures[0]

    async with Engine(limits={"db": 1}) as engine:
        state = await work(engine, return_state=True)
        assert state.is_cancelled()
        assert runner.items == [0]
        assert [each.state.name for each in futures[1:]] == ["Cancelled"] * 4
        assert engine.limits["db"].waiters() == []
        runner.given[0][1].set_result(None)
        assert engine.limits["db"].held == 0


@pytest.mark.anyio
async def test_a_stream_that_is_left_takes_back_what_waits() -> None:
    runner = Kept()

    @flow(task_runner=runner)
    async def work(engine: Engine) -> None:
        stream = load.stream(range(100), max_in_flight=5)
        asking = asyncio.ensure_future(anext(aiter(stream)))
        await until(lambda: len(engine.limits["db"].waiters()) == 4)
        runner.given[0][1].set_result("first")
        assert await asking == "first"
        stream.close()
        await until(lambda: engine.limits["db"].waiters() == [])

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
        assert engine.limits["db"].held == 0


@pytest.mark.anyio
async def test_a_runner_is_asked_on_the_loop_of_the_flow() -> None:
    runner = Kept()

    @flow(task_runner=runner)
    async def work() -> None:
        futures = [load.submit(item) for item in range(3)]
        for number in range(3):
            await until(functools.partial(runner.has, number + 1))
            await asyncio.to_thread(runner.given[number][1].set_result, number)
        assert [await each for each in futures] == [0, 1, 2]

    async with Engine(limits={"db": 1}):
        await work()
    assert runner.threads == {threading.get_ident()}


def test_what_a_run_depends_on_comes_before_its_slots(world: World) -> None:
    runner = Kept()

    @world.flow(task_runner=runner)
    async def body(engine: Engine) -> None:
        held, base = load.submit("held"), load.submit("base")
        needs_it = load.submit(base, priority=9)
        assert [each.name for each in engine.limits["db"].waiters()] == [base.name]
        assert needs_it.state.name == "Pending"
        runner.given[0][1].set_result(None)
        await later(world, lambda: runner.items == ["held", "base"])
        runner.given[1][1].set_result("found")
        await given(world, runner, 3)
        assert needs_it.state.name == "Pending"
        runner.given[2][1].set_result("used")
        assert [await world.result(each) for each in (held, needs_it)] == [None, "used"]

    engine = Engine(limits={"db": 1})
    world.run(body, engine, engine=engine)
    engine.close()


def test_higher_priorities_come_to_the_runner_first(world: World) -> None:
    runner = Kept()

    @world.flow(task_runner=runner)
    async def body() -> None:
        futures = [load.submit((priority, number), priority=priority) for number, priority in enumerate((0, 0, -1, 5))]
        futures += load.map([(7, 4), (7, 5)], priority=7)
        for number in range(len(futures)):
            await given(world, runner, number + 1)
            runner.given[number][1].set_result(None)

    engine = Engine(limits={"db": 1})
    world.run(body, engine=engine)
    assert runner.items == [(0, 0), (7, 4), (7, 5), (5, 3), (0, 1), (-1, 2)]
    engine.close()


def test_runs_that_end_in_no_time_make_way_for_any_number_of_others() -> None:
    class Immediate(Kept):
        def submit(self, task: Any, parameters: Mapping[str, Any], wait_for: Any = None) -> Future[Any]:
            future = super().submit(task, parameters, wait_for)
            if parameters["item"]:
                self.given[-1][1].set_result(None)
            return future

    runner = Immediate()

    @flow(task_runner=runner)
    def body() -> None:
        futures = load.map(range(2_000))
        runner.given[0][1].set_result(None)
        assert all(each.done() for each in futures)

    engine = Engine(limits={"db": 1})
    with stand_in(engine):
        body()
    assert runner.items == list(range(2_000))
    engine.close()


def test_what_a_runner_is_given_is_pickled_as_the_task_itself() -> None:
    assert pickle.loads(pickle.dumps(load.entrusted())) is load
    assert load.entrusted() != load
