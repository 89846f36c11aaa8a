"""The roll: the flow runs of an engine that go on, and who waits until some of them are gone.

A run is gone when all that was to be done after its end has been, its last hooks included; that may be a while after
its state says that it has ended. Decides only that whoever waits for that is told, however close the two come.
"""

from __future__ import annotations

from collections.abc import Iterable
from threading import Lock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.waiting import Watcher


class Roll:
    """See the module's docstring."""

    __slots__ = ("_lock", "_runs", "_waiting")

    def __init__(self) -> None:
        self._lock = Lock()
        self._runs: dict[int, FlowRun] = {}  # by id
        self._waiting: dict[int, list[Watcher]] = {}  # by id of the run that each waits for; seldom anybody

    def __contains__(self, run_id: int) -> bool:
        return run_id in self._runs

    def __bool__(self) -> bool:
        return bool(self._runs)

    def get(self, run_id: int) -> FlowRun | None:
        """A run that is not gone, by its id."""
        return self._runs.get(run_id)

    def runs(self) -> list[FlowRun]:
        """Those that are not gone, as they came."""
        return list(self._runs.values())

    def enter(self, run: FlowRun) -> None:
        """A run starts."""
        self._runs[run.id] = run

    def strike(self, run: FlowRun) -> None:
        """A run is gone."""
        with self._lock:
            self._runs.pop(run.id, None)
            waiting = self._waiting.pop(run.id, ())
        for each in waiting:
            each.notify(run)

    def tell_when_gone(self, runs: Iterable[FlowRun], watcher: Watcher) -> None:
        """Tell somebody of each of these runs when it is gone, or now."""
        for run in runs:
            with self._lock:
                there = run.id in self._runs
                if there:
                    self._waiting.setdefault(run.id, []).append(watcher)
            if not there:
                watcher.notify(run)
