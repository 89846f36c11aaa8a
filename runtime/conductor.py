"""Conductors: each sees one flow run through, from its first attempt to its end.

Decides the order of what happens around attempts: hooks, the wait before a retry, the end. Written once, as a coroutine
over effects, for flows on loops and on threads; how a body is run is `flow_attempt`'s. What follows from anything is
decided by the supervisor.

A conductor listens to the supervisor only between attempts. A run that ends while its attempt goes on was given up:
what is wanted done then is seen to by somebody else, and what the attempt comes to is a dead letter.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import copy_context
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.instructions import (
    EXECUTE,
    JOIN,
    LET_GO,
    PARK,
    RUN_AGAIN,
    SETTLE,
    Order,
    WakeAt,
)
from millrace.actors.messages import Admit, Returned
from millrace.actors.policies import Advice
from millrace.actors.states import TERMINAL, State, StateType
from millrace.actors.values import Value, put, with_changes
from millrace.runtime.attempt import Interruptible, raised
from millrace.runtime.bells import Bell
from millrace.runtime.context import CURRENT
from millrace.runtime.effects import BLOCKING, Effects, run_blocking
from millrace.runtime.hooks import Hook, call_hooks
from millrace.runtime.interrupting import Interruption
from millrace.runtime.signals import STOPPED_BY
from millrace.runtime.thread_calls import Call
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter, block_until_told, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.flow_iterating import FlowIteration
    from millrace.runtime.flow_run import FlowRun

Arguments = tuple[tuple[Any, ...], dict[str, Any]]
"""Of the call of a flow: positional ones, and those by keyword."""

_NOT_AGAIN: Final = Advice(retry=False)


class Outcome(Value):
    """What one attempt of a flow's body came to, when all that it had started has ended.

    Args:
        value: What it returned.
        error: What it raised, or what interrupted it.
        goes_up: The error is raised to the caller when it has been recorded, because it is no failure of the run's.
        in_vain: Another attempt would come to the same.
    """

    __slots__ = ("error", "goes_up", "in_vain", "value")

    value: Any
    error: BaseException | None
    goes_up: bool
    in_vain: bool

    def __init__(
        self, value: Any = None, error: BaseException | None = None, *, goes_up: bool = False, in_vain: bool = False
    ) -> None:
        put(self, "value", value)
        put(self, "error", error)
        put(self, "goes_up", goes_up)
        put(self, "in_vain", in_vain)


class Conductor(Bell):
    """Sees one flow run through. See the module's docstring. Rung, it looks at what there is to do.

    Args:
        run: The flow run.
        fx: How it waits and calls what users wrote.
        call: The arguments of the call.
        wait_for: What else the run waits for.
    """

    __slots__ = (
        "_asking", "_call", "_fx", "_given_up", "_orders", "_stopped_by_hooks", "_told_to_stop",
        "begun", "body", "interruption", "iteration", "leaving", "ready", "run", "wait_for",
    )  # fmt: skip

    def __init__(self, run: FlowRun, fx: Effects, call: Arguments, wait_for: Any) -> None:
        super().__init__(run.lock)
        self.run = run
        self.begun = False  # it sees the run through; else nobody has come to that yet
        self._fx = fx
        self._call: Arguments | None = call  # not kept beside the parameters of the run longer than it has to be
        self.ready = False  # the arguments are as the body is to get them
        self.wait_for = wait_for
        # Guarded by the bell's lock, as are the next two: there may be very many conductors at once.
        self._asking = False  # it listens to the supervisor; else nobody here is there to follow an order
        self._given_up = False  # the run has ended while nobody listened
        self._orders: tuple[Order, ...] = ()  # from the supervisor, where another thread had its turn
        self._stopped_by_hooks = False  # the hooks for a cancellation have been called
        self._told_to_stop = False  # the supervisor has heard that the wait for another attempt is over
        self.body: Interruptible | None = None  # of an async flow, while it can be cancelled
        self.interruption: Interruption | None = None  # of a sync flow with a timeout, while its body runs
        self.iteration: FlowIteration | None = None  # of a generator flow: the call that is iterated over
        self.leaving = False  # the body is over, and what it has started is waited for

    @property
    def timeout_seconds(self) -> float | None:
        """How much time an attempt has; None for no limit."""
        return None if self.run.flow is None else self.run.flow.timeout_seconds

    @property
    def call(self) -> Arguments:
        """The arguments, as they were given or, once they are ready, as the body gets them."""
        if self._call is not None:
            return self._call
        assert self.run.flow is not None  # the engine's own scope has no body
        return self.run.flow.shape.call_of(self.run.parameters)

    def make_ready(self, call: Arguments) -> None:
        """The arguments are as the body is to get them."""
        self._call = call
        self.ready = True

    def take_call(self) -> Arguments:
        """The arguments, for the body, which keeps what it needs of them. They are kept where it may run again."""
        call = self.call
        if self.run.retry.retries == 0:
            self._call = None
        return call

    # From any thread.

    def follow(self, order: Order) -> bool:
        """The supervisor has answered. Whether somebody here is there to follow it.

        The thread that had the supervisor's turn may come with an answer after others have got on: what the conductor
        has asked for since then has been answered, and only the end of the run is still to be heard of.
        """
        with self._lock:
            if not self._asking:
                self._given_up |= order is SETTLE
                return False
            self._orders += (order,)
        self.ring()
        return True

    def stop(self) -> None:
        """The run is to end: cancel the body at its await, or the wait for another attempt or for the next step."""
        body = self.body
        if body is not None:
            body.cancel_soon()
        self.ring()
        if self.iteration is not None:
            self.iteration.stop()

    def ask_again(self) -> None:
        """What the run waits for may have become another thing: have it ask for admission now."""
        self.ring()

    # Where the flow runs.

    def begin(self) -> None:
        """From now on it sees the run through."""
        self.begun = True
        self.run.conductor = self

    def raises(self, end: Outcome) -> bool:
        """Whether what has ended the run is raised to whoever has called it."""
        return end.goes_up

    async def announce(self) -> None:
        """The body is about to run: call the hooks for that."""
        run = self.run
        if run.flow is not None and run.flow.on_running_hooks:
            await self._call_hooks(run.flow.on_running_hooks, run.state)

    async def conclude(self, outcome: Outcome) -> Outcome | None:
        """Tell the supervisor what an attempt came to, and do what it says.

        Returns:
            What has ended the run, at least for now; None where the body is to run again.
        """
        run = self.run
        outcome = await self._seen_to(outcome)
        with self._lock:
            self._asking = not self._given_up
        order = run.ask(self.message(outcome)) if self._asking else None
        while self._asking:
            if order is EXECUTE:
                self._asking = self._told_to_stop = False
                run.begin_again()
                return None
            if order is LET_GO and (order := self._withdraw()) is None:
                await self._recorded()
                break
            if order is SETTLE:
                await self._settle(outcome)
                break
            try:
                if order is JOIN:
                    await self._join(outcome)
                    order = run.ask(self.message(outcome))
                    continue
                await self.listen(order)
                order = await self._next_order()
            except GeneratorExit as error:
                self._abandon(error)
                raise
            except BaseException as error:  # noqa: BLE001  # an interrupt of the wait is the last word
                run.interrupt(_why(error))  # what somebody has started although no body runs
                outcome = Outcome(None, error, goes_up=True)
                order = run.ask(self.message(outcome))
        return outcome

    async def _seen_to(self, outcome: Outcome) -> Outcome:
        """An outcome, with all that is to be done before the supervisor is told of it."""
        run = self.run
        try:
            if run.type is StateType.CANCELLING:
                await self._call_stop_hooks(outcome.error)
            elif outcome.error is None and run.persist_result and run.flow is not None:
                return with_changes(outcome, value=await self._keep(outcome.value))
        except GeneratorExit as error:
            self._abandon(error)
            raise
        except BaseException as error:  # noqa: BLE001  # an interrupt of that, and the last word
            return Outcome(None, error, goes_up=True)
        return outcome

    async def _keep(self, value: Any) -> Any:
        """Keep the flow's own result; what is to stand in the data of its final state."""
        from millrace.runtime.keeping import keep_result_of_flow  # noqa: PLC0415  # few flows keep anything

        return await keep_result_of_flow(self.run, value, self._fx)

    async def _join(self, outcome: Outcome) -> None:
        """Wait for what was started when all else had ended."""
        if self._fx is BLOCKING:
            self.run.join()
        else:
            with self._shield(outcome.error):
                await self.run.join_async()

    async def listen(self, order: Order | None) -> None:
        """Wait until there is something to do: another order, a time, or the end of a pause of the flow run around."""
        if (
            order is RUN_AGAIN or self._orders
        ):  # it was resumed before it was let go; or one ring was for several orders
            return
        if order is PARK and self.run.parent is not None:
            self.run.parent.park(self.ring)
        if not isinstance(order, WakeAt):
            await self.wait(self._new_waiter())
            return
        run = self.run
        lane = run.lane_that_turns() if self._fx is BLOCKING else run.lane_for_async()
        alarm = run.engine.timers.call_at(order.at, self.ring, lambda: lane)
        try:
            await self.wait(self._new_waiter())
        finally:
            alarm.call_off()

    async def _next_order(self) -> Order | None:
        """The next order; where there is none, ask for the next attempt, unless the run is to end instead."""
        run = self.run
        with self._lock:
            order = self._first_order()
        if order is not None:
            return order
        if run.type is StateType.CANCELLING or run.type in TERMINAL:
            if self._told_to_stop:
                return None
            self._told_to_stop = True
            if run.type is StateType.CANCELLING:
                await self._call_stop_hooks(asyncio.CancelledError())
            return run.ask(raised(asyncio.CancelledError(), run.engine.now()))
        return run.ask(Admit(run.engine.now())) if run.type is StateType.SCHEDULED or run.held else None

    def _first_order(self) -> Order | None:
        """Take the first order that is left; but none to wait for what an attempt has started that is over."""
        while self._orders:
            order, *left = self._orders
            self._orders = tuple(left)
            if order is not JOIN or self.run.attempting:
                return order
        return None

    def message(self, outcome: Outcome) -> Any:
        """What the supervisor is told of the end of an attempt."""
        at = self.run.engine.now()
        if outcome.error is None:
            return Returned(outcome.value, at)
        error = outcome.error
        if isinstance(error, asyncio.CancelledError) and self.run.type is not StateType.CANCELLING:
            stopped_by = STOPPED_BY.get()
            error = (None if stopped_by is None else stopped_by.error) or error
        return raised(error, at, advice=_NOT_AGAIN if outcome.in_vain else None)

    def _withdraw(self) -> Order | None:
        """The run is suspended: somebody else sees it through when it is resumed.

        Returns:
            What the supervisor has said meanwhile, which is to be followed here.
        """
        run = self.run
        with self._lock:
            order = self._first_order()
            if order is not None:
                return order
            self._step_back()
        if run.engine.closed:
            run.leave_it()
        return None

    def let_go(self) -> None:
        """Somebody else sees the run through from now on, which is suspended. From any thread."""
        with self._lock:
            self._step_back()

    def _step_back(self) -> None:
        self._asking = False
        if self.run.conductor is self:  # else another one sees the run through already
            self.run.leave_loops()
            self.run.conductor = None

    async def _settle(self, outcome: Outcome) -> None:
        """The run has ended: call the hooks for that, then tell everybody."""
        run = self.run
        try:
            if run.found is None and (run.flow is None or run.flow.has_hooks):
                hooks, state = last_hooks(run)
                if not (state.type is StateType.CANCELLING and self._stopped_by_hooks):
                    await self._call_hooks(hooks, state, outcome.error)
        finally:
            run.conductor = self.iteration = None
            run.settle_up(helps=self._fx is BLOCKING)
        if not run.done:
            with self._shield(outcome.error):
                await self._told()

    async def _told(self) -> None:
        """The end is withheld until it is on record: nobody is to learn of it by a return before that."""
        if self._fx is BLOCKING:
            block_until_told(self.run)
        else:
            await wait_until_done(self.run, self.run.engine.lane_here())

    async def _recorded(self) -> None:
        """Wait until all that has come about so far is on record, or never will be."""
        chronicle = self.run.engine.chronicle
        if chronicle is None:
            return
        waiter = self._new_waiter()
        chronicle.writer.when_committed(lambda *_: waiter.notify())
        if isinstance(waiter, LoopWaiter):
            await waiter.wait()
        else:
            waiter.wait()

    def _abandon(self, error: GeneratorExit) -> None:
        """The coroutine was closed: nothing can be waited for here any more."""
        self.run.conductor = None
        self.run.interrupt(_why(error))
        self.run.tell(raised(error, self.run.engine.now()))

    def _new_waiter(self) -> ThreadWaiter | LoopWaiter:
        return ThreadWaiter() if self._fx is BLOCKING else LoopWaiter(self.run.engine.lane_here())

    async def _call_stop_hooks(self, error: BaseException | None) -> None:
        if not self._stopped_by_hooks and self.run.flow is not None:
            self._stopped_by_hooks = True
            await self._call_hooks(self.run.flow.on_cancellation_hooks, self.run.state, error)

    async def _call_hooks(self, hooks: Sequence[Hook], state: State[Any], error: BaseException | None = None) -> None:
        if not hooks:
            return
        run = self.run
        token = CURRENT.set(run)
        try:
            with self._shield(error):
                await call_hooks(hooks, run.flow, run, state, self._fx)
        finally:
            CURRENT.reset(token)

    def _shield(self, error: BaseException | None) -> AbstractContextManager[Any]:
        """What to call hooks in, so that a cancel scope that has ended the body does not end them too."""
        if self._fx is BLOCKING or error is None or isinstance(error, Exception):
            return nullcontext()
        from anyio import CancelScope  # noqa: PLC0415  # a tenth of the import, and only an interrupted flow needs it

        return CancelScope(shield=True)


def _why(error: BaseException) -> str:
    return f"its flow run was interrupted by {type(error).__name__}"


def last_hooks(run: FlowRun) -> tuple[Sequence[Hook], State[Any]]:
    """The hooks for a run that has ended, and the state that they are to be told of."""
    state = run.state
    if run.type is StateType.CANCELLED:  # told of as it was being stopped
        state = next((each for each in reversed(run.history()) if each.type is StateType.CANCELLING), state)
    return () if run.flow is None else run.flow.hooks_at(state.type), state


def finish_elsewhere(run: FlowRun) -> None:
    """A run has ended although its body goes on, or never began: see to what is wanted done then, in a thread."""
    hooks, state = last_hooks(run)
    if not hooks:
        run.settle_up()
        return

    def finish() -> None:
        CURRENT.set(run)
        try:
            run_blocking(call_hooks(hooks, run.flow, run, state, BLOCKING))
        finally:
            run.settle_up()

    run.engine.offload.call(Call(copy_context().run, (finish,), lambda: None))
