"""Cancelling at every checkpoint: run something for each pass of the loop that it takes, and cut it off there."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from typing import Any

from anyio import CancelScope

from millrace import Engine, Event, State
from tests.invariants import check_at_rest

MOST = 2_000
"""Passes that nothing in the tests should need; a guard against a run that does not end."""


async def turns(n: int = 10) -> None:
    """Let the loop turn so many times."""
    for _ in range(n):
        await asyncio.sleep(0)


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until something is the case, for a bounded time."""
    async with asyncio.timeout(20):
        while not condition():  # noqa: ASYNC110  # what is waited for happens in other threads, too, and sets no event
            await asyncio.sleep(0)


class Trial:
    """One run of something that is cut off after so many passes of the loop.

    Attributes:
        passes: How many.
        engine: The engine that it runs in.
        scope: The cancel scope of anyio that it runs in.
        events: Every transition so far.
    """

    def __init__(self, passes: int, engine: Engine) -> None:
        self.passes = passes
        self.engine = engine
        self.scope = CancelScope()
        self.events: list[Event] = []
        engine.subscribe(self.events.append)

    def last_states(self) -> dict[Any, State[Any]]:
        """The last state of each run, by id."""
        return {each.task_run_id or each.flow_run_id: each.state for each in self.events}

    def flow_state(self) -> State[Any] | None:
        """The last state of the outermost flow run; None if it never began."""
        first = next((each.flow_run_id for each in self.events if each.task_run_id is None), None)
        return None if first is None else self.last_states()[first]


Cut = Callable[[Trial, "asyncio.Task[Any]"], Awaitable[None]]


async def cut_by_asyncio(_trial: Trial, task: asyncio.Task[Any]) -> None:
    """Cancel the asyncio task that awaits the flow."""
    task.cancel()


async def cut_by_asyncio_again_and_again(_trial: Trial, task: asyncio.Task[Any]) -> None:
    """Cancel the asyncio task, and cancel it again while it cleans up."""
    for _ in range(4):
        task.cancel()
        await asyncio.sleep(0)


async def cut_by_scope(trial: Trial, _task: asyncio.Task[Any]) -> None:
    """Cancel the scope of anyio around the flow, which delivers the cancellation until it is obeyed."""
    trial.scope.cancel()


async def cut_by_engine(trial: Trial, _task: asyncio.Task[Any]) -> None:
    """Cancel the outermost flow run through the engine."""
    for run in trial.engine.flow_runs():
        if run.parent is None:
            run.cancel()


async def at_every_checkpoint(
    make: Callable[[], Coroutine[Any, Any, Any]], cut: Cut, **options: Any
) -> AsyncIterator[Trial]:
    """Run something again and again, cutting it off one pass of the loop later each time, until it ends before that.

    After each trial nothing may be left: no run, no asyncio task, no worker that is busy.

    Args:
        make: Calls the flow.
        cut: Cuts it off.
        **options: Of the engine.

    Yields:
        Each trial, when all has ended.
    """
    for passes in itertools.count():
        assert passes < MOST, "it does not end"
        before = asyncio.all_tasks()
        async with Engine(**options) as engine:
            trial = Trial(passes, engine)
            task = asyncio.create_task(_outcome(make, trial.scope))
            await turns(passes)
            complete = task.done()
            if not complete:
                await cut(trial, task)
            async with asyncio.timeout(20):
                await asyncio.wait([task])
                await until(lambda: not engine.stats().threads.busy)  # a function in a thread returns when it likes
            await _quiet(before)
            check_at_rest(engine)
        for state in trial.last_states().values():
            assert state.is_final() or state.name == "NotReady", f"after {passes} passes: {state!r} was left behind"
        left = asyncio.all_tasks() - before
        assert not left, f"after {passes} passes: {left}"
        yield trial
        if complete:
            assert passes > 0
            return


async def _outcome(make: Callable[[], Coroutine[Any, Any, Any]], scope: CancelScope) -> Any:
    try:
        with scope:
            return await make()
    except Exception as error:  # noqa: BLE001  # the state of the run says it, too
        return error


async def _quiet(before: set[asyncio.Task[Any]]) -> None:
    """Let asyncio tasks that have nothing to do any more take their last step."""
    for _ in range(20):
        if not asyncio.all_tasks() - before:
            return
        await asyncio.sleep(0)
