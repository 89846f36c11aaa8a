"""Adaptive limits: how many at once are best, found out from how long each takes.

Decides what the limit is after each observation. Knows no clock and no runs: times come with the observations, in
nanoseconds. Two algorithms, of which both look at a *window* of observations at a time, and only at such that began in
it: what began before the limit was changed says nothing about it. Unless it has outlasted a whole window: then that is
what is to be known of it. Else a service that lets some wait for ever, and serves others at once, would look quick, and
nobody would hear of what fails after a long time.

Sources: the adaptive limits of Netflix's concurrency-limits (github.com/Netflix/concurrency-limits, and "Performance
Under Load", Netflix technology blog, 2018). `Gradient` is after its `GradientLimit`, with its square root of the limit
as headroom, and its way of finding the latency without load again; other than there, latencies are averages over a
window, so that it does not take the luckiest one of all for what is possible, and only of what has not failed: a call
that is refused at once is no sign of a service that is quick. `Aimd` is after its `AIMDLimit`, and that
is after the congestion control of TCP (D.-M. Chiu and R. Jain, "Analysis of the Increase and Decrease Algorithms for
Congestion Avoidance in Computer Networks", 1989).
"""

from __future__ import annotations

import math
from typing import Any, Final

import attrs

from millrace.actors.errors import ConfigurationError
from millrace.actors.seconds import LONGEST_DELAY_SECONDS, is_number
from millrace.actors.token_bucket import MOST, check_whole

SAMPLES: Final = 16
"""A window holds at least so many observations, and two for each place that there is."""

PROBE_EVERY: Final = 50
"""After so many windows the gradient looks once what latency half as many at once have."""

LEAST_GRADIENT: Final = 0.5
"""So much of the limit is left by one window at least."""

ALGORITHMS: Final = ("gradient", "aimd")


@attrs.frozen(kw_only=True)
class AdaptiveLimit:
    """A limit on how many at once, that finds out itself how many are best.

    Every use of a slot is an observation: how long it was held, and whether it failed. `"gradient"` compares latencies
    with the lowest that there were: as long as they are about the same, more at once do no harm, and when they rise,
    what is more only stands in a queue. `"aimd"` allows one more at a time until something fails, or takes longer than
    `timeout_seconds`, and then a tenth less. Sources: see the module.

    Args:
        initial: How many at once at first.
        minimum: Never fewer.
        maximum: Never more.
        algorithm: `"gradient"` or `"aimd"`.
        tolerance: For the gradient: how many times the lowest latency is as good as that, from 1 on.
        timeout_seconds: What takes longer counts as failed; None for no such time.
        backoff: For AIMD: what is left of the limit after something failed, from 0.5 to below 1.

    Raises:
        ConfigurationError: an argument is out of range.
    """

    initial: int = 4
    minimum: int = 1
    maximum: int = 1000
    algorithm: str = "gradient"
    tolerance: float = 1.5
    timeout_seconds: float | None = None
    backoff: float = 0.9

    def __attrs_post_init__(self) -> None:
        check_whole("minimum", self.minimum)
        check_whole("maximum", self.maximum, MOST)
        check_whole("initial", self.initial)
        if self.maximum < self.minimum:
            raise ConfigurationError("maximum", self.maximum, f"a whole number, {self.minimum:,} ('minimum') or more")
        if not self.minimum <= self.initial <= self.maximum:
            bounds = f"from {self.minimum:,} ('minimum') to {self.maximum:,} ('maximum')"
            raise ConfigurationError("initial", self.initial, f"a whole number {bounds}")
        if self.algorithm not in ALGORITHMS:
            raise ConfigurationError("algorithm", self.algorithm, "'gradient' or 'aimd'")
        _check_number("tolerance", self.tolerance, self.tolerance, 1, math.inf, "a number, 1 or more")
        _check_number("backoff", self.backoff, self.backoff, 0.5, math.nextafter(1, 0), "a number from 0.5 to below 1")
        seconds = self.timeout_seconds
        if seconds is not None:
            least = math.nextafter(0, 1)
            _check_number(
                "timeout_seconds", seconds, seconds, least, LONGEST_DELAY_SECONDS, "a number of seconds above 0"
            )

    def estimator(self) -> Estimator:
        """What finds the limit, beginning with `initial`."""
        return Gradient(self) if self.algorithm == "gradient" else Aimd(self)


def _check_number(name: str, value: object, number: Any, least: float, most: float, expected: str) -> None:  # noqa: PLR0917
    if not is_number(value) or not least <= number <= most or math.isinf(number):
        raise ConfigurationError(name, value, expected)


class Estimator:
    """Finds one limit. Takes observations, and sees to the windows of them; what each makes of one is said below.

    Args:
        config: The bounds, and what the algorithm takes.
    """

    __slots__ = ("_answered", "_before", "_busiest", "_config", "_count", "_failed", "_opened", "_sum", "estimate")

    def __init__(self, config: AdaptiveLimit) -> None:
        self._config = config
        self.estimate = float(config.initial)  # minimum <= estimate <= maximum
        self._opened = 0  # when the window was
        self._before = 0  # when the one before it was; what began between the two is not looked at
        self._count = 0  # observations in the window
        self._failed = 0  # of these; what took too long is one of them
        self._answered = 0  # of these, what did not fail by itself
        self._sum = 0  # of the latencies of those, ns
        self._busiest = 0  # the most that were under way at once in the window

    @property
    def limit(self) -> int:
        """How many at once."""
        return int(self.estimate)

    @property
    def maximum(self) -> int:
        """Never more than that."""
        return self._config.maximum

    def observe(self, began: int, ended: int, in_flight: int, *, failed: bool) -> None:
        """Something has been done.

        Args:
            began: When, in nanoseconds.
            ended: When it was over.
            in_flight: How many were under way just before that, this one among them.
            failed: It failed, or took too long.
        """
        if self._before <= began < self._opened:
            return
        took = max(0, ended - began)
        self._count += 1
        self._failed += failed or self._too_long(took)
        if not failed:
            self._answered += 1
            self._sum += took
        self._busiest = max(self._busiest, in_flight)
        if self._count >= max(SAMPLES, 2 * self.limit):
            latency = self._sum / self._answered if self._answered else None
            found = self._conclude(latency, self._failed / self._count)
            self.estimate = min(max(found, float(self._config.minimum)), float(self._config.maximum))
            self._before, self._opened = self._opened, ended
            self._count = self._failed = self._answered = self._sum = self._busiest = 0

    @property
    def _wanted(self) -> bool:
        """Whether so many at once were wanted at all; if not, that there may be more says nothing."""
        return 2 * self._busiest >= self.limit

    def _too_long(self, latency: int) -> bool:
        seconds = self._config.timeout_seconds
        return seconds is not None and latency > seconds * 1e9

    def _conclude(self, latency: float | None, failed: float) -> float:
        """The limit after a window.

        Args:
            latency: The average of what did not fail, ns; None where all did.
            failed: The share of those that failed.
        """
        raise NotImplementedError


class Gradient(Estimator):
    """Compares latencies with the lowest there were. See the module's docstring."""

    __slots__ = ("_lowest", "_paused", "_windows")

    def __init__(self, config: AdaptiveLimit) -> None:
        super().__init__(config)
        self._lowest = 0.0  # the lowest average of a window, ns; 0: there has been none
        self._windows = 0  # since it was looked for
        self._paused = 0.0  # the estimate that goes on after the window that looks for the lowest latency; 0: none does

    def _conclude(self, latency: float | None, failed: float) -> float:
        if self._paused:
            estimate, self._paused = self._paused, 0.0
            self._lowest = self._lowest if latency is None else latency
            return estimate
        self._windows += 1
        gradient = max(LEAST_GRADIENT, self._gradient(latency) * (1 - failed))
        found = self.estimate * gradient
        if self._wanted:
            found += math.sqrt(self.estimate)
        elif gradient == 1.0:
            return self.estimate
        if self._windows >= PROBE_EVERY:
            self._windows = 0
            self._paused = min(max(found, float(self._config.minimum)), float(self._config.maximum))
            return self._paused / 2
        return found

    def _gradient(self, latency: float | None) -> float:
        """How the lowest latency stands to that of a window: 1 where it is about as good."""
        if latency is None:
            return 1.0
        self._lowest = min(self._lowest or latency, latency)
        return 1.0 if latency <= 0 else min(1.0, self._config.tolerance * self._lowest / latency)


class Aimd(Estimator):
    """One more at a time, until something fails. See the module's docstring."""

    __slots__ = ()

    def _conclude(self, latency: float | None, failed: float) -> float:
        del latency  # what took too long has failed
        if failed:
            return self.estimate * self._config.backoff
        return self.estimate + 1 if self._wanted else self.estimate
