"""Deadlines that are met: they stand in a line, behind one timer for the first. Those that are missed: timeouts."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from typing import Any
from weakref import ref

import pytest

from millrace import Engine
from millrace.runtime.deadlines import Line
from tests.clock import START, VirtualTime
from tests.loose import flow, task
from tests.runtime.worlds import PATIENCE, SYNC, World

SECONDS = 60.0


class Counting(VirtualTime):
    """Counts the timers that are set."""

    def __init__(self) -> None:
        super().__init__()
        self.set = 0

    def call_at(self, at: int, call: Callable[[], None], lane: Any) -> Any:
        self.set += 1
        return super().call_at(at, call, lane)


class Result:
    """Something that can be held weakly."""


@pytest.fixture
def time() -> Counting:
    return Counting()


@pytest.fixture
def engine(time: Counting) -> Iterator[Engine]:
    made = Engine(threads=4, clock=time.now, timers=time)
    yield made
    made.close(cancel=True)


def lines_of(engine: Engine) -> list[Line]:
    """The lines of the engine's own loops, which keep the time of sync flows."""
    return [line for own in engine.loops.own for line in own.lane.deadlines.values()]


def test_any_number_of_deadlines_that_are_met_sets_one_timer_on_a_lane(
    world: World, engine: Engine, time: Counting
) -> None:
    @world.task(timeout_seconds=SECONDS)
    def quick(x: int) -> int:
        return x

    async def body() -> Any:
        return [*await world.result(quick.map(range(50))), *[await world.call(quick, x) for x in range(50)]]

    assert world.body(body, engine=engine) == [*range(50), *range(50)]
    # A body that never waits has no deadline to keep. A sync call on a loop's thread holds that loop up, so that the
    # time is kept by another one meanwhile.
    lanes = 0 if world.async_tasks else 2 if world.async_flows else 1
    assert time.set == lanes


def test_what_is_met_behind_one_that_is_not_leaves_the_line_and_holds_nothing(engine: Engine) -> None:
    go_on, begun = threading.Event(), threading.Event()

    @task(timeout_seconds=SECONDS)
    def first() -> None:
        begun.set()
        assert go_on.wait(PATIENCE)

    @task(timeout_seconds=SECONDS)
    def quick(_x: int) -> Any:
        return Result()

    @flow
    def body() -> None:
        future = first.submit()
        assert begun.wait(PATIENCE)
        result = ref(quick.submit(0).result(PATIENCE))
        assert quick.map(range(20)).wait(PATIENCE)
        (line,) = lines_of(engine)
        assert len(line.deadlines) == 1
        assert result() is None
        go_on.set()
        future.result(PATIENCE)
        assert not line.deadlines

    SYNC.run(body, engine=engine)


def test_a_line_is_forgotten_when_its_last_time_is_over(engine: Engine, time: Counting) -> None:
    @task
    def quick() -> None: ...

    @flow
    def body() -> None:
        for seconds in range(1, 51):
            quick.with_options(timeout_seconds=seconds)()
        assert len(lines_of(engine)) == 50
        time.advance(25)
        assert len(lines_of(engine)) == 25
        quick.with_options(timeout_seconds=1)()
        time.advance(50)
        assert not lines_of(engine)

    SYNC.run(body, engine=engine)


def test_those_of_one_time_are_missed_each_at_its_own_moment(engine: Engine, time: Counting) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    @task(timeout_seconds=SECONDS, interruptible=False)
    def slow() -> None:
        begun.release()
        assert go_on.wait(PATIENCE)

    @flow
    def body() -> list[float]:
        futures = []
        for pause in (10, 20, 30):
            futures.append(slow.submit())
            assert begun.acquire(timeout=PATIENCE)
            time.advance(pause)
        time.advance(29)  # the time of the third is not over yet
        assert [future.state.name for future in futures] == ["TimedOut", "TimedOut", "Running"]
        time.advance(1)
        go_on.set()
        assert futures[2].wait(PATIENCE)
        return [future.state.nanoseconds - START for future in futures]

    ends = SYNC.run(body, engine=engine)
    assert ends == [round(each * 1e9) for each in (60, 70, 90)]
    assert time.set == 3  # for the first, for the second, for the third


def test_two_times_do_not_stand_in_each_others_way(engine: Engine, time: Counting) -> None:
    begun, go_on = threading.Semaphore(0), threading.Event()

    def waits() -> None:
        begun.release()
        assert go_on.wait(PATIENCE)

    long, short = (task(timeout_seconds=each, interruptible=False)(waits) for each in (SECONDS, SECONDS / 2))

    @flow
    def body() -> list[str]:
        futures = [long.submit(), short.submit()]
        for _ in futures:
            assert begun.acquire(timeout=PATIENCE)
        time.advance(SECONDS / 2)
        names = [future.state.name for future in futures]
        go_on.set()
        assert futures[0].wait(PATIENCE)
        return names

    assert SYNC.run(body, engine=engine) == ["Running", "TimedOut"]
