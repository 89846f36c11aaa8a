"""Streamed: a stream on record, or futures as they end, and what another process has left of that.

Decides what the items of a stream are known by: their index, counted from the first one that was asked for. Outcomes
that were given as they came are given in the same order again, as far as that is on record: what the body did with
them then belongs to the calls that followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from millrace.actors.stored_result import Found
from millrace.runtime.marks import WIDTH, Marks, part
from millrace.runtime.strands import Path, Place, Strand, ends_in_stream

if TYPE_CHECKING:
    from millrace.runtime.replaying import Replay

GIVEN: Final = ""
"""In place of a task's name: not a call, but which outcomes a stream has given."""

MOST_GIVEN: Final = 1_000
"""So many are put on record at a time, at most."""


class RecordedPull(Protocol):
    """A call as it goes on record. See `stores.records.Called`."""

    flow_run: int
    attempt: int
    order: int
    path: str
    name: str
    place: int
    first: int
    count: int
    marks: Marks


class StreamReplay:
    """One stream that a body iterates over.

    Args:
        replay: Of the flow run.
        strand: Who has begun it.
        path: Its own.
        known: What it was known by in another process; None where none had it.
        name: Of its task.
    """

    __slots__ = ("_places", "fixed", "known", "name", "on_record", "path", "pulled", "replay", "script", "strand")

    def __init__(self, replay: Replay, strand: Strand, path: Path, known: Path | None, name: str) -> None:
        self.replay = replay
        self.strand = Strand(strand.attempt, path, known, strand.within, here=False)
        self.path = path
        self.known = known
        self.name = name
        self.script: Sequence[int] = replay.script(known)
        self.pulled = 0
        self.on_record = replay.on_record
        self.fixed = 0  # so many items are there when it begins: none of them depends on what it has given
        self._places: dict[int, tuple[int, Marks]] = {}  # by id of each run that was not given: its index, and marks

    def pull(self, ids: range, marks: Marks, serializer: Any) -> dict[int, Found]:
        """Items have come, and their runs have numbers. By id: the results that are there already."""
        found = self.replay.pulled(self, ids, marks, serializer) if self.on_record else {}
        for offset, run_id in enumerate(ids):
            self._places[run_id] = self.pulled + offset, part(marks, offset)
        self.pulled += len(ids)
        return {ids[index]: each for index, each in found.items()}

    def give(self, run_id: int, *, in_order: bool) -> None:
        """The outcome of a run is given."""
        place = self._places.pop(run_id, None)
        if place is not None and not in_order:
            self.give_index(place[0])

    def give_index(self, index: int) -> None:
        """What stands at an index is given."""
        self.replay.given(self, index)

    def place_of(self, run_id: int) -> Place | None:
        """Where a run stands. See `strands.Origin`."""
        place = self._places.get(run_id)
        return None if place is None else Place(self.path, self.known, self.name, *place)


class Pulls:
    """What streams have pulled, as records of one group: what goes on where another one ends becomes one with it.

    A stream whose results come one by one pulls as many items, and each of them would be a row of its own.
    """

    __slots__ = ("_last", "_next")

    def __init__(self) -> None:
        self._last: RecordedPull | None = None
        self._next = 0  # the order of the call that would follow it

    def take(self, call: RecordedPull) -> bool:
        """A call comes to the group; whether it has become part of one that is in it."""
        last, follows = self._last, call.order == self._next
        self._next = call.order + 1
        if (
            last is not None
            and follows
            and (last.flow_run, last.attempt, last.path, last.name)
            == (call.flow_run, call.attempt, call.path, call.name)
            and (last.first + last.count, last.place + last.count) == (call.first, call.place)
            and len(last.marks) == last.count * WIDTH
        ):
            last.count += call.count
            last.marks += call.marks
            return True
        self._last = call if call.name != GIVEN and ends_in_stream(call.path) else None
        return False


def packed(indexes: Sequence[int]) -> bytes:
    """Indexes as they stand on record."""
    return b"".join(index.to_bytes(4, "big") for index in indexes)


def unpacked(data: bytes) -> list[int]:
    """The indexes that stand on record."""
    return [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4)]
