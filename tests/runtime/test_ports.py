"""The ports: a clock that never goes back, and ids that only grow."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import timedelta

import pytest

from millrace import Engine, FlowRunContext, State, TaskRunContext
from millrace.runtime import ports
from millrace.runtime.ports import ForwardClock, IdSource
from tests.loose import flow, task

SECOND = 1_000_000_000
HOUR = 3600 * SECOND


class World:
    """A wall clock that can be set, and a steady one."""

    def __init__(self) -> None:
        self.wall_ns = 1_700_000_000 * SECOND
        self.steady_ns = 12 * HOUR
        self.looks = 0
        self.clock = ForwardClock(self.wall, self.steady)
        self.looks = 0

    def wall(self) -> int:
        """What the wall clock says."""
        self.looks += 1
        return self.wall_ns

    def steady(self) -> int:
        """What the steady clock says."""
        return self.steady_ns

    def pass_time(self, ns: int) -> None:
        """Both go on."""
        self.wall_ns += ns
        self.steady_ns += ns

    @property
    def ahead(self) -> int:
        """By how much the clock is ahead of the wall clock."""
        return self.clock.now() - self.wall_ns


@pytest.fixture
def world() -> World:
    return World()


# The clock.


def test_the_clock_says_what_the_wall_clock_says(world: World) -> None:
    for step in (1, 999, SECOND, HOUR):
        world.pass_time(step)
        assert world.ahead == 0


@pytest.mark.parametrize("back", [1, SECOND, HOUR])
def test_the_clock_goes_on_at_its_pace_when_the_wall_clock_is_set_back(world: World, back: int) -> None:
    before = world.clock.now()
    world.wall_ns -= back
    for passed in range(5):
        assert world.clock.now() == before + passed * SECOND
        world.pass_time(SECOND)
    assert world.ahead == back


@pytest.mark.parametrize("forward", [1, SECOND, HOUR])
def test_the_clock_follows_within_a_second_when_the_wall_clock_is_set_forward(world: World, forward: int) -> None:
    world.wall_ns += forward
    assert world.ahead == -forward
    world.pass_time(SECOND)
    assert world.ahead == 0


def test_the_clock_catches_up_after_the_machine_was_suspended(world: World) -> None:
    world.pass_time(SECOND // 2)
    before = world.clock.now()
    world.wall_ns += 8 * HOUR  # the steady clock stood still
    world.pass_time(SECOND // 2)
    assert world.clock.now() == before + 8 * HOUR + SECOND // 2
    assert world.ahead == 0


def test_the_clock_meets_a_wall_clock_that_was_set_back_and_comes_forward_again(world: World) -> None:
    world.wall_ns -= HOUR
    world.pass_time(SECOND)
    assert world.ahead == HOUR
    world.wall_ns += HOUR + SECOND
    world.pass_time(SECOND)
    assert world.ahead == 0


def test_the_clock_looks_at_the_wall_clock_once_a_second(world: World) -> None:
    for _ in range(100):
        world.pass_time(SECOND // 10)
        world.clock.now()
    assert world.looks == 10


def test_a_thread_that_is_held_up_while_it_looks_does_not_put_the_clock_ahead(world: World) -> None:
    def held_up_after(read: Callable[[], int]) -> Callable[[], int]:
        def reading() -> int:
            found = read()
            world.pass_time(3 * SECOND)
            return found

        return reading

    clock = ForwardClock(held_up_after(world.wall), held_up_after(world.steady))
    for _ in range(20):
        clock.now()
        assert clock._lead <= world.wall_ns - world.steady_ns


def test_a_look_in_the_middle_of_another_one_does_not_put_the_clock_back(world: World) -> None:
    """Another thread looks, or a signal handler below this one, and the wall clock has been set forward meanwhile."""
    inside = [0]  # what the inner one says; not before the clock is there

    def steady() -> int:
        if world.looks and not inside:  # the first look has read the wall clock, and not the steady one
            inside.append(0)
            world.wall_ns += HOUR
            inside[0] = clock.now()
        return world.steady_ns

    clock = ForwardClock(world.wall, steady)
    inside.clear()
    world.looks = 0
    world.pass_time(SECOND)
    outside = clock.now()
    assert len(inside) == 1
    assert outside >= inside[0]
    world.pass_time(SECOND)
    assert clock.now() == world.wall_ns


def test_a_run_in_which_the_wall_clock_is_set_back_has_its_states_in_order(world: World) -> None:
    seen: list[list[State[object]]] = []

    @task(retries=1)
    def step() -> None:
        context = TaskRunContext.get()
        assert context is not None
        world.pass_time(SECOND)
        world.wall_ns -= HOUR
        if context.task_run.run_count == 1:
            raise ValueError
        seen.append(context.task_run.history())

    @flow
    def body() -> None:
        context = FlowRunContext.get()
        assert context is not None
        world.pass_time(SECOND)
        step()
        seen.append(context.flow_run.history())

    engine = Engine(clock=world.clock.now)
    assert engine.start(body).result(10) is None
    assert [[each.name for each in history] for history in seen] == [
        ["Pending", "Running", "Retrying"],
        ["Pending", "Running"],
    ]
    times = [each.timestamp for each in seen[0]]
    assert times[1] - times[0] >= timedelta(0)
    assert times[2] - times[1] == timedelta(seconds=1)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this platform has no fork")
def test_the_child_of_a_fork_goes_on_from_where_its_parent_was() -> None:
    """Also where another thread of the parent was looking at the wall clock at the moment of the fork."""
    code = """
import os
from millrace.runtime import ports

ports._system._guard.acquire()
before = ports.system_clock()
pid = os.fork()
if pid == 0:
    ports._system._look_at = 0
    late = ports.system_clock() >= before and ports._system._look_at > 0
    os._exit(7 if late else 1)
_, status = os.waitpid(pid, 0)
print(os.waitstatus_to_exitcode(status))
"""
    found = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        timeout=30,
        env=os.environ | {"PYTHONPATH": "src"},
        capture_output=True,
        text=True,
    )
    assert found.stdout == "7\n"


def test_the_clock_of_the_system_is_near_the_wall_clock() -> None:
    before = time.time_ns()
    assert abs(ports.system_clock() - before) < HOUR


# Ids.


def test_ids_only_grow_though_the_clock_is_set_back() -> None:
    times = iter([5_000_000, 9_000_000, 1_000_000, 1_000_000, 20_000_000])
    source = IdSource(lambda: next(times), lambda count: bytes(range(256)) * (count // 256))
    made = [source.fresh() for _ in range(5)]
    assert made == sorted(set(made))
    assert [number >> 80 for number in made] == [5, 9, 9, 9, 20]


def test_an_id_leaves_room_for_the_ids_of_children() -> None:
    source = IdSource(lambda: 5_000_000, lambda count: bytes(range(256)) * (count // 256))
    first, second = source.fresh(), source.fresh()
    assert first % 2**IdSource.CHILD_BITS == 0
    assert second - first >= 2**IdSource.CHILD_BITS
    assert source.fresh_uuid().version == 7
