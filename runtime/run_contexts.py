"""Run contexts: what users are told of the run that the code at hand belongs to.

Decides nothing; all of it is looked up when somebody asks.
"""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import attrs

from millrace.actors.errors import MissingContextError
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.context import CURRENT

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.flow import BaseFlow
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun


@attrs.frozen
class FlowRunContext:
    """What is known inside a flow run.

    Args:
        flow: The flow.
        flow_run: Its run.
        parameters: The arguments by name, defaults filled in.
        start_time: When the run entered RUNNING.
    """

    flow: BaseFlow[Any, Any]
    flow_run: FlowRun
    parameters: dict[str, Any]
    start_time: datetime

    @classmethod
    def get(cls) -> FlowRunContext | None:
        """The context of the flow run that this code belongs to, also inside its tasks; None outside of any."""
        current = CURRENT.get()
        scope = current if current is None else current.scope
        if scope is None or scope.flow is None:
            return None
        return cls(scope.flow, scope, scope.parameters, from_nanoseconds(scope.started or scope.created))


@attrs.frozen
class TaskRunContext:
    """What is known inside a task run.

    Args:
        task: The task.
        task_run: Its run.
        parameters: The arguments by name, with futures replaced by their results.
        start_time: When the run first entered RUNNING.
    """

    task: BaseTask[Any, Any]
    task_run: TaskRun
    parameters: dict[str, Any]
    start_time: datetime

    @classmethod
    def get(cls) -> TaskRunContext | None:
        """The context of the task run that this code belongs to; None outside of any."""
        current = CURRENT.get()
        if current is None or current.is_flow:
            return None
        run: TaskRun = current  # type: ignore[assignment]
        return cls.of(run, run.bound_parameters())

    @classmethod
    def of(cls, run: TaskRun, parameters: dict[str, Any]) -> TaskRunContext:
        """The context of a run with such arguments."""
        return cls(run.task, run, parameters, from_nanoseconds(run.started or run.created))


def get_run_context() -> TaskRunContext | FlowRunContext:
    """The innermost run context.

    Raises:
        MissingContextError: outside of any flow or task run.
    """
    context = TaskRunContext.get() or FlowRunContext.get()
    if context is None:
        raise MissingContextError("get_run_context()")
    return context
