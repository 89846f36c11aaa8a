"""The loops of an engine: its lane into each event loop it has to do with, and the loops of its own.

Decides when a lane is made and forgotten, and when the engine starts a loop of its own, in a thread, and which of these
is given. A loop of somebody else's is only looked at: it is known when it ends. No state is bound to a loop but the
lane of that loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Container
from threading import Lock, get_ident
from typing import TYPE_CHECKING

from millrace.runtime.loop_lane import LoopLane
from millrace.runtime.loops import LoopThread, at_shutdown

if TYPE_CHECKING:
    from millrace.runtime.monitor import LoopMonitor
    from millrace.runtime.stores.writer import StoreWriter


class EngineLoops:
    """The loops of one engine. From any thread.

    Args:
        grace_seconds: How long what runs on an own loop may take to stop.
        writer: Of the engine's store, if it has one.
        monitor: Who looks whether loops answer, if somebody does.
        on_end: Called with the lane of a loop that is being shut down.
    """

    __slots__ = ("_ended", "_grace_seconds", "_lanes", "_lock", "_monitor", "_on_end", "_watches", "_writer", "own")

    def __init__(
        self,
        grace_seconds: float,
        writer: StoreWriter | None,
        monitor: LoopMonitor | None,
        on_end: Callable[[LoopLane], None],
    ) -> None:
        self._grace_seconds = grace_seconds
        self._writer = writer
        self._monitor = monitor
        self._on_end = on_end
        self._lanes: dict[int, LoopLane] = {}  # by id of the loop, which the lane keeps alive; closed ones are dropped
        self._watches: dict[int, Callable[[], None]] = {}  # by id of the loop: calls off the watch for its end
        self.own: list[LoopThread] = []  # more than one only where a sync flow holds up one of them
        self._ended = False  # these were told to end, and nobody would tell another one. Guarded by the lock
        self._lock = Lock()

    def lane_here(self) -> LoopLane:
        """The lane of the running loop."""
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(id(loop))
        if lane is None or lane.loop is not loop:
            return self._new_lane(loop)
        lane.heal()
        return lane

    def _new_lane(self, loop: asyncio.AbstractEventLoop) -> LoopLane:
        lane = LoopLane(loop, self._writer)
        with self._lock:
            self._lanes = {key: each for key, each in self._lanes.items() if not each.loop.is_closed()}
            self._lanes[id(loop)] = lane
            self._watches = {key: each for key, each in self._watches.items() if key in self._lanes}
        self._watches[id(loop)] = at_shutdown(lambda: self._on_end(lane))
        if self._monitor is not None:
            self._monitor.watch(loop, get_ident())
        return lane

    def let_go_here(self) -> None:
        """Not be told any more of the end of the running loop."""
        call_off = self._watches.pop(id(asyncio.get_running_loop()), None)
        if call_off is not None:
            call_off()

    def own_lane(self, held: Container[asyncio.AbstractEventLoop] = ()) -> LoopLane:
        """The lane of a loop of the engine's own, which is started now if there was none.

        Args:
            held: Loops that turn only when something has ended that the caller starts now: another one is given.
        """
        with self._lock:
            for own in self.own:
                if own.lane.loop not in held:
                    return own.lane
            own = LoopThread(f"millrace-loop-{len(self.own) + 1}", self._grace_seconds, self._writer)
            if self._ended:  # a thread that was left behind has asked
                own.stop()
            else:
                self.own.append(own)
                if self._monitor is not None:
                    self._monitor.watch(own.lane.loop)
            return own.lane

    def last(self) -> list[LoopThread]:
        """The engine's own loops, which are to end now, and nobody looks after any more."""
        if self._monitor is not None:
            self._monitor.stop()
        with self._lock:
            self._ended = True
            own, self.own = self.own, []
        return own
