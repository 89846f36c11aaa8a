"""What streams pull is put on record in as few calls as there are groups, and is given back all the same."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from millrace import Engine, flow, task
from millrace.runtime.stores.memory import MemoryStore
from millrace.runtime.stores.port import Group
from millrace.runtime.stores.records import Called
from millrace.runtime.streamed import GIVEN, Pulls
from tests.runtime.stores.killing import Kill, Ran, engine_of, killed, resumed
from tests.runtime.stores.places import FLOW
from tests.runtime.worlds import SYNC

STREAM = "-2.7.0"


def pull(order: int, place: int, count: int, *, path: str = STREAM, name: str = "load", attempt: int = 0) -> Called:
    return Called(FLOW, attempt, order, path, name, place, FLOW + 1 + place, count, b"mark" * count)


def test_pulls_that_follow_each_other_are_one_call() -> None:
    pulls = Pulls()
    first = pull(3, 0, 16)
    assert [pulls.take(each) for each in (first, pull(4, 16, 4), pull(5, 20, 1))] == [False, True, True]
    assert (first.order, first.place, first.first, first.count) == (3, 0, FLOW + 1, 21)
    assert first.marks == b"mark" * 21


@pytest.mark.parametrize(
    "second",
    [
        pull(5, 16, 4),  # something was called in between
        pull(4, 17, 4),  # an item is missing
        pull(4, 16, 4, path="-2.7.1"),
        pull(4, 16, 4, name="other"),
        pull(4, 16, 4, attempt=1),
        Called(FLOW, 0, 4, STREAM, GIVEN, 0, 0, 0, b"\0\0\0\1"),
    ],
)
def test_what_does_not_follow_is_a_call_of_its_own(second: Called) -> None:
    pulls = Pulls()
    first = pull(3, 0, 16)
    assert not pulls.take(first)
    assert not pulls.take(second)
    assert first.count == 16


def test_calls_of_a_body_are_never_joined() -> None:
    pulls = Pulls()
    calls = [pull(0, 0, 1, path=""), pull(1, 1, 1, path="")]
    assert [pulls.take(each) for each in calls] == [False, False]


class Counting(MemoryStore):
    """Remembers the calls that are written, and counts the groups."""

    def __init__(self) -> None:
        super().__init__()
        self.groups = 0
        self.calls: list[Called] = []

    def append(self, group: Group) -> None:
        self.groups += 1
        self.calls += [each for each in group.records if isinstance(each, Called)]
        super().append(group)


def test_a_stream_costs_about_one_call_for_each_group() -> None:
    store = Counting()

    @task
    async def load(number: int) -> int:
        return number

    @flow
    async def body() -> int:
        return sum([number async for number in load.stream(range(2_000), ordered=False)])

    with Engine(store=store) as engine:
        assert engine.start(body).result() == sum(range(2_000))
    assert len(store.calls) <= store.groups + 2_000 // 1_000 * 2


@pytest.mark.parametrize(("grows", "given_first"), [(False, 0), (True, 2)])
def test_what_was_given_goes_on_record_before_items_that_may_depend_on_it(*, grows: bool, given_first: int) -> None:
    store = Counting()

    @task
    def visit(number: int) -> int:
        return number

    @flow
    def body() -> int:
        pages = [0] if grows else [0, 1, 2]
        for number in visit.stream(pages, ordered=False, max_in_flight=1):
            if grows and number < 2:
                pages.append(number + 1)  # noqa: PERF401  # what is iterated over grows meanwhile
        return len(pages)

    with engine_of(store):
        assert body() == 3
    assert sum(call.name == GIVEN for call in store.calls) == given_first


def test_items_of_a_generator_may_depend_on_what_was_given(kill: Kill) -> None:
    ran = Ran()

    @task
    def visit(number: int) -> int:
        ran(number)
        return number

    @flow
    def body() -> Any:
        total = [1]

        def pages() -> Iterator[int]:
            while total[0] < 20:
                yield total[0]

        for number in visit.stream(pages(), ordered=False, max_in_flight=1):
            total[0] += number
        kill.here()
        return total

    left = killed(SYNC, kill, body)
    ran.forget()
    with engine_of(left) as engine:
        resumed(SYNC, engine, body)
    assert ran.calls == []
