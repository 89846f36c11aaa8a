"""Maps: one task over many items."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Lambdas stand in for code of users, who annotate none.

from __future__ import annotations

import asyncio
import io
import itertools
from collections import deque
from pathlib import Path
from threading import Barrier, Event, Lock
from typing import Any

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from millrace import (
    BlockingCallOnLoop,
    Completed,
    FlowRunContext,
    FutureList,
    InputResolutionError,
    MappingLengthMismatch,
    MappingMissingIterable,
    ParameterBindError,
    StateType,
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


@attrs.frozen
class Kit:
    """Tasks for these tests."""

    double: Any
    pair: Any
    fail: Any


@pytest.fixture
def kit(world: World) -> Kit:
    """A task of one parameter, one of two of which the second has a default, and one that fails."""

    def double(x: Any) -> Any:
        return 2 * x

    def pair(a: Any, b: Any = "default") -> Any:
        return a, b

    def fail(text: str = "as ever") -> Any:
        raise Broken(text)

    return Kit(world.task(double), world.task(pair), world.task(fail))


def mapped(world: World, kit: Kit, *args: Any, **kwargs: Any) -> Any:
    """What `pair` gives for each item."""

    async def body() -> Any:
        return quote(await world.result(kit.pair.map(*args, **kwargs)))

    return world.body(body).unquote()


# What is spread.


def test_each_item_of_an_iterable_has_a_run_and_results_are_in_order(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return await world.result(kit.double.map([3, 1, 2]))

    assert world.body(body) == [6, 2, 4]


def test_the_futures_are_in_the_order_of_the_inputs_whichever_ends_first(world: World) -> None:
    gates = [world.gate() for _ in range(4)]

    @world.task
    async def backwards(index: int) -> int:
        if index < 3:
            await gates[index + 1].passed()
        gates[index].open()
        return index

    async def body() -> Any:
        return await world.result(backwards.map(range(4)))

    assert world.body(body) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    "iterable",
    [
        pytest.param([1, 2], id="a list"),
        pytest.param((1, 2), id="a tuple"),
        pytest.param(range(1, 3), id="a range"),
        pytest.param({1: "a", 2: "b"}, id="the keys of a dict"),
        pytest.param({1: "a", 2: "b"}.keys(), id="a view of keys"),
        pytest.param(deque([1, 2]), id="a deque"),
        pytest.param({1, 2}, id="a set"),
        pytest.param(iter([1, 2]), id="an iterator"),
        pytest.param((each for each in (1, 2)), id="a generator"),
        pytest.param(map(int, "12"), id="a map of Python's"),
        pytest.param(itertools.islice(itertools.count(1), 2), id="an endless one that was cut off"),
    ],
)
def test_every_iterable_is_spread(iterable: Any) -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @flow
    def body() -> list[int]:
        return double.map(iterable).result(timeout=PATIENCE)

    assert body() == [2, 4]


def test_the_values_of_a_dict_are_spread_when_they_are_asked_for(world: World, kit: Kit) -> None:
    assert mapped(world, kit, {1: "a"}.values()) == [("a", "default")]


def test_text_bytes_and_open_files_are_passed_whole(world: World, kit: Kit, tmp_path: Path) -> None:
    (tmp_path / "lines").write_text("a\nb\n")
    with (tmp_path / "lines").open() as file:
        for whole in ("text", b"bytes", bytearray(b"bytes"), file, io.StringIO("a\nb"), io.BytesIO(b"a")):
            assert mapped(world, kit, [1, 2], whole) == [(1, whole), (2, whole)]
            assert mapped(world, kit, [1, 2], whole)[0][1] is whole


def test_what_is_no_iterable_is_passed_to_all_runs(world: World, kit: Kit) -> None:
    whole = object()
    assert mapped(world, kit, [1, 2], whole) == [(1, whole), (2, whole)]
    assert mapped(world, kit, None, b=[1, 2]) == [(None, 1), (None, 2)]


def test_several_iterables_go_hand_in_hand(world: World, kit: Kit) -> None:
    assert mapped(world, kit, [1, 2], b="ab") == [(1, "ab"), (2, "ab")]
    assert mapped(world, kit, [1, 2], b=("a", "b")) == [(1, "a"), (2, "b")]
    assert mapped(world, kit, b=("a", "b"), a=(each for each in (1, 2))) == [(1, "a"), (2, "b")]


def test_defaults_are_filled_in_and_not_spread(world: World, kit: Kit) -> None:
    assert mapped(world, kit, [1, 2]) == [(1, "default"), (2, "default")]

    @world.task
    def listed(a: Any, b: Any = (7, 8, 9)) -> Any:
        return a, b

    async def body() -> Any:
        return await world.result(listed.map([1, 2]))

    assert world.body(body) == [(1, (7, 8, 9)), (2, (7, 8, 9))]


def test_arguments_that_are_collected_are_spread_too(world: World) -> None:
    @world.task
    def many(*args: Any, **kwargs: Any) -> Any:
        return args, kwargs

    async def body() -> Any:
        return await world.result(many.map([1, 2], 0, [3, 4], named=[5, 6], whole=7))

    assert world.body(body) == [((1, 0, 3), {"named": 5, "whole": 7}), ((2, 0, 4), {"named": 6, "whole": 7})]


def test_a_list_that_is_changed_after_the_call_changes_nothing(world: World, kit: Kit) -> None:
    async def body() -> Any:
        items = [1, 2, 3]
        futures = kit.double.map(items)
        items.clear()
        return await world.result(futures)

    assert world.body(body) == [2, 4, 6]


def test_a_map_outside_of_any_flow_works_too() -> None:
    @task
    def double(x: int) -> int:
        return 2 * x

    @task
    async def adouble(x: int) -> int:
        return 2 * x

    assert double.map(range(3)).result(timeout=PATIENCE) == [0, 2, 4]
    assert adouble.map(range(3)).result(timeout=PATIENCE) == [0, 2, 4]


# Futures of iterables.


def test_a_future_of_an_iterable_is_resolved_first(world: World, kit: Kit) -> None:
    @world.task
    def listing() -> list[int]:
        return [1, 2, 3]

    async def body() -> Any:
        found = listing.submit()
        if world.async_flows:
            await world.ended(found)
        return await world.result(kit.double.map(found))

    assert world.body(body) == [2, 4, 6]


def test_a_state_of_an_iterable_is_resolved_first(world: World, kit: Kit) -> None:
    assert mapped(world, kit, Completed(data=[1, 2])) == [(1, "default"), (2, "default")]


def test_a_future_of_no_iterable_is_passed_to_all_runs_as_its_result(world: World, kit: Kit) -> None:
    async def body() -> Any:
        number = kit.double.submit(4)
        await world.ended(number)
        return await world.result(kit.pair.map([1, 2], number))

    assert world.body(body) == [(1, 8), (2, 8)]


def test_a_future_of_an_iterable_that_failed_raises_its_error(world: World, kit: Kit) -> None:
    async def body() -> None:
        failed = kit.fail.submit()
        await world.ended(failed)
        with pytest.raises(Broken):
            kit.double.map(failed)

    world.body(body)


@pytest.mark.anyio
async def test_one_that_is_not_done_on_a_loops_thread_is_an_error_that_says_to_await() -> None:
    gate = asyncio.Event()

    @task
    async def listing() -> list[int]:
        await gate.wait()
        return [1]

    @task
    def double(x: int) -> int:
        return 2 * x

    @flow
    async def body() -> list[int]:
        found = listing.submit()
        refused = (
            r"^double\.map\(\) of 'x', a future that is not done, would block the event loop on its own thread\. "
            r"Use `double\.map\(await future\)` instead\.$"
        )
        with pytest.raises(BlockingCallOnLoop, match=refused):
            _ = double.map(found)
        with pytest.raises(BlockingCallOnLoop, match=refused):
            _ = double.map(x=allow_failure(found))
        gate.set()
        return await double.map(await found)

    assert await body() == [2]


def test_a_future_of_a_list_of_futures_is_spread_and_each_is_waited_for(world: World, kit: Kit) -> None:
    @world.task
    def spawn() -> Any:
        return list(kit.double.map([1, 2]))

    async def body() -> Any:
        spawned = spawn.submit()
        await world.ended(spawned)
        return await world.result(kit.double.map(spawned))

    assert world.body(body) == [4, 8]


# Annotations.


def test_unmapped_keeps_a_value_whole(world: World, kit: Kit) -> None:
    assert mapped(world, kit, [1, 2], unmapped([3, 4, 5])) == [(1, [3, 4, 5]), (2, [3, 4, 5])]


def test_what_is_unmapped_may_hold_futures(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return await world.result(kit.pair.map([1, 2], unmapped([kit.double.submit(5), 0])))

    assert world.body(body) == [(1, [10, 0]), (2, [10, 0])]


def test_allow_failure_is_kept_on_each_item(world: World, kit: Kit) -> None:
    async def body() -> Any:
        futures = [kit.double.submit(1), kit.fail.submit("no 2")]
        return quote(await world.result(kit.pair.map(allow_failure(futures))))

    (first, _), (second, _) = world.body(body).unquote()
    assert first == 2
    assert isinstance(second, Broken)


def test_allow_failure_around_the_futures_of_a_map_is_kept_on_each(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return quote(await world.result(kit.pair.map(allow_failure(kit.fail.map(["a", "b"])))))

    assert [str(first) for first, _ in world.body(body).unquote()] == ["a", "b"]


def test_allow_failure_around_the_future_of_an_iterable_gives_its_exception_to_all_runs(world: World, kit: Kit) -> None:
    async def body() -> Any:
        failed = kit.fail.submit("no list")
        await world.ended(failed)
        return quote(await world.result(kit.pair.map([1, 2], allow_failure(failed))))

    assert [(first, str(second)) for first, second in world.body(body).unquote()] == [(1, "no list"), (2, "no list")]


def test_quote_is_kept_on_each_item(world: World, kit: Kit) -> None:
    async def body() -> Any:
        futures = [kit.double.submit(1), kit.double.submit(2)]
        found = await world.result(kit.pair.map(quote(futures)))
        return quote([first is future for (first, _), future in zip(found, futures, strict=True)])

    assert world.body(body).unquote() == [True, True]


def test_a_quoted_future_is_passed_whole(world: World, kit: Kit) -> None:
    async def body() -> Any:
        future = kit.double.submit(1)
        found = await world.result(kit.pair.map([1, 2], quote(future)))
        return [second is future for _, second in found]

    assert world.body(body) == [True, True]


def test_opaque_is_kept_on_each_item(world: World, kit: Kit) -> None:
    async def body() -> Any:
        future = kit.double.submit(1)
        ((first, _), (second, _)) = await world.result(kit.pair.map(opaque([future, [future]])))
        return quote((first, second == [future]))

    assert world.body(body).unquote() == (2, True)


def test_nested_annotations_are_all_kept(world: World, kit: Kit) -> None:
    async def body() -> Any:
        good, failed = kit.double.submit(1), kit.fail.submit("inside")
        shut = [failed]
        ((a, _), (b, _), (c, _)) = await world.result(kit.pair.map(allow_failure(opaque([good, failed, shut]))))
        assert a == 2
        assert isinstance(b, Broken)
        assert c is shut
        assert await world.result(kit.pair.map([1], allow_failure(unmapped([2, 3])))) == [(1, [2, 3])]
        assert await world.result(kit.pair.map([1], quote(unmapped([2, 3])))) == [(1, [2, 3])]
        ((_, d),) = await world.result(kit.pair.map([1], unmapped(allow_failure([failed]))))
        assert isinstance(d[0], Broken)

    world.body(body)


# Errors.


def test_no_iterable_is_an_error_that_names_the_parameters(world: World, kit: Kit) -> None:
    async def body() -> None:
        with pytest.raises(MappingMissingIterable, match=r"Parameters given: 'a', 'b'\.$") as caught:
            kit.pair.map(1, b="text")
        assert "a str, bytes or open file is none" in str(caught.value)
        assert caught.value.parameters == ("a", "b")
        with pytest.raises(MappingMissingIterable, match="unmapped"):
            kit.pair.map(unmapped([1, 2]))
        with pytest.raises(MappingMissingIterable, match="Parameters given: 'a'"):
            kit.pair.map(quote(kit.double.submit(1)))

    world.body(body)


def test_a_task_without_parameters_cannot_be_mapped(world: World) -> None:
    @world.task
    def bare() -> None:
        pass

    async def body() -> None:
        with pytest.raises(MappingMissingIterable, match="Parameters given: none"):
            bare.map()

    world.body(body)


def test_unequal_lengths_are_an_error_that_gives_them(world: World, kit: Kit) -> None:
    async def body() -> None:
        with pytest.raises(
            MappingLengthMismatch,
            match=r"^The parameters of a map must have one length: 'a' has 3, 'b' has 2\. .* unmapped\(\.\.\.\)\.$",
        ) as caught:
            kit.pair.map([1, 2, 3], b=(each for each in (1, 2)))
        assert caught.value.lengths == {"a": 3, "b": 2}

    world.body(body)


def test_collected_arguments_of_unequal_lengths_are_all_named(world: World) -> None:
    @world.task
    def many(*args: Any) -> Any:
        return args

    async def body() -> None:
        with pytest.raises(MappingLengthMismatch) as caught:
            many.map([1], [1, 2], [1, 2, 3])
        assert sorted(caught.value.lengths.values()) == [1, 2, 3]

    world.body(body)


def test_a_call_that_does_not_fit_is_an_error_that_names_the_parameter(world: World, kit: Kit) -> None:
    async def body() -> None:
        with pytest.raises(ParameterBindError, match=r"'c'.* Its signature is pair\(a: .*\)"):
            kit.pair.map([1], c=2)
        with pytest.raises(ParameterBindError, match="'a'"):
            kit.pair.map(b=[1])

    world.body(body)


def test_after_such_an_error_nothing_was_started(world: World, kit: Kit) -> None:
    async def body() -> Any:
        for args in ((1,), ([1], [1, 2]), ()):
            with pytest.raises((MappingMissingIterable, MappingLengthMismatch, ParameterBindError)):
                kit.pair.map(*args)
        context = FlowRunContext.get()
        assert context is not None
        return context.flow_run.spawned

    assert world.body(body) == 0


def test_in_sync_code_a_map_may_give_its_final_states() -> None:
    @task
    def check(x: int) -> int:
        if x == 1:
            raise Broken("no 1")
        return x

    @flow
    def body() -> None:
        states = check.map(range(3), return_state=True)
        assert [state.type for state in states] == [StateType.COMPLETED, StateType.FAILED, StateType.COMPLETED]
        assert states[2].result() == 2

    body()


def test_an_iterable_that_raises_raises_from_the_call(world: World, kit: Kit) -> None:
    def spoilt() -> Any:
        yield 1
        raise Broken("no more")

    async def body() -> None:
        with pytest.raises(Broken):
            kit.double.map(spoilt())

    world.body(body)


class Shy(dict[str, int]):
    def items(self) -> Any:
        raise Broken("not in there")


def test_an_item_that_cannot_be_looked_into_fails_its_run_only(world: World, kit: Kit) -> None:
    async def body() -> Any:
        shy = Shy(a=1)
        futures = kit.pair.map([1, [shy], 3])
        states = await world.ended(futures)
        error = await world.error(futures[1])
        assert isinstance(error, InputResolutionError)
        assert error.parameter == "a"
        assert "quote(...)" in str(error)
        assert states[1].state_details.task_run_id == futures[1].task_run_id
        return [state.type for state in states]

    assert world.body(body) == [StateType.COMPLETED, StateType.FAILED, StateType.COMPLETED]


def test_such_an_item_that_nobody_looks_at_fails_its_run_too(world: World, kit: Kit) -> None:
    async def body() -> None:
        kit.pair.map([1, Shy(a=1), 3])

    state = world.run(world.flow(body), return_state=True)
    assert state.is_failed()
    assert state.message.startswith("1 of 3 runs failed and nobody looked at it")


def test_an_item_that_fails_leaves_the_others_alone(world: World, kit: Kit) -> None:
    @world.task
    def check(x: int) -> int:
        if x == 1:
            raise Broken("no 1")
        return x

    async def body() -> Any:
        return quote(await world.ended(check.map(range(3))))

    states = world.body(body).unquote()
    assert [state.type for state in states] == [StateType.COMPLETED, StateType.FAILED, StateType.COMPLETED]


# Empty, many, nested.


def test_a_map_over_nothing_is_empty(world: World, kit: Kit) -> None:
    async def body() -> Any:
        futures = kit.double.map([])
        assert isinstance(futures, FutureList)
        assert list(futures) == []
        assert await world.result(kit.double.map(futures)) == []
        return await world.result(futures)

    assert world.body(body) == []


def test_a_map_of_one_task_over_another_over_another(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return await world.result(kit.double.map(kit.double.map(kit.double.map(range(50)))))

    assert world.body(body) == [8 * x for x in range(50)]


def test_a_map_inside_a_task(world: World, kit: Kit) -> None:
    @world.task
    async def parent(n: int) -> Any:
        futures = kit.double.map(range(n))
        found = await futures if world.async_tasks else futures.result(timeout=PATIENCE)
        return sum(found)

    async def body() -> Any:
        return await world.result(parent.map([3, 4]))

    assert world.body(body) == [6, 12]


def test_many_items(world: World, kit: Kit) -> None:
    async def body() -> Any:
        return sum(await world.result(kit.double.map(range(3_000))))

    assert world.body(body) == sum(2 * x for x in range(3_000))


def test_a_map_that_nobody_waits_for_is_run_all_the_same(world: World) -> None:
    seen: list[int] = []

    @world.task
    def note(x: int) -> None:
        seen.append(x)

    async def body() -> None:
        note.map(range(100))

    world.body(body)
    assert sorted(seen) == list(range(100))


def test_each_item_is_run_once_whoever_looks_at_it_when(world: World) -> None:
    seen: list[int] = []
    lock = Lock()

    @world.task
    def note(x: int) -> int:
        with lock:
            seen.append(x)
        return x

    async def body() -> None:
        futures = note.map(range(200))
        for index in (199, 0, 100, 100, 50):
            assert await world.result(futures[index]) == index
        for future in reversed(futures):
            await world.result(future)

    world.body(body)
    assert sorted(seen) == list(range(200))


def test_two_maps_of_one_task_are_numbered_on(world: World, kit: Kit) -> None:
    async def body() -> Any:
        first, second = kit.double.map(range(3)), kit.double.map(range(2))
        single = kit.double.submit(1)
        await world.result(second)
        return [each.source.key for each in [*first, *second, single]]

    assert world.body(body) == [0, 1, 2, 3, 4, 5]


# Item by item: each goes on as soon as it can.


def test_the_second_map_begins_before_the_first_has_ended(world: World) -> None:
    """The first item's second step opens the gate that the last item's first step waits at."""
    gate = world.gate()

    @world.task
    async def first(x: int) -> int:
        if x == 2:
            await gate.passed()
        return x

    @world.task
    def second(x: int) -> int:
        if x == 0:
            gate.open()
        return 10 * x

    async def body() -> Any:
        return await world.result(second.map(first.map(range(3))))

    assert world.body(body) == [0, 10, 20]


def test_the_last_of_many_maps_begins_before_the_first_has_ended(world: World, kit: Kit) -> None:
    gate = world.gate()

    @world.task
    async def first(x: int) -> int:
        if x == 99:
            await gate.passed()
        return x

    @world.task
    def last(x: int) -> int:
        if x == 0:
            gate.open()
        return x

    async def body() -> Any:
        futures = first.map(range(100))
        for _ in range(3):
            futures = kit.double.map(futures)
        return await world.result(last.map(futures))

    assert world.body(body) == [8 * x for x in range(100)]


def test_a_slow_item_holds_up_nothing_but_itself(world: World) -> None:
    gate, others = world.gate(), Event()
    done: list[int] = []
    lock = Lock()

    @world.task
    async def first(x: int) -> int:
        if x == 0:
            await gate.passed()
        return x

    @world.task
    def second(x: int) -> int:
        with lock:
            done.append(x)
            if len(done) == 49:
                others.set()
                gate.open()
        return x

    async def body() -> Any:
        return await world.result(second.map(first.map(range(50))))

    assert world.body(body) == list(range(50))
    assert others.is_set()
    assert done[-1] == 0


@pytest.mark.anyio
async def test_async_items_run_side_by_side() -> None:
    inside, most = 0, 0
    together = asyncio.Event()

    @task
    async def crowd(_x: int) -> None:
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        if inside == 50:
            together.set()
        await together.wait()
        inside -= 1

    @flow
    async def body() -> None:
        async with asyncio.timeout(PATIENCE):
            await crowd.map(range(50))

    await body()
    assert most == 50


def test_sync_items_run_side_by_side() -> None:
    barrier = Barrier(3)

    @task
    def meet(x: int) -> int:
        barrier.wait(PATIENCE)
        return x

    @flow
    def body() -> list[int]:
        return meet.map(range(3)).result(timeout=PATIENCE)

    assert body() == [0, 1, 2]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(items=st.lists(st.integers() | st.text() | st.lists(st.integers(), max_size=3), max_size=20), data=st.data())
def test_a_map_is_what_pythons_map_is(items: list[Any], data: st.DataObject) -> None:
    looks = data.draw(st.lists(st.integers(0, max(len(items) - 1, 0)), max_size=5)) if items else []

    @task
    def note(x: Any, y: Any) -> Any:
        return x, y

    @flow
    def body() -> tuple[list[Any], list[Any]]:
        futures = note.map(items, unmapped("whole"))
        seen = [(index, futures[index].result(timeout=PATIENCE)) for index in looks]
        return seen, futures.result(timeout=PATIENCE)

    seen, found = body()
    expected = [(item, "whole") for item in items]
    assert found == expected
    assert seen == [(index, expected[index]) for index in looks]
