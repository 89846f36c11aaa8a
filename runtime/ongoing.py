"""Ongoing: the maps and streams of a scope that have not come to their end, and runs that wait to be somebody else's.

Decides which of them are known, so that they can be stopped with their scope; and which streams nobody will ask for
results any more. What stopping means to each, they say themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from millrace.runtime.lanes import Lane
    from millrace.runtime.limits.entrusting import Entrusted
    from millrace.runtime.mapping import Cursor
    from millrace.runtime.pipe import Pipe
    from millrace.runtime.task_site import TaskSite


class Ongoing(list["Cursor"]):
    """The maps and streams of one scope. The list that it is has the maps that have not started all their runs.

    Args:
        lock: Held for a moment only.
    """

    __slots__ = ("_entrusted", "_lock", "_pipes")

    def __init__(self, lock: Lock) -> None:
        super().__init__()
        self._lock = lock  # that of the scope: maps may be started from several threads at once
        self._pipes: dict[int, Pipe] = {}  # by identity: of streams that are iterated over and are not closed
        self._entrusted: dict[int, Entrusted] = {}  # that wait for their slots, likewise

    def add_map(self, cursor: Cursor) -> None:
        """A map begins."""
        with self._lock:
            self[:] = [*(each for each in self if each.more), cursor]

    def add(self, pipe: Pipe) -> None:
        """A stream begins."""
        self._pipes[id(pipe)] = pipe

    def discard(self, pipe: Pipe) -> None:
        """A stream has been closed."""
        self._pipes.pop(id(pipe), None)

    def add_entrusted(self, run: Entrusted) -> None:
        """A run waits for its slots, which is to be given to a task runner of somebody else's then."""
        self._entrusted[id(run)] = run

    def discard_entrusted(self, run: Entrusted) -> None:
        """It waits no longer."""
        self._entrusted.pop(id(run), None)

    def _streams(self) -> list[Pipe]:
        return list(self._pipes.values()) if self._pipes else []

    def every(self) -> list[Cursor | Pipe]:
        """All maps and streams."""
        return [*self, *self._streams()]

    def unmade(self) -> Iterator[tuple[TaskSite, int]]:
        """For each of them, its task and how many of its runs have not been made yet."""
        return ((each.site, each.unmade) for each in self.every())

    def cancel(self, reason: str) -> None:
        """Start no more runs."""
        for cursor in tuple(self):
            cursor.cancel()
        for pipe in self._streams():
            pipe.cancel(reason)
        for run in reversed(list(self._entrusted.values())):
            run.cancel(reason)

    def cancel_where(self, condition: Callable[[Lane], bool], reason: str) -> None:
        """The same for those on some lanes only."""
        for cursor in tuple(self):
            if condition(cursor.lane):
                cursor.cancel()
        for pipe in self._streams():
            if condition(pipe.lane):
                pipe.cancel(reason)

    def close_streams(self, reason: str, condition: Callable[[Pipe], bool] | None = None) -> None:
        """Nobody will ask for results any more: close the streams, with their sources.

        Args:
            reason: Why; whoever asks all the same is told.
            condition: Of some streams only.
        """
        for pipe in self._streams():
            if condition is None or condition(pipe):
                pipe.close(reason)

    @property
    def closing(self) -> bool:
        """Whether streams have been closed, and their sources are not done with that."""
        return any(each.closing for each in self._streams())

    def begin_again(self) -> None:
        """What there was has come to its end."""
        with self._lock:
            self.clear()

    def forget(self) -> None:
        """The scope has ended."""
        self.begin_again()
        self._pipes.clear()
        self._entrusted.clear()


NOTHING_GOES_ON: Final = Ongoing(Lock())
"""Of a scope that has started no map and no stream yet. Nothing is put in it."""


def is_of_the_body(pipe: Any) -> bool:
    """Whether the body of a scope has made a stream, and not one of its tasks."""
    return pipe.parent is None
