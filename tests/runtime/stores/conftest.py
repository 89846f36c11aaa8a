"""Each contract is tested with every store."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.runtime.stores.places import KINDS, Place, Writer, in_memory, in_postgres, in_sqlite


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a store is, with nothing in it."""
    if request.param == "memory":
        made = in_memory()
    elif request.param == "sqlite":
        made = in_sqlite(tmp_path)
    else:
        made = in_postgres(request.getfixturevalue("postgres"))
    yield made
    made.leave()


@pytest.fixture
def writer(place: Place) -> Iterator[Writer]:
    """The first owner of a store."""
    made = Writer.of(place)
    yield made
    made.store.close()
