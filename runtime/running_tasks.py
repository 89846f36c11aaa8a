"""`run_task`: the explicit way to run a task, for code that has a task and its parameters in hand.

Decides nothing: it says in one call what a direct call, `return_state` and `wait_for` say, and what only a caller that
takes the place of the engine needs to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextvars import Context
from typing import Any
from uuid import UUID

from millrace.actors.errors import ConfigurationError
from millrace.runtime.base_task import BaseTask
from millrace.runtime.generators import yield_through, yield_through_async
from millrace.runtime.given import Given
from millrace.runtime.task import AsyncTask, Task
from millrace.runtime.tracking import TaskRunInput

RETURN_TYPES = ("result", "state")


def run_task(
    task: BaseTask[Any, Any],
    parameters: Mapping[str, Any] | None = None,
    *,
    task_run_id: UUID | None = None,
    wait_for: Iterable[Any] | None = None,
    return_type: str = "result",
    dependencies: Mapping[str, Iterable[TaskRunInput]] | None = None,
    context: Context | None = None,
) -> Any:
    """Run a task here, as calling it does.

    Args:
        task: The task.
        parameters: Its arguments by name.
        task_run_id: The id that the run is to have; by default one of its flow run's own.
        wait_for: Futures or states to wait for without using their results.
        return_type: `"result"`, or `"state"` for the final state.
        dependencies: By parameter: what the run is recorded to depend on, beside what its arguments show.
        context: Where to run it; by default the current one. It says which flow run the task run belongs to.

    Returns:
        What a call of the task gives: the result or the state; a coroutine for an async task; a generator for a
        generator task, whatever the return type.

    Raises:
        ValueError: `return_type` is neither of the two.
        SignatureMismatchError: a name is not a parameter, or a required one is missing.
        Exception: what a call of the task raises.

    Cancellation: as for a call of the task.
    """
    if return_type not in RETURN_TYPES:
        raise ConfigurationError("return_type", return_type, "'result' or 'state'")
    if not isinstance(task, BaseTask):
        raise ConfigurationError("task", task, "a task, as @task makes them")
    args, kwargs = task.shape.call_of(dict(parameters or {}))
    given = Given(0 if task_run_id is None else task_run_id.int, dependencies or {})
    if isinstance(task, (Task, AsyncTask)):
        state = return_type == "state"
        if context is None:
            return task.run_here(args, kwargs, wait_for, given, return_state=state)
        if isinstance(task, Task):
            return context.run(task.run_here, args, kwargs, wait_for, given, return_state=state)
        return _in_context(task, (args, kwargs, wait_for, given), context, return_state=state)
    through = yield_through_async if task.is_async else yield_through
    return through(task, args, kwargs, wait_for)


async def _in_context(task: AsyncTask[Any, Any], call: tuple[Any, ...], context: Context, *, return_state: bool) -> Any:
    """Await a call in another context: that takes a task of its own."""
    run = context.run(task.run_here, *call, return_state=return_state)
    return await asyncio.get_running_loop().create_task(run, context=context)
