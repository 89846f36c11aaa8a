"""Logging, as the command line sets it up; the library itself adds no handler that writes.

Decides levels and the shape of a line. A handler that the user's own file has put on the root logger is left to do
the work.
"""

from __future__ import annotations

import logging
import sys

from millrace.actors.events import Event
from millrace.actors.states import StateType

_ROOT_LEVELS = {-2: logging.ERROR, -1: logging.WARNING, 0: logging.WARNING, 1: logging.INFO, 2: logging.DEBUG}
_OWN_LEVELS = {-2: logging.ERROR, -1: logging.WARNING, 0: logging.INFO, 1: logging.DEBUG, 2: logging.DEBUG}

_SETBACKS = (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED, StateType.SCHEDULED)

cli_logger = logging.getLogger("millrace.cli")


class _Handler(logging.Handler):
    """Writes to whatever `sys.stderr` is at the time: the screen takes that over for a while."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            sys.stderr.write(f"{self.format(record)}\n")
        except Exception:  # noqa: BLE001  # a log line that cannot be written must not stop the flow
            self.handleError(record)


class _Formatter(logging.Formatter):
    """Time, level, the run the line comes from (else its logger), the message."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(run)s%(message)s", "%H:%M:%S")

    def format(self, record: logging.LogRecord) -> str:
        fields = record.__dict__
        source = fields.get("task_run_name") or fields.get("flow_run_name")
        if source is None and record.name != cli_logger.name:
            source = record.name
        record.run = f"{source}: " if source else ""
        return super().format(record)


def set_up_logging(verbosity: int) -> None:
    """Show log records on stderr: from the engine and its runs first, from all else when asked for more.

    Args:
        verbosity: How many more `-v` than `-q` there are.
    """
    level = max(-2, min(2, verbosity))
    logging.getLogger("millrace").setLevel(_OWN_LEVELS[level])
    root = logging.getLogger()
    if not root.handlers:
        handler = _Handler()
        handler.setFormatter(_Formatter())
        root.addHandler(handler)
        root.setLevel(_ROOT_LEVELS[level])


def log_events(event: Event) -> None:
    """Log an accepted transition."""
    cli_logger.debug("%s", event)


def log_setbacks(event: Event) -> None:
    """Log an accepted transition if it is one that somebody who looks for a fault wants to see."""
    if event.state.type in _SETBACKS and event.state.state_details.child_flow_run_id is None:  # else it is told twice
        cli_logger.info("%s: %s", event.run_name, event.state)
