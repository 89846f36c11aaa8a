"""Goal 7: a map of tasks that do nothing, each end told when it is committed, brought to the disk in groups."""

from benchmarks.goals.bare_task import BARE_TASKS, against_a_bare_task
from benchmarks.model import Goal, Kind, Limits, Row, Work

DURABLE_MAP = Limits(40, 25)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 2_000 if quick else 10_000
    return Goal(
        number=7,
        title=f"durable (SQLite, FULL): map of {n:,} tasks, per task",
        works={
            "task_group": BARE_TASKS,
            "map": Work("durable.recorded", {"n": n, "name": "map_async", "synchronous": "FULL"}),
            "threads": Work("durable.recorded", {"n": n, "name": "map_sync", "synchronous": "FULL"}),
            "normal": Work("durable.recorded", {"n": n, "name": "map_async", "synchronous": "NORMAL"}),
        },
        rows=(
            Row("map of async tasks", ("map.us",), "µs", None, Kind.ABSOLUTE, DURABLE_MAP),
            against_a_bare_task("map.us", DURABLE_MAP),
            Row("map of sync tasks, through threads", ("threads.us",), "µs"),
            Row("map of async tasks, synchronous=NORMAL", ("normal.us",), "µs"),
        ),
        profiled=("map",),
    )
