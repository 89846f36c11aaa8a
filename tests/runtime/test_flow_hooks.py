"""Hooks of flows: what users want done when a flow run changes its state."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest

from millrace import (
    Cancelled,
    Completed,
    ConfigurationError,
    Crashed,
    Engine,
    Failed,
    FlowRunContext,
    StateType,
    flow,
    get_run_context,
    quote,
    task,
)
from millrace.runtime.flow import BaseFlow
from tests.checkpoints import until
from tests.runtime.worlds import PATIENCE, SYNC, World

KINDS = ("on_running", "on_completion", "on_failure", "on_cancellation", "on_crashed")


class Broken(Exception):
    pass


class Told:
    """Hooks of every kind that write down what they are told."""

    def __init__(self, *, asynchronous: bool = False) -> None:
        self.of: list[tuple[str, str]] = []
        self.calls: list[tuple[Any, Any, Any]] = []
        self._asynchronous = asynchronous

    def hook(self, kind: str) -> Callable[..., Any]:
        def told(flow: Any, run: Any, state: Any) -> None:
            self.of.append((kind, state.name))
            self.calls.append((flow, run, state))

        async def told_later(flow: Any, run: Any, state: Any) -> None:
            await asyncio.sleep(0)
            told(flow, run, state)

        return told_later if self._asynchronous else told

    @property
    def hooks(self) -> dict[str, Any]:
        """One of each kind, as options of a flow."""
        return {kind: [self.hook(kind)] for kind in KINDS}


@pytest.fixture(params=[False, True], ids=["sync hooks", "async hooks"])
def told(request: pytest.FixtureRequest) -> Told:
    """Hooks of either kind."""
    return Told(asynchronous=request.param)


def ended(future: Any) -> Any:
    """The final state of a flow run."""
    assert future.wait(PATIENCE)
    return future.state


# Which, and when.


def test_a_run_that_completes_tells_of_its_begin_and_its_end(world: World, told: Told) -> None:
    async def body() -> int:
        assert told.of == [("on_running", "Running")]
        return 1

    made = world.flow(body, **told.hooks)
    assert world.run(made) == 1
    assert told.of == [("on_running", "Running"), ("on_completion", "Completed")]
    assert {id(flow) for flow, _, _ in told.calls} == {id(made)}
    assert len({run.id for _, run, _ in told.calls}) == 1


def test_a_run_that_fails_tells_of_that(world: World, told: Told) -> None:
    async def body() -> None:
        raise Broken

    with pytest.raises(Broken):
        world.run(world.flow(body, **told.hooks))
    assert told.of == [("on_running", "Running"), ("on_failure", "Failed")]
    assert isinstance(told.calls[-1][2].data, Broken)


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        (Completed(name="Skipped"), ("on_completion", "Skipped")),
        (Failed(name="Odd"), ("on_failure", "Odd")),
        (Crashed(), ("on_crashed", "Crashed")),
        ([Completed(), Failed()], ("on_failure", "Failed")),
    ],
    ids=str,
)
def test_a_state_made_by_hand_is_told_of_by_its_type(world: World, made: Any, kind: tuple[str, str]) -> None:
    told = Told()

    async def body() -> Any:
        return made

    world.run(world.flow(body, **told.hooks), return_state=True)
    assert told.of == [("on_running", "Running"), kind]


def test_a_cancellation_made_by_hand_is_none_that_is_told_of(world: World) -> None:
    told = Told()

    async def body() -> Any:
        return Cancelled()

    world.run(world.flow(body, **told.hooks), return_state=True)
    assert told.of == [("on_running", "Running")]


def test_a_crash_is_told_of_once_and_before_it_goes_up(world: World, told: Told) -> None:
    async def body() -> None:
        raise SystemExit(3)

    with pytest.raises(SystemExit):
        world.run(world.flow(body, **told.hooks))
    assert told.of == [("on_running", "Running"), ("on_crashed", "Crashed")]


def test_wrong_parameters_are_a_failure_before_the_body_begins(world: World, told: Told) -> None:
    async def body(size: int) -> None: ...

    world.run(world.flow(body, **told.hooks), "x", return_state=True)
    assert told.of == [("on_failure", "Failed")]


def test_a_cancelled_run_tells_of_it_when_it_has_stopped_and_is_not_cancelled_yet(world: World, told: Told) -> None:
    gate = world.gate()
    begun = threading.Event()
    seen: list[Any] = []

    @world.task
    async def waits() -> None:
        begun.set()
        await gate.passed()

    async def body() -> None:
        future = waits.submit()
        try:
            await world.result(future)
        finally:
            seen.append(list(told.of))

    async def cancelled(_flow: Any, run: Any, state: Any) -> None:
        seen.append((run.type, state.type, state.message, run.live))

    hooks = told.hooks
    hooks["on_cancellation"].append(cancelled)
    with_engine = Engine()
    future = with_engine.start(world.flow(body, **hooks))
    assert begun.wait(PATIENCE)
    future.flow_run.cancel("enough")
    gate.open()
    assert ended(future).type is StateType.CANCELLED
    assert told.of == [("on_running", "Running"), ("on_cancellation", "Cancelling")]
    assert seen == [[("on_running", "Running")], ("CANCELLING", "CANCELLING", "enough", 0)]


async def by_itself(world: World, cancel: Callable[[], None]) -> None:
    cancel()


async def by_a_task(world: World, cancel: Callable[[], None]) -> None:
    await world.ended(world.task(cancel).submit())


async def by_a_subflow(world: World, cancel: Callable[[], None]) -> None:
    await world.call(world.flow(cancel), return_state=True)


async def by_threads(world: World, cancel: Callable[[], None]) -> None:
    threads = [threading.Thread(target=cancel) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)


async def by_a_hook(world: World, cancel: Callable[[], None]) -> None:
    """What is there to do was done before."""


@pytest.mark.parametrize("how", [by_itself, by_a_task, by_a_subflow, by_threads, by_a_hook])
@pytest.mark.parametrize("inside", [False, True], ids=["outermost", "a subflow"])
def test_whoever_cancels_a_run_and_however_often_its_hook_is_called_once(
    world: World, told: Told, how: Callable[..., Any], *, inside: bool
) -> None:
    runs: list[Any] = []

    def cancel() -> None:
        runs[0].cancel()
        runs[0].cancel("again")

    def begun(_flow: Any, run: Any, _state: Any) -> None:
        runs.append(run)
        if how is by_a_hook:
            cancel()

    async def body() -> None:
        await how(world, cancel)
        if world.async_flows:
            await asyncio.sleep(PATIENCE)

    hooks = told.hooks | {"on_running": [begun]}
    subject = world.flow(body, **hooks)

    async def around() -> Any:
        return quote(await world.call(subject, return_state=True))  # it decides nothing about the flow around it

    state = world.body(around).unquote() if inside else world.run(subject, return_state=True)
    assert state.is_cancelled()
    assert told.of == [("on_cancellation", "Cancelling")]


def test_the_flow_around_a_run_cancels_it_and_each_tells_of_that_once(world: World, told: Told) -> None:
    inner = Told()
    runs: list[Any] = []

    async def child() -> None:
        runs[0].cancel()
        if world.async_flows:
            await asyncio.sleep(PATIENCE)

    subject = world.flow(child, **inner.hooks)

    async def body() -> None:
        context = FlowRunContext.get()
        assert context is not None
        runs.append(context.flow_run)
        await world.call(subject)

    state = world.run(world.flow(body, **told.hooks), return_state=True)
    assert state.is_cancelled()
    expected = [("on_running", "Running"), ("on_cancellation", "Cancelling")]
    assert inner.of == told.of == expected


def test_a_run_that_is_cancelled_before_it_begins_tells_of_it(told: Told) -> None:
    @flow(**told.hooks)
    async def never() -> None: ...

    async def main() -> Any:
        async with Engine() as engine:
            future = engine.start(never)
            future.flow_run.cancel("too late")
            return await future.wait_async()

    assert asyncio.run(main()).is_cancelled()
    assert told.of == [("on_cancellation", "Cancelling")]


def test_the_hooks_of_a_run_whose_task_is_cancelled_before_its_first_step_are_called(told: Told) -> None:
    @flow(**told.hooks)
    async def never() -> None: ...

    async def main() -> Any:
        async with Engine() as engine:
            before = asyncio.all_tasks()
            future = engine.start(never)
            (background,) = asyncio.all_tasks() - before
            background.cancel()
            return await future.wait_async()

    assert asyncio.run(main()).is_crashed()
    assert told.of == [("on_crashed", "Crashed")]


def test_every_attempt_tells_of_its_begin_and_only_the_last_of_its_end(world: World, told: Told) -> None:
    attempts: list[int] = []

    async def body() -> None:
        attempts.append(1)
        raise Broken

    world.run(world.flow(body, retries=2, **told.hooks), return_state=True)
    assert told.of == [
        ("on_running", "Running"),
        ("on_running", "Retrying"),
        ("on_running", "Retrying"),
        ("on_failure", "Failed"),
    ]


def test_a_subflow_tells_of_itself_before_its_parent_goes_on(world: World) -> None:
    inner, outer = Told(), Told()

    @world.flow(**inner.hooks)
    async def child() -> int:
        return 1

    async def body() -> Any:
        result = await world.call(child)
        assert inner.of[-1] == ("on_completion", "Completed")
        return result

    assert world.run(world.flow(body, **outer.hooks)) == 1
    assert outer.of == inner.of == [("on_running", "Running"), ("on_completion", "Completed")]


def test_whoever_waits_for_the_run_is_told_after_its_hooks(world: World) -> None:
    gate = world.flow_gate()
    called: list[int] = []

    async def body() -> int:
        await gate.passed()
        return 1

    engine = Engine()
    future = engine.start(world.flow(body, on_completion=[lambda *_: called.append(1)]))
    notified: list[int] = []
    future.add_done_callback(lambda _: notified.append(len(called)))
    gate.open()
    assert ended(future).is_completed()
    engine.close()
    assert notified == [1]


# How they are called.


def test_hooks_are_called_in_their_order_sync_and_async_ones_alike(world: World) -> None:
    order: list[int] = []

    def first(*_: Any) -> None:
        order.append(1)

    async def second(*_: Any) -> None:
        await asyncio.sleep(0)
        order.append(2)

    def third(*_: Any) -> None:
        order.append(3)

    async def body() -> None: ...

    world.run(world.flow(body, on_completion=[first, second, third]))
    assert order == [1, 2, 3]


@pytest.mark.parametrize("kind", ["on_running", "on_completion"])
@pytest.mark.parametrize("error", [Broken, SystemExit, asyncio.CancelledError], ids=lambda each: each.__name__)
def test_a_hook_that_raises_is_logged_by_its_name_and_stops_nothing(
    world: World, caplog: pytest.LogCaptureFixture, kind: str, error: type[BaseException]
) -> None:
    order: list[str] = []

    def clumsy(*_: Any) -> None:
        raise error

    async def clumsy_too(*_: Any) -> None:
        raise error

    async def body() -> int:
        order.append("body")
        return 1

    hooks = {kind: [clumsy, clumsy_too, lambda *_: order.append("hook")]}
    with caplog.at_level(logging.ERROR, "millrace.hooks"):
        assert world.run(world.flow(body, **hooks)) == 1
    assert sorted(order) == ["body", "hook"]
    assert [record.getMessage().split("'")[1] for record in caplog.records] == ["clumsy", "clumsy_too"]


def test_a_hook_is_called_in_the_context_of_its_run(world: World) -> None:
    contexts: list[Any] = []

    async def body() -> None:
        contexts.append(FlowRunContext.get())

    def hook(_flow: Any, run: Any, _state: Any) -> None:
        contexts.append((get_run_context(), run))

    world.run(world.flow(body, on_running=[hook], on_completion=[hook]))
    (before, run), inside, (after, _) = contexts
    assert before.flow_run is inside.flow_run is after.flow_run is run


def test_the_context_of_the_caller_is_as_it_was(world: World) -> None:
    inner = Told()

    @world.flow(**inner.hooks)
    async def child() -> None: ...

    async def body() -> bool:
        before = get_run_context()
        await world.call(child)
        return before == get_run_context()

    assert world.body(body)


def test_a_hook_of_a_method_gets_the_bound_flow(world: World) -> None:
    told = Told()

    class Crawler:
        @flow(**told.hooks)
        def crawl(self) -> int:
            return 1

    assert Crawler().crawl() == 1
    assert [kind for kind, _ in told.of] == ["on_running", "on_completion"]
    assert told.calls[0][0].name == "crawl"


# Decorators.


@pytest.mark.parametrize("kind", KINDS)
def test_hooks_are_added_by_decorators_too(kind: str) -> None:
    given, added = Told().hook(kind), Told().hook(kind)
    options: dict[str, Any] = {kind: [given]}
    made = flow(**options)(lambda: None)
    assert getattr(made, kind)(added) is added
    assert getattr(made, f"{kind}_hooks") == [given, added]


def test_a_decorated_hook_is_called(world: World) -> None:
    called: list[str] = []

    async def body() -> None: ...

    made: BaseFlow[[], Any] = world.flow(body)

    @made.on_completion
    def done(_flow: Any, _run: Any, state: Any) -> None:
        called.append(state.name)

    world.run(made)
    assert called == ["Completed"]


def test_a_changed_copy_has_the_hooks_and_shares_no_list() -> None:
    made = flow(lambda: None)
    made.on_completion(first := Told().hook("on_completion"))
    copy = made.with_options(name="copy")
    copy.on_completion(second := Told().hook("on_completion"))
    assert made.on_completion_hooks == [first]
    assert copy.on_completion_hooks == [first, second]
    assert made.with_options(on_completion=None).on_completion_hooks == []
    assert made.with_options(on_completion=[second]).on_completion_hooks == [second]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("given", ["text", 5, [5], lambda *_: None], ids=repr)
def test_what_is_no_list_of_functions_is_refused(kind: str, given: Any) -> None:
    with pytest.raises(ConfigurationError, match=f"^'{kind}' takes a list of functions"):
        flow(**{kind: given})(lambda: None)


def test_what_is_no_function_is_refused_by_a_decorator_too() -> None:
    made = flow(lambda: None)
    with pytest.raises(ConfigurationError, match=r"^'on_failure' takes"):
        made.on_failure(5)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


# Cancellation from outside.


def crashing(told: list[str], begun: asyncio.Event) -> Any:
    """A flow that waits for ever, and a hook for its crash that takes several turns of the loop."""

    async def crashed(_flow: Any, run: Any, state: Any) -> None:
        for _ in range(5):
            await asyncio.sleep(0)
        told.append(f"{run.type}: {state.message}")

    @task
    async def waits() -> None:
        await asyncio.Event().wait()

    @flow(on_crashed=[crashed], on_cancellation=[lambda *_: told.append("cancelled")])
    async def body() -> None:
        _ = waits.submit()
        begun.set()
        await asyncio.Event().wait()

    return body


CRASHED = "CRASHED: The run was cancelled by the runtime environment."


@pytest.mark.anyio
async def test_cancelled_by_its_asyncio_task_a_flow_tells_of_its_crash_to_the_end() -> None:
    told: list[str] = []
    begun = asyncio.Event()
    call = asyncio.create_task(crashing(told, begun)())
    await begun.wait()
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert told == [CRASHED]


@pytest.mark.anyio
async def test_cancelled_by_a_scope_of_anyio_a_flow_tells_of_its_crash_to_the_end() -> None:
    told: list[str] = []
    begun = asyncio.Event()
    with anyio.CancelScope() as scope:

        async def cut() -> None:
            await begun.wait()
            scope.cancel()

        async with anyio.create_task_group() as group:
            group.start_soon(cut)
            await crashing(told, begun)()
    assert scope.cancelled_caught
    assert told == [CRASHED]


@pytest.mark.anyio
async def test_cancelled_by_the_timeout_of_somebody_elses_a_flow_tells_of_its_crash_to_the_end() -> None:
    told: list[str] = []
    begun = asyncio.Event()

    async def in_time() -> None:
        async with asyncio.timeout(None) as timeout:
            asyncio.get_running_loop().call_soon(timeout.reschedule, 0)
            await crashing(told, begun)()

    with pytest.raises(TimeoutError):
        await in_time()
    assert told == [CRASHED]


@pytest.mark.anyio
async def test_a_hook_that_is_interrupted_itself_keeps_nobody_waiting() -> None:
    begun = asyncio.Event()

    async def endless(*_: Any) -> None:
        begun.set()
        await asyncio.Event().wait()

    @flow(on_completion=[endless])
    async def body() -> int:
        return 1

    async with Engine() as engine:
        call = asyncio.create_task(body())
        await begun.wait()
        (run,) = engine.flow_runs()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await until(lambda: not engine.flow_runs())
    assert run.state.is_completed()


@pytest.mark.anyio
async def test_an_interrupted_hook_for_a_cancellation_crashes_nothing_that_was_cancelled() -> None:
    begun, hooked = asyncio.Event(), asyncio.Event()

    async def endless(*_: Any) -> None:
        hooked.set()
        await asyncio.Event().wait()

    @flow(on_cancellation=[endless])
    async def body() -> None:
        begun.set()
        await asyncio.Event().wait()

    async with Engine() as engine:
        call = asyncio.create_task(body())
        await begun.wait()
        (run,) = engine.flow_runs()
        run.cancel("enough")
        await hooked.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert run.state.is_cancelled()


@pytest.mark.anyio
async def test_a_coroutine_that_is_closed_has_its_hooks_called_elsewhere() -> None:
    told: list[threading.Thread] = []

    @flow(on_crashed=[lambda *_: told.append(threading.current_thread())])
    async def body() -> None:
        await asyncio.Event().wait()

    call = body()
    call.send(None)
    call.close()
    await until(lambda: bool(told))
    (elsewhere,) = told
    assert elsewhere is not threading.current_thread()


def test_a_run_that_is_given_up_tells_of_its_crash_once_and_of_nothing_after_that() -> None:
    told = Told()
    begun, go_on = threading.Event(), threading.Event()
    engine = Engine(grace_seconds=0.01)

    @flow(**told.hooks)
    def stubborn() -> int:
        begun.set()
        assert go_on.wait(PATIENCE)
        return 1

    future = engine.start(stubborn)
    assert begun.wait(PATIENCE)
    future.flow_run.cancel("enough")
    state = ended(future)
    assert state.type is StateType.CRASHED
    go_on.set()
    engine.close()
    assert told.of == [("on_running", "Running"), ("on_crashed", "Crashed")]


def test_the_hooks_of_a_run_that_is_given_up_are_called_in_its_context() -> None:
    contexts: list[Any] = []
    begun, go_on = threading.Event(), threading.Event()
    engine = Engine(grace_seconds=0.01)

    async def crashed(_flow: Any, run: Any, _state: Any) -> None:
        await asyncio.sleep(0)
        context = FlowRunContext.get()
        contexts.append(context is not None and context.flow_run is run)

    @flow(on_crashed=[crashed])
    def stubborn() -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    future = engine.start(stubborn)
    assert begun.wait(PATIENCE)
    future.flow_run.cancel("enough")
    assert ended(future).type is StateType.CRASHED
    go_on.set()
    engine.close()
    assert contexts == [True]


def test_cancelled_while_the_body_returns_a_run_still_tells_of_it() -> None:
    for _ in range(50):
        told = Told()
        engine = Engine()
        go = threading.Barrier(2)

        @flow(**told.hooks)
        def short(go: Any) -> None:
            go.wait()

        future = engine.start(short, go)
        go.wait()
        future.flow_run.cancel("just now")
        state = ended(future)
        engine.close()
        last = ("on_cancellation", "Cancelling") if state.is_cancelled() else ("on_completion", "Completed")
        assert told.of == [("on_running", "Running"), last]


def test_a_hook_may_start_a_flow_of_its_own() -> None:
    results: list[int] = []

    @flow
    def other() -> int:
        return 7

    def after(_flow: Any, _run: Any, _state: Any) -> None:
        thread = threading.Thread(target=lambda: results.append(other()))
        thread.start()
        thread.join()

    @flow(on_completion=[after])
    def body() -> None: ...

    SYNC.run(body)
    assert results == [7]
