"""Hashes and keys are the same in every process."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from millrace.runtime.caching import hash_value
from tests.runtime.caching.corpus import hashes, values

ROOT = Path(__file__).parents[3]
PROGRAMME = "import json; from tests.runtime.caching.corpus import hashes; print(json.dumps(hashes()))"


def hashes_elsewhere(seed: str) -> dict[str, str]:
    """What another process comes to, with another seed for the hashes of Python's own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAMME],
        cwd=ROOT,
        env={"PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "PYTHONHASHSEED": seed},
        check=True,
        capture_output=True,
        text=True,
    )
    found: dict[str, str] = json.loads(done.stdout)
    return found


@pytest.mark.parametrize("seed", ["0", "1", "4294967295"])
def test_another_process_comes_to_the_same_hashes_and_keys(seed: str) -> None:
    here = hashes()

    assert hashes_elsewhere(seed) == here


def test_a_value_that_is_made_anew_has_the_same_hash() -> None:
    first, second = values(), values()

    assert [name for name in first if hash_value(first[name]) != hash_value(second[name])] == []


def test_no_two_values_of_the_corpus_have_one_hash() -> None:
    found = {name: hash_value(value) for name, value in values().items()}

    assert len(set(found.values())) == len(found)


def test_the_encoding_does_not_change_by_accident() -> None:
    # Whoever changes this makes every key that users have stored unreachable. Say so in the changelog.
    value = {"pages": ["a", "b"], "depth": 3, "ratio": 0.5, "raw": b"\x00", "none": None, "seen": {1, 2}, "on": True}

    assert hash_value(value) == "cc1b3fd29712512047db418c532f72c734ff8675520e0f99574e5d94409c5955"
