"""The simulation itself: a share of its seeds, and whether it can fail, repeat itself, and find what is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.ablations import ABLATIONS, QUICK, Ablation
from tests.simulation.batches import Log, Tally
from tests.simulation.simulate import CANARY, simulate
from tests.simulation.simulation import LEAST_STEPS

ROOT = Path(__file__).parents[2]

SHARE = 20
"""Seeds that the tests run. `make proof` runs more."""

BLOCK = 10


@pytest.mark.parametrize("first", range(0, SHARE, BLOCK))
def test_whatever_befalls_it_all_ends_and_nothing_is_broken(first: int) -> None:
    for seed in range(first, first + BLOCK):
        report = simulate(seed)
        assert not report.problem, f"python -m tests.simulation --seed {seed}\n{report.problem}"
        assert report.steps >= LEAST_STEPS


def test_a_batch_that_stands_in_a_log_is_counted_from_there(tmp_path: Path) -> None:
    log = Log(tmp_path / "seeds.log")
    assert log.read() == {}

    log.write(range(250), Tally(250, 130_000, 507, 9_000, 12, 400, 20.5, (), ("0cf0caa",)))
    log.write(range(250, 500), Tally(250, 140_000, 511, 8_000, 13, 300, 21.5, (317,), ("5c3fc61",)))

    first, second = log.read().values()
    both = first.with_more(second)
    assert both == Tally(500, 270_000, 507, 17_000, 25, 700, 42.0, (317,), ("0cf0caa", "5c3fc61"))
    assert str(both).endswith("42 s of CPU; at 0cf0caa, 5c3fc61")
    assert list(log.read()) == [(0, 250), (250, 250)]


def test_the_canary_fails() -> None:
    assert simulate(CANARY).problem.startswith("Broken: 2, a gap between two events")


def test_a_seed_that_is_run_twice_comes_to_the_same_trace() -> None:
    for seed in range(0, SHARE, 5):
        once, again = simulate(seed, traced=True), simulate(seed, traced=True)
        assert once.trace == again.trace
        assert once.digest == again.digest


def test_the_same_seed_comes_to_the_same_trace_in_other_processes() -> None:
    digests = set()
    for hash_seed in ("0", "1", "77", "random"):
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.pathsep.join(sys.path)}
        command = [sys.executable, "-m", "tests.simulation", "--seed", "30", "--count", "2", "--digests"]
        digests.add(
            subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment).stdout
        )
    assert len(digests) == 1
    assert len(digests.pop().splitlines()) == 2


@pytest.mark.parametrize(
    "ablation", [each for each in ABLATIONS if each.name.endswith(QUICK)], ids=lambda each: each.name
)
def test_a_safeguard_that_is_missing_is_missed(ablation: Ablation, invariants_hold: list[str]) -> None:
    seed, problem = ablation.find(range(300))
    assert seed >= 0, "it was not found out"
    assert problem
    invariants_hold.clear()  # they do not
