"""The command line: measures goals, prints the table, writes the JSON; or profiles a goal; or writes the docs anew.

The exit code is 1 where a work failed, and the table says why. A goal that is missed is a result, not an error.
"""

from __future__ import annotations

import argparse
import datetime as dt
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from benchmarks import docs, machine, profiles, report
from benchmarks.goals import GOALS
from benchmarks.rounds import ROOT, WorkFailed, run_rounds
from benchmarks.summary import failures, summarise

ROUNDS: Final = 3
RESULTS: Final = ROOT / "benchmarks" / "results"
PAGE: Final = ROOT / "docs" / "benchmarks.md"


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the command line asks for."""
    asked = _parse(arguments)
    if asked.docs:
        return _write_docs()
    if asked.profile is not None:
        return _profile(asked.profile, quick=asked.quick)
    return _measure(asked)


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    known = ",".join(map(str, GOALS))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure millrace against its goals.")
    parser.add_argument("--quick", action="store_true", help="one round, smaller: shows that it works, not how fast")
    parser.add_argument(
        "--goals", type=_goals, default=tuple(GOALS), metavar="NUMBERS", help=f"which (default: {known})"
    )
    parser.add_argument(
        "--json",
        type=Path,
        metavar="FILE",
        help="where the figures go (default: benchmarks/results/bench.json if all goals run in full, else nowhere)",
    )
    parser.add_argument("--rounds", type=_rounds, metavar="N", help=f"how many rounds (default: {ROUNDS}; quick: 1)")
    parser.add_argument("--profile", type=_goal, metavar="GOAL", help="show where the time of a goal goes, and end")
    parser.add_argument("--docs", action="store_true", help="write the tables of docs/benchmarks.md anew, and end")
    return parser.parse_args(arguments)


def _goal(text: str) -> int:
    if not text.isdecimal() or int(text) not in GOALS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(map(str, GOALS))}")
    return int(text)


def _goals(text: str) -> tuple[int, ...]:
    asked = {_goal(each.strip()) for each in text.split(",")}
    return tuple(number for number in GOALS if number in asked)


def _rounds(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number, 1 or more")
    return int(text)


def _measure(asked: argparse.Namespace) -> int:
    rounds = asked.rounds or (1 if asked.quick else ROUNDS)
    goals = [GOALS[number](asked.quick) for number in asked.goals]
    started = dt.datetime.now(dt.UTC)
    document = {
        "schema": docs.BENCH_SCHEMA,
        "started": started.isoformat(timespec="seconds"),
        "rounds": rounds,
        "quick": asked.quick,
        "machine": machine.describe(),
    }
    found = run_rounds(goals, rounds, _say)
    measured = [summarise(goal, each) for goal, each in zip(goals, found, strict=True)]
    document["seconds"] = round((dt.datetime.now(dt.UTC) - started).total_seconds())
    document["goals"] = measured

    print(f"{report.machine(document)}\n\n{report.text(report.cells(measured))}\n\n{report.tally(measured)}")
    file: Path | None = asked.json
    if file is None and not asked.quick and len(goals) == len(GOALS):
        file = RESULTS / "bench.json"
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(document, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        _say(f"written: {file}")
    failed = failures(measured)
    for failure in failed:
        _say(failure)
    return 1 if failed else 0


def _profile(number: int, *, quick: bool) -> int:
    try:
        print(profiles.profile(GOALS[number](quick)))
    except WorkFailed as failure:
        _say(f"goal {number} failed: {failure}")
        return 1
    return 0


def _write_docs() -> int:
    try:
        docs.rewrite(PAGE, RESULTS)
    except docs.DocsError as error:
        _say(str(error))
        return 1
    _say(f"written: {PAGE.relative_to(ROOT)}")
    return 0


def _say(line: str) -> None:
    """Progress and complaints: stdout carries the result and nothing else."""
    print(line, file=sys.stderr, flush=True)
