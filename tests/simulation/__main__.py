"""`python -m tests.simulation --seed N`: run the simulation of a seed, and say what happened."""

from __future__ import annotations

import argparse
import os
import random
import sys
import time

from tests.simulation.plans import draw
from tests.simulation.shrinking import shown, shrink
from tests.simulation.simulate import simulate
from tests.simulation.world import Conditions


def main() -> int:
    """Run it."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--plan", action="store_true")
    parser.add_argument("--stop", type=int, default=5)
    parser.add_argument("--lines", type=int, default=120)
    parser.add_argument("--shrink", action="store_true")
    given = parser.parse_args()
    if given.shrink:
        plan, conditions, problem = shrink(given.seed)
        print(conditions, shown(plan), problem, sep="\n")
        print("\n".join(simulate(given.seed, plan=plan, conditions=conditions, traced=True).trace[-given.lines :]))
        return 1
    failed: list[int] = []
    began = time.process_time()
    steps = runs = 0
    for seed in range(given.seed, given.seed + given.count):
        if given.plan:
            rng = random.Random(seed)
            print(Conditions.drawn(rng), shown(draw(rng)), sep="\n")
        report = simulate(seed, traced=given.trace)
        steps += report.steps
        runs += report.runs
        if given.trace:
            print("\n".join(report.trace))
        if report.problem:
            failed.append(seed)
            print(f"seed {seed}: {report.problem}\n")
            if len(failed) >= given.stop:
                break
        elif given.count == 1:
            print(report)
    spent = time.process_time() - began
    print(f"{given.count} seeds, {len(failed)} failed {failed}; {steps:,} steps, {runs:,} runs, {spent:.1f} s")
    return bool(failed)


code = main()
sys.stdout.flush()
os._exit(code)  # a simulation that failed leaves threads behind, and coroutines in the middle of something
