"""Goal 14: what a retry costs, and what a deadline adds; beside each the same task without."""

from typing import Final

from benchmarks.goals.bare_task import BARE_TASK_US
from benchmarks.model import Goal, Limits, Row, Work

TWO_ATTEMPTS: Final = Limits(2)

DEADLINE: Final = Limits(3 / BARE_TASK_US, shown=f"≤ 3 µs, where a TaskGroup task takes {BARE_TASK_US} µs")
"""In microseconds it would judge the machine; so it is judged by what the machine takes for something else."""


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 5_000 if quick else 50_000
    kinds = {"anoop": "async body that never waits", "waits": "async body that waits", "noop": "sync body in a thread"}
    return Goal(
        number=14,
        title=f"attempts of {n:,} mapped runs: retries, and deadlines that nobody misses",
        works={
            **{name: Work("attempts.mapped", {"n": n, "name": name}) for name in ("fails", "fails_twice")},
            **{name: Work("attempts.added_by_a_deadline", {"n": n, "name": name}) for name in kinds},
        },
        rows=(
            Row("a run that fails twice, over one that fails once", ("fails_twice.us",), "µs", "fails.us",
                limits=TWO_ATTEMPTS),
            *(
                Row(f"{kind}: what a deadline adds, over a TaskGroup task", (f"{name}.us",), "µs",
                    f"{name}.task_group_us", limits=DEADLINE)
                for name, kind in kinds.items()
            ),
        ),
        profiled=("fails_twice", "noop"),
    )  # fmt: skip
