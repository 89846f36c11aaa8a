"""Typed dicts: which keys there have to be, and which there may be, and a converter for each.

Decides from the evaluated annotations what is required: where annotations are strings, the class itself does not know
of `NotRequired`. A key that is not in the class is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NotRequired, Required, get_args, get_origin, get_type_hints

from millrace.runtime.validation.collecting import Hook
from millrace.runtime.validation.hints import WRAPPERS
from millrace.runtime.validation.wrong import Problem, Wrong, field, shown, unfit


def typed_dict(annotation: Any, hook_of: Callable[[Any], Hook]) -> Hook:
    """A converter for a `TypedDict`.

    Args:
        annotation: The class; a generic one may have its arguments.
        hook_of: Gives the converter for the annotation of a key.
    """
    cls: Any = get_origin(annotation) or annotation
    given = dict(zip(getattr(cls, "__parameters__", ()), get_args(annotation), strict=False))
    try:
        hints = get_type_hints(cls, include_extras=True)
    except Exception:  # noqa: BLE001  # whatever evaluating what somebody wrote comes to; it says nothing then
        return lambda value: value
    hooks = {key: hook_of(_substituted(hint, given)) for key, hint in hints.items()}
    required = [key for key, hint in hints.items() if _is_required(hint, default=key in cls.__required_keys__)]

    def convert(value: Any) -> Any:
        if not isinstance(value, Mapping):
            raise unfit(value, f"a mapping with the keys of {cls.__name__}")
        problems: list[Problem] = [(field(key), "is missing") for key in required if key not in value]
        converted: dict[Any, Any] = {}
        for key, item in value.items():
            if key not in hooks:
                problems.append((field(key), f"{shown(item)} is given, and {cls.__name__} has no such key"))
                continue
            try:
                converted[key] = hooks[key](item)
            except Wrong as error:
                problems += error.inside(field(key))
        if problems:
            raise Wrong(problems)
        same = isinstance(value, dict) and all(converted[key] is item for key, item in value.items())
        return value if same else converted

    return convert


def _is_required(hint: Any, *, default: bool) -> bool:
    while get_origin(hint) in WRAPPERS:
        if get_origin(hint) in (NotRequired, Required):
            return get_origin(hint) is Required
        hint = get_args(hint)[0]
    return default


def _substituted(hint: Any, given: Mapping[Any, Any]) -> Any:
    """An annotation with the type variables replaced whose arguments are known."""
    if hint in given:
        return given[hint]
    parameters = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(each, each) for each in parameters)] if parameters and given else hint
