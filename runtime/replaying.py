"""Replaying: what a flow run that is run again need not do again.

Decides which result of an earlier attempt a call gets: that of the same task at the same place, counted among the calls
of that task in the same strand (`strands`). As long as all has gone well before, the body has to make the same calls in
the same order, and in another process with the same arguments; where it does not, results would be given to the wrong
calls, and that is an error. Behind the first call that did not complete it is free to go another way, and so is a
branch, or the body of a task, which keep no order with the flow's body: what goes another way is run anew.

What the body of a task calls, and the items of a stream, are given back where they are on record, to another process.
In one process a task that is tried again begins anew, and so does a stream in another attempt of the flow.
"""

from __future__ import annotations

from array import array
from binascii import crc32
from threading import Lock
from typing import Any, Protocol
from weakref import ref

from millrace.actors.errors import CancelledRun
from millrace.actors.states import DEFAULT_NAMES, State
from millrace.actors.stored_result import Found
from millrace.runtime.beginnings import ALIKE, beginning
from millrace.runtime.history import History, Record
from millrace.runtime.leftovers import ANY_ATTEMPT, Begun
from millrace.runtime.marks import NO_ARGUMENTS, Arguments, Marks
from millrace.runtime.strands import (
    ORIGIN,
    STRAND,
    STREAM,
    Call,
    CallOrigin,
    Path,
    Place,
    Strand,
    this,
)
from millrace.runtime.streamed import GIVEN, MOST_GIVEN, StreamReplay, packed
from millrace.runtime.yields import Yielded, Yields


class Body(Protocol):
    """The run of a task whose body calls something."""

    id: int
    run_count: int


class Replay(History):
    """What one flow run has called, in this attempt and in those before."""

    __slots__ = ("_given", "_keeps", "_lock", "_recalled", "_rolled_back", "_yields")

    def __init__(self, record: Record | None = None, *, keeps: bool = True) -> None:
        super().__init__(record)
        self._lock = Lock()  # several strands may call at a time
        self._rolled_back: set[int] = set()  # ids of runs that completed, and were rolled back
        self._keeps = keeps  # results are kept here; else they are on record, and read when the body runs again
        self._recalled: dict[int, Yielded] = {}  # by id: what is to be given again of generator tasks
        self._yields: dict[int, Yields] = {}  # by id: what runs of generator tasks yield, until they have ended
        self._given: dict[Path, list[int]] = {}  # by stream: outcomes that were given, and are not on record yet

    @property
    def on_record(self) -> bool:
        """Whether calls are put on record."""
        return self._record is not None

    def completed(self, run_id: int, data: Any, state: State[Any] | None = None) -> None:
        """A run that the body has started has completed.

        Args:
            run_id: The run.
            data: What it came to.
            state: Its state, where there is one; else it has the usual name, and says nothing.
        """
        if not self._keeps or run_id in self._rolled_back:
            return
        if state is not None and (state.name != DEFAULT_NAMES[state.type] or state.message is not None):
            self._names[run_id] = state.name, state.message
        yields = self._yields.get(run_id)
        if yields is None or self._record is None:
            self._results[run_id] = data
        elif (kept := self._record.kept(run_id, yields)) is not None:
            self._results[run_id] = kept

    def forget(self, run_id: int) -> None:
        """A run of a stream has completed: that is not kept, and the stream runs anew in each attempt."""
        self._results.pop(run_id, None)

    def rolled_back(self, run_id: int) -> None:
        """A run was rolled back: what it did is undone, so that it is to be done again."""
        self._rolled_back.add(run_id)
        self._results.pop(run_id, None)
        if self._record is not None:
            self._record.undone(run_id)

    def ended(self, run_id: int) -> None:
        """A run of a task has ended: it calls nothing more, and yields nothing."""
        if self._yields:
            self._yields.pop(run_id, None)
        if self._attempt.inside:
            self._attempt.inside.pop(run_id, None)

    def begin_again(self) -> None:
        """Another attempt begins."""
        if self._record is not None and not self._keeps:
            self._results, self._names = dict(self._record.results()), dict(self._record.names())
        with self._lock:
            self._put_down_given()
            self._turn_over()

    def close(self) -> None:
        """The run has ended: nothing is called any more."""
        with self._lock:
            self._attempt.strands, self._attempt.inside = {}, {}  # each of them holds the attempt

    def enter(self) -> None:
        """The body begins, in the context at hand."""
        STRAND.set(self._strand(()))

    @staticmethod
    def step() -> None:
        """The body goes on, in the context at hand, perhaps in another asyncio task or thread than before."""
        strand = STRAND.get()
        if strand is not None:
            strand.owner = ref(this())

    # What is called.

    def expect(self, name: str, count: int = 1, arguments: Arguments = NO_ARGUMENTS, body: Body | None = None) -> None:
        """Check a call that the body is about to make.

        Args:
            name: What it calls.
            count: How many runs.
            arguments: What it calls it with.
            body: The run of a task whose body it is; None for the flow's own.

        Raises:
            FlowOrderChanged: before, it called something else here.
            FlowArgumentsChanged: in another process, it called this with other arguments.
            CancelledRun: the code at hand belongs to an attempt that is over.
        """
        strand = self._strand_here(name, count, arguments, body)
        if strand is not None and strand.known is not None:
            self._check(strand, strand.known, name, count, arguments)

    def call(
        self,
        name: str,
        first_id: int,
        count: int = 1,
        arguments: Arguments = NO_ARGUMENTS,
        *,
        body: Body | None = None,
        again: bool = False,
        yields: bool = False,
        serializer: Any = None,
    ) -> dict[int, Found]:
        """The body calls something.

        Args:
            name: What.
            first_id: The id of the run, of a map's first run, that it is to be.
            count: How many runs.
            arguments: As for `expect`.
            body: Likewise.
            again: What it comes to is not kept, and it is run in each attempt.
            yields: It is a generator task that is iterated over.
            serializer: Reads what is on record of it, where it says so itself.

        Returns:
            By index: the results that are there already.

        Raises:
            FlowOrderChanged: before, it called something else here.
            FlowArgumentsChanged: in another process, it called this with other arguments.
            CancelledRun: the code at hand belongs to an attempt that is over.
        """
        self.expect(name, count, arguments, body)
        strand = self._strand_here(name, count, arguments, body)
        if strand is None:
            return {}
        ids = range(first_id, first_id + count)
        marks = b"" if self._record is None else arguments.marks()
        with self._lock:
            call = self._put_down(strand, name, ids, marks)
            if strand.within is None:
                strand.calls.append(call)
        if self._record is not None:
            ORIGIN.set(CallOrigin(call, strand.path, strand.known, marks))
        if not self._runs or strand.known is None or strand.lost or again:
            return {}
        return self._found(strand.known, call, marks, serializer, yields=yields)

    def recall(self, run_id: int, found: Found, serializer: Any) -> Found | None:
        """What is on record of a generator task that is iterated over is about to be given again.

        Returns:
            What its run has come to; None where its body may have to go on.
        """
        assert self._record is not None  # nothing is found of what is not on record
        self._recalled[run_id] = found.data
        self._yields[run_id] = self._record.yields(serializer, found.data)
        if not found.data.exhausted:
            return None
        return Found(found.data.returned, found.expires, found.name, found.message)

    def recalled(self, run_id: int) -> Yielded | None:
        """What is given again of a generator task. Once, to whoever iterates over it."""
        return self._recalled.pop(run_id, None) if self._recalled else None

    def yields_of(self, run_id: int, serializer: Any) -> Yields | None:
        """What takes down what a run of a generator task yields; None where that is not put on record."""
        if self._record is None:
            return None
        found = self._yields.get(run_id)
        if found is None:
            found = self._yields[run_id] = self._record.yields(serializer, None)
        return found

    def outcome(self, run_id: int, data: Any) -> Any:
        """What is put on record of a run of a task that has completed."""
        yields = self._yields.get(run_id) if self._yields else None
        if yields is None:
            return data
        yields.returned = data
        return yields

    def _put_down(self, strand: Strand, name: str, ids: range, marks: Marks, besides: Path | None = None) -> Call:
        """Count a call, and put it on record, behind what streams have given. Under the lock.

        Args:
            strand: Who calls.
            name: What.
            ids: Of its runs.
            marks: Of its arguments.
            besides: A stream that does not matter for it.
        """
        place = strand.counts.get(name, 0)
        strand.counts[name] = place + len(ids)
        strand.made += 1
        attempt = strand.attempt
        if self._record is not None:
            self._put_down_given(besides)
            self._record.called(attempt.number, attempt.calls, strand.path, name, place, ids, marks)
        attempt.calls += 1
        return Call(name, place, ids, attempt.calls - 1)

    def take_unfinished(self, name: str, arguments: Arguments, body: Body | None = None) -> Any:
        """The subflow run that goes on with the call that the body is about to make; None for none."""
        # It has been expected.
        strand = self._strand_here(name, 1, arguments, body) if self._unfinished else None
        if strand is None or strand.lost or strand.known is None:
            return None
        found, before = self._unfinished.pop((strand.known, name, strand.counts.get(name, 0)), (None, b""))
        return None if before and self._differs(before, arguments.marks()) is not None else found

    def completed_run(self, name: str, arguments: Arguments, body: Body | None = None) -> int | None:
        """The run that such a call had come to and that completed, for one that the body is about to make."""
        strand = self._strand_here(name, 1, arguments, body) if self._runs else None
        if strand is None or strand.lost or strand.known is None:
            return None
        found = self._runs.get((strand.known, name, strand.counts.get(name, 0)))
        if found is None or (found[1] and self._differs(found[1], arguments.marks()) is not None):
            return None
        return found[0]

    def take_begun(self, run_id: int) -> Begun | None:
        """What another process has left of a run that has not completed, for the one that takes its place."""
        if not self._begun:
            return None
        place = _place_of(run_id)
        return None if place is None else self._begun_at(place)

    # Streams.

    def stream(self, name: str, body: Body | None = None) -> StreamReplay | None:
        """The body begins to take what comes, from a stream or from futures; None where nobody will ask for that again.

        Args:
            name: Of the stream's task; or what else it iterates over.
            body: As for `expect`.

        Raises:
            CancelledRun: the code at hand belongs to an attempt that is over.
        """
        if self._record is None and not _is_known_here():
            return None
        strand = self._strand_here(name, 0, NO_ARGUMENTS, body)
        if strand is None:
            return None
        number = strand.streams.get(name, 0)
        strand.streams[name] = number + 1
        below = STREAM, crc32(name.encode()), number
        known = None if strand.known is None or strand.lost else (*strand.known, *below)
        return StreamReplay(self, strand, (*strand.path, *below), known, name)

    def order(self, name: str, body: Body | None = None) -> StreamReplay | None:
        """The same for futures. None also where nothing was called yet in what would be a branch of the body.

        Such a branch is known by its first call, and taking futures as they end is none.
        """
        return self.stream(name, body) if _is_known_here() else None

    def pulled(self, stream: StreamReplay, ids: range, marks: Marks, serializer: Any) -> dict[int, Found]:
        """A stream has got items, and numbered their runs. By index: the results that are there already."""
        with self._lock:
            fixed = stream.pulled + len(ids) <= stream.fixed
            call = self._put_down(stream.strand, stream.name, ids, marks, stream.path if fixed else None)
        if not self._runs or stream.known is None:
            return {}
        return self._found(stream.known, call, marks, serializer)

    def given(self, stream: StreamReplay, index: int) -> None:
        """A stream has given an outcome: which is put on record with the next call, which may depend on that.

        Where the body may run again in this process, it is kept for that, too; but not for the body of a task, which
        begins anew then.
        """
        with self._lock:
            if self._keeps and stream.strand.within is None:
                stream.strand.attempt.given.setdefault(stream.path, array("L")).append(index)
            if self._record is None:
                return
            given = self._given.setdefault(stream.path, [])
            given.append(index)
            if len(given) >= MOST_GIVEN:
                self._put_down_given()

    def _put_down_given(self, besides: Path | None = None) -> None:
        """Under the lock."""
        if not self._given or self._record is None:
            return
        given, self._given = self._given, {}
        if besides in given:
            self._given[besides] = given.pop(besides)
        for path, indexes in given.items():
            attempt = self._attempt
            self._record.called(attempt.number, attempt.calls, path, GIVEN, 0, range(0), packed(indexes))
            attempt.calls += 1

    # Strands.

    def _strand_here(self, name: str, count: int, arguments: Arguments, body: Body | None) -> Strand | None:
        """The strand that the code at hand belongs to; None where it does not belong to the body, as a hook.

        Args:
            name: What it calls.
            count: How many runs.
            arguments: Of the call.
            body: The run of a task whose body it is; None for the flow's own.

        Raises:
            CancelledRun: it belongs to an attempt that is over.
        """
        strand = STRAND.get()
        if body is not None and (strand is None or strand.within != (body.id, body.run_count)):
            strand = self._strand_inside(body)
        if strand is None or strand.attempt.whose is not self._token:
            return None
        if strand.attempt is not self._attempt:
            raise CancelledRun("This attempt of the flow run is over, and the run goes on without it.")
        if strand.owner() is not this():
            begins = beginning(name, count, arguments.first)
            with self._lock:
                number = strand.branches.get(begins, 0)
                strand.branches[begins] = number + 1
                path, known = strand.below(begins * ALIKE + number)
                if strand.within is None:
                    path = known = self._known_as(path, name)
                    strand = self._strand(path)
                else:
                    strand = Strand(self._attempt, path, known, strand.within, here=True)
            STRAND.set(strand)
        return strand

    def _strand_inside(self, body: Body) -> Strand | None:
        """What the calls in a task's body branch off; None where they are not put on record."""
        if self._record is None:
            return None
        with self._lock:
            inside = self._attempt.inside
            strand = inside.get(body.id)
            within = body.id, body.run_count
            if strand is not None and strand.within == within:
                return strand
            place = _place_of(body.id)
            if place is None:
                return None
            known = place.known_below()
            if known is not None:
                begun = self._begun_at(place)
                last = self._inside.pop(known, None)  # once: an attempt that follows begins anew
                if last is None or begun is None or begun.cut_off not in {last, ANY_ATTEMPT}:
                    known = None
            strand = inside[body.id] = Strand(self._attempt, place.below(body.run_count), known, within, here=False)
        return strand

    def _known_as(self, path: Path, name: str) -> Path:
        """The path of a branch; that of the only one before that began with a call of the same, if its own is new.

        So one whose arguments are not what they were keeps its place. Of several nobody knows which it was.
        """
        if path in self._before or not self._before:
            return path
        around = path[:-1]
        alike = [
            other
            for other, calls in self._before.items()
            if len(other) == len(path) and other[:-1] == around and calls and calls[0].name == name
        ]
        return alike[0] if len(alike) == 1 and alike[0] not in self._attempt.strands else path


def _is_known_here() -> bool:
    """Whether the code at hand belongs to a strand already, and is no branch that is yet to make its first call."""
    strand = STRAND.get()
    return strand is not None and strand.owner() is this()


def _place_of(run_id: int) -> Place | None:
    origin = ORIGIN.get()
    return None if origin is None else origin.place_of(run_id)
