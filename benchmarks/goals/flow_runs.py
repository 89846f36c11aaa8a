"""Goal 19: the time per task does not grow with the number of flow runs that go on at once. Held to goal 4's growth."""

from benchmarks.goals.growth import by_size
from benchmarks.model import Goal


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    sizes = (10, 100, 1_000) if quick else (10, 100, 1_000, 10_000)
    works, rows = by_size(
        sizes,
        floor=("TaskGroups: slowest number over fastest", "groups_{}", "floors.many_at_once"),
        subject=("flow runs: slowest number over fastest", "flows_{}", "flows.many_at_once"),
        each="{:,} flow runs",
    )
    return Goal(
        number=19,
        title="flow runs at once in one loop, ten tasks in each, per task; beside them as many TaskGroups of ten",
        works=works,
        rows=rows,
        profiled=(f"flows_{sizes[-1]}",),
    )
