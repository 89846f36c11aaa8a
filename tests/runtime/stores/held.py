"""A store whose commits a test lets through one by one, or has fail."""

from __future__ import annotations

from threading import Condition
from typing import Any

from millrace.actors.errors import StoreError
from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.port import Group

PATIENCE = 20.0


class HeldStore(MemoryStore):
    """Takes groups, and commits none of them before it is told to."""

    def __init__(self) -> None:
        super().__init__()
        self._changed = Condition()
        self._allowed = 0  # so many more groups are committed
        self._open = False
        self._error: StoreError | None = None
        self.waiting = 0  # groups that are there and not committed
        self.groups: list[Group] = []

    def append(self, group: Group) -> None:
        with self._changed:
            self.waiting += 1
            self.groups.append(group)
            self._changed.notify_all()
            assert self._changed.wait_for(lambda: self._open or self._allowed or self._error, PATIENCE)
            self.waiting -= 1
            self._allowed = max(0, self._allowed - 1)
            error = self._error
        if error is not None:
            group.done(error)
        else:
            super().append(group)

    def arrived(self) -> None:
        """Wait until a group is there that is not committed."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.waiting, PATIENCE)

    def release(self) -> None:
        """Commit all from now on."""
        with self._changed:
            self._open = True
            self._changed.notify_all()

    def fail(self, error: StoreError) -> None:
        """Commit nothing more."""
        with self._changed:
            self._error = error
            self._changed.notify_all()

    def records(self) -> list[Any]:
        """All records of all groups so far."""
        return [record for group in self.groups for record in group.records]
