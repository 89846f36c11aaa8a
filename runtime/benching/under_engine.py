"""The engine as a contender: a task under a limit that the engine has for its tag, as in any program.

Decides how the engine of a trial is made, which of the task's options hold, and what the limit that finds itself is
said to have come to: the middle of what it was in the second half of the trial, when it had found its way.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import groupby
from statistics import median
from typing import Final

from millrace.actors.adaptive import AdaptiveLimit
from millrace.runtime.benching.feeding import Feed
from millrace.runtime.benching.load import Load
from millrace.runtime.engine import Engine
from millrace.runtime.offload import thread_limit
from millrace.runtime.ports import Clock
from millrace.runtime.task_options import TaskOptions

TAG: Final = "millrace-bench"

KEEPS_NOTHING: Final[TaskOptions] = {
    "persist_result": False,
    "cache_policy": None,
    "cache_key_fn": None,
    "cache_expiration": None,
    "refresh_cache": None,
    "result_storage": None,
    "result_serializer": None,
    "result_storage_key": None,
}
"""What is measured is the work: a result from a cache would be none, and results of a benchmark are nobody's."""


class UnderEngine:
    """Runs a load on an engine. Used for one trial.

    Args:
        adaptive: Let the limit find itself, from the smallest on, instead of giving it.
        most: The largest limit of the plan: an adaptive one becomes no larger, and so many threads there are.
    """

    def __init__(self, *, adaptive: bool, most: int) -> None:
        self._adaptive = adaptive
        self._most = most
        self._now: Clock | None = None
        self._limit_now: Callable[[], int] | None = None
        self._seen: list[tuple[int, int]] = []  # when the adaptive limit was what, each time it was looked at

    async def run(self, load: Load) -> None:
        """Run the load to its end.

        Cancellation: cancels the runs, and waits for their ends.
        """
        subject = load.work.task
        tagged = subject.with_options(**(KEEPS_NOTHING | {"tags": [*subject.tags, TAG]}))
        limit = AdaptiveLimit(initial=load.limit, maximum=self._most) if self._adaptive else load.limit
        threads = max(thread_limit(None), self._most if self._adaptive else load.limit)
        async with Engine(limits={TAG: limit}, threads=threads, clock=load.now) as engine:
            if self._adaptive:
                named = engine.limits[TAG]
                self._now, self._limit_now = load.now, lambda: named.limit
                self.look()
            await Feed(load, tagged).run()
            self.look()
            self._limit_now = None

    def look(self) -> None:
        """Note what the adaptive limit is at this moment."""
        if self._limit_now is not None and self._now is not None:
            self._seen.append((self._now(), self._limit_now()))

    @property
    def came_to(self) -> int | None:
        """What the adaptive limit was in the second half, in the middle; None for a limit that was given."""
        if not self._seen:
            return None
        half = (self._seen[0][0] + self._seen[-1][0]) / 2
        return round(median(limit for at, limit in self._seen if at >= half))

    @property
    def changes(self) -> tuple[tuple[int, int], ...]:
        """When the adaptive limit became what."""
        return tuple(next(same) for _, same in groupby(self._seen, key=lambda each: each[1]))
