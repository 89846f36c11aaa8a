"""`@task`: makes a task of a function.

Decides which kind of task a function becomes.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, Unpack, cast, overload

from millrace.actors.errors import TaskDefinitionError
from millrace.runtime.base_task import BaseTask
from millrace.runtime.binding import ClassLevel, function_in
from millrace.runtime.task import AsyncTask, Task
from millrace.runtime.task_options import (
    TaskOptions,
    check_names,
)

P = ParamSpec("P")
R = TypeVar("R")
Y = TypeVar("Y")

if TYPE_CHECKING:  # the aliases cannot be subscripted at run time
    from millrace.runtime.generator_task import AsyncGeneratorTask, GeneratorTask

    InClass = classmethod[Any, P, R] | staticmethod[P, R]
    AsyncInClass = classmethod[Any, P, Coroutine[Any, Any, R]] | staticmethod[P, Coroutine[Any, Any, R]]
    GeneratorInClass = classmethod[Any, P, Generator[Y, Any, Any]] | staticmethod[P, Generator[Y, Any, Any]]
    AsyncGeneratorInClass = classmethod[Any, P, AsyncGenerator[Y, Any]] | staticmethod[P, AsyncGenerator[Y, Any]]


class TaskDecorator:
    """`@task(...)` with its options, waiting for the function."""

    def __init__(self, options: TaskOptions) -> None:
        check_names(options)
        self._options = options

    @overload
    def __call__(self, fn: AsyncInClass[P, R]) -> ClassLevel[AsyncTask[P, R]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: AsyncGeneratorInClass[P, Y]) -> ClassLevel[AsyncGeneratorTask[P, Y]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: GeneratorInClass[P, Y]) -> ClassLevel[GeneratorTask[P, Y]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: InClass[P, R]) -> ClassLevel[Task[P, R]]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, fn: Callable[P, Coroutine[Any, Any, R]]) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: Callable[P, AsyncGenerator[Y, Any]]) -> AsyncGeneratorTask[P, Y]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: Callable[P, Generator[Y, Any, Any]]) -> GeneratorTask[P, Y]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
    @overload
    def __call__(self, fn: Callable[P, R]) -> Task[P, R]: ...
    def __call__(self, fn: Any) -> Any:
        """Make a task of a function."""
        return _make(fn, self._options)


@overload
def task(fn: AsyncInClass[P, R], /) -> ClassLevel[AsyncTask[P, R]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def task(fn: AsyncGeneratorInClass[P, Y], /) -> ClassLevel[AsyncGeneratorTask[P, Y]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def task(fn: GeneratorInClass[P, Y], /) -> ClassLevel[GeneratorTask[P, Y]]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def task(fn: InClass[P, R], /) -> ClassLevel[Task[P, R]]: ...  # type: ignore[overload-overlap]
@overload
def task(fn: Callable[P, Coroutine[Any, Any, R]], /) -> AsyncTask[P, R]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def task(fn: Callable[P, AsyncGenerator[Y, Any]], /) -> AsyncGeneratorTask[P, Y]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def task(fn: Callable[P, Generator[Y, Any, Any]], /) -> GeneratorTask[P, Y]: ...  # type: ignore[overload-overlap]  # pyright: ignore[reportOverlappingOverload]
@overload
def task(fn: Callable[P, R], /) -> Task[P, R]: ...
@overload
def task(**options: Unpack[TaskOptions]) -> TaskDecorator: ...
def task(fn: Any = None, /, **options: Unpack[TaskOptions]) -> Any:
    """Make a task of a function, coroutine function or generator function; `@task` or `@task(...)`.

    Args:
        fn: The function; also a method, a classmethod or a staticmethod.
        **options: See `TaskOptions`.

    Returns:
        The task: called like the function, or started with `submit` and `map`.

    Raises:
        TaskDefinitionError: it is not a function.
        ReservedArgumentError: a parameter is named `return_state` or `wait_for`.
        ConfigurationError: an option has the wrong type or is out of range.
    """
    return TaskDecorator(options) if fn is None else _make(fn, options)


def _make(fn: object, options: TaskOptions) -> BaseTask[Any, Any]:
    if isinstance(fn, BaseTask):
        raise TaskDefinitionError(f"@task on {fn!r}, which is a task already; use with_options() to change it.")
    function = function_in(fn)
    if inspect.iscoroutine(fn) or not callable(function) or inspect.isclass(function):
        raise TaskDefinitionError(f"@task on {fn!r}, a {type(fn).__name__}: expected a function or coroutine function.")
    return _kind_for(function)(cast("Any", fn), **options)


def _kind_for(function: Any) -> type[BaseTask[Any, Any]]:
    """The class of task that a function, or an object that is called like one, becomes."""
    for callee in (function, getattr(function, "__call__", None)):  # noqa: B004  # looked at, not tested for
        is_async = inspect.isasyncgenfunction(callee)
        if is_async or inspect.isgeneratorfunction(callee):
            from millrace.runtime.generator_task import AsyncGeneratorTask, GeneratorTask  # noqa: PLC0415  # few tasks

            return AsyncGeneratorTask if is_async else GeneratorTask
        if inspect.iscoroutinefunction(callee):
            return AsyncTask
    return Task
