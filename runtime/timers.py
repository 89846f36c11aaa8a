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
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    import asyncio

    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.ports import Clock

LITTER: Final = 64
"""So many timers that were called off may stay in a heap, and as many as there are others: then they are swept out."""


_AT: Final = 0
_CALL: Final = 2
_QUEUE: Final = 3


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


class TimerEntry(list[Any]):
    """One timer of a queue: its time, its place among those of that time, what to call, the queue.

    A list, so that it is what stands in the heap: lists are compared item by item, and the first two tell all apart. An
    object beside that would be another hundred bytes for each of a million runs that wait. In place of what to call
    stands None when that was called, or called off.
    """

    __slots__ = ()

    @property
    def wanted(self) -> bool:
        """Whether it is still to be called."""
        return self[_CALL] is not None

    def ring(self) -> None:
        """Its time has come."""
        call, self[_CALL] = self[_CALL], None
        if call is not None:
            call()

    def call_off(self) -> None:
        """Call nothing."""
        if self[_CALL] is not None:
            self[_CALL] = None
            self[_QUEUE].litter()


class TimerQueue:
    """All timers that one lane's loop keeps: one heap, and one timer of the loop."""

    __slots__ = ("_armed", "_handle", "_heap", "_lane", "_litter", "_lock", "_now", "_order")

    def __init__(self, lane: LoopLane, now: Clock) -> None:
        self._lane = lane
        self._now = now
        self._lock = Lock()
        self._heap: list[TimerEntry] = []
        self._order = itertools.count()
        self._litter = 0  # entries that were called off; may lag behind by a few, as it is counted without the lock
        self._armed = 0  # for when the loop's timer is set, or is about to be; 0 where there is none
        self._handle: asyncio.TimerHandle | None = None  # touched on the loop only

    def __len__(self) -> int:
        return len(self._heap)

    def add(self, at: int, call: Callable[[], None]) -> TimerEntry:
        """Set a timer. From any thread."""
        entry = TimerEntry((at, next(self._order), call, self))
        with self._lock:
            heappush(self._heap, entry)
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
                self._heap = [each for each in self._heap if each.wanted]
                heapify(self._heap)
                self._litter = 0

    def _arm(self) -> None:
        """Set the loop's timer for the earliest. On the loop."""
        with self._lock:
            at = self._armed = self._heap[0][_AT] if self._heap else 0
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
            while self._heap and (self._heap[0][_AT] <= now or not self._heap[0].wanted):
                due.append(heappop(self._heap))
        errors: list[Exception] = []
        for entry in due:
            try:
                entry.ring()
            except Exception as error:  # noqa: BLE001  # raised below: it belongs to one timer, and the others ring
                errors.append(error)
        self._arm()
        if errors:
            raise errors[0]
