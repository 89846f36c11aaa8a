"""Steering: what the process that has a store open does when another one asks it to.

Decides which requests there are, and what becomes of each: those that are about a run that goes on here are put to that
run, as if somebody here had asked; those about a run that nobody runs, and all that changes what is on record, are
carried out with the store. Whoever steers a store that nobody has open becomes its owner and does the same here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final
from uuid import UUID
from weakref import ref

from millrace.actors.errors import (
    ConfigurationError,
    EngineClosed,
    MillraceError,
    NotPausedError,
    PauseRefused,
    RunEnded,
    RunNotFound,
)
from millrace.actors.messages import Watch
from millrace.runtime.pausing import pause_from_outside
from millrace.runtime.stores.control import Answer, Reply, Request, error_reply
from millrace.runtime.stores.resuming import start_resumed, start_suspended
from millrace.runtime.stores.rows import FlowRunRow
from millrace.runtime.stores.verdicts import MOST_DEATHS, cancel_notice
from millrace.runtime.unpausing import resume_here
from millrace.runtime.waiting import CallbackWatcher

if TYPE_CHECKING:
    from millrace.actors.errors import StoreError
    from millrace.runtime.engine import Engine
    from millrace.runtime.stores.chronicle import Chronicle

DONE: Final[Reply] = {}

AT_A_TIME: Final = 500
"""How many rows are removed before the writer is free for others: about a hundredth of a second."""


class Steering:
    """Does what is asked of an engine from outside its process.

    Args:
        engine: The engine, which has a store. It is not held.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = ref(engine)

    def hear(self, request: Request, answer: Answer) -> None:
        """Do what is asked, and answer that. Raises nothing. See `control.Hear`."""
        engine = self._engine()
        if engine is None:
            answer(error_reply(EngineClosed(f"{request.verb} a run"), ""))
            return
        try:
            obey(engine, request, answer)
        except BaseException as error:  # noqa: BLE001  # it goes to whoever asked
            answer(error_reply(error, chronicle_of(engine).writer.store.name))


def obey(engine: Engine, request: Request, answer: Answer) -> None:
    """Do what is asked, and answer.

    Args:
        engine: The engine, which has the store.
        request: What is asked.
        answer: Takes the answer: later, where something is waited for.

    Raises:
        MillraceError: it cannot be done.
        ValueError: it is no request that is known.
    """
    of_run = _OF_RUNS.get(request.verb)
    of_store = _OF_STORES.get(request.verb)
    if of_run is not None and request.run is not None:
        of_run(engine, request.run, request.options, answer)
    elif of_store is not None:
        answer(of_store(engine, request.options))
    else:
        raise ValueError(f"there is no request '{request.verb}', or not like that")


def chronicle_of(engine: Engine) -> Chronicle:
    """The chronicle of an engine that has a store."""
    assert engine.chronicle is not None  # whoever is steered has one
    return engine.chronicle


# What can be asked about runs.


def _cancel(engine: Engine, run_id: int, _options: Mapping[str, Any], answer: Answer) -> None:
    if engine.runs_flow(run_id):
        engine.find_flow_run(UUID(int=run_id)).cancel("It was cancelled by its id.")
        answer(DONE)
        return
    row = _row(engine, run_id)
    if not row.suspended:
        raise RunEnded("cancel", row.name, row.state.name)
    chronicle = chronicle_of(engine)
    writer = chronicle.writer
    claimed = writer.do(lambda: writer.store.claim(run_id, writer.opened.token, engine.now()))
    writer.put(cancel_notice(claimed.state, engine.now()))
    _answer_when_committed(engine, answer)


def _pause(engine: Engine, run_id: int, options: Mapping[str, Any], answer: Answer) -> None:
    _check_going_on(engine, run_id, "pause")
    run = engine.find_flow_run(UUID(int=run_id))
    timeout, key = options.get("timeout"), options.get("key")
    if not isinstance(key, (str, type(None))):
        raise ConfigurationError("key", key, "text")
    pause_from_outside(run, timeout, key, suspends=bool(options.get("suspends")))
    _answer_when_committed(engine, answer)


def _resume(engine: Engine, run_id: int, options: Mapping[str, Any], answer: Answer) -> None:
    given = options.get("input")
    if engine.runs_flow(run_id):
        resume_here(engine, run_id, given)
    else:
        row = _row(engine, run_id)
        if row.suspended and not row.ahead:
            _ = start_suspended(engine, run_id, given)
        elif options.get("again"):
            force, any_arguments = bool(options.get("force")), bool(options.get("any_arguments"))
            _ = start_resumed(engine, UUID(int=run_id), force=force, any_arguments=any_arguments)
        elif row.ended is not None:
            raise RunEnded("resume", row.name, row.state.name)
        else:
            raise NotPausedError(row.name, row.state.name)
    _answer_when_committed(engine, answer)


def _await(engine: Engine, run_id: int, _options: Mapping[str, Any], answer: Answer) -> None:
    """Answer when the run has ended."""
    if engine.runs_flow(run_id):
        engine.find_flow_run(UUID(int=run_id)).tell(Watch(CallbackWatcher(lambda: answer(DONE))))
    else:
        _row(engine, run_id)
        answer(DONE)


def _remove(engine: Engine, run_id: int, _options: Mapping[str, Any], answer: Answer) -> None:
    _remove_run(engine, run_id)
    _sweep(engine)
    answer(DONE)


def _check_going_on(engine: Engine, run_id: int, attempted: str) -> None:
    """Check that a run goes on here.

    Raises:
        RunNotFound: there is none.
        RunEnded: it does not any more.
        PauseRefused: nobody runs it.
    """
    if not engine.runs_flow(run_id):
        row = _row(engine, run_id)
        if row.suspended:
            raise pause_refused(row)
        raise RunEnded(attempted, row.name, row.state.name)


def pause_refused(row: FlowRunRow) -> PauseRefused:
    """The error for a run that nobody runs, and that was to be paused."""
    return PauseRefused(row.name, "it has not begun" if row.ahead else "it is suspended already")


def _row(engine: Engine, run_id: int) -> FlowRunRow:
    store = chronicle_of(engine).writer.store
    row = store.read_flow_run(run_id)
    if row is None:
        raise RunNotFound(UUID(int=run_id), store=store.name)
    return row


def _answer_when_committed(engine: Engine, answer: Answer) -> None:
    """Answer when all that has come of the request is on record: who asked may read it then."""
    store = chronicle_of(engine).writer.store.name

    def committed(_subject: None, error: StoreError | None) -> None:
        answer(DONE if error is None else error_reply(error, store))

    chronicle_of(engine).writer.when_committed(committed)


# What can be asked about the store.


def _greet(engine: Engine, _options: Mapping[str, Any]) -> Reply:
    """Say that somebody is here, when all is on record that there is to know."""
    chronicle_of(engine).writer.flush()
    return DONE


def _prune(engine: Engine, options: Mapping[str, Any]) -> Reply:
    before = options.get("before")
    if not isinstance(before, int):
        raise ConfigurationError("before", before, "nanoseconds since the epoch")
    writer = chronicle_of(engine).writer
    runs, last = 0, 0
    while found := writer.store.read_finished(before, MOST_DEATHS, last, AT_A_TIME):
        for run_id in found:
            runs += _remove_run_if_over(engine, run_id)
            _sweep(engine)
        last = found[-1]
    task_runs = 0
    while removed := writer.do(lambda: writer.store.remove_task_runs(before, writer.opened.token, AT_A_TIME)):
        task_runs += removed
    return {"flow_runs": runs, "task_runs": task_runs}


def _remove_run_if_over(engine: Engine, run_id: int) -> bool:
    """Remove a run that was found to be over; whether it still is: somebody may just have resumed it."""
    try:
        _remove_run(engine, run_id)
    except MillraceError as error:
        if isinstance(error, OSError):  # the store's
            raise
        return False
    return True


def _remove_run(engine: Engine, run_id: int) -> None:
    writer = chronicle_of(engine).writer
    writer.do(lambda: writer.store.remove(run_id, writer.opened.token))


def _sweep(engine: Engine) -> None:
    """Remove what belonged to runs that are removed, so little at a time that others get their turn."""
    writer = chronicle_of(engine).writer
    while writer.do(lambda: writer.store.sweep(writer.opened.token, AT_A_TIME)):
        pass


_OfRun = Callable[["Engine", int, Mapping[str, Any], Answer], None]
_OF_RUNS: Final[Mapping[str, _OfRun]] = {
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "await": _await,
    "remove": _remove,
}

_OfStore = Callable[["Engine", Mapping[str, Any]], Reply]
_OF_STORES: Final[Mapping[str, _OfStore]] = {"greet": _greet, "prune": _prune}
