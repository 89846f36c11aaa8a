"""A load: items are begun until a trial has had enough, and what becomes of them is taken down."""

from __future__ import annotations

from threading import Barrier, Thread

import pytest

from millrace.runtime.benching.figures import FILLS
from millrace.runtime.benching.load import Load
from millrace.runtime.benching.models import make_model
from millrace.runtime.benching.trials import Sample
from millrace.runtime.benching.works import work_of_model

LIMIT = 5
ENOUGH = (FILLS + 1) * LIMIT
SECOND = 1_000_000_000
PATIENCE = 30


class Hand:
    """A clock that stands still until it is moved."""

    def __init__(self) -> None:
        self.at = 7 * SECOND

    def __call__(self) -> int:
        return self.at


@pytest.fixture
def hand() -> Hand:
    return Hand()


@pytest.fixture
def load(hand: Hand) -> Load:
    return Load(work_of_model("fixed", make_model("fixed", {}), 1_000), LIMIT, hand, 2.5)


def ended(load: Load, count: int) -> None:
    for _ in range(count):
        load.record(0, 1, None)


def test_its_items_are_offered_when_it_is_made(load: Load, hand: Hand) -> None:
    hand.at += SECOND

    assert load.offered == 7 * SECOND


def test_as_long_as_there_is_time_any_number_of_items_is_begun(load: Load, hand: Hand) -> None:
    hand.at += 2_500_000_000 - 1

    assert all(load.begin() for _ in range(3 * ENOUGH))


def test_when_the_time_is_over_so_many_are_begun_as_fill_the_limit_a_few_times_and_once_more(
    load: Load, hand: Hand
) -> None:
    hand.at += 2_500_000_000

    assert [load.begin() for _ in range(ENOUGH + 2)] == [True] * ENOUGH + [False] * 2


def test_what_was_not_begun_is_not_counted_as_begun_when_time_goes_on(load: Load, hand: Hand) -> None:
    begun = [load.begin() for _ in range(ENOUGH - 1)]
    hand.at += 3 * SECOND

    assert [*begun, load.begin(), load.begin()] == [True] * ENOUGH + [False]


def test_it_is_over_when_the_time_is_and_enough_has_ended(load: Load, hand: Hand) -> None:
    ended(load, ENOUGH)
    hand.at += 2_500_000_000 - 1
    assert not load.over

    hand.at += 1
    assert load.over


def test_it_is_not_over_before_enough_has_ended_though_the_time_is(load: Load, hand: Hand) -> None:
    hand.at += 3 * SECOND
    ended(load, ENOUGH - 1)
    assert not load.over

    ended(load, 1)
    assert load.over


def test_runs_are_taken_down_in_the_order_in_which_they_end(load: Load) -> None:
    load.record(20, 30, None)
    load.record(10, 40, ValueError("no"))

    assert load.samples == [Sample(20, 30, ok=True), Sample(10, 40, ok=False)]


def test_no_run_ends_before_it_has_begun(load: Load) -> None:
    load.record(20, 19, None)

    assert load.samples == [Sample(20, 20, ok=True)]


def test_what_the_first_failure_says_is_kept(load: Load) -> None:
    load.record(1, 2, None)
    assert load.first_error is None

    load.record(1, 2, ValueError("the first"))
    load.record(1, 2, KeyError("another"))
    assert load.first_error == "ValueError: the first"


def test_a_failure_of_which_there_is_only_a_text_is_kept_as_that(load: Load) -> None:
    load.record(1, 2, "Crashed(its thread was abandoned)")

    assert (load.first_error, load.samples[0].ok) == ("Crashed(its thread was abandoned)", False)


def test_its_threads_are_the_most_that_there_were_when_a_run_ended_without_those_of_before(hand: Hand) -> None:
    gates = [Barrier(4), Barrier(3)]
    before = [Thread(target=gates[0].wait, args=(PATIENCE,)) for _ in range(3)]
    its_own = [Thread(target=gates[1].wait, args=(PATIENCE,)) for _ in range(2)]
    for each in before:
        each.start()
    load = Load(work_of_model("fixed", make_model("fixed", {}), 1_000), LIMIT, hand, 2.5)
    assert load.threads == 0

    for each in its_own:
        each.start()
    ended(load, 1)
    assert load.threads == 3  # this one, too

    for gate, threads in zip(reversed(gates), (its_own, before), strict=True):
        gate.wait(PATIENCE)
        for each in threads:
            each.join(PATIENCE)
    ended(load, 1)
    assert load.threads == 3


def test_a_thread_of_before_that_does_the_work_is_one_of_its_threads(hand: Hand) -> None:
    made, recorded = Barrier(2), Barrier(2)
    loads: list[Load] = []

    def worker() -> None:
        made.wait(PATIENCE)
        ended(loads[0], 1)
        recorded.wait(PATIENCE)

    thread = Thread(target=worker)
    thread.start()
    loads.append(Load(work_of_model("fixed", make_model("fixed", {}), 1_000), LIMIT, hand, 2.5))
    made.wait(PATIENCE)
    recorded.wait(PATIENCE)
    thread.join(PATIENCE)

    assert loads[0].threads == 2
