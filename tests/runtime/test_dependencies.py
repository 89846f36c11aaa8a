"""Dependencies: what a run waits for, and how that is recorded per parameter."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Lambdas stand in for code of users, who annotate none.

from __future__ import annotations

import asyncio
import gc
import sys
from enum import Enum
from threading import Event
from typing import Any

import attrs
import pytest

from millrace import (
    BlockingCallOnLoop,
    ConfigurationError,
    FlowRunContext,
    FlowRunResult,
    Future,
    Running,
    TaskRunResult,
    allow_failure,
    flow,
    opaque,
    quote,
    task,
    unmapped,
)
from millrace.runtime.tracking import Tracker, trackable
from tests.runtime.worlds import PATIENCE, World


class Broken(Exception):
    pass


class Thing:
    """Something that may be held weakly."""


@attrs.define
class Box:
    content: Any


def result_of(future: Future[Any]) -> TaskRunResult:
    return TaskRunResult(future.task_run_id)


def inputs_of(future: Any) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = future.source.task_inputs
    return found


@attrs.frozen
class Kit:
    """Tasks for these tests."""

    make: Any
    take: Any


@pytest.fixture
def kit(world: World) -> Kit:
    """A task that returns what it is told to, and one that takes two arguments."""

    def make(value: Any) -> Any:
        return value() if callable(value) else value

    def take(a: Any = None, b: Any = None) -> Any:
        return a, b

    return Kit(world.task(make), world.task(take))


# By future and by state.


def test_a_future_is_recorded_for_the_parameter_it_was_given_to(world: World, kit: Kit) -> None:
    async def body() -> None:
        first, second = kit.make.submit(1), kit.make.submit(2)
        run = kit.take.submit(first, b=[second, {"a": first}])
        assert inputs_of(run) == {"a": [result_of(first)], "b": [result_of(second), result_of(first)]}
        await world.result(run)

    world.body(body)


def test_what_was_recorded_stays_after_the_end_of_the_run(world: World, kit: Kit) -> None:
    async def body() -> None:
        first = kit.make.submit(1)
        run = kit.take.submit(first)
        await world.result(run)
        assert inputs_of(run) == {"a": [result_of(first)], "b": []}

    world.body(body)


def test_a_run_that_depends_on_nothing_has_its_parameters_with_nothing_to_them(world: World, kit: Kit) -> None:
    async def body() -> None:
        run = kit.take.submit(1, [2])
        await world.result(run)
        assert inputs_of(run) == {"a": [], "b": []}

    world.body(body)


def test_one_future_that_stands_in_a_parameter_twice_is_recorded_once(world: World, kit: Kit) -> None:
    async def body() -> None:
        first = kit.make.submit(1)
        run = kit.take.submit([first, first, (first,)])
        assert await world.result(run) == ([1, 1, (1,)], None)
        assert inputs_of(run)["a"] == [result_of(first)]

    world.body(body)


def test_a_state_is_recorded(world: World, kit: Kit) -> None:
    async def body() -> None:
        first = kit.make.submit(1)
        state = await world.ended(first)
        run = kit.take.submit([state])
        assert inputs_of(run)["a"] == [result_of(first)]
        await world.result(run)

    world.body(body)


def test_the_state_of_a_flow_is_recorded_as_one(world: World, kit: Kit) -> None:
    @world.flow
    def inner() -> int:
        return 5

    async def body() -> None:
        state = await world.call(inner, return_state=True)
        run = kit.take.submit(state)
        assert await world.result(run) == (5, None)
        assert inputs_of(run)["a"] == [FlowRunResult(state.state_details.flow_run_id)]

    world.body(body)


def test_inside_annotations_futures_are_recorded_and_inside_quote_they_are_not(world: World, kit: Kit) -> None:
    async def body() -> None:
        first = kit.make.submit(1)
        for wrap in (allow_failure, opaque, unmapped):
            run = kit.take.submit(wrap(first))
            assert inputs_of(run)["a"] == [result_of(first)]
        assert inputs_of(kit.take.submit(quote(first)))["a"] == []
        assert inputs_of(kit.take.submit(opaque([first])))["a"] == []

    world.body(body)


def test_arguments_that_are_collected_are_recorded_under_the_name_that_collects_them(world: World, kit: Kit) -> None:
    @world.task
    def many(*args: Any, **kwargs: Any) -> None:
        pass

    async def body() -> None:
        first, second = kit.make.submit(1), kit.make.submit(2)
        run = many.submit(first, 0, second, named=first)
        await world.result(run)
        found = inputs_of(run)
        assert found["args"] == [result_of(first), result_of(second)]
        assert found["named"] == [result_of(first)]

    world.body(body)


def test_each_run_of_a_map_has_its_own_dependencies(world: World, kit: Kit) -> None:
    async def body() -> None:
        made = kit.make.map([1, 2])
        whole = kit.make.submit(3)
        runs = kit.take.map(made, unmapped(whole))
        await world.result(runs)
        for upstream, run in zip(made, runs, strict=True):
            assert inputs_of(run) == {"a": [result_of(upstream)], "b": [result_of(whole)]}

    world.body(body)


# By identity of a result.


def test_a_result_that_was_taken_is_recorded_when_it_is_passed_on(world: World, kit: Kit) -> None:
    async def body() -> None:
        first = kit.make.submit(lambda: [1000])
        found = await world.result(first)
        run = kit.take.submit(found)
        assert inputs_of(run)["a"] == [result_of(first)]
        await world.result(run)

    world.body(body)


def test_what_a_direct_call_gave_is_recorded_too(world: World, kit: Kit) -> None:
    async def body() -> None:
        found = await world.call(kit.make, lambda: {"a": 1})
        run = kit.take.submit(found)
        (reference,) = inputs_of(run)["a"]
        assert isinstance(reference, TaskRunResult)
        await world.result(run)

    world.body(body)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(lambda: [1], id="a list"),
        pytest.param(lambda: {"a": 1}, id="a dict"),
        pytest.param(lambda: {1000}, id="a set"),
        pytest.param(lambda: (1000, "x"), id="a tuple"),
        pytest.param(lambda: str(10**6), id="a string"),
        pytest.param(lambda: bytes(10), id="bytes"),
        pytest.param(lambda: 10**10, id="a large int"),
        pytest.param(lambda: float("2.5"), id="a float"),
        pytest.param(Thing, id="an object"),
        pytest.param(lambda: Box(1), id="an attrs class"),
        pytest.param(lambda: ValueError("x"), id="an exception"),
    ],
)
def test_results_are_known_by_identity(world: World, kit: Kit, value: Any) -> None:
    async def body() -> None:
        first = kit.make.submit(value)
        found = await world.result(first)
        run = kit.take.submit(a=1, b={"deep": [found]})
        assert inputs_of(run) == {"a": [], "b": [result_of(first)]}
        await world.result(run)

    world.body(body)


class Colour(Enum):
    RED = 1


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(value, id=repr(value))
        for value in list[Any](
            [0, 1, -5, 256, True, False, None, ..., NotImplemented, "", "x", b"", b"x", (), frozenset()]
        )
    ]
    + [
        pytest.param(Colour.RED, id="a member of an enum"),
        pytest.param(sys, id="a module"),
        pytest.param(Thing, id="a class"),
    ],
)
def test_singletons_are_not_taken_for_a_result(world: World, value: Any) -> None:
    @world.task
    def make() -> Any:
        return value

    @world.task
    def take(a: Any) -> Any:
        return a

    async def body() -> None:
        found = await world.result(make.submit())
        run = take.submit(found)
        assert await world.result(run) is value
        assert inputs_of(run) == {"a": []}

    world.body(body)


def test_an_equal_object_is_not_the_same_object(world: World, kit: Kit) -> None:
    async def body() -> None:
        found = await world.result(kit.make.submit(lambda: [1, 2]))
        run = kit.take.submit(list(found))
        assert inputs_of(run)["a"] == []
        await world.result(run)

    world.body(body)


@pytest.mark.parametrize(
    ("value", "first_layer"),
    [
        pytest.param(lambda: [[1], [2]], lambda found: found, id="a list"),
        pytest.param(lambda: ([1], [2]), lambda found: found, id="a tuple"),
        pytest.param(lambda: {"key": [1]}, lambda found: [found["key"]], id="values of a dict"),
        pytest.param(lambda: {(1000, 2): 1}, list, id="keys of a dict"),
        pytest.param(lambda: {(1000, 2)}, list, id="a set"),
        pytest.param(lambda: Box([1]), lambda found: [found.content], id="an attrs class"),
    ],
)
def test_the_items_of_a_results_first_layer_are_known_too(world: World, kit: Kit, value: Any, first_layer: Any) -> None:
    async def body() -> None:
        first = kit.make.submit(value)
        for item in first_layer(await world.result(first)):
            run = kit.take.submit(item)
            assert inputs_of(run)["a"] == [result_of(first)]
            await world.result(run)

    world.body(body)


def test_the_items_of_the_second_layer_are_not(world: World, kit: Kit) -> None:
    async def body() -> None:
        found = await world.result(kit.make.submit(lambda: [[["deep"]]]))
        run = kit.take.submit(found[0][0])
        assert inputs_of(run)["a"] == []
        await world.result(run)

    world.body(body)


def test_an_item_is_not_the_result_of_two_runs_but_of_the_later(world: World, kit: Kit) -> None:
    shared = Thing()

    @world.task
    def pass_on(value: Any) -> Any:
        return value

    async def body() -> None:
        await world.result(pass_on.submit(shared))
        second = pass_on.submit(shared)
        run = kit.take.submit(await world.result(second))
        assert inputs_of(run)["a"] == [result_of(second)]
        await world.result(run)

    world.body(body)


def test_the_results_of_a_map_are_known_each_by_its_own_run(world: World, kit: Kit) -> None:
    async def body() -> None:
        made = kit.make.map([Thing, Thing, Thing])
        results = await world.result(made)
        run = kit.take.submit(results[1], results)
        assert inputs_of(run) == {"a": [result_of(made[1])], "b": [result_of(each) for each in made]}
        await world.result(run)

    world.body(body)


def test_they_are_known_when_the_list_itself_was_dropped(world: World, kit: Kit) -> None:
    async def body() -> None:
        made = kit.make.map([lambda: [1], lambda: [2], Thing])
        first, _, third = await world.result(made)
        await world.result(kit.make.map([lambda: [3]]))
        run = kit.take.submit(first, third)
        assert inputs_of(run) == {"a": [result_of(made[0])], "b": [result_of(made[2])]}
        await world.result(run)

    world.body(body)


def test_a_result_that_only_passed_between_tasks_is_known_when_it_is_taken_at_last(world: World, kit: Kit) -> None:
    @world.task
    def pass_on(value: Any) -> Any:
        return value

    async def body() -> None:
        last = pass_on.submit(pass_on.submit(kit.make.submit(lambda: [1])))
        run = kit.take.submit(await world.result(last))
        assert inputs_of(run)["a"] == [result_of(last)]
        await world.result(run)

    world.body(body)


def test_the_result_of_a_subflow_is_recorded_as_that_of_a_flow(world: World, kit: Kit) -> None:
    @world.flow
    def inner() -> Any:
        context = FlowRunContext.get()
        assert context is not None
        return [context.flow_run.uuid]

    async def body() -> None:
        found = await world.call(inner)
        run = kit.take.submit(found)
        assert inputs_of(run)["a"] == [FlowRunResult(found[0])]
        await world.result(run)

    world.body(body)


def test_results_are_known_within_their_flow_run_only(world: World, kit: Kit) -> None:
    kept: list[Any] = []

    async def body() -> None:
        kept.append(await world.result(kit.make.submit(Thing)))

    async def another() -> None:
        run = kit.take.submit(kept[0])
        assert inputs_of(run)["a"] == []
        await world.result(run)

    world.body(body)
    world.body(another)


def test_opaque_values_are_known_by_their_own_identity(world: World, kit: Kit) -> None:
    async def body() -> None:
        first = kit.make.submit(lambda: [[1], 2])
        found = await world.result(first)
        run = kit.take.submit(opaque(found))
        assert inputs_of(run)["a"] == [result_of(first)]
        await world.result(run)

    world.body(body)


def test_values_whose_comparison_is_odd_are_tracked_without_comparing_them() -> None:
    class Array:
        def __eq__(self, other: object) -> Any:
            raise ValueError("The truth value of an array is ambiguous.")

        __hash__ = None  # type: ignore[assignment]

    tracker, value = Tracker(), Array()
    tracker.remember(7, value)
    assert tracker.find(value) is not None
    assert trackable(value)


def test_a_result_that_cannot_be_looked_into_is_known_itself() -> None:
    class Shy(dict[str, int]):
        def items(self) -> Any:
            raise Broken("not in there")

    tracker, value = Tracker(), Shy(a=1)
    tracker.remember(7, value)
    assert tracker.find(value) is not None


def test_results_that_nobody_holds_any_more_are_forgotten() -> None:
    tracker = Tracker()
    for number in range(1000):
        tracker.remember(number, [f"{number} things"])
        tracker.remember(number, Thing())
    assert len(tracker._known) < 200
    kept = [[number] for number in range(1000)]
    for number, value in enumerate(kept):
        tracker.remember(number, value)
    assert all(tracker.find(value) is not None for value in kept)


def test_large_results_that_nobody_holds_any_more_are_forgotten_soon() -> None:
    tracker = Tracker()
    for number in range(20):
        tracker.remember(number, bytes(1_000_000))
    held = sum(sys.getsizeof(held[0]) for held, *_ in tracker._known.values() if isinstance(held, tuple))
    assert held <= 2_000_200


def test_an_object_at_the_address_of_a_forgotten_one_is_not_mistaken_for_it() -> None:
    tracker = Tracker()
    for number in range(100):
        tracker.remember(number, Thing())
        gc.collect(0)
        assert tracker.find(Thing()) is None


# wait_for


def test_wait_for_holds_a_run_back_without_giving_it_data(world: World, kit: Kit) -> None:
    gate = world.gate()
    order: list[str] = []

    @world.task
    async def late() -> None:
        await gate.passed()
        order.append("late")

    @world.task
    def then(value: int) -> int:
        order.append("then")
        return value

    async def body() -> Any:
        first = late.submit()
        run = then.submit(3, wait_for=[first])
        assert not run.done()
        assert inputs_of(run) == {"value": [], "wait_for": [result_of(first)]}
        gate.open()
        return await world.result(run)

    assert world.body(body) == 3
    assert order == ["late", "then"]


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_every_way_to_start_a_task_takes_wait_for(world: World, how: str) -> None:
    order: list[str] = []

    @world.task
    def note(name: str) -> str:
        order.append(name)
        return name

    async def body() -> None:
        first = note.submit("first")
        if how == "submit":
            await world.result(note.submit("then", wait_for=[first]))
        elif how == "map":
            await world.result(note.map(["then"], wait_for=[first]))
        elif world.async_flows and not world.async_tasks:
            await world.ended(first)  # there the call would have to block the loop
            note("then", wait_for=[first])
        else:
            await world.call(note, "then", wait_for=[first])

    world.body(body)
    assert order == ["first", "then"]


@pytest.mark.parametrize(
    "shape",
    [
        pytest.param(lambda f: [f], id="a list"),
        pytest.param(lambda f: (f,), id="a tuple"),
        pytest.param(lambda f: {f}, id="a set"),
        pytest.param(lambda f: f, id="one future"),
        pytest.param(lambda f: (each for each in [f]), id="a generator"),
        pytest.param(lambda f: {"a": f}.values(), id="the values of a dict"),
        pytest.param(lambda f: [[f], 3, None], id="nested"),
        pytest.param(lambda f: [allow_failure(f)], id="annotated"),
    ],
)
@pytest.mark.parametrize("how", ["submit", "map"])
def test_wait_for_may_be_anything_that_holds_futures(shape: Any, how: str) -> None:
    go = Event()
    order: list[str] = []

    @task
    def late() -> None:
        assert go.wait(PATIENCE)
        order.append("late")

    @task
    def then(value: int) -> int:
        order.append(f"then {value}")
        return value

    @flow
    def body() -> None:
        first = late.submit()
        if how == "submit":
            runs = [then.submit(each, wait_for=shape(first)) for each in (1, 2)]
        else:
            runs = list(then.map([1, 2], wait_for=shape(first)))
        go.set()
        for run in runs:
            run.result(timeout=PATIENCE)
            assert inputs_of(run)["wait_for"] == [result_of(first)]

    body()
    assert order[0] == "late"
    assert len(order) == 3


def test_wait_for_takes_states_and_results_of_tasks(world: World, kit: Kit) -> None:
    async def body() -> None:
        first, second = kit.make.submit(lambda: [1]), kit.make.submit(lambda: [2])
        state = await world.ended(first)
        found = await world.result(second)
        run = kit.take.submit(wait_for=[state, found])
        await world.result(run)
        assert inputs_of(run)["wait_for"] == [result_of(first), result_of(second)]

    world.body(body)


def test_wait_for_takes_the_futures_of_a_map(world: World, kit: Kit) -> None:
    async def body() -> None:
        made = kit.make.map([1, 2, 3])
        run = kit.take.submit(wait_for=made)
        await world.result(run)
        assert inputs_of(run)["wait_for"] == [result_of(each) for each in made]

    world.body(body)


def test_wait_for_nothing_is_no_dependency(world: World, kit: Kit) -> None:
    async def body() -> None:
        run = kit.take.submit(wait_for=[])
        await world.result(run)
        assert inputs_of(run) == {"a": [], "b": []}
        assert await world.result(kit.take.submit(1, wait_for=None)) == (1, None)

    world.body(body)


@pytest.mark.parametrize("how", ["submit", "map", "call"])
def test_wait_for_something_that_holds_nothing_is_an_error_that_names_it(world: World, kit: Kit, how: str) -> None:
    async def body() -> None:
        with pytest.raises(ConfigurationError, match=r"^'wait_for' takes a collection of futures, .*, not 5\.$"):
            await world.start(how, kit.take, [1], wait_for=5)

    world.body(body)


def test_a_subflow_takes_wait_for(world: World) -> None:
    gate = world.gate()
    order: list[str] = []

    @world.task
    async def late() -> None:
        await gate.passed()
        order.append("late")

    @world.flow
    def inner() -> str:
        order.append("inner")
        return "done"

    async def body() -> Any:
        first = late.submit()
        gate.open()
        return await world.call(inner, wait_for=[first])

    assert world.body(body) == "done"
    assert order == ["late", "inner"]


def test_a_flow_outside_of_any_other_does_not(world: World) -> None:
    @world.flow
    def outermost() -> None:
        pass

    with pytest.raises(ConfigurationError, match=r"^'wait_for' takes nothing, for a flow that is not called inside"):
        world.run(outermost, wait_for=[])


@pytest.mark.anyio
async def test_a_sync_task_called_with_a_future_that_is_not_done_on_a_loop_says_to_await_it() -> None:
    gate = asyncio.Event()

    @task
    async def late() -> int:
        await gate.wait()
        return 1

    @task
    def take(value: Any) -> Any:
        return value

    @flow
    async def body() -> None:
        first = late.submit()
        with pytest.raises(BlockingCallOnLoop, match="await the future first"):
            _ = take(first)
        with pytest.raises(BlockingCallOnLoop, match="await the future first"):
            _ = take(1, wait_for=[first])
        gate.set()
        await first
        assert take(first) == 1

    await body()


def test_a_state_of_a_run_that_goes_on_is_not_waited_for_and_is_no_result(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return quote(await world.ended(kit.take.submit(Running())))

    assert world.body(body).unquote().name == "NotReady"
