"""Feeding: the items of a trial as runs of the engine, so many ahead that the limit never lacks any.

Decides how many runs are waiting at a time. All items count as offered when the trial begins; but a million runs that
wait would be a measurement of the memory that runs take.
"""

from __future__ import annotations

import asyncio
from threading import get_ident
from typing import Any, Final

from millrace.actors.states import StateType
from millrace.runtime.base_task import BaseTask
from millrace.runtime.benching.load import Load
from millrace.runtime.futures import Future
from millrace.runtime.runs import TaskRun

AHEAD: Final = 256
"""So many runs wait at least, and twice as many as fit in at once."""


class Feed:
    """Submits the items of a load and waits until all have ended. Used once, on one loop.

    Args:
        load: The items.
        subject: The task, as it is to be run.
    """

    def __init__(self, load: Load, subject: BaseTask[..., Any]) -> None:
        self._load = load
        self._task = subject
        self._loop = asyncio.get_running_loop()
        self._thread = get_ident()
        self._ahead = max(AHEAD, 3 * load.limit)
        self._next = 0  # the item that is submitted next
        self._out: set[Future[Any]] = set()  # submitted and not ended
        self._stopped = False
        self._all = self._loop.create_future()

    async def run(self) -> None:
        """Submit, and wait for the last end.

        Cancellation: only the wait ends; the end of the engine sees to the runs.
        """
        self._top_up()
        await self._all

    def _top_up(self) -> None:
        load = self._load
        while len(self._out) < self._ahead and self._next < load.work.count and not self._stopped:
            args, kwargs = load.work.call(self._next)
            self._next += 1
            future = self._task.submit(*args, **kwargs)
            self._out.add(future)
            future.add_done_callback(self._ended)
        if not self._out and not self._all.done():
            self._all.set_result(None)

    def _ended(self, future: Future[Any]) -> None:
        """A run has ended; on whatever thread ended it."""
        here = get_ident() == self._thread
        (self._loop.call_soon if here else self._loop.call_soon_threadsafe)(self._arrived, future)

    def _arrived(self, future: Future[Any]) -> None:
        run: TaskRun = future.source
        self._out.discard(future)
        if run.started:
            self._load.record(run.started, run.ended, _error_of(future))
        if self._load.over and not self._stopped:
            self._stopped = True
            for other in tuple(self._out):
                if not other.source.started:
                    other.cancel()
        if len(self._out) <= self._ahead // 2 or self._stopped:
            self._top_up()


def _error_of(future: Future[Any]) -> BaseException | str | None:
    state = future.state
    if state.type is StateType.COMPLETED:
        return None
    return state.data if isinstance(state.data, BaseException) else str(state)
