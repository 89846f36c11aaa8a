"""Trials: the same work once under one limit, as it was recorded.

Decides nothing; `figures` says what a trial comes to. All times are nanoseconds of one clock, whatever its start.
"""

from __future__ import annotations

import attrs

ADAPTIVE = "adaptive"
"""The contender that is given no limit, and finds one."""

MILLRACE = "millrace"
"""The engine with a limit that is given."""


@attrs.frozen
class Sample:
    """One run that has ended.

    Args:
        started: When its body began, its slot being there.
        ended: When it ended; never before it began.
        ok: Whether it completed.
    """

    started: int
    ended: int
    ok: bool


@attrs.frozen
class Vitals:
    """How the process was while a trial went on.

    Args:
        lags: How late the loop was with a timer, each time it was asked, in seconds.
        threads: The most threads that were alive at once, without those of trials before.
        memory_bytes: The most memory that was resident; 0 where that cannot be read.
    """

    lags: tuple[float, ...] = ()
    threads: int = 0
    memory_bytes: int = 0


@attrs.frozen
class Trial:
    """The same work once under one limit.

    Args:
        contender: Whose limit it was.
        limit: The limit; of one that finds itself, what it came to.
        round: In which round, from 0.
        offered: When all items were there.
        samples: The runs that ended, in the order in which they did.
        vitals: How the process was meanwhile.
        first_error: What the first run that failed said; None where none did.
        limits: Of a limit that finds itself: when it was what.
    """

    contender: str
    limit: int
    round: int
    offered: int
    samples: tuple[Sample, ...] = attrs.field(repr=False)
    vitals: Vitals = Vitals()
    first_error: str | None = None
    limits: tuple[tuple[int, int], ...] = attrs.field(default=(), repr=False)
