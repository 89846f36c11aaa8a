"""What is between the source of a stream and whoever takes its results: decided without either."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.actors.window import BATCH, Window, window_of


def filled(most: int, *, ordered: bool = False) -> Window:
    """A window without room."""
    window = Window(most, ordered=ordered)
    window.enter(range(most))
    return window


def test_as_much_is_asked_for_as_there_is_room_while_nothing_is_there_to_be_given() -> None:
    window = Window(100, ordered=False)
    assert window.wanted() == 100
    window.enter(range(30))
    assert window.wanted() == 70
    window.enter(range(30, 100))
    assert window.wanted() == 0


def test_an_outcome_that_was_not_given_takes_up_room() -> None:
    window = filled(2)
    window.arrive(0, "a")
    window.arrive(1, "b")
    assert window.wanted() == 0
    assert window.take() == "a"
    assert window.room == 1


@pytest.mark.parametrize(("most", "given_before"), [(1, 1), (3, 1), (4, 1), (8, 2), (64, 16), (1_000, 16)])
def test_as_long_as_outcomes_are_there_a_share_of_the_window_is_to_be_free(most: int, given_before: int) -> None:
    window = filled(most)
    for number in range(most):
        window.arrive(number, number)
    taken = 0
    while not window.wanted() and window.ready:
        window.take()
        taken += 1
    assert taken == given_before
    assert window.wanted() <= BATCH


def test_what_was_asked_for_late_is_asked_for_when_nothing_is_left_to_give() -> None:
    window = filled(100)
    window.arrive(0, "a")
    assert window.take() == "a"
    assert window.wanted() == 1


@pytest.mark.parametrize("ordered", [True, False])
def test_a_batch_at_most_is_asked_for_while_an_outcome_is_there(ordered: bool) -> None:
    window = Window(100, ordered=ordered)
    window.enter(range(10))
    window.arrive(0, "a")
    assert window.wanted() == BATCH
    assert window.take() == "a"
    assert window.wanted() == 91


def test_a_small_room_waits_until_what_comes_next_in_order_was_given() -> None:
    window = filled(100, ordered=True)
    for number in (0, 1):
        window.arrive(number, number)
    assert window.take() == 0
    assert window.wanted() == 0
    assert window.take() == 1
    assert window.wanted() == 2


@pytest.mark.parametrize("script", [[], [1, 0]])
def test_a_source_that_has_no_more_is_not_asked(script: list[int]) -> None:
    window = window_of(100, ordered=False, script=script)
    window.enter(range(100))
    window.end()
    window.arrive(0, "a")
    window.arrive(1, "b")
    assert {window.take(), window.take()} == {"a", "b"}
    assert (window.ready, window.room, window.wanted()) == (False, 2, 0)


def test_outcomes_are_given_as_they_come() -> None:
    window = filled(3)
    for number in (2, 0, 1):
        window.arrive(number, number)
    assert [window.take() for _ in range(4)] == [2, 0, 1, None]


def test_outcomes_are_given_in_the_order_of_the_items_where_that_is_asked_for() -> None:
    window = filled(3, ordered=True)
    window.arrive(2, "c")
    window.arrive(1, "b")
    assert not window.ready
    assert window.come == 2
    assert window.take() is None
    window.arrive(0, "a")
    assert [window.take() for _ in range(4)] == ["a", "b", "c", None]


def test_it_is_over_when_the_source_has_no_more_and_all_was_given() -> None:
    window = filled(1)
    window.end()
    assert not window.over
    window.arrive(0, "a")
    assert not window.over
    window.take()
    assert window.over
    assert window.wanted() == 0


def test_what_a_source_raised_is_kept_for_the_end() -> None:
    window = filled(1)
    error = ValueError()
    window.end(error)
    assert window.fault is error
    assert not window.over


@pytest.mark.parametrize("ordered", [True, False])
def test_what_nobody_takes_any_more_is_given_back_at_once(ordered: bool) -> None:
    window = filled(4, ordered=ordered)
    for number in (3, 1):
        window.arrive(number, number)
    assert sorted(window.drain()) == [1, 3]
    assert window.drain() == []
    assert window.take() is None


@given(st.integers(1, 20), st.booleans(), st.integers(0, 60), st.integers())
def test_whatever_comes_when_each_is_given_once_and_never_more_than_so_many_are_on_their_way(
    most: int,
    ordered: bool,
    items: int,
    seed: int,
) -> None:
    rng = random.Random(seed)
    window = Window(most, ordered=ordered)
    left = deque(range(items))
    on_their_way: list[int] = []
    came: list[int] = []
    given_: list[Any] = []
    while not window.over:
        moves = ["take"]
        if window.wanted():
            moves.append("pull")
        if on_their_way:
            moves.append("come")
        move = rng.choice(moves)
        if move == "pull":
            wanted = window.wanted()
            pulled = [left.popleft() for _ in range(min(wanted, len(left), rng.randint(1, wanted)))]
            window.enter(pulled)
            on_their_way += pulled
            if not left:
                window.end()
        elif move == "come":
            number = on_their_way.pop(rng.randrange(len(on_their_way)))
            came.append(number)
            window.arrive(number, number)
        else:
            found = window.take()
            assert found is not None or window.wanted() or on_their_way
            given_ += [] if found is None else [found]
        assert 0 <= window.pulled - window.given <= most
        assert window.come + len(on_their_way) == window.pulled - window.given
    assert given_ == (sorted(came) if ordered else came)
    assert len(given_) == items


# In an order that is known beforehand.


def scripted(script: list[int], most: int = 4) -> Window:
    window = window_of(most, ordered=False, script=script)
    window.enter([100 + index for index in range(most)])
    return window


def test_outcomes_are_given_in_the_order_that_is_known_and_then_as_they_come() -> None:
    window = scripted([2, 0])
    for number in (103, 100):
        window.arrive(number, number)
    assert not window.ready
    assert window.take() is None
    window.arrive(102, 102)
    window.arrive(101, 101)
    assert [window.take() for _ in range(5)] == [102, 100, 103, 101, None]
    assert (window.pulled, window.given, window.come) == (4, 4, 0)


def test_a_known_order_is_kept_to_before_anything_is_ready_to_be_given() -> None:
    window = scripted([1, 0], most=100)
    assert not window.ready
    window.arrive(100, "zero")
    window.arrive(102, "two")
    assert (window.ready, window.come, window.wanted()) == (False, 2, 0)
    window.arrive(101, "one")
    assert (window.ready, window.come) == (True, 3)
    assert window.take() == "one"
    assert (window.ready, window.room, window.wanted()) == (True, 1, 0)
    assert window.take() == "zero"
    assert window.ready  # the order is over
    assert window.take() == "two"
    assert (window.ready, window.wanted()) == (False, 3)


def test_a_batch_at_most_is_asked_for_while_the_next_of_a_known_order_is_there() -> None:
    window = window_of(100, ordered=False, script=[0])
    window.enter([100])
    assert window.wanted() == 99
    window.arrive(100, "zero")
    assert window.wanted() == BATCH


def test_an_order_that_cannot_be_kept_does_not_matter_any_more() -> None:
    window = scripted([9, 0], most=2)  # that item was in a larger window
    window.arrive(101, 101)
    assert window.take() == 101

    window = scripted([3], most=2)
    window.arrive(100, 100)
    assert window.take() == 100
    window = window_of(9, ordered=False, script=[5])
    window.enter([100])
    window.arrive(100, 100)
    assert window.take() is None
    assert window.wanted() == 8
    window.end()
    assert window.take() == 100


def test_what_nobody_takes_any_more_is_given_back() -> None:
    window = scripted([1])
    window.arrive(100, "zero")
    assert window.take() is None
    window.arrive(102, "two")
    assert sorted(window.drain()) == ["two", "zero"]
    assert window.come == 0


def test_an_order_of_items_that_are_given_in_order_anyway_is_not_looked_at() -> None:
    window = window_of(4, ordered=True, script=[1, 0])
    assert window.ordered
    assert not scripted([1]).ordered
