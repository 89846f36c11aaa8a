"""The futures of a map, as a list that is filled in as it is looked at.

Decides when a future comes into being: not before somebody looks. So a map of a million items costs nothing up front, and
what nobody looks at is never made.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeVar, cast, overload

from millrace.runtime.futures import Future, take
from millrace.runtime.gathering import AsCompleted, block_for_all
from millrace.runtime.waiting import wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.mapping import Cursor

R = TypeVar("R")

_SHOWN = 20


class FutureList(list[Future[R]]):
    """The futures of a map, in the order of its inputs.

    A list in every respect; `await futures` and `futures.result()` give the list of results. The futures of a map come into
    being when they are looked at, so a map of a million items costs nothing up front.
    """

    __slots__ = ("__weakref__", "_cursor")

    def __init__(self, futures: Iterable[Future[R]] = (), cursor: Cursor | None = None) -> None:
        if cursor is None:
            super().__init__(futures)
        else:
            super().__init__(cast("list[Future[R]]", [None] * cursor.size))
        self._cursor = cursor  # makes what has not been looked at; None once everything has been

    def _source_at(self, index: int) -> Any:
        found: Any = list.__getitem__(self, index)
        if found is None:
            cursor = self._cursor
            assert cursor is not None  # only a cursor leaves places to fill
            return cursor.run_at(index if index >= 0 else index + len(self))
        return found.source if isinstance(found, Future) else found

    def sources(self) -> Iterator[Any]:
        """The runs behind the futures, in order."""
        return map(self._source_at, range(len(self)))

    def place(self, index: int, run: Any) -> None:
        """Put in a run that has been made. Called by the cursor, under its lock."""
        list.__setitem__(self, index, run)

    def placed(self, index: int) -> Any:
        """The run at an index, if it has been made; else None. Called by the cursor, under its lock."""
        found: Any = list.__getitem__(self, index)
        return found.source if isinstance(found, Future) else found

    def _at(self, index: int) -> Future[R]:
        found: Any = list.__getitem__(self, index)
        if isinstance(found, Future):
            return found
        future: Future[R] = Future.of(self._source_at(index))
        list.__setitem__(self, index, future)
        return future

    def all(self) -> list[Future[R]]:
        """Every future, made now if it was not there."""
        if self._cursor is not None:
            for index in range(len(self)):
                self._at(index)
            self._cursor = None
        return self

    def result(self, timeout: float | None = None, *, raise_on_failure: bool = True) -> list[R]:
        """Block this thread until every run has ended, and take the results.

        Args:
            timeout: Seconds for all of them; None for no limit.
            raise_on_failure: Raise what the first failed run in the list raised; else exceptions stand among the results.

        Raises:
            TimeoutError: some have not ended in time; it says how many.
            BlockingCallOnLoop: this is the thread of a loop; use `await futures` there.
        """
        self._block(timeout, "FutureList.result()", "await futures")
        return self._take(raise_on_failure=raise_on_failure)

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread until every run has ended. Whether all have, within the seconds given."""
        try:
            self._block(timeout, "FutureList.wait()", "await futures")
        except TimeoutError:
            return False
        return True

    def _block(self, timeout: float | None, call: str, instead: str) -> None:
        block_for_all(self.sources(), timeout, call, instead)

    def __await__(self) -> Generator[Any, Any, list[R]]:
        """The results, or what the first failed run in the list raised. Cancellation: only the wait ends."""
        for source in self.sources():
            if not source.done:
                yield from wait_until_done(source, source.waiting_lane()).__await__()
        return self._take(raise_on_failure=True)

    def _take(self, *, raise_on_failure: bool) -> list[R]:
        for source in self.sources():  # the list's result is taken: each failure in it counts as looked at
            source.see()
        return [take(source, raise_on_failure=raise_on_failure) for source in self.sources()]

    def as_completed(self, timeout: float | None = None) -> AsCompleted[R]:
        """The futures in the order in which they end; iterate with `for` or `async for`. See `as_completed`."""
        return AsCompleted(self, timeout)

    # The list, filled in as it is looked at.

    @overload
    def __getitem__(self, index: SupportsIndex) -> Future[R]: ...
    @overload
    def __getitem__(self, index: slice) -> FutureList[R]: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Future[R] | FutureList[R]:
        if self._cursor is None:
            found = super().__getitem__(index)
            return FutureList(cast("list[Future[R]]", found)) if isinstance(index, slice) else found
        if isinstance(index, slice):
            return FutureList(self._at(each) for each in range(len(self))[index])
        return self._at(index.__index__())

    def __iter__(self) -> Iterator[Future[R]]:
        if self._cursor is None:
            return super().__iter__()
        return map(self._at, range(len(self)))

    def __reversed__(self) -> Iterator[Future[R]]:
        return map(self._at, reversed(range(len(self))))

    def __repr__(self) -> str:
        return f"<FutureList of {len(self):,}>" if len(self) > _SHOWN else list.__repr__(self.all())


def _filled(name: str) -> Any:
    method = getattr(list, name)

    def call(self: FutureList[Any], *args: Any, **kwargs: Any) -> Any:
        return method(self.all(), *args, **kwargs)

    call.__name__ = name
    call.__doc__ = method.__doc__
    return call


for _name in (
    "__add__", "__contains__", "__delitem__", "__eq__", "__iadd__", "__imul__", "__mul__", "__rmul__", "__setitem__",
    "append", "clear", "copy", "count", "extend", "index", "insert", "pop", "remove", "reverse", "sort",
):  # fmt: skip
    setattr(FutureList, _name, _filled(_name))
