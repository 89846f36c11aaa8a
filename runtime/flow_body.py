"""The body of a flow run, seen through: admission, the body, the wait for all that it started, the end.

Decides nothing about states; every decision is the supervisor's. Sync and async bodies differ in how the body is run
and in how is waited. A crash is recorded before the exception that made it goes on up.
"""

from __future__ import annotations

import asyncio
import types
from collections.abc import Callable, Coroutine, Generator
from contextvars import Context, copy_context
from time import sleep
from typing import Any

from millrace.actors.errors import ConfigurationError, Pause, UpstreamTaskError
from millrace.actors.messages import Admit, Returned
from millrace.actors.states import StateType
from millrace.runtime.attempt import AsItIs, Interruptible, drive, raised, run_blocking
from millrace.runtime.conductor import Conductor, Outcome
from millrace.runtime.context import CURRENT, TAGS
from millrace.runtime.effects import BLOCKING, ON_LOOP
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.futures import refuse_to_block
from millrace.runtime.inputs import Inputs, futures_in, good_enough, holds_futures, scan
from millrace.runtime.interrupting import Interruption
from millrace.runtime.logs import get_run_logger
from millrace.runtime.prints import capture_prints
from millrace.runtime.resolving import resolve_futures_to_states
from millrace.runtime.running import running_loop
from millrace.runtime.waiting import block_until_done, wait_until_done


def see_through(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """Run a sync flow on this thread, to the end of its last attempt.

    Raises:
        BaseException: what interrupted the body or the wait for its children, after it was recorded.
    """
    run.enter_on(running_loop())
    conductor = run.conductor = Conductor(run, BLOCKING)

    async def attempt() -> Outcome:
        return await _attempt(run, conductor, args, kwargs, wait_for)

    run_blocking(conductor.see_through(attempt))


async def _attempt(
    run: FlowRun, conductor: Conductor, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> Outcome:
    """One attempt of a sync flow. Never suspends."""
    if run.found is not None:
        return Outcome(run.found.data)
    value: Any = None
    error: BaseException | None = None
    begun = False
    try:
        begun = _admitted(run)
        inputs = _inputs(run, args, kwargs, wait_for) if begun else None
        if inputs is not None:
            for upstream, _ in inputs.upstreams:
                if not upstream.done:
                    refuse_to_block(upstream, f"{run.name}, with a future that is not done", "await the future first")
                    with upstream.lend():
                        block_until_done(upstream, None)
        if begun:
            args, kwargs = _ready(run, inputs, args, kwargs)
            await conductor.announce()
            with conductor.clock():
                value = copy_context().run(_call_interruptibly, run, conductor, args, kwargs)
    except BaseException as raised:  # noqa: BLE001  # whatever a body raises is its run's outcome
        error = raised
    error = _leave(run, error)
    if error is None and begun:
        try:
            value = resolve_futures_to_states(value)
        except BaseException as raised:  # noqa: BLE001  # futures of other runs are waited for here, too
            error = raised
    error = _leave_runner(run, error)
    return Outcome(value, error if begun else asyncio.CancelledError(), goes_up=_is_crash(error))


def _call_interruptibly(run: FlowRun, conductor: Conductor, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Call a sync body; where it has a deadline, so that it can be interrupted at that."""
    with capture_prints(get_run_logger if run.log_prints else None):
        fn = _body(run)
        if run.flow is None or run.flow.timeout_seconds is None:
            return fn(*args, **kwargs)
        interruption = conductor.interruption = Interruption(run)
        try:
            return interruption.call(fn, args, kwargs)
        finally:
            conductor.interruption = None


def _admitted(run: FlowRun) -> bool:
    """Propose RUNNING; whether the body is to be run. Not where the run was cancelled before it began."""
    if run.type is StateType.PENDING or run.type is StateType.PAUSED:
        run.ask(Admit(run.engine.now()))  # else it is another attempt, which was admitted when the one before ended
    while run.type is StateType.PENDING:  # another thread has the run's turn, for the length of a few function calls
        sleep(0)
    if run.type is StateType.RUNNING and run.runner is None and run.flow is not None:
        runner = run.flow.task_runner
        run.runner = None if runner is None else runner.duplicate().__enter__()
    return run.type is StateType.RUNNING


def _leave(run: FlowRun, error: BaseException | None) -> BaseException | None:
    """Block until all that a sync flow started has ended; an interrupt cancels it, a second one gives it up.

    Returns:
        What the body came to, or the last interrupt of the wait.
    """
    while True:
        try:
            if _is_crash(error):
                run.interrupt(_why(error))
            run.close_generators()
            run.join()
        except BaseException as again:  # noqa: BLE001  # an interrupt of the wait, mostly
            if _is_crash(error):
                run.give_up_children(_why(again))
            error = again
        else:
            return error


async def see_through_async(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """Run an async flow in this task, to the end of its last attempt.

    Raises:
        BaseException: what interrupted the body or the wait for its children, after it was recorded.
    """
    run.loop_lane = run.engine.lane_here()
    conductor = run.conductor = Conductor(run, ON_LOOP)

    async def attempt() -> Outcome:
        return await _attempt_async(run, conductor, args, kwargs, wait_for)

    await conductor.see_through(attempt)


async def _attempt_async(
    run: FlowRun, conductor: Conductor, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any
) -> Outcome:
    """One attempt of an async flow."""
    if run.found is not None:
        return Outcome(run.found.data)
    value: Any = None
    error: BaseException | None = None
    end = AsItIs()
    body = conductor.body = Interruptible()  # before admission: a cancellation right after it finds the handle
    begun = called = False
    try:
        begun = _admitted(run)
        inputs = _inputs(run, args, kwargs, wait_for) if begun else None
        if inputs is not None:
            for upstream, _ in inputs.upstreams:
                await wait_until_done(upstream, run.engine.lane_here())
        if begun:
            args, kwargs = _ready(run, inputs, args, kwargs)
            await conductor.announce()
            called = True
            with conductor.clock():
                value = await _call_async(copy_context(), run, args, kwargs, end)
    except BaseException as raised:  # noqa: BLE001  # whatever a body raises is its run's outcome
        error = raised
    conductor.body = None
    wanted_elsewhere = body.close()
    try:
        closed = end.closed or (not called and isinstance(error, GeneratorExit))
        if closed and error is not None:
            raise error
        left = await _leave_async(run, error)
        if left is error is None and begun:
            try:
                value = await _states(value, run)
            except BaseException as raised:  # noqa: BLE001  # a cancellation of the wait for a future of another scope
                left = raised
    except GeneratorExit as closing:  # the coroutine was closed: nothing can be waited for any more
        run.interrupt(_why(closing))
        run.give_up_children(_why(closing))
        run.conductor = None
        conclude(run, None, closing)
        raise
    wanted_elsewhere |= left is not error
    told_to_stop = (run.type is StateType.CANCELLING or run.expired is not None) and not wanted_elsewhere
    goes_up = _is_crash(left) and not (told_to_stop and isinstance(left, asyncio.CancelledError))
    left = _leave_runner(run, left)
    return Outcome(value, left if begun else asyncio.CancelledError(), goes_up=goes_up)


async def _leave_async(run: FlowRun, error: BaseException | None) -> BaseException | None:
    """Wait until all that an async flow started has ended; an interrupt cancels it.

    Returns:
        What the body came to, or the last interrupt of the wait.
    """
    if _is_crash(error):
        run.interrupt(_why(error))
    run.close_generators()
    while run.live:
        try:
            await (_join_shielded(run) if _is_crash(error) else run.join_async())
        except GeneratorExit:
            raise
        except BaseException as again:  # noqa: BLE001  # a cancellation of the wait
            error = again
            run.interrupt(_why(again))
    return error


async def _join_shielded(run: FlowRun) -> None:
    """Wait for the last child although a cancel scope around the flow cancels every wait in it."""
    from anyio import CancelScope  # noqa: PLC0415  # a tenth of the import, and only an interrupted flow needs it

    with CancelScope(shield=True):
        await run.join_async()


async def _states(value: Any, run: FlowRun) -> Any:
    """A returned value with its futures replaced by states; those of this scope have ended, others are waited for."""
    if holds_futures(value):
        for future in futures_in(value):
            await wait_until_done(future.source, run.engine.lane_here())
        return resolve_futures_to_states(value)
    return value


def _body(run: FlowRun) -> Callable[..., Any]:
    """The body, to be called in this context, which is the run's from now on."""
    CURRENT.set(run)
    if run.tags:
        TAGS.set(run.tags)
    assert run.flow is not None  # the engine's own scope has no body
    return run.flow.fn


@types.coroutine
def _call_async(
    context: Context, run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], end: AsItIs
) -> Generator[Any, Any, Any]:
    prints = capture_prints(get_run_logger if run.log_prints else None)
    context.run(prints.__enter__)
    try:
        fn = context.run(_body, run)
        coroutine: Coroutine[Any, Any, Any] = context.run(fn, *args, **kwargs)
        try:
            waits_for = context.run(coroutine.send, None)
        except StopIteration as stop:
            return stop.value
        return (yield from drive(context, coroutine, waits_for, end))
    finally:
        context.run(prints.__exit__, None, None, None)


def _inputs(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> Inputs | None:
    if run.flow is None or run.parent is None:
        if wait_for is not None:
            raise ConfigurationError("wait_for", wait_for, "nothing, for a flow that is not called inside another one")
        return None
    return scan(run.flow.shape.name_of, args, kwargs, wait_for, run.parent)


def _ready(
    run: FlowRun, inputs: Inputs | None, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as the body gets them: futures resolved, and values converted to what their annotations ask for.

    Raises:
        UpstreamTaskError: a run that they depend on did not complete.
        ParameterTypeError: some cannot be converted.
    """
    flow = run.flow
    assert flow is not None  # the engine's own scope has no body
    if inputs is not None:
        args, kwargs = _resolved(inputs, args, kwargs)
        run.parameters = flow.shape.by_name(args, kwargs)
    if flow.should_validate_parameters:
        converted = flow.plan.convert(flow.name, run.parameters)
        if converted is not run.parameters:
            run.parameters = converted
            args, kwargs = flow.shape.call_of(converted)
    if flow.run_name is not None and run.run_count == 1:
        run.rename(flow.run_name.make(run.parameters))
    return args, kwargs


def _resolved(inputs: Inputs, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    for upstream, failure_allowed in inputs.upstreams:
        if not good_enough(upstream.state, failure_allowed=failure_allowed):
            raise UpstreamTaskError(upstream.name, upstream.state)
    resolved, named = inputs.resolve(args, kwargs)
    return resolved, dict(named)


def _is_crash(error: BaseException | None) -> bool:
    return error is not None and not isinstance(error, (Exception, Pause))


def _why(error: BaseException | None) -> str:
    return f"its flow run was interrupted by {type(error).__name__}"


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
