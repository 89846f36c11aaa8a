"""Goal 10: sleeping tasks cancelled with their flow, against bare asyncio tasks."""

from benchmarks.model import Goal, Limits, Row, Work

LIMITS = Limits(1.5, 1.2)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 10_000 if quick else 100_000
    return Goal(
        number=10,
        title=f"{n:,} sleeping tasks cancelled, per task",
        works={
            "tasks": Work("floors.cancelled_tasks", {"n": n}),
            "engine": Work("cancelling.by_engine", {"n": n}),
            "outside": Work("cancelling.from_outside", {"n": n}),
        },
        rows=(
            Row("Engine.cancel of the flow", ("engine.us",), "µs", "tasks.us", limits=LIMITS),
            Row("flow cancelled by its host", ("outside.us",), "µs", "tasks.us", limits=LIMITS),
        ),
        profiled=("engine", "outside"),
    )
