"""Converters: from an annotation to a function that makes a value fit it, or says what is wrong.

Decides how each kind of annotation is converted, and what is looked into. A value that conforms is passed on as it is:
`converted is value` says that nothing was changed, and a union takes the first of its members that changes nothing.
What is inside of iterators, callables and instances of classes is not looked at.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from enum import Enum
from numbers import Number
from types import NoneType
from typing import Any, Final, Literal, get_args, get_origin

import attrs

from millrace.runtime.secret import Secret
from millrace.runtime.validation.collecting import (
    COLLECTIONS,
    MAPPINGS,
    Hook,
    collection,
    defaulting,
    fixed_tuple,
    mapping,
)
from millrace.runtime.validation.fitting import instance_fits
from millrace.runtime.validation.hints import (
    bare,
    class_of,
    is_alias,
    is_typeddict,
    is_unpacked,
    members_of,
    says_nothing,
    value_of_alias,
)
from millrace.runtime.validation.scalars import SCALARS, scalar_of
from millrace.runtime.validation.typed_dicts import typed_dict
from millrace.runtime.validation.wrong import TOLD, Wrong, field, item, shortened, shown, told, unfit, wrong

_REFUSED = (ValueError, TypeError, ArithmeticError, LookupError, OSError, re.error)
"""What functions that make a simple value of another one raise when they cannot."""

_CALLED: Final[dict[Any, str]] = {NoneType: "None", Callable: "callable"}
_NOTHING: Final = object()


class Converters:
    """Makes converters. What it learns about classes it keeps; one belongs to one flow."""

    __slots__ = ("_named",)

    def __init__(self) -> None:
        # By id of the annotation, which is kept alive beside it; equal ones may differ in the order of a union.
        self._named: dict[int, tuple[Any, Hook]] = {}

    def hook(self, annotation: Any) -> Hook:  # noqa: PLR0911  # one for each kind of annotation
        """The converter for an annotation."""
        if is_alias(annotation):
            return self._late(annotation, lambda: self.hook(value_of_alias(annotation)))
        annotation = bare(annotation)
        members = members_of(annotation)
        if len(members) > 1:
            return self._union(members)
        if says_nothing(annotation):
            return _as_it_is
        if is_typeddict(annotation):
            return self._late(annotation, lambda: typed_dict(annotation, self.hook))
        if get_origin(annotation) is Literal:
            return _literal(get_args(annotation))
        cls = class_of(annotation)
        if cls is None:
            return _as_it_is
        if cls is type:
            return _subclass(get_args(annotation))
        return self._items(cls, annotation) or self._instance(cls, annotation)

    def _late(self, annotation: Any, make: Callable[[], Hook]) -> Hook:
        """A converter that is made when it is first needed: what is annotated may contain itself."""
        known = self._named.get(id(annotation))
        if known is not None:
            return known[1]
        made: list[Hook] = []

        def late(value: Any) -> Any:
            if not made:
                made.append(make())
            return made[0](value)

        self._named[id(annotation)] = annotation, late
        return late

    def _items(self, cls: type, annotation: Any) -> Hook | None:
        """The converter for a collection; None for what is no collection of a known kind."""
        arguments = get_args(annotation)
        if cls is tuple and get_origin(annotation) is not None and arguments[1:] != (...,):
            if any(map(is_unpacked, arguments)):
                return collection(tuple, None)
            return fixed_tuple([self.hook(argument) for argument in arguments])
        if cls in COLLECTIONS:
            return collection(cls, self.hook(arguments[0]) if arguments else None)
        if cls in MAPPINGS or cls is defaultdict:
            key, value = (*arguments, int)[:2] if arguments else (Any, Any)
            make = defaulting(class_of(bare(value))) if cls is defaultdict else MAPPINGS[cls]
            return mapping(cls, make, self.hook(key), self.hook(value))
        return None

    def _instance(self, cls: type, annotation: Any) -> Hook:
        fits = instance_fits(cls)
        scalar = scalar_of(cls)
        make: Hook
        if scalar is not None:
            make = _scalar(*scalar)
        elif issubclass(cls, Enum):
            make = _member(cls)
        elif attrs.has(cls) or dataclasses.is_dataclass(cls) or (issubclass(cls, tuple) and hasattr(cls, "_fields")):
            make = self._class(annotation)
        elif cls is Secret:
            make = _hidden
        elif callable(getattr(cls, "model_validate", None)):
            make = _model(cls)
        else:
            make = _refusal(cls)
        return lambda value: value if fits(value) else make(value)

    def _class(self, annotation: Any) -> Hook:
        def make() -> Hook:
            from millrace.runtime.validation.classes import class_hook  # noqa: PLC0415  # loads cattrs

            return class_hook(annotation, self.hook)

        return self._late(annotation, make)

    def _union(self, members: tuple[Any, ...]) -> Hook:
        if any(says_nothing(bare(member)) for member in members):
            return _as_it_is
        hooks = {_name(member): self.hook(member) for member in members if member is not NoneType}
        classes = tuple(cls for cls in (class_of(bare(member)) for member in members) if cls is not None)
        optional = NoneType in members

        def convert(value: Any) -> Any:
            if optional and value is None:
                return None
            if isinstance(value, Iterator) and not isinstance(value, classes):
                value = list(value)  # an iterator can be tried only once
            try:
                return _first_of(hooks, value)
            except Wrong:
                if Secret in classes:
                    _hidden(value)
                raise

        return convert


def _first_of(hooks: dict[str, Hook], value: Any) -> Any:
    """What the first member of a union makes of a value without changing it, else the first that takes it."""
    found: Any = _NOTHING
    refusals: dict[str, Wrong] = {}
    for name, hook in hooks.items():
        try:
            converted = hook(value)
        except Wrong as error:
            refusals[name] = error
            continue
        if converted is value:
            return value
        if found is _NOTHING:
            found = converted
    if found is not _NOTHING:
        return found
    if len(refusals) == 1:
        raise next(iter(refusals.values()))
    raise _none_of(value, refusals)


def _as_it_is(value: Any) -> Any:
    return value


def _hidden(_value: Any) -> Any:
    raise wrong("what is given is no Secret, and not shown, for it may be one that was not wrapped")


def _scalar(expected: str, make: Hook) -> Hook:
    def convert(value: Any) -> Any:
        try:
            return make(value.value if isinstance(value, Enum) else value)
        except _REFUSED:
            raise unfit(value, expected) from None

    return convert


def _member(cls: type[Enum]) -> Hook:
    expected = shortened(f"one of {', '.join(repr(each.value) for each in cls)}", TOLD)
    kind = next((SCALARS[each][1] for each in (int, str) if issubclass(cls, each)), None)

    def convert(value: Any) -> Any:
        try:
            return cls(value)
        except _REFUSED:
            pass
        try:
            if kind is not None:
                return cls(kind(value))
        except _REFUSED:
            pass
        raise unfit(value, expected)

    return convert


def _literal(allowed: tuple[Any, ...]) -> Hook:
    expected = shortened(f"one of {', '.join(map(repr, allowed))}", TOLD)

    def convert(value: Any) -> Any:
        if isinstance(value, (Number, str, bytes, Enum, NoneType)):
            for each in allowed:
                if type(value) is type(each) and value == each:
                    return value
            for each in allowed:
                if value == each:
                    return each
        raise unfit(value, expected)

    return convert


def _subclass(arguments: tuple[Any, ...]) -> Hook:
    members = [bare(member) for argument in arguments for member in members_of(bare(argument))]
    bases = tuple(object if says_nothing(member) else class_of(member) or object for member in members) or (object,)

    def convert(value: Any) -> Any:
        if not isinstance(value, type):
            raise unfit(value, "a class")
        if not issubclass(value, bases):
            raise unfit(value, f"a subclass of {' or '.join(base.__name__ for base in bases)}")
        return value

    return convert


def _refusal(cls: type) -> Hook:
    expected = _CALLED.get(cls, f"an instance of {cls.__name__}")

    def refuse(value: Any) -> Any:
        raise unfit(value, expected)

    return refuse


def _model(cls: Any) -> Hook:
    """A converter for classes that know themselves how they are made of data, as the models of pydantic do."""

    def convert(value: Any) -> Any:
        try:
            return cls.model_validate(value)
        except Exception as error:  # noqa: BLE001  # the class's own code
            details: Any = getattr(error, "errors", None)
            if not callable(details):
                raise wrong(f"{shown(value)} makes no {cls.__name__}: {told(error)}") from None
            found: Any = details()
            raise Wrong(
                ("".join(map(_step, each["loc"])), f"{shown(each['input'])}: {each['msg']}") for each in found
            ) from None

    return convert


def _step(place: int | str) -> str:
    return field(place) if isinstance(place, str) else item(place)


def _name(annotation: Any) -> str:
    return annotation.__name__ if isinstance(annotation, type) and not get_args(annotation) else repr(annotation)


def _none_of(value: Any, refusals: dict[str, Wrong]) -> Wrong:
    """That a value fits no member of a union, with the problem inside it where a member takes such values at all."""
    inside = [
        f"; as {name}, {path.removeprefix('.')}: {text}"
        for name, refusal in refusals.items()
        for path, text in refusal.problems[:1]
        if path
    ]
    return wrong(f"{shown(value)} is none of {', '.join(refusals)}{''.join(inside)}")
