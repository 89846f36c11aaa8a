"""Leaving a flow's body: the wait for all that it has started, and for what it has returned.

Decides what an interrupt of that wait does: it cancels what still runs, and is what the body came to. Sync and async
flows differ in how they wait, and in what a second interrupt means: a thread gives up what it waits for, and a loop
waits on. What the flow run comes to in the end is the supervisor's to say.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.actors.outcomes import pause_in
from millrace.runtime.inputs import futures_in, holds_futures
from millrace.runtime.resolving import resolve_futures_to_states
from millrace.runtime.waiting import wait_until_done

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun


def leave(run: FlowRun, error: BaseException | None) -> BaseException | None:
    """Block until all that a sync flow started has ended; an interrupt cancels it, a second one gives it up.

    Returns:
        What the body came to, or the last interrupt of the wait.
    """
    while True:
        try:
            if is_crash(error):
                run.interrupt(why_of(error))
            run.close_generators()
            run.join()
        except BaseException as again:  # noqa: BLE001  # an interrupt of the wait, mostly
            if is_crash(error):
                run.give_up_children(why_of(again))
            error = again
        else:
            return error


async def leave_async(run: FlowRun, error: BaseException | None) -> BaseException | None:
    """Wait until all that an async flow started has ended; an interrupt cancels it.

    Returns:
        What the body came to, or the last interrupt of the wait.
    """
    if is_crash(error):
        run.interrupt(why_of(error))
    run.close_generators()
    while run.unfinished():
        try:
            await (_join_shielded(run) if is_crash(error) else run.join_async())
        except GeneratorExit:
            raise
        except BaseException as again:  # noqa: BLE001  # a cancellation of the wait
            error = again
            run.interrupt(why_of(again))
    return error


async def _join_shielded(run: FlowRun) -> None:
    """Wait for the last child although a cancel scope around the flow cancels every wait in it."""
    from anyio import CancelScope  # noqa: PLC0415  # a tenth of the import, and only an interrupted flow needs it

    with CancelScope(shield=True):
        await run.join_async()


async def states_of(value: Any, run: FlowRun) -> Any:
    """A returned value with its futures replaced by states; those of this scope have ended, others are waited for."""
    if holds_futures(value):
        for future in futures_in(value):
            await wait_until_done(future.source, run.engine.lane_here())
        return resolve_futures_to_states(value)
    return value


def is_crash(error: BaseException | None) -> bool:
    """Whether what a body came to is neither a failure nor a pause, and so ends all that it has started."""
    return error is not None and not isinstance(error, Exception) and pause_in(error) is None


def why_of(error: BaseException | None) -> str:
    """What those are told that are ended because of it."""
    return f"its flow run was interrupted by {type(error).__name__}"
