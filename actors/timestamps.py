"""Times: the engine counts whole nanoseconds since the epoch, users read aware datetimes. The one place to convert.

The module of datetimes is imported when somebody reads the first one: many programs never do.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from millrace.actors.errors import ConfigurationError

if TYPE_CHECKING:
    from datetime import datetime, timedelta


@cache
def _calendar() -> tuple[datetime, type[timedelta]]:
    """The epoch, and what is counted from there."""
    from datetime import UTC, datetime, timedelta  # noqa: PLC0415  # see above

    return datetime(1970, 1, 1, tzinfo=UTC), timedelta


def from_nanoseconds(ns: int) -> datetime:
    """The aware UTC datetime of a time in nanoseconds since the epoch, cut to microseconds."""
    epoch, timedelta = _calendar()
    return epoch + timedelta(microseconds=ns // 1000)


def to_nanoseconds(moment: datetime) -> int:
    """Nanoseconds since the epoch of an aware datetime; exact, where a float timestamp would not be."""
    since = moment - _calendar()[0]
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def span(ns: int) -> timedelta:
    """So many nanoseconds, to the microsecond."""
    from datetime import timedelta  # noqa: PLC0415  # see above

    return timedelta(microseconds=ns / 1000)


def as_aware(name: str, value: datetime) -> datetime:
    """A time that can be compared to others.

    One without a zone is taken to be in UTC, which is what the engine uses throughout.

    Args:
        name: What was given the time.
        value: The time.

    Raises:
        ConfigurationError: it is no time.
    """
    from datetime import UTC, datetime  # noqa: PLC0415  # see above

    if not isinstance(value, datetime):
        raise ConfigurationError(name, value, "a datetime")
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value
