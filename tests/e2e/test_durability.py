"""Runs that outlive their process, from outside: commands, kills, and what is told."""

from __future__ import annotations

import json
import signal
from contextlib import closing
from pathlib import Path

import pytest

from millrace.runtime.stores.rows import RunFilter
from millrace.runtime.stores.sqlite import SqliteStore
from tests.e2e.programs import Done, python

FLOWS = """
import os
import signal
import sys
from pathlib import Path

from millrace import flow, task


@task
async def load(number: int) -> int:
    print("load", number, flush=True)
    return number * 10


@task
def save(total: int) -> str:
    print("save", total, flush=True)
    if Path("deadly").exists():
        os.kill(os.getpid(), signal.SIGKILL)
    return f"saved {total}"


@flow
async def nightly(numbers: list[int]) -> str:
    loaded = await load.map(numbers)
    return await save.submit(sum(loaded))


@flow
def broken(secret: object = None) -> int:
    raise OSError("disk full")
"""

STORE = ("--store", "sqlite:///runs.db")


@pytest.fixture
def place(tmp_path: Path) -> Path:
    (tmp_path / "flows.py").write_text(FLOWS)
    return tmp_path


def millrace(place: Path, *words: str) -> Done:
    return python("-m", "millrace", *words, cwd=place)


def newest(place: Path) -> str:
    with closing(SqliteStore(place / "runs.db")) as store:
        return f"{store.read_flow_runs(RunFilter())[0].id:032x}"


def test_a_run_that_was_killed_is_resumed_by_its_id(place: Path) -> None:
    (place / "deadly").touch()
    killed = millrace(place, "run", "flows.py:nightly", "-p", "numbers=[1, 2, 3]", *STORE)
    assert killed.code == -signal.SIGKILL
    assert sorted(killed.out.splitlines()) == ["load 1", "load 2", "load 3", "save 60"]

    (place / "deadly").unlink()
    done = millrace(place, "resume", newest(place)[:12], "--json", *STORE)

    assert (done.code, json.loads(done.out)) == (0, "saved 60")
    assert [line for line in done.err.splitlines() if line.startswith(("load", "save"))] == ["save 60"]
    assert "nightly/" in done.err


@pytest.mark.parametrize("command", ["resume", "retry"])
def test_a_run_is_resumed_from_another_folder(place: Path, tmp_path: Path, command: str) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (place / "deadly").touch()
    millrace(place, "run", "flows.py:nightly", "-p", "numbers=[1]", *STORE)
    (place / "deadly").unlink()

    done = millrace(elsewhere, command, newest(place), "--store", f"sqlite:///{place / 'runs.db'}")

    assert (done.code, done.out) == (0, "save 10\n'saved 10'\n")


def test_the_store_may_be_named_by_the_environment(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_STORE", "sqlite:///runs.db")
    assert millrace(place, "run", "flows.py:broken").code == 1

    done = millrace(place, "resume", newest(place))

    assert done.code == 1
    assert "OSError: disk full" in done.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["resume", "ffff", *STORE], "There is no flow run 'ffff'"),
        (["resume", "01"], "'store' takes an engine with a store"),
        (["resume", "01", "--store", "mysql://x"], "'store' takes a store or the URL of one"),
        (["run", "flows.py:broken", "--store", "sqlite:///nowhere/runs.db"], "its folder cannot be used"),
        (["resume", "01", "--flow", "flows.py:nobody", *STORE], "nobody"),
    ],
)
def test_a_command_that_is_wrong_says_so(place: Path, words: list[str], said: str) -> None:
    assert millrace(place, "run", "flows.py:broken", *STORE).code == 1

    done = millrace(place, *words)

    assert (done.code, done.out) == (2, "")
    assert said in done.err


def test_what_is_over_is_not_resumed(place: Path) -> None:
    assert millrace(place, "run", "flows.py:nightly", "-p", "numbers=[]", *STORE).code == 0

    done = millrace(place, "resume", newest(place), *STORE)

    assert done.code == 2
    assert "it is COMPLETED. Run its flow anew." in done.err


def test_a_flow_that_has_moved_is_named(place: Path) -> None:
    (place / "deadly").touch()
    millrace(place, "run", "flows.py:nightly", "-p", "numbers=[1]", *STORE)
    (place / "deadly").unlink()
    (place / "flows.py").rename(place / "moved.py")

    lost = millrace(place, "resume", newest(place), *STORE)
    assert lost.code == 2
    assert "its flow 'nightly' cannot be imported" in lost.err

    done = millrace(place, "resume", newest(place), "--flow", "moved.py:nightly", *STORE)
    assert (done.code, done.out) == (0, "save 10\n'saved 10'\n")


def test_a_second_process_is_told_who_has_the_store(place: Path) -> None:
    program = """
from millrace import Engine
import subprocess, sys
with Engine(store="sqlite:///runs.db"):
    done = subprocess.run(
        [sys.executable, "-m", "millrace", "run", "flows.py:broken", "--store", "sqlite:///runs.db"],
        capture_output=True, text=True,
    )
print(done.returncode, done.stderr)
"""
    (place / "owner.py").write_text(program)

    done = python(place / "owner.py", cwd=place)

    assert done.out.startswith("2 millrace: Could not open the store ")
    assert "has it open. End that process first" in done.out
