"""Classes with fields, made of mappings by cattrs: attrs classes, dataclasses, named tuples.

Decides what cattrs is told: no key may be left over, private attributes go by the names that constructors use, and a
field's own converter has the first say. Values of fields are converted as all others are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ParamSpec, get_origin, get_type_hints

import attrs
from cattrs import ClassValidationError, Converter, ForbiddenExtraKeysError
from cattrs.cols import namedtuple_dict_structure_factory
from cattrs.dispatch import StructureHook
from cattrs.gen import make_dict_structure_fn, override

from millrace.runtime.validation.collecting import Hook
from millrace.runtime.validation.hints import bare
from millrace.runtime.validation.wrong import Problem, Wrong, field, shown, told, unfit, wrong


class _Fields(Converter):
    """cattrs, with converters of ours for what is in the fields."""

    def __init__(self, hook_of: Callable[[Any], Hook]) -> None:
        super().__init__(prefer_attrib_converters=True, forbid_extra_keys=True, use_alias=True)
        self._hook_of = hook_of

    def get_structure_hook(self, type: Any, cache_result: bool = True) -> StructureHook:  # noqa: A002, ARG002, FBT001, FBT002
        return _with_type(self._hook_of(type))


def _with_type(hook: Hook) -> StructureHook:
    """A converter as cattrs calls it."""
    return lambda value, _: hook(value)


def class_hook(annotation: Any, hook_of: Callable[[Any], Hook]) -> Hook:
    """The converter of mappings into instances of a class.

    Args:
        annotation: The class; a generic one may have its arguments.
        hook_of: Gives the converter for a field's annotation.
    """
    cls: Any = get_origin(annotation) or annotation
    try:
        structure = _structure_of(cls, annotation, hook_of)
    except Exception as error:  # noqa: BLE001  # an annotation that cannot be evaluated, as a rule
        reason = told(error)

        def refuse(value: Any) -> Any:
            raise wrong(
                f"{shown(value)} cannot be made an instance of {cls.__name__}, whose fields cannot be read: {reason}"
            )

        return refuse
    names: tuple[str, ...] | None = getattr(cls, "_fields", None) if issubclass(cls, tuple) else None

    def convert(value: Any) -> Any:
        given = value
        if names is not None and isinstance(value, (list, tuple)):
            if len(value) > len(names):
                raise unfit(value, f"an instance of {cls.__name__}, which has {len(names)} fields")
            given = dict(zip(names, value, strict=False))
        if not isinstance(given, Mapping):
            raise unfit(value, f"an instance of {cls.__name__}, nor a mapping to make one of")
        given = given if isinstance(given, dict) else dict(given)
        try:
            return structure(given, annotation)
        except ClassValidationError as error:
            raise Wrong(_problems(error, given, cls)) from None

    return convert


def _structure_of(cls: Any, annotation: Any, hook_of: Callable[[Any], Hook]) -> StructureHook:
    converter = _Fields(hook_of)
    if annotation is cls and getattr(cls, "__parameters__", None):
        annotation = cls[tuple(... if isinstance(each, ParamSpec) else bare(each) for each in cls.__parameters__)]
    if issubclass(cls, tuple):
        hints = get_type_hints(cls, include_extras=True)
        overrides = {name: override(struct_hook=_with_type(hook_of(hint))) for name, hint in hints.items()}
        detailed, forbid_extra_keys, use_linecache = True, True, False
        return namedtuple_dict_structure_factory(
            cls, converter, detailed, forbid_extra_keys, use_linecache, **overrides
        )
    return make_dict_structure_fn(annotation, converter, _cattrs_use_linecache=False)


def _problems(error: ClassValidationError, given: Mapping[Any, Any], cls: Any) -> list[Problem]:
    """What was wrong with a mapping, field by field."""
    names = {each.name: each.alias for each in attrs.fields(cls)} if attrs.has(cls) else {}
    found: list[Problem] = []
    in_fields, others = error.group_exceptions()
    for each, note in in_fields:
        name = names.get(note.name, note.name)
        if isinstance(each, Wrong):
            found += each.inside(field(name))
        else:
            missing = isinstance(each, KeyError) and name not in given
            found.append((field(name), "is missing" if missing else told(each)))
    for each in others:
        if isinstance(each, ForbiddenExtraKeysError):
            unknown = sorted(each.extra_fields, key=str)
            found += [
                (field(key), f"{shown(given[key])} is given, and {cls.__name__} has no such field") for key in unknown
            ]
        else:
            found.append(("", f"{shown(given)} makes no {cls.__name__}: {told(each)}"))
    return found
