"""One attempt of a flow run: admission, the body, the wait for all that it started.

Decides nothing about states; every decision is the supervisor's, and what comes around attempts is the conductor's.
Sync and async bodies differ in how the body is run and in how is waited.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Generator
from contextlib import AbstractContextManager
from contextvars import Context, copy_context
from time import sleep
from types import GeneratorType
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import ConfigurationError, UpstreamTaskError
from millrace.actors.instructions import PARK, SETTLE, WakeAt
from millrace.actors.messages import Admit, Returned
from millrace.actors.states import StateType
from millrace.runtime.attempt import AsItIs, Interruptible, drive, raised
from millrace.runtime.conductor import Arguments, Conductor, Outcome
from millrace.runtime.context import CURRENT, TAGS
from millrace.runtime.effects import in_thread
from millrace.runtime.flow_leaving import is_crash, leave, leave_async, states_of, why_of
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.futures import refuse_to_block
from millrace.runtime.holding import waits_for
from millrace.runtime.inputs import Inputs, good_enough, scan
from millrace.runtime.interrupting import Interruption
from millrace.runtime.logs import logger_of_prints
from millrace.runtime.prints import AS_EVER, capture_prints
from millrace.runtime.resolving import resolve_futures_to_states
from millrace.runtime.waiting import block_until_done, wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.flow_deadlines import FlowDeadline


class Pass(Interruptible):
    """One attempt of a flow's body, on its way. To await it calls a sync body here, and gives what that returns.

    It is also what an async body is cancelled by, as there may be very many at once; see `LoopPass`.

    Args:
        conductor: Sees it through.
    """

    __slots__ = ("_deadline", "_in_vain", "begun", "conductor", "run")

    def __init__(self, conductor: Conductor, task: asyncio.Task[Any] | None = None) -> None:
        super().__init__(task)
        run = self.run = conductor.run
        self.conductor = conductor
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
            if not conductor.ready:  # else they are those of the attempt before
                inputs = self._inputs()
                if inputs is not None:
                    run.sources = inputs.sources
                for upstream, _ in () if inputs is None else inputs.upstreams:
                    await self._wait_until_done(upstream)
                conductor.make_ready(await self._ready(inputs))
            await conductor.announce()
            self.begun = not (run.ended or run.type is StateType.CANCELLING)  # it may have been cancelled since then
        if self.begun and self._deadline is not None:
            self._deadline.start()
        return self.begun

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
        return Outcome(value, error, goes_up=goes_up, in_vain=self._in_vain)

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.stop()

    def _inputs(self) -> Inputs | None:
        run, (args, kwargs), wait_for = self.run, self.conductor.call, self.conductor.wait_for
        if run.flow is None or run.parent is None:
            if wait_for is not None:
                self._in_vain = True
                expected = "nothing, for a flow that is not called inside another one"
                raise ConfigurationError("wait_for", wait_for, expected)
            return None
        return scan(run.flow.shape.name_of, args, kwargs, wait_for, run.parent)

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
        call = args, kwargs = self.conductor.call
        self._in_vain = True
        if inputs is not None:
            if not run.blocks and inputs.have_to_be_read():
                args, kwargs = await in_thread(_resolved, inputs, args, kwargs)
            else:
                args, kwargs = _resolved(inputs, args, kwargs)
            call = args, kwargs
            run.parameters = flow.shape.by_name(args, kwargs)
        if flow.should_validate_parameters:
            converted = flow.plan.convert(flow.name, run.parameters)
            if converted is not run.parameters:
                run.parameters = converted
                call = flow.shape.call_of(converted)
        self._in_vain = False
        if flow.run_name is not None and not run.resumptions:
            run.rename(flow.run_name.make(run.parameters))
        return call

    def __await__(self) -> Generator[Any, Any, Any]:
        try:
            return _at_once(copy_context().run(_call, self))
        finally:
            del self  # an exception holds the frames below its body's, and the run holds that

    def leave(self, value: Any, error: BaseException | None) -> Coroutine[Any, Any, Outcome]:
        """See `left`. Never suspends."""
        return _came_to(self.left(value, error))


class LoopPass(Pass):
    """The same of an async body, which is called in the asyncio task at hand and can be cancelled there.

    Args:
        conductor: Sees it through.
    """

    __slots__ = ("_called", "_context", "closed")

    _context: Context  # of the body; there from its call on

    def __init__(self, conductor: Conductor) -> None:
        super().__init__(conductor, asyncio.current_task())
        self._called = False  # the body has been
        self.closed = False  # the coroutine was closed around it
        conductor.body = self  # before admission: a cancellation right after it finds what to cancel

    def __await__(self) -> Generator[Any, Any, Any]:
        self._called = True
        self._context = copy_context()
        prints = prints_of(self.run)
        try:
            return self._rest_of_body() if prints is AS_EVER else self._printing(prints)
        finally:
            del self  # see `Pass`

    def _printing(self, prints: AbstractContextManager[Any]) -> Generator[Any, Any, Any]:
        context = self._context
        context.run(prints.__enter__)
        try:
            return (yield from self._rest_of_body())
        finally:
            context.run(prints.__exit__, None, None, None)
            del self, context  # see `Pass`

    def _rest_of_body(self) -> Generator[Any, Any, Any]:
        """Take the first step of the body; gives the others, each of which is taken in the body's context, too."""
        context, run = self._context, self.run
        context.run(enter_body, run)
        assert run.flow is not None  # the engine's own scope has no body
        args, kwargs = self.conductor.take_call()
        coroutine: Coroutine[Any, Any, Any] = context.run(run.flow.body, *args, **kwargs)
        del run, args, kwargs  # see `Pass`
        try:
            waits_for = context.run(coroutine.send, None)
        except StopIteration as stop:
            return _at_once(self.returned(stop.value))
        except BaseException:
            del self, context, coroutine
            raise
        return drive(context, coroutine, waits_for, self)

    def returned(self, value: Any) -> Any:
        """The body has returned."""
        return self._context.run(_listed, value)

    raised = AsItIs.raised

    def leave(self, value: Any, error: BaseException | None) -> Coroutine[Any, Any, Outcome]:
        """See `left_async`."""
        self.conductor.body = None
        closed = self.closed or (not self._called and isinstance(error, GeneratorExit))
        return self.left_async(value, error, wanted_elsewhere=self.close(), closed=closed)


async def _came_to(outcome: Outcome) -> Outcome:
    return outcome


def _at_once(value: Any) -> Generator[Any, Any, Any]:
    """What is awaited and does not wait for anything."""
    return value
    yield  # makes it a generator


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
    body, (args, kwargs), prints = run.flow.body, conductor.take_call(), prints_of(run)
    del attempt, run  # see `_attempt`
    try:
        with prints:
            value = call_interruptibly(conductor, body, args, kwargs)
            return call_interruptibly(conductor, list, (value,), {}) if isinstance(value, GeneratorType) else value
    finally:
        del conductor


def _listed(value: Any) -> Any:
    return list(value) if isinstance(value, GeneratorType) else value


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
