"""What tests of cache policies share: tasks, and contexts of runs that nobody started."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, cast

import attrs

from millrace import task
from millrace.runtime.run_contexts import TaskRunContext
from millrace.runtime.runs import TaskRun


@attrs.frozen
class Run:
    """As much of a task run as a policy looks at."""

    flow_run: int | None = 7
    task_run: int = 8

    def ids(self) -> tuple[int | None, int]:
        return self.flow_run, self.task_run


def body(page: Any = None, depth: int = 1) -> Any:
    return page


def context_of(
    fn: Any = body, *, flow_run: int | None = 7, task_run: int = 8, made: Callable[..., Any] = task
) -> TaskRunContext:
    """The context of a run of a task with this function, or of a task."""
    of = fn if hasattr(fn, "submit") else made(fn)
    return TaskRunContext(of, cast("TaskRun", Run(flow_run, task_run)), {}, datetime(2026, 1, 1, tzinfo=UTC))
