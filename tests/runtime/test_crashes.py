"""What is no `Exception` makes its run CRASHED, goes on up to whoever takes its result, and touches no sibling."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Callable
from typing import Any

import pytest

from millrace import Engine, Event, Future, State, TaskRunContext, ThreadPoolTaskRunner, quote
from millrace.actors.messages import Returned
from millrace.actors.task_run import TaskRunActor
from millrace.runtime.engines import default_engine
from millrace.runtime.loops import finish_loop
from tests.checkpoints import until
from tests.loose import flow, task
from tests.runtime.worlds import World

WAIT = 10.0


class Odd(BaseException):
    """None of those that the interpreter knows."""


KINDS: list[type[BaseException]] = [SystemExit, KeyboardInterrupt, GeneratorExit, asyncio.CancelledError, Odd]
RETURNED = TaskRunActor.handlers[Returned]
CONTAINED = [kind for kind in KINDS if kind is not KeyboardInterrupt]

MESSAGES: dict[type[BaseException], str] = {
    SystemExit: "by a Python system exit call",
    KeyboardInterrupt: "by an interrupt signal",
    GeneratorExit: "by an unexpected exception: GeneratorExit: mine",
    asyncio.CancelledError: "cancelled by the runtime environment",
    Odd: "by an unexpected exception: Odd: mine",
}


def check(state: State[Any], kind: type[BaseException]) -> None:
    assert state.is_crashed()
    assert MESSAGES[kind] in (state.message or "")
    assert type(state.data) is kind
    assert state.data.args == ("mine",)


@task
async def fine(x: int) -> int:
    for _ in range(3):
        await asyncio.sleep(0)
    return x


@task
def sync_fine(x: int) -> int:
    return x


@task(retries=3)
async def at_once(kind: type[BaseException]) -> None:
    raise kind("mine")


@task(retries=3)
async def after_a_while(kind: type[BaseException]) -> None:
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    raise kind("mine")


@task(retries=3)
def in_sync(kind: type[BaseException]) -> None:
    raise kind("mine")


TASKS = [at_once, after_a_while, in_sync]


def by_name(each: Any) -> Any:
    return getattr(each, "name", None) or each.__name__


# Submitted.


@pytest.mark.anyio
@pytest.mark.parametrize("kind", CONTAINED, ids=by_name)
@pytest.mark.parametrize("crashes", TASKS, ids=by_name)
async def test_a_crash_of_a_submitted_task_is_in_its_future_and_touches_no_sibling(
    crashes: Any, kind: type[BaseException]
) -> None:
    @flow
    async def body() -> str:
        before = [fine.submit(1), sync_fine.submit(1)]
        mapped = fine.map(range(10))
        crashed: Future[None] = crashes.submit(kind)
        after = [fine.submit(1), sync_fine.submit(1)]
        check(await crashed.wait_async(WAIT), kind)
        with pytest.raises(kind) as caught:
            await crashed
        assert caught.value.args == ("mine",)
        assert [await each for each in before + after] == [1] * 4
        assert await mapped == list(range(10))
        assert crashed.source.run_count == 1  # a crash is not tried again
        return "went on"

    assert await body() == "went on"


@pytest.mark.parametrize("kind", KINDS, ids=by_name)
@pytest.mark.parametrize("crashes", TASKS, ids=by_name)
@pytest.mark.parametrize("runner", [None, ThreadPoolTaskRunner(max_workers=1)], ids=repr)
def test_a_crash_of_a_task_that_a_sync_flow_submits_is_in_its_future_and_touches_no_sibling(
    runner: ThreadPoolTaskRunner | None, crashes: Any, kind: type[BaseException]
) -> None:
    @flow(task_runner=runner)
    def body() -> str:
        before = [fine.submit(1), sync_fine.submit(1)]
        crashed: Future[None] = crashes.submit(kind)
        after = [fine.submit(1), sync_fine.submit(1)]
        assert crashed.wait(WAIT)
        check(crashed.state, kind)
        with pytest.raises(kind):
            crashed.result()
        assert [each.result(WAIT) for each in before + after] == [1] * 4
        return "went on"

    assert body() == "went on"


@pytest.mark.parametrize("crashes", [at_once, after_a_while], ids=by_name)
def test_an_interrupt_that_hits_an_async_body_goes_up_to_whoever_runs_the_loop_and_the_others_go_on_with_it(
    crashes: Any,
) -> None:
    futures: list[Future[Any]] = []

    async def start() -> None:
        futures.append(crashes.submit(KeyboardInterrupt))
        futures.extend(fine.map(range(20)))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    async def finish() -> list[Any]:
        check(await futures[0].wait_async(WAIT), KeyboardInterrupt)
        return [await each for each in futures[1:]]

    async def start_and_finish() -> None:
        await start()
        await finish()

    loop = asyncio.new_event_loop()
    try:
        with pytest.raises(KeyboardInterrupt):
            loop.run_until_complete(start_and_finish())
        assert loop.run_until_complete(finish()) == list(range(20))
    finally:
        finish_loop(loop, WAIT)
    assert default_engine().stats().task_runs == 0


# Called.


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS, ids=by_name)
@pytest.mark.parametrize("crashes", TASKS, ids=by_name)
async def test_a_crash_of_a_called_task_is_raised_to_the_caller(crashes: Any, kind: type[BaseException]) -> None:
    async def call(**options: Any) -> Any:
        called = crashes(kind, **options)
        return await called if asyncio.iscoroutine(called) else called

    @flow
    async def body() -> str:
        sibling = fine.submit(1)
        with pytest.raises(kind, match=r"^mine$"):
            await call()
        with pytest.raises(kind, match=r"^mine$"):
            await call(return_state=True)  # no state to look at: whoever is interrupted is to know
        return str(await sibling)

    assert await body() == "1"
    with pytest.raises(kind, match=r"^mine$"):
        await call()


@pytest.mark.parametrize("kind", KINDS, ids=by_name)
@pytest.mark.parametrize("crashes", TASKS, ids=by_name)
def test_a_crash_of_a_task_that_a_sync_flow_calls_is_raised_there(crashes: Any, kind: type[BaseException]) -> None:
    @flow
    def body() -> Any:
        sibling = fine.submit(1)
        with pytest.raises(kind, match=r"^mine$"):
            crashes(kind)
        return sibling.result(WAIT)

    assert body() == 1


# Flows.


@pytest.mark.anyio
@pytest.mark.parametrize("kind", KINDS, ids=by_name)
@pytest.mark.parametrize("waits", [False, True], ids=["at once", "after a while"])
async def test_a_crash_of_an_async_flow_is_recorded_and_goes_on_up_when_its_children_have_ended(
    kind: type[BaseException], *, waits: bool
) -> None:
    children: list[Future[Any]] = []

    @task
    async def forever() -> None:
        await asyncio.Event().wait()

    @flow
    async def body() -> None:
        children.append(forever.submit())
        if waits:
            for _ in range(5):
                await asyncio.sleep(0)
        raise kind("mine")

    events: list[Event] = []
    async with Engine() as engine:
        engine.subscribe(events.append)
        with pytest.raises(kind, match=r"^mine$"):
            await body()
        check(events[-1].state, kind)
        assert events[-1].task_run_id is None
        assert children[0].state.is_cancelled()
        with pytest.raises(kind, match=r"^mine$"):
            await body(return_state=True)


@pytest.mark.parametrize("kind", KINDS, ids=by_name)
def test_a_crash_of_a_sync_flow_is_recorded_and_goes_on_up_when_its_children_have_ended(
    kind: type[BaseException],
) -> None:
    children: list[Future[Any]] = []

    @task
    async def forever() -> None:
        await asyncio.Event().wait()

    @flow
    def body() -> None:
        children.append(forever.submit())
        raise kind("mine")

    events: list[Event] = []
    default_engine().subscribe(events.append)
    with pytest.raises(kind, match=r"^mine$"):
        body()
    check(events[-1].state, kind)
    assert children[0].state.is_cancelled()


@pytest.mark.anyio
@pytest.mark.parametrize("kind", CONTAINED, ids=by_name)
async def test_a_crash_of_a_task_that_is_not_caught_crashes_the_flows_around_it(kind: type[BaseException]) -> None:
    @flow
    async def inner() -> None:
        await after_a_while.submit(kind)

    @flow
    async def outer() -> None:
        await inner()

    events: list[Event] = []
    async with Engine() as engine:
        engine.subscribe(events.append)
        with pytest.raises(kind, match=r"^mine$"):
            await outer()
    ends = [event for event in events if event.state.is_final()]
    assert len(ends) == 4  # of the inner flow there are two: a task run stands for it in the outer one
    for event in ends:
        check(event.state, kind)


@pytest.mark.anyio
async def test_a_crash_that_nobody_looked_at_fails_a_flow_that_returns_nothing() -> None:
    @flow
    async def body() -> None:
        at_once.submit(SystemExit)

    state = await body(return_state=True)
    assert state.is_failed()
    assert "1 of 1 runs failed and nobody looked at it" in (state.message or "")


@pytest.mark.anyio
async def test_a_run_that_depends_on_a_crashed_one_never_starts() -> None:
    @flow
    async def body() -> Any:
        never = fine.submit(at_once.submit(SystemExit))
        return (await never.wait_async(WAIT)).name

    assert await body() == "NotReady"


# Errors of the interpreter that are Exceptions, and still nobody else's business.


@pytest.mark.anyio
@pytest.mark.parametrize(
    "kind", [RecursionError, MemoryError, StopIteration, StopAsyncIteration, TimeoutError], ids=by_name
)
async def test_an_exception_of_any_kind_stays_in_its_run(kind: type[Exception]) -> None:
    @task
    async def in_async() -> None:
        raise kind("mine")

    @task
    def in_thread() -> None:
        raise kind("mine")

    @flow
    async def body() -> list[Any]:
        futures = [in_async.submit(), fine.submit(1), in_thread.submit(), fine.submit(2)]
        return [(await each.wait_async(WAIT)).name for each in futures]

    names = await body()
    assert names[1] == names[3] == "Completed"
    assert names[0] != "Completed" != names[2]


@pytest.mark.anyio
async def test_the_events_of_the_siblings_are_the_same_with_and_without_a_crash() -> None:
    @flow
    async def body(kind: type[BaseException] | None) -> str:
        futures = fine.map(range(5))
        crashed = None if kind is None else after_a_while.submit(kind)
        more = [sync_fine.submit(x) for x in range(3)]
        await futures
        for each in more:
            await each
        if crashed is not None:
            await crashed.wait_async(WAIT)
        return "done"

    async def trace(kind: type[BaseException] | None) -> list[list[str]]:
        events: list[Event] = []
        async with Engine() as engine:
            engine.subscribe(events.append)
            await body(kind)
        chains: dict[Any, list[str]] = {}
        for event in events:
            if not event.run_name.startswith("after_a_while"):
                chains.setdefault(event.task_run_id, []).append(event.state.name)
        return sorted(chains.values())

    undisturbed = await trace(None)
    for kind in CONTAINED:
        assert await trace(kind) == undisturbed


@pytest.mark.anyio
async def test_nothing_is_told_to_the_loops_exception_handler() -> None:
    told: list[Any] = []
    loop = asyncio.get_running_loop()
    former = loop.get_exception_handler()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    try:
        for kind in CONTAINED:
            for crashes in TASKS:
                assert (await crashes.submit(kind).wait_async(WAIT)).is_crashed()
        gc.collect()
        await asyncio.sleep(0)
    finally:
        loop.set_exception_handler(former)
    assert told == []


@pytest.mark.anyio
async def test_an_engine_goes_on_after_a_hundred_crashes() -> None:
    async with Engine(threads=2) as engine:
        futures: list[Future[Any]] = []
        for number in range(100):
            crashes: Callable[..., Any] = TASKS[number % 3].submit
            futures.append(crashes(CONTAINED[number % 4]))
        for each in futures:
            assert (await each.wait_async(WAIT)).is_crashed()
        assert await fine.map(range(20)) == list(range(20))
        assert await sync_fine.map(range(20)) == list(range(20))
        await until(lambda: engine.stats().task_runs == 0)
        assert engine.stats().threads.threads <= 2


# Faults of the engine's own.


PLAIN: dict[str, Any] = {}
CONDUCTED: dict[str, Any] = {"on_running": [lambda _task, _run, _state: None]}


@pytest.mark.parametrize("options", [PLAIN, CONDUCTED], ids=["plain", "conducted"])
@pytest.mark.parametrize("how", ["call", "submit"])
def test_a_fault_of_the_engine_crashes_the_run_is_not_tried_again_and_is_raised(
    world: World, monkeypatch: pytest.MonkeyPatch, how: str, options: dict[str, Any]
) -> None:
    runs: list[Any] = []

    @world.task(retries=3, **options)
    async def hit() -> str:
        context = TaskRunContext.get()
        assert context is not None
        runs.append(context.task_run)
        return "hit"

    @world.task
    async def missed() -> str:
        return "missed"

    def fault(run: Any, message: Returned) -> Any:
        if message.value == "hit":
            raise RuntimeError("a fault")
        return RETURNED(run, message)

    monkeypatch.setitem(TaskRunActor.handlers, Returned, fault)

    async def body() -> Any:
        if how == "submit":
            error = await world.error(hit.submit())
        else:
            with pytest.raises(RuntimeError) as caught:
                await world.call(hit)
            error = caught.value
        return quote((str(error), await world.result(missed.submit())))

    assert world.body(body).unquote() == ("a fault", "missed")
    (run,) = runs
    assert str(run.state) == "Crashed('The run was ended by an unexpected exception: RuntimeError: a fault')"
