"""Every way to call one thing from another, and on which thread and loop each body then runs."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import Engine, FlowRun, FlowRunContext, TaskRunContext, run
from tests.loose import flow, task

WAIT = 10.0


@task
def sync_where() -> tuple[int, int | None]:
    """The thread, and the loop that runs on it."""
    return here()


@task
async def async_where() -> tuple[int, int | None]:
    await asyncio.sleep(0)
    return here()


def here() -> tuple[int, int | None]:
    loop = asyncio._get_running_loop()
    return threading.get_ident(), None if loop is None else id(loop)


# Where bodies run.


def test_the_body_of_a_sync_flow_runs_on_the_calling_thread() -> None:
    @flow
    def body() -> tuple[int, int | None]:
        return here()

    assert body() == here()


@pytest.mark.anyio
async def test_the_body_of_an_async_flow_runs_in_the_callers_task() -> None:
    @flow
    async def body() -> tuple[tuple[int, int | None], asyncio.Task[Any] | None]:
        await asyncio.sleep(0)
        return here(), asyncio.current_task()

    assert await body() == (here(), asyncio.current_task())


@pytest.mark.anyio
async def test_async_tasks_of_an_async_flow_run_on_the_callers_loop() -> None:
    @flow
    async def body() -> list[Any]:
        return [
            await async_where(),
            await async_where.submit(),
            *[await each.submit() for each in [async_where] * 2],
        ]

    assert set(await body()) == {here()}


@pytest.mark.anyio
async def test_sync_tasks_of_an_async_flow_run_here_when_called_and_on_threads_of_their_own_when_submitted() -> None:
    @flow
    async def body() -> tuple[Any, Any]:
        return sync_where(), await sync_where.submit()

    called, submitted = await body()
    assert called == here()
    assert submitted[0] != threading.get_ident()
    assert submitted[1] is None


def test_async_tasks_of_a_sync_flow_run_on_the_engines_own_loop() -> None:
    names: list[str] = []

    @task
    async def name() -> int:
        names.append(threading.current_thread().name)
        return id(asyncio.get_running_loop())

    @flow
    def body() -> set[int]:
        first, second = name.submit(), name()
        return {first.result(WAIT), second}

    assert len(body()) == 1
    assert set(names) == {"millrace-loop-1"}


def test_sync_tasks_of_a_sync_flow_run_here_when_called_and_on_threads_of_their_own_when_submitted() -> None:
    @flow
    def body() -> tuple[Any, Any]:
        return sync_where(), sync_where.submit().result(WAIT)

    called, submitted = body()
    assert called == here()
    assert submitted[0] != threading.get_ident()
    assert submitted[1] is None


# Everything from everywhere.


@task
def sync_add(a: int, b: int = 1) -> int:
    return a + b


@task
async def async_add(a: int, b: int = 1) -> int:
    await asyncio.sleep(0)
    return a + b


def test_a_sync_flow_calls_submits_and_maps_both_kinds() -> None:
    @flow
    def body() -> list[Any]:
        return [
            sync_add(1),
            async_add(1),
            sync_add.submit(1).result(WAIT),
            async_add.submit(1).result(WAIT),
            sync_add.map([1, 2, 3]).result(WAIT),
            async_add.map([1, 2, 3]).result(WAIT),
            sync_add.submit(async_add.submit(1)).result(WAIT),
            async_add.submit(sync_add.submit(1)).result(WAIT),
        ]

    assert body() == [2, 2, 2, 2, [2, 3, 4], [2, 3, 4], 3, 3]


@pytest.mark.anyio
async def test_an_async_flow_calls_submits_and_maps_both_kinds() -> None:
    @flow
    async def body() -> list[Any]:
        return [
            sync_add(1),
            await async_add(1),
            await sync_add.submit(1),
            await async_add.submit(1),
            await sync_add.map([1, 2, 3]),
            await async_add.map([1, 2, 3]),
            await sync_add.submit(async_add.submit(1)),
            await async_add.submit(sync_add.submit(1)),
        ]

    assert await body() == [2, 2, 2, 2, [2, 3, 4], [2, 3, 4], 3, 3]


@task
def sync_outer(how: str) -> Any:
    if how == "calls sync":
        return sync_add(1)
    if how == "calls async":
        return async_add(1)
    return {"submits sync": sync_add, "submits async": async_add}[how].submit(1).result(WAIT)


@task
async def async_outer(how: str) -> Any:
    if how == "calls sync":
        return sync_add(1)
    if how == "calls async":
        return await async_add(1)
    return await {"submits sync": sync_add, "submits async": async_add}[how].submit(1)


WAYS = ["calls sync", "calls async", "submits sync", "submits async"]


@pytest.mark.parametrize("how", WAYS)
def test_tasks_inside_tasks_of_a_sync_flow(how: str) -> None:
    @flow
    def body() -> list[Any]:
        return [
            sync_outer(how),
            async_outer(how),
            sync_outer.submit(how).result(WAIT),
            async_outer.submit(how).result(WAIT),
        ]

    assert body() == [2] * 4


@pytest.mark.anyio
@pytest.mark.parametrize("how", WAYS)
async def test_tasks_inside_tasks_of_an_async_flow(how: str) -> None:
    @flow
    async def body() -> list[Any]:
        return [await async_outer(how), await sync_outer.submit(how), await async_outer.submit(how)]

    assert await body() == [2] * 3


@pytest.mark.parametrize("how", WAYS)
def test_tasks_inside_tasks_outside_of_any_flow_without_a_running_loop(how: str) -> None:
    assert sync_outer(how) == 2
    assert sync_outer.submit(how).result(WAIT) == 2
    assert async_outer.submit(how).result(WAIT) == 2
    assert asyncio.run(async_outer(how)) == 2


@pytest.mark.anyio
@pytest.mark.parametrize("how", WAYS)
async def test_tasks_inside_tasks_outside_of_any_flow_on_a_running_loop(how: str) -> None:
    assert await async_outer(how) == 2
    assert await async_outer.submit(how) == 2
    assert await sync_outer.submit(how) == 2


@pytest.mark.anyio
async def test_tasks_outside_of_any_flow_run_on_the_callers_loop_or_on_threads() -> None:
    assert await async_where() == here()
    assert await async_where.submit() == here()
    assert sync_where() == here()
    assert (await sync_where.submit())[1] is None
    assert await sync_add.map([1, 2]) == [2, 3]
    assert await async_add.map([1, 2]) == [2, 3]


def test_tasks_outside_of_any_flow_run_without_a_running_loop() -> None:
    assert sync_where() == here()
    assert sync_add.map([1, 2]).result(WAIT) == [2, 3]
    assert async_add.map([1, 2]).result(WAIT) == [2, 3]
    assert asyncio.run(async_add(1)) == 2


def test_each_loop_of_a_program_runs_the_tasks_that_are_called_there() -> None:
    seen = [asyncio.run(async_where()) for _ in range(3)]
    assert {thread for thread, _ in seen} == {threading.get_ident()}


@pytest.mark.anyio
async def test_a_task_inside_a_task_knows_its_parent() -> None:
    @task
    def inner() -> tuple[int | None, int]:
        context = TaskRunContext.get()
        assert context is not None
        return context.task_run.parent, context.task_run.scope.id

    @task
    async def outer() -> tuple[Any, Any]:
        context = TaskRunContext.get()
        assert context is not None
        return (context.task_run.id, context.task_run.scope.id), [inner(), await inner.submit()]

    @flow
    async def body() -> Any:
        return await outer.submit()

    mine, children = await body()
    assert children == [mine, mine]


# Flows inside flows.


def this_run() -> FlowRun:
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


def lineage() -> tuple[str, str | None]:
    current = this_run()
    return current.name, None if current.parent is None else current.parent.name


@flow
def sync_inner(x: int) -> tuple[int, tuple[str, str | None]]:
    return sync_add(x) + async_add.submit(x).result(WAIT), lineage()


@flow
async def async_inner(x: int) -> tuple[int, tuple[str, str | None]]:
    return sync_add(x) + await async_add.submit(x), lineage()


@pytest.mark.parametrize("inner", [sync_inner, async_inner], ids=["sync", "async"])
def test_a_flow_inside_a_sync_flow(inner: Callable[[int], Any]) -> None:
    @flow
    def outer() -> tuple[str, Any]:
        return this_run().name, inner(1)

    name, (value, (own, parent)) = outer()
    assert value == 4
    assert parent == name != own


@pytest.mark.anyio
async def test_a_sync_flow_inside_an_async_flow() -> None:
    @flow
    async def outer() -> tuple[str, Any]:
        return this_run().name, sync_inner(1)

    name, (value, (own, parent)) = await outer()
    assert value == 4
    assert parent == name != own


@pytest.mark.anyio
async def test_an_async_flow_inside_an_async_flow_runs_on_the_same_loop() -> None:
    @flow
    async def where() -> tuple[int, int | None]:
        return here()

    @flow
    async def outer() -> tuple[str, Any, Any]:
        return this_run().name, await async_inner(1), await where()

    name, (value, (own, parent)), place = await outer()
    assert value == 4
    assert parent == name != own
    assert place == here()


def test_flows_alternate_between_sync_and_async_as_deep_as_one_likes() -> None:
    @flow
    def down_sync(n: int) -> Any:
        return n + async_add.submit(0).result(WAIT) + (down_async(n - 1) if n else 0)

    @flow
    async def down_async(n: int) -> Any:
        return n + await async_add.submit(0) + (down_sync(n - 1) if n else 0)

    assert down_sync(8) == sum(range(9)) + 9


@pytest.mark.anyio
@pytest.mark.parametrize("inner", [sync_inner, async_inner], ids=["sync", "async"])
async def test_a_flow_inside_a_task(inner: Callable[[int], Any]) -> None:
    @task
    async def in_async() -> Any:
        found = inner(1)
        return await found if asyncio.iscoroutine(found) else found

    @task
    def in_sync() -> Any:
        return inner(1)

    @flow
    async def outer() -> Any:
        return this_run().name, [await in_async(), await in_async.submit(), await in_sync.submit()]

    name, found = await outer()
    assert [value for value, _ in found] == [4] * 3
    assert {parent for _, (_, parent) in found} == {name}


def test_a_flow_inside_a_task_outside_of_any_flow() -> None:
    @task
    def in_sync() -> Any:
        return sync_inner(1)

    assert in_sync()[0] == 4
    assert in_sync.submit().result(WAIT)[0] == 4


def test_a_sync_flow_in_an_async_task_of_a_sync_flow_gets_a_loop_that_turns() -> None:
    @task
    async def middle() -> tuple[int, Any]:
        return threading.get_ident(), sync_inner(1)[0]

    @flow
    def inner_place() -> Any:
        return async_where.submit().result(WAIT)[0]

    @task
    async def place() -> tuple[int, int]:
        return threading.get_ident(), inner_place()

    @flow
    def outer() -> Any:
        return middle.submit().result(WAIT), place.submit().result(WAIT)

    (_, value), (held, turning) = outer()
    assert value == 4
    assert held != turning


def test_run_gives_an_async_flow_a_loop_of_its_own() -> None:
    @flow
    async def body(x: int) -> Any:
        return await async_add.submit(x)

    assert run(body, 1) == 2
    assert run(body, x=2) == 3


@pytest.mark.parametrize("there", [True, False], ids=["uvloop", "no uvloop"])
def test_a_loop_that_the_engine_makes_is_one_of_uvloop_where_that_is_there(
    there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not there:
        monkeypatch.setitem(sys.modules, "uvloop", None)

    @task
    async def kind() -> str:
        return type(asyncio.get_running_loop()).__module__.partition(".")[0]

    @flow
    async def in_run() -> str:
        return str(await kind())

    @flow
    def in_sync_code() -> str:
        return str(kind())

    with Engine():
        found = {run(in_run), in_sync_code()}

    assert found == {"uvloop" if there else "asyncio"}


# Tasks of the loop.


@pytest.mark.anyio
async def test_bodies_that_wait_have_an_asyncio_task_each() -> None:
    together = asyncio.Event()
    seen: list[asyncio.Task[Any] | None] = []

    @task
    async def waits() -> None:
        mine = asyncio.current_task()
        seen.append(mine)
        if len(seen) == 5:
            together.set()
        await together.wait()
        assert asyncio.current_task() is mine

    @flow
    async def body() -> None:
        await asyncio.gather(*[waits.submit().wait_async() for _ in range(4)], waits())

    await asyncio.wait_for(body(), WAIT)
    assert len(set(seen)) == 5
    assert None not in seen


@pytest.mark.anyio
async def test_objects_that_are_bound_to_the_loop_work_across_tasks() -> None:
    @task
    async def produce(queue: asyncio.Queue[int], lock: asyncio.Lock, x: int) -> None:
        async with lock:
            await queue.put(x)

    @task
    async def consume(queue: asyncio.Queue[int]) -> int:
        async with asyncio.timeout(WAIT):
            return await queue.get()

    @flow
    async def body() -> list[int]:
        queue: asyncio.Queue[int] = asyncio.Queue(maxsize=1)
        lock = asyncio.Lock()
        consumed = [consume.submit(queue) for _ in range(5)]
        for x in range(5):
            produce.submit(queue, lock, x)
        return [await each for each in consumed]

    assert sorted(await body()) == [0, 1, 2, 3, 4]


def test_objects_that_are_bound_to_the_engines_own_loop_work_across_the_tasks_of_a_sync_flow() -> None:
    @task
    async def make() -> asyncio.Queue[int]:
        return asyncio.Queue()

    @task
    async def put(queue: asyncio.Queue[int]) -> None:
        await queue.put(7)

    @task
    async def get(queue: asyncio.Queue[int]) -> int:
        async with asyncio.timeout(WAIT):
            return await queue.get()

    @flow
    def body() -> Any:
        queue = make.submit()
        got = get.submit(queue)
        put.submit(queue)
        return got.result(WAIT)

    assert body() == 7


@pytest.mark.anyio
async def test_a_timeout_of_asyncio_inside_a_body_belongs_to_that_body() -> None:
    @task
    async def impatient() -> str:
        try:
            async with asyncio.timeout(0):
                await asyncio.Event().wait()
        except TimeoutError:
            return "in time"
        return "never"

    @flow
    async def body() -> list[str]:
        return [await impatient(), *[await impatient.submit() for _ in range(3)]]

    assert await body() == ["in time"] * 4


@pytest.mark.anyio
async def test_an_engine_is_found_by_what_runs_in_it() -> None:
    @task
    async def mine() -> Engine:
        return Engine.current()

    @task
    def mine_in_a_thread() -> Engine:
        return Engine.current()

    async with Engine() as engine:
        assert await mine() is engine
        assert await mine.submit() is engine
        assert await mine_in_a_thread.submit() is engine


@pytest.mark.anyio
@pytest.mark.skipif(not hasattr(asyncio, "eager_task_factory"), reason="eager tasks came with Python 3.12")
async def test_flows_run_on_a_loop_that_starts_its_tasks_eagerly() -> None:
    loop = asyncio.get_running_loop()
    if "uvloop" in type(loop).__module__:
        pytest.skip("uvloop and the first releases of Python 3.13 do not agree on how a task factory is called")
    loop.set_task_factory(getattr(asyncio, "eager_task_factory"))  # noqa: B009  # not known to checkers of 3.11
    try:

        @flow
        async def body() -> Any:
            waits = await async_add.map(range(3_000))
            return sum(waits) + await async_add.submit(1) + await async_add(1) + sync_add(1)

        async with Engine() as engine:
            assert await body() == sum(range(1, 3_001)) + 6
            assert await engine.start(body) == sum(range(1, 3_001)) + 6
    finally:
        loop.set_task_factory(None)
