"""Deadlines: the time that an attempt has.

Decides when the time of an attempt is over and who is told: the run's actor, which says what follows, and then the
body. An async body is cancelled at its await, and has the engine's grace to stop. A sync one cannot be stopped, nor can
an async one that has used up its grace: its run goes on without it, and a thread that it holds is abandoned; that is
busy, and counts, until the body returns. In a sync body an exception is raised where that is allowed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from threading import Lock, Thread, current_thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import TaskRunTimeoutError
from millrace.actors.messages import Expired
from millrace.runtime.context import CURRENT
from millrace.runtime.interrupting import Interruption
from millrace.runtime.offload import offload_here
from millrace.runtime.retrying import advise_blocking

if TYPE_CHECKING:
    from millrace.actors.policies import Advice
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.timers import Alarm

LOOK_AGAIN_NS: Final = 1_000_000
"""A body that is in the engine's own code when its time is over is looked at again after so long, then twice that."""


class Deadline:
    """The time of one attempt of a task; entered when its body begins, left when that has ended."""

    __slots__ = ("_alarm", "_attempt", "_interruption", "_lock", "_offload", "_over", "_run", "_seconds", "_thread")

    def __init__(self, run: TaskRun, seconds: float, attempt: int) -> None:
        task = run.task
        self._run = run
        self._seconds = seconds
        self._attempt = attempt
        self._interruption = None if task.is_async or not task.interruptible else Interruption(run)
        self._offload = offload_here()
        self._thread: Thread = current_thread()
        self._alarm: Alarm | None = None
        self._over = False  # the body has ended
        self._lock = Lock()  # guards the two of them

    def __enter__(self) -> None:
        self._set_alarm(round(self._seconds * 1e9), self._expire)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            self._over = True
            alarm = self._alarm
        if alarm is not None:
            alarm.call_off()

    def call(self, fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call a sync body."""
        if self._interruption is None:
            return fn(*args, **kwargs)
        return self._interruption.call(fn, args, kwargs)

    def _set_alarm(self, delay: int, call: Callable[[], None]) -> None:
        run = self._run
        scope = run.scope
        alarm = scope.engine.timers.call_at(run.node.now() + delay, call, lambda: scope.lane_for_timer_of(run))
        with self._lock:
            self._alarm = alarm
            over = self._over
        if over:
            alarm.call_off()

    def _error(self) -> TaskRunTimeoutError:
        return TaskRunTimeoutError(self._run.name, self._seconds)

    # Called by timers.

    def _expire(self) -> None:
        run = self._run
        if run.task.is_async:
            self._set_alarm(round(run.engine.grace_seconds * 1e9), self._give_up)
            run.tell(Expired(self._seconds, run.node.now(), self._attempt, stops=True))
        else:
            self._give_up()

    def _give_up(self) -> None:
        """The body does not stop: go on without it."""
        run, at = self._run, self._run.node.now()
        if run.node.retry.condition is None:
            self._leave_behind(at, advise_blocking(run, self._error()))
        else:  # a user's function: nothing for the loop that keeps the time, nor for a line that this body may hold up
            context = run.context.copy()
            Thread(target=context.run, args=(self._ask, at), name=f"millrace-{run.name}", daemon=True).start()

    def _ask(self, at: int) -> None:
        CURRENT.set(self._run)
        self._leave_behind(at, advise_blocking(self._run, self._error()))

    def _leave_behind(self, at: int, advice: Advice | None) -> None:
        run = self._run
        with self._lock:
            if self._over:
                return
            if self._offload is not None:
                self._offload.abandon(self._thread, run)
        run.tell(Expired(self._seconds, at, self._attempt, stops=False, advice=advice))
        self._interrupt(LOOK_AGAIN_NS)
        if not run.task.is_async:
            run.engine.rationing.stop_waiting(run)

    def _interrupt(self, pause: int) -> None:
        interruption = self._interruption
        if interruption is not None and not interruption.interrupt(self._error()) and interruption.pending:
            self._set_alarm(pause, lambda: self._interrupt(2 * pause))
