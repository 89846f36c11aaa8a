"""What `--profile` looks with: calls by own time, bytes by line.

An instrument is switched on and off by the probe that takes the figure (`works.probes`), so that what is set up before
is not in its report. Figures taken under an instrument are worth nothing; shares are worth something.
"""

from __future__ import annotations

import cProfile
import io
import pstats
import sys
import threading
import tracemalloc
from collections.abc import Callable
from typing import Any, Final

from benchmarks.works.probes import Instrument

SHOWN: Final = 25

PER_THREAD: Final = sys.version_info < (3, 12)
"""Whether every thread can have a profile of its own. From 3.12 on there is one for all of them."""


class CallProfile:
    """The calls with the longest own time, of the measuring thread (the loop's, in an async flow) and of the others."""

    def __init__(self) -> None:
        self._here = cProfile.Profile()
        self._others: list[cProfile.Profile] = []
        if PER_THREAD:
            threading.setprofile(self._join)

    def start(self) -> None:
        """From here on calls count."""
        self._here.enable()

    def stop(self) -> None:
        """From here on they do not."""
        self._here.disable()

    def report(self) -> str:
        """The tables."""
        if not PER_THREAD:
            title = "All threads together: from Python 3.12 on, cProfile does not tell them apart."
            return f"{title}\n{_table(pstats.Stats, [self._here])}"
        parts = [f"The measuring thread, which is the loop's in an async flow:\n{_table(pstats.Stats, [self._here])}"]
        if self._others:
            title = f"Threads started since, {len(self._others)} together, idle time and warm-up included:"
            parts.append(f"{title}\n{_table(pstats.Stats, self._others)}")
        return "\n".join(parts)

    def _join(self, _frame: object, _event: str, _argument: object) -> None:
        """Called by the first event of each new thread; the profile takes over from there."""
        profile = cProfile.Profile()
        self._others.append(profile)
        profile.enable()


class ByteProfile:
    """The lines that hold the most bytes, more than at the start."""

    def __init__(self) -> None:
        self._before: tracemalloc.Snapshot | None = None
        self._after: tracemalloc.Snapshot | None = None

    def start(self) -> None:
        """From here on bytes count, as long as they are held."""
        self._before = tracemalloc.take_snapshot()

    def stop(self) -> None:
        """What is held now is reported."""
        self._after = tracemalloc.take_snapshot()

    def report(self) -> str:
        """The table."""
        if self._before is None or self._after is None:
            return "Nothing was measured."
        found = self._after.compare_to(self._before, "lineno")
        lines = ["     bytes   objects  line"]
        for each in sorted(found, key=lambda found: found.size_diff, reverse=True)[:SHOWN]:
            frame = each.traceback[0]
            place = "/".join(frame.filename.split("/")[-3:])
            lines.append(f"{each.size_diff:10,} {each.count_diff:9,}  {place}:{frame.lineno}")
        return "\n".join(lines) + "\n"


def make(name: str) -> Instrument:
    """The instrument of a name: `calls` or `bytes`."""
    return CallProfile() if name == "calls" else ByteProfile()


def _table(load: Callable[..., Any], profiles: list[cProfile.Profile]) -> str:
    stream = io.StringIO()
    stats = load(profiles[0], stream=stream)
    for each in profiles[1:]:
        stats.add(each)
    stats.sort_stats("tottime").print_stats(SHOWN)
    return stream.getvalue().rstrip() + "\n"
