"""What fits already: values that need no conversion, told without looking for one.

Decides which instances conform: those of the class and of its subclasses, except that a bool is no number and a
datetime no date. A check may say no to a value that conforms (it is then looked at closely), but never yes to one that
does not. Loads nothing: most calls of most flows need no more than this.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, MutableMapping, MutableSequence, Sequence
from typing import Any, get_args, get_origin

from millrace.runtime.validation.hints import bare, class_of, members_of, says_nothing

Fits = Callable[[Any], bool]

_LISTS = (Sequence, MutableSequence)
_DICTS = (Mapping, MutableMapping)
_COLLECTIONS = (list, set, frozenset, dict)


def _apart(cls: type) -> tuple[type, ...]:
    """What derives from a class, and does not fit where that is asked for."""
    if cls is int:
        return (bool,)
    if cls.__module__ == "datetime" and cls.__name__ == "date":  # by its name, so as not to load what nobody asks for
        from datetime import datetime  # noqa: PLC0415

        return (datetime,)
    return ()


def instance_fits(cls: type) -> Fits:
    """A check for instances of a class and its subclasses."""
    apart = _apart(cls)
    return lambda value: isinstance(value, cls) and not isinstance(value, apart)


def check_of(annotation: Any) -> Fits | None:
    """A quick check for an annotation.

    Returns:
        The check; None where every value fits.
    """
    simple: list[type] = []
    others: list[Fits] = []
    for member in members_of(bare(annotation)):
        member = bare(member)  # noqa: PLW2901  # a member may be another name of a type
        if says_nothing(member):
            return None
        cls = class_of(member)
        if cls is None:
            continue
        if get_origin(member) is None:
            simple.append(cls)
        else:
            others += _items_check(cls, get_args(member))
    if simple:
        others.insert(0, _classes_check(simple))
    return others[0] if len(others) == 1 else lambda value: any(fits(value) for fits in others)


def _classes_check(classes: list[type]) -> Fits:
    exact = frozenset(classes)
    checks = [instance_fits(cls) for cls in classes]
    return lambda value: value.__class__ in exact or any(fits(value) for fits in checks)


def _items_check(cls: type, arguments: tuple[Any, ...]) -> list[Fits]:
    """A check for a collection whose items are simply instances, as in `list[str]`; none for what is not one."""
    kind: type = list if cls in _LISTS else dict if cls in _DICTS else cls
    if kind is tuple and arguments[1:] == (...,):
        arguments = arguments[:1]
    elif kind not in _COLLECTIONS:
        return []
    fitting = [_all_check(argument) for argument in arguments]
    first, last = fitting[0], fitting[-1]
    if first is None or last is None:
        return []
    if kind is dict:
        return [lambda value: value.__class__ is dict and first(value) and last(value.values())]
    return [lambda value: value.__class__ is kind and first(value)]


def _all_check(annotation: Any) -> Fits | None:
    """A check for all items of an iterable at once; None where their class does not tell whether they fit."""
    members = [bare(member) for member in members_of(bare(annotation))]
    if any(says_nothing(member) for member in members):
        return lambda _: True
    classes = [None if get_origin(member) is not None else class_of(member) for member in members]
    if None in classes:
        return None
    exact = {cls: _apart(cls) for cls in classes if cls is not None}

    def fit(items: Any) -> bool:
        kinds = set(map(type, items))
        return kinds <= exact.keys() or all(
            any(issubclass(kind, cls) and not issubclass(kind, apart) for cls, apart in exact.items()) for kind in kinds
        )

    return fit
