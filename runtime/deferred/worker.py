"""Workers: what takes runs from a queue, runs them on an engine, and tells what becomes of them.

Decides how many runs it has at a time, what it tells of them, and how it stops. A run that it has is a run of the
engine's like any other, with its retries, hooks and limits; only its arguments come out of the queue, and its states
and its outcome go back. All that is said to the queue is said in turns, one after another: what has happened since the
last one, and how many more runs there is room for. Between turns it sleeps until its bell is rung: by the queue, or by
one of its own runs.

**Stopping.** No more runs are taken. Those that have been get the engine's grace period to end by themselves. After
that, async ones are cancelled and given back, so that another worker begins them anew. Sync ones cannot be stopped, and
are waited for.
"""

from __future__ import annotations

import asyncio
import os
import platform
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, TypeVar

import attrs

from millrace.actors.errors import ConfigurationError, EngineClosed, MillraceError
from millrace.actors.messages import Watch
from millrace.actors.outcomes import exception_to_failed_state
from millrace.actors.run import is_final
from millrace.actors.states import State, StateType
from millrace.actors.stored_result import StoredResult
from millrace.runtime.bells import Bell
from millrace.runtime.context import CURRENT, TAGS
from millrace.runtime.deferred.delaying import arguments_of, steps_of
from millrace.runtime.deferred.futures import DistributedFuture, future_of
from millrace.runtime.deferred.port import Job, Told
from millrace.runtime.given import Given
from millrace.runtime.one_line import engine_logger
from millrace.runtime.results import ResultStore, StoredValue
from millrace.runtime.stores.encoding import encode, serializer_for
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.sealing import result_of
from millrace.runtime.waiting import CallbackWatcher, LoopWaiter

if TYPE_CHECKING:
    from millrace.actors.events import Event
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.deferred.port import Queue
    from millrace.runtime.engine import Engine
    from millrace.runtime.runs import TaskRun

R = TypeVar("R")

_logger = engine_logger("deferred")


@attrs.define(eq=False)
class _Held:
    """A run that the worker has.

    Args:
        job: What was put off.
        task: Its task.
        run: It, on the engine.
        told: So many of its states are known to the queue; the first, PENDING, is that of having been taken.
        returning: It was cancelled here to be given back.
    """

    job: Job
    task: BaseTask[Any, Any]
    run: TaskRun
    told: int = 1
    returning: bool = False


class Worker:
    """Takes runs of some tasks from a queue, and runs them on an engine; in one asyncio task.

    Args:
        queue: The queue.
        engine: The engine. It is open as long as the worker works.
        tasks: By key.
        limit: How many runs it may have at a time; None for no limit.
    """

    def __init__(
        self, queue: Queue, engine: Engine, tasks: Mapping[str, BaseTask[Any, Any]], limit: int | None
    ) -> None:
        self._queue = queue
        self._engine = engine
        self._tasks = tasks
        self._limit = limit
        self._bell = Bell()
        self._held: dict[int, _Held] = {}  # by id of the run
        self._unsaid: list[Told] = []  # ends of runs that never began here
        self._stopping = False
        self._hurries = False  # it does not wait any more for async runs to end by themselves
        self._thread: ThreadPoolExecutor | None = None  # in which it speaks with a queue that may block
        self._name = f"process {os.getpid()} on {platform.node()}"

    def stop(self) -> None:
        """Stop, as the module's docstring says. From any thread; returns at once."""
        self._stopping = True
        self._bell.ring()

    async def work(self) -> None:
        """Work until it is stopped.

        Raises:
            StoreError: the queue has failed. What the worker has then is given back when its process ends.

        Cancellation: stops, as the module's docstring says, and goes on up. Another one ends the patience with async
        runs.
        """
        work = asyncio.ensure_future(self._enlist_and_work())
        cancelled: asyncio.CancelledError | None = None
        while not work.done():
            try:
                await asyncio.shield(work)
            except asyncio.CancelledError as error:
                self._hurries, cancelled = cancelled is not None, error
                self.stop()
            except BaseException:  # noqa: BLE001  # raised below
                break
        if cancelled is not None and not work.cancelled() and work.exception() is None:
            raise cancelled
        work.result()

    async def _enlist_and_work(self) -> None:
        queue, engine = self._queue, self._engine
        keys, ring = self._tasks.keys(), self._bell.ring
        try:
            number = await self._in_turn(lambda: queue.enlist(self._name, keys, ring, engine.now()))
            unsubscribe = engine.subscribe(self._happened)
            try:
                await self._tell_of_strangers()
                _logger.info("Serving %s from %s.", ", ".join(task.name for task in self._tasks.values()), queue.name)
                await self._work(number)
            finally:
                unsubscribe()
                self._leave(number)
        finally:
            if self._thread is not None:
                self._thread.shutdown(wait=False)

    def _leave(self, number: int) -> None:
        for held in self._held.values():
            held.run.cancel("Its worker has failed.")
        if not self._held:  # else some body may go on, and nobody else is to begin it before the end of the process
            self._queue.leave(number, self._engine.now())

    async def _work(self, number: int) -> None:
        try:
            while not self._stopping:
                await self._exchange(number, takes=True)
                await self._rung()
        except asyncio.CancelledError:  # the loop is being shut down
            self._stopping = True
            await self._finish(number)
            raise
        await self._finish(number)

    async def _finish(self, number: int) -> None:
        """Wait for the runs that it has, or give them back."""
        engine = self._engine
        if self._held:
            _logger.info("Stopping: %d runs are to end by themselves.", len(self._held))
        due = engine.now() + round(engine.grace_seconds * 1e9)
        alarm = engine.timers.call_at(due, self._bell.ring, engine.lane_here)
        try:
            while True:
                await self._exchange(number, takes=False)
                if not self._held:
                    return
                await self._rung()
                if self._hurries or engine.now() >= due:
                    self._return()
        finally:
            alarm.call_off()

    def _return(self) -> None:
        """Cancel what can be cancelled, to give it back."""
        for held in self._held.values():
            if held.task.is_async and not held.returning:
                held.returning = True
                held.run.cancel("Its worker is stopping, and another one begins it anew.")

    async def _rung(self) -> None:
        await self._bell.wait(LoopWaiter(self._engine.lane_here()))

    async def _in_turn(self, call: Callable[[], R]) -> R:
        """Say something to the queue; where that may block, in a thread, which no body ever has."""
        if not self._queue.blocking:
            return call()
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "millrace-worker")
        return await asyncio.get_running_loop().run_in_executor(self._thread, call)

    # A turn.

    async def _exchange(self, number: int, *, takes: bool) -> None:
        """Tell what has happened, and take as many runs as there is room for."""
        ended = [held for held in self._held.values() if held.run.done]
        most = self._room(len(ended)) if takes else 0
        taken = await self._in_turn(lambda: self._queue.exchange(number, self._news(ended), most, self._engine.now()))
        for held in ended:
            del self._held[held.job.id]
        for job in taken.jobs:
            self._begin(job)
        for job_id, reason in taken.cancelled.items():
            if job_id in self._held:
                self._held[job_id].run.cancel(reason)

    def _room(self, freed: int) -> int | None:
        return None if self._limit is None else self._limit - len(self._held) + freed

    def _news(self, ended: list[_Held]) -> list[Told]:
        unsaid, self._unsaid = self._unsaid, []
        over = {held.job.id for held in ended}
        going = [self._progress(held) for held in list(self._held.values()) if held.job.id not in over]
        return [*unsaid, *(told for told in going if told.steps), *map(self._end, ended)]

    def _progress(self, held: _Held) -> Told:
        """The states that a run has entered; without its end, which is told when the engine has told it."""
        states = [] if held.returning else [each for each in held.run.history()[held.told :] if not is_final(each)]
        held.told += len(states)
        return Told(held.job.id, steps_of(states))

    def _end(self, held: _Held) -> Told:
        states = held.run.history()[held.told :]
        final = held.run.state
        if held.returning and final.type in {StateType.CANCELLED, StateType.CRASHED}:
            return Told(held.job.id, steps_of(states), returned=True)
        data, stored = self._outcome(held, final)
        return Told(held.job.id, steps_of(states), ended=True, data=data, stored=stored)

    def _outcome(self, held: _Held, final: State[Any]) -> tuple[Value | None, str | None]:
        """What the final state holds: as bytes, or where it lies."""
        value = final.data
        serializer = serializer_for(held.task.result_serializer)
        if value is None:
            return None, None
        try:
            store = ResultStore(held.task.result_storage, serializer=serializer)
            if isinstance(value, StoredValue) and value.store.storage == store.storage:
                return Value("", None, "a result that lies in a storage"), value.key
            if isinstance(value, StoredResult):
                value = value.load()
            data = encode(value, serializer, where=result_of(held.job.id))
            if data.blob is not None or final.type is not StateType.COMPLETED:
                return data, None
            # Too large for the queue, or nothing that can be written at all: the storage can tell.
            return data, store.write(held.run.uuid.hex, value).key
        except MillraceError as error:
            _logger.warning("The result of '%s' is lost: %s", held.run.name, error)
            return Value("", None, f"a result that is lost ({error})"), None

    # Runs.

    def _begin(self, job: Job) -> None:
        """Begin a run that was taken."""
        task = self._tasks[job.key]
        try:
            args, kwargs = arguments_of(job, serializer_for(task.result_serializer))
            task.shape.check(args, kwargs)
            run = copy_context().run(self._start, job, task, args, kwargs)
        except EngineClosed:
            self.stop()  # the run is given back when the worker leaves
            return
        except Exception as error:  # noqa: BLE001  # arguments bring code of their own
            _logger.warning("A run of task '%s' cannot begin: %s", job.task, error)
            failed = exception_to_failed_state(error).adopt(self._engine.now(), None, job.id, 1)
            data = encode(error, serializer_for(task.result_serializer), where=result_of(job.id))
            self._unsaid.append(Told(job.id, steps_of([failed]), ended=True, data=data))
            self._bell.ring()
            return
        self._held[job.id] = _Held(job, task, run)
        run.tell(Watch(CallbackWatcher(self._bell.ring)))

    def _start(self, job: Job, task: BaseTask[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> TaskRun:
        CURRENT.set(None)
        TAGS.set(job.tags)
        scope = self._engine.root
        awaited: list[DistributedFuture[Any]] = [future_of(self._queue, each, None) for each in job.awaited]
        try:
            given = Given(job.id)
            return scope.start_run(task, args, kwargs, awaited or None, task.own_lane(scope), given, in_line=True)
        except ConfigurationError:  # an earlier worker has had the run on record in the engine's own store
            return scope.start_run(task, args, kwargs, awaited or None, task.own_lane(scope), in_line=True)

    def _happened(self, event: Event) -> None:
        """A run of the engine's has entered a state."""
        run_id = event.task_run_id
        if run_id is not None and run_id.int in self._held:
            self._bell.ring()

    async def _tell_of_strangers(self) -> None:
        """Say which runs wait for another version of the code."""
        names = {task.name: key for key, task in self._tasks.items()}
        for (name, key), count in (await self._in_turn(self._queue.waiting)).items():
            if key != names.get(name, key) and key not in self._tasks:
                _logger.warning(
                    "%d runs of task '%s' were put off by other code (%s) than is served here (%s). They wait for a"
                    " worker that has it.",
                    count,
                    name,
                    key,
                    names[name],
                )
