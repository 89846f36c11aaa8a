"""Goals set in microseconds, put as a ratio that means the same on a faster machine and on a slower one.

They were set where a task of `asyncio.TaskGroup` took 5.8 µs. In microseconds they judge the machine, and the hour: one
that others share swings by half. So beside such a figure stands its ratio to a bare task in the same round, which is to
be no more than it would be there.
"""

from typing import Final

from benchmarks.model import Kind, Limits, Row, Work

BARE_TASK_US: Final = 5.8
"""What a task of an `asyncio.TaskGroup` of a hundred thousand takes where the goals were set."""

BARE_TASKS: Final = Work("floors.task_group", {"n": 100_000})
"""It stands in a goal's works as `task_group`."""


def against_a_bare_task(subject: str, limits: Limits) -> Row:
    """The row that stands below the one whose figure is judged in microseconds.

    Args:
        subject: The figure.
        limits: What it is to reach in microseconds.
    """
    stretch = None if limits.stretch is None else limits.stretch / BARE_TASK_US
    return Row(
        "the same, against TaskGroup",
        (subject,),
        "µs",
        "task_group.us",
        Kind.RATIO,
        Limits(limits.goal / BARE_TASK_US, stretch),
    )
