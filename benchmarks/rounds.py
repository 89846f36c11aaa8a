"""Runs works, each in a fresh process of the same interpreter, and goals round by round.

Nothing carries over from one measurement to the next, neither memory nor the state of the collector, and the works of a
goal swap order from round to round, so that neither floor nor millrace always goes first.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from benchmarks.model import Document, Goal, Work
from benchmarks.summary import Round

ROOT = Path(__file__).resolve().parents[1]
DEADLINE_S = 180.0  # for one work; the longest takes some fifteen seconds

_SLOWING = ("PYTHONASYNCIODEBUG", "PYTHONDEVMODE", "PYTHONDONTWRITEBYTECODE", "PYTHONMALLOC", "PYTHONTRACEMALLOC")


class WorkFailed(Exception):
    """A work came to no figure. Its text says why, in one line."""


def run_rounds(goals: Sequence[Goal], count: int, say: Callable[[str], None]) -> list[list[Round]]:
    """Run the works of all goals, as many rounds as asked for.

    Args:
        goals: The goals.
        count: How many rounds.
        say: Called with a line of progress after each goal.

    Returns:
        For each goal, what its works came to in each round.
    """
    found: list[list[Round]] = [[] for _ in goals]
    for number in range(count):
        for goal, rounds in zip(goals, found, strict=True):
            started = time.monotonic()
            one = run_round(goal, reverse=number % 2 == 1)
            rounds.append(one)
            failed = f", {len(one.failures)} failed" if one.failures else ""
            took = time.monotonic() - started
            say(f"round {number + 1} of {count}, goal {goal.number}: {took:.0f} s{failed}")
    return found


def run_round(goal: Goal, *, reverse: bool) -> Round:
    """Run the works of one goal once, in order or the other way round."""
    figures: dict[str, float] = {}
    failures: dict[str, str] = {}
    keys: Iterable[str] = reversed(list(goal.works)) if reverse else goal.works
    for key in keys:
        try:
            values = run_work(goal.works[key])["figures"]
        except WorkFailed as failure:
            failures[key] = str(failure)
        else:
            figures |= {f"{key}.{name}": float(value) for name, value in values.items()}
    return Round(figures, failures)


def run_work(work: Work, instrument: str | None = None) -> Document:
    """Run one work in a process of its own.

    Args:
        work: The work.
        instrument: What to look into it with; see `instruments`.

    Returns:
        Its `figures` by name; and `report`, what the instrument saw.

    Raises:
        WorkFailed: it raised, took too long, or came to nothing.
    """
    request = {"function": work.function, "arguments": dict(work.arguments), "instrument": instrument}
    command = [sys.executable, "-m", "benchmarks.child", json.dumps(request)]
    with tempfile.TemporaryFile("w+") as stdout, tempfile.TemporaryFile("w+", errors="replace") as stderr:
        process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=clean_environment() | dict(work.environment),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,  # a group of its own, with what it starts
        )
        try:
            code = process.wait(DEADLINE_S)
        except subprocess.TimeoutExpired:
            raise WorkFailed(f"not done after {DEADLINE_S:.0f} s") from None
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        stdout.seek(0)
        stderr.seek(0)
        return _document(code, stdout.read(), stderr.read())


def clean_environment() -> dict[str, str]:
    """The variables around, without those that set up millrace or make Python slower."""
    return {
        name: value for name, value in os.environ.items() if name not in _SLOWING and not name.startswith("MILLRACE_")
    }


def last_line(text: str) -> str:
    """The last line that says something: of a traceback, the error."""
    return next((line.strip() for line in reversed(text.splitlines()) if line.strip()), "")


def _document(code: int, printed: str, complaints: str) -> Document:
    try:
        document: Document = json.loads(printed)
    except ValueError:
        document = {}
    if code != 0 or not document:
        reason = last_line(complaints) or f"exit code {code}"
        raise WorkFailed(reason.replace(str(ROOT), "."))  # what is published names no place on this machine
    return document
