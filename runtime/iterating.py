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
from collections.abc import Coroutine
from contextlib import ExitStack
from contextvars import Context
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from millrace.actors.errors import CancelledRun, RunError
from millrace.actors.instructions import EXECUTE, SETTLE, Order
from millrace.actors.messages import Returned, Watch
from millrace.actors.policies import Advice
from millrace.actors.states import StateType
from millrace.runtime.attempt import raised
from millrace.runtime.conduct import Attempt, follow, prints_of
from millrace.runtime.context import CURRENT
from millrace.runtime.cooperation import check_cancelled
from millrace.runtime.effects import Effects
from millrace.runtime.futures import take
from millrace.runtime.stepping import TAKEN, End, Stepper

if TYPE_CHECKING:
    from millrace.runtime.deadlines import Deadline
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.step_lanes import LoopSteps, ThreadSteps
    from millrace.runtime.yields import Yields

R = TypeVar("R")


class Iteration(Stepper):
    """One call of a generator task, as far as it has been iterated over.

    In a thread and on a loop it differs in how a step of the body is taken, and in who can stop a body that rests.

    Args:
        run: The run, which has not begun.
        lane: Its own; is told of its end.
    """

    __slots__ = (
        "_attempt", "_context", "_deadline", "_exhausted", "_held", "_ready", "_resting", "_yielded", "run", "value",
        "yields",
    )  # fmt: skip

    fx: ClassVar[Effects]

    def __init__(self, run: TaskRun, lane: ThreadSteps | LoopSteps) -> None:
        self.run = run
        replay = run.scope.replay
        self.yields: Yields | None = None
        if replay is not None and not run.ended:
            self.yields = replay.yields_of(run.id, run.task.result_serializer)
        self.value: Any = None  # what the body has yielded last
        self._ready = not run.unready  # the first attempt may be admitted
        self._attempt = Attempt(run, self.fx, records=False)  # what is yielded is not kept
        self._context = Context()  # of the body; whoever iterates has another one
        self._held = ExitStack()  # what surrounds the body, from its first step to its last
        self._deadline: Deadline | None = None
        # The body between two steps. None in there: an attempt was stopped, and the next one waits to be asked for.
        self._resting: deque[Any] = deque()
        self._yielded: Any = None  # the body, from when it has yielded to when it rests
        self._exhausted = False  # the body, and with it the run, has come to its own end
        run.tell(Watch(lane))

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
            if body is not TAKEN and body is not None and await self._go_on(self._step_on(body, sent, thrown)):
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

    def rest(self) -> None:
        """Wait to be asked for the first attempt, where others may come to end the run."""
        self._rest(None)

    async def end(self) -> None:
        """Wait for the end of the run, which nothing here leads to."""
        while not self.run.ended:
            await self._wait_turn()
        await self._told()

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

    # How it goes on.

    async def _go_on(self, coroutine: Coroutine[Any, Any, bool]) -> bool:
        """Run a step in the context of the body; whether that has yielded something, and rests.

        It rests when the context has been left: whoever comes for the body, in another thread, enters it.
        """
        try:
            if not await self._inside(coroutine):
                return False
            body, self._yielded = self._yielded, None
            self._rest(body)
            return True
        finally:
            del self, coroutine  # see `advance`

    async def _attempt_anew(self) -> bool:
        self._take()
        self._context = self.run.context.copy()
        self._context.run(CURRENT.set, self.run)
        return await self._go_on(self._begin())

    # All that follows runs in the context of the body.

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
            if self.yields is not None:
                self.yields.begin()
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
            if self.yields is not None:
                self.yields.add(value)
            self.run.remember(value)
            self._yielded = body
            return True
        finally:
            del self, thrown  # see `advance`

    async def _return(self, value: Any) -> bool:
        """The body is exhausted."""
        run = self.run
        self._held.close()
        if self.yields is not None:
            self.yields.exhausted = True
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
