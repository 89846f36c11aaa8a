"""Reading: what is on record of runs, for programs and people.

Decides what a recorded run looks like to its readers, and how one is found by the beginning of its id. Does not know
what a store is made of. Each function blocks for as long as the store takes; the ones that begin with `a` are for
async code, and read in a thread.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import attrs

from millrace.actors.errors import AmbiguousRunId, ConfigurationError, RunNotFound, SerializationError
from millrace.actors.states import State, StateType
from millrace.actors.stored_result import MISSING
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.effects import in_thread
from millrace.runtime.engine import Engine
from millrace.runtime.run_ids import number_of
from millrace.runtime.stores import put_off
from millrace.runtime.stores.encoding import decode, serializer_for, state_of
from millrace.runtime.stores.port import Store
from millrace.runtime.stores.records import LARGEST_ID, Value
from millrace.runtime.stores.rows import MOST_ROWS, FlowRunRow, RunFilter, StateRow, TaskRunRow
from millrace.runtime.stores.sealing import ENTRY, parameter_of, result_of

T = TypeVar("T")

_DIGITS = 32  # of an id


@attrs.frozen
class RecordedState:
    """A state that a run has entered, as it was recorded.

    Args:
        state: The state; what it holds is there for the present state of a run that was read by itself.
        sequence: Its position among those of its run, from 0, without gaps.
        cause: What led to it.
    """

    state: State[Any]
    sequence: int
    cause: str


@attrs.frozen
class RecordedFlowRun:
    """A flow run as it is on record.

    Args:
        id: Its id.
        name: Its display name.
        flow_name: The flow's name.
        flow_version: The flow's version.
        state: Its present state. In lists without what it holds.
        tags: Its tags.
        created: When it was made, in UTC.
        start_time: When its body first began; None before.
        end_time: When it ended; None before.
        run_count: How many attempts its body has had.
        parent_flow_run_id: The flow run around it.
        parent_task_run_id: The task run that stands for it there.
        entry: The file, or else the module, and the flow in it.
        deaths: How many processes have died while they ran it.
        parameters: By name; those that could not be kept are `MISSING`. Empty in lists.
    """

    id: UUID
    name: str
    flow_name: str
    flow_version: str | None
    state: State[Any]
    tags: frozenset[str]
    created: datetime
    start_time: datetime | None
    end_time: datetime | None
    run_count: int
    parent_flow_run_id: UUID | None
    parent_task_run_id: UUID | None
    entry: str
    deaths: int
    parameters: Mapping[str, Any]


@attrs.frozen
class RecordedTaskRun:
    """A task run as it is on record. See `RecordedFlowRun`.

    Args:
        id: Its id.
        name: Its display name.
        task_name: The task's name.
        dynamic_key: Its position among the runs of its task in the flow run.
        flow_run_id: The flow run it belongs to; None outside of any.
        parent_task_run_id: The task run that has started it.
        state: Its present state. In lists without what it holds.
        tags: Its tags.
        task_inputs: Ids of what it depends on, by parameter.
        created: When it was made, in UTC.
        start_time: When it first began; None before.
        end_time: When it ended; None before.
        run_count: How many attempts it has had.
    """

    id: UUID
    name: str
    task_name: str
    dynamic_key: str
    flow_run_id: UUID | None
    parent_task_run_id: UUID | None
    state: State[Any]
    tags: frozenset[str]
    task_inputs: Mapping[str, list[UUID]]
    created: datetime
    start_time: datetime | None
    end_time: datetime | None
    run_count: int


def read_flow_run(run_id: UUID | str, *, store: Store | None = None) -> RecordedFlowRun:
    """A flow run that is on record.

    Args:
        run_id: Its id, or a beginning of that no other run has.
        store: Where to read; by default the store of the engine at hand.

    Raises:
        RunNotFound: there is none, or several have such an id.
        ConfigurationError: the engine at hand has no store.
        StoreError: the store cannot be read.
    """
    return _flow_run_of(by_prefix(_store(store), run_id))


def read_flow_runs(  # one for each thing that is known of a run
    *,
    flows: Collection[str] | None = None,
    names: Collection[str] | None = None,
    states: Collection[StateType | str] | None = None,
    tags: Collection[str] = (),
    parent: UUID | None = None,
    outermost: bool = False,
    before: UUID | None = None,
    limit: int = 50,
    store: Store | None = None,
) -> list[RecordedFlowRun]:
    """Flow runs that are on record, newest first: those for which all holds that is asked for.

    Args:
        flows: The flow's name is one of these.
        names: The run's name is one of these.
        states: The type of its state is one of these.
        tags: All of these are among its tags.
        parent: It belongs to this flow run.
        outermost: It belongs to no other.
        before: It was made before this one; for the next page of a list.
        limit: How many, at most 1,000.
        store: As for `read_flow_run`.

    Raises:
        ConfigurationError: an option is out of range, or the engine at hand has no store.
        StoreError: the store cannot be read.
    """
    wanted = _filter(flows, names, states, tags, parent, before, limit)
    rows = _store(store).read_flow_runs(attrs.evolve(wanted, outermost=outermost))
    return [_flow_run_of(row) for row in rows]


def read_task_run(run_id: UUID | str, *, store: Store | None = None) -> RecordedTaskRun:
    """A task run that is on record, in the store or in its queue. See `read_flow_run`; the id is to be complete."""
    row = put_off.read_task_run(_store(store), number_of(run_id))
    if row is None:
        raise RunNotFound(run_id)
    return _task_run_of(row)


def read_task_runs(  # see read_flow_runs
    *,
    flow_run_id: UUID | None = None,
    tasks: Collection[str] | None = None,
    names: Collection[str] | None = None,
    states: Collection[StateType | str] | None = None,
    tags: Collection[str] = (),
    before: UUID | None = None,
    limit: int = 50,
    store: Store | None = None,
) -> list[RecordedTaskRun]:
    """Task runs that are on record, in the store or in its queue, newest first. See `read_flow_runs`.

    Args:
        flow_run_id: It belongs to this flow run.
        tasks: The task's name is one of these.
        names: The run's name is one of these.
        states: The type of its state is one of these.
        tags: All of these are among its tags.
        before: It was made before this one; for the next page of a list.
        limit: How many, at most 1,000.
        store: As for `read_flow_run`.
    """
    rows = put_off.read_task_runs(_store(store), _filter(tasks, names, states, tags, flow_run_id, before, limit))
    return [_task_run_of(row) for row in rows]


def read_flow_run_states(run_id: UUID | str, *, store: Store | None = None) -> list[RecordedState]:
    """All states of a flow run, first to last: its events. See `read_flow_run`."""
    found = _store(store)
    row = by_prefix(found, run_id)
    return [_recorded(state, row.id, None) for state in found.read_states(row.id)]


def read_task_run_states(run_id: UUID | str, *, store: Store | None = None) -> list[RecordedState]:
    """All states of a task run, first to last: its events. See `read_task_run`."""
    found = _store(store)
    row = put_off.read_task_run(found, number_of(run_id))
    if row is None:
        raise RunNotFound(run_id)
    return [_recorded(state, row.flow_run, row.id) for state in put_off.read_states(found, row.id)]


async def aread_flow_run(run_id: UUID | str, **options: Any) -> RecordedFlowRun:
    """See `read_flow_run`. Cancellation: only the wait ends."""
    return await _in_thread(read_flow_run, run_id, **options)


async def aread_flow_runs(**options: Any) -> list[RecordedFlowRun]:
    """See `read_flow_runs`. Cancellation: only the wait ends."""
    return await _in_thread(read_flow_runs, **options)


async def aread_task_run(run_id: UUID | str, **options: Any) -> RecordedTaskRun:
    """See `read_task_run`. Cancellation: only the wait ends."""
    return await _in_thread(read_task_run, run_id, **options)


async def aread_task_runs(**options: Any) -> list[RecordedTaskRun]:
    """See `read_task_runs`. Cancellation: only the wait ends."""
    return await _in_thread(read_task_runs, **options)


async def aread_flow_run_states(run_id: UUID | str, **options: Any) -> list[RecordedState]:
    """See `read_flow_run_states`. Cancellation: only the wait ends."""
    return await _in_thread(read_flow_run_states, run_id, **options)


async def aread_task_run_states(run_id: UUID | str, **options: Any) -> list[RecordedState]:
    """See `read_task_run_states`. Cancellation: only the wait ends."""
    return await _in_thread(read_task_run_states, run_id, **options)


async def _in_thread(read: Callable[..., T], *arguments: Any, **options: Any) -> T:
    options["store"] = _store(options.get("store"))  # the engine at hand is that of the caller
    return await in_thread(lambda: read(*arguments, **options))


def by_prefix(store: Store, run_id: UUID | str) -> FlowRunRow:
    """The recorded flow run with an id, or with the one id that begins so.

    Raises:
        RunNotFound: there is none.
        AmbiguousRunId: there are several.
    """
    digits = (run_id.hex if isinstance(run_id, UUID) else str(run_id)).replace("-", "").lower()
    if not digits or len(digits) > _DIGITS or any(each not in "0123456789abcdef" for each in digits):
        raise RunNotFound(run_id, store=store.name)
    first = int(digits.ljust(_DIGITS, "0"), 16)
    last = int(digits.ljust(_DIGITS, "f"), 16)
    if first != last:
        found = store.read_flow_runs(RunFilter(first=first, last=last, limit=2))
        if len(found) > 1:
            raise AmbiguousRunId(str(run_id), [str(UUID(int=each.id)) for each in found], store.name)
        first = found[0].id if found else first
    row = store.read_flow_run(first)
    if row is None:
        raise RunNotFound(run_id, store=store.name)
    return row


def _store(given: Store | None) -> Store:
    if given is not None:
        return given
    chronicle = Engine.current().chronicle
    if chronicle is None:
        raise ConfigurationError("store", None, "an engine with a store, as Engine(store='sqlite:///runs.db')")
    return chronicle.writer.store


def _filter(  # noqa: PLR0917  # what both kinds of runs are asked for
    of: Collection[str] | None,
    names: Collection[str] | None,
    states: Collection[StateType | str] | None,
    tags: Collection[str],
    around: UUID | None,
    before: UUID | None,
    limit: int,
) -> RunFilter:
    if not isinstance(limit, int) or not 1 <= limit <= MOST_ROWS:
        raise ConfigurationError("limit", limit, f"a whole number from 1 to {MOST_ROWS:,}")
    try:
        types = None if states is None else [StateType(str(state).upper()) for state in states]
    except ValueError:
        raise ConfigurationError("states", states, f"of {', '.join(StateType)}") from None
    return RunFilter(
        last=LARGEST_ID if before is None else before.int - 1,
        types=types,
        names=names,
        of=of,
        tags=tags,
        flow_run=None if around is None else around.int,
        limit=limit,
    )


def _flow_run_of(row: FlowRunRow) -> RecordedFlowRun:
    entry = row.entry
    return RecordedFlowRun(
        UUID(int=row.id),
        row.name,
        row.flow,
        row.version,
        state_of(row.state, row.id, None, _readable(row.data, result_of(row.id))),
        row.tags,
        from_nanoseconds(row.created),
        _time(row.started),
        _time(row.ended),
        row.attempts,
        _uuid(row.parent),
        _uuid(row.parent_task_run),
        f"{entry.file or entry.module}:{entry.name}",
        row.deaths,
        {name: _readable(value, parameter_of(row.id, name)) for name, value in row.parameters.items() if name != ENTRY},
    )


def _task_run_of(row: TaskRunRow) -> RecordedTaskRun:
    return RecordedTaskRun(
        UUID(int=row.id),
        row.name,
        row.task,
        str(row.key),
        _uuid(row.flow_run),
        _uuid(row.parent),
        state_of(row.state, row.flow_run, row.id, _readable(row.data, result_of(row.id))),
        row.tags,
        {name: [UUID(each) for each in ids] for name, ids in row.inputs.items()},
        from_nanoseconds(row.created),
        _time(row.started),
        _time(row.ended),
        row.attempts,
    )


def _recorded(row: StateRow, flow_run: int | None, task_run: int | None) -> RecordedState:
    return RecordedState(state_of(row, flow_run, task_run), row.sequence, row.cause)


def _readable(value: Value | None, where: str) -> Any:
    """What a value is, as far as this program can read it."""
    try:
        return decode(value, serializer_for(), where=where)
    except SerializationError:
        return MISSING


def _time(at: int | None) -> datetime | None:
    return None if at is None else from_nanoseconds(at)


def _uuid(run: int | None) -> UUID | None:
    return None if run is None else UUID(int=run)
