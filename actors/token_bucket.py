"""The token bucket: how often something may be done.

Decides when the next tokens are there, and what a changed rate makes of those that are. Knows no clock: the time comes
with each question, in nanoseconds. All of it is whole numbers, so that nothing is lost however long it goes on.

Source: the generic cell rate algorithm (ITU-T I.371), which is a token bucket that keeps one number, the time at which
the bucket will be full again, in place of a level that has to be brought up to date.
"""

from __future__ import annotations

from typing import Final

import attrs

from millrace.actors.errors import ConfigurationError
from millrace.actors.seconds import LONGEST_DELAY_SECONDS, is_number

_SECOND: Final = 1_000_000_000
MOST: Final = 1_000_000_000
"""No limit that is counted with is larger."""


@attrs.frozen
class RateLimit:
    """How often something may be done: so many times in so many seconds, and so many of these at once.

    Args:
        limit: How many tokens come in.
        per_seconds: In how many seconds.
        burst: How many tokens the bucket holds, and so how many may be taken at once after a while without any;
            by default as many as `limit`.

    Raises:
        ConfigurationError: an argument is out of range.
    """

    limit: int
    per_seconds: float = attrs.field(default=1.0, kw_only=True)
    burst: int = attrs.field(default=attrs.Factory(lambda self: self.limit, takes_self=True), kw_only=True)

    def __attrs_post_init__(self) -> None:
        check_whole("limit", self.limit, MOST)
        check_whole("burst", self.burst, MOST)
        seconds = self.per_seconds
        if not is_number(seconds) or not 1 / _SECOND <= seconds <= LONGEST_DELAY_SECONDS:
            raise ConfigurationError("per_seconds", seconds, "a number of seconds above 0")

    @property
    def period(self) -> int:
        """`per_seconds` in nanoseconds."""
        return round(self.per_seconds * _SECOND)

    def __str__(self) -> str:
        return f"{self.limit} in {self.per_seconds:g} s"


def check_whole(name: str, value: object, most: int | None = None) -> None:
    """Check that an option is a whole number, 1 or more.

    Args:
        name: The option.
        value: What it was given.
        most: The largest that it may be.

    Raises:
        ConfigurationError: it is something else.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < 1 or (most is not None and value > most):
        raise ConfigurationError(name, value, f"a whole number{'' if most is None else f' up to {most:,}'}, 1 or more")


class Bucket:
    """The tokens of one limit.

    Times are kept in units of a nanosecond over `rate.limit`, in which a token takes a whole number of them to come.

    Args:
        rate: How fast they come in, and how many it holds. It is full at first.
    """

    __slots__ = ("_full_at", "rate")

    def __init__(self, rate: RateLimit) -> None:
        self.rate = rate
        self._full_at = 0  # when it will be full, or was; in units as above

    def ready_at(self, tokens: int, at: int) -> int:
        """When so many tokens are there: `at` if that is now, else later.

        Args:
            tokens: How many; as many as it holds at most.
            at: Now.
        """
        rate = self.rate
        wanted = self._full_at + (tokens - rate.burst) * rate.period
        return max(at, -(-wanted // rate.limit))

    def take(self, tokens: int, at: int) -> None:
        """Take tokens that are there."""
        rate = self.rate
        self._full_at = max(self._full_at, at * rate.limit) + tokens * rate.period

    def there(self, at: int) -> int:
        """How many whole tokens are there."""
        return self.rate.burst - -(-self._missing(at) // self.rate.period)

    def change(self, rate: RateLimit, at: int) -> None:
        """Have tokens come in at another rate from now on. What is there stays, as far as the bucket holds it."""
        missing, before = self._missing(at), self.rate
        self.rate = rate
        # A token is a period, before and after. Rounded so that nobody gets a part of one too early.
        level = before.burst * before.period - missing
        kept = min(level * rate.period // before.period, rate.burst * rate.period)
        self._full_at = at * rate.limit + rate.burst * rate.period - kept

    def _missing(self, at: int) -> int:
        return max(0, self._full_at - at * self.rate.limit)
