"""Goal 23: how long a small flow takes beside a big map on the same loop, over what it takes alone.

The factor is for steps that wait for something, as most do that are worth a flow: what is added to a step is the time
of a few runs of others, whatever the step takes. So beside it stands one whose steps do nothing at all.
"""

from benchmarks.model import Goal, Kind, Limits, Row, Work

FACTOR = Limits(2, 1.5)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 100_000 if quick else 1_000_000
    steps = 20 if quick else 100
    return Goal(
        number=23,
        title=f"a flow of {steps} steps, one after another, beside a map of {n:,} tasks on the same loop, each step",
        works={
            "waits": Work("streams.small_flow", {"n": n, "steps": steps, "seconds": 0.005}),
            "bare": Work("streams.small_flow", {"n": n, "steps": steps, "seconds": 0}),
        },
        rows=(
            Row("that waits for 5 ms, over the same alone", ("waits.beside",), "ms", "waits.alone", Kind.RATIO, FACTOR),
            Row("that does nothing, over the same alone", ("bare.beside",), "ms", "bare.alone"),
        ),
    )
