"""The names of task runs, through tasks: which runs get one, when, and what a bad one does."""

from __future__ import annotations

import logging
import threading
from collections.abc import Generator
from typing import Any

import pytest

from millrace import (
    INPUTS,
    ConfigurationError,
    Engine,
    Event,
    MemoryStorage,
    RunNameError,
    State,
    TaskRun,
    TaskRunTimeoutError,
    get_run_logger,
    quote,
    unmapped,
)
from tests.clock import VirtualTime
from tests.loose import flow, task
from tests.runtime.walks import Broken, this_run
from tests.runtime.worlds import PATIENCE, SYNC, World


def named(world: World, names: list[str], **options: Any) -> Any:
    """A task that says what its runs are called."""

    @world.task(**options)
    def fetch(url: str, depth: int = 1) -> str:
        names.append(this_run().name)
        return f"{url} {depth}"

    return fetch


HOWS = pytest.mark.parametrize("how", ["call", "submit", "map"])


async def ran(world: World, how: str, called: Any, *args: Any, **kwargs: Any) -> Any:
    """Run a task in one of the three ways, and give its state."""
    if how == "call":
        return await world.call(called, *args, return_state=True, **kwargs)
    if how == "submit":
        return await world.ended(called.submit(*args, **kwargs))
    (future,) = called.map(*([each] for each in args), **{name: [each] for name, each in kwargs.items()})
    return await world.ended(future)


# Templates and functions.


@HOWS
def test_a_template_is_filled_in_from_the_parameters(world: World, how: str) -> None:
    names: list[str] = []
    fetch = named(world, names, task_run_name="fetch {url} to {depth}")

    async def body() -> None:
        await ran(world, how, fetch, "a")
        await ran(world, how, fetch, url="b", depth=2)

    world.body(body)
    assert names == ["fetch a to 1", "fetch b to 2"]


@HOWS
def test_a_function_gives_the_name(world: World, how: str) -> None:
    names: list[str] = []
    asked: list[Any] = []

    def from_parameters(parameters: dict[str, Any]) -> str:
        asked.append(parameters)
        return f"from {sorted(parameters)}"

    plain = named(world, names, task_run_name=lambda: "plain")
    knowing = named(world, names, task_run_name=from_parameters)

    async def body() -> None:
        await ran(world, how, plain, "a")
        await ran(world, how, knowing, "a")

    world.body(body)
    assert names == ["plain", "from ['depth', 'url']"]
    assert asked == [{"url": "a", "depth": 1}]


def test_without_one_the_name_is_the_tasks_and_the_end_of_the_id(world: World) -> None:
    names: list[str] = []
    fetch = named(world, names)
    other = named(world, names, name="other")

    async def body() -> Any:
        futures = [fetch.submit("a"), other.submit("a")]
        for future in futures:
            await world.result(future)
        return [future.task_run_id.hex[-3:] for future in futures]

    ends = world.body(body)
    assert sorted(names) == sorted(f"{name}-{end}" for name, end in zip(("fetch", "other"), ends, strict=True))


def test_futures_are_resolved_before_they_are_put_into_a_name(world: World) -> None:
    names: list[str] = []
    fetch = named(world, names, task_run_name="fetch {url}")

    @world.task
    def address() -> str:
        return "there"

    async def body() -> None:
        await world.result(fetch.submit(address.submit()))

    world.body(body)
    assert names == ["fetch there"]


def test_annotations_are_taken_off_before_they_are_put_into_a_name() -> None:
    names: list[str] = []
    fetch = named(SYNC, names, task_run_name="fetch {url}")

    @flow
    def runs() -> None:
        fetch(quote("a"))

    runs()
    assert names == ["fetch a"]


def test_each_run_of_a_map_has_its_own(world: World) -> None:
    names: list[str] = []
    fetch = named(world, names, task_run_name="{url}{depth}")

    async def body() -> Any:
        futures = fetch.map(["a", "b", "c"], unmapped(7))
        await world.result(futures)
        return [future.name for future in futures]

    assert world.body(body) == ["a7", "b7", "c7"]
    assert sorted(names) == ["a7", "b7", "c7"]


def test_the_instance_is_no_parameter_of_a_method() -> None:
    names: list[str] = []

    class Site:
        @task(task_run_name="fetch {url}")
        def fetch(self, url: str) -> None:
            names.append(this_run().name)

    Site().fetch("a")
    assert names == ["fetch a"]


def test_a_wrong_template_is_told_when_the_task_is_made() -> None:
    for wrong in ("{nothing}", "{url.host}", "{", "", 3):
        with pytest.raises(ConfigurationError, match="task_run_name"):
            named(SYNC, [], task_run_name=wrong)
    with pytest.raises(ConfigurationError, match="task_run_name"):
        named(SYNC, []).with_options(task_run_name="{nothing}")


def test_with_options_names_anew_and_none_is_the_default() -> None:
    names: list[str] = []
    fetch = named(SYNC, names, task_run_name="first")

    @flow
    def runs() -> None:
        fetch("a")
        fetch.with_options(task_run_name="second {url}")("a")
        fetch.with_options(retries=1)("a")
        fetch.with_options(task_run_name=None)("a")

    runs()
    assert names[:3] == ["first", "second a", "first"]
    assert names[3].startswith("fetch-")


# Who knows it.


def test_everybody_calls_the_run_by_it(world: World, caplog: pytest.LogCaptureFixture) -> None:
    events: list[Event] = []
    engine = Engine()
    engine.subscribe(events.append)

    @world.task(task_run_name="fetch {url}")
    def fetch(url: str) -> None:
        get_run_logger().info("fetching")
        raise Broken(url)

    async def body() -> Any:
        future = fetch.submit("a")
        await world.error(future)
        return [future.name, repr(future)]

    with caplog.at_level(logging.INFO, "millrace"):
        assert world.run(world.flow(body), engine=engine) == ["fetch a", "<Future of 'fetch a': Failed>"]
    assert [record.task_run_name for record in caplog.records] == ["fetch a"]  # type: ignore[attr-defined]
    assert [event.run_name for event in events if event.state.name == "Failed"] == ["fetch a"]


def test_hooks_see_it(world: World) -> None:
    seen: list[str] = []

    def hook(_task: Any, run: TaskRun, _state: State[Any]) -> None:
        seen.append(run.name)

    fetch = named(world, [], task_run_name="fetch {url}", on_running=[hook], on_completion=[hook])

    async def body() -> None:
        await world.result(fetch.submit("a"))

    world.body(body)
    assert seen == ["fetch a", "fetch a"]


def test_the_error_of_a_timeout_says_it() -> None:
    time = VirtualTime()
    engine = Engine(clock=time.now, timers=time)
    begun, gate = threading.Event(), threading.Event()

    @task(task_run_name="slow {n}", timeout_seconds=5)
    def slow(n: int) -> None:
        begun.set()
        assert gate.wait(PATIENCE)

    @flow
    def runs() -> None:
        future = slow.submit(1)
        assert begun.wait(PATIENCE)
        time.advance(6)
        with pytest.raises(TaskRunTimeoutError, match="'slow 1'"):
            future.result()
        gate.set()

    SYNC.run(runs, engine=engine)


def test_a_run_keeps_its_name_over_its_attempts(world: World) -> None:
    names: list[str] = []
    asked: list[int] = []

    def counts() -> str:
        asked.append(1)
        return f"name {len(asked)}"

    @world.task(task_run_name=counts, retries=2)
    def flaky() -> None:
        names.append(this_run().name)
        if len(names) < 3:
            raise Broken

    async def body() -> None:
        await world.result(flaky.submit())

    world.body(body)
    assert names == ["name 1"] * 3


def test_a_run_that_is_taken_from_the_cache_is_named_too(world: World) -> None:
    fetch = named(world, [], task_run_name="fetch {url}", cache_policy=INPUTS, result_storage=MemoryStorage())

    async def body() -> Any:
        futures = []
        for _ in range(2):
            futures.append(fetch.submit("a"))
            await world.result(futures[-1])
        return [quote([future.state.name, future.name]) for future in futures]

    assert [each.unquote() for each in world.body(body)] == [["Completed", "fetch a"], ["Cached", "fetch a"]]


def test_a_run_that_never_begins_has_the_usual_name(world: World) -> None:
    fetch = named(world, [], task_run_name="fetch {url}")

    @world.task
    def fails() -> None:
        raise Broken

    async def body() -> Any:
        future = fetch.submit(fails.submit())
        await world.ended(future)
        return [future.name]

    (name,) = world.body(body)
    assert name.startswith("fetch-")


# What goes wrong.


def _no_text() -> Any:
    return 3


def _breaks() -> str:
    raise Broken("in the function")


BAD = pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(_no_text, "an object of type int where a string", id="no text"),
        pytest.param(_breaks, "raised Broken: in the function", id="an error"),
        pytest.param("{url:%Y}", "raised ValueError", id="a format that does not fit"),
    ],
)


@HOWS
@BAD
def test_a_name_that_cannot_be_made_fails_the_run(world: World, how: str, bad: Any, reason: str) -> None:
    bodies: list[str] = []
    fetch = named(world, bodies, task_run_name=bad)

    async def body() -> Any:
        return quote(await ran(world, how, fetch, "a"))

    state = world.body(body).unquote()
    assert state.name == "Failed"
    assert isinstance(state.data, RunNameError)
    assert reason in str(state.data)
    assert "'fetch'" in str(state.data)
    assert bodies == []


def test_it_is_raised_to_whoever_calls(world: World) -> None:
    fetch = named(world, [], task_run_name=_breaks)

    async def body() -> None:
        with pytest.raises(RunNameError, match="in the function") as caught:
            await world.call(fetch, "a")
        assert isinstance(caught.value.__cause__, Broken)

    world.body(body)


@HOWS
def test_it_counts_as_a_failed_attempt_and_the_body_never_runs_without_its_name(world: World, how: str) -> None:
    bodies: list[str] = []
    asked: list[int] = []

    def breaks() -> str:
        asked.append(1)
        raise Broken("in the function")

    fetch = named(world, bodies, task_run_name=breaks, retries=2)

    async def body() -> Any:
        return quote(await ran(world, how, fetch, "a"))

    state = world.body(body).unquote()
    assert isinstance(state.data, RunNameError)
    assert (len(asked), bodies) == (3, [])


def test_a_name_that_can_be_made_after_all_is_the_name(world: World) -> None:
    names: list[str] = []
    asked: list[int] = []

    def flaky() -> str:
        asked.append(1)
        if len(asked) < 2:
            raise Broken
        return "at last"

    fetch = named(world, names, task_run_name=flaky, retries=2)

    async def body() -> None:
        await world.result(fetch.submit("a"))

    world.body(body)
    assert names == ["at last"]


def test_hooks_for_failures_are_called_for_it(world: World) -> None:
    seen: list[Any] = []
    hooks = [lambda _task, _run, state: seen.append(type(state.data))]
    fetch = named(world, [], task_run_name=_breaks, on_failure=hooks, on_running=hooks)

    async def body() -> None:
        await world.ended(fetch.submit("a"))

    world.body(body)
    assert seen == [RunNameError]


def test_a_function_that_belongs_to_its_run_may_log(caplog: pytest.LogCaptureFixture) -> None:
    def logs() -> str:
        get_run_logger().info("naming")
        return "name"

    @task(task_run_name=logs)
    def one() -> None: ...

    @task(task_run_name=logs)
    def some() -> Generator[int]:
        yield 1

    with caplog.at_level(logging.INFO, "millrace"):
        one()
        list(some())
    assert [record.name for record in caplog.records] == ["millrace.task_runs"] * 2


def test_a_generator_that_cannot_be_named_fails_when_its_first_value_is_asked_for() -> None:
    bodies: list[int] = []

    @task(task_run_name=_breaks, retries=1)
    def some() -> Generator[int]:
        bodies.append(1)
        yield 1

    call = some()
    with pytest.raises(RunNameError):
        next(call)
    assert bodies == []
