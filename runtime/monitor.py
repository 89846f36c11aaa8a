"""The monitor: names code that holds up an event loop, and with it all that runs there.

Decides when a loop counts as blocked, and what is said of it: where its thread is, the innermost call first. A thread
of the engine's asks each of its loops now and then to answer; one that does not in time is looked at, once for each
time that it is blocked, and when it answers again it is said how long that took. A loop that nobody runs at the moment
is not blocked.

It runs only where somebody asks for it: a loop that is asked cannot sleep for long.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from threading import Event, Lock, Thread, get_ident
from threading import enumerate as enumerate_threads
from time import perf_counter
from types import FrameType
from typing import Final

from millrace.actors.errors import ConfigurationError
from millrace.actors.seconds import LONGEST_DELAY_SECONDS, is_number
from millrace.runtime.one_line import engine_logger

_logger = engine_logger("loop")

LONGEST_STACK: Final = 12
"""How many calls are named."""


class LoopMonitor:
    """Looks after the loops of one engine.

    Args:
        seconds: A loop that does not answer for so long is blocked.
        now: Tells the time, in seconds.

    Raises:
        ConfigurationError: it is no number of seconds above 0.
    """

    def __init__(self, seconds: float, now: Callable[[], float] = perf_counter) -> None:
        if not is_number(seconds) or not 0 < seconds <= LONGEST_DELAY_SECONDS:
            raise ConfigurationError("monitor", seconds, "a number of seconds above 0")
        self._seconds = seconds
        self._now = now
        self._watches: list[_Watch] = []
        self._lock = Lock()
        self._stopped = Event()
        self._thread: Thread | None = None  # made with the first loop

    def watch(self, loop: asyncio.AbstractEventLoop, ident: int | None = None) -> None:
        """Look after a loop from now on, until it is closed.

        Args:
            loop: The loop.
            ident: The thread that runs it; None where that is not known yet.
        """
        with self._lock:
            self._watches.append(_Watch(loop, ident))
            if self._thread is None and not self._stopped.is_set():
                self._thread = Thread(target=self._run, name="millrace-monitor", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._stopped.wait(self._seconds / 2):
            self.look()

    def look(self) -> None:
        """Look at all loops, and ask those that have answered to do so again."""
        with self._lock:
            watches = self._watches = [each for each in self._watches if not each.loop.is_closed()]
        now = self._now()
        for each in watches:
            each.look(now, self._seconds, self._now)

    def stop(self) -> None:
        """Look after nothing any more, and end the thread; it is not waited for."""
        self._stopped.set()


class _Watch:
    """One loop."""

    __slots__ = ("_asked", "_told", "ident", "loop")

    def __init__(self, loop: asyncio.AbstractEventLoop, ident: int | None) -> None:
        self.loop = loop
        self.ident = ident
        self._asked: float | None = None  # when it was, and has not answered since
        self._told = False

    def look(self, now: float, seconds: float, clock: Callable[[], float]) -> None:
        """Ask the loop, or see how long it has not answered."""
        if not self.loop.is_running():
            self._asked = None
            self._told = False
        elif self._asked is None:
            self._asked = now
            try:
                self.loop.call_soon_threadsafe(self._answer, clock)
            except RuntimeError:  # it was closed in this moment
                self._asked = None
        elif not self._told and now - self._asked >= seconds and self.ident is not None:
            self._told = True
            _logger.warning(
                "The event loop of thread '%s' has been blocked for %.3g s by code that does not give it a turn: %s.",
                _name_of(self.ident),
                now - self._asked,
                _stack_of(self.ident),
            )

    def _answer(self, clock: Callable[[], float]) -> None:
        self.ident = get_ident()
        asked, self._asked = self._asked, None
        if self._told and asked is not None:
            _logger.warning(
                "The event loop of thread '%s' goes on; it was blocked for %.3g s.",
                _name_of(self.ident),
                clock() - asked,
            )
        self._told = False


def _name_of(ident: int) -> str:
    return next((each.name for each in enumerate_threads() if each.ident == ident), str(ident))


def _stack_of(ident: int) -> str:
    """Where a thread is: the innermost call first."""
    frame: FrameType | None = sys._current_frames().get(ident)  # noqa: SLF001  # there is no other way
    calls: list[str] = []
    while frame is not None and len(calls) < LONGEST_STACK:
        calls.append(f"{frame.f_code.co_qualname} ({frame.f_code.co_filename}:{frame.f_lineno})")
        frame = frame.f_back
    return ", called by ".join(calls) or "it has ended"
