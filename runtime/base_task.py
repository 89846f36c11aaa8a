"""What all kinds of tasks share: what they are made of, and the ways to start runs elsewhere.

Decides where submitted and mapped runs go. How a call of each kind is run where it was made is `task`'s and
`generator_task`'s.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, Literal, ParamSpec, TypeVar, overload

from millrace.actors.annotations import Annotation
from millrace.actors.errors import ConfigurationError
from millrace.actors.states import State
from millrace.runtime.bounded import bounded, in_flight
from millrace.runtime.engine import current_scope
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import Future
from millrace.runtime.lanes import Lane
from millrace.runtime.mapping import Plan, plan_map
from millrace.runtime.priorities import USUAL, checked_priority, ranked
from millrace.runtime.rationing import checked_rate
from millrace.runtime.runners import LaneTaskRunner
from millrace.runtime.task_definition import TaskDefinition

if TYPE_CHECKING:
    from millrace.actors.token_bucket import RateLimit
    from millrace.runtime.caching import Explanation
    from millrace.runtime.deferred.futures import DistributedFuture
    from millrace.runtime.stores.port import Store
    from millrace.runtime.stream import Stream

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

Dependency = Future[Any] | State[Any] | Annotation[Any] | Sequence[Future[Any]] | Mapping[Any, Future[Any]]
"""What may stand where a parameter wants a value, because it is replaced by one before the body runs.

Where one is among the first two arguments, type checkers check the others of that call no more: no type says "this
parameter's type, or a future of it" for each of a function's parameters.
"""


class BaseTask(TaskDefinition, Generic[P, R]):
    """What all kinds of tasks share. Made by `@task`. What it is made of: see `TaskDefinition`."""

    @overload
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    @overload
    def submit(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, first: Any, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, *args: Any, priority: int, wait_for: Iterable[Any] | None = ..., **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = ..., **kwargs: Any
    ) -> State[R]: ...
    def submit(self, *args: Any, **kwargs: Any) -> Any:
        """Start a run and go on.

        Async tasks run on the flow's loop, sync ones on the engine's threads, unless the flow has another task runner.
        Futures and states anywhere inside the arguments are replaced by their results before the run starts.

        Args:
            *args: Arguments of the task.
            **kwargs: Arguments of the task; and `wait_for`, futures or states to wait for without using their results;
                and `return_state`, to block until the end and get the final state instead of a future; and `priority`,
                a whole number, unless the task has a parameter of that name: of what is in line, the highest comes
                first. 0 is usual.

        Returns:
            The run's future.

        Raises:
            ConfigurationError: `priority` is no whole number.
            ParameterBindError: the call does not fit; it names the parameter and shows the signature.
            InputResolutionError: an argument could not be looked into.
            EngineClosed: the flow run has ended, or the engine is closing.
        """
        wait_for, return_state = reserved(kwargs)
        priority = self._option(kwargs, "priority", checked_priority, USUAL) if kwargs else USUAL
        self.shape.check(args, kwargs)
        scope = current_scope()
        runner = scope.runner
        future: Future[R]
        if runner is not None and not isinstance(runner, LaneTaskRunner):
            parameters = self.shape.by_name(args, kwargs)
            future = scope.engine.rationing.entrust(scope, runner, self, parameters, wait_for, priority)
        else:
            lane = self.own_lane(scope) if runner is None else runner.started_lane(self, scope, "submit")
            if priority:
                lane = ranked(lane, priority)
            if not self.is_async:
                scope.engine.offload.check_room()
            future = Future.of(scope.start_run(self, args, kwargs, wait_for, lane, in_line=True))
        if return_state:
            future.wait()
            return future.state
        return future

    def delay(self, *args: P.args, **kwargs: P.kwargs) -> DistributedFuture[R]:
        """Put a call off, for a worker to run, mostly in another process. See `apply_async`.

        Args:
            *args: Arguments of the task.
            **kwargs: Likewise.

        Returns:
            The run's future.

        Raises:
            ParameterBindError: the call does not fit.
            SerializationError: the arguments cannot be written. Nothing was put off.
            ConfigurationError: there is no store, or it has no queue.
            TaskDefinitionError: the task is a generator, or bound to an object.
            StoreError: the queue cannot be written.
        """
        return self.apply_async(args, kwargs)

    def apply_async(
        self,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        *,
        wait_for: Iterable[Any] | None = None,
    ) -> DistributedFuture[R]:
        """Put a call off: the run is Scheduled in the queue of the store, until a worker takes it.

        The run is on record when this returns. It does not belong to the flow run at hand, which does not wait for it.

        Args:
            args: Positional arguments of the task. They are written by the task's serializer, here and now. Futures of
                runs that were put off may be among them; where there are futures of this process, the run is put off
                when these have ended.
            kwargs: Keyword arguments; likewise.
            wait_for: Futures or states to wait for without using their results.

        Returns:
            The run's future.

        Raises:
            ParameterBindError, SerializationError, ConfigurationError, TaskDefinitionError, StoreError: see `delay`.
        """
        from millrace.runtime.deferred.delaying import delay  # noqa: PLC0415  # few programs put runs off

        return delay(self, tuple(args), dict(kwargs or {}), wait_for)

    def serve(self, *, limit: int | None = 10, store: Store | str | None = None) -> None:
        """Run what is put off of this task, here, until Ctrl-C or a request to terminate. See `millrace.serve`.

        Args:
            limit: How many runs at a time; None for no limit.
            store: The store, or its URL; by default that of the engine at hand, else that of `MILLRACE_STORE`.

        Raises:
            TaskDefinitionError, ConfigurationError, BlockingCallOnLoop, StoreError: see `millrace.serve`.
        """
        from millrace.runtime.deferred.serving import serve  # noqa: PLC0415  # few programs serve tasks

        serve(self, limit=limit, store=store)

    @overload
    def map(self, *args: Any, return_state: Literal[True], **kwargs: Any) -> list[State[R]]: ...  # pyright: ignore[reportOverlappingOverload]
    @overload
    def map(self, *args: Any, **kwargs: Any) -> FutureList[R]: ...
    def map(self, *args: Any, **kwargs: Any) -> FutureList[R] | list[State[R]]:
        """Start a run for each item.

        Every iterable argument is spread (text, bytes and open files are none; of a dict the keys are taken), the
        others go to all runs, as does what is wrapped in `unmapped`. The runs come into being as they are started or
        looked at, and a map over the futures of another map has no barrier: each item goes on as soon as it can.

        Args:
            *args: Arguments of the task.
            **kwargs: Arguments of the task; and `wait_for`, what every run waits for; and `return_state`, to block
                until the end and get the final states instead of futures; and, unless the task has parameters of these
                names, `max_in_flight`, how many of the runs may be between start and end at a time; `rate_limit`, how
                often attempts of them may begin: a `RateLimit`, or so many a second; and `priority`, as for `submit`.

        Returns:
            The futures, in the order of the items.

        Raises:
            ConfigurationError: `max_in_flight`, `rate_limit` or `priority` cannot be used; the first two not with task
                runners of one's own.
            MappingMissingIterable: there is nothing to spread.
            MappingLengthMismatch: the iterables are not of one length; it gives the lengths.
            ParameterBindError: the call does not fit.
            BlockingCallOnLoop: a future of an iterable that is not done was given on a loop's thread; await it first.
            EngineClosed: the flow run has ended, or the engine is closing.
        """
        wait_for, return_state = reserved(kwargs)
        priority = self._option(kwargs, "priority", checked_priority, USUAL) if kwargs else USUAL
        most = self._option(kwargs, "max_in_flight", in_flight, None)
        rate = self._option(kwargs, "rate_limit", checked_rate, None)
        self.shape.check(args, kwargs)
        futures = self._map(plan_map(self.shape, args, kwargs), wait_for, priority, most, rate)
        if return_state:
            futures.wait()
            return [each.state for each in futures]
        return futures

    def _map(self, plan: Plan, wait_for: Any, priority: int, most: int | None, rate: RateLimit | None) -> FutureList[R]:
        scope = current_scope()
        runner = scope.runner
        if runner is None or isinstance(runner, LaneTaskRunner):
            lane = self.own_lane(scope) if runner is None else runner.started_lane(self, scope, "map")
            lane = ranked(lane, priority)
            return scope.start_map(self, plan, wait_for, lane if most is None else bounded(lane, most), rate)
        for name, value in (("max_in_flight", most), ("rate_limit", rate)):
            if value is not None:
                raise ConfigurationError(name, value, f"nothing, for a map with {runner!r}")
        entrust = scope.engine.rationing.entrust
        calls = (self.shape.by_name(*plan.call(index)) for index in range(plan.size))
        return FutureList(entrust(scope, runner, self, parameters, wait_for, priority) for parameters in calls)

    @overload
    def stream(
        self,
        inputs: Iterable[Any] | AsyncIterable[Any] | Annotation[Any],
        /,
        *,
        max_in_flight: int = ...,
        ordered: bool = ...,
        on_error: Literal["raise"] = ...,
        priority: int = ...,
        rate_limit: RateLimit | int | None = ...,
        wait_for: Iterable[Any] | None = ...,
        **constants: Any,
    ) -> Stream[R]: ...
    @overload
    def stream(
        self,
        inputs: Iterable[Any] | AsyncIterable[Any] | Annotation[Any],
        /,
        *,
        max_in_flight: int = ...,
        ordered: bool = ...,
        on_error: Literal["state"],
        priority: int = ...,
        rate_limit: RateLimit | int | None = ...,
        wait_for: Iterable[Any] | None = ...,
        **constants: Any,
    ) -> Stream[State[R]]: ...
    def stream(self, inputs: Any, /, **options: Any) -> Any:
        """Run the task for items that come, with so many on their way at a time.

        Nothing begins before somebody iterates, with `for` or, on a loop, `async for`. An item is on its way from when
        it is taken from `inputs` to when what came of it is given to the loop: so a loop that is slow holds up the
        source, and what is held does not grow with the number of items. Leaving the loop, by `break` or by an
        exception, cancels what is on its way, and closes the source if it is a generator or a stream.

        Args:
            inputs: Iterable or async iterable of values for the first parameter: a list, a generator, futures of a map,
                another stream. Taken from only when there is room; a plain one in the thread of whoever iterates.
            **options: `max_in_flight`, how many items may be on their way; 100 by default. `ordered`, whether results
                come in the order of the items, and not as they are there. `on_error`: `"raise"`, the default, raises
                what a run raised, which ends the stream; `"state"` gives final states in place of results, and goes on.
                `rate_limit`, how often attempts of its runs may begin: a `RateLimit`, or so many a second.
                `priority` and `wait_for`, as for `submit`. All others are arguments that every run gets.

        Returns:
            The stream.

        Raises:
            ConfigurationError: an option cannot be used, as `rate_limit` cannot with a task runner of one's own; or a
                parameter of the task has its name; or `inputs` cannot be iterated over, or is text.
            ParameterBindError: an item and the other arguments do not fit.

        Cancellation: of whoever iterates ends the wait for a result, and nothing else before the loop is left.
        """
        from millrace.runtime.stream import make_stream  # noqa: PLC0415  # few programs have streams

        return make_stream(self, inputs, options)

    def _option(self, kwargs: dict[str, Any], name: str, check: Callable[[Any], T], absent: T) -> T:
        """Take an option of a call out of its arguments, unless the task has a parameter of that name."""
        return absent if name not in kwargs or name in self.shape.names else check(kwargs.pop(name))

    def cache_explain(self, *args: Any, **kwargs: Any) -> Explanation:
        """Why a call made here would be, or would not be, taken from the cache. Nothing is run, looked up or kept.

        Args:
            *args: Arguments of the call.
            **kwargs: Likewise.

        Returns:
            Which parts of the key differ from those of the task's last key; its text is one sentence.

        Raises:
            ParameterBindError: the call does not fit.
        """
        from millrace.runtime.keeping import explain_cache  # noqa: PLC0415  # few tasks keep anything

        return explain_cache(self, args, kwargs)

    def own_lane(self, scope: FlowRun) -> Lane:
        """The engine's own place for this kind of task."""
        raise NotImplementedError


def reserved(kwargs: dict[str, Any]) -> tuple[Any, bool]:
    """Take what a call uses itself out of its keyword arguments."""
    return kwargs.pop("wait_for", None), kwargs.pop("return_state", False)
