"""Results as JSON documents.

Decides what becomes of values that JSON does not have: what has an obvious form in JSON gets that, all else is the string
that `repr` gives. So a result is always printed, and never in a form that depends on chance.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Any
from uuid import UUID

import attrs

_AS_TEXT = (PurePath, UUID, Decimal)
_IN_TIME = (datetime, date, time)


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
    if isinstance(value, Enum):
        return _simple(value.value)
    if value is None or isinstance(value, (bool, int, str)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else repr(value)
    if isinstance(value, Mapping):
        return {_key(key): _simple(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_simple(each) for each in value]
    if isinstance(value, AbstractSet):
        return sorted((_simple(each) for each in value), key=lambda each: (str(type(each)), str(each)))
    if isinstance(value, _IN_TIME):
        return value.isoformat()
    if isinstance(value, _AS_TEXT):
        return str(value)
    if not isinstance(value, type) and dataclasses.is_dataclass(value):
        return {field.name: _simple(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if attrs.has(type(value)):
        return {field.name: _simple(getattr(value, field.name)) for field in attrs.fields(type(value))}
    return repr(value)


def _key(key: Any) -> str:
    simple = _simple(key)
    if isinstance(simple, str):
        return simple
    return json.dumps(simple) if simple is None or isinstance(simple, (bool, int, float)) else repr(key)
