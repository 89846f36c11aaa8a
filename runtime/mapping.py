"""Maps: one task over many items.

Decides which arguments of a map are spread, what is wrong with one that cannot be, and when its runs come into being: each
when its turn comes to start, or when somebody looks at its future. Until then a map is one object with counters.
"""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterable, Mapping
from contextvars import Context
from threading import Lock
from typing import TYPE_CHECKING, Any

import attrs

from millrace.actors.annotations import Annotation, allow_failure, opaque, quote, unmapped
from millrace.actors.errors import ForeignFuture, InputResolutionError, MappingLengthMismatch, MappingMissingIterable
from millrace.actors.messages import Born, ChildrenDropped
from millrace.actors.states import State
from millrace.runtime.futures import Future
from millrace.runtime.inputs import LEAVES, Inputs, scan

if TYPE_CHECKING:
    from millrace.runtime.future_list import FutureList
    from millrace.runtime.lanes import Lane
    from millrace.runtime.runs import TaskRun, TaskSite
    from millrace.runtime.shape import Shape


@attrs.frozen
class Plan:
    """How the arguments of a map become the arguments of its runs.

    Args:
        args: Positional arguments: columns, and values that every run gets.
        kwargs: Keyword arguments, likewise.
        size: How many runs.
    """

    args: tuple[Column | Constant, ...]
    kwargs: dict[str, Column | Constant]
    size: int

    def call(self, index: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of one run."""
        return (
            tuple([each.at(index) for each in self.args]),
            {name: each.at(index) for name, each in self.kwargs.items()} if self.kwargs else {},
        )


@attrs.frozen
class Constant:
    """An argument that every run gets whole.

    Args:
        value: The argument.
    """

    value: Any

    def at(self, _index: int) -> Any:
        """The argument of one run."""
        return self.value


@attrs.frozen
class Column:
    """An argument that is spread, one item for each run.

    Args:
        items: The items.
        annotation: Stood around the iterable, and is kept around each item.
    """

    items: Any  # indexable, with a length
    annotation: Annotation[Any] | None = None

    def at(self, index: int) -> Any:
        """The argument of one run."""
        item = self.items[index]
        return item if self.annotation is None else self.annotation.rewrap(item)


def plan_map(shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Plan:
    """Sort the arguments of a map into what is spread and what is not.

    A future or state of an iterable is resolved first: in sync code that may block.

    Raises:
        MappingMissingIterable: nothing can be spread.
        MappingLengthMismatch: what is spread is not of one length; the error gives the lengths.
        BlockingCallOnLoop: a future that is not done was given on a loop's thread; await it first.
    """
    columns = {index: _column_or_constant(value) for index, value in enumerate(args)}
    named = {name: _column_or_constant(value) for name, value in kwargs.items()}
    lengths: dict[str, int] = {}
    for place, each in [*columns.items(), *named.items()]:
        if isinstance(each, Column):
            name = shape.name_of(place)
            lengths[name if name not in lengths else f"{name}[{place}]"] = len(each.items)
    if not lengths:
        raise MappingMissingIterable([shape.name_of(place) for place in (*columns, *named)])
    if len(set(lengths.values())) > 1:
        raise MappingLengthMismatch(lengths)
    return Plan(tuple(columns.values()), named, next(iter(lengths.values())))


def _column_or_constant(value: Any) -> Column | Constant:
    if isinstance(value, (unmapped, quote)):
        # `unmapped` has said all it has to say; `quote` still has something to say to the search for futures.
        return Constant(value.unwrap() if isinstance(value, unmapped) else value)
    if isinstance(value, Annotation):
        inner = _column_or_constant(value.unwrap())
        if isinstance(inner, Constant):
            return Constant(value)
        if isinstance(value, (allow_failure, opaque)):
            return Column(inner.items, value)
        return inner
    if isinstance(value, Future) or isinstance(value, State):
        value = value.result()
    if not _spreads(value):
        return Constant(value)
    return Column(value if isinstance(value, (list, tuple, range)) else list(value))


def _spreads(value: Any) -> bool:
    """Whether an argument is spread: an iterable that is not text, bytes or an open file."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, io.IOBase))


class Cursor:
    """A map on its way: makes its runs, in order, as they are asked for.

    Shared by the threads that execute the runs and those that look at their futures; guarded by its lock.
    """

    __slots__ = (
        "_context", "_early", "_first_id", "_first_key", "_futures", "_lock", "_misfits", "_next", "_one_plain_column",
        "_plan", "_site", "_tags", "_wait_for", "lane",
        "parent", "size",
    )  # fmt: skip

    def __init__(
        self,
        site: TaskSite,
        plan: Plan,
        first_id: int,
        first_key: int,
        *,
        parent: int | None,
        context: Context,
        tags: frozenset[str],
        lane: Lane,
        wait_for: list[Any] | None,
    ) -> None:
        self.size = plan.size
        self._site = site
        self._plan = plan
        self._first_id = first_id
        self._first_key = first_key
        self.parent = parent
        self._context = context
        self._tags = tags
        self.lane = lane
        self._wait_for = wait_for
        self._lock = Lock()
        self._next = 0  # the next index to start; size once all have been started or dropped
        self._early: dict[int, TaskRun] = {}  # looked at before they were started: index -> run, index >= _next
        self._futures: weakref.ref[FutureList[Any]] | None = None
        self._misfits: list[
            tuple[TaskRun, ForeignFuture | InputResolutionError]
        ] = []  # made, and to be failed: not looked into
        # The usual map: one argument, spread, and nothing else.
        self._one_plain_column = len(plan.args) == 1 and not plan.kwargs and wait_for is None

    def bind(self, futures: FutureList[Any]) -> None:
        """Say where the runs are looked at. Held weakly: a map whose futures were dropped keeps none of its runs."""
        self._futures = weakref.ref(futures)

    @property
    def more(self) -> bool:
        """Whether runs are left to be started."""
        return self._next < self.size

    def take(self, most: int) -> list[TaskRun]:
        """The next runs to start, at most so many; empty when there are no more.

        Runs that wait for others are made and not given: they go to their lane when what they wait for has ended.
        """
        ready: list[TaskRun] = []
        while not ready and self._next < self.size:
            with self._lock:
                first = self._next
                last = min(first + most, self.size)
                self._next = last
                futures = None if self._futures is None else self._futures()
                born: list[TaskRun] = []
                for index in range(first, last):
                    run = self._early.pop(index, None) if self._early else None
                    if run is None:
                        run = self._make(index)
                        born.append(run)
                        if futures is not None:
                            futures.place(index, run)
                    if not run.unready:
                        ready.append(run)
            if born:
                self._announce(born)
        return ready

    def _announce(self, born: list[TaskRun]) -> None:
        self._site.scope.tell(Born(tuple(born)))
        while self._misfits:
            run, error = self._misfits.pop()
            run.fail_unstarted(error)
        for run in born:
            if run.unready:
                run.watch_upstreams()

    def run_at(self, index: int) -> TaskRun:
        """The run at an index, made now if it was not there: somebody looks at it."""
        with self._lock:
            run = self._early.get(index)
            if run is None:
                futures = None if self._futures is None else self._futures()
                placed: Any = None if futures is None else futures.placed(index)
                if placed is not None:
                    return placed  # type: ignore[no-any-return]
                run = self._make(index)
                if futures is not None:
                    futures.place(index, run)
                dropped = index < self._next
                if not dropped:
                    self._early[index] = run
            else:
                return run
        if dropped:
            run.end_unstarted()
        else:
            self._announce([run])
        return run

    def cancel(self) -> None:
        """Start no more runs: those that nobody has looked at are dropped, and are CANCELLED if somebody ever does."""
        with self._lock:
            left = self.size - self._next - len(self._early)
            self._next = self.size
            self._early.clear()
        if left:
            self._site.scope.tell(ChildrenDropped(left))

    def _make(self, index: int) -> TaskRun:
        site = self._site
        if self._one_plain_column and not site.scope.tracker:
            item = self._plan.args[0].at(index)
            if item.__class__ in LEAVES:
                return self._run_of(index, (item,), {}, None)
        args, kwargs = self._plan.call(index)
        try:
            inputs = scan(site.task.shape.name_of, args, kwargs, self._wait_for, site.scope)
        except (ForeignFuture, InputResolutionError) as error:
            run = self._run_of(index, (), {}, None)
            self._misfits.append((run, error))
            return run
        return self._run_of(index, args, kwargs, inputs)

    def _run_of(self, index: int, args: tuple[Any, ...], kwargs: dict[str, Any], inputs: Inputs | None) -> TaskRun:
        return self._site.make(
            self._first_id + index,
            self._first_key + index,
            self.parent,
            args,
            kwargs,
            self._context,
            self._tags,
            self.lane,
            inputs,
        )
