"""Goal 8: tasks one after another, each told when it is committed, against a bare commit of one row."""

from benchmarks.model import Goal, Limits, Row, Work

DURABLE_CALL = Limits(2, 1.3)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 200 if quick else 2_000
    return Goal(
        number=8,
        title=f"durable (SQLite, FULL): {n:,} tasks one after another, each",
        works={
            "commits": Work("durable.commits", {"n": n, "synchronous": "FULL"}),
            "called": Work("durable.recorded", {"n": n, "name": "call", "synchronous": "FULL"}),
            "awaited": Work("durable.recorded", {"n": n, "name": "await", "synchronous": "FULL"}),
        },
        rows=(
            Row("sync task called in a sync flow", ("called.us",), "µs", "commits.us", limits=DURABLE_CALL),
            Row("async task awaited", ("awaited.us",), "µs", "commits.us", limits=DURABLE_CALL),
        ),
        profiled=("called", "awaited"),
    )
