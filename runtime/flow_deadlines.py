"""Deadlines of flow runs: the time that one attempt has, from its body's begin until all that it started has ended.

Decides when that time is over. The supervisor is told, which has everything stopped; an async body is cancelled at its
await then, and in a sync one an exception is raised where it is in the user's own code, or comes back to that.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING

from millrace.actors.errors import FlowRunTimeoutError
from millrace.actors.messages import Expired
from millrace.runtime.deadlines import LOOK_AGAIN_NS

if TYPE_CHECKING:
    from collections.abc import Callable

    from millrace.runtime.conductor import Conductor
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.timers import Alarm


class FlowDeadline:
    """The time of one attempt of a flow with a timeout.

    Args:
        run: The flow run.
        conductor: Knows what of its body can be interrupted.
        seconds: How much time there is.
    """

    __slots__ = ("_alarm", "_attempt", "_conductor", "_lock", "_over", "_run", "_seconds")

    def __init__(self, run: FlowRun, conductor: Conductor, seconds: float) -> None:
        self._run = run
        self._conductor = conductor
        self._seconds = seconds
        self._attempt = 0
        self._alarm: Alarm | None = None
        self._over = False  # the attempt is
        self._lock = Lock()  # guards the two of them

    def start(self) -> None:
        """The body is about to begin."""
        seconds = self._seconds
        self._attempt = self._run.run_count
        self._set_alarm(round(seconds * 1e9), lambda: self._expire(seconds))

    def stop(self) -> None:
        """All has ended."""
        with self._lock:
            self._over = True
            alarm = self._alarm
        if alarm is not None:
            alarm.call_off()

    def _set_alarm(self, delay: int, call: Callable[[], None]) -> None:
        run = self._run
        alarm = run.engine.timers.call_at(run.engine.now() + delay, call, run.lane_for_async)
        with self._lock:
            self._alarm = alarm
            over = self._over
        if over:
            alarm.call_off()

    # Called by timers.

    def _expire(self, seconds: float) -> None:
        run = self._run
        with self._lock:
            if self._over:
                return
        run.tell(Expired(seconds, run.engine.now(), self._attempt, stops=True))
        self._interrupt(seconds, LOOK_AGAIN_NS)

    def _interrupt(self, seconds: float, pause: int) -> None:
        """Interrupt a sync body; later, if it is in the engine's own code at the moment."""
        interruption = self._conductor.interruption
        if interruption is None or interruption.interrupt(FlowRunTimeoutError(self._run.name, seconds)):
            return
        if interruption.pending:
            self._set_alarm(pause, lambda: self._interrupt(seconds, 2 * pause))
