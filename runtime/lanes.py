"""Lanes: where attempts run. A lane takes runs that are ready and executes each, from admission to the end.

Decides nothing about runs; it says what a place to run must offer, and how an attempt is begun and ended there.
`loop_lane` and `offload` are the two places of the engine's own; a task runner may bring others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from millrace.actors.stored_result import Found
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.task_site import TaskSite


class RunSource(Protocol):
    """What runs are taken from as they come up: a map or a stream. Every method may be called from any thread."""

    in_line: bool  # it stands in a loop lane's line; that lane's to change

    @property
    def more(self) -> bool:
        """Whether runs are left to be started, at this moment."""
        ...

    @property
    def site(self) -> TaskSite:
        """The task whose runs they are, as it stands in its flow run."""
        ...

    @property
    def parent(self) -> int | None:
        """The id of the task run that has made it."""
        ...

    @property
    def lane(self) -> Lane:
        """Where its runs are executed."""
        ...

    def take(self, most: int, /) -> list[TaskRun]:
        """The next runs to start, at most so many; empty when there are none at this moment."""
        ...

    def holds_back(self, run: TaskRun, /) -> bool:
        """Whether a run that has been made is still to be taken, after all that were."""
        ...

    def cancel(self) -> None:
        """Start no more runs."""
        ...


class Lane(Protocol):
    """A place where attempts run. Every method may be called from any thread."""

    def dispatch(self, run: TaskRun, /) -> None:
        """Put a run in line."""

    def dispatch_map(self, source: RunSource, /) -> None:
        """Put all the runs of a map or a stream in line; they are made as they come up."""

    def stop(self, run: TaskRun, /) -> None:
        """Cancel the body of a run that is CANCELLING, if it runs here and has not ended yet."""


class RecordedLane:
    """The lane of a run that gets the result of an earlier attempt of its flow: nothing runs there.

    Args:
        found: The result.
    """

    __slots__ = ("_found",)

    def __init__(self, found: Found) -> None:
        self._found = found

    def dispatch(self, run: TaskRun, /) -> None:
        """End the run with the result."""
        run.take_over(self._found)

    def dispatch_map(self, source: RunSource, /) -> None:
        """Maps never come here."""
        raise NotImplementedError

    def stop(self, run: TaskRun, /) -> None:
        """There is no body."""


class NoLane:
    """The lane of runs that had ended with their map before they were made: nobody counts them, and nothing runs."""

    __slots__ = ()

    def dispatch(self, run: TaskRun, /) -> None:
        """It has ended."""

    def dispatch_map(self, source: RunSource, /) -> None:
        """Maps never come here."""
        raise NotImplementedError

    def stop(self, run: TaskRun, /) -> None:
        """There is no body."""


NOWHERE: Final = NoLane()


def innermost(lane: Lane) -> Lane:
    """The lane that executes runs, behind those that only say which of them goes first."""
    while (inner := getattr(lane, "lane", None)) is not None:
        lane = inner
    return lane
