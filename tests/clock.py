"""Virtual time for engines: a clock that stands still until it is told to go on."""

from __future__ import annotations

import heapq
import itertools
from collections.abc import Callable
from threading import Lock, Semaphore
from typing import Any

START = 1_700_000_000_000_000_000

PATIENCE_SECONDS = 20.0
"""After so long a test that waits for a timer gives up."""


class VirtualAlarm:
    """A timer that was set."""

    def __init__(self, call: Callable[[], None]) -> None:
        self.call: Callable[[], None] | None = call

    def call_off(self) -> None:
        """Call nothing."""
        self.call = None


class VirtualTime:
    """A clock and its timers: `Engine(clock=time.now, timers=time)`."""

    def __init__(self) -> None:
        self._now = START
        self._due: list[tuple[int, int, VirtualAlarm]] = []
        self._order = itertools.count()
        self._lock = Lock()

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        return self._now

    @property
    def elapsed(self) -> float:
        """Seconds that have passed."""
        return (self._now - START) / 1e9

    @property
    def waiting(self) -> int:
        """How many timers are set."""
        return sum(alarm.call is not None for _, _, alarm in self._due)

    @property
    def due(self) -> int:
        """When the next timer rings, in nanoseconds since the epoch."""
        return min(at for at, _, alarm in self._due if alarm.call is not None)

    def call_at(self, at: int, call: Callable[[], None], lane: Any) -> VirtualAlarm:
        """Call something when the time comes."""
        alarm = VirtualAlarm(call)
        with self._lock:
            heapq.heappush(self._due, (at, next(self._order), alarm))
        return alarm

    def advance(self, seconds: float) -> None:
        """Let time pass, and call what becomes due, each at its own moment."""
        until = self._now + round(seconds * 1e9)
        while True:
            with self._lock:
                if not self._due or self._due[0][0] > until:
                    break
                at, _, alarm = heapq.heappop(self._due)
                call = alarm.call
                if call is None:
                    continue
                alarm.call = None
                self._now = max(self._now, at)
            call()
        self._now = until


class Stepped(VirtualTime):
    """Virtual time that can be waited for: until a timer has been set."""

    def __init__(self) -> None:
        super().__init__()
        self.delays: list[float] = []
        self._set = Semaphore(0)

    def call_at(self, at: int, call: Callable[[], None], lane: Any) -> VirtualAlarm:
        self.delays.append((at - self.now()) / 1e9)
        alarm = super().call_at(at, call, lane)
        self._set.release()
        return alarm

    def timer_set(self) -> None:
        """Wait until somebody waits for a time."""
        assert self._set.acquire(timeout=PATIENCE_SECONDS), "Nobody waits for a time."
