"""Each contract is tested with every queue."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.deferred.places import PLACES, Place


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__.removeprefix("in_"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a queue is, with nothing in it."""
    with request.param(tmp_path) as made:
        yield made
