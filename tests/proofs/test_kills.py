"""A flow is killed again and again; see `kills`. `make proof` does it hundreds of times."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.e2e.programs import ROOT, environment


def kills(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tests.proofs.kills", *arguments],
        cwd=ROOT, env=environment(), capture_output=True, text=True, check=False, timeout=110,
    )  # fmt: skip


@pytest.mark.timeout(120)
def test_nothing_that_was_acknowledged_is_lost_or_computed_again() -> None:
    done = kills("--kills", "10", "--points", "1", "--seed", "7")

    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 lost, or computed again" in done.stdout.splitlines()[-1]


@pytest.mark.timeout(120)
def test_nothing_is_lost_on_a_server_either() -> None:
    done = kills("--kills", "1", "--points", "1", "--seed", "7", "--store", "postgres")

    assert done.returncode == 0, done.stdout + done.stderr
    assert ", 0 lost, or computed again" in done.stdout.splitlines()[-1]


@pytest.mark.timeout(120)
def test_a_store_that_acknowledges_before_it_commits_is_found_out() -> None:
    done = kills("--kills", "40", "--points", "0", "--seed", "7", "--store", "hasty")

    assert done.returncode == 1, done.stdout + done.stderr
    assert "ran again, although its result had been given" in done.stdout
