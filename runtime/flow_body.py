"""The body of a flow run, seen through: one attempt after another.

Decides nothing; what an attempt is made of is `flow_attempt`'s, and what comes around attempts is the conductor's. A
crash is recorded before the exception that made it goes on up.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import nullcontext
from typing import Any

from millrace.actors.states import DEFAULT_NAMES, State, StateType
from millrace.actors.stored_result import Found
from millrace.runtime.attempt import run_blocking
from millrace.runtime.conductor import Conductor, Outcome
from millrace.runtime.effects import BLOCKING, ON_LOOP
from millrace.runtime.flow_attempt import LoopPass, Pass
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.running import running_loop
from millrace.runtime.signals import InBodies, handles_here


def see_through(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """Run a sync flow on this thread, to the end of its last attempt.

    Raises:
        BaseException: what interrupted the body or the wait for its children, after it was recorded.
    """
    run.enter_on(running_loop())
    conductor = Conductor(run, BLOCKING, (args, kwargs), wait_for)

    outermost = (run.parent is None or run.parent.flow is None) and run.outer_loop is None
    whole = all_attempts(conductor, Pass)
    del run, conductor  # an exception that is raised here holds this frame, and the run holds that
    with InBodies() if outermost and handles_here() else nullcontext():
        run_blocking(whole)


async def see_through_async(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """Run an async flow in this task, to the end of its last attempt.

    Raises:
        BaseException: what interrupted the body or the wait for its children, after it was recorded.
    """
    whole = see_through_here(run, args, kwargs, wait_for)
    del run, args, kwargs  # see above
    await whole


def see_through_here(
    run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> Coroutine[Any, Any, None]:
    """The same, called where a loop runs already: what it gives is to be awaited there at once. A coroutine less."""
    run.loop_lane = run.engine.lane_here()
    conductor = Conductor(run, ON_LOOP, (args, kwargs), wait_for)
    return all_attempts(conductor, LoopPass)


async def all_attempts(conductor: Conductor, make: Callable[[Conductor], Pass]) -> None:
    """See a run through: one coroutine for all of it, as there may be very many at once.

    Args:
        conductor: What is done around the attempts.
        make: Makes an attempt.

    Raises:
        BaseException: what interrupted the last attempt, after it was recorded.
    """
    attempt: Pass | None = None
    value: Any = None
    error: BaseException | None = None
    end: Outcome | None = None
    conductor.begin()
    try:
        while end is None:
            found = conductor.run.found
            if found is not None:
                end = await conductor.conclude(_as_found(found))
                continue
            attempt, value, error = make(conductor), None, None
            try:
                if await attempt.begin():
                    value = await attempt
            except BaseException as raised:  # noqa: BLE001  # whatever a body raises is its run's outcome
                error = raised
            end = await conductor.conclude(await attempt.leave(value, error))
        if end.error is not None and conductor.raises(end):
            raise end.error
    finally:
        del conductor, attempt, value, error, end  # an exception that is raised here holds this frame; see `Pass`


def _as_found(found: Found) -> Outcome:
    """What a subflow came to that had completed before: in the state that it had then, if that says anything."""
    if found.name == DEFAULT_NAMES[StateType.COMPLETED] and found.message is None:
        return Outcome(found.data)
    return Outcome(State(type=StateType.COMPLETED, name=found.name, message=found.message, data=found.data))
