"""One thread at a time takes work, another stands in for it, and the rest waits to be called."""

from __future__ import annotations

from typing import Final

import pytest

from millrace.actors.turns import (
    APART_SECONDS,
    ENOUGH,
    MOST_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
    QUICK_SECONDS,
    SLOW_TURNS,
    Pace,
    Place,
    Turns,
)

LATER: Final = 2 * PATIENCE_SECONDS


@pytest.fixture
def turns() -> Turns[str]:
    """One leads, one stands in, and two rest."""
    turns: Turns[str] = Turns()
    for worker in ("leader", "second", "third", "fourth"):
        turns.come(worker, wanted=True)
    return turns


def test_the_first_leads_the_second_stands_in_and_the_others_rest() -> None:
    turns: Turns[str] = Turns()

    places = [turns.come(worker, wanted=True) for worker in "abcd"]

    assert places == [Place.LEADS, Place.STANDS_IN, Place.RESTS, Place.RESTS]
    assert (turns.leader, turns.stand_in, turns.resting) == ("a", "b", ("c", "d"))


def test_without_work_nobody_leads_and_nobody_stands_in(turns: Turns[str]) -> None:
    for worker in ("leader", "second"):
        assert turns.come(worker, wanted=False) is Place.RESTS

    assert (turns.leader, turns.stand_in) == (None, None)
    assert sorted(turns.resting) == ["fourth", "leader", "second", "third"]


def test_a_leader_that_comes_back_goes_on_leading(turns: Turns[str]) -> None:
    assert turns.come("leader", wanted=True) is Place.LEADS
    assert turns.stand_in == "second"


def test_who_comes_twice_rests_once(turns: Turns[str]) -> None:
    assert turns.come("third", wanted=True) is Place.RESTS
    assert turns.resting == ("fourth", "third")


def test_work_calls_for_a_leader_first_and_then_for_one_that_stands_in() -> None:
    turns: Turns[str] = Turns()
    for worker in ("a", "b", "c"):
        turns.come(worker, wanted=False)

    called = [turns.call(), turns.call()]
    turns.come("c", wanted=True)
    called += [turns.call(), turns.call()]
    turns.come("b", wanted=True)
    called.append(turns.call())

    assert called == ["c", None, "b", None, None]  # one at a time, until it has come
    assert (turns.leader, turns.stand_in, turns.resting) == ("c", "b", ("a",))


def test_a_lead_that_is_free_is_for_who_stands_in(turns: Turns[str]) -> None:
    turns.leader = None

    assert turns.call() == "second"
    assert turns.come("second", wanted=True) is Place.LEADS
    assert turns.stand_in is None


def test_who_comes_before_the_one_that_was_called_leads(turns: Turns[str]) -> None:
    turns.leader = None
    turns.call()

    assert turns.come("leader", wanted=True) is Place.LEADS
    assert turns.come("second", wanted=True) is Place.STANDS_IN


@pytest.mark.parametrize("ends", [True, False])
def test_another_is_called_when_the_one_that_was_called_has_ended_or_rests(turns: Turns[str], ends: bool) -> None:
    turns.leave("second")
    assert turns.call() == "fourth"
    if ends:
        turns.leave("fourth")
    else:
        turns.come("fourth", wanted=False)

    assert turns.call() == ("third" if ends else "fourth")


def test_no_thread_is_lacking_while_one_is_on_its_way() -> None:
    turns: Turns[str] = Turns()
    turns.expect("new")
    assert not turns.lacks_a_thread

    turns.come("new", wanted=True)

    assert turns.lacks_a_thread


def test_a_thread_is_lacking_where_none_rests_and_none_stands_in() -> None:
    turns: Turns[str] = Turns()
    assert turns.lacks_a_thread
    turns.come("a", wanted=True)
    assert turns.lacks_a_thread
    turns.come("b", wanted=True)
    assert not turns.lacks_a_thread


def test_a_leader_that_does_the_same_at_two_looks_loses_the_lead(turns: Turns[str]) -> None:
    assert not turns.look("second", LATER, doubtful=False)
    assert turns.look("second", 2 * LATER, doubtful=False)
    assert (turns.leader, turns.stand_in) == ("second", None)


def test_a_leader_that_got_on_keeps_the_lead(turns: Turns[str]) -> None:
    for number in range(100):
        turns.since = number
        assert not turns.look("second", number, doubtful=False)

    assert turns.leader == "leader"


def test_looks_that_are_doubtful_count_less(turns: Turns[str]) -> None:
    looks = [turns.look("second", LATER, doubtful=True) for _ in range(ENOUGH + 1)]

    assert looks == [False] * ENOUGH + [True]


def test_only_who_stands_in_takes_the_lead(turns: Turns[str]) -> None:
    assert not any(turns.look(worker, LATER, doubtful=False) for worker in ("leader", "third", "nobody") * 3)


def test_the_longer_a_leader_gets_on_the_less_often_it_is_looked_after(turns: Turns[str]) -> None:
    waits = []
    for number in range(1, 8):
        waits.append(turns.patience)
        turns.since = number
        turns.look("second", number, doubtful=False)

    assert waits[:3] == [PATIENCE_SECONDS, 2 * PATIENCE_SECONDS, 4 * PATIENCE_SECONDS]
    assert waits[-1] == MOST_PATIENCE_SECONDS


def test_a_leader_that_may_be_blocked_is_looked_after_soon(turns: Turns[str]) -> None:
    for number in range(1, 8):
        turns.since = number
        turns.look("second", number, doubtful=False)
    turns.since = 8.0
    turns.look("second", 8 + LATER, doubtful=False)

    assert turns.patience == PATIENCE_SECONDS


def test_a_new_leader_is_given_its_own_time(turns: Turns[str]) -> None:
    turns.look("second", LATER, doubtful=False)
    turns.come("leader", wanted=False)
    turns.come("third", wanted=True)

    assert not turns.look("second", 2 * LATER, doubtful=False)


@pytest.mark.parametrize("worker", ["leader", "second", "third"])
def test_who_leaves_has_no_place_any_more(turns: Turns[str], worker: str) -> None:
    turns.leave(worker)

    assert worker not in {turns.leader, turns.stand_in, *turns.resting}


def test_work_that_was_seen_to_block_is_slow_for_a_while() -> None:
    pace = Pace()
    assert not pace.is_slow(7.0)

    pace.blocks(7.0)

    assert pace.is_slow(7.0)
    assert pace.is_slow(7.0 + 0.9 * APART_SECONDS)
    assert not pace.is_slow(7.0 + APART_SECONDS)


def test_work_that_takes_long_in_several_turns_in_a_row_is_slow() -> None:
    pace = Pace()
    slow = []
    for _ in range(SLOW_TURNS):
        pace.took(2, 3 * QUICK_SECONDS, 7.0)
        slow.append(pace.is_slow(7.0))

    assert slow == [False] * (SLOW_TURNS - 1) + [True]


def test_a_turn_of_quick_work_in_between_counts_from_the_start() -> None:
    pace = Pace()
    for seconds in [3 * QUICK_SECONDS] * (SLOW_TURNS - 1) + [QUICK_SECONDS] + [3 * QUICK_SECONDS] * (SLOW_TURNS - 1):
        pace.took(2, seconds, 7.0)

    assert not pace.is_slow(7.0)
