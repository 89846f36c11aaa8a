"""Iterations: the run of a generator task in a thread, and on a loop.

Decides how a step of the body is taken there, and who can stop a body that rests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, TypeVar

from millrace.runtime.attempt import Interruptible, in_context, run_blocking
from millrace.runtime.effects import BLOCKING, ON_LOOP
from millrace.runtime.holding import waits_for
from millrace.runtime.iterating import Iteration
from millrace.runtime.stepping import TAKEN, step_here, step_on_loop
from millrace.runtime.waiting import block_until_told, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.step_lanes import LoopSteps, ThreadSteps

R = TypeVar("R")


class ThreadIteration(Iteration):
    """Of a sync body, which runs on the thread of whoever asks for a value."""

    __slots__ = ("_lane",)

    fx = BLOCKING
    send, throw, shut = "send", "throw", "close"

    def __init__(self, run: TaskRun, lane: ThreadSteps) -> None:
        super().__init__(run, lane)
        self._lane = lane

    def leave(self) -> None:
        """Close the body on this thread."""
        with suppress(Exception):  # it is in the run's state
            run_blocking(self._close())

    def stop(self) -> None:
        """End the run now. The body is told when it is asked for its next value, or closed."""
        self.run.abandon_body()
        self.let_go()

    async def _step(self, body: Any, method: str, *args: Any) -> Any:
        deadline = self._deadline
        del self  # see `advance`
        try:
            step = getattr(body, method)
            return step_here(step, *args) if deadline is None else step_here(deadline.call, step, args, {})
        finally:
            del deadline, args

    async def _wait_turn(self) -> None:
        with waits_for(self.run, blocks=True):
            self._lane.wait_turn()

    async def _told(self) -> None:
        if self.run.ended and self.run.watchers is not None:
            block_until_told(self.run)

    async def _inside(self, coroutine: Coroutine[Any, Any, R]) -> R:
        context = self._context
        del self  # see `advance`
        try:
            result: R = context.run(run_blocking, coroutine)
            return result
        finally:
            del context


class LoopIteration(Iteration):
    """Of an async body, which runs in the asyncio task of whoever asks for a value."""

    __slots__ = ("_lane", "_turns")

    fx = ON_LOOP
    send, throw, shut = "asend", "athrow", "aclose"

    def __init__(self, run: TaskRun, lane: LoopSteps, turns: LoopLane) -> None:
        super().__init__(run, lane)
        self._lane = lane
        self._turns = turns

    def leave(self) -> None:
        """Close the body in a task of its own."""
        run = self.run
        if run.scope.dormant.pop(run.id, None) is None:
            return
        if self._turns.loop.is_running():
            self._soon(self._close_quietly)
            return
        self._context.run(self._held.close)  # and the body stays as it is: it cannot be awaited any more
        order = self._end()
        if order is not None:
            run.perform(order)

    def stop(self) -> None:
        """Throw a cancellation into the body, in a task of its own."""
        if self._turns.loop.is_running():
            self._soon(self._stop)
            return
        self.run.abandon_body()
        self.let_go()
        if not self.run.ended:
            self._rest(None)

    async def _close_quietly(self) -> None:
        with suppress(Exception):  # it is in the run's state
            await self._close()

    async def _stop(self) -> None:
        run = self.run
        body = self._take()
        if body is TAKEN:
            return
        if body is None:
            run.abandon_body()
            return
        await self._go_on(self._step_on(body, None, None))
        if not run.ended:
            self._rest(None)
            if run.granted:
                self._lane.dispatch(run)

    def _soon(self, make: Callable[[], Coroutine[Any, Any, None]]) -> None:
        engine, loop = self.run.engine, self._turns.loop

        def start() -> None:
            task = loop.create_task(make(), context=Context())
            engine.keep(task)
            task.add_done_callback(engine.let_go)

        self._turns.post(start)

    async def _step(self, body: Any, method: str, *args: Any) -> Any:
        del self  # see `advance`
        try:
            return await step_on_loop(body, method, *args)
        finally:
            del args

    async def _wait_turn(self) -> None:
        with waits_for(self.run):
            await self._lane.wait_turn()

    async def _told(self) -> None:
        if self.run.ended and self.run.watchers is not None:
            await wait_until_done(self.run, self._turns)

    async def _inside(self, coroutine: Coroutine[Any, Any, R]) -> R:
        run = self.run
        handle = run.handle = Interruptible(asyncio.current_task())
        try:
            return await in_context(self._context, coroutine)
        finally:
            if run.handle is handle:
                run.handle = None
            handle.close()
            del self, run  # see `advance`
