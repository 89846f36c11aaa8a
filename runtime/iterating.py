"""Iterating: the run of a generator task, from one value to the next.

Decides that such a run is RUNNING until its body is exhausted or closed, that each attempt yields from the start, and
who may touch a body between two values. What an attempt's outcome makes of the run is decided by its actor, and what
belongs to an attempt beside the body is seen to by `conduct`, for generators as for everything else.

Between two values a run is *dormant*: its body rests, and nothing goes on before somebody asks for more. So others may
come for the body meanwhile: the end of the scope, which closes it, or a cancellation. A body rests in one place, and
only who has taken it out of there touches it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextlib import ExitStack, suppress
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from millrace.actors.errors import CancelledRun, RunError
from millrace.actors.instructions import EXECUTE, SETTLE, Order
from millrace.actors.messages import Returned, Watch
from millrace.actors.policies import Advice
from millrace.actors.states import StateType
from millrace.runtime.attempt import Interruptible, in_context, raised, run_blocking
from millrace.runtime.conduct import Attempt, follow, prints_of
from millrace.runtime.context import CURRENT
from millrace.runtime.cooperation import check_cancelled
from millrace.runtime.effects import BLOCKING, ON_LOOP, Effects
from millrace.runtime.futures import take
from millrace.runtime.holding import waits_for
from millrace.runtime.stepping import TAKEN, End, Stepper, step_here, step_on_loop
from millrace.runtime.waiting import block_until_told, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.deadlines import Deadline
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.step_lanes import LoopSteps, ThreadSteps

R = TypeVar("R")


class Iteration(Stepper):
    """One call of a generator task, as far as it has been iterated over.

    In a thread and on a loop it differs in how a step of the body is taken, and in who can stop a body that rests.

    Args:
        run: The run, which has not begun.
    """

    __slots__ = ("_attempt", "_context", "_deadline", "_exhausted", "_held", "_ready", "_resting", "run", "value")

    fx: ClassVar[Effects]

    def __init__(self, run: TaskRun) -> None:
        self.run = run
        self.value: Any = None  # what the body has yielded last
        self._ready = not run.unready  # the first attempt may be admitted
        self._attempt = Attempt(run, self.fx, records=False)  # what is yielded is not kept
        self._context = Context()  # of the body; whoever iterates has another one
        self._held = ExitStack()  # what surrounds the body, from its first step to its last
        self._deadline: Deadline | None = None
        # The body between two steps. None in there: an attempt was stopped, and the next one waits to be asked for.
        self._resting: deque[Any] = deque()
        self._exhausted = False  # the body, and with it the run, has come to its own end
        run.tell(Watch(run.lane))

    # For whoever iterates.

    async def advance(self, sent: Any, thrown: BaseException | None) -> bool:
        """Go on to the next value.

        Args:
            sent: To the body, if that has yielded before.
            thrown: Into the body, in place of that.

        Returns:
            Whether there is one. If not, the run has ended.

        Cancellation: reaches the body at its await; where none has begun, it is the end of the run.
        """
        run = self.run
        try:
            body = self._take()
            if body is not TAKEN and body is not None and await self._inside(self._step_on(body, sent, thrown)):
                return True
            while not run.ended:
                if not (self._ready or run.granted):
                    await self._wait_turn()
                self._ready = False
                if not run.ended and await self._attempt_anew():
                    return True
            await self._told()
        except BaseException as error:
            run.crash(error)  # a dead letter where the attempt has come to it
            raise
        finally:
            del self, run, thrown  # from Python 3.12 on the frame of a body that has raised holds those of its callers
        return False

    async def close(self) -> None:
        """Nobody asks for more: close the body, and end the run.

        Raises:
            BaseException: what the body has raised then. It is not run again for that.

        Cancellation: reaches the body at its await.
        """
        try:
            await self._close()
            await self._told()
        except BaseException:
            self.run.see()
            raise

    def result(self) -> Any:
        """What the body has returned at its end.

        Raises:
            Exception: what has ended the run otherwise.
        """
        run = self.run
        if run.type is StateType.COMPLETED and not self._exhausted:
            raise CancelledRun(
                f"The task run '{run.name}' was closed before it was exhausted, because nothing else went on any more "
                f"in what it belongs to. Iterate over it before its flow has ended, or its engine is closed."
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
        """Stop the attempt. From any thread; returns soon."""
        raise NotImplementedError

    def let_go(self) -> None:
        """The run has ended, and the body rests: nothing is needed for that any more. From any thread."""
        self._attempt.give_back()

    # What the kinds differ in.

    async def _wait_turn(self) -> None:
        raise NotImplementedError

    async def _told(self) -> None:
        """Wait until the end of the run may be told, where it is withheld."""
        raise NotImplementedError

    async def _inside(self, coroutine: Coroutine[Any, Any, R]) -> R:
        """Run something in the context of the body."""
        raise NotImplementedError

    # How it goes on. All that follows runs in the context of the body.

    async def _begin(self) -> bool:
        """Begin an attempt, and go on to its first value; whether there is one."""
        run = self.run
        attempt = self._attempt = Attempt(run, self.fx, records=False)
        order = await attempt.begin()
        if order is not EXECUTE:
            attempt.give_back()
            await follow(run, order, self.fx)
            return False
        self._held.callback(attempt.give_back)
        try:
            args, kwargs = attempt.call
            await attempt.announce()
            self._held.enter_context(prints_of(run))
            if run.node.limited:
                self._deadline = self._held.enter_context(run.task.deadline(run, attempt.number))
            body = run.node.source(*args, **kwargs)
        except BaseException as error:  # noqa: BLE001  # it is the attempt's outcome
            return await self._fail(error)
        try:
            return await self._step_on(body, None, None)
        finally:
            del self, run, attempt, args, kwargs  # see `advance`

    async def _step_on(self, body: Any, sent: Any, thrown: BaseException | None) -> bool:
        """Take a step of the body; whether it has yielded something."""
        try:
            try:
                value = await self._next(body, sent, thrown)
            except BaseException as error:  # noqa: BLE001  # whatever a body raises is its run's outcome
                return await self._fail(error)
            if isinstance(value, End):
                return await self._return(value.value)
            self.value = value
            self.run.remember(value)
            self._rest(body)
            return True
        finally:
            del self, thrown  # see `advance`

    async def _return(self, value: Any) -> bool:
        """The body is exhausted."""
        run = self.run
        self._held.close()
        await follow(run, await self._attempt.returned(value), self.fx)
        self._exhausted = bool(run.ended)
        return False

    async def _fail(self, error: BaseException) -> bool:
        """The body has raised, or was interrupted.

        Raises:
            BaseException: the same, where it is meant for whoever iterates and not only an outcome of the run's.
        """
        run = self.run
        self._held.close()
        handle = run.handle
        if isinstance(error, asyncio.CancelledError):
            goes_up = handle is not None and handle.wanted_elsewhere
        else:
            goes_up = not isinstance(error, Exception)
        await follow(run, await self._attempt.failed(error), self.fx)
        if goes_up and run.ended:
            run.see()
            raise error
        return False

    async def _close(self) -> None:
        body = self._take()
        if body is not TAKEN:
            await self._inside(self._shut(body))

    async def _shut(self, body: Any) -> None:
        run = self.run
        error: BaseException | None = None
        try:
            if body is not None:
                await self._step(body, self.shut)
        except BaseException as raised_by_body:  # noqa: BLE001  # see `_step_on`
            error = raised_by_body
        self._held.close()
        handle = run.handle
        goes_up = not isinstance(error, asyncio.CancelledError) or (handle is not None and handle.wanted_elsewhere)
        if error is not None:
            message = raised(error, run.node.now(), self._attempt.number, Advice(retry=False), for_good=True)
            await follow(run, run.ask(message), self.fx)
        if not run.ended:
            await follow(run, self._end(), self.fx)
        if error is not None and goes_up:
            raise error

    # What they need.

    def _why_stop(self) -> BaseException | None:
        """What to throw into a body that is to stop."""
        run = self.run
        if run.type is StateType.RUNNING and run.facts is None and run.run_count == self._attempt.number:
            return None  # as ever
        expected = run.expects(self._attempt.number)
        if expected and not run.stopping:
            return None
        if expected and run.task.is_async:
            return asyncio.CancelledError()
        try:
            check_cancelled()
        except RunError as why:
            return why.with_traceback(None)
        return CancelledRun(f"An attempt of task run '{run.name}' is over, and the run goes on without it.")

    def _end(self) -> Order | None:
        """End the run, in whichever attempt it is."""
        run = self.run
        order = run.ask(Returned(None, run.node.now()))
        if order is not SETTLE and not run.ended:  # it was over its time, and the next attempt is waited for
            order = run.ask(Returned(None, run.node.now()))
        return order

    async def _attempt_anew(self) -> bool:
        self._take()
        self._context = self.run.context.copy()
        self._context.run(CURRENT.set, self.run)
        return await self._inside(self._begin())

    def _rest(self, body: Any) -> None:
        """Put the body where others may find it."""
        run = self.run
        scope = run.scope
        self._resting.append(body)
        scope.dormant[run.id] = self
        if run.ended:
            scope.dormant.pop(run.id, None)
        elif run.stopping:
            run.lane.stop(run)  # whoever asked for that may have looked before
        elif scope.joiner is not None:
            scope.joiner.notify(scope)  # the end of the scope may wait for nothing else

    def _take(self) -> Any:
        """Take the body from where it rests."""
        self.run.scope.dormant.pop(self.run.id, None)
        try:
            return self._resting.pop()
        except IndexError:
            return TAKEN


class ThreadIteration(Iteration):
    """Of a sync body, which runs on the thread of whoever asks for a value."""

    __slots__ = ("_lane",)

    fx = BLOCKING
    send, throw, shut = "send", "throw", "close"

    def __init__(self, run: TaskRun, lane: ThreadSteps) -> None:
        super().__init__(run)
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
        super().__init__(run)
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
        await self._inside(self._step_on(body, None, None))
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
        handle = run.handle = Interruptible()
        try:
            return await in_context(self._context, coroutine)
        finally:
            if run.handle is handle:
                run.handle = None
            handle.close()
            del self, run  # see `advance`
