"""Lanes: where attempts run. A lane takes runs that are ready and executes each, from admission to the end.

Decides nothing about runs; it says what a place to run must offer, and how an attempt is begun and ended there.
`loop_lane` and `offload` are the two places of the engine's own; a task runner may bring others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from millrace.runtime.mapping import Cursor
    from millrace.runtime.runs import TaskRun


class Lane(Protocol):
    """A place where attempts run. Every method may be called from any thread."""

    def dispatch(self, run: TaskRun, /) -> None:
        """Put a run in line."""

    def dispatch_map(self, cursor: Cursor, /) -> None:
        """Put all the runs of a map in line; they are made as they come up."""

    def stop(self, run: TaskRun, /) -> None:
        """Cancel the body of a run that is CANCELLING, if it runs here and has not ended yet."""
