"""The end of an engine: nothing new, then nothing that runs, then no threads.

Decides in which order things end, what is waited for and how long, and what an interrupt of that wait does: it cancels
what runs, and is raised when all has ended. The same for sync and async code, which differ in how they wait.
What is done after the end of a flow run, its last hooks, gets as long as what is cancelled may take to stop.
"""

from __future__ import annotations

import asyncio
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any

from millrace.runtime.futures import FlowFuture
from millrace.runtime.waiting import LoopWaiter, ThreadWaiter, block_until_done

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow_run import FlowRun


async def end_async(engine: Engine, *, cancel: bool) -> None:
    """See `Engine.aclose`."""
    from anyio import CancelScope  # noqa: PLC0415  # a tenth of the import, and only the end of an engine needs it

    engine.closed = True
    interrupt: BaseException | None = None
    with CancelScope(shield=True) if cancel else nullcontext():
        if cancel:
            engine.cancel_all()
        try:
            await _drain_async(engine)
        except BaseException as error:  # noqa: BLE001  # raised again when all has ended
            interrupt = error
    with CancelScope(shield=True):
        while interrupt is not None:
            engine.cancel_all()
            try:
                await _drain_async(engine)
                break
            except asyncio.CancelledError as again:
                interrupt = again
        await _see_off_async(engine)
        await _end_threads(engine)
        await _end_writing(engine)
    if interrupt is not None:
        raise interrupt


def end(engine: Engine, *, cancel: bool) -> None:
    """See `Engine.close`."""
    engine.closed = True
    try:
        if cancel:
            engine.cancel_all()
        _drain(engine)
    except BaseException:  # an interrupt of the wait
        engine.cancel_all()
        _drain(engine)
        raise
    finally:
        _see_off(engine)
        _end_offload(engine)
        own = engine.loops.last()
        for thread in own:
            thread.stop()
        for thread in own:
            thread.join(engine.grace_seconds + 1)
        if engine.chronicle is not None:
            engine.chronicle.writer.stop()
            engine.chronicle.writer.join(engine.grace_seconds + 1)


async def _drain_async(engine: Engine) -> None:
    _give_up_the_dead(engine)
    for run in engine.flow_runs():
        await FlowFuture[Any].of(run).wait_async()
    await engine.root.join_async()


def _drain(engine: Engine) -> None:
    _give_up_the_dead(engine)
    for run in engine.flow_runs():
        block_until_done(run, None)
    engine.root.join()


def _give_up_the_dead(engine: Engine) -> None:
    """End what nothing else will end any more."""
    engine.give_up_the_dead()
    for run in engine.flow_runs():
        if run.let_go:
            run.leave_it()
        elif run.parent is None and run.conductor is not None and run.conductor.iteration is not None:
            run.conductor.iteration.leave()  # nothing, unless its body waits to be asked for more


def _leaving(engine: Engine) -> list[FlowRun]:
    """Flow runs that have ended, and of which somebody does yet what was to be done then: their last hooks."""
    return [run for run in engine.flow_runs() if run.ended]


async def _see_off_async(engine: Engine) -> None:
    """Wait for what is done after the end of flow runs, as long as what is cancelled may take to stop."""
    left = _leaving(engine)
    gone = LoopWaiter(engine.lane_here(), len(left))
    engine.roll.tell_when_gone(left, gone)
    with suppress(TimeoutError):
        async with asyncio.timeout(engine.grace_seconds + 1):
            await gone.wait()


def _see_off(engine: Engine) -> None:
    left = _leaving(engine)
    gone = ThreadWaiter(len(left))
    engine.roll.tell_when_gone(left, gone)
    gone.wait(engine.grace_seconds + 1)


def _end_offload(engine: Engine) -> None:
    """End the threads for sync code. Hooks that go on there may wait on loops that end later."""
    engine.offload.close(wait=not _leaving(engine))


async def _end_threads(engine: Engine) -> None:
    _end_offload(engine)
    engine.loops.let_go_here()
    own = engine.loops.last()
    ended = LoopWaiter(engine.lane_here(), len(own))
    for thread in own:
        thread.stop(ended.notify)
    try:
        async with asyncio.timeout(engine.grace_seconds + 1):
            await ended.wait()
    except TimeoutError:
        return  # a body that blocks its loop; the thread is a daemon
    for thread in own:
        thread.join(1)  # it has nothing to do any more


async def _end_writing(engine: Engine) -> None:
    if engine.chronicle is None:
        return
    writer = engine.chronicle.writer
    ended = LoopWaiter(engine.lane_here())
    writer.stop(ended.notify)
    await ended.wait()
    writer.join(1)
