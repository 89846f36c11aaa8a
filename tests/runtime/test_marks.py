"""What tells whether a call is made with the same arguments again."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import PurePosixPath
from typing import Any
from uuid import UUID

import pytest

from millrace.runtime.mapping import plan_map
from millrace.runtime.marks import UNKNOWN, CallArguments, MapArguments, differs, part
from millrace.runtime.shape import Shape
from tests.e2e.programs import environment


def fetch(url: str, times: int = 1, *more: Any, key: Any = None) -> None:
    """Takes arguments of every kind."""


class Colour(Enum):
    RED = 1
    GREEN = 2


class Thing:
    """Tells nothing but its type."""


SHAPE = Shape(fetch)


def of(*args: Any, **kwargs: Any) -> bytes:
    return CallArguments(SHAPE, args, kwargs).marks()


PAIRS: list[tuple[Any, Any]] = [
    (1, 2),
    (1, "1"),
    (1, True),
    (1.5, 2.5),
    ("a", b"a"),
    (10**5000, 10**5000 + 1),
    ([1, 2], [2, 1]),
    ([0] * 1000 + [1], [0] * 1000 + [2]),
    ([0] * 1000, [0] * 1001),
    ({"a": 1}, {"a": 2}),
    ({1, 2}, {1, 3}),
    (Colour.RED, Colour.GREEN),
    (date(2024, 1, 1), date(2024, 1, 2)),
    (datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 1, 1, 1, tzinfo=UTC)),
    (timedelta(1), timedelta(2)),
    (Decimal("1.0"), Decimal("1.00")),
    (UUID(int=1), UUID(int=2)),
    (PurePosixPath("/a"), PurePosixPath("/b")),
    ("x" * 100_000, "x" * 99_999 + "y"),
]


@pytest.mark.parametrize("pair", range(len(PAIRS)))
def test_another_value_is_noticed(pair: int) -> None:
    one, other = PAIRS[pair]
    assert differs(of("u", one), of("u", other)) == 1
    assert differs(of("u", key=one), of("u", key=other)) == 1
    assert of("u", one) == of("u", one)


@pytest.mark.parametrize("value", [Thing(), Thing, fetch, iter([]), object()])
def test_what_tells_nothing_is_compared_with_nothing(value: Any) -> None:
    assert part(of("u", value), 1) == UNKNOWN
    assert differs(of("u", value), of("u", 5)) is None
    assert differs(of("u", value), of("v", 5)) == 0


def test_how_a_call_is_written_does_not_matter() -> None:
    assert of("u", 2) == of("u", times=2) == of(times=2, url="u")


def test_more_or_fewer_arguments_are_noticed() -> None:
    assert differs(of("u"), of("u", 2)) == 1
    assert CallArguments(SHAPE, ("u",), {}).what(1) == "number of arguments"


def test_the_parameter_is_named() -> None:
    arguments = CallArguments(SHAPE, ("u", 2), {"key": 3})
    assert [arguments.what(index) for index in range(3)] == ["'url'", "'times'", "'key'"]


def test_each_run_of_a_map_has_a_mark_which_is_that_of_a_call() -> None:
    urls = ["a", "b", "c"]
    marks = MapArguments(SHAPE, plan_map(SHAPE, (urls,), {})).marks()
    assert [part(marks, index) for index in range(3)] == [of(url) for url in urls]

    pairs = MapArguments(SHAPE, plan_map(SHAPE, (urls, [1, 2, 3]), {})).marks()
    others = MapArguments(SHAPE, plan_map(SHAPE, (urls, [1, 5, 3]), {})).marks()
    assert differs(pairs, others) == 1
    things = MapArguments(SHAPE, plan_map(SHAPE, (urls, [Thing(), 5, Thing()]), {})).marks()
    assert differs(pairs, things) == 1


def test_they_are_the_same_in_another_process() -> None:
    value = "{'a', 'b', 'c', 'd'}, {'k': ('x', 1.5, None)}, range(3)"
    text = (
        "from millrace.runtime.marks import marks_of_call\nfrom millrace.runtime.shape import Shape\n"
        f"print(marks_of_call(Shape(lambda *_: None), ({value}), {{}}).hex())"
    )
    done = [
        subprocess.run(
            [sys.executable, "-c", text],
            check=True,
            capture_output=True,
            text=True,
            env=environment({"PYTHONHASHSEED": s}),
        )
        for s in ("1", "2")
    ]
    assert done[0].stdout == done[1].stdout != ""
