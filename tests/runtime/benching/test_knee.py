"""The knee: which limit is right, and what is said where the measurements do not tell."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

import attrs
import pytest

from millrace.runtime.benching.figures import Point, Spread
from millrace.runtime.benching.knee import Finding, Verdict, find_knee, in_words, nearest
from millrace.runtime.benching.laws import Saturation, UniversalScalability
from tests.runtime.benching.trials_made import LIMITS, point, points

CURVED = UniversalScalability(10.0, 0.05, 0.001)  # highest at 31


def found(law: Callable[[float], float]) -> Finding:
    return find_knee(points(law))


def test_the_knee_is_the_smallest_limit_that_reaches_95_percent_of_the_peak() -> None:
    finding = found(CURVED)

    assert finding.verdict is Verdict.FOUND
    assert finding.peak == pytest.approx(CURVED.peak)
    assert finding.best == pytest.approx(CURVED(CURVED.peak))
    assert finding.knee is not None
    assert CURVED(finding.knee) == pytest.approx(0.95 * CURVED(CURVED.peak))
    assert CURVED(finding.knee - 0.1) < 0.95 * CURVED(CURVED.peak)
    assert finding.limit == 21
    assert finding.sentence == (
        "21 in flight reach 95% of the highest throughput, which is 90.4 runs/s at 31, and falls beyond."
    )


def test_a_service_that_saturates_at_once_has_its_knee_a_twentieth_below_its_capacity() -> None:
    finding = found(Saturation(10.0, 20.0, 0.0))

    assert finding.knee == pytest.approx(19.0, rel=1e-3)
    assert finding.sentence == (
        "19 in flight reach 95% of the highest throughput, which is 200 runs/s at a capacity of 20; beyond it items"
        " only wait."
    )


def test_a_curve_that_flattens_but_never_falls_has_its_knee_where_95_percent_of_what_was_measured_is_reached() -> None:
    law = UniversalScalability(10.0, 0.3, 0.0)

    finding = found(law)

    assert finding.verdict is Verdict.FOUND
    assert finding.peak == 128
    assert finding.knee is not None
    assert law(finding.knee) == pytest.approx(0.95 * law(128))
    assert "at 128, the largest limit that was measured; beyond the knee it grows slowly" in finding.sentence


def test_throughput_that_still_rises_has_no_knee() -> None:
    finding = found(lambda n: 10.0 * n)

    assert (finding.verdict, finding.knee, finding.limit) == (Verdict.RISING, None, None)
    assert finding.sentence == (
        "There is no knee up to 128: throughput still rises there (1,280 runs/s; by the fit, twice the limit would"
        " bring 2,560). Measure larger limits."
    )


def test_a_peak_a_little_beyond_the_largest_limit_is_not_worth_measuring_for() -> None:
    finding = find_knee(points(CURVED, (1, 2, 4, 8, 16, 24)))

    assert finding.verdict is Verdict.FOUND
    assert finding.peak == 24


def test_a_limit_that_makes_no_difference_is_told_so() -> None:
    finding = found(lambda n: 10.0 + n % 3 / 10)

    assert (finding.verdict, finding.limit) == (Verdict.FLAT, 1)
    assert finding.sentence.startswith(
        "The limit makes no difference: throughput is 10.1 to 10.2 runs/s under every limit from 1 to 128, so 1 is"
    )


def apart(rates: dict[int, tuple[float, float, float]]) -> list[Point]:
    """What limits came to, with the lowest and the highest of their rounds."""
    return [attrs.evolve(point(limit, rate), throughput=Spread(rate, *ends)) for limit, (rate, *ends) in rates.items()]


def test_limits_that_are_no_further_apart_than_the_rounds_of_each_make_no_difference() -> None:
    rounds = {1: (233.0, 210.0, 256.0), 2: (269, 250, 288), 4: (219, 180, 258), 8: (270, 240, 300), 16: (243, 243, 252)}

    finding = find_knee(apart(rounds))

    assert (finding.verdict, finding.limit) == (Verdict.FLAT, 1)
    assert finding.sentence.startswith(
        "The limit makes no difference: throughput is 219 to 270 runs/s under every limit from 1 to 16, and as far"
        " apart in the rounds of one limit, so 1 is enough. Something else takes one item at a time:"
    )
    assert find_knee(apart(rounds | {2: (269, 259, 288)})).verdict is not Verdict.FLAT


def test_rounds_that_are_far_apart_make_limits_of_different_throughput_no_more_alike() -> None:
    rounds = {limit: (CURVED(limit), 1.0, 1000.0) for limit in LIMITS}

    assert find_knee(apart(rounds)).verdict is Verdict.FOUND


def test_throughput_that_only_falls_makes_the_smallest_limit_right() -> None:
    finding = found(lambda n: 10.0 / n**0.5)

    assert (finding.verdict, finding.limit) == (Verdict.AT_FIRST, 1)
    assert finding.sentence.startswith("The smallest limit that was measured, 1, is right")


def test_measurements_that_follow_no_curve_give_no_knee() -> None:
    random = Random(1)

    finding = found(lambda _: random.choice([1.0, 30.0]))

    assert (finding.verdict, finding.knee) == (Verdict.SCATTERED, None)
    assert finding.sentence.startswith("There is no saying: the measurements follow no curve")


@pytest.mark.parametrize(("limits", "told"), [((), "there are none"), ((1,), "there is 1"), ((1, 2, 4), "there are 3")])
def test_too_few_limits_give_no_knee(limits: tuple[int, ...], told: str) -> None:
    finding = find_knee(points(CURVED, limits))

    assert (finding.verdict, finding.knee, finding.fit) == (Verdict.TOO_FEW, None, None)
    assert finding.sentence == (f"There is no saying: a curve needs 4 limits that were measured well, and {told}.")


def test_limits_without_items_enough_are_left_out_and_named() -> None:
    measured = [*points(CURVED, LIMITS[:-1]), point(128, 1000.0, filled=False)]

    finding = find_knee(measured)

    assert finding.fitted == LIMITS[:-1]
    assert finding.limit == 21
    assert finding.notes == (
        (
            "Left out of the fit: limit 128, which had too few items to fill it three times. Give more items, or more"
            " time."
        ),
    )


def test_limits_under_which_more_runs_fail_are_left_out_and_the_knee_before_them_stands() -> None:
    measured = [*points(CURVED, LIMITS[:-1]), point(128, 400.0, errors=300)]

    finding = find_knee(measured)

    assert (finding.verdict, finding.limit, finding.fitted) == (Verdict.FOUND, 21, LIMITS[:-1])
    assert finding.notes == (
        (
            "From 128 in flight on, more runs fail (30.0%; the first said: ValueError: no). Such a limit is not the"
            " right one: these are left out of the fit."
        ),
    )


def test_throughput_that_rises_until_runs_fail_makes_the_last_limit_before_that_right() -> None:
    measured = [*points(lambda n: 10.0 * n, (1, 2, 4, 8, 16)), point(32, 240.0, errors=400)]

    finding = find_knee(measured)

    assert (finding.verdict, finding.limit) == (Verdict.FAILING, 16)
    assert finding.sentence == (
        "16 is the largest limit that was measured under which no more runs fail than usual (160 runs/s); under 32,"
        " 40% of them do. Measure limits in between."
    )


def test_a_share_of_failures_that_is_the_same_everywhere_is_the_works_own() -> None:
    finding = find_knee([point(limit, CURVED(limit), errors=100) for limit in LIMITS])

    assert (finding.verdict, finding.fitted, finding.notes) == (Verdict.FOUND, LIMITS, ())


@pytest.mark.parametrize("seed", range(20))
def test_failures_that_come_by_chance_are_the_works_own_however_few_runs_there_were(seed: int) -> None:
    random = Random(seed)
    measured = [
        attrs.evolve(point(limit, CURVED(limit)), runs=runs, errors=sum(random.random() < 0.4 for _ in range(runs)))
        for limit, runs in zip(LIMITS, (90, 180, 360, 700, 1_000, 1_000, 1_000, 1_000), strict=True)
    ]

    finding = find_knee(measured)

    assert (finding.verdict, finding.fitted, finding.notes) == (Verdict.FOUND, LIMITS, ())


def test_failures_that_grow_fewer_are_the_works_own() -> None:
    finding = find_knee([point(limit, CURVED(limit), errors=400 // limit) for limit in LIMITS])

    assert (finding.fitted, finding.notes) == (LIMITS, ())


def test_work_that_always_fails_gives_no_fit() -> None:
    finding = find_knee([point(1, 0.0, errors=1000)])

    assert (finding.verdict, finding.fit) == (Verdict.FAILED, None)
    assert finding.sentence == (
        "No run completed: 1,000 ended under limit 1, and the first said: ValueError: no. There is nothing to fit."
    )


def test_what_a_run_has_said_ends_no_sentence_of_ours() -> None:
    failed = attrs.evolve(point(1, 0.0, errors=1000), first_error="OSError: it is gone.")

    assert "the first said: OSError: it is gone. There is" in find_knee([failed]).sentence


def test_rounds_say_how_sure_the_knee_is() -> None:
    rounds = [{limit: law(limit) for limit in LIMITS} for law in (Saturation(10, 18, 0), Saturation(10, 22, 0))]

    spread = find_knee(points(Saturation(10, 20, 0)), rounds).range

    assert spread is not None
    assert [spread.low, spread.high] == pytest.approx([17.1, 20.9], rel=0.01)


def test_rounds_that_do_not_agree_are_told() -> None:
    rounds = [{limit: law(limit) for limit in LIMITS} for law in (Saturation(10, 10, 0), Saturation(10, 40, 0))]

    assert find_knee(points(Saturation(10, 20, 0)), rounds).notes == (
        "The rounds do not agree on the knee (10 to 38): more items or more rounds would make it surer.",
    )


def test_one_limit_without_a_completed_run_is_left_out_and_the_others_are_judged() -> None:
    finding = find_knee([point(1, 0.0), *points(CURVED, LIMITS[1:])])

    assert (finding.verdict, finding.limit, finding.fitted) == (Verdict.FOUND, 21, LIMITS[1:])
    assert finding.notes == ("Left out of the fit: limit 1, where no run completed.",)


def test_few_limits_up_to_where_runs_fail_make_the_last_of_them_right() -> None:
    finding = find_knee([*points(lambda n: 10.0 * n, (1, 2)), point(4, 30.0, errors=400)])

    assert (finding.verdict, finding.limit, finding.fit) == (Verdict.FAILING, 2, None)


def test_failures_that_begin_are_seen_beside_failures_that_are_the_works_own() -> None:
    measured = [point(limit, CURVED(limit), errors=100) for limit in LIMITS[:-1]]

    finding = find_knee([*measured, point(128, 300.0, errors=400)])

    assert finding.fitted == LIMITS[:-1]


@pytest.mark.parametrize(("errors", "is_left_out"), [(130, False), (250, True)])
def test_a_share_of_failures_that_chance_explains_is_the_works_own(errors: int, is_left_out: bool) -> None:
    measured = [point(1, 10.0, errors=100), point(2, 20.0, errors=errors)]

    finding = find_knee([*measured, *(point(limit, 10.0 * limit, errors=errors) for limit in (4, 8, 16))])

    assert (finding.fitted == (1,)) is is_left_out


def test_rounds_that_agree_are_not_told_of() -> None:
    rounds = [{limit: law(limit) for limit in LIMITS} for law in (Saturation(10, 18, 0), Saturation(10, 22, 0))]

    assert find_knee(points(Saturation(10, 20, 0)), rounds).notes == ()


def test_rounds_of_what_has_no_knee_have_no_range() -> None:
    rounds = [{limit: 10.0 * limit for limit in LIMITS}] * 2

    assert find_knee(points(lambda n: 10.0 * n), rounds).range is None


def test_the_nearest_limit_is_so_by_ratio() -> None:
    assert nearest([16, 32], 22) == 16
    assert nearest([16, 32], 23) == 32


@pytest.mark.parametrize(
    ("law", "told"),
    [
        (CURVED, "USL fit: contention 0.05, coherency 0.001, 0.0% off on average"),
        (Saturation(10, 20, 0.0), "saturation fit: capacity 20, 0.0% off on average"),
        (Saturation(10, 20, 0.2), "saturation fit: capacity 20, overload 0.2, 0.0% off on average"),
    ],
)
def test_a_fit_is_told_with_its_numbers(law: UniversalScalability | Saturation, told: str) -> None:
    fit = found(law).fit

    assert fit is not None
    assert in_words(fit) == told


def test_what_only_the_largest_limit_could_show_is_no_capacity() -> None:
    rates = {1: 19.7, 2: 38.9, 4: 76.9, 8: 157.0, 16: 307.0}  # a little noise where it would be seen

    finding = find_knee([point(limit, rate) for limit, rate in rates.items()])

    assert finding.verdict is Verdict.RISING
    assert "Measure larger limits" in finding.sentence


def test_a_service_that_fails_beyond_what_it_has_room_for_is_told_where_failures_begin() -> None:
    rates = {1: 19.7, 2: 38.9, 4: 76.9, 8: 157.0, 16: 307.0}
    measured = [point(limit, rate) for limit, rate in rates.items()] + [point(32, 401.0, errors=643)]

    finding = find_knee(measured)

    assert (finding.verdict, finding.limit) == (Verdict.FAILING, 16)
    assert "16 is the largest limit that was measured under which no more runs fail" in finding.sentence
