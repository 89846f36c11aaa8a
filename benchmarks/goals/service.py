"""Goal 20: how soon a service answers while a map of 100,000 runs in its process, against how soon when it is idle."""

from benchmarks.model import Goal, Limits, Row, Work

LATENCY = Limits(3)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, with many or few requests."""
    requests = 300 if quick else 2_000
    return Goal(
        number=20,
        title=f"99th percentile of {requests:,} answers of a service while maps of 100,000 run, one after another",
        works={name: Work("service.latency", {"requests": requests, "busy_with": name}) for name in ("async", "sync")},
        rows=(
            Row("async tasks are mapped", ("async.busy_p99",), "ms", "async.idle_p99", limits=LATENCY),
            Row("async tasks are mapped: median", ("async.busy_p50",), "ms", "async.idle_p50"),
            Row("sync tasks are mapped, on threads", ("sync.busy_p99",), "ms", "sync.idle_p99", limits=LATENCY),
            Row("sync tasks are mapped, on threads: median", ("sync.busy_p50",), "ms", "sync.idle_p50"),
        ),
        profiled=("async",),
    )
