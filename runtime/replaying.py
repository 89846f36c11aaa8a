"""Replaying: what a flow run that is run again need not do again.

Decides which result of an earlier attempt a call gets: that of the same task at the same place, counted among the calls
of that task that the flow's own body has made. Runs that tasks have started are part of those. As long as all has gone
well before, the body has to make the same calls in the same order; where it does not, results would be given to the
wrong calls, and that is an error. Behind the first call that did not complete it is free to go another way.
"""

from __future__ import annotations

from typing import Any

import attrs

from millrace.actors.errors import FlowOrderChanged
from millrace.actors.stored_result import Found


@attrs.frozen
class Call:
    """A task or a flow that the body has called, submitted or mapped.

    Args:
        name: What was called.
        place: Which call of it this is, counted from 0; a map counts its items.
        first_id: The id of the run; of a map's first run.
        count: How many runs.
    """

    name: str
    place: int
    first_id: int
    count: int


class Replay:
    """What one flow run has called, in this attempt and in those before."""

    __slots__ = ("_by_place", "_calls", "_counts", "_earlier", "_in_order", "_results", "_rolled_back")

    def __init__(self) -> None:
        self._calls: list[Call] = []  # of this attempt, in their order
        self._earlier: list[Call] = []  # of the attempt before
        self._in_order = 0  # so many of the earlier ones completed without one before them that did not
        self._counts: dict[str, int] = {}  # by name: runs called in this attempt
        self._by_place: dict[tuple[str, int], int] = {}  # by name and place: the id of the run in the attempt before
        self._results: dict[int, Any] = {}  # by id: of runs that completed, in any attempt
        self._rolled_back: set[int] = set()  # ids of runs that completed, and were rolled back

    def completed(self, run_id: int, data: Any) -> None:
        """A run has completed."""
        if run_id not in self._rolled_back:
            self._results[run_id] = data

    def rolled_back(self, run_id: int) -> None:
        """A run was rolled back: what it did is undone, so that it is to be done again."""
        self._rolled_back.add(run_id)
        self._results.pop(run_id, None)

    def begin_again(self) -> None:
        """Another attempt begins."""
        self._earlier, self._calls, self._counts = self._calls, [], {}
        self._by_place = {
            (call.name, call.place + index): call.first_id + index
            for call in self._earlier
            for index in range(call.count)
        }
        self._in_order = 0
        for call in self._earlier:
            if any(call.first_id + index not in self._results for index in range(call.count)):
                break
            self._in_order += 1

    def call(self, name: str, first_id: int, count: int = 1) -> dict[int, Found]:
        """The body calls something.

        Args:
            name: What.
            first_id: The id of the run, of a map's first run, that it is to be.
            count: How many runs.

        Returns:
            By index: the results that are there already.

        Raises:
            FlowOrderChanged: in the attempt before it called something else here.
        """
        position = len(self._calls)
        if position < self._in_order and self._earlier[position].name != name:
            raise FlowOrderChanged(position + 1, self._earlier[position].name, name)
        place = self._counts.get(name, 0)
        self._counts[name] = place + count
        self._calls.append(Call(name, place, first_id, count))
        found: dict[int, Found] = {}
        for index in range(count) if self._earlier else ():
            earlier = self._by_place.get((name, place + index))
            if earlier is not None and earlier in self._results:
                found[index] = Found(self._results[earlier], name="Completed")
        return found
