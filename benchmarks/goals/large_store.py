"""Goal 21: a store with a million task runs is opened, and its newest runs are listed."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

OPENING = Limits(200)
LISTING = Limits(20)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n, flow_runs = (20_000, 100) if quick else (1_000_000, 1_000)
    return Goal(
        number=21,
        title=f"a store with {n:,} task runs in {flow_runs:,} flow runs",
        works={"store": Work("durable.large_store", {"n": n, "flow_runs": flow_runs})},
        rows=(
            Row("opening it", ("store.opening_ms",), "ms", None, Kind.ABSOLUTE, OPENING),
            Row("listing the newest 50 flow runs", ("store.flow_runs_ms",), "ms", None, Kind.ABSOLUTE, LISTING),
            Row("listing the newest 50 task runs", ("store.task_runs_ms",), "ms", None, Kind.ABSOLUTE, LISTING),
        ),
        profiled=("store",),
    )
