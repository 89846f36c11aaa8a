"""The audit of a store: what must be true of what is on record, when a process was killed and when all is over.

The numbers are those of the promises in docs/reliability.md. Asks the store what it has, and compares that with what
the processes before have been told, and with which bodies have begun.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import pairwise
from typing import Any
from zlib import crc32

import attrs

from millrace import StateType
from millrace.runtime.stores.port import OWNER_DIED
from millrace.runtime.stores.records import Called
from millrace.runtime.stores.rows import MOST_ROWS, FlowRunRow, RunFilter, StateRow, TaskRunRow
from millrace.runtime.strands import INSIDE
from tests.simulation.disk import Written
from tests.simulation.ledger import Broken

Key = tuple[int, str, str, int]
"""A call of a flow run: its id, the strand, what was called, and the place of the run."""


@attrs.define(eq=False)
class Told:
    """What was told of runs while their process lived, so that it has to be there for ever.

    Args:
        states: By run and position: the type of a state that somebody has heard of.
        ends: By run: the type of the state in which somebody has seen it end.
        begun: Runs of which a body has begun, and in which life that was first.
        replayed: By call: the run that had completed there, in the words of the store, when a process was resumed.
    """

    states: dict[tuple[int, int], StateType] = attrs.field(factory=dict)
    ends: dict[int, StateType] = attrs.field(factory=dict)
    begun: dict[int, int] = attrs.field(factory=dict)
    replayed: dict[Key, tuple[int, int]] = attrs.field(factory=dict)


class Audit:
    """Looks into a store.

    Args:
        store: The store.
    """

    def __init__(self, store: Any) -> None:
        self.store = store
        self.flow_runs: Sequence[FlowRunRow] = _all(store.read_flow_runs)
        self.task_runs: Sequence[TaskRunRow] = _all(store.read_task_runs)
        runs = [each.id for each in (*self.flow_runs, *self.task_runs)]
        self.states: Mapping[int, Sequence[StateRow]] = {run: store.read_states(run) for run in runs}

    def check(self, told: Told, groups: Sequence[Written]) -> None:
        """What must always be true.

        Raises:
            Broken: it is not.
        """
        self._states_are_dense()
        self._groups_are_whole(groups)
        self._what_was_told_is_there(told)

    def _states_are_dense(self) -> None:
        for run, states in self.states.items():
            if [each.sequence for each in states] != list(range(len(states))):
                raise Broken(f"2, run {run:x} has gaps on record: {[str(each) for each in states]}")
            if any(later.at < before.at for before, later in pairwise(states)):
                raise Broken(f"2, on record the time of run {run:x} goes back")

    def _groups_are_whole(self, groups: Sequence[Written]) -> None:
        there = {(run, each.sequence, each.at, each.cause) for run, states in self.states.items() for each in states}
        missing: Written | None = None
        for group in groups:
            found = len(group.states & there)
            if found not in {0, len(group.states)}:
                raise Broken(f"17, of group {group.number} {found} of {len(group.states)} states are there")
            if not group.states:
                continue
            if not found and group.told == "acknowledged":
                raise Broken(f"1, group {group.number} was acknowledged, and is not there")
            if found and missing is not None and missing.life == group.life:
                raise Broken(f"17, group {group.number} is there, and {missing.number} before it is not")
            missing = missing if found else group

    def _what_was_told_is_there(self, told: Told) -> None:
        for (run, sequence), kind in told.states.items():
            states = self.states.get(run, ())
            if sequence >= len(states) or states[sequence].type is not kind:
                raise Broken(f"1, {kind}, state {sequence} of run {run:x}, was told, and is not there: {states}")
        for run, kind in told.ends.items():
            if not any(each.type is kind for each in self.states.get(run, ())):
                raise Broken(f"1, the end of run {run:x}, {kind}, was seen, and is not there")

    def check_recovered(self) -> None:
        """After a store was opened anew nobody runs what the process before has left.

        Raises:
            Broken: something is left as if somebody ran it.
        """
        left: list[FlowRunRow | TaskRunRow] = [each for each in self.flow_runs if not each.is_free]
        left += [each for each in self.task_runs if each.ended is None and not self._is_suspended(each)]
        if left:
            raise Broken(f"4, nobody runs it, and it is as if somebody did: {left[0]}")

    def _is_suspended(self, task_run: TaskRunRow) -> bool:
        return any(each.suspended and each.parent_task_run == task_run.id for each in self.flow_runs)

    def check_ended(self, states: Mapping[int, StateType]) -> None:
        """When all is over it is so on record, too.

        Args:
            states: By run: in which state it has ended, as everybody was told.

        Raises:
            Broken: it is not.
        """
        for run, kind in states.items():
            on_record = self.states[run][-1]
            if on_record.type is not kind:
                raise Broken(f"1, run {run:x} has ended {kind}, and is {on_record.type} on record")

    # What does not run again.

    def remember(self, told: Told, life: int, leave_out: Collection[str]) -> None:
        """Note which calls have completed, before anything is resumed.

        Args:
            told: Notes it.
            life: The process that resumes.
            leave_out: Names of tasks that run in each attempt.
        """
        for flow_run in self.flow_runs:
            results = self.store.read_results(flow_run.id)
            calls = self.store.read_calls(flow_run.id)
            anew = self._begin_anew(_runs_of(flow_run.id, calls, ()))
            for key, run in _runs_of(flow_run.id, calls, leave_out):
                value = results.get(run, _NOTHING)
                there = value is None or (value is not _NOTHING and value.blob is not None)
                if there and not _is_below(key, anew):
                    told.replayed[key] = (run, life)
                else:
                    told.replayed.pop(key, None)

    def check_replays(self, told: Told, leave_out: Collection[str]) -> None:
        """What had completed when a process was resumed has not run again.

        Raises:
            Broken: it has.
        """
        for flow_run in self.flow_runs:
            undone = {each.id for each in self.task_runs if each.undone}
            calls = self.store.read_calls(flow_run.id)
            anew = self._begin_anew(_runs_of(flow_run.id, calls, ()))
            for key, run in _runs_of(flow_run.id, calls, leave_out):
                first, since = told.replayed.get(key, (run, 0))
                again = run != first and first not in undone and told.begun.get(run, -1) >= since
                if again and not _is_below(key, anew):
                    raise Broken(f"1, {key[2:]} of flow run {flow_run.name} had completed, and has run again: {key}")

    def _begin_anew(self, calls: Sequence[tuple[Key, int]]) -> list[str]:
        """Where the calls of tasks stand that have ended by themselves, and not well: all they call they call anew."""
        ended = {
            each.id
            for each in self.task_runs
            if each.ended is not None and each.state.type is not StateType.COMPLETED and each.state.cause != OWNER_DIED
        }
        return [
            f"{f'{path}.' if path else ''}{INSIDE}.{crc32(name.encode())}.{place}."
            for (_, path, name, place), run in calls
            if run in ended
        ]


_NOTHING: Any = object()


def _is_below(key: Key, places: Sequence[str]) -> bool:
    return key[1].startswith(tuple(places))


def _all(read: Callable[[RunFilter], Sequence[Any]]) -> list[Any]:
    """All runs, page by page."""
    found: list[Any] = []
    page = read(RunFilter(limit=MOST_ROWS))
    while page:
        found += page
        page = read(RunFilter(last=page[-1].id - 1, limit=MOST_ROWS)) if len(page) == MOST_ROWS else ()
    return found


def _runs_of(flow_run: int, calls: Sequence[Called], leave_out: Collection[str]) -> list[tuple[Key, int]]:
    return [
        ((flow_run, call.path, call.name, call.place + index), call.first + index)
        for call in calls
        if call.name not in leave_out
        for index in range(call.count)
    ]
