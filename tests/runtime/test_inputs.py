"""Inputs: futures and states among the arguments become results before the body runs."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Lambdas stand in for code of users, who annotate none.

from __future__ import annotations

import copy
import dataclasses
from collections import Counter, OrderedDict, defaultdict, namedtuple
from collections.abc import Callable, Iterator
from concurrent.futures import Future as Promise
from enum import Enum
from threading import Lock
from typing import Any, NamedTuple
from unittest.mock import MagicMock
from uuid import UUID

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace import (
    Completed,
    Engine,
    FlowRunContext,
    ForeignFuture,
    Future,
    InputResolutionError,
    UnfinishedRun,
    allow_failure,
    flow,
    opaque,
    quote,
    task,
    unmapped,
)
from tests.runtime.worlds import PATIENCE, World


class Broken(Exception):
    pass


@task
def one() -> int:
    return 1


@task
def one_of(x: Any) -> Any:
    return x


@task
def broken() -> int:
    raise Broken("as ever")


@attrs.define
class Point:
    x: Any
    y: Any = None


@attrs.frozen
class Frozen:
    x: Any
    _private: Any = None


@dataclasses.dataclass
class Pair:
    a: Any
    b: Any = 0


@dataclasses.dataclass(frozen=True, slots=True)
class Tight:
    a: Any
    b: Any = 3


@dataclasses.dataclass
class Later:
    a: Any
    later: Any = dataclasses.field(init=False)


class Named(NamedTuple):
    left: Any
    right: Any = 2


Classic = namedtuple("Classic", ["only"])  # noqa: PYI024  # pyright: ignore[reportUntypedNamedTuple]


class Titled(list[Any]):
    """A list whose constructor takes something else."""

    def __init__(self, title: str) -> None:
        super().__init__()
        self.title = title


def given_to_a_task(world: World, make: Any) -> Any:
    """What a task is given when a value is passed to it that is made with `f`, a future of 1."""
    tell = world.task(one.fn)

    @world.task
    def take(value: Any) -> Any:
        return quote(value)  # handed back as it is, whatever it is

    async def body() -> Any:
        return await world.result(take.submit(make(tell.submit())))

    return world.body(body).unquote()


# Where is looked.


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        pytest.param(lambda f: f, 1, id="the argument itself"),
        pytest.param(lambda f: [f, 2], [1, 2], id="a list"),
        pytest.param(lambda f: (f, 2), (1, 2), id="a tuple"),
        pytest.param(lambda f: {f, 2}, {1, 2}, id="a set"),
        pytest.param(lambda f: frozenset({f, 2}), frozenset({1, 2}), id="a frozenset"),
        pytest.param(lambda f: {"a": f}, {"a": 1}, id="values of a dict"),
        pytest.param(lambda f: {f: "a"}, {1: "a"}, id="keys of a dict"),
        pytest.param(lambda f: OrderedDict(z=f, a=2), OrderedDict(z=1, a=2), id="an ordered dict"),
        pytest.param(lambda f: Point(f, [f]), Point(1, [1]), id="an attrs class"),
        pytest.param(lambda f: Frozen(f, f), Frozen(1, 1), id="a frozen attrs class with a private field"),
        pytest.param(lambda f: Pair(f, {"k": f}), Pair(1, {"k": 1}), id="a dataclass"),
        pytest.param(Tight, Tight(1), id="a frozen dataclass with slots"),
        pytest.param(Named, Named(1, 2), id="a named tuple"),
        pytest.param(Classic, Classic(1), id="a named tuple of collections"),
        pytest.param(lambda f: [[[[[f]]]]], [[[[[1]]]]], id="a list in a list"),
        pytest.param(
            lambda f: [{"a": (Point({f}), Pair([Named(f)]))}],
            [{"a": (Point({1}), Pair([Named(1)]))}],
            id="all of them at once",
        ),
    ],
)
def test_futures_are_replaced_in(world: World, make: Any, expected: Any) -> None:
    found = given_to_a_task(world, make)
    assert found == expected
    assert type(found) is type(expected)


def test_they_are_replaced_at_great_depth(world: World) -> None:
    def nested(f: Any) -> Any:
        value = f
        for _ in range(200):
            value = [value]
        return value

    found = given_to_a_task(world, nested)
    for _ in range(200):
        (found,) = found
    assert found == 1


def test_they_are_replaced_in_keyword_arguments_and_in_those_that_are_collected(world: World) -> None:
    tell = world.task(one.fn)

    @world.task
    def take(first: Any, *rest: Any, named: Any = None, **more: Any) -> Any:
        return first, rest, named, more

    async def body() -> Any:
        f = tell.submit()
        return await world.result(take.submit(f, [f], 2, named={"a": f}, extra=(f,)))

    assert world.body(body) == (1, ([1], 2), {"a": 1}, {"extra": (1,)})


def test_a_list_of_futures_becomes_a_plain_list(world: World) -> None:
    tell = world.task(lambda x: x, name="tell")

    @world.task
    def take(value: Any) -> Any:
        return type(value), value

    async def body() -> Any:
        return await world.result(take.submit(tell.map(range(3))))

    assert world.body(body) == (list, [0, 1, 2])


def test_other_collections_keep_their_type_and_what_else_they_have(world: World) -> None:
    def make(f: Any) -> Any:
        titled = Titled("kept")
        titled.append(f)
        counted = defaultdict(list, {"a": f})
        return [titled, counted, Counter({f: 3})]

    titled, counted, counter = given_to_a_task(world, make)
    assert isinstance(titled, Titled)
    assert titled.title == "kept"
    assert titled == [1]
    assert counted == {"a": 1}
    assert counted["new"] == []
    assert counter == Counter({1: 3})


def test_a_field_without_a_value_stays_without_one(world: World) -> None:
    found = given_to_a_task(world, lambda f: Later([f]))
    assert found.a == [1]
    assert not hasattr(found, "later")


def test_the_callers_objects_are_never_changed(world: World) -> None:
    tell = world.task(one.fn)

    @world.task
    def take(value: Any) -> Any:
        return value

    async def body() -> None:
        f = tell.submit()
        inner = [f]
        value = {"a": inner, "b": Point(f), "c": Pair(f)}
        await world.result(take.submit(value))
        assert value["a"] is inner
        assert inner == [f]
        assert value["b"] == Point(f)
        assert value["c"] == Pair(f)

    world.body(body)


def test_states_are_replaced_like_futures(world: World) -> None:
    tell = world.task(one.fn)

    @world.task
    def take(value: Any) -> Any:
        return value

    async def body() -> Any:
        state = await world.call(tell, return_state=True)
        by_hand = Completed(data="made by hand")
        return await world.call(take, [state, {"a": by_hand}])

    assert world.body(body) == [1, {"a": "made by hand"}]


def test_they_are_replaced_in_direct_calls(world: World) -> None:
    @world.task
    def take(value: Any) -> Any:
        return value

    tell = world.task(one.fn)

    async def body() -> Any:
        f = tell.submit()
        await world.result(f)
        return await world.call(take, {"a": [f]})

    assert world.body(body) == {"a": [1]}


def test_they_are_replaced_in_the_items_of_a_map(world: World) -> None:
    @world.task
    def take(value: Any, whole: Any) -> Any:
        return value, whole

    tell = world.task(one.fn)

    async def body() -> Any:
        f = tell.submit()
        return await world.result(take.map([[f], {"a": f}, 3], unmapped((f, f))))

    assert world.body(body) == [([1], (1, 1)), ({"a": 1}, (1, 1)), (3, (1, 1))]


def test_they_are_replaced_in_the_parameters_of_subflows(world: World) -> None:
    tell = world.task(one.fn)

    @world.flow
    async def inner(value: Any, *, named: Any) -> Any:
        return value, named

    async def body() -> Any:
        f = tell.submit()
        state = await world.ended(f)
        return await world.call(inner, [f, Point(state)], named={"a": f})

    assert world.body(body) == ([1, Point(1)], {"a": 1})


# Identity.


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(list, id="an empty list"),
        pytest.param(lambda: [1, [2, {"a": 3}]], id="a list"),
        pytest.param(lambda: {"a": [1, 2]}, id="a dict"),
        pytest.param(lambda: {1, 2}, id="a set"),
        pytest.param(lambda: (object(), object()), id="a tuple"),
        pytest.param(lambda: Point([1]), id="an attrs class"),
        pytest.param(lambda: Pair([1]), id="a dataclass"),
        pytest.param(lambda: Titled("kept"), id="a list of another type"),
        pytest.param(object, id="an object"),
        pytest.param(Lock, id="a lock"),
        pytest.param(lambda: (each for each in "abc"), id="a generator"),
        pytest.param(MagicMock, id="a mock"),
        pytest.param(lambda: Point, id="a class"),
        pytest.param(lambda: ValueError("x"), id="an exception"),
        pytest.param(lambda: lambda: None, id="a function"),
    ],
)
@pytest.mark.parametrize("how", ["submit", "call", "map", "beside a future"])
def test_objects_that_hold_no_future_are_passed_as_they_are(make: Any, how: str) -> None:
    seen: list[Any] = []

    @task
    def take(value: Any, _other: Any = None) -> None:
        seen.append(value)

    value = make()

    @flow
    def body() -> None:
        if how == "submit":
            take.submit(value).wait()
        elif how == "call":
            take(value)
        elif how == "map":
            take.map([value]).wait()
        else:
            take.submit(value, [one.submit()]).wait()

    body()
    assert len(seen) == 1
    assert seen[0] is value


def test_parts_that_hold_no_future_are_the_same_objects_in_the_copy(world: World) -> None:
    plain, box = [1, 2], Point([3])
    found = given_to_a_task(world, lambda f: {"a": plain, "b": [f, box], "c": (plain, f)})
    assert found["a"] is plain
    assert found["b"][1] is box
    assert found["c"][0] is plain


def test_a_part_that_stands_in_two_places_is_one_part_in_the_copy_too(world: World) -> None:
    def make(f: Any) -> Any:
        shared = [f]
        return [shared, {"again": shared}]

    found = given_to_a_task(world, make)
    assert found == [[1], {"again": [1]}]
    assert found[0] is found[1]["again"]


def test_results_are_handed_over_and_not_copied(world: World) -> None:
    result = [object()]

    @world.task
    def make() -> Any:
        return result

    @world.task
    def take(value: Any) -> bool:
        return value is result

    async def body() -> Any:
        return await world.result(take.submit(make.submit()))

    assert world.body(body) is True


def test_a_structure_that_shares_much_is_looked_into_once() -> None:
    looks = []

    class Counted(list[Any]):
        def __iter__(self) -> Iterator[Any]:
            looks.append(1)
            return super().__iter__()

    @flow
    def body() -> Any:
        value: Any = Counted([one.submit()])
        for _ in range(60):  # as a tree it would have 2 ** 60 leaves
            value = [value, value]
        return task(name="take")(lambda value: value[0] is value[1]).submit(value).result(timeout=PATIENCE)

    assert body() is True
    assert len(looks) <= 4


# Structures that hold themselves.


def test_a_list_inside_itself_is_passed_as_it_is_where_it_holds_no_future(world: World) -> None:
    value: list[Any] = [1]
    value.append(value)
    assert given_to_a_task(world, lambda _f: value) is value


def test_a_list_inside_itself_that_holds_a_future_is_copied_as_one_inside_itself(world: World) -> None:
    def make(f: Any) -> Any:
        value: list[Any] = [f]
        value.append(value)
        return value

    found = given_to_a_task(world, make)
    assert found[0] == 1
    assert found[1] is found


def test_every_kind_of_collection_may_be_on_the_way_round(world: World) -> None:
    untouched = [[0]]

    def make(f: Any) -> Any:
        # None of these holds the future but through the one before it, all the way round.
        ring: dict[str, Any] = {"f": [f], "rest": untouched}
        point = Point(ring)
        pair = Pair((point, Frozen(point)))
        ring["round"] = [Named(pair), frozenset({1}), quote(2), {"pair": pair}]
        return (ring, pair)

    ring, pair = given_to_a_task(world, make)
    assert ring["f"] == [1]
    assert ring["rest"] is untouched
    named, frozen, quoted, holder = ring["round"]
    assert isinstance(named, Named)
    assert named.left is pair
    assert holder["pair"] is pair
    assert (frozen, quoted) == (frozenset({1}), 2)
    point, other = pair.a
    assert point.x is ring
    assert other.x is point


def test_a_tuple_inside_itself_is_copied_too(world: World) -> None:
    def make(f: Any) -> Any:
        inner: list[Any] = [f]
        value = (inner,)
        inner.append(value)
        return value

    found = given_to_a_task(world, make)
    assert found[0][0] == 1
    assert found[0][1] is found


def test_runs_and_their_contexts_are_things_and_not_collections(world: World) -> None:
    @world.task
    def take(run: Any) -> str:
        return str(run.name)

    tell = world.task(one.fn)

    async def body() -> None:
        context = FlowRunContext.get()
        assert context is not None
        run = context.flow_run
        assert await world.result(take.submit(run)) == run.name
        done = tell.submit()
        await world.ended(done)
        task_run = done.source
        assert await world.result(take.submit(task_run)) == task_run.name
        assert take.submit([task_run]).source.task_inputs == {"run": []}

    world.run(world.flow(body), return_state=True)


# What goes wrong.


class Shy:
    """Raises when it is looked into."""

    def items(self) -> Any:
        raise Broken("not in there")


class ShyDict(Shy, dict[str, Any]):
    pass


@dataclasses.dataclass
class Moody:
    x: Any = None

    def __getattribute__(self, name: str) -> Any:
        if name == "x":
            raise Broken("not today")
        return super().__getattribute__(name)


@pytest.mark.parametrize("how", ["submit", "call"])
@pytest.mark.parametrize("shy", [ShyDict(), Moody()], ids=["a dict", "a dataclass"])
def test_an_argument_that_cannot_be_looked_into_is_an_error_that_names_the_parameter(
    world: World, how: str, shy: Any
) -> None:
    ran: list[Any] = []

    @world.task
    def take(_first: Any, value: Any) -> None:
        ran.append(value)

    async def body() -> None:
        with pytest.raises(InputResolutionError, match=r"^Could not look inside parameter 'value'") as caught:
            await world.start(how, take, 1, value={"a": [shy]})
        assert "Wrap it in quote(...) to pass it as it is." in str(caught.value)
        assert f"looking into a {type(shy).__name__} raised Broken" in str(caught.value)
        assert isinstance(caught.value.__cause__, Broken)
        assert caught.value.parameter == "value"

    world.body(body)
    assert ran == []


def test_quoted_it_is_passed_as_it_is(world: World) -> None:
    shy = ShyDict()
    assert given_to_a_task(world, lambda _f: quote(shy)) is shy


def test_one_that_cannot_be_copied_fails_the_run_with_an_error_that_names_the_parameter(world: World) -> None:
    class Rigid(tuple[Any, ...]):
        __slots__ = ()

        def __new__(cls, first: Any, second: Any) -> Any:
            return super().__new__(cls, (first, second))

    tell = world.task(one.fn)

    @world.task
    def take(value: Any) -> Any:
        return value

    async def body() -> None:
        f = tell.submit()
        error = await world.error(take.submit(value=[Rigid(f, 2)]))
        assert isinstance(error, InputResolutionError)
        assert str(error).startswith("Could not look inside parameter 'value'")
        assert "making a Rigid with the results in it raised TypeError" in str(error)
        unhashable = world.task(lambda: [1], name="unhashable").submit()
        assert isinstance(await world.error(take.submit({unhashable})), InputResolutionError)

    world.body(body)


def test_one_that_is_nested_too_deeply_is_an_error_that_names_the_parameter(world: World) -> None:
    value: list[Any] = []
    for _ in range(100_000):
        value = [value]

    @world.task
    def take(value: Any) -> bool:
        return isinstance(value, list)

    async def body() -> Any:
        with pytest.raises(InputResolutionError, match=r"parameter 'value' .* nested too deeply"):
            take.submit(value)
        return await world.result(take.submit(quote(value)))

    assert world.body(body) is True
    while value:  # taken apart by hand: freeing it at once may recurse as deeply
        value = value.pop()


def test_a_future_of_another_engine_is_an_error(world: World) -> None:
    elsewhere = Engine()
    foreign = elsewhere.start(flow(one.fn))
    foreign.wait(PATIENCE)

    @world.task
    def take(value: Any) -> Any:
        return value

    async def body() -> None:
        with pytest.raises(ForeignFuture):
            take.submit([foreign])

    world.body(body)
    elsewhere.close()


@pytest.mark.parametrize("how", ["submit", "map", "call", "wait_for", "subflow"])
def test_a_future_of_an_engine_that_was_closed_is_an_error_and_its_result_is_still_there(how: str) -> None:
    with Engine():
        left = one.submit()
        assert left.wait(PATIENCE)
    used: dict[str, Callable[[], object]] = {
        "submit": lambda: one_of.submit(left),
        "map": lambda: one_of.map([left]).result(PATIENCE),
        "call": lambda: one_of({"deep": [left]}),
        "wait_for": lambda: one_of.submit(1, wait_for=[left]),
        "subflow": lambda: flow(one_of.fn)(left),
    }

    @flow
    def body() -> Any:
        with pytest.raises(ForeignFuture, match=rf"^Future '{left.name}' belongs to another engine or to one that is"):
            used[how]()
        return one_of(left.result())

    with Engine() as engine:
        assert body() == 1
        assert engine.stats().task_runs == engine.stats().flow_runs == 0


# Annotations.


def test_annotations_are_taken_off(world: World) -> None:
    for annotation in (allow_failure, quote, opaque, unmapped):
        found = given_to_a_task(world, lambda _f, wrap=annotation: [wrap("x"), {"a": wrap([1])}])
        assert found == ["x", {"a": [1]}]


def test_quote_stops_the_search_inside(world: World) -> None:
    seen: list[Any] = []

    def make(f: Any) -> Any:
        seen.append(f)
        return [f, quote([f]), quote(f)]

    found = given_to_a_task(world, make)
    assert found[0] == 1
    assert found[1] == [seen[0]]
    assert found[2] is seen[0]


def test_what_is_quoted_is_not_waited_for(world: World) -> None:
    gate = world.gate()

    @world.task
    async def late() -> None:
        await gate.passed()

    @world.task
    def take(value: Any) -> bool:
        return bool(value.done())

    async def body() -> Any:
        f = late.submit()
        done = await world.result(take.submit(quote(f)))
        gate.open()
        return done

    assert world.body(body) is False


def test_opaque_resolves_a_future_itself_and_does_not_look_inside_what_is_given_to_it(world: World) -> None:
    seen: list[Any] = []

    def make(f: Any) -> Any:
        seen.append(f)
        return [opaque(f), opaque([f])]

    first, second = given_to_a_task(world, make)
    assert first == 1
    assert second == seen
    shy = ShyDict()
    assert given_to_a_task(world, lambda _f: opaque(shy)) is shy


def test_opaque_resolves_a_state_itself(world: World) -> None:
    assert given_to_a_task(world, lambda _f: opaque(Completed(data=5))) == 5


def test_allow_failure_lets_a_failed_upstream_through_as_its_exception(world: World) -> None:
    fail = world.task(broken.fn)

    @world.task
    def take(value: Any) -> Any:
        return quote(value)

    async def body() -> None:
        failed = fail.submit()
        for make in (
            allow_failure,
            lambda f: [allow_failure([f])],
            lambda f: allow_failure({"a": [f]}),
            lambda f: allow_failure(f.state),
        ):
            await world.ended(failed)
            found = (await world.result(take.submit(make(failed)))).unquote()
            while not isinstance(found, BaseException):
                found = found["a"] if isinstance(found, dict) else found[0]
            assert isinstance(found, Broken)

    world.body(body)


def test_allow_failure_gives_the_result_of_one_that_did_not_fail(world: World) -> None:
    assert given_to_a_task(world, lambda f: [allow_failure(f), 2]) == [1, 2]


def test_allow_failure_lets_one_through_that_never_started_because_of_a_failure(world: World) -> None:
    fail, tell = world.task(broken.fn), world.task(lambda x: x, name="tell")

    @world.task
    def take(value: Any) -> Any:
        return type(value)

    async def body() -> Any:
        failed = fail.submit()
        skipped = tell.submit(failed)
        taken = await world.result(take.submit(allow_failure(skipped)))
        await world.error(failed)
        return taken

    assert world.body(body) is UnfinishedRun


def test_allow_failure_lets_no_cancelled_one_through(world: World) -> None:
    gate = world.gate()

    @world.task
    async def late() -> None:
        await gate.passed()

    tell = world.task(lambda x: x, name="tell")

    async def body() -> Any:
        first = late.submit()
        never = tell.submit(1, wait_for=[first])
        never.cancel()
        state = await world.ended(tell.submit(allow_failure(never)))
        gate.open()
        return quote(state)

    assert world.body(body).unquote().name == "NotReady"


def test_the_same_future_with_and_without_it_has_to_complete(world: World) -> None:
    fail = world.task(broken.fn)

    @world.task
    def take(value: Any) -> Any:
        return value

    async def body() -> list[str]:
        failed = fail.submit()
        await world.error(failed)
        shared = [failed]
        states = [
            await world.ended(take.submit([allow_failure(failed), failed])),
            await world.ended(take.submit([failed, allow_failure(failed)])),
            await world.ended(take.submit([allow_failure(shared), shared])),
            await world.ended(take.submit([allow_failure(shared), allow_failure(shared)])),
        ]
        return [state.name for state in states]

    assert world.body(body) == ["NotReady", "NotReady", "NotReady", "Completed"]


def test_annotations_nest(world: World) -> None:
    fail = world.task(broken.fn)

    @world.task
    def take(value: Any) -> Any:
        return quote(value)

    async def body() -> None:
        failed = fail.submit()
        await world.error(failed)

        async def taken(value: Any) -> Any:
            return (await world.result(take.submit(value))).unquote()

        assert isinstance(await taken(allow_failure(opaque(failed))), Broken)
        assert isinstance(await taken(opaque(allow_failure(failed))), Broken)
        assert isinstance(await taken(unmapped(allow_failure(failed))), Broken)
        assert isinstance(await taken(allow_failure(unmapped([failed]))), list)
        assert await taken(allow_failure(quote(failed))) is failed
        assert await taken(opaque(quote(failed))) is failed
        assert await taken(quote(allow_failure(failed))) == allow_failure(failed)
        assert await taken(allow_failure(opaque([failed]))) == [failed]

    world.body(body)


# Random structures.


class Colour(Enum):
    RED = 1


LEAVES = (
    st.integers()
    | st.text(max_size=3)
    | st.none()
    | st.booleans()
    | st.binary(max_size=3)
    | st.sampled_from([Colour.RED, Colour, object, 1.5, range(3)])
)


@attrs.frozen
class Placeholder:
    """Stands where a future is to stand."""

    name: str


FUTURES = st.sampled_from(["<f0>", "<f1>", "<f2>"]).map(Placeholder)


def containers(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return (
        st.lists(inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
        | st.dictionaries(st.text(max_size=2), inner, max_size=3)
        | inner.map(Point)
        | inner.map(Frozen)
        | inner.map(Pair)
        | inner.map(Named)
    )


def filled(value: Any, fill: Any) -> Any:  # noqa: PLR0911  # one for each kind of structure
    """The value with `fill(name)` for each placeholder."""
    if isinstance(value, Placeholder):
        return fill(value.name)
    if isinstance(value, Named):
        return Named(*[filled(each, fill) for each in value])
    if isinstance(value, (list, tuple)):
        return type(value)(filled(each, fill) for each in value)
    if isinstance(value, dict):
        return {key: filled(each, fill) for key, each in value.items()}
    if isinstance(value, Pair):
        return Pair(filled(value.a, fill), filled(value.b, fill))
    if isinstance(value, Point):
        return Point(filled(value.x, fill), filled(value.y, fill))
    if isinstance(value, Frozen):
        return Frozen(filled(value.x, fill))
    return value


def parts(value: Any) -> Iterator[Any]:
    """A structure and everything inside it."""
    yield value
    if isinstance(value, (list, tuple)):
        items = list(value)
    elif isinstance(value, dict):
        items = list(value.values())
    elif isinstance(value, Point):
        items = [value.x, value.y]
    elif isinstance(value, Frozen):
        items = [value.x]
    elif isinstance(value, Pair):
        items = [value.a, value.b]
    else:
        items = []
    for item in items:
        yield from parts(item)


@pytest.fixture(scope="module")
def resolved() -> Iterator[Any]:
    """Passes a structure to a task that runs, in one flow for all examples; with futures of 100, 101 and 102."""
    engine = Engine()
    made = {f"<f{number}>": _kept(100 + number) for number in range(3)}

    def pass_through(value: Any) -> Any:
        given: list[Any] = []

        @task
        def take(value: Any) -> None:
            given.append(value)

        @flow
        def body() -> None:
            take.submit(value).result(timeout=PATIENCE)

        body()
        return given[0]

    yield made, pass_through
    engine.close()


def _kept(value: int) -> Future[int]:
    promise: Promise[int] = Promise()
    promise.set_result(value)
    return Future(promise, UUID(int=value))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(structure=st.recursive(LEAVES | FUTURES, containers, max_leaves=15))
def test_any_structure_is_resolved_everywhere_and_copied_nowhere_else(resolved: Any, structure: Any) -> None:
    futures, pass_through = resolved
    value = filled(structure, futures.__getitem__)
    expected = filled(structure, {name: 100 + number for number, name in enumerate(futures)}.__getitem__)
    before = copy.copy(value)
    found = pass_through(value)
    assert found == expected
    assert type(found) is type(expected)
    assert value == before
    if found is not value:
        assert any(isinstance(part, Future) for part in parts(value))
    else:
        assert not any(isinstance(part, Future) for part in parts(value))
    # Whatever holds no future is in it as the same object, in the same place.
    for old, new in zip(parts(value), parts(found), strict=True):
        if not any(isinstance(part, Future) for part in parts(old)):
            assert new is old
