"""Goal 15: what a run holds that has failed and waits for its retry."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

KIBIBYTE = Limits(1024)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 10_000 if quick else 1_000_000
    return Goal(
        number=15,
        title=f"bytes of a run that waits for its retry, of {n:,}",
        works={"waiting": Work("attempts.awaiting_retry", {"n": n, "meter": "rss"})},
        rows=(Row("awaiting a retry, resident", ("waiting.bytes",), "B", None, Kind.ABSOLUTE, KIBIBYTE),),
        profiled=("waiting",),
        instrument="bytes",
    )
