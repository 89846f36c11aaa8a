"""Goal 9: a freed slot to the next waiter, against the semaphore of asyncio; and what a slot costs that is free."""

from benchmarks.goals.bare_task import BARE_TASKS, against_a_bare_task
from benchmarks.model import Goal, Kind, Limits, Row, Work

HANDOVER = Limits(50, 20)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 2_000 if quick else 20_000
    return Goal(
        number=9,
        title=f"{n:,} slots handed over one after another, and as many that are free",
        works={
            "task_group": BARE_TASKS,
            "semaphore": Work("floors.semaphore_handed_over", {"n": n}),
            "blocks": Work("limits.handed_over_to_blocks", {"n": n}),
            "runs": Work("limits.handed_over_to_runs", {"n": n}),
            "threads": Work("limits.handed_over_to_threads", {"n": n // 10}),
            "free_semaphore": Work("floors.semaphore_free", {"n": n}),
            "free_block": Work("limits.free_blocks", {"n": n}),
            "plain": Work("limits.mapped", {"n": n, "limited": False}),
            "limited": Work("limits.mapped", {"n": n, "limited": True}),
        },
        rows=(
            Row("to a coroutine that waits in async with concurrency", ("blocks.us",), "µs", "semaphore.us",
                Kind.ABSOLUTE, HANDOVER),
            Row("to a task run that waits for its tag, body included", ("runs.us",), "µs", "semaphore.us",
                Kind.ABSOLUTE, HANDOVER),
            against_a_bare_task("runs.us", HANDOVER),
            Row("from thread to thread", ("threads.us",), "µs", None, Kind.ABSOLUTE),
            Row("a block whose slot is free", ("free_block.us",), "µs", "free_semaphore.us", Kind.ABSOLUTE),
            Row("a mapped run whose slot is free, beside one without", ("limited.us",), "µs", "plain.us",
                Kind.ABSOLUTE),
        ),
        profiled=("blocks", "runs", "limited"),
    )  # fmt: skip
