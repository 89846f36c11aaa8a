"""Generator tasks: bodies that yield through to whoever iterates over the call.

Decides what iterating, throwing into and closing such a call mean for its run: it is RUNNING until the body is
exhausted or closed, each attempt yields from the start, and a call that nobody iterates over makes no run at all. What
an attempt's outcome makes of the run is decided by its actor, and what belongs to an attempt beside the body is seen
to by `conduct`, for generators as for everything else. The two loops here step through the body and nothing more.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import AsyncGenerator, Callable, Generator, Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import BlockingCallOnLoop, CancelledRun, TaskRunTimeoutError
from millrace.actors.instructions import EXECUTE, Order
from millrace.actors.messages import Watch
from millrace.actors.states import StateType
from millrace.runtime.attempt import AsItIs, Interruptible, drive, run_blocking
from millrace.runtime.conduct import Attempt, follow, prints_of
from millrace.runtime.context import CURRENT
from millrace.runtime.deadlines import Deadline
from millrace.runtime.effects import BLOCKING, ON_LOOP, Effects
from millrace.runtime.engine import current_scope
from millrace.runtime.futures import take
from millrace.runtime.here_lanes import LoopHere, ThreadHere
from millrace.runtime.runs import TaskRun, blocks_here

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask

Call = tuple[tuple[Any, ...], Mapping[str, Any]]


class Steps:
    """One attempt of a generator's run, stepped through from outside."""

    __slots__ = ("_attempt", "_context", "_fx", "_prints", "_run", "deadline")

    def __init__(self, run: TaskRun, fx: Effects) -> None:
        self._run = run
        self._fx = fx
        self._context: Context = run.context.copy()  # of the body; whoever iterates has another one
        self._attempt = Attempt(run, fx, records=False)  # what it yields is not kept
        self._prints = prints_of(run)
        self.deadline: Deadline | None = None

    @property
    def over(self) -> bool:
        """Whether the run has ended, or goes on, without this attempt."""
        run = self._run
        return bool(run.ended) or run.run_count != self._attempt.number or run.type is StateType.SCHEDULED

    async def begin(self) -> bool:
        """Have the attempt admitted; whether it was."""
        run = self._run
        self._context.run(CURRENT.set, run)
        order = await self._attempt.begin()
        if order is not EXECUTE:
            await self._end(order)
            return False
        self._context.run(self._prints.__enter__)
        if run.task.timeout_seconds is not None:
            self.deadline = Deadline(run, run.task.timeout_seconds, self._attempt.number)
            self.deadline.__enter__()
        return True

    async def body(self) -> Any:
        """The generator that the body is."""
        await self._attempt.announce()
        args, kwargs = self._attempt.call
        return self.step(self._run.task.fn, *args, **kwargs)

    def step(self, fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Take a step of the body, in its own context."""
        if self.deadline is None or self._run.task.is_async:
            return self._context.run(fn, *args, **kwargs)
        return self._context.run(self.deadline.call, fn, args, kwargs)

    @types.coroutine
    def await_step(self, fn: Callable[..., Any], *args: Any) -> Generator[Any, Any, Any]:
        """Take a step of an async body, in its own context."""
        step = self._context.run(fn, *args).__await__()
        try:
            waits_for = self._context.run(step.send, None)
        except StopIteration as stop:
            return stop.value
        return (yield from drive(self._context, step, waits_for, AsItIs()))

    async def returned(self) -> None:
        """The body is exhausted, or was closed."""
        self._stop()
        await self._end(await self._attempt.returned(None))

    async def failed(self, error: BaseException) -> None:
        """The body has raised, or was interrupted."""
        self._stop()
        await self._end(await self._attempt.failed(error))

    def _stop(self) -> None:
        if self.deadline is not None:
            self.deadline.__exit__(None, None, None)
        self._context.run(self._prints.__exit__, None, None, None)

    async def _end(self, order: Order | None) -> None:
        try:
            await follow(self._run, order, self._fx)
        finally:
            await self._attempt.leave()

    def why_over(self) -> Exception:
        """What to tell whoever iterates on, although the run goes on, or has ended, without that."""
        run = self._run
        error = run.state.data
        if isinstance(error, TaskRunTimeoutError):
            return error
        if run.type is StateType.SCHEDULED or not run.ended:
            return TaskRunTimeoutError(run.name, run.task.timeout_seconds or 0.0)
        return CancelledRun(f"The task run '{run.name}' has ended: {run.state}.")


def yield_through(
    task: BaseTask[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> Generator[Any, Any, None]:
    """Call a generator task: a generator that begins the run when it is first asked for a value."""
    scope = current_scope()
    lane = ThreadHere()
    run = scope.start_run(task, args, kwargs, wait_for, lane, in_line=False)
    if run.unready and not run.ended and blocks_here(scope):
        error = BlockingCallOnLoop(f"{task.name}(...) with a future that is not done", "await the future first")
        run.fail_unstarted(error)
        run.see()
        raise error
    run.tell(Watch(lane))
    ready = not run.unready
    while not run.ended:
        if not ready:
            lane.wait_turn()
        ready = False
        steps = Steps(run, BLOCKING)
        if run.ended or not run_blocking(steps.begin()):
            continue
        if (yield from _stepped(run, steps)):
            return
        ready = run.granted
    take(run, raise_on_failure=True)


def _stepped(run: TaskRun, steps: Steps) -> Generator[Any, Any, bool]:
    """Step through one attempt. Whether the caller has closed the generator."""
    body: Any = None
    step: Callable[..., Any]
    given: tuple[Any, ...]
    try:
        body = run_blocking(steps.body())
        step, given = body.send, (None,)
        while True:
            value = steps.step(step, *given)
            run.remember(value)
            run.scope.suspended.add(run)
            try:
                sent = yield value
            except GeneratorExit:
                steps.step(body.close)
                run_blocking(steps.returned())
                return True
            except BaseException as thrown:  # noqa: BLE001  # what is thrown at us is thrown at the body
                step, given = body.throw, (thrown,)
            else:
                step, given = body.send, (sent,)
            finally:
                run.scope.suspended.discard(run)
            if steps.over or run.type is StateType.CANCELLING:
                step, given = body.throw, (steps.why_over(),)
    except StopIteration:
        run_blocking(steps.returned())
    except BaseException as error:  # noqa: BLE001  # whatever a body raises is its run's outcome
        run_blocking(steps.failed(error))
    return False


async def yield_through_async(
    task: BaseTask[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> AsyncGenerator[Any, Any]:
    """Call an async generator task: an async generator that begins the run when it is first asked for a value.

    Cancellation: reaches the body at its await; between two values, it is the caller's alone.
    """
    scope = current_scope()
    lane = LoopHere(scope.engine.lane_here())
    run = scope.start_run(task, args, kwargs, wait_for, lane, in_line=False)
    run.tell(Watch(lane))
    ready = not run.unready
    try:
        while not run.ended:
            if not ready:
                await lane.wait_turn()
            ready = False
            steps = Steps(run, ON_LOOP)
            if run.ended or not await steps.begin():
                continue
            stepping = _stepped_async(run, steps)
            sent: Any = None
            thrown: BaseException | None = None
            while True:
                step = stepping.asend(sent) if thrown is None else stepping.athrow(thrown)
                try:
                    value = await step
                except StopAsyncIteration:
                    break
                sent = thrown = None
                try:
                    sent = yield value
                except GeneratorExit:
                    await stepping.aclose()
                    raise
                except BaseException as error:  # noqa: BLE001  # what is thrown at us is thrown at the body
                    thrown = error
            ready = run.granted
    except BaseException as error:
        run.crash(error)  # a dead letter where it has ended
        raise
    take(run, raise_on_failure=True)


async def _stepped_async(run: TaskRun, steps: Steps) -> AsyncGenerator[Any, Any]:
    """Step through one attempt."""
    try:
        body = await steps.body()
        step: Callable[..., Any] = body.asend
        given: tuple[Any, ...] = (None,)
        while True:
            value = await _cancellable(run, steps, step, given)
            run.remember(value)
            run.scope.suspended.add(run)
            try:
                sent = yield value
            except GeneratorExit:
                await steps.await_step(body.aclose)
                await steps.returned()
                raise
            except BaseException as thrown:  # noqa: BLE001  # what is thrown at us is thrown at the body
                step, given = body.athrow, (thrown,)
            else:
                step, given = body.asend, (sent,)
            finally:
                run.scope.suspended.discard(run)
            if steps.over:
                step, given = body.athrow, (steps.why_over(),)
            elif run.stopping:
                step, given = body.athrow, (asyncio.CancelledError(),)
    except StopAsyncIteration:
        await steps.returned()
    except GeneratorExit:
        raise
    except BaseException as error:  # noqa: BLE001  # whatever a body raises is its run's outcome
        await steps.failed(error)


async def _cancellable(run: TaskRun, steps: Steps, step: Callable[..., Any], given: tuple[Any, ...]) -> Any:
    """Await a step of the body, so that a cancellation of the run reaches it and nothing else."""
    body = run.handle = Interruptible()
    run.shielded = False
    try:
        return await steps.await_step(step, *given)
    except asyncio.CancelledError as error:
        run.handle = None
        if body.close():
            run.crash(error)
        raise
    finally:
        run.handle = None
        body.close()
