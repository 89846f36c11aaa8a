"""Tasks: the API of a function that the engine runs.

Decides what a task is made of, and into which run each kind of call turns. Sync and async tasks are separate classes,
so that the types of their calls are exact; all that is not the call itself they share.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, ParamSpec, Self, TypeVar, cast, overload

from millrace.actors.annotations import Annotation
from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError, TaskDefinitionError
from millrace.actors.policies import RetryPolicy
from millrace.actors.states import State
from millrace.runtime.attempt import execute
from millrace.runtime.context import CURRENT
from millrace.runtime.engine import current_scope
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import Future, take
from millrace.runtime.here_lanes import LoopHere, ThreadHere
from millrace.runtime.lanes import Lane
from millrace.runtime.loop_lane import execute_async
from millrace.runtime.mapping import Plan, plan_map
from millrace.runtime.runners import LaneTaskRunner
from millrace.runtime.running import running_loop
from millrace.runtime.runs import TaskRun, blocks_here
from millrace.runtime.shape import Shape

P = ParamSpec("P")
R = TypeVar("R")

Dependency = Future[Any] | State[Any] | Annotation[Any] | Sequence[Future[Any]] | Mapping[Any, Future[Any]]
"""What may stand where a parameter wants a value, because it is replaced by one before the body runs.

Where one is among the first two arguments, type checkers check the others of that call no more: no type says "this
parameter's type, or a future of it" for each of a function's parameters.
"""

RESERVED = ("return_state", "wait_for")
"""Names that calls of a task use themselves."""


class BaseTask(Generic[P, R]):
    """What sync and async tasks share. Made by `@task`."""

    is_async = False

    def __init__(
        self,
        fn: Callable[..., Any],
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] = (),
        version: str | None = None,
        retries: int = 0,
        retry_delay_seconds: float | Sequence[float] | None = None,
    ) -> None:
        self.fn = fn
        self.name = name or str(getattr(fn, "__name__", type(fn).__name__))
        self.description = description if description is not None else inspect.getdoc(fn)
        if isinstance(tags, str):
            raise ConfigurationError("tags", tags, "a collection of strings, not one string")
        self.tags = frozenset(tags)
        self.version = version
        self.retries = retries
        self.retry_delay_seconds = retry_delay_seconds
        self.retry_policy = RetryPolicy.of(retries, retry_delay_seconds)
        self.shape = Shape(fn, RESERVED)
        functools.update_wrapper(cast("Any", self), fn)

    def with_options(
        self,
        *,
        name: str | None = None,
        description: str | None = None,
        tags: Iterable[str] | None = None,
        version: str | None = None,
        retries: int | None = None,
        retry_delay_seconds: float | Sequence[float] | None = None,
    ) -> Self:
        """A copy of the task with some options changed; those that are left out stay.

        Raises:
            ConfigurationError: an option has the wrong type or is out of range.
        """
        return type(self)(
            self.fn,
            name=self.name if name is None else name,
            description=self.description if description is None else description,
            tags=self.tags if tags is None else tags,
            version=self.version if version is None else version,
            retries=self.retries if retries is None else retries,
            retry_delay_seconds=self.retry_delay_seconds if retry_delay_seconds is None else retry_delay_seconds,
        )

    # Starting runs elsewhere.

    @overload
    def submit(self, *args: P.args, **kwargs: P.kwargs) -> Future[R]: ...
    @overload
    def submit(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, first: Any, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Future[R]: ...
    @overload
    def submit(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> Future[R]: ...
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
                and `return_state`, to block until the end and get the final state instead of a future.

        Returns:
            The run's future.

        Raises:
            ParameterBindError: the call does not fit; it names the parameter and shows the signature.
            InputResolutionError: an argument could not be looked into.
            EngineClosed: the flow run has ended, or the engine is closing.
        """
        wait_for, return_state = _reserved(kwargs)
        self.shape.check(args, kwargs)
        scope = current_scope()
        runner = scope.runner
        future: Future[R]
        if runner is None:
            future = Future.of(scope.start_run(self, args, kwargs, wait_for, self.own_lane(scope), in_line=True))
        elif isinstance(runner, LaneTaskRunner):
            future = runner.start(self, scope, args, kwargs, wait_for)
        else:
            future = runner.submit(self, self.shape.by_name(args, kwargs), wait_for)
        if return_state:
            future.wait()
            return future.state
        return future

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
                until the end and get the final states instead of futures.

        Returns:
            The futures, in the order of the items.

        Raises:
            MappingMissingIterable: there is nothing to spread.
            MappingLengthMismatch: the iterables are not of one length; it gives the lengths.
            ParameterBindError: the call does not fit.
            BlockingCallOnLoop: a future of an iterable that is not done was given on a loop's thread; await it first.
            EngineClosed: the flow run has ended, or the engine is closing.
        """
        wait_for, return_state = _reserved(kwargs)
        self.shape.check(args, kwargs)
        futures = self._map(plan_map(self.shape, args, kwargs), wait_for)
        if return_state:
            futures.wait()
            return [each.state for each in futures]
        return futures

    def _map(self, plan: Plan, wait_for: Any) -> FutureList[R]:
        scope = current_scope()
        runner = scope.runner
        if runner is None:
            return scope.start_map(self, plan, wait_for, self.own_lane(scope))
        if isinstance(runner, LaneTaskRunner):
            return runner.start_map(self, scope, plan, wait_for)
        calls = (plan.call(index) for index in range(plan.size))
        return FutureList(runner.submit(self, self.shape.by_name(*call), wait_for) for call in calls)

    def own_lane(self, scope: FlowRun) -> Lane:
        """The engine's own place for this kind of task."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Task(BaseTask[P, R]):
    """A sync function that the engine runs. Made by `@task`."""

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> R: ...
    @overload
    def __call__(self, first: Any, upstream: Dependency, /, *args: Any, **kwargs: Any) -> R: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> R: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = ..., **kwargs: Any
    ) -> State[R]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here and now, on the calling thread.

        Args:
            *args: Arguments of the function; futures among them are waited for.
            **kwargs: Likewise; and `wait_for`, and `return_state=True` for the final state instead of the result.

        Returns:
            What the function returned.

        Raises:
            ParameterBindError: the call does not fit.
            BlockingCallOnLoop: it would have to wait for a run on a loop's own thread.
            UnfinishedRun: something it depends on did not complete.
            CancelledRun: the run was cancelled.
        """
        wait_for, return_state = _reserved(kwargs)
        self.shape.check(args, kwargs)
        lane = ThreadHere()
        scope = current_scope()
        run = scope.start_run(self, args, kwargs, wait_for, lane, in_line=False)
        if not run.unready:
            execute(run)
        elif not run.ended and blocks_here(scope):
            error = BlockingCallOnLoop(f"{self.name}(...) with a future that is not done", "await the future first")
            run.fail_unstarted(error)
            run.see()
            raise error
        if not run.ended:
            lane.see_through(run)
        return outcome(run, return_state=return_state)

    def own_lane(self, scope: FlowRun) -> Lane:
        """The engine's threads."""
        return scope.engine.offload


class AsyncTask(BaseTask[P, R]):
    """A coroutine function that the engine runs. Made by `@task`."""

    is_async = True

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, first: Any, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = ..., **kwargs: Any
    ) -> Coroutine[Any, Any, State[R]]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task in the calling task: `await my_task(x)`.

        In the body of a sync flow or task there is nothing to await with: there the call blocks and gives the result.

        Args:
            *args: Arguments of the function; futures among them are waited for.
            **kwargs: Likewise; and `wait_for`, and `return_state=True` for the final state instead of the result.

        Returns:
            A coroutine that gives what the function returned.

        Raises:
            ParameterBindError: the call does not fit.
            UnfinishedRun: (when awaited) something it depends on did not complete.
            CancelledRun: (when awaited) the run was cancelled.

        Cancellation: of the caller reaches the body; the run is then CRASHED, cancelled by the runtime environment.
        """
        wait_for, return_state = _reserved(kwargs)
        self.shape.check(args, kwargs)
        if call_blocks(self.name):
            scope = current_scope()
            run = scope.start_run(self, args, kwargs, wait_for, scope.lane_for_async(), in_line=True)
            Future[R].of(run).wait()
            return outcome(run, return_state=return_state)
        return self._call(args, kwargs, wait_for, return_state=return_state)

    async def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, *, return_state: bool) -> Any:
        scope = current_scope()
        lane = LoopHere(scope.engine.lane_here())
        run = scope.start_run(self, args, kwargs, wait_for, lane, in_line=False)
        if not run.unready:
            await execute_async(run)
        if not run.ended:
            await lane.see_through(run)
        return outcome(run, return_state=return_state)

    def own_lane(self, scope: FlowRun) -> Lane:
        """The loop of the flow, else the caller's, else the engine's own."""
        return scope.lane_for_async()


def _reserved(kwargs: dict[str, Any]) -> tuple[Any, bool]:
    """Take what a call uses itself out of its keyword arguments."""
    return (kwargs.pop("wait_for", None), kwargs.pop("return_state", False)) if kwargs else (None, False)


def call_blocks(name: str) -> bool:
    """Whether an async call made here has to block, because the code around it is the sync body of a run.

    Raises:
        BlockingCallOnLoop: it has to, and would block the very loop it needs.
    """
    run = CURRENT.get()
    if run is None or not run.blocks:
        return False
    loop = running_loop()
    if loop is None or loop is run.scope.outer_loop:
        return True
    lane = run.scope.loop_lane
    called_in: Any = getattr(run.lane, "loop", None) if isinstance(run, TaskRun) else None
    if called_in is loop or (lane is not None and lane.loop is loop):
        raise BlockingCallOnLoop(f"{name}(...) in a sync body", "submit the sync task instead of calling it")
    return False  # the body runs a loop of its own, and the call is made in that


def outcome(run: TaskRun, *, return_state: bool) -> Any:
    """What a direct call gives: the final state, or the result; a crash is always raised."""
    if not return_state or _crashed_hard(run):
        return take(run, raise_on_failure=True)
    run.see()
    return run.state


def _crashed_hard(run: TaskRun) -> bool:
    error = run.state.data
    return run.state.is_crashed() and isinstance(error, BaseException) and not isinstance(error, Exception)


class TaskDecorator:
    """`@task(...)` with its options, waiting for the function."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options = options

    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]]) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: Callable[P, R]) -> Task[P, R]: ...
    def __call__(self, fn: Callable[..., Any]) -> Any:
        """Make a task of a function."""
        return _make(fn, self._options)


@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(
    *,
    name: str | None = None,
    description: str | None = None,
    tags: Iterable[str] = (),
    version: str | None = None,
    retries: int = 0,
    retry_delay_seconds: float | Sequence[float] | None = None,
) -> TaskDecorator: ...
def task(fn: Callable[..., Any] | None = None, /, **options: Any) -> Any:
    """Make a task of a function or coroutine function; `@task` or `@task(...)`.

    Args:
        fn: The function.
        **options: `name`, for people, by default the function's; `description`, by default its docstring; `tags`;
            `version`; `retries`, how often a failed attempt is tried again; `retry_delay_seconds`, how long to wait
            before each retry: a number, or a list whose last one repeats.

    Returns:
        The task: called like the function, or started with `submit` and `map`.

    Raises:
        TaskDefinitionError: it is not a function.
        ReservedArgumentError: a parameter is named `return_state` or `wait_for`.
        ConfigurationError: an option has the wrong type or is out of range.
    """
    return TaskDecorator(options) if fn is None else _make(fn, options)


def _make(fn: object, options: dict[str, Any]) -> Task[Any, Any] | AsyncTask[Any, Any]:
    if isinstance(fn, BaseTask):
        raise TaskDefinitionError(f"@task on {fn!r}, which is a task already; use with_options() to change it.")
    if inspect.iscoroutine(fn) or not callable(fn) or inspect.isclass(fn):
        raise TaskDefinitionError(f"@task on {fn!r}, a {type(fn).__name__}: expected a function or coroutine function.")
    kind = AsyncTask if inspect.iscoroutinefunction(fn) else Task
    return kind(fn, **options)
