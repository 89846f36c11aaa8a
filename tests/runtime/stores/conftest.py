"""Each contract is tested with every store; what is tested in every world, too, with those of one process only.

A test that is marked `EVERY_STORE` is run in every world with every store; one that is marked `EMBEDDED_STORES` asks
for what does not depend on the store, and is spared the server.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.runtime.stores.killing import Kill, Ran
from tests.runtime.stores.places import EMBEDDED, KINDS, Place, Writer, in_memory, in_postgres, in_sqlite


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Choose the stores."""
    marked = any("place" in mark.args for mark in metafunc.definition.iter_markers("parametrize"))
    if "place" in metafunc.fixturenames and not marked:
        metafunc.parametrize("place", EMBEDDED if "world" in metafunc.fixturenames else KINDS, indirect=True)


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a store is, with nothing in it."""
    with ExitStack() as stack:
        if request.param == "postgres":
            server: Server = request.getfixturevalue("postgres")
            made = in_postgres(stack.enter_context(server.store()))
        else:
            made = in_memory() if request.param == "memory" else in_sqlite(tmp_path)
        yield made
        made.leave()


@pytest.fixture
def writer(place: Place) -> Iterator[Writer]:
    """The first owner of a store."""
    made = Writer.of(place)
    yield made
    made.store.close()


@pytest.fixture
def kill(place: Place, tmp_path: Path) -> Kill:
    """Where the process is killed."""
    return Kill(place.store(), tmp_path)


@pytest.fixture
def ran() -> Ran:
    """What has run."""
    return Ran()
