"""Values that are easily taken for each other are not."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.runtime.caching import FLOW_PARAMETERS, INPUTS, hash_value
from tests.runtime.caching.corpus import Colour, Level, Named, Page, Point
from tests.runtime.caching.stand_ins import context_of


@attrs.frozen
class Box:
    value: Any
    other: Any = None


TWINS: list[tuple[Any, Any]] = [
    # Types with equal values.
    (1, True),
    (0, False),
    (1, 1.0),
    (1, "1"),
    (1.0, "1.0"),
    (0.0, -0.0),
    (None, "None"),
    (None, False),
    (True, "True"),
    ("a", b"a"),
    ("", b""),
    ("\ud800", "?"),
    ("\ud800", "\ud801"),
    (b"a", bytearray(b"a")),
    (b"a", memoryview(b"a")),
    ("a", Named("a")),
    (Level.LOW, 1),
    (Colour.RED, 1),
    (Colour.RED, "RED"),
    (Colour.RED, Colour.BLUE),
    ([1], (1,)),
    ([], ()),
    ([], {}),
    ({}, set()),
    (set(), frozenset()),
    ([], None),
    ({"a": 1}, [("a", 1)]),
    ({"a": 1}, ["a", 1]),
    ({"a": 1}, collections.OrderedDict(a=1)),
    ({"a": 1}, collections.Counter(a=1)),
    ({"a": 1}, Box("a", 1)),
    (range(3), [0, 1, 2]),
    (Page("a"), Page("b")),
    (Point(1, 2), (1, 2)),
    (Point(1, 2), Point(2, 1)),
    (Box(None), None),
    (int, "int"),
    (int, float),
    # Where one part ends and the next begins.
    (["ab", "c"], ["a", "bc"]),
    (["ab"], ["a", "b"]),
    (["a", ""], ["", "a"]),
    (["a", ""], ["a"]),
    ([1, 23], [12, 3]),
    ([1, 2], [12]),
    ([-1, 1], [-11]),
    (["a", "b"], ["a,b"]),
    (["a", "b"], ["a', 'b"]),
    ([b"a", b"b"], [b"ab"]),
    ({"ab": "c"}, {"a": "bc"}),
    ({"a": "b", "c": "d"}, {"a": "d", "c": "b"}),
    ({"a": 1, "b": 2}, {"a": 1}),
    ({"a": None}, {}),
    (Box("ab", "c"), Box("a", "bc")),
    # What looks like an encoding.
    ("s1:a", "a"),
    (["s1:as1:b"], ["a", "b"]),
    ("i1;", 1),
    (["i1;i2;"], [1, 2]),
    ("N", None),
    ("T", True),
    (b"N", None),
    ("f1.0;", 1.0),
    # How deep it is.
    ([1, [2]], [1, 2]),
    ([[1], 2], [1, [2]]),
    ([[]], []),
    ([[], []], [[[]]]),
    ([[1, 2], [3]], [[1], [2, 3]]),
    ([[1, 2, 3]], [1, 2, 3]),
    (((1, 2), 3), (1, (2, 3))),
    ({"a": {"b": 1}}, {"a": {}, "b": 1}),
    ({frozenset([1, 2])}, {frozenset([1]), frozenset([2])}),
    ({frozenset([1]), 2}, {frozenset([2]), 1}),
]

WRAPPERS: list[Callable[[Any], Any]] = [
    lambda value: value,
    lambda value: [value],
    lambda value: (value,),
    lambda value: (value, value),
    lambda value: ["before", value, "after"],
    lambda value: {"value": value},
    lambda value: {"value": [value], "other": {}},
    Box,
    lambda value: Box("before", value),
    lambda value: [[[value]]],
    lambda value: collections.deque([value]),
    lambda value: [Box([value]), 1],
]


def splits(word: str) -> Iterator[list[str]]:
    """Every way to cut a word in three."""
    for first, second in itertools.combinations_with_replacement(range(len(word) + 1), 2):
        yield [word[:first], word[first:second], word[second:]]


def test_a_thousand_pairs_that_look_alike_have_different_hashes() -> None:
    pairs = [(wrap(one), wrap(other)) for wrap in WRAPPERS for one, other in TWINS]
    pairs += itertools.combinations(splits("s1:ab"), 2)
    pairs += [(tuple(one), other) for one, other in zip(splits("aaaaaa"), splits("aaaaaa"), strict=True)]

    collisions = [(one, other) for one, other in pairs if hash_value(one) == hash_value(other)]

    assert len(pairs) >= 1_000
    assert collisions == []


@pytest.mark.parametrize("wrap", WRAPPERS, ids=range(len(WRAPPERS)))
def test_no_two_of_all_these_values_have_one_hash(wrap: Callable[[Any], Any]) -> None:
    alone = {repr((type(value), value)): value for pair in TWINS for value in pair}

    assert len({hash_value(wrap(value)) for value in alone.values()}) == len(alone)


def test_arguments_that_look_alike_have_different_keys() -> None:
    context = context_of()
    calls: list[dict[str, Any]] = [
        {"a": "b"},
        {"a": "b", "c": "d"},
        {"a": "bc", "d": ""},
        {"ab": "c"},
        {"a": "b' input 'c"},
        {"a": 1, "b": 23},
        {"a": 12, "b": 3},
        {"a": 12, "b": None},
        {"a": 12},
        {"a": (12,)},
        {"a": {"b": 12}},
    ]

    keys = [INPUTS.compute_key(context, call, {}) for call in calls]
    joined = [(INPUTS + FLOW_PARAMETERS).compute_key(context, {"a": 1}, call) for call in calls]
    swapped = [(INPUTS + FLOW_PARAMETERS).compute_key(context, call, {"a": 1}) for call in calls]

    assert len({*keys, *joined, *swapped}) == 3 * len(calls)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
NESTED = st.recursive(
    LEAVES,
    lambda part: (
        st.lists(part)
        | st.lists(part).map(tuple)
        | st.dictionaries(st.text() | st.integers(), part)
        | st.frozensets(st.integers() | st.text())
    ),
    max_leaves=20,
)


def shape(value: Any) -> Any:
    """A value that two others share when they are of the same types and equal, all the way down."""
    if isinstance(value, list | tuple):
        return type(value), tuple(shape(each) for each in value)
    if isinstance(value, dict):
        return dict, frozenset((shape(key), shape(each)) for key, each in value.items())
    if isinstance(value, frozenset):
        return frozenset, frozenset(shape(each) for each in value)
    return type(value), repr(value)


@given(NESTED, NESTED)
def test_hashes_are_equal_exactly_where_values_are(one: Any, other: Any) -> None:
    assert (hash_value(one) == hash_value(other)) is (shape(one) == shape(other))
