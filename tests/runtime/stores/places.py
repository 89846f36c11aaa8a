"""Places for stores: each kind of store, with what a test needs to have it opened twice."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import attrs
import pytest

from millrace.actors.states import StateType
from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.port import Group, Opened, Owner, Store
from millrace.runtime.stores.postgres import PostgresStore
from millrace.runtime.stores.records import Entered, Entry, FlowRunMade, Record, TaskRunMade, Value
from millrace.runtime.stores.sqlite import SqliteStore

FLOW = 7 << 96
"""The id of a flow run."""

ENTRY = Entry("/srv/shop.py", "shop", "nightly")


@attrs.frozen
class Place:
    """Where a store is.

    Args:
        kind: Which store.
        opened: Makes one that shows what was written there before.
        usurp: Lets another one be opened although the first lives.
    """

    kind: str
    store: Callable[[], Store]
    usurp: Callable[[], None]
    leave: Callable[[], None] = lambda: None
    """Closes all that is open still."""


def in_memory() -> Place:
    store = MemoryStore()
    return Place("memory", lambda: store, lambda: None)


def in_sqlite(folder: Path) -> Place:
    path = folder / "runs.db"
    return Place("sqlite", lambda: SqliteStore(path), path.with_name("runs.db.lock").unlink)


def in_postgres(url: str) -> Place:
    made: list[PostgresStore] = []

    def store() -> PostgresStore:
        made.append(PostgresStore(url, return_seconds=0))
        return made[-1]

    def usurp() -> None:
        """Take the leases away, and do not let them come back."""
        for each in made:
            lease, each._lease = each._lease, None
            if lease is not None:
                each._own.run(lease.give_back())

    def leave() -> None:
        for each in made:
            each.close()

    return Place("postgres", store, usurp, leave)


EMBEDDED: Sequence[str] = ("memory", "sqlite")
KINDS: Sequence[str] = (*EMBEDDED, "postgres")
EMBEDDED_STORES = pytest.mark.parametrize("place", EMBEDDED, indirect=True)
EVERY_STORE = pytest.mark.parametrize("place", KINDS, indirect=True)


@attrs.define
class Writer:
    """An owner that writes.

    Args:
        store: Where to.
        opened: What opening it has come to.
    """

    store: Store
    opened: Opened
    number: int = 0

    @classmethod
    def of(cls, place: Place, name: str = "process 1 on mill", at: int = 1_000) -> Writer:
        store = place.store()
        return cls(store, store.open(Owner(name, at)))

    def outcome(self, *records: Record, number: int | None = None) -> BaseException | None:
        """Write a group, and give what was told of it."""
        self.number = self.number + 1 if number is None else number
        told: list[BaseException | None] = []
        self.store.append(Group(self.opened.token, self.number, records, told.append))
        assert len(told) == 1
        return told[0]

    def write(self, *records: Record) -> None:
        """Write a group, which is acknowledged."""
        error = self.outcome(*records)
        assert error is None, error


def flow_made(
    run: int = FLOW,
    *,
    name: str = "misty-otter",
    flow: str = "nightly",
    parent: int | None = None,
    tags: frozenset[str] = frozenset({"x"}),
) -> FlowRunMade:
    parameters = {"day": Value("json", b'"Friday"')}
    return FlowRunMade(run, 100, name, flow, "2", parent, None, ENTRY, parameters, tags)


def task_made(run: int = FLOW + 1, *, task: str = "load", key: int = 0, flow_run: int | None = FLOW) -> TaskRunMade:
    return TaskRunMade(run, 110, flow_run, task, key, None, frozenset({"a", "b"}), {"day": ["1"]})


def entered(run: int, sequence: int, kind: StateType, *, is_flow: bool = False, at: int = 0, **more: object) -> Entered:
    made = Entered(run, is_flow, sequence, kind, None, None, at or 120 + sequence, "told")
    for name, value in more.items():
        setattr(made, name, value)
    return made


def running_flow(run: int = FLOW) -> list[Record]:
    """A flow run that has been made, and is RUNNING."""
    return [
        flow_made(run),
        entered(run, 1, StateType.RUNNING, is_flow=True, at=105, attempts=1),
    ]


def completed_task(run: int = FLOW + 1, data: Value | None = None, key: int = 0) -> list[Record]:
    """A task run from its beginning to its end."""
    return [
        task_made(run, key=key),
        entered(run, 1, StateType.RUNNING, attempts=1),
        entered(run, 2, StateType.COMPLETED, data=data, ended=True),
    ]
