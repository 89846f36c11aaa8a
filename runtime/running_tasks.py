"""`run_task`: the explicit way to run a task, for code that has a task and its parameters in hand.

Decides nothing: it says in one call what a direct call, `return_state` and `wait_for` say, and what only a caller that
takes the place of the engine needs to say.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Mapping
from contextvars import Context
from typing import Any, Literal, TypeVar, Unpack, cast, overload
from uuid import UUID

from millrace.actors.errors import ConfigurationError
from millrace.actors.keywords import Keywords
from millrace.actors.states import State
from millrace.runtime.attempt import in_context
from millrace.runtime.base_task import BaseTask
from millrace.runtime.generator_task import AsyncGeneratorTask, GeneratorTask
from millrace.runtime.generators import yield_through, yield_through_async
from millrace.runtime.given import Given
from millrace.runtime.task import AsyncTask, Task
from millrace.runtime.tracking import TaskRunInput

R = TypeVar("R")
Y = TypeVar("Y")
Parameters = Mapping[str, Any] | None

RETURN_TYPES = ("result", "state")


def by_name(parameters: Parameters) -> dict[str, Any]:
    """The parameters of a run, in a mapping that nobody else holds.

    Raises:
        ConfigurationError: they are no mapping.
    """
    if parameters is None:
        return {}
    if not isinstance(parameters, Mapping):
        raise ConfigurationError("parameters", parameters, "a mapping from names to values")
    return dict(parameters)


class _Settled(Keywords, total=False):
    """What `run_task` takes beside the task, its parameters and what to return."""

    task_run_id: UUID | None
    wait_for: Iterable[Any] | None
    dependencies: Mapping[str, Iterable[TaskRunInput]] | None
    context: Context | None


@overload
def run_task(
    task: AsyncTask[..., R],
    parameters: Parameters = None,
    *,
    return_type: Literal["result"] = "result",
    **settled: Unpack[_Settled],
) -> Coroutine[Any, Any, R]: ...
@overload
def run_task(
    task: AsyncTask[..., R],
    parameters: Parameters = None,
    *,
    return_type: Literal["state"],
    **settled: Unpack[_Settled],
) -> Coroutine[Any, Any, State[R]]: ...
@overload
def run_task(
    task: GeneratorTask[..., Y],
    parameters: Parameters = None,
    *,
    return_type: str = "result",
    **settled: Unpack[_Settled],
) -> Generator[Y, Any, Any]: ...
@overload
def run_task(
    task: AsyncGeneratorTask[..., Y],
    parameters: Parameters = None,
    *,
    return_type: str = "result",
    **settled: Unpack[_Settled],
) -> AsyncGenerator[Y, Any]: ...
@overload
def run_task(
    task: Task[..., R],
    parameters: Parameters = None,
    *,
    return_type: Literal["result"] = "result",
    **settled: Unpack[_Settled],
) -> R: ...
@overload
def run_task(
    task: Task[..., R],
    parameters: Parameters = None,
    *,
    return_type: Literal["state"],
    **settled: Unpack[_Settled],
) -> State[R]: ...
def run_task(
    task: BaseTask[Any, Any],
    parameters: Parameters = None,
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
        task_run_id: The id that the run is to have; by default one of its flow run's own. Where a run with that id is
            on record in the engine's store, of this task and outside of any flow, and has CRASHED or FAILED, that run
            is executed again: with these parameters, as parameters of task runs are not on record. One that was put
            off is a worker's, and refused.
        wait_for: Futures or states to wait for without using their results.
        return_type: `"result"`, or `"state"` for the final state.
        dependencies: By parameter: what the run is recorded to depend on, beside what its arguments show.
        context: Where to run it; by default the current one. It says which flow run the task run belongs to. It is
            left as it is.

    Returns:
        What a call of the task gives: the result or the state; a coroutine for an async task; a generator for a
        generator task, whatever the return type.

    Raises:
        ConfigurationError: an argument cannot be used; for `return_type`, it is neither of the two. A `ValueError`.
        SignatureMismatchError: a name is not a parameter, or a required one is missing.
        Exception: what a call of the task raises.

    Cancellation: as for a call of the task.
    """
    if return_type not in RETURN_TYPES:
        raise ConfigurationError("return_type", return_type, "'result' or 'state'")
    if not isinstance(task, BaseTask):
        raise ConfigurationError("task", task, "a task, as @task makes them")
    if task_run_id is not None and not isinstance(task_run_id, UUID):
        raise ConfigurationError("task_run_id", task_run_id, "a UUID")
    if context is not None and not isinstance(context, Context):
        raise ConfigurationError("context", context, "a context, as contextvars.copy_context() gives it")
    args, kwargs = task.shape.call_of(by_name(parameters))
    given = Given(0 if task_run_id is None else task_run_id.int, dependencies or {}, again=True)
    place = None if context is None else context.copy()  # nobody is in a copy yet
    if isinstance(task, (Task, AsyncTask)):
        return _run(task, (args, kwargs, wait_for, given), place, return_state=return_type == "state")
    through = yield_through_async if task.is_async else yield_through
    return through(task, args, kwargs, wait_for, given, place)


def _run(
    task: Task[Any, Any] | AsyncTask[Any, Any], call: tuple[Any, ...], place: Context | None, *, return_state: bool
) -> Any:
    if place is None:
        return task.run_here(*call, return_state=return_state)
    made = place.run(task.run_here, *call, return_state=return_state)
    if task.is_async and asyncio.iscoroutine(made):  # in the body of a sync flow, it is the result
        return _await_in(place, made)
    return made


async def _await_in(place: Context, coroutine: Coroutine[Any, Any, Any]) -> Any:
    return await cast("Any", in_context(place, coroutine))
