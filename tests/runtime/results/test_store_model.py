"""The result store against a model of it: a dictionary, a clock, and which serializers each reader was told to read.

Several stores share one storage: one writes pickles, one JSON, one signs. Whatever is written, read, removed, moved to
another key and changed, in whatever order, each of them gives what the model says it may see, or refuses.
"""

from __future__ import annotations

from typing import Any

import attrs
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from millrace import JSONSerializer, MemoryStorage, MissingResult, PickleSerializer, ResultStore, SerializationError
from millrace.actors.timestamps import from_nanoseconds

SECOND = 1_000_000_000
KEYS = ("a", "b", "../a", "é")
VALUES = st.one_of(st.none(), st.integers(), st.text(max_size=5), st.lists(st.integers(), max_size=3))
SECRET = b"nobody else knows this"


@attrs.frozen
class Entry:
    """What lies under a key.

    Args:
        value: The value.
        writer: The store that has written it.
        expires: When, in seconds; None: never.
        whole: It lies where it was put, as it was.
    """

    value: Any
    writer: str
    expires: float | None = None
    whole: bool = True


READS = {"pickle": ("pickle",), "json": ("json", "both"), "both": ("json", "both", "pickle"), "signed": ("signed",)}
"""By store: whose records it reads."""


class Shelf(RuleBasedStateMachine):
    """What is done to both of them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 1_000.0
        self.model: dict[str, Entry] = {}
        self.storage = MemoryStorage()
        made = {
            "pickle": ResultStore(self.storage, serializer=PickleSerializer(), clock=self.clock),
            "json": ResultStore(self.storage, serializer=JSONSerializer(), clock=self.clock),
            "both": ResultStore(self.storage, serializer=JSONSerializer(), accept="pickle", clock=self.clock),
            "signed": ResultStore(self.storage, serializer=JSONSerializer(), signing_key=SECRET, clock=self.clock),
        }
        self.stores = made

    def clock(self) -> int:
        return round(self.now * SECOND)

    names = st.sampled_from(sorted(READS))
    keys = st.sampled_from(KEYS)

    @rule(name=names, key=keys, value=VALUES, lasts=st.sampled_from([None, 1.0, 60.0]))
    def write(self, name: str, key: str, value: Any, lasts: float | None) -> None:
        expires = None if lasts is None else self.now + lasts
        moment = None if expires is None else from_nanoseconds(round(expires * SECOND))
        self.stores[name].write(key, value, expiration=moment)
        self.model[key] = Entry(value, name, expires)

    @rule(name=names, key=keys)
    def read(self, name: str, key: str) -> None:
        entry = self.model.get(key)
        if entry is None:
            with pytest.raises(MissingResult):
                self.stores[name].read(key)
        elif self.may_read(name, entry):
            assert self.stores[name].read(key).result == entry.value
        else:
            with pytest.raises(SerializationError):
                self.stores[name].read(key)

    @rule(name=names, key=keys)
    def find(self, name: str, key: str) -> None:
        entry = self.model.get(key)
        if entry is None:
            assert self.stores[name].find(key) is None
        elif self.may_read(name, entry):
            found = self.stores[name].find(key)
            expired = entry.expires is not None and entry.expires <= self.now
            assert (found is None) == expired
            assert found is None or found.result == entry.value
        else:
            with pytest.raises(SerializationError):
                self.stores[name].find(key)

    def may_read(self, name: str, entry: Entry) -> bool:
        return entry.whole and entry.writer in READS[name]

    @rule(key=keys)
    def remove(self, key: str) -> None:
        self.stores["json"].delete(key)
        self.model.pop(key, None)

    @rule(key=keys, to=keys)
    def somebody_moves_a_record(self, key: str, to: str) -> None:
        if key in self.model and key != to:
            self.storage.write(to, self.storage.read(key))
            self.model[to] = attrs.evolve(self.model[key], whole=False)

    @rule(key=keys, at=st.integers(0, 10_000), bit=st.integers(0, 7))
    def somebody_changes_a_record(self, key: str, at: int, bit: int) -> None:
        if key in self.model and self.model[key].whole:
            content = bytearray(self.storage.read(key))
            content[at % len(content)] ^= 1 << bit
            self.storage.write(key, bytes(content))
            self.model[key] = attrs.evolve(self.model[key], whole=False)

    @rule(seconds=st.sampled_from([0.5, 1.0, 100.0]))
    def time_passes(self, seconds: float) -> None:
        self.now += seconds

    @invariant()
    def there_is_what_was_written_and_nothing_else(self) -> None:
        for key in KEYS:
            assert self.storage.exists(key) == (key in self.model)


TestShelf = Shelf.TestCase
TestShelf.settings = settings(max_examples=60, stateful_step_count=30)
