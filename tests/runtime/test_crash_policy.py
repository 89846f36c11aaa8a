"""Crash policies: what a flow does about runs that crash, and what its other runs notice of that: nothing."""

from __future__ import annotations

import asyncio
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import ConfigurationError, Engine, Event, StateType, TerminationSignal, ThreadPoolTaskRunner, quote
from millrace.actors.errors import RestartLimitExceeded
from millrace.actors.policies import LET_IT_CRASH, CrashPolicy
from tests.checkpoints import turns, until
from tests.clock import VirtualTime
from tests.loose import flow, task
from tests.runtime.worlds import PATIENCE, SYNC, World


class Odd(BaseException):
    """None of those that the interpreter knows."""


def restarting(**options: Any) -> CrashPolicy:
    defaults: dict[str, Any] = {"restart": "task", "max_restarts": 3, "within_seconds": 60}
    return CrashPolicy(**(defaults | options))


class Crasher:
    """Bodies that crash so many times, then give the number of the attempt."""

    def __init__(self, times: int, kind: type[BaseException] = SystemExit) -> None:
        self.times, self.kind, self.attempts = times, kind, 0

    def __call__(self, _wood: str = "oak") -> int:
        self.attempts += 1
        if self.attempts <= self.times:
            raise self.kind
        return self.attempts


def names_of(events: list[Event], name: str) -> list[str]:
    return [event.state.name for event in events if event.run_name.startswith(name)]


async def ended(world: World, how: str, called: Any) -> Any:
    """The final state of one run of a task; a crash is raised by a direct call, so there it is caught."""
    if how == "call":
        return await world.call(called, return_state=True)
    started = called.submit() if how == "submit" else called.map(["oak"])
    states = await world.ended(started)
    return states if how == "submit" else states[0]


HOWS = pytest.mark.parametrize("how", ["submit", "map", "call"])


# What is restarted.


@HOWS
@pytest.mark.parametrize("kind", [SystemExit, Odd, asyncio.CancelledError], ids=lambda kind: kind.__name__)
def test_a_run_that_crashes_is_started_again(world: World, how: str, kind: type[BaseException]) -> None:
    crasher = Crasher(2, kind)
    carve = world.task(lambda _wood="oak": crasher(), name="carve")
    engine, events = Engine(), list[Event]()
    engine.subscribe(events.append)

    async def body() -> Any:
        return quote(await ended(world, how, carve))

    state = world.run(world.flow(body, crash_policy=restarting()), engine=engine).unquote()
    assert state.result() == 3
    assert names_of(events, "carve") == ["Pending", "Running", "Retrying", "Retrying", "Completed"]
    again = [str(event.state.message) for event in events if event.state.name == "Retrying"]
    assert again[0].startswith("Restart 1, after Crashed('The run was ")
    assert again[1].startswith("Restart 2, after Crashed('The run was ")
    engine.close()


def test_by_default_a_crash_stands(world: World) -> None:
    crasher = Crasher(1)
    carve = world.task(crasher.__call__, retries=3)

    async def body() -> Any:
        return quote(await world.ended(carve.submit()))

    assert world.flow(body).crash_policy is LET_IT_CRASH
    assert world.body(body).unquote().is_crashed()
    assert crasher.attempts == 1


@HOWS
def test_with_hooks_and_a_deadline_it_is_started_again_just_so(world: World, how: str) -> None:
    crasher = Crasher(2)
    called: list[str] = []

    def hook(_task: Any, _run: Any, state: Any) -> None:
        called.append(state.name)

    carve = world.task(
        lambda _wood="oak": crasher(), timeout_seconds=60, on_running=[hook], on_completion=[hook], on_failure=[hook]
    )

    async def body() -> Any:
        return quote(await ended(world, how, carve))

    assert world.run(world.flow(body, crash_policy=restarting())).unquote().result() == 3
    assert called == ["Running", "Retrying", "Retrying", "Completed"]


def test_a_restart_uses_up_no_retry(world: World) -> None:
    attempts: list[str] = []

    @world.task(retries=1)
    def carve() -> str:
        attempts.append("attempt")
        if len(attempts) in {1, 3}:
            raise SystemExit
        if len(attempts) == 2:
            raise KeyError("knot")
        return "plank"

    async def body() -> Any:
        future = carve.submit()
        result = await world.result(future)
        return result, future.source.run_count, future.source.failures

    assert world.run(world.flow(body, crash_policy=restarting())) == ("plank", 4, 1)


def test_a_crash_in_an_attempt_that_was_a_retry_is_restarted_too(world: World) -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    attempts: list[str] = []

    @world.task(retries=1, retry_delay_seconds=10, on_running=[lambda *_: None])
    def carve() -> str:
        attempts.append("attempt")
        if len(attempts) == 1:
            raise KeyError("knot")
        if len(attempts) == 2:
            raise SystemExit
        return "plank"

    async def body() -> Any:
        return await world.result(carve.submit())

    running = engine.start(world.flow(body, crash_policy=restarting()))
    pause = threading.Event()
    while not time.waiting:
        pause.wait(0.001)
    time.advance(10)
    assert running.result(timeout=PATIENCE) == "plank"
    assert len(attempts) == 3
    engine.close()


def test_in_a_pool_it_is_started_again_on_the_pool(world: World) -> None:
    crasher = Crasher(2)
    carve = world.task(crasher.__call__)

    async def body() -> Any:
        return await world.result(carve.submit())

    pool = ThreadPoolTaskRunner(max_workers=1)
    assert world.run(world.flow(body, crash_policy=restarting(), task_runner=pool)) == 3


# What is not.


@HOWS
@pytest.mark.parametrize("error", [KeyboardInterrupt, TerminationSignal], ids=lambda kind: kind.__name__)
def test_what_is_meant_for_the_whole_program_is_never_restarted(how: str, error: type[BaseException]) -> None:
    attempts: list[int] = []

    @task
    def carve(_wood: str = "oak") -> None:
        attempts.append(1)
        raise error(15) if error is TerminationSignal else error

    async def body() -> None:
        with pytest.raises(error):
            await ended(SYNC, how, carve) if how == "call" else carve.submit("oak").result(timeout=PATIENCE)

    SYNC.run(SYNC.flow(body, crash_policy=restarting()))
    assert attempts == [1]


def test_a_failure_is_not_a_crash(world: World) -> None:
    attempts: list[int] = []

    @world.task
    def carve() -> None:
        attempts.append(1)
        raise KeyError("knot")

    async def body() -> Any:
        return quote(await world.ended(carve.submit()))

    assert world.run(world.flow(body, crash_policy=restarting())).unquote().is_failed()
    assert attempts == [1]


@pytest.mark.anyio
async def test_a_flow_that_was_cancelled_restarts_nothing() -> None:
    attempts: list[int] = []

    @task
    async def carve() -> None:
        attempts.append(1)
        try:
            await asyncio.Event().wait()
        finally:
            raise SystemExit

    @flow(crash_policy=restarting())
    async def body() -> None:
        await carve.submit()

    async with Engine() as engine:
        future = engine.start(body)
        await until(lambda: bool(attempts))
        future.cancel()
        await future.wait_async(PATIENCE)
        await turns()
    assert attempts == [1]


@pytest.mark.parametrize("options", [{}, {"on_running": [lambda *_: None]}], ids=["plain", "conducted"])
@pytest.mark.parametrize("how", ["direct", "submitted"])
@pytest.mark.anyio
async def test_a_flow_whose_caller_is_cancelled_restarts_nothing(how: str, options: Any) -> None:
    """Found by reading: the direct call's run was started again, and nobody was there to execute it."""
    attempts: list[int] = []
    events: list[Event] = []

    @task(name="carve", **options)
    async def carve() -> None:
        attempts.append(1)
        await asyncio.Event().wait()

    @flow(crash_policy=restarting())
    async def body() -> None:
        await (carve() if how == "direct" else carve.submit())

    async with Engine() as engine:
        engine.subscribe(events.append)
        caller = asyncio.create_task(body())
        await until(lambda: bool(attempts))
        await turns()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(caller, PATIENCE)
    assert attempts == [1]
    assert "Retrying" not in names_of(events, "carve")


def test_outside_of_any_flow_a_crash_stands() -> None:
    crasher = Crasher(1)
    with pytest.raises(SystemExit):
        task(crasher.__call__)()
    assert crasher.attempts == 1


# Too many.


@pytest.mark.parametrize("intensity", range(6))
@pytest.mark.parametrize("then", ["fail", "cancel_siblings"])
def test_so_many_crashes_are_restarted_and_one_more_fails_the_flow(world: World, intensity: int, then: Any) -> None:
    crasher = Crasher(intensity + 1)
    carve = world.task(crasher.__call__)

    async def body() -> Any:
        return quote(await world.ended(carve.submit()))

    policy = restarting(max_restarts=intensity, then=then)
    state = world.run(world.flow(body, crash_policy=policy), return_state=True)
    assert crasher.attempts == intensity + 1
    assert state.is_failed()
    assert isinstance(state.data, RestartLimitExceeded)
    assert (state.data.restarts, state.data.seconds) == (intensity, 60)
    assert "Crashed('The run was ended by a Python system exit call.')" in str(state.data)


@pytest.mark.parametrize("pattern", [*itertools.product([0, 4, 5, 6], repeat=3)], ids=str)
def test_the_window_is_that_of_the_engines_clock(pattern: tuple[int, ...]) -> None:
    """A task that crashes on and on, at times that the test tells: exactly as long as OTP would restart it."""
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    gaps = iter([*pattern, None])
    crashes: list[float] = []

    @task
    def carve() -> None:
        gap = next(gaps)
        if gap is None:
            return
        time.advance(gap)
        crashes.append(time.elapsed)
        raise SystemExit

    @flow(crash_policy=restarting(max_restarts=1, within_seconds=5))
    def body() -> str:
        future = carve.submit()
        assert future.wait(PATIENCE)
        return str(future.state.name)

    state = SYNC.run(body, engine=engine, return_state=True)
    times = list(itertools.accumulate(pattern))
    stands = next((number for number in range(1, 3) if times[number] - times[number - 1] <= 5), None)
    assert crashes == times[: len(times) if stands is None else stands + 1]
    assert state.is_failed() == (stands is not None)
    engine.close()


def test_where_the_policy_says_so_the_siblings_are_cancelled_and_no_other_starts(world: World) -> None:
    gate, begun = world.gate(), threading.Event()

    @world.task
    async def sibling() -> None:
        begun.set()
        await gate.passed()

    carve = world.task(Crasher(1).__call__)
    other = world.task(lambda: "other")

    async def body() -> Any:
        waits = sibling.submit()
        if world.async_flows:
            await until(begun.is_set)
        assert begun.wait(PATIENCE)
        crashed = await world.ended(carve.submit())
        cancelled = await world.ended(waits)
        states.extend([crashed, cancelled, await world.ended(other.submit())])
        if not world.async_tasks:
            gate.open()

    states: list[Any] = []
    policy = restarting(max_restarts=0, then="cancel_siblings")
    state = world.run(world.flow(body, crash_policy=policy), return_state=True)
    assert isinstance(state.data, RestartLimitExceeded)
    assert [each.type for each in states] == [StateType.CRASHED, StateType.CANCELLED, StateType.CANCELLED]


def test_where_the_policy_does_not_the_siblings_go_on_and_the_flow_fails_at_its_end(world: World) -> None:
    crashed = threading.Event()

    @world.task
    async def sibling() -> str:
        if world.async_tasks:
            await until(crashed.is_set)
        assert crashed.wait(PATIENCE)
        return "sibling"

    carve = world.task(Crasher(1).__call__)

    async def body() -> Any:
        goes_on = sibling.submit()
        await world.ended(carve.submit())
        crashed.set()
        results.append(await world.result(goes_on))
        return "done"

    results: list[Any] = []
    state = world.run(world.flow(body, crash_policy=restarting(max_restarts=0)), return_state=True)
    assert results == ["sibling"]
    assert isinstance(state.data, RestartLimitExceeded)


def test_a_subflow_restarts_and_counts_for_itself(world: World) -> None:
    inner_crasher, outer_crasher = Crasher(1), Crasher(1)
    inner_task, outer_task = world.task(inner_crasher.__call__), world.task(outer_crasher.__call__)

    async def inner_body() -> Any:
        return await world.result(inner_task.submit())

    inner = world.flow(inner_body, crash_policy=restarting(max_restarts=1))

    async def body() -> Any:
        return [await world.call(inner), await world.result(outer_task.submit())]

    assert world.run(world.flow(body, crash_policy=restarting(max_restarts=1))) == [2, 2]


# A crash stays in its run.


def observed(world: World, make_carve: Callable[[], Any]) -> tuple[dict[str, list[str]], list[Any]]:
    """What happens to the siblings of a run, in a flow of one loop or thread: their events and results."""
    engine, events = Engine(threads=1), list[Event]()
    engine.subscribe(events.append)

    @world.task(name="steady")
    def steady(number: int) -> int:
        return number

    @world.task(name="fails", retries=1)
    def fails() -> None:
        raise KeyError("knot")

    carve = make_carve()

    async def body() -> Any:
        before = [steady.submit(number) for number in range(3)]
        middle = carve.submit()
        after = [*(steady.submit(number) for number in range(3, 6)), fails.submit()]
        await world.ended(middle)
        return quote([await world.ended(each) for each in [*before, *after]])

    states = world.run(world.flow(body, crash_policy=restarting(max_restarts=1)), engine=engine, return_state=True)
    futures = states.data if states.is_completed() else None
    by_run: dict[str, list[str]] = {}
    order = {run_id: f"{number}" for number, run_id in enumerate(dict.fromkeys(each.task_run_id for each in events))}
    for event in events:
        if not event.run_name.startswith("carve"):
            by_run.setdefault(order[event.task_run_id], []).append(event.state.name)
    engine.close()
    return by_run, [] if futures is None else [state.name for state in futures.unquote()]


@pytest.mark.parametrize("kind", [SystemExit, Odd, StopIteration, RecursionError, MemoryError, KeyError])
@pytest.mark.parametrize("crashes", [1, 9])
def test_the_siblings_of_a_run_that_crashes_or_fails_have_the_same_events_as_without(
    world: World, kind: type[BaseException], crashes: int
) -> None:
    crasher = Crasher(crashes, kind)
    without, _ = observed(world, lambda: world.task(lambda: 1, name="carve"))
    with_crash, _ = observed(world, lambda: world.task(crasher.__call__, name="carve"))

    flows = {"0"}  # the flow's own events differ where it fails
    assert {run: names for run, names in with_crash.items() if run not in flows} == {
        run: names for run, names in without.items() if run not in flows
    }


def test_many_runs_that_crash_at_once_are_all_judged(world: World) -> None:
    """Each tells the supervisor from a thread of its own, in the middle of others that do."""
    crashed: set[int] = set()

    @world.task
    def carve(number: int) -> int:
        if number not in crashed:
            crashed.add(number)
            raise SystemExit
        return number

    async def body() -> Any:
        return [await world.result(each) for each in carve.map(range(200))]

    policy = restarting(max_restarts=200, within_seconds=1_000)
    assert world.run(world.flow(body, crash_policy=policy), engine=Engine(threads=4)) == list(range(200))


def test_a_run_that_does_nothing_but_crash_needs_no_deeper_stack_each_time(world: World) -> None:
    crasher = Crasher(3_000)
    carve = world.task(crasher.__call__)

    async def body() -> Any:
        return await world.result(carve.submit())

    assert world.run(world.flow(body, crash_policy=restarting(max_restarts=5_000, within_seconds=1_000))) == 3_001


# What a user may write.


@pytest.mark.parametrize("policy", ["task", 3, {"restart": "task"}, CrashPolicy], ids=repr)
def test_what_is_no_crash_policy_is_refused(policy: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'crash_policy' takes a CrashPolicy, not "):
        flow(crash_policy=policy)(lambda: None)


def test_with_options_changes_the_policy_and_keeps_it() -> None:
    original = flow(crash_policy=restarting())(lambda: None)

    assert original.with_options(name="other").crash_policy == restarting()
    assert original.with_options(crash_policy=CrashPolicy()).crash_policy == LET_IT_CRASH
    assert flow(lambda: None).crash_policy is LET_IT_CRASH
