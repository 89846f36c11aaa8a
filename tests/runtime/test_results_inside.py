"""Results that hold states and futures: they are resolved in an argument as if they stood in it themselves."""

# pyright: reportUnknownLambdaType=false
# Lambdas stand in for code of users, who annotate none.

from __future__ import annotations

from typing import Any

import attrs
import pytest

from millrace import (
    Completed,
    Engine,
    Failed,
    Future,
    InputResolutionError,
    State,
    UpstreamTaskError,
    allow_failure,
    opaque,
    quote,
)
from millrace.runtime.inputs import Inputs
from tests.runtime.worlds import World


def done(value: Any) -> State[Any]:
    return Completed(data=value)


def broken(*others: Any) -> State[Any]:
    """Failed by itself; or because of these others."""
    return Failed(data=[*others] if others else ValueError("broken"))


@attrs.frozen
class Point:
    x: Any
    y: Any = 0


def shown(value: Any) -> Any:
    """A value as plain data, with exceptions and states to be told apart."""
    if isinstance(value, State):
        return value.type.value, shown(value.data)
    if isinstance(value, BaseException):
        return repr(value)
    if isinstance(value, (list, tuple)):
        return type(value)(shown(each) for each in value)
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    return value


def given_to_a_task(world: World, argument: Any) -> Any:
    @world.task
    def take(value: Any) -> Any:
        return quote(value)  # handed back as it is, whatever it is

    async def body() -> Any:
        return await world.result(take.submit(argument))

    return world.body(body).unquote()


def given_to_a_subflow(world: World, argument: Any) -> Any:
    @world.flow
    def take(value: Any) -> Any:
        return quote(value)

    async def body() -> Any:
        return await world.call(take, argument)

    return world.body(body).unquote()


CASES = {
    "a list": (done([done(1), 2]), [1, 2]),
    "a tuple": (done((done(1), 2)), (1, 2)),
    "a dict": (done({"a": done(1)}), {"a": 1}),
    "an attrs class": (done(Point(done(1))), Point(1)),
    "far inside": (done({"a": [(done([done(1)]), 2)]}), {"a": [([1], 2)]}),
    "one in a collection": ([done([done(1)]), 2], [[1], 2]),
    "results of results": (done([done([done([done(1)])])]), [[[1]]]),
    "a result that is a state": (done(done(1)), ("COMPLETED", 1)),
    "a result that is a state, inside another result": (done([done(done(1))]), [("COMPLETED", 1)]),
    "opaque": (opaque(done([done(1)])), [("COMPLETED", 1)]),
    "opaque inside a result": (done([opaque(done([done(1)]))]), [[("COMPLETED", 1)]]),
    "quoted inside a result": (done([quote(done(1))]), [("COMPLETED", 1)]),
    "failures that are allowed": (allow_failure(done([broken(), 1])), ["ValueError('broken')", 1]),
    "a failure that is allowed there": (done([allow_failure(broken())]), ["ValueError('broken')"]),
    "a failure because of others": (allow_failure(broken(done(1), broken())), [1, "ValueError('broken')"]),
    "a failure with other data": (allow_failure(broken(1, 2)), [1, 2]),
    "nothing to resolve": (done([1, {"a": 2}]), [1, {"a": 2}]),
}


@pytest.mark.parametrize("how", CASES)
def test_states_in_results_are_resolved_for_a_task(world: World, how: str) -> None:
    argument, expected = CASES[how]
    assert shown(given_to_a_task(world, argument)) == expected


@pytest.mark.parametrize("how", CASES)
def test_states_in_results_are_resolved_for_a_subflow(world: World, how: str) -> None:
    argument, expected = CASES[how]
    assert shown(given_to_a_subflow(world, argument)) == expected


@pytest.mark.parametrize("what", ["states", "futures", "a map", "a dict of futures"])
def test_what_a_subflow_returned_gives_values(world: World, what: str) -> None:
    @world.task
    def tell(x: Any) -> Any:
        return x

    @world.task
    def take(value: Any) -> Any:
        return value

    @world.flow
    async def inner() -> Any:
        futures = [tell.submit(1), tell.submit(2)]
        if what == "states":
            return [await world.ended(each) for each in futures]
        if what == "a map":
            return tell.map([1, 2])
        return futures if what == "futures" else {"a": futures}

    async def body() -> Any:
        given = await world.call(inner, return_state=True)
        return await world.result(take.submit(given)), await world.result(take.map([given]))

    expected = {"a": [1, 2]} if what == "a dict of futures" else [1, 2]
    assert world.body(body) == (expected, [expected])


def test_futures_that_have_ended_in_the_result_of_a_task_give_values(world: World) -> None:
    @world.task
    def tell(x: Any) -> Any:
        return x

    async def body() -> Any:
        futures = tell.map([1, 2])
        await world.ended(futures)
        first = world.task(lambda: {"a": futures}, name="first").submit()
        await world.ended(first)
        return await world.result(tell.submit(first))

    assert world.body(body) == {"a": [1, 2]}


# What stays.


def test_a_result_in_which_nothing_is_replaced_is_the_same_object(world: World) -> None:
    value = {"a": [1, (2, Point(3))]}
    assert given_to_a_task(world, done(value)) is value
    assert given_to_a_subflow(world, done(value)) is value


def test_parts_in_which_nothing_is_replaced_are_the_same_objects(world: World) -> None:
    kept = [1, 2]
    found = given_to_a_task(world, done([kept, done(3)]))
    assert found == [kept, 3]
    assert found[0] is kept


def test_a_result_is_the_same_object_wherever_it_stands(world: World) -> None:
    state = done([done(1)])
    first, (second, third) = given_to_a_task(world, [state, done((state, state))])
    assert first == [1]
    assert first is second is third


def test_the_data_of_the_state_are_left_alone(world: World) -> None:
    inner = done(1)
    outer = done([inner])
    assert given_to_a_task(world, outer) == [1]
    assert outer.data == [inner]


def test_a_state_inside_itself_is_an_error_that_names_the_parameter(world: World) -> None:
    data: list[Any] = []
    data.append(done(data))
    with pytest.raises(InputResolutionError, match=r"'value'.*nested too deeply"):
        given_to_a_task(world, data[0])


def test_a_future_of_another_engine_in_a_result_stays_a_future(world: World) -> None:
    @world.task
    def tell(x: Any) -> Any:
        return x

    theirs: list[Future[Any]] = []

    async def other() -> None:
        theirs.append(tell.submit(1))

    engine = Engine()
    world.body(other, engine=engine)
    engine.close()
    assert theirs[0].done()
    assert given_to_a_task(world, done([theirs[0]])) == [1]


# Failures.


def test_a_subflow_does_not_start_where_something_in_a_result_failed(world: World) -> None:
    with pytest.raises(UpstreamTaskError, match=r"^Upstream task run 'a state made by hand' did not complete"):
        given_to_a_subflow(world, done({"a": [broken()]}))


def test_a_dependency_without_data_is_not_looked_into(world: World) -> None:
    @world.task
    def take(value: Any) -> Any:
        return value

    async def body() -> Any:
        return await world.result(take.submit(1, wait_for=[done([broken()])]))

    assert world.body(body) == 1


def test_what_is_opaque_in_one_place_is_looked_into_in_another(world: World) -> None:
    state = done([done(1)])
    for argument in ([opaque(state), state], [state, opaque(state)]):
        assert given_to_a_task(world, argument) == [[1], [1]]


def test_what_is_found_in_results_is_not_recorded_as_a_dependency(world: World) -> None:
    @world.task
    def tell(x: Any) -> Any:
        return x

    async def body() -> Any:
        futures = tell.map([1, 2])
        await world.ended(futures)
        first = world.task(lambda: [*futures], name="first").submit()
        second = tell.submit(first)
        await world.ended(second)
        return second.source.task_inputs["x"], [first.source.reference]

    found, expected = world.body(body)
    assert found == expected


# What it costs.


def test_dependencies_are_recorded_once_and_without_comparing_each_with_each() -> None:
    compared = 0

    @attrs.define(eq=False)
    class Reference:
        number: int

        def __eq__(self, other: object) -> bool:
            nonlocal compared
            compared += 1
            return isinstance(other, Reference) and other.number == self.number

        def __hash__(self) -> int:
            return hash(self.number)

    inputs = Inputs()
    for number in range(1000):
        for _ in range(2):
            inputs.add("x", Reference(number))  # type: ignore[arg-type]
    assert inputs.sources["x"] == [Reference(number) for number in range(1000)]
    assert compared < 5000
