"""Ports: what the engine takes from the world, so that a simulation can give something else.

Decides what time it is where the wall clock contradicts itself, and nothing else. A clock gives nanoseconds, an id
source gives 128-bit numbers; both are plain callables, because they are called for every transition.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Final

from millrace.actors import ambient
from millrace.actors.uuids import to_uuid

if TYPE_CHECKING:
    from uuid import UUID

Clock = Callable[[], int]
"""Nanoseconds since the epoch."""

_LOOK_NS: Final = 1_000_000_000  # between two looks at the wall clock: one takes as long as telling the time


class ForwardClock:
    """The time of the wall clock, except that it never goes back.

    It advances with a steady clock. Once a second it looks at the wall clock, and follows where that is ahead: it was
    set forward, or the machine was suspended and the steady clock stood still. It does not follow a wall clock that was
    set back, but stays ahead of it by so much until the process ends; so no run ends before it began, and none stands
    still. Between steps the two do not drift apart on Linux, where both go at the one rate that NTP gives them. A fork
    goes on from where its parent was.

    Args:
        wall: Nanoseconds since the epoch.
        steady: Nanoseconds since any moment; never goes back.
    """

    __slots__ = ("_guard", "_lead", "_look_at", "_steady", "_wall")

    def __init__(self, wall: Clock = time.time_ns, steady: Callable[[], int] = time.monotonic_ns) -> None:
        self._wall = wall
        self._steady = steady
        self._lead = wall() - steady()  # of the wall clock over the steady one; only grows
        self._look_at = steady() + _LOOK_NS  # by the steady clock
        self._guard = Lock()

    def now(self) -> int:
        """Nanoseconds since the epoch."""
        steady = self._steady()
        if steady >= self._look_at:
            self._follow(steady)
        return steady + self._lead

    def _follow(self, steady: int) -> None:
        if not self._guard.acquire(blocking=False):
            return  # another thread is at it, or this one is, below a signal handler
        try:
            # The wall clock first: a thread that is held up between the two finds too little, which a maximum forgives.
            wall = self._wall()
            self._lead = max(self._lead, wall - self._steady())
            self._look_at = steady + _LOOK_NS
        finally:
            self._guard.release()

    def renew(self) -> None:
        """In the child of a fork: another thread may have been looking at the wall clock at that moment."""
        self._guard = Lock()


_system = ForwardClock()
system_clock: Final[Clock] = _system.now

_POOL_BYTES = 4096  # random bytes are drawn by the pool: a system call per id costs more than the id


class IdSource:
    """UUIDs of version 7 as numbers: they sort by time, and within a process they only grow.

    A flow run's children are numbered from its own id upwards, so a child's id tells its flow run and its position,
    and is made by an addition. The low 32 bits of a fresh id are zero: room for four thousand million children.

    Source: RFC 9562, section 5.7, and its section 6.2 for the monotony.
    """

    CHILD_BITS: Final = 32

    def __init__(self, clock: Clock, random: Callable[[int], bytes] = os.urandom) -> None:
        self._clock = clock
        self._random = random
        self._pool = b""
        self._used = 0
        self._last = 0
        self._lock = Lock()

    def fresh(self) -> int:
        """A new id."""
        with self._lock:
            drawn = self._draw()
            milliseconds = self._clock() // 1_000_000 & 0xFFFF_FFFF_FFFF
            high, low = drawn >> 30 & 0xFFF, drawn & 0x3FFF_FFFF
            candidate = milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low << self.CHILD_BITS
            if candidate <= self._last:  # the same millisecond, or the clock was set back
                candidate = self._last + (1 << self.CHILD_BITS)
            self._last = candidate
            return candidate

    def fresh_uuid(self) -> UUID:
        """A new id that is nobody's parent, as a UUID."""
        number = self.fresh()
        with self._lock:
            return to_uuid(number | self._draw() & 0xFFFF_FFFF)

    def _draw(self) -> int:
        if self._used + 6 > len(self._pool):
            self._pool = self._random(_POOL_BYTES)
            self._used = 0
        start = self._used
        self._used += 6
        return int.from_bytes(self._pool[start : start + 6], "big")


def _after_fork() -> None:
    """Give the child of a fork ids of its own, and a clock that nobody else uses."""
    global system_ids  # noqa: PLW0603  # one per process, and a fork makes another process
    _system.renew()
    system_ids = IdSource(system_clock)
    ambient.install(now_ns=system_clock, new_id=system_ids.fresh_uuid)


system_ids = IdSource(system_clock)
ambient.install(now_ns=system_clock, new_id=system_ids.fresh_uuid)
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
