"""Conducting: an attempt of a task run that has more to it than a body.

Decides the order of what happens in one: the name and the record are seen to first, then the run is admitted, then
come hooks, body and deadline, then what is to be said about a retry, then the record is closed, and hooks come again
when the run has ended. Written once, as a coroutine over effects, for bodies on loops and in threads. What follows from
anything is decided by the run's actor. A task that needs none of this never comes here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import AbstractContextManager
from types import GeneratorType
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import MillraceError
from millrace.actors.instructions import EXECUTE, SETTLE, Order
from millrace.actors.messages import Raised, Returned
from millrace.actors.rules import state_of_found
from millrace.actors.states import State, StateType
from millrace.actors.stored_result import Found
from millrace.runtime.attempt import admit, raised
from millrace.runtime.context import ATTEMPT, CURRENT
from millrace.runtime.effects import BLOCKING, ON_LOOP, Effects
from millrace.runtime.hooks import call_hooks
from millrace.runtime.logs import logger_of_prints
from millrace.runtime.prints import capture_prints
from millrace.runtime.recording import NOT_RECORDED, Recording
from millrace.runtime.retrying import advise_on_error, advise_on_value

if TYPE_CHECKING:
    from millrace.actors.tickets import Ticket
    from millrace.runtime.runs import TaskRun

_RUNNING = StateType.RUNNING


async def conduct(run: TaskRun) -> Order | None:
    """See one attempt through, or the end of a run that came to it by itself.

    Returns:
        EXECUTE when another attempt is to follow at once; None when nothing is left to be done here.

    Raises:
        BaseException: what is meant for whoever drives the attempt; it has been told to the run's actor.

    Cancellation: reaches the body; before and after it, what is being waited for. It is part of the outcome.
    """
    fx = ON_LOOP if run.task.is_async else BLOCKING
    CURRENT.set(run)
    if run.ended:
        if run.granted:  # it has ended elsewhere, and was sent here for what is to be done then
            run.granted = False
            await finish(run, fx)
        if run.node.keeping is not None:
            run.node.keeping.give_up(run)
        return None
    attempt = Attempt(run, fx)
    try:
        try:
            order = await attempt.begin()
            if order is EXECUTE:
                order = await attempt.see_through()
        except BaseException as error:
            try:
                await attempt.leave(error)
            finally:
                attempt.broken(error)
            raise
        try:
            await attempt.leave()  # before anybody is told of the end, and before the next attempt
        except BaseException as error:
            if order is not None and order is SETTLE:
                run.perform(order)
            else:
                run.crash(error)
            raise
        return await follow(run, order, fx)
    finally:
        del run, attempt  # from Python 3.12 on the frame of the body holds this one, too


class Attempt:
    """One attempt, on its way."""

    __slots__ = (
        "_args", "_error", "_failed", "_fx", "_kwargs", "_records", "_run", "_slots", "_state", "_told", "number",
        "recording",
    )  # fmt: skip

    def __init__(self, run: TaskRun, fx: Effects, *, records: bool = True) -> None:
        self._records = records and run.node.recorder is not None
        self._run = run
        self._fx = fx
        self._args: tuple[Any, ...] = ()
        self._kwargs: Mapping[str, Any] = {}
        self._error: Exception | None = None  # what stands against the body being called at all
        self.recording: Recording = NOT_RECORDED
        self.number = 0  # from 1, once it was admitted
        self._told = False  # the run's actor knows what it came to
        self._slots: Ticket | None = None  # what it needs of limits, as long as it has that
        self._failed: bool | None = None  # it has come to an error; None: what it came to says nothing of its limits
        self._state: State[Any] | None = None  # of RUNNING, where it has more to say than its time

    @property
    def call(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """The arguments of the body.

        Raises:
            Exception: what stands against it.
        """
        if self._error is not None:
            raise self._error
        return self._args, self._kwargs

    async def begin(self) -> Order | None:
        """Prepare the attempt and have the run admitted."""
        run = self._run
        run.shielded = False
        if not await self._prepare():
            return None
        state = self._state
        found = state is not None and isinstance(state.data, Found)
        if run.node.takes_slots and self._error is None and not found and not await self._claim():
            return None
        order = admit(run, state)
        if order is EXECUTE:
            self.number = run.run_count
            ATTEMPT.set(self.number)
            if state is not None and found:
                # It was RUNNING already, as for a retry without a delay.
                return self._tell(Returned(state_of_found(state, state.data), run.node.now(), self.number))
        elif order is None and self._slots is not None:
            slots, self._slots = self._slots, None
            run.engine.limits.attempts.keep(run, slots)
        return order

    async def _prepare(self) -> bool:
        """See to arguments, name and record; whether the run may be admitted now, as far as they go."""
        run = self._run
        try:
            if run.inputs is not None and run.inputs.have_to_be_read():
                self._args, self._kwargs = await self._fx.io(run.arguments)
            else:
                self._args, self._kwargs = run.arguments()
            name_run(run, self._args, self._kwargs)
            if self._records and run.node.recorder is not None:
                recording = run.node.recorder(run, self._args, self._kwargs)
                if recording.postponed():
                    return False
                self._state = await recording.begin(self._fx)
                self.recording = recording
        except Exception as error:  # noqa: BLE001  # of the user's making, and told as the attempt's outcome
            self._error = error
            if run.node.keeping is not None:
                run.node.keeping.give_up(run)
        except asyncio.CancelledError:
            if run.ended:
                return False  # it was cancelled while it waited for its turn to look into the cache
            raise
        return True

    async def _claim(self) -> bool:
        """Take what the attempt needs of limits; where it has to wait for that, nothing else is held meanwhile."""
        run = self._run
        try:
            self._slots = run.engine.limits.attempts.claim(run)
        except MillraceError as error:  # it would wait in vain
            await self.leave()
            run.shielded = True
            run.fail_unstarted(error.with_traceback(None))
            return False
        if self._slots is None:
            await self.leave()
        return self._slots is not None

    async def see_through(self) -> Order | None:
        """Run the body, and tell the run's actor what it came to."""
        run, fx = self._run, self._fx
        try:
            value = await self._body()
        except GeneratorExit as closing:  # the coroutine was closed: nothing can be waited for any more
            run.shielded = True
            order = self._tell(raised(closing, run.node.now(), self.number))
            await self.leave(closing)
            if order is not None:
                run.perform(order)
            return None
        except BaseException as error:
            order = await self.failed(error)
            if isinstance(error, KeyboardInterrupt) and run.task.is_async:
                await self.leave(error)
                await follow(run, order, fx)
                raise
            del self, run  # from Python 3.12 on the frame of the body holds this one, too
            return order
        return await self.returned(value)

    async def _body(self) -> Any:
        run, task, fn = self._run, self._run.task, self._run.node.fn
        args, kwargs = self.call
        await self.announce()
        prints = prints_of(run)
        deadline = None if task.timeout_seconds is None else task.deadline(run, self.number)
        del self, run  # an exception of the body holds this frame, and the run holds that
        if deadline is None:
            with prints:
                value = fn(*args, **kwargs)
                return await value if task.is_async else _listed(value)
        with prints, deadline:
            if task.is_async:
                return await fn(*args, **kwargs)
            return deadline.call(_call, (fn, args, kwargs), {})

    async def announce(self) -> None:
        """Call the hooks for a run that has begun to run; its body comes next.

        Raises:
            CancelledError: the body is not to begin, because the run was cancelled since then, or has ended.
        """
        run = self._run
        hooks = run.task.hooks_at(_RUNNING)
        if not hooks:
            return
        await call_hooks(hooks, run.task, run, run.state, self._fx)
        if run.stopping or not run.expects(self.number):
            if run.task.is_async:
                await asyncio.sleep(0)  # where the asyncio task is to be cancelled for that, it is here, and not later
            raise asyncio.CancelledError

    async def returned(self, value: Any) -> Order | None:
        """The body has returned: keep its result, then tell the run's actor."""
        run = self._run
        advice = None
        if run.expects(self.number):
            self._failed = False
            run.shielded = True
            advice = await advise_on_value(run, value, self._fx)
            if self.recording is not NOT_RECORDED and not run.stopping and run.expects(self.number):
                try:
                    value = await self.recording.keep(value, self._fx)
                except Exception as error:  # noqa: BLE001  # the body did something odd to its own transaction
                    return await self.failed(error)
        return self._tell(Returned(value, run.node.now(), self.number, advice))

    async def failed(self, error: BaseException) -> Order | None:
        """The body has raised: tell the run's actor."""
        run = self._run
        handle = run.handle
        for_good = handle is not None and handle.wanted_elsewhere
        advice = None
        if run.expects(self.number):
            self._failed = True if isinstance(error, Exception) or run.overdue is not None else None
            run.shielded = True
            advice = await advise_on_error(run, error, self._fx)
        return self._tell(raised(error, run.node.now(), self.number, advice, for_good=for_good))

    def broken(self, error: BaseException) -> None:
        """What goes on around the body was interrupted, or failed: the attempt comes to nothing else."""
        run = self._run
        if not self._told and (not self.number or run.expects(self.number)):
            self._told = True
            run.crash(error)

    def _tell(self, message: Returned | Raised) -> Order | None:
        self._told = True
        return self._run.ask(message)

    async def leave(self, error: BaseException | None = None) -> None:
        """Give back what the attempt held, whatever it came to. A second time, nothing happens.

        Args:
            error: What has ended it from outside.
        """
        self.give_back()
        recording, self.recording = self.recording, NOT_RECORDED
        if recording is not NOT_RECORDED:
            closed = isinstance(error, GeneratorExit)  # then nothing can be waited for any more
            await recording.leave(BLOCKING if closed else self._fx, error)

    def give_back(self) -> None:
        """Give back what the attempt had of limits. A second time, nothing happens."""
        slots, self._slots = self._slots, None
        if slots is not None:
            self._run.engine.limits.attempts.give_back(slots, failed=self._failed)


async def follow(run: TaskRun, order: Order | None, fx: Effects) -> Order | None:
    """Do what the run's actor says.

    Returns:
        EXECUTE when another attempt is to follow at once.
    """
    if order is SETTLE:
        await finish(run, fx)
    elif order is EXECUTE:
        run.granted = True  # the run is RUNNING again already, and is not to be admitted once more
        return order
    elif order is not None:
        run.perform(order)
    return None


async def finish(run: TaskRun, fx: Effects) -> None:
    """The run has ended: call the hooks for that, then tell everybody."""
    run.shielded = True
    hooks = run.task.hooks_at(run.type)
    try:
        if hooks:
            await call_hooks(hooks, run.task, run, run.state, fx)
    finally:
        run.settle_up()


def name_run(run: TaskRun, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
    """Give the run the name that its task has for it, unless it has that already."""
    run_name, facts = run.task.run_name, run.facts
    if run_name is not None and (facts is None or facts.name is None):
        run.known().name = run_name.make(run.task.shape.by_name(args, kwargs))


def prints_of(run: TaskRun) -> AbstractContextManager[Any]:
    """What to call a body in, so that its prints go where they should."""
    return capture_prints(logger_of_prints if run.node.logs_prints else None)


def _call(fn: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    return _listed(fn(*args, **kwargs))


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, GeneratorType) else value
