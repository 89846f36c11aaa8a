"""Seconds: how users say how long something may take, or be waited for.

This module alone decides what is a time in seconds and what is refused, for every option and every call that takes one.
It does not know what is done with it.
"""

from __future__ import annotations

from typing import Any, Final, TypeGuard

from millrace.actors.errors import ConfigurationError

LONGEST_DELAY_SECONDS: Final = 1_000_000_000
"""Some 31 years: what is added to a time must give a time."""


def is_number(value: object) -> TypeGuard[int | float]:
    """Whether a value is a number that can be compared and multiplied; True and False are none."""
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def checked_seconds(name: str, seconds: Any) -> float:
    """How long something takes: 0 or more.

    Args:
        name: The parameter or option.
        seconds: What it was given.

    Raises:
        ConfigurationError: it is no time.
    """
    return _checked(name, seconds, "a number of seconds, 0 or more")


def checked_wait(name: str, seconds: Any) -> float | None:
    """How long is to be waited: 0 for not at all, None for without end.

    Args:
        name: The parameter or option.
        seconds: What it was given.

    Raises:
        ConfigurationError: it is no time.
    """
    return None if seconds is None else _checked(name, seconds, "a number of seconds, 0 or more, or None for no limit")


def checked_limit(name: str, seconds: Any) -> float | None:
    """How long something may take, which is not nothing; None for without end.

    Args:
        name: The parameter or option.
        seconds: What it was given.

    Raises:
        ConfigurationError: it is no time.
    """
    return None if seconds is None else _checked(name, seconds, "a number of seconds above 0", nothing=False)


def _checked(name: str, seconds: Any, expected: str, *, nothing: bool = True) -> float:
    """A time, which may be nothing or not; NaN is none, as it is not in any range."""
    if not is_number(seconds) or not 0 <= seconds <= LONGEST_DELAY_SECONDS or not (seconds or nothing):
        raise ConfigurationError(name, seconds, expected)
    return float(seconds)
