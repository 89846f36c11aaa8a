"""Times, as people write and read them.

Decides what `90s`, `2h`, `30d` and `2026-11-20` mean as options, and how long ago something is said to be.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from millrace.actors.errors import ConfigurationError
from millrace.actors.timestamps import from_nanoseconds

_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 7 * 86_400}
_LENGTH: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*(s|m|min|h|d|w)", re.ASCII)
_NS: Final = 1_000_000_000
_MINUTE: Final = 60

_STEPS: Final = ((60, 1, "s"), (3600, 60, "min"), (2 * 86_400, 3600, "h"), (30 * 86_400, 86_400, "d"))


def seconds_in(option: str, text: str) -> float:
    """The length of a time, in seconds.

    Raises:
        ConfigurationError: it is none.
    """
    found = _LENGTH.fullmatch(text.strip().lower())
    if found is None:
        raise ConfigurationError(option, text, "a length of time: 90s, 15m, 2h, 30d, 4w")
    return float(found[1]) * _SECONDS[found[2][0]]


def moment(option: str, text: str, now: int) -> int:
    """A moment that is named by how long ago it was, or by its date, in the time zone at hand where it names none.

    Args:
        option: What it is an option of.
        text: What was written.
        now: The present, in nanoseconds since the epoch.

    Returns:
        Nanoseconds since the epoch.

    Raises:
        ConfigurationError: it is none.
    """
    if _LENGTH.fullmatch(text.strip().lower()):
        return max(0, now - round(seconds_in(option, text) * _NS))
    try:
        return max(0, round(datetime.fromisoformat(text.strip()).astimezone(UTC).timestamp() * _NS))
    except (ValueError, OverflowError, OSError):
        expected = "how long ago it is, as 90s, 2h or 30d, or a date, as 2026-11-20 or 2026-11-20T08:00"
        raise ConfigurationError(option, text, expected) from None


def iso(at: int | None) -> str | None:
    """A moment as ISO 8601, in UTC; None for none."""
    return None if at is None else from_nanoseconds(at).isoformat()


def ago(at: int | None, now: int) -> str:
    """How long ago a moment is; after a month, its date."""
    if at is None:
        return ""
    seconds = max(0, now - at) / _NS
    for limit, unit, name in _STEPS:
        if seconds < limit:
            return f"{seconds // unit:.0f} {name} ago"
    return from_nanoseconds(at).strftime("%Y-%m-%d")


def length(nanoseconds: int) -> str:
    """A length of time in two units at most."""
    seconds = max(0, nanoseconds) / _NS
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < _MINUTE:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), _MINUTE)
    hours, minutes = divmod(minutes, _MINUTE)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"
