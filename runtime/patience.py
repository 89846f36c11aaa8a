"""Patience: how long the end of a scope waits for children that were told to stop, and what then becomes of them."""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun


class Patience:
    """How long the end of a scope waits for children that were told to stop."""

    def __init__(self, run: FlowRun) -> None:
        self._run = run
        self._until: float | None = None

    def left(self) -> float | None:
        """Seconds to wait; None, without limit, as long as nothing is being stopped."""
        if not self._run.stopping:
            return None
        if self._until is None:
            self._until = monotonic() + self._run.engine.grace_seconds
        return max(0.0, self._until - monotonic())

    def end(self) -> None:
        """The time is over: give up the children that are left. Their bodies may go on; nobody listens to them."""
        self._until = None
        for child in tuple(self._run.children.values()):
            child.give_up(f"It did not stop within {self._run.engine.grace_seconds:g} seconds of being cancelled.")
