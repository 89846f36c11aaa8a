"""What starts first: priorities on loops and in threads, of single runs, maps and streams; by the order of bodies."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from millrace import ConfigurationError, Engine, SequentialTaskRunner, ThreadPoolTaskRunner
from millrace.runtime import offload
from millrace.runtime.priorities import Ranks
from tests.loose import flow, task
from tests.runtime.worlds import World

WAIT = 20.0


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_THREADS", "1")


@pytest.fixture
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thread looks for other work after each run of a map."""
    ticks = iter(range(10**9))
    monkeypatch.setattr(offload, "perf_counter", lambda: float(next(ticks)))


def order_of(world: World, start: Callable[[Any], list[Any]]) -> list[Any]:
    """In which order bodies began that were put in line while the only worker was busy.

    Args:
        world: Of the flow and the tasks.
        start: Is given a task that notes its argument; starts runs of it, and returns their futures.
    """
    order: list[Any] = []
    in_line = threading.Event()

    @world.task
    async def notes(x: Any) -> None:
        order.append(x)

    @task
    def holds_the_thread() -> None:
        assert in_line.wait(WAIT)

    @world.flow
    async def body() -> None:
        futures = [] if world.async_tasks else [holds_the_thread.submit()]
        if world.async_tasks and not world.async_flows:
            futures.append(holds_the_loop.submit())
        futures += start(notes)
        in_line.set()
        for each in futures:
            await world.ended(each)

    @task
    async def holds_the_loop() -> None:
        assert in_line.wait(WAIT)  # it is the engine's own, and nobody else is on it

    world.run(body)
    return order


def test_the_highest_number_starts_first(world: World) -> None:
    def start(notes: Any) -> list[Any]:
        return [notes.submit(x, priority=x) for x in (1, -2, 3, 0, 2, -1)]

    assert order_of(world, start) == [3, 2, 1, 0, -1, -2]


def test_among_equals_who_came_first_starts_first(world: World) -> None:
    def start(notes: Any) -> list[Any]:
        return [notes.submit((priority, x), priority=priority) for x in range(4) for priority in (0, 5, -5)]

    assert order_of(world, start) == [(priority, x) for priority in (5, 0, -5) for x in range(4)]


@pytest.mark.usefixtures("short_turns")
def test_a_map_has_a_priority_too(world: World) -> None:
    def start(notes: Any) -> list[Any]:
        return [
            notes.map([("usual", x) for x in range(40)]),
            notes.map([("late", x) for x in range(40)], priority=-1),
            notes.map([("soon", x) for x in range(40)], priority=1),
            notes.submit(("single", 0)),
        ]

    order = [name for name, _ in order_of(world, start)]
    assert order[:40] == ["soon"] * 40
    assert order[-40:] == ["late"] * 40
    assert order.index("single") < 40 + 17


@pytest.mark.usefixtures("short_turns")
def test_what_has_a_higher_priority_passes_a_map_that_has_begun(world: World) -> None:
    order: list[str] = []
    futures: list[Any] = []

    @world.task
    async def urgent() -> None:
        order.append("urgent")

    @world.task
    async def usual(x: int) -> None:
        order.append("usual")
        if x == 100:
            futures.append(urgent.submit(priority=1))

    @world.flow
    async def body() -> None:
        await world.ended(usual.map(range(1_000), priority=0))
        await world.ended(futures[0])

    world.run(body)
    assert order.index("urgent") <= 103


def test_a_run_that_waited_for_another_keeps_its_priority(world: World) -> None:
    def start(notes: Any) -> list[Any]:
        first = notes.submit("first")
        later = notes.submit("later", wait_for=[first], priority=1)
        return [first, later, *(notes.submit(x) for x in range(50))]

    order = order_of(world, start)
    assert order.index("later") == 1


def test_a_stream_has_a_priority(world: World) -> None:
    from tests.runtime.flowing import all_of  # noqa: PLC0415

    order: list[Any] = []

    @world.task
    async def notes(x: Any) -> None:
        order.append(x)

    @world.flow
    async def body() -> None:
        futures = notes.map(["map"] * 2_000)
        await all_of(world, notes.stream(["stream"] * 200, max_in_flight=200, priority=1))
        await world.ended(futures)

    world.run(body)
    assert order[-1] == "map"
    assert order.count("stream") == 200


def test_a_parameter_of_the_task_is_no_priority_of_the_run() -> None:
    @task
    def takes(x: int, *, priority: str = "none", max_in_flight: int = 0) -> Any:
        return x, priority, max_in_flight

    @flow
    def body() -> Any:
        one = takes.submit(1, priority="own").result()
        return one, takes.map([2], priority="own", max_in_flight=7).result()

    assert body() == ((1, "own", 0), [(2, "own", 7)])


@pytest.mark.parametrize("priority", ["high", 1.5, None, True])
def test_a_priority_is_a_whole_number(priority: Any) -> None:
    @task
    def nothing(_x: int) -> None: ...

    for how in (nothing.submit, nothing.map):
        with pytest.raises(ConfigurationError, match=r"^'priority' takes a whole number: the higher, the sooner"):
            how([1], priority=priority)


@pytest.mark.usefixtures("short_turns")
def test_a_pool_of_threads_knows_priorities() -> None:
    order: list[int] = []
    in_line = threading.Event()

    @task
    def notes(x: int) -> None:
        assert in_line.wait(WAIT)
        order.append(x)

    @flow(task_runner=ThreadPoolTaskRunner(1))
    def body() -> None:
        futures = [notes.submit(0)]
        futures += [notes.submit(x, priority=x) for x in (-1, 1, 2)]
        in_line.set()
        for each in futures:
            each.wait(WAIT)

    body()
    assert sorted(order[:2]) in ([0, 2], [1, 2])
    assert order[-1] == -1


def test_a_sequential_runner_keeps_the_order_of_submission() -> None:
    order: list[int] = []

    @task
    def notes(x: int) -> None:
        order.append(x)

    @flow(task_runner=SequentialTaskRunner())
    def body() -> None:
        for each in [notes.submit(x, priority=x) for x in range(5)]:
            each.wait(WAIT)

    body()
    assert order == list(range(5))


@pytest.mark.anyio
async def test_runs_with_a_priority_end_with_their_loop() -> None:
    @task
    async def nothing(_x: int) -> None: ...

    futures: list[Any] = []
    engine = Engine()

    async def submits() -> None:
        async with engine:
            futures.extend(nothing.submit(x, priority=x) for x in (1, -1))
            futures.append(nothing.map(range(100), priority=3))
            for each in asyncio.all_tasks():
                each.cancel()
            raise asyncio.CancelledError

    await asyncio.to_thread(_ignoring_cancellation, submits)
    for each in (*futures[:2], *futures[2]):
        assert each.done()
        assert each.state.is_completed() or each.state.is_cancelled() or each.state.is_crashed()


def _ignoring_cancellation(main: Callable[[], Any]) -> None:
    with pytest.raises(asyncio.CancelledError):
        asyncio.run(main())


def test_ranks_give_what_is_above_or_what_came_last() -> None:
    ranks: Ranks[str] = Ranks()
    assert ranks.first() is None
    assert ranks.first_or("other") == "other"
    ranks.put(-1, "late")
    assert ranks.first_or("other") == "other"
    assert ranks.first(above=-1) is None
    ranks.put(2, "soon")
    assert len(ranks) == 2
    assert ranks.first_or("other") == "soon"
    assert ranks.first_or("third") == "other"
    assert ranks.first(above=-1) == (0, "third")
    assert ranks.first() == (-1, "late")
    assert len(ranks) == 0
