"""Gathered: which asyncio tasks go on only after others have ended, as far as asyncio can be asked.

Decides what is certain. A task that awaits another one, an `asyncio.gather` or the end of a `TaskGroup` goes on only
after all of these have ended, or one of them has failed. So it is *held up* if each of them that has not ended is
itself held up, or is known never to end. Of whatever else a task may await, nothing is certain; nor where one has just
failed, of which those around hear one after another, a turn of the loop later each.

asyncio keeps that in attributes it does not promise: where one is not there, nothing is certain either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from typing import Any

Futures = Collection["asyncio.Future[Any]"]


class Held:
    """Which tasks of one loop are held up by some that never end, at one moment. On the thread of that loop.

    Args:
        endless: Tasks that never end, as far as is known otherwise.
        tasks: All of that loop that have not ended.
        failed: Of what has failed: what was there a turn of the loop before. Whoever awaits it still does not mind.
    """

    __slots__ = ("_endless", "_failed", "_found", "_groups", "failed", "open", "steps")

    def __init__(self, endless: Futures, tasks: Futures, failed: Futures = ()) -> None:
        self._endless = frozenset(endless)
        self._groups = {ends: members for each in tasks for ends, members in _groups_of(each)}
        self._found: dict[Any, Futures] = {}  # what was asked for: by which of the endless it is held up
        self.open: set[asyncio.Future[Any]] = set()  # what may end, so that something that was asked for goes on
        self.steps = False  # whether something that was asked for may go on in this turn of the loop
        self._failed = failed
        self.failed: set[asyncio.Future[Any]] = set()  # is awaited by something that was asked for

    def by(self, future: asyncio.Future[Any]) -> Futures:
        """Which of those that never end hold up a task; none if that is not certain."""
        if future in self._endless:
            return (future,)
        if future not in self._found:
            self._found[future] = ()  # who awaits itself is held up by nothing that is known here
            self._found[future] = self._by_all(future)
        return self._found[future]

    def _by_all(self, future: asyncio.Future[Any]) -> Futures:
        awaited = self._awaited(future)
        if not awaited:
            self._note_open(future)
        every: set[asyncio.Future[Any]] = set()
        for each in awaited:
            found = self.by(each)
            if not found:
                return ()
            every.update(found)
        return every

    def _note_open(self, future: asyncio.Future[Any]) -> None:
        """After what a task awaits now, it may await something else, by which it is held up."""
        awaited = getattr(future, "_fut_waiter", future)
        if awaited is None or (isinstance(awaited, asyncio.Future) and awaited.done()):
            self.steps = True
        else:
            self.open.add(awaited if isinstance(awaited, asyncio.Future) else future)

    def _awaited(self, future: asyncio.Future[Any]) -> Futures:
        """What has not ended, and has to end, all of it, or one to fail, before a task goes on, or a gather ends."""
        waiter: Any = getattr(future, "_fut_waiter", future)
        if isinstance(waiter, asyncio.Future) and waiter.done():
            return ()
        if isinstance(waiter, asyncio.Task):
            return (waiter,)
        awaited: Any = self._groups.get(waiter) or getattr(waiter, "_children", ())
        failed = {each for each in awaited if _has_failed(each)}
        self.failed |= failed
        if not failed.issubset(self._failed):
            self.steps = True
            return ()
        return [each for each in reversed(tuple(awaited)) if not each.done()]  # the last began last, and may still run


def _has_failed(future: Any) -> bool:
    """Without being taken for somebody who has seen to its error."""
    return future.done() and (future.cancelled() or getattr(future, "_exception", None) is not None)


def _groups_of(task: Any) -> Iterator[tuple[Any, Futures]]:
    """The group that a task belongs to, if any: what tells its end, and its tasks."""
    for callback, _ in getattr(task, "_callbacks", None) or ():
        group = getattr(callback, "__self__", None)
        ends = getattr(group, "_on_completed_fut", None)
        if isinstance(group, asyncio.TaskGroup) and ends is not None:
            yield ends, getattr(group, "_tasks", ())
