"""Pauses: what a flow run remembers of its pauses, and which of its tasks wait for the end of one.

Decides that a pause with the same key happens once, and that no task is forgotten that was refused because of one.
What pausing and resuming mean for a body is `pausing`'s.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import Pause
from millrace.actors.states import StateType
from millrace.runtime.bells import Bell

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun


class Pausing:
    """One pause of a flow run.

    Args:
        key: A pause with the same key happens once.
        wait_for_input: The type of what is to be given when the run is resumed; None for nothing.
        reschedules: The body ends for now, and is run again.
    """

    __slots__ = ("bell", "key", "reschedules", "resumed", "wait_for_input")

    def __init__(self, key: str, wait_for_input: Any, *, reschedules: bool) -> None:
        self.key = key
        self.wait_for_input = wait_for_input
        self.reschedules = reschedules
        self.bell = Bell()  # rung when it ends, however that is
        self.resumed = False


class Pauses:
    """The pauses of one flow run."""

    __slots__ = ("_count", "_lock", "_parked", "_run", "given", "present")

    def __init__(self, run: FlowRun) -> None:
        self._run = run
        self._lock = Lock()
        self._count = 0  # in this attempt
        self._parked: list[TaskRun] = []  # to be put in line when the run goes on
        self.present: Pausing | None = None  # the one that it is in
        self.given: dict[str, Any] = {}  # by key of those that are over: what the run was resumed with

    @property
    def suspends(self) -> bool:
        """Whether the run is suspended, or is to be as soon as its body ends for now."""
        return self.present is not None and self.present.reschedules

    def next_key(self, key: str | None) -> str:
        """The key of a pause: the one that is given, or its number in this attempt."""
        self._count += 1
        return key or str(self._count)

    def begin_again(self) -> None:
        """The body is about to run once more: count from the start."""
        self._count = 0

    def ring(self) -> None:
        """The run is being stopped: wake whoever waits for the end of a pause."""
        if self.present is not None:
            self.present.bell.ring()

    def refuse_if_suspended(self) -> None:
        """End the body here where somebody has asked for that from outside.

        Raises:
            Pause: somebody has.
        """
        if self.suspends and self._run.type is StateType.PAUSED:
            raise Pause(self._run.state)

    def park(self, run: TaskRun) -> None:
        """Put a task run in line as soon as the flow run goes on."""
        with self._lock:
            waits = not self._run.admits and self._run.paused
            if waits:
                self._parked.append(run)
        if not waits:
            run.lane.dispatch(run)

    def end(self, pausing: Pausing, given: Any) -> None:
        """A pause ends because somebody has resumed the run.

        Args:
            pausing: The pause.
            given: What it was resumed with.
        """
        self.given[pausing.key] = given
        pausing.resumed = True
        self.present = None
        pausing.bell.ring()
        with self._lock:
            parked, self._parked = self._parked, []
        for run in parked:
            run.lane.dispatch(run)
