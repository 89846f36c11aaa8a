"""An event loop in virtual time: when nothing is left to do but wait for a time, that time has come.

For code that runs on one loop and on no threads. What is real, such as a socket, does not make time pass.
"""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Coroutine
from typing import Any, TypeVar

R = TypeVar("R")

START_NS = 1_700_000_000_000_000_000
PATIENCE_SECONDS = 20.0
"""How long something real is waited for where no time is."""


class _Jumping(selectors.SelectSelector):
    """Lets time pass instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout <= 0:
            found = super().select(PATIENCE_SECONDS if timeout is None else 0)
            assert found or timeout is not None, "The loop waits for nothing that can come."
            return found
        found = super().select(0)
        if not found:
            self.now += timeout
        return found


class VirtualLoop(asyncio.SelectorEventLoop):
    """The loop."""

    def __init__(self) -> None:
        self._jumping = _Jumping()
        super().__init__(self._jumping)

    def time(self) -> float:
        """Virtual seconds."""
        return self._jumping.now

    def now(self) -> int:
        """The same in nanoseconds since the epoch, for an engine: `Engine(clock=loop.now)`."""
        return START_NS + round(self._jumping.now * 1e9)


def now() -> int:
    """The time of the running loop, which is a virtual one."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop.now()


def run_virtually(coroutine: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end in virtual time."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(coroutine)
