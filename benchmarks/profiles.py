"""`--profile`: where the time of a goal goes, or its bytes, or the time of the import."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.instruments import SHOWN
from benchmarks.model import Goal
from benchmarks.rounds import ROOT, WorkFailed, clean_environment, last_line, run_work


def profile(goal: Goal) -> str:
    """Run the works of a goal that are worth it under its instrument.

    Args:
        goal: The goal.

    Returns:
        The reports, as text.

    Raises:
        WorkFailed: a work failed.
    """
    if goal.instrument == "imports":
        return f"goal {goal.number}, import millrace\n\n{_imports()}"
    parts: list[str] = []
    for key in goal.profiled:
        report = run_work(goal.works[key], goal.instrument)["report"]
        parts.append(f"goal {goal.number}, {key}\n\n{report}")
    return "\n".join(parts)


def _imports() -> str:
    """The modules that take longest to import, by own time, of a process whose byte code is there already."""
    command = [sys.executable, "-X", "importtime", "-c", "from millrace import flow, run, task"]
    told = ""
    for _ in range(2):  # the first one writes the byte code
        called = subprocess.run(command, cwd=ROOT, env=clean_environment(), capture_output=True, text=True, check=False)
        told = called.stderr
        if called.returncode != 0:
            raise WorkFailed(last_line(told))
    rows = [
        line.removeprefix("import time:").split("|") for line in told.splitlines() if line.startswith("import time:")
    ]
    found = [(int(own), int(total), name.strip()) for own, total, name in rows if own.strip().isdigit()]
    lines = ["own µs   total µs  module"]
    lines += [f"{own:6,} {total:10,}  {name}" for own, total, name in sorted(found, reverse=True)[:SHOWN]]
    return "\n".join(lines) + "\n"
