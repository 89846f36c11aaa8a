"""Timers: what wakes runs that wait for a time, and ends those whose time is over. A port; a simulation gives another.

Decides on which loop the system's timers run, and how they are kept: all that wait on one lane are one queue, behind
one timer of the loop, which is set for the earliest. So a waiting run holds no thread, no slot and no asyncio task,
and a timer that is called off before its time costs the loop nothing.

Runs of one task mostly wait equally long, so most timers come in the order of their times. Those stand in a line; a
heap has the others, which need a number beside their time, as one that comes later may be for the same. The numbers
only tell apart those of one time, so they are kept small: Python has these already, and a new one would be 32 bytes.
"""

from __future__ import annotations

from collections import deque
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
"""So many timers that were called off may stay in a queue, and as many as there are others: then they are swept out."""

_CROWD: Final = 20
"""So many timers in a heap for each counter; where there are more it is given more counters."""

_MORE: Final = 3
"""Times as many. No power of two, nor of ten: the system's clock may count in such steps."""


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
    """One timer of a queue. There may be a million of them, so it holds no more than it must."""

    __slots__ = ("at", "call", "order", "queue")

    def __init__(self, at: int, call: Callable[[], None], queue: TimerQueue) -> None:
        self.at = at
        self.call: Callable[[], None] | None = call  # None: it was called, or called off
        self.order = 0  # its place among those of the heap for the same time; 0 in the line
        self.queue = queue

    def __lt__(self, other: TimerEntry) -> bool:
        """Whether it comes before another one of the heap."""
        return self.order < other.order if self.at == other.at else self.at < other.at

    @property
    def wanted(self) -> bool:
        """Whether it is still to be called."""
        return self.call is not None

    def ring(self) -> None:
        """Its time has come."""
        call, self.call = self.call, None
        if call is not None:
            call()

    def call_off(self) -> None:
        """Call nothing."""
        if self.call is not None:
            self.call = None
            self.queue.litter()


class TimerQueue:
    """All timers that one lane's loop keeps: a line, a heap, and one timer of the loop."""

    __slots__ = ("_armed", "_handle", "_heap", "_lane", "_latest", "_line", "_litter", "_lock", "_now", "_orders")

    def __init__(self, lane: LoopLane, now: Clock) -> None:
        self._lane = lane
        self._now = now
        self._lock = Lock()
        self._line: deque[TimerEntry] = deque()  # in the order of their times, and then in that in which they came
        self._heap: list[TimerEntry] = []
        # The latest time of any that has stood in the line since all was empty. What is for an earlier one is in the
        # heap, so of two for the same time the one in the line came first.
        self._latest = 0
        self._orders = [0]  # the last number of the heap for each remainder that a time may leave
        self._litter = 0  # entries that were called off; may lag behind by a few, as it is counted without the lock
        self._armed = 0  # for when the loop's timer is set, or is about to be; 0 where there is none
        self._handle: asyncio.TimerHandle | None = None  # touched on the loop only

    def __len__(self) -> int:
        return len(self._line) + len(self._heap)

    def add(self, at: int, call: Callable[[], None]) -> TimerEntry:
        """Set a timer. From any thread."""
        entry = TimerEntry(at, call, self)
        with self._lock:
            if at >= self._latest or not (self._line or self._heap):
                self._latest = at
                self._line.append(entry)
            else:
                entry.order = self._next_order(at)
                heappush(self._heap, entry)
            if self._armed and self._armed <= at:
                return entry
            self._armed = at
        if self._lane.here:
            self._arm()
        else:
            self._lane.post(self._arm)
        return entry

    def _next_order(self, at: int) -> int:
        """A number above those of all in the heap that are for the same time. With the lock."""
        orders = self._orders
        if not self._heap:
            orders[:] = [0]
        elif len(self._heap) > _CROWD * len(orders):
            orders *= _MORE  # a new remainder goes on from the number of the one that it was part of
        place = at % len(orders)
        orders[place] += 1
        return orders[place]

    def litter(self) -> None:
        """An entry was called off: sweep when there are too many."""
        self._litter += 1
        if self._litter > LITTER and self._litter > len(self) // 2:
            with self._lock:
                self._line = deque(each for each in self._line if each.wanted)
                self._heap = [each for each in self._heap if each.wanted]
                heapify(self._heap)
                self._litter = 0

    def _first(self) -> TimerEntry | None:
        """The earliest. With the lock."""
        line, heap = self._line, self._heap
        if heap and not (line and line[0].at <= heap[0].at):
            return heap[0]
        return line[0] if line else None

    def _arm(self) -> None:
        """Set the loop's timer for the earliest. On the loop."""
        with self._lock:
            first = self._first()
            at = self._armed = 0 if first is None else first.at
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
            while (first := self._first()) is not None and (first.at <= now or not first.wanted):
                due.append(heappop(self._heap) if first.order else self._line.popleft())
        errors: list[Exception] = []
        for entry in due:
            try:
                entry.ring()
            except Exception as error:  # noqa: BLE001  # raised below: it belongs to one timer, and the others ring
                errors.append(error)
        self._arm()
        if errors:
            raise errors[0]
