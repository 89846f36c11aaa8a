"""Plays generated flows on millrace and on Prefect, and compares: `make differential`.

Both engines play in the environment that the benchmarks make for their peers, each in a process of its own. What is not
equal, and not on the list of docs/differences.md, is a failure; and so is a listed difference that does not show.

`--record` keeps Prefect's answers to the first scripts in recorded.jsonl, which the tests compare millrace with.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
ENVIRONMENT = ROOT / ".venv-peers"
RECORDED = HERE / "recorded.jsonl"
FLOWS = 300
KEPT = 61  # of the answers, the one about parameters first
DEADLINE_S = 1800  # for one engine; Prefect takes one to two seconds a flow

Answers = tuple[dict[int, Any], dict[tuple[int, int, str], Any]]
"""What was seen of each script, by its seed, and what each case gave, by section, bullet and name."""


def main() -> int:
    """Play, compare, print what differs."""
    parser = argparse.ArgumentParser(description="Play generated flows on millrace and on Prefect, and compare.")
    parser.add_argument("--flows", type=int, default=FLOWS, help=f"how many; {FLOWS} if left out")
    parser.add_argument("--first", type=int, default=0, help="seed of the first one")
    parser.add_argument("--record", action="store_true", help="keep Prefect's answers for the tests")
    arguments = parser.parse_args()
    sys.path[:0] = [str(ROOT), str(ROOT / "benchmarks" / "peers")]
    environment = importlib.import_module("environment")
    comparing = importlib.import_module("tests.differential.comparing")
    try:
        python = environment.prepare(ENVIRONMENT)
        environment.install_millrace(ENVIRONMENT, ROOT)
    except environment.InstallationError as error:
        print(f"the engines cannot be installed: {error}", file=sys.stderr)
        return 1
    seeds = (arguments.first, arguments.first + arguments.flows)
    answers: dict[str, Answers] = {}
    for engine in ("millrace", "prefect"):
        started = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            answers[engine] = _played(
                [str(python), str(HERE / "peer.py"), engine, *map(str, seeds)], environment.quiet(Path(scratch))
            )
        print(f"{engine}: {len(answers[engine][0]) - 1} flows, {time.monotonic() - started:.0f} s", flush=True)
    failures = comparing.failures(answers["millrace"], answers["prefect"], [-1, *range(*seeds)])
    for failure in failures:
        print(failure)
    if arguments.record:
        kept = [json.dumps({"seed": seed, "seen": seen}) for seed, seen in sorted(answers["prefect"][0].items())[:KEPT]]
        RECORDED.write_text("\n".join(kept) + "\n")
        print(f"written: {RECORDED}")
    listed = len(answers["prefect"][1])
    told = f"{arguments.flows} flows and {listed} cases of listed differences: {len(failures)} that should not be so"
    print(told)
    rows = os.environ.get("PROOF_ROWS")  # as tests/proofs/verdicts.py has it, which needs more than a bare Python
    if rows:
        row = {"tried": "the same flows on millrace and on Prefect", "came_to": told, "holds": not failures}
        with Path(rows).open("a", encoding="utf-8") as file:
            file.write(f"{json.dumps(row)}\n")
    return 1 if failures else 0


def _played(command: list[str], variables: dict[str, str]) -> Answers:
    played = subprocess.run(command, capture_output=True, text=True, env=variables, timeout=DEADLINE_S, check=False)
    if played.returncode != 0:
        print(f"{' '.join(command)} ended with {played.returncode}:\n{played.stderr[-4000:]}", file=sys.stderr)
    flows: dict[int, Any] = {}
    cases: dict[tuple[int, int, str], Any] = {}
    for line in played.stdout.splitlines():
        answer = json.loads(line)
        if "seed" in answer:
            flows[answer["seed"]] = answer["seen"]
        else:
            cases[answer["section"], answer["bullet"], answer["case"]] = answer["gave"]
    return flows, cases


if __name__ == "__main__":
    sys.exit(main())
