"""Logs: the run logger.

Decides the names of the loggers and the fields of a run. The library adds no handler and prints nothing by itself;
whoever runs it sets logging up. An adapter is made when somebody asks for one, never for each run.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping
from typing import Any

from millrace.runtime.context import CURRENT

logging.getLogger("millrace").addHandler(logging.NullHandler())


class RunLogger(logging.LoggerAdapter[logging.Logger]):
    """A standard logger with the fields of a run: `flow_run_id`, `flow_run_name`, `task_run_id`, `task_run_name`."""

    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """Add the run's fields to those of the call; the call's win."""
        kwargs["extra"] = {**(self.extra or {}), **(kwargs.get("extra") or {})}
        return msg, kwargs


def get_run_logger(**extra: object) -> RunLogger:
    """The logger of the run that this code belongs to.

    Args:
        **extra: More fields for every record.

    Returns:
        An adapter of `millrace.task_runs` or `millrace.flow_runs`; of `millrace` outside of any run, so that helpers
        can log from anywhere.
    """
    run = CURRENT.get()
    if run is None:
        return RunLogger(logging.getLogger("millrace"), extra)
    scope = run.scope
    fields: dict[str, object] = {}
    if scope.flow is not None:
        fields |= {"flow_run_id": str(scope.uuid), "flow_run_name": scope.name}
    if run.is_flow:
        return RunLogger(logging.getLogger("millrace.flow_runs"), fields | extra)
    fields |= {"task_run_id": str(run.uuid), "task_run_name": run.name}
    return RunLogger(logging.getLogger("millrace.task_runs"), fields | extra)


def logger_of_prints() -> RunLogger | None:
    """Where a print goes that is made here: to the logger of the run, if that is one that logs its prints."""
    run = CURRENT.get()
    return get_run_logger() if run is not None and run.logs_prints else None
