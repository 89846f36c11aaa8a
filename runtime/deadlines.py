"""Deadlines: the time that an attempt has.

Decides when the time of an attempt is over and who is told: the run's actor, which says what follows, and then the
body. An async body is cancelled at its await, and has the engine's grace to stop. A sync one cannot be stopped, nor can
an async one that has used up its grace: its run goes on without it, and a thread that it holds is abandoned; that is
busy, and counts, until the body returns. In a sync body an exception is raised where that is allowed.

Most deadlines are met. So one costs no timer: those that give the same time stand in one line, in the order in which
they come, behind a single timer for the first of them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from threading import Lock, Thread, get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from millrace.actors.errors import TaskRunTimeoutError
from millrace.actors.messages import Expired
from millrace.runtime.context import CURRENT
from millrace.runtime.interrupting import Interruption
from millrace.runtime.offload import abandon_on
from millrace.runtime.retrying import advise_blocking

if TYPE_CHECKING:
    from millrace.actors.policies import Advice
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.ports import Clock
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.timers import Alarm, Timers

LOOK_AGAIN_NS: Final = 1_000_000
"""A body that is in the engine's own code when its time is over is looked at again after so long, then twice that."""

LITTER: Final = 64
"""So many deadlines that were met may stay in a line behind one that is not yet, and as many as there are others."""


class Line:
    """The deadlines that one lane keeps and that give the same time.

    Args:
        lane: Keeps them.
        seconds: What each gives.
        timers: Set the timer.
        now: Tells the time.
    """

    __slots__ = ("_lane", "_seconds", "_timers", "armed", "deadlines", "litter", "lock", "nanoseconds", "now")

    def __init__(self, lane: LoopLane, seconds: float, timers: Timers, now: Clock) -> None:
        self.lock = Lock()  # guards all that changes, here and in each of the deadlines
        self.deadlines: deque[Deadline] = deque()  # by time, to a few microseconds; the first one has not been met
        self.litter = 0  # of these, met
        self.armed = False  # a timer is set, or is about to be, for the time of the first, or for an earlier one
        self.nanoseconds = round(seconds * 1e9)
        self.now = now
        self._lane = lane
        self._seconds = seconds
        self._timers = timers

    def met(self, deadline: Deadline) -> None:
        """Another one than the first has been met. With the lock."""
        if deadline.at:
            self.litter += 1
            if self.litter > LITTER and self.litter > len(self.deadlines) // 2:
                self.deadlines = deque(each for each in self.deadlines if each.run is not None)
                self.litter = 0

    def sweep(self) -> None:
        """The first one has been taken out. With the lock."""
        deadlines = self.deadlines
        while deadlines and deadlines[0].run is None:
            deadlines.popleft()
            self.litter -= 1

    def arm(self, at: int) -> None:
        """Set the timer."""
        self._timers.call_at(at, self._ring, lambda: self._lane)

    def _ring(self) -> None:
        """Tell of all that were not met by now."""
        now = self.now()
        missed: list[Deadline] = []
        with self.lock:
            self.sweep()
            while self.deadlines and self.deadlines[0].at <= now:
                first = self.deadlines.popleft()
                first.at = 0
                missed.append(first)
                self.sweep()
            self.armed = bool(self.deadlines)
            at = self.deadlines[0].at if self.armed else 0
        if at:
            self.arm(at)
        else:  # whoever is about to join it still may
            self._lane.deadlines.pop(self._seconds, None)
        for deadline in missed:
            deadline.expire()


def _line_of(run: TaskRun, seconds: float) -> Line:
    """Where the deadline of an attempt stands that gives so many seconds."""
    scope = run.node.scope
    lane = scope.lane_for_timer_of(run)
    line = lane.deadlines.get(seconds)
    if line is None:
        made = Line(lane, seconds, scope.engine.timers, run.node.now)
        line = lane.deadlines.setdefault(seconds, made)
    return line


class Deadline(Interruption):
    """The time of one attempt of a task; entered when its body begins, left when that has ended."""

    __slots__ = ("_attempt", "_line", "_seconds", "at", "next_alarm")

    run: TaskRun | None  # None: the body has ended; nothing is held of it here

    # Flat, with all that its ancestor sets, and with what a line does mostly: for many tasks this costs as much as
    # their body.
    def __init__(self, run: TaskRun, seconds: float, attempt: int) -> None:
        self._sends = run.node.task.interrupts
        self.run = run
        self.thread = 0
        self._base = self._wanted = None
        self._came = False
        self._seconds = seconds
        self._attempt = attempt
        self._line = _line_of(run, seconds)
        self.at = 0  # when it comes, in nanoseconds since the epoch; 0: it does not stand in the line
        self.next_alarm: Alarm | None = None  # for what follows when it has come

    def __enter__(self) -> Self:
        self.thread = get_ident()
        line = self._line
        self.at = at = line.now() + line.nanoseconds
        with line.lock:
            line.deadlines.append(self)
            armed, line.armed = line.armed, True
        if not armed:
            line.arm(at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        line = self._line
        with line.lock:
            self.run = None
            deadlines = line.deadlines
            if deadlines and deadlines[0] is self:
                deadlines.popleft()
                if deadlines:
                    line.sweep()
            else:
                line.met(self)
        if self.next_alarm is not None:
            self.next_alarm.call_off()

    def _set_alarm(self, run: TaskRun, delay: int, call: Callable[[TaskRun], None]) -> None:
        scope = run.node.scope
        at = run.node.now() + delay
        alarm = scope.engine.timers.call_at(at, lambda: call(run), lambda: scope.lane_for_timer_of(run))
        with self._line.lock:
            self.next_alarm = alarm
            over = self.run is None
        if over:
            alarm.call_off()

    def _error(self, run: TaskRun) -> TaskRunTimeoutError:
        return TaskRunTimeoutError(run.name, self._seconds)

    # Called by timers.

    def expire(self) -> None:
        """The body has not ended in time."""
        run = self.run
        if run is None:
            return
        if run.task.is_async:
            self._set_alarm(run, round(run.engine.grace_seconds * 1e9), self._give_up)
            run.tell(Expired(self._seconds, run.node.now(), self._attempt, stops=True))
        else:
            self._give_up(run)

    def _give_up(self, run: TaskRun) -> None:
        """The body does not stop: go on without it."""
        at = run.node.now()
        if run.node.retry.condition is None:
            self._leave_behind(run, at, advise_blocking(run, self._error(run)))
        else:  # a user's function: nothing for the loop that keeps the time, nor for a line that this body may hold up
            context = run.context.copy()
            Thread(target=context.run, args=(self._ask, run, at), name=f"millrace-{run.name}", daemon=True).start()

    def _ask(self, run: TaskRun, at: int) -> None:
        CURRENT.set(run)
        self._leave_behind(run, at, advise_blocking(run, self._error(run)))

    def _leave_behind(self, run: TaskRun, at: int, advice: Advice | None) -> None:
        with self._line.lock:
            if self.run is None:
                return
            abandon_on(self.thread, run)  # in the lock: the same thread may begin another attempt right after
        run.tell(Expired(self._seconds, at, self._attempt, stops=False, advice=advice))
        self._interrupt(run, LOOK_AGAIN_NS)
        if not run.task.is_async:
            run.engine.rationing.stop_waiting(run)

    def _interrupt(self, run: TaskRun, pause: int) -> None:
        if not self.interrupt(self._error(run)) and self.pending:
            self._set_alarm(run, pause, lambda run: self._interrupt(run, 2 * pause))
