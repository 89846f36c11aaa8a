"""Deadlines: the time that an attempt has.

Decides when the time of an attempt is over and who is told: the run's actor, which says what follows, and then the
body. An async body is cancelled at its await, and has the engine's grace to stop. A sync one cannot be stopped, nor can
an async one that has used up its grace: its run goes on without it, and a thread that it holds is abandoned; that is
busy, and counts, until the body returns. In a sync body an exception is raised where that is allowed.

Most deadlines are met. So one costs no timer: those that give the same time stand in one line, in the order in which
they come, behind a single timer for the first of them. And no lock: a thread that lost the interpreter while it holds
one would stop all others that begin or end a body. Who takes a deadline out of its line says what became of it: the
body, which has met it, or the timer. Only where it was the timer, a lock keeps the two apart.
"""

from __future__ import annotations

from collections import OrderedDict
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


class Line:
    """The deadlines that one lane keeps and that give the same time.

    Args:
        lane: Keeps them.
        seconds: What each gives.
        timers: Set the timer.
        now: Tells the time.
    """

    __slots__ = ("_lane", "_seconds", "_timers", "armed", "deadlines", "lock", "nanoseconds", "now")

    def __init__(self, lane: LoopLane, seconds: float, timers: Timers, now: Clock) -> None:
        # By time, to a few microseconds: not met, and not missed. Each is put in and taken out in a single step.
        self.deadlines: OrderedDict[Deadline, None] = OrderedDict()
        self.nanoseconds = round(seconds * 1e9)
        self.armed = False  # a timer is set, or is about to be, for the time of the first, or for an earlier one
        self.lock = Lock()  # guards that, and what a body that is over its time shares with whoever goes on without it
        self.now = now
        self._lane = lane
        self._seconds = seconds
        self._timers = timers

    def start(self, at: int) -> None:
        """Set the timer, unless another thread has."""
        with self.lock:
            armed, self.armed = self.armed, True
        if not armed:
            self._arm(at)

    def _first(self) -> Deadline | None:
        while True:
            try:
                return next(iter(self.deadlines), None)
            except RuntimeError:  # another thread has put one in, or taken one out, between the two calls
                continue

    def _arm(self, at: int) -> None:
        self._timers.call_at(at, self._ring, lambda: self._lane)

    def _ring(self) -> None:
        """Tell of all that were not met by now."""
        now = self.now()
        missed: list[Deadline] = []
        while (first := self._first()) is not None and first.at <= now:
            if self.deadlines.pop(first, first) is None:
                missed.append(first)
        with self.lock:
            self.armed = False
            # Looked at again after that: one that was put in before has been told that a timer is set.
            first = self._first()
            self.armed = first is not None
        if first is not None:
            self._arm(first.at)
        else:  # whoever is about to join it still may
            self._lane.deadlines.pop(self._seconds, None)
        for deadline in missed:
            deadline.expire()


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
        scope = run.node.scope
        lane = scope.lane_for_timer_of(run)
        self._line: Line = lane.deadlines.get(seconds) or lane.deadlines.setdefault(
            seconds, Line(lane, seconds, scope.engine.timers, run.node.now)
        )
        self.at = 0  # when it comes, in nanoseconds since the epoch; 0 before it begins to count
        self.next_alarm: Alarm | None = None  # for what follows when it has come

    def __enter__(self) -> Self:
        self.thread = get_ident()
        line = self._line
        self.at = at = line.now() + line.nanoseconds
        line.deadlines[self] = None
        if not line.armed:  # looked at after that; see `_ring`
            line.start(at)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.run = None
        if self._line.deadlines.pop(self, self) is None:
            return
        with self._line.lock:  # whoever goes on without the body has done so, or never will
            alarm = self.next_alarm
        if alarm is not None:
            alarm.call_off()

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
