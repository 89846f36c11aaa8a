"""`@flow`, which makes a flow of a function, and `run`, which runs one from plain code.

Decides which kind of flow a function becomes.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, cast, overload

from millrace.actors.errors import BlockingCallOnLoop, FlowDefinitionError, Signal
from millrace.runtime.binding import ClassLevel, function_in
from millrace.runtime.engine import Engine, not_a_flow
from millrace.runtime.flow import AsyncFlow, BaseFlow, Flow
from millrace.runtime.flow_options import FlowOptions, check_names
from millrace.runtime.loops import run_in_new_loop
from millrace.runtime.running import running_loop

P = ParamSpec("P")
R = TypeVar("R")
Y = TypeVar("Y")

if TYPE_CHECKING:  # the aliases cannot be subscripted at run time
    from millrace.runtime.generator_flow import AsyncGeneratorFlow, GeneratorFlow

    InClass = classmethod[Any, P, R] | staticmethod[P, R]
    AsyncInClass = classmethod[Any, P, Coroutine[Any, Any, R]] | staticmethod[P, Coroutine[Any, Any, R]]


class FlowDecorator:
    """`@flow(...)` with its options, waiting for the function."""

    def __init__(self, options: FlowOptions) -> None:
        check_names(options)
        self._options = options

    @overload
    def __call__(self, fn: AsyncInClass[P, R]) -> ClassLevel[AsyncFlow[P, R]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: InClass[P, R]) -> ClassLevel[Flow[P, R]]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]]) -> AsyncFlow[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: Callable[P, AsyncGenerator[Y, Any]]) -> AsyncGeneratorFlow[P, Y]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: Callable[P, Generator[Y, Any, Any]]) -> GeneratorFlow[P, Y]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: Callable[P, R]) -> Flow[P, R]: ...
    def __call__(self, fn: Any) -> Any:
        """Make a flow of a function."""
        return _make(fn, self._options)


@overload
def flow(fn: AsyncInClass[P, R], /) -> ClassLevel[AsyncFlow[P, R]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def flow(fn: InClass[P, R], /) -> ClassLevel[Flow[P, R]]: ...  # type: ignore[overload-overlap]
@overload
def flow(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncFlow[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def flow(fn: Callable[P, AsyncGenerator[Y, Any]], /) -> AsyncGeneratorFlow[P, Y]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def flow(fn: Callable[P, Generator[Y, Any, Any]], /) -> GeneratorFlow[P, Y]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def flow(fn: Callable[P, R], /) -> Flow[P, R]: ...
@overload
def flow(**options: Unpack[FlowOptions]) -> FlowDecorator: ...
def flow(fn: Any = None, /, **options: Unpack[FlowOptions]) -> Any:
    """Make a flow of a function, a coroutine function or a generator function; `@flow` or `@flow(...)`.

    Args:
        fn: The function; also a method, a classmethod or a staticmethod.
        **options: See `FlowOptions`.

    Returns:
        The flow: called like the function, or started in the background with `Engine.start`.

    Raises:
        FlowDefinitionError: it is not a function.
        ReservedArgumentError: a parameter is named `return_state` or `wait_for`.
        ConfigurationError: an option has the wrong type.
    """
    return FlowDecorator(options) if fn is None else _make(fn, options)


def _make(fn: object, options: FlowOptions) -> BaseFlow[Any, Any]:
    if isinstance(fn, BaseFlow):
        raise FlowDefinitionError(f"@flow on {fn!r}, which is a flow already; use with_options() to change it.")
    function = function_in(fn)
    if inspect.iscoroutine(function) or not callable(function) or inspect.isclass(function):
        raise FlowDefinitionError(f"@flow on {fn!r}, a {type(fn).__name__}: expected a function or coroutine function.")
    return _kind_for(function)(cast("Any", fn), **options)


def _kind_for(function: Any) -> type[BaseFlow[Any, Any]]:
    """The class of flow that a function, or an object that is called like one, becomes."""
    for callee in (function, getattr(function, "__call__", None)):  # noqa: B004  # looked at, not tested for
        is_async = inspect.isasyncgenfunction(callee)
        if is_async or inspect.isgeneratorfunction(callee):
            from millrace.runtime.generator_flow import AsyncGeneratorFlow, GeneratorFlow  # noqa: PLC0415  # few flows

            return AsyncGeneratorFlow if is_async else GeneratorFlow
        if inspect.iscoroutinefunction(callee):
            return AsyncFlow
    return Flow


@overload
def run(flow: AsyncFlow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
def run(flow: Flow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> R: ...
@overload
def run(flow: AsyncGeneratorFlow[P, Y], /, *args: P.args, **kwargs: P.kwargs) -> list[Y]: ...
@overload
def run(flow: GeneratorFlow[P, Y], /, *args: P.args, **kwargs: P.kwargs) -> list[Y]: ...
def run(flow: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Run a flow from plain code: an async one in a uvloop loop of its own, a sync one on this thread.

    The first Ctrl-C, or SIGTERM, cancels the flow and everything it started, and waits for that; the second is the end
    at once. Either raises `KeyboardInterrupt`, or `TerminationSignal`.

    Args:
        flow: The flow.
        *args: Its positional arguments.
        **kwargs: Its keyword arguments.

    Returns:
        What calling the flow gives; of a generator flow, a list of what it yields.

    Raises:
        FlowDefinitionError: it is not a flow.
        BlockingCallOnLoop: a loop runs on this thread already; `await` the flow there.
    """
    if not isinstance(flow, BaseFlow):
        raise not_a_flow(flow, "run()")
    start: Callable[..., Any] = cast("Any", flow)
    if not flow.is_async:
        return list(start(*args, **kwargs)) if flow.is_generator else start(*args, **kwargs)
    if running_loop() is not None:
        raise BlockingCallOnLoop(f"run({flow.name}, ...)", f"await {flow.name}(...)")
    try:
        if flow.is_generator:
            return run_in_new_loop(lambda: _collected(start(*args, **kwargs)))
        return run_in_new_loop(lambda: start(*args, **kwargs))
    except (KeyboardInterrupt, Signal):
        Engine.current().give_up_the_dead()  # nothing, unless the loop was left at once
        raise


async def _collected(values: AsyncGenerator[Y, Any]) -> list[Y]:
    return [value async for value in values]
