"""History: what the calls of a flow run have come to, in the attempts of this process and of others.

Decides which of them have completed, up to which one the body has to make the same calls again, and which calls in
tasks count: those of the last attempt of a run, and of the one that took its place.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final, Protocol
from uuid import UUID

import attrs

from millrace.actors.errors import FlowArgumentsChanged, FlowOrderChanged
from millrace.actors.stored_result import MISSING, Found
from millrace.runtime.leftovers import At, Begun, Leftovers
from millrace.runtime.marks import Arguments, Marks, differs, part
from millrace.runtime.strands import (
    STREAM,
    Attempt,
    Call,
    Path,
    Place,
    Strand,
    attempts_in,
    in_a_stream_of_the_body,
    of_a_body,
    path_of,
    shown,
    whatever_the_attempts,
)
from millrace.runtime.streamed import GIVEN, unpacked
from millrace.runtime.yields import Yielded, Yields

Name = tuple[str, str | None]
"""Name and message of the state in which a run has completed."""


class RecordedCall(Protocol):
    """A call as it is on record. See `Call`; `first` and `count` make its ids."""

    attempt: int
    order: int
    path: str
    name: str
    place: int
    first: int
    count: int
    marks: Marks


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
        self, attempt: int, order: int, path: Path, name: str, place: int, ids: range, marks: Marks, /
    ) -> None:
        """The body has called something."""
        ...

    def undone(self, run_id: int, /) -> None:
        """A run was rolled back."""
        ...

    def results(self) -> Mapping[int, OnRecord]:
        """By id: what is on record of the results of runs that have completed."""
        ...

    def names(self) -> Mapping[int, Name]:
        """By id: what the last states of those runs say, where that is not the usual."""
        ...

    def yields(self, serializer: Any, recalled: Yielded | None, /) -> Yields:
        """What takes down what a generator task yields.

        Args:
            serializer: The task's; None where it has none.
            recalled: What is on record of it already.
        """
        ...

    def kept(self, run_id: int, yields: Yields, /) -> OnRecord | None:
        """What a generator task has yielded, for another attempt of its flow here; None where it is not kept."""
        ...

    def read(self, run_id: int, recorded: OnRecord, serializer: Any, /) -> Any:
        """A result; MISSING where it cannot be had, so that its run runs anew."""
        ...


class History:
    """What one flow run has called. See the module's docstring."""

    __slots__ = (
        "_any_arguments", "_attempt", "_before", "_begun", "_in_order", "_inside", "_names", "_record", "_results",
        "_runs", "_scripts", "_token", "_unfinished",
    )  # fmt: skip

    def __init__(self, record: Record | None = None) -> None:
        self._token = object()
        self._record = record
        self._attempt = Attempt(self._token)
        self._before: dict[Path, list[Call]] = {}  # by path: calls of the attempts before, in their order
        self._in_order = 0  # so many of the trunk's were made before any that did not complete
        self._runs: dict[At, tuple[int, Marks]] = {}  # the run that completed there last, and its marks
        self._results: dict[int, Any] = {}  # by id: of runs that completed, in any attempt
        self._names: dict[int, Name] = {}  # by id: of those that completed under another name than usual
        # What another process has left.
        self._any_arguments = False  # calls with other arguments are given its results, too
        self._unfinished: dict[At, tuple[Any, Marks]] = {}  # subflows that it has not brought to their end
        self._begun: dict[At, tuple[Begun, Marks]] = {}  # runs of tasks that have not completed
        self._inside: dict[Path, int] = {}  # runs that called something: by what that is known by, the last attempt
        self._scripts: dict[Path, Sequence[int]] = {}  # by stream: which outcomes were given, in their order

    @property
    def has_leftovers(self) -> bool:
        """Whether another process has left runs of tasks that have not completed."""
        return bool(self._begun)

    def _turn_over(self) -> None:
        """From one attempt to the next: work out what the last one has come to. Under the lock."""
        last, self._attempt = self._attempt, Attempt(self._token, self._attempt.number + 1)
        undone = last.calls if last.undone is None else last.undone
        for strand in last.strands.values():
            for call in strand.calls:
                if self._take_down(strand.path, call):
                    undone = min(undone, call.order)
            self._before[strand.path] = _joined(strand.calls, self._before.get(strand.path, []))
        trunk = last.strands.get(())
        for known, given in last.given.items():
            self._scripts[known] = _followed_by(given, self._scripts.get(known, []))
        last.strands, last.inside = {}, {}  # each of them holds the attempt
        done = 0 if trunk is None else sum(call.order < undone for call in trunk.calls)
        # An attempt that broke off early says nothing about what came later in the one before it.
        broke_off = undone == last.calls and trunk is not None and self._in_order > done
        self._in_order = self._in_order if broke_off else done

    def _take_down(self, known: Path, call: Call) -> int:
        """Take down which runs of a call have completed; how many have not."""
        missing = 0
        single = len(call.ids) == 1
        for index, run_id in enumerate(call.ids):
            if run_id in self._results:
                marks = call.marks if single or not call.marks else part(call.marks, index)
                self._runs[known, call.name, call.place + index] = run_id, marks
            else:
                missing += 1
        return missing

    def _check(self, strand: Strand, known: Path, name: str, count: int, arguments: Arguments) -> None:
        before = self._before.get(known)
        if before is None or strand.made >= len(before):
            return
        old = before[strand.made]
        in_order = not strand.path and strand.made < self._in_order
        if not old.is_like(name, count):
            if in_order:
                raise FlowOrderChanged(strand.made + 1, str(old), shown(name, count))
            strand.lost = bool(strand.path)
        elif in_order and old.marks:
            index = self._differs(old.marks, arguments.marks())
            if index is not None:
                raise FlowArgumentsChanged(strand.made + 1, name, arguments.what(index), UUID(int=old.ids.start))

    def _found(
        self, known: Path, call: Call, marks: Marks, serializer: Any, *, yields: bool = False
    ) -> dict[int, Found]:
        """By index: the results of a call that are there already, where they are those of the same arguments.

        Args:
            known: What its strand is known by.
            call: The call.
            marks: Of its arguments.
            serializer: Reads results.
            yields: It is a generator task that is iterated over, so that what it yielded is looked for.
        """
        found: dict[int, Found] = {}
        single = len(call.ids) == 1
        for index in range(len(call.ids)):
            run_id, before = self._runs.get((known, call.name, call.place + index), _NOBODY)
            if run_id not in self._results:
                continue
            if before and self._differs(before, marks if single else part(marks, index)) is not None:
                continue
            data = self._results[run_id]
            if isinstance(data, OnRecord) and self._record is not None:
                data = self._record.read(run_id, data, serializer)
                if data is MISSING:
                    continue
            if (data.__class__ is Yielded) is not yields:
                continue
            found[index] = Found(data, None, *self._names.get(run_id, _PLAIN))
        return found

    def _begun_at(self, place: Place) -> Begun | None:
        if place.known is None:
            return None
        begun, before = self._begun.get((place.known, place.name, place.index), (None, b""))
        return None if before and self._differs(before, place.marks) is not None else begun

    def _differs(self, before: Marks, now: Marks) -> int | None:
        """Which argument of a call is another one than before, where that matters."""
        return None if self._any_arguments else differs(before, now)

    def script(self, known: Path | None) -> Sequence[int]:
        """Which outcomes a stream has given in attempts before, in their order."""
        return [] if known is None else self._scripts.get(known, [])

    # What another process has left.

    def restore(
        self,
        calls: Sequence[RecordedCall],
        results: Mapping[int, OnRecord],
        names: Mapping[int, Name],
        unfinished: Mapping[int, Any],
        begun: Mapping[int, Begun],
        *,
        any_arguments: bool = False,
    ) -> None:
        """Take over what is on record of the attempts of other processes. Before the first one here begins.

        Args:
            calls: What each attempt has called: by attempt, and in each in its order.
            results: By id: what is on record of the runs that have completed.
            names: By id: what their last states say, where that is not the usual.
            unfinished: By id: the subflow runs among those that have not, which go on.
            begun: By id: the runs of tasks among those that have not.
            any_arguments: Calls are given what they had come to with other arguments, too.
        """
        self._any_arguments = any_arguments
        self._results, self._names = dict(results), dict(names)
        left = Leftovers(unfinished, begun)
        for number, group in groupby(calls, key=lambda each: each.attempt):
            of_attempt = list(group)
            attempt = self._attempt = Attempt(self._token, number)
            others: list[tuple[Path, Call]] = []
            for each in of_attempt:
                path = path_of(each.path)
                call = Call(each.name, each.place, range(each.first, each.first + each.count), each.order, each.marks)
                attempt.calls = each.order + 1
                if of_a_body(path):
                    (attempt.strands.get(path) or self._strand(path)).calls.append(call)
                    left.sort_in(path, call)
                else:
                    others.append((path, call))
            self._restore_others(attempt, others, left)
            self._turn_over()
        self._unfinished, self._begun = left.subflows, left.runs

    def _restore_others(self, attempt: Attempt, calls: list[tuple[Path, Call]], left: Leftovers) -> None:
        """Take over what was called in tasks and streams."""
        self._restore_attempts(path for path, _ in calls)
        strands: dict[Path, list[Call]] = {}
        scripts: dict[Path, list[int]] = {}
        for path, call in calls:
            known = whatever_the_attempts(path)
            if any(number != self._inside[run] for run, number in attempts_in(path)):
                continue
            if call.name == GIVEN:
                scripts.setdefault(known, []).extend(unpacked(call.marks))
                continue
            left.sort_in(known, call)
            missing = self._take_down(known, call)
            if missing and in_a_stream_of_the_body(path):
                attempt.undone = call.order if attempt.undone is None else min(attempt.undone, call.order)
            if path[-3:-2] != (STREAM,):
                strands.setdefault(known, []).append(call)
        for known, of_strand in strands.items():
            self._before[known] = _joined(of_strand, self._before.get(known, []))
        for known, given in scripts.items():
            self._scripts[known] = _followed_by(given, self._scripts.get(known, []))

    def _restore_attempts(self, paths: Iterable[Path]) -> None:
        """Work out which attempts of the runs that called something were the last ones."""
        inside: dict[Path, set[int]] = {}
        for path in paths:
            for known, number in attempts_in(path):
                inside.setdefault(known, set()).add(number)
        for known, numbers in inside.items():
            self._inside[known] = max(numbers)
            if len(numbers) > 1:  # one that began anew, so that what was called before does not count
                self._forget_below(known)

    def _forget_below(self, known: Path) -> None:
        length = len(known)
        self._runs = {at: found for at, found in self._runs.items() if at[0][:length] != known}
        self._before = {path: calls for path, calls in self._before.items() if path[:length] != known}
        self._scripts = {path: given for path, given in self._scripts.items() if path[:length] != known}

    def _strand(self, path: Path) -> Strand:
        """A new strand of the flow's own body."""
        strand = self._attempt.strands[path] = Strand(self._attempt, path, path, None, here=True)
        return strand


_NOBODY: Final = (-1, b"")
_PLAIN: Final[Name] = ("Completed", None)


def _followed_by(given: Sequence[int], before: Sequence[int]) -> Sequence[int]:
    """What an attempt has given of a stream, and what the one before gave besides."""
    there = set(given)
    return [*given, *(each for each in before if each not in there)] if before else given


def _joined(calls: list[Call], before: list[Call]) -> list[Call]:
    """The calls of an attempt, and those that the one before made after them, if it did not go another way."""
    same = all(call.is_like(old.name, len(old.ids)) for call, old in zip(calls, before, strict=False))
    return calls + before[len(calls) :] if same else calls
