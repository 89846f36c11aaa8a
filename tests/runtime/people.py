"""People who attend to flow runs that are paused, and what the bodies of such runs need for tests."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from contextvars import Context, copy_context
from queue import SimpleQueue
from threading import Semaphore, Thread
from typing import Any, TypeVar
from uuid import UUID

from millrace import (
    Engine,
    Event,
    FlowFuture,
    FlowRun,
    FlowRunContext,
    State,
    StateType,
    pause_flow_run,
    propose_state,
    resume_flow_run,
    run_flow,
    suspend_flow_run,
)
from millrace.runtime.entering import ENTERED
from tests.runtime.worlds import PATIENCE, World

R = TypeVar("R")

Act = Callable[[FlowRun], Any]


def this_run() -> FlowRun:
    """The flow run that the code at hand belongs to."""
    context = FlowRunContext.get()
    assert context is not None
    return context.flow_run


async def settled(value: Any) -> Any:
    """What a call gives, in a body of either kind."""
    return await value if inspect.isawaitable(value) else value


async def pause(**options: Any) -> Any:
    """Pause in a body of either kind."""
    return await settled(pause_flow_run(**options))


async def suspend(**options: Any) -> Any:
    """Suspend in a body of either kind."""
    return await settled(suspend_flow_run(**options))


def names(run: FlowRun) -> list[str]:
    """The names of all states that a run has had."""
    return [state.name for state in run.history()]


def resumed_with(run_input: Any = None) -> Act:
    """To resume a run, with some input."""
    return lambda run: resume_flow_run(run.uuid, run_input)


resumed = resumed_with()
"""To resume a run."""


def cancelled(run: FlowRun) -> None:
    """To cancel a run."""
    run.cancel()


class Watcher:
    """Counts what happens to the runs of an engine.

    Args:
        engine: The engine.
        wanted: Which events count.
    """

    def __init__(self, engine: Engine, wanted: Callable[[Event], bool]) -> None:
        self._wanted = wanted
        self._seen = Semaphore(0)
        engine.subscribe(self._told)

    def _told(self, event: Event) -> None:
        if self._wanted(event):
            self._seen.release()

    def await_one(self, count: int = 1) -> None:
        """Block until it has happened so many times more."""
        for _ in range(count):
            assert self._seen.acquire(timeout=PATIENCE), "It did not happen."


class Person:
    """Waits, in a thread, until a flow run is paused, and does something then: another thing for each pause.

    Args:
        engine: The engine that the flow runs belong to.
        acts: What is done, one after the other.
    """

    def __init__(self, engine: Engine, *acts: Act) -> None:
        self._engine = engine
        self._acts = acts
        self._paused: SimpleQueue[UUID] = SimpleQueue()
        self._error: BaseException | None = None
        self.runs: list[FlowRun] = []  # that it has attended to
        engine.subscribe(self._told)
        context = copy_context()
        context.run(ENTERED.set, engine)
        self._thread = Thread(target=context.run, args=(self._attend,), daemon=True)
        self._thread.start()

    def _told(self, event: Event) -> None:
        if event.task_run_id is None and event.state.is_paused():
            assert event.flow_run_id is not None
            self._paused.put(event.flow_run_id)

    def _attend(self) -> None:
        try:
            for act in self._acts:
                run = self._engine.find_flow_run(self._paused.get(timeout=PATIENCE))
                self.runs.append(run)
                act(run)
        except BaseException as error:  # noqa: BLE001  # raised by `done`
            self._error = error
            self._engine.cancel_all("The person who attends to it has made a mistake.")

    def done(self) -> None:
        """Wait until all has been done."""
        self._thread.join(PATIENCE)
        if self._error is not None:
            raise self._error
        assert not self._thread.is_alive(), f"It was paused {len(self.runs)} times only."


def proposed(state: Any) -> Act:
    """To propose a state to a run."""
    return lambda run: propose_state(state, flow_run_id=run.uuid)


def suspended_run(world: World, flow: Any, engine: Engine, *args: Any, **kwargs: Any) -> FlowRun:
    """Call a flow that is suspended, and give the run."""
    state = world.run(flow, *args, engine=engine, return_state=True, **kwargs)
    assert (state.type, state.name) == (StateType.PAUSED, "Suspended"), state
    return engine.find_flow_run(id_of(state))


def id_of(state: State[Any]) -> UUID:
    """The id of the flow run that a state is one of."""
    run_id = state.state_details.flow_run_id
    assert run_id is not None
    return run_id


def in_engine(engine: Engine, call: Callable[..., R], *args: Any, **kwargs: Any) -> R:
    """Call something outside of any run, where an engine is the current one."""
    context = Context()
    context.run(ENTERED.set, engine)
    return context.run(call, *args, **kwargs)


def resume(run: FlowRun, run_input: Any = None) -> FlowFuture[Any]:
    """Resume a run from outside."""
    return in_engine(run.engine, resume_flow_run, run.uuid, run_input)


def execute(world: World, made: Any, run_id: UUID, **options: Any) -> Any:
    """Execute a run by its id, from plain code."""
    if not world.async_flows:
        return run_flow(made, flow_run_id=run_id, **options)

    async def main() -> Any:
        return await run_flow(made, flow_run_id=run_id, **options)

    with asyncio.Runner(loop_factory=world.new_loop) as runner:
        return runner.run(main())
