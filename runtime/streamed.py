"""Streamed: a stream on record, or futures as they end, and what another process has left of that.

Decides what the items of a stream are known by: their index, counted from the first one that was asked for. Outcomes
that were given as they came are given in the same order again, as far as that is on record: what the body did with
them then belongs to the calls that followed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.stored_result import Found
from millrace.runtime.marks import Marks, part
from millrace.runtime.strands import Path, Place, Strand

if TYPE_CHECKING:
    from millrace.runtime.replaying import Replay

GIVEN: Final = ""
"""In place of a task's name: not a call, but which outcomes a stream has given."""

MOST_GIVEN: Final = 1_000
"""So many are put on record at a time, at most."""


class StreamReplay:
    """One stream that a body iterates over.

    Args:
        replay: Of the flow run.
        strand: Who has begun it.
        path: Its own.
        known: What it was known by in another process; None where none had it.
        name: Of its task.
    """

    __slots__ = ("_places", "known", "name", "on_record", "path", "pulled", "replay", "script", "strand")

    def __init__(self, replay: Replay, strand: Strand, path: Path, known: Path | None, name: str) -> None:
        self.replay = replay
        self.strand = Strand(strand.attempt, path, known, strand.within, here=False)
        self.path = path
        self.known = known
        self.name = name
        self.script: Sequence[int] = replay.script(known)
        self.pulled = 0
        self.on_record = replay.on_record
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


def packed(indexes: Sequence[int]) -> bytes:
    """Indexes as they stand on record."""
    return b"".join(index.to_bytes(4, "big") for index in indexes)


def unpacked(data: bytes) -> list[int]:
    """The indexes that stand on record."""
    return [int.from_bytes(data[at : at + 4], "big") for at in range(0, len(data), 4)]
