"""The body of a flow run, seen through: admission, the body, the wait for all that it started.

Decides nothing about states; every decision is the supervisor's, and what comes around attempts is the conductor's.
Sync and async bodies differ in how the body is run and in how is waited. A crash is recorded before the exception that
made it goes on up.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context, copy_context
from time import sleep
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import ConfigurationError, UpstreamTaskError
from millrace.actors.instructions import PARK, SETTLE, WakeAt
from millrace.actors.messages import Admit, Returned
from millrace.actors.states import StateType
from millrace.runtime.attempt import InterruptibleAsItIs, drive, raised, run_blocking
from millrace.runtime.conductor import Arguments, Conductor, Outcome
from millrace.runtime.context import CURRENT, TAGS
from millrace.runtime.effects import BLOCKING, ON_LOOP, in_thread
from millrace.runtime.flow_leaving import is_crash, leave, leave_async, states_of, why_of
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.futures import refuse_to_block
from millrace.runtime.holding import waits_for
from millrace.runtime.inputs import Inputs, good_enough, scan
from millrace.runtime.interrupting import Interruption
from millrace.runtime.logs import logger_of_prints
from millrace.runtime.prints import capture_prints
from millrace.runtime.resolving import resolve_futures_to_states
from millrace.runtime.running import running_loop
from millrace.runtime.signals import InBodies, handles_here
from millrace.runtime.waiting import block_until_done, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.flow_deadlines import FlowDeadline


def see_through(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """Run a sync flow on this thread, to the end of its last attempt.

    Raises:
        BaseException: what interrupted the body or the wait for its children, after it was recorded.
    """
    run.enter_on(running_loop())
    conductor = run.conductor = Conductor(run, BLOCKING)

    outermost = (run.parent is None or run.parent.flow is None) and run.outer_loop is None
    whole = conductor.see_through(_attempt, (args, kwargs), wait_for)
    del run, conductor  # an exception that is raised here holds this frame, and the run holds that
    with InBodies() if outermost and handles_here() else nullcontext():
        run_blocking(whole)


async def see_through_async(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """Run an async flow in this task, to the end of its last attempt.

    Raises:
        BaseException: what interrupted the body or the wait for its children, after it was recorded.
    """
    whole = see_through_here(run, args, kwargs, wait_for)
    del run, args, kwargs  # see above
    await whole


def see_through_here(
    run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> Coroutine[Any, Any, None]:
    """The same, called where a loop runs already: what it gives is to be awaited there at once. A coroutine less."""
    run.loop_lane = run.engine.lane_here()
    conductor = run.conductor = Conductor(run, ON_LOOP)
    return conductor.see_through(_attempt_async, (args, kwargs), wait_for)


class Pass:
    """One attempt of a flow's body, on its way.

    Args:
        run: The flow run.
        conductor: Sees it through.
        given: The arguments of the call.
        wait_for: What else it waits for.
    """

    __slots__ = ("_deadline", "_given", "_in_vain", "_wait_for", "begun", "conductor", "run")

    def __init__(self, run: FlowRun, conductor: Conductor, given: Arguments, wait_for: Any) -> None:
        self.run = run
        self.conductor = conductor
        self._given = given
        self._wait_for = wait_for
        self._deadline: FlowDeadline | None = None
        if conductor.timeout_seconds is not None:
            from millrace.runtime.flow_deadlines import FlowDeadline  # noqa: PLC0415  # few flows have one

            self._deadline = FlowDeadline(run, conductor, conductor.timeout_seconds)
        self._in_vain = False  # the arguments cannot be used, and will not be the next time
        self.begun = False  # admitted; not where the run was cancelled before

    async def begin(self) -> bool:
        """Have the run admitted, and see to all that comes before the body; whether that is to be called."""
        run, conductor = self.run, self.conductor
        self.begun = await _admitted(run, conductor)
        if self.begun:
            if conductor.call is None:  # else they are those of the attempt before
                inputs = self._inputs()
                if inputs is not None:
                    run.sources = inputs.sources
                for upstream, _ in () if inputs is None else inputs.upstreams:
                    await self._wait_until_done(upstream)
                conductor.call = await self._ready(inputs)
            await conductor.announce()
            self.begun = not (run.ended or run.type is StateType.CANCELLING)  # it may have been cancelled since then
        if self.begun and self._deadline is not None:
            self._deadline.start()
        return self.begun

    @property
    def call(self) -> Arguments:
        """The arguments of the body."""
        assert self.conductor.call is not None  # it has begun
        return self.conductor.call

    def left(self, value: Any, error: BaseException | None) -> Outcome:
        """Leave an attempt of a sync body: block until all that it has started has ended.

        Args:
            value: What the body returned.
            error: What it raised, or what came before it.
        """
        self.conductor.leaving = True
        error = leave(self.run, error)
        self.conductor.leaving = False
        if error is None and self.begun:
            try:
                value = resolve_futures_to_states(value)
            except BaseException as raised:  # noqa: BLE001  # futures of other runs are waited for here, too
                error = raised
        return self.over(value, error, goes_up=is_crash(error))

    async def left_async(
        self, value: Any, error: BaseException | None, *, wanted_elsewhere: bool, closed: bool
    ) -> Outcome:
        """Leave an attempt of an async body: wait until all that it has started has ended.

        Args:
            value: What the body returned.
            error: What it raised, or what came before it.
            wanted_elsewhere: Somebody else wants the asyncio task cancelled, too.
            closed: The coroutine around the body was closed, so that nothing can be waited for.
        """
        run = self.run
        try:
            if closed and error is not None:
                raise error
            self.conductor.leaving = True
            left = await leave_async(run, error)
            self.conductor.leaving = False
            if left is error is None and self.begun:
                try:
                    value = await states_of(value, run)
                except BaseException as raised:  # noqa: BLE001  # a cancellation of the wait for another scope's future
                    left = raised
        except GeneratorExit as closing:
            self._stop_deadline()
            run.interrupt(why_of(closing))
            run.give_up_children(why_of(closing))
            run.conductor = None
            conclude(run, None, closing)
            raise
        wanted_elsewhere |= left is not error
        told_to_stop = (run.type is StateType.CANCELLING or run.expired is not None) and not wanted_elsewhere
        goes_up = is_crash(left) and not (told_to_stop and isinstance(left, asyncio.CancelledError))
        return self.over(value, left, goes_up=goes_up)

    def over(self, value: Any, error: BaseException | None, *, goes_up: bool = False) -> Outcome:
        """What the attempt came to; all that it has started has ended."""
        self._stop_deadline()
        error = _leave_runner(self.run, error)
        if error is None and not self.begun:
            error = asyncio.CancelledError()
        return Outcome(value, error, goes_up, self._in_vain)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.stop()

    def _inputs(self) -> Inputs | None:
        run, (args, kwargs) = self.run, self._given
        if run.flow is None or run.parent is None:
            if self._wait_for is not None:
                self._in_vain = True
                expected = "nothing, for a flow that is not called inside another one"
                raise ConfigurationError("wait_for", self._wait_for, expected)
            return None
        return scan(run.flow.shape.name_of, args, kwargs, self._wait_for, run.parent)

    async def _wait_until_done(self, upstream: Any) -> None:
        run = self.run
        if upstream.done:
            return
        if not run.blocks:
            with waits_for(upstream, run):
                await wait_until_done(upstream, run.engine.lane_here())
        else:
            refuse_to_block(upstream, f"{run.name}, with a future that is not done", "await the future first")
            with upstream.lend(), waits_for(upstream, run, blocks=True):
                block_until_done(upstream, None)

    async def _ready(self, inputs: Inputs | None) -> Arguments:
        """The arguments as the body gets them: futures resolved, and values as their annotations ask for.

        Raises:
            UpstreamTaskError: a run that they depend on did not complete.
            ParameterTypeError: some cannot be converted.
        """
        run, flow = self.run, self.run.flow
        assert flow is not None  # the engine's own scope has no body
        args, kwargs = self._given
        self._in_vain = True
        if inputs is not None:
            if not run.blocks and inputs.have_to_be_read():
                args, kwargs = await in_thread(_resolved, inputs, args, kwargs)
            else:
                args, kwargs = _resolved(inputs, args, kwargs)
            run.parameters = flow.shape.by_name(args, kwargs)
        if flow.should_validate_parameters:
            converted = flow.plan.convert(flow.name, run.parameters)
            if converted is not run.parameters:
                run.parameters = converted
                args, kwargs = flow.shape.call_of(converted)
        self._in_vain = False
        if flow.run_name is not None and not run.resumptions:
            run.rename(flow.run_name.make(run.parameters))
        return args, kwargs


async def _attempt(run: FlowRun, conductor: Conductor, given: Arguments, wait_for: Any) -> Outcome:
    """One attempt of a sync flow. Never suspends."""
    attempt = Pass(run, conductor, given, wait_for)
    if run.found is not None:
        return Outcome(run.found.data)
    value: Any = None
    error: BaseException | None = None
    try:
        if await attempt.begin():
            value = copy_context().run(_call, attempt)
    except BaseException as raised:  # noqa: BLE001  # whatever a body raises is its run's outcome
        error = raised
    try:
        return attempt.left(value, error)
    finally:
        del run, conductor, attempt, error  # the exception holds the frames below its body's, and the run holds that


async def _attempt_async(run: FlowRun, conductor: Conductor, given: Arguments, wait_for: Any) -> Outcome:
    """One attempt of an async flow."""
    attempt = Pass(run, conductor, given, wait_for)
    if run.found is not None:
        return Outcome(run.found.data)
    value: Any = None
    error: BaseException | None = None
    body = conductor.body = InterruptibleAsItIs()  # before admission: a cancellation right after it finds the handle
    called = False
    try:
        called = await attempt.begin()
        if called:
            value = await _call_async(copy_context(), attempt, body)
    except BaseException as raised:  # noqa: BLE001  # whatever a body raises is its run's outcome
        error = raised
    conductor.body = None
    closed = body.closed or (not called and isinstance(error, GeneratorExit))
    try:
        return await attempt.left_async(value, error, wanted_elsewhere=body.close(), closed=closed)
    finally:
        del run, conductor, attempt, error  # see `_attempt`


def enter_body(run: FlowRun) -> None:
    """Make the context at hand that of the run's body."""
    CURRENT.set(run)
    if run.tags:
        TAGS.set(run.tags)
    if run.replay is not None:
        run.replay.enter()


def prints_of(run: FlowRun) -> AbstractContextManager[Any]:
    """What to call the body in, so that its prints go where they should."""
    return capture_prints(logger_of_prints if run.log_prints else None)


def call_interruptibly(conductor: Conductor, fn: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
    """Call a sync body, or one step of it; where it has a deadline, so that it can be interrupted at that."""
    if conductor.timeout_seconds is None:
        del conductor  # see `_attempt`
        return fn(*args, **kwargs)
    interruption = conductor.interruption = Interruption(conductor.run)
    try:
        return interruption.call(fn, args, kwargs)
    finally:
        conductor.interruption = None
        del conductor, interruption


def _call(attempt: Pass) -> Any:
    run, conductor = attempt.run, attempt.conductor
    enter_body(run)
    assert run.flow is not None  # the engine's own scope has no body
    body, (args, kwargs), prints = run.flow.body, attempt.call, prints_of(run)
    del attempt, run  # see `_attempt`
    try:
        with prints:
            value = call_interruptibly(conductor, body, args, kwargs)
            return call_interruptibly(conductor, list, (value,), {}) if isinstance(value, GeneratorType) else value
    finally:
        del conductor


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, GeneratorType) else value


@types.coroutine
def _call_async(context: Context, attempt: Pass, end: InterruptibleAsItIs) -> Generator[Any, Any, Any]:
    run = attempt.run
    assert run.flow is not None  # the engine's own scope has no body
    prints = prints_of(run)
    context.run(prints.__enter__)
    try:
        context.run(enter_body, run)
        args, kwargs = attempt.call
        coroutine: Coroutine[Any, Any, Any] = context.run(run.flow.body, *args, **kwargs)
        del attempt, run  # see `_attempt`
        try:
            waits_for = context.run(coroutine.send, None)
        except StopIteration as stop:
            return context.run(_listed, stop.value)
        value = yield from drive(context, coroutine, waits_for, end)
        return context.run(_listed, value)
    finally:
        context.run(prints.__exit__, None, None, None)
        del context


_WAITING: Final = (StateType.PENDING, StateType.SCHEDULED)
"""What a run is before its body begins: in the latter, where it was suspended and has been resumed."""

_BEFORE_ITS_END: Final = (*_WAITING, StateType.RUNNING, StateType.PAUSED)
"""What a run may be while its body runs, as others may propose all of these to it; unless it is being stopped."""


async def _admitted(run: FlowRun, conductor: Conductor) -> bool:
    """Propose RUNNING; whether the body is to be run. Not where the run was cancelled before it began."""
    # Another attempt was admitted when the one before ended, whatever has been proposed to the run since then.
    while (run.type in _WAITING or run.held) and not run.attempting:
        order = run.ask(Admit(run.engine.now()))
        if order is SETTLE:
            run.perform(SETTLE)
        elif isinstance(order, WakeAt) or run.held:
            await conductor.listen(order or PARK)
        elif order is None:
            _give_way()  # another thread has the run's turn, for the length of a few function calls
    # It may have been paused, or put off, since then; a body that was cancelled since then never begins.
    begins = run.type is StateType.RUNNING or (run.attempting and run.type in _BEFORE_ITS_END)
    if begins and run.runner is None and run.flow is not None:
        runner = run.flow.task_runner
        run.runner = None if runner is None else runner.begun()
    return begins


def _give_way() -> None:
    """Let other threads go on."""
    sleep(0)


def _resolved(inputs: Inputs, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Arguments:
    for upstream, failure_allowed in inputs.upstreams:
        if not good_enough(upstream.state, failure_allowed=failure_allowed):
            raise UpstreamTaskError(upstream.name, upstream.state)
    resolved, named = inputs.resolve(args, kwargs)
    return resolved, dict(named)


def _leave_runner(run: FlowRun, error: BaseException | None) -> BaseException | None:
    """Leave the task runner of an attempt, which has nothing to do any more.

    Returns:
        What the attempt came to: the error that is given, or that of the runner.
    """
    runner, run.runner = run.runner, None
    if runner is not None:
        try:
            runner.__exit__(None, None, None)
        except Exception as broken:  # noqa: BLE001  # what a runner does is the user's, and so is what goes wrong there
            return error or broken
    return error


def conclude(run: FlowRun, value: Any, error: BaseException | None) -> None:
    """End a run that nobody sees through: its body has never begun, or was closed."""
    error = _leave_runner(run, error)
    now = run.engine.now()
    run.tell(Returned(value, now) if error is None else raised(error, now))
