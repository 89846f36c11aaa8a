"""Generator tasks: calls that yield through to whoever iterates over them.

Decides into which run such a call turns, and that submitted and mapped runs give lists. How a body is stepped through
is `generators`'.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterable, Callable, Generator, Iterable
from typing import Any, Concatenate, ParamSpec, Self, TypeVar, overload

from millrace.actors.errors import ConfigurationError
from millrace.runtime.base_task import BaseTask, Dependency, reserved
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.generators import yield_through, yield_through_async
from millrace.runtime.lanes import Lane

P = ParamSpec("P")
Q = ParamSpec("Q")
T = TypeVar("T")
Y = TypeVar("Y")


class GeneratorTask(BaseTask[P, list[Y]]):
    """A generator function that the engine runs. Made by `@task`.

    A call yields through; a submitted or mapped run gives a list of what its body yields.
    """

    is_generator = True

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: GeneratorTask[Concatenate[Any, Q], T], instance: object, owner: type[Any] | None = None, /
    ) -> GeneratorTask[Q, T]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any:
        """The task as a method: bound to the instance."""
        return self.bound_to(instance, owner)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> Generator[Y, Any, Any]: ...
    @overload
    def __call__(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> Generator[Y, Any, Any]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> Generator[Y, Any, Any]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here, as far as it is iterated over.

        The run begins with the first value that is asked for. It is COMPLETED when the body is exhausted, and also when
        the generator is closed before. A retry begins the body again, which then yields from the start.

        Args:
            *args: Arguments of the function; futures among them are waited for.
            **kwargs: Likewise; and `wait_for`.

        Returns:
            A generator. What is sent to it and thrown into it reaches the body; what the body returns, it returns, and
            what the body raises, it raises.

        Raises:
            ParameterBindError: the call does not fit.
            ConfigurationError: `return_state` was given: there is no final state as long as nobody iterates.
        """
        wait_for, return_state = reserved(kwargs)
        _no_state(self.name, return_state=return_state)
        self.shape.check(args, kwargs)
        return yield_through(self, args, kwargs, wait_for)

    def own_lane(self, scope: FlowRun) -> Lane:
        """The engine's threads."""
        return scope.engine.offload


class AsyncGeneratorTask(BaseTask[P, list[Y]]):
    """An async generator function that the engine runs. Made by `@task`.

    A call yields through; a submitted or mapped run gives a list of what its body yields.
    """

    is_async = True
    is_generator = True

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None, /) -> Self: ...
    @overload
    def __get__(
        self: AsyncGeneratorTask[Concatenate[Any, Q], T], instance: object, owner: type[Any] | None = None, /
    ) -> AsyncGeneratorTask[Q, T]: ...
    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> Any:
        """The task as a method: bound to the instance."""
        return self.bound_to(instance, owner)

    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> AsyncGenerator[Y, Any]: ...
    @overload
    def __call__(self, upstream: Dependency, /, *args: Any, **kwargs: Any) -> AsyncGenerator[Y, Any]: ...
    @overload
    def __call__(self, *args: Any, wait_for: Iterable[Any], **kwargs: Any) -> AsyncGenerator[Y, Any]: ...
    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the task here, as far as it is iterated over. See `GeneratorTask`.

        Args:
            *args: Arguments of the function; futures among them are waited for.
            **kwargs: Likewise; and `wait_for`.

        Returns:
            An async generator.

        Raises:
            ParameterBindError: the call does not fit.
            ConfigurationError: `return_state` was given: there is no final state as long as nobody iterates.

        Cancellation: of whoever iterates reaches the body at its await; the run is then CRASHED.
        """
        wait_for, return_state = reserved(kwargs)
        _no_state(self.name, return_state=return_state)
        self.shape.check(args, kwargs)
        return yield_through_async(self, args, kwargs, wait_for)

    @property
    def body(self) -> Callable[..., Any]:
        """What a submitted run calls: the function, and all that it yields as a list."""
        fn: Callable[..., AsyncIterable[Any]] = self.fn

        async def collected(*args: Any, **kwargs: Any) -> list[Any]:
            return [value async for value in fn(*args, **kwargs)]

        return collected

    def own_lane(self, scope: FlowRun) -> Lane:
        """The loop of the flow, else the caller's, else the engine's own."""
        return scope.lane_for_async()


def _no_state(name: str, *, return_state: bool) -> None:
    if return_state:
        raise ConfigurationError(
            "return_state", return_state, f"nothing in a call of the generator task '{name}'; submit it for its state"
        )
