"""Idling: for how long this thread has waited while nobody in the process computed.

Decides what counts as waiting: that the thread has given its processor away of its own accord. One that the system has
taken it from, for another process, has waited for nothing that a second thread could do meanwhile. Where the system
does not tell which it was, all of it counts.
"""

from __future__ import annotations

import itertools
from time import perf_counter, process_time

try:
    from resource import RUSAGE_THREAD, getrusage
except ImportError:  # Linux alone has it for threads
    _numbers = itertools.count()

    def _given_away() -> int:
        return next(_numbers)

else:

    def _given_away() -> int:
        return getrusage(RUSAGE_THREAD).ru_nvcsw


class Idling:
    """Made where it begins, on the thread it is about."""

    __slots__ = ("_began", "_computed", "_given_away")

    def __init__(self) -> None:
        self._given_away = _given_away()
        self._computed = process_time()
        self._began = perf_counter()

    def seconds(self) -> tuple[float, float]:
        """How much time has passed, without what the system has taken; and for how much of it nobody computed."""
        passed, computed = perf_counter() - self._began, process_time() - self._computed
        if _given_away() == self._given_away:
            return min(passed, computed), 0.0
        return passed, passed - computed
