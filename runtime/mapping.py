"""Maps: one task over many items.

Decides which arguments of a map are spread, what is wrong with one that cannot be, and when its runs come into being:
each when its turn comes to start, or when somebody looks at its future. Until then a map is one object with counters.
"""

from __future__ import annotations

import io
import weakref
from collections.abc import Iterable, Mapping
from contextvars import Context
from threading import RLock
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.annotations import Annotation, allow_failure, quote, unmapped
from millrace.actors.errors import ForeignFuture, InputResolutionError, MappingLengthMismatch, MappingMissingIterable
from millrace.actors.messages import Born, ChildrenDropped
from millrace.actors.states import State
from millrace.actors.stored_result import Found
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import Future, refuse_to_block
from millrace.runtime.inputs import Inputs, scan
from millrace.runtime.nesting import LEAVES
from millrace.runtime.runs import TaskRun

if TYPE_CHECKING:
    from millrace.runtime.lanes import Lane
    from millrace.runtime.replaying import Replay
    from millrace.runtime.shape import Shape
    from millrace.runtime.task_site import TaskSite


class Plan:
    """How the arguments of a map become the arguments of its runs.

    Args:
        args: Positional arguments: columns, and values that every run gets.
        kwargs: Keyword arguments, likewise.
        size: How many runs.
    """

    __slots__ = ("args", "kwargs", "size")

    def __init__(self, args: tuple[Column | Constant, ...], kwargs: dict[str, Column | Constant], size: int) -> None:
        self.args = args
        self.kwargs = kwargs
        self.size = size

    def first_call(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of the first run; none where there is none."""
        return self.call(0) if self.size else ((), {})

    @property
    def only_items(self) -> Any:
        """The items of the usual map: of one argument, spread, and nothing else. None for other maps."""
        only = self.args[0] if len(self.args) == 1 and not self.kwargs else None
        return only.items if isinstance(only, Column) and not only.annotations else None

    def call(self, index: int) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """The arguments of one run."""
        return (
            tuple([each.at(index) for each in self.args]),
            {name: each.at(index) for name, each in self.kwargs.items()} if self.kwargs else {},
        )


class Constant:
    """An argument that every run gets whole.

    Args:
        value: The argument.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value

    def at(self, _index: int) -> Any:
        """The argument of one run."""
        return self.value


class Column:
    """An argument that is spread, one item for each run.

    Args:
        items: The items.
        annotations: Stood around the iterable, the innermost first, and are kept around each item.
    """

    __slots__ = ("annotations", "items")

    def __init__(self, items: Any, annotations: tuple[Annotation[Any], ...] = ()) -> None:
        self.items = items  # indexable, with a length
        self.annotations = annotations

    def at(self, index: int) -> Any:
        """The argument of one run."""
        item = self.items[index]
        for annotation in self.annotations:
            item = annotation.rewrap(item)
        return item


def plan_map(shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Plan:
    """Sort the arguments of a map into what is spread and what is not.

    A future or state of an iterable is resolved first: in sync code that may block.

    Raises:
        MappingMissingIterable: nothing can be spread.
        MappingLengthMismatch: what is spread is not of one length; the error gives the lengths.
        BlockingCallOnLoop: a future that is not done was given on a loop's thread; await it first.
    """
    columns = {index: _column_or_constant(value, shape, index) for index, value in enumerate(args)}
    named = {name: _column_or_constant(value, shape, name) for name, value in kwargs.items()}
    lengths: dict[str, int] = {}
    every: list[tuple[int | str, Column | Constant]] = [*columns.items(), *named.items()]
    for place, each in every:
        if isinstance(each, Column):
            name = shape.name_of(place)
            lengths[name if name not in lengths else f"{name}[{place}]"] = len(each.items)
    if not lengths:
        raise MappingMissingIterable([shape.name_of(place) for place, _ in every])
    if len(set(lengths.values())) > 1:
        raise MappingLengthMismatch(lengths)
    return Plan(tuple(columns.values()), named, next(iter(lengths.values())))


def _column_or_constant(  # noqa: PLR0911  # one for each kind of argument
    value: Any, shape: Shape, place: int | str, *, failure_allowed: bool = False
) -> Column | Constant:
    if isinstance(value, unmapped):
        return Constant(value.unwrap())  # it has said all it has to say
    if isinstance(value, Annotation):
        inner: Any = value.unwrap()
        if isinstance(value, quote) and isinstance(inner, (Future, State)):
            return Constant(value)
        allowed = failure_allowed or isinstance(value, allow_failure)
        found = _column_or_constant(inner, shape, place, failure_allowed=allowed)
        if isinstance(found, Constant):
            return Constant(value.rewrap(found.value))
        return Column(found.items, (*found.annotations, value))
    if isinstance(value, (Future, State)):
        if isinstance(value, Future) and not value.done():
            # It cannot be left for later: a list of futures has a length.
            call = f"{shape.function_name}.map()"
            refuse_to_block(
                value.source,
                f"{call} of {shape.name_of(place)!r}, a future that is not done,",
                call.replace("()", "(await future)"),
            )
        result = value.result(raise_on_failure=not failure_allowed)
        if isinstance(result, BaseException):
            return Constant(value)  # every run gets the exception, as it would from any failure that is allowed
        value = result
    if not _spreads(value):
        return Constant(value)
    # A copy, because the runs are made later, and the list is the user's.
    if isinstance(value, FutureList):
        return Column(value.view())
    return Column(value if isinstance(value, (tuple, range)) else list(value))


def _spreads(value: Any) -> bool:
    """Whether an argument is spread: an iterable that is not text, bytes or an open file."""
    return isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, io.IOBase))


class MadeRuns(list["TaskRun | None"]):
    """The runs of a map by index; None where one has not been made."""

    __slots__ = ("__weakref__",)


_NO_KWARGS: Final[Mapping[str, Any]] = {}


class Cursor:
    """A map on its way: makes its runs, in order, as they are asked for.

    Shared by the threads that execute the runs and those that look at their futures. Taking runs needs no lock, which
    a thread that was preempted could hold: indexes are handed out by a counter, and where a taker and a looker make
    the run of the same index at once, the one that enters it first in `_early` wins. Both put a run in the list of
    made ones before they take it out of `_early`, and look there after they put one in. Where events are told there is
    a lock all the same, as the first event of a run is told by whoever makes it, and others may come upon it.
    """

    __slots__ = (
        "_context",
        "_counter",
        "_dropped_from",
        "_early",
        "_first_id",
        "_first_key",
        "_items",
        "_leftovers",
        "_lookers",
        "_misfits",
        "_next",
        "_plan",
        "_replayed",
        "_runs",
        "_site",
        "_wait_for",
        "in_line",
        "lane",
        "parent",
        "size",
        "tags",
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
        replayed: Mapping[int, Found] | None = None,
        leftovers: Replay | None = None,
    ) -> None:
        self.size = plan.size
        self._site = site
        # The usual map needs no more of its plan than the items: there may be very many maps at once.
        self._items = plan.only_items if wait_for is None else None
        self._plan = plan if self._items is None else None
        self._first_id = first_id
        self._first_key = first_key
        self.parent = parent
        self._context = context
        self.tags = tags
        self.lane = lane
        self.in_line = False  # it stands in a loop lane's line
        self._wait_for = wait_for
        self._replayed = replayed or None  # by index: results that an earlier attempt of the flow has come to
        self._leftovers = leftovers  # has what another process has left of runs whose place these take
        self._counter = iter(range(plan.size))  # hands out the indexes to start; `next` of it is atomic
        self._next = 0  # an index up to which all have been handed out; may lag behind the counter for a moment
        self._early: dict[int, TaskRun] = {}  # by index: made, and not handed out or not in the list of made ones yet
        self._dropped_from: int | None = None  # from there on, what had not been looked at when the map was cancelled
        # One looker at a time; where events are told, one taker too. Whoever is told of an event may look.
        self._lookers = RLock()
        self._runs: weakref.ref[MadeRuns] | None = None
        self._misfits: dict[int, Exception] = {}  # by id of the run: made, and to be failed, because not looked into

    def bind(self) -> MadeRuns:
        """The list that the runs are put in as they are made; for whoever looks at them.

        Held weakly: a map whose futures were dropped keeps none of its runs.
        """
        runs = MadeRuns([None] * self.size)
        self._runs = weakref.ref(runs)
        return runs

    @property
    def more(self) -> bool:
        """Whether runs are left to be started."""
        return self._next < self.size

    @property
    def site(self) -> TaskSite:
        """The task as it stands in its flow run."""
        return self._site

    def move_to(self, site: TaskSite) -> None:
        """Make the runs that are left at another site of the same task."""
        self._site = site

    @property
    def unmade(self) -> int:
        """How many runs have not been made yet."""
        return self.size - self._next - len(self._early)

    def drops(self, index: int) -> bool:
        """Whether the run at an index, which nobody has made, will not be started any more."""
        return self._dropped_from is not None and index >= self._dropped_from

    def holds_back(self, run: TaskRun) -> bool:
        """Whether a run has been made because somebody has looked at it, and its turn has not come."""
        return run.id - self._first_id >= self._next

    def take(self, most: int) -> list[TaskRun]:
        """The next runs to start, at most so many; empty when there are no more.

        Runs that wait for others are made and not given: they go to their lane when what they wait for has ended.
        """
        ready: list[TaskRun] = []
        told = self._site.journal.listening
        while not ready and self._next < self.size:
            born: list[TaskRun] = []
            if told:  # nobody may come upon a run before it is told that there is one
                with self._lookers:
                    self._draw(most, ready, born)
                    self._tell_of(born)
            else:
                self._draw(most, ready, born)
            if born:
                self._announce(born)
        return ready

    def _draw(self, most: int, ready: list[TaskRun], born: list[TaskRun]) -> None:
        """Take the next indexes, and see to it that they have runs.

        Args:
            most: How many.
            ready: Gets those that may be started.
            born: Gets those that have been made now.
        """
        early = self._early
        made_runs = None if self._runs is None else self._runs()
        now = self._site.now()  # one number for all of them: they are made before any of them begins
        for _ in range(most):
            index = next(self._counter, None)
            if index is None:
                self._next = self.size
                break
            made = self._make(index, now)
            run = early.setdefault(index, made)
            if run is made:
                born.append(run)
                if made_runs is not None:
                    made_runs[index] = run
            elif self._misfits:
                self._misfits.pop(made.id, None)
            early.pop(index, None)
            self._next = index + 1
            if not run.unready and (self._replayed is None or index not in self._replayed):
                ready.append(run)

    def _announce(self, born: list[TaskRun]) -> None:
        self._site.scope.tell(Born(tuple(born)))
        for run in born:
            if self._replayed is not None and (found := self._replayed.get(run.id - self._first_id)) is not None:
                run.take_over(found)
            elif run.unready:
                run.watch_upstreams()
            elif self._misfits and run.id in self._misfits:
                run.fail_unstarted(self._misfits.pop(run.id))

    def run_at(self, index: int, runs: MadeRuns) -> TaskRun:
        """The run at an index, made now if it was not there: somebody looks at it.

        Args:
            index: The index, 0 or more.
            runs: What `bind` returned.
        """
        with self._lookers:
            placed = runs[index]
            if placed is not None:
                return placed
            made = self._make(index, self._site.now())  # looks at other runs, and may cancel this map
            dropped = self.drops(index)
            run = self._early.setdefault(index, made)
            if run is not made:
                return run
            placed = runs[index]
            if placed is not None:  # a taker has been here in between
                self._early.pop(index, None)
                return placed
            if self._site.journal.listening:
                self._tell_of([run])
            if dropped:  # it counts as ended already: nobody may come upon it before it is
                run.end_unstarted()
                self._early.pop(index, None)
            runs[index] = run
        if dropped:
            run.tell_when_recorded()
        else:
            self._announce([run])
        return run

    def cancel(self) -> None:
        """Start no more runs: those that nobody has looked at are dropped, and are CANCELLED if somebody ever does."""
        with self._lookers:
            counter, self._counter = self._counter, iter(range(0))
            first = next(counter, None)
            if first is None:
                return
            self._dropped_from = first
            left = self.size - first - sum(index >= first for index in tuple(self._early))
            self._next = self.size
        if left:
            self._site.scope.tell(ChildrenDropped(left))

    def _make(self, index: int, now: int) -> TaskRun:
        site = self._site
        if self._replayed is not None and index in self._replayed:
            return self._run_of(index, now, (), _NO_KWARGS, None)
        items = self._items
        if items is not None:
            item = items[index]
            if item.__class__ in LEAVES and id(item) not in site.scope.tracker.known():
                return TaskRun(
                    site,
                    self._first_id + index,
                    self._first_key + index,
                    now,
                    self.parent,
                    (item,),
                    _NO_KWARGS,
                    self._context,
                    self.tags,
                    self.lane,
                    None,
                )
            args: tuple[Any, ...] = (item,)
            kwargs: dict[str, Any] = {}
        else:
            assert self._plan is not None  # it has the items, or else the plan
            args, kwargs = self._plan.call(index)
        try:
            inputs = scan(site.task.shape.name_of, args, kwargs, self._wait_for, site.scope)
        except (ForeignFuture, InputResolutionError) as error:
            run = self._run_of(index, now, (), {}, None)
            self._misfits[run.id] = error
            return run
        return self._run_of(index, now, args, kwargs, inputs)

    def _tell_of(self, born: list[TaskRun]) -> None:
        """Tell those who listen of runs that have been made. Before anybody else comes upon them."""
        for run in born:
            run.record("created")
            if self._leftovers is not None:
                run.go_on(self._leftovers)

    def _run_of(
        self, index: int, now: int, args: tuple[Any, ...], kwargs: Mapping[str, Any], inputs: Inputs | None
    ) -> TaskRun:
        return TaskRun(
            self._site,
            self._first_id + index,
            self._first_key + index,
            now,
            self.parent,
            args,
            kwargs,
            self._context,
            self.tags,
            self.lane,
            inputs,
        )
