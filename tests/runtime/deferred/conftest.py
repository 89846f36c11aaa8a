"""Each contract is tested with every queue."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.postgres import Server
from tests.runtime.deferred.places import EMBEDDED, KINDS, Place, in_postgres


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Where a queue is, with nothing in it."""
    with ExitStack() as stack:
        if request.param in EMBEDDED:
            yield stack.enter_context(EMBEDDED[request.param](tmp_path))
        else:
            server: Server = request.getfixturevalue("postgres")
            yield stack.enter_context(in_postgres(stack.enter_context(server.store("runs"))))
