"""`map(max_in_flight=)`: of one map, never more runs between start and end than it says, and always as many."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

from millrace import ConfigurationError, Engine, Future, SequentialTaskRunner, TaskRunner, ThreadPoolTaskRunner
from tests.checkpoints import until
from tests.loose import flow, task
from tests.runtime.crowds import Crowd
from tests.runtime.worlds import PATIENCE, World

WAIT = 20.0


@pytest.mark.parametrize("most", [1, 3, 1_000])
def test_never_more_runs_of_the_map_are_on_their_way(world: World, most: int) -> None:
    crowd = Crowd()
    enters = crowd.passing(world)

    async def body() -> list[int]:
        found: list[int] = await world.result(enters.map(range(100), max_in_flight=most))
        return found

    assert world.body(body) == list(range(100))
    assert crowd.most <= most


def test_as_many_runs_of_the_map_are_on_their_way(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "6")
    crowd = Crowd()
    enters = crowd.gathering(world, 4)

    async def body() -> list[int]:
        found: list[int] = await world.result(enters.map(range(30), max_in_flight=4))
        return found

    assert world.body(body) == list(range(30))
    assert crowd.most == 4


def test_a_run_that_waits_for_its_next_attempt_keeps_its_place(world: World) -> None:
    order: list[tuple[int, int]] = []
    attempts: dict[int, int] = {}

    @world.task(retries=2, retry_delay_seconds=0.001)
    async def succeeds_late(x: int) -> int:
        attempts[x] = attempts.get(x, 0) + 1
        order.append((x, attempts[x]))
        if attempts[x] < 3:
            raise ValueError(x)
        return x

    async def body() -> None:
        await world.result(succeeds_late.map(range(4), max_in_flight=1))

    world.body(body)
    assert order == [(x, attempt) for x in range(4) for attempt in (1, 2, 3)]


def test_runs_that_waited_for_others_have_no_more_places(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "8")
    crowd = Crowd()

    @world.task
    async def same(x: int) -> int:
        return x

    enters = crowd.passing(world)

    async def body() -> list[int]:
        found: list[int] = await world.result(enters.map(same.map(range(60)), max_in_flight=2))
        return found

    assert world.body(body) == list(range(60))
    assert crowd.most <= 2


def test_runs_that_were_looked_at_have_no_more_places(world: World) -> None:
    crowd = Crowd()
    enters = crowd.passing(world)

    async def body() -> list[int]:
        futures = enters.map(range(30), max_in_flight=2)
        futures.all()
        found: list[int] = await world.result(futures)
        return found

    assert world.body(body) == list(range(30))
    assert crowd.most <= 2


def test_two_maps_have_places_of_their_own(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "4")
    gate = world.gate()
    entered: list[str] = []

    @world.task
    async def enters(name: str) -> str:
        entered.append(name)
        if len(entered) == 2:
            gate.open()
        await gate.passed()
        return name

    async def body() -> None:
        maps: list[Any] = [enters.map([name] * 3, max_in_flight=1) for name in "ab"]
        for each in maps:
            await world.result(each)

    world.body(body)
    assert sorted(entered[:2]) == ["a", "b"]


@pytest.mark.parametrize("runner", [SequentialTaskRunner(), ThreadPoolTaskRunner(3)])
def test_task_runners_keep_to_it(world: World, runner: Any) -> None:
    crowd = Crowd()

    @world.task
    async def enters(x: int) -> int:
        with crowd:
            return x

    @world.flow(task_runner=runner)
    async def body() -> list[int]:
        found: list[int] = await world.result(enters.map(range(50), max_in_flight=2))
        return found

    assert world.run(body) == list(range(50))
    assert crowd.most <= 2


def test_a_map_with_a_bound_is_cancelled_as_any_other(world: World) -> None:
    begun = threading.Event()
    gate = world.gate()

    @world.task
    async def waits(_x: int) -> None:
        begun.set()
        await gate.passed()

    @world.flow
    async def body() -> None:
        futures = waits.map(range(100), max_in_flight=2)
        _ = futures[50]  # made, and in front of the lane
        await world.result(futures)

    async def main() -> None:
        async with Engine() as engine:
            future = engine.start(body)
            await until(begun.is_set)
            assert (await engine.cancel(future.flow_run_id)).is_cancelled()
            assert future.flow_run.counts() == {"cancelled": 100}
            if not world.async_tasks:
                gate.open()
            await until(lambda: not engine.stats().threads.busy)

    with asyncio.Runner(loop_factory=world.new_loop) as runner:
        runner.run(asyncio.wait_for(main(), WAIT))


def test_a_bound_and_a_priority_go_together(world: World) -> None:
    async def body() -> list[int]:
        found: list[int] = await world.result(same.map(range(50), max_in_flight=2, priority=3))
        return found

    @world.task
    async def same(x: int) -> int:
        return x

    assert world.body(body) == list(range(50))


def test_a_body_that_waits_for_runs_of_its_own_bounded_map_gets_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")

    @task
    def inner(x: int) -> int:
        return x

    @task
    def outer(x: int) -> int:
        return sum(inner.map(range(x), max_in_flight=1).result(PATIENCE))

    @flow
    def body() -> list[int]:
        found: list[int] = outer.map(range(5), max_in_flight=2).result(PATIENCE)
        return found

    assert body() == [0, 0, 1, 3, 6]


@pytest.mark.parametrize("most", [0, -3, 2.5, "3", True])
def test_a_bound_is_a_whole_number(most: Any) -> None:
    @task
    def nothing(_x: int) -> None: ...

    with pytest.raises(ConfigurationError, match=r"^'max_in_flight' takes a whole number, 1 or more, not "):
        nothing.map([1], max_in_flight=most)


def test_a_runner_of_ones_own_cannot_be_bound() -> None:
    class Own(TaskRunner):
        def duplicate(self) -> Own:
            return Own()

        def submit(self, task: Any, parameters: Any, wait_for: Any = None) -> Future[Any]:
            raise NotImplementedError

    @task
    def nothing(_x: int) -> None: ...

    @flow(task_runner=Own())
    def body() -> None:
        with pytest.raises(ConfigurationError, match=r"^'max_in_flight' takes nothing, for a map with Own\(\)"):
            nothing.map([1], max_in_flight=1)

    body()
