"""Inputs: futures and states inside arguments, found before a run and replaced by their results at its start.

Decides what is looked for, and where not: inside `quote` and `opaque`. What a collection is, and how one is copied, is
known to `nesting`. Objects that hold no future are passed as they are, and not copied. Which end of an upstream run is
good enough is decided here, what follows from a bad one by the actors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.annotations import Annotation, allow_failure, opaque, quote
from millrace.actors.errors import ConfigurationError, ForeignFuture, InputResolutionError, UnfinishedRun
from millrace.actors.messages import Watch
from millrace.actors.outcomes import get_state_exception
from millrace.actors.run import is_final
from millrace.actors.states import State, StateType, is_state
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import Future
from millrace.runtime.nesting import LEAVES, Replacement, held_by, is_annotation
from millrace.runtime.tracking import FlowRunResult, TaskRunInput, TaskRunResult

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun

WAIT_FOR: Final = "wait_for"
"""The name under which dependencies without data are recorded."""


class GivenState:
    """A state among the arguments, as something that has ended already."""

    __slots__ = ("state",)

    done = True
    engine = None

    def __init__(self, state: State[Any]) -> None:
        self.state = state

    @property
    def name(self) -> str:
        """What an error calls it."""
        details = self.state.state_details
        return str(details.task_run_id or details.flow_run_id or "a state made by hand")

    def tell(self, message: Any) -> None:
        """Answers who watches at once."""
        if isinstance(message, Watch):
            message.watcher.notify(self)

    def see(self) -> None:
        """A state among the arguments has been taken already."""

    @property
    def reference(self) -> TaskRunInput | None:
        """What a dependency on it is recorded as."""
        details = self.state.state_details
        if details.task_run_id is not None:
            return TaskRunResult(details.task_run_id)
        return None if details.flow_run_id is None else FlowRunResult(details.flow_run_id)


class Inputs:
    """What one run depends on, and which of its arguments have to be resolved."""

    __slots__ = ("places", "sources", "upstreams")

    def __init__(self) -> None:
        self.upstreams: list[tuple[Any, bool]] = []  # (what to watch, whether its failure is let through)
        self.sources: dict[str, list[TaskRunInput]] = {}  # by parameter; without parameters that depend on nothing
        self.places: dict[int | str, str] = {}  # arguments to resolve: position or keyword -> the parameter's name

    def add(self, name: str, reference: TaskRunInput | None) -> None:
        """Record a dependency of a parameter."""
        if reference is not None:
            found = self.sources.setdefault(name, [])
            if reference not in found:
                found.append(reference)

    def resolve(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The arguments with futures and states replaced by their results, annotations taken off."""
        if not self.places:
            return args, kwargs
        places = self.places
        resolved = tuple(
            _resolved(value, places[index]) if index in places else value for index, value in enumerate(args)
        )
        named = {key: _resolved(value, places[key]) if key in places else value for key, value in kwargs.items()}
        return resolved, named

    def let_go(self) -> Inputs | None:
        """What remains after the run: the record of its dependencies."""
        if not self.sources:
            return None
        self.upstreams = []
        self.places = {}
        return self


def scan(
    names: Callable[[int | str], str],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any,
    scope: FlowRun,
) -> Inputs | None:
    """Look for what a run depends on.

    Args:
        names: From a position or a keyword to the parameter's name.
        args: Positional arguments.
        kwargs: Keyword arguments.
        wait_for: Dependencies without data; anything that holds futures or states.
        scope: Where the run belongs; it knows the results that were taken earlier.

    Returns:
        The inputs; None when there is nothing to resolve, wait for or record, which is quick to see.

    Raises:
        InputResolutionError: an argument could not be looked into.
        ForeignFuture: a future belongs to another engine.
        ConfigurationError: `wait_for` cannot hold dependencies.
    """
    if wait_for is None:
        known = scope.tracker.known()
        for value in args:
            if value.__class__ not in LEAVES or id(value) in known:
                break
        else:
            for value in kwargs.values():
                if value.__class__ not in LEAVES or id(value) in known:
                    break
            else:
                return None
    inputs = Inputs()
    found = False
    for index, value in enumerate(args):
        found |= _scan_argument(inputs, index, names(index), value, scope)
    for key, value in kwargs.items():
        found |= _scan_argument(inputs, key, names(key), value, scope)
    if wait_for is not None:
        _Scan(inputs, WAIT_FOR, scope).look(dependencies(wait_for), allow=False)
    return inputs if found or inputs.upstreams or inputs.sources else None


def _scan_argument(inputs: Inputs, place: int | str, name: str, value: Any, scope: FlowRun) -> bool:
    holds = _Scan(inputs, name, scope).look(value, allow=False)
    if holds:
        inputs.places[place] = name
    return holds


class _Scan:
    """One search through one argument."""

    __slots__ = ("_engine", "_inputs", "_name", "_seen", "_track", "_tracker")

    def __init__(self, inputs: Inputs, name: str, scope: FlowRun) -> None:
        self._inputs = inputs
        self._name = name
        self._engine = scope.engine
        self._tracker = scope.tracker
        self._track = bool(scope.tracker)
        # (id, whether a failure is let through) of each collection that was entered -> the collection, so that none is
        # entered twice, and no id given to another one meanwhile.
        self._seen: dict[tuple[int, bool], Any] = {}

    def look(self, value: Any, *, allow: bool) -> bool:
        """Whether the value holds something to resolve.

        Raises:
            InputResolutionError: it could not be looked into.
            ForeignFuture: a future in it belongs to another engine.
        """
        try:
            return self._look(value, allow=allow)
        except RecursionError:
            raise InputResolutionError(self._name, "it is nested too deeply") from None

    def _look(self, value: Any, *, allow: bool) -> bool:  # noqa: PLR0911  # one for each kind of value
        if self._track:
            self._inputs.add(self._name, self._tracker.find(value))
        if value.__class__ in LEAVES:
            return False
        if isinstance(value, Future):
            self._depend(value.source, allow=allow)
            return True
        if is_state(value):
            self._depend(GivenState(value), allow=allow)
            return True
        if is_annotation(value):
            return self._look_into_annotation(value, allow=allow)
        place = (id(value), allow)
        if place in self._seen:
            return False  # what is in it has been found
        items = held_by(value, self._name)
        if items is None:
            return False
        self._seen[place] = value
        holds = False
        for item in items:
            if self._track or item.__class__ not in LEAVES:
                holds |= self._look(item, allow=allow)
        return holds

    def _look_into_annotation(self, value: Annotation[Any], *, allow: bool) -> bool:
        if isinstance(value, quote):
            return True
        inner = value.unwrap()
        if isinstance(value, opaque) and not isinstance(inner, (Future, State, Annotation)):
            if self._track:
                self._inputs.add(self._name, self._tracker.find(inner))
            return True
        self._look(inner, allow=allow or isinstance(value, allow_failure))
        return True

    def _depend(self, source: Any, *, allow: bool) -> None:
        engine = source.engine
        if engine is not None and engine is not self._engine:
            raise ForeignFuture(source.name)
        self._inputs.upstreams.append((source, allow))
        self._inputs.add(self._name, source.reference)


def dependencies(wait_for: Any) -> Any:
    """What a run waits for, as something that can be looked into more than once.

    Raises:
        ConfigurationError: it cannot hold dependencies.
    """
    kind = wait_for.__class__
    if issubclass(kind, (Future, State, Annotation, list, tuple, set, frozenset, dict)):
        return wait_for
    if issubclass(kind, Iterable) and not issubclass(kind, (str, bytes)):
        return list(wait_for)
    raise ConfigurationError("wait_for", wait_for, "a collection of futures, states or results of tasks")


def good_enough(state: State[Any], *, failure_allowed: bool) -> bool:
    """Whether a run that depends on another one may start, after that has ended in a state.

    `allow_failure` lets a failure through, and what never started because of one; not a crash, not a cancellation.
    """
    if state.type is StateType.COMPLETED:
        return True
    return failure_allowed and (state.type is StateType.FAILED or (state.type is StateType.PENDING and is_final(state)))


def replace(value: Any, convert: Callable[[Future[Any]], Any]) -> Any:
    """A value with each future in it converted; the same object where it holds none. Annotations stay."""
    return Replacement("value", (Future,), convert, unwrap=False, plain=(FutureList,)).of(value)


def futures_in(value: Any) -> Iterator[Future[Any]]:
    """The futures in a value, each once, in order; those that `replace` converts."""
    found: dict[Future[Any], Any] = {}
    replace(value, lambda future: found.setdefault(future, future))
    return iter(found)


def holds_futures(value: Any) -> bool:
    """Whether there is a future in a value."""
    return value.__class__ not in LEAVES and next(futures_in(value), None) is not None


def _resolved(value: Any, name: str) -> Any:
    return Replacement(name, (Future, State), _upstream_result, unwrap=True, plain=(FutureList,)).of(value)


def _upstream_result(upstream: Future[Any] | State[Any]) -> Any:
    """The value of an upstream run that was let through; for a failure that was allowed, its exception."""
    source: Any = GivenState(upstream) if isinstance(upstream, State) else upstream.source
    source.see()
    state: State[Any] = source.state
    if state.type is StateType.COMPLETED:
        return state.result()
    return get_state_exception(state) if state.is_final() else UnfinishedRun(state)
