"""Policies: what may be tried again, when, and how often. Values only; the actors apply them.

Decides the number and the delays of retries. Does not know clocks, runs or mailboxes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import attrs

from millrace.actors.errors import ConfigurationError

LONGEST_DELAY_SECONDS: Final = 1_000_000_000
"""Some 31 years: what is added to a time must give a time."""


@attrs.frozen
class RetryPolicy:
    """How often, and after which delays, a failed attempt is tried again.

    Args:
        retries: How many attempts may follow the first one.
        delays: Seconds to wait before each retry; the last one repeats. Empty means no delay.
    """

    retries: int = 0
    delays: tuple[float, ...] = ()

    @classmethod
    def of(cls, retries: int, delay_seconds: float | Sequence[float] | None) -> RetryPolicy:
        """Check what a user wrote and make a policy of it.

        Raises:
            ConfigurationError: an option has the wrong type, is negative or too large; it names option and value.
        """
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ConfigurationError("retries", retries, "a whole number, 0 or more")
        if delay_seconds is None:
            delays: tuple[float, ...] = ()
        elif isinstance(delay_seconds, Sequence) and not isinstance(delay_seconds, (str, bytes)):
            delays = tuple(_checked(each) for each in delay_seconds)
        else:
            delays = (_checked(delay_seconds),)
        return cls(retries, delays)

    def delay_before(self, retry: int) -> float:
        """Seconds to wait before the `retry`-th retry, counted from 1."""
        if not self.delays:
            return 0.0
        return self.delays[min(retry, len(self.delays)) - 1]


def _checked(delay: object) -> float:
    number = isinstance(delay, (int, float)) and not isinstance(delay, bool)
    if not number or not 0 <= delay <= LONGEST_DELAY_SECONDS:  # type: ignore[operator]
        raise ConfigurationError(
            "retry_delay_seconds",
            delay,
            f"a number of seconds from 0 to {LONGEST_DELAY_SECONDS:,}, or a list of such",
        )
    return float(delay)  # type: ignore[arg-type]


NO_RETRIES = RetryPolicy()
