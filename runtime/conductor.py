"""Conductors: each sees one flow run through, from its first attempt to its end.

Decides the order of what happens around attempts: hooks, the deadline, the wait before a retry, the end. Written once,
as a coroutine over effects, for flows on loops and on threads; how a body is run is `flow_body`'s. What follows from
anything is decided by the supervisor.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import attrs

from millrace.actors.errors import FlowRunTimeoutError
from millrace.actors.instructions import EXECUTE, LET_GO, SETTLE, Order, WakeAt
from millrace.actors.messages import Admit, Expired, Returned
from millrace.actors.states import StateType
from millrace.runtime.attempt import Interruptible, raised
from millrace.runtime.bells import Bell
from millrace.runtime.context import CURRENT
from millrace.runtime.deadlines import LOOK_AGAIN_NS
from millrace.runtime.effects import BLOCKING, Effects
from millrace.runtime.hooks import call_hooks
from millrace.runtime.interrupting import Interruption
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.timers import Alarm


@attrs.frozen
class Outcome:
    """What one attempt of a flow's body came to, when all that it had started has ended.

    Args:
        value: What it returned.
        error: What it raised, or what interrupted it.
        goes_up: The error is raised to the caller when it has been recorded, because it is no failure of the run's.
    """

    value: Any = None
    error: BaseException | None = None
    goes_up: bool = False


class Conductor:
    """Sees one flow run through. See the module's docstring.

    Args:
        run: The flow run.
        fx: How it waits and calls what users wrote.
    """

    __slots__ = ("_bell", "_fx", "_orders", "_run", "_stopped_by_hooks", "asking", "body", "interruption")

    def __init__(self, run: FlowRun, fx: Effects) -> None:
        self._run = run
        self._fx = fx
        self._bell = Bell()
        self._orders: deque[Order] = deque()  # from the supervisor, where another thread had its turn
        self._stopped_by_hooks = False  # the hooks for a cancellation have been called
        self.asking = False  # it waits for the supervisor's answers; else nobody here is there to follow them
        self.body: Interruptible | None = None  # of an async flow, while it can be cancelled
        self.interruption: Interruption | None = None  # of a sync flow with a timeout, while its body runs

    # From any thread.

    def follow(self, order: Order) -> None:
        """The supervisor has answered."""
        self._orders.append(order)
        self._bell.ring()

    def stop(self) -> None:
        """The run is to end: cancel the body at its await, or the wait for another attempt."""
        body = self.body
        if body is not None:
            body.cancel_soon()
        self._bell.ring()

    # Where the flow runs.

    async def see_through(self, attempt: Callable[[], Awaitable[Outcome]]) -> None:
        """Run attempts until the run has ended.

        Args:
            attempt: Runs the body once, and waits for all that it starts.

        Raises:
            BaseException: what interrupted the last attempt, after it was recorded.
        """
        while True:
            outcome = await attempt()
            if not await self._conclude(outcome):
                break
            self._run.begin_again()
        if outcome.goes_up and outcome.error is not None:
            raise outcome.error

    async def announce(self) -> None:
        """The body is about to run: call the hooks for that."""
        flow = self._run.flow
        if flow is not None and flow.on_running_hooks:
            await self._call_hooks(StateType.RUNNING)

    def clock(self) -> Clock:
        """The time that the attempt has; to be entered around the body."""
        return Clock(self._run, self)

    async def _conclude(self, outcome: Outcome) -> bool:
        """Tell the supervisor what an attempt came to, and do what it says; whether to run the body again."""
        run = self._run
        if run.type is StateType.CANCELLING and not self._stopped_by_hooks:
            self._stopped_by_hooks = True
            await self._call_hooks(StateType.CANCELLING, outcome.error)
        at = run.engine.now()
        message = Returned(outcome.value, at) if outcome.error is None else raised(outcome.error, at)
        self.asking = True
        order = run.ask(message)
        while True:
            if order is None:
                if run.done and not self._orders:
                    return False  # it was given up
                order = await self._next_order()
            if order is EXECUTE:
                self.asking = False
                return True
            if order is LET_GO:
                run.conductor = None
                return False  # it is suspended: somebody else sees it through when it is resumed
            if order is SETTLE:
                try:
                    await self._call_hooks(run.type, outcome.error)
                finally:
                    run.conductor = None
                    run.settle_up()
                return False
            if isinstance(order, WakeAt):
                order = await self._wait_until(order.at)

    async def _next_order(self) -> Order:
        while not self._orders:
            await self._bell.wait(self._waiter())
        return self._orders.popleft()

    async def _wait_until(self, at: int) -> Order | None:
        """Wait for the next attempt, then ask for it; a cancellation ends the wait and the run."""
        run = self._run
        lane = run.lane_that_turns() if self._fx is BLOCKING else run.lane_for_async()
        alarm = run.engine.timers.call_at(at, self._bell.ring, lambda: lane)
        try:
            await self._bell.wait(self._waiter())
        except asyncio.CancelledError as error:
            return run.ask(raised(error, run.engine.now()))
        finally:
            alarm.call_off()
        if self._orders:
            return self._orders.popleft()
        if run.type is StateType.CANCELLING:
            return run.ask(raised(asyncio.CancelledError(), run.engine.now()))
        return run.ask(Admit(run.engine.now()))

    def _waiter(self) -> ThreadWaiter | LoopWaiter:
        return ThreadWaiter() if self._fx is BLOCKING else LoopWaiter(self._run.engine.lane_here())

    async def _call_hooks(self, kind: StateType, error: BaseException | None = None) -> None:
        run = self._run
        flow = run.flow
        hooks = () if flow is None else flow.hooks_at(kind)
        if not hooks:
            return
        token = CURRENT.set(run)
        try:
            with self._shield(error):
                await call_hooks(hooks, flow, run, run.state, self._fx)
        finally:
            CURRENT.reset(token)

    def _shield(self, error: BaseException | None) -> AbstractContextManager[Any]:
        """What to call hooks in, so that a cancel scope that has ended the body does not end them too."""
        if self._fx is BLOCKING or error is None or isinstance(error, Exception):
            return nullcontext()
        from anyio import CancelScope  # noqa: PLC0415  # a tenth of the import, and only an interrupted flow needs it

        return CancelScope(shield=True)


class Clock:
    """The time that one attempt of a flow has; nothing where its flow has no timeout."""

    __slots__ = ("_alarm", "_attempt", "_conductor", "_run")

    def __init__(self, run: FlowRun, conductor: Conductor) -> None:
        self._run = run
        self._conductor = conductor
        self._attempt = run.run_count
        self._alarm: Alarm | None = None

    def __enter__(self) -> None:
        run = self._run
        seconds = None if run.flow is None else run.flow.timeout_seconds
        if seconds is not None:
            at = run.engine.now() + round(seconds * 1e9)
            self._alarm = run.engine.timers.call_at(at, lambda: self._expire(seconds), run.lane_for_async)

    def __exit__(self, *_: object) -> None:
        if self._alarm is not None:
            self._alarm.call_off()

    def _expire(self, seconds: float) -> None:
        run = self._run
        run.tell(Expired(seconds, run.engine.now(), self._attempt, stops=True))
        self._interrupt(seconds, LOOK_AGAIN_NS)

    def _interrupt(self, seconds: float, pause: int) -> None:
        """Interrupt a sync body; later, if it is in the engine's own code at the moment."""
        run, interruption = self._run, self._conductor.interruption
        if interruption is None or interruption.interrupt(FlowRunTimeoutError(run.name, seconds)):
            return
        if interruption.pending:
            at = run.engine.now() + pause
            self._alarm = run.engine.timers.call_at(
                at, lambda: self._interrupt(seconds, 2 * pause), run.lane_for_async
            )
