"""The chronicle: what is put on record of an engine's runs.

Decides which records the runs, the calls and the pauses of an engine come to, and that the end of a run is told when
its record is committed. Is told of each accepted transition in the turn of the run's actor, so what it does there is
short: bytes are made of results later, by the writer.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Hashable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import StoreError
from millrace.actors.messages import Committed
from millrace.actors.pausable import RESUMING
from millrace.actors.run import is_final
from millrace.actors.states import TERMINAL, State, StateType
from millrace.runtime.replaying import Replay
from millrace.runtime.stores.encoding import (
    details_as_text,
    encode,
    holds_data,
    key_as_text,
    serializer_for,
    state_of,
)
from millrace.runtime.stores.flow_record import FlowRecord
from millrace.runtime.stores.line_items import Unencoded
from millrace.runtime.stores.put_off import queue_of
from millrace.runtime.stores.records import Answered, Called, Entered, Entry, FlowRunMade, Renamed, TaskRunMade, Undone
from millrace.runtime.stores.sealing import answer_of, parameter_of, seal_of
from millrace.runtime.stores.writer import StoreWriter
from millrace.runtime.strands import text_of
from millrace.runtime.tracking import TaskRunInput

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow import BaseFlow
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.stores.rows import TaskRunRow

_MAY_GO_ON: Final = (StateType.CRASHED, StateType.FAILED)
_PENDING = StateType.PENDING
_COMPLETED = StateType.COMPLETED


class Chronicle:
    """Puts the runs of one engine on record.

    Args:
        writer: Writes.
        now: The time, in nanoseconds since the epoch.
    """

    __slots__ = ("_again", "_given", "_now", "writer")

    def __init__(self, writer: StoreWriter, now: Callable[[], int]) -> None:
        self.writer = writer
        self._now = now
        self._given: set[int] = set()  # ids that task runs were given from outside
        self._again: dict[tuple[int, int], object] = {}  # by id and last state on record: who executes it again

    def steer(self, engine: Engine) -> None:
        """Let other processes say what is to be done with the runs of the engine, where they can reach the store."""
        control = getattr(self.writer.store, "control", None)
        if control is not None:
            from millrace.runtime.stores.steering import Steering  # noqa: PLC0415  # it needs the engine, which needs this

            control.listen(Steering(engine).hear)

    def check_recording(self) -> None:
        """Check that what begins now can be put on record.

        Raises:
            StoreError: the store has failed.
        """
        if self.writer.failed is not None:
            raise self.writer.failed

    def take_id(self, run_id: int) -> bool:
        """Give a task run an id from outside; whether no other run on record has it. Reads the store."""
        if run_id in self._given or self.writer.store.read_task_run(run_id) is not None:
            return False
        self._given.add(run_id)
        return True

    def take_again(self, run_id: int, scope: FlowRun, task: str) -> TaskRunRow | None:
        """Take a task run that is on record, to execute it again; None where that may not be. Reads the store.

        Only one that belongs to no flow, for else it is its flow that goes on with it. Of several who want it, here or
        in other processes, one gets it.
        """
        self.writer.flush()  # the end of a call whose coroutine was closed is not waited for
        row = self.writer.store.read_task_run(run_id)
        if row is None or scope.flow is not None:
            return None
        if row.flow_run is not None or row.task != task or row.ended is None or row.state.type not in _MAY_GO_ON:
            return None
        mine = object()
        if self._again.setdefault((run_id, row.state.sequence), mine) is not mine:
            return None
        writer, sequence = self.writer, row.state.sequence
        claimed = writer.do(lambda: writer.store.claim_task_run(run_id, writer.opened.token, sequence))
        return row if claimed else None

    def is_put_off(self, run_id: int) -> bool:
        """Whether a task run was put off, and is a worker's to execute. Reads the queue."""
        queue = queue_of(self.writer.store)
        return queue is not None and queue.read(run_id) is not None

    def go_on(self, run: TaskRun, row: TaskRunRow) -> None:
        """A task run that was taken so goes on where it was left. Before anybody knows it."""
        states = [state_of(state, None, run.id) for state in self.writer.store.read_states(run.id)]
        run.restore(states, row.attempts)
        run.key, run.parent = row.key, row.parent
        if row.name != run.name:
            run.known().name = row.name
        message = f"It goes on after {row.attempts} attempts that are on record."
        run.enter(State(type=StateType.SCHEDULED, name=RESUMING, message=message), self._now(), "resumed")

    def replay_of(self, run: FlowRun, *, keeps: bool) -> Replay:
        """What a flow run has called, which is put on record.

        Args:
            run: The flow run.
            keeps: Its results are kept in memory, too, because the body may run again here.
        """
        return Replay(FlowRecord(self, run), keeps=keeps)

    def hand_down(self, former: int, run: FlowRun) -> None:
        """Give a flow run what another one had called that has completed, and that it takes the place of. May block."""
        from millrace.runtime.stores.recovery import Recovery  # noqa: PLC0415  # few flows are iterated over

        row = self.writer.store.read_flow_run(former)
        if row is not None:
            Recovery.read(self.writer.store, row).restore_calls(run)

    # Transitions, in the turn of the run's actor.

    def note(self, run: TaskRun | FlowRun, cause: str) -> None:
        """A run has entered the state that it is in."""
        if run.is_flow:
            self._note_flow_run(run, cause)  # type: ignore[arg-type]
        elif cause == "created":
            self.writer.put(_task_run_made(run))  # type: ignore[arg-type]
        else:
            self._enter(run, cause)  # type: ignore[arg-type]

    def _enter(self, run: TaskRun, cause: str) -> None:
        record, data = _entered(run, cause)
        replay = run.node.scope.replay
        if replay is not None and run.type is _COMPLETED:
            data = replay.outcome(run.id, data)
        facts = run.facts
        if facts is not None:
            record.run_name = facts.name
        if data is None:
            self.writer.put(record)
        else:
            site = run.node
            if site.serializer is None:
                site.serializer = serializer_for(site.task.result_serializer, site.scope.result_serializer)
            self.writer.put(Unencoded(record, data, site.serializer, site.name))

    def _note_flow_run(self, run: FlowRun, cause: str) -> None:
        flow = run.flow
        if flow is None:
            return
        if cause == "created":
            self._make(run, flow)
            return
        record, data = _entered(run, cause)
        record.is_flow = True
        record.run_name = run.name
        if data is None:
            self.writer.put(record)
        else:
            self.writer.put(Unencoded(record, data, serializer_for(run.result_serializer), flow.name))
        if run.stands_for is not None:
            self.writer.put(_mirrored(record, run.stands_for[0]))

    def _make(self, run: FlowRun, flow: BaseFlow[Any, Any]) -> None:
        serializer, entry = serializer_for(run.result_serializer), entry_of(flow)
        around = None if run.parent is None or run.parent.flow is None else run.parent.id
        self.writer.put(
            FlowRunMade(
                run.id,
                run.created,
                run.name,
                flow.name,
                flow.version,
                around,
                None if run.stands_for is None else run.stands_for[0],
                entry,
                {
                    name: encode(value, serializer, where=parameter_of(run.id, name))
                    for name, value in run.parameters.items()
                }
                | seal_of(run.id, flow.name, entry),
                run.tags,
            )
        )
        if run.stands_for is not None:
            number, key = run.stands_for
            inputs = _inputs(run.sources)
            self.writer.put(TaskRunMade(number, run.created, around, flow.name, key, run.caller, run.tags, inputs))

    # The end of a run.

    def when_committed(self, run: TaskRun | FlowRun, *, helps: bool) -> None:
        """Have the end of a run told when it is committed; hold up this thread where too much is in line.

        Args:
            run: The run.
            helps: This thread waits for that next, by `block_until_told`.
        """
        writer = self.writer
        writer.when_committed(self._committed, run, helps=helps)
        if writer.is_full:
            writer.wait_for_room()

    def _committed(self, run: TaskRun | FlowRun, error: StoreError | None) -> None:
        run.tell(Committed(self._now(), error))

    # What a body does.

    def called(  # noqa: PLR0917  # what a call is made of
        self,
        run: FlowRun,
        attempt: int,
        order: int,
        path: tuple[int, ...],
        name: str,
        place: int,
        ids: range,
        marks: bytes,
    ) -> None:
        """The body of a flow run has called something. See `records.Called`."""
        self.writer.put(Called(run.id, attempt, order, text_of(path), name, place, ids.start, len(ids), marks))

    def answered(self, run: FlowRun, key: Hashable, given: Any) -> None:
        """A pause has ended because somebody resumed the run."""
        text = key_as_text(key)
        if text is not None:
            value = encode(given, serializer_for(run.result_serializer), where=answer_of(run.id, text))
            self.writer.put(Answered(run.id, text, value))

    def renamed(self, run: FlowRun) -> None:
        """A flow run has got another name."""
        self.writer.put(Renamed(run.id, run.name))

    def undone(self, run_id: int) -> None:
        """A task run was rolled back."""
        self.writer.put(Undone(run_id))


def _task_run_made(run: TaskRun) -> TaskRunMade:
    site = run.node
    inputs = None if run.inputs is None else _inputs(run.inputs.sources)
    return TaskRunMade(run.id, run.created, site.flow_id, site.name, run.key, run.parent, run.tags, inputs)


def _inputs(sources: Mapping[str, list[TaskRunInput]]) -> dict[str, list[str]] | None:
    """What a run depends on: ids by parameter; None for nothing."""
    found = {name: [str(each.id) for each in inputs] for name, inputs in sources.items() if inputs}
    return found or None


def _entered(run: TaskRun | FlowRun, cause: str) -> tuple[Entered, Any]:
    """The record of the state that a run is in, and what that holds, which is yet to become bytes."""
    name, message, data, at, details = run.present()
    kind = run.type
    ended = kind in TERMINAL or (kind is _PENDING and is_final(run.state))
    said = None if details is None else details_as_text(details)
    record = Entered(run.id, False, run.sequence, kind, name, message, at, cause, said, None, ended, run.run_count)
    return record, (data if data is not None and holds_data(kind) else None)


def _mirrored(record: Entered, task_run: int) -> Entered:
    """The record of a subflow's state, as one of the task run that stands for it."""
    return Entered(
        task_run,
        False,
        record.sequence,
        record.type,
        record.name,
        record.message,
        record.at,
        record.cause,
        record.details,
        ended=record.ended,
        attempts=record.attempts,
    )


def entry_of(flow: BaseFlow[Any, Any]) -> Entry:
    """Where another process finds a flow."""
    module = str(getattr(flow, "__module__", ""))
    name = str(getattr(flow, "__qualname__", flow.name))
    code = getattr(getattr(flow.fn, "__func__", flow.fn), "__code__", None)
    file = "" if code is None else str(code.co_filename)
    found: Any = getattr(sys.modules.get(module), "__file__", None)
    file = str(found or file)
    return Entry(str(Path(file).absolute()) if file and not file.startswith("<") else "", module, name)
