"""Walking: the steps of a commit or a rollback are performed, one after the other.

Decides what an interrupt does to a step: a hook of a commit is ended by it, everything else is seen through. Either way
the walk is told, goes on to its own end, and only then the interrupt goes on up. Which steps there are, the walk says.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Protocol

from millrace.actors.transaction_state import Action, Outcome, Step, Steps
from millrace.runtime.effects import BLOCKING, Effects


class Performer(Protocol):
    """A transaction, as it looks from here."""

    async def perform(self, step: Step, fx: Effects) -> None:
        """Do what a step asks for."""

    def suspends(self, step: Step) -> bool:
        """Whether that may wait for anything."""
        ...

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
    work = performer.perform(step, fx)
    try:
        if step.action is not Action.COMMIT_HOOK and performer.suspends(step):
            return True, await finish(work, fx)
        await work
    except Exception as error:  # noqa: BLE001  # whatever a hook or a storage raises; the walk knows what follows
        performer.report(step, error)
        return False, None
    except GeneratorExit:
        raise
    except BaseException as stop:  # noqa: BLE001  # raised by `walk`, in the end
        return False, stop
    return True, None


async def finish(work: Coroutine[Any, Any, None], fx: Effects) -> BaseException | None:
    """See something through, whatever is cancelled meanwhile.

    Returns:
        The last cancellation.
    """
    if fx is BLOCKING:
        await work
        return None
    from anyio import CancelScope  # noqa: PLC0415  # a tenth of the import, and few transactions come here

    cancelled: BaseException | None = None
    closed: GeneratorExit | None = None
    # In a task of its own, as that is what a cancellation of this one does not reach; and behind a shield, as a
    # cancelled scope around this one would cancel each wait anew.
    task = asyncio.get_running_loop().create_task(work)
    try:
        with CancelScope(shield=True):
            while not task.done() and closed is None:
                try:
                    await asyncio.wait([task])
                except asyncio.CancelledError as again:
                    cancelled = again
                except GeneratorExit as closing:
                    closed = closing  # the task goes on by itself
    except RuntimeError:
        if closed is None:  # else it is closed in another task than it was running in, and the scope objects
            raise
    if closed is not None:
        raise closed
    task.result()
    return cancelled
