"""Background: runs of flows that are started and not awaited.

Decides where they run: an async one in an asyncio task of its own, on the running loop or on the engine's; a sync one
in a thread of its own. What they come to is in their states, as there is nobody to raise it to.
"""

from __future__ import annotations

import asyncio
from contextvars import Context, copy_context
from threading import Thread
from typing import Any

from millrace.runtime.conductor import Conductor, Outcome
from millrace.runtime.effects import ON_LOOP
from millrace.runtime.flow_attempt import LoopPass, conclude
from millrace.runtime.flow_body import all_attempts, see_through
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.running import running_loop


def start(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """See a run through in the background."""
    if run.blocks:
        _start_thread(run, args, kwargs, wait_for)
    elif _turns_elsewhere(run):
        start_on_loop(run, args, kwargs, wait_for)
    else:
        _start_task(run, args, kwargs, wait_for, copy_context())


def _turns_elsewhere(run: FlowRun) -> bool:
    """Whether it needs another loop than that of this thread: there is none here, or this very code holds it up."""
    loop = running_loop()
    return loop is None or (run.parent is not None and loop in run.parent.held_loops())


def start_on_loop(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """See the run of an async flow through on a loop that turns: that of the run around it, else the engine's own."""
    context = copy_context()
    lane = run.parent.lane_for_async() if run.parent is not None else run.engine.own_lane()
    run.loop_lane = lane  # known at once: whoever holds up that loop must not wait for the run
    lane.post(lambda: _start_task(run, args, kwargs, wait_for, context))


def _start_thread(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    engine = run.engine
    context = copy_context()

    def body() -> None:
        try:
            context.run(see_through, run, args, kwargs, wait_for)
        except BaseException:  # noqa: BLE001, S110  # it is in the run's state, and the thread has nobody to raise it to
            pass
        finally:
            engine.let_go(thread)

    thread = Thread(target=body, name=f"millrace-{'' if run.flow is None else run.flow.name}", daemon=True)
    engine.keep(thread)
    try:
        thread.start()
    except BaseException as error:
        engine.let_go(thread)
        conclude(run, None, error)
        raise


def _start_task(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any, context: Context) -> None:
    """See a run through in a task of its own, on the running loop."""
    run.loop_lane = run.engine.lane_here()
    conductor = _Background(run, ON_LOOP, (args, kwargs), wait_for)
    task = asyncio.get_running_loop().create_task(all_attempts(conductor, LoopPass), context=context)
    run.engine.keep(task)
    task.add_done_callback(conductor, context=context)


class _Background(Conductor):
    """Sees a run through in an asyncio task of its own; called when that is over.

    There may be very many at once, and what each consists of is looked at by the garbage collector again and again: so
    it is one object, and no closures.
    """

    __slots__ = ()

    def raises(self, end: Outcome) -> bool:
        """What the run raises is in its state; its task has nobody to raise it to, but what is meant for that."""
        return end.goes_up and isinstance(end.error, (KeyboardInterrupt, asyncio.CancelledError))

    def __call__(self, task: asyncio.Task[None]) -> None:
        run = self.run
        run.engine.let_go(task)
        if not task.cancelled():
            task.exception()  # looked at: a fault of the engine's own has ended the run, and so is in its state
        if not self.begun:  # it was cancelled before its first step
            conclude(run, None, asyncio.CancelledError())
