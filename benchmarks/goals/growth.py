"""Goal 4: the time per task does not grow with the size of a map. The task group's own growth stands beside it."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

LIMITS = Limits(1.5, 1.2)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    sizes = (1_000, 10_000, 100_000) if quick else (1_000, 10_000, 100_000, 1_000_000)
    works, rows = by_size(
        sizes,
        floor=("TaskGroup: slowest size over fastest", "task_group_{}", "floors.task_group_repeated"),
        subject=("map: slowest size over fastest", "map_{}", "maps.repeated"),
        each="map of {:,}",
    )
    return Goal(
        number=4,
        title="async maps of several sizes, per task",
        works=works,
        rows=rows,
        profiled=("map_1000", f"map_{sizes[-1]}"),
    )


def by_size(
    sizes: tuple[int, ...], *, floor: tuple[str, str, str], subject: tuple[str, str, str], each: str
) -> tuple[dict[str, Work], tuple[Row, ...]]:
    """The same work at several sizes: a row for each, then how both grow, of which the subject's is held to `LIMITS`.

    Args:
        sizes: How many, smallest first.
        floor: The title of its row, the names of its works by size, and the function that they call.
        subject: Likewise.
        each: The title of the row of a size.
    """
    works: dict[str, Work] = {}
    rows: list[Row] = []
    for n in sizes:
        works |= {named.format(n): Work(function, {"n": n}) for _title, named, function in (floor, subject)}
        rows.append(Row(each.format(n), (f"{subject[1].format(n)}.us",), "µs", f"{floor[1].format(n)}.us"))
    for (title, named, _function), limits in ((floor, None), (subject, LIMITS)):
        figures = tuple(f"{named.format(n)}.us" for n in sizes)
        rows.append(Row(title, figures, "×", kind=Kind.GROWTH, limits=limits))
    return works, tuple(rows)
