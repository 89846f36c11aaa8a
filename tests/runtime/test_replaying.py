"""Replaying: a flow that runs again gets the results that are there already, each call its own."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Any

import pytest

from millrace import (
    CancelledRun,
    Completed,
    FlowRun,
    FlowRunContext,
    Paused,
    flow,
    propose_state,
    resume_flow_run,
    task,
    transaction,
)
from millrace.actors.errors import FlowOrderChanged
from millrace.runtime.replaying import Replay
from tests.runtime.worlds import World


class Broken(Exception):
    pass


class Attempts:
    """Counts the attempts of a body, and fails the first ones of them."""

    def __init__(self, failing: int = 1) -> None:
        self.made = 0
        self._failing = failing

    def begin(self) -> int:
        """Another attempt begins; its number."""
        self.made += 1
        return self.made

    def end(self) -> None:
        """It ends."""
        if self.made <= self._failing:
            raise Broken(f"attempt {self.made}")


def counted(world: World, fn: Callable[..., Any] | None = None, **options: Any) -> tuple[Any, list[Any]]:
    """A task that gives what it gets, or what a function makes of that; and what it was called with."""
    calls: list[Any] = []

    def work(x: Any = None) -> Any:
        calls.append(x)
        return x if fn is None else fn(x)

    return world.task(work, **options), calls


def again(world: World, body: Callable[..., Any], retries: int = 1, **options: Any) -> Any:
    """Run a flow with retries."""
    return world.run(world.flow(body, retries=retries, **options))


# What is given again.


@pytest.mark.parametrize("how", ["call", "submit"])
def test_a_run_that_completed_gives_its_result_without_running_again(world: World, how: str) -> None:
    work, calls = counted(world)
    attempts = Attempts()

    async def body() -> Any:
        attempts.begin()
        made = [await world.start(how, work, x) for x in (1, 2, 3)]
        results = made if how == "call" else [await world.result(each) for each in made]
        attempts.end()
        return results

    assert again(world, body) == [1, 2, 3]
    assert sorted(calls) == [1, 2, 3]


def test_a_run_that_failed_is_run_anew(world: World) -> None:
    attempts = Attempts(0)
    good, good_calls = counted(world)

    def fails_first(x: int) -> int:
        if attempts.made == 1:
            raise Broken
        return x

    bad, bad_calls = counted(world, fails_first)

    async def body() -> Any:
        attempts.begin()
        return await world.call(good, 1), await world.call(bad, 2)

    assert again(world, body) == (1, 2)
    assert (good_calls, bad_calls) == ([1], [2, 2])


def test_of_a_map_that_failed_partly_only_that_part_is_run_anew(world: World) -> None:
    attempts = Attempts(0)

    def fails_first(x: int) -> int:
        if attempts.made == 1 and x % 3 == 0:
            raise Broken
        return 10 * x

    work, calls = counted(world, fails_first)

    async def body() -> Any:
        attempts.begin()
        return await world.result(work.map(range(9)))

    assert again(world, body) == [0, 10, 20, 30, 40, 50, 60, 70, 80]
    assert sorted(calls) == [0, 0, 1, 2, 3, 3, 4, 5, 6, 6, 7, 8]


def test_a_large_map_is_not_run_again(world: World) -> None:
    work, calls = counted(world)
    attempts = Attempts()

    async def body() -> Any:
        attempts.begin()
        total = sum(await world.result(work.map(range(1_000))))
        attempts.end()
        return total

    assert again(world, body) == 499_500
    assert len(calls) == 1_000


def test_what_depends_on_a_result_that_is_given_again_gets_it(world: World) -> None:
    first, first_calls = counted(world)
    attempts = Attempts(0)

    def fails_first(x: int) -> int:
        if attempts.made == 1:
            raise Broken
        return x + 1

    second, second_calls = counted(world, fails_first)

    async def body() -> Any:
        attempts.begin()
        return await world.result(second.map(first.map([1, 2])))

    assert again(world, body) == [2, 3]
    assert (sorted(first_calls), sorted(second_calls)) == ([1, 2], [1, 1, 2, 2])


def test_a_subflow_that_completed_gives_its_result_and_is_not_told_of_again(world: World) -> None:
    work, calls = counted(world)
    attempts = Attempts()
    told: list[str] = []

    async def inner(x: int) -> Any:
        return await world.call(work, x)

    hooks = [lambda _flow, _run, state: told.append(state.name)]
    subflow = world.flow(inner, on_completion=hooks, on_running=hooks)

    async def body() -> Any:
        attempts.begin()
        result = await world.call(subflow, 1), await world.call(subflow, 2)
        attempts.end()
        return result

    assert again(world, body) == (1, 2)
    assert calls == [1, 2]
    assert told == ["Running", "Completed"] * 2


def test_what_completed_is_in_the_state_again_that_it_was_in(world: World) -> None:
    work, _ = counted(world, lambda x: Completed(name="Skipped", message="nothing to do", data=x))
    plain, _ = counted(world)
    attempts = Attempts()
    states: list[list[tuple[str, str | None]]] = []

    async def part(x: int) -> Any:
        return Completed(name="Partial", data=x)

    subflow = world.flow(part)

    async def body() -> None:
        attempts.begin()
        made = [await world.call(each, 1, return_state=True) for each in (work, plain, subflow)]
        states.append([(state.name, state.message) for state in made])
        attempts.end()

    again(world, body)

    assert states == [[("Skipped", "nothing to do"), ("Completed", None), ("Partial", None)]] * 2


def test_a_subflow_that_failed_is_run_anew_with_all_that_is_in_it(world: World) -> None:
    work, calls = counted(world)
    attempts = Attempts()

    @world.flow
    async def inner() -> Any:
        result = await world.call(work, 1)
        attempts.end()
        return result

    async def body() -> Any:
        attempts.begin()
        return await world.call(inner)

    assert again(world, body) == 1
    assert calls == [1, 1]


def test_a_subflow_with_retries_of_its_own_replays_what_is_in_it(world: World) -> None:
    work, calls = counted(world)
    attempts = Attempts()

    @world.flow(retries=1)
    async def inner() -> Any:
        attempts.begin()
        result = await world.call(work, 1)
        attempts.end()
        return result

    async def body() -> Any:
        return await world.call(work, 0), await world.call(inner)

    assert world.body(body) == (0, 1)
    assert calls == [0, 1]


def test_what_a_task_has_started_belongs_to_that_and_is_no_call_of_the_bodys(world: World) -> None:
    inner, inner_calls = counted(world)
    attempts = Attempts(0)
    tries: list[int] = []

    @world.task
    async def outer(x: int) -> Any:
        tries.append(x)
        value = inner.submit(x)
        value = await value if world.async_tasks else value.result()
        if attempts.made == 1:
            raise Broken
        return value

    async def body() -> Any:
        attempts.begin()
        first = await world.call(inner, 0)
        return first, await world.result(outer.submit(1))

    assert again(world, body) == (0, 1)
    assert tries == [1, 1]
    assert inner_calls == [0, 1, 1]


def test_a_task_that_is_made_in_the_body_is_known_by_its_name(world: World) -> None:
    attempts = Attempts()
    calls: list[int] = []

    async def body() -> Any:
        number = attempts.begin()

        @world.task
        def made_here(x: int) -> Any:
            calls.append(x)
            return number, x

        result = [await world.call(made_here, x) for x in (1, 2)]
        attempts.end()
        return result

    assert again(world, body) == [(1, 1), (1, 2)]
    assert calls == [1, 2]


def test_two_tasks_of_one_name_are_told_apart_by_their_order(world: World) -> None:
    attempts = Attempts()
    one, one_calls = counted(world, lambda x: ("one", x), name="same")
    other, other_calls = counted(world, lambda x: ("other", x), name="same")

    async def body() -> Any:
        attempts.begin()
        result = await world.call(one, 1), await world.call(other, 2), await world.call(one, 3)
        attempts.end()
        return result

    assert again(world, body) == (("one", 1), ("other", 2), ("one", 3))
    assert (one_calls, other_calls) == ([1, 3], [2])


def test_a_run_that_is_given_again_is_a_completed_run(world: World) -> None:
    work, _ = counted(world)
    attempts = Attempts()
    seen: list[Any] = []

    async def body() -> None:
        attempts.begin()
        future = work.submit(1)
        await world.result(future)
        seen.append((future.state.name, future.state.type, future.source.run_count))
        attempts.end()

    again(world, body)
    assert seen == [("Completed", "COMPLETED", 1), ("Completed", "COMPLETED", 0)]


def test_the_final_state_is_given_again_too(world: World) -> None:
    work, calls = counted(world)
    attempts = Attempts()

    async def body() -> Any:
        attempts.begin()
        state = await world.call(work, 5, return_state=True)
        attempts.end()
        return state.result()

    assert again(world, body) == 5
    assert calls == [5]


@pytest.mark.parametrize("how", ["submit", "map"])
def test_a_result_that_is_given_again_in_a_paused_flow_comes_when_it_goes_on(world: World, how: str) -> None:
    counted: list[int] = []

    @world.task
    def count(x: int) -> int:
        counted.append(x)
        return x

    @world.flow(retries=1)
    async def body() -> Any:
        context = FlowRunContext.get()
        assert context is not None
        run = context.flow_run
        if run.run_count > 1:
            propose_state(Paused(), flow_run_id=run.uuid)
        futures = [count.submit(1)] if how == "submit" else list(count.map([1]))
        if run.run_count == 1:
            await world.result(futures[0])
            raise ValueError("once")
        names.append(futures[0].state.name)
        resumed.append(resume_flow_run(run.uuid))
        return await world.result(futures[0])

    names: list[str] = []
    resumed: list[Any] = []
    assert world.run(body) == 1
    assert (names, counted) == (["Paused"], [1])


def test_a_task_with_a_timeout_hooks_and_a_name_does_nothing_of_it_again(world: World) -> None:
    told: list[str] = []
    hooks = [lambda *each: told.append(each[2].name)]
    work, calls = counted(world, timeout_seconds=60, on_completion=hooks, on_running=hooks, task_run_name="work on {x}")
    attempts = Attempts()

    async def body() -> Any:
        attempts.begin()
        result = await world.call(work, 1), await world.result(work.submit(2))
        attempts.end()
        return result

    assert again(world, body) == (1, 2)
    assert (calls, told) == ([1, 2], ["Running", "Completed"] * 2)


def test_a_result_in_a_storage_is_given_again_from_there(world: World) -> None:
    work, calls = counted(world, persist_result=True, cache_result_in_memory=False, result_storage="memory://")
    attempts = Attempts()

    async def body() -> Any:
        attempts.begin()
        result = await world.call(work, 5), await world.result(work.submit(6))
        attempts.end()
        return result

    assert again(world, body) == (5, 6)
    assert calls == [5, 6]


def test_a_generator_that_was_iterated_over_is_iterated_over_again() -> None:
    attempts = Attempts()
    yielded: list[int] = []

    @task
    def numbers() -> Generator[int]:
        for number in (1, 2):
            yielded.append(number)
            yield number

    @flow(retries=1)
    def body() -> Any:
        attempts.begin()
        first, later = list(numbers()), numbers.submit().result()
        attempts.end()
        return first, later

    assert body() == ([1, 2], [1, 2])
    assert yielded == [1, 2, 1, 2, 1, 2]  # iterated over, submitted, iterated over again


def test_what_was_rolled_back_is_done_again() -> None:
    attempts = Attempts()
    done: list[str] = []

    @task(on_rollback=[lambda _: done.append("undone")])
    def work() -> str:
        done.append("done")
        return "result"

    @flow(retries=1)
    def body() -> Any:
        attempts.begin()
        with transaction():
            result = work()
            attempts.end()
            return result

    assert body() == "result"
    assert done == ["done", "undone", "done"]


def test_a_third_attempt_knows_what_the_first_came_to_although_the_second_broke_off_early(world: World) -> None:
    work, calls = counted(world)
    attempts = Attempts(2)

    async def body() -> Any:
        number = attempts.begin()
        results = [await world.call(work, 1)]
        if number == 2:
            raise Broken
        results += [await world.call(work, 2), await world.call(work, 3)]
        attempts.end()
        return results

    assert again(world, body, retries=2) == [1, 2, 3]
    assert calls == [1, 2, 3]


def test_a_task_that_completes_in_the_second_attempt_is_not_run_in_the_third(world: World) -> None:
    attempts = Attempts(0)

    def fails(x: int) -> int:
        if attempts.made <= x:
            raise Broken
        return x

    work, calls = counted(world, fails)

    async def body() -> Any:
        attempts.begin()
        return [await world.call(work, x) for x in (0, 1, 2)]

    assert again(world, body, retries=2) == [0, 1, 2]
    assert calls == [0, 1, 1, 2, 2]


def test_hooks_of_the_flow_that_call_tasks_take_part_in_no_count(world: World) -> None:
    work, calls = counted(world)
    attempts = Attempts()

    async def announce(*_: Any) -> None:
        await world.call(work, "hook")

    async def body() -> Any:
        attempts.begin()
        result = await world.call(work, "body")
        attempts.end()
        return result

    hook: Any = announce if world.async_flows else lambda *_: work("hook")
    assert again(world, body, on_running=[hook]) == "body"
    assert calls == ["hook", "body", "hook"]


def test_without_retries_nothing_is_kept() -> None:
    kept: list[Any] = []

    @flow
    def body() -> None:
        context = FlowRunContext.get()
        assert context is not None
        kept.append(context.flow_run.replay)

    body()
    assert kept == [None]


# The order.


def test_another_call_at_the_same_place_is_an_error_that_names_both(world: World) -> None:
    fetch, _ = counted(world, name="fetch")
    parse, parse_calls = counted(world, name="parse")
    attempts = Attempts()

    async def body() -> None:
        number = attempts.begin()
        await world.call(fetch, 0)
        await world.call(fetch if number == 1 else parse, 1)
        attempts.end()

    with pytest.raises(FlowOrderChanged, match="calls 'parse' as its call 2, where it called 'fetch' before"):
        again(world, body)
    assert parse_calls == []


@pytest.mark.parametrize("how", ["submit", "map", "subflow"])
def test_however_it_is_called(world: World, how: str) -> None:
    fetch, _ = counted(world, name="fetch")
    parse, _ = counted(world, name="parse")
    subflow = world.flow(lambda x: x, name="inner")
    attempts = Attempts()

    async def body() -> None:
        number = attempts.begin()
        if number == 1:
            await world.call(fetch, 1)
        elif how == "subflow":
            await world.call(subflow, 1)
        else:
            await world.result(getattr(parse, how)([1]))
        attempts.end()

    named = "flow inner" if how == "subflow" else "parse"
    with pytest.raises(FlowOrderChanged, match=f"calls '{named}' as its call 1, where it called 'fetch' before"):
        again(world, body)


def test_a_map_of_another_size_is_another_call(world: World) -> None:
    work, _ = counted(world)
    attempts = Attempts()

    async def body() -> None:
        number = attempts.begin()
        await world.result(work.map(range(2 + number)))
        attempts.end()

    with pytest.raises(FlowOrderChanged, match="calls 'work, 4 times' as its call 1, where it called 'work, 3 times'"):
        again(world, body)


def test_a_changed_order_stays_an_error_in_later_attempts(world: World) -> None:
    fetch, _ = counted(world, name="fetch")
    parse, parse_calls = counted(world, name="parse")
    attempts = Attempts()

    async def body() -> None:
        number = attempts.begin()
        await world.call(fetch if number == 1 else parse, 1)
        attempts.end()

    with pytest.raises(FlowOrderChanged):
        again(world, body, retries=3)
    assert (attempts.made, parse_calls) == (4, [])


def test_more_calls_than_before_are_none_of_the_orders_business(world: World) -> None:
    work, calls = counted(world)
    attempts = Attempts()

    async def body() -> Any:
        number = attempts.begin()
        results = [await world.call(work, x) for x in range(number + 1)]
        attempts.end()
        return results

    assert again(world, body) == [0, 1, 2]
    assert calls == [0, 1, 2]


def test_behind_the_first_call_that_did_not_complete_the_body_may_go_another_way(world: World) -> None:
    attempts = Attempts(0)

    def fails_first(x: Any) -> Any:
        if attempts.made == 1:
            raise Broken
        return x

    first, first_calls = counted(world, name="first")
    shaky, _ = counted(world, fails_first, name="shaky")
    plan_a, a_calls = counted(world, name="plan_a")
    plan_b, b_calls = counted(world, name="plan_b")
    last, last_calls = counted(world, name="last")

    async def body() -> Any:
        attempts.begin()
        await world.call(first, 0)
        state = await world.call(shaky, 1, return_state=True)
        await world.call(plan_a if state.is_failed() else plan_b, 2)
        result = await world.call(last, 3)
        if state.is_failed():
            raise Broken
        return result

    assert again(world, body) == 3
    assert (first_calls, a_calls, b_calls, last_calls) == ([0], [2], [2], [3])


def test_a_changed_order_of_subflows_leaves_nothing_behind(world: World) -> None:
    one = world.flow(lambda: 1, name="one")
    other = world.flow(lambda: 2, name="other")
    attempts = Attempts()
    runs: list[FlowRun] = []

    async def body() -> None:
        context = FlowRunContext.get()
        assert context is not None
        runs.append(context.flow_run)
        number = attempts.begin()
        await world.call(one if number == 1 else other)
        attempts.end()

    with pytest.raises(FlowOrderChanged):
        again(world, body)
    assert (runs[0].live, runs[0].spawned) == (0, 1)


# Strands.


def test_pipelines_that_run_beside_each_other_each_get_their_own_results() -> None:
    attempts = Attempts()
    calls: list[Any] = []
    turns = {1: 5, 2: 3, 3: 0}  # the last one is the first to go on

    @task
    async def fetch(x: int) -> int:
        for _ in range(turns[x]):
            await asyncio.sleep(0)
        calls.append(("fetch", x))
        return 10 * x

    @task
    async def parse(x: int) -> int:
        calls.append(("parse", x))
        return x + 1

    async def pipeline(x: int) -> tuple[int, int]:
        return x, await parse(await fetch(x))

    @flow(retries=1)
    async def body() -> Any:
        attempts.begin()
        results = await asyncio.gather(*(pipeline(x) for x in (1, 2, 3)))
        attempts.end()
        return results

    assert asyncio.run(body()) == [(1, 11), (2, 21), (3, 31)]
    assert sorted(calls) == [("fetch", 1), ("fetch", 2), ("fetch", 3), ("parse", 10), ("parse", 20), ("parse", 30)]


@pytest.mark.parametrize("how", ["task", "map", "flow"])
def test_pipelines_that_come_in_another_order_than_before_get_their_own_results(how: str) -> None:
    attempts = Attempts()
    calls: list[Any] = []

    async def work(x: str) -> str:
        calls.append(x)
        return x.upper()

    single, inner = task(work), flow(name="inner")(work)

    async def pipeline(x: str, turn: asyncio.Event, then: asyncio.Event) -> Any:
        await turn.wait()
        if how == "map":
            result = (await single.map([x]))[0]
        else:
            result = await (single if how == "task" else inner)(x)
        then.set()
        return x, result

    @flow(retries=1)
    async def body() -> Any:
        order = "abc" if attempts.begin() == 1 else "cba"
        turns = {x: asyncio.Event() for x in order}
        after = dict(zip(order, [*(turns[x] for x in order[1:]), asyncio.Event()], strict=True))
        turns[order[0]].set()
        results = await asyncio.gather(*(pipeline(x, turns[x], after[x]) for x in "abc"))
        attempts.end()
        return results

    assert asyncio.run(body()) == [("a", "A"), ("b", "B"), ("c", "C")]
    assert calls == ["a", "b", "c"]


def test_threads_that_come_in_another_order_than_before_get_their_own_results() -> None:
    attempts = Attempts()
    calls: list[int] = []

    @task
    def work(x: int) -> int:
        calls.append(x)
        return 10 * x

    def in_thread(x: int) -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, work, x).result()

    @flow(retries=1)
    def body() -> Any:
        order = (1, 2) if attempts.begin() == 1 else (2, 1)
        results = {x: in_thread(x) for x in order}
        attempts.end()
        return results

    assert body() == {1: 10, 2: 20}
    assert calls == [1, 2]


def test_the_only_branch_that_begins_with_a_task_keeps_its_place_though_its_arguments_change() -> None:
    attempts = Attempts()
    calls: list[int] = []

    @task
    async def work(x: int) -> int:
        calls.append(x)
        return x

    @flow(retries=1)
    async def body() -> Any:
        number = attempts.begin()
        async with asyncio.TaskGroup() as group:
            result = group.create_task(work(number))
        attempts.end()
        return result.result()

    assert asyncio.run(body()) == 1
    assert calls == [1]


def test_of_several_branches_whose_arguments_change_none_gets_the_result_of_another() -> None:
    attempts = Attempts()
    calls: list[int] = []

    @task
    async def work(x: int) -> int:
        calls.append(x)
        return x

    @flow(retries=1)
    async def body() -> Any:
        first = 10 * attempts.begin()
        results = await asyncio.gather(work(first), work(first + 1))
        attempts.end()
        return results

    assert asyncio.run(body()) == [20, 21]
    assert calls == [10, 11, 20, 21]


def test_only_the_pipeline_that_failed_is_run_on() -> None:
    attempts = Attempts(0)
    calls: list[Any] = []

    @task
    async def fetch(x: int) -> int:
        calls.append(("fetch", x))
        return x

    @task
    async def parse(x: int) -> int:
        calls.append(("parse", x))
        await asyncio.sleep(0)
        if x == 2 and attempts.made == 1:
            raise Broken
        return x

    async def pipeline(x: int) -> int:
        return await parse(await fetch(x))

    @flow(retries=1)
    async def body() -> Any:
        attempts.begin()
        results = await asyncio.gather(*(pipeline(x) for x in (1, 2, 3)), return_exceptions=True)
        for each in results:
            if isinstance(each, BaseException):
                raise each
        return results

    assert asyncio.run(body()) == [1, 2, 3]
    assert sorted(calls) == [("fetch", x) for x in (1, 2, 3)] + [("parse", x) for x in (1, 2, 2, 3)]


def test_branches_of_branches_are_told_apart() -> None:
    attempts = Attempts()
    calls: list[Any] = []

    @task
    async def work(x: Any) -> Any:
        calls.append(x)
        return x

    async def inner(x: int, y: int) -> Any:
        return await work((x, y))

    async def outer(x: int) -> Any:
        first = await work(x)
        async with asyncio.TaskGroup() as group:
            several = [group.create_task(inner(x, y)) for y in range(3)]
        return first, [each.result() for each in several]

    @flow(retries=1)
    async def body() -> Any:
        attempts.begin()
        results = await asyncio.gather(outer(0), outer(1))
        attempts.end()
        return results

    assert asyncio.run(body()) == [(x, [(x, y) for y in range(3)]) for x in (0, 1)]
    assert len(calls) == 8


def test_a_branch_that_goes_another_way_is_run_anew_and_nobody_is_told_off() -> None:
    attempts = Attempts()
    calls: list[str] = []

    def named(name: str) -> Any:
        @task(name=name)
        async def work() -> str:
            calls.append(name)
            return name

        return work

    one, other, both = named("one"), named("other"), named("both")

    async def branch(number: int) -> Any:
        return [await both(), await (one if number == 1 else other)(), await both()]

    @flow(retries=1)
    async def body() -> Any:
        number = attempts.begin()
        async with asyncio.TaskGroup() as group:
            result = group.create_task(branch(number))
        attempts.end()
        return result.result()

    assert asyncio.run(body()) == ["both", "other", "both"]
    assert calls == ["both", "one", "both", "other", "both"]


def test_threads_of_the_body_are_branches() -> None:
    attempts = Attempts()
    calls: list[int] = []

    @task
    def work(x: int) -> int:
        calls.append(x)
        return x

    def in_thread(x: int) -> int:
        with ThreadPoolExecutor(1) as pool:
            return pool.submit(copy_context().run, work, x).result()

    @flow(retries=1)
    def body() -> Any:
        attempts.begin()
        result = [in_thread(1), work(2), in_thread(3)]
        attempts.end()
        return result

    assert body() == [1, 2, 3]
    assert calls == [1, 2, 3]


def test_calls_of_a_branch_do_not_come_between_those_of_the_body() -> None:
    attempts = Attempts()
    calls: list[str] = []

    @task
    async def beside(x: int) -> None:
        calls.append(f"beside {x}")
        await asyncio.sleep(0)

    @task
    async def work(x: int) -> None:
        calls.append(f"work {x}")
        await asyncio.sleep(0)

    async def branch() -> None:
        for x in range(3):
            await beside(x)

    @flow(retries=1)
    async def body() -> None:
        number = attempts.begin()
        async with asyncio.TaskGroup() as group:
            group.create_task(branch())
            for x in range(2):
                if number == 2:
                    await asyncio.sleep(0)
                await work(x)
        attempts.end()

    asyncio.run(body())
    assert sorted(calls) == ["beside 0", "beside 1", "beside 2", "work 0", "work 1"]


# The tool itself.


def test_nothing_is_found_in_a_first_attempt() -> None:
    replay = Replay()
    replay.enter()
    assert replay.call("work", 1) == {}


def found(replay: Replay, *names: str, first_id: int) -> list[Any]:
    """What calls get, one after the other; None for nothing."""
    results: list[Any] = []
    for index, name in enumerate(names):
        given = replay.call(name, first_id + index)
        results.append(given[0].data if given else None)
    return results


def test_results_belong_to_places_not_to_ids() -> None:
    replay = Replay()
    replay.enter()
    assert found(replay, "a", "b", "a", first_id=10) == [None] * 3
    for run_id, data in ((10, "first a"), (11, "b"), (12, "second a")):
        replay.completed(run_id, data)
    replay.begin_again()
    replay.enter()
    assert found(replay, "a", "b", "a", first_id=20) == ["first a", "b", "second a"]


def test_a_result_that_is_none_is_a_result() -> None:
    replay = Replay()
    replay.enter()
    replay.call("work", 1)
    replay.completed(1, None)
    replay.begin_again()
    replay.enter()
    (given,) = replay.call("work", 2).values()
    assert given.data is None


def test_what_is_rolled_back_before_it_is_told_of_counts_as_undone() -> None:
    replay = Replay()
    replay.enter()
    replay.call("work", 1)
    replay.rolled_back(1)
    replay.completed(1, "too late")
    replay.begin_again()
    replay.enter()
    assert replay.call("work", 2) == {}


def test_an_attempt_that_is_over_takes_no_calls() -> None:
    replay = Replay()
    context = copy_context()
    context.run(replay.enter)
    replay.begin_again()
    with pytest.raises(CancelledRun, match="attempt of the flow run is over"):
        context.run(replay.call, "work", 1)


def test_whoever_is_not_in_the_body_gets_nothing_and_counts_nothing() -> None:
    replay, outside = Replay(), copy_context()
    body = copy_context()
    body.run(replay.enter)
    body.run(replay.call, "work", 1)
    replay.completed(1, "result")
    assert outside.run(replay.call, "work", 2) == {}
    replay.begin_again()
    body.run(replay.enter)
    assert body.run(replay.call, "work", 3)[0].data == "result"


def test_a_body_that_goes_on_in_another_thread_stays_one_strand() -> None:
    replay = Replay()
    body = copy_context()
    body.run(replay.enter)
    body.run(replay.call, "work", 1)

    def go_on() -> None:
        body.run(replay.step)
        body.run(replay.call, "work", 2)

    thread = threading.Thread(target=go_on)
    thread.start()
    thread.join()
    replay.completed(1, "one")
    replay.completed(2, "two")
    replay.begin_again()
    body.run(replay.enter)
    assert [body.run(replay.call, "work", number)[0].data for number in (3, 4)] == ["one", "two"]
