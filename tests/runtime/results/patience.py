"""Waiting for what other threads and processes do: for a bounded time, and no longer than it takes."""

from __future__ import annotations

import threading
from collections.abc import Callable

PATIENCE = 10
"""Seconds; a wait that should end at once fails after so long."""


def await_true(condition: Callable[[], bool]) -> None:
    """Give other threads and processes the moment they take."""
    pause = threading.Event()
    for _ in range(PATIENCE * 1000):
        if condition():
            return
        pause.wait(0.001)
    raise AssertionError("it did not come about")
