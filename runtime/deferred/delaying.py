"""Delaying: a call of a task that is put off, for a worker to run.

Decides what of a call goes into the queue, and when. What the arguments are is settled when the call is made: they are
turned into bytes there and then, and if they cannot be, nothing is put off. Runs that were put off to the same queue
may be among them, or waited for: the queue itself waits for these. Futures of this process mean nothing in another one.
For them a run is started here, the *bearer*, which the engine keeps back until they have ended, as it does with any
run; it puts the call off with their results. If it never begins, because one of them has failed, the run has ended that
way.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final, TypeVar

import attrs

from millrace.actors.errors import SerializationError, TaskDefinitionError
from millrace.actors.states import StateType
from millrace.actors.telling import told_of
from millrace.runtime.context import CURRENT, TAGS
from millrace.runtime.deferred.futures import Deferred, DistributedFuture, future_of
from millrace.runtime.deferred.opening import queue_for
from millrace.runtime.deferred.port import Job, Step, Told
from millrace.runtime.engine import current_scope
from millrace.runtime.engines import engine_at_hand
from millrace.runtime.futures import Future
from millrace.runtime.inputs import dependencies, futures_in
from millrace.runtime.ports import system_clock, system_ids
from millrace.runtime.results.refusals import shown
from millrace.runtime.stores.encoding import details_as_text, encode, serializer_for
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.sealing import call_of, opened, result_of, sealed
from millrace.runtime.task import Task

if TYPE_CHECKING:
    from millrace.actors.states import State
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.deferred.port import Queue
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.results import Serializer
    from millrace.runtime.runs import TaskRun

R = TypeVar("R")


def delay(
    task: BaseTask[Any, R], args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Any
) -> DistributedFuture[R]:
    """Put a call of a task off. See `BaseTask.apply_async`."""
    check_deferrable(task, "be delayed")
    task.shape.check(args, kwargs)
    queue, _ = queue_for(None)
    engine, current = engine_at_hand(), CURRENT.get()
    ids, now = (system_ids, system_clock) if engine is None else (engine.ids, engine.now)
    around = None if current is None or current.scope.flow is None else current.scope.id
    given, first = _awaited(wait_for, queue)
    inner = _ids_of(futures_in((args, kwargs)), queue)
    job = Job(
        ids.fresh_uuid().int, task.name, task.task_key, now(), Value("", None), task.tags | TAGS.get(), around,
        given if first is None else (),
    )  # fmt: skip
    letter = _Letter(queue, task, job, serializer_for(task.result_serializer))
    if inner is None or first is not None:
        return letter.send_later(args, kwargs, first)
    letter.send(args, kwargs, inner)
    return future_of(queue, job.id, task)


def check_deferrable(task: BaseTask[Any, Any], what: str) -> None:
    """Check that workers could run a task.

    Args:
        task: The task.
        what: What is to be done with it, as in "be delayed".

    Raises:
        TaskDefinitionError: they could not.
    """
    if task.is_generator:
        raise TaskDefinitionError(
            f"Task '{task.name}' cannot {what}: it is a generator, and nobody in another process iterates over it."
            " Return a list."
        )
    if task.receiver is not None:
        raise TaskDefinitionError(
            f"Task '{task.name}' cannot {what}: it is bound to an object, which no worker has. Make it a task of its"
            " own, and pass what it needs."
        )


def arguments_of(job: Job, serializer: Serializer) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments that were put off.

    Raises:
        SerializationError: they cannot be read, or their seal is not right.
    """
    value = opened(job.call, call_of(job.id, job.key))
    if value.tag != serializer.tag or value.blob is None:
        reason = f"they were written as '{shown(value.tag)}', and what reads them here is '{serializer.tag}'"
        raise SerializationError("read the arguments of a run that was put off", reason)
    match serializer.loads(value.blob):
        case [[*args], dict(kwargs)]:
            return tuple(args), kwargs
        case _:
            raise SerializationError("read the arguments of a run that was put off", "there are none")


def steps_of(states: Iterable[State[Any]]) -> list[Step]:
    """States of a run, as they go into a queue."""
    return [
        Step(
            state.type, state.name, state.message, state.nanoseconds, "told",
            details_as_text(state.state_details) if state.has_details else None,
        )
        for state in states
    ]  # fmt: skip


def _ids_of(futures: Iterable[Future[Any]], queue: Queue) -> tuple[int, ...] | None:
    """The ids of runs that were put off to a queue; None where there are others among them."""
    ids: list[int] = []
    for future in futures:
        if not isinstance(future.source, Deferred) or future.source.queue is not queue:
            return None
        ids.append(future.source.id)
    return tuple(ids)


def _awaited(wait_for: Any, queue: Queue) -> tuple[tuple[int, ...], Any]:
    """What there is to wait for: the ids of runs in the queue; and, where there is anything else, all of it."""
    if wait_for is None:
        return (), None
    given = dependencies(wait_for)
    items = given if isinstance(given, (list, tuple, set, frozenset)) else [given]
    ids = _ids_of(items, queue) if all(isinstance(each, Future) for each in items) else None
    return ((), given) if ids is None else (ids, None)


@attrs.frozen(eq=False)
class _Letter:
    """A call that is to be put off.

    Args:
        queue: Where to.
        task: The task.
        job: What is known of the run; it has no arguments as yet.
        serializer: Makes bytes of the arguments.
    """

    queue: Queue
    task: BaseTask[Any, Any]
    job: Job
    serializer: Serializer

    def send(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], awaited: Iterable[int] = ()) -> None:
        """Put the call off, now.

        Raises:
            SerializationError: the arguments cannot be written. Nothing was put off.
        """
        attempted = f"write the arguments of task '{self.task.name}', to put the call off"
        try:
            blob: object = self.serializer.dumps((list(args), dict(kwargs)))
        except Exception as error:  # values bring code of their own
            reason = error.reason if isinstance(error, SerializationError) else told_of(error)
            raise SerializationError(attempted, shown(reason).rstrip(".")) from error
        if not isinstance(blob, bytes):
            raise SerializationError(attempted, f"the serializer '{self.serializer.tag}' made no bytes of them")
        where = call_of(self.job.id, self.job.key)
        job = attrs.evolve(self.job, call=sealed(Value(self.serializer.tag, blob), where))
        self.queue.put(job, {*awaited, *job.awaited})

    def send_later(self, args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Any) -> DistributedFuture[Any]:
        """Put the call off when what it depends on has ended."""
        bearer = copy_context().run(self._start_bearer, current_scope(), (self, args, dict(kwargs)), wait_for)
        Future[None].of(bearer).add_done_callback(lambda _: self._arrived(bearer))
        return future_of(self.queue, self.job.id, self.task, bearer)

    @staticmethod
    def _start_bearer(scope: FlowRun, args: tuple[Any, ...], wait_for: Any) -> TaskRun:
        CURRENT.set(None)  # it is not a call of the body's, which would not be made again when the flow is run again
        return scope.start_run(_bear, args, {}, wait_for, _bear.own_lane(scope), in_line=True)

    def _arrived(self, bearer: TaskRun) -> None:
        """The bearer has ended: if it was not allowed to put the call off, the run has ended that way."""
        state = bearer.state
        if state.type is StateType.COMPLETED:
            return
        where = result_of(self.job.id)
        data = encode(state.data, self.serializer, where=where) if isinstance(state.data, BaseException) else None
        call = Value("", None, "arguments that never were there")
        end = Told(self.job.id, steps_of([state]), ended=True, data=data)
        self.queue.put(attrs.evolve(self.job, call=call), end=end)


def _put_off(letter: _Letter, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    letter.send(args, kwargs)


_bear: Final[Task[..., None]] = Task(_put_off, name="delay")
"""What puts a call off when what it depends on has ended."""
