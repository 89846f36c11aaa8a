"""Goal 4: the time per task does not grow with the size of a map. The task group's own growth stands beside it."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

LIMITS = Limits(1.5, 1.2)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    sizes = (1_000, 10_000, 100_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    works: dict[str, Work] = {}
    rows: list[Row] = []
    for n in sizes:
        works |= {
            f"task_group_{n}": Work("floors.task_group_repeated", {"n": n}),
            f"map_{n}": Work("maps.repeated", {"n": n}),
        }
        rows.append(Row(f"map of {n:,}", (f"map_{n}.us",), "µs", f"task_group_{n}.us"))
    floors = tuple(f"task_group_{n}.us" for n in sizes)
    subjects = tuple(f"map_{n}.us" for n in sizes)
    return Goal(
        number=4,
        title="async maps of several sizes, per task",
        works=works,
        rows=(
            *rows,
            Row("TaskGroup: slowest size over fastest", floors, "×", kind=Kind.GROWTH),
            Row("map: slowest size over fastest", subjects, "×", kind=Kind.GROWTH, limits=LIMITS),
        ),
        profiled=("map_1000", f"map_{sizes[-1]}"),
    )
