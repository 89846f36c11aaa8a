"""The power of a store is cut; see `cuts`. `make proof` does it thousands of times."""

from __future__ import annotations

from pathlib import Path

from tests.proofs.cuts import cut


def test_with_full_nothing_that_was_acknowledged_is_lost_with_the_power(tmp_path: Path) -> None:
    found = cut(tmp_path, "FULL", seeds=1)

    assert found.cuts > 100
    assert (found.losses, found.gaps, found.broken) == (0, 0, 0)


def test_with_normal_only_what_came_last_is_lost_with_the_power(tmp_path: Path) -> None:
    found = cut(tmp_path, "NORMAL", seeds=1)

    assert found.losses > 0
    assert (found.gaps, found.broken) == (0, 0)


def test_a_disk_that_is_never_waited_for_loses_what_was_acknowledged(tmp_path: Path) -> None:
    """Or the shim would find nothing anywhere."""
    found = cut(tmp_path, "OFF", seeds=0)

    assert found.losses > 0.9 * found.cuts
