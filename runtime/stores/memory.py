"""The memory store: what other stores do, in the memory of this process.

Decides nothing that the port does not. It survives the engine that writes to it and not the process, so it is for tests
and for programs that want to read about their runs. It can be opened again at any time, which ends the owner before.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from threading import Lock
from typing import TYPE_CHECKING, Any, Final

import attrs

from millrace.actors.errors import RunNotFound, RunNotResumable, StoreError, StoreFenced
from millrace.actors.states import DEFAULT_NAMES, StateType
from millrace.runtime.stores.control import Control
from millrace.runtime.stores.port import Group, Opened, Owner
from millrace.runtime.stores.records import (
    CHILD_BITS,
    Answered,
    Called,
    Entered,
    FlowRunMade,
    Record,
    Renamed,
    TaskRunMade,
    Value,
)
from millrace.runtime.stores.rows import FlowRunRow, RunFilter, StateRow, StoreFacts, TaskRunRow, fits
from millrace.runtime.stores.verdicts import check_removable, death_notice, suspends

if TYPE_CHECKING:
    from millrace.runtime.deferred.port import Queue

_NO_STATE: Final = StateRow(0, -1, StateType.PENDING, "Pending", None, 0, "", None)


class MemoryStore:
    """Records in memory. See the module's docstring."""

    name = "the memory store"
    control: Control | None = None  # no other process can have it

    def __init__(self) -> None:
        self._lock = Lock()
        self._queue: Queue | None = None  # made when somebody asks
        self._token = 0  # of the present owner; 0 while there is none
        self._tokens = 0
        self._groups = 0  # written by the present owner
        self._owners: dict[int, Owner] = {}  # by token
        self._flow_runs: dict[int, FlowRunRow] = {}
        self._task_runs: dict[int, TaskRunRow] = {}
        self._states: dict[int, list[StateRow]] = {}  # by id of the run
        self._calls: dict[int, dict[tuple[int, int], Called]] = {}  # by id of the flow run; by attempt and order
        self._answers: dict[int, list[Answered]] = {}  # by id of the flow run
        self._removed: set[int] = set()  # ids of flow runs, of which task runs may be left

    @property
    def any_thread(self) -> bool:
        """A lock guards what is there."""
        return True

    @property
    def queue(self) -> Queue:
        """Where runs are put off to; for workers of this process."""
        from millrace.runtime.deferred.memory import MemoryQueue  # noqa: PLC0415  # few programs put runs off

        with self._lock:  # there is one, whichever threads ask first
            if self._queue is None:
                self._queue = MemoryQueue()
            return self._queue

    # Writing.

    def open(self, owner: Owner) -> Opened:
        """Become the owner. See `port.Store`."""
        with self._lock:
            crashed = [run for run in self._flow_runs.values() if not run.is_free]
            before = {token: each.name for token, each in self._owners.items()}
            self._tokens += 1
            self._token, self._groups = self._tokens, 0
            self._owners[self._token] = owner
            notices: list[Record] = [
                *(death_notice(run.state, owner.at, before[run.owner], is_flow=True) for run in crashed),
                *(
                    death_notice(run.state, owner.at, before[self._token - 1], is_flow=False)
                    for run in self._task_runs.values()
                    if run.ended is None
                ),
            ]
            for notice in notices:
                self._apply(notice)
            for run in crashed:
                self._flow_runs[run.id] = attrs.evolve(self._flow_runs[run.id], deaths=run.deaths + 1)
            return Opened(self._token, [run.id for run in crashed])

    def append(self, group: Group) -> None:
        """Write a group. See `port.Store`."""
        error: BaseException | None = None
        with self._lock:
            try:
                self._write(group)
            except StoreError as refused:
                error = refused
        group.done(error)

    def _write(self, group: Group) -> None:
        if group.token != self._token:
            raise StoreFenced(self.name, group.token)
        if group.number <= self._groups:
            return  # its acknowledgement was lost
        self._check(group.records)
        for record in group.records:
            self._apply(record)
        self._groups = group.number

    def _apply(self, record: Record) -> None:
        if isinstance(record, FlowRunMade):
            self._flow_runs[record.id] = FlowRunRow(
                record.id, record.name, record.flow, record.version, record.parent, record.parent_task_run,
                record.entry, record.tags, _NO_STATE, record.at, None, None, 0, self._token, 0, suspended=False,
                parameters=record.parameters,
            )  # fmt: skip
            self._enter(Entered(record.id, True, 0, StateType.PENDING, None, None, record.at, "created"))
        elif isinstance(record, TaskRunMade):
            self._task_runs[record.id] = TaskRunRow(
                record.id, f"{record.task}-{record.id & 0xFFF:03x}", record.flow_run, record.task, record.key,
                record.parent, record.tags, record.inputs or {}, _NO_STATE, record.at, None, None, 0, undone=False,
            )  # fmt: skip
            self._enter(Entered(record.id, False, 0, StateType.PENDING, None, None, record.at, "created"))
        elif isinstance(record, Entered):
            self._enter(record)
        elif isinstance(record, Called):
            self._calls.setdefault(record.flow_run, {})[record.attempt, record.order] = record
        elif isinstance(record, Answered):
            self._answers.setdefault(record.flow_run, []).append(record)
        elif isinstance(record, Renamed):
            self._flow_runs[record.flow_run] = attrs.evolve(self._flow_runs[record.flow_run], name=record.name)
        else:
            self._task_runs[record.run] = attrs.evolve(self._task_runs[record.run], undone=True)

    def _check(self, records: Sequence[Record]) -> None:
        """Check that all of a group can be written, before any of it is."""
        following: dict[int, int] = {}  # by id of a run that is in the group: the sequence of its next state
        for record in records:
            if isinstance(record, (FlowRunMade, TaskRunMade)):
                if record.id in following or record.id in self._flow_runs or record.id in self._task_runs:
                    self._refuse(f"there is a run with the id {record.id:032x} already")
                following[record.id] = 1
            elif isinstance(record, Entered):
                known = record.run in (self._flow_runs if record.is_flow else self._task_runs)
                due = following.get(record.run, len(self._states[record.run]) if known else -1)
                if record.sequence != due:
                    self._refuse(f"state {record.sequence} of run {record.run:032x} is not the next one")
                following[record.run] = due + 1

    def _refuse(self, reason: str) -> None:
        raise StoreError(self.name, "write a group of records to", reason)

    def _enter(self, record: Entered) -> None:
        runs: dict[int, Any] = self._flow_runs if record.is_flow else self._task_runs
        run = runs[record.run]
        name = record.name or DEFAULT_NAMES[record.type]
        state = StateRow(
            record.run, record.sequence, record.type, name, record.message, record.at, record.cause, record.details
        )
        self._states.setdefault(record.run, []).append(state)
        changes: dict[str, Any] = {
            "state": state,
            "data": record.data,
            "started": run.started or (record.at if record.type is StateType.RUNNING else None),
            "ended": record.at if record.ended else None,
            "attempts": max(record.attempts, run.attempts),
            "name": record.run_name or run.name,
        }
        if record.is_flow:
            changes["suspended"] = suspends(record.type, record.details)
        runs[record.run] = attrs.evolve(run, **changes)

    def claim(self, run_id: int, token: int, at: int) -> FlowRunRow:  # noqa: ARG002  # others keep it
        """Become the owner of a flow run. See `port.Store`."""
        with self._lock:
            self._check_owner(token)
            run = self._flow_runs.get(run_id)
            if run is None:
                raise RunNotFound(run_id)
            if not run.is_free:
                raise RunNotResumable(run.name, f"it is {run.state.type}, and {self._owners[run.owner].name} runs it")
            run = self._flow_runs[run_id] = attrs.evolve(run, owner=token, ended=None, suspended=False)
            return run

    def claim_task_run(self, run_id: int, token: int, sequence: int) -> bool:  # noqa: ARG002  # others do something
        """There is nobody else. See `port.Store`."""
        return True

    def end_dead_owner(self, run_id: int, token: int, at: int) -> bool:  # noqa: ARG002  # others do something
        """The owners before have been ended. See `port.Store`."""
        return False

    # Removing.

    def remove(self, run_id: int, token: int) -> None:
        """Remove a flow run. See `port.Store`."""
        with self._lock:
            self._check_owner(token)
            run = self._flow_runs.get(run_id)
            if run is None:
                raise RunNotFound(f"{run_id:032x}", store=self.name)
            check_removable(run.name, run.state.type, run.parent, run.ended, suspended=run.suspended)
            inside = [run_id]
            for each in inside:  # grows
                inside += [other.id for other in self._flow_runs.values() if other.parent == each]
            for each in inside:
                del self._flow_runs[each], self._states[each]
                self._calls.pop(each, None)
                self._answers.pop(each, None)
            self._removed.update(inside)

    def remove_task_runs(self, before: int, token: int, most: int) -> int:
        """Remove task runs outside of any flow. See `port.Store`."""
        with self._lock:
            self._check_owner(token)
            runs = self._task_runs.values()
            found = [run.id for run in runs if run.flow_run is None and (run.ended or before) < before]
            return self._forget(found[:most])

    def sweep(self, token: int, most: int) -> int:
        """Remove what belonged to flow runs that are removed. See `port.Store`."""
        with self._lock:
            self._check_owner(token)
            found = [run.id for run in self._task_runs.values() if run.flow_run in self._removed]
            if not found:
                self._removed.clear()
            return self._forget(found[:most])

    def _forget(self, task_runs: Sequence[int]) -> int:
        for run in task_runs:
            del self._task_runs[run], self._states[run]
        return len(task_runs)

    def _check_owner(self, token: int) -> None:
        if token != self._token:
            raise StoreFenced(self.name, token)

    def close(self) -> None:
        """Let go of the store."""

    # Reading.

    def read_flow_run(self, run_id: int) -> FlowRunRow | None:
        """A flow run. See `port.Store`."""
        return self._flow_runs.get(run_id)

    def read_flow_runs(self, wanted: RunFilter) -> list[FlowRunRow]:
        """Flow runs, newest first."""
        with self._lock:
            runs = sorted(self._flow_runs.values(), key=lambda run: run.id, reverse=True)
        found = [
            attrs.evolve(run, parameters={}, data=None)
            for run in runs
            if fits(run, wanted, run.flow, run.parent) and not (wanted.outermost and run.parent is not None)
        ]
        return found[: wanted.limit]

    def read_task_run(self, run_id: int) -> TaskRunRow | None:
        """A task run. See `port.Store`."""
        return self._task_runs.get(run_id)

    def read_task_runs(self, wanted: RunFilter) -> list[TaskRunRow]:
        """Task runs, newest first."""
        with self._lock:
            runs = sorted(self._task_runs.values(), key=lambda run: run.id, reverse=True)
        found = [attrs.evolve(run, data=None) for run in runs if fits(run, wanted, run.task, run.flow_run)]
        return found[: wanted.limit]

    def read_states(self, run_id: int) -> list[StateRow]:
        """All states of a run, first to last."""
        return list(self._states.get(run_id, ()))

    def read_finished(self, before: int, parked: int, after: int, limit: int) -> list[int]:
        """Flow runs that are over. See `port.Store`."""
        with self._lock:
            found = [
                run.id
                for run in self._flow_runs.values()
                if run.id > after
                and run.parent is None
                and run.ended is not None
                and run.ended < before
                and not (run.state.type is StateType.CRASHED and run.deaths >= parked)
            ]
        return sorted(found)[:limit]

    def count_task_runs(self, flow_run_id: int) -> Mapping[tuple[str, StateType], int]:
        """How many task runs a flow run has."""
        with self._lock:
            runs = sorted(self._task_runs.values(), key=lambda run: run.id)
            return Counter((run.task, run.state.type) for run in runs if run.flow_run == flow_run_id)

    def read_facts(self) -> StoreFacts:
        """What there is in the store."""
        with self._lock:
            owner = self._owners.get(self._tokens)
            kinds = Counter(run.state.type for run in self._flow_runs.values())
            name, opened = ("", None) if owner is None else (owner.name, owner.at)
            return StoreFacts(name, opened, kinds, len(self._task_runs))

    def read_calls(self, flow_run_id: int) -> list[Called]:
        """What the body of a flow run has called."""
        with self._lock:
            calls = self._calls.get(flow_run_id, {})
            return [calls[key] for key in sorted(calls)]

    def read_results(self, flow_run_id: int) -> Mapping[int, Value | None]:
        """The results of what a flow run has called."""
        return {run.id: run.data for run in self._completed(flow_run_id)}

    def read_names(self, flow_run_id: int) -> Mapping[int, tuple[str, str | None]]:
        """How the states of what has completed are called."""
        usual = DEFAULT_NAMES[StateType.COMPLETED], None
        names = {run.id: (run.state.name, run.state.message) for run in self._completed(flow_run_id)}
        return {run: name for run, name in names.items() if name != usual}

    def _completed(self, flow_run_id: int) -> list[FlowRunRow | TaskRunRow]:
        with self._lock:
            inside: Iterable[FlowRunRow | TaskRunRow] = [
                *(run for run in self._task_runs.values() if run.flow_run == flow_run_id and not run.undone),
                *(run for run in self._flow_runs.values() if run.parent == flow_run_id),
            ]
            return [run for run in inside if run.state.type is StateType.COMPLETED]

    def read_answers(self, flow_run_id: int) -> list[Answered]:
        """What a flow run has been resumed with so far."""
        return list(self._answers.get(flow_run_id, ()))

    def last_id(self, flow_run_id: int) -> int:
        """The largest id that a run of a flow run has."""
        with self._lock:
            called = [call.first + call.count - 1 for call in self._calls.get(flow_run_id, {}).values()]
            made = [run.id for run in self._task_runs.values() if run.flow_run == flow_run_id]
            own = range(flow_run_id, flow_run_id + (1 << CHILD_BITS))
            return max([flow_run_id, *(each for each in (*called, *made) if each in own)])
