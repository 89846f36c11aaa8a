"""Goal 18: flows that do nothing, one after another; subflows; pauses. Beside the first a bare coroutine and a call."""

from benchmarks.model import Goal, Kind, Limits, Row, Work

ASYNC_FLOW = Limits(60)
SYNC_FLOW = Limits(100)
SUBFLOW = Limits(60)
PAUSE_TO_RESUME = Limits(1_000)


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 1_000 if quick else 20_000
    pauses = 100 if quick else 2_000
    return Goal(
        number=18,
        title=f"{n:,} flows that do nothing, one after another, each; {pauses:,} pauses",
        works={
            "await_coroutine": Work("floors.awaits", {"n": n}),
            "awaited": Work("flows.awaited", {"n": n}),
            "awaited_inside": Work("flows.awaited_inside", {"n": n}),
            "plain_call": Work("floors.calls", {"n": n}),
            "called": Work("flows.called", {"n": n}),
            "called_inside": Work("flows.called_inside", {"n": n}),
            "paused": Work("flows.paused", {"n": pauses}),
            "paused_in_a_thread": Work("flows.paused_in_a_thread", {"n": pauses}),
        },
        rows=(
            Row("async flow awaited", ("awaited.us",), "µs", "await_coroutine.us", Kind.ABSOLUTE, ASYNC_FLOW),
            Row("sync flow called", ("called.us",), "µs", "plain_call.us", Kind.ABSOLUTE, SYNC_FLOW),
            Row("async flow awaited in a flow", ("awaited_inside.us",), "µs", "await_coroutine.us", Kind.ABSOLUTE,
                SUBFLOW),
            Row("sync flow called in a flow", ("called_inside.us",), "µs", "plain_call.us", Kind.ABSOLUTE, SUBFLOW),
            Row("async flow paused, resumed, and going on", ("paused.us",), "µs", None, Kind.ABSOLUTE,
                PAUSE_TO_RESUME),
            Row("sync flow paused, resumed from another thread, and going on", ("paused_in_a_thread.us",), "µs", None,
                Kind.ABSOLUTE, PAUSE_TO_RESUME),
        ),
        profiled=("awaited", "called", "paused"),
    )  # fmt: skip
