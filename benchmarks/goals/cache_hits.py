"""Goal 16: a cache hit in memory; a call of a `functools.cache` stands beside it for orientation."""

from benchmarks.goals.bare_task import BARE_TASKS, against_a_bare_task
from benchmarks.model import Goal, Kind, Limits, Row, Work

CACHE_HIT = Limits(25)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 2_000 if quick else 20_000
    return Goal(
        number=16,
        title=f"cache hit: {n:,} one after another, in memory, keys of two small arguments, each",
        works={
            "task_group": BARE_TASKS,
            "cached_calls": Work("floors.cached_calls", {"n": n}),
            "called": Work("results.hits_called", {"n": n}),
            "awaited": Work("results.hits_awaited", {"n": n}),
        },
        rows=(
            Row("sync task called in a sync flow", ("called.us",), "µs", "cached_calls.us", Kind.ABSOLUTE, CACHE_HIT),
            against_a_bare_task("called.us", CACHE_HIT),
            Row("async task awaited", ("awaited.us",), "µs", "cached_calls.us", Kind.ABSOLUTE, CACHE_HIT),
            against_a_bare_task("awaited.us", CACHE_HIT),
        ),
        profiled=("called", "awaited"),
    )
