"""Figures: what trials come to."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from millrace.runtime.benching.figures import Percentiles, Point, Timeline, points_of, throughput
from millrace.runtime.benching.trials import MILLRACE, Sample, Trial, Vitals
from tests.runtime.benching.trials_made import trial

SECOND = 1_000_000_000


def made(samples: Sequence[tuple[float, float, bool]], limit: int = 2) -> Trial:
    times = [Sample(round(a * SECOND), round(b * SECOND), ok) for a, b, ok in samples]
    return Trial(MILLRACE, limit, 0, 0, tuple(times))


@pytest.mark.parametrize("limit", [1, 2, 5, 64])
def test_the_throughput_of_full_slots_is_the_limit_over_the_latency(limit: int) -> None:
    assert throughput(trial(lambda n: n / 0.05, limit)) == pytest.approx(limit / 0.05)


def test_slots_that_stand_empty_at_the_end_do_not_count() -> None:
    """The last item takes a hundred times as long as the others, with nothing left beside it."""
    full = [(step, step + 1, True) for step in range(10) for _ in range(2)]

    assert throughput(made([*full, (10, 110, True)])) == pytest.approx(2.0)


def test_a_service_that_finishes_many_at_once_is_no_faster_for_where_the_window_falls() -> None:
    """Twenty at a time, once a second, under a limit that is no multiple of that."""
    runs = [(float(step - 4), float(step), True) for step in range(1, 30) for _ in range(20)]

    assert throughput(made(runs, limit=70)) == pytest.approx(20, rel=0.015)


def test_runs_that_failed_are_no_throughput() -> None:
    half = [(step, step + 1, side == 0) for step in range(10) for side in range(2)]

    assert throughput(made(half)) == pytest.approx(1.0)


def test_a_burst_of_completions_among_runs_that_fail_at_once_is_no_throughput() -> None:
    """Ten get in, and end nearly together; the other ninety are refused meanwhile."""
    refused = [(0.01 * step, 0.01 * step, False) for step in range(90)]
    served = [(0.0, 1.0 + 0.0001 * step, True) for step in range(10)]

    assert throughput(made([*refused, *served, (1.0, 2.0, True)], limit=30)) == pytest.approx(11 / 2.0)


def test_a_limit_that_is_never_filled_has_its_whole_time_counted() -> None:
    few = made([(0, 1, True), (0, 1, True), (0, 2, True)], limit=8)

    assert throughput(few) == pytest.approx(1.5)
    assert not Point.of([few]).filled


def test_a_trial_without_runs_has_no_throughput() -> None:
    assert throughput(made([])) == 0.0
    assert Point.of([made([])]).latency is None


def test_runs_that_take_no_time_have_no_throughput() -> None:
    assert throughput(made([(0, 0, True)] * 9)) == 0.0


def test_percentiles_lie_between_the_nearest_values() -> None:
    assert Percentiles.of([float(value) for value in range(101)]) == Percentiles(50, 95, 99)
    assert Percentiles.of([7.0]) == Percentiles(7, 7, 7)
    assert Percentiles.of([]) is None


def test_a_point_is_the_median_of_its_rounds_with_their_range() -> None:
    point = Point.of([trial(lambda n: 10 * n, 4), trial(lambda n: 30 * n, 4), trial(lambda n: 20 * n, 4)])

    spread = point.throughput
    assert [spread.median, spread.low, spread.high] == pytest.approx([80, 40, 120])
    assert point.runs == 96


def test_latency_begins_with_the_slot_and_queueing_ends_with_it() -> None:
    point = Point.of([made([(0, 1, True), (1, 3, True), (3, 3.5, False)], limit=1)])

    assert point.latency is not None
    assert [point.latency.p50, point.latency.p95, point.latency.p99] == pytest.approx([1.5, 1.95, 1.99])
    assert point.queueing is not None
    assert point.queueing.p50 == 1.0
    assert [point.runs, point.errors, point.error_share] == pytest.approx([3, 1, 1 / 3])


def test_the_worst_of_all_rounds_is_what_the_process_was_like() -> None:
    rounds = [
        Trial(MILLRACE, 1, number, 0, (Sample(0, 1, ok=True),), Vitals((0.0, lag), threads, memory))
        for number, (lag, threads, memory) in enumerate([(0.1, 9, 10), (0.3, 2, 20)])
    ]

    point = Point.of(rounds)

    assert point.lag is not None
    assert 0.2 < point.lag <= 0.3
    assert (point.threads, point.memory_bytes) == (9, 20)


def test_points_are_in_the_order_of_their_limits() -> None:
    trials = [trial(lambda n: 10.0 * n, limit, number=number) for number in range(2) for limit in (4, 1, 2)]

    assert [(point.limit, point.runs) for point in points_of(trials)] == [(1, 16), (2, 32), (4, 64)]


def test_a_time_line_holds_all_the_work() -> None:
    """However the steps fall: the area below it is the time of all runs together."""
    shown = made([(0, 1.3, True), (0.2, 2.7, True), (1.3, 1.30001, False), (2.7, 9.1, True)])

    line = Timeline.of(shown, "it", steps=17)

    step = line.seconds[0]
    assert line.seconds[-1] == pytest.approx(9.1)
    assert sum(line.in_flight) * step == pytest.approx(1.3 + 2.5 + 0.00001 + 6.4)
    assert max(line.in_flight) <= 2
    assert line.in_flight[-1] == pytest.approx(1.0)


def test_a_time_line_of_full_slots_is_flat() -> None:
    assert Timeline.of(trial(lambda n: 10.0 * n, 8), "it").in_flight == pytest.approx([8.0] * 120)


def test_changes_of_a_limit_are_told_in_seconds_since_the_offer() -> None:
    found = trial(lambda n: 10.0 * n, 8, limits=((0, 4), (SECOND, 8)))

    assert Timeline.of(found, "it").limits == ((0.0, 4), (1.0, 8))
