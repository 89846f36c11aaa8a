"""Clock: virtual time for an engine, which passes when it is told to.

Decides what time it is and whose time has come. Does not know runs: when nothing but time is waited for is decided by
`standing`, and `mover` acts on it.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import contextmanager
from threading import Lock
from typing import TYPE_CHECKING, Final

from millrace.actors.seconds import checked_seconds
from millrace.runtime.ports import system_clock

if TYPE_CHECKING:
    from millrace.runtime.loop_lane import LoopLane

_MICROSECOND: Final = 1_000


class VirtualAlarm:
    """A timer that was set."""

    __slots__ = ("_clock", "at", "call", "lane")

    def __init__(self, clock: VirtualClock, at: int, call: Callable[[], None], lane: LoopLane) -> None:
        self._clock = clock
        self.at = at
        self.call: Callable[[], None] | None = call  # None: called, or called off. Guarded by the clock's lock
        self.lane = lane

    def call_off(self) -> None:
        """Call nothing."""
        self._clock.take(self)


class VirtualClock:
    """Time that passes when it is told to, or when an engine waits for nothing else.

    It begins at the present moment. What a body does with clocks of its own, such as `asyncio.sleep`, takes real time.
    """

    def __init__(self) -> None:
        # A whole microsecond: states have no finer times. The present: ids are made of the time, and do not repeat.
        self._start = self._now = system_clock() // _MICROSECOND * _MICROSECOND
        self._due: list[tuple[int, int, VirtualAlarm]] = []  # (when, in which order they were set, what); a heap
        self._expected: Counter[int] = Counter()  # microsecond -> timers that are to be called then
        self._order = itertools.count()
        self._lock = Lock()
        self._watchers: list[Callable[[], None]] = []
        self.moves_by_itself = True

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return self._now

    @property
    def elapsed(self) -> float:
        """Seconds that have passed."""
        return (self._now - self._start) / 1e9

    def advance(self, seconds: float) -> None:
        """Let time pass, whatever is waited for. What becomes due is called, each at its own moment, on this thread.

        Runs that are woken by that run when their loop or thread comes to it: in async code, at the next `await`.

        Args:
            seconds: How many.

        Raises:
            ConfigurationError: it is no number, or less than 0.
        """
        until = self._now + round(checked_seconds("seconds", seconds) * 1e9)
        self._pass_to(until)
        with self._lock:
            self._now = max(self._now, until)
        self._tell()

    @contextmanager
    def held(self) -> Generator[None]:
        """Time does not pass by itself inside the block: only `advance` moves it."""
        before, self.moves_by_itself = self.moves_by_itself, False
        try:
            yield
        finally:
            self.moves_by_itself = before
            self._tell()

    # For an engine.

    def call_at(self, at: int, call: Callable[[], None], lane: Callable[[], LoopLane]) -> VirtualAlarm:
        """Call something once, when the time comes; the port that an engine sets its timers through."""
        alarm = VirtualAlarm(self, at, call, lane())
        with self._lock:
            heapq.heappush(self._due, (at, next(self._order), alarm))
            self._expected[at // _MICROSECOND] += 1
        self._tell()
        return alarm

    def watch(self, changed: Callable[[], None]) -> None:
        """Have a function called whenever a timer was set, or time has passed."""
        self._watchers.append(changed)

    def first(self) -> VirtualAlarm | None:
        """The next timer; None where none is set."""
        with self._lock:
            while self._due and self._due[0][2].call is None:
                heapq.heappop(self._due)
            return self._due[0][2] if self._due else None

    def lanes(self) -> list[LoopLane]:
        """Whose loops may keep the time of what is set: each once, without those that are closed."""
        with self._lock:
            lanes = {id(alarm.lane): alarm.lane for _, _, alarm in self._due if alarm.call is not None}
        return [lane for lane in lanes.values() if not lane.loop.is_closed()]

    def expects(self, at: int) -> bool:
        """Whether a timer is set for a time, to the microsecond."""
        return self._expected[at // _MICROSECOND] > 0

    def move_on(self) -> None:
        """Let time pass to the next timer, and call what is due within that microsecond."""
        alarm = self.first()
        if alarm is not None:
            self._pass_to((alarm.at // _MICROSECOND + 1) * _MICROSECOND - 1)

    def take(self, alarm: VirtualAlarm) -> Callable[[], None] | None:
        """What a timer calls, which is called only once; None where somebody else has taken it."""
        with self._lock:
            call, alarm.call = alarm.call, None
            if call is not None:
                moment = alarm.at // _MICROSECOND
                self._expected[moment] -= 1
                if not self._expected[moment]:
                    del self._expected[moment]
        return call

    def _pass_to(self, until: int) -> None:
        """Let time pass, and call what is due by then, each at its own moment."""
        while (alarm := self.first()) is not None and alarm.at <= until:
            call = self.take(alarm)
            if call is not None:
                with self._lock:
                    self._now = max(self._now, alarm.at)
                call()

    def _tell(self) -> None:
        for changed in self._watchers:
            changed()
