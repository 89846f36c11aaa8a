"""Policies: what may be tried again, when, and how often. Values only; the actors apply them.

Decides the number and the delays of retries, how a delay is spread, and when crashes are too many. Does not know
clocks, runs, mailboxes or randomness: times and random numbers come with each question.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, Final, Literal, TypeVar

from millrace.actors.errors import ConfigurationError
from millrace.actors.seconds import LONGEST_DELAY_SECONDS, is_number
from millrace.actors.values import Value, put

W = TypeVar("W", bound=StrEnum)

Delays = float | Sequence[float] | Callable[[int], float | Sequence[float]]
"""How users write delays: a number of seconds, a list whose last one repeats, or what gives one of these."""

MOST_JITTER: Final = 1_000_000
"""With such a factor one delay in a million is not zero; larger ones make no difference, and overflow."""

MIDDLE: Final = 0.5
"""The random number that stands for none: it gives a delay that is not spread."""


class RetryPolicy(Value):
    """How often, and after which delays, a failed attempt is tried again.

    Args:
        retries: How many attempts may follow the first one.
        delays: Seconds to wait before each retry; the last one repeats. Empty means no delay.
        jitter: How far a delay is spread around its mean, as a share of it; 0 means not at all.
        condition: Asked before each retry, by the upper floor; opaque here.
    """

    __slots__ = ("retries", "delays", "jitter", "condition")  # noqa: RUF023  # as they are given

    retries: int
    delays: tuple[float, ...]
    jitter: float
    condition: Callable[..., Any] | None

    def __init__(
        self,
        retries: int = 0,
        delays: tuple[float, ...] = (),
        jitter: float = 0.0,
        condition: Callable[..., Any] | None = None,
    ) -> None:
        put(self, "retries", retries)
        put(self, "delays", delays)
        put(self, "jitter", jitter)
        put(self, "condition", condition)

    @classmethod
    def of(
        cls,
        retries: int,
        delay_seconds: Delays | None,
        jitter: float | None = None,
        condition: Callable[..., Any] | None = None,
    ) -> RetryPolicy:
        """Check what a user wrote and make a policy of it.

        Raises:
            ConfigurationError: an option has the wrong type, is negative or too large; it names option and value.
        """
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise ConfigurationError("retries", retries, "a whole number, 0 or more")
        if jitter is not None and (not is_number(jitter) or not 0 <= jitter <= MOST_JITTER):
            raise ConfigurationError("retry_jitter_factor", jitter, f"a number from 0 to {MOST_JITTER:,}")
        if condition is not None and not callable(condition):
            raise ConfigurationError("retry_condition_fn", condition, "a function of task, run and state")
        if callable(delay_seconds):
            delay_seconds = delay_seconds(retries)
        if delay_seconds is None:
            delays: tuple[float, ...] = ()
        elif isinstance(delay_seconds, Sequence) and not isinstance(delay_seconds, (str, bytes, bytearray)):
            delays = tuple(_checked(each) for each in delay_seconds)
        else:
            delays = (_checked(delay_seconds),)
        return cls(retries, delays, float(jitter or 0), condition)

    @property
    def draws(self) -> bool:
        """Whether a random number is needed for each delay."""
        return self.jitter > 0 and any(self.delays)

    @property
    def asks(self) -> bool:
        """Whether something of the upper floor's has a say in a retry."""
        return self.retries > 0 and (self.condition is not None or self.draws)

    def delay_before(self, retry: int, drawn: float = MIDDLE) -> float:
        """Seconds to wait before the `retry`-th retry, counted from 1.

        Args:
            retry: Which one.
            drawn: A random number, at least 0 and less than 1.
        """
        if not self.delays:
            return 0.0
        delay = self.delays[min(retry, len(self.delays)) - 1]
        if not self.jitter or drawn == MIDDLE:
            return delay
        return min(spread(delay, self.jitter, drawn), LONGEST_DELAY_SECONDS)


def spread(mean: float, factor: float, drawn: float) -> float:
    """A delay spread around its mean, never below zero.

    Up to a factor of 1 it is uniform between `mean * (1 - factor)` and `mean * (1 + factor)`. A larger factor has no
    room below zero: then it is `mean * (1 + factor)` times a power of the random number, which keeps the mean, lies
    between 0 and `mean * (1 + factor)`, and is the same uniform distribution at a factor of 1.

    Source: a factor of 1 is the "full jitter" of Marc Brooker's "Exponential Backoff And Jitter" (AWS Architecture
    Blog, 2015) for twice the mean; the power follows from E[U ** f] = 1 / (1 + f) for a uniform U.

    Args:
        mean: Seconds.
        factor: How far, as a share of the mean; 0 or more.
        drawn: A random number, at least 0 and less than 1.
    """
    if factor <= 1:
        return mean * (1 + factor * (2 * drawn - 1))
    return mean * (1 + factor) * float(drawn**factor)


def exponential_backoff(backoff_factor: float) -> Callable[[int], list[float]]:
    """Delays that double with every retry: `retry_delay_seconds=exponential_backoff(10)`.

    Args:
        backoff_factor: Seconds before the first retry; then twice as long, four times as long, and so on.

    Returns:
        What gives the list of delays for a number of retries.

    Raises:
        ConfigurationError: it is no number, or negative.
    """
    factor = _checked(backoff_factor, "backoff_factor")

    def delays(retries: int) -> list[float]:
        return [min(factor * 2.0**retry, LONGEST_DELAY_SECONDS) for retry in range(min(retries, 64))]

    return delays


def _checked(delay: object, name: str = "retry_delay_seconds") -> float:
    if not is_number(delay) or not 0 <= delay <= LONGEST_DELAY_SECONDS:
        raise ConfigurationError(
            name,
            delay,
            f"a number of seconds from 0 to {LONGEST_DELAY_SECONDS:,}, or a list of such",
        )
    return float(delay)


NO_RETRIES = RetryPolicy()


class Advice(Value):
    """What the upper floor has to say about a retry.

    Args:
        retry: Whether the task's condition allows it.
        drawn: A random number for the delay, at least 0 and less than 1.
    """

    __slots__ = ("drawn", "retry")

    retry: bool
    drawn: float

    def __init__(self, *, retry: bool = True, drawn: float = MIDDLE) -> None:
        put(self, "retry", retry)
        put(self, "drawn", drawn)


NO_ADVICE: Final = Advice()


class Restart(StrEnum):
    """What is started again after a crash."""

    NEVER = "never"
    TASK = "task"


class Escalation(StrEnum):
    """What follows when crashes are too many."""

    FAIL = "fail"
    CANCEL_SIBLINGS = "cancel_siblings"


def _word(name: str, value: object, words: type[W]) -> W:
    for word in words:
        if word == value:
            return word
    raise ConfigurationError(name, value, " or ".join(f"'{word}'" for word in words))


class CrashPolicy(Value):
    """What a flow does about runs of its tasks that crash.

    A crash is what is no failure of the task's own: its process, thread or loop took the run away, its body was
    cancelled from outside, or the engine has a fault. An interrupt by the user and a termination signal are meant for
    the whole program and are never restarted.

    Source: the restart intensity of OTP supervisors (`MaxR` restarts in `MaxT` seconds), with their defaults.

    Args:
        restart: `"never"`: the run stays CRASHED. `"task"`: it is started again, and no retry is used up.
        max_restarts: How many restarts the flow run allows within the window; one more escalates.
        within_seconds: The window.
        then: What escalating means. `"fail"`: the crash stands, and the flow run fails when its body and its children
            have ended. `"cancel_siblings"`: the other children are cancelled at once, too.

    Raises:
        ConfigurationError: an option has the wrong type or is out of range.
    """

    __slots__ = ("restart", "max_restarts", "within_seconds", "then")  # noqa: RUF023  # as they are told of

    restart: Restart
    max_restarts: int
    within_seconds: float
    then: Escalation

    def __init__(
        self,
        *,
        restart: Restart | Literal["never", "task"] = Restart.NEVER,
        max_restarts: int = 1,
        within_seconds: float = 5.0,
        then: Escalation | Literal["fail", "cancel_siblings"] = Escalation.FAIL,
    ) -> None:
        put(self, "restart", _word("crash_policy.restart", restart, Restart))
        put(self, "then", _word("crash_policy.then", then, Escalation))
        if isinstance(max_restarts, bool) or not isinstance(max_restarts, int) or max_restarts < 0:
            raise ConfigurationError("crash_policy.max_restarts", max_restarts, "a whole number, 0 or more")
        put(self, "max_restarts", max_restarts)
        if not is_number(within_seconds) or not 0 < within_seconds <= LONGEST_DELAY_SECONDS:
            raise ConfigurationError("crash_policy.within_seconds", within_seconds, "a number of seconds above 0")
        put(self, "within_seconds", within_seconds)

    @property
    def restarts(self) -> bool:
        """Whether it ever restarts anything."""
        return self.restart is Restart.TASK


LET_IT_CRASH: Final = CrashPolicy()


class RestartWindow:
    """The restarts of one flow run that count at a moment.

    Source: `add_restart` of OTP's `supervisor`: a restart exactly as old as the window still counts, and the one that
    is about to be made counts too.
    """

    __slots__ = ("_policy", "_times")

    def __init__(self, policy: CrashPolicy) -> None:
        self._policy = policy
        self._times: deque[int] = deque()  # ns, as they came; len <= max_restarts + 1

    def times(self) -> tuple[int, ...]:
        """When those were, in nanoseconds since the epoch, and one that was not allowed."""
        return tuple(self._times)

    def admits(self, at: int) -> bool:
        """Count one more restart; whether that is within the policy's intensity.

        Args:
            at: Nanoseconds since the epoch.
        """
        oldest = at - round(self._policy.within_seconds * 1e9)
        while self._times and self._times[0] < oldest:
            self._times.popleft()
        self._times.append(at)
        return len(self._times) <= self._policy.max_restarts
