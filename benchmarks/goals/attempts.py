"""Goal 14: what retries and deadlines cost; beside each the same task without."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

TWO_ATTEMPTS = Limits(2)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 5_000 if quick else 50_000
    names = (
        "anoop", "in_time", "waits", "waits_in_time", "noop", "in_time_in_a_thread", "fails", "fails_twice",
    )  # fmt: skip
    return Goal(
        number=14,
        title=f"attempts of {n:,} mapped runs: retries, and deadlines that nobody misses",
        works={name: Work("attempts.mapped", {"n": n, "name": name}) for name in names},
        rows=(
            Row("a run that fails twice, over one that fails once", ("fails_twice.us",), "µs", "fails.us",
                limits=TWO_ATTEMPTS),
            Row("async body that never waits, with a deadline", ("in_time.us",), "µs", "anoop.us", Kind.ABSOLUTE),
            Row("async body that waits, with a deadline", ("waits_in_time.us",), "µs", "waits.us", Kind.ABSOLUTE),
            Row("sync body, with a deadline", ("in_time_in_a_thread.us",), "µs", "noop.us", Kind.ABSOLUTE),
        ),
        profiled=("fails_twice", "waits_in_time"),
    )  # fmt: skip
