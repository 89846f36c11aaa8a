"""Adaptive limits: which limit comes out, for services that are simulated."""

from __future__ import annotations

import random
from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

import pytest

from millrace.actors.adaptive import PROBE_EVERY, AdaptiveLimit, Estimator
from millrace.actors.errors import ConfigurationError
from millrace.actors.seconds import LONGEST_DELAY_SECONDS

MILLISECOND = 1_000_000
Latency = Callable[[int, int], float]
"""(how many are under way, when) -> milliseconds that one takes that begins now."""


def served(
    estimator: Estimator, latency: Latency, calls: int, fails: Callable[[int], bool] = lambda _: False
) -> list[int]:
    """Keep as many calls under way as the limit allows, until so many are done; the limit after each.

    Args:
        estimator: Finds the limit.
        latency: How long a call takes.
        calls: How many.
        fails: Whether a call fails, by how many are under way when it begins.
    """
    at = 0
    limits: list[int] = []
    under_way: list[tuple[int, int, bool]] = []  # (end, begin, fails); a heap
    while len(limits) < calls:
        while len(under_way) < estimator.limit:
            count = len(under_way) + 1
            heappush(under_way, (at + round(latency(count, at) * MILLISECOND), at, fails(count)))
        busy = len(under_way)
        at, began, failed = heappop(under_way)
        estimator.observe(began, at, busy, failed=failed)
        limits.append(estimator.limit)
    return limits


def service(capacity: int, milliseconds: float = 100.0, spread: float = 0.0) -> Latency:
    """A service that does so many at once in a time, and more only in a time that is as much longer."""
    draw = random.Random(capacity).uniform

    def latency(under_way: int, _at: int) -> float:
        return milliseconds * max(1.0, under_way / capacity) * draw(1 - spread, 1 + spread)

    return latency


def typical(limits: list[int]) -> int:
    """The limit in the middle of the last half."""
    last = sorted(limits[len(limits) // 2 :])
    return last[len(last) // 2]


@pytest.mark.parametrize("capacity", [8, 34, 120])
@pytest.mark.parametrize("spread", [0.0, 0.3, 0.9])
def test_the_gradient_finds_what_a_service_can_do_at_once(capacity: int, spread: float) -> None:
    limits = served(AdaptiveLimit().estimator(), service(capacity, spread=spread), 20_000)

    assert capacity * 0.8 <= typical(limits) <= capacity * 2.6


@pytest.mark.parametrize("tolerance", [1.1, 1.5, 2.0])
def test_more_tolerance_is_a_higher_limit(tolerance: float) -> None:
    found = [
        typical(served(AdaptiveLimit(tolerance=each).estimator(), service(50), 10_000)) for each in (tolerance, 2.5)
    ]

    assert 45 <= found[0] < found[1]


def test_the_gradient_gets_there_soon() -> None:
    limits = served(AdaptiveLimit().estimator(), service(34), 2_000)

    assert next(number for number, limit in enumerate(limits) if limit >= 34) < 600


def test_the_gradient_follows_a_service_that_can_do_less_and_then_more() -> None:
    large, small = service(60), service(10)
    change, back = 60_000 * MILLISECOND, 160_000 * MILLISECOND

    def latency(under_way: int, at: int) -> float:
        return (small if change < at < back else large)(under_way, at)

    limits = served(AdaptiveLimit().estimator(), latency, 90_000)
    assert max(limits[:20_000]) >= 60
    assert min(limits[35_000:45_000]) <= 15
    assert typical(limits) >= 60


def test_the_gradient_takes_a_service_that_is_slower_at_all_for_what_it_is() -> None:
    def latency(under_way: int, at: int) -> float:
        return service(40, 100.0 if at < 20_000 * MILLISECOND else 400.0)(under_way, at)

    limits = served(AdaptiveLimit().estimator(), latency, 60_000)
    assert 32 <= typical(limits) <= 104


def test_the_gradient_looks_for_the_latency_without_load_now_and_then() -> None:
    limits = served(AdaptiveLimit(initial=32, maximum=32).estimator(), service(100), 64 * (PROBE_EVERY + 3))

    assert min(limits) == 16
    assert limits[-1] == 32


def test_what_fails_brings_the_limit_down_by_its_share() -> None:
    all_fail = served(AdaptiveLimit(initial=64).estimator(), service(1_000), 5_000, lambda _: True)
    some_fail = served(AdaptiveLimit(initial=64).estimator(), service(1_000), 20_000, lambda count: count > 40)

    assert all_fail[-1] <= 8
    assert 25 <= typical(some_fail) <= 110


def test_what_is_refused_at_once_is_not_taken_for_a_service_that_is_quick() -> None:
    places = 24

    def latency(under_way: int, at: int) -> float:
        return 0.01 if under_way > places else service(1_000)(under_way, at)

    limits = served(AdaptiveLimit().estimator(), latency, 30_000, lambda under_way: under_way > places)

    assert max(limits[:2_000]) > places  # it has come upon refusals
    assert places / 2 <= typical(limits) <= 2 * places


def test_what_fails_only_while_the_lowest_latency_is_looked_for_changes_nothing_of_that() -> None:
    estimator = AdaptiveLimit(initial=32, maximum=32).estimator()
    at = 0

    def window(latency: int, *, failed: bool) -> None:
        nonlocal at
        for _ in range(2 * 32):
            estimator.observe(at, at + latency, 32, failed=failed)
        at += latency

    for _ in range(PROBE_EVERY):
        window(100, failed=False)
    assert estimator.limit == 16
    window(1, failed=True)
    window(100, failed=False)

    assert estimator.limit == 32


def test_aimd_goes_up_and_down_around_where_things_fail() -> None:
    limits = served(AdaptiveLimit(algorithm="aimd").estimator(), service(1_000), 20_000, lambda count: count > 30)

    assert 25 <= typical(limits) <= 31
    assert max(limits) == 31


def test_aimd_takes_what_takes_too_long_for_a_failure() -> None:
    config = AdaptiveLimit(algorithm="aimd", timeout_seconds=0.2)
    limits = served(config.estimator(), service(20), 20_000)

    assert 34 <= typical(limits) <= 41  # twice the capacity takes twice the time


@pytest.mark.parametrize("algorithm", ["gradient", "aimd"])
def test_the_bounds_are_kept(algorithm: str) -> None:
    up = served(AdaptiveLimit(algorithm=algorithm, maximum=10).estimator(), service(1_000), 3_000)
    config = AdaptiveLimit(algorithm=algorithm, initial=10, minimum=5)
    down = served(config.estimator(), service(1_000), 3_000, lambda _: True)

    assert max(up) == 10
    assert min(down) == 5


@pytest.mark.parametrize("algorithm", ["gradient", "aimd"])
def test_a_limit_that_nobody_makes_use_of_does_not_grow(algorithm: str) -> None:
    estimator = AdaptiveLimit(initial=8, algorithm=algorithm).estimator()
    for number in range(1_000):
        estimator.observe(number * MILLISECOND, (number + 1) * MILLISECOND, 1, failed=False)

    assert estimator.limit == 8


def test_what_began_before_the_limit_changed_says_nothing_of_it() -> None:
    estimator = AdaptiveLimit(initial=8, algorithm="aimd").estimator()
    for _ in range(16):
        estimator.observe(0, 100, 8, failed=False)
    assert estimator.limit == 9
    for _ in range(100):
        estimator.observe(50, 200, 8, failed=True)
    assert estimator.limit == 9


def starving(estimator: Estimator, calls: int, *, fails: bool = False) -> list[int]:
    """Keep calls under way at a service that does eight at once, and those that came last first; the limits."""
    waiting: list[int] = []  # since when
    limits: list[int] = []
    at = 0
    for _ in range(calls):
        waiting += [at] * (estimator.limit - len(waiting))
        at += MILLISECOND
        first = at % (200 * MILLISECOND) == 0  # now and then it looks at who came first
        began = waiting.pop(0 if first else max(0, len(waiting) - 8))
        estimator.observe(began, at, len(waiting) + 1, failed=fails and at - began > 100 * MILLISECOND)
        limits.append(estimator.limit)
    return limits


def test_the_gradient_sees_who_waits_behind_those_that_are_served_quickly() -> None:
    limits = starving(AdaptiveLimit(maximum=200).estimator(), 20_000)

    assert typical(limits) <= 60


def test_what_fails_after_a_long_time_brings_the_limit_down_however_many_are_quick_meanwhile() -> None:
    limits = starving(AdaptiveLimit(maximum=200, algorithm="aimd").estimator(), 20_000, fails=True)

    assert typical(limits) <= 60


def test_a_clock_that_stands_still_does_no_harm() -> None:
    estimator = AdaptiveLimit().estimator()
    for _ in range(1_000):
        estimator.observe(5, 5, estimator.limit, failed=False)

    assert estimator.limit > 4


@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"initial": 0}, "initial"),
        ({"initial": 2.5}, "initial"),
        ({"initial": True}, "initial"),
        ({"initial": 2, "minimum": 3}, "initial"),
        ({"initial": 5, "maximum": 4}, "initial"),
        ({"minimum": 0}, "minimum"),
        ({"maximum": 0}, "maximum"),
        ({"maximum": 10.5}, "maximum"),
        ({"maximum": 10**400}, "maximum"),
        ({"minimum": 4, "maximum": 3}, "maximum"),
        ({"algorithm": "vegas"}, "algorithm"),
        ({"tolerance": 0.5}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"tolerance": float("inf")}, "tolerance"),
        ({"tolerance": "2"}, "tolerance"),
        ({"backoff": 1}, "backoff"),
        ({"backoff": 0.1}, "backoff"),
        ({"timeout_seconds": 0}, "timeout_seconds"),
        ({"timeout_seconds": -1}, "timeout_seconds"),
        ({"timeout_seconds": float("nan")}, "timeout_seconds"),
    ],
)
def test_options_out_of_range_are_refused_by_name(options: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        AdaptiveLimit(**options)
    assert caught.value.name == name


@pytest.mark.parametrize(
    "options",
    [
        {"initial": 1},
        {"initial": 1000},
        {"initial": 5, "minimum": 5, "maximum": 5},
        {"tolerance": 1},
        {"backoff": 0.5},
        {"timeout_seconds": LONGEST_DELAY_SECONDS},
    ],
)
def test_options_may_be_as_large_and_as_small_as_they_are_said_to_be(options: dict[str, Any]) -> None:
    limit = AdaptiveLimit(**options)
    assert {name: getattr(limit, name) for name in options} == options
