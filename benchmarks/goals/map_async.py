"""Goal 1: a map of async tasks that do nothing, against an asyncio task group that does the same."""

import sys

from benchmarks.model import Goal, Limits, Row, Work


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 10_000 if quick else 100_000
    # From 3.12 on a task can begin at once, without a trip through the loop.
    limits = Limits(1.5, 1.0) if sys.version_info >= (3, 12) else Limits(3, 2)
    return Goal(
        number=1,
        title=f"map of {n:,} async tasks, per task",
        works={
            "task_group": Work("floors.task_group", {"n": n}),
            "map": Work("maps.from_async_flow", {"n": n, "name": "async_map"}),
            "looked_at": Work("maps.from_async_flow", {"n": n, "name": "async_map_looked_at"}),
        },
        rows=(
            Row("map, against TaskGroup", ("map.us",), "µs", "task_group.us", limits=limits),
            Row("each future awaited, its state looked at", ("looked_at.us",), "µs", "task_group.us"),
        ),
        profiled=("map",),
    )
