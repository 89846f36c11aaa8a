"""Futures of runs that are put off: they look into the queue, and are woken by its bells.

Decides how what stands in a queue becomes a state and a result: both are read with the serializer and from the storage
that the task names here, and nothing that stands in the queue chooses either.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import UUID

from millrace.actors.errors import ConfigurationError, MissingResult, RunNotFound, SerializationError
from millrace.actors.messages import Unwatch
from millrace.actors.states import Pending, State, StateType
from millrace.actors.stored_result import StoredResult
from millrace.runtime.deferred.opening import queue_at, queue_for
from millrace.runtime.futures import Future
from millrace.runtime.lending import lend
from millrace.runtime.loop_lane import LoopLane
from millrace.runtime.ports import system_clock
from millrace.runtime.results import ResultStore, StoredValue
from millrace.runtime.running import running_loop
from millrace.runtime.stores.encoding import decode, serializer_for, state_of
from millrace.runtime.stores.sealing import result_of
from millrace.runtime.tracking import TaskRunResult

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.deferred.port import JobRow, Queue
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.stores.port import Store
    from millrace.runtime.tracking import TaskRunInput

R_co = TypeVar("R_co", covariant=True)


class DistributedFuture(Future[R_co]):
    """A handle on a run that was put off, and is run by a worker; given out by `delay` and `apply_async`.

    It can be made of the id of such a run, too, in any process that can reach the store; and it can be pickled.

    Args:
        task_run_id: The id of the run.
        task: Its task, where that names a serializer or a storage for its results: they are read with these.
        store: The store, or its URL; by default that of the engine at hand, else that of `MILLRACE_STORE`.

    Raises:
        ConfigurationError: there is no store, or it has no queue; or an argument cannot be used.
    """

    __slots__ = ()

    def __init__(
        self, task_run_id: UUID | str, *, task: BaseTask[Any, R_co] | None = None, store: Store | str | None = None
    ) -> None:
        try:
            run_id = task_run_id if isinstance(task_run_id, UUID) else UUID(task_run_id)
        except (ValueError, AttributeError, TypeError):
            raise ConfigurationError("task_run_id", task_run_id, "the id of a task run") from None
        queue, _ = queue_for(store)
        self._source = Deferred(queue, run_id.int, task)

    def __reduce__(self) -> tuple[Any, ...]:
        source: Any = self._source
        return _unpickled, (source.queue.url, source.id)


def future_of(
    queue: Queue, run_id: int, task: BaseTask[Any, R_co] | None, bearer: TaskRun | None = None
) -> DistributedFuture[R_co]:
    """The future of a run.

    Args:
        queue: Where the run is put off to.
        run_id: Its id.
        task: Its task.
        bearer: What puts it there when the time has come; None where it is there.
    """
    future: DistributedFuture[R_co] = DistributedFuture.__new__(DistributedFuture)
    future._source = Deferred(queue, run_id, task, bearer)  # noqa: SLF001  # the same module
    return future


def _unpickled(url: str, run_id: int) -> DistributedFuture[Any]:
    return future_of(queue_at(url), run_id, None)


class Deferred:
    """A run in a queue, as a source of futures.

    Args:
        queue: The queue.
        run_id: The run's id.
        task: Its task.
        bearer: What puts it there when the time has come; None where it is there.
    """

    __slots__ = ("_bearer", "_final", "_lock", "_row", "_task", "_watchers", "id", "queue")

    engine = None
    watchers = None  # its end is never withheld
    stores = True  # its result may lie anywhere

    def __init__(
        self, queue: Queue, run_id: int, task: BaseTask[Any, Any] | None, bearer: TaskRun | None = None
    ) -> None:
        self.queue = queue
        self.id = run_id
        self._bearer = bearer
        self._task = task
        self._row: JobRow | None = None  # once it has ended
        self._final: State[Any] | None = None
        self._watchers: list[Any] = []
        self._lock = Lock()

    @property
    def uuid(self) -> UUID:
        """The run's id."""
        return UUID(int=self.id)

    @property
    def name(self) -> str:
        """What a run of the task is called as long as nobody has named it."""
        known = self._task.name if self._task is not None else "task-run" if self._row is None else self._row.task
        return f"{known}-{self.id & 0xFFF:03x}"

    @property
    def done(self) -> bool:
        """Whether it has ended. Looks into the queue."""
        return self._row is not None or self._look() is not None

    def _look(self) -> JobRow | None:
        """The run, where it has ended."""
        row = self.queue.read(self.id)
        if row is not None and row.ended is not None:
            self._row = row
        return self._row

    @property
    def state(self) -> State[Any]:
        """Its present state. Looks into the queue.

        Raises:
            RunNotFound: there is no such run.
        """
        if self._final is not None:
            return self._final
        row = self._row or self.queue.read(self.id)
        if row is None:
            if self._bearer is not None:
                return Pending(message="It is put off when what it depends on has ended.")
            raise RunNotFound(self.uuid, store=self.queue.name)
        if row.ended is None:
            return state_of(row.state, None, row.id)
        self._row = row
        self._final = state_of(row.state, None, row.id, _data(row, self._task))
        return self._final

    @property
    def told_state(self) -> State[Any]:
        """The same."""
        return self.state

    @property
    def reference(self) -> TaskRunInput:
        """What a dependency on it is recorded as."""
        return TaskRunResult(self.uuid)

    def tell(self, message: Any) -> None:
        """Takes `Watch` and `Unwatch`."""
        watcher = message.watcher
        if isinstance(message, Unwatch):
            with self._lock:
                self._watchers = [each for each in self._watchers if each is not watcher]
                last = not self._watchers
            if last:
                self.queue.unwatch(self.id, self._ended)
            return
        with self._lock:
            self._watchers.append(watcher)
            first = len(self._watchers) == 1
        if first:
            self.queue.watch(self.id, self._ended)

    def _ended(self) -> None:
        with self._lock:
            watchers, self._watchers = self._watchers, []
        for watcher in watchers:
            watcher.notify(self)

    def cancel(self, reason: str) -> None:
        """Ask for its end."""
        if self._bearer is not None and not self._bearer.ended:
            self._bearer.cancel(reason)
        else:
            self.queue.cancel(self.id, reason, system_clock())

    def see(self) -> None:
        """No flow answers for a run that was put off."""

    @property
    def ended(self) -> int:
        """Whether it has ended."""
        return int(self.done)

    @property
    def type(self) -> StateType:
        """The type of its present state."""
        return self.state.type

    def take(self, *, raise_on_failure: bool) -> Any:
        """The outcome: its result, or where that lies, or what it raised."""
        state = self.state
        if state.type is StateType.COMPLETED and isinstance(state.data, StoredResult):
            return state.data
        return state.result(raise_on_failure=raise_on_failure)

    def remember_all(self, sources: Sequence[Any], values: list[Any]) -> None:
        """See `remember`."""

    def remember(self, value: Any) -> None:
        """Results of other processes are not tracked by identity."""

    def waiting_lane(self) -> LoopLane:
        """A lane of the running loop, to be woken through."""
        return LoopLane(asyncio.get_running_loop())

    def blocks_here(self) -> bool:
        """Whether the calling thread is a loop's: the worker may be on that loop."""
        return running_loop() is not None

    def lend(self) -> AbstractContextManager[None]:
        """Waiting holds no worker of the engine's."""
        return lend()


class Unreadable(StoredResult):
    """In place of a result that stands in the queue and cannot be read here.

    Args:
        reason: Why.
    """

    __slots__ = ("_reason",)

    def __init__(self, reason: MissingResult | SerializationError) -> None:
        self._reason = reason

    @property
    def blocking(self) -> bool:
        """Nothing is read."""
        return False

    def load(self) -> Any:
        """Say why not.

        Raises:
            MissingResult: it was not kept.
            SerializationError: it was written in another way.
        """
        raise self._reason

    async def aload(self) -> Any:
        """Say why not. Cancellation: nothing is waited for."""
        self.load()


def _data(row: JobRow, task: BaseTask[Any, Any] | None) -> Any:
    """What the last state of a run holds."""
    serializer = serializer_for(None if task is None else task.result_serializer)
    if row.stored is not None:
        storage = None if task is None else task.result_storage
        return StoredValue(ResultStore(storage, serializer=serializer), row.stored)
    try:
        return decode(row.data, serializer, where=result_of(row.id))
    except SerializationError as error:
        if row.state.type is not StateType.COMPLETED:
            return None  # what there is to know of a failure is in the message, too
        return Unreadable(error)
