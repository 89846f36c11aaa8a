"""Made ahead: a flow run that is there before it is executed.

Decides where such a run waits for that: on record where its engine has a store, so that any process may execute it,
else in the engine. That only one of those who come to execute it does is decided by its actor, or by the store.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime
from typing import TYPE_CHECKING, Any
from uuid import UUID

from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError, FlowDefinitionError, RunNotResumable
from millrace.actors.messages import Leave, TakeUp
from millrace.actors.states import Scheduled, StateDetails, StateType
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.effects import in_thread
from millrace.runtime.engine import Engine, not_a_flow
from millrace.runtime.flow import AsyncFlow, BaseFlow, Flow
from millrace.runtime.hearing import hears_of
from millrace.runtime.running import running_loop
from millrace.runtime.waiting import ThreadWaiter

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun


def create_flow_run(
    flow: BaseFlow[Any, Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    scheduled_time: datetime | None = None,
) -> UUID:
    """Make a flow run ahead of its execution. It is SCHEDULED until somebody executes it by its id.

    That is done by `run_flow(flow, flow_run_id=...)`, in the background by `Engine.resume`, and from a terminal by
    `millrace resume`. With a store the run is on record when this returns, and outlives the process; else it belongs to
    the engine at hand, and is cancelled when that is closed. With a store it blocks until then: in async code, take
    `acreate_flow_run`.

    Args:
        flow: The flow.
        parameters: Its arguments by name. They are validated when the run is executed.
        scheduled_time: The body does not begin before; whoever executes the run earlier waits until then.

    Returns:
        The id of the run.

    Raises:
        FlowDefinitionError: it is not a flow; or one that yields its values to whoever iterates over it.
        SignatureMismatchError: a name is not a parameter, or a required one is missing.
        ConfigurationError: an argument is of the wrong type.
        EngineClosed: the engine is closing.
        StoreError: it cannot be put on record.
        BlockingCallOnLoop: the engine has a store, and a loop runs on this thread.
    """
    engine = Engine.current()
    if engine.chronicle is not None and running_loop() is not None:
        raise BlockingCallOnLoop("create_flow_run(...)", "await acreate_flow_run(...)")
    return _create(engine, flow, parameters, scheduled_time)


async def acreate_flow_run(
    flow: BaseFlow[Any, Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    scheduled_time: datetime | None = None,
) -> UUID:
    """The same from async code. See `create_flow_run`.

    Cancellation: only the wait ends; the run may have been made.
    """
    engine = Engine.current()
    if engine.chronicle is None:
        return _create(engine, flow, parameters, scheduled_time)
    context = copy_context()
    return await in_thread(lambda: context.run(_create, engine, flow, parameters, scheduled_time))


def _create(
    engine: Engine, flow: BaseFlow[Any, Any], parameters: Mapping[str, Any] | None, scheduled_time: datetime | None
) -> UUID:
    if not isinstance(flow, BaseFlow):
        raise not_a_flow(flow, "create_flow_run()")
    if not isinstance(flow, (Flow, AsyncFlow)):
        told = "expected a flow that returns. Iterate over this one where its values are wanted."
        raise FlowDefinitionError(f"create_flow_run() of {flow!r}: {told}")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise ConfigurationError("parameters", parameters, "a mapping from names to values")
    args, kwargs = flow.shape.call_of(dict(parameters or {}))
    details = StateDetails(deferred=True)
    when = from_nanoseconds(engine.now()) if scheduled_time is None else scheduled_time
    message = "It was made ahead, and waits to be executed."
    state = Scheduled(scheduled_time=when, message=message, state_details=details)
    if engine.chronicle is not None:
        engine.chronicle.check_recording()
    run = flow.begin_ahead(engine, flow.shape.by_name(args, kwargs), state)
    if engine.chronicle is not None:
        run.tell(Leave())
        engine.chronicle.writer.flush()
    return run.uuid


def taken_up(
    engine: Engine, run_id: UUID | str, flow: BaseFlow[Any, Any] | None, parameters: Mapping[str, Any] | None
) -> tuple[FlowRun, tuple[tuple[Any, ...], dict[str, Any]]]:
    """Take a run that was made ahead, and waits in its engine: nobody else will execute it.

    Args:
        engine: The engine, which has no store.
        run_id: The id of the run.
        flow: What it is to be a run of; None for whatever it is.
        parameters: In place of those that it was made with.

    Returns:
        The run, and the arguments of its body.

    Raises:
        RunNotFound: the engine has no such run.
        ConfigurationError: it is a run of another flow.
        SignatureMismatchError: the parameters do not fit.
        RunNotResumable: somebody else executes it, or it was cancelled.
    """
    run = engine.find_flow_run(run_id)
    made_of = run.flow
    assert made_of is not None  # the engine's own scope is not among its flow runs
    if flow is not None and flow != made_of:
        raise ConfigurationError("flow", flow, f"{made_of!r}, of which the run was made")
    given = dict(run.parameters if parameters is None else parameters)
    call = made_of.shape.call_of(given)
    answers: list[bool] = []
    if not hears_of(run.uuid):
        answered = ThreadWaiter()

        def reply(taken: bool) -> None:  # noqa: FBT001  # an answer
            answers.append(taken)
            answered.notify()

        run.tell(TakeUp(reply))
        answered.wait()  # at once, unless another thread has the run's turn for a moment
    if answers != [True]:
        advice = "Use resume_flow_run()." if run.type is StateType.PAUSED else ""
        raise RunNotResumable(
            run.name, f"it is {run.type}, and no run that was made ahead and waits for somebody", advice
        )
    run.parameters = given
    return run, call
