"""Simple values: numbers, truth, text, and what is written as text.

Decides which value may stand for which without losing anything: a number may come as text or as a number of another
kind, never with a part cut off. Functions here give the converted value or raise whatever they come to; who calls them
says what was expected.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from numbers import Integral, Real
from pathlib import PurePath
from typing import Any, Final
from uuid import UUID

from millrace.runtime.validation.moments import to_date, to_datetime, to_time, to_timedelta
from millrace.runtime.validation.wrong import shown, wrong

_BYTES = (bytes, bytearray)
_TRUE = frozenset(("1", "on", "t", "true", "y", "yes"))
_FALSE = frozenset(("0", "off", "f", "false", "n", "no"))
_UUID_BYTES = 16


def text_of(value: Any) -> str | None:
    """The value as text; None if it is none."""
    if isinstance(value, str):
        return value
    return value.decode() if isinstance(value, _BYTES) else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (Real, Decimal))


def _to_int(value: Any) -> int:
    text = text_of(value)
    if text is not None:
        whole, point, rest = text.strip().partition(".")
        if point and (not rest or rest.strip("0")):
            raise ValueError(text)
        return int(whole)
    if _is_number(value):
        number = int(value)
        if number != value:
            raise ValueError(value)
        return number
    return int(operator.index(value))


def _to_float(value: Any) -> float:
    number = float(value)
    if isinstance(value, Integral) and number != value:
        raise wrong(f"{shown(value)} has more digits than a float can hold")
    return number


def _to_bool(value: Any) -> bool:
    text = text_of(value)
    if text is not None:
        text = text.lower()
        if text not in _TRUE | _FALSE:
            raise ValueError(text)
        return text in _TRUE
    if not _is_number(value) or value not in (0, 1):
        raise ValueError(value)
    return bool(value)


def _to_str(value: Any) -> str:
    text = text_of(value)
    if text is None:
        raise TypeError(value)
    return text


def _to_bytes(value: Any) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if not isinstance(value, (bytearray, memoryview)):
        raise TypeError(value)
    return bytes(value)


def _to_decimal(value: Any) -> Decimal:
    if isinstance(value, bool):
        raise TypeError(value)
    number = Decimal(repr(float(value)) if isinstance(value, float) else value)
    if not number.is_finite():
        raise ValueError(value)
    return number


def _to_uuid(value: Any) -> UUID:
    if isinstance(value, bytes) and len(value) == _UUID_BYTES:
        return UUID(bytes=value)
    return UUID(_to_str(value))


SCALARS: Final[dict[type, tuple[str, Callable[[Any], Any]]]] = {
    int: ("a whole number", _to_int),
    float: ("a number", _to_float),
    bool: ("true or false", _to_bool),
    complex: ("a complex number", complex),
    str: ("text", _to_str),
    bytes: ("bytes", _to_bytes),
    Decimal: ("a decimal number", _to_decimal),
    Fraction: ("a fraction", Fraction),
    datetime: ("a date and time", to_datetime),
    date: ("a date", to_date),
    time: ("a time of day", to_time),
    timedelta: ("a duration", to_timedelta),
    UUID: ("a UUID", _to_uuid),
}
"""What each class is called, and how a value becomes an instance."""

_WRITTEN = {  # by name, so that nothing is imported for it
    "ipaddress.IPv4Address": "an IPv4 address",
    "ipaddress.IPv4Interface": "an IPv4 interface",
    "ipaddress.IPv4Network": "an IPv4 network",
    "ipaddress.IPv6Address": "an IPv6 address",
    "ipaddress.IPv6Interface": "an IPv6 interface",
    "ipaddress.IPv6Network": "an IPv6 network",
    "zoneinfo.ZoneInfo": "a time zone",
}


def scalar_of(cls: Any) -> tuple[str, Callable[[Any], Any]] | None:
    """What instances of a class are called and how they are made; None for a class that is no simple value."""
    if cls in SCALARS:
        return SCALARS[cls]
    if issubclass(cls, PurePath):
        return "a path", cls
    if cls is re.Pattern:
        return "a regular expression", re.compile
    expected = _WRITTEN.get(f"{cls.__module__}.{cls.__qualname__}")
    return None if expected is None else (expected, lambda value: cls(_to_str(value)))
