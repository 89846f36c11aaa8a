"""The event loop of a simulation: asyncio's, with virtual time, in an order that follows from the seed.

Takes one callback at a time. Which of those that are ready is next is drawn, or is the first, as the seed says; a
callback that is delayed is put aside for some steps.
"""

from __future__ import annotations

import asyncio
import heapq
import math
from collections import deque
from typing import Any

from tests.simulation.scheduler import Scheduler


class SimLoop(asyncio.BaseEventLoop):
    """A loop of a simulation.

    Args:
        sched: Has the time and the turns.
        shuffles: How likely the next callback is drawn instead of being the first.
        number: Names it.
    """

    def __init__(self, sched: Scheduler, shuffles: float, number: int) -> None:
        super().__init__()
        self._sched = sched
        self._shuffles = shuffles
        self._number = number
        self._tasks_made = 0
        self.faults: list[dict[str, Any]] = []
        self.set_exception_handler(lambda _loop, context: self.faults.append(context))

    def __hash__(self) -> int:
        return self._number

    def __eq__(self, other: object) -> bool:
        return self is other

    def time(self) -> float:
        """Seconds, as the simulation counts them."""
        return (self._sched.now - _ZERO) / 1e9

    _ready: deque[Any]  # of BaseEventLoop, like the next two
    _scheduled: list[Any]
    _stopping: bool
    _thread_id: int | None

    def create_task(self, coro: Any, *, name: object = None, context: Any = None) -> Any:
        """Make a task with a name that is the same in every process."""
        self._tasks_made += 1
        return super().create_task(coro, name=name or f"L{self._number}T{self._tasks_made}", context=context)

    def run_in_executor(self, executor: Any, func: Any, *args: Any) -> Any:  # type: ignore[override]
        """Nothing may leave the simulation."""
        raise AssertionError("An executor's threads are no part of the simulation.")

    async def shutdown_default_executor(self, *_: Any) -> None:
        """There is none."""

    def leave(self) -> None:
        """Close it, whatever is left on it. When all is over."""
        self._ready.clear()
        self._scheduled.clear()
        self._thread_id = None  # of a thread that has ended in the middle of something
        self.close()

    def _write_to_self(self) -> None:
        """Whoever waits for callbacks looks at them."""

    def _process_events(self, event_list: Any) -> None:
        """There are none."""

    def _has_some(self) -> bool:
        return bool(self._ready)

    def _run_once(self) -> None:
        sched, ready, heap = self._sched, self._ready, self._scheduled
        sched.step()
        while heap and heap[0]._cancelled:
            heapq.heappop(heap)._scheduled = False
        if ready or self._stopping:
            sched.maybe()
        else:
            sched.block(self._has_some, _nanoseconds(heap[0]._when) if heap else None)
        while heap and (heap[0]._cancelled or _nanoseconds(heap[0]._when) <= sched.now):
            handle = heapq.heappop(heap)
            handle._scheduled = False
            if not handle._cancelled:
                ready.append(handle)
        if not ready:
            return
        if len(ready) > 1 and self._shuffles and sched.rng.random() < self._shuffles:
            index = sched.rng.randrange(len(ready))
            handle = ready[index]
            del ready[index]
        else:
            handle = ready.popleft()
        if handle._cancelled:
            return
        if sched.log is not None:
            sched.log(f"@{sched.now - _START} {_named(handle._callback)}")
        handle._run()


_START = 1_700_000_000_000_000_000
_ZERO = _START - 1_000_000_000_000  # loops count from a number that floats have nanoseconds for


def _nanoseconds(when: float) -> int:
    return math.ceil(when * 1e9) + _ZERO


def _named(callback: Any) -> str:
    owner = getattr(callback, "__self__", None)
    if isinstance(owner, asyncio.Task):
        return f"step {owner.get_name()}"
    callback = getattr(callback, "func", callback)
    return getattr(callback, "__qualname__", type(callback).__name__)
