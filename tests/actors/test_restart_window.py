"""Restart intensity: counted exactly as OTP counts it, at, under and over the limit, and on the edges of the window."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from millrace.actors.policies import CrashPolicy, RestartWindow
from tests.actors.runs import SECOND, START

PERIOD = 5
ACROSS_THE_EDGE = (0, 1, PERIOD - 1, PERIOD, PERIOD + 1)


def window(intensity: int, period: float = PERIOD) -> RestartWindow:
    return RestartWindow(CrashPolicy(restart="task", max_restarts=intensity, within_seconds=period))


def admitted(intensity: int, times: Sequence[int], period: float = PERIOD) -> int:
    """How many of the restarts at these times, in nanoseconds, go well before one is refused."""
    counted = window(intensity, period)
    return sum(1 for _ in itertools.takewhile(counted.admits, times))


def as_otp(intensity: int, times: Sequence[int], period: int) -> int:
    """The same, the way `supervisor:add_restart/1` says it: newest first, cut off before the first that is too old."""
    restarts: list[int] = []
    for number, now in enumerate(times):
        restarts = list(itertools.takewhile(lambda each: each >= now - period, [now, *restarts]))  # noqa: B023  # read at once
        if len(restarts) > intensity:
            return number
    return len(times)


@pytest.mark.parametrize("intensity", range(6))
def test_so_many_restarts_go_well_and_one_more_does_not(intensity: int) -> None:
    times = [START + number for number in range(intensity + 1)]

    assert admitted(intensity, times) == intensity


@pytest.mark.parametrize("intensity", range(6))
def test_every_pattern_of_crashes_on_the_edges_of_the_window_is_counted_as_otp_counts_it(intensity: int) -> None:
    wrong: list[tuple[int, ...]] = []
    for gaps in itertools.product(ACROSS_THE_EDGE, repeat=5 if intensity < 5 else 6):
        times = [START + gap * SECOND for gap in itertools.accumulate((0, *gaps))]
        if admitted(intensity, times) != as_otp(intensity, times, PERIOD * SECOND):
            wrong.append(gaps)

    assert wrong == []


@pytest.mark.parametrize("intensity", range(1, 6))
def test_a_restart_that_is_exactly_as_old_as_the_window_still_counts(intensity: int) -> None:
    before = [START] * intensity

    assert admitted(intensity, [*before, START + PERIOD * SECOND]) == intensity
    assert admitted(intensity, [*before, START + PERIOD * SECOND + 1]) == intensity + 1


def test_a_window_may_be_a_fraction_of_a_second() -> None:
    assert admitted(1, [START, START + SECOND // 4], 0.25) == 1
    assert admitted(1, [START, START + SECOND // 4 + 1], 0.25) == 2


@pytest.mark.parametrize("intensity", range(1, 6))
def test_crashes_at_just_the_rate_that_is_allowed_go_well_for_ever(intensity: int) -> None:
    gap = PERIOD * SECOND // intensity + 1

    assert admitted(intensity, [START + number * gap for number in range(1_000)]) == 1_000


def test_what_is_remembered_is_bounded_by_the_limit() -> None:
    counted = window(3)
    for number in range(1_000):
        assert counted.admits(START + number * 2 * SECOND)

    assert len(counted._times) <= 4


def test_a_clock_that_stands_still_does_not_let_a_restart_slip() -> None:
    assert admitted(3, [START] * 10) == 3


def test_two_crashes_that_are_told_in_the_wrong_order_both_count() -> None:
    assert admitted(2, [START + 1, START, START + 2]) == 2
