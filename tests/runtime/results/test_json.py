"""JSON: every value comes back as what it was, or is refused when written; reading executes and imports nothing."""

from __future__ import annotations

import collections
import enum
import json
import math
import subprocess
import sys
import typing
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from pathlib import Path, PurePath
from types import SimpleNamespace
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from millrace import ConfigurationError, SerializationError
from millrace.runtime.results import JSONSerializer
from millrace.runtime.results import json_serializer as module
from tests.runtime.results.sending import sent


class Colour(enum.Enum):
    RED = "red"
    PAIR = (1, 2)


class Rights(enum.Flag):
    READ = enum.auto()
    WRITE = enum.auto()


class Level(enum.IntEnum):
    LOW = 1


@attrs.frozen
class Item:
    name: str
    price: Any


@attrs.define
class Order:
    items: list[Item]
    _note: Any = None
    total: int = attrs.field(init=False, default=0)


@dataclass
class Point:
    x: float
    tags: set[str] = field(default_factory=set)


class Pair(NamedTuple):
    left: int
    right: Any


@attrs.frozen
class Special(Item):
    pass


class Plain:
    def __init__(self, amount: int) -> None:
        self.amount = amount


TYPES = [Colour, Rights, Level, Item, Order, Point, Pair]
SERIALIZER = JSONSerializer(TYPES)


def back(value: Any, serializer: JSONSerializer = SERIALIZER) -> Any:
    return serializer.loads(serializer.dumps(value))


def same(left: Any, right: Any) -> bool:
    """Equal and of the same types, all the way down."""
    if type(left) is not type(right):
        return False
    if isinstance(left, dict):
        return same(list(left.items()), list(right.items()))
    if isinstance(left, list | tuple):
        return len(left) == len(right) and all(map(same, left, right))
    return bool(left == right)


VALUES: list[Any] = [
    None,
    True,
    0,
    -1,
    10**4000,
    1.5,
    -0.0,
    5e-324,
    "",
    "naïve \U0001f600 \x00 \u2028",
    [],
    {},
    (),
    (1,),
    [[1, (2, [3])]],
    {"a": {"b": (1, 2)}},
    {"$": 1},
    {"$": "tuple", "v": [1]},
    {1: "a", (2, 3): "b", None: "c"},
    {"1": "a", 1: "b"},
    set(),
    {1, 2},
    {(1, 2), frozenset({3})},
    frozenset("ab"),
    b"",
    b"\x00\xff",
    bytearray(b"x"),
    datetime(2026, 11, 20, 12, 30, 15, 123456),  # noqa: DTZ001  # naive ones come back naive
    datetime(2026, 11, 20, tzinfo=UTC),
    datetime(2026, 11, 20, tzinfo=timezone(timedelta(hours=-5, minutes=-30))),
    date(2026, 11, 20),
    time(12, 30, 1, 5),
    timedelta(days=-3, microseconds=7),
    UUID(int=7),
    Decimal("1.10"),
    Path("/results/1a2"),
    Colour.RED,
    Colour.PAIR,
    Rights.READ | Rights.WRITE,
    Level.LOW,
    Item("pen", Decimal("1.50")),
    Order([Item("pen", Decimal(2))], {"when": (date(2026, 1, 1), Colour.RED)}),
    Point(1.0, {"a"}),
    Pair(1, Pair(2, [Level.LOW])),
    {Colour.RED: [Point(2.0)]},
]


@pytest.mark.parametrize("value", VALUES, ids=[f"{at}-{type(each).__name__}" for at, each in enumerate(VALUES)])
def test_a_value_comes_back_equal_and_of_its_type(value: Any) -> None:
    assert same(back(value), value)


def test_a_field_that_is_no_parameter_comes_back_too() -> None:
    order = Order([])
    order.total = 7

    assert back(order).total == 7


def test_a_time_zone_comes_back_as_its_offset() -> None:
    moment = datetime(2026, 7, 1, 12, tzinfo=ZoneInfo("Europe/Berlin"))

    found = back(moment)

    assert found == moment
    assert found.utcoffset() == timedelta(hours=2)


def test_plain_data_is_plain_json() -> None:
    value = {"name": "crawl", "sizes": [1, 2.5, None, True]}

    assert json.loads(JSONSerializer().dumps(value)) == value


scalars = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
keys = st.integers() | st.text() | st.sampled_from(["$", "v", "tuple"])
values = st.recursive(
    scalars | st.binary() | st.dates() | st.datetimes() | st.timedeltas() | st.uuids(),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(keys, inner, max_size=4)
        | st.builds(Order, st.lists(st.builds(Item, st.text(), st.just(Decimal(1))), max_size=2), inner)
    ),
    max_leaves=12,
)


@settings(max_examples=150)
@given(values)
def test_any_such_value_comes_back(value: Any) -> None:
    assert same(back(value), value)


REFUSED: list[tuple[Any, str]] = [
    (math.nan, "not finite"),
    ([math.inf], "not finite"),
    ({"x": -math.inf}, "not finite"),
    (10**4300, "4300 digits"),
    ("\ud800", "surrogates"),
    ({"\ud800": 1}, "surrogates"),
    (Plain(1), r"'tests.runtime.results.test_json.Plain'"),
    (Special("pen", Decimal(1)), r"Special'; name its class in JSONSerializer\(types=\[...\]\), or return plain data"),
    (collections.Counter("aab"), "'collections.Counter'"),
    (collections.OrderedDict(a=1), "'collections.OrderedDict'"),
    (range(3), "'range'"),
    (object(), "'object'"),
    (1j, "'complex'"),
    (Exception("no"), "'Exception'"),
    (PurePath("x"), "'pathlib"),
    ([print], "'builtin_function_or_method'"),
    (int, "'type'"),
]


@pytest.mark.parametrize(("value", "reason"), REFUSED, ids=[str(at) for at in range(len(REFUSED))])
def test_what_would_not_come_back_is_refused_when_it_is_written(value: Any, reason: str) -> None:
    with pytest.raises(SerializationError, match=rf"^Could not write a value as JSON: .*{reason}"):
        SERIALIZER.dumps(value)


def test_a_refusal_does_not_show_the_value() -> None:
    with pytest.raises(SerializationError) as caught:
        SERIALIZER.dumps({"password": "s3cret", "x": Plain(1)})

    assert "s3cret" not in str(caught.value)


def nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def nested_objects(depth: int) -> Any:
    value: Any = 1
    for at in range(depth):
        value = [Item("pen", value), {"x": value}, {1: value}, (value,), Pair(1, value)][at % 5]
    return value


@pytest.mark.parametrize("make", [nested, nested_objects])
def test_collections_may_be_nested_64_deep_and_no_deeper(make: Any) -> None:
    for depth in (63, 64):
        assert same(back(make(depth)), make(depth))
    with pytest.raises(SerializationError, match="nested deeper than 64, or hold themselves"):
        SERIALIZER.dumps(make(65))


@pytest.mark.parametrize(
    "text", [nested(65), {"a": nested(64)}, [{"$": "tuple", "v": nested(64)}], [{"$": "dict", "v": nested(64)}]]
)
def test_text_that_is_nested_deeper_is_refused_as_well(text: Any) -> None:
    with pytest.raises(SerializationError, match=r"nested deeper than 64|unpack"):
        SERIALIZER.loads(json.dumps(text).encode())


@pytest.mark.parametrize("opening", [b"[", b'{"a":', b'[{"$":"tuple","v":'])
def test_text_that_is_nested_without_end_is_refused(opening: bytes) -> None:
    with pytest.raises(SerializationError, match=r"^Could not read a value from JSON: "):
        SERIALIZER.loads(opening * 100_000)


def test_a_list_that_holds_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)

    with pytest.raises(SerializationError, match="hold themselves"):
        SERIALIZER.dumps(loop)


def test_a_value_that_is_small_only_because_it_shares_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "ITEMS", 10_000)
    laugh: Any = ["ha"] * 10
    for _ in range(10):
        laugh = [laugh] * 10

    with pytest.raises(SerializationError, match=r"it has more than 10,000 items\.$"):
        SERIALIZER.dumps(laugh)


@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_items_are_counted_in_all_collections_together(monkeypatch: pytest.MonkeyPatch, beside: int) -> None:
    monkeypatch.setattr(module, "ITEMS", 100)
    value = [list(range(49)), set(range(49 + beside))]

    if beside <= 0:
        assert back(value) == value
    else:
        with pytest.raises(SerializationError, match="more than 100 items"):
            SERIALIZER.dumps(value)


HOSTILE = [
    b"",
    b"[",
    b"NaN",
    b"[Infinity]",
    b'{"x":-Infinity}',
    b"1e999",
    b"9" * 4301,
    b"\xff\xfe",
    b"\xef\xbb\xbf[]",
    '"é"'.encode("utf-16"),
    b'{"$":"tuple"}',
    b'{"$":"tuple","v":[1],"x":2}',
    b'{"$":"tuple","v":"ab"}',
    b'{"$":"tuple","v":{"a":1}}',
    b'{"$":"set","v":[[1]]}',
    b'{"$":"dict","v":[[1]]}',
    b'{"$":"dict","v":[[[],1]]}',
    b'{"$":"dict","v":5}',
    b'{"$":["tuple"],"v":[]}',
    b'{"$":null,"v":[]}',
    b'{"$":"bytes","v":"***"}',
    b'{"$":"bytes","v":5}',
    b'{"$":"bytearray","v":1000000000000}',
    b'{"$":"datetime","v":"yesterday"}',
    b'{"$":"datetime","v":5}',
    b'{"$":"timedelta","v":[1e300,0,0]}',
    b'{"$":"timedelta","v":{"days":1}}',
    b'{"$":"uuid","v":"x"}',
    b'{"$":"decimal","v":"x"}',
    b'{"$":"path","v":[1]}',
    b'{"$":"os.system","v":"true"}',
    b'{"$":"builtins.eval","v":"1"}',
    b'{"$":"Unknown","v":{}}',
    b'{"$":"Item","v":{"name":"pen"}}',
    b'{"$":"Item","v":{"name":"pen","price":1,"more":2}}',
    b'{"$":"Item","v":[1,2]}',
    b'{"$":"Item","v":null}',
    b'{"$":"Point","v":{}}',
    b'{"$":"Pair","v":[1,2,3]}',
    b'{"$":"Colour","v":"blue"}',
    b'{"$":"Colour","v":{"$":"Colour","v":[]}}',
    b'{"__class__":"Item","$":"Item"}',
]


@pytest.mark.parametrize("blob", HOSTILE, ids=[repr(blob[:40]) for blob in HOSTILE])
def test_text_that_is_not_written_so_is_refused(blob: bytes) -> None:
    with pytest.raises(SerializationError, match=r"^Could not read a value from JSON: ") as caught:
        SERIALIZER.loads(blob)

    assert str(caught.value).isprintable()


def test_a_class_that_the_reader_does_not_know_is_refused() -> None:
    blob = SERIALIZER.dumps(Item("pen", Decimal(1)))

    with pytest.raises(SerializationError, match=r"no class is registered here as 'Item'\.$"):
        JSONSerializer().loads(blob)


def test_a_class_may_be_renamed_as_long_as_it_keeps_its_tag() -> None:
    blob = JSONSerializer({"item": Item}).dumps(Item("pen", Decimal(1)))

    found = JSONSerializer({"item": Special}).loads(blob)

    assert type(found) is Special
    assert found.name == "pen"


def test_classes_with_one_name_need_tags() -> None:
    def other() -> type:
        @attrs.frozen
        class Item:
            pass

        return Item

    with pytest.raises(ConfigurationError, match="one class named 'Item'; give a mapping from tags"):
        JSONSerializer([Item, other()])
    assert JSONSerializer({"a": Item, "b": other()}).types["a"] is Item


@pytest.mark.parametrize(
    "types", [[Plain], [int], [3], {"": Item}, {3: Item}, {"tuple": Item}, {"dict": Item}, {"path": Item}, {"x": 3}]
)
def test_what_cannot_be_registered_is_refused(types: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        JSONSerializer(types)

    assert caught.value.name == "types"


def test_a_converter_of_ones_own_takes_any_class_to_pieces() -> None:
    from cattrs import Converter  # noqa: PLC0415  # a test of an option, and slow to import

    converter = Converter()
    converter.register_unstructure_hook(Plain, lambda value: {"amount": value.amount})
    converter.register_structure_hook(Plain, lambda parts, _: Plain(parts["amount"]))

    found = back((1, Plain(7)), JSONSerializer([Plain], converter=converter))

    assert type(found[1]) is Plain
    assert found[1].amount == 7


def test_a_converter_that_does_nothing_with_a_class_is_found_out() -> None:
    from cattrs import Converter  # noqa: PLC0415  # see above

    with pytest.raises(SerializationError, match=r"the converter does not take a '.*Plain' to pieces\.$"):
        JSONSerializer([Plain], converter=Converter()).dumps(Plain(7))


def test_a_serializer_with_classes_can_be_sent() -> None:
    used = JSONSerializer([Item])
    used.dumps(Item("pen", Decimal(1)))

    copy = sent(used)

    assert copy == used
    assert copy.loads(used.dumps(Item("pen", Decimal(1)))) == Item("pen", Decimal(1))


if typing.TYPE_CHECKING:
    from nowhere import Unknown  # type: ignore[import-not-found]  # pyright: ignore[reportMissingImports]


def test_a_class_with_annotations_that_cannot_be_read_is_refused_when_it_is_written() -> None:
    @attrs.frozen
    class Odd:
        x: Unknown

    with pytest.raises(SerializationError, match=r"^Could not write a value as JSON: NameError: name 'Unknown'"):
        JSONSerializer([Odd]).dumps(Odd(1))


def test_cattrs_is_imported_for_registered_classes_only() -> None:
    program = (
        "import sys\n"
        "from millrace.runtime.results import JSONSerializer\n"
        "json = JSONSerializer()\n"
        "json.loads(json.dumps({'a': (1, b'x')}))\n"
        "print('cattrs' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)

    assert done.stdout == "False\n"


ROOT = Path(__file__).parents[3] / "src"

FUZZ = """
import random, sys
from millrace import SerializationError
from millrace.runtime.results import JSONSerializer, ResultStore
import attrs, enum

@attrs.frozen
class Item:
    name: str
    price: object

class Colour(enum.Enum):
    RED = "red"

serializer = JSONSerializer([Item, Colour])
seeds = [serializer.dumps(each) for each in (
    Item("pen", Colour.RED), {"a": [1, (2, 3), {4}, b"x"], 1: None}, [Item("a", Item("b", 1.5))],
)]
for blob in seeds:
    serializer.loads(blob)
words = [b"os.system", b"builtins.eval", b"colorsys", b"__import__", b"this:s", b"Item", b"tuple", b"dict", b"$", b"v"]
draw = random.Random(7)
events, recording, done = [], False, {"read": 0, "refused": 0}

def audit(event, args):
    if recording and event in {"import", "exec", "compile", "os.system", "subprocess.Popen", "open"}:
        events.append((event, args[:1]))

sys.addaudithook(audit)
for _ in range(10_000):
    blob = bytearray(draw.choice(seeds))
    for _ in range(draw.randrange(1, 4)):
        at = draw.randrange(len(blob))
        if draw.random() < 0.5:
            word = draw.choice(words)
            blob[at : at + draw.randrange(len(word) + 1)] = word
        else:
            blob[at] = draw.randrange(256)
    tagged = b'{"$":"' + draw.choice(words) + b'","v":' + bytes(blob) + b"}" if draw.random() < 0.3 else bytes(blob)
    recording = True
    try:
        serializer.loads(tagged)
        done["read"] += 1
    except SerializationError:
        done["refused"] += 1
    finally:
        recording = False
print(events, done["read"] + done["refused"], done["read"] > 100, done["refused"] > 1000)
recording = True
import colorsys
print([event for event, _ in events][:1])
"""


def test_nothing_is_imported_or_executed_by_what_a_text_says() -> None:
    """The last line is there to show that an import would have been seen."""
    done = subprocess.run([sys.executable, "-c", FUZZ], capture_output=True, text=True, check=False, cwd=ROOT)

    assert done.stdout == "[] 10000 True True\n['import']\n", done.stderr


def test_a_namespace_is_no_plain_data() -> None:
    with pytest.raises(SerializationError, match=r"'types\.SimpleNamespace'"):
        SERIALIZER.dumps(SimpleNamespace(a=1))
