"""Signals: what SIGTERM and Ctrl-C do to flows in programmes of their own."""

from __future__ import annotations

import signal
from pathlib import Path
from textwrap import dedent
from typing import NamedTuple

import pytest

from tests.e2e.programs import started

HEAD = r"""
import asyncio
import os
import signal
import sys
import threading
import time

import millrace
from millrace import Engine, FlowRunContext, TerminationSignal, flow, task


def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\n")  # in one piece, as other threads write, too
    sys.stdout.flush()


def told(_flow, run, state):
    say(state.type.lower(), "by a hook:", state.message)


HOOKS = {"on_crashed": [told], "on_cancellation": [told], "on_completion": [told]}


def busy():
    # Short waits: a signal that comes right before a long one would wake nobody.
    while True:
        time.sleep(0.01)


@task
async def waits(name):
    try:
        await asyncio.sleep(600)
    finally:
        say(name, "stopped")


started = threading.Event()


@task
async def stubborn():
    started.set()
    for _ in range(2):
        try:
            await asyncio.sleep(600)
        except asyncio.CancelledError:
            asyncio.get_running_loop().call_later(0.1, say, "ready")  # when the main thread waits again


def former():
    return "default" if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL else "other"


def caught(call):
    try:
        return call()
    except BaseException as error:
        say("raised", type(error).__name__)
        say("handler", former())
"""


class Ended(NamedTuple):
    """What became of a programme."""

    code: int
    said: list[str]


def signalled(folder: Path, code: str, *numbers: signal.Signals) -> Ended:
    """Run a programme, and send it a signal whenever it says that it is ready."""
    path = folder / "programme.py"
    path.write_text(HEAD + dedent(code), encoding="utf-8")
    left = list(numbers)
    said: list[str] = []
    with started(path) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "ready\n":
                process.send_signal(left.pop(0))
            else:
                said.append(line.strip())
        _, err = process.communicate()
    assert not left, (said, err)
    return Ended(process.returncode, said if process.returncode <= 0 else [*said, *err.splitlines()[-1:]])


BY_SIGTERM = "crashed by a hook: The run was ended by a termination signal."
BY_CTRL_C = "crashed by a hook: The run was ended by an interrupt signal."


# SIGTERM, and a sync flow.


@pytest.mark.parametrize(
    "body",
    [
        "busy()",
        "calls_directly()",
        "for _ in range(10**9): pass",
        "threading.Event().wait()",
        "asyncio.run(asyncio.sleep(600))",
    ],
    ids=["in its body", "in a task it calls", "in a loop of Python's", "in a wait", "in a loop of its own"],
)
def test_sigterm_is_raised_in_the_body_of_a_sync_flow(tmp_path: Path, body: str) -> None:
    ended = signalled(
        tmp_path,
        f"""
        @task
        def calls_directly():
            busy()

        @flow(**HOOKS)
        def main():
            threading.Timer(0.05, say, ["ready"]).start()
            try:
                {body}
            except BaseException as error:
                say("in the body", type(error).__name__)
                raise

        caught(main)
        """,
        signal.SIGTERM,
    )
    assert ended == (0, ["in the body TerminationSignal", BY_SIGTERM, "raised TerminationSignal", "handler default"])


def test_sigterm_reaches_a_sync_flow_that_waits_for_its_children(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        def main():
            futures = [waits.submit(name) for name in ("a", "b")]
            threading.Timer(0.1, say, ["ready"]).start()
            futures[0].result()

        caught(main)
        """,
        signal.SIGTERM,
    )
    assert ended == (0, ["b stopped", "a stopped", BY_SIGTERM, "raised TerminationSignal", "handler default"])


def test_sigterm_reaches_a_sync_flow_whose_body_is_over(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        def main():
            waits.submit("a")
            threading.Timer(0.1, say, ["ready"]).start()

        caught(main)
        """,
        signal.SIGTERM,
    )
    assert ended == (0, ["a stopped", BY_SIGTERM, "raised TerminationSignal", "handler default"])


def test_sigterm_reaches_a_sync_flow_that_waits_for_its_retry(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(retries=1, retry_delay_seconds=600, **HOOKS)
        def main():
            threading.Timer(0.1, say, ["ready"]).start()
            raise ValueError

        caught(main)
        """,
        signal.SIGTERM,
    )
    assert ended == (0, [BY_SIGTERM, "raised TerminationSignal", "handler default"])


def test_sigterm_ends_a_subflow_and_the_flow_around_it_each_told_of_once(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        def inner():
            say("ready")
            busy()

        @flow(**HOOKS)
        def main():
            inner()

        caught(main)
        """,
        signal.SIGTERM,
    )
    assert ended == (0, [BY_SIGTERM, BY_SIGTERM, "raised TerminationSignal", "handler default"])


def test_a_second_sigterm_does_not_wait_for_a_child_that_does_not_stop(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        def main():
            stubborn.submit()
            started.wait()
            say("ready")
            busy()

        millrace.runtime.engines._default[:] = [Engine(grace_seconds=600)]
        caught(main)
        """,
        signal.SIGTERM,
        signal.SIGTERM,
    )
    assert ended == (0, [BY_SIGTERM, "raised TerminationSignal", "handler default"])


def test_uncaught_it_ends_the_programme_with_a_traceback(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow
        def main():
            say("ready")
            busy()

        main()
        """,
        signal.SIGTERM,
    )
    assert ended.code == 1
    assert ended.said[-1].endswith("TerminationSignal: The process received signal 15.")


def test_the_programmes_own_handler_is_put_back_and_hears_of_it(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        def mine(number, frame):
            say("my handler", number)

        signal.signal(signal.SIGTERM, mine)

        @flow(**HOOKS)
        def main():
            say("ready")
            busy()

        caught(main)
        say(signal.getsignal(signal.SIGTERM) is mine)
        """,
        signal.SIGTERM,
    )
    assert ended == (0, [BY_SIGTERM, "my handler 15", "raised TerminationSignal", "handler other", "True"])


def test_a_flow_that_ends_by_itself_leaves_the_handler_as_it_was(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow
        def main():
            say("inside", former())

        main()
        say("afterwards", former(), signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        """,
    )
    assert ended == (0, ["inside other", "afterwards default True"])


def test_a_programme_that_ignores_sigterm_goes_on_ignoring_it(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)

        @flow(**HOOKS)
        def main():
            say("ready")
            time.sleep(0.2)

        caught(main)
        """,
        signal.SIGTERM,
    )
    assert ended == (0, ["completed by a hook: None"])


@pytest.mark.parametrize(
    "call",
    [
        "thread = threading.Thread(target=main); thread.start(); thread.join()",
        "asyncio.run(in_a_loop())",
        "asyncio.run(amain())",
        "Engine().start(main).result()",
    ],
    ids=["in a thread", "on the thread of a loop", "an async flow", "in the background"],
)
def test_elsewhere_nothing_is_installed(tmp_path: Path, call: str) -> None:
    ended = signalled(
        tmp_path,
        f"""
        @flow
        def main():
            say(former())

        @flow
        async def amain():
            say(former())

        async def in_a_loop():
            main()

        {call}
        """,
    )
    assert ended == (0, ["default"])


def test_a_flow_inside_a_task_in_plain_code_is_a_flow_in_the_main_thread_too(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        def inner():
            say("ready")
            busy()

        @task
        def work():
            inner()

        caught(work)
        """,
        signal.SIGTERM,
    )
    assert ended == (0, [BY_SIGTERM, "raised TerminationSignal", "handler default"])


def test_wherever_the_engine_is_sigterm_leaves_nothing_half_done(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        import random
        import sys

        sys.path.insert(0, os.getcwd())
        sys.setswitchinterval(1e-4)
        from tests.invariants import check_at_rest

        @task
        def work(x):
            return x

        @flow
        def inner(x):
            return work(x)

        @flow
        def main(timer):
            timer.start()
            for x in range(100_000):
                work(x)
                work.submit(x).result()
                inner(x)

        engine = millrace.runtime.engines.default_engine()
        rounds = {"TerminationSignal": 0}
        main_thread = threading.main_thread().ident
        for number in range(60):
            delay = random.Random(number).uniform(0.002, 0.02)
            timer = threading.Timer(delay, signal.pthread_kill, [main_thread, signal.SIGTERM])
            try:
                main(timer)
            except TerminationSignal:
                rounds["TerminationSignal"] += 1
            timer.join()
            check_at_rest(engine)
        say(rounds, former())
        """,
    )
    assert ended == (0, ["{'TerminationSignal': 60} default"])


# A loop of the engine's making.


def test_sigterm_cancels_an_async_flow_that_is_run_by_millrace_run(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        async def main():
            waits.submit("a")
            try:
                asyncio.get_running_loop().call_later(0.1, say, "ready")
                await asyncio.sleep(600)
            finally:
                await asyncio.sleep(0.01)
                say("cleaned up")

        caught(lambda: millrace.run(main))
        """,
        signal.SIGTERM,
    )
    assert ended == (
        0,
        ["cleaned up", "a stopped", BY_SIGTERM, "raised TerminationSignal", "handler default"],
    )


def test_the_first_ctrl_c_drains_and_the_run_has_crashed_by_it(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        async def main():
            waits.submit("a")
            try:
                asyncio.get_running_loop().call_later(0.1, say, "ready")
                await asyncio.sleep(600)
            finally:
                await asyncio.sleep(0.01)
                say("cleaned up")

        caught(lambda: millrace.run(main))
        say(signal.getsignal(signal.SIGINT) is signal.default_int_handler)
        """,
        signal.SIGINT,
    )
    assert ended == (
        0,
        ["cleaned up", "a stopped", BY_CTRL_C, "raised KeyboardInterrupt", "handler default", "True"],
    )


@pytest.mark.parametrize(
    ("number", "error"),
    [(signal.SIGINT, "KeyboardInterrupt"), (signal.SIGTERM, "TerminationSignal")],
    ids=["Ctrl-C", "SIGTERM"],
)
@pytest.mark.parametrize("how", ["await asyncio.sleep(600)", "time.sleep(600)"], ids=["in an await", "in a block"])
def test_the_second_is_the_end_at_once(tmp_path: Path, number: signal.Signals, error: str, how: str) -> None:
    ended = signalled(
        tmp_path,
        f"""
        @flow
        async def main():
            kept.append(FlowRunContext.get().flow_run)
            try:
                asyncio.get_running_loop().call_later(0.1, say, "ready")
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                threading.Timer(0.1, say, ["ready"]).start()
                {how}

        kept = []
        caught(lambda: millrace.run(main))
        (run,) = kept
        say(run.state.type, run.done)
        """,
        number,
        number,
    )
    assert ended == (0, [f"raised {error}", "handler default", "CRASHED True"])


def test_a_flow_that_makes_nothing_of_the_signal_completes(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        async def main():
            try:
                asyncio.get_running_loop().call_later(0.1, say, "ready")
                await asyncio.sleep(600)
            except asyncio.CancelledError:
                return "all the same"

        say(caught(lambda: millrace.run(main)))
        """,
        signal.SIGTERM,
    )
    assert ended == (0, ["completed by a hook: None", "all the same"])


def test_the_first_ctrl_c_of_a_sync_flow_cancels_and_the_second_gives_up(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        def main():
            waits.submit("a")
            future = stubborn.submit()
            started.wait()
            threading.Timer(0.1, say, ["ready"]).start()
            future.result()

        millrace.runtime.engines._default[:] = [Engine(grace_seconds=600)]
        caught(lambda: millrace.run(main))
        """,
        signal.SIGINT,
        signal.SIGINT,
    )
    assert ended.code == 0
    assert sorted(ended.said) == sorted(["a stopped", BY_CTRL_C, "raised KeyboardInterrupt", "handler default"])


def test_ctrl_c_of_a_generator_flow_that_is_run_ends_it(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow(**HOOKS)
        async def main():
            yield 1
            asyncio.get_running_loop().call_later(0.1, say, "ready")
            await asyncio.sleep(600)

        caught(lambda: millrace.run(main))
        """,
        signal.SIGINT,
    )
    assert ended == (0, [BY_CTRL_C, "raised KeyboardInterrupt", "handler default"])


def test_run_inside_of_another_thread_installs_nothing(tmp_path: Path) -> None:
    ended = signalled(
        tmp_path,
        """
        @flow
        async def main():
            say(former())

        thread = threading.Thread(target=lambda: millrace.run(main))
        thread.start()
        thread.join()
        millrace.run(main)
        say(former())
        """,
    )
    assert ended == (0, ["default", "other", "default"])
