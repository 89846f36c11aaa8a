"""Hooks: what is called when a run begins its body, completes or fails; in which order, and before whom."""

from __future__ import annotations

import asyncio
import functools
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millrace import (
    Cancelled,
    Completed,
    ConfigurationError,
    Crashed,
    Engine,
    Failed,
    State,
    TaskRunTimeoutError,
    ThreadPoolTaskRunner,
    quote,
)
from millrace.actors.messages import Propose
from millrace.actors.states import Running
from millrace.actors.stored_result import Found
from millrace.runtime import here_lanes
from millrace.runtime.base_task import BaseTask
from millrace.runtime.recording import Recording
from tests.checkpoints import turns, until
from tests.clock import VirtualTime
from tests.loose import flow, task
from tests.runtime.worlds import ASYNC, PATIENCE, SYNC, World

KINDS = ("on_running", "on_completion", "on_failure")


class Notes:
    """What was called, in order."""

    def __init__(self) -> None:
        self.taken: list[Any] = []

    def hook(self, name: str, *, is_async: bool = False) -> Callable[..., Any]:
        """A hook that notes its name and the name of the state."""

        def sync_hook(_task: Any, _run: Any, state: State[Any]) -> None:
            self.taken.append((name, state.name))

        async def async_hook(_task: Any, _run: Any, state: State[Any]) -> None:
            await asyncio.sleep(0)
            self.taken.append((name, state.name))

        return async_hook if is_async else sync_hook

    def all_kinds(self, *, is_async: bool = False) -> dict[str, list[Callable[..., Any]]]:
        """One hook of each kind, as options."""
        return {kind: [self.hook(kind.removeprefix("on_"), is_async=is_async)] for kind in KINDS}


@pytest.fixture
def notes() -> Notes:
    return Notes()


BOTH = pytest.mark.parametrize("is_async", [False, True], ids=["sync hooks", "async hooks"])
HOWS = pytest.mark.parametrize("how", ["submit", "call", "map"])


async def seen_through(world: World, how: str, called: Any, *args: Any) -> Any:
    """The final state of one run of a task, however it is started."""
    if how == "call":
        return await world.call(called, *args, return_state=True)
    started = called.submit(*args) if how == "submit" else called.map(*([each] for each in args or ["oak"]))
    states = await world.ended(started)
    return states if how == "submit" else states[0]


def outcome(world: World, how: str, called: Any, *args: Any, engine: Engine | None = None) -> Any:
    async def body() -> Any:
        return quote(await seen_through(world, how, called, *args))

    return world.body(body, engine=engine).unquote()


# When, in which order, with what.


@BOTH
@HOWS
def test_a_run_that_completes_calls_its_hooks_when_it_begins_and_when_it_has_ended(
    world: World, how: str, notes: Notes, *, is_async: bool
) -> None:
    @world.task(**notes.all_kinds(is_async=is_async))
    def carve(wood: str) -> str:
        notes.taken.append("body")
        return wood

    assert outcome(world, how, carve, "oak").is_completed()
    assert notes.taken == [("running", "Running"), "body", ("completion", "Completed")]


@BOTH
@HOWS
def test_a_run_that_fails_calls_its_hooks_for_that(world: World, how: str, notes: Notes, *, is_async: bool) -> None:
    @world.task(**notes.all_kinds(is_async=is_async))
    def carve(_wood: str) -> str:
        raise KeyError("knot")

    assert outcome(world, how, carve, "oak").is_failed()
    assert notes.taken == [("running", "Running"), ("failure", "Failed")]


@HOWS
def test_hooks_get_the_task_the_run_and_its_state(world: World, how: str) -> None:
    given: list[tuple[Any, ...]] = []

    def hook(*args: Any) -> None:
        given.append(args)

    @world.task(on_running=[hook], on_completion=[hook])
    def carve(wood: str) -> str:
        return wood

    state = outcome(world, how, carve, "oak")
    (first_task, first_run, running), (second_task, second_run, completed) = given
    assert first_task is second_task is carve
    assert first_run is second_run
    assert first_run.uuid == state.state_details.task_run_id
    assert (running.name, completed.name) == ("Running", "Completed")
    assert completed == state
    assert completed.result() == "oak"


def test_the_hooks_of_one_kind_are_called_in_order_sync_and_async_mixed(world: World, notes: Notes) -> None:
    hooks = [notes.hook(name, is_async=name in "bd") for name in "abcde"]

    @world.task(on_completion=hooks)
    def carve() -> None:
        pass

    outcome(world, "submit", carve)
    assert [name for name, _ in notes.taken] == list("abcde")


def test_hooks_may_be_added_by_decorators_which_give_the_function_back(world: World, notes: Notes) -> None:
    @world.task(on_completion=[notes.hook("option")])
    def carve() -> None:
        pass

    first, second = notes.hook("first"), notes.hook("second", is_async=True)
    assert carve.on_completion(first) is first
    assert carve.on_completion(second) is second
    carve.on_running(notes.hook("running"))
    carve.on_failure(notes.hook("failure"))
    outcome(world, "submit", carve)
    assert notes.taken == [
        ("running", "Running"), ("option", "Completed"), ("first", "Completed"), ("second", "Completed"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [*KINDS, "on_commit", "on_rollback"])
def test_what_is_no_function_is_no_hook(kind: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"^'{kind}' takes a list of functions"):
        task(**{kind: ["notify"]})(print)
    with pytest.raises(ConfigurationError, match=rf"^'{kind}' takes a list of functions"):
        task(**{kind: "notify"})(print)
    with pytest.raises(ConfigurationError, match=rf"^'{kind}' takes a list of functions"):
        task(**{kind: print})(print)
    with pytest.raises(ConfigurationError, match=rf"^'{kind}' takes a list of functions"):
        getattr(task(lambda: None), kind)("notify")


def test_a_hook_may_be_anything_that_can_be_called(world: World, notes: Notes) -> None:
    class Notifies:
        def __call__(self, _task: Any, _run: Any, state: Any) -> None:
            notes.taken.append(state.name)

        def method(self, _task: Any, _run: Any, state: Any) -> None:
            notes.taken.append(state.name)

    def with_more(more: str, _task: Any, _run: Any, state: Any) -> None:
        notes.taken.append(more + state.name)

    @world.task(on_completion=[Notifies(), Notifies().method, functools.partial(with_more, "partly ")])
    def carve() -> None:
        pass

    outcome(world, "submit", carve)
    assert notes.taken == ["Completed", "Completed", "partly Completed"]


def test_hooks_that_are_added_while_a_flow_has_runs_of_the_task_do_not_hold_it_up(world: World, notes: Notes) -> None:
    """Found by reading: the run had begun without hooks, and was sent to have them called where nobody did."""

    @world.task
    def carve() -> str:
        assert go_on.wait(PATIENCE)
        return "plank"

    go_on = threading.Event()
    go_on.set()

    async def body() -> list[str]:
        first = await world.result(carve.submit())
        carve.on_completion(notes.hook("late"))
        return [first, await world.result(carve.submit())]

    assert world.body(body) == ["plank", "plank"]


# Every attempt; every transition once.


def test_the_hook_for_running_is_called_once_for_each_attempt(world: World, notes: Notes) -> None:
    @world.task(retries=2, **notes.all_kinds())
    def carve() -> str:
        if len(notes.taken) < 3:
            raise KeyError("knot")
        return "plank"

    assert outcome(world, "submit", carve).is_completed()
    assert notes.taken == [
        ("running", "Running"), ("running", "Retrying"), ("running", "Retrying"), ("completion", "Completed"),
    ]  # fmt: skip


def test_a_failure_that_is_tried_again_calls_no_hook(world: World, notes: Notes) -> None:
    @world.task(retries=1, on_failure=[notes.hook("failure")])
    def carve() -> None:
        notes.taken.append("attempt")
        raise KeyError("knot")

    outcome(world, "submit", carve)
    assert notes.taken == ["attempt", "attempt", ("failure", "Failed")]


def test_attempts_that_are_waited_for_are_announced_when_they_begin(notes: Notes) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)

    @task(retries=1, retry_delay_seconds=5, **notes.all_kinds())
    def carve() -> str:
        if len(notes.taken) < 2:
            raise KeyError("knot")
        return "plank"

    @flow
    def body() -> str:
        future = carve.submit()
        waiter = threading.Event()
        while not time.waiting:
            waiter.wait(0.001)
        assert notes.taken == [("running", "Running")]
        time.advance(5)
        return str(future.result(timeout=PATIENCE))

    assert engine.start(body).result(timeout=PATIENCE) == "plank"
    assert [name for name, _ in notes.taken] == ["running", "running", "completion"]
    engine.close()


@pytest.mark.parametrize(
    ("state", "expected"),
    [(Completed(message="by hand"), "completion"), (Failed(message="by hand"), "failure"), (Cancelled(), None)],
    ids=["completed", "failed", "cancelled"],
)
def test_what_a_body_returns_as_its_state_decides_which_hooks_are_called(
    world: World, notes: Notes, state: Any, expected: str | None
) -> None:
    @world.task(**notes.all_kinds())
    def carve() -> Any:
        return state

    outcome(world, "submit", carve)
    assert [name for name, _ in notes.taken] == ["running", *filter(None, [expected])]


# Other ends.


def test_a_run_that_is_cancelled_before_it_begins_calls_no_hooks(notes: Notes) -> None:
    @task(**notes.all_kinds())
    async def carve() -> None:
        pass

    @flow
    async def body() -> Any:
        future = carve.submit()
        future.cancel()
        return quote(await future.wait_async())

    assert asyncio.run(body()).unquote().is_cancelled()
    assert notes.taken == []


@pytest.mark.anyio
async def test_a_run_that_is_cancelled_while_its_body_runs_calls_no_hooks_for_that(notes: Notes) -> None:
    @task(**notes.all_kinds())
    async def carve() -> None:
        notes.taken.append("body")
        await asyncio.Event().wait()

    async with Engine():
        future = carve.submit()
        await until(lambda: "body" in notes.taken)
        future.cancel()
        assert (await future.wait_async(PATIENCE)).is_cancelled()
    assert notes.taken == [("running", "Running"), "body"]


def test_a_run_that_never_got_ready_calls_no_hooks(world: World, notes: Notes) -> None:
    @world.task
    def fells() -> None:
        raise KeyError("knot")

    @world.task(**notes.all_kinds())
    def carve(_wood: Any) -> None:
        pass

    async def body() -> Any:
        return quote(await world.ended(carve.submit(fells.submit())))

    assert world.body(body).unquote().name == "NotReady"
    assert notes.taken == []


def test_a_run_that_crashes_calls_no_hooks_for_that(world: World, notes: Notes) -> None:
    @world.task(**notes.all_kinds())
    def carve() -> Any:
        return Crashed()

    outcome(world, "submit", carve)
    assert notes.taken == [("running", "Running")]


@pytest.mark.parametrize(
    ("state", "expected"),
    [(Completed(data="by hand"), ["completion"]), (Failed(), ["failure"]), (Cancelled(), [])],
    ids=["completed", "failed", "cancelled"],
)
@pytest.mark.anyio
async def test_a_run_that_is_ended_from_outside_calls_its_hooks_all_the_same(
    notes: Notes, state: State[Any], expected: list[str]
) -> None:
    @task
    async def never() -> None:
        await asyncio.Event().wait()

    @task(**notes.all_kinds())
    async def carve(_wood: Any) -> None:
        pass

    async with Engine() as engine:
        holds = never.submit()
        future = carve.submit(holds)
        future.source.tell(Propose(state, engine.now(), force=True))
        assert (await future.wait_async(PATIENCE)).name == state.name
        await until(lambda: engine.root.live == 1)
        holds.cancel()
    assert [name for name, _ in notes.taken] == expected


@pytest.mark.parametrize("is_async", [False, True])
def test_a_run_whose_result_is_in_the_cache_calls_the_hooks_for_completion_only(
    monkeypatch: pytest.MonkeyPatch, notes: Notes, *, is_async: bool
) -> None:
    class FoundAlready(Recording):
        async def begin(self, fx: Any) -> State[Any]:
            return Running(data=Found("plank"), state_details={"cache_key": "oak"})

    monkeypatch.setattr(BaseTask, "recorder", lambda self, scope: (lambda *_: FoundAlready(), None))
    world = ASYNC if is_async else SYNC

    @world.task(**notes.all_kinds())
    def carve() -> None:
        notes.taken.append("body")

    assert outcome(world, "submit", carve).result() == "plank"
    assert notes.taken == [("completion", "Cached")]


def test_a_sync_run_that_times_out_calls_its_hooks_though_its_body_goes_on(notes: Notes) -> None:
    gate, called = threading.Event(), threading.Event()

    @task(timeout_seconds=0.01, interruptible=False, **notes.all_kinds())
    def carve() -> None:
        assert gate.wait(PATIENCE)

    def says_so(_task: Any, _run: Any, state: Any) -> None:
        assert isinstance(state.data, TaskRunTimeoutError)
        called.set()

    carve.on_failure(says_so)

    state = outcome(SYNC, "submit", carve)
    assert state.name == "TimedOut"
    assert called.is_set()
    assert notes.taken == [("running", "Running"), ("failure", "TimedOut")]
    gate.set()


# Hooks that raise.


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Callable[[], list[str]]:
    caplog.set_level(logging.ERROR)
    return lambda: [record.getMessage() for record in caplog.records]


class Odd(BaseException):
    """None of those that the interpreter knows."""


ERRORS = pytest.mark.parametrize(
    "error",
    [KeyError("broken"), SystemExit(3), asyncio.CancelledError(), Odd()],
    ids=["error", "exit", "cancelled", "odd"],
)


@ERRORS
@BOTH
@HOWS
def test_a_hook_that_raises_is_logged_by_name_and_stops_nothing(
    world: World,
    how: str,
    notes: Notes,
    logged: Callable[[], list[str]],
    error: BaseException,
    *,
    is_async: bool,
) -> None:
    """An exit, and a cancellation that nobody asked for, are the hook's own, too."""

    async def notify_async(*_: Any) -> None:
        await asyncio.sleep(0)
        raise error

    def notify(*_: Any) -> None:
        raise error

    broken = notify_async if is_async else notify

    @world.task(
        on_running=[broken, notes.hook("running")], on_completion=[notes.hook("first"), broken, notes.hook("last")]
    )
    def carve(_wood: str = "oak") -> str:
        notes.taken.append("body")
        return "plank"

    state = outcome(world, how, carve)
    assert state.result() == "plank"
    assert [each if isinstance(each, str) else each[0] for each in notes.taken] == ["running", "body", "first", "last"]
    messages = [text for text in logged() if "notify" in text]
    assert len(messages) == 2
    assert messages[0].startswith(f"Hook '{broken.__name__}' of run 'carve-")
    assert messages[0].endswith("' raised.")


def test_a_hook_without_a_name_is_logged_by_its_type(logged: Callable[[], list[str]]) -> None:
    class Notifies:
        def __call__(self, *_: Any) -> None:
            raise KeyError

    carve = task(on_completion=[Notifies()])(lambda: "plank")
    assert outcome(SYNC, "submit", carve).is_completed()
    assert [text for text in logged() if text.startswith("Hook 'Notifies' of run ")]


def test_a_hook_that_takes_other_arguments_is_logged_like_any_error(logged: Callable[[], list[str]]) -> None:
    def forgetful(_state: Any) -> None:
        pass

    carve = task(on_completion=[forgetful])(lambda: "plank")
    assert outcome(SYNC, "submit", carve).is_completed()
    assert [text for text in logged() if "forgetful" in text]


@pytest.mark.parametrize("kind", ["on_running", "on_completion"])
def test_an_interrupt_in_a_hook_of_a_direct_call_goes_up_to_the_caller(kind: str, notes: Notes) -> None:
    """Ctrl-C while a hook runs: the run keeps what it came to, and everybody is told."""

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    carve = task(**{kind: [interrupted, notes.hook("never")]})(lambda: "plank")
    engine = Engine()
    events: list[Any] = []
    engine.subscribe(events.append)

    async def body() -> None:
        with pytest.raises(KeyboardInterrupt):
            carve()

    SYNC.body(body, engine=engine)
    assert notes.taken == []
    last = [event.state.name for event in events if event.task_run_id is not None][-1]
    assert last == ("Crashed" if kind == "on_running" else "Completed")
    engine.close()


@pytest.mark.parametrize("kind", ["on_running", "on_completion"])
@pytest.mark.parametrize("error", [KeyboardInterrupt, asyncio.CancelledError])
def test_an_interrupt_or_a_cancellation_of_an_async_caller_goes_up_out_of_a_hook(
    kind: str, error: type[BaseException], notes: Notes
) -> None:
    async def hook(*_: Any) -> None:
        if error is KeyboardInterrupt:
            raise KeyboardInterrupt
        current = asyncio.current_task()
        assert current is not None
        current.cancel()
        await asyncio.sleep(0)

    @task(**{kind: [hook, notes.hook("never")]})
    async def carve() -> str:
        return "plank"

    async def main() -> None:
        async with Engine():
            await carve()

    with pytest.raises(error):
        asyncio.run(main())
    assert notes.taken == []


@pytest.mark.anyio
async def test_a_cancellation_of_the_run_does_not_interrupt_its_last_hooks(notes: Notes) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow(*_: Any) -> None:
        begun.set()
        await go_on.wait()
        notes.taken.append("slow")

    @task(on_completion=[slow])
    async def carve() -> str:
        return "plank"

    async with Engine():
        future = carve.submit()
        await begun.wait()
        assert not future.cancel()
        go_on.set()
        await until(lambda: bool(notes.taken))
        assert await future == "plank"


# Before whom.


@pytest.fixture
def gate() -> Iterator[threading.Event]:
    gate = threading.Event()
    yield gate
    gate.set()


@pytest.mark.parametrize("world", [SYNC, World("async-in-sync", async_flows=False, async_tasks=True)], ids=str)
@pytest.mark.parametrize("timeout", [None, 60])
def test_a_direct_call_returns_when_its_hooks_have_been_called(
    world: World, timeout: float | None, monkeypatch: pytest.MonkeyPatch, notes: Notes
) -> None:
    """Found by reading: whoever asked for the end while hooks were running was told that it had come.

    Here the caller is held back until then.
    """
    hooking, asked = threading.Event(), threading.Event()
    wait = here_lanes.End.wait

    def wait_late(self: Any, run: Any) -> None:
        assert hooking.wait(PATIENCE)
        asked.set()
        wait(self, run)

    def slow(*_: Any) -> None:
        hooking.set()
        if asked.wait(0.05):
            threading.Event().wait(0.02)
        notes.taken.append("hook")

    monkeypatch.setattr(here_lanes.End, "wait", wait_late)

    @world.task(on_completion=[slow], timeout_seconds=timeout)
    def carve() -> str:
        return "plank"

    async def body() -> str:
        result = await world.call(carve)
        notes.taken.append("returned")
        return str(result)

    assert world.body(body) == "plank"
    assert notes.taken == ["hook", "returned"]


@BOTH
def test_a_flow_ends_when_the_hooks_of_its_tasks_have_been_called(
    world: World, notes: Notes, *, is_async: bool
) -> None:
    begun = threading.Event()

    async def slow_async(*_: Any) -> None:
        begun.set()
        await turns(20)
        notes.taken.append("hook")

    def slow(*_: Any) -> None:
        begun.set()
        threading.Event().wait(0.01)
        notes.taken.append("hook")

    @world.task(on_completion=[slow_async if is_async else slow])
    def carve() -> str:
        return "plank"

    async def body() -> None:
        carve.submit()

    world.body(body)
    assert notes.taken == ["hook"]


def test_an_async_hook_of_a_sync_task_that_holds_up_the_loop_is_run_on_another_one(notes: Notes) -> None:
    """Found by probing: the hook waited for the loop, and the loop for the hook."""

    @task(timeout_seconds=60, **notes.all_kinds(is_async=True))
    def in_time() -> str:
        return "plank"

    @task(**notes.all_kinds(is_async=True))
    def any_time() -> str:
        return "plank"

    @task(timeout_seconds=60)
    def outer() -> str:
        return str(any_time()) + str(in_time())

    @flow
    async def body() -> list[str]:
        return [in_time(), any_time(), outer()]

    assert asyncio.run(body()) == ["plank", "plank", "plankplank"]
    assert len(notes.taken) == 8


@BOTH
def test_hooks_are_called_where_a_pool_runs_the_task(notes: Notes, *, is_async: bool) -> None:
    @task(**notes.all_kinds(is_async=is_async))
    async def carve() -> str:
        return "plank"

    @flow(task_runner=ThreadPoolTaskRunner(max_workers=1))
    def body() -> str:
        return str(carve.submit().result(timeout=PATIENCE))

    assert body() == "plank"
    assert [name for name, _ in notes.taken] == ["running", "completion"]
