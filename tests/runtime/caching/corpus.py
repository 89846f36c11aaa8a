"""Values of every kind that has a hash, made anew whenever they are asked for; imported by several processes."""

from __future__ import annotations

import array
import collections
import dataclasses
import datetime as dt
import decimal
import enum
import fractions
import functools
import importlib
import operator
import pathlib
import re
import types
import uuid
import zoneinfo
from typing import Any, NamedTuple

import attrs

from millrace.runtime.caching import DEFAULT, INPUTS, TASK_SOURCE, hash_value, task_key
from tests.runtime.caching.stand_ins import body, context_of

np: Any = importlib.import_module("numpy")  # by name: type checkers do without it

WORDS = ("delta", "alpha", "echo", "bravo", "charlie", "foxtrot")


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Level(enum.IntEnum):
    LOW = 1


class Access(enum.Flag):
    READ = 1
    WRITE = 2


@attrs.frozen
class Page:
    url: str
    tags: frozenset[str] = frozenset()
    seen: int = attrs.field(default=0, eq=False)


@attrs.define(slots=False)
class Site:
    pages: list[Page]


@dataclasses.dataclass
class Point:
    x: int
    y: int
    note: str = dataclasses.field(default="", compare=False)


@dataclasses.dataclass
class Place(Point):
    name: str = ""


class Plain:
    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)


class Slotted:
    __slots__ = ("left", "right")

    right: Any

    def __init__(self, left: Any) -> None:
        self.left = left


class Named(str):
    __slots__ = ()


class Bag(set[Any]):
    pass


class Rising(list[int]):
    pass


class Pair(NamedTuple):
    a: int
    b: int


def double(x: int) -> int:
    return 2 * x


def adder(n: int) -> Any:
    def add(x: int) -> int:
        return x + n

    return add


made: dict[str, Any] = {}
exec("def typed_in(x):\n    return x in {'delta', 'alpha', 'echo', 'bravo'}", made)  # noqa: S102  # has no source text


def values() -> dict[str, Any]:
    """From what a value is to the value. No two are the same."""
    return {
        "nothing": None,
        "yes": True,
        "no": False,
        "whole number": 1,
        "negative number": -1,
        "large number": 10**5000,
        "number": 1.0,
        "not a number": float("nan"),
        "infinite": float("inf"),
        "zero": 0.0,
        "negative zero": -0.0,
        "complex": 1 + 0j,
        "text": "1",
        "empty text": "",
        "broken text": "\ud800",
        "long text": "x" * 5000,
        "bytes": b"1",
        "long bytes": b"x" * 5000,
        "bytearray": bytearray(b"1"),
        "view": memoryview(b"1"),
        "array": array.array("b", b"1"),
        "ellipsis": ...,
        "list": [1],
        "tuple": (1,),
        "set": {1},
        "frozenset": frozenset([1]),
        "words": set(WORDS),
        "nested words": {frozenset(WORDS), frozenset(WORDS[:2])},
        "dict": {word: {word: 1} for word in WORDS},
        "mixed keys": {1: "a", "1": "b", None: "c", (1, 2): "d"},
        "proxy": types.MappingProxyType({"a": 1}),
        "ordered": collections.OrderedDict.fromkeys(WORDS),
        "ordered otherwise": collections.OrderedDict.fromkeys(reversed(WORDS)),
        "counter": collections.Counter(WORDS),
        "default": collections.defaultdict(list, {word: [word] for word in WORDS}),
        "deque": collections.deque([1], maxlen=2),
        "range": range(1, 9),
        "slice": slice(1),
        "date": dt.date(2026, 11, 20),
        "time": dt.time(9, 30),
        "moment": dt.datetime(2026, 11, 20),  # noqa: DTZ001  # this is the one without a zone
        "moment with a zone": dt.datetime(2026, 11, 20, tzinfo=dt.UTC),
        "moment elsewhere": dt.datetime(2026, 11, 20, tzinfo=zoneinfo.ZoneInfo("Europe/Berlin")),
        "span": dt.timedelta(days=1),
        "decimal": decimal.Decimal("1.0"),
        "decimal with more digits": decimal.Decimal("1.00"),
        "fraction": fractions.Fraction(1, 2),
        "uuid": uuid.UUID(int=1),
        "pattern": re.compile("a+", re.IGNORECASE),
        "path": pathlib.Path("a/b"),
        "pure path": pathlib.PurePosixPath("a/b"),
        "enum": Colour.RED,
        "other member": Colour.BLUE,
        "number enum": Level.LOW,
        "flag": Access.READ,
        "flags": Access.READ | Access.WRITE,
        "attrs": Page("a", frozenset(WORDS)),
        "attrs with attrs": Site([Page("a"), Page("b")]),
        "dataclass": Point(1, 2),
        "derived dataclass": Place(1, 2, "", "here"),
        "named tuple": Pair(1, 2),
        "object": Plain(words=set(WORDS)),
        "slots": Slotted(1),
        "derived text": Named("1"),
        "derived set": Bag(WORDS),
        "derived list": Rising([1]),
        "exception": ValueError("no", 1),
        "function": double,
        "closure": adder(1),
        "closure over another value": adder(2),
        "lambda": lambda x: x + 1,
        "another on its line": [lambda x: x + 2, lambda x: x + 3][1],
        "typed in": made["typed_in"],
        "built-in function": len,
        "operator": operator.attrgetter("a"),
        "partial": functools.partial(double, 2),
        "method": Named("1").upper,
        "own method": Plain(a=1).__init__,  # type: ignore[misc]
        "class": Page,
        "built-in class": int,
        "generic": list[int],
        "union": int | str,
        "numpy": np.arange(6, dtype="i8").reshape(2, 3),
        "numpy number": np.int64(1),
        "numpy objects": np.array(["a", 1, None], dtype=object),
        "numpy fields": np.array([(1, 2.0)], dtype=[("a", "i1"), ("b", "f8")]),
        "numpy times": np.array(["2026-11-20"], dtype="M8[D]"),
        "numpy texts": np.array(["a"], dtype=np.dtypes.StringDType()),
        "numpy masked": np.ma.masked_array([1, 2], mask=[False, True]),
        "numpy type": np.dtype("f4"),
    }


def hashes() -> dict[str, str]:
    """From what a value is to its hash, and some keys."""
    found = {name: hash_value(value) for name, value in values().items()}
    context = context_of(body)
    found["inputs"] = INPUTS.compute_key(context, values(), {}) or ""
    found["source"] = TASK_SOURCE.compute_key(context, {}, {}) or ""
    found["all"] = DEFAULT.compute_key(context, values(), {}) or ""
    found["source of what was typed in"] = TASK_SOURCE.compute_key(context_of(made["typed_in"]), {}, {}) or ""
    found["task key"] = task_key(body)
    return found
