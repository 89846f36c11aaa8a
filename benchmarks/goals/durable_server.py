"""Goal 24: what goals 7 and 8 ask for, and a cancellation by id, with a store on a server of PostgreSQL's."""

from benchmarks.model import Goal, Kind, Limits, Row, Work
from benchmarks.works.durable_server import is_there

CANCELLED = Limits(100)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller; without a row where there is no server."""
    n = 200 if quick else 2_000
    if not is_there():
        return Goal(24, "durable (PostgreSQL): not measured, as there is no server here", {}, ())
    return Goal(
        number=24,
        title=f"durable (PostgreSQL): {n:,} tasks one after another, each; a map of them; cancelled by id",
        works={
            "commits": Work("durable_server.commits", {"n": n}),
            "called": Work("durable_server.recorded", {"n": n, "name": "call"}),
            "awaited": Work("durable_server.recorded", {"n": n, "name": "await"}),
            "map": Work("durable_server.recorded", {"n": 5 * n, "name": "map_async"}),
            "cancelled": Work("durable_server.cancelled", {"n": 20 if quick else 50}),
        },
        rows=(
            Row("sync task called in a sync flow", ("called.us",), "µs", "commits.us"),
            Row("async task awaited", ("awaited.us",), "µs", "commits.us"),
            Row(f"map of {5 * n:,} async tasks, per task", ("map.us",), "µs"),
            Row(
                "a run of another process is cancelled: the median",
                ("cancelled.median_ms",), "ms", None, Kind.ABSOLUTE, CANCELLED,
            ),
            Row(
                "a run of another process is cancelled: the worst",
                ("cancelled.worst_ms",), "ms", None, Kind.ABSOLUTE, CANCELLED,
            ),
            Row("the same, the first one in its process, with what is imported there", ("cancelled.first_ms",), "ms"),
        ),
        profiled=("called", "awaited", "map"),
    )  # fmt: skip
