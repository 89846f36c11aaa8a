"""How a figure is taken: the time of a block, or the bytes that are held more after it than before.

Does not know what runs in the block. Profilers come in here: what `look_with` was given is switched on for the block.
"""

from __future__ import annotations

import asyncio
import gc
import os
import tracemalloc
from collections.abc import Coroutine
from pathlib import Path
from time import perf_counter
from typing import Any, Protocol, Self, TypeVar

R = TypeVar("R")


class Instrument(Protocol):
    """Something that looks at a block while it runs."""

    def start(self) -> None:
        """The block begins."""
        ...

    def stop(self) -> None:
        """The block has ended."""
        ...

    def report(self) -> str:
        """What was seen, for people."""
        ...


_instruments: list[Instrument] = []


def look_with(instrument: Instrument) -> None:
    """Switch this on for every block from now on."""
    _instruments.append(instrument)


class Timed:
    """The time of a block, taken after a collection, with the collector as it is by default."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._started = 0.0

    def __enter__(self) -> Self:
        gc.collect()
        for each in _instruments:
            each.start()
        self._started = perf_counter()
        return self

    def __exit__(self, *_error: object) -> None:
        self.seconds = self.so_far()
        for each in _instruments:
            each.stop()

    def so_far(self) -> float:
        """Seconds since the block began."""
        return perf_counter() - self._started

    def figures(self, count: int) -> dict[str, float]:
        """The time in microseconds for each of so many."""
        return {"us": self.seconds / count * 1e6}


class Grown:
    """The bytes that are held more after a block than before, each time after a collection.

    Args:
        meter: `tracemalloc`, what Python has allocated, to the byte; or `rss`, what the process occupies.
    """

    def __init__(self, meter: str) -> None:
        self.bytes = 0
        self._traced = meter == "tracemalloc"
        if self._traced and not tracemalloc.is_tracing():
            tracemalloc.start()

    def __enter__(self) -> Self:
        for each in _instruments:
            each.start()
        self.bytes = -self._held()
        return self

    def __exit__(self, *_error: object) -> None:
        self.bytes += self._held()
        for each in _instruments:
            each.stop()

    def _held(self) -> int:
        gc.collect()
        gc.collect()  # what the first one freed may have held more
        return tracemalloc.get_traced_memory()[0] if self._traced else resident_bytes()


def resident_bytes() -> int:
    """The memory that this process occupies.

    Raises:
        RuntimeError: the system does not say so in /proc.
    """
    statm = Path("/proc/self/statm")
    if not statm.exists():
        raise RuntimeError("resident memory is read from /proc, which this system does not have")
    return int(statm.read_text(encoding="ascii").split()[1]) * os.sysconf("SC_PAGE_SIZE")


def new_loop() -> asyncio.AbstractEventLoop:
    """A loop of the kind that millrace makes: uvloop's where there is one."""
    try:
        import uvloop  # noqa: PLC0415  # a floor without a loop does without it
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def on_new_loop(main: Coroutine[Any, Any, R]) -> R:
    """Run a coroutine to its end on a loop of its own."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


def expect(found: object, expected: object) -> None:
    """Raise unless the two are equal: what is fast because it did nothing fails instead of winning."""
    if found != expected:
        raise RuntimeError(f"expected {expected!r}, got {found!r}")
