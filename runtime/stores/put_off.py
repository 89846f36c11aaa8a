"""Put off: task runs of a store, with those that were put off to its queue and are on record only there.

Decides which of the two is believed. A worker of the process that has the store open works on that engine, and the
store knows as much of the run as of any other; of what other workers run, it knows nothing. Both know of a run that
such a worker had begun and another one has ended: then the queue is right, since it is the one who gave the run away.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from millrace.actors.errors import StoreMissing
from millrace.runtime.stores.rows import RunFilter, StateRow, TaskRunRow

if TYPE_CHECKING:
    from millrace.runtime.deferred.port import Queue
    from millrace.runtime.stores.port import Store

T = TypeVar("T")


def read_task_run(store: Store, run_id: int) -> TaskRunRow | None:
    """A task run, with what its present state holds; None where there is none with that id."""
    return _read(store, run_id)[0]


def read_states(store: Store, run_id: int) -> list[StateRow]:
    """All states of a task run, first to last."""
    _, queue = _read(store, run_id)
    return store.read_states(run_id) if queue is None else queue.read_states(run_id)


def read_task_runs(store: Store, wanted: RunFilter) -> list[TaskRunRow]:
    """Task runs, newest first: those that a filter asks for, in whichever of the two they are."""
    queue = queue_of(store)
    if queue is None:
        return store.read_task_runs(wanted)
    found = {row.id: row for row in _or_none(lambda: store.read_task_runs(wanted)) or ()}
    for row in queue.read_all(wanted):
        found[row.id] = _believed(found.get(row.id), row.as_task_run)[0]
    newest = sorted(found.values(), key=lambda row: row.id, reverse=True)
    return newest[: wanted.limit]


def queue_of(store: Store) -> Queue | None:
    """The queue of a store, where anybody has used it."""
    queue: Queue | None = getattr(store, "queue", None)
    return queue if queue is not None and queue.is_there else None


def _read(store: Store, run_id: int) -> tuple[TaskRunRow | None, Queue | None]:
    """A run; and the queue, where that knows more of it."""
    queue = queue_of(store)
    job = None if queue is None else queue.read(run_id)
    if job is None:
        return store.read_task_run(run_id), None
    row, is_queued = _believed(_or_none(lambda: store.read_task_run(run_id)), job.as_task_run)
    return row, queue if is_queued else None


def _believed(row: TaskRunRow | None, queued: TaskRunRow) -> tuple[TaskRunRow, bool]:
    """What is right of what the store and the queue say of a run; and whether that is the queue's."""
    if row is None:
        return queued, True
    if row.ended is None and queued.ended is None:
        return row, False  # it goes on where the store is open, which is told first
    if row.state.type is queued.state.type:
        return row, False
    return attrs.evolve(queued, name=row.name, inputs=row.inputs), True


def _or_none(read: Callable[[], T]) -> T | None:
    """What a store gives; None where nobody has opened it as yet, and what was put off is all that there is."""
    try:
        return read()
    except StoreMissing:
        return None
