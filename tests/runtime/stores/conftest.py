"""Each contract is tested with every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.stores.places import PLACES, Place, Writer


@pytest.fixture(params=PLACES, ids=lambda make: make.__name__.removeprefix("in_"))
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    """Where a store is, with nothing in it."""
    made: Place = request.param(tmp_path)
    return made


@pytest.fixture
def writer(place: Place) -> Iterator[Writer]:
    """The first owner of a store."""
    made = Writer.of(place)
    yield made
    made.store.close()
