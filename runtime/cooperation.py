"""Cooperation: how sync code learns that it should stop.

Decides when that is, and what is raised then. A thread cannot be stopped from outside, so code that runs for long asks
now and then. Nothing is installed and nobody is waited for: the run that the context names is looked at.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millrace.actors.errors import CancelledRun, FlowRunTimeoutError, RunError, TaskRunTimeoutError
from millrace.actors.states import StateType
from millrace.runtime.context import ATTEMPT, CURRENT
from millrace.runtime.runs import TaskRun

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun

_CANCELLATION = (StateType.CANCELLING, StateType.CANCELLED)


def cancelled() -> bool:
    """Whether the code at hand should stop, because nobody waits any more for what it comes to.

    For loops in sync code, as in `while not cancelled(): ...`. It is cheap, and may be asked in any thread that has a
    copy of the body's context.

    Returns:
        True if the task run or flow run that the code belongs to is being stopped, or has ended; or if the attempt
        that it belongs to is over, and the run goes on without it. Otherwise False, and so outside of any run.
    """
    run = CURRENT.get()
    return run is not None and (bool(run.ended) or bool(run.stopping) or _is_left_behind(run))


def check_cancelled() -> None:
    """Raise an error if the code at hand should stop; see `cancelled`.

    Raises:
        CancelledRun: it should, for any reason but these.
        TaskRunTimeoutError: the time of the task run, or of this attempt of it, is over.
        FlowRunTimeoutError: the time of the flow run is over.
    """
    run = CURRENT.get()
    if run is not None and cancelled():
        raise _reason(run)


def _is_left_behind(run: TaskRun | FlowRun) -> bool:
    """Whether a task run goes on without the attempt that the code at hand belongs to."""
    # Only attempts that are conducted or limited set their number; else it is that of a run around this one.
    if not isinstance(run, TaskRun) or not (run.node.limited or run.node.conduct is not None):
        return False
    attempt = ATTEMPT.get()
    return bool(attempt) and (attempt != run.run_count or run.type is StateType.SCHEDULED)


def _reason(run: TaskRun | FlowRun) -> RunError:
    seconds = _time_given(run)
    if not isinstance(run, TaskRun):
        called, reason = f"flow run '{run.name}'", run.stopping
        if seconds is not None:
            return FlowRunTimeoutError(run.name, seconds)
    else:
        called, reason = f"task run '{run.name}'", None
        if seconds is not None:
            return TaskRunTimeoutError(run.name, seconds)
        if _is_left_behind(run):
            return CancelledRun(f"An attempt of {called} is over, and the run goes on without it.")
    state = run.state
    error = state.data
    if isinstance(error, (TaskRunTimeoutError, FlowRunTimeoutError)):
        return type(error)(error.run, error.seconds)  # another one: that of the run keeps its own traceback
    if state.type not in _CANCELLATION and state.is_final():
        return CancelledRun(f"The {called} has ended: {state}.")
    return CancelledRun(f"The cancellation of {called} was asked for: {reason or _last_word(run)}")


def _time_given(run: TaskRun | FlowRun) -> float | None:
    """How many seconds the attempt had that the code at hand belongs to, if their end is what stops it."""
    if isinstance(run, TaskRun):
        if _is_left_behind(run):
            return run.task.timeout_seconds  # without one it had crashed
        facts = run.facts
        expired = None if facts is None else facts.expired
    else:
        expired = run.expired
    return None if expired is None or run.ended or run.type is StateType.CANCELLING else expired.seconds


def _last_word(run: TaskRun | FlowRun) -> str:
    """What was said when the run was cancelled; CANCELLED itself says nothing where CANCELLING came before it."""
    said = (state.message for state in reversed(run.history()) if state.type in _CANCELLATION)
    return next((message for message in said if message), "no reason was given.")
