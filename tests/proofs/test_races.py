"""What ends a run races with its result; see `races`. `make proof` has 10,000 of each kind."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest

from tests.proofs.races import KINDS


@pytest.mark.parametrize(("races", "rival"), KINDS, ids=[races.__name__ for races, _ in KINDS])
def test_a_run_that_is_ended_as_its_body_returns_has_one_outcome(
    races: Callable[[int], Counter[str]], rival: str
) -> None:
    found = races(300)

    assert found.total() == 300
    assert set(found) <= {"Completed", rival}
