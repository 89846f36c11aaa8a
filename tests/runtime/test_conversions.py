"""Conversions: what annotations make of values, and what they leave as it is."""

# ruff: noqa: DTZ001, UP006, UP007, UP045 - naive moments and old spellings of types are converted, too

from __future__ import annotations

import collections
import io
import ipaddress
import re
import sys
import typing
import zoneinfo
from collections.abc import (
    Callable,
    Collection,
    Iterable,
    Iterator,
    Mapping,
    MutableSequence,
    Sequence,
)
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath, PurePosixPath
from types import GenericAlias
from typing import (
    IO,
    Annotated,
    Any,
    Literal,
    LiteralString,
    Optional,
    TextIO,
    Union,
)
from uuid import UUID

import pytest

from millrace.runtime.validation import classes
from millrace.runtime.validation.converting import Converters
from millrace.runtime.validation.wrong import Wrong
from tests.runtime.annotated import (
    ID,
    Bound,
    Box,
    Closable,
    Colour,
    Config,
    Hidden,
    Index,
    Level,
    Mode,
    Model,
    OneOf,
    Options,
    Page,
    Pair,
    Plain,
    Point,
    Point3,
    Right,
    Sized,
    Special,
    T,
    Tree,
    Unknown,
    UserId,
    Whole,
    convert,
    names,
    numbers,
)

CONVERTED: list[tuple[Any, Any, Any]] = [
    # Whole numbers.
    (int, "3", 3),
    (int, " 3 ", 3),
    (int, "-3", -3),
    (int, "+3", 3),
    (int, "1_000", 1000),
    (int, "3.0", 3),
    (int, b"3", 3),
    (int, 3.0, 3),
    (int, True, 1),
    (int, Decimal(3), 3),
    (int, Fraction(3), 3),
    (int, Index(), 4),
    (int, Colour.GREEN, 2),
    # Numbers.
    (float, "3.5", 3.5),
    (float, "1e3", 1000.0),
    (float, "inf", float("inf")),
    (float, 3, 3.0),
    (float, True, 1.0),
    (float, Decimal("3.5"), 3.5),
    (float, Index(), 4.0),
    (complex, "1+2j", 1 + 2j),
    (complex, 1, 1 + 0j),
    (Decimal, "1.5", Decimal("1.5")),
    (Decimal, 0.1, Decimal("0.1")),
    (Decimal, 3, Decimal(3)),
    (Fraction, "1/2", Fraction(1, 2)),
    (Fraction, 0.5, Fraction(1, 2)),
    # Truth.
    (bool, "true", True),
    (bool, "TRUE", True),
    (bool, "yes", True),
    (bool, "on", True),
    (bool, "1", True),
    (bool, "f", False),
    (bool, "no", False),
    (bool, "off", False),
    (bool, 1, True),
    (bool, 0.0, False),
    (bool, b"t", True),
    # Text and bytes.
    (str, b"ab", "ab"),
    (str, bytearray(b"ab"), "ab"),
    (str, Colour.RED, "red"),
    (LiteralString, b"a", "a"),
    (bytes, "é", b"\xc3\xa9"),
    (bytes, bytearray(b"ab"), b"ab"),
    # Moments.
    (datetime, "2024-01-02T03:04:05", datetime(2024, 1, 2, 3, 4, 5)),
    (datetime, "2024-01-02 03:04", datetime(2024, 1, 2, 3, 4)),
    (datetime, "2024-01-02", datetime(2024, 1, 2)),
    (datetime, "2024-01-02t03:04:05z", datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)),
    (datetime, "2024-01-02T03:04+02:00", datetime(2024, 1, 2, 3, 4, tzinfo=timezone(timedelta(hours=2)))),
    (datetime, 1700000000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    (datetime, 1700000000000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
    (datetime, "1700000000.5", datetime(2023, 11, 14, 22, 13, 20, 500000, tzinfo=UTC)),
    (datetime, b"-1", datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)),
    (datetime, date(2024, 1, 2), datetime(2024, 1, 2)),
    (date, "2024-01-02", date(2024, 1, 2)),
    (date, "2024-01-02T00:00:00", date(2024, 1, 2)),
    (date, datetime(2024, 1, 2), date(2024, 1, 2)),
    (date, 1704153600, date(2024, 1, 2)),
    (time, "03:04", time(3, 4)),
    (time, "03:04:05.5Z", time(3, 4, 5, 500000, tzinfo=UTC)),
    (time, 3600.5, time(1, 0, 0, 500000, tzinfo=UTC)),
    (timedelta, 90, timedelta(seconds=90)),
    (timedelta, Decimal("1.5"), timedelta(seconds=1.5)),
    (timedelta, "P1DT2H", timedelta(days=1, hours=2)),
    (timedelta, "-PT0.5S", timedelta(seconds=-0.5)),
    (timedelta, "P1W2D", timedelta(days=9)),
    (timedelta, "1 day, 2:00:00", timedelta(days=1, hours=2)),
    (timedelta, "3d 02:00", timedelta(days=3, hours=2)),
    (timedelta, "-1 days", timedelta(days=-1)),
    (timedelta, "-01:30", timedelta(hours=-1.5)),
    (timedelta, str(timedelta(hours=-1)), timedelta(hours=-1)),
    # What is written as text.
    (Path, "a/b", Path("a/b")),
    (Path, PurePosixPath("a"), Path("a")),
    (PurePath, "a", PurePath("a")),
    (UUID, ID, UUID(ID)),
    (UUID, ID.replace("-", "").encode(), UUID(ID)),
    (UUID, UUID(ID).bytes, UUID(ID)),
    (re.Pattern, "a+", re.compile("a+")),
    (ipaddress.IPv4Address, "10.0.0.1", ipaddress.IPv4Address("10.0.0.1")),
    (zoneinfo.ZoneInfo, "UTC", zoneinfo.ZoneInfo("UTC")),
    # Choices.
    (Colour, "red", Colour.RED),
    (Colour, 2, Colour.GREEN),
    (Level, "1", Level.LOW),
    (Mode, b"fast", Mode.FAST),
    (Right, 3, Right.READ | Right.WRITE),
    (Literal[1, "a"], True, 1),
    (Literal[Mode.FAST], "fast", Mode.FAST),
    # Unions take the member that changes nothing, else the first that takes the value.
    (int | None, "3", 3),
    (Optional[int], "3", 3),
    (int | str, 3.0, 3),
    (str | int, 3.0, 3),
    (int | float, "3", 3),
    (float | int, "3", 3.0),
    (int | float, "3.5", 3.5),
    (bool | int, "5", 5),
    (bool | str, 1, True),
    (datetime | int, "2024-01-02", datetime(2024, 1, 2)),
    (Union[date, datetime], "2024-01-02T10:00", datetime(2024, 1, 2, 10)),
    (list[int] | str, ["1"], [1]),
    (set[int] | list[int], ("1",), {1}),
    (list[int] | set[int], numbers(), [1, 2]),
    (set[date] | list[int], numbers(), [1, 2]),
    (Point | Config, {"retries": 1}, Config(1)),
    (Point | Point3, {"x": 1, "z": 2}, Point3(1, z=2)),
    (Point | None, {"x": "1"}, Point(1)),
    # Collections.
    (list[int], ["1", 2], [1, 2]),
    (list[int], ("1",), [1]),
    (list[int], {"1": 2}.keys(), [1]),
    (list[int], numbers(), [1, 2]),
    (list[int], range(2), [0, 1]),
    (list, (1, "2"), [1, "2"]),
    (typing.List, (1,), [1]),
    (typing.List[int], ("1",), [1]),
    (MutableSequence[int], ("1",), [1]),
    (set[int], ["1", "1"], {1}),
    (frozenset[int], ["1"], frozenset({1})),
    (AbstractSet[int], ["1"], frozenset({1})),
    (collections.deque[int], ["1"], collections.deque([1])),
    (tuple[int, ...], ["1", 2], (1, 2)),
    (tuple[int, str], ["1", "a"], (1, "a")),
    (tuple[()], [], ()),
    (tuple, [1], (1,)),
    (typing.Tuple, [1], (1,)),
    (tuple[int, *tuple[str, ...]], [1, "a"], (1, "a")),
    (Sequence[int], ["1"], [1]),
    (Sequence[int], ("1",), (1,)),
    (Sequence[int], collections.deque(["1"]), collections.deque([1])),
    (list[list[int]], [["1"], (2,)], [[1], [2]]),
    (dict[str, int], {"a": "1"}, {"a": 1}),
    (dict[int, float], {"1": 2}, {1: 2.0}),
    (dict, collections.UserDict(a=1), {"a": 1}),
    (Mapping[str, int], {"a": "1"}, {"a": 1}),
    (dict[str, list[Point]], {"a": [{"x": "1"}]}, {"a": [Point(1)]}),
    (collections.OrderedDict[str, int], {"a": "1"}, collections.OrderedDict(a=1)),
    (collections.Counter[str], {"a": "1"}, collections.Counter(a=1)),
    (collections.defaultdict[str, list[int]], {"a": ["1"]}, collections.defaultdict(list, a=[1])),
    # Classes with fields.
    (Config, {"retries": "3", "tags": ("a",)}, Config(3, tags=["a"])),
    (Config, collections.UserDict(retries=3), Config(3)),
    (Point, {"x": "1", "y": 2}, Point(1, 2.0)),
    (Tree, {"value": "1", "children": [{"value": 2.0}]}, Tree(1, [Tree(2)])),
    (Hidden, {"secret": "1", "size": "12MB"}, Hidden(1, "12MB")),
    (Box[int], {"item": "1"}, Box(1)),
    (Box, {"item": "1"}, Box("1")),
    (Box[list[Box[int]]], {"item": [{"item": "1"}]}, Box([Box(1)])),
    (Pair, ["1"], Pair(1)),
    (Pair, ("1", "b"), Pair(1, "b")),
    (Pair, {"left": "1"}, Pair(1)),
    (Options, {"limit": "1", "note": "n"}, {"limit": 1, "note": "n"}),
    (Options, collections.UserDict(limit=1), {"limit": 1}),
    (Page[int], {"items": ["1"], "first": "1"}, {"items": [1], "first": 1}),
    (Model, {"x": "1"}, Model(1)),
    # Other names of types.
    (UserId, "1", 1),
    (Annotated[int, "metres"], "1", 1),
    (Annotated[list[Annotated[int, []]], []], ["1"], [1]),
    (Bound, "1", 1),
    (OneOf, 3.0, 3),
    (GenericAlias(list, (Bound,)), ["1"], [1]),
]


@pytest.mark.parametrize(("annotation", "value", "expected"), CONVERTED, ids=names(CONVERTED))
def test_a_value_is_converted(annotation: Any, value: Any, expected: Any) -> None:
    converted = convert(annotation, value)
    assert converted == expected
    assert type(converted) is type(expected)


KEPT: list[tuple[Any, Any]] = [
    (int, 3),
    (int, Whole(3)),
    (int, Level.LOW),
    (float, 1.5),
    (bool, True),
    (str, "a"),
    (str, Mode.FAST),
    (bytes, b"a"),
    (datetime, datetime(2024, 1, 2, tzinfo=UTC)),
    (date, date(2024, 1, 2)),
    (Path, Path("a")),
    (Colour, Colour.RED),
    (None, None),
    (Any, object()),
    (object, object()),
    (Plain, Special()),
    (Point, Point3(1)),
    (Config, Config(retries="not looked at")),  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    (Box[int], Box("not looked at")),
    (Model, Model(1)),
    (Pair, Pair(1)),
    (Options, {"limit": 1}),
    (Page, {"items": ["1"], "first": 1}),
    (Unknown, {"it": "names that are in no namespace say nothing"}),
    (Closable, 3),
    (TextIO, io.StringIO()),
    (IO[str], io.StringIO()),
    (Sized, [1]),
    (list, [1, "2"]),
    (list[int], [1, 2]),
    (list[int], []),
    (list[Any], ["a", 1]),
    (list[Config], [Config(1)]),
    (list[list[int]], [[1], [2]]),
    (dict[str, int], {"a": 1}),
    (dict[str, int], collections.OrderedDict(a=1)),
    (dict[str, dict[str, Point]], {"a": {"b": Point(1)}}),
    (Mapping[str, int], collections.ChainMap({"a": 1})),
    (set[int], {1}),
    (tuple[int, ...], (1, 2)),
    (tuple[int, str], (1, "a")),
    (tuple[int, str], Pair(1, "a")),
    (Sequence[int], (1, 2)),
    (Sequence[int], range(3)),
    (Sequence, "text"),
    (Collection[int], ["not looked at"]),
    (Iterable[int], ["not looked at"]),
    (Iterable[str], "text"),
    (Iterator[int], iter("ab")),
    (Iterator[int] | list[int], iter("ab")),
    (Any | list[int], iter("ab")),
    (int | str, "3"),
    (str | int, 3),
    (float | int, 3),
    (bool | int, 1),
    (datetime | str, "2024-01-01"),
    (Path | str, "a"),
    (Mode | str, "fast"),
    (UUID | str, ID),
    (list[int] | list[str], ["1"]),
    (date | datetime, datetime(2024, 1, 2, tzinfo=UTC)),
    (Literal[1, "a"], "a"),
    (Literal[Colour.RED], Colour.RED),
    (type[int], bool),
    (type[Any], str),
    (Callable[[int], int], print),
    (T, "1"),
    (OneOf, "1"),
    (LiteralString, "a"),
    (3, "an annotation that is no type says nothing"),
    (GenericAlias(list, ("Nowhere",)), ["a name in a string that is in no namespace"]),
]


@pytest.mark.parametrize(("annotation", "value"), KEPT, ids=names(KEPT))
def test_what_conforms_is_passed_as_it_is(annotation: Any, value: Any) -> None:
    assert convert(annotation, value) is value


# What came with later versions of Python.


@pytest.mark.skipif(sys.version_info < (3, 12), reason="needs the type statement")
def test_a_named_type_may_contain_itself() -> None:
    space: dict[str, Any] = {}
    exec(  # noqa: S102  # in the syntax of those versions
        "type Json = dict[str, Json] | list[Json] | int | None\ntype Twice[T] = tuple[T, T]\n"
        "class Node[T]:\n    pass\n",
        space,
    )
    hook = Converters().hook(space["Json"])
    assert hook({"a": ("1", [None, 2])}) == {"a": [1, [None, 2]]}
    kept = {"a": [1, [None, {}]]}
    assert hook(kept) is kept
    with pytest.raises(Wrong):
        hook({"a": ["x"]})
    assert Converters().hook(space["Twice"][int])(["1", 2]) == (1, 2)


@dataclass
class Deep:
    items: list[Deep] = field(default_factory=list)


def test_a_class_is_read_once_however_deep_it_is_nested(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[Any] = []
    original = classes._structure_of

    def noted(*args: Any) -> Any:
        read.append(args[0])
        return original(*args)

    monkeypatch.setattr(classes, "_structure_of", noted)
    hook = Converters().hook(list[Deep])
    assert hook([{"items": [{"items": [{}]}]}, {}]) == [Deep([Deep([Deep()])]), Deep()]
    assert read == [Deep]
