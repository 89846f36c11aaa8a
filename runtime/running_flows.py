"""`run_flow`: the explicit way to run a flow, for code that has a flow and its parameters in hand.

Decides nothing: it says in one call what a call of the flow, `return_state` and `wait_for` say.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextvars import Context
from functools import partial
from typing import Any, cast
from uuid import UUID

from millrace.actors.errors import ConfigurationError
from millrace.runtime.attempt import in_context
from millrace.runtime.engine import not_a_flow
from millrace.runtime.flow import AsyncFlow, BaseFlow, Flow
from millrace.runtime.flow_iterating import begin_here, begin_on_loop
from millrace.runtime.running_tasks import RETURN_TYPES, by_name
from millrace.runtime.stepping import through, through_async


def run_flow(
    flow: BaseFlow[Any, Any],
    parameters: Mapping[str, Any] | None = None,
    wait_for: Iterable[Any] | None = None,
    return_type: str = "result",
    context: Context | None = None,
    *,
    flow_run_id: UUID | str | None = None,
) -> Any:
    """Run a flow here, as calling it does.

    Args:
        flow: The flow.
        parameters: Its arguments by name; of a recorded run, in place of those that are on record.
        wait_for: In a subflow, futures or states to wait for without using their results.
        return_type: `"result"`, or `"state"` for the final state.
        context: Where to run it, in a copy; by default the current one. It says which flow run the run belongs to.
        flow_run_id: A run that is there already, instead of a new one: made ahead, see `create_flow_run`, suspended, or
            recorded, see `resume_run`. It belongs to no other.

    Returns:
        What a call of the flow gives: the result or the state; a coroutine for an async flow; a generator for a
        generator flow, whatever the return type.

    Raises:
        ValueError: `return_type` is neither of the two.
        FlowDefinitionError: it is not a flow.
        SignatureMismatchError: a name is not a parameter, or a required one is missing.
        RunNotFound: there is no such run, in the engine or on record.
        RunNotResumable: it has completed, was cancelled, or its body goes on.
        ConfigurationError: an argument is of the wrong type; or there is something to wait for, for a run that is there
            already.
        Exception: what a call of the flow raises.

    Cancellation: as for a call of the flow.
    """
    if return_type not in RETURN_TYPES:
        raise ConfigurationError("return_type", return_type, "'result' or 'state'")
    if not isinstance(flow, BaseFlow):
        raise not_a_flow(flow, "run_flow()")
    if context is not None and not isinstance(context, Context):
        raise ConfigurationError("context", context, "a context, as contextvars.copy_context() gives it")
    place = None if context is None else context.copy()  # nobody is in a copy yet
    if flow_run_id is not None:
        if wait_for is not None:
            raise ConfigurationError("wait_for", wait_for, "nothing, for a recorded run")
        resume = partial(_resume, flow, flow_run_id, parameters, return_state=return_type == "state")
        return _in(place, resume, awaits=flow.is_async)
    args, kwargs = flow.shape.call_of(by_name(parameters))
    if not isinstance(flow, (Flow, AsyncFlow)):
        begin = partial(begin_on_loop if flow.is_async else begin_here, flow, args, kwargs, wait_for)
        made = begin if place is None else partial(place.run, begin)
        return through_async(made) if flow.is_async else through(made)
    call = partial(cast("Any", flow), *args, **kwargs, wait_for=wait_for, return_state=return_type == "state")
    return _in(place, call, awaits=flow.is_async)


def _resume(flow: BaseFlow[Any, Any], run_id: UUID | str, parameters: Any, *, return_state: bool) -> Any:
    from millrace.runtime.stores.resuming import aresume_run, resume_run  # noqa: PLC0415  # most programs have no store

    resume = aresume_run if flow.is_async else resume_run
    return resume(run_id, flow, parameters=parameters, return_state=return_state)


def _in(place: Context | None, call: Callable[[], Any], *, awaits: bool) -> Any:
    """What a call gives in a context; the present one where there is none. What is awaited, is awaited there."""
    if place is None:
        return call()
    value = place.run(call)
    return _await_in(place, value) if awaits and isinstance(value, Coroutine) else value


async def _await_in(place: Context, coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await cast("Any", in_context(place, coroutine))
