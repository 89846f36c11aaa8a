"""Maps under limits: how many of their runs there are at a time; and maps and streams with a rate of their own."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Iterator
from typing import Any

import pytest

from millrace import AdaptiveLimit, ConfigurationError, Engine, RateLimit, TaskRunner, flow, task
from tests.checkpoints import turns, until
from tests.runtime.flowing import all_of
from tests.runtime.worlds import Gate, World


@pytest.mark.anyio
async def test_a_map_under_a_limit_makes_runs_as_they_are_served() -> None:
    most = 0

    @task(tags=["db"])
    async def load(number: int, engine: Engine) -> int:
        nonlocal most
        await asyncio.sleep(0)
        most = max(most, len(engine.flow_runs()[0].children))
        return number

    @flow
    async def work(engine: Engine) -> int:
        return sum(await load.map(range(2_000), engine))

    async with Engine(limits={"db": 4}) as engine:
        assert await work(engine) == sum(range(2_000))
    assert most < 100


@pytest.mark.parametrize("most", [None, 3, 50])
def test_maps_under_limits_run_all_their_items_in_every_world(world: World, most: int | None) -> None:
    @world.task(tags=["db"], retries=1)
    async def load(number: int) -> int:
        if number % 7 == 0 and number not in seen:
            seen.add(number)
            raise ValueError(number)
        return number

    seen: set[int] = set()

    async def body() -> int:
        options = {} if most is None else {"max_in_flight": most}
        return sum(await world.result(load.map(range(200), **options)))

    engine = Engine(limits={"db": 2})
    assert world.body(body, engine=engine) == sum(range(200))
    engine.close()


@pytest.mark.anyio
async def test_others_get_slots_in_between_the_runs_of_a_map() -> None:
    came: list[Any] = []

    @task(tags=["db"])
    async def load(item: Any) -> None:
        came.append(item)
        await asyncio.sleep(0)

    @flow
    async def work(engine: Engine) -> None:
        futures = load.map(range(500))
        await until(lambda: len(came) > 3)
        await load.submit("other")
        await futures

    async with Engine(limits={"db": 2}) as engine:
        await work(engine)
    assert came.index("other") < 150


@pytest.mark.anyio
async def test_a_cancelled_map_that_waits_for_a_limit_leaves_nothing_behind() -> None:
    gate = Gate(blocks=False)

    @task(tags=["db"])
    async def load(_number: int) -> None:
        await gate.passed()

    @flow
    async def work(engine: Engine) -> None:
        _ = load.map(range(1_000))
        await until(lambda: engine.limits["db"].held == 2)
        await turns()
        engine.flow_runs()[0].cancel()
        await asyncio.Event().wait()

    async with Engine(limits={"db": 2}) as engine:
        state = await work(engine, return_state=True)
        assert state.is_cancelled()
        assert (engine.limits["db"].held, engine.limits["db"].waiters()) == (0, [])


# Rates of their own.


def test_a_map_with_a_rate_begins_so_often(world: World, millrace_engine: Any, millrace_clock: Any) -> None:
    @world.task
    def ask(_number: int) -> float:
        return float(millrace_clock.elapsed)

    async def body() -> list[float]:
        found: list[float] = await world.result(ask.map(range(6), rate_limit=RateLimit(1, per_seconds=2, burst=2)))
        return found

    assert sorted(world.body(body)) == pytest.approx([0, 0, 2, 4, 6, 8], abs=1e-3)


@pytest.mark.anyio
async def test_a_number_is_so_many_a_second_and_each_map_has_its_own(millrace_engine: Any, millrace_clock: Any) -> None:
    times: dict[str, list[float]] = {"a": [], "b": [], "free": []}

    @task
    async def ask(name: str) -> None:
        times[name].append(round(millrace_clock.elapsed, 3))

    @flow
    async def work() -> None:
        maps = [ask.map(["a"] * 6, rate_limit=4), ask.map(["b"] * 3, rate_limit=1), ask.map(["free"] * 5)]
        for each in maps:
            await each

    await work()
    assert times == {"a": [0, 0, 0, 0, 0.25, 0.5], "b": [0, 1, 2], "free": [0] * 5}


@pytest.mark.anyio
async def test_each_attempt_takes_a_token(millrace_engine: Any, millrace_clock: Any) -> None:
    times: list[float] = []

    @task(retries=2)
    async def ask(_number: int) -> None:
        times.append(round(millrace_clock.elapsed, 3))
        if len(times) < 3:
            raise ValueError

    @flow
    async def work() -> None:
        await ask.map([0], rate_limit=RateLimit(1, burst=1))

    await work()
    assert times == [0, 1, 2]


@pytest.mark.parametrize("ordered", [True, False])
def test_a_stream_with_a_rate_begins_so_often(
    world: World, ordered: bool, millrace_engine: Any, millrace_clock: Any
) -> None:
    @world.task
    def ask(_number: int) -> float:
        return float(millrace_clock.elapsed)

    async def body() -> list[float]:
        rate = RateLimit(1, per_seconds=2, burst=2)
        return await all_of(world, ask.stream(range(6), rate_limit=rate, max_in_flight=4, ordered=ordered))

    assert sorted(world.body(body)) == pytest.approx([0, 0, 2, 4, 6, 8], abs=1e-3)


@pytest.mark.anyio
async def test_each_stream_has_a_rate_of_its_own(millrace_engine: Engine, millrace_clock: Any) -> None:
    times: dict[str, list[float]] = {"a": [], "b": []}

    @task
    async def ask(name: str) -> None:
        times[name].append(round(millrace_clock.elapsed, 3))

    async def each(name: str, rate: int) -> None:
        async for _ in ask.stream([name] * 4, rate_limit=rate):
            pass

    @flow
    async def work() -> None:
        await asyncio.gather(each("a", 2), each("b", 1))

    await work()
    assert times == {"a": [0, 0, 0.5, 1], "b": [0, 1, 2, 3]}


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["break", "cancel"])
async def test_a_stream_that_is_left_while_its_runs_wait_for_their_rate_leaves_nothing_behind(
    how: str, millrace_engine: Engine, millrace_clock: Any
) -> None:
    asked = 0

    @task
    async def ask(number: int) -> int:
        nonlocal asked
        asked += 1
        return number

    def numbers() -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            closed.append(True)

    closed: list[bool] = []

    @flow
    async def work() -> None:
        async for _ in ask.stream(numbers(), rate_limit=RateLimit(1, per_seconds=60, burst=2), max_in_flight=8):
            if asked == 2 and how == "break":
                break
            if asked == 2:
                millrace_engine.flow_runs()[0].cancel()

    state = await work(return_state=True)
    assert state.is_cancelled() == (how == "cancel")
    assert (asked, closed) == (2, [True])
    assert millrace_clock.elapsed < 60


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["map", "stream"])
@pytest.mark.parametrize("rate", [0, -1, 1.5, float("nan"), True, "10", AdaptiveLimit()])
async def test_what_is_no_rate_is_refused(rate: Any, how: str) -> None:
    @task
    async def ask(_number: int) -> None:
        """Never runs."""

    async with Engine():
        with pytest.raises(
            ConfigurationError, match=r"'rate_limit' takes a RateLimit, or how many a second, 1 or more"
        ):
            _ = getattr(ask, how)([1], rate_limit=rate)


@pytest.mark.parametrize("how", ["map", "stream"])
def test_a_runner_of_ones_own_keeps_no_rate(how: str) -> None:
    class Own(TaskRunner):
        def duplicate(self) -> Own:
            return Own()

        def submit(self, task: Any, parameters: Any, wait_for: Any = None) -> Any:
            raise NotImplementedError

    @task
    def ask(_number: int) -> None:
        """Never runs."""

    @flow(task_runner=Own())
    def body() -> None:
        with pytest.raises(ConfigurationError, match=rf"^'rate_limit' takes nothing, for a {how} with Own\(\)"):
            getattr(ask, how)([1], rate_limit=1)

    body()


@pytest.mark.anyio
async def test_none_is_no_rate() -> None:
    @task
    async def ask(number: int) -> int:
        return number

    async with Engine():
        assert await ask.map([1, 2], rate_limit=None) == [1, 2]
        assert [each async for each in ask.stream([1, 2], rate_limit=None, ordered=True)] == [1, 2]


@pytest.mark.anyio
async def test_a_parameter_of_that_name_is_the_tasks_own() -> None:
    @task
    async def ask(rate_limit: int) -> int:
        return rate_limit

    async with Engine():
        assert await ask.map(rate_limit=[1, 2]) == [1, 2]
