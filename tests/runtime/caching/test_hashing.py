"""Which values are the same for a cache key, and which have no hash."""

from __future__ import annotations

import collections
import gc
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import attrs
import pytest

from millrace.actors.errors import Unhashable
from millrace.runtime.caching import hash_value
from tests.runtime.caching.corpus import Bag, Page, Plain, Point, Slotted, adder


def same(one: Any, other: Any) -> bool:
    return hash_value(one) == hash_value(other)


def test_a_hash_is_64_hexadecimal_digits() -> None:
    assert len(hash_value([1])) == 64
    assert int(hash_value(1), 16)


def test_the_order_of_a_dict_does_not_matter() -> None:
    assert same({"a": 1, "b": [2]}, {"b": [2], "a": 1})
    assert same(collections.Counter("aab"), collections.Counter("baa"))
    assert not same({"a": 1, "b": 2}, {"a": 2, "b": 1})


def test_the_order_of_an_ordered_dict_matters() -> None:
    assert not same(collections.OrderedDict(a=1, b=2), collections.OrderedDict(b=2, a=1))


def test_the_order_of_a_set_does_not_matter() -> None:
    # These two fall on one place in the table of a small set, so that the first to come stays first.
    one, other = {0, 8}, {8, 0}

    assert list(one) != list(other)
    assert same(one, other)
    assert same(Bag(one), Bag(other))
    assert same({frozenset(one), "a"}, {"a", frozenset(other)})
    assert same(Plain(numbers=one), Plain(numbers=other))


def test_a_part_counts_the_same_whether_it_is_shared_or_not() -> None:
    part = ["a", ["b"]]

    assert same([part, part], [["a", ["b"]], ["a", ["b"]]])
    assert same({"x": "ab" * 20, "y": "ab" * 20}, {"x": "".join(["ab"] * 20), "y": "ab" * 20})


def test_fields_that_comparisons_leave_out_do_not_count() -> None:
    assert same(Page("a", seen=1), Page("a", seen=2))
    assert same(Point(1, 2, note="a"), Point(1, 2, note="b"))
    assert not same(Page("a"), Page("b"))
    assert not same(Point(1, 2), Point(1, 3))


def test_a_class_without_fields_of_its_own_counts_by_all_it_holds() -> None:
    class Dated(Point):
        def __init__(self, x: int, y: int, day: str) -> None:
            super().__init__(x, y)
            self.day = day

    assert not same(Dated(1, 2, "monday"), Dated(1, 2, "tuesday"))
    assert same(Dated(1, 2, "monday"), Dated(1, 2, "monday"))


def test_a_field_without_a_value_is_not_none() -> None:
    unset, none = Slotted(1), Slotted(1)
    none.right = None

    assert not same(unset, none)


def test_an_attribute_that_is_not_there_yet_is_no_error() -> None:
    @attrs.define
    class Late:
        value: int = attrs.field(init=False)

    assert same(Late(), Late())


def test_functions_differ_by_what_they_hold() -> None:
    def scaled(x: int, by: int) -> Any:
        def scale(y: int = by, *, z: int = x) -> int:
            return y * z

        return scale

    assert same(adder(1), adder(1))
    assert not same(adder(1), adder(2))
    assert not same(scaled(1, 2), scaled(1, 3))
    assert not same(scaled(1, 2), scaled(2, 2))


def test_lambdas_of_one_line_differ() -> None:
    first, second, third = (lambda x: x + 1), (lambda x: x + 2), (lambda x: x + 1)

    assert not same(first, second)
    assert same(first, third)


def test_a_function_that_refers_to_a_variable_without_a_value_has_a_hash() -> None:
    def early() -> str:
        return hash_value(inner)

    def inner() -> int:
        return later

    before = early()
    later = 1

    assert early() != before


@pytest.mark.parametrize(
    "member",
    [
        "def run(self): return {}",
        "run = staticmethod(lambda: {})",
        "run = classmethod(lambda cls: {})",
        "run = property(lambda self: {})",
        "run = {}",
    ],
)
@pytest.mark.parametrize("module", ["typed", __name__])
def test_classes_that_were_typed_in_differ_by_their_members(member: str, module: str) -> None:
    def made(result: int, *, lines: int = 0) -> Any:
        names: dict[str, Any] = {"__name__": module}
        text = "\n" * lines + f"class Typed:\n    {member.format(result)}"
        exec(text, names)  # noqa: S102  # has no source text
        return names["Typed"]

    assert same(made(1), made(1, lines=1))
    assert not same(made(1), made(2))


def test_depth_does_not_matter() -> None:
    def nested(depth: int) -> Any:
        value: Any = 1
        for _ in range(depth):
            value = {"deeper": [value]}
        return value

    depth = 20 * sys.getrecursionlimit()

    assert same(nested(depth), nested(depth))
    assert not same(nested(depth), nested(depth + 1))


def test_what_stands_in_many_places_is_looked_at_once() -> None:
    looked = 0

    class Counted:
        def __reduce__(self) -> Any:
            nonlocal looked
            looked += 1
            return Counted, (), {"parts": [1]}

    value: Any = Counted()
    for _ in range(200):  # 2 ** 200 places
        value = [value, value]

    assert hash_value(value)
    assert looked == 1


def test_what_is_made_on_the_way_is_not_taken_for_what_was_made_before() -> None:
    class Made:
        def __init__(self, number: int) -> None:
            self.number = number

        def __reduce__(self) -> Any:
            return Made, ([[self.number]],)  # a list that is gone when the next one is made

    hashes = {hash_value([Made(0)] * 5 + [Made(each), Made(number)]) for number in range(50) for each in range(2)}

    assert len(hashes) == 100


def test_hashing_keeps_nothing_alive() -> None:
    class Thing:
        def __init__(self) -> None:
            self.parts = [{"a": [1]}, (2, [3])]

    thing = Thing()
    gone = weakref.ref(thing)
    gc.disable()
    try:
        hash_value([thing, {"thing": thing}])
        del thing

        assert gone() is None
    finally:
        gc.enable()


def count_up() -> Iterator[int]:
    yield 1


def cycle_of_list() -> Any:
    value: list[Any] = [1]
    value.append(value)
    return value


def cycle_of_dict() -> Any:
    value: dict[str, Any] = {}
    value["deep"] = [({"self": value},)]
    return value


def cycle_of_objects() -> Any:
    parent, child = Plain(), Plain()
    parent.child, child.parent = child, parent  # type: ignore[attr-defined]
    return parent


def cycle_of_functions() -> Any:
    def count(n: int) -> int:
        return count(n - 1) if n else 0

    return count


@pytest.mark.parametrize(
    ("make", "culprit"),
    [
        (cycle_of_list, "list"),
        (cycle_of_dict, "dict"),
        (cycle_of_objects, "tests.runtime.caching.corpus.Plain"),
        (cycle_of_functions, "function"),
    ],
)
def test_a_cycle_has_no_hash(make: Callable[[], Any], culprit: str) -> None:
    with pytest.raises(
        Unhashable, match=f"^Cannot hash a value by its content: a '{culprit}' contains itself.$"
    ) as told:
        hash_value(make())

    assert told.value.culprit == culprit


@pytest.mark.parametrize(
    ("value", "culprit"),
    [
        (threading.Lock(), "_thread.lock"),
        (sys, "module"),
        (count_up(), "generator"),
        ({"a": [1, (threading.Lock(),)]}, "_thread.lock"),
        (Plain(lock=threading.Lock()), "_thread.lock"),
        (Page(threading.Lock()), "_thread.lock"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_taken_apart_has_no_hash_and_is_named(value: Any, culprit: str) -> None:
    with pytest.raises(Unhashable, match=f"a '{culprit}' cannot be taken apart") as told:
        hash_value(value)

    assert told.value.culprit == culprit
    assert told.value.__cause__ is not None


def test_what_a_value_s_own_code_raises_is_told() -> None:
    class Shy:
        def __getstate__(self) -> Any:
            raise LookupError("not at home")

    with pytest.raises(Unhashable, match=r"Shy' cannot be taken apart \(not at home\)") as told:
        hash_value([Shy()])

    assert isinstance(told.value.__cause__, LookupError)


def test_an_interrupt_while_hashing_is_no_matter_of_the_value() -> None:
    class Slow:
        def __getstate__(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        hash_value([Slow()])


def test_a_value_without_an_end_has_no_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    class Endless:
        def __reduce__(self) -> Any:
            return Endless, (Endless(),)

    monkeypatch.setattr("millrace.runtime.caching.hashing._DEEPEST", 1_000)

    with pytest.raises(Unhashable, match="is nested more than 1,000 deep"):
        hash_value(Endless())
