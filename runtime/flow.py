"""Flows: the API of a function that starts tasks, and how its run is begun.

Decides what a flow is made of, and into which run each kind of call turns. Sync and async flows are separate classes,
so that the types of their calls are exact. How a body is seen through is `flow_body`'s.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Concatenate, Generic, Literal, ParamSpec, Self, TypeVar, Unpack, cast, overload

from millrace.actors.messages import Watch
from millrace.actors.seconds import checked_limit
from millrace.actors.states import State, StateType
from millrace.runtime.background import start, start_on_loop
from millrace.runtime.base_task import Dependency
from millrace.runtime.binding import Bindable
from millrace.runtime.conductor import finish_elsewhere
from millrace.runtime.context import CURRENT
from millrace.runtime.engine import Engine
from millrace.runtime.flow_body import see_through, see_through_here
from millrace.runtime.flow_options import (
    FlowOptions,
    check_names,
    crash_policy_of,
    kept_where,
    retry_policy_of,
    task_runner_of,
)
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.futures import FlowFuture, take, take_async
from millrace.runtime.hooks import Hook, checked_hooks
from millrace.runtime.lending import lend
from millrace.runtime.marks import CallArguments
from millrace.runtime.prints import logs_prints
from millrace.runtime.scope_starting import body_of
from millrace.runtime.stack import ROOM_TO_RECORD, check_room
from millrace.runtime.task import call_blocks
from millrace.runtime.task_options import flag_of, hooks_of, run_name_of, text_of
from millrace.runtime.validation.plan import ParameterPlan
from millrace.runtime.waiting import ThreadWaiter

if TYPE_CHECKING:
    from millrace.actors.policies import CrashPolicy, Delays, RetryPolicy
    from millrace.runtime.run_names import RunName
    from millrace.runtime.runners import TaskRunner
    from millrace.runtime.stores.recovery import Recovery

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
H = TypeVar("H", bound=Callable[..., Any])
T = TypeVar("T")

RESERVED = ("return_state", "wait_for")
"""Names that calls of a flow use themselves."""


class BaseFlow(Bindable, Generic[P, R]):
    """What sync and async flows share. Made by `@flow`."""

    is_async = False
    is_generator = False

    def __init__(self, fn: Callable[..., Any], **options: Unpack[FlowOptions]) -> None:
        check_names(options)
        self.options = options
        self.take_function(fn, RESERVED)
        self.name: str = text_of(options, "name") or str(getattr(self.fn, "__name__", type(self.fn).__name__))
        described = text_of(options, "description")
        self.description: str | None = inspect.getdoc(self.fn) if described is None else described
        self.version: str | None = text_of(options, "version")
        self.flow_run_name: str | Callable[..., str] | None = options.get("flow_run_name")
        self.run_name: RunName | None = run_name_of(options, "flow_run_name", self.shape, self.name)
        self.retry_policy: RetryPolicy = retry_policy_of(options)
        self.retries: int = self.retry_policy.retries
        self.retry_delay_seconds: Delays | None = options.get("retry_delay_seconds")
        self.task_runner: TaskRunner | None = task_runner_of(options)
        self.timeout_seconds: float | None = checked_limit("timeout_seconds", options.get("timeout_seconds"))
        self.should_validate_parameters: bool = flag_of(options, "validate_parameters") is not False
        self.log_prints: bool | None = flag_of(options, "log_prints")
        self.persist_result: bool | None = flag_of(options, "persist_result")
        self.result_storage: Any
        self.result_serializer: Any
        self.result_storage, self.result_serializer = kept_where(options)
        self.cache_result_in_memory: bool = flag_of(options, "cache_result_in_memory") is not False
        self.crash_policy: CrashPolicy = crash_policy_of(options)
        self.on_running_hooks: list[Hook] = hooks_of(options, "on_running")
        self.on_completion_hooks: list[Hook] = hooks_of(options, "on_completion")
        self.on_failure_hooks: list[Hook] = hooks_of(options, "on_failure")
        self.on_cancellation_hooks: list[Hook] = hooks_of(options, "on_cancellation")
        self.on_crashed_hooks: list[Hook] = hooks_of(options, "on_crashed")
        self.plan: ParameterPlan = ParameterPlan(self.fn, self.shape.signature)
        functools.update_wrapper(cast("Any", self), self.fn)

    def with_options(self, **changes: Unpack[FlowOptions]) -> Self:
        """A copy of the flow with some options changed; those that are left out stay, None gives the default.

        Raises:
            ConfigurationError: an option has the wrong type or is out of range.
        """
        check_names(changes)
        hooks: FlowOptions = {
            "on_running": self.on_running_hooks,
            "on_completion": self.on_completion_hooks,
            "on_failure": self.on_failure_hooks,
            "on_cancellation": self.on_cancellation_hooks,
            "on_crashed": self.on_crashed_hooks,
        }
        changed = type(self)(self.definition(), **(self.options | hooks | changes))
        changed.plan = self.plan  # what is known of the function is not worked out again
        return changed

    @property
    def body(self) -> Callable[..., Any]:
        """What a run calls that is seen through to its end at once."""
        return self.fn

    # Hooks, as decorators.

    def on_running(self, hook: H) -> H:
        """Call a function, with flow, run and state, whenever the body begins."""
        self.on_running_hooks += checked_hooks("on_running", [hook])
        return hook

    def on_completion(self, hook: H) -> H:
        """Call a function, with flow, run and state, whenever a run is COMPLETED."""
        self.on_completion_hooks += checked_hooks("on_completion", [hook])
        return hook

    def on_failure(self, hook: H) -> H:
        """Call a function, with flow, run and state, whenever a run is FAILED."""
        self.on_failure_hooks += checked_hooks("on_failure", [hook])
        return hook

    def on_cancellation(self, hook: H) -> H:
        """Call a function, with flow, run and state, whenever a run that is cancelled has stopped."""
        self.on_cancellation_hooks += checked_hooks("on_cancellation", [hook])
        return hook

    def on_crashed(self, hook: H) -> H:
        """Call a function, with flow, run and state, whenever a run is CRASHED."""
        self.on_crashed_hooks += checked_hooks("on_crashed", [hook])
        return hook

    @property
    def has_hooks(self) -> bool:
        """Whether there are any hooks."""
        return bool(
            self.on_completion_hooks
            or self.on_failure_hooks
            or self.on_running_hooks
            or self.on_cancellation_hooks
            or self.on_crashed_hooks
        )

    def hooks_at(self, kind: StateType) -> Sequence[Hook]:
        """The hooks for runs that have entered a state of a type."""
        return {
            StateType.RUNNING: self.on_running_hooks,
            StateType.COMPLETED: self.on_completion_hooks,
            StateType.FAILED: self.on_failure_hooks,
            StateType.CANCELLING: self.on_cancellation_hooks,
            StateType.CRASHED: self.on_crashed_hooks,
        }.get(kind, [])

    def validate_parameters(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Check parameters, and convert them to what the annotations of the function ask for.

        Args:
            parameters: By name.

        Returns:
            All parameters by name, defaults filled in. Values that fit already are passed as they are.

        Raises:
            SignatureMismatchError: a name is not a parameter, or a required one is missing.
            ParameterTypeError: some cannot be converted; it names each of them, and the place inside.
        """
        args, kwargs = self.shape.call_of(parameters)
        return self.plan.convert(self.name, self.shape.by_name(args, kwargs))

    def begin(self, engine: Engine, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FlowRun:
        """Make a run of the flow and count it as a child of the run around it.

        Raises:
            ParameterBindError: the call does not fit.
            EngineClosed: the engine is closing, or the flow run around it has ended.
            RecursionError: flows call each other so deep that the stack would not do.
        """
        check_room() if engine.chronicle is None else check_room(ROOM_TO_RECORD)
        parameters = self.shape.by_name(args, kwargs)
        outer = CURRENT.get()
        parent = engine.root if outer is None else outer.scope
        parent.check_open(f"start flow '{self.name}'")
        if not parent.admits:
            parent.pauses.refuse_if_suspended()
        log_prints = logs_prints(self.log_prints, parent.log_prints)
        called, arguments = f"flow {self.name}", CallArguments(self.shape, args, kwargs)
        replay, body = parent.replay, None if outer is None else body_of(outer)
        if replay is not None and not (outer is parent or (replay.on_record and outer is not None)):
            replay = None
        if replay is not None:
            replay.expect(called, 1, arguments, body)  # nothing is to be raised any more once the run is counted
        unfinished: Recovery | None = None if replay is None else replay.take_unfinished(called, arguments, body)
        former: int | None = None  # completed: what it yielded is not on record, but what it had called is
        if replay is not None and self.is_generator and replay.on_record:
            former = replay.completed_run(called, arguments, body)
        runner = None if self.task_runner is None else self.task_runner.begun()
        number = None if unfinished is None else unfinished.run_id
        run = FlowRun(engine, self, parameters, blocks=not self.is_async, number=number)
        run.runner = runner
        run.transactional = parent.transactional
        if outer is not None:
            run.belong_to(parent, None if outer.is_flow else outer.id)
        run.log_prints = log_prints
        self._say_how_results_are_kept(run)
        if replay is not None:
            again = self.is_generator
            serializer = self.result_serializer
            run.found = replay.call(called, run.id, 1, arguments, body=body, again=again, serializer=serializer).get(0)
        if former is not None and engine.chronicle is not None:
            engine.chronicle.hand_down(former, run)
        if unfinished is not None:
            unfinished.restore(run)
        run.count()
        return run

    def _say_how_results_are_kept(self, run: FlowRun) -> None:
        if self.persist_result is not None:
            run.persist_result = self.persist_result
        if self.result_storage is not None:
            run.result_storage = self.result_storage
        if self.result_serializer is not None:
            run.result_serializer = self.result_serializer

    def begin_ahead(self, engine: Engine, parameters: dict[str, Any], state: State[Any]) -> FlowRun:
        """Make a run of the flow that is executed later. It belongs to no other.

        Args:
            engine: The engine.
            parameters: By name.
            state: The SCHEDULED state that it gets.

        Raises:
            EngineClosed: the engine is closing.
        """
        engine.root.check_open(f"make a run of flow '{self.name}' ahead")
        run = FlowRun(engine, self, parameters, blocks=not self.is_async)
        run.log_prints = logs_prints(self.log_prints, None)
        self._say_how_results_are_kept(run)
        run.count(state)
        return run

    def begin_recorded(self, engine: Engine, recovery: Recovery, parameters: dict[str, Any]) -> FlowRun:
        """Make a run of the flow that goes on where it was left, which may be its beginning. It belongs to no other.

        Raises:
            EngineClosed: the engine is closing.
        """
        engine.root.check_open(f"resume flow '{self.name}'")
        run = FlowRun(engine, self, parameters, blocks=not self.is_async, number=recovery.run_id)
        run.log_prints = logs_prints(self.log_prints, None)
        run.tags = recovery.row.tags
        self._say_how_results_are_kept(run)
        recovery.restore(run)
        run.count()
        return run

    def start(self, engine: Engine, args: tuple[Any, ...], kwargs: dict[str, Any]) -> FlowFuture[R]:
        """Start a run in the background. See `Engine.start`."""
        run = self.begin(engine, args, kwargs)
        start(run, args, kwargs, None)
        return FlowFuture[R].of(run)  # type: ignore[return-value]

    def run_again(self, run: FlowRun) -> None:
        """Run the body of a run that was suspended again, in the background."""
        start(run, *self.shape.call_of(run.parameters), None)

    def finish_elsewhere(self, run: FlowRun) -> None:
        """A run has ended although its body goes on, or never began."""
        finish_elsewhere(run)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"


class Flow(BaseFlow[P, R]):
    """A sync function that starts tasks. Made by `@flow`."""

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: Flow[Concatenate[Any, Q], T], instance: object, owner: type[Any] | None = None, /
    ) -> Flow[Q, T]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any:
        """The flow as a method: bound to the instance."""
        return self.bound_to(instance, owner)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    @overload
    def __call__(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> R: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> R: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = ..., **kwargs: Any
    ) -> State[R]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow on the calling thread, and return when all that it started has ended.

        Args:
            *args: Arguments of the function; in a subflow, futures among them are waited for.
            **kwargs: Likewise; and `return_state=True` for the final state instead of the result; and, in a subflow,
                `wait_for`.

        Returns:
            What the function returned; states and futures in it decide about the final state, and stay states.

        Raises:
            ParameterBindError: the call does not fit.
            CancelledRun: the run was cancelled.
            FailedRun: a child failed and nobody looked at it, unless the child's own exception is there to be raised.
        """
        wait_for, return_state = kwargs.pop("wait_for", None), kwargs.pop("return_state", False)
        run = self.begin(Engine.current(), args, kwargs)
        run.is_called = True
        try:
            see_through(run, args, kwargs, wait_for)
            return outcome_of_flow(run, return_state=return_state)
        finally:
            run.see()  # a crash is raised by what sees the run through
            del run  # see `outcome_of_flow`


class AsyncFlow(BaseFlow[P, R]):
    """A coroutine function that starts tasks. Made by `@flow`."""

    is_async = True

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: AsyncFlow[Concatenate[Any, Q], T], instance: object, owner: type[Any] | None = None, /
    ) -> AsyncFlow[Q, T]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any:
        """The flow as a method: bound to the instance."""
        return self.bound_to(instance, owner)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> Coroutine[Any, Any, R]: ...
    @overload
    def __call__(
        self, *args: Any, return_state: Literal[True], wait_for: Iterable[Any] | None = ..., **kwargs: Any
    ) -> Coroutine[Any, Any, State[R]]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow in the calling task, on whatever loop that runs: `await my_flow(x)`.

        In the body of a sync flow or task there is nothing to await with: there the call blocks and gives the result.

        Args:
            *args: Arguments of the function; in a subflow, futures among them are waited for.
            **kwargs: Likewise; and `return_state=True` for the final state instead of the result; and, in a subflow,
                `wait_for`.

        Returns:
            A coroutine that gives what the function returned, once all that it started has ended.

        Raises:
            ParameterBindError: the call does not fit.
            CancelledRun: (when awaited) the run was cancelled through the engine.

        Cancellation: of the caller cancels the body and all children; when they have ended the run is CRASHED, and the
        cancellation goes on up.
        """
        wait_for, return_state = kwargs.pop("wait_for", None), kwargs.pop("return_state", False)
        self.shape.check(args, kwargs)  # a wrong call is told where it is made, not where it is awaited
        if call_blocks(self.name):
            run = self.begin(Engine.current(), args, kwargs)
            end = ThreadWaiter()
            run.tell(Watch(end))  # now: later it would be told while the hooks for the end are called
            start_on_loop(run, args, kwargs, wait_for)
            FlowFuture[R].of(run).wait()
            with lend():
                end.wait()
            try:
                return outcome_of_flow(run, return_state=return_state)
            finally:
                del run  # see `outcome_of_flow`
        return self._call(args, kwargs, wait_for, return_state=return_state)

    async def _call(self, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, *, return_state: bool) -> Any:
        run = self.begin(Engine.current(), args, kwargs)
        run.is_called = True
        try:
            await see_through_here(run, args, kwargs, wait_for)
            return outcome_of_flow(run, return_state=True) if return_state else await take_async(run)
        finally:
            run.see()
            del run  # see `outcome_of_flow`


def outcome_of_flow(run: FlowRun, *, return_state: bool) -> Any:
    """What calling a flow gives: the final state, or the result."""
    try:
        if return_state:
            run.see()
            return run.state
        return take(run, raise_on_failure=True)
    finally:
        del run  # an exception that is raised here holds this frame, and the run holds that
