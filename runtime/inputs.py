"""Inputs: futures and states inside arguments, found before a run and replaced by their results at its start.

Decides what is looked for, and where not: inside `quote` and `opaque`. A result is looked into as an argument is; but a
result that is itself a future or state stays what it is. What a collection is, and how one is copied, is known to
`nesting`. Objects that hold no future are passed as they are, and not copied. Which end of an upstream run is good
enough is decided here, what follows from a bad one by the actors.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.annotations import Annotation, allow_failure, opaque, quote
from millrace.actors.errors import (
    ConfigurationError,
    ForeignFuture,
    InputResolutionError,
    UnfinishedRun,
    UpstreamTaskError,
)
from millrace.actors.outcomes import get_state_exception
from millrace.actors.run import is_final
from millrace.actors.states import State, StateType, is_state
from millrace.actors.stored_result import StoredResult
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import Future
from millrace.runtime.nesting import LEAVES, Replacement, held_by, is_annotation
from millrace.runtime.sources import GivenState
from millrace.runtime.tracking import TaskRunInput, Tracker

if TYPE_CHECKING:
    from millrace.runtime.scope_starting import ScopeStarting

WAIT_FOR: Final = "wait_for"
"""The name under which dependencies without data are recorded."""

_FEW: Final = 8  # a list that is shorter is searched as quickly as a set

_UPSTREAM: Final = (Future, State)
_OF_ONE_FAILURE: Final = (str, BaseException, State)
_NOT_LOOKED_INTO: Final = (*_UPSTREAM, BaseException, StoredResult)  # what a result may be as a whole


class Inputs:
    """What one run depends on, and which of its arguments have to be resolved."""

    __slots__ = ("_allowed", "_looked", "_many", "engine", "places", "shut", "sources", "upstreams")

    def __init__(self) -> None:
        self.upstreams: list[tuple[Any, bool]] = []  # (what to watch, whether its failure is let through)
        self._allowed: set[int] | None = None  # `_key` of each upstream whose failure is let through
        self.shut: AbstractSet[int] = frozenset()  # `_key` of each upstream whose result is not looked into
        # `_key` of each upstream whose result was looked into -> whether it holds something to resolve.
        self._looked: dict[int, bool] | None = None
        self.engine: Any = None  # the run's
        self.sources: dict[str, list[TaskRunInput]] = {}  # by parameter; without parameters that depend on nothing
        self._many: tuple[list[TaskRunInput], set[TaskRunInput]] | None = None  # a list of `sources`, for quick answers
        self.places: dict[int | str, str] = {}  # arguments to resolve: position or keyword -> the parameter's name

    def add(self, name: str, reference: TaskRunInput | None) -> None:
        """Record a dependency of a parameter."""
        if reference is None:
            return
        found = self.sources.setdefault(name, [])
        if len(found) < _FEW:
            if reference not in found:
                found.append(reference)
            return
        if self._many is None or self._many[0] is not found:
            self._many = found, set(found)
        many = self._many[1]
        if reference not in many:
            many.add(reference)
            found.append(reference)

    def resolve(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The arguments with futures and states replaced by their results, annotations taken off."""
        if not self.places:
            return args, kwargs
        places = self.places
        resolved = _Resolution(self).of
        values = tuple(resolved(value, places[index]) if index in places else value for index, value in enumerate(args))
        named = {key: resolved(value, places[key]) if key in places else value for key, value in kwargs.items()}
        return values, named

    def have_to_be_read(self) -> bool:
        """Whether something that arguments are made of lies in a storage that may block whoever reads it."""
        return bool(self.places) and any(_lies_in_a_storage(source) for source, _ in self.upstreams)

    def look_into(self, upstream: Any, state: State[Any], *, failure_allowed: bool) -> list[tuple[Any, bool]]:
        """Look for futures and states in the result of an upstream run that has ended: they are upstream, too.

        A result that lies in a storage is not read for this.

        Args:
            upstream: One of the upstream runs.
            state: Its state.
            failure_allowed: Whether its failure is let through.

        Returns:
            What was found and was not known; it has been added to the upstream runs.
        """
        value = state.data
        if value.__class__ in LEAVES or isinstance(value, _NOT_LOOKED_INTO):
            return []
        if _key(upstream) in self.shut or not good_enough(state, failure_allowed=failure_allowed):
            return []
        known = len(self.upstreams)
        self._look(_key(upstream), value, allow=failure_allowed)
        return self.upstreams[known:]

    def holds_more(self, key: int, value: Any) -> bool:
        """Whether there are futures or states to be replaced in the result of an upstream run."""
        if value.__class__ in LEAVES or isinstance(value, _NOT_LOOKED_INTO) or key in self.shut:
            return False
        found = None if self._looked is None else self._looked.get(key)
        return self._look(key, value, allow=self.lets_through(key)) if found is None else found

    def _look(self, key: int, value: Any, *, allow: bool) -> bool:
        try:
            found = _InnerSearch(self).look(value, allow=allow)
        except InputResolutionError:
            found = True  # raised again when the argument is resolved
        if self._looked is None:
            self._looked = {}
        self._looked[key] = found
        return found

    def depend(self, source: Any, *, allow: bool) -> None:
        """Add an upstream run."""
        self.upstreams.append((source, allow))
        if allow:
            if self._allowed is None:
                self._allowed = set()
            self._allowed.add(_key(source))

    def lets_through(self, key: int) -> bool:
        """Whether the failure of an upstream run is let through."""
        return self._allowed is not None and key in self._allowed

    def opened(self) -> AbstractSet[int]:
        """The `_key` of each upstream whose result is looked into."""
        return {_key(source) for source, _ in self.upstreams} - self.shut

    def shut_all_but(self, opened: AbstractSet[int]) -> None:
        """Look into the results of these upstream runs only."""
        self.shut = {_key(source) for source, _ in self.upstreams} - opened

    def let_go(self) -> Inputs | None:
        """What remains after the run: the record of its dependencies."""
        if not self.sources:
            return None
        self.upstreams = []
        self.places = {}
        self.shut = frozenset()
        self._allowed = self._looked = self._many = None
        return self


def scan(
    names: Callable[[int | str], str],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any,
    scope: ScopeStarting,
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
    inputs.engine = scope.engine
    found = False
    for index, value in enumerate(args):
        found |= _scan_argument(inputs, index, names(index), value, scope)
    for key, value in kwargs.items():
        found |= _scan_argument(inputs, key, names(key), value, scope)
    if wait_for is not None:
        opened = inputs.opened()
        _Search(inputs, WAIT_FOR, scope.tracker).look(dependencies(wait_for), allow=False)
        inputs.shut_all_but(opened)
    return inputs if found or inputs.upstreams or inputs.sources else None


def _scan_argument(inputs: Inputs, place: int | str, name: str, value: Any, scope: ScopeStarting) -> bool:
    holds = _Search(inputs, name, scope.tracker).look(value, allow=False)
    if holds:
        inputs.places[place] = name
    return holds


class _Search:
    """One search through one argument."""

    __slots__ = ("_inputs", "_name", "_seen", "_track", "_tracker")

    def __init__(self, inputs: Inputs, name: str, tracker: Tracker | None) -> None:
        self._inputs = inputs
        self._name = name
        self._tracker: Any = tracker
        self._track = bool(tracker)
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
        if items is None or (not self._track and LEAVES.issuperset(map(type, items))):
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
        if isinstance(value, opaque):
            if isinstance(inner, (Future, State, Annotation)):
                opened = self._inputs.opened()
                self._look(inner, allow=allow)
                self._inputs.shut_all_but(opened)
            elif self._track:
                self._inputs.add(self._name, self._tracker.find(inner))
            return True
        self._look(inner, allow=allow or isinstance(value, allow_failure))
        return True

    def _depend(self, source: Any, *, allow: bool) -> None:
        inputs = self._inputs
        if source.engine is not None and source.engine is not inputs.engine:
            raise ForeignFuture(source.name)
        inputs.depend(source, allow=allow)
        inputs.add(self._name, source.reference)
        if inputs.shut:
            inputs.shut -= {_key(source)}


class _InnerSearch(_Search):
    """One search through one result of an upstream run. What is found in it is not recorded as a dependency."""

    __slots__ = ("_known",)

    def __init__(self, inputs: Inputs) -> None:
        super().__init__(inputs, "a result", None)
        self._known: set[tuple[int, bool]] | None = None  # the upstream runs by `_key`; made when something was found

    def _depend(self, source: Any, *, allow: bool) -> None:
        inputs = self._inputs
        if source.engine is not None and source.engine is not inputs.engine:
            return  # it is too late to refuse it, and it stays what it is
        if self._known is None:
            self._known = {(_key(each), allowed) for each, allowed in inputs.upstreams}
        place = (_key(source), allow)
        if place not in self._known:  # a state may be inside itself
            self._known.add(place)
            inputs.depend(source, allow=allow)


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


class _Resolution:
    """The replacement of futures and states in the arguments of one run, and in the results that take their place.

    Args:
        inputs: What the run depends on.
    """

    __slots__ = ("_inputs", "_results")

    def __init__(self, inputs: Inputs) -> None:
        self._inputs = inputs
        # `_key` of an upstream run -> (the run, its result), so that a result is the same object wherever it stands.
        self._results: dict[int, tuple[Any, Any]] = {}

    def of(self, value: Any, name: str) -> Any:
        """An argument, resolved.

        Args:
            value: The argument.
            name: The parameter.

        Raises:
            InputResolutionError: it is nested too deeply, or the code of a collection raised something.
            UpstreamTaskError: something in a result did not end well, which could not be seen before.
        """
        if isinstance(value, Future):
            return self._result(value.source, name)  # most arguments that hold a future are one
        return self._replaced(value, name, lambda target: self._result(_source_of(target), name))

    def _replaced(self, value: Any, name: str, convert: Callable[[Any], Any]) -> Any:
        return Replacement(name, _UPSTREAM, convert, unwrap=True, plain=(FutureList,)).of(value)

    def _result(self, source: Any, name: str) -> Any:
        source.see()
        value = _outcome(source.state)
        key = _key(source)
        if not self._inputs.holds_more(key, value):
            return value
        if key not in self._results:
            made = self._replaced(value, name, lambda target: self._inner_result(target, name))
            self._results[key] = source, made
        return self._results[key][1]

    def _inner_result(self, target: Future[Any] | State[Any], name: str) -> Any:
        source = _source_of(target)
        if not source.done:
            return target
        state = source.state
        if not good_enough(state, failure_allowed=self._inputs.lets_through(_key(source))):
            raise UpstreamTaskError(source.name, state)
        return self._result(source, name)


def _lies_in_a_storage(source: Any) -> bool:
    if source.__class__ is not GivenState and not source.stores:
        return False  # mostly, and without making a state
    data = source.state.data
    return isinstance(data, StoredResult) and data.blocking


def _source_of(target: Future[Any] | State[Any]) -> Any:
    return GivenState(target) if isinstance(target, State) else target.source


def _key(source: Any) -> int:
    """What tells one upstream run from another: for a state among the arguments, the state."""
    return id(source.state if source.__class__ is GivenState else source)


def _outcome(state: State[Any]) -> Any:
    """The value of an upstream run that was let through; for a failure that was allowed, its exception."""
    if state.type is StateType.COMPLETED:
        return state.result()
    if not state.is_final():
        return UnfinishedRun(state)
    data = state.data
    if data is None or isinstance(data, _OF_ONE_FAILURE):
        return get_state_exception(state)
    return data  # it failed because others did, of which one may want to know more than the first exception
