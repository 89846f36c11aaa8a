"""Workers in processes of their own: what is put off in one is run in another, whatever becomes of that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from millrace import DistributedFuture, StateType
from millrace.runtime.deferred.opening import queue_for
from tests.e2e.programs import ROOT, environment
from tests.postgres import Server

TASKS = """
import os
import sys

from millrace import task


def say(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()


@task
def who(number):
    return os.getpid()


@task
def waits(pipe):
    say("begun")
    with open(pipe) as opened:  # waits for somebody who opens it to write
        opened.read()
    return os.getpid()
"""

PUTS_OFF = """
import sys

from tasks import waits, who

future = {call}
sys.stdout.write(str(future.task_run_id))
"""

PATIENCE_SECONDS = 20.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the tasks in it."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "tasks.py").write_text(TASKS, encoding="utf-8")
    return tmp_path


@pytest.fixture(params=["sqlite", "postgres"])
def store(request: pytest.FixtureRequest, folder: Path) -> Iterator[str]:
    """The URL of a store that nobody has used."""
    if request.param == "sqlite":
        yield f"sqlite:///{folder / 'runs.db'}"
    else:
        server: Server = request.getfixturevalue("postgres")
        with server.store("served") as url:
            yield url


@contextmanager
def worker(folder: Path, store: str) -> Generator[subprocess.Popen[str]]:
    """A worker that serves, in a process of its own."""
    words = ["serve", "tasks.py:who", "tasks.py:waits", "--store", store, "--limit", "4"]
    with subprocess.Popen(
        [sys.executable, "-m", "millrace", *words],
        cwd=folder,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr is not None
            assert "Serving who, waits from" in process.stderr.readline()
            yield process
        finally:
            process.kill()


def put_off(folder: Path, store: str, call: str) -> DistributedFuture[int]:
    """Put a call off in a process that ends before it is run."""
    (folder / "puts_off.py").write_text(PUTS_OFF.format(call=call), encoding="utf-8")
    env = environment({"MILLRACE_STORE": store, "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{folder}"})
    done = subprocess.run(
        [sys.executable, "puts_off.py"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert not done.stderr
    return DistributedFuture(done.stdout, store=store)


def begun(process: subprocess.Popen[str]) -> None:
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"


def test_a_run_outlives_who_put_it_off_and_who_ran_it(folder: Path, store: str) -> None:
    # 1. A process puts two runs off, one of which waits for the other, and is over.
    future = put_off(folder, store, "who.apply_async((1,), wait_for=[waits.delay('pipe')])")
    assert future.state.type is StateType.SCHEDULED

    # 2. A worker takes what can be taken, and is killed. Another one is given it, at once and by nobody's asking.
    with worker(folder, store) as first:
        begun(first)
        with worker(folder, store) as second:
            first.kill()
            begun(second)

            # 3. That one is told to stop. It ends what it has, takes nothing more, and is over.
            second.send_signal(signal.SIGTERM)
            assert second.stderr is not None
            assert "Stopping: 1 runs are to end by themselves." in second.stderr.readline()
            (folder / "pipe").write_text("now", encoding="utf-8")
            assert second.wait(PATIENCE_SECONDS) == 0
            assert future.state.type is StateType.SCHEDULED

    # 4. The next one runs what has waited for that, and Ctrl-C ends it.
    with worker(folder, store) as third:
        assert future.result(timeout=PATIENCE_SECONDS) == third.pid
        third.send_signal(signal.SIGINT)
        assert third.wait(PATIENCE_SECONDS) == 0
    queue_for(store)[0].close()
