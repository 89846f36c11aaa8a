"""Goal 19: the time per task does not grow with the number of flow runs that go on at once. Held to goal 4's growth."""

from benchmarks.goals.growth import LIMITS as GROWTH
from benchmarks.model import Goal, Kind, Row, Work


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    sizes = (10, 100, 1_000) if quick else (10, 100, 1_000, 10_000)
    works: dict[str, Work] = {}
    rows: list[Row] = []
    for n in sizes:
        works |= {
            f"groups_{n}": Work("floors.many_at_once", {"n": n}),
            f"flows_{n}": Work("flows.many_at_once", {"n": n}),
        }
        rows.append(Row(f"{n:,} flow runs", (f"flows_{n}.us",), "µs", f"groups_{n}.us"))
    floors = tuple(f"groups_{n}.us" for n in sizes)
    subjects = tuple(f"flows_{n}.us" for n in sizes)
    return Goal(
        number=19,
        title="flow runs at once in one loop, ten tasks in each, per task; beside them as many TaskGroups of ten",
        works=works,
        rows=(
            *rows,
            Row("TaskGroups: slowest number over fastest", floors, "×", kind=Kind.GROWTH),
            Row("flow runs: slowest number over fastest", subjects, "×", kind=Kind.GROWTH, limits=GROWTH),
        ),
        profiled=(f"flows_{sizes[-1]}",),
    )
