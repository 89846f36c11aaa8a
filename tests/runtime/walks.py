"""One test for sync and async generator tasks, in every place where they can be called.

A body is written as a plain generator function, and a place makes a task of either kind of it. What iterates over a
call is a coroutine function that awaits through a `Walk`; with a sync generator that never suspends.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextlib import contextmanager
from typing import Any, overload

import attrs

from millrace import Engine, FlowRun, FlowRunContext, TaskRun, TaskRunContext, task
from millrace.runtime.entering import ENTERED
from tests.runtime.worlds import ASYNC, SYNC, SYNC_IN_ASYNC, World, finish


class Broken(Exception):
    """What bodies raise here."""


class Exhausted(Exception):
    """There is no further value."""

    @property
    def value(self) -> Any:
        """What the generator has returned."""
        return self.args[0]


class Walk:
    """Asks a generator of either kind for values."""

    def __init__(self, call: Any) -> None:
        self.call = call
        self._is_async = hasattr(call, "asend")

    async def next(self) -> Any:
        """The next value.

        Raises:
            Exhausted: there is none.
        """
        return await self.send(None)

    async def send(self, value: Any) -> Any:
        """The next value, for one that is sent."""
        return await self._step("send", value)

    async def throw(self, error: BaseException) -> Any:
        """The next value, for an error that is thrown."""
        return await self._step("throw", error)

    async def close(self) -> None:
        """Ask for no more."""
        if self._is_async:
            await self.call.aclose()
        else:
            self.call.close()

    async def rest(self) -> list[Any]:
        """All values that are left."""
        values: list[Any] = []
        while True:
            try:
                values.append(await self.next())
            except Exhausted:
                return values

    async def _step(self, how: str, value: Any) -> Any:
        try:
            if self._is_async:
                return await getattr(self.call, f"a{how}")(value)
            return getattr(self.call, how)(value)
        except StopIteration as stop:
            raise Exhausted(stop.value) from None
        except StopAsyncIteration:
            raise Exhausted(None) from None


async def every(call: Any) -> list[Any]:
    """All values of a call."""
    return await Walk(call).rest()


def as_async(fn: Callable[..., Generator[Any, Any, Any]]) -> Callable[..., AsyncGenerator[Any, Any]]:
    """An async generator function that does what a plain one does."""

    @functools.wraps(fn)
    async def body(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, Any]:
        inner = fn(*args, **kwargs)
        step: Callable[[], Any] = functools.partial(next, inner)
        while True:
            try:
                value = step()
            except StopIteration:
                return
            try:
                step = functools.partial(inner.send, (yield value))
            except GeneratorExit:
                inner.close()
                raise
            except BaseException as error:  # noqa: BLE001  # thrown at the body
                step = functools.partial(inner.throw, error)

    return body


def this_run() -> TaskRun:
    """The task run that this code belongs to."""
    context = TaskRunContext.get()
    assert context is not None
    return context.task_run


@contextmanager
def entered(engine: Engine | None) -> Generator[None]:
    """Make an engine the one of the calls in the block."""
    token = ENTERED.set(engine)
    try:
        yield
    finally:
        ENTERED.reset(token)


Body = Callable[[], Coroutine[Any, Any, Any]]


@attrs.frozen
class Place:
    """Where a generator task is called.

    Args:
        name: Its name.
        world: Which kinds of flows and generators.
        how: In the body of a `flow`, of a `task` in one, or `outside` of both.
    """

    name: str
    world: World
    how: str

    @overload
    def task(self, fn: Callable[..., Generator[Any, Any, Any]], /) -> Any: ...
    @overload
    def task(self, /, **options: Any) -> Callable[[Callable[..., Generator[Any, Any, Any]]], Any]: ...
    def task(self, fn: Callable[..., Generator[Any, Any, Any]] | None = None, /, **options: Any) -> Any:
        """A generator task of this place's kind; `@place.task` or `@place.task(...)`."""
        if fn is None:
            return functools.partial(self._task, options)
        return self._task({}, fn)

    def _task(self, options: Any, fn: Callable[..., Generator[Any, Any, Any]]) -> Any:
        return task(**options)(as_async(fn) if self.world.async_tasks else fn)

    def run(self, body: Body, *, engine: Engine | None = None) -> Any:
        """Run something here."""
        if self.how == "outside":
            return self._outside(body, engine)
        if self.how == "flow":
            return self.world.body(body, engine=engine)
        call = self.world.task(body)

        async def calls() -> Any:
            return await self.world.result(call.submit())

        return self.world.body(calls, engine=engine)

    def _outside(self, body: Body, engine: Engine | None) -> Any:
        if not self.world.async_flows:
            with entered(engine):
                return finish(body())

        async def main() -> Any:
            with entered(engine):
                return await body()

        with asyncio.Runner(loop_factory=self.world.new_loop) as runner:
            return runner.run(main())


PLACES = (
    *(Place(f"{world.name}-{how}", world, how) for world in (SYNC, ASYNC) for how in ("flow", "task", "outside")),
    *(Place(f"{SYNC_IN_ASYNC.name}-{how}", SYNC_IN_ASYNC, how) for how in ("flow", "outside")),
)

SYNC_PLACES = tuple(each for each in PLACES if not each.world.async_tasks)


def this_flow() -> FlowRun:
    """The flow run that this code belongs to."""
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


def steps_of(run: TaskRun) -> list[str]:
    """The names of the states that a run has had."""
    return [state.name for state in run.history()]


def counting(place: Place, runs: list[TaskRun], **options: Any) -> Any:
    """A task that yields 0, 1, and so on, and says which runs it has had."""

    @place.task(**options)
    def count(n: int) -> Generator[int, Any, None]:
        runs.append(this_run())
        for i in range(n):  # noqa: UP028  # `yield from` takes what is thrown at it otherwise
            yield i

    return count


def flaky_in(place: Place, runs: list[TaskRun], failures: int, **options: Any) -> Any:
    """A task that yields 1 and 2, and fails in between as often as it is told to."""

    @place.task(**options)
    def flaky() -> Generator[Any]:
        run = this_run()
        runs.append(run)
        yield run.run_count, 1
        if run.run_count <= failures:
            raise Broken(f"attempt {run.run_count}")
        yield run.run_count, 2

    return flaky
