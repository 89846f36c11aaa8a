"""Goal 2: a map of sync tasks that do nothing, through threads, against `ThreadPoolExecutor.map`."""

from benchmarks.model import Goal, Limits, Row, Work

LIMITS = Limits(0.8, 0.5)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 10_000 if quick else 100_000
    works: dict[str, Work] = {}
    rows: list[Row] = []
    for threads in (None, 1, 4, 16):
        key = threads or "default"
        environment = {} if threads is None else {"MILLRACE_THREADS": str(threads)}
        works |= {
            f"executor_{key}": Work("floors.executor_map", {"n": n, "threads": threads}),
            f"sync_{key}": Work("maps.from_sync_flow", {"n": n}, environment),
            f"async_{key}": Work("maps.from_async_flow", {"n": n, "name": "threaded_map"}, environment),
        }
        shown = "threads by default" if threads is None else f"{threads} thread{'s' if threads > 1 else ''}"
        for kind in ("sync", "async"):
            name = f"from {'a sync' if kind == 'sync' else 'an async'} flow, {shown}"
            rows.append(Row(name, (f"{kind}_{key}.us",), "µs", f"executor_{key}.us", limits=LIMITS))
    return Goal(
        number=2,
        title=f"map of {n:,} sync tasks through threads, per task",
        works=works,
        rows=tuple(rows),
        profiled=("sync_default", "async_default"),
    )
