"""Here: the lanes of a direct call, whose body runs where the call was made.

Decides nothing. A direct call sees its own run through: it waits for what the run depends on and for the delays between
attempts, and wakes when the run's actor, or a timer, puts the run in line again.
"""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Final

from millrace.actors.messages import Watch
from millrace.runtime import interrupting
from millrace.runtime.attempt import execute
from millrace.runtime.holding import waits_for
from millrace.runtime.lending import lend
from millrace.runtime.loop_lane import LoopLane, execute_async
from millrace.runtime.running import running_loop
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter, block_until_told, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.lanes import RunSource
    from millrace.runtime.offload import Offload
    from millrace.runtime.runs import TaskRun


class _Here:
    """What both kinds share: `dispatch` and the end of the run wake the caller."""

    __slots__ = ("_pending", "_waiter")

    is_a_call = True  # the body runs in the middle of the code that called the run

    _guard: ClassVar = Lock()  # of all of them: held for two assignments, and most calls never come to need it

    _pending: bool  # woken since the caller last looked
    _waiter: ThreadWaiter | LoopWaiter | None

    def dispatch(self, _run: TaskRun) -> None:
        """The run may be admitted: wake the caller."""
        with self._guard:
            waiter, self._waiter = self._waiter, None
            self._pending = waiter is None  # whoever is woken looks; told twice, it would be too early the second time
        if waiter is not None:
            waiter.notify()

    notify = dispatch  # the end of the run wakes the caller too: there may be nothing left to dispatch

    def dispatch_map(self, source: RunSource) -> None:
        """Maps are never direct calls."""
        raise NotImplementedError

    def _expect(self, waiter: ThreadWaiter | LoopWaiter) -> bool:
        """Set the waiter to wake; False if there is nothing to wait for any more."""
        with self._guard:
            pending, self._pending = self._pending, False
            if not pending:
                self._waiter = waiter
            return not pending


class HeldUp:
    """What lanes of a direct call from sync code share: the caller's thread is blocked meanwhile."""

    __slots__ = ()

    loop: asyncio.AbstractEventLoop | None  # that the call holds up; None on other threads than a loop's


class ThreadHere(HeldUp, _Here):
    """Sees a direct call of a sync task through, on the calling thread."""

    __slots__ = ("loop",)

    is_the_callers = True  # the code that called the run goes on only after it

    @property
    def awake(self) -> bool:
        """Whether the caller's thread is not blocked: it sees to the run's end, and then waits for its commit."""
        return self._waiter is None

    def __init__(self) -> None:  # flat: one is made for every direct call
        self._pending = False
        self._waiter = None
        self.loop = running_loop()

    def stop(self, run: TaskRun) -> None:
        """The function cannot be stopped, unless it waits for a limit; the run ends when it returns."""
        run.engine.rationing.stop_waiting(run)

    def see_through(self, run: TaskRun) -> None:
        """Run a task's further attempts until the run has ended, blocking in between where it has to wait."""
        run.tell(Watch(self))
        try:
            while not run.ended:
                with waits_for(run, blocks=True):
                    self.wait_turn()
                if not run.ended:
                    execute(run)
        except BaseException as error:
            crash(run, error)  # an interrupt of the wait, too: nobody is left to see the run through
            raise
        finally:
            del run  # see there

    def wait_turn(self) -> None:
        """Block until the run has been put in line, or has ended. Somebody has to watch it for that."""
        waiter = ThreadWaiter()
        if self._expect(waiter):
            with lend():
                waiter.wait()


class End:
    """The end of a run, and of what belongs to it: hooks are called while the run is done already.

    So it has to be watched before the run is put in line; whoever asks later is told at once.
    """

    __slots__ = ("_waiter", "_watched")

    def __init__(self) -> None:
        self._waiter = ThreadWaiter()
        self._watched = False

    def watch(self, run: TaskRun) -> None:
        """Be told of it."""
        if not self._watched:
            self._watched = True
            run.tell(Watch(self._waiter))

    def wait(self, run: TaskRun) -> None:
        """Block until it has come."""
        self.watch(run)
        with lend(), waits_for(run, blocks=True):
            self._waiter.wait()
        interrupting.check()


class ThreadElsewhere(HeldUp):
    """A direct call of a sync task that may have to be left at its deadline: its body runs on an engine's thread."""

    __slots__ = ("_end", "_offload", "loop")

    def __init__(self, offload: Offload) -> None:
        self._offload = offload
        self._end = End()
        self.loop = running_loop()

    def dispatch(self, run: TaskRun) -> None:
        """Put the run in line."""
        self._end.watch(run)
        self._offload.dispatch(run)

    def wait_for_end(self, run: TaskRun) -> None:
        """Block until the run has ended, and its hooks have been called."""
        self._end.wait(run)

    def dispatch_map(self, source: RunSource) -> None:
        """Maps are never direct calls."""
        raise NotImplementedError

    def stop(self, run: TaskRun) -> None:
        """The run ends now; its thread is abandoned."""
        self._offload.stop(run)


class LoopElsewhere:
    """A direct call of an async task from sync code: its body runs on a loop, while the caller's thread is blocked."""

    __slots__ = ("_end", "_lane", "loop")

    def __init__(self, lane: LoopLane) -> None:
        self._lane = lane
        self._end = End()
        self.loop = lane.loop

    def dispatch(self, run: TaskRun) -> None:
        """Put the run in line."""
        self._end.watch(run)
        self._lane.dispatch(run)

    def dispatch_map(self, source: RunSource) -> None:
        """Maps are never direct calls."""
        raise NotImplementedError

    def stop(self, run: TaskRun) -> None:
        """Cancel the body at its await."""
        self._lane.stop(run)

    def wait_for_end(self, run: TaskRun) -> None:
        """Block until the run has ended, and its hooks have been called."""
        self._end.wait(run)


class LoopHere(_Here):
    """Sees a direct call of an async task through, in the calling task."""

    __slots__ = ("_lane", "place")

    def __init__(self, lane: LoopLane, place: int | None) -> None:  # flat: one is made for every direct call
        self._pending = False
        self._waiter = None
        self._lane = lane
        self.place = place  # of the code that calls, as in `holding`; None where nobody asks for it

    @property
    def awaited_on(self) -> asyncio.AbstractEventLoop:
        """The loop of the calling task."""
        return self._lane.loop

    def stop(self, run: TaskRun) -> None:
        """Cancel the body at its await."""
        self._lane.stop(run)

    async def see_through(self, run: TaskRun) -> None:
        """Run a task's further attempts until the run has ended, waiting in between where it has to.

        Cancellation: ends the run, CRASHED if its body was running.
        """
        run.tell(Watch(self))
        try:
            while not run.ended:
                with waits_for(run):
                    await self.wait_turn()
                if not run.ended:
                    await execute_async(run)
        except BaseException as error:
            await crash_async(run, error)
            raise
        finally:
            del run  # see `execute_async`

    async def wait_turn(self) -> None:
        """Wait until the run has been put in line, or has ended. Cancellation: only the wait ends."""
        waiter = LoopWaiter(self._lane)
        if self._expect(waiter):
            with lend():  # a body in a worker's own loop waits here for the worker too
                await waiter.wait()


def _is_untold(run: TaskRun, error: BaseException) -> bool:
    """Whether the end that an error comes to is yet to be put on record."""
    run.crash(error)
    return bool(run.ended) and not run.done


def crash(run: TaskRun, error: BaseException) -> None:
    """End the run of a call because of what goes up from there, and block until that is on record."""
    if _is_untold(run, error):
        block_until_told(run)


async def crash_async(run: TaskRun, error: BaseException) -> None:
    """The same of a call that is awaited. Cancellation: only the wait ends; a cancel scope does not interfere."""
    if _is_untold(run, error) and not isinstance(error, GeneratorExit):  # a coroutine that is closed cannot wait
        from anyio import CancelScope  # noqa: PLC0415  # a tenth of the import, and only what is interrupted needs it

        with CancelScope(shield=True):
            await wait_until_done(run, run.waiting_lane())


CALLED: Final = (ThreadHere, ThreadElsewhere, LoopElsewhere, LoopHere)
"""The lanes of direct calls."""
