"""Times: the engine counts whole nanoseconds since the epoch, users read aware datetimes. The one place to convert."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def from_nanoseconds(ns: int) -> datetime:
    """The aware UTC datetime of a time in nanoseconds since the epoch, cut to microseconds."""
    return _EPOCH + timedelta(microseconds=ns // 1000)


def to_nanoseconds(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware datetime; exact, where a float timestamp would not be."""
    since = moment - _EPOCH
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000
