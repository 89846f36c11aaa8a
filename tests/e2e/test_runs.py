"""Runs steered and looked at from the terminal, while another process runs them: each waits for what the other says."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.programs import Done, environment, python

FLOWS = """
import asyncio
import sys

from millrace import flow, pause_flow_run, suspend_flow_run, task


def say(text):
    sys.stdout.write(text + "\\n")
    sys.stdout.flush()


@task
async def wait_for_ever():
    say("there")
    await asyncio.Event().wait()


@flow(flow_run_name="endless-one")
async def endless():
    await wait_for_ever()


@task
def step(number):
    say(f"step {number}")
    sys.stdin.readline()
    return number


@flow(flow_run_name="in-steps")
def steps():
    return sum(step(number) for number in range(3))


@flow(flow_run_name="asking")
def asks():
    say("there")
    return pause_flow_run()


@task
def load(number):
    say(f"load {number}")
    return number


@flow(flow_run_name="put-off")
def puts_off():
    loaded = load(7)
    return loaded + suspend_flow_run()
"""


class Programme:
    """A flow that runs with a store in a process of its own."""

    def __init__(self, folder: Path, flow: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "millrace", "run", f"flows.py:{flow}", "-q", "--store", "sqlite:///runs.db"],
            cwd=folder,
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def expect(self, line: str) -> None:
        """Read a line that it says."""
        assert self.process.stdout is not None
        found = self.process.stdout.readline()
        if found != f"{line}\n":
            self.process.kill()
            pytest.fail(f"{found!r} is not {line!r}: {self.process.communicate()[1]}")

    def tell(self, text: str = "") -> None:
        """Give it a line."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n")
        self.process.stdin.flush()

    def end(self) -> Done:
        """Wait for its end."""
        out, err = self.process.communicate()
        return Done(self.process.returncode, out, err)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tmp_path.chmod(0o700)
    (tmp_path / "flows.py").write_text(FLOWS, encoding="utf-8")
    return tmp_path


@contextmanager
def running(folder: Path, flow: str) -> Generator[Programme, None, None]:
    programme = Programme(folder, flow)
    with programme.process:
        try:
            yield programme
        finally:
            programme.process.kill()


Millrace = Callable[..., Done]


@pytest.fixture
def millrace(folder: Path) -> Millrace:
    """Runs a command about the store, in another process than the flow's."""

    def run(*words: str) -> Done:
        return python("-m", "millrace", *words, "--store", "sqlite:///runs.db", cwd=folder)

    return run


def document(done: Done) -> Any:
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


# Steering.


def test_a_run_of_another_process_is_cancelled(folder: Path, millrace: Millrace) -> None:
    with running(folder, "endless") as programme:
        programme.expect("there")
        (listed,) = document(millrace("runs", "ls", "--json"))
        assert (listed["name"], listed["state"]["type"]) == ("endless-one", "RUNNING")

        assert millrace("runs", "cancel", listed["id"]) == (0, "endless/endless-one  Cancelled\n", "")
        assert programme.end().code == 1

    again = millrace("runs", "cancel", "endless-one")
    assert again == (
        1,
        "",
        "millrace: Cannot cancel flow run 'endless-one': it has ended already, and is Cancelled.\n",
    )


def test_a_run_of_another_process_is_paused_and_resumed(folder: Path, millrace: Millrace) -> None:
    with running(folder, "steps") as programme:
        programme.expect("step 0")
        assert millrace("runs", "pause", "in-steps") == (0, "steps/in-steps  Paused\n", "")
        programme.tell()

        assert millrace("runs", "resume", "in-steps").code == 0
        programme.expect("step 1")
        refused = millrace("runs", "resume", "in-steps")
        assert (refused.code, refused.out) == (1, "")
        assert "only a paused run can be resumed, and it is Running()" in refused.err
        programme.tell()
        programme.expect("step 2")
        programme.tell()
        assert programme.end() == (0, "3\n", "")

    states = document(millrace("runs", "events", "in-steps", "--json"))
    assert [state["name"] for state in states] == ["Pending", "Running", "Paused", "Running", "Completed"]
    paused, resumed = states[2]["timestamp"], states[3]["timestamp"]
    assert not any(paused < step["started"] < resumed for step in task_runs(folder))


def task_runs(folder: Path) -> list[dict[str, Any]]:
    """The task runs on record, as the command shows them."""
    program = (
        "import json\nfrom millrace import SqliteStore, read_task_runs\n"
        "runs = read_task_runs(store=SqliteStore('runs.db'))\n"
        "print(json.dumps([{'key': int(r.dynamic_key), 'id': str(r.id), 'started': r.start_time.isoformat()} "
        "for r in runs]))"
    )
    found: list[dict[str, Any]] = json.loads(python("-c", program, cwd=folder).out)
    return found


def test_a_run_is_handed_what_it_waits_for(folder: Path, millrace: Millrace) -> None:
    with running(folder, "asks") as programme:
        programme.expect("there")
        while document(millrace("runs", "show", "asking", "--json"))["state"]["type"] != "PAUSED":
            pass
        assert millrace("runs", "resume", "asking", "--input", "{yes}").code == 2
        assert millrace("runs", "resume", "asking", "--input", '{"yes": [1, null]}').code == 0
        assert programme.end() == (0, "{'yes': [1, None]}\n", "")


def test_a_run_whose_process_was_killed_cannot_be_told_anything_and_is_run_again(
    folder: Path, millrace: Millrace
) -> None:
    with running(folder, "steps") as programme:
        programme.expect("step 0")
        programme.tell()
        programme.expect("step 1")

    done = millrace("runs", "cancel", "in-steps")
    assert (done.code, done.out) == (1, "")
    assert "the one that ran it is over" in done.err
    (listed,) = document(millrace("runs", "ls", "--json"))
    assert listed["state"]["type"] == "RUNNING"

    process = subprocess.run(
        [sys.executable, "-m", "millrace", "resume", listed["id"], "-q", "--store", "sqlite:///runs.db"],
        cwd=folder, env=environment(), input="\n\n", capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (process.returncode, process.stdout) == (0, "step 1\nstep 2\n3\n")


def test_a_suspended_run_is_resumed_where_nobody_has_the_store_open(folder: Path, millrace: Millrace) -> None:
    program = (
        "import os, sys\nsys.path.insert(0, '.')\nfrom flows import puts_off\nfrom millrace import Engine\n"
        "engine = Engine(store='sqlite:///runs.db')\nrun = engine.start(puts_off)\n"
        "while not run.flow_run.let_go: run.wait(0.001)\n"
        "engine.chronicle.writer.flush()\nos._exit(0)"
    )
    assert python("-c", program, cwd=folder).out == "load 7\n"
    (listed,) = document(millrace("runs", "ls", "--state", "paused", "--json"))
    assert listed["suspended"]

    done = millrace("runs", "resume", "put-off", "--input", "35")

    assert (done.code, done.out) == (0, "42\n"), done.err
