"""Made ahead: a flow run that is there before it is executed.

Decides where such a run waits for that: on record where its engine has a store, so that any process may execute it,
else in the engine. How it is executed then is `taking_up`'s.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from datetime import datetime
from typing import Any
from uuid import UUID

from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError, FlowDefinitionError
from millrace.actors.messages import Leave
from millrace.actors.states import Scheduled, StateDetails
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.effects import in_thread
from millrace.runtime.engine import Engine, not_a_flow
from millrace.runtime.flow import AsyncFlow, BaseFlow, Flow
from millrace.runtime.running import running_loop


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
