"""Retry and crash policies: what users may write, and what it comes to."""

from __future__ import annotations

import math
from typing import Any

import pytest

from millrace.actors.errors import ConfigurationError
from millrace.actors.policies import (
    LET_IT_CRASH,
    MIDDLE,
    MOST_JITTER,
    NO_RETRIES,
    CrashPolicy,
    Escalation,
    Restart,
    RetryPolicy,
    exponential_backoff,
    spread,
)
from millrace.actors.seconds import LONGEST_DELAY_SECONDS


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
    [
        -0.1,
        float("nan"),
        float("inf"),
        10**400,
        1e300,
        LONGEST_DELAY_SECONDS + 1,
        True,
        "2",
        b"2",
        bytearray(b"2"),
        object(),
    ],
    ids=[
        "negative",
        "nan",
        "infinite",
        "huge int",
        "huge float",
        "just too long",
        "bool",
        "str",
        "bytes",
        "bytearray",
        "object",
    ],
)
@pytest.mark.parametrize("in_a_list", [False, True], ids=["alone", "in a list"])
def test_a_delay_that_is_none_is_named_with_its_option(delay: Any, *, in_a_list: bool) -> None:
    """Some of these used to be accepted, and the run then died of them in its actor's turn."""
    with pytest.raises(ConfigurationError) as caught:
        RetryPolicy.of(1, [1, delay] if in_a_list else delay)

    assert "retry_delay_seconds" in str(caught.value)
    assert "a number of seconds from 0 to 1,000,000,000, or a list of such" in str(caught.value)


# Jitter.

FACTORS = [0.1, 0.5, 1, 1.0000001, 1.5, 2, 5, 20]


def drawn(count: int) -> list[float]:
    """So many numbers between 0 and 1, in the middles of equal parts: an average over them is an integral."""
    return [(number + 0.5) / count for number in range(count)]


@pytest.mark.parametrize("factor", FACTORS)
def test_jitter_keeps_the_mean(factor: float) -> None:
    policy = RetryPolicy.of(1, 10, factor)
    grid = drawn(20_000)

    assert math.fsum(policy.delay_before(1, each) for each in grid) / len(grid) == pytest.approx(10, rel=1e-4)


@pytest.mark.parametrize("factor", [50, 1e3, 1e6])
def test_the_largest_jitter_keeps_the_mean_too(factor: float) -> None:
    """Most delays are nothing then, and the mean comes from few: those are looked at more closely."""
    total = 0.0
    for power in range(-9, 0):
        below, above = 1 - 10.0 ** (power + 1), 1 - 10.0**power
        width = above - below
        total += width * math.fsum(spread(10, factor, below + width * each) for each in drawn(20_000)) / 20_000

    assert total == pytest.approx(10, rel=5e-3)


@pytest.mark.parametrize("factor", [*FACTORS, 50, 1e3, MOST_JITTER])
def test_a_delay_with_jitter_is_never_below_zero_and_never_above_the_mean_and_its_share(factor: float) -> None:
    policy = RetryPolicy.of(1, 10, factor)
    ends = [0.0, 5e-324, 1e-9, 1 - 2**-53]

    delays = [policy.delay_before(1, each) for each in [*ends, *drawn(1_000)]]

    assert min(delays) >= 10 * max(0, 1 - factor)
    assert max(delays) <= 10 * (1 + factor)
    assert delays[0] == pytest.approx(10 * max(0, 1 - factor))


def test_jitter_grows_with_the_number_that_is_drawn() -> None:
    for factor in FACTORS:
        delays = [spread(10, factor, each) for each in drawn(100)]
        assert delays == sorted(delays)
        assert len(set(delays)) == 100


def test_at_a_factor_of_one_both_ways_to_spread_are_the_same() -> None:
    for each in drawn(100):
        assert spread(10, 1, each) == pytest.approx(spread(10, 1 + 1e-12, each))


def test_without_jitter_the_number_that_is_drawn_does_not_matter() -> None:
    policy = RetryPolicy.of(2, [1, 7])

    assert {policy.delay_before(2, each) for each in drawn(10)} == {7.0}


@pytest.mark.parametrize("factor", [0.5, 3, MOST_JITTER])
def test_the_number_in_the_middle_stands_for_no_jitter(factor: float) -> None:
    assert RetryPolicy.of(1, 10, factor).delay_before(1, MIDDLE) == 10


def test_a_long_delay_with_jitter_is_still_one_that_can_be_waited_for() -> None:
    policy = RetryPolicy.of(1, LONGEST_DELAY_SECONDS, MOST_JITTER)

    assert policy.delay_before(1, 1 - 2**-53) == LONGEST_DELAY_SECONDS


@pytest.mark.parametrize(
    "jitter",
    [-0.1, float("nan"), float("inf"), 10**400, 1e300, MOST_JITTER + 1, True, "2", [1]],
    ids=["negative", "nan", "infinite", "huge int", "huge float", "just too much", "bool", "str", "list"],
)
def test_a_jitter_factor_that_is_none_is_named_with_its_option(jitter: Any) -> None:
    """The huge ones used to be accepted: an overflow, and a delay that was no number, in the actor's turn."""
    with pytest.raises(ConfigurationError, match=r"^'retry_jitter_factor' takes a number from 0 to 1,000,000, not "):
        RetryPolicy.of(1, 1, jitter)


def test_a_random_number_is_asked_for_only_where_there_is_a_delay_to_spread() -> None:
    assert RetryPolicy.of(1, [0, 1], 0.5).draws
    assert not RetryPolicy.of(1, [0, 0], 0.5).draws
    assert not RetryPolicy.of(1, None, 0.5).draws
    assert not RetryPolicy.of(1, 1, 0).draws
    assert not RetryPolicy.of(1, 1).draws


def test_the_upper_floor_is_asked_only_where_it_has_a_say() -> None:
    assert RetryPolicy.of(1, 1, 0.5).asks
    assert RetryPolicy.of(1, None, None, print).asks
    assert not RetryPolicy.of(0, 1, 0.5, print).asks
    assert not RetryPolicy.of(9, 1).asks


# Delays that are computed.


def test_delays_may_be_computed_from_the_number_of_retries() -> None:
    asked: list[int] = []

    def delays(retries: int) -> list[float]:
        asked.append(retries)
        return [10.0 * number for number in range(1, retries + 1)]

    policy = RetryPolicy.of(3, delays)

    assert [policy.delay_before(retry) for retry in (1, 2, 3)] == [10, 20, 30]
    assert asked == [3]


def test_a_computed_delay_may_be_one_number() -> None:
    assert RetryPolicy.of(3, lambda retries: retries / 2).delay_before(2) == 1.5


@pytest.mark.parametrize("computed", [-1, [1, float("nan")], "soon", lambda: 1])
def test_a_computed_delay_that_is_none_is_refused_as_well(computed: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'retry_delay_seconds' takes a number of seconds"):
        RetryPolicy.of(1, lambda _: computed)


def test_exponential_backoff_doubles_the_delay_with_every_retry() -> None:
    policy = RetryPolicy.of(5, exponential_backoff(10))

    assert [policy.delay_before(retry) for retry in range(1, 6)] == [10, 20, 40, 80, 160]


def test_exponential_backoff_stops_growing_before_it_cannot_be_waited_for() -> None:
    delays = exponential_backoff(1)(10_000)

    assert len(delays) <= 100
    assert max(delays) == delays[-1] == LONGEST_DELAY_SECONDS
    assert RetryPolicy.of(10_000, exponential_backoff(1)).delay_before(10_000) == LONGEST_DELAY_SECONDS


def test_exponential_backoff_from_nothing_is_no_delay() -> None:
    assert exponential_backoff(0)(3) == [0, 0, 0]
    assert exponential_backoff(3)(0) == []


@pytest.mark.parametrize("factor", [-1, float("nan"), float("inf"), "2", None, True, [1]])
def test_a_backoff_factor_that_is_none_is_refused_where_it_is_written(factor: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'backoff_factor' takes a number of seconds"):
        exponential_backoff(factor)


@pytest.mark.parametrize("condition", [1, "often", [print]])
def test_a_condition_that_cannot_be_called_is_named_with_its_option(condition: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^'retry_condition_fn' takes a function of task"):
        RetryPolicy.of(1, 1, None, condition)


# Crash policies.


def test_by_default_nothing_is_restarted_and_the_intensity_is_that_of_otp() -> None:
    assert CrashPolicy() == LET_IT_CRASH
    assert (LET_IT_CRASH.restarts, LET_IT_CRASH.max_restarts, LET_IT_CRASH.within_seconds) == (False, 1, 5.0)
    assert LET_IT_CRASH.then is Escalation.FAIL


def test_words_may_be_written_as_text() -> None:
    policy = CrashPolicy(restart="task", then="cancel_siblings")

    assert (policy.restart, policy.then) == (Restart.TASK, Escalation.CANCEL_SIBLINGS)
    assert policy == CrashPolicy(restart=Restart.TASK, then=Escalation.CANCEL_SIBLINGS)
    assert policy.restarts
    assert not CrashPolicy(restart="never").restarts


@pytest.mark.parametrize(
    ("option", "value", "expected"),
    [
        ("restart", "always", "'never' or 'task'"),
        ("restart", None, "'never' or 'task'"),
        ("restart", ["task"], "'never' or 'task'"),
        ("then", "explode", "'fail' or 'cancel_siblings'"),
        ("then", True, "'fail' or 'cancel_siblings'"),
        ("max_restarts", -1, "a whole number, 0 or more"),
        ("max_restarts", 1.0, "a whole number, 0 or more"),
        ("max_restarts", True, "a whole number, 0 or more"),
        ("max_restarts", "3", "a whole number, 0 or more"),
        ("within_seconds", 0, "a number of seconds above 0"),
        ("within_seconds", -1, "a number of seconds above 0"),
        ("within_seconds", float("nan"), "a number of seconds above 0"),
        ("within_seconds", float("inf"), "a number of seconds above 0"),
        ("within_seconds", LONGEST_DELAY_SECONDS + 1, "a number of seconds above 0"),
        ("within_seconds", "5", "a number of seconds above 0"),
        ("within_seconds", True, "a number of seconds above 0"),
    ],
)
def test_a_malformed_crash_policy_is_refused_and_says_what_is_wrong(option: str, value: Any, expected: str) -> None:
    options: dict[str, Any] = {option: value}
    with pytest.raises(ConfigurationError) as caught:
        CrashPolicy(**options)

    assert str(caught.value) == f"'crash_policy.{option}' takes {expected}, not {value!r}."


def test_the_options_of_a_crash_policy_are_named() -> None:
    positional: Any = CrashPolicy
    with pytest.raises(TypeError):
        positional("task")
