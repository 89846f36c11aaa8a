"""Results as JSON documents.

Decides what becomes of values that JSON does not have: what has an obvious form in JSON gets that, all else is the
string that `repr` gives. So a result is always printed, and never in a form that depends on chance.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import attrs


def as_json(value: Any) -> str:
    """A value as one JSON document on one line.

    Raises:
        ValueError: it contains itself.
    """
    try:
        return json.dumps(_simple(value), ensure_ascii=False, allow_nan=False)
    except RecursionError:
        raise ValueError("The result contains itself, or is nested too deeply for JSON.") from None


def _simple(value: Any) -> Any:
    """The value in terms of what JSON has."""
    for kinds, convert in _CONVERSIONS:
        if isinstance(value, kinds):
            return convert(value)
    names = _field_names(value)
    return repr(value) if names is None else {name: _simple(getattr(value, name)) for name in names}


def _field_names(value: object) -> list[str] | None:
    """The fields of an object of a dataclass or of attrs; None for all others."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        return [field.name for field in dataclasses.fields(kind)]
    if attrs.has(kind):
        return [field.name for field in attrs.fields(kind)]
    return None


def _key(key: Any) -> str:
    simple = _simple(key)
    if isinstance(simple, str):
        return simple
    return json.dumps(simple) if simple is None or isinstance(simple, (bool, int, float)) else repr(key)


def _in_order(values: AbstractSet[Any]) -> list[Any]:
    """A set as a list, in an order that is the same every time."""
    simple = list(map(_simple, values))
    try:
        return sorted(simple)
    except TypeError:  # of several kinds
        return sorted(simple, key=json.dumps)


_CONVERSIONS: tuple[tuple[type | tuple[type, ...], Callable[[Any], Any]], ...] = (  # the first that fits
    (Enum, lambda value: _simple(value.value)),
    ((type(None), bool, int, str), lambda value: value),
    (float, lambda value: value if math.isfinite(value) else repr(value)),
    (Mapping, lambda value: {_key(key): _simple(each) for key, each in value.items()}),
    ((list, tuple), lambda value: list(map(_simple, value))),
    (AbstractSet, _in_order),
    ((datetime, date, time), lambda value: value.isoformat()),
    ((PurePath, UUID, Decimal), str),
)
