"""The commands about a store: what they print of runs that are on record, and what they refuse."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from millrace import Engine, SqliteStore, flow, read_task_runs
from millrace.runtime.cli import main
from millrace.runtime.deferred.port import Job
from millrace.runtime.deferred.sqlite import SqliteQueue
from millrace.runtime.stores.records import Value
from tests.e2e.programs import environment

FLOWS = """
from millrace import Engine, flow, task


@task
def double(number):
    if number == 3:
        raise ValueError("no \\x1b[2J 3\\nFORGED line")
    return 2 * number


@flow(flow_run_name="inner-{number}")
def inner(number):
    return double(number)


@flow(flow_run_name="whole", version="2")
def outer(count=4):
    for number in range(count):
        double.submit(number)
    inner(1)
    inner(2)


@flow(flow_run_name="quick-{number}")
def quick(number=0):
    return number


if __name__ == "__main__":
    engine = Engine(store="sqlite:///runs.db")
    engine.start(outer).wait()
    for number in range(3):
        engine.start(quick, number).wait()
    engine.close()
"""


class Done(NamedTuple):
    """What became of a command."""

    code: int
    out: str
    err: str


Millrace = Callable[..., Done]


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of runs that are over, which another process has written."""
    made = tmp_path_factory.mktemp("whole")
    made.chmod(0o700)
    (made / "flows.py").write_text(FLOWS, encoding="utf-8")
    subprocess.run([sys.executable, "flows.py"], cwd=made, env=environment(), check=True)
    return made


@pytest.fixture
def whole(written: Path, tmp_path: Path) -> Path:
    """A copy of that, which a test may change."""
    tmp_path.chmod(0o700)
    shutil.copy(written / "runs.db", tmp_path / "runs.db")
    return tmp_path


@pytest.fixture
def millrace(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Millrace:
    """Runs a command about the store of the test."""
    tmp_path.chmod(0o700)
    monkeypatch.delenv("MILLRACE_STORE", raising=False)
    monkeypatch.delenv("COLUMNS", raising=False)
    url = f"sqlite:///{tmp_path}/runs.db"

    def run(*words: str, store: bool = True) -> Done:
        code = main([*words, *(["--store", url] if store else [])])
        out, err = capsys.readouterr()
        return Done(code, out, err)

    return run


def document(done: Done) -> Any:
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def failed_task_run(folder: Path) -> str:
    """The id of the task run that failed."""
    with closing(SqliteStore(folder / "runs.db")) as store:
        (found,) = read_task_runs(store=store, states=["failed"])
    return str(found.id)


def test_runs_are_listed_by_what_is_known_of_them(whole: Path, millrace: Millrace) -> None:
    def names(*words: str) -> list[str]:
        return [run["name"] for run in document(millrace("runs", "ls", "--json", *words))]

    everything = ["quick-2", "quick-1", "quick-0", "whole"]
    assert names() == names("--since", "1d") == names("--until", "2100-01-01") == everything
    assert names("--since", "2100-01-01") == names("--until", "2000-01-01T00:00") == []
    assert names("--flow", "outer") == names("--state", "failed,crashed") == ["whole"]
    assert names("--name", "quick-1", "--name", "quick-2") == ["quick-2", "quick-1"]
    assert names("--limit", "1", "--flow", "quick") == ["quick-2"]
    assert set(names("--all")) == {*everything, "inner-1", "inner-2"}
    assert names("--tag", "none") == []


def test_a_listing_is_a_table_with_ids_that_can_be_given_back(whole: Path, millrace: Millrace) -> None:
    title, *lines = millrace("runs", "ls").out.splitlines()

    assert title.split() == ["ID", "RUN", "STATE", "CREATED", "TOOK", "TAGS"]
    assert len(lines) == 4
    for line in lines:
        short, run, state = re.split(r"  +", line)[:3]
        assert len(short) < 32
        shown = document(millrace("runs", "show", short, "--json"))
        assert run == f"{shown['flow']}/{shown['name']}"
        assert state == shown["state"]["name"]


def test_a_tree_counts_task_runs_and_shows_subflows(whole: Path, millrace: Millrace) -> None:
    assert re.sub(r"took [\d.]+ m?s", "took T", millrace("runs", "tree", "whole").out) == (
        "outer/whole  Failed, took T\n"
        "├── double: 3 completed, 1 failed\n"
        "├── inner/inner-1  Completed, took T\n"
        "│   └── double: 1 completed\n"
        "└── inner/inner-2  Completed, took T\n"
        "    └── double: 1 completed\n"
    )
    tree = document(millrace("runs", "tree", "whole", "--json"))
    assert tree["task_runs"] == {"double": {"COMPLETED": 3, "FAILED": 1}}
    assert [each["name"] for each in tree["subflows"]] == ["inner-1", "inner-2"]


def test_what_is_on_record_of_one_run_is_shown(whole: Path, millrace: Millrace) -> None:
    shown = millrace("runs", "show", "whole").out

    assert shown.startswith("outer/whole\n  id ")
    assert re.search(r"^  flow +outer, version 2$", shown, re.MULTILINE)
    assert re.search(r"^  parameter count +4$", shown, re.MULTILINE)
    assert re.search(r"^  from +/.*/flows\.py:outer$", shown, re.MULTILINE)
    assert document(millrace("runs", "show", "whole", "--json"))["parameters"] == {"count": "4"}


def test_a_task_run_is_shown_by_its_id(whole: Path, millrace: Millrace) -> None:
    failed = failed_task_run(whole)
    document_ = document(millrace("runs", "show", failed, "--json"))

    assert (document_["task"], document_["state"]["type"]) == ("double", "FAILED")
    assert document_["state"]["message"] == "ValueError: no \x1b[2J 3\nFORGED line"
    for words in (("show",), ("events",)):
        shown = millrace("runs", *words, failed).out
        assert r"ValueError: no \x1b[2J 3\nFORGED line" in shown
        assert "\x1b" not in shown


def test_what_is_not_there_is_an_error_that_names_the_store(whole: Path, millrace: Millrace) -> None:
    for word in ("show", "tree", "events", "cancel", "pause", "resume", "rm"):
        done = millrace("runs", word, "nothing-like-that")
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"millrace: There is no flow run 'nothing-like-that' in {whole / 'runs.db'}.")
    several = millrace("runs", "show", "0")
    assert several.code == 2
    assert several.err.startswith("millrace: Several flow runs in ")


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("runs", "ls", "--state", "gone"), "'--state' takes one or more of scheduled, "),
        (("runs", "ls", "--since", "yesterday"), "'--since' takes how long ago it is, as 90s, 2h or 30d, or a date, "),
        (("runs", "ls", "--limit", "0"), "'--limit' takes a whole number from 1 to 1,000, not 0."),
        (("store", "prune", "--older-than", "soon"), "'--older-than' takes how long ago it is"),
        (("runs", "pause", "whole", "--timeout", "-1"), "'--timeout' takes a length of time"),
    ],
    ids=lambda words: words[-2] if isinstance(words, tuple) else "",
)
def test_wrong_words_are_told(whole: Path, millrace: Millrace, words: tuple[str, ...], told: str) -> None:
    done = millrace(*words)

    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(f"millrace: {told}")


def test_without_a_store_the_error_says_how_to_name_one(millrace: Millrace) -> None:
    done = millrace("runs", "ls", store=False)

    assert (done.code, done.out) == (2, "")
    assert "as 'sqlite:///runs.db'; or set MILLRACE_STORE" in done.err


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, millrace: Millrace) -> None:
    done = millrace("runs", "ls")

    assert (done.code, done.out) == (1, "")
    assert "there is no such file" in done.err
    assert not (tmp_path / "runs.db").exists()


def test_a_narrow_terminal_gets_lines_that_fit(
    whole: Path, millrace: Millrace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for words in (("ls",), ("show", "whole"), ("tree", "whole"), ("events", failed_task_run(whole))):
        for columns in (48, 60):
            monkeypatch.setenv("COLUMNS", str(columns))
            lines = millrace("runs", *words).out.splitlines()
            assert max(map(len, lines)) <= columns
    assert any("…" in line for line in lines)


def test_many_subflows_of_one_flow_are_counted(tmp_path: Path, millrace: Millrace) -> None:
    @flow
    def small(number: int) -> int:
        return number

    @flow(flow_run_name="many")
    def many() -> None:
        for number in range(12):
            small(number)

    engine = Engine(store=f"sqlite:///{tmp_path}/runs.db")
    engine.start(many).wait()
    engine.close()

    assert millrace("runs", "tree", "many").out.splitlines()[1:] == ["└── small/…: 12 completed"]
    tree = document(millrace("runs", "tree", "many", "--json"))
    assert (tree["task_runs"], tree["counted_subflows"], tree["subflows"]) == ({}, {"small": {"COMPLETED": 12}}, [])


# Keeping house.


def test_what_ended_long_ago_is_pruned_and_nothing_else(whole: Path, millrace: Millrace) -> None:
    there = threading.Event()

    @flow(flow_run_name="endless-one")
    async def endless() -> None:
        there.set()
        await asyncio.Event().wait()

    engine = Engine(store=f"sqlite:///{whole}/runs.db")
    future = engine.start(endless)
    assert there.wait(20)
    try:
        kept = millrace("store", "prune", "--older-than", "1h")
        assert kept == (0, "Removed 0 flow runs with all inside of them.\n", "")
        dry = millrace("store", "prune", "--older-than", "2100-01-01", "--dry-run")
        assert dry == (0, "4 flow runs would be removed, with all inside of them.\n", "")
        gone = millrace("store", "prune", "--older-than", "2100-01-01")
        assert gone == (0, "Removed 4 flow runs with all inside of them.\n", "")
        info = document(millrace("store", "info", "--json"))
        assert (info["open"], info["flow_runs"], info["task_runs"]) == (True, {"RUNNING": 1}, 0)
        assert millrace("runs", "rm", "endless-one").code == 1
        assert millrace("runs", "cancel", "endless-one").code == 0
        assert future.done()
    finally:
        engine.close(cancel=True)

    assert millrace("runs", "rm", "endless-one") == (0, "endless/endless-one  removed\n", "")
    assert millrace("runs", "ls") == (0, "", "")


def test_what_was_put_off_and_ended_long_ago_is_pruned_too(whole: Path, millrace: Millrace) -> None:
    queue = SqliteQueue(whole / "runs.db")
    queue.put(Job(1, "load", "load-1a2b", 100, Value("json", b"[[], {}]")))
    queue.cancel(1, "Nobody wants it.", 200)
    words = ("store", "prune", "--older-than", "2001-01-01")

    dry, gone, none = millrace(*words, "--dry-run"), millrace(*words), millrace(*words)

    put_off = "with all inside of them, and 1 run that had been put off"
    assert dry == (0, f"0 flow runs would be removed, {put_off}.\n", "")
    assert gone == (0, f"Removed 0 flow runs {put_off}.\n", "")
    assert none == (0, "Removed 0 flow runs with all inside of them.\n", "")
    queue.close()


def test_the_size_of_a_store_is_told(whole: Path, millrace: Millrace) -> None:
    told = millrace("store", "info").out

    assert told.startswith(f"{whole / 'runs.db'}\n  open to    nobody; ")
    assert "  flow runs  6: 5 completed, 1 failed\n  task runs  8\n  size       " in told
    info = document(millrace("store", "info", "--json"))
    assert info["bytes"] == (whole / "runs.db").stat().st_size
