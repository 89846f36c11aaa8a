"""What tests of the lower floor share: a clock that stands still, and ids that count."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from millrace.actors import ambient

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Surroundings:
    """A clock that moves when it is told to, and ids 1, 2, 3 and so on."""

    def __init__(self) -> None:
        self.ns = 1_800_000_000 * 10**9
        self.ids_given = 0

    @property
    def now(self) -> datetime:
        return EPOCH + timedelta(microseconds=self.ns // 1000)

    def advance(self, seconds: float) -> None:
        self.ns += round(seconds * 10**9)

    def now_ns(self) -> int:
        return self.ns

    def new_id(self) -> UUID:
        self.ids_given += 1
        return UUID(int=self.ids_given)


@pytest.fixture
def surroundings(monkeypatch: pytest.MonkeyPatch) -> Surroundings:
    """Install a fake clock and fake ids for states that are made by hand."""
    fake = Surroundings()
    # Set first, so that the end of the test puts back what was there.
    monkeypatch.setattr(ambient, "_now_ns", fake.now_ns)
    monkeypatch.setattr(ambient, "_new_id", fake.new_id)
    ambient.install(now_ns=fake.now_ns, new_id=fake.new_id)
    return fake
