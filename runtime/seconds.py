"""Seconds: how users say how long something may take, or be waited for.

Decides what is a time in seconds and what is refused, for every option and every call that takes one. Does not know
what is done with it.
"""

from __future__ import annotations

from typing import Any

from millrace.actors.errors import ConfigurationError
from millrace.actors.policies import LONGEST_DELAY_SECONDS


def checked_wait(name: str, seconds: Any) -> float | None:
    """How long is to be waited: 0 for not at all, None for without end.

    Args:
        name: The parameter or option.
        seconds: What it was given.

    Raises:
        ConfigurationError: it is no time.
    """
    if seconds is None:
        return None
    if not _is_number(seconds) or not 0 <= seconds <= LONGEST_DELAY_SECONDS:
        raise ConfigurationError(name, seconds, "a number of seconds, 0 or more, or None for no limit")
    return float(seconds)


def checked_limit(name: str, seconds: Any) -> float | None:
    """How long something may take, which is not nothing; None for without end.

    Args:
        name: The parameter or option.
        seconds: What it was given.

    Raises:
        ConfigurationError: it is no time.
    """
    if seconds is None:
        return None
    if not _is_number(seconds) or not 0 < seconds <= LONGEST_DELAY_SECONDS:
        raise ConfigurationError(name, seconds, "a number of seconds above 0")
    return float(seconds)


def _is_number(seconds: object) -> bool:
    return isinstance(seconds, (int, float)) and not isinstance(seconds, bool)
