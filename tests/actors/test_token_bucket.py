"""The token bucket: how many tokens are there when, to the nanosecond."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.actors.errors import ConfigurationError
from millrace.actors.token_bucket import Bucket, RateLimit

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND


def test_a_bucket_is_full_at_first_and_fills_up_again() -> None:
    bucket = Bucket(RateLimit(2, per_seconds=1, burst=3))
    assert bucket.there(NOW) == 3
    bucket.take(3, NOW)

    assert [bucket.there(NOW + quarter * SECOND // 4) for quarter in range(8)] == [0, 0, 1, 1, 2, 2, 3, 3]


def test_it_says_when_there_will_be_enough() -> None:
    bucket = Bucket(RateLimit(4, burst=2))
    bucket.take(2, NOW)

    assert bucket.ready_at(1, NOW) == NOW + SECOND // 4
    assert bucket.ready_at(2, NOW) == NOW + SECOND // 2
    assert bucket.ready_at(1, NOW + SECOND) == NOW + SECOND


def test_a_third_of_a_second_is_neither_rounded_away_nor_added_up() -> None:
    bucket = Bucket(RateLimit(3, burst=2))
    bucket.take(1, NOW)
    at = NOW
    for number in range(1, 3_001):
        bucket.take(1, at)
        at = bucket.ready_at(1, at)
        assert at - NOW == -(-number * SECOND // 3)
    assert at == NOW + 1_000 * SECOND


def test_a_burst_is_as_large_as_the_limit_by_default() -> None:
    assert RateLimit(5).burst == 5
    assert RateLimit(5, burst=1).burst == 1
    assert str(RateLimit(5, per_seconds=60)) == "5 in 60 s"


def test_a_change_of_the_rate_keeps_what_is_there() -> None:
    bucket = Bucket(RateLimit(10))
    bucket.take(6, NOW)
    bucket.change(RateLimit(1, per_seconds=60, burst=20), NOW)

    assert bucket.there(NOW) == 4
    assert bucket.ready_at(5, NOW) == NOW + 60 * SECOND


def test_a_smaller_bucket_keeps_what_it_can_hold() -> None:
    bucket = Bucket(RateLimit(10))
    bucket.change(RateLimit(10, burst=3), NOW)

    assert bucket.there(NOW) == 3
    assert bucket.there(NOW + 60 * SECOND) == 3


def test_an_empty_bucket_stays_empty_whatever_its_rate() -> None:
    bucket = Bucket(RateLimit(10))
    bucket.take(10, NOW)
    bucket.change(RateLimit(1_000, burst=1), NOW)

    assert bucket.there(NOW) == 0
    assert bucket.ready_at(1, NOW) == NOW + SECOND // 1_000


@pytest.mark.parametrize(
    ("arguments", "options", "name"),
    [
        ((0,), {}, "limit"),
        ((-1,), {}, "limit"),
        ((1.5,), {}, "limit"),
        ((True,), {}, "limit"),
        (("1",), {}, "limit"),
        ((10**12,), {}, "limit"),
        ((1,), {"per_seconds": 0}, "per_seconds"),
        ((1,), {"per_seconds": -1}, "per_seconds"),
        ((1,), {"per_seconds": float("nan")}, "per_seconds"),
        ((1,), {"per_seconds": float("inf")}, "per_seconds"),
        ((1,), {"per_seconds": "1"}, "per_seconds"),
        ((1,), {"per_seconds": True}, "per_seconds"),
        ((1,), {"burst": 0}, "burst"),
        ((1,), {"burst": 1.0}, "burst"),
    ],
)
def test_what_is_no_rate_is_refused_by_name(arguments: tuple[Any, ...], options: dict[str, Any], name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RateLimit(*arguments, **options)
    assert caught.value.name == name


RATES = st.builds(
    lambda limit, milliseconds, burst: RateLimit(limit, per_seconds=milliseconds / 1000, burst=burst),
    st.integers(1, 50),
    st.integers(1, 5_000),
    st.integers(1, 20),
)


@given(RATES, st.lists(st.tuples(st.integers(0, SECOND), st.integers(1, 20)), max_size=40))
def test_as_many_are_taken_as_a_bucket_with_a_level_would_give(rate: RateLimit, wanted: list[tuple[int, int]]) -> None:
    """Against the ordinary way to keep a bucket: a level, as a fraction, brought up to date before each look."""
    bucket = Bucket(rate)
    level, at = Fraction(rate.burst), NOW
    for pause, tokens in wanted:
        at += pause
        level = min(Fraction(rate.burst), level + Fraction(pause * rate.limit, rate.period))
        assert bucket.there(at) == level // 1
        if tokens > rate.burst:
            continue
        ready = bucket.ready_at(tokens, at)
        assert (ready == at) == (level >= tokens)
        if ready == at:
            bucket.take(tokens, at)
            level -= tokens
        else:
            missing = (tokens - level) * rate.period / rate.limit
            assert ready - at == -(-missing.numerator // missing.denominator)
