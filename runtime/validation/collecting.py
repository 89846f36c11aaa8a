"""Collections: each item converted, and the collection made anew only where one of them was.

Decides which collection may stand for which. Text and mappings are no collections of items, and what goes into a
mapping under one key does not disappear behind another.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Mapping,
    MutableMapping,
    MutableSequence,
    MutableSet,
    Sequence,
)
from collections.abc import Set as AbstractSet
from itertools import repeat
from typing import Any, Final

from millrace.actors.telling import text_of
from millrace.runtime.validation.wrong import MOST, Problem, Wrong, item, shown, unfit, wrong

Hook = Callable[[Any], Any]
"""Gives the value, converted or as it is, or raises `Wrong`."""

COLLECTIONS: Final[dict[type, Callable[[Iterable[Any]], Any]]] = {
    list: list,
    MutableSequence: list,
    Sequence: list,
    deque: deque,
    set: set,
    MutableSet: set,
    AbstractSet: frozenset,
    frozenset: frozenset,
    tuple: tuple,
}
"""What is made for each annotation where the value has to be another one."""

MAPPINGS: Final[dict[type, Callable[[Mapping[Any, Any]], Any]]] = {
    dict: dict,
    Mapping: dict,
    MutableMapping: dict,
    OrderedDict: OrderedDict,
    Counter: Counter,
}
"""Likewise; and `defaultdict`."""

_CALLED: Final[dict[type, str]] = {
    Sequence: "a sequence other than text",
    Mapping: "a mapping",
    MutableMapping: "a mapping",
}

_NO_ITEMS = (str, bytes, bytearray, memoryview, Mapping)


def collection(cls: type, hook: Hook | None) -> Hook:
    """A converter for collections of any length.

    Args:
        cls: What is asked for, of `COLLECTIONS`.
        hook: The converter for items; None where nothing is asked of them.
    """
    make = COLLECTIONS[cls]
    takes = Sequence if cls is Sequence else Iterable

    def convert(value: Any) -> Any:
        fits = isinstance(value, cls)
        if fits and hook is None:
            return value
        if not isinstance(value, takes) or isinstance(value, _NO_ITEMS):
            raise unfit(value, _called(cls))
        items = value if isinstance(value, Collection) else list(value)
        converted = items if hook is None else _gathered(range(len(items)), items, repeat(hook), item)
        if fits and _same(converted, items):
            return value
        kept: Any = type(value) if fits and type(value) in (tuple, deque) else make
        try:
            return kept(converted)
        except TypeError as error:  # sets want items that can be hashed
            raise wrong(f"{shown(value)} cannot be {_called(cls)}: {text_of(error)}") from None

    return convert


def fixed_tuple(hooks: list[Hook]) -> Hook:
    """A converter for tuples of one length.

    Args:
        hooks: The converter for each item.
    """

    def convert(value: Any) -> Any:
        if not isinstance(value, Iterable) or isinstance(value, _NO_ITEMS):
            raise unfit(value, f"a tuple of {len(hooks)} items")
        items = tuple(value)
        if len(items) != len(hooks):
            raise unfit(items, f"a tuple of {len(hooks)} items")
        converted = _gathered(range(len(items)), items, hooks, item)
        return value if isinstance(value, tuple) and _same(converted, items) else tuple(converted)

    return convert


def mapping(cls: type, make: Callable[[Mapping[Any, Any]], Any], key_hook: Hook, value_hook: Hook) -> Hook:
    """A converter for mappings.

    Args:
        cls: What is asked for.
        make: What makes one where the value has to be another one.
        key_hook: The converter for keys.
        value_hook: The converter for values.
    """

    def convert(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise unfit(value, _called(cls))
        keys, values = list(value), list(value.values())
        problems: list[Problem] = []
        new_keys, new_values = keys, values
        try:
            new_keys = _gathered(keys, keys, repeat(key_hook), lambda key: f"{item(key)} (key)")
        except Wrong as error:
            problems += error.problems
        try:
            new_values = _gathered(keys, values, repeat(value_hook), item)
        except Wrong as error:
            problems += error.problems
        if problems:
            raise Wrong(problems)
        if isinstance(value, cls) and _same(new_keys, keys) and _same(new_values, values):
            return value
        made = dict(zip(new_keys, new_values, strict=True))
        if len(made) < len(keys):
            raise wrong(f"{shown(value)} has several keys that are the same when they are converted")
        return make(made)

    return convert


def defaulting(default: Callable[[], Any] | None) -> Callable[[Mapping[Any, Any]], Any]:
    """What makes a `defaultdict`."""
    return lambda pairs: defaultdict(default, pairs)


def _gathered(
    places: Iterable[Any], values: Iterable[Any], hooks: Iterable[Hook], step: Callable[[Any], str]
) -> list[Any]:
    """Each value converted.

    Raises:
        Wrong: some cannot be; what is wrong with each of them.
    """
    converted: list[Any] = []
    problems: list[Problem] = []
    for place, value, hook in zip(places, values, hooks, strict=False):
        try:
            converted.append(hook(value))
        except Wrong as error:
            problems += error.inside(step(place))
            if len(problems) >= MOST:
                problems.append(("", "has more items that are wrong; these are the first"))
                break
    if problems:
        raise Wrong(problems)
    return converted


def _called(cls: type) -> str:
    article = "a" if cls.__module__ == "builtins" else "an instance of"
    return _CALLED.get(cls, f"{article} {cls.__name__}")


def _same(converted: Iterable[Any], items: Iterable[Any]) -> bool:
    return all(new is old for new, old in zip(converted, items, strict=True))
