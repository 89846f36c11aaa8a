"""Every async test runs on asyncio in debug mode and on uvloop; after every test nothing may be alive."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Any

import pytest

from tests.invariants import Watched
from tests.runtime.worlds import WORLDS, World


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(("asyncio", {"debug": True, "use_uvloop": False}), id="asyncio-debug"),
        pytest.param(("asyncio", {"use_uvloop": True}), id="uvloop"),
    ],
)
def anyio_backend(request: pytest.FixtureRequest) -> Any:
    """The event loops that the engine has to be right on."""
    return request.param


@pytest.fixture(scope="session", autouse=True)
def _quick_collections() -> Iterator[None]:
    """Leave out of every collection what was there before: looking at it takes most of the time of a small test.

    What each test leaves is frozen too (`tests.invariants`). It is not looked at again before the end: with as many
    tests as are collected here that takes a third of a second.
    """
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture(scope="session", autouse=True)
def _results_of_nobody(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep results that name no storage out of the home of whoever runs the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_LOCAL_STORAGE_PATH", str(tmp_path_factory.mktemp("results")))
        yield


@pytest.fixture(autouse=True)
def nothing_left_behind(monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    """Check the invariants of every engine that the test made."""
    watched = Watched(monkeypatch)
    yield watched
    watched.check()


@pytest.fixture(params=WORLDS, ids=lambda world: world.name)
def world(request: pytest.FixtureRequest) -> World:
    """Sync and async flows with sync and async tasks."""
    made: World = request.param
    return made
