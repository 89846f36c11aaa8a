"""Refusals: which values annotations do not take, and what is said of them."""

from __future__ import annotations

import collections
import ipaddress
import re
import zoneinfo
from collections.abc import (
    AsyncIterator,
    Callable,
    Iterable,
    Mapping,
    MutableSequence,
    Sequence,
)
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import (
    Any,
    Literal,
)
from uuid import UUID

import pytest

from millrace import flow
from millrace.actors.errors import ParameterTypeError
from millrace.runtime.validation.fitting import check_of
from tests.runtime.annotated import (
    Bound,
    Colour,
    Config,
    Hidden,
    Level,
    Lost,
    Mode,
    Model,
    Options,
    Page,
    Pair,
    Plain,
    Point,
    Point3,
    Positive,
    Sized,
    Special,
    Tree,
    UserId,
    names,
    problems,
)

REFUSED: list[tuple[Any, Any, str]] = [
    (int, "3.7", "'3.7' is not a whole number"),
    (int, 3.7, "3.7 is not a whole number"),
    (int, "abc", "'abc' is not a whole number"),
    (int, "", "'' is not a whole number"),
    (int, "3.", "'3.' is not a whole number"),
    (int, "1e3", "'1e3' is not a whole number"),
    (int, "0x10", "'0x10' is not a whole number"),
    (int, float("nan"), "nan is not a whole number"),
    (int, float("inf"), "inf is not a whole number"),
    (int, Decimal("3.5"), "Decimal('3.5') is not a whole number"),
    (int, None, "None is not a whole number"),
    (int, [1], "[1] is not a whole number"),
    (float, "abc", "'abc' is not a number"),
    (float, None, "None is not a number"),
    (float, 1j, "1j is not a number"),
    (float, 2**53 + 1, "9007199254740993 has more digits than a float can hold"),
    (Decimal, "abc", "'abc' is not a decimal number"),
    (Decimal, "nan", "'nan' is not a decimal number"),
    (Decimal, True, "True is not a decimal number"),
    (complex, "x", "'x' is not a complex number"),
    (bool, 2, "2 is not true or false"),
    (bool, "maybe", "'maybe' is not true or false"),
    (bool, " true ", "' true ' is not true or false"),
    (bool, None, "None is not true or false"),
    (str, 1, "1 is not text"),
    (str, True, "True is not text"),
    (str, None, "None is not text"),
    (str, b"\xff", "b'\\xff' is not text"),
    (str, Path("a"), "PosixPath('a') is not text"),
    (bytes, 3, "3 is not bytes"),
    (bytes, [1], "[1] is not bytes"),
    (bytearray, b"a", "b'a' is not an instance of bytearray"),
    (datetime, "nope", "'nope' is not a date and time"),
    (datetime, True, "True is not a date and time"),
    (datetime, float("nan"), "nan is not a date and time"),
    (datetime, 1e30, "1e+30 is not a date and time"),
    (date, "2024-01-02T01:00", "'2024-01-02T01:00' is not a date"),
    (date, 1704153601, "1704153601 is not a date"),
    (time, 86400, "86400 is not a time of day"),
    (time, True, "True is not a time of day"),
    (time, "25:00", "'25:00' is not a time of day"),
    (timedelta, "60", "'60' is not a duration"),
    (timedelta, "P", "'P' is not a duration"),
    (timedelta, "", "'' is not a duration"),
    (timedelta, "-", "'-' is not a duration"),
    (timedelta, "1:60", "'1:60' is not a duration"),
    (timedelta, float("nan"), "nan is not a duration"),
    (Path, 1, "1 is not a path"),
    (UUID, 1, "1 is not a UUID"),
    (UUID, "x", "'x' is not a UUID"),
    (re.Pattern, "(", "'(' is not a regular expression"),
    (ipaddress.IPv4Address, 1, "1 is not an IPv4 address"),
    (zoneinfo.ZoneInfo, "Nowhere/Land", "'Nowhere/Land' is not a time zone"),
    (Colour, "RED", "'RED' is not one of 'red', 2"),
    (Colour, "2", "'2' is not one of 'red', 2"),
    (Colour, [1], "[1] is not one of 'red', 2"),
    (Level, 2, "2 is not one of 1"),
    (Literal[1, "a"], "1", "'1' is not one of 1, 'a'"),
    (Literal[1, "a"], [1], "[1] is not one of 1, 'a'"),
    (Literal[Colour.RED], "red", "'red' is not one of <Colour.RED: 'red'>"),
    (None, 1, "1 is not None"),
    (int | None, "x", "'x' is not a whole number"),
    (int | date, "x", "'x' is none of int, date"),
    (int | list[int], "x", "'x' is none of int, list[int]"),
    (list[int], "12", "'12' is not a list"),
    (list[int], b"12", "b'12' is not a list"),
    (list[int], {"1": 2}, "{'1': 2} is not a list"),
    (list[int], 1, "1 is not a list"),
    (list, "ab", "'ab' is not a list"),
    (set[int], {"1": 1}, "{'1': 1} is not a set"),
    (set[list[int]], [[1]], "[[1]] cannot be a set: "),
    (Sequence[str], "ab", "'ab' is not a sequence other than text"),
    (MutableSequence[int], 1, "1 is not an instance of MutableSequence"),
    (collections.OrderedDict[str, int], 1, "1 is not an instance of OrderedDict"),
    (Sequence[int], {"1"}, "{'1'} is not a sequence other than text"),
    (tuple[int, str], ["1"], "('1',) is not a tuple of 2 items"),
    (tuple[int, str], 1, "1 is not a tuple of 2 items"),
    (tuple[()], (1,), "(1,) is not a tuple of 0 items"),
    (dict[str, int], [("a", 1)], "[('a', 1)] is not a dict"),
    (Mapping[str, int], None, "None is not a mapping"),
    (dict[int, int], {"1": 1, 1: 2}, "{'1': 1, 1: 2} has several keys that are the same when they are converted"),
    (Config, 3, "3 is not an instance of Config, nor a mapping to make one of"),
    (Config, Point(1), "Point(x=1, y=0.0) is not an instance of Config, nor a mapping to make one of"),
    (Point3, Point(1), "Point(x=1, y=0.0) is not an instance of Point3, nor a mapping to make one of"),
    (Positive, {"value": -1}, "{'value': -1} makes no Positive: ValueError: negative"),
    (Hidden, {"secret": 1, "made": 1}, ""),
    (Pair, [1, "b", 3], "[1, 'b', 3] is not an instance of Pair, which has 2 fields"),
    (Options, {"note": "n"}, "is missing"),
    (Page[int], {"items": ["x"]}, "'x' is not a whole number"),
    (Options, [1], "[1] is not a mapping with the keys of Options"),
    (Lost, {"it": 1}, "{'it': 1} cannot be made an instance of Lost, whose fields cannot be read: NameError: "),
    (Model, 3, "3 makes no Model: ValueError: no dict"),
    (Plain, 1, "1 is not an instance of Plain"),
    (Special, Plain(), "is not an instance of Special"),
    (Sized, 1, "1 is not an instance of Sized"),
    (Callable[[int], int], 1, "1 is not callable"),
    (Iterable[int], 1, "1 is not an instance of Iterable"),
    (AsyncIterator[int], [1], "[1] is not an instance of AsyncIterator"),
    (type[int], str, "<class 'str'> is not a subclass of int"),
    (type[int | bytes], str, "<class 'str'> is not a subclass of int or bytes"),
    (type, 1, "1 is not a class"),
    (Bound, "x", "'x' is not a whole number"),
    (UserId, "x", "'x' is not a whole number"),
]


@pytest.mark.parametrize(("annotation", "value", "said"), REFUSED, ids=names(REFUSED))
def test_a_value_is_refused(annotation: Any, value: Any, said: str) -> None:
    found = problems(annotation, value)
    assert said in next(iter(found.values()))
    fits = check_of(annotation)
    assert fits is not None
    assert not fits(value)


# What is said.


def test_every_problem_is_told_with_its_path() -> None:
    assert problems(dict[str, list[Config]], {"a": [{"retries": 1}, {"retries": "x"}, 3], "b c": [{}]}) == {
        "['a'][1].retries": "'x' is not a whole number",
        "['a'][2]": "3 is not an instance of Config, nor a mapping to make one of",
        "['b c'][0].retries": "is missing",
    }


def test_keys_are_told_from_values() -> None:
    assert problems(dict[int, int], {"a": "b"}) == {
        "['a'] (key)": "'a' is not a whole number",
        "['a']": "'b' is not a whole number",
    }


def test_a_key_that_is_no_field_is_refused() -> None:
    assert problems(Config, {"retries": 1, "retrys": 2, "a b": 3}) == {
        ".retrys": "2 is given, and Config has no such field",
        "['a b']": "3 is given, and Config has no such field",
    }
    assert problems(Options, {"limit": 1, "x": 2}) == {".x": "2 is given, and Options has no such key"}
    assert problems(Hidden, {"secret": 1, "made": 2}) == {".made": "2 is given, and Hidden has no such field"}


def test_private_fields_go_by_the_names_of_the_constructor() -> None:
    assert problems(Hidden, {"secret": "x"}) == {".secret": "'x' is not a whole number"}
    assert problems(Hidden, {}) == {".secret": "is missing"}


def test_a_problem_inside_a_member_of_a_union_is_told() -> None:
    assert problems(Config | Point | int, {"x": "a"}) == {
        "": "{'x': 'a'} is none of Config, Point, int; as Config, retries: is missing; as Point, x: 'a' is not a whole"
        " number"
    }


def test_a_model_that_validates_itself_tells_its_own_paths() -> None:
    assert problems(Model, {}) == {".parts[0].x": "{}: Field required"}


def test_a_value_is_shown_with_at_most_80_characters() -> None:
    secret = "s3cret" * 100
    for value in (secret, [secret] * 100, {secret: secret}, Config(1, name=secret), 10**5000):
        said = problems(date, value)[""]
        assert len(said.removesuffix(" is not a date")) <= 80
    assert len(problems(Mode, "x")[""]) < 80


def test_a_value_whose_repr_fails_can_be_shown() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError("no repr")

    assert "Broken" in problems(int, Broken())[""]
    assert "dict object" in problems(int, {Broken(): 1})[""] or "Broken" in problems(int, {Broken(): 1})[""]


def test_only_the_first_problems_of_a_long_collection_are_told() -> None:
    found = problems(list[int], ["x"] * 1_000)
    assert len(found) == 21
    assert found[""] == "has more items that are wrong; these are the first"


def test_what_contains_itself_is_refused() -> None:
    data: dict[str, Any] = {"value": 1}
    data["children"] = [data]

    @flow
    def grow(tree: Tree) -> None:
        pass

    with pytest.raises(ParameterTypeError, match=r"recursion|deep"):
        grow(data)
