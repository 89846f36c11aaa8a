"""Timers: one heap and one timer of the loop for all that wait on it, in a loop whose time a test tells."""

from __future__ import annotations

import asyncio
import gc
import random
import threading
import tracemalloc
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any, cast

import pytest

from millrace import Engine, flow, task
from millrace.runtime.loop_lane import LoopLane
from millrace.runtime.ports import system_clock
from millrace.runtime.timers import LITTER, LoopTimers, TimerEntry, TimerQueue
from tests.clock import START
from tests.runtime.worlds import PATIENCE

SECOND = 10**9


class Handle:
    """A timer of the loop."""

    def __init__(self, at: int, call: Callable[[], None]) -> None:
        self.at, self.call, self.cancelled = at, call, False

    def cancel(self) -> None:
        self.cancelled = True


class Loop:
    """A loop and a lane into it; its time stands still until it is told to go on."""

    def __init__(self) -> None:
        self.ns = START
        self.handles: list[Handle] = []
        self.posted: list[Callable[[], None]] = []
        self.here = True
        self.timers: TimerQueue | None = None
        self.queue = TimerQueue(cast("Any", self), self.now)
        self.rung: list[Any] = []

    @property
    def loop(self) -> Loop:
        return self

    def now(self) -> int:
        return self.ns

    def call_later(self, delay: float, call: Callable[[], None], *, context: Context) -> Handle:
        assert not list(context.items()), "a timer keeps what was current alive"
        handle = Handle(self.ns + round(delay * 1e9), call)
        self.handles.append(handle)
        return handle

    def post(self, call: Callable[[], None]) -> None:
        self.posted.append(call)

    def set(self, seconds: float, name: Any = None) -> TimerEntry:
        """Set a timer that notes its name and when it rang."""
        label = seconds if name is None else name
        return self.queue.add(START + round(seconds * 1e9), lambda: self.rung.append((label, (self.ns - START) / 1e9)))

    @property
    def live(self) -> list[Handle]:
        """The timers that the loop really has."""
        return [handle for handle in self.handles if not handle.cancelled]

    def advance(self, seconds: float) -> None:
        until = self.ns + round(seconds * 1e9)
        while due := sorted((each for each in self.live if each.at <= until), key=lambda each: each.at):
            self.ns = max(self.ns, due[0].at)
            self.handles.remove(due[0])
            due[0].call()
        self.ns = until


@pytest.fixture
def loop() -> Loop:
    return Loop()


# Order.


def test_timers_ring_in_the_order_of_their_times_each_at_its_own(loop: Loop) -> None:
    for seconds in (3, 1, 2.5, 0.001, 2):
        loop.set(seconds)
    loop.advance(10)

    assert loop.rung == [(0.001, 0.001), (1, 1.0), (2, 2.0), (2.5, 2.5), (3, 3.0)]
    assert len(loop.queue) == 0


def test_timers_for_the_same_time_ring_in_the_order_in_which_they_were_set(loop: Loop) -> None:
    for name in "abcde":
        loop.set(1, name)
    loop.advance(1)

    assert [name for name, _ in loop.rung] == list("abcde")


def test_however_timers_come_they_ring_in_the_order_of_their_times_and_then_as_they_were_set(loop: Loop) -> None:
    """Those that come in order stand in a line and the others in a heap, and some are swept out of both."""
    chance = random.Random(11)
    for _ in range(50):
        begin, loop.rung = loop.ns, []
        left: list[tuple[int, int]] = []
        for number in range(chance.randrange(1, 300)):
            seconds = chance.randrange(1, 5)
            entry = loop.queue.add(begin + seconds * SECOND, partial(loop.rung.append, (seconds, number)))
            if chance.random() < 0.4:
                entry.call_off()
            else:
                left.append((seconds, number))
        loop.advance(chance.choice([1, 2, 5]))
        loop.advance(5)
        assert loop.rung == sorted(left)
        assert len(loop.queue) == 0


def test_however_many_are_set_out_of_order_those_for_one_time_ring_as_they_were_set(loop: Loop) -> None:
    """The heap counts more finely the more are in it, and goes on from what it has counted by then."""
    chance = random.Random(3)
    loop.set(100, "line")
    expected = []
    for number in range(5_000):
        seconds = chance.randrange(1, 40) if number % 2 else number % 90 + 1  # some of them for one time, and far apart
        expected.append((seconds, number))
        loop.queue.add(START + seconds * SECOND, partial(loop.rung.append, (seconds, number)))
    loop.advance(99)

    assert loop.rung == sorted(expected)


def test_the_numbers_of_timers_that_are_set_out_of_order_are_small_however_many_there_are(loop: Loop) -> None:
    """A number above 256 is an object of its own, of 32 bytes."""
    chance = random.Random(5)
    loop.set(100)
    entries = [loop.set(chance.uniform(1, 99)) for _ in range(50_000)]
    large = [entry for entry in entries if entry.order > 256]

    assert len(large) < len(entries) / 100
    assert 0 not in {entry.order for entry in entries}


def test_what_is_set_for_a_time_after_the_line_was_swept_rings_after_what_was_set_before(loop: Loop) -> None:
    late = [loop.set(5, "late") for _ in range(2 * LITTER)]
    loop.set(3, "before")
    for each in late:
        each.call_off()
    assert len(loop.queue) <= LITTER + 1
    loop.set(2, "first")
    loop.set(3, "after")
    loop.advance(5)

    assert [name for name, _ in loop.rung] == ["first", "before", "after"]


def test_a_timer_does_not_ring_before_its_time(loop: Loop) -> None:
    loop.set(1)
    loop.advance(0.999_999_999)
    assert loop.rung == []
    loop.advance(0.000_000_001)
    assert loop.rung == [(1, 1.0)]


def test_a_time_that_is_past_means_soon(loop: Loop) -> None:
    loop.set(-5)
    assert loop.rung == []
    loop.advance(0)
    assert loop.rung == [(-5, 0.0)]


def test_a_loop_that_rings_early_is_asked_again(loop: Loop) -> None:
    """So uvloop does, which counts in milliseconds."""
    loop.set(1.0004)
    loop.ns += SECOND
    (handle,) = loop.live
    loop.handles.clear()
    handle.call()
    assert loop.rung == []
    loop.advance(0.001)
    assert loop.rung == [(1.0004, 1.0004)]


# One timer of the loop.


def test_all_timers_of_a_loop_are_one_timer_for_it(loop: Loop) -> None:
    for seconds in range(1, 1_001):
        loop.set(seconds)
        assert len(loop.live) == 1
    assert len(loop.handles) == 1
    for _ in range(1_000):
        assert len(loop.live) == 1
        loop.advance(1)
    assert loop.live == []
    assert len(loop.rung) == 1_000


def test_an_earlier_timer_brings_the_loops_timer_forward(loop: Loop) -> None:
    loop.set(10)
    loop.set(2)
    assert [handle.at for handle in loop.live] == [START + 2 * SECOND]
    loop.set(5)
    assert [handle.at for handle in loop.live] == [START + 2 * SECOND]
    loop.advance(20)

    assert [name for name, _ in loop.rung] == [2, 5, 10]


def test_a_timer_that_is_set_while_others_ring_rings_too(loop: Loop) -> None:

    def sets_others() -> None:
        loop.set(1, "at once")
        loop.set(1.5, "later")

    loop.queue.add(START + SECOND, sets_others)
    loop.advance(3)

    assert loop.rung == [("at once", 1.0), ("later", 1.5)]


def test_what_raises_when_it_is_called_does_not_keep_others_from_ringing(loop: Loop) -> None:
    """Found by reading: the others that were due were lost, and the loop's timer was not set again."""

    def raises() -> None:
        raise KeyError("broken")

    loop.queue.add(START + SECOND, raises)
    loop.set(1, "due too")
    loop.set(2, "later")
    with pytest.raises(KeyError):
        loop.advance(1)
    loop.advance(1)

    assert [name for name, _ in loop.rung] == ["due too", "later"]


# From other threads.


def test_from_another_thread_the_loop_is_asked_to_set_its_timer(loop: Loop) -> None:
    loop.here = False
    loop.set(2)
    assert (loop.live, len(loop.posted)) == ([], 1)
    loop.set(3)
    assert len(loop.posted) == 1  # an earlier one has been asked for
    loop.set(1)
    assert len(loop.posted) == 2
    for post in loop.posted:
        post()
    assert [handle.at for handle in loop.live] == [START + SECOND]
    loop.advance(5)

    assert [name for name, _ in loop.rung] == [1, 2, 3]


@pytest.mark.anyio
async def test_timers_that_are_set_by_many_threads_all_ring_on_the_loop() -> None:
    lane = LoopLane(asyncio.get_running_loop())
    timers = LoopTimers(system_clock)
    rung: list[int] = []
    done = asyncio.Event()
    on_loop = threading.get_ident()

    def ring(number: int) -> None:
        assert threading.get_ident() == on_loop
        rung.append(number)
        if len(rung) == 400:
            done.set()

    def sets(first: int) -> None:
        for number in range(first, first + 100):
            timers.call_at(system_clock() + number % 7 * 1_000_000, partial(ring, number), lambda: lane)

    threads = [threading.Thread(target=sets, args=(first,)) for first in range(0, 400, 100)]
    for thread in threads:
        thread.start()
    await asyncio.wait_for(done.wait(), PATIENCE)
    for thread in threads:
        thread.join()

    assert sorted(rung) == list(range(400))


@pytest.mark.anyio
async def test_each_lane_has_one_queue() -> None:
    lane = LoopLane(asyncio.get_running_loop())
    timers = LoopTimers(system_clock)
    first, second = (timers.call_at(system_clock() + SECOND, lambda: None, lambda: lane) for _ in range(2))

    assert lane.timers is not None
    assert len(lane.timers) == 2
    first.call_off()
    second.call_off()


def test_on_a_loop_that_is_closed_nothing_rings_and_nobody_is_held_up() -> None:
    closed = asyncio.new_event_loop()
    lane = LoopLane(closed)
    closed.close()
    rung: list[int] = []

    alarm = LoopTimers(system_clock).call_at(system_clock(), lambda: rung.append(1), lambda: lane)

    alarm.call_off()
    assert rung == []


# Calling off.


def test_a_timer_that_is_called_off_does_not_ring(loop: Loop) -> None:
    first, second = loop.set(1), loop.set(2)
    first.call_off()
    loop.advance(5)

    assert [name for name, _ in loop.rung] == [2]
    second.call_off()  # a no-op
    first.call_off()


def test_a_timer_may_call_off_another_that_is_due_at_the_same_time(loop: Loop) -> None:
    entries: list[TimerEntry] = []

    def calls_off() -> None:
        entries[0].call_off()

    loop.queue.add(START + SECOND, calls_off)
    entries.append(loop.set(1, "called off"))
    loop.advance(1)

    assert loop.rung == []


def test_a_timer_that_has_rung_or_was_called_off_keeps_nothing_alive(loop: Loop) -> None:
    class Held:
        pass

    def alive() -> int:
        gc.collect()
        return sum(isinstance(each, Held) for each in gc.get_objects())

    def hold() -> Callable[[], None]:
        return partial(list[Any].append, [], Held())

    rings, off = loop.queue.add(START + SECOND, hold()), loop.queue.add(START + SECOND, hold())
    assert alive() == 2
    off.call_off()
    assert alive() == 1
    loop.advance(1)
    assert alive() == 0
    assert not rings.wanted


@pytest.mark.parametrize("standing", [0, 10, 1_000])
def test_timers_that_were_called_off_are_swept_out(loop: Loop, standing: int) -> None:
    for number in range(standing):
        loop.set(1_000 + number)
    most = 0
    for _ in range(20_000):
        loop.set(500).call_off()
        most = max(most, len(loop.queue))

    assert most <= 2 * standing + 2 * LITTER + 2
    assert len(loop.handles) <= 2
    loop.advance(5_000)
    assert len(loop.rung) == standing


def test_whatever_is_set_and_called_off_the_rest_rings_at_its_time(loop: Loop) -> None:
    chance = random.Random(7)
    wanted: dict[int, float] = {}
    entries: dict[int, TimerEntry] = {}
    for number in range(5_000):
        seconds = chance.randrange(1, 2_000) / 10
        at = (loop.ns - START) / 1e9 + seconds
        entries[number] = loop.set(at, number)
        wanted[number] = at
        if chance.random() < 0.7:
            gone = chance.choice(list(entries)) if chance.random() < 0.1 else number
            entries.pop(gone).call_off()
            if wanted[gone] > (loop.ns - START) / 1e9:
                del wanted[gone]
        if chance.random() < 0.05:
            loop.advance(chance.random())
    loop.advance(1_000)

    assert sorted(name for name, _ in loop.rung) == sorted(wanted)
    assert all(rang == pytest.approx(wanted[name], abs=1e-9) for name, rang in loop.rung)


# Waiting runs.


@pytest.mark.parametrize(("jitter", "most"), [(0, 940), (1, 945)])
def test_runs_that_wait_are_one_timer_of_the_loop_and_little_memory_each(jitter: float, most: int) -> None:
    """So a million of them are less than a gigabyte, and no thread, no task and no slot, also where delays differ."""

    @task(retries=1, retry_delay_seconds=10**8, retry_jitter_factor=jitter)  # none comes meanwhile
    async def fails(number: int) -> None:
        raise ValueError

    count = 20_000

    @flow
    async def waits() -> int:
        lane = Engine.current().lane_here()
        before = asyncio.all_tasks()
        futures = fails.map(range(count))
        gc.collect()
        tracemalloc.start()
        while lane.timers is None or len(lane.timers) < count:  # noqa: ASYNC110  # no event says so
            await asyncio.sleep(0)
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert {future.state.name for future in futures[:100]} == {"AwaitingRetry"}
        assert len(asyncio.all_tasks()) <= len(before) + 1
        assert Engine.current().stats().threads.threads == 0
        scheduled = [each for each in getattr(asyncio.get_running_loop(), "_scheduled") if not each.cancelled()]  # noqa: B009  # checkers know no such attribute
        assert len(scheduled) == 1
        for future in futures:
            future.cancel()
        assert len(lane.timers) <= 2 * LITTER
        return size

    engine = Engine()
    size = asyncio.run(cast("Any", waits)())
    assert size / count <= most
    engine.close()
