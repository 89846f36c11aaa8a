"""Replaying: what a flow run that is run again need not do again.

Decides which result of an earlier attempt a call gets: that of the same task at the same place, counted among the calls
of that task in the same strand of the flow's own body. Runs that tasks have started are part of those. As long as all
has gone well before, the body has to make the same calls in the same order; where it does not, results would be given
to the wrong calls, and that is an error. Behind the first call that did not complete it is free to go another way.

The body is one strand, the trunk. Each asyncio task and each thread in which it makes calls is a branch of the strand
that started it, and is known by its first call (`beginnings`); of those that begin alike, by its number among them.
What runs beside something else keeps no order with that, so calls are counted in each strand by itself; and a branch
that goes another way is run anew.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from itertools import groupby
from threading import Lock, current_thread
from typing import Any, Protocol
from weakref import ref

import attrs

from millrace.actors.errors import CancelledRun, FlowOrderChanged
from millrace.actors.stored_result import MISSING, Found
from millrace.runtime.beginnings import ALIKE, Arguments, beginning, no_arguments
from millrace.runtime.running import running_loop


class RecordedCall(Protocol):
    """A call as it is on record. See `Call`; `first` and `count` make its ids."""

    attempt: int
    order: int
    path: str
    name: str
    place: int
    first: int
    count: int


@attrs.frozen
class OnRecord:
    """In place of a result: what is on record of it.

    Args:
        value: As the record has it.
    """

    value: Any


class Record(Protocol):
    """What is put on record of a flow run, to outlive the process. See `stores.flow_record`."""

    def called(  # noqa: PLR0917  # what a call is made of
        self, attempt: int, order: int, path: tuple[int, ...], name: str, place: int, ids: range, /
    ) -> None:
        """The body has called something."""
        ...

    def undone(self, run_id: int, /) -> None:
        """A run was rolled back."""
        ...

    def results(self) -> Mapping[int, OnRecord]:
        """By id: what is on record of the results of runs that have completed."""
        ...

    def read(self, run_id: int, recorded: OnRecord, serializer: Any, /) -> Any:
        """A result; MISSING where it cannot be had, so that its run runs anew."""
        ...


@attrs.frozen
class Call:
    """A task or a flow that the body has called, submitted or mapped.

    Args:
        name: What was called.
        place: Which call of it in its strand this is, counted from 0; a map counts its items.
        ids: Of the run; of all runs of a map.
        order: Which call of the attempt this is, counted from 0.
    """

    name: str
    place: int
    ids: range
    order: int

    def is_like(self, name: str, count: int) -> bool:
        """Whether another call is of the same, with as many runs."""
        return self.name == name and len(self.ids) == count

    def __str__(self) -> str:
        return _shown(self.name, len(self.ids))


class Strand:
    """What runs in order in one attempt of a body: the body itself, or an asyncio task or a thread that it started."""

    __slots__ = ("attempt", "branches", "calls", "counts", "lost", "owner", "path")

    def __init__(self, attempt: Attempt, path: tuple[int, ...]) -> None:
        self.attempt = attempt
        self.path = path  # what the branch is known by, after that of the strand it branches off; empty for the trunk
        self.owner = ref(_here())
        self.branches: dict[int, int] = {}  # by beginning: how many have begun so
        self.calls: list[Call] = []
        self.counts: dict[str, int] = {}  # by name: runs called
        self.lost = False  # it is a branch that goes another way than before


class Attempt:
    """What one attempt of a body has called."""

    __slots__ = ("calls", "number", "strands", "whose")

    def __init__(self, whose: object, number: int = 0) -> None:
        self.whose = whose  # says which flow run it is one of, and holds nothing of that
        self.number = number  # from 0, over all processes that have run the flow run
        self.strands: dict[tuple[int, ...], Strand] = {}  # by path
        self.calls = 0


_STRAND: ContextVar[Strand | None] = ContextVar("millrace_strand", default=None)


class Replay:
    """What one flow run has called, in this attempt and in those before."""

    __slots__ = (
        "_attempt", "_before", "_in_order", "_keeps", "_lock", "_record", "_results", "_rolled_back", "_runs",
        "_token", "unfinished",
    )  # fmt: skip

    def __init__(self, record: Record | None = None, *, keeps: bool = True) -> None:
        self._lock = Lock()  # several strands may call at a time
        self._token = object()
        self._attempt = Attempt(self._token)
        self._before: dict[tuple[int, ...], list[Call]] = {}  # by path: calls of the attempts before, in their order
        self._in_order = 0  # so many of the trunk's were made before any that did not complete
        # By path, name and place: the run that completed there last.
        self._runs: dict[tuple[tuple[int, ...], str, int], int] = {}
        self._results: dict[int, Any] = {}  # by id: of runs that completed, in any attempt
        self._rolled_back: set[int] = set()  # ids of runs that completed, and were rolled back
        self._record = record
        self._keeps = keeps  # results are kept here; else they are on record, and read when the body runs again
        # By path, name and place: subflows that a process has not brought to their end, which go on.
        self.unfinished: dict[tuple[tuple[int, ...], str, int], Any] = {}

    def completed(self, run_id: int, data: Any) -> None:
        """A run that the body has started has completed."""
        if self._keeps and run_id not in self._rolled_back:
            self._results[run_id] = data

    def forget(self, run_id: int) -> None:
        """A run of a stream has completed: that is not kept, and the stream runs anew in each attempt."""
        self._results.pop(run_id, None)

    def rolled_back(self, run_id: int) -> None:
        """A run was rolled back: what it did is undone, so that it is to be done again."""
        self._rolled_back.add(run_id)
        self._results.pop(run_id, None)
        if self._record is not None:
            self._record.undone(run_id)

    def begin_again(self) -> None:
        """Another attempt begins."""
        if self._record is not None and not self._keeps:
            self._results = dict(self._record.results())
        self._turn_over()

    def _turn_over(self) -> None:
        """From one attempt to the next: work out what the last one has come to."""
        with self._lock:
            last, self._attempt = self._attempt, Attempt(self._token, self._attempt.number + 1)
            undone = last.calls
            for strand in last.strands.values():
                for call in strand.calls:
                    missing = 0
                    for index, run_id in enumerate(call.ids):
                        if run_id in self._results:
                            self._runs[strand.path, call.name, call.place + index] = run_id
                        else:
                            missing += 1
                    if missing:
                        undone = min(undone, call.order)
                self._before[strand.path] = _joined(strand.calls, self._before.get(strand.path, []))
            trunk = last.strands.get(())
            last.strands = {}  # each of them holds the attempt
            done = 0 if trunk is None else sum(call.order < undone for call in trunk.calls)
            # An attempt that broke off early says nothing about what came later in the one before it.
            broke_off = undone == last.calls and trunk is not None and self._in_order > done
            self._in_order = self._in_order if broke_off else done

    def close(self) -> None:
        """The run has ended: nothing is called any more."""
        with self._lock:
            self._attempt.strands = {}  # each of them holds the attempt

    def enter(self) -> None:
        """The body begins, in the context at hand."""
        _STRAND.set(self._strand(()))

    @staticmethod
    def step() -> None:
        """The body goes on, in the context at hand, perhaps in another asyncio task or thread than before."""
        strand = _STRAND.get()
        if strand is not None:
            strand.owner = ref(_here())

    def expect(self, name: str, count: int = 1, arguments: Arguments = no_arguments) -> None:
        """Check a call that the body is about to make.

        Args:
            name: What it calls.
            count: How many runs.
            arguments: Gives the arguments; asked where it is the first call of a branch.

        Raises:
            FlowOrderChanged: before, it called something else here.
            CancelledRun: the code at hand belongs to an attempt that is over.
        """
        strand = self._strand_here(name, count, arguments)
        if strand is None:
            return
        position = len(strand.calls)
        before = self._before.get(strand.path, [])
        if position >= len(before) or before[position].is_like(name, count):
            return
        if strand.path:
            strand.lost = True
        elif position < self._in_order:
            raise FlowOrderChanged(position + 1, str(before[position]), _shown(name, count))

    def call(
        self,
        name: str,
        first_id: int,
        count: int = 1,
        arguments: Arguments = no_arguments,
        *,
        again: bool = False,
        serializer: Any = None,
    ) -> dict[int, Found]:
        """The body calls something.

        Args:
            name: What.
            first_id: The id of the run, of a map's first run, that it is to be.
            count: How many runs.
            arguments: As for `expect`.
            again: What it comes to is not kept, and it is run in each attempt.
            serializer: Reads what is on record of it, where it says so itself.

        Returns:
            By index: the results that are there already.

        Raises:
            FlowOrderChanged: before, it called something else here.
            CancelledRun: the code at hand belongs to an attempt that is over.
        """
        self.expect(name, count, arguments)
        strand = self._strand_here(name, count, arguments)
        if strand is None:
            return {}
        with self._lock:
            place = strand.counts.get(name, 0)
            strand.counts[name] = place + count
            attempt = strand.attempt
            ids = range(first_id, first_id + count)
            if self._record is not None:
                self._record.called(attempt.number, attempt.calls, strand.path, name, place, ids)
            strand.calls.append(Call(name, place, ids, attempt.calls))
            attempt.calls += 1
        if not self._runs or strand.lost or again:
            return {}
        found: dict[int, Found] = {}
        for index in range(count):
            run_id = self._runs.get((strand.path, name, place + index))
            if run_id is not None and run_id in self._results:
                data = self._results[run_id]
                if isinstance(data, OnRecord) and self._record is not None:
                    data = self._record.read(run_id, data, serializer)
                    if data is MISSING:
                        continue
                found[index] = Found(data, name="Completed")
        return found

    def take_unfinished(self, name: str) -> Any:
        """The subflow run that goes on with the call that the body is about to make; None for none."""
        strand = self._strand_here(name, 1, no_arguments) if self.unfinished else None  # it has been expected
        if strand is None or strand.lost:
            return None
        return self.unfinished.pop((strand.path, name, strand.counts.get(name, 0)), None)

    def restore(
        self, calls: Iterable[RecordedCall], results: Mapping[int, OnRecord], unfinished: Mapping[int, Any]
    ) -> None:
        """Take over what is on record of the attempts of other processes. Before the first one here begins.

        Args:
            calls: What each attempt has called: by attempt, and in each in its order.
            results: By id: what is on record of the runs that have completed.
            unfinished: By id: the subflow runs among those that have not, which go on.
        """
        self._results = dict(results)
        for number, of_attempt in groupby(calls, key=lambda each: each.attempt):
            attempt = self._attempt = Attempt(self._token, number)
            for each in of_attempt:
                path = tuple(int(part) for part in each.path.split(".") if part)
                strand = attempt.strands.get(path) or self._strand(path)
                ids = range(each.first, each.first + each.count)
                strand.calls.append(Call(each.name, each.place, ids, each.order))
                attempt.calls = each.order + 1
                if each.first in unfinished:
                    self.unfinished[path, each.name, each.place] = unfinished[each.first]
            self._turn_over()

    def _strand_here(self, name: str, count: int, arguments: Arguments) -> Strand | None:
        """The strand that the code at hand belongs to; None where it does not belong to the body, as a hook.

        Args:
            name: What it calls.
            count: How many runs.
            arguments: Of the call.

        Raises:
            CancelledRun: it belongs to an attempt that is over.
        """
        strand = _STRAND.get()
        if strand is None or strand.attempt.whose is not self._token:
            return None
        if strand.attempt is not self._attempt:
            raise CancelledRun("This attempt of the flow run is over, and the run goes on without it.")
        if strand.owner() is not _here():
            begins = beginning(name, count, arguments)
            with self._lock:
                number = strand.branches.get(begins, 0)
                strand.branches[begins] = number + 1
                path = self._known_as((*strand.path, begins * ALIKE + number), name)
                strand = self._strand(path)
            _STRAND.set(strand)
        return strand

    def _known_as(self, path: tuple[int, ...], name: str) -> tuple[int, ...]:
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

    def _strand(self, path: tuple[int, ...]) -> Strand:
        strand = self._attempt.strands[path] = Strand(self._attempt, path)
        return strand


def _here() -> Any:
    """What the code at hand runs in: an asyncio task, else a thread."""
    task = None if running_loop() is None else asyncio.current_task()
    return current_thread() if task is None else task


def _joined(calls: list[Call], before: list[Call]) -> list[Call]:
    """The calls of an attempt, and those that the one before made after them, if it did not go another way."""
    same = all(call.is_like(old.name, len(old.ids)) for call, old in zip(calls, before, strict=False))
    return calls + before[len(calls) :] if same else calls


def _shown(name: str, count: int) -> str:
    return name if count == 1 else f"{name}, {count:,} times"
