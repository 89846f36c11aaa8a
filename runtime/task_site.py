"""Task sites: a task as it stands in one flow run.

Decides what of a task's options, and of the flow run's, counts for the task's runs there, once for all of them: a run
is made for every item of a map, and only points here.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from millrace.actors.task_run import TaskNode
from millrace.runtime.prints import logs_prints

if TYPE_CHECKING:
    from millrace.actors.instructions import Order
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.keeping import Keeping
    from millrace.runtime.recording import Recording
    from millrace.runtime.results import Serializer
    from millrace.runtime.runs import TaskRun


class TaskSite(TaskNode):
    """A task as it stands in one flow run: what all of its runs there share."""

    __slots__ = (
        "calls", "conduct", "entrusted", "fn", "journal", "keeping", "limited", "logs_prints", "now", "recorder",
        "scope", "serializer", "source", "task",
    )  # fmt: skip

    def __init__(self, task: BaseTask[Any, Any], scope: FlowRun, *, takes_slots: bool = False) -> None:
        super().__init__(task.name, scope, task.retry_policy)
        self.takes_slots = takes_slots or scope.engine.rationing.concerns(task.tags)
        self.task = task
        self.scope = scope
        self.fn = task.body
        self.source = task.fn  # makes the generator that is iterated over when a generator task is called
        self.logs_prints = logs_prints(task.log_prints, scope.log_prints)
        self.limited: bool = task.timeout_seconds is not None  # attempts have a deadline
        self.recorder: Callable[..., Recording] | None  # makes what an attempt does about its result. None: nothing
        self.keeping: Keeping | None  # how results are kept; None: they are not
        self.recorder, self.keeping = task.recorder(scope)
        # Sees an attempt through from its admission on, where there is more to it than a body. None: there is not.
        self.conduct: Callable[[TaskRun], Coroutine[Any, Any, Order | None]] | None = task.conductor(
            scope, takes_slots=self.takes_slots
        )
        self.now = scope.engine.now
        self.journal = scope.journal
        self.serializer: Serializer | None = None  # of the results that are put on record; None: none was yet
        self.entrusted: BaseTask[Any, Any] | None = None  # as runners of somebody else's are given it; once one was
        self.calls = 0  # runs numbered so far; the next key. Guarded by the scope's lock
        if scope.engine.equip is not None:
            scope.engine.equip(self)

    def again(self, *, takes_slots: bool = False) -> TaskSite:
        """The same task in the same run, for what is started from now on: what is there to do may have changed.

        Args:
            takes_slots: Its runs may need slots, though none of the task's own tags says so.
        """
        site = TaskSite(self.task, self.scope, takes_slots=takes_slots or self.takes_slots)
        site.calls = self.calls
        site.setbacks = self.setbacks
        return site
