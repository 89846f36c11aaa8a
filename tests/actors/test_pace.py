"""Bodies that take no time are left to one thread; those that block, or take long, are worth a thread each."""

from __future__ import annotations

import pytest

from millrace.actors.pace import (
    IDLE_SHARE,
    LONG_TURNS,
    MANY_BODIES,
    MOST_IDLE_SECONDS,
    QUICK_SECONDS,
    QUICK_TURNS,
    SLOW_TURNS,
    Pace,
)

QUICK = QUICK_SECONDS
SLOW = 1.01 * QUICK_SECONDS
LONG = 0.5
"""Seconds of a turn that may have much idle time in it."""


@pytest.fixture
def apart() -> Pace:
    """Of bodies that were seen to block."""
    pace = Pace()
    pace.blocks()
    return pace


def test_bodies_that_nothing_is_known_of_are_left_to_one_thread() -> None:
    assert not Pace().apart


def test_a_body_that_was_seen_to_block_has_them_done_apart(apart: Pace) -> None:
    assert apart.apart


def test_bodies_that_take_no_time_are_left_to_one_thread_for_ever() -> None:
    pace = Pace()
    for _ in range(1_000):
        pace.took(10, 10 * QUICK)
    assert not pace.apart


def test_bodies_that_take_long_in_several_turns_in_a_row_are_done_apart() -> None:
    pace = Pace()
    said = []
    for _ in range(SLOW_TURNS):
        pace.took(2, 2 * SLOW)
        said.append(pace.apart)
    assert said == [False] * (SLOW_TURNS - 1) + [True]


def test_a_quick_turn_in_between_counts_from_the_start() -> None:
    pace = Pace()
    for seconds in [SLOW] * (SLOW_TURNS - 1) + [QUICK] + [SLOW] * (SLOW_TURNS - 1):
        pace.took(1, seconds)
    assert not pace.apart


def test_one_turn_of_much_waiting_has_them_done_apart() -> None:
    pace = Pace()
    pace.took(1, 2 * MOST_IDLE_SECONDS, idle=2 * MOST_IDLE_SECONDS)
    assert pace.apart


def test_a_little_waiting_again_and_again_adds_up() -> None:
    pace = Pace()
    turns = 0
    while not pace.apart:
        pace.took(100, 100 * QUICK, idle=2 * IDLE_SHARE * 100 * QUICK)
        turns += 1
    # Half of that is beyond the share that is allowed for.
    assert turns == pytest.approx(MOST_IDLE_SECONDS / (IDLE_SHARE * 100 * QUICK), abs=1)


def test_waiting_within_its_share_is_forgotten() -> None:
    pace = Pace()
    for _ in range(1_000):
        pace.took(100, 100 * QUICK, idle=0.9 * IDLE_SHARE * 100 * QUICK)
    pace.took(100, 100 * QUICK, idle=0.9 * MOST_IDLE_SECONDS)
    assert not pace.apart


def test_that_others_have_computed_meanwhile_is_no_credit() -> None:
    pace = Pace()
    pace.took(10_000, LONG, idle=-LONG)
    pace.took(10_000, LONG, idle=MOST_IDLE_SECONDS + 1.01 * IDLE_SHARE * LONG)
    assert pace.apart


def test_after_many_quick_turns_they_are_left_to_one_thread_again(apart: Pace) -> None:
    said = []
    for _ in range(QUICK_TURNS):
        apart.took(10, 10 * QUICK)
        said.append(apart.apart)
    assert said == [True] * (QUICK_TURNS - 1) + [False]


@pytest.mark.parametrize("said", ["blocks", "took"])
def test_one_that_blocks_in_between_has_them_done_apart_for_longer(apart: Pace, said: str) -> None:
    for _ in range(QUICK_TURNS - 1):
        apart.took(10, 10 * QUICK)
    if said == "blocks":
        apart.blocks()
    else:
        apart.took(1, SLOW)
    for _ in range(QUICK_TURNS - 1):
        apart.took(10, 10 * QUICK)
    assert apart.apart


def test_a_long_turn_of_many_bodies_has_them_done_apart_for_a_little_longer(apart: Pace) -> None:
    for _ in range(QUICK_TURNS - 1):
        apart.took(MANY_BODIES, MANY_BODIES * QUICK)
    apart.took(MANY_BODIES, LONG)
    said = []
    for _ in range(LONG_TURNS + 1):
        apart.took(MANY_BODIES, MANY_BODIES * QUICK)
        said.append(apart.apart)
    assert said == [True] * LONG_TURNS + [False]


def test_where_every_so_many_turns_are_long_they_are_done_apart_for_ever(apart: Pace) -> None:
    for turn in range(1_000):
        apart.took(MANY_BODIES, LONG if turn % LONG_TURNS == 0 else MANY_BODIES * QUICK)
    assert apart.apart


def test_once_left_to_one_thread_again_nothing_counts_of_before(apart: Pace) -> None:
    for _ in range(QUICK_TURNS):
        apart.took(10, 10 * QUICK)
    for _ in range(SLOW_TURNS - 1):
        apart.took(1, SLOW)
    assert not apart.apart
