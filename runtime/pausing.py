"""Pausing: a flow run waits for a person, or for another program, and goes on when told to.

Decides what pausing, suspending and resuming mean for the body of a flow: a paused one blocks where it is; a suspended
one ends for now, and runs again from its recorded results. Whether a run may be paused, and what that means for its
tasks, is decided by the rules. Nobody polls: whoever resumes wakes whoever waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, overload
from uuid import UUID

from millrace.actors.errors import (
    CancelledRun,
    FlowPauseTimeout,
    MissingContextError,
    NotPausedError,
    ParameterTypeError,
    Pause,
    PauseRefused,
)
from millrace.actors.messages import Propose, Stopped
from millrace.actors.outcomes import exception_to_failed_state
from millrace.actors.states import Paused, Running, State, StateType, Suspended
from millrace.actors.verdicts import Answer, Verdict
from millrace.runtime.attempt import run_blocking
from millrace.runtime.context import CURRENT
from millrace.runtime.effects import BLOCKING, ON_LOOP, Effects
from millrace.runtime.engine import Engine
from millrace.runtime.futures import FlowFuture
from millrace.runtime.pauses import Pausing
from millrace.runtime.task_options import seconds_of
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun


FOR_EVER_SECONDS: Final = 10 * 365 * 24 * 3600.0
"""A pause without a timeout; nobody waits that long."""


def pause_flow_run(wait_for_input: Any = None, timeout: float | None = 3600, key: str | None = None) -> Any:
    """Pause the flow run that this code belongs to, until somebody resumes it.

    Tasks that run go on, and no other one starts. In sync code it blocks; in async code it is awaited. Inside a task it
    pauses the flow run of the task.

    Args:
        wait_for_input: The type of what `resume_flow_run` is to be given: an attrs class, a dataclass, or any other
            type that parameters may have. None: nothing.
        timeout: Seconds. Not resumed by then, the flow run is FAILED. None for no limit.
        key: A pause with the same key happens once in a run, also when its body is run again. By default pauses are
            counted.

    Returns:
        What the run was resumed with, converted to the type; None without one. In async code, something to await.

    Raises:
        MissingContextError: this code belongs to no flow run.
        PauseRefused: the flow run is not RUNNING, so it cannot be paused.
        FlowPauseTimeout: it was not resumed in time.
        CancelledRun: (in sync code) it was cancelled instead.

    Cancellation: ends the wait; the flow run then ends as any that is cancelled.
    """
    run, blocks = _flow_run("pause_flow_run()")
    seconds = seconds_of({"timeout": timeout}, "timeout") or FOR_EVER_SECONDS
    pausing = Pausing(run.pauses.next_key(key), wait_for_input, reschedules=False)
    if blocks:
        return run_blocking(_pause(run, pausing, seconds, BLOCKING))
    return _pause(run, pausing, seconds, ON_LOOP)


async def _pause(run: FlowRun, pausing: Pausing, seconds: float, fx: Effects) -> Any:
    if pausing.key in run.pauses.given:
        return run.pauses.given[pausing.key]
    run.pauses.present = pausing
    _propose(run, Paused(timeout_seconds=seconds, pause_key=pausing.key), "pause")
    until = run.engine.now() + round(seconds * 1e9)
    lane = run.lane_that_turns() if fx is BLOCKING else run.lane_for_async()
    alarm = run.engine.timers.call_at(until, pausing.bell.ring, lambda: lane)
    try:
        await pausing.bell.wait(ThreadWaiter() if fx is BLOCKING else LoopWaiter(run.engine.lane_here()))
    finally:
        alarm.call_off()
        run.pauses.present = None
    if pausing.resumed:
        return run.pauses.given[pausing.key]
    if run.stopping or run.type is StateType.CANCELLING:
        raise CancelledRun(f"The flow run '{run.name}' was cancelled while it was paused: {run.stopping}")
    error = FlowPauseTimeout(run.name, seconds)
    run.interrupt(str(error))
    raise error


@overload
def suspend_flow_run(wait_for_input: Any = ..., *, timeout: float | None = ..., key: str | None = ...) -> Any: ...
@overload
def suspend_flow_run(*, flow_run_id: UUID, timeout: float | None = ...) -> None: ...
def suspend_flow_run(
    wait_for_input: Any = None,
    *,
    flow_run_id: UUID | None = None,
    timeout: float | None = None,
    key: str | None = None,
) -> Any:
    """End the work on a flow run for now; resuming it runs the flow again from its recorded results.

    Called inside of the flow it ends the body at once. With an id, from anywhere, the body ends at its next call of a
    task. Results are recorded where the flow has `persist_result=True` or retries; without, all runs anew.

    Args:
        wait_for_input: As for `pause_flow_run`.
        flow_run_id: The flow run; by default the one that this code belongs to.
        timeout: Seconds. Not resumed by then, the flow run is FAILED. None for no limit.
        key: As for `pause_flow_run`.

    Returns:
        When the flow has been resumed and its body comes here again: what it was resumed with.

    Raises:
        MissingContextError: there is neither an id, nor a flow run that this code belongs to.
        RunNotFound: no flow run with that id is running here.
        PauseRefused: the flow run is not RUNNING, or is a subflow, which cannot be suspended by itself.
        Pause: ends the body. It is not to be caught.
    """
    inside = flow_run_id is None
    run = _flow_run("suspend_flow_run()")[0] if flow_run_id is None else Engine.current().find_flow_run(flow_run_id)
    if run.parent is not None:
        raise PauseRefused(run.name, "it is a subflow, which cannot be suspended by itself; suspend the outermost flow")
    seconds = seconds_of({"timeout": timeout}, "timeout")
    pausing = Pausing(run.pauses.next_key(key), wait_for_input, reschedules=True)
    if pausing.key in run.pauses.given:
        return run.pauses.given[pausing.key]
    run.pauses.present = pausing
    _propose(run, Suspended(timeout_seconds=seconds, pause_key=pausing.key), "suspend")
    if seconds is not None:
        until = run.engine.now() + round(seconds * 1e9)
        run.engine.timers.call_at(until, lambda: _give_up_waiting(run, pausing, seconds), run.lane_for_async)
    if inside:
        raise Pause(run.state)
    return None


def _give_up_waiting(run: FlowRun, pausing: Pausing, seconds: float) -> None:
    if run.pauses.present is pausing and not pausing.resumed:
        state = exception_to_failed_state(FlowPauseTimeout(run.name, seconds))
        run.interrupt(str(state.message))
        run.tell(Stopped(state, run.engine.now()))


def resume_flow_run(flow_run_id: UUID, run_input: Any = None) -> FlowFuture[Any]:
    """Let a paused or suspended flow run go on. From any thread or task; returns at once.

    Args:
        flow_run_id: The flow run.
        run_input: What it waits for, or a mapping from which that can be made.

    Returns:
        The future of the flow run.

    Raises:
        RunNotFound: no flow run with that id is running here.
        NotPausedError: it is not paused.
        ParameterTypeError: the input cannot be converted to the type that the run waits for; it stays paused.
    """
    run = Engine.current().find_flow_run(flow_run_id)
    pausing = run.pauses.present
    if run.type is not StateType.PAUSED or pausing is None:
        raise NotPausedError(run.name, run.state)
    given = _converted(run, pausing, run_input)
    if not pausing.reschedules:
        _propose(run, Running(), "resume")
    run.pauses.end(pausing, given)
    if pausing.reschedules and run.conductor is None:
        run.begin_again()
        assert run.flow is not None  # the engine's own scope is never paused
        run.flow.run_again(run)
    return FlowFuture[Any].of(run)  # type: ignore[return-value]


def _converted(run: FlowRun, pausing: Pausing, run_input: Any) -> Any:
    if pausing.wait_for_input is None:
        return run_input
    from millrace.runtime.validation.converting import Converters  # noqa: PLC0415  # few pauses take input
    from millrace.runtime.validation.wrong import Wrong  # noqa: PLC0415

    try:
        return Converters().hook(pausing.wait_for_input)({} if run_input is None else run_input)
    except Wrong as problem:
        raise ParameterTypeError(run.name, dict(problem.inside("run_input"))) from None


def _propose(run: FlowRun, state: State[Any], attempted: str) -> None:
    answers: list[Verdict] = []
    answered = ThreadWaiter()

    def reply(verdict: Verdict) -> None:
        answers.append(verdict)
        answered.notify()

    run.tell(Propose(state, run.engine.now(), reply=reply))
    answered.wait()  # at once, unless another thread has the run's turn for a moment
    if answers[0].answer is not Answer.ACCEPT:
        if attempted == "resume":
            raise NotPausedError(run.name, run.state)
        raise PauseRefused(run.name, answers[0].reason)


def _flow_run(call: str) -> tuple[FlowRun, bool]:
    """The flow run that this code belongs to, and whether the code is sync."""
    current = CURRENT.get()
    scope = None if current is None else current.scope
    if current is None or scope is None or scope.flow is None:
        raise MissingContextError(call)
    return scope, current.blocks
