"""Lists of futures: a list in every respect, whose futures come into being when somebody looks."""

# pyright: reportUnknownLambdaType=false, reportUnknownArgumentType=false, reportUnknownVariableType=false
# Lambdas stand in for code of users, who annotate none.

from __future__ import annotations

import asyncio
import copy
from concurrent.futures import Future as Promise
from threading import Event
from typing import Any
from uuid import UUID

import pytest

from millrace import (
    BlockingCallOnLoop,
    CancelledRun,
    Engine,
    FlowRunContext,
    Future,
    FutureList,
    UnfinishedRun,
    WaitTimeout,
    flow,
    task,
)
from tests.runtime.worlds import PATIENCE, World


class Broken(Exception):
    pass


@task
def double(x: int) -> int:
    return 2 * x


@task
def picky(x: int) -> int:
    if x < 0:
        raise Broken(f"no {x}")
    return x


# Results.


def test_its_result_is_the_list_of_results_in_the_order_of_the_inputs(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        return await world.result(tell.map([3, 1, 2]))

    assert world.body(body) == [6, 2, 4]


def test_its_result_raises_what_the_first_failed_run_in_the_list_raised(world: World) -> None:
    check = world.task(picky.fn)

    async def body() -> None:
        error = await world.error(check.map([1, -2, -3]))
        assert isinstance(error, Broken)
        assert str(error) == "no -2"

    world.body(body)


def test_exceptions_stand_among_the_results_where_they_shall_not_be_raised() -> None:
    @flow
    def body() -> None:
        first, second, third = picky.map([1, -2, 3]).result(raise_on_failure=False)
        assert (first, third) == (1, 3)
        assert isinstance(second, Broken)

    body()


def test_taking_its_result_looks_at_every_failure_in_it(world: World) -> None:
    check = world.task(picky.fn)

    async def body() -> None:
        await world.error(check.map([1, -2, -3]))

    assert world.body(body) is None  # none of the failures is left for the flow's final state


def test_one_that_never_started_among_them_is_an_error(world: World) -> None:
    check, tell = world.task(picky.fn), world.task(double.fn)

    async def body() -> None:
        futures = tell.map(check.map([1, -1]))
        assert isinstance(await world.error(futures), UnfinishedRun)

    state = world.run(world.flow(body), return_state=True)
    assert "no -1" in state.message


def test_wait_says_whether_all_have_ended_in_time() -> None:
    go = Event()

    @task
    def late(_x: int) -> None:
        assert go.wait(PATIENCE)

    @flow
    def patient() -> None:
        futures = late.map(range(3))
        assert futures.wait(timeout=0.001) is False
        go.set()
        assert futures.wait() is True
        assert futures.wait(timeout=0) is True

    patient()


def test_a_result_that_does_not_come_in_time_says_how_many_are_unfinished() -> None:
    go = Event()

    @task
    def late(x: int) -> int:
        if x:
            assert go.wait(PATIENCE)
        return x

    @flow
    def patient() -> list[int]:
        futures = late.map(range(3))
        futures[0].wait()
        with pytest.raises(TimeoutError, match=r"^2 of 3 runs did not finish within 0.001 seconds\.$") as caught:
            futures.result(timeout=0.001)
        assert isinstance(caught.value, WaitTimeout)
        go.set()
        return futures.result(timeout=PATIENCE)

    assert patient() == [0, 1, 2]


@pytest.mark.anyio
async def test_blocking_on_the_thread_of_a_loop_is_an_error_that_says_to_await() -> None:
    gate = asyncio.Event()

    @task
    async def late(_x: int) -> None:
        await gate.wait()

    @flow
    async def confused() -> None:
        futures = late.map(range(2))
        with pytest.raises(
            BlockingCallOnLoop, match=r"^FutureList\.result\(\) would .* Use `await futures` instead\.$"
        ):
            futures.result()
        with pytest.raises(BlockingCallOnLoop, match=r"^FutureList\.wait\(\) would"):
            futures.wait()
        gate.set()

    await confused()


def test_as_completed_is_a_method_too(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        futures = tell.map(range(4))
        if world.async_flows:
            return [await each async for each in futures.as_completed()]
        return [each.result() for each in futures.as_completed(timeout=PATIENCE)]

    assert sorted(world.body(body)) == [0, 2, 4, 6]


def test_a_list_of_futures_from_anywhere_may_be_made(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        return await world.result(FutureList([tell.submit(1), tell.submit(2)]))

    assert world.body(body) == [2, 4]


def test_futures_of_several_kinds_may_stand_in_one_list() -> None:
    promise: Promise[int] = Promise()
    promise.set_result(7)

    @flow
    def mixed() -> list[int]:
        futures = FutureList([double.submit(1), Future[int](promise, UUID(int=1))])
        return futures.result(timeout=PATIENCE)

    assert mixed() == [2, 7]


def test_an_empty_one_has_an_empty_result(world: World) -> None:
    async def body() -> Any:
        return await world.result(FutureList([]))

    assert world.body(body) == []


# Lazy.


def unmade(futures: FutureList[Any]) -> int:
    """How many futures have not come into being."""
    return sum(not isinstance(each, Future) for each in list.__getitem__(futures, slice(None)))


def test_futures_come_into_being_when_they_are_looked_at(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        futures = tell.map(range(10))
        assert len(futures) == 10
        assert unmade(futures) == 10
        assert await world.result(futures[3]) == 6
        assert await world.result(futures[-1]) == 18
        assert unmade(futures) == 8
        assert futures[3] is futures[3]
        assert futures[9] is futures[-1]
        list(futures)
        assert unmade(futures) == 0

    world.body(body)


def test_taking_all_results_makes_no_futures(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> None:
        futures = tell.map(range(10))
        await world.result(futures)
        assert unmade(futures) == 10

    world.body(body)


def test_mapping_over_it_makes_no_futures_that_no_run_asks_for(world: World) -> None:
    gate = world.gate()

    @world.task
    async def late(x: int) -> int:
        await gate.passed()
        return x

    tell = world.task(double.fn)

    async def body() -> Any:
        futures = late.map(range(1000))
        doubled = tell.map(futures)
        assert unmade(futures) == 1000
        assert unmade(doubled) == 1000
        gate.open()
        return await world.result(doubled)

    assert world.body(body) == [2 * x for x in range(1000)]


def test_one_that_is_looked_at_from_the_end_runs_all_the_same(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        futures = tell.map(range(50))
        return [await world.result(each) for each in reversed(futures)]

    assert world.body(body) == [2 * x for x in reversed(range(50))]


def test_a_long_one_shows_its_length_and_a_short_one_its_futures() -> None:
    @flow
    def body() -> None:
        many, few = double.map(range(1_000)), double.map(range(2))
        many.wait()
        few.wait()
        assert repr(many) == "<FutureList of 1,000>"
        assert repr(few) == repr(list(few))
        assert repr(few).startswith("[<Future of 'double-")

    body()


# A list in every respect.

LIST_METHODS = {name for name in dir(list) if callable(getattr(list, name))}


def lazy(world: World) -> FutureList[int]:
    """Three futures that nobody has looked at."""
    futures: FutureList[int] = world.task(double.fn).map(range(3))
    return futures


def in_a_flow(world: World, check: Any) -> None:
    """Call a function with such a list, in the body of a flow."""

    async def body() -> None:
        check(lazy(world))

    world.body(body)


def called_with(*args: Any) -> tuple[Any, ...]:
    return args


def only_futures(found: Any) -> bool:
    return all(isinstance(each, Future) for each in list(found))


def test_it_is_a_list(world: World) -> None:
    def check(futures: object) -> None:
        assert isinstance(futures, list)

    in_a_flow(world, check)


@pytest.mark.parametrize(
    "read",
    [
        pytest.param(list, id="list()"),
        pytest.param(tuple, id="tuple()"),
        pytest.param(set, id="set()"),
        pytest.param(lambda futures: [*futures], id="unpacking"),
        pytest.param(lambda futures: called_with(*futures), id="a call"),
        pytest.param(lambda futures: [each for each in futures], id="a loop"),  # noqa: C416
        pytest.param(lambda futures: [each for _, each in enumerate(futures)], id="enumerate()"),
        pytest.param(lambda futures: [each for each, _ in zip(futures, range(3), strict=True)], id="zip()"),
        pytest.param(lambda futures: list(reversed(futures)), id="reversed()"),
        pytest.param(lambda futures: futures[:], id="a slice"),
        pytest.param(lambda futures: futures[::-1], id="a slice backwards"),
        pytest.param(lambda futures: futures.copy(), id="copy()"),
        pytest.param(copy.copy, id="copy.copy()"),
        pytest.param(lambda futures: futures + [], id="+"),  # noqa: RUF005
        pytest.param(lambda futures: [] + futures, id="+ after a list"),  # noqa: RUF005
        pytest.param(lambda futures: sum([futures], []), id="sum()"),  # noqa: RUF017
        pytest.param(lambda futures: futures * 1, id="*"),
        pytest.param(lambda futures: 1 * futures, id="* after a number"),
        pytest.param(lambda futures: sorted(futures, key=id), id="sorted()"),
        pytest.param(lambda futures: [futures.pop() for _ in range(3)], id="pop()"),
    ],
)
def test_every_way_to_read_it_gives_all_futures(read: Any) -> None:
    @flow
    def body() -> None:
        futures = double.map(range(3))
        found = read(futures)
        assert len(found) == 3
        assert only_futures(found)
        assert len(set(found)) == 3
        assert sorted(each.result(timeout=PATIENCE) for each in found) == [0, 2, 4]

    body()


def test_extending_a_plain_list_with_it_fills_in_all_futures() -> None:
    @flow
    def body() -> None:
        plain: list[Any] = []
        plain += double.map(range(3))
        plain.extend(double.map(range(3)))
        plain[0:0] = double.map(range(3))
        assert len(plain) == 9
        assert only_futures(plain)

    body()


def test_it_compares_like_a_list() -> None:
    @flow
    def body() -> None:
        futures = double.map(range(3))
        same = list(double.map(range(3)))
        assert futures != same
        assert not futures == same  # noqa: SIM201
        assert double.map(range(1)) != []
        assert futures == list(futures)
        assert not futures != list(futures)  # noqa: SIM202
        assert double.map(range(3)) != double.map(range(3))
        lazily = double.map(range(2))
        assert lazily[:1] < lazily
        assert lazily >= lazily[:1]
        assert lazily[:1] <= lazily
        assert lazily > lazily[:1]
        with pytest.raises(TypeError, match="unhashable"):
            hash(futures)

    body()


def test_it_is_searched_like_a_list() -> None:
    @flow
    def body() -> None:
        futures = double.map(range(3))
        second = futures[1]
        assert second in futures
        assert futures.index(second) == 1
        assert futures.count(second) == 1
        assert double.submit(1) not in double.map(range(2))
        assert futures
        assert not double.map([])

    body()


def test_it_is_changed_like_a_list() -> None:
    @flow
    def body() -> list[int]:
        extra = double.submit(100)
        futures = double.map(range(3))
        futures.append(extra)
        assert len(futures) == 4
        futures.insert(0, extra)
        futures.remove(extra)
        futures.reverse()
        assert futures[0] is extra
        futures.sort(key=lambda each: each.result(timeout=PATIENCE))
        assert futures.result() == [0, 2, 4, 200]
        del futures[0]
        futures[0] = extra
        futures *= 2
        futures += [extra]
        futures.extend(double.map(range(1)))
        assert isinstance(futures, FutureList)
        assert futures.pop().result(timeout=PATIENCE) == 0
        results = futures.result()
        futures.clear()
        assert futures == []
        return results

    assert body() == [200, 4, 200, 200, 4, 200, 200]


def test_a_loop_over_it_sees_what_is_added_on_the_way() -> None:
    @flow
    def body() -> list[int]:
        futures = double.map(range(2))
        seen = []
        for future in futures:
            seen.append(future.result(timeout=PATIENCE))
            if len(futures) < 3:
                futures.append(double.submit(50))
        return seen

    assert body() == [0, 2, 100]


def test_a_loop_over_it_stops_where_it_has_become_shorter() -> None:
    @flow
    def body() -> int:
        futures = double.map(range(3))
        seen = 0
        for _each in futures:
            seen += 1
            _ = futures.pop()
        return seen

    assert body() == 2


def test_an_index_out_of_range_is_the_usual_error(world: World) -> None:
    def check(futures: FutureList[int]) -> None:
        for index in (3, -4):
            with pytest.raises(IndexError, match="list index out of range"):
                _ = futures[index]

    in_a_flow(world, check)


def test_a_slice_is_a_list_of_futures_again(world: World) -> None:
    tell = world.task(double.fn)

    async def body() -> Any:
        futures = tell.map(range(5))
        middle = futures[1:4]
        assert isinstance(middle, FutureList)
        assert middle[0] is futures[1]
        assert isinstance(futures[:], FutureList)
        list(futures)
        assert isinstance(futures[1:4], FutureList)
        return await world.result(middle)

    assert world.body(body) == [2, 4, 6]


def test_a_list_that_is_changed_while_it_is_mapped_over_is_another_one(world: World) -> None:
    gate = world.gate()

    @world.task
    async def late(x: int) -> int:
        await gate.passed()
        return x

    tell = world.task(double.fn)

    async def body() -> Any:
        futures = late.map(range(3))
        doubled = tell.map(futures)
        again = tell.map(futures)
        futures.reverse()
        futures.pop()
        futures.append(late.submit(70))
        gate.open()
        return [*await world.result(doubled), *await world.result(again), *await world.result(futures)]

    assert world.body(body) == [0, 2, 4, 0, 2, 4, 2, 1, 70]


def test_asking_for_the_results_of_a_map_that_was_cancelled_makes_no_more_of_its_runs(world: World) -> None:
    """The first that never was is made, to be raised, and none after it."""
    many = 100_000
    tell = world.task(double.fn)
    told: set[UUID | None] = set()

    async def body() -> list[Any]:
        futures = tell.map(range(many))
        context = FlowRunContext.get()
        assert context is not None
        context.flow_run.cancel_maps()
        made = len(told)
        errors = [await world.error(futures) for _ in range(2)]
        return [made, len(told), errors, futures[-1].state.is_cancelled()]

    engine = Engine()
    engine.subscribe(lambda event: told.add(event.task_run_id))
    made, made_then, errors, cancelled = world.body(body, engine=engine)
    assert made < many
    assert made_then <= made + 1
    assert [type(error) for error in errors] == [CancelledRun] * 2
    assert cancelled
