"""The futures of a map, as a list that is filled in as it is looked at.

Decides when a future comes into being: not before somebody looks. So a map of a million items costs nothing up front,
and what nobody looks at is never made.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, SupportsIndex, TypeVar, cast, overload

from millrace.actors.states import StateType
from millrace.actors.stored_result import StoredResult, loaded
from millrace.runtime.futures import Future, take_all
from millrace.runtime.gathering import AsCompleted, block_for_all
from millrace.runtime.waiting import waiting

if TYPE_CHECKING:
    from millrace.runtime.mapping import Cursor, MadeRuns
    from millrace.runtime.runs import TaskRun

R = TypeVar("R")

_DROPPED: Final = SimpleNamespace(done=True, ended=1, watchers=None)
"""Stands for runs that a cancelled map will not start any more, for who waits for their end."""

_SHOWN: Final = 20


class FutureList(list[Future[R]]):
    """The futures of a map, in the order of its inputs.

    A list in every respect; `await futures` and `futures.result()` give the list of results. The futures of a map come
    into being when they are looked at, so a map of a million items costs nothing up front.
    """

    __slots__ = ("_cursor", "_runs")

    def __init__(
        self, futures: Iterable[Future[R]] = (), cursor: Cursor | None = None, runs: MadeRuns | None = None
    ) -> None:
        if cursor is None:
            super().__init__(futures)
        else:
            super().__init__(cast("list[Future[R]]", [None] * cursor.size))
            runs = cursor.bind() if runs is None else runs
        # Both None once everything has been looked at.
        self._cursor = cursor  # makes the runs that nobody has made
        self._runs = runs  # those that have been made, shared with the cursor

    def _source_at(self, index: int) -> Any:
        found: Any = super().__getitem__(index)
        if found is not None:
            return found.source
        runs, cursor = self._runs, self._cursor
        assert runs is not None  # only a map leaves places to fill
        assert cursor is not None  # they come and go together
        return runs[index] or cursor.run_at(index if index >= 0 else index + len(self), runs)

    def _awaited_at(self, index: int) -> Any:
        """The same to be waited for: what its map has dropped has ended, and is not made for that."""
        if self._is_dropped(index):
            return _DROPPED
        return self._source_at(index)

    def _is_dropped(self, index: int) -> bool:
        """Whether nobody has made the run at an index, and its map will not start it any more."""
        runs, cursor = self._runs, self._cursor
        if runs is None or cursor is None or not cursor.drops(index):
            return False
        found: Any = super().__getitem__(index)
        return runs[index] is None and found is None

    def view(self) -> FutureList[R]:
        """The same futures in a list that nobody changes, and that makes none which this one has not made."""
        return FutureList(self) if self._cursor is None else FutureList(cursor=self._cursor, runs=self._runs)

    def sources(self) -> Iterator[Any]:
        """The runs behind the futures, in order."""
        return map(self._source_at, range(len(self)))

    def _at(self, index: int) -> Future[R]:
        found: Any = super().__getitem__(index)
        if found is not None:
            return cast("Future[R]", found)
        future = Future[R].of(self._source_at(index))
        super().__setitem__(index, future)
        return future

    def all(self) -> list[Future[R]]:
        """Every future, made now if it was not there."""
        if self._cursor is not None:
            for index in range(len(self)):
                _ = self._at(index)
            self._cursor = self._runs = None
        return self

    def result(self, timeout: float | None = None, *, raise_on_failure: bool = True) -> list[R]:
        """Block this thread until every run has ended, and take the results.

        Args:
            timeout: Seconds for all of them; None for no limit.
            raise_on_failure: Raise what the first failed run in the list raised; else exceptions stand among the
                results.

        Raises:
            TimeoutError: some have not ended in time; it says how many.
            BlockingCallOnLoop: this is the thread of a loop; use `await futures` there.
            ConfigurationError: the timeout is no time.
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
        block_for_all(len(self), self._awaited_at, timeout, call, instead)

    def __await__(self) -> Generator[Any, Any, list[R]]:
        """The results, or what the first failed run in the list raised. Cancellation: only the wait ends."""
        # From the last one backwards: when that has ended most others have, and one wake-up does for all of them.
        for index in reversed(range(len(self))):
            source: Any = None if self._runs is None else self._runs[index]
            if source is None:
                source = self._awaited_at(index)
            if not source.ended or source.watchers is not None:  # not `done`, which is slower
                yield from waiting(source, source.waiting_lane())
        sources, values = self._outcomes(raise_on_failure=True)
        if sources and (self._runs is None or sources[0].stores):
            for index, value in enumerate(values):
                if isinstance(value, StoredResult):
                    values[index] = yield from value.aload().__await__()
        return self._remembered(sources, values)

    def _take(self, *, raise_on_failure: bool) -> list[R]:
        sources, values = self._outcomes(raise_on_failure=raise_on_failure)
        if sources and (self._runs is None or sources[0].stores):
            values = [loaded(value) for value in values]
        return self._remembered(sources, values)

    def _outcomes(self, *, raise_on_failure: bool) -> tuple[list[Any], list[Any]]:
        """The runs, and what they came to; results that lie in a storage are not read yet."""
        if self._runs is not None and None not in self._runs:
            runs = cast("list[TaskRun]", self._runs)
            return runs, take_all(runs, raise_on_failure=raise_on_failure)
        sources: list[Any] = []
        broken_off = False  # the first that was dropped is made, and raised; nobody asks for the others
        for index in range(len(self)):
            if raise_on_failure and self._cursor is not None and self._cursor.drops(index):
                if broken_off and self._is_dropped(index):
                    continue
                broken_off = True
            sources.append(self._source_at(index))
        for source in sources:  # the list's result is taken: each failure in it counts as looked at
            if source.type is not StateType.COMPLETED:
                source.see()
        return sources, [source.take(raise_on_failure=raise_on_failure) for source in sources]

    def _remembered(self, sources: list[Any], values: list[R]) -> list[R]:
        """The values, which go to the user now."""
        if self._runs is not None:
            if sources:
                sources[0].remember_all(sources, values)
        elif len({source.__class__ for source in sources}) == 1:
            sources[0].remember_all(sources, values)
        else:  # somebody put futures of several kinds together
            for source, value in zip(sources, values, strict=True):
                source.remember(value)
        return values

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
            found: Any = super().__getitem__(index)
            return FutureList(found) if isinstance(index, slice) else cast("Future[R]", found)
        if isinstance(index, slice):
            return FutureList(self._at(each) for each in range(len(self))[index])
        return self._at(index.__index__())

    def __iter__(self) -> Iterator[Future[R]]:
        if self._cursor is None:
            return super().__iter__()
        return self._each()

    def _each(self) -> Iterator[Future[R]]:
        index = 0
        while index < len(self):  # it may become longer or shorter on the way, as any list may
            yield self._at(index)
            index += 1

    def __reversed__(self) -> Iterator[Future[R]]:
        return map(self._at, reversed(range(len(self))))

    def __radd__(self, other: list[Future[R]]) -> list[Future[R]]:
        return [*other, *self]

    def __repr__(self) -> str:
        return f"<FutureList of {len(self):,}>" if len(self) > _SHOWN else repr([*self])


def _filled(name: str) -> Any:
    method = getattr(list, name)

    def call(self: FutureList[Any], *args: Any, **kwargs: Any) -> Any:
        return method(self.all(), *args, **kwargs)

    call.__name__ = name
    call.__doc__ = method.__doc__
    return call


for _name in (
    "__add__", "__contains__", "__delitem__", "__eq__", "__ge__", "__gt__", "__iadd__", "__imul__", "__le__", "__lt__",
    "__mul__", "__ne__", "__rmul__", "__setitem__", "append", "clear", "copy", "count", "extend", "index", "insert",
    "pop", "remove", "reverse", "sort",
):  # fmt: skip
    setattr(FutureList, _name, _filled(_name))
