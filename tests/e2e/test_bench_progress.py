"""Progress of `millrace bench`: bars where there is a terminal and rich, else lines; never a part of the result."""

from __future__ import annotations

import io
import logging
import re
import sys
from typing import Any

import pytest

from millrace import task
from millrace.runtime.benching.load import Load
from millrace.runtime.benching.plan import Plan, Step
from millrace.runtime.benching.works import work_of_task
from millrace.runtime.cli.bench_progress import Bars, Told, progress_of
from tests.runtime.benching.trials_made import trial

PLAN = Plan(limits=(4, 8), rounds=1, adaptive=False)


class FakeTerminal(io.StringIO):
    """A terminal that remembers what was drawn."""

    def isatty(self) -> bool:
        return True


def on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> FakeTerminal:
    """Let stderr be a terminal, from here to the end of the test."""
    made = FakeTerminal()
    monkeypatch.setattr(sys, "stderr", made)
    for name, value in {"TERM": "xterm", "COLUMNS": "120"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    return made


@task
async def body(item: int) -> int:
    return item


def load() -> Load:
    return Load(work_of_task("it", body, {}, 200), 4, lambda: 0, 1.0)


def test_on_a_terminal_there_are_bars_that_follow_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_a_terminal(monkeypatch)
    progress = progress_of(PLAN, quiet=False)
    assert isinstance(progress, Bars)

    with progress:
        going_on = load()
        progress.began(Step("millrace", 4, 0), going_on)
        going_on.samples.extend(trial(lambda n: 10.0 * n, 4).samples)
        progress.refresh()
        progress.ended(trial(lambda n: 10.0 * n, 4))
        progress.refresh()

    drawn = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", terminal.getvalue())
    assert "round 1, limit 4" in drawn
    assert "32 ended" in drawn
    assert "limit 4: 40.0 runs/s" in drawn


def test_without_rich_a_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    terminal = on_a_terminal(monkeypatch)
    monkeypatch.setitem(sys.modules, "rich.console", None)

    progress = progress_of(PLAN, quiet=False)

    assert isinstance(progress, Told)
    with caplog.at_level(logging.INFO, "millrace"), progress:
        progress.began(Step("millrace", 4, 0), load())
        progress.ended(trial(lambda n: 10.0 * n, 4, failing=1))
        progress.ended(trial(lambda n: 10.0 * n, 8, contender="aiometer"))
        progress.ended(trial(lambda n: 10.0 * n, 8, contender="adaptive"))
    assert [record.message for record in caplog.records] == [
        "1/2  round 1, limit 4: 30.0 runs/s, 8 failed",
        "2/2  round 1, limit 8 by aiometer: 80.0 runs/s",
        "3/2  round 1, the adaptive limit: 80.0 runs/s",
    ]
    assert terminal.getvalue() == ""


@pytest.mark.parametrize(("quiet", "lines"), [(False, 1), (True, 0)])
def test_off_a_terminal_there_are_lines_unless_none_are_wanted(
    quiet: bool, lines: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    progress: Any = progress_of(PLAN, quiet=quiet)

    with caplog.at_level(logging.INFO, "millrace"), progress:
        progress.ended(trial(lambda n: 10.0 * n, 4))

    assert len(caplog.records) == lines
