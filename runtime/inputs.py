"""Inputs: futures and states inside arguments, found before a run and replaced by their results at its start.

Decides where is looked: in lists, tuples, sets, dicts, named tuples, attrs classes and dataclasses, at any depth, and not
inside `quote` and `opaque`. Objects that hold no future are passed as they are, and not copied. What an upstream run's end
means is decided by the actors.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID

import attrs

from millrace.actors.annotations import Annotation, allow_failure, opaque, quote
from millrace.actors.errors import ForeignFuture, InputResolutionError
from millrace.actors.messages import Watch
from millrace.actors.outcomes import get_state_exception
from millrace.actors.states import State, StateType
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import Future
from millrace.runtime.tracking import FlowRunResult, TaskRunInput, TaskRunResult

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun

LEAVES: Final = frozenset(
    {int, str, float, bool, bytes, bytearray, complex, type(None), type, range, slice, memoryview}
)
"""Types that never hold a future: most arguments, and all that the quick check lets through."""

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
            _resolve_argument(value, places[index]) if index in places else value for index, value in enumerate(args)
        )
        named = {
            key: _resolve_argument(value, places[key]) if key in places else value for key, value in kwargs.items()
        }
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
    """
    tracker = scope.tracker
    if wait_for is None and not tracker:
        for value in args:
            if value.__class__ not in LEAVES:
                break
        else:
            for value in kwargs.values():
                if value.__class__ not in LEAVES:
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
        _Scan(inputs, WAIT_FOR, scope, track=False).look(wait_for, allow=False)
    return inputs if found or inputs.upstreams or inputs.sources else None


def _scan_argument(inputs: Inputs, place: int | str, name: str, value: Any, scope: FlowRun) -> bool:
    holds = _Scan(inputs, name, scope, track=bool(scope.tracker)).look(value, allow=False)
    if holds:
        inputs.places[place] = name
    return holds


class _Scan:
    """One search through one argument."""

    __slots__ = ("_engine", "_inputs", "_name", "_path", "_track", "_tracker")

    def __init__(self, inputs: Inputs, name: str, scope: FlowRun, *, track: bool) -> None:
        self._inputs = inputs
        self._name = name
        self._engine = scope.engine
        self._tracker = scope.tracker
        self._track = track
        self._path: set[int] = set()  # ids of the collections being looked into: one inside itself is not entered again

    def look(self, value: Any, *, allow: bool) -> bool:
        """Whether the value holds something to resolve."""
        if self._track:
            run_id = self._tracker.find(value)
            if run_id is not None:
                self._inputs.add(self._name, TaskRunResult(UUID(int=run_id)))
        kind = value.__class__
        if kind in LEAVES:
            return False
        if isinstance(value, Future):
            self._depend(value.source, allow=allow)
            return True
        if isinstance(value, State):
            self._depend(GivenState(value), allow=allow)
            return True
        if isinstance(value, Annotation):
            return self._look_into_annotation(value, allow=allow)
        children = _children(value, self._name)
        if children is None or id(value) in self._path:
            return False
        self._path.add(id(value))
        try:
            holds = False
            for child in children:
                if self._track or child.__class__ not in LEAVES:
                    holds |= self.look(child, allow=allow)
            return holds
        except RecursionError:
            raise InputResolutionError(self._name, "it is nested too deeply") from None
        finally:
            self._path.discard(id(value))

    def _look_into_annotation(self, value: Annotation[Any], *, allow: bool) -> bool:
        if isinstance(value, quote):
            return True
        inner = value.unwrap()
        if isinstance(value, opaque):
            if isinstance(inner, (Future, State, Annotation)):
                self.look(inner, allow=allow)
            return True
        self.look(inner, allow=allow or isinstance(value, allow_failure))
        return True

    def _depend(self, source: Any, *, allow: bool) -> None:
        engine = source.engine
        if engine is not None and engine is not self._engine:
            raise ForeignFuture(source.name)
        self._inputs.upstreams.append((source, allow))
        self._inputs.add(self._name, source.reference)


def _resolve_argument(value: Any, name: str) -> Any:
    return _replaced(value, name, _upstream_result)


def replace(value: Any, convert: Callable[[Future[Any]], Any]) -> Any:
    """A value with each future in it converted; the same object where it holds none."""
    return _replaced(value, "value", convert)


def futures_in(value: Any) -> Iterator[Future[Any]]:
    """The futures in a value, in order."""
    if value.__class__ in LEAVES or isinstance(value, Annotation):
        return
    if isinstance(value, Future):
        yield value
        return
    for child in _children(value, "value") or ():
        yield from futures_in(child)


def holds_futures(value: Any) -> bool:
    """Whether there is a future in a value."""
    return next(futures_in(value), None) is not None


def _upstream_result(upstream: Future[Any] | State[Any]) -> Any:
    return _result_of(GivenState(upstream) if isinstance(upstream, State) else upstream.source)


def _replaced(value: Any, name: str, convert: Callable[[Any], Any]) -> Any:
    """A value with futures (and states, for arguments) converted; the same object where it holds none."""
    if value.__class__ in LEAVES:
        return value
    if isinstance(value, Future) or (isinstance(value, State) and convert is _upstream_result):
        return convert(value)
    if isinstance(value, Annotation):
        inner = value.unwrap()
        stays = isinstance(value, quote) or (
            isinstance(value, opaque) and not isinstance(inner, (Future, State, Annotation))
        )
        return inner if stays else _replaced(inner, name, convert)
    children = _children(value, name)
    if children is None:
        return value
    replaced = [_replaced(child, name, convert) for child in children]
    if all(new is old for new, old in zip(replaced, children, strict=True)):
        return value
    return _rebuilt(value, replaced, name)


def _result_of(source: Any) -> Any:
    """The value of an upstream run that the actors let through; a failure that was allowed is its exception."""
    source.see()
    state: State[Any] = source.state
    if state.type is StateType.COMPLETED:
        return state.result()
    return get_state_exception(state)


def _children(value: Any, name: str) -> list[Any] | None:
    """What a collection holds, in a fixed order; None for what is not looked into."""
    if isinstance(value, (list, tuple, set, frozenset)):
        return list(value)
    if isinstance(value, dict):
        return [each for item in value.items() for each in item]
    kind = value.__class__
    try:
        if attrs.has(kind):
            return [getattr(value, each.name) for each in attrs.fields(kind)]
        if dataclasses.is_dataclass(value) and not isinstance(value, type):
            return [getattr(value, each.name) for each in dataclasses.fields(value)]
    except Exception as error:  # a property of the user's may raise anything
        raise InputResolutionError(name, f"looking into a {kind.__name__} raised {error!r}") from error
    return None


def _rebuilt(value: Any, items: list[Any], name: str) -> Any:
    """A collection like another one, with other contents."""
    kind = value.__class__
    try:
        if isinstance(value, dict):
            pairs = dict(zip(items[::2], items[1::2], strict=True))
            if kind is dict:
                return pairs
            clone = copy.copy(value)
            clone.clear()
            clone.update(pairs)
            return clone
        if isinstance(value, tuple) and hasattr(kind, "_fields"):
            return kind(*items)
        if isinstance(value, (list, tuple, set, frozenset)):
            # A list of futures becomes a plain list: what it holds now are no futures.
            return items if isinstance(value, FutureList) else kind(items)
        clone = copy.copy(value)
        fields = attrs.fields(kind) if attrs.has(kind) else dataclasses.fields(value)
        for field, item in zip(fields, items, strict=True):
            object.__setattr__(clone, field.name, item)  # frozen ones too: the copy is nobody's yet
        return clone
    except Exception as error:
        raise InputResolutionError(name, f"making a {kind.__name__} with the results in it raised {error!r}") from error
