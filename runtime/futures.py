"""Futures: handles on runs that have been started.

Decides how an outcome is taken, in sync and async code, and that a blocking wait on a loop's own thread is refused.
Does not know how runs are executed: a future stands in front of a *source*, which is a run of the engine's or the
stand-in for a promise that somebody else keeps.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
from collections.abc import Callable, Generator, Mapping
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError, TaskRunnerError, WaitTimeout
from millrace.actors.messages import Watch
from millrace.actors.seconds import checked_wait
from millrace.actors.states import State, StateType
from millrace.actors.stored_result import StoredResult
from millrace.actors.telling import shown
from millrace.runtime.one_line import engine_logger
from millrace.runtime.outcalls import log_raised
from millrace.runtime.sources import PromiseSource, Source
from millrace.runtime.waiting import CallbackWatcher, block_until_done, wait_until_done, waiting

if TYPE_CHECKING:
    from uuid import UUID

    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun

R_co = TypeVar("R_co", covariant=True)

_logger = engine_logger("futures")


def take(source: Source, *, raise_on_failure: bool) -> Any:
    """Take the outcome of a run that has ended: its result, or what it raised.

    Raises:
        UnfinishedRun: it never started, because something it depends on did not complete.
    """
    try:
        value = source.take(raise_on_failure=raise_on_failure)
        if isinstance(value, StoredResult):
            value = value.load()
        source.remember(value)
        return value
    finally:
        # The frame of an exception raised here must not hold the run that holds the exception.
        del source


async def take_async(source: Source) -> Any:
    """The same without blocking the loop, where the result lies in a storage. Cancellation: only the wait ends."""
    try:
        value = source.take(raise_on_failure=True)
        if isinstance(value, StoredResult):
            value = await value.aload()
        source.remember(value)
        return value
    finally:
        del source


def take_all(runs: list[TaskRun], *, raise_on_failure: bool) -> list[Any]:
    """The outcomes of runs that have ended, in order; those that lie in a storage are not read.

    All of them count as looked at, whatever the first one raises.
    """
    completed = StateType.COMPLETED
    for run in runs:
        if run.type is not completed:
            run.see()
    return [
        # The ordinary end, without making the state, or else the long way.
        run._data  # noqa: SLF001
        if run._state is None and run.type is completed  # noqa: SLF001
        else run.take(raise_on_failure=raise_on_failure)
        for run in runs
    ]


def future_of(runner: Any, task: Any, parameters: Mapping[str, Any], wait_for: Any) -> Future[Any]:
    """Submit a run to a task runner of somebody else's.

    Raises:
        TaskRunnerError: what it gave is no future.
        Exception: what it raised.
    """
    future: object = runner.submit(task, parameters, wait_for)
    if not isinstance(future, Future):
        reason = f"its submit() gave {shown(future)}"
        raise TaskRunnerError(f"submit task '{task.name}'", runner, reason, "Have it return a Future of its promise.")
    return future


def refuse_to_block(source: Source, call: str, instead: str) -> None:
    """Raise where blocking this thread would hold up a loop: the one the run needs, or one for no reason.

    Raises:
        BlockingCallOnLoop: it would.
    """
    if source.blocks_here():
        raise BlockingCallOnLoop(call, instead)


class Future(Generic[R_co]):
    """A handle on a run that has been started; given out by `submit`, `map` and `Engine.start`.

    `await future` gives the run's result or raises what it raised; `result()` does the same in sync code. Dropping a
    future neither stops nor loses the run.

    A task runner of one's own makes futures around promises of its own.

    Args:
        promise: A `concurrent.futures.Future` or `asyncio.Future` that comes to the run's final `State`, or to its
            result.
        task_run_id: The id of the task run.
    """

    __slots__ = ("__weakref__", "_source")

    def __init__(
        self,
        promise: concurrent.futures.Future[Any] | asyncio.Future[Any],
        task_run_id: UUID,
    ) -> None:
        self._source: Source = PromiseSource(promise, task_run_id)

    @classmethod
    def of(cls, source: Source) -> Future[R_co]:
        """The future of a run."""
        future = cls.__new__(cls)
        future._source = source  # noqa: SLF001  # its own class
        return future

    @property
    def source(self) -> Any:
        """The run itself, or the stand-in for a promise."""
        return self._source

    @property
    def task_run_id(self) -> UUID:
        """The id of the run."""
        return self._source.uuid

    @property
    def name(self) -> str:
        """The name of the run."""
        return self._source.name

    @property
    def state(self) -> State[R_co]:
        """The run's state at this moment. A final one counts as looked at once it is taken."""
        source = self._source
        if source.done:
            source.see()
            return source.state
        return source.told_state

    def done(self) -> bool:
        """Whether the run has ended."""
        return self._source.done

    def cancel(self) -> bool:
        """Ask for the end of the run: at once if its body does not run yet, else at the body's next await.

        Returns:
            Whether there was something to cancel: False when the run had ended before.
        """
        if self._source.done:
            return False
        self._source.cancel("It was cancelled through its future.")
        return True

    def wait(self, timeout: float | None = None) -> bool:
        """Block this thread until the run has ended.

        Args:
            timeout: Seconds; None for no limit.

        Returns:
            Whether it has ended.

        Raises:
            BlockingCallOnLoop: this is the thread of a loop; use `await future.wait_async()` there.
            ConfigurationError: the timeout is no time.
        """
        timeout = checked_wait("timeout", timeout)
        source = self._source
        if source.done:
            return True
        refuse_to_block(source, "Future.wait()", "await future.wait_async()")
        with source.lend():
            return block_until_done(source, timeout)

    @overload
    def result(self, timeout: float | None = None, *, raise_on_failure: Literal[True] = True) -> R_co: ...
    @overload
    def result(self, timeout: float | None = None, *, raise_on_failure: bool) -> R_co | BaseException: ...
    def result(self, timeout: float | None = None, *, raise_on_failure: bool = True) -> R_co | BaseException:
        """Block this thread until the run has ended, and take its result.

        Args:
            timeout: Seconds; None for no limit.
            raise_on_failure: Raise what the run raised; else it is returned.

        Raises:
            WaitTimeout: the run has not ended in time; it goes on. A `TimeoutError`.
            BlockingCallOnLoop: this is the thread of a loop; use `await future` there.
            UnfinishedRun: the run never started, because something it depends on did not complete.
            CancelledRun: the run was cancelled.
            ConfigurationError: the timeout is no time.
        """
        timeout = checked_wait("timeout", timeout)
        source = self._source
        if not source.done:
            refuse_to_block(source, "Future.result()", "await future")
            with source.lend():
                if not block_until_done(source, timeout):
                    late = WaitTimeout(1, 1, timeout or 0.0)
                    late.add_note(f"It is '{source.name}'.")
                    raise late
        try:
            return cast("R_co | BaseException", take(source, raise_on_failure=raise_on_failure))
        finally:
            del self, source  # see `take`

    async def wait_async(self, timeout: float | None = None) -> State[R_co]:
        """Wait for the end of the run; never raises what the run raised.

        Args:
            timeout: Seconds; None for no limit.

        Returns:
            The run's state: its final one unless the time ran out.

        Raises:
            ConfigurationError: the timeout is no time.

        Cancellation: only the wait ends.
        """
        timeout = checked_wait("timeout", timeout)
        source = self._source
        if not source.done:
            try:
                async with asyncio.timeout(timeout):
                    await wait_until_done(source, source.waiting_lane())
            except TimeoutError:
                return source.told_state
        return self.state

    def __await__(self) -> Generator[Any, Any, R_co]:
        """The run's result, or what it raised. Cancellation: only the wait ends, the run goes on."""
        source = self._source
        if not source.done:
            yield from waiting(source, source.waiting_lane())
        try:
            if source.stores:
                return cast("R_co", (yield from take_async(source).__await__()))
            return cast("R_co", take(source, raise_on_failure=True))
        finally:
            del self, source  # see `take`

    def add_done_callback(self, fn: Callable[[Future[R_co]], object]) -> None:
        """Call a function with this future once the run has ended; at once if it has.

        It is called by the thread that ended the run; where the engine has a store, by one of the engine's threads.
        What it raises is logged and stops nothing.

        Raises:
            ConfigurationError: it cannot be called.
        """
        if not callable(fn):
            raise ConfigurationError("fn", fn, "a function of a future")
        self._source.tell(Watch(CallbackWatcher(lambda: self._call_back(fn))))

    def _call_back(self, fn: Callable[[Future[R_co]], object]) -> None:
        engine = self._source.engine
        if engine is None or not engine.must_not_block():
            self._call(fn)
        else:
            engine.call_elsewhere(self._call, fn)

    def _call(self, fn: Callable[[Future[R_co]], object]) -> None:
        try:
            fn(self)
        except BaseException as error:  # noqa: BLE001  # see there
            log_raised(_logger, error, "Done callback %r of task run '%s' raised.", fn, self._source.name)

    def __repr__(self) -> str:
        return f"<Future of {self._source.name!r}: {self._source.told_state.name}>"


class FlowFuture(Future[R_co]):
    """A handle on a flow run that was started in the background."""

    __slots__ = ()

    @property
    def flow_run_id(self) -> UUID:
        """The id of the flow run."""
        return self._source.uuid

    @property
    def flow_run(self) -> FlowRun:
        """The flow run itself: its name, its parameters, its counts of children by state."""
        return cast("FlowRun", self._source)
