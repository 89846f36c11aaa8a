"""Retry policies: what users may write, and what it comes to."""

from __future__ import annotations

from typing import Any

import pytest

from millrace.actors.errors import ConfigurationError
from millrace.actors.policies import LONGEST_DELAY_SECONDS, NO_RETRIES, RetryPolicy


def test_without_retries_nothing_is_tried_again() -> None:
    assert RetryPolicy.of(0, None) == NO_RETRIES


def test_without_a_delay_a_retry_follows_at_once() -> None:
    policy = RetryPolicy.of(3, None)

    assert [policy.delay_before(retry) for retry in (1, 2, 3)] == [0.0, 0.0, 0.0]


def test_one_delay_stands_before_every_retry() -> None:
    policy = RetryPolicy.of(3, 2)

    assert [policy.delay_before(retry) for retry in (1, 2, 3)] == [2.0, 2.0, 2.0]


@pytest.mark.parametrize("delays", [[1, 2.5, 4], (1, 2.5, 4)], ids=["list", "tuple"])
def test_of_several_delays_the_last_one_repeats(delays: Any) -> None:
    policy = RetryPolicy.of(5, delays)

    assert [policy.delay_before(retry) for retry in range(1, 6)] == [1.0, 2.5, 4.0, 4.0, 4.0]


def test_an_empty_list_of_delays_is_no_delay() -> None:
    assert RetryPolicy.of(2, []).delay_before(1) == 0.0


@pytest.mark.parametrize("delay", [0, LONGEST_DELAY_SECONDS])
def test_the_ends_of_the_range_belong_to_it(delay: float) -> None:
    assert RetryPolicy.of(1, delay).delay_before(1) == delay


@pytest.mark.parametrize("retries", [-1, 1.0, True, "3", None])
def test_a_number_of_retries_that_is_none_is_named_with_its_option(retries: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy.of(retries, None)

    assert "retries" in str(caught.value)
    assert repr(retries) in str(caught.value)
    assert "a whole number, 0 or more" in str(caught.value)


@pytest.mark.parametrize(
    "delay",
    [-0.1, float("nan"), float("inf"), 10**400, 1e300, LONGEST_DELAY_SECONDS + 1, True, "2", b"2", object()],
    ids=["negative", "nan", "infinite", "huge int", "huge float", "just too long", "bool", "str", "bytes", "object"],
)
@pytest.mark.parametrize("in_a_list", [False, True], ids=["alone", "in a list"])
def test_a_delay_that_is_none_is_named_with_its_option(delay: Any, *, in_a_list: bool) -> None:
    """Some of these used to be accepted, and the run then died of them in its actor's turn."""
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy.of(1, [1, delay] if in_a_list else delay)

    assert "retry_delay_seconds" in str(caught.value)
    assert "a number of seconds from 0 to 1,000,000,000, or a list of such" in str(caught.value)
