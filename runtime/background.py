"""Background: runs of flows that are started and not awaited.

Decides where they run: an async one in an asyncio task of its own, on the running loop or on the engine's; a sync one
in a thread of its own. What they come to is in their states, as there is nobody to raise it to.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Coroutine
from contextvars import Context, copy_context
from threading import Thread
from typing import Any

from millrace.runtime.flow_body import conclude, see_through, see_through_async
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.running import running_loop


def start(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """See a run through in the background."""
    if run.blocks:
        _start_thread(run, args, kwargs, wait_for)
    elif _turns_elsewhere(run):
        start_on_loop(run, args, kwargs, wait_for)
    else:
        _start_task(run, (args, kwargs, wait_for), copy_context())


def _turns_elsewhere(run: FlowRun) -> bool:
    """Whether it needs another loop than that of this thread: there is none here, or this very code holds it up."""
    loop = running_loop()
    return loop is None or (run.parent is not None and loop in run.parent.held_loops())


def start_on_loop(run: FlowRun, args: tuple[Any, ...], kwargs: dict[str, Any], wait_for: Any) -> None:
    """See the run of an async flow through on a loop that turns: that of the run around it, else the engine's own."""
    context = copy_context()
    lane = run.parent.lane_for_async() if run.parent is not None else run.engine.own_lane()
    run.loop_lane = lane  # known at once: whoever holds up that loop must not wait for the run
    lane.post(lambda: _start_task(run, (args, kwargs, wait_for), context))


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


def _start_task(run: FlowRun, call: tuple[tuple[Any, ...], dict[str, Any], Any], context: Context) -> None:
    """See a run through in a task of its own, on the running loop."""
    engine = run.engine
    run.loop_lane = engine.lane_here()
    see_through_body = see_through_async(run, *call)
    body = _to_the_end(see_through_body)
    task = asyncio.get_running_loop().create_task(body, context=context)
    engine.keep(task)

    def over(_: asyncio.Task[None]) -> None:
        engine.let_go(task)
        if inspect.getcoroutinestate(see_through_body) == inspect.CORO_CREATED:
            body.close()  # it was cancelled before its first step
            see_through_body.close()
            conclude(run, None, asyncio.CancelledError())

    task.add_done_callback(over)


async def _to_the_end(body: Coroutine[Any, Any, None]) -> None:
    """A background run's errors are in its state; its task has nobody to raise them to."""
    try:
        await body
    except (KeyboardInterrupt, asyncio.CancelledError):
        raise  # they are meant for the task and the loop
    except BaseException:  # noqa: BLE001, S110  # recorded by the run before it was raised
        pass
