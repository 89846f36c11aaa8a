"""Dates, times and durations, from text in ISO 8601 and from numbers of seconds.

Decides what may be read as a moment. Numbers count from 1970 in UTC: in seconds, and from `_MILLISECONDS` on in
milliseconds. A date is not made of a moment within a day.
"""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from numbers import Real
from typing import Any, Final

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MILLISECONDS: Final = 2 * 10**10
"""Beyond this many seconds, in the year 2603, a number is taken for milliseconds; Prefect draws the line there, too."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_AMOUNT = r"(\d+(?:\.\d+)?)"
_ISO_DURATION = re.compile(
    rf"([+-]?)P(?=.)(?:{_AMOUNT}Y)?(?:{_AMOUNT}M)?(?:{_AMOUNT}W)?(?:{_AMOUNT}D)?"
    rf"(?:T(?:{_AMOUNT}H)?(?:{_AMOUNT}M)?(?:{_AMOUNT}S)?)?"
)
_ISO_PARTS = tuple(
    timedelta(days=days, seconds=seconds)
    for days, seconds in ((365, 0), (30, 0), (7, 0), (1, 0), (0, 3600), (0, 60), (0, 1))
)
_CLOCK_DURATION = re.compile(
    r"([+-]?)(?:(\d+)\s*d(?:ays?)?(?:(,)?\s*|$))?(?:(\d+):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?)?"
)


def _number(value: Any) -> float | None:
    """The value as a number; None if it is none."""
    if isinstance(value, bytes):
        value = value.decode()
    if isinstance(value, str):
        return float(value) if _NUMBER.fullmatch(value) else None
    return None if isinstance(value, bool) or not isinstance(value, (Real, Decimal)) else float(value)


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        value = value.decode()
    if not isinstance(value, str):
        raise TypeError(value)
    return value.upper()


def to_datetime(value: Any) -> datetime:
    """A moment, of a date, a number or text."""
    if isinstance(value, date):
        return datetime.combine(value, time())
    number = _number(value)
    if number is None:
        return datetime.fromisoformat(_text(value))
    if abs(number) > _MILLISECONDS:
        return _EPOCH + timedelta(milliseconds=number)
    return _EPOCH + timedelta(seconds=number)


def to_date(value: Any) -> date:
    """A date, of what says nothing about the time of day."""
    moment = value if isinstance(value, datetime) else to_datetime(value)
    if moment.time() != time():
        raise ValueError(value)
    return moment.date()


def to_time(value: Any) -> time:
    """A time of day, of text or of seconds since midnight in UTC."""
    if isinstance(value, (str, bytes)):
        return time.fromisoformat(_text(value))
    number = _number(value)
    if number is None or not 0 <= number < timedelta(days=1).total_seconds():
        raise ValueError(value)
    return (_EPOCH + timedelta(seconds=number)).timetz()


def to_timedelta(value: Any) -> timedelta:
    """A duration, of seconds, or of text as in `P1DT2H`, `1 day, 2:00:00` or `2:00`."""
    if not isinstance(value, (str, bytes)):
        return timedelta(seconds=float(value))
    text = value.decode() if isinstance(value, bytes) else value
    found = _ISO_DURATION.fullmatch(text)
    if found is not None:
        sign, *amounts = found.groups()
        parts = [part * float(amount) for part, amount in zip(_ISO_PARTS, amounts, strict=True) if amount]
        total = sum(parts[1:], parts[0])
        return -total if sign == "-" else total
    found = _CLOCK_DURATION.fullmatch(text)
    if found is None or not text.lstrip("+-"):
        raise ValueError(value)
    sign, days, comma, hours, minutes, seconds = found.groups()
    whole = timedelta(days=int(days or 0))
    clock = timedelta(hours=int(hours or 0), minutes=int(minutes or 0), seconds=float(seconds or 0))
    if sign != "-":
        return whole + clock
    return clock - whole if comma else -(whole + clock)  # str() of a negative timedelta has a comma, and adds the clock
