"""What a branch is known by: its first call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from millrace.runtime.beginnings import beginning, no_arguments


class Thing:
    """A value of which only the type counts."""


def of(*args: Any, name: str = "load", count: int = 1, **kwargs: Any) -> int:
    def arguments() -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        return args, kwargs

    return beginning(name, count, arguments)


NESTED: list[Any] = []
NESTED.append(NESTED)


@pytest.mark.parametrize(
    "value",
    [1, 1.5, "é", "\ud800", b"x", True, None, 2j, (1, "a"), [1, [2, 3]], {"a": [1]}, Thing(), NESTED, {1, 2}],
    ids=repr,
)
def test_the_same_call_begins_alike(value: Any) -> None:
    assert of(value, key=value) == of(value, key=value)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (1, 2),
        (1, "1"),
        (1, True),
        ("a", b"a"),
        ([1], (1,)),
        ([1, 2], [1, 3]),
        ([1] * 100, [1] * 101),
        ({"a": 1}, {"a": 2}),
        (Thing(), None),
    ],
    ids=repr,
)
def test_calls_with_other_arguments_begin_otherwise(one: Any, other: Any) -> None:
    assert of(one) != of(other)
    assert of(key=one) != of(key=other)


def test_what_is_called_and_how_often_counts() -> None:
    assert len({of(1), of(1, name="save"), of(1, count=2), of(), of(1, 1), of(a=1)}) == 6


def test_of_other_objects_the_type_counts() -> None:
    assert of(Thing()) == of(Thing())


def test_it_is_the_same_in_another_process() -> None:
    """What is on record is found again by processes that come later: the numbers are not to change."""
    assert beginning("load", 1, no_arguments) == 1208778174
    assert of("a", 1, [2.5, None], key=b"x") == 551371186
