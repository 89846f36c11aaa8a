"""Tasks: calls of a function that the engine runs, where they are made.

Decides into which run a direct call turns. Sync and async tasks are separate classes, so that the types of their calls
are exact.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from typing import TYPE_CHECKING, Any, Concatenate, Literal, ParamSpec, Self, TypeVar, overload

from millrace.actors.errors import BlockingCallOnLoop
from millrace.actors.instructions import EXECUTE, SETTLE, Order
from millrace.actors.states import State
from millrace.runtime.attempt import Suspended, begin, execute, start
from millrace.runtime.base_task import BaseTask, Dependency, reserved
from millrace.runtime.context import CURRENT, HELD
from millrace.runtime.engine import current_scope
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.futures import Future, take, take_async
from millrace.runtime.here_lanes import LoopElsewhere, LoopHere, ThreadElsewhere, ThreadHere, crash, crash_async
from millrace.runtime.holding import place_here
from millrace.runtime.lanes import Lane
from millrace.runtime.loop_lane import execute_async
from millrace.runtime.running import running_loop
from millrace.runtime.runs import TaskRun
from millrace.runtime.signals import PENDING
from millrace.runtime.signals import check as check_signals
from millrace.runtime.waiting import block_until_told, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.given import Given

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
T = TypeVar("T")
H = TypeVar("H", bound=Callable[..., Any])


class Task(BaseTask[P, R]):
    """A sync function that the engine runs. Made by `@task`."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: Task[Concatenate[Any, Q], T], instance: object, owner: type[Any] | None = None, /
    ) -> Task[Q, T]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any:
        """The task as a method: bound to the instance."""
        return self.bound_to(instance, owner)

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
        wait_for, return_state = reserved(kwargs) if kwargs else (None, False)  # a call less for most
        return self.run_here(args, kwargs, wait_for, return_state=return_state)

    def run_here(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        given: Given | None = None,
        *,
        return_state: bool,
    ) -> Any:
        """What a call does; `given` says what the run is to be called and to be recorded with."""
        self.shape.check(args, kwargs)
        scope = current_scope()
        if self.timeout_seconds is not None:
            return self._run_elsewhere(scope, args, kwargs, wait_for, given, return_state=return_state)
        lane = ThreadHere()
        run = scope.start_run(self, args, kwargs, wait_for, lane, given, in_line=False)
        if not run.unready:
            try:
                execute(run)
            except BaseException as fault:
                crash(run, fault)  # a dead letter, unless it is one of the engine's own
                raise
        elif not run.ended and scope.blocks_here():
            error = BlockingCallOnLoop(f"{self.name}(...) with a future that is not done", "await the future first")
            run.fail_unstarted(error)
            run.see()
            raise error
        if not run.ended:
            lane.see_through(run)
        if run.watchers is not None:
            block_until_told(run)
        if PENDING:
            check_signals()
        try:
            return outcome(run, return_state=return_state)
        finally:
            del run, lane  # see there

    def _run_elsewhere(  # what a call is made of
        self,
        scope: FlowRun,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        given: Given | None,
        *,
        return_state: bool,
    ) -> Any:
        """Run the task on one of the engine's threads, so that the caller goes on when its time is over."""
        scope.engine.offload.check_room()
        lane = ThreadElsewhere(scope.engine.offload)
        token = HELD.set(HELD.get() if lane.loop is None else HELD.get() | {lane.loop})
        try:
            run = scope.start_run(self, args, kwargs, wait_for, lane, given, in_line=True)
        finally:
            HELD.reset(token)
        if run.unready and not run.ended and scope.blocks_here():
            error = BlockingCallOnLoop(f"{self.name}(...) with a future that is not done", "await the future first")
            run.fail_unstarted(error)
            run.see()
            raise error
        lane.wait_for_end(run)
        try:
            return outcome(run, return_state=return_state)
        finally:
            del run, lane  # see there

    def own_lane(self, scope: FlowRun) -> Lane:
        """The engine's threads."""
        return scope.engine.offload


class AsyncTask(BaseTask[P, R]):
    """A coroutine function that the engine runs. Made by `@task`."""

    is_async = True

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: AsyncTask[Concatenate[Any, Q], T], instance: object, owner: type[Any] | None = None, /
    ) -> AsyncTask[Q, T]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any:
        """The task as a method: bound to the instance."""
        return self.bound_to(instance, owner)

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
        wait_for, return_state = reserved(kwargs) if kwargs else (None, False)  # a call less for most
        return self.run_here(args, kwargs, wait_for, return_state=return_state)

    def run_here(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        given: Given | None = None,
        *,
        return_state: bool,
    ) -> Any:
        """What a call does; `given` says what the run is to be called and to be recorded with."""
        self.shape.check(args, kwargs)
        if call_blocks(self.name):
            scope = current_scope()
            lane = LoopElsewhere(scope.lane_for_async())
            run = scope.start_run(self, args, kwargs, wait_for, lane, given, in_line=True)
            Future[R].of(run).wait()
            lane.wait_for_end(run)
            try:
                return outcome(run, return_state=return_state)
            finally:
                del run, lane  # see there
        return self._call(args, kwargs, wait_for, given, return_state=return_state)

    async def _call(
        self,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        wait_for: Any,
        given: Given | None,
        *,
        return_state: bool,
    ) -> Any:
        scope = current_scope()
        engine = scope.engine
        lane = LoopHere(engine.lane_here(), place_here() if engine.rationing.tags else None)
        run = scope.start_run(self, args, kwargs, wait_for, lane, given, in_line=False)
        try:
            if not run.unready:
                order: Order | Suspended | None = begin(run)
                if order is EXECUTE:
                    order = start(run)
                if order is SETTLE:
                    run.settle_up()  # mostly, and for less than a coroutine more
                elif order is not None:
                    await execute_async(run, order)
        except BaseException as error:
            # A dead letter, unless another attempt was to follow, which nobody sees through any more.
            await crash_async(run, error)
            raise
        if not run.ended:
            await lane.see_through(run)
        if run.watchers is not None:
            await wait_until_done(run, run.waiting_lane())
        try:
            if run.stores and not return_state:
                return await take_async(run)
            return outcome(run, return_state=return_state)
        finally:
            del run, lane  # see there

    def own_lane(self, scope: FlowRun) -> Lane:
        """The loop of the flow, else the caller's, else the engine's own."""
        return scope.lane_for_async()


def call_blocks(name: str) -> bool:
    """Whether an async call made here has to block, because the code around it is the sync body of a run.

    Raises:
        BlockingCallOnLoop: it has to, and would block the very loop it needs.
    """
    run = CURRENT.get()
    if run is None or not run.blocks:
        return False
    loop = running_loop()
    lane = run.scope.loop_lane
    if lane is not None and lane.loop in HELD.get():
        raise BlockingCallOnLoop(f"{name}(...) in a sync body", "await the call of the async task, around this one")
    if loop is None or loop is run.scope.outer_loop:
        return True
    called_in: Any = getattr(run.lane, "loop", None) if isinstance(run, TaskRun) else None
    if called_in is loop or (lane is not None and lane.loop is loop):
        raise BlockingCallOnLoop(f"{name}(...) in a sync body", "submit the sync task instead of calling it")
    return False  # the body runs a loop of its own, and the call is made in that


def outcome(run: TaskRun, *, return_state: bool) -> Any:
    """What a direct call gives: the final state, or the result; a crash is always raised."""
    try:
        if not return_state or _crashed_hard(run):
            return take(run, raise_on_failure=True)
        run.see()
        return run.state
    finally:
        del run  # it holds the exception that is raised here, and that holds this frame


def _crashed_hard(run: TaskRun) -> bool:
    error = run.state.data
    return run.state.is_crashed() and isinstance(error, BaseException) and not isinstance(error, Exception)
