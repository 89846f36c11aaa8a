"""`millrace serve`: what its words mean, and what is said where they mean nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.runtime.cli import main

TASKS = """
from millrace import flow, task


@task
def add(a):
    return a + 1


@task
def generates():
    yield 1


@flow
def works():
    pass
"""


@pytest.fixture(autouse=True)
def _tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "tasks_to_serve.py").write_text(TASKS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("MILLRACE_STORE", raising=False)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["tasks_to_serve.py:add"], "'store' takes a store that has a queue"),
        (["tasks_to_serve.py:add", "--limit", "0"], "'--limit' takes a whole number, 1 or more"),
        (["tasks_to_serve.py:lost"], "'tasks_to_serve.py' has no task 'lost'"),
        (["tasks_to_serve.py:works"], "that is a flow"),
        (["tasks_to_serve.py"], "not exactly one task; name one"),
        (["tasks_to_serve.py:generates"], "'generates' cannot be served: it is a generator"),
        (["nowhere.py:add"], "There is no 'nowhere.py' to take a task from"),
        (["tasks_to_serve.py:add", "--store", "mysql://x"], "'store' takes"),
    ],
)
def test_a_wrong_command_says_what_is_wrong(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", *words]) == 2

    assert said in capsys.readouterr().err


def test_a_store_that_cannot_be_used_ends_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["tasks_to_serve.py:add", "--store", f"sqlite:///{tmp_path / 'nowhere' / 'runs.db'}"]

    assert main(["serve", *words]) == 1

    assert "its folder cannot be used" in capsys.readouterr().err
