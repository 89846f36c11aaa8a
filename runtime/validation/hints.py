"""Annotations as types: strings evaluated, and what says nothing about a value taken off.

Decides where the names in a string are looked up, and what stands for a type variable. A string that cannot be
evaluated says nothing: its names may be there for type checkers only, or inside of the function around.
"""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections.abc import Callable
from typing import (
    IO,
    Annotated,
    Any,
    BinaryIO,
    ClassVar,
    Final,
    LiteralString,
    NewType,
    NotRequired,
    ParamSpec,
    Required,
    TextIO,
    TypeVar,
    Union,
    Unpack,
    get_args,
    get_origin,
    get_type_hints,
)

WRAPPERS = (Annotated, ClassVar, Final, NotRequired, Required, getattr(typing, "ReadOnly", Annotated))
"""What may stand around a type and describes it, or the place where it stands."""

_ONLY_NAMES = (IO, BinaryIO, TextIO)
"""Classes that no object is an instance of."""

_VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


def hints_of(fn: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    """The annotations of a function's parameters as types.

    A parameter like `*args: int` has the type of the tuple, one like `**kwargs: int` that of the dict. Those without an
    annotation are left out.
    """
    names: tuple[dict[str, Any], dict[str, Any]] | None = None
    hints: dict[str, Any] = {}
    for parameter in signature.parameters.values():
        annotation = parameter.annotation
        if annotation is inspect.Parameter.empty:
            continue
        if names is None:
            names = _names_in(fn)
        hint = _evaluated(annotation, *names)
        hints[parameter.name] = _collected(hint, parameter.kind) if parameter.kind in _VARIADIC else hint
    return hints


def _evaluated(annotation: Any, global_names: dict[str, Any], local_names: dict[str, Any]) -> Any:
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(holder, global_names, local_names, include_extras=True)["it"]
    except Exception:  # noqa: BLE001  # whatever evaluating what somebody wrote comes to
        return Any


def _names_in(fn: Callable[..., Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the names in the annotations of a function may mean: globals, and what it closes over."""
    function: Any = fn
    while True:
        if isinstance(function, functools.partial):
            function = function.func
        elif isinstance(function, types.MethodType):
            function = function.__func__
        elif hasattr(function, "__wrapped__"):
            function = function.__wrapped__
        else:
            break
    if not hasattr(function, "__globals__"):
        function = getattr(type(function), "__call__", function)  # noqa: B004  # it is an object that can be called
    names = {parameter.__name__: parameter for parameter in getattr(function, "__type_params__", ())}
    code = getattr(function, "__code__", None)
    for name, cell in zip(code.co_freevars if code else (), getattr(function, "__closure__", None) or (), strict=True):
        try:
            names[name] = cell.cell_contents
        except ValueError:  # it has no value yet
            continue
    return getattr(function, "__globals__", {}), names


def _collected(hint: Any, kind: Any) -> Any:
    if get_origin(hint) is Unpack:  # `**kwargs: Unpack[SomeTypedDict]`
        return get_args(hint)[0]
    if is_unpacked(hint):  # `*args: *tuple[int, str]`
        return types.GenericAlias(tuple, get_args(hint))
    if kind is inspect.Parameter.VAR_POSITIONAL:
        return tuple[hint, ...]
    return dict[str, hint]


def is_unpacked(annotation: Any) -> bool:
    """Whether it stands for several items of a tuple."""
    return get_origin(annotation) is Unpack or getattr(annotation, "__unpacked__", False) is True


def is_alias(annotation: Any) -> bool:
    """Whether it is the name of a type that was made by `type X = ...`, with arguments or without."""
    return type(get_origin(annotation) or annotation).__name__ == "TypeAliasType"  # the class came with Python 3.12


def value_of_alias(annotation: Any) -> Any:
    """What such a name stands for."""
    origin = get_origin(annotation)
    return annotation.__value__ if origin is None else origin.__value__[get_args(annotation)]


def bare(annotation: Any) -> Any:
    """The type that values are checked against: without what only describes it, or gives it another name."""
    while True:
        if annotation is None:
            return types.NoneType
        if annotation is LiteralString:
            return str
        origin = get_origin(annotation)
        if origin in WRAPPERS:
            annotation = get_args(annotation)[0]
        elif isinstance(annotation, NewType):
            annotation = annotation.__supertype__
        elif isinstance(annotation, TypeVar):
            constraints = annotation.__constraints__
            annotation = Union[constraints] if constraints else annotation.__bound__ or Any  # noqa: UP007
        elif is_alias(annotation):
            annotation = value_of_alias(annotation)
        elif annotation is typing.Tuple:  # noqa: UP006  # without items, and not the empty one
            return tuple
        elif origin is not None and origin is not tuple and not get_args(annotation):
            return origin  # typing.List and the like
        else:
            return annotation


def members_of(annotation: Any) -> tuple[Any, ...]:
    """The members of a union; of anything else, itself."""
    return get_args(annotation) if get_origin(annotation) in (Union, types.UnionType) else (annotation,)


def is_typeddict(annotation: Any) -> bool:
    """Whether it is a `TypedDict`, of `typing` or of `typing_extensions`."""
    found = get_origin(annotation) or annotation
    return isinstance(found, type) and issubclass(found, dict) and hasattr(found, "__required_keys__")


def class_of(annotation: Any) -> type | None:
    """The class that a value has to be an instance of; None for what cannot be told by asking for one.

    Args:
        annotation: Bare.
    """
    found = get_origin(annotation) or annotation
    if not isinstance(found, type) or is_typeddict(found) or found in _ONLY_NAMES:
        return None
    protocol = getattr(found, "_is_protocol", False) and not getattr(found, "_is_runtime_protocol", False)
    return None if protocol else found


def says_nothing(annotation: Any) -> bool:
    """Whether every value will do: `Any`, `object`, a protocol that cannot be checked, or what is no type at all.

    Args:
        annotation: Bare.
    """
    if annotation is Any or annotation is object or isinstance(annotation, ParamSpec):
        return True
    return get_origin(annotation) is None and class_of(annotation) is None and not is_typeddict(annotation)
