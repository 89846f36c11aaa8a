"""Every message to every run is checked: what an actor may never do is broken by no test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.actors import validation


@pytest.fixture(scope="session", autouse=True)
def _validated() -> Iterator[list[str]]:
    """Check the invariants of the actors in all tests; what was broken in the present one."""
    broken: list[str] = []
    switch_off = validation.switch_on(broken.append)
    yield broken
    switch_off()


@pytest.fixture(autouse=True)
def invariants_hold(_validated: list[str]) -> Iterator[list[str]]:
    """Check that the test has broken none."""
    _validated.clear()
    yield _validated
    assert not _validated, f"{len(_validated)} broken invariants; the first: {_validated[0]}"
