"""Goal 5: items through a stream with a hundred in flight; a hundred asyncio tasks between two queues stand beside it.

The goal of 15 seconds for a million items is 15 µs an item. Memory is the most that was resident at any time, above
what it was when the stream began. A source that never ends is asked for a minute, under the same limit of memory; and
it is looked at twice on its way, by `tracemalloc`: nothing may be left of the items in between.
"""

from benchmarks.goals.bare_task import BARE_TASKS, against_a_bare_task
from benchmarks.model import Goal, Kind, Limits, Row, Work

TIME = Limits(15, 10)
FLAT = Limits(20)
NOTHING = Limits(0.5, shown="0 B")
"""See goal 6."""


def make(quick: bool) -> Goal:  # noqa: FBT001  # one switch, the same in every goal
    """The goal, at full size or smaller."""
    n = 50_000 if quick else 1_000_000
    fewer = n // 5
    endless = 40_000 if quick else 100_000  # with fewer, what is left once would look like something of each item
    return Goal(
        number=5,
        title=f"stream of {n:,} items, 100 in flight, per item (where others stand beside it, {fewer:,})",
        works={
            "task_group": BARE_TASKS,
            "queues": Work("streams.queues", {"n": fewer}),
            "plain": Work("streams.items", {"n": n, "name": "plain"}),
            "ordered": Work("streams.items", {"n": fewer, "name": "ordered"}),
            "async_source": Work("streams.items", {"n": fewer, "name": "async_source"}),
            "chained": Work("streams.items", {"n": fewer, "name": "chained"}),
            "threaded": Work("streams.items", {"n": fewer, "name": "threaded"}),
            "blocking": Work("streams.items_blocking", {"n": fewer}),
            "resident": Work("streams.resident", {"n": n, "name": "anoop"}),
            "resident_threaded": Work("streams.resident", {"n": fewer, "name": "noop"}),
            "unending": Work("streams.unending", {"seconds": 1 if quick else 60}),
            "endless": Work("streams.endless", {"n": endless, "meter": "tracemalloc"}),
        },
        rows=(
            Row("async task, async flow", ("plain.us",), "µs", "queues.us", Kind.ABSOLUTE, TIME),
            against_a_bare_task("plain.us", TIME),
            Row("the same, memory", ("resident.mb",), "MB", None, Kind.ABSOLUTE, FLAT),
            Row("in order", ("ordered.us",), "µs", "queues.us"),
            Row("from an async generator", ("async_source.us",), "µs", "queues.us"),
            Row("two streams in a row", ("chained.us",), "µs", "queues.us"),
            Row("sync task on threads", ("threaded.us",), "µs", "queues.us"),
            Row("the same, memory", ("resident_threaded.mb",), "MB", None, Kind.ABSOLUTE, FLAT),
            Row("sync task on threads, sync flow", ("blocking.us",), "µs", "queues.us"),
            Row(
                f"a source that never ends, for {1 if quick else 60} s, memory",
                ("unending.mb",),
                "MB",
                None,
                Kind.ABSOLUTE,
                FLAT,
            ),
            Row("the same, millions of items", ("unending.items",), "", None, Kind.ABSOLUTE),
            Row("left of an item of a source that never ends", ("endless.bytes",), "B", None, Kind.ABSOLUTE, NOTHING),
        ),
        profiled=("plain", "threaded"),
    )
