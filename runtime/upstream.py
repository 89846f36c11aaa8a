"""Upstream: how one run is told of the end of another that it depends on.

Decides nothing: which end is good enough is `inputs`', and what follows from it the run's actor's. Runs that never
start because of a bad end are told in a row: the next ones that depend on them are not told in the turn of these.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from millrace.actors.messages import UpstreamEnded
from millrace.actors.states import State, StateType
from millrace.runtime.inputs import good_enough

if TYPE_CHECKING:
    from millrace.runtime.runs import TaskRun


class UpstreamLink:
    """Tells one run of the end of another that it depends on."""

    __slots__ = ("_failure_allowed", "downstream")

    def __init__(self, downstream: TaskRun, *, failure_allowed: bool) -> None:
        self.downstream = downstream
        self._failure_allowed = failure_allowed

    def notify(self, upstream: Any) -> None:
        """The upstream run has ended."""
        run = self.downstream
        state: State[Any] = upstream.state
        good = state.type is StateType.COMPLETED or good_enough(state, failure_allowed=self._failure_allowed)
        ended = UpstreamEnded(good, upstream.name, state, run.node.now())
        if good:
            run.tell(ended)
        else:
            _fall(run, ended)


_falling = threading.local()  # .waiting: runs to be told of a bad end, while this thread tells others


def _fall(run: TaskRun, ended: UpstreamEnded) -> None:
    """Tell a run that it never starts; which ends those that depend on it, and so on: in a row, not nested."""
    waiting: deque[tuple[TaskRun, UpstreamEnded]] | None = getattr(_falling, "waiting", None)
    if waiting is not None:
        waiting.append((run, ended))
        return
    _falling.waiting = waiting = deque([(run, ended)])
    try:
        while waiting:
            run, ended = waiting.popleft()
            run.tell(ended)
    finally:
        del _falling.waiting
