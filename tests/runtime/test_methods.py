"""Tasks as methods: of every kind, through instances, classes and subclasses, in every way of starting them."""

from __future__ import annotations

import asyncio
import functools
import gc
import weakref
from collections.abc import AsyncGenerator, Generator
from typing import Any

import attrs
import pytest

from millrace import (
    AsyncGeneratorTask,
    AsyncTask,
    GeneratorTask,
    ParameterBindError,
    Task,
    TaskRun,
    TaskRunContext,
    quote,
)
from tests.loose import flow, task
from tests.runtime.walks import Broken, every, this_flow, this_run
from tests.runtime.worlds import ASYNC, SYNC, World


class Shop:
    """A class with tasks of all kinds, each in all places that a function can have in a class."""

    def __init__(self, price: int) -> None:
        self.price = price

    # Of the instance.

    @task
    def total(self, count: int) -> int:
        return self.price * count

    @task
    async def total_async(self, count: int) -> int:
        await asyncio.sleep(0)
        return self.price * count

    @task
    def totals(self, count: int) -> Generator[int]:
        for i in range(count):
            yield self.price * i

    @task
    async def totals_async(self, count: int) -> AsyncGenerator[int]:
        for i in range(count):
            await asyncio.sleep(0)
            yield self.price * i

    # Of the class.

    @task
    @classmethod
    def kind(cls, count: int) -> str:
        return cls.__name__ * count

    @task
    @classmethod
    async def kind_async(cls, count: int) -> str:
        return cls.__name__ * count

    @task
    @classmethod
    def kinds(cls, count: int) -> Generator[str]:
        for _ in range(count):
            yield cls.__name__

    @task
    @classmethod
    async def kinds_async(cls, count: int) -> AsyncGenerator[str]:
        for _ in range(count):
            yield cls.__name__

    # Of neither.

    @task
    @staticmethod
    def twice(count: int) -> int:
        return 2 * count

    @task
    @staticmethod
    async def twice_async(count: int) -> int:
        return 2 * count

    @task
    @staticmethod
    def up_to(count: int) -> Generator[int]:
        yield from range(count)

    @task
    @staticmethod
    async def up_to_async(count: int) -> AsyncGenerator[int]:
        for i in range(count):
            yield i


class Stall(Shop):
    """A subclass with nothing of its own."""


EXPECTED: dict[str, Any] = {
    "total": 6,
    "totals": [0, 3],
    "kind": "StallStall",
    "kinds": ["Stall", "Stall"],
    "twice": 4,
    "up_to": [0, 1],
}
NAMES = [(name, f"{name}{kind}") for name in EXPECTED for kind in ("", "_async")]


async def called(method: Any, *args: Any) -> Any:
    """What a call gives; of a generator, all that it yields."""
    value = method(*args)
    if method.is_generator:
        return await every(value)
    return await value if method.is_async else value


@pytest.mark.parametrize(("plain", "name"), NAMES, ids=[name for _, name in NAMES])
@pytest.mark.parametrize("how", ["call", "submit", "map"])
def test_every_kind_of_method_in_every_way(plain: str, name: str, how: str) -> None:
    method = getattr(Stall(3), name)

    async def body() -> Any:
        if how == "call":
            return [await called(method, 2)]
        if how == "submit":
            return [await method.submit(2)]
        return list(await method.map([2]))

    assert ASYNC.body(body) == [EXPECTED[plain]]


@pytest.mark.parametrize(("plain", "name"), [each for each in NAMES if "_async" not in each[1]], ids=str)
def test_through_the_class_an_instance_is_an_argument_and_a_class_is_not(plain: str, name: str) -> None:
    arguments = (Stall(3), 2) if plain.startswith("total") else (2,)

    @flow
    def calls() -> Any:
        value = getattr(Stall, name)(*arguments)
        return list(value) if isinstance(value, Generator) else value

    assert calls() == EXPECTED[plain]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("total", Task),
        ("kind_async", AsyncTask),
        ("totals", GeneratorTask),
        ("kinds", GeneratorTask),
        ("up_to_async", AsyncGeneratorTask),
    ],
)
def test_a_method_is_a_task_of_its_kind(name: str, kind: type[Any]) -> None:
    assert type(getattr(Shop(1), name)) is kind
    assert type(getattr(Shop, name)) is kind


@pytest.mark.parametrize("name", ["total", "totals", "total_async", "kind", "twice"])
def test_a_wrong_call_shows_what_has_to_be_given(name: str) -> None:
    with pytest.raises(ParameterBindError, match=r"\(count: 'int'\)"):
        getattr(Shop(1), name)()


# Classes and subclasses.


def test_a_method_that_is_overridden_can_call_the_one_above() -> None:
    class Dear(Shop):
        @task
        def total(self, count: int) -> int:
            above: int = super().total(count)
            return above + 1

        @task
        def totals(self, count: int) -> Generator[int]:
            yield from super().totals(count)
            yield -1

    dear = Dear(3)
    assert dear.total(2) == 7
    assert list(dear.totals(2)) == [0, 3, -1]


def test_a_plain_method_can_be_overridden_by_a_task_and_a_task_by_a_plain_method() -> None:
    class Plain:
        def name(self) -> str:
            return "plain"

    class Tasked(Plain):
        @task
        def name(self) -> str:
            return f"{super().name()} task"

    class Again(Tasked):
        def name(self) -> str:
            return f"{super().name()} again"

    assert Again().name() == "plain task again"


def test_classes_without_a_dictionary_or_a_hash_have_methods_too() -> None:
    @attrs.define(eq=True)
    class Box:
        size: int

        @task
        def double(self) -> int:
            return 2 * self.size

    box = Box(2)
    with pytest.raises(TypeError):
        hash(box)
    assert box.double() == 4
    assert box.double == box.double
    assert box.double != Box(2).double  # equal, and not the same


def test_a_task_that_an_instance_holds_is_no_method() -> None:
    @task
    def one(x: int) -> int:
        return x

    class Holder:
        def __init__(self) -> None:
            self.one = one

    assert Holder().one is one
    assert Holder().one(1) == 1


def test_what_is_no_method_as_a_function_is_none_as_a_task() -> None:
    class Machine:
        add = task(functools.partial(lambda a, b: a + b, 1))

    assert Machine().add(2) == 3


def test_a_method_may_be_made_a_task_for_one_instance() -> None:
    class Plain:
        price = 3

        def total(self, count: int) -> int:
            return self.price * count

    plain = Plain()
    total = task(name="of this one")(plain.total)
    assert total(2) == 6
    assert total.name == "of this one"


# What all bound copies share.


def test_hooks_that_are_added_to_the_class_or_to_an_instance_are_those_of_all() -> None:
    seen: list[str] = []

    class Hooked:
        @task
        def works(self) -> None: ...

    first, second = Hooked(), Hooked()
    bound = first.works

    Hooked.works.on_completion(lambda *_: seen.append("class"))
    second.works.on_completion(lambda *_: seen.append("instance"))
    bound()
    assert seen == ["class", "instance"]


def test_options_may_be_changed_on_the_class_and_on_an_instance() -> None:
    names: list[str] = []

    class Named:
        @task
        def works(self, x: int) -> int:
            names.append(this_run().name)
            return x

        renamed = works.with_options(task_run_name="renamed {x}")

    assert Named().renamed(1) == 1
    assert Named().works.with_options(task_run_name="bound {x}")(2) == 2
    assert names == ["renamed 1", "bound 2"]


def test_options_of_class_methods_may_be_changed() -> None:
    changed = Stall.kind.with_options(name="other")
    assert changed(1) == "Stall"
    assert changed.name == "other"

    class Other(Shop):
        kind = Shop.__dict__["kind"].with_options(name="mine")

    assert Other.kind(1) == "Other"
    assert Other.kind.name == "mine"


def test_the_key_of_a_method_is_that_of_its_function() -> None:
    assert Shop(1).total.task_key == Shop.total.task_key == Stall(2).total.task_key
    assert Shop.total.task_key != Shop.twice.task_key
    assert Shop.total.task_key.startswith("total-")


def test_calls_of_a_method_on_one_instance_are_counted_together_and_leave_one_entry() -> None:
    runs: list[TaskRun] = []

    class Counted:
        @task
        def works(self) -> None:
            runs.append(this_run())

    @flow
    def calls() -> Any:
        one, other = Counted(), Counted()
        for _ in range(20):
            one.works()
            other.works()
        return len(this_flow().sites())

    assert calls() == 2
    assert sorted(run.key for run in runs) == sorted([*range(20)] * 2)


def test_an_instance_is_not_kept_when_its_flow_has_ended() -> None:
    seen: list[weakref.ref[Any]] = []

    class Kept:
        @task
        def works(self) -> None: ...

        @task
        def yields(self) -> Generator[int]:
            yield 1

    @flow
    def calls() -> None:
        kept = Kept()
        seen.append(weakref.ref(kept))
        kept.works()
        kept.works.submit().wait()
        list(kept.yields())
        next(kept.yields())

    calls()
    gc.collect()
    assert seen[0]() is None


# Inside of a run.


def test_the_instance_is_no_input(world: World) -> None:
    seen: list[Any] = []

    class Holder(list[Any]):
        """Iterable, and holds a future: neither is looked at."""

        @world.task
        def looks(self, x: int) -> None:
            context = TaskRunContext.get()
            assert context is not None
            seen.append((list(self), context.parameters["x"], context.task_run.task_inputs["x"]))

    @world.task
    def one() -> int:
        return 1

    async def body() -> Any:
        future = one.submit()
        await world.result(future)
        holder = Holder([future])
        await world.result(holder.looks.map([5, 6]))
        return quote(future)

    future = world.body(body).unquote()
    assert sorted(seen, key=lambda each: each[1]) == [([future], 5, []), ([future], 6, [])]


def test_methods_of_other_instances_may_be_called_inside(world: World) -> None:
    class Node:
        def __init__(self, value: int, below: Any = None) -> None:
            self.value = value
            self.below = below

        @world.task
        async def total(self) -> Any:
            if self.below is None:
                return self.value
            total = self.below.total()
            return self.value + (await total if world.async_tasks else total)

    async def body() -> Any:
        return await world.call(Node(1, Node(2, Node(3))).total)

    assert world.body(body) == 6


def test_the_options_of_calls_mean_what_they_mean(world: World) -> None:
    class Flaky:
        attempts = 0

        @world.task(retries=1)
        def works(self) -> int:
            self.attempts += 1
            if self.attempts < 2:
                raise Broken
            return self.attempts

        @world.task
        def fails(self) -> None:
            raise Broken

    async def body() -> Any:
        flaky = Flaky()
        first = flaky.works.submit()
        await world.result(first)
        failed = await world.call(flaky.fails, return_state=True, wait_for=[first])
        return [await world.result(first), quote(failed.name)]

    attempts, name = world.body(body)
    assert (attempts, name.unquote()) == (2, "Failed")


def test_a_method_of_a_flow_run_in_sync_code() -> None:
    shop = Shop(3)

    async def body() -> Any:
        return [shop.total_async(2), await SYNC.result(shop.total_async.submit(3))]

    assert SYNC.body(body) == [6, 9]
