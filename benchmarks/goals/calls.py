"""Goal 3: tasks one after another; a bare coroutine and a plain call stand beside them for orientation.

A call does nothing, so what it takes in parts of those says little: it is judged in microseconds, and in parts of a
bare task.
"""

from benchmarks.goals.bare_task import BARE_TASKS, against_a_bare_task
from benchmarks.model import Goal, Kind, Limits, Row, Work

LIMITS = Limits(10, 6)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 5_000 if quick else 50_000
    return Goal(
        number=3,
        title=f"{n:,} tasks one after another, each",
        works={
            "task_group": BARE_TASKS,
            "await_coroutine": Work("floors.awaits", {"n": n}),
            "awaited": Work("calls.awaited", {"n": n}),
            "plain_call": Work("floors.calls", {"n": n}),
            "called": Work("calls.called", {"n": n}),
        },
        rows=(
            Row("async task awaited", ("awaited.us",), "µs", "await_coroutine.us", Kind.ABSOLUTE, LIMITS),
            against_a_bare_task("awaited.us", LIMITS),
            Row("sync task called in a sync flow", ("called.us",), "µs", "plain_call.us", Kind.ABSOLUTE, LIMITS),
            against_a_bare_task("called.us", LIMITS),
        ),
        profiled=("awaited", "called"),
    )
