"""`python -m tests.simulation`: run simulations, and say what happened.

--seed N             the simulation of a seed
--seed N --count K   those of K seeds; with --log FILE those of them that are not in that file yet, and then they are
--log FILE --sum     what stands in that file, with the commits that it was found at
--seed N --trace     what happens in it, line by line; with --plan what is run in it
--seed N --shrink    the smallest plan that fails in the same way
--proof              as `make proof` does it: many seeds, and all that stand in the log; some of them twice; and one
                     that has to fail
--ablations          likewise: each safeguard taken away
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from functools import reduce
from pathlib import Path

import attrs

from tests.proofs.verdicts import Row, tell
from tests.simulation.ablations import ABLATIONS
from tests.simulation.batches import BATCH, Log, Tally, in_child
from tests.simulation.drawing import draw
from tests.simulation.shrinking import shown, shrink
from tests.simulation.simulate import CANARY, simulate
from tests.simulation.world import Conditions

SEEDS = 5_000
"""That the proof runs, unless it is told otherwise."""

MOST_TWICE = 250
"""So many seeds are run twice, at most."""

MOST = 2_000
"""Within so many seeds a safeguard that is missing has to be missed."""


def main() -> int:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=0, help="the first seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds")
    parser.add_argument("--stop", type=int, default=5, help="after how many that fail")
    parser.add_argument("--chars", type=int, default=4_000, help="of each problem")
    parser.add_argument("--lines", type=int, default=120, help="of the trace of a plan that was shrunk")
    parser.add_argument("--log", type=Path, help="a file that holds what seeds have come to")
    parser.add_argument("--commit", help="of the engine, for the log; by default that of the checkout")
    for flag in ("trace", "plan", "digests", "shrink", "proof", "ablations", "sum"):
        parser.add_argument(f"--{flag}", action="store_true")
    given = parser.parse_args()
    if given.shrink:
        return _shrink(given.seed, given.lines)
    if given.ablations:
        return _ablate()
    return _prove(given) if given.proof else _run(given)


def _shrink(seed: int, lines: int) -> int:
    plan, conditions, problem, least = shrink(seed)
    print(conditions, shown(plan), problem, sep="\n")
    print("\n".join(simulate(seed, plan=plan, conditions=conditions, traced=True, least_steps=least).trace[-lines:]))
    return 1


def _run(given: argparse.Namespace) -> int:
    if given.plan or given.trace or given.digests:
        return _show(given)
    tally = _logged(given.log) if given.sum else _tally(given)
    print(tally, flush=True)
    return int(bool(tally.failed))


def _logged(log: Path | None) -> Tally:
    """All that stands in a log."""
    return reduce(Tally.with_more, Log(log).read().values() if log else (), Tally())


def _commit() -> str:
    """Of the checkout; empty where this is none."""
    asked = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()


def _tally(given: argparse.Namespace) -> Tally:
    """What the seeds come to. Batches that stand in the log are not run again, unless a seed of theirs has failed."""
    log = Log(given.log) if given.log else None
    there = log.read() if log is not None else {}
    tally = Tally()
    for first in range(given.seed, given.seed + given.count, BATCH):
        batch = range(first, min(first + BATCH, given.seed + given.count))
        found = there.get((first, len(batch)))
        if found is None or found.failed:
            found = in_child(batch, given.stop, given.chars)
            if log is not None and found.seeds == len(batch):  # it may have been broken off
                commit = given.commit or _commit()
                log.write(batch, attrs.evolve(found, commits=(commit,) if commit else ()))
        tally = tally.with_more(found)
        if given.count > BATCH:
            print(f"… {tally}", flush=True)
        if len(tally.failed) >= given.stop:
            break
    return tally


def _show(given: argparse.Namespace) -> int:
    failed = False
    for seed in range(given.seed, given.seed + given.count):
        if given.plan:
            rng = random.Random(seed)
            print(Conditions.drawn(rng), shown(draw(rng)), sep="\n")
        report = simulate(seed, traced=given.trace)
        if given.trace:
            print("\n".join(report.trace))
        if given.digests:
            print(seed, report.digest)
        if report.problem:
            failed = True
            print(f"seed {seed}: {report.problem[: given.chars]}")
    return int(failed)


def _prove(given: argparse.Namespace) -> int:
    given.count = SEEDS if given.count == 1 else given.count
    tally = _tally(given)
    if given.log:
        tally = _logged(given.log)
    seeds = range(given.seed, given.seed + tally.seeds)
    twice = in_child(seeds[::20][:MOST_TWICE], given.stop, given.chars, twice=True)
    canary = simulate(CANARY).problem
    rows = [
        Row("simulation, with all faults", str(tally), holds=not tally.failed),
        Row("seeds that are run twice come to the same trace", f"{twice.seeds} of them", holds=not twice.failed),
        Row("a simulation in which an event goes missing fails", "1 of 1" if canary else "0 of 1", holds=bool(canary)),
    ]
    return tell(rows)


def _ablate() -> int:
    rows: list[Row] = []
    for ablation in ABLATIONS:
        seed, problem = ablation.find(range(MOST))
        came_to = f"first by seed {seed:,}" if problem else f"NOT within {MOST:,} seeds"
        print(f"without: {ablation.name}: {came_to} {problem.splitlines()[:1]}"[:160], flush=True)
        rows.append(Row(f"it is missed that {ablation.name}", came_to, holds=bool(problem)))
    return tell(rows)


code = main()
sys.stdout.flush()
os._exit(code)  # a simulation that failed leaves threads behind, and coroutines in the middle of something
