"""Retrying: what the upper floor has to say about a retry before the run's actor decides on it.

A task's condition is a user's function, and a random number spreads the delay. Decides that an error in the condition
means no. Does not know how many retries there are, nor when; that is the actor's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.actors.errors import TaskRunTimeoutError
from millrace.actors.outcomes import failure, holds_states, judged, timed_out
from millrace.actors.policies import MIDDLE, Advice
from millrace.actors.states import State
from millrace.runtime.attempt import run_blocking
from millrace.runtime.effects import BLOCKING, Effects
from millrace.runtime.hooks import is_own, name_of_hook
from millrace.runtime.one_line import engine_logger

if TYPE_CHECKING:
    from millrace.runtime.runs import TaskRun

_logger = engine_logger("retries")


async def advise(run: TaskRun, state: State[Any], fx: Effects) -> Advice | None:
    """What is to be said about a retry of a run.

    Args:
        run: The run.
        state: What its attempt came to, before anybody has judged it.
        fx: How the task's condition is called.

    Returns:
        None where nothing is: no retry is left, or the policy asks for nothing.

    Cancellation: reaches an async condition.
    """
    policy = run.node.retry
    if not policy.asks or run.failures >= policy.retries or not state.is_failed():
        return None
    drawn = run.engine.draw() if policy.draws else MIDDLE
    if policy.condition is None:
        return Advice(drawn=drawn)
    try:
        allowed = bool(await fx.call(policy.condition, run.task, run, state))
    except BaseException as error:
        if not is_own(error):
            raise
        _logger.exception(
            "Retry condition '%s' of run '%s' raised; the run is not tried again.",
            name_of_hook(policy.condition),
            run.name,
        )
        allowed = False
    return Advice(retry=allowed, drawn=drawn)


async def advise_on_error(run: TaskRun, error: BaseException, fx: Effects) -> Advice | None:
    """The same, for what a body raised."""
    if not run.node.retry.asks:
        return None
    state = _timed_out(run)
    if state is None and isinstance(error, Exception):
        state = failure(error)
    return None if state is None else await advise(run, state, fx)


async def advise_on_value(run: TaskRun, value: Any, fx: Effects) -> Advice | None:
    """The same, for what a body returned."""
    if not run.node.retry.asks:
        return None
    state = _timed_out(run)
    if state is None and holds_states(value):
        state = judged(value)
    return None if state is None else await advise(run, state, fx)


def _timed_out(run: TaskRun) -> State[Any] | None:
    """The state of an attempt that is over its time, whatever its body came to then."""
    overdue = run.overdue
    return None if overdue is None else timed_out(TaskRunTimeoutError(run.name, overdue.seconds))


def advise_blocking(run: TaskRun, error: TaskRunTimeoutError) -> Advice | None:
    """The same, for a body that was left at its deadline. Blocks the thread where the task has a condition."""
    return run_blocking(advise(run, timed_out(error), BLOCKING)) if run.node.retry.asks else None
