"""`millrace bench limits` from outside: what it prints and writes, what it refuses, and what Ctrl-C leaves."""

from __future__ import annotations

import json
import re
import signal
import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from millrace.runtime.cli import main
from tests.e2e.programs import Done, python, started

TASKS = """
import asyncio
import sys

from millrace import flow, task


@task(tags=["mine"])
async def quick(item: int, more: int = 0) -> int:
    print("printed by the task")
    await asyncio.sleep(0.0005)
    return item + more


@task
def sync() -> None:
    pass


@task
async def never(item: int) -> None:
    raise ValueError(f"no {item} here")


@task
async def endless(item: int) -> None:
    await asyncio.sleep(0)  # a turn of the loop for each: whoever counts them gets a look in between
    if item == 20:
        sys.stderr.write("ready\\n")
        await asyncio.Event().wait()


@flow
async def a_flow() -> None:
    pass
"""

FEW = ("--items", "80", "--limits", "1,2,4,8,16", "--rounds", "1", "--seconds", "0.05")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bench")
    (folder / "tasks.py").write_text(TASKS, encoding="utf-8")
    (folder / "broken.py").write_text("raise RuntimeError('at import')\n", encoding="utf-8")
    (folder / "inputs.jsonl").write_text('1\n{"item": 2, "more": 3}\n', encoding="utf-8")
    (folder / "taken").mkdir()
    return folder


def bench(folder: Path, *arguments: str) -> Done:
    return python("-m", "millrace", "bench", "limits", *arguments, cwd=folder)


def test_a_table_is_printed_and_page_and_picture_are_written(folder: Path) -> None:
    done = bench(folder, "tasks.py:quick", "-p", "more=1", *FEW, "--html", "limits.html", "--svg", "limits.svg")

    assert done.code == 0, done.err
    table = [line for line in done.out.splitlines() if line != "printed by the task"]
    assert table[0].split() == [
        "limit",
        "runs/s",
        "p50",
        "p95",
        "p99",
        "queued",
        "errors",
        "loop",
        "lag",
        "threads",
        "memory",
    ]
    assert [line.split()[0] for line in table[1:7]] == ["1", "2", "4", "8", "16", "adaptive"]
    assert re.search(r" 1/6  round 1, limit 1: [\d.,]+ runs/s$", done.err, re.MULTILINE)
    assert done.err.splitlines()[-2:] == ["written: limits.html", "written: limits.svg"]
    page = (folder / "limits.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "millrace bench limits tasks.py:quick -p more=1" in page
    assert ET.parse(folder / "limits.svg").getroot().tag.endswith("svg")  # noqa: S314  # written by ourselves


def test_with_json_nothing_but_the_document_is_on_stdout(folder: Path) -> None:
    done = bench(folder, "tasks.py:quick", "--inputs", "inputs.jsonl", *FEW, "--compare", "--json", "-q")

    found = json.loads(done.out)
    assert done.code == 0
    assert found["items"] == 80
    assert list(found["rivals"]) == ["asyncio.Semaphore", "anyio.CapacityLimiter", "aiometer", "ThreadPoolExecutor"]
    assert all(point["errors"] == 0 for points in found["rivals"].values() for point in points)
    assert [point["limit"] for point in found["points"]] == [1, 2, 4, 8, 16]
    assert "printed by the task" in done.err
    assert "INFO" not in done.err


def test_a_sync_task_that_takes_nothing_is_called_bare(folder: Path) -> None:
    done = bench(folder, "tasks.py:sync", *FEW, "--json", "-q", "--no-adaptive")

    found = json.loads(done.out)
    assert (done.code, found["adaptive"]) == (0, None)
    assert all(point["errors"] == 0 and point["threads"] > 1 for point in found["points"])


def test_a_task_that_always_fails_is_told_so_after_one_trial(folder: Path) -> None:
    done = bench(folder, "tasks.py:never", *FEW)

    assert done.code == 1
    told = r"No run completed: \d+ ended under limit 1, and the first said: ValueError: no 0 here\. There is nothing"
    assert re.search(told, done.out)
    assert "adaptive" not in done.out


def test_a_real_server_is_measured_over_sockets(folder: Path) -> None:
    done = bench(folder, "model:server", "-p", "capacity=4", "-p", "latency=0.001", *FEW, "--json", "-q")

    assert done.code == 0, done.err
    assert all(point["errors"] == 0 and point["runs"] for point in json.loads(done.out)["points"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["tasks.py:quick", "--limits", "0,1"], "'--limits' takes whole numbers, 1 or more, as in 1,2,4,8, not '0,1'."),
        (
            ["tasks.py:quick", "--limits", "1,-2"],
            "'--limits' takes whole numbers, 1 or more, as in 1,2,4,8, not '1,-2'.",
        ),
        (
            ["tasks.py:quick", "--limits", "many"],
            "'--limits' takes whole numbers, 1 or more, as in 1,2,4,8, not 'many'.",
        ),
        (["tasks.py:quick", "--items", "0"], "'--items' takes a whole number, 1 or more, not '0'."),
        (["tasks.py:quick", "--items", "x"], "'--items' takes a whole number, 1 or more, not 'x'."),
        (["tasks.py:quick", "--rounds", "0"], "'--rounds' takes a whole number, 1 or more, not '0'."),
        (["tasks.py:quick", "--seconds", "nan"], "'--seconds' takes a number of seconds above 0, not 'nan'."),
        (
            ["tasks.py:quick", "--html", "nowhere/limits.html"],
            "'--html' takes a file that can be written (No such file or directory), not 'nowhere/limits.html'.",
        ),
        (
            ["tasks.py:quick", "--svg", "taken"],
            "'--svg' takes a file that can be written (Is a directory), not 'taken'.",
        ),
        (["tasks.py:quick", "--html", "a", "--svg", "a"], "'--svg' takes another file than --html, not 'a'."),
        (["tasks.py:quick", "--html", "a", "--svg", "./a"], "'--svg' takes another file than --html, not './a'."),
        (["tasks.py:quick", "--inputs", "no.jsonl"], "'--inputs' takes a file that can be read ("),
        (
            ["tasks.py:quick", "-p", "nope=1"],
            "'quick' takes the parameters 'item', 'more', and was given 'nope', 'item'.",
        ),
        (
            ["tasks.py:a_flow"],
            "'tasks.py' has no task 'a_flow': that is a flow. Tasks there: 'quick', 'sync', 'never', 'endless'.",
        ),
        (["tasks.py"], "'tasks.py' has not exactly one task; name one. Tasks there:"),
        (["none.py:quick"], "There is no 'none.py' to take a task from."),
        (["mmc"], "'FILE.py:TASK' takes 'model:mmc' for the model of that name, not 'mmc'."),
        (["model:magic"], "'model' takes one of fixed, mmc, saturating, failing, server, not 'magic'."),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value),
)
def test_what_cannot_be_measured_is_said_at_once(
    arguments: list[str],
    told: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setattr(sys, "path", [*sys.path])  # the command puts the target's folder first
    before = files_in(folder)

    code = main(["bench", "limits", *arguments])
    sys.modules.pop("tasks", None)  # what it has imported

    said = capsys.readouterr()
    assert (code, said.out) == (2, "")
    assert said.err.startswith(f"millrace: {told}")
    assert files_in(folder) == before


def files_in(folder: Path) -> list[str]:
    """What lies there, but for what Python puts there."""
    return sorted(path.name for path in folder.iterdir() if path.name != "__pycache__")


def test_a_file_that_raises_is_its_authors_affair(folder: Path) -> None:
    done = bench(folder, "broken.py:task")

    assert done.code == 1
    assert done.err.endswith("millrace: 'broken.py' raised on import: RuntimeError: at import\n")


def test_too_few_items_for_a_limit_are_told_before_they_are_measured(folder: Path) -> None:
    done = bench(folder, "tasks.py:quick", "--items", "20", "--limits", "1,8", "--rounds", "1", "--seconds", "0.05")

    assert done.code == 0
    assert done.err.startswith(
        "millrace: 20 items are too few for a limit of 8, as each has to be filled 3 times: limits above 6 are left out"
        " of the fit. Give more with --items.\n"
    )


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["SIGINT", "SIGTERM"])
def test_an_interruption_shows_what_was_measured_by_then(folder: Path, number: int, code: int) -> None:
    # A limit that was filled four times has had enough of so short a time; only the largest comes to the endless item.
    arguments = ("tasks.py:endless", "--items", "60", "--limits", "1,2,16", "--rounds", "1", "--seconds", "0.000001")
    with started("-m", "millrace", "bench", "limits", *arguments, "-q", cwd=folder) as programme:
        assert programme.stderr is not None
        assert "ready\n" in iter(programme.stderr.readline, "")
        programme.send_signal(number)
        out, _ = programme.communicate(timeout=30)

    assert programme.returncode == code
    assert [line.split()[0] for line in out.splitlines()[1:3]] == ["1", "2"]
    assert out.endswith("Not all of the plan was measured.\n")


def test_an_interruption_before_anything_was_measured_says_so(folder: Path) -> None:
    arguments = ("tasks.py:endless", "--items", "60", "--limits", "8", "--rounds", "1", "--seconds", "0.000001")
    with started("-m", "millrace", "bench", "limits", *arguments, "-q", cwd=folder) as programme:
        assert programme.stderr is not None
        assert "ready\n" in iter(programme.stderr.readline, "")
        programme.send_signal(signal.SIGINT)
        out, err = programme.communicate(timeout=30)

    assert (programme.returncode, out) == (130, "")
    assert err.endswith("millrace: interrupted before the first limit was measured: its items had not ended.\n")


def test_a_limit_of_the_environment_that_holds_for_the_task_is_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILLRACE_LIMITS", "mine=2, other=3")
    few = ("--items", "6", "--limits", "1", "--rounds", "1", "--seconds", "0.05", "--no-adaptive", "-q")
    done = bench(folder, "tasks.py:quick", *few)

    assert done.code == 0
    assert done.err == (
        "millrace: MILLRACE_LIMITS limits the task too, by its tag 'mine': what more than that would bring cannot be"
        " seen.\n"
    )
