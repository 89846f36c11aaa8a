"""Step lanes: direct calls of generator tasks, which go on only when they are asked to.

Decides who stops such a run: during a step, the lane does it as for other calls; between two steps, who steps through
it does, because nothing goes on that could be stopped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millrace.runtime.here_lanes import LoopHere, ThreadHere

if TYPE_CHECKING:
    from millrace.runtime.runs import TaskRun


class ThreadSteps(ThreadHere):
    """The lane of a sync body that is stepped through."""

    __slots__ = ()

    def stop(self, run: TaskRun) -> None:
        """A step cannot be stopped; between two of them, the run ends now."""
        if not _stop_dormant(run):
            super().stop(run)

    def notify(self, run: TaskRun) -> None:
        """The run has ended."""
        _let_go_dormant(run)
        self.dispatch(run)


class LoopSteps(LoopHere):
    """The lane of an async body that is stepped through."""

    __slots__ = ()

    def stop(self, run: TaskRun) -> None:
        """Cancel the body at its await; between two steps, where it has yielded."""
        if not _stop_dormant(run):
            super().stop(run)

    def notify(self, run: TaskRun) -> None:
        """The run has ended."""
        _let_go_dormant(run)
        self.dispatch(run)


def _stop_dormant(run: TaskRun) -> bool:
    """Stop a run between two steps; whether it was there."""
    iteration = run.scope.dormant.pop(run.id, None)
    if iteration is not None:
        iteration.stop()
    return iteration is not None


def _let_go_dormant(run: TaskRun) -> None:
    """A run has ended; perhaps between two steps."""
    iteration = run.scope.dormant.pop(run.id, None)
    if iteration is not None:
        iteration.let_go()
