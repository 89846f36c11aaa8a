"""Generator flows: calls that yield through to whoever iterates over them.

Decides into which run such a call turns, and that a run which nobody iterates over, as one in the background, gives a
list. How a body is stepped through is `flow_iterating`'s.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from functools import partial
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

from millrace.actors.errors import ConfigurationError
from millrace.runtime.base_task import Dependency
from millrace.runtime.flow import BaseFlow
from millrace.runtime.flow_iterating import begin_here, begin_on_loop
from millrace.runtime.stepping import through, through_async

P = ParamSpec("P")
Q = ParamSpec("Q")
T = TypeVar("T")
Y = TypeVar("Y")


class GeneratorFlow(BaseFlow[P, list[Y]]):
    """A generator function that starts tasks. Made by `@flow`.

    A call yields through; a run in the background gives a list of what its body yields.
    """

    is_generator = True

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: GeneratorFlow[Concatenate[Any, Q], T], instance: object, owner: type[Any] | None = None, /
    ) -> GeneratorFlow[Q, T]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any:
        """The flow as a method: bound to the instance."""
        return self.bound_to(instance, owner)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[Y, Any, Any]: ...
    @overload
    def __call__(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Generator[Y, Any, Any]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> Generator[Y, Any, Any]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow here, as far as it is iterated over.

        The run begins with the first value that is asked for, and what it starts goes on between two values. It ends
        when the body is exhausted, or when the generator is closed before, and all that it has started has ended. A
        retry begins the body again, which then yields from the start.

        Args:
            *args: Arguments of the function; in a subflow, futures among them are waited for.
            **kwargs: Likewise; and, in a subflow, `wait_for`.

        Returns:
            A generator. What is sent to it and thrown into it reaches the body; what the body raises, it raises.

        Raises:
            ParameterBindError: the call does not fit.
            ConfigurationError: `return_state` was given: there is no final state as long as nobody iterates.
        """
        return through(partial(begin_here, self, *_call(self, args, kwargs)))


class AsyncGeneratorFlow(BaseFlow[P, list[Y]]):
    """An async generator function that starts tasks. Made by `@flow`.

    A call yields through; a run in the background gives a list of what its body yields.
    """

    is_async = True
    is_generator = True

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: AsyncGeneratorFlow[Concatenate[Any, Q], T], instance: object, owner: type[Any] | None = None, /
    ) -> AsyncGeneratorFlow[Q, T]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any:
        """The flow as a method: bound to the instance."""
        return self.bound_to(instance, owner)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Y, Any]: ...
    @overload
    def __call__(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> AsyncGenerator[Y, Any]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> AsyncGenerator[Y, Any]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the flow here, as far as it is iterated over. See `GeneratorFlow`.

        Args:
            *args: Arguments of the function; in a subflow, futures among them are waited for.
            **kwargs: Likewise; and, in a subflow, `wait_for`.

        Returns:
            An async generator.

        Raises:
            ParameterBindError: the call does not fit.
            ConfigurationError: `return_state` was given: there is no final state as long as nobody iterates.

        Cancellation: of whoever iterates reaches the body at its await; the run is then CRASHED. Between two values it
        is the caller's alone.
        """
        return through_async(partial(begin_on_loop, self, *_call(self, args, kwargs)))

    @property
    def body(self) -> Callable[..., Any]:
        """What a run in the background calls: the function, and all that it yields as a list."""
        fn: Callable[..., AsyncIterable[Any]] = self.fn

        async def collected(*args: Any, **kwargs: Any) -> list[Any]:
            return [value async for value in fn(*args, **kwargs)]

        return collected


def _call(
    flow: BaseFlow[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any], Any]:
    """The arguments of a call, and what it waits for."""
    wait_for, return_state = kwargs.pop("wait_for", None), kwargs.pop("return_state", False)
    if return_state:
        expected = f"nothing in a call of the generator flow '{flow.name}'; start it in the background for its state"
        raise ConfigurationError("return_state", return_state, expected)
    flow.shape.by_name(args, kwargs)  # a wrong call is told where it is made, not where it is iterated over
    return args, kwargs, wait_for
