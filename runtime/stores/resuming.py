"""Resuming: a recorded flow run is run again, from what it had come to.

Decides which recorded runs may be run again, where their flow and their parameters come from, and that a run that has
ended its process again and again is not run any more unless somebody insists. What is given back to the calls that the
body makes is `replaying`'s; what is taken from the record is `recovery`'s.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from contextvars import Context
from importlib import import_module
from pathlib import Path
from threading import Lock
from types import ModuleType
from typing import Any, Final
from uuid import UUID

from millrace.actors.errors import (
    BlockingCallOnLoop,
    ConfigurationError,
    FlowNotFound,
    NotPausedError,
    RunNotFound,
    RunNotResumable,
    SerializationError,
)
from millrace.actors.states import StateType
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.background import start
from millrace.runtime.cli.targets import A_FLOW, Target
from millrace.runtime.effects import in_thread
from millrace.runtime.engine import Engine, not_a_flow
from millrace.runtime.engines import engine_that_runs
from millrace.runtime.flow import AsyncFlow, BaseFlow, Flow, outcome_of_flow
from millrace.runtime.flow_attempt import conclude
from millrace.runtime.flow_body import see_through, see_through_async
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.futures import FlowFuture
from millrace.runtime.loops import run_in_new_loop
from millrace.runtime.run_ids import is_id, number_of
from millrace.runtime.running import running_loop
from millrace.runtime.stores.chronicle import Chronicle
from millrace.runtime.stores.encoding import decode, serializer_for, state_of
from millrace.runtime.stores.records import Entry
from millrace.runtime.stores.recovery import Recovery
from millrace.runtime.stores.rows import FlowRunRow
from millrace.runtime.stores.sealing import ENTRY, check_entry, parameter_of
from millrace.runtime.stores.verdicts import MOST_DEATHS
from millrace.runtime.taking_up import taken_up

Prepared = tuple[FlowRun, tuple[tuple[Any, ...], dict[str, Any]]]
"""A run that is about to begin, and the arguments of its body."""

_MAY_GO_ON: Final = (StateType.CRASHED, StateType.FAILED)
"""States from which a recorded run may be run again; and from PAUSED, if it is suspended."""


def resume_run(
    run_id: UUID | str,
    flow: BaseFlow[Any, Any] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    force: bool = False,
    any_arguments: bool = False,
    return_state: bool = False,
) -> Any:
    """Run a recorded flow run again, here: results on record are given to the calls that had completed.

    That is for runs that CRASHED, as they do when their process is killed, or FAILED; were suspended, and go on as if
    `resume_flow_run` had given them nothing; or were made ahead (`create_flow_run`), and begin then. The last two need
    no store where they are this engine's. The body runs from its beginning. Each call of a task or subflow that had
    completed gets its result without running again; the first one that had not is run, and so is all that follows.
    Until then the body has to make the same calls.

    Args:
        run_id: The flow run; its id, or a beginning of that no other run has.
        flow: The flow; by default it is taken from the file or module that it was in.
        parameters: In place of those that are on record; for parameters that could not be recorded.
        force: Run it although it has ended its process again and again.
        any_arguments: Give calls the results that they had come to before, also where their arguments are others now;
            by default that is an error.
        return_state: Give the final state instead of the result.

    Returns:
        What calling the flow gives.

    Raises:
        ConfigurationError: the engine has no store, and what was given is the beginning of an id.
        RunNotFound: there is no such run, or there are several with such a beginning.
        RunNotResumable: it has completed, was cancelled, or is running; the time of its suspension is over; or its flow
            or parameters cannot be had.
        ParameterTypeError: this engine has suspended it, and it waits for an input that has to be given.
        FlowOrderChanged: (by the body) it calls something else than it did.
        FlowArgumentsChanged: (by the body) it calls the same with other arguments.
        BlockingCallOnLoop: a loop runs on this thread, and it is not said that the flow is a sync one, whose call would
            block it anyway; use `aresume_run` there.
    """
    if running_loop() is not None and getattr(flow, "is_async", True):
        raise BlockingCallOnLoop("resume_run(...)", "await aresume_run(...)")
    run, call = prepare(_engine_for(run_id), run_id, flow, parameters, force=force, any_arguments=any_arguments)
    if run.blocks:
        see_through(run, *call, None)
    else:
        run_in_new_loop(lambda: see_through_async(run, *call, None))
    return outcome_of_flow(run, return_state=return_state)


async def aresume_run(
    run_id: UUID | str,
    flow: BaseFlow[Any, Any] | None = None,
    *,
    parameters: Mapping[str, Any] | None = None,
    force: bool = False,
    any_arguments: bool = False,
    return_state: bool = False,
) -> Any:
    """The same from async code: an async flow runs on the running loop, a sync one in a thread. See `resume_run`.

    Cancellation: as for a call of an async flow; a sync one goes on, and only the wait ends.
    """
    engine = _engine_for(run_id)
    run, call = await _handed_over(
        lambda: prepare(engine, run_id, flow, parameters, force=force, any_arguments=any_arguments)
    )
    if run.blocks:
        Context().run(start, run, *call, None)
        await FlowFuture[Any].of(run).wait_async()
    else:
        await see_through_async(run, *call, None)
    return outcome_of_flow(run, return_state=return_state)


def _engine_for(run_id: UUID | str) -> Engine:
    """The engine at hand; where that has neither the run nor a store, the one of this process that has the run."""
    engine = Engine.current()
    if engine.chronicle is not None or engine.has_flow_run(run_id):
        return engine
    return engine_that_runs(run_id) or engine


async def _handed_over(prepared: Callable[[], Prepared]) -> Prepared:
    """A run that is brought back in a thread. One that nobody waits for any more is ended: nobody else would.

    Cancellation: the run, if it comes, is CRASHED.
    """
    guard = Lock()
    brought: list[FlowRun] = []
    interrupts: list[BaseException] = []

    def bring() -> Prepared:
        run, call = prepared()
        with guard:
            brought.append(run)
            interrupted = bool(interrupts)
        if interrupted:
            conclude(run, None, interrupts[0])
        return run, call

    try:
        return await in_thread(bring)
    except BaseException as error:
        with guard:
            interrupts.append(error)
            waiting = list(brought)
        for run in waiting:
            conclude(run, None, error)
        raise


def start_resumed(
    engine: Engine,
    run_id: UUID | str,
    flow: BaseFlow[Any, Any] | None = None,
    *,
    force: bool = False,
    any_arguments: bool = False,
) -> FlowFuture[Any]:
    """Run a recorded flow run again in the background. See `resume_run`."""
    run, call = prepare(engine, run_id, flow, None, force=force, any_arguments=any_arguments)
    Context().run(start, run, *call, None)  # with nothing that belongs to whoever resumes it
    return FlowFuture[Any].of(run)  # type: ignore[return-value]


def start_suspended(engine: Engine, run_id: int, run_input: Any) -> FlowFuture[Any]:
    """Let a run go on, in the background, that was suspended by another process. See `resume_flow_run`.

    Raises:
        RunNotFound: there is no such run.
        NotPausedError: it is not suspended.
        RunNotResumable: its flow cannot be had, or the time of its pause is over.
    """
    chronicle = _chronicle_of(engine)
    row = chronicle.writer.store.read_flow_run(run_id)
    if row is None:
        raise RunNotFound(UUID(int=run_id))
    if not row.suspended or row.ahead:
        raise NotPausedError(row.name, row.state.type)
    run, call = prepare(engine, UUID(int=run_id), None, None, force=False, run_input=run_input)
    Context().run(start, run, *call, None)
    return FlowFuture[Any].of(run)  # type: ignore[return-value]


def prepare(  # what a resumption is made of
    engine: Engine,
    run_id: UUID | str,
    flow: BaseFlow[Any, Any] | None,
    parameters: Mapping[str, Any] | None,
    *,
    force: bool,
    any_arguments: bool = False,
    run_input: Any = None,
) -> Prepared:
    """Bring a recorded run back, as far as its body beginning. May block: it reads, and claims the run.

    Args:
        engine: Runs it, and has the store.
        run_id: See `resume_run`.
        flow: See `resume_run`.
        parameters: See `resume_run`.
        force: See `resume_run`.
        any_arguments: See `resume_run`.
        run_input: What it is resumed with, if it is suspended.

    Returns:
        The run, and the arguments of its body.
    """
    if flow is not None and not isinstance(flow, BaseFlow):
        raise not_a_flow(flow, "resume_run()")
    if is_id(run_id) and (engine.chronicle is None or engine.is_let_go(number_of(run_id))):
        return taken_up(engine, run_id, flow, parameters)
    chronicle = _chronicle_of(engine)
    store, writer = chronicle.writer.store, chronicle.writer
    row = find_run(chronicle, run_id)
    somebody_runs = row.ended is None and not row.suspended and not engine.runs_flow(row.id)
    if somebody_runs and writer.do(lambda: store.end_dead_owner(row.id, writer.opened.token, engine.now())):
        row = find_run(chronicle, run_id)
    _check(engine, row, force=force)
    key = _key_of_pause(engine, row) if row.suspended and not row.ahead else None
    flow = flow or find_flow(row)
    if not isinstance(flow, (Flow, AsyncFlow)):
        raise RunNotResumable(row.name, "its flow yields values to whoever iterates over it", "Run the flow anew.")
    given = _parameters(row, flow, parameters)
    call = flow.shape.call_of(given)
    row = writer.do(lambda: store.claim(row.id, writer.opened.token, engine.now()))
    recovery = Recovery.read(store, row, any_arguments=any_arguments)
    recovery.warn_of_losses()
    run = flow.begin_recorded(engine, recovery, given)
    if key is not None:
        _answer(chronicle, run, key, run_input)
    return run, call


def _key_of_pause(engine: Engine, row: FlowRunRow) -> str | None:
    """The key of the pause that a suspended run is in.

    Raises:
        RunNotResumable: its time is over.
    """
    details = state_of(row.state, row.id, None).state_details
    if details.pause_timeout is not None and details.pause_timeout <= from_nanoseconds(engine.now()):
        raise RunNotResumable(row.name, f"its pause was over at {details.pause_timeout}", "Run its flow anew.")
    return details.pause_key


def _answer(chronicle: Chronicle, run: FlowRun, text: str, given: Any) -> None:
    """What the run is resumed with; a pause that counts itself is known by its number, too."""
    keys: list[Any] = [text]
    if text.isdigit():
        keys.append((int(text),))
    for key in keys:
        chronicle.answered(run, key, given)
    run.pauses.restore(dict.fromkeys(keys, given))


def _chronicle_of(engine: Engine) -> Chronicle:
    if engine.chronicle is None:
        raise ConfigurationError("store", None, "an engine with a store, as Engine(store='sqlite:///runs.db')")
    return engine.chronicle


def find_run(chronicle: Chronicle, run_id: UUID | str) -> FlowRunRow:
    """The recorded run with an id, or with the one id that begins so.

    Raises:
        RunNotFound: there is none, or several.
    """
    from millrace.runtime.stores.reading import by_prefix  # noqa: PLC0415  # it reads more than this needs

    return by_prefix(chronicle.writer.store, run_id)


def _check(engine: Engine, row: FlowRunRow, *, force: bool) -> None:
    """Check that a run may be run again.

    Raises:
        RunNotResumable: it may not.
    """
    if engine.runs_flow(row.id):
        advice = "Use resume_flow_run() for a run that is paused." if row.state.type is StateType.PAUSED else ""
        raise RunNotResumable(row.name, "this engine runs it", advice)
    if row.parent is not None:
        reason = f"it belongs to another run, {UUID(int=row.parent)}"
        raise RunNotResumable(row.name, reason, "Resume that one; this one goes on with it.")
    if not row.suspended and row.state.type not in _MAY_GO_ON:
        raise RunNotResumable(row.name, f"it is {row.state.type}", "Run its flow anew.")
    if row.deaths >= MOST_DEATHS and not force:
        raise RunNotResumable(
            row.name,
            f"it is parked, because {row.deaths} processes have died while they ran it",
            "Find out what kills them; then resume it with force=True, or --force.",
        )


def _parameters(row: FlowRunRow, flow: BaseFlow[Any, Any], given: Mapping[str, Any] | None) -> dict[str, Any]:
    """The parameters of a run.

    Raises:
        RunNotResumable: one cannot be had.
    """
    if given is not None:
        return dict(given)
    found: dict[str, Any] = {}
    for name, value in row.parameters.items():
        if name == ENTRY:
            continue
        try:
            reader = serializer_for(flow.result_serializer)
            found[name] = decode(value, reader, where=parameter_of(row.id, name))
        except SerializationError as error:
            reason = f"its parameter '{name}' cannot be had ({error.reason})"
            raise RunNotResumable(row.name, reason, "Give all of them: resume_run(..., parameters={...}).") from error
    return found


# Where the flow is.


def find_flow(row: FlowRunRow) -> BaseFlow[Any, Any]:
    """The flow of a run, from the file or module that it was in.

    Raises:
        RunNotResumable: it is not there.
        BaseException: what the code of the file raises when it is imported.
    """
    entry = row.entry
    advice = "Give the flow: resume_run(..., flow=...)."
    try:
        check_entry(row.id, row.flow, entry, row.parameters.get(ENTRY))
    except SerializationError as error:
        raise RunNotResumable(row.name, f"its flow '{row.flow}' is not looked for ({error.reason})", advice) from error
    try:
        module = _module_of(entry)
    except (FlowNotFound, ImportError) as error:
        raise RunNotResumable(row.name, f"its flow '{row.flow}' cannot be imported ({error})", advice) from error
    found: Any = module
    for part in entry.name.split("."):
        found = getattr(found, part, None)
    if not isinstance(found, BaseFlow):
        flows = (value for value in vars(module).values() if isinstance(value, BaseFlow))
        found = next((each for each in flows if each.name == row.flow), None)
    if found is None:
        where = entry.file or entry.module
        raise RunNotResumable(row.name, f"there is no flow '{row.flow}' in {where} any more", advice)
    flow: BaseFlow[Any, Any] = found
    return flow


def _module_of(entry: Entry) -> ModuleType:
    """The module of a flow, imported now if it was not."""
    for module in tuple(sys.modules.values()):  # also where the flow's script is the one that runs
        if entry.file and _is_at(getattr(module, "__file__", None), entry.file):
            return module
    if entry.module and entry.module != "__main__":
        try:
            module = import_module(entry.module)
        except ModuleNotFoundError:
            if not entry.file:
                raise
        else:
            if not Path(entry.file).is_file() or _is_at(getattr(module, "__file__", None), entry.file):
                return module
    return Target(entry.file, None, A_FLOW).load()


def _is_at(file: object, where: str) -> bool:
    return isinstance(file, str) and os.path.realpath(file) == os.path.realpath(Path(where))
