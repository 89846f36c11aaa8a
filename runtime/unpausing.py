"""Unpausing: a paused or suspended flow run goes on.

Decides whom that is up to: the engine at hand, where it runs the run or has the store that it is suspended in; else the
process that has the store open. That each pause is ended by one and no other is decided by `pauses`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from millrace.actors.errors import BlockingCallOnLoop, NotPausedError
from millrace.actors.messages import Resume
from millrace.runtime.futures import FlowFuture
from millrace.runtime.pausing import converted, engine_with
from millrace.runtime.run_ids import number_of
from millrace.runtime.running import running_loop

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.stores.port import Store


def resume_flow_run(
    flow_run_id: UUID | str, run_input: Any = None, *, store: Store | str | None = None
) -> FlowFuture[Any]:
    """Let a paused or suspended flow run go on. From any thread or task; returns at once.

    A run of another process is found by the store that both have: the process that runs it is told, and what is handed
    over to it can only be what JSON has.

    Args:
        flow_run_id: The flow run.
        run_input: What it waits for, or a mapping from which that can be made. Without it the type's defaults count.
        store: The store, or its URL, of a run of another process; by default that of the engine at hand, else that of
            `MILLRACE_STORE`. Then the id may be a beginning that no other run has.

    Returns:
        The future of the flow run. That of a run of another process comes to the state that the run ends in.

    Raises:
        RunNotFound: no flow run with that id is running here, nor is one in the store.
        RunEnded: it has ended already. (In a store.)
        NotPausedError: it is not paused, or somebody else has resumed it.
        RunNotResumable: it was suspended by another process, and its flow cannot be had.
        ParameterTypeError: the input cannot be converted to the type that the run waits for; it stays paused.
        OwnerUnreachable: the process that runs it is over, or does not answer.
        BlockingCallOnLoop: the run is another process's, and this is the thread of a loop; use `aresume_flow_run`.
    """
    engine = engine_with(flow_run_id, store)
    if engine is None:
        if running_loop() is not None:
            raise BlockingCallOnLoop("resume_flow_run(...)", "await aresume_flow_run(...)")
        from millrace.runtime.stores import by_id  # noqa: PLC0415  # few programs steer others

        with by_id.Steered.of(store) as steered:
            return by_id.resume(steered, flow_run_id, run_input, anywhere=store is None)
    number = number_of(flow_run_id)
    if engine.chronicle is not None and not engine.runs_flow(number):
        from millrace.runtime.stores.resuming import start_suspended  # noqa: PLC0415  # most engines have no store

        return start_suspended(engine, number, run_input)
    return FlowFuture[Any].of(resume_here(engine, number, run_input))  # type: ignore[return-value]


async def aresume_flow_run(
    flow_run_id: UUID | str, run_input: Any = None, *, store: Store | str | None = None
) -> FlowFuture[Any]:
    """The same from async code, where the run may be another process's. See `resume_flow_run`.

    Cancellation: only the wait ends; the run may have been resumed.
    """
    if engine_with(flow_run_id, store) is not None:
        return resume_flow_run(flow_run_id, run_input)
    from millrace.runtime.stores import by_id  # noqa: PLC0415  # few programs steer others

    steered = by_id.Steered.of(store)

    def ask() -> FlowFuture[Any]:
        with steered:
            return by_id.resume(steered, flow_run_id, run_input, anywhere=store is None)

    return await by_id.elsewhere(ask)


def resume_here(engine: Engine, number: int, run_input: Any) -> FlowRun:
    """Let a flow run of this engine go on. See `resume_flow_run`."""
    run = engine.find_flow_run(UUID(int=number))
    run.tell(Resume(end_pause(run, run_input), run.engine.now()))
    return run


def end_pause(run: FlowRun, run_input: Any) -> UUID:
    """Take it upon oneself to let a run go on.

    Returns:
        The id of the state that it is paused by: nobody else will end that pause.

    Raises:
        NotPausedError: it is not paused, or somebody else has resumed it.
        ParameterTypeError: the input cannot be converted to the type that the run waits for; it stays paused.
    """
    paused, pausing = run.state, run.pauses.present
    if pausing is not None and pausing.id != paused.id:
        pausing = None  # it is about to begin; the present one was proposed from outside
    if not run.paused:
        raise NotPausedError(run.name, run.standing if run.stopping else paused)
    given = None if pausing is None else converted(run, pausing.wait_for_input, run_input)
    if not run.pauses.take(paused, pausing):
        raise NotPausedError(run.name, run.state if run.state.id != paused.id else "being resumed already")
    if pausing is not None:
        run.pauses.given[pausing.key] = given
        if run.engine.chronicle is not None:
            run.engine.chronicle.answered(run, pausing.key, given)
    return paused.id
