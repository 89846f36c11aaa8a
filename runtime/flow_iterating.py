"""Iterating over a flow: the run of a generator flow, from one value to the next.

Decides that such a run is RUNNING until its body is exhausted or closed, that each attempt yields from the start, and
who may touch a body between two values. What an attempt's outcome makes of the run is decided by its supervisor; what
comes before and after the body is seen to by `flow_attempt` and the conductor, for generators as for everything else.

Between two values the run is dormant, as that of a generator task is: what it has started goes on, and its body rests
in one place. Only who has taken it out of there touches it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext, suppress
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, ClassVar

from millrace.actors.errors import CancelledRun, RunError
from millrace.actors.states import StateType
from millrace.actors.values import with_changes
from millrace.runtime.attempt import Interruptible, in_context, run_blocking
from millrace.runtime.conductor import Conductor, Outcome
from millrace.runtime.cooperation import check_cancelled
from millrace.runtime.effects import BLOCKING, ON_LOOP, Effects
from millrace.runtime.engine import Engine
from millrace.runtime.flow_attempt import Pass, call_interruptibly, enter_body, prints_of
from millrace.runtime.futures import take
from millrace.runtime.lending import lend
from millrace.runtime.running import running_loop
from millrace.runtime.stepping import TAKEN, End, Stepper, step_here, step_on_loop
from millrace.runtime.waiting import block_until_done, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.flow import BaseFlow
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.loop_lane import LoopLane


class FlowIteration(Stepper):
    """One call of a generator flow, as far as it has been iterated over.

    Args:
        run: The run, which has not begun.
        args: Positional arguments of the call.
        kwargs: Keyword arguments of the call.
        wait_for: What else it waits for.
    """

    __slots__ = (
        "_begun", "_conductor", "_context", "_dormant", "_exhausted", "_origin", "_over", "_pass", "_prints",
        "_resting", "run", "value",
    )  # fmt: skip

    fx: ClassVar[Effects]

    def __init__(self, run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
        self.run = run
        self.value: Any = None  # what the body has yielded last
        self._conductor = run.conductor = Conductor(run, self.fx, (args, kwargs), wait_for)
        self._conductor.iteration = self
        self._dormant: dict[int, Any] = {} if run.parent is None else run.parent.dormant  # it is in there between steps
        self._pass = Pass(self._conductor)
        self._origin = copy_context()  # each attempt begins in a copy
        self._context = Context()  # of the body; whoever iterates has another one
        self._prints: AbstractContextManager[Any] = nullcontext()
        self._begun = False  # the first attempt has
        self._resting: deque[Any] = deque()  # the body between two steps
        self._exhausted = False  # the body, and with it the run, has come to its own end
        self._over = False  # what the attempt held has been given back

    # For whoever iterates.

    async def advance(self, sent: Any, thrown: BaseException | None) -> bool:
        """Go on to the next value.

        Args:
            sent: To the body, if that has yielded before.
            thrown: Into the body, in place of that.

        Returns:
            Whether there is one. If not, the run has ended.

        Raises:
            BaseException: what interrupted the body, after it was recorded.

        Cancellation: reaches the body at its await.
        """
        try:
            body = self._take()
            more: bool | None = None
            if body is not TAKEN:
                more = await self._step_on(body, sent, thrown)
            elif self._begun:
                await self._wait_for_end()  # somebody else has come for the body meanwhile
                return False
            while more is None:
                more = await self._begin()
            return more
        finally:
            del self, thrown  # from Python 3.12 on the frame of a body that has raised holds those of its callers

    async def close(self) -> None:
        """Nobody asks for more: close the body, and wait for all that it has started.

        Raises:
            BaseException: what the body has raised then. It is not run again for that.

        Cancellation: reaches the body at its await, else the wait.
        """
        body = self._take()
        if body is TAKEN:
            return
        error: BaseException | None = None
        try:
            await self._awaited(self._step(body, self.shut))
        except BaseException as raised_by_body:  # noqa: BLE001  # it is the run's outcome
            error = raised_by_body
        end = await self._conductor.conclude(with_changes(await self._leave(None, error), in_vain=True))
        if error is not None and (isinstance(error, Exception) or (end is not None and end.goes_up)):
            self.run.see()
            raise error

    def result(self) -> Any:
        """What the body has returned at its end.

        Raises:
            Exception: what has ended the run otherwise.
        """
        run = self.run
        if run.type is StateType.COMPLETED and not self._exhausted:
            raise CancelledRun(
                f"The flow run '{run.name}' was closed before it was exhausted, because nothing else went on any more "
                "in what it belongs to. Iterate over it before the flow around it has ended, or its engine is closed."
            )
        try:
            return take(run, raise_on_failure=True)
        finally:
            del self, run  # an exception that is raised here holds this frame, and the run holds that

    # For others, while it is dormant.

    def leave(self) -> None:
        """Nobody iterates over it any more: close it. From any thread; returns soon."""
        raise NotImplementedError

    def stop(self) -> None:
        """The run is to end: stop its body, if that rests. From any thread; returns soon."""
        raise NotImplementedError

    # What the kinds differ in.

    async def _awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        """See something through that belongs to the body."""
        raise NotImplementedError

    async def _leave(self, value: Any, error: BaseException | None) -> Outcome:
        """The body is over: wait for all that it has started."""
        raise NotImplementedError

    async def _wait_for_end(self) -> None:
        raise NotImplementedError

    # How it goes on.

    async def _begin(self) -> bool | None:
        """Begin an attempt, and go on to its first value. See `_step_on`."""
        run = self.run
        assert run.flow is not None  # the engine's own scope has no body
        self._begun, self._over = True, False
        self._pass = Pass(self._conductor)
        self._context = self._origin.copy()
        try:
            if not await self._awaited(self._pass.begin()):
                return await self._end(None, None)
            self._context.run(enter_body, run)
            self._prints = self._context.run(prints_of, run)
            self._context.run(self._prints.__enter__)
            args, kwargs = self._conductor.take_call()
            body = self._context.run(run.flow.fn, *args, **kwargs)
        except BaseException as error:  # noqa: BLE001  # it is the attempt's outcome
            return await self._end(None, error)
        try:
            return await self._step_on(body, None, None)
        finally:
            del self, run, args, kwargs  # see `advance`

    async def _step_on(self, body: Any, sent: Any, thrown: BaseException | None) -> bool | None:
        """Take a step of the body.

        Returns:
            Whether it has yielded something; None where the body is to run again.
        """
        try:
            try:
                value = await self._awaited(self._next(body, sent, thrown))
            except BaseException as error:  # noqa: BLE001  # whatever a body raises is its run's outcome
                return await self._end(None, error)
            if isinstance(value, End):
                return await self._end(value.value, None)
            self.value = value
            self._rest(body)
            return True
        finally:
            del self, thrown  # see `advance`

    async def _next(self, body: Any, sent: Any, thrown: BaseException | None) -> Any:
        try:
            if self.run.replay is not None:
                self._context.run(self.run.replay.step)
            return await super()._next(body, sent, thrown)
        finally:
            del self, thrown  # see `advance`

    def _why_stop(self) -> BaseException | None:
        """What to throw into a body that is to stop."""
        run = self.run
        if not (run.ended or run.stopping):
            return None
        if not run.ended and not run.blocks:
            return asyncio.CancelledError()
        try:
            self._context.run(check_cancelled)
        except RunError as why:
            return why.with_traceback(None)
        return CancelledRun(f"The flow run '{run.name}' has ended.")

    async def _end(self, value: Any, error: BaseException | None) -> bool | None:
        """The attempt is over. See `_step_on`.

        Raises:
            BaseException: what interrupted it, after it was recorded.
        """
        end = await self._conductor.conclude(await self._leave(value, error))
        if end is None:
            return None
        self._exhausted = error is None
        if end.goes_up and end.error is not None:
            self.run.see()
            raise end.error
        return False

    # Between two steps.

    def _rest(self, body: Any) -> None:
        """Put the body where others may find it."""
        run, scope = self.run, self.run.parent
        self._resting.append(body)
        self._dormant[run.id] = self
        if run.ended or run.stopping:
            self.stop()  # whoever asked for that may have looked before
        elif scope is None and run.engine.closed:
            self.leave()  # the engine waits for nothing else, perhaps
        elif scope is not None and scope.joiner is not None:
            scope.joiner.notify(scope)  # and so may the end of the scope

    def _take(self) -> Any:
        """Take the body from where it rests."""
        self._dormant.pop(self.run.id, None)
        try:
            return self._resting.pop()
        except IndexError:
            return TAKEN

    def _wake(self) -> bool:
        """It is dormant no more; whether it was."""
        return self._dormant.pop(self.run.id, None) is not None

    def _end_when_idle(self, error: BaseException | None) -> None:
        """End the run as soon as all that it has started has ended; nobody waits for that here."""
        run = self.run

        def end() -> None:
            if not self._over:
                self._give_back()
                outcome = with_changes(self._pass.over(None, error), in_vain=True)
                run.tell(self._conductor.message(outcome))

        run.close_generators()
        run.when_idle(end)

    def _give_back(self) -> None:
        if not self._over:
            self._over = True
            self._context.run(self._prints.__exit__, None, None, None)


class ThreadFlowIteration(FlowIteration):
    """Of a sync body, which runs on the thread of whoever asks for a value."""

    __slots__ = ()

    fx = BLOCKING
    send, throw, shut = "send", "throw", "close"

    def leave(self) -> None:
        """Close the body on this thread; what it has started ends later."""
        body = self._take()
        if body is TAKEN:
            return
        error: BaseException | None = None
        try:
            self._context.run(body.close)
        except Exception as raised_by_body:  # noqa: BLE001  # it is the run's outcome
            error = raised_by_body
        self._end_when_idle(error)

    def stop(self) -> None:
        """End the run when nothing in it goes on. The body is told when it is asked for its next value, or closed."""
        if self._wake():
            self._end_when_idle(asyncio.CancelledError())

    async def _step(self, body: Any, method: str, *args: Any) -> Any:
        try:
            step = getattr(body, method)
            return self._context.run(step_here, call_interruptibly, self._conductor, step, args, {})
        finally:
            del self, args  # see `advance`

    async def _awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        del self  # see `advance`
        return run_blocking(coroutine)

    async def _leave(self, value: Any, error: BaseException | None) -> Outcome:
        self._give_back()
        return self._pass.left(value, error)

    async def _wait_for_end(self) -> None:
        with lend():
            block_until_done(self.run, None)


class LoopFlowIteration(FlowIteration):
    """Of an async body, which runs in the asyncio task of whoever asks for a value."""

    __slots__ = ("_lane", "_wanted_elsewhere")

    fx = ON_LOOP
    send, throw, shut = "asend", "athrow", "aclose"

    def __init__(
        self, run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, lane: LoopLane
    ) -> None:
        super().__init__(run, args, kwargs, wait_for)
        self._lane = lane
        self._wanted_elsewhere = False  # somebody else wants the asyncio task cancelled, too

    def leave(self) -> None:
        """Close the body in a task of its own."""
        if not self._wake():
            return
        if self._lane.loop.is_running():
            self._soon(self.close)
        else:
            self._end_when_idle(None)  # and the body stays as it is: it cannot be awaited any more

    def stop(self) -> None:
        """Throw a cancellation into the body, in a task of its own."""
        if not self._wake():
            return
        if self._lane.loop.is_running():
            self._soon(self._stop)
        else:
            self._end_when_idle(asyncio.CancelledError())

    async def _stop(self) -> None:
        body = self._take()
        if body is not TAKEN:
            await self._step_on(body, None, None)

    def _soon(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        engine = self.run.engine

        async def quietly() -> None:
            with suppress(Exception):  # it is in the run's state
                await make()

        def start() -> None:
            task = self._lane.loop.create_task(quietly(), context=Context())
            engine.keep(task)
            task.add_done_callback(engine.let_go)

        self._lane.post(start)

    async def _step(self, body: Any, method: str, *args: Any) -> Any:
        context = self._context
        del self  # see `advance`
        try:
            return await in_context(context, step_on_loop(body, method, *args))
        finally:
            del context, args

    async def _awaited(self, coroutine: Coroutine[Any, Any, Any]) -> Any:
        handle = self._conductor.body = Interruptible(asyncio.current_task())
        try:
            return await coroutine
        finally:
            self._conductor.body = None
            self._wanted_elsewhere = handle.close()
            del self, handle  # see `advance`

    async def _leave(self, value: Any, error: BaseException | None) -> Outcome:
        self._give_back()
        closed = isinstance(error, GeneratorExit)
        return await self._pass.left_async(value, error, wanted_elsewhere=self._wanted_elsewhere, closed=closed)

    async def _wait_for_end(self) -> None:
        await wait_until_done(self.run, self.run.engine.lane_here())


def begin_here(
    flow: BaseFlow[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> ThreadFlowIteration:
    """Begin to iterate over a sync generator flow, on this thread."""
    run = flow.begin(Engine.current(), args, kwargs)
    run.enter_on(running_loop())
    return ThreadFlowIteration(run, args, kwargs, wait_for)


def begin_on_loop(
    flow: BaseFlow[Any, Any], args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> LoopFlowIteration:
    """Begin to iterate over an async generator flow, on the running loop."""
    run = flow.begin(Engine.current(), args, kwargs)
    lane = run.loop_lane = run.engine.lane_here()
    return LoopFlowIteration(run, args, kwargs, wait_for, lane)
