"""Stepping: generators around a body that is a generator, and the steps of that, in a thread and on a loop.

Decides what iterating over a call, sending, throwing into and closing it mean: each goes to the body as it would
without a task or a flow around it. Hides an async body from the loop it runs on. Does not know runs.
"""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, ClassVar, Final, Protocol

from millrace.runtime.attempt import run_blocking

TAKEN: Final = object()
"""In place of a body that somebody else has."""


class End:
    """What a step comes to where the body has returned instead of yielding.

    Args:
        value: What it has returned.
    """

    __slots__ = ("value",)

    def __init__(self, value: Any) -> None:
        self.value = value


def step_here(step: Callable[..., Any], *args: Any) -> Any:
    """Take a step of a sync body: what it yields, or an `End`."""
    try:
        return step(*args)
    except StopIteration as stop:
        return End(stop.value)
    finally:
        del args  # from Python 3.12 on the frame of a body that has raised holds those of its callers


async def step_on_loop(body: Any, method: str, *args: Any) -> Any:
    """Take a step of an async body: what it yields, or an `End`."""
    # The loop is not to know of the body: it knows of the call, and closing both at once would end in confusion.
    hooks = sys.get_asyncgen_hooks()
    sys.set_asyncgen_hooks(None, None)
    try:
        step = getattr(body, method)(*args)
    finally:
        sys.set_asyncgen_hooks(*hooks)
    try:
        return await step
    except StopAsyncIteration:
        return End(None)
    finally:
        del args, step  # see `step_here`


class Stepper:
    """What takes a step of a body, and stops one that is to stop. What that does to its run is another matter."""

    __slots__ = ()

    send: ClassVar[str]  # the methods of a body
    throw: ClassVar[str]
    shut: ClassVar[str]

    async def _step(self, body: Any, method: str, *args: Any) -> Any:
        """Call a method of the body, in its context; what it yields, or an `End`."""
        raise NotImplementedError

    def _why_stop(self) -> BaseException | None:
        """What to throw into a body that is to stop."""
        raise NotImplementedError

    async def _next(self, body: Any, sent: Any, thrown: BaseException | None) -> Any:
        """Take a step, unless the body is to stop; a body that yields nevertheless is closed."""
        why: BaseException | None = None
        try:
            why = self._why_stop()
            if why is None:
                step = self._step(body, self.send, sent) if thrown is None else self._step(body, self.throw, thrown)
                value = await step
                why = None if isinstance(value, End) else self._why_stop()
                if why is None:
                    return value
            value = await self._step(body, self.throw, why)
            if not isinstance(value, End):  # it goes on all the same
                await self._step(body, self.shut)
                raise why
            return value
        finally:
            del self, thrown, why  # see `step_here`


class Steps(Protocol):
    """The call of a generator, as far as it has been iterated over."""

    @property
    def value(self) -> Any:
        """What the body has yielded last."""
        ...

    async def advance(self, sent: Any, thrown: BaseException | None) -> bool:
        """Go on to the next value; whether there is one. If not, the run has ended."""
        ...

    async def close(self) -> None:
        """Nobody asks for more: close the body, and end the run."""
        ...

    def result(self) -> Any:
        """What the body has returned at its end; what has ended the run otherwise is raised."""
        ...


def through(begin: Callable[[], Steps]) -> Generator[Any, Any, Any]:
    """A generator around a sync body, which is begun when it is first asked for a value."""
    steps = begin()
    sent: Any = None
    thrown: BaseException | None = None
    try:
        while run_blocking(steps.advance(sent, thrown)):
            sent = thrown = None
            try:
                sent = yield steps.value
            except GeneratorExit:
                run_blocking(steps.close())
                raise
            except BaseException as error:  # noqa: BLE001  # what is thrown at us is thrown at the body
                thrown = error
        return steps.result()
    finally:
        del steps, thrown  # an exception that is raised here holds this frame, and the run holds that


async def through_async(begin: Callable[[], Steps]) -> AsyncGenerator[Any, Any]:
    """An async generator around an async body, which is begun when it is first asked for a value.

    Cancellation: reaches the body at its await; between two values, it is the caller's alone.
    """
    steps = begin()
    sent: Any = None
    thrown: BaseException | None = None
    try:
        while await steps.advance(sent, thrown):
            sent = thrown = None
            try:
                sent = yield steps.value
            except GeneratorExit:
                await steps.close()
                raise
            except BaseException as error:  # noqa: BLE001  # see above
                thrown = error
        steps.result()
    finally:
        del steps, thrown
