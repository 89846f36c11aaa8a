"""Prints of a body, logged: which they are, and that nothing is left behind."""

# ruff: noqa: T201 - prints are the subject

from __future__ import annotations

import asyncio
import builtins
import functools
import gc
import io
import logging
import logging.handlers
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout
from contextvars import Context, copy_context
from multiprocessing.pool import ThreadPool
from queue import SimpleQueue
from threading import Barrier, Event, Thread
from typing import Any

import anyio.to_thread
import pytest

from millrace import ConfigurationError
from millrace.runtime.loops import LoopThread
from millrace.runtime.prints import capture_prints, logs_prints
from tests.runtime.worlds import PATIENCE

Log = list[logging.LogRecord]


class Keeper(logging.Handler):
    """Keeps the records of one logger."""

    def __init__(self) -> None:
        super().__init__()
        self.records: Log = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


class Run:
    """What stands for a run here: a logger of its own, and what it was told."""

    def __init__(self, name: str) -> None:
        self.logger = logging.Logger(f"run.{name}", logging.INFO)  # noqa: LOG001  # of this run alone
        self.kept = Keeper()
        self.logger.addHandler(self.kept)
        self.asked = 0

    def factory(self) -> logging.Logger:
        self.asked += 1
        return self.logger

    @property
    def said(self) -> list[str]:
        return [record.getMessage() for record in self.kept.records]

    def captures(self) -> Any:
        return capture_prints(self.factory)


def in_place() -> tuple[object, ...]:
    """What capturing replaces."""
    return builtins.print, Thread.start, ThreadPoolExecutor.submit


@pytest.fixture(autouse=True)
def _nothing_stays_replaced() -> Iterator[None]:
    before = in_place()
    yield
    assert in_place() == before


@pytest.fixture
def run() -> Run:
    return Run("one")


@pytest.fixture
def other() -> Run:
    return Run("other")


def in_thread(body: Callable[[], object]) -> None:
    """Run something in a thread of its own, to its end."""
    thread = Thread(target=body)
    thread.start()
    thread.join(PATIENCE)
    assert not thread.is_alive()


# What is logged.


def test_a_print_goes_to_the_logger_and_not_to_the_terminal(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with run.captures():
        print("hello", 3)
    (record,) = run.kept.records
    assert (record.levelno, record.getMessage()) == (logging.INFO, "hello 3")
    assert capsys.readouterr() == ("", "")


def test_before_and_after_it_prints_as_ever(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    print("before")
    with run.captures():
        print("within")
    print("after")
    assert run.said == ["within"]
    assert capsys.readouterr().out == "before\nafter\n"


def test_the_record_stands_where_the_print_stands(run: Run) -> None:
    with run.captures():
        print("here")
    (record,) = run.kept.records
    assert (record.filename, record.funcName) == (
        "test_prints.py",
        "test_the_record_stands_where_the_print_stands",
    )


def test_an_adapter_is_a_logger_too(run: Run) -> None:
    with capture_prints(lambda: logging.LoggerAdapter(run.logger, {"task_run_name": "fetch-1a2"})):
        print("hello")
    (record,) = run.kept.records
    assert vars(record)["task_run_name"] == "fetch-1a2"
    assert record.filename == "test_prints.py"


@pytest.mark.parametrize(
    ("values", "options", "message"),
    [
        (("a", "b"), {}, "a b"),
        (("a", "b", 3), {"sep": "-"}, "a-b-3"),
        (("a", "b"), {"sep": ""}, "ab"),
        (("a",), {"end": "!"}, "a!"),
        (("a",), {"end": ""}, "a"),
        (("a",), {"sep": None, "end": None, "file": None, "flush": True}, "a"),
        ((), {}, ""),
        (("a\nb\n\n",), {}, "a\nb"),
        (("  a  ",), {}, "  a"),
        (("100%", "%s", "%(name)s"), {}, "100% %s %(name)s"),
    ],
)
def test_the_options_of_print_mean_what_they_mean(
    run: Run, values: tuple[object, ...], options: dict[str, Any], message: str
) -> None:
    with run.captures():
        print(*values, **options)
    assert run.said == [message]


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_a_print_to_the_terminal_by_name_is_logged(run: Run, stream: str, capsys: pytest.CaptureFixture[str]) -> None:
    with run.captures():
        print("hello", file=getattr(sys, stream))
    assert run.said == ["hello"]
    assert capsys.readouterr() == ("", "")


def test_a_print_to_another_file_goes_there(run: Run) -> None:
    file = io.StringIO()
    with run.captures():
        print("a", "b", sep="-", end="!", file=file)
    assert file.getvalue() == "a-b!"
    assert run.said == []


def test_a_print_goes_to_the_logger_although_the_terminal_is_another_file(run: Run) -> None:
    file = io.StringIO()
    with run.captures(), redirect_stdout(file):
        print("hello")
    assert (run.said, file.getvalue()) == (["hello"], "")


@pytest.mark.parametrize("options", [{"sep": 3}, {"end": 3}, {"colour": "red"}])
def test_a_wrong_print_is_wrong_in_the_same_way(run: Run, options: dict[str, Any]) -> None:
    with pytest.raises(TypeError) as ever:
        print("a", **options)
    with pytest.raises(TypeError) as within, run.captures():
        print("a", **options)
    assert str(within.value) == str(ever.value)
    assert run.said == []


def test_the_logger_is_asked_for_when_something_is_printed_and_not_before(run: Run) -> None:
    with run.captures():
        assert run.asked == 0
        print("a")
        print("b", file=io.StringIO())
        assert run.asked == 1


def test_a_factory_that_prints_prints_as_ever(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    def factory() -> logging.Logger:
        print("asked")
        return run.logger

    with capture_prints(factory):
        print("hello")
    assert run.said == ["hello"]
    assert capsys.readouterr().out == "asked\n"


def test_a_value_that_prints_when_it_is_printed_is_logged_first(run: Run) -> None:
    class Chatty:
        def __str__(self) -> str:
            print("me first")
            return "chatty"

    with run.captures():
        print(Chatty())
    assert run.said == ["me first", "chatty"]


def test_what_the_body_raises_goes_on_up_and_nothing_stays_replaced(run: Run) -> None:
    before = in_place()

    def body() -> None:
        with run.captures():
            assert in_place() != before
            raise KeyError("x")

    with pytest.raises(KeyError, match="x"):
        body()
    assert in_place() == before


# Whose prints.


def test_the_innermost_body_decides(run: Run, other: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with run.captures():
        print("one")
        with other.captures():
            print("two")
            with capture_prints(None):
                print("three")
                with run.captures():
                    print("four")
                print("five")
            print("six")
        print("seven")
    assert run.said == ["one", "four", "seven"]
    assert other.said == ["two", "six"]
    assert capsys.readouterr().out == "three\nfive\n"


def test_a_body_that_prints_as_ever_replaces_nothing() -> None:
    before = in_place()
    with capture_prints(None):
        assert in_place() == before


def test_a_context_that_has_nothing_to_do_with_it_prints_as_ever(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with run.captures():
        Context().run(print, "elsewhere")
    assert run.said == []
    assert capsys.readouterr().out == "elsewhere\n"


def test_a_copy_of_the_context_prints_as_ever_once_the_body_has_ended(
    run: Run, other: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with run.captures():
        inside = copy_context()
        inside.run(print, "in time")
    with other.captures():  # so that `print` is replaced
        inside.run(print, "too late")
    inside.run(print, "far too late")
    assert (run.said, other.said) == (["in time"], [])
    assert capsys.readouterr().out == "too late\nfar too late\n"


def test_bodies_side_by_side_log_each_to_their_own() -> None:
    runs = [Run(str(number)) for number in range(8)]
    together = Barrier(len(runs), timeout=PATIENCE)

    def body(run: Run) -> None:
        for number in range(20):
            with run.captures():
                together.wait()
                print(f"{run.logger.name}: {number}")

    threads = [Thread(target=body, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for run in runs:
        assert run.said == [f"{run.logger.name}: {number}" for number in range(20)]


@pytest.mark.anyio
async def test_async_bodies_side_by_side_log_each_to_their_own(capsys: pytest.CaptureFixture[str]) -> None:
    runs = [Run(str(number)) for number in range(5)]
    barrier = asyncio.Barrier(len(runs) + 1)

    async def body(run: Run) -> None:
        with run.captures():
            await barrier.wait()
            print(run.logger.name)
            await asyncio.create_task(part(run))

    async def part(run: Run) -> None:
        await asyncio.sleep(0)
        print(f"a part of {run.logger.name}")

    async def bystander() -> None:
        await barrier.wait()
        print("bystander")

    async with asyncio.TaskGroup() as group:
        for run in runs:
            group.create_task(body(run))
        group.create_task(bystander())
    for run in runs:
        assert run.said == [run.logger.name, f"a part of {run.logger.name}"]
    assert capsys.readouterr().out == "bystander\n"


# Threads.


def test_a_thread_that_the_body_starts_logs_too(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with run.captures():
        in_thread(lambda: print("from a thread"))
    assert run.said == ["from a thread"]
    assert capsys.readouterr().out == ""


def test_a_thread_logs_to_the_run_that_started_it(run: Run, other: Run) -> None:
    """The logger is that of the start, wherever the factory would look in the thread."""
    loggers = [run.logger, other.logger]
    with capture_prints(lambda: loggers[0] if threading.current_thread() is here else loggers[1]):
        here = threading.current_thread()
        in_thread(lambda: in_thread(lambda: print("two threads away")))
    assert run.said == ["two threads away"]
    assert other.said == []


class Worker(Thread):
    """A thread with a body of its own kind."""

    def run(self) -> None:
        print(f"{type(self).__name__} runs")


class Starter(Worker):
    """One that does more when it is started."""

    def start(self) -> None:
        print("about to start")
        super().start()


def changed_thread() -> Thread:
    """One that was told itself what to run."""
    thread = Thread()
    vars(thread)["run"] = lambda: print("changed")
    return thread


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (Worker, ["Worker runs"]),
        (Starter, ["about to start", "Starter runs"]),
        (lambda: threading.Timer(0, print, ["timer"]), ["timer"]),
        (changed_thread, ["changed"]),
    ],
    ids=("run", "start", "timer", "changed"),
)
def test_threads_of_other_kinds_log_too(run: Run, make: Callable[[], Thread], said: list[str]) -> None:
    with run.captures():
        thread = make()
        thread.start()
        thread.join(PATIENCE)
    assert run.said == said


@pytest.mark.parametrize("make", [Thread, changed_thread], ids=("plain", "changed"))
def test_a_thread_is_left_as_it_was(run: Run, make: Callable[[], Thread]) -> None:
    thread = make()
    before = dict(vars(thread)).get("run")
    with run.captures():
        thread.start()
        thread.join(PATIENCE)
        assert vars(thread).get("run") is before
        with pytest.raises(RuntimeError, match="threads can only be started once"):
            thread.start()
    assert vars(thread).get("run") is before


def test_a_thread_that_goes_on_after_the_body_prints_as_ever(
    run: Run, other: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    gates = [Event(), Event()]
    begun = Event()

    def slow() -> None:
        print("in time")
        begun.set()
        for number, gate in enumerate(gates):
            assert gate.wait(PATIENCE)
            print(f"too late {number}")
            in_thread(lambda: print("and its thread"))

    with run.captures():
        thread = Thread(target=slow)
        thread.start()
        assert begun.wait(PATIENCE)
    with other.captures():
        gates[0].set()
        in_thread(lambda: None)
        gates[1].set()
        thread.join(PATIENCE)
    assert (run.said, other.said) == (["in time"], [])
    assert capsys.readouterr().out == "too late 0\nand its thread\ntoo late 1\nand its thread\n"


def test_a_thread_of_somebody_elses_prints_as_ever(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    asked, answered = Event(), Event()

    def servant() -> None:
        assert asked.wait(PATIENCE)
        print("at your service")
        answered.set()

    thread = Thread(target=servant)
    thread.start()
    with run.captures():
        asked.set()
        assert answered.wait(PATIENCE)
    thread.join(PATIENCE)
    assert run.said == []
    assert capsys.readouterr().out == "at your service\n"


def test_calls_in_a_pool_of_threads_log_too(run: Run) -> None:
    with run.captures(), ThreadPoolExecutor(2) as pool:
        assert pool.submit(functools.partial(print, "a"), "b", sep="-").result(PATIENCE) is None
        assert list(pool.map(str.upper, "xyz")) == ["X", "Y", "Z"]
        list(pool.map(print, [1, 2, 3]))
    assert run.said[0] == "a-b"
    assert sorted(run.said[1:]) == ["1", "2", "3"]


def test_a_pool_that_outlives_the_body_logs_for_whoever_calls(
    run: Run, other: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with ThreadPoolExecutor(1) as pool:
        with run.captures():
            pool.submit(print, "one").result(PATIENCE)  # its only thread is started here
            Context().run(pool.submit, print, "nobody's").result(PATIENCE)
            with other.captures():
                pool.submit(print, "two").result(PATIENCE)
            pool.submit(print, "three").result(PATIENCE)
        pool.submit(print, "four").result(PATIENCE)
    assert run.said == ["one", "three"]
    assert other.said == ["two"]
    assert capsys.readouterr().out == "nobody's\nfour\n"


def test_the_other_kind_of_pool_logs_too_as_long_as_the_body_runs(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    with run.captures():
        pool = ThreadPool(1)
        pool.apply(print, ["in time"])
    pool.apply(print, ["too late"])
    pool.close()
    pool.join()
    assert run.said == ["in time"]
    assert capsys.readouterr().out == "too late\n"


def test_what_a_call_in_a_pool_raises_comes_through(run: Run) -> None:
    with run.captures(), ThreadPoolExecutor(1) as pool, pytest.raises(ZeroDivisionError):
        pool.submit(lambda: 1 / 0).result(PATIENCE)


@pytest.mark.anyio
async def test_calls_from_async_bodies_in_threads_log_too(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    loop = asyncio.get_running_loop()
    with run.captures():
        await asyncio.to_thread(print, "asyncio")
        await loop.run_in_executor(None, print, "executor")
        await anyio.to_thread.run_sync(print, "anyio")
    await asyncio.to_thread(print, "asyncio later")
    await loop.run_in_executor(None, print, "executor later")
    await anyio.to_thread.run_sync(print, "anyio later")
    assert run.said == ["asyncio", "executor", "anyio"]
    assert capsys.readouterr().out == "asyncio later\nexecutor later\nanyio later\n"


def test_the_engines_own_threads_belong_to_no_body_even_if_one_starts_them(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    with run.captures():
        own = LoopThread("millrace-loop-of-a-test", 1.0)
        own.stop(lambda: print("from the thread itself"))
        own.join(PATIENCE)
    assert run.said == []
    assert capsys.readouterr().out == "from the thread itself\n"


# Handlers that print.


class Printer(Keeper):
    """A handler that prints what it gets, as it holds its lock."""

    def emit(self, record: logging.LogRecord) -> None:
        super().emit(record)
        print(f"<{record.getMessage()}>")


def test_a_handler_that_prints_prints_as_ever(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    run.logger.addHandler(Printer())
    with run.captures():
        print("hello")
        print("again")
    assert run.said == ["hello", "again"]
    assert capsys.readouterr().out == "<hello>\n<again>\n"


def test_a_handler_may_have_a_thread_print_and_wait_for_it(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    class Delegator(Keeper):
        def emit(self, record: logging.LogRecord) -> None:
            in_thread(lambda: print(f"<{record.getMessage()}>"))
            with ThreadPoolExecutor(1) as pool:
                pool.submit(print, "pool").result(PATIENCE)

    run.logger.addHandler(Delegator())
    with run.captures():
        print("hello")
    assert run.said == ["hello"]
    assert capsys.readouterr().out == "<hello>\npool\n"


def test_a_queue_of_records_that_the_body_sets_up_does_not_feed_itself(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    records: SimpleQueue[Any] = SimpleQueue()
    with run.captures():
        run.logger.addHandler(logging.handlers.QueueHandler(records))
        listener = logging.handlers.QueueListener(records, Printer())
        listener.start()
        print("hello")
        listener.stop()
    assert run.said == ["hello"]
    assert capsys.readouterr().out == "<hello>\n"


def test_a_handler_that_fails_leaves_the_capture_as_it_was(run: Run) -> None:
    class Broken(logging.Handler):
        def handle(self, record: logging.LogRecord) -> bool:
            raise OSError("disk full")

    broken = Broken()
    run.logger.addHandler(broken)
    with run.captures():
        with pytest.raises(OSError, match="disk full"):
            print("one")
        run.logger.removeHandler(broken)
        print("two")
    assert run.said == ["one", "two"]


# What is replaced, and what others replace.


def test_the_last_body_to_leave_puts_back_what_was_there(run: Run, other: Run) -> None:
    before = in_place()
    first, second = run.captures(), other.captures()
    contexts = copy_context(), copy_context()
    contexts[0].run(first.__enter__)
    during = in_place()
    assert all(one is not two for one, two in zip(before, during, strict=True))
    contexts[1].run(second.__enter__)
    assert in_place() == during
    contexts[0].run(first.__exit__, None, None, None)
    assert in_place() == during
    contexts[1].run(print, "still")
    contexts[1].run(second.__exit__, None, None, None)
    assert in_place() == before
    assert (run.said, other.said) == ([], ["still"])


def shouting(around: Callable[..., None], seen: list[str]) -> Callable[..., None]:
    """A print of somebody else's, around another one."""

    def shout(*values: object, **options: Any) -> None:
        seen.append(" ".join(map(str, values)))
        around(*values, **options)

    return shout


def test_who_replaced_print_before_keeps_theirs(run: Run) -> None:
    seen: list[str] = []
    theirs = shouting(print, seen)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "print", theirs)
        with run.captures():
            print("within")
            Context().run(print, "elsewhere")
        assert builtins.print is theirs
    assert (run.said, seen) == (["within"], ["elsewhere"])


def test_who_replaces_print_meanwhile_keeps_theirs(run: Run, other: Run, capsys: pytest.CaptureFixture[str]) -> None:
    seen: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(builtins, "print", print)  # put back what is there now, at the end
        with run.captures():
            builtins.print = theirs = shouting(print, seen)
            print("within")
            with other.captures():
                assert builtins.print is theirs
        assert builtins.print is theirs
        print("after")
        with run.captures():
            print("once more")
        assert builtins.print is theirs
        print("at last")
    assert run.said == ["within", "once more"]
    assert seen == ["within", "after", "at last"]  # the second time ours stood around theirs
    assert capsys.readouterr().out == "after\nat last\n"


def test_who_puts_ours_back_too_late_does_no_harm_and_the_next_body_cleans_up(
    run: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    before = builtins.print
    with run.captures():
        ours = builtins.print
        builtins.print = shouting(ours, [])
    builtins.print = ours
    print("as ever")
    with run.captures():
        print("captured")
    assert builtins.print is before
    assert run.said == ["captured"]
    assert capsys.readouterr().out == "as ever\n"


def test_print_looks_like_print_while_it_is_replaced(run: Run) -> None:
    name, doc = print.__name__, print.__doc__
    with run.captures():
        assert (print.__name__, print.__doc__) == (name, doc)


def test_bodies_that_come_and_go_in_many_threads_leave_nothing_behind() -> None:
    before = in_place()
    together = Barrier(6, timeout=PATIENCE)
    runs = [Run(str(number)) for number in range(6)]

    def body(run: Run) -> None:
        together.wait()
        for number in range(300):
            with run.captures():
                print(number)

    threads = [Thread(target=body, args=(run,)) for run in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert in_place() == before
    assert [run.said for run in runs] == [[str(number) for number in range(300)]] * 6


def test_a_coroutine_that_is_dropped_leaves_its_capture_wherever_that_happens(run: Run) -> None:
    before = in_place()

    async def body() -> None:
        with run.captures():
            print("one")
            await asyncio.get_running_loop().create_future()

    async def drop() -> None:
        coroutine = body()
        copy_context().run(coroutine.send, None)
        assert in_place() != before
        coroutine.close()  # in this context, and not in its own
        print("not captured")

    asyncio.run(drop())
    assert in_place() == before
    assert run.said == ["one"]


def test_what_the_factory_holds_on_to_is_not_held_by_a_thread_that_goes_on(run: Run) -> None:
    class Body:
        def logger(self) -> logging.Logger:
            return run.logger

    gate = Event()
    body = Body()
    gone = weakref.ref(body)
    with capture_prints(body.logger):
        thread = Thread(target=gate.wait, args=(PATIENCE,))
        thread.start()
    del body
    gc.collect()
    assert gone() is None
    gate.set()
    thread.join(PATIENCE)


PROGRAM = """
import builtins, sys
from threading import Thread
before = builtins.print, Thread.start
from millrace.runtime.prints import capture_prints
assert (builtins.print, Thread.start) == before
assert "concurrent.futures.thread" not in sys.modules
"""


def test_importing_it_replaces_and_loads_nothing() -> None:
    command = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


# Who is to capture.


@pytest.mark.parametrize("setting", [None, "true", "false"])
@pytest.mark.parametrize("around", [None, True, False])
@pytest.mark.parametrize("option", [None, True, False])
def test_the_option_comes_first_then_the_flow_around_then_the_setting(
    monkeypatch: pytest.MonkeyPatch,
    option: bool | None,
    around: bool | None,
    setting: str | None,
) -> None:
    monkeypatch.delenv("MILLRACE_LOGGING_LOG_PRINTS", raising=False)
    if setting is not None:
        monkeypatch.setenv("MILLRACE_LOGGING_LOG_PRINTS", setting)
    said = [each for each in (option, around, setting == "true") if each is not None]
    assert logs_prints(option, around) is said[0]


def test_a_wrong_setting_is_an_error_only_where_it_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_LOGGING_LOG_PRINTS", "perhaps")
    assert logs_prints(option=True, around=None) is True
    assert logs_prints(option=None, around=False) is False
    with pytest.raises(ConfigurationError, match="MILLRACE_LOGGING_LOG_PRINTS"):
        logs_prints(option=None, around=None)
