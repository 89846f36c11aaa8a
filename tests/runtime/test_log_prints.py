"""`log_prints`: where prints of bodies go, through tasks and flows."""

# ruff: noqa: T201 - prints are the subject

from __future__ import annotations

import asyncio
import builtins
import logging
import threading
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from millrace import ConfigurationError, Engine
from tests.checkpoints import turns
from tests.loose import flow, task
from tests.runtime.walks import PLACES, Broken, Place, Walk, entered, every, this_flow, this_run
from tests.runtime.worlds import ASYNC, SYNC, World

PRINT = builtins.print


@pytest.fixture(autouse=True)
def _print_is_put_back() -> Iterator[None]:
    """After each test, `print` is what it was."""
    yield
    assert builtins.print is PRINT


class Logged:
    """What was logged, and what was printed."""

    def __init__(self, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> None:
        self._caplog = caplog
        self._capsys = capsys

    @property
    def messages(self) -> list[str]:
        """What went to the logs of runs."""
        return [record.getMessage() for record in self._caplog.records]

    @property
    def runs(self) -> list[Any]:
        """The runs that it went to, by name."""
        return [getattr(record, "task_run_name", None) for record in self._caplog.records]

    @property
    def printed(self) -> list[str]:
        """The lines that went to the terminal since this was last asked."""
        return self._capsys.readouterr().out.splitlines()


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]) -> Logged:
    caplog.set_level(logging.INFO, "millrace")
    return Logged(caplog, capsys)


def speaking(world: World, **options: Any) -> Any:
    """A task that prints what it is given."""

    @world.task(task_run_name="{text}", **options)
    def speak(text: str) -> None:
        print(text)

    return speak


async def call_all(world: World, *calls: tuple[Any, str]) -> None:
    """Call, submit and map each task."""
    for called, text in calls:
        await world.call(called, f"{text} called")
        await world.result(called.submit(f"{text} submitted"))
        await world.result(called.map([f"{text} mapped"]))


def in_three_ways(text: str) -> list[str]:
    return [f"{text} called", f"{text} submitted", f"{text} mapped"]


# Whose prints.


def test_prints_of_a_task_go_to_the_log_of_its_run(world: World, logged: Logged) -> None:
    speak = speaking(world, log_prints=True)

    async def body() -> None:
        await call_all(world, (speak, "it"))

    world.body(body)
    assert logged.messages == logged.runs == in_three_ways("it")
    assert logged.printed == []


def test_without_it_they_are_printed(world: World, logged: Logged) -> None:
    speak = speaking(world)

    async def body() -> None:
        await call_all(world, (speak, "it"))

    world.body(body)
    assert logged.messages == []
    assert logged.printed == in_three_ways("it")


def test_each_task_decides_for_itself(world: World, logged: Logged) -> None:
    loud, quiet = speaking(world, log_prints=True), speaking(world, log_prints=False)

    async def body() -> None:
        await call_all(world, (loud, "loud"), (quiet, "quiet"), (loud, "loud again"))
        print("the flow")

    world.body(body)
    assert logged.messages == [*in_three_ways("loud"), *in_three_ways("loud again")]
    assert logged.printed == [*in_three_ways("quiet"), "the flow"]


def test_a_task_that_does_not_say_does_as_its_flow_does(world: World, logged: Logged) -> None:
    plain, quiet = speaking(world), speaking(world, log_prints=False)

    @world.flow(log_prints=True)
    async def logs() -> None:
        print("the flow")
        await call_all(world, (plain, "plain"), (quiet, "quiet"))

    world.run(logs)
    assert logged.messages == ["the flow", *in_three_ways("plain")]
    assert logged.runs == [None, *in_three_ways("plain")]
    assert logged.printed == in_three_ways("quiet")


def test_a_task_may_log_although_its_flow_does_not(world: World, logged: Logged) -> None:
    loud = speaking(world, log_prints=True)

    @world.flow(log_prints=False)
    async def prints() -> None:
        print("the flow")
        await call_all(world, (loud, "loud"))

    world.run(prints)
    assert logged.messages == in_three_ways("loud")
    assert logged.printed == ["the flow"]


def test_what_a_run_is_told_by_hand_counts_for_tasks_that_it_has_not_run_yet(world: World, logged: Logged) -> None:
    speak = speaking(world)

    async def body() -> None:
        this_flow().log_prints = True
        await world.result(speak.submit("it"))

    world.body(body)
    assert logged.messages == ["it"]


def test_a_subflow_that_does_not_say_does_as_the_flow_around_it(logged: Logged) -> None:
    speak = speaking(SYNC)

    @flow
    def inner() -> None:
        print("inner")
        speak("inner task")

    @flow(log_prints=False)
    def quiet() -> None:
        print("quiet")
        speak("quiet task")

    @flow(log_prints=True)
    def outer() -> None:
        inner()
        quiet()
        print("outer")

    outer()
    assert logged.messages == ["inner", "inner task", "outer"]
    assert logged.printed == ["quiet", "quiet task"]


def test_outside_of_flows_the_setting_decides(logged: Logged, monkeypatch: pytest.MonkeyPatch) -> None:
    speak, quiet = speaking(SYNC), speaking(SYNC, log_prints=False)
    with entered(Engine()):
        speak("first")
    monkeypatch.setenv("MILLRACE_LOGGING_LOG_PRINTS", "true")
    with entered(Engine()):
        speak("second")
        quiet("third")
    assert logged.messages == ["second"]
    assert logged.printed == ["first", "third"]


@pytest.mark.parametrize("value", [1, "yes", 0, "True"])
def test_it_is_true_or_false(value: Any) -> None:
    with pytest.raises(ConfigurationError, match="'log_prints' takes True or False"):
        speaking(SYNC, log_prints=value)
    with pytest.raises(ConfigurationError, match="'log_prints' takes True or False"):
        speaking(SYNC).with_options(log_prints=value)


def test_with_options_changes_it_and_none_gives_the_default(logged: Logged) -> None:
    loud = speaking(SYNC, log_prints=True)

    @flow
    def speaks() -> None:
        loud("first")
        loud.with_options(log_prints=False)("second")
        loud.with_options(log_prints=None)("third")
        loud.with_options(retries=1)("fourth")

    speaks()
    assert logged.messages == ["first", "fourth"]
    assert logged.printed == ["second", "third"]


# Runs inside of runs.


def test_a_task_inside_of_one_that_logs_decides_for_itself(world: World, logged: Logged) -> None:
    quiet, plain, loud = speaking(world, log_prints=False), speaking(world), speaking(world, log_prints=True)

    @world.task(log_prints=True, task_run_name="outer")
    async def outer() -> None:
        print("before")
        for called, text in ((quiet, "quiet"), (plain, "plain"), (loud, "loud")):
            value = called(text)
            if world.async_tasks:
                await value
        print("after")

    async def body() -> None:
        await world.call(outer)

    world.body(body)
    assert list(zip(logged.messages, logged.runs, strict=True)) == [
        ("before", "outer"),
        ("loud", "loud"),
        ("after", "outer"),
    ]
    assert logged.printed == ["quiet", "plain"]


def test_a_task_that_logs_inside_of_one_that_does_not_gives_it_its_prints_back(logged: Logged) -> None:
    loud = speaking(SYNC, log_prints=True)

    @task
    def outer() -> None:
        print("before")
        loud("loud")
        print("after")

    outer()
    assert logged.messages == ["loud"]
    assert logged.printed == ["before", "after"]


def test_runs_side_by_side_log_each_to_their_own(logged: Logged) -> None:
    loud, quiet = speaking(ASYNC, log_prints=True), speaking(ASYNC, log_prints=False)
    both = threading.Barrier(2, timeout=20)

    @task(task_run_name="thread {n}", log_prints=True)
    def in_thread(n: int) -> None:
        both.wait()
        print(f"thread {n}")
        both.wait()

    @flow
    async def runs() -> None:
        await in_thread.map([1, 2])
        await asyncio.gather(*(called(f"{i}") for i, called in enumerate((loud, quiet) * 3)))

    asyncio.run(runs())
    assert logged.messages == logged.runs
    assert sorted(logged.messages) == ["0", "2", "4", "thread 1", "thread 2"]
    assert logged.printed == ["1", "3", "5"]


@pytest.mark.anyio
async def test_an_async_body_logs_after_it_has_waited_and_others_do_not_meanwhile(logged: Logged) -> None:
    gate = asyncio.Event()

    @task(log_prints=True)
    async def waits() -> None:
        print("before")
        await gate.wait()
        print("after")

    @flow
    async def runs() -> None:
        future = waits.submit()
        await turns(3)
        print("meanwhile")
        gate.set()
        await future

    await runs()
    assert logged.messages == ["before", "after"]
    assert logged.printed == ["meanwhile"]


# Threads and tasks of the body's own.


def test_threads_of_the_body_log_too(world: World, logged: Logged) -> None:
    @world.task(log_prints=True, task_run_name="it")
    def starts() -> None:
        thread = threading.Thread(target=print, args=("from a thread",))
        thread.start()
        thread.join()
        with ThreadPoolExecutor(1) as pool:
            pool.submit(lambda: print("from a pool")).result()

    async def body() -> None:
        await world.result(starts.submit())

    world.body(body)
    assert logged.messages == ["from a thread", "from a pool"]
    assert logged.runs == ["it", "it"]


@pytest.mark.anyio
async def test_asyncio_tasks_of_the_body_log_too(logged: Logged) -> None:
    @task(log_prints=True, task_run_name="it")
    async def starts() -> None:
        async def inner() -> None:
            await asyncio.sleep(0)
            print("from a task")

        await asyncio.create_task(inner())
        await asyncio.to_thread(print, "from to_thread")

    await starts()
    assert logged.messages == ["from a task", "from to_thread"]
    assert logged.runs == ["it", "it"]


def test_a_task_that_says_no_is_heard_in_a_thread_of_a_body_that_logs(logged: Logged) -> None:
    quiet = speaking(SYNC, log_prints=False)

    @task(log_prints=True)
    def starts() -> None:
        thread = threading.Thread(target=quiet, args=("quiet",))
        thread.start()
        thread.join()

    starts()
    assert logged.messages == []
    assert logged.printed == ["quiet"]


def test_a_thread_that_outlives_the_body_prints(logged: Logged) -> None:
    gate = threading.Event()
    threads: list[threading.Thread] = []

    def later() -> None:
        assert gate.wait(20)
        print("later")

    @task(log_prints=True)
    def starts() -> None:
        threads.append(threading.Thread(target=later))
        threads[0].start()

    starts()
    gate.set()
    threads[0].join()
    assert logged.messages == []
    assert logged.printed == ["later"]


# Attempts, hooks, names.


def test_every_attempt_logs(world: World, logged: Logged) -> None:
    @world.task(log_prints=True, retries=1)
    def flaky() -> None:
        print(f"attempt {this_run().run_count}")
        if this_run().run_count == 1:
            raise Broken

    async def body() -> None:
        await world.result(flaky.submit())

    world.body(body)
    assert logged.messages == ["attempt 1", "attempt 2"]


def test_a_body_that_breaks_gives_print_back(world: World, logged: Logged) -> None:
    @world.task(log_prints=True)
    def breaks() -> None:
        print("inside")
        raise Broken

    async def body() -> None:
        await world.error(breaks.submit())
        print("outside")

    world.body(body)
    assert logged.messages == ["inside"]
    assert logged.printed == ["outside"]


# Generators.


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_what_a_generator_prints_is_logged_and_what_its_caller_prints_is_not(place: Place, logged: Logged) -> None:
    @place.task(log_prints=True, task_run_name="counts")
    def counts() -> Generator[int]:
        for i in range(2):
            print(f"yields {i}")
            yield i
        print("is exhausted")

    async def body() -> None:
        walk = Walk(counts())
        for i in range(2):
            await walk.next()
            print(f"takes {i}")
        await walk.rest()

    place.run(body)
    assert logged.messages == ["yields 0", "yields 1", "is exhausted"]
    assert logged.runs == ["counts"] * 3
    assert logged.printed == ["takes 0", "takes 1"]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_what_a_generator_prints_while_it_is_closed_is_logged(place: Place, logged: Logged) -> None:
    @place.task(log_prints=True)
    def opens() -> Generator[int]:
        try:
            yield 1
        finally:
            print("closes")

    async def body() -> None:
        walk = Walk(opens())
        await walk.next()
        await walk.close()
        print("has closed")

    place.run(body)
    assert logged.messages == ["closes"]
    assert logged.printed == ["has closed"]


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.name)
def test_a_generator_that_does_not_log_inside_of_what_does(place: Place, logged: Logged) -> None:
    @place.task(log_prints=False)
    def quiet() -> Generator[int]:
        print("quiet")
        yield 1

    @place.task(log_prints=True)
    def also() -> Generator[int]:
        print("logged")
        yield 1

    @place.world.task(log_prints=True)
    async def iterates() -> None:
        print("before")
        await every(quiet())
        await every(also())

    async def body() -> None:
        await place.world.result(iterates.submit())

    place.world.body(body)
    assert logged.messages == ["before", "logged"]
    assert logged.printed == ["quiet"]


def test_a_thread_that_a_generator_has_started_logs_between_two_values(logged: Logged) -> None:
    @task(log_prints=True)
    def starts() -> Generator[threading.Event]:
        gate, over = threading.Event(), threading.Event()

        def speaks() -> None:
            assert gate.wait(20)
            print("between two values")
            over.set()

        threading.Thread(target=speaks).start()
        yield gate
        assert over.wait(20)

    for gate in starts():
        gate.set()
    assert logged.messages == ["between two values"]


def test_a_submitted_generator_logs(logged: Logged) -> None:
    @task(log_prints=True)
    def counts() -> Generator[int]:
        print("here")
        yield 1

    @flow
    def submits() -> Any:
        return counts.submit().result()

    assert submits() == [1]
    assert logged.messages == ["here"]
