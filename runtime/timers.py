"""Timers: what wakes runs that wait for a time, and ends those whose time is over. A port; a simulation gives another.

Decides on which loop the system's timers run, and how they are kept: all that wait on one lane are one heap, behind
one timer of the loop, which is set for the earliest. So a waiting run holds no thread, no slot and no asyncio task,
and a timer that is called off before its time costs the loop nothing.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from contextvars import Context
from heapq import heapify, heappop, heappush
from threading import Lock
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    import asyncio

    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.ports import Clock

LITTER: Final = 64
"""So many timers that were called off may stay in a heap, and as many as there are others: then they are swept out."""


class Alarm(Protocol):
    """A timer that was set."""

    def call_off(self) -> None:
        """Call nothing. From any thread; a no-op when it has been called."""


class Timers(Protocol):
    """Calls something at a time."""

    def call_at(self, at: int, call: Callable[[], None], lane: Callable[[], LoopLane]) -> Alarm:
        """Call something once.

        Args:
            at: Nanoseconds since the epoch; a time that is past means soon.
            call: What to call; quick, and never raises.
            lane: Gives a lane whose loop may keep the time.

        Returns:
            What calls it off.
        """
        ...


class LoopTimers:
    """Timers kept by event loops."""

    def __init__(self, now: Clock) -> None:
        self._now = now

    def call_at(self, at: int, call: Callable[[], None], lane: Callable[[], LoopLane]) -> TimerEntry:
        """Call something once, from the lane's loop."""
        chosen = lane()
        queue = chosen.timers
        if queue is None:
            queue = chosen.timers_or(TimerQueue(chosen, self._now))
        return queue.add(at, call)


class TimerEntry:
    """One timer of a queue."""

    __slots__ = ("_call", "_queue")

    def __init__(self, call: Callable[[], None], queue: TimerQueue) -> None:
        self._call: Callable[[], None] | None = call  # None: called, or called off
        self._queue = queue

    @property
    def wanted(self) -> bool:
        """Whether it is still to be called."""
        return self._call is not None

    def ring(self) -> None:
        """Its time has come."""
        call, self._call = self._call, None
        if call is not None:
            call()

    def call_off(self) -> None:
        """Call nothing."""
        if self._call is not None:
            self._call = None
            self._queue.litter()


class TimerQueue:
    """All timers that one lane's loop keeps: one heap, and one timer of the loop."""

    __slots__ = ("_armed", "_handle", "_heap", "_lane", "_litter", "_lock", "_now", "_order")

    def __init__(self, lane: LoopLane, now: Clock) -> None:
        self._lane = lane
        self._now = now
        self._lock = Lock()
        self._heap: list[tuple[int, int, TimerEntry]] = []
        self._order = itertools.count()
        self._litter = 0  # entries that were called off; may lag behind by a few, as it is counted without the lock
        self._armed = 0  # for when the loop's timer is set, or is about to be; 0 where there is none
        self._handle: asyncio.TimerHandle | None = None  # touched on the loop only

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: int, call: Callable[[], None]) -> TimerEntry:
        """Set a timer. From any thread."""
        entry = TimerEntry(call, self)
        with self._lock:
            heappush(self._heap, (at, next(self._order), entry))
            if self._armed and self._armed <= at:
                return entry
            self._armed = at
        if self._lane.here:
            self._arm()
        else:
            self._lane.post(self._arm)
        return entry

    def litter(self) -> None:
        """An entry was called off: sweep when there are too many."""
        self._litter += 1
        if self._litter > LITTER and self._litter > len(self._heap) // 2:
            with self._lock:
                self._heap = [each for each in self._heap if each[2].wanted]
                heapify(self._heap)
                self._litter = 0

    def _arm(self) -> None:
        """Set the loop's timer for the earliest. On the loop."""
        with self._lock:
            at = self._armed = self._heap[0][0] if self._heap else 0
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if at:
            delay = max(0, at - self._now()) / 1e9
            # An empty context: the handle must not keep alive what happened to be current here.
            self._handle = self._lane.loop.call_later(delay, self._ring, context=Context())

    def _ring(self) -> None:
        """Call all that are due. On the loop."""
        now = self._now()
        due: list[TimerEntry] = []
        with self._lock:
            while self._heap and (self._heap[0][0] <= now or not self._heap[0][2].wanted):
                due.append(heappop(self._heap)[2])
        errors: list[Exception] = []
        for entry in due:
            try:
                entry.ring()
            except Exception as error:  # noqa: BLE001  # raised below: it belongs to one timer, and the others ring
                errors.append(error)
        self._arm()
        if errors:
            raise errors[0]
