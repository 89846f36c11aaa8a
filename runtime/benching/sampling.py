"""Sampling: how the process is while work goes on: how late its loop is, and how much memory it has.

Decides how often that is asked. The loop's lateness is that of a timer of its own: so late is every other timer and
every answer from a socket at that moment.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from millrace.runtime.benching.trials import Vitals

EVERY_SECONDS: Final = 0.01
LOOKS: Final = 5
"""At every so many-th time the memory is looked at, too."""


class Sampler:
    """Samples for as long as its block lasts, on the running loop.

    Args:
        also: Called each time; it is told nothing, and is quick.
    """

    def __init__(self, also: Callable[[], None] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        self._also = also
        self._lags: list[float] = []
        self._memory = 0
        self._handle: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._look()
        self._ask()
        self._wait()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._look()

    @property
    def vitals(self) -> Vitals:
        """What was seen so far."""
        return Vitals(tuple(self._lags), memory_bytes=self._memory)

    def _wait(self) -> None:
        due = self._loop.time() + EVERY_SECONDS
        self._handle = self._loop.call_at(due, self._tick, due)

    def _tick(self, due: float) -> None:
        self._lags.append(max(0.0, self._loop.time() - due))
        self._ask()
        if len(self._lags) % LOOKS == 0:
            self._look()
        self._wait()

    def _look(self) -> None:
        self._memory = max(self._memory, resident_bytes())

    def _ask(self) -> None:
        if self._also is not None:
            self._also()


def resident_bytes() -> int:
    """The memory of the process that is resident; where the system does not tell, the most that it ever was, or 0."""
    try:
        pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    except OSError:
        return _most_ever()
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


def _most_ever() -> int:
    try:
        import resource  # noqa: PLC0415  # not on every system
    except ImportError:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
