"""The runner that puts off what a flow submits. Decides nothing: it is `delay` in the clothes of a task runner."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Self

from millrace.runtime.deferred.delaying import delay
from millrace.runtime.futures import Future
from millrace.runtime.runners import TaskRunner

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask


class WorkerTaskRunner(TaskRunner):
    """Puts off whatever is submitted or mapped, for workers to run; see `Task.delay` and `serve`.

    The runs belong to the queue and not to the flow run: that does not wait for those whose futures nobody waits for.
    """

    def duplicate(self) -> Self:
        """A runner of the same kind."""
        return type(self)()

    def submit(self, task: BaseTask[Any, Any], parameters: Mapping[str, Any], wait_for: Any = None) -> Future[Any]:
        """Put a run off. See `TaskRunner.submit`.

        Raises:
            RuntimeError: the runner has not been started.
            SerializationError, ConfigurationError, TaskDefinitionError, StoreError: see `Task.delay`.
        """
        self.check_started(f"submit task '{task.name}'")
        args, kwargs = task.shape.call_of(parameters)
        return delay(task, args, kwargs, wait_for)
