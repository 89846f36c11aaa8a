"""Walking: the steps of a commit or a rollback are performed, one after the other.

Decides what an interrupt does to a step: a hook of a commit is ended by it, everything else is seen through. Either way
the walk is told, goes on to its own end, and only then the interrupt goes on up. Which steps there are, the walk says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from millrace.actors.transaction_state import Action, Outcome, Step, Steps
from millrace.runtime.effects import BLOCKING, Effects, SeenThrough, wait_out


class Performer(Protocol):
    """A transaction, as it looks from here."""

    async def perform(self, step: Step, fx: Effects) -> None:
        """Do what a step asks for."""

    def report(self, step: Step, error: Exception) -> None:
        """Tell somebody that it went wrong."""


async def walk(steps: Steps, fx: Effects) -> None:
    """Perform steps to the end, then raise what came in between: a cancellation, an interrupt, a closed coroutine."""
    interrupt: BaseException | None = None
    outcome: Any = None  # what a generator is started with
    while True:
        try:
            step = steps.send(outcome)
        except StopIteration:
            break
        try:
            done, stop = await _perform(step, fx)
        except GeneratorExit as closing:  # the coroutine is closed, and must not wait for anything any more
            done, stop, fx = False, closing, BLOCKING
        outcome = Outcome(done=done, interrupted=stop is not None)
        interrupt = interrupt or stop
    if interrupt is not None:
        raise interrupt


async def _perform(step: Step, fx: Effects) -> tuple[bool, BaseException | None]:
    """Whether a step was done, and what came in between."""
    performer: Performer = step.node
    stop: BaseException | None = None
    try:
        if fx is BLOCKING:
            await performer.perform(step, fx)
        elif step.action is Action.ROLLBACK_HOOK:
            hook, stop = await finish(performer.perform(step, fx))
            hook.result()
        else:  # a hook of a commit is not among what that sees through
            through = SeenThrough()
            try:
                await performer.perform(step, through)
            finally:
                stop = through.interrupt
    except Exception as error:  # noqa: BLE001  # whatever a hook or a storage raises; the walk knows what follows
        performer.report(step, error)
        return False, stop
    except BaseException as interrupt:  # noqa: BLE001  # raised by `walk`, in the end
        return False, interrupt
    return True, stop


async def finish(hook: Coroutine[Any, Any, None]) -> tuple[asyncio.Task[None], BaseException | None]:
    """See a hook through, whatever is cancelled meanwhile.

    Returns:
        The task that has called it, and the last cancellation.
    """
    # In a task of its own, as that is what a cancellation of this one does not reach. It goes on if this is closed.
    task = asyncio.get_running_loop().create_task(hook)
    return task, await wait_out(task.done, lambda: asyncio.wait([task]))
