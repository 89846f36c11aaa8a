"""Deadlines: the time that an attempt has.

Decides when the time of an attempt is over and who is told: the run's actor, which says what follows, and then the
body. An async body is cancelled at its await. A sync one cannot be stopped; its run goes on without it, an exception
is raised in its thread where that is allowed, and the thread is abandoned: it is busy, and counts, until it returns.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread, current_thread
from types import TracebackType
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import TaskRunTimeoutError
from millrace.actors.messages import Expired
from millrace.runtime.interrupting import Interruption
from millrace.runtime.offload import Call
from millrace.runtime.retrying import advise_blocking

if TYPE_CHECKING:
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.timers import Alarm


class Deadline:
    """The time of one attempt of a task; entered when its body begins, left when that has ended."""

    __slots__ = ("_alarm", "_attempt", "_interruption", "_run", "_seconds", "_stops", "_thread")

    def __init__(self, run: TaskRun, seconds: float, attempt: int) -> None:
        task = run.task
        self._run = run
        self._seconds = seconds
        self._attempt = attempt
        self._stops = task.is_async
        self._interruption = None if task.is_async or not task.interruptible else Interruption()
        self._thread: Thread = current_thread()
        self._alarm: Alarm | None = None

    def __enter__(self) -> None:
        run = self._run
        scope = run.scope
        at = run.node.now() + round(self._seconds * 1e9)
        self._alarm = scope.engine.timers.call_at(at, self._expire, lambda: scope.lane_for_timer_of(run))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._alarm is not None:
            self._alarm.call_off()

    def call(self, fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        """Call a sync body."""
        if self._interruption is None:
            return fn(*args, **kwargs)
        return self._interruption.call(fn, args, kwargs)

    def _error(self) -> TaskRunTimeoutError:
        return TaskRunTimeoutError(self._run.name, self._seconds)

    def _expire(self) -> None:
        run = self._run
        if self._stops:
            run.tell(Expired(self._seconds, run.node.now(), self._attempt, stops=True))
        elif run.node.retry.condition is None:
            self._leave_behind()
        else:  # a user's function, which is nothing for the loop that keeps the time
            run.engine.offload.call(Call(self._leave_behind, (), lambda: None))

    def _leave_behind(self) -> None:
        run = self._run
        advice = advise_blocking(run, self._error())
        run.engine.offload.abandon(self._thread, run)
        run.tell(Expired(self._seconds, run.node.now(), self._attempt, stops=False, advice=advice))
        if self._interruption is not None:
            self._interruption.interrupt(self._error)
