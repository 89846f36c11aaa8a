"""Recovery: a flow run as another process has left it, brought back.

Decides what is taken from the record: the states that the run has had, what its body has called and what that came to,
what it was resumed with, and the subflows that were not brought to their end, which go on in the same way. Says which
calls will run again although they had completed, because what they came to could not be kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

import attrs

from millrace.actors.errors import SerializationError
from millrace.actors.states import StateType
from millrace.runtime.history import Name
from millrace.runtime.leftovers import ANY_ATTEMPT, Begun
from millrace.runtime.one_line import engine_logger
from millrace.runtime.stores.encoding import decode, key_of_text, serializer_for, state_of
from millrace.runtime.stores.flow_record import on_record
from millrace.runtime.stores.port import OWNER_DIED, Store
from millrace.runtime.stores.records import LARGEST_ID, Answered, Called, Value
from millrace.runtime.stores.rows import MOST_ROWS, FlowRunRow, RunFilter, StateRow, TaskRunRow
from millrace.runtime.stores.sealing import answer_of
from millrace.runtime.stores.verdicts import suspends
from millrace.runtime.yields import was_left

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun

_logger = engine_logger("store")

RESTARTED: Final = "restarted"
"""The cause of a state that follows a crash: such an attempt uses up no retry."""


@attrs.frozen
class Recovery:
    """A flow run as it is on record.

    Args:
        row: The run.
        states: All states that it has had.
        calls: What its body has called.
        results: By id: what the runs that it called, and that have completed, came to.
        names: By id: what their last states say, where that is not the usual.
        answers: What it was resumed with.
        last_id: The largest id of a run in it.
        unfinished: By id: its subflows that nobody has brought to their end.
        begun: By id: its task runs that have not completed.
        task_key: The key of the task run that stands for it in the run around it.
        any_arguments: Calls are given results that they had come to with other arguments, too; also in its subflows.
    """

    row: FlowRunRow
    states: Sequence[StateRow]
    calls: Sequence[Called]
    results: Mapping[int, Value | None]
    names: Mapping[int, Name]
    answers: Sequence[Answered]
    last_id: int
    unfinished: Mapping[int, Recovery]
    begun: Mapping[int, Begun]
    task_key: int = 0
    any_arguments: bool = False

    @classmethod
    def read(cls, store: Store, row: FlowRunRow, *, any_arguments: bool = False) -> Recovery:
        """Read what is on record of a flow run, and of all that goes on inside of it.

        Args:
            store: The store.
            row: The flow run.
            any_arguments: See the class.

        Raises:
            StoreError: it cannot be read.
        """
        calls = store.read_calls(row.id)
        results = store.read_results(row.id)
        unfinished: dict[int, Recovery] = {}
        for call in calls:
            if call.count != 1 or call.first in results:
                continue
            inner = store.read_flow_run(call.first)
            if inner is not None and is_left_over(inner):
                unfinished[inner.id] = cls.read(store, inner, any_arguments=any_arguments)
        task_run = None if row.parent_task_run is None else store.read_task_run(row.parent_task_run)
        return cls(
            row,
            store.read_states(row.id),
            calls,
            results,
            store.read_names(row.id),
            store.read_answers(row.id),
            store.last_id(row.id),
            unfinished,
            read_begun(store, row.id) | {run: _LOST for run, value in results.items() if _goes_on(value)},
            0 if task_run is None else task_run.key,
            any_arguments,
        )

    @property
    def run_id(self) -> int:
        """The id of the run."""
        return self.row.id

    @property
    def lost(self) -> dict[str, str]:
        """By name of what was called: why calls of it that had completed run again."""
        names = {run: call.name for call in self.calls for run in range(call.first, call.first + call.count)}
        found = {
            names[run]: value.missing
            for run, value in self.results.items()
            if run in names and value is not None and is_lost(value)
        }
        for inner in self.unfinished.values():
            found |= inner.lost
        return found

    def warn_of_losses(self) -> None:
        """Say, before anything is run again, which calls cannot be replayed."""
        for name, missing in sorted(self.lost.items()):
            _logger.warning(
                "Flow run '%s' is resumed, and calls of '%s' that had completed run again: what they came to was not "
                "recorded. It was %s.",
                self.row.name,
                name,
                missing,
            )

    def restore(self, run: FlowRun) -> None:
        """Bring a run to where the record leaves it. Before anybody else knows it."""
        row = self.row
        run.rename(row.name)  # before it is restored: the record has that name
        run.restore([state_of(state, run.id, None) for state in self.states], row.attempts)
        run.go_on_after(self.last_id)
        if row.parent_task_run is not None:
            run.stands_for = row.parent_task_run, self.task_key
        self.restore_calls(run)
        run.pauses.restore(self._answers_for(run))
        if not self._was_made_ahead:
            run.recover(run.engine.now())

    def restore_calls(self, run: FlowRun) -> None:
        """Give a run what its body, or that of one whose place it takes, has called, and what that came to."""
        if run.replay is not None:
            results = on_record(self.results)
            run.replay.restore(
                self.calls, results, self.names, self.unfinished, self.begun, any_arguments=self.any_arguments
            )

    @property
    def _was_made_ahead(self) -> bool:
        """Whether nobody has executed it so far: it is in the state that it was made in, and begins at its time."""
        last = self.states[-1]
        return suspends(last.type, last.details) and last.type is StateType.SCHEDULED

    def _answers_for(self, run: FlowRun) -> dict[Any, Any]:
        answers: dict[Any, Any] = {}
        for answer in self.answers:
            try:
                where = answer_of(self.run_id, answer.key)
                given = decode(answer.value, serializer_for(run.result_serializer), where=where)
                answers[key_of_text(answer.key)] = given
            except SerializationError as error:
                _logger.warning("What flow run '%s' was resumed with is asked for again. %s", self.row.name, error)
        return answers


def read_begun(store: Store, flow_run: int) -> dict[int, Begun]:
    """What is on record of the task runs in a flow run that have not completed, by id.

    An attempt that was cut off, by the death of its process or a cancellation, is made again; one that has failed by
    itself counts. A run that has failed, with all attempts that it had, begins anew.
    """
    found: dict[int, Begun] = {}
    last = LARGEST_ID
    while rows := store.read_task_runs(RunFilter(last=last, types=_NOT_WELL, flow_run=flow_run, limit=MOST_ROWS)):
        for row in rows:
            if row.attempts:
                found[row.id] = _begun(store, row)
        last = rows[-1].id - 1
    return found


def _begun(store: Store, row: TaskRunRow) -> Begun:
    if row.state.type is StateType.FAILED:
        return Begun(0, None)
    if row.state.type is StateType.CANCELLED:
        return Begun(0, row.attempts)
    states = store.read_states(row.id)
    failures = row.attempts - 1 - sum(state.cause == RESTARTED for state in states)
    before = states[-2] if len(states) > 1 and states[-1].cause == OWNER_DIED else None
    if before is None or before.type is not StateType.SCHEDULED:
        return Begun(max(0, failures), row.attempts)
    if before.cause == RESTARTED:
        return Begun(max(0, failures), None)
    return Begun(failures + 1, None, state_of(before, row.id, None).scheduled_ns)


def is_lost(value: Value | None) -> bool:
    """Whether a result could not be recorded, so that its run is run again although it has completed."""
    return value is not None and value.blob is None


def _goes_on(value: Value | None) -> bool:
    """Whether a run that has completed may be run again all the same."""
    return value is not None and (is_lost(value) or was_left(value.tag, value.blob))


_LOST: Final = Begun(0, ANY_ATTEMPT)
_NOT_WELL: Final = (StateType.FAILED, StateType.CANCELLED, StateType.CRASHED)


def is_left_over(row: FlowRunRow) -> bool:
    """Whether nobody has brought a flow run to its end: the process that ran it is over."""
    return row.ended is None or (row.state.type is StateType.CRASHED and row.state.cause == OWNER_DIED)
