"""Runs on a server that several processes share, from outside: commands, a kill, and who has the store open."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.programs import Done, python, started
from tests.postgres import Server

FLOWS = """
import asyncio
import os
import signal
from pathlib import Path

from millrace import flow, suspend_flow_run, task


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


@flow(flow_run_name="nightly")
async def nightly(numbers: list[int]) -> str:
    loaded = await load.map(numbers)
    return await save.submit(sum(loaded))


@flow(flow_run_name="server")
async def server() -> None:
    print("serving", flush=True)
    await asyncio.Event().wait()


@flow(flow_run_name="letter")
def letter() -> str:
    return f"signed {suspend_flow_run(wait_for_input=str)}"
"""


@pytest.fixture
def millrace(tmp_path: Path, postgres: Server, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Done]:
    """Runs a command on a store of the test's own."""
    (tmp_path / "flows.py").write_text(FLOWS)
    monkeypatch.setenv("MILLRACE_STORE", postgres.url(f"commands_{tmp_path.name[-30:].replace('-', '_').lower()}"))
    return lambda *words: python("-m", "millrace", *words, cwd=tmp_path)


def test_a_run_that_was_killed_is_resumed_by_any_process(tmp_path: Path, millrace: Callable[..., Done]) -> None:
    (tmp_path / "deadly").touch()
    killed = millrace("run", "flows.py:nightly", "-p", "numbers=[1, 2]")
    (tmp_path / "deadly").unlink()
    left = millrace("runs", "ls")
    resumed = millrace("runs", "resume", "nightly")

    assert killed.code == -signal.SIGKILL
    assert left.out.split("\n")[1].split()[1:3] == ["nightly/nightly", "Running"]
    assert (resumed.code, resumed.out) == (0, "save 30\n'saved 30'\n")
    assert "Completed" in millrace("runs", "ls").out


def test_a_run_of_a_process_is_steered_by_another_while_a_third_one_runs(
    tmp_path: Path, millrace: Callable[..., Done]
) -> None:
    with started("-m", "millrace", "run", "flows.py:server", cwd=tmp_path) as server:
        assert server.stdout is not None
        assert server.stdout.readline() == "serving\n"

        suspended = millrace("run", "flows.py:letter")
        resumed = millrace("runs", "resume", "letter", "--input", '"Ada"')
        info = millrace("store", "info")
        pruned = millrace("store", "prune", "--older-than", "0s")
        cancelled = millrace("runs", "cancel", "server")
        server.communicate()

    assert suspended.code != 2, suspended.err
    assert (resumed.code, resumed.out) == (0, "'signed Ada'\n")
    assert info.out.startswith("postgresql://127.0.0.1:")
    assert "flow runs  2: 1 completed, 1 running" in info.out
    assert f"open to    process {server.pid} on " in info.out
    assert pruned.out == "Removed 1 flow run with all inside of it.\n"
    assert (cancelled.code, cancelled.out) == (0, "server/server  Cancelled\n")
