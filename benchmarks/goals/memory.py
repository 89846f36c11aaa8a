"""Goal 6: what a finished run takes whose future is kept, and what is left of one whose future is dropped.

Each is taken twice: by `tracemalloc`, which counts what Python has allocated to the byte, and by resident memory, which
also counts gaps between allocations and what libraries allocate themselves. Resident memory moves by megabytes that no
run is to blame for; so 0 B is judged by `tracemalloc` alone.
"""

from benchmarks.model import Goal, Kind, Limits, Row, Work

KEPT = Limits(1024, 600)
NOTHING = Limits(0.5, shown="0 B")
"""Less than half a byte a run is nothing: a table that grew once, divided by all runs."""

METERS = {"tracemalloc": "", "rss": ", resident"}


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 10_000 if quick else 100_000
    drops = 40_000 if quick else 100_000  # with fewer, what is left once would look like something of each run
    works: dict[str, Work] = {}
    rows: list[Row] = []
    for meter, suffix in METERS.items():
        works |= {
            f"tasks_{meter}": Work("floors.kept_tasks", {"n": n, "meter": meter}),
            f"map_{meter}": Work("memory.kept_map", {"n": n, "meter": meter, "looked_at": False}),
            f"looked_at_{meter}": Work("memory.kept_map", {"n": n, "meter": meter, "looked_at": True}),
            f"submits_{meter}": Work("memory.kept_submits", {"n": n, "meter": meter}),
        }
        for key, name in (
            ("map", "kept, map, futures not looked at"),
            ("looked_at", "kept, map, futures and states looked at"),
            ("submits", "kept, submitted one by one"),
        ):
            figure = f"{key}_{meter}.bytes"
            rows.append(Row(f"{name}{suffix}", (figure,), "B", f"tasks_{meter}.bytes", Kind.ABSOLUTE, KEPT))
    for meter, suffix in METERS.items():
        limits = NOTHING if meter == "tracemalloc" else None
        for how, name in (("map", "map"), ("submit", "submitted"), ("call", "awaited one after another")):
            key = f"dropped_{how}_{meter}"
            works[key] = Work("memory.dropped", {"n": drops, "how": how, "meter": meter})
            for value, when in (("in_flow", "in the flow"), ("after", "after the flow")):
                row = Row(f"dropped, {name}, {when}{suffix}", (f"{key}.{value}",), "B", None, Kind.ABSOLUTE, limits)
                rows.append(row)
    return Goal(
        number=6,
        title=f"bytes of a finished run, of {n:,}; beside it a finished asyncio task",
        works=works,
        rows=tuple(rows),
        profiled=("map_tracemalloc", "submits_tracemalloc", "dropped_map_tracemalloc"),
        instrument="bytes",
    )
