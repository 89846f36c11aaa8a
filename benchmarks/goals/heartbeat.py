"""Goal 11: how late a host's coroutine wakes up on a loop that a big map, or a long stream, shares with it."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

LATE = Limits(10, 5)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 50_000 if quick else 1_000_000
    rows: list[Row] = []
    for name in ("map", "stream"):
        rows += [
            Row(f"beside a {name}, 99th percentile", (f"{name}.p99",), "ms", None, Kind.ABSOLUTE, LATE),
            Row(f"beside a {name}, median", (f"{name}.p50",), "ms", None, Kind.ABSOLUTE),
            Row(f"beside a {name}, latest", (f"{name}.most",), "ms", None, Kind.ABSOLUTE),
        ]
    return Goal(
        number=11,
        title=f"delay of a heartbeat every 2 ms, beside {n:,} runs on the same loop",
        works={name: Work("streams.heartbeat", {"n": n, "name": name}) for name in ("map", "stream")},
        rows=tuple(rows),
        profiled=("map", "stream"),
    )
