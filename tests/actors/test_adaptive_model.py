"""Adaptive limits against what their sources say, written down a second time and without any cleverness."""

from __future__ import annotations

from fractions import Fraction
from math import sqrt
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.actors.adaptive import AdaptiveLimit

Observation = tuple[int, int, int, bool]
"""(began, ended, in flight, failed)"""


class Written:
    """The limit after each observation, found by going through all of them again."""

    def __init__(self, config: AdaptiveLimit) -> None:
        self.config = config
        self.estimate = float(config.initial)
        self.window: list[Observation] = []
        self.opened = 0
        self.before = 0  # when the window before was opened
        self.averages: list[float] = []  # of windows since the lowest latency was looked for, that one among them
        self.concluded = 0  # windows since then
        self.after: float | None = None  # what the estimate is when that has been done

    def observe(self, one: Observation) -> float:
        began, ended, _, _ = one
        if began >= self.opened or began < self.before:
            self.window.append(one)
            if len(self.window) >= 16 and len(self.window) >= 2 * int(self.estimate):
                self.estimate = self._within(self._aimd() if self.config.algorithm == "aimd" else self._gradient())
                self.window = []
                self.before, self.opened = self.opened, ended
        return self.estimate

    def _within(self, estimate: float) -> float:
        return max(float(self.config.minimum), min(float(self.config.maximum), estimate))

    @property
    def _wanted(self) -> bool:
        return max(busy for _, _, busy, _ in self.window) * 2 >= int(self.estimate)

    @property
    def _failures(self) -> int:
        seconds = self.config.timeout_seconds
        return sum(
            failed or (seconds is not None and max(0, ended - began) > seconds * 1e9)
            for began, ended, _, failed in self.window
        )

    def _aimd(self) -> float:
        if self._failures:
            return self.estimate * self.config.backoff
        return self.estimate + 1 if self._wanted else self.estimate

    def _gradient(self) -> float:
        times = [max(0, ended - began) for began, ended, _, failed in self.window if not failed]
        average = sum(times) / len(times) if times else None
        if self.after is not None:
            found, self.after = self.after, None
            self.averages = self.averages if average is None else [average]
            self.concluded = 0
            return found
        self.concluded += 1
        if average is not None:
            self.averages.append(average)
        above = [each for each in self.averages if each > 0]
        slope = 1.0
        if average:
            slope = min(1.0, self.config.tolerance * min(above) / average)
        slope = max(0.5, slope * (1 - float(Fraction(self._failures, len(self.window)))))
        if self._wanted:
            found = self.estimate * slope + sqrt(self.estimate)
        elif slope < 1:
            found = self.estimate * slope
        else:
            return self.estimate
        if self.concluded >= 50:
            self.after = self._within(found)
            return self.after / 2
        return found


@st.composite
def configs(draw: st.DrawFn, algorithm: str) -> AdaptiveLimit:
    """Limits of all kinds."""
    minimum = draw(st.integers(1, 6))
    maximum = minimum + draw(st.integers(0, 60))
    return AdaptiveLimit(
        initial=draw(st.integers(minimum, maximum)),
        minimum=minimum,
        maximum=maximum,
        algorithm=algorithm,
        tolerance=draw(st.floats(1, 3)),
        timeout_seconds=draw(st.sampled_from([None, 0.05, 0.2])),
        backoff=draw(st.floats(0.5, 0.95)),
    )


# What happens for a while: how long each takes in ms, how many are under way at a time, how many in a hundred fail.
_SPELLS = st.lists(
    st.tuples(st.integers(0, 300), st.integers(1, 80), st.sampled_from([0, 0, 0, 5, 50, 100]), st.integers(1, 200)),
    min_size=1,
    max_size=12,
)


@pytest.mark.parametrize("algorithm", ["gradient", "aimd"])
@given(data=st.data())
def test_the_limit_is_what_the_sources_say(algorithm: str, data: st.DataObject) -> None:
    config = data.draw(configs(algorithm))
    random = Random(data.draw(st.integers(0, 2**32)))  # thousands of numbers, which are not to be drawn one by one
    written, found = Written(config), config.estimator()
    at = 0
    for milliseconds, busy, failing, count in data.draw(_SPELLS):
        for _ in range(count):
            at += random.randrange(20_000_000)
            took = round(milliseconds * 1_000_000 * random.uniform(0.5, 1.5))
            failed = random.randrange(100) < failing
            one = (at - took, at, busy, failed)
            expected = written.observe(one)
            found.observe(*one[:3], failed=failed)

            assert found.estimate == pytest.approx(expected, rel=1e-9)
            assert config.minimum <= found.limit <= config.maximum
