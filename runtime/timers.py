"""Timers: what wakes runs that wait for a time. A port; a simulation gives another one.

Decides on which loop the system's timers run. A waiting run holds no thread, no slot and no asyncio task, only an
entry in the loop's timer queue.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.ports import Clock


class Timers(Protocol):
    """Calls something at a time."""

    def call_at(self, at: int, call: Callable[[], None], lane: Callable[[], LoopLane]) -> None:
        """Call something once.

        Args:
            at: Nanoseconds since the epoch; a time that is past means soon.
            call: What to call; quick, and never raises.
            lane: Gives a lane whose loop may keep the time.
        """


class LoopTimers:
    """Timers kept by an event loop."""

    def __init__(self, now: Clock) -> None:
        self._now = now

    def call_at(self, at: int, call: Callable[[], None], lane: Callable[[], LoopLane]) -> None:
        """Call something once, from the lane's loop."""
        chosen = lane()
        delay = max(0, at - self._now()) / 1e9
        if chosen.here:
            chosen.loop.call_later(delay, call)
        else:
            chosen.post(lambda: _later(chosen, delay, call))


def _later(lane: LoopLane, delay: float, call: Callable[[], None]) -> None:
    lane.loop.call_later(delay, call)
