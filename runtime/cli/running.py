"""`millrace run` and `millrace resume`: a flow from the words of a command to an exit code.

Decides the order of things, what is printed where, and which exit code a final state means.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from typing import Any, Final

from millrace.actors.errors import (
    ConfigurationError,
    FlowNotFound,
    MillraceError,
    SignatureMismatchError,
    StoreError,
)
from millrace.actors.states import State, StateType
from millrace.runtime.cli.interrupts import EXIT_CODE as INTERRUPTED
from millrace.runtime.cli.interrupts import Interrupts
from millrace.runtime.cli.logs import cli_logger, log_events, log_setbacks, set_up_logging
from millrace.runtime.cli.parameters import read_parameters
from millrace.runtime.cli.progress import Progress
from millrace.runtime.cli.reports import last_line_of, traceback_of, trouble_of
from millrace.runtime.cli.results import as_json
from millrace.runtime.cli.screen import Screen, has_colour, is_live
from millrace.runtime.cli.stopping import FAILED, USAGE, Stop, load, stdout_to_stderr, tell, write_out
from millrace.runtime.cli.targets import A_FLOW, Target
from millrace.runtime.engine import Engine
from millrace.runtime.entering import ENTERED
from millrace.runtime.flow import BaseFlow
from millrace.runtime.flow_body import see_through, see_through_async
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.loops import run_in_new_loop

COMPLETED: Final = 0

ENOUGH_FOR_A_RATE: Final = 100


def run_command(options: argparse.Namespace) -> int:
    """Run a flow as the options say, and return the exit code."""
    try:
        with stdout_to_stderr() if options.json else nullcontext(), _engine(options.store) as engine:
            run, interrupted = _run(engine, options)
        return INTERRUPTED if interrupted else _print_outcome(run, as_document=options.json)
    except Stop as stop:
        tell(stop.text)
        return stop.code
    except KeyboardInterrupt:  # before the flow began
        return INTERRUPTED


@contextmanager
def _engine(store: str | None) -> Generator[Engine, None, None]:
    """The engine that the command runs in: one of its own where it names a store.

    Raises:
        Stop: the store cannot be opened.
    """
    try:
        engine = Engine.current() if store is None else Engine(store=store)
    except (ConfigurationError, StoreError) as error:
        raise Stop(USAGE, f"millrace: {error}") from None
    token = ENTERED.set(engine)
    try:
        yield engine
    finally:
        ENTERED.reset(token)
        if engine.chronicle is not None:
            engine.close()


def _run(engine: Engine, options: argparse.Namespace) -> tuple[FlowRun, bool]:
    """The flow's run, ended; and whether an interrupt ended it.

    Raises:
        Stop: it could not be begun.
    """
    verbosity = options.verbose - options.quiet
    live = is_live(sys.stderr) and verbosity >= 0
    colour = has_colour(sys.stderr)
    screen = Screen(sys.stderr) if live else None
    with nullcontext() if screen is None else screen.taking_over():
        flow, run, call = (_begin if options.run is None else _begin_again)(engine, options, verbosity)
        title = f"{flow.name}/{run.name}"
        began = perf_counter()

        def announce() -> None:
            cli_logger.warning(f"Cancelling {title}; press Ctrl-C again to stop at once.")

        with Progress(run, title, screen, colour=colour), Interrupts(run, announce) as interrupts:
            _see_through(flow, run, call)
        cli_logger.info(_summary(run, title, perf_counter() - began))
    return run, interrupts.happened and run.type is not StateType.COMPLETED


Begun = tuple[BaseFlow[Any, Any], FlowRun, tuple[tuple[Any, ...], dict[str, Any]]]
"""A flow, its run, and the arguments of its body."""


def _begin(engine: Engine, options: argparse.Namespace, verbosity: int) -> Begun:
    target = Target.parse(options.target, A_FLOW)
    try:
        parameters = read_parameters(options.pairs, options.params)
        module = load(target)
        set_up_logging(verbosity)  # after the file, which may have a wish of its own
        flow = target.pick(module)
        call = flow.shape.call_of(parameters)
    except (ConfigurationError, FlowNotFound, SignatureMismatchError) as error:
        raise Stop(USAGE, f"millrace: {error}") from None
    _listen(engine, verbosity)
    try:
        return flow, flow.begin(engine, *call), call
    except MillraceError as error:
        raise Stop(USAGE, f"millrace: {error}") from None


def _begin_again(engine: Engine, options: argparse.Namespace, verbosity: int) -> Begun:
    from millrace.runtime.stores.resuming import prepare  # noqa: PLC0415  # most commands have no store

    set_up_logging(verbosity)
    flow: BaseFlow[Any, Any] | None = None
    given: dict[str, Any] | None = None
    try:
        if options.command == "run":
            flow = _flow_of(options.target)
            given = read_parameters(options.pairs, options.params) or None
        elif options.flow is not None:
            flow = _flow_of(options.flow)
        force, any_arguments, run_input = options.force, options.any_arguments, options.run_input
        run, call = prepare(
            engine, options.run, flow, given, force=force, any_arguments=any_arguments, run_input=run_input
        )
    except MillraceError as error:
        raise Stop(USAGE, f"millrace: {error}") from None
    except Exception as error:  # noqa: BLE001  # whatever a file raises is its author's affair
        text = f"millrace: the file of the flow raised on import: {last_line_of(error)}"
        raise Stop(FAILED, f"{traceback_of(error)}{text}") from None
    assert run.flow is not None  # the engine's own scope is never resumed
    _listen(engine, verbosity)
    return run.flow, run, call


def _flow_of(text: str) -> BaseFlow[Any, Any]:
    target = Target.parse(text, A_FLOW)
    return target.pick(load(target))


def _listen(engine: Engine, verbosity: int) -> None:
    if verbosity > 0:
        engine.subscribe(log_events if verbosity > 1 else log_setbacks)


def _see_through(flow: BaseFlow[Any, Any], run: FlowRun, call: tuple[tuple[Any, ...], dict[str, Any]]) -> None:
    args, kwargs = call
    try:
        if flow.is_async:
            run_in_new_loop(lambda: see_through_async(run, args, kwargs, None))
        else:
            see_through(run, args, kwargs, None)
    except BaseException:  # what goes up from here has been recorded in the run's state
        if not run.ended:
            raise


def _summary(run: FlowRun, title: str, seconds: float) -> str:
    told = f"{title} {run.state.name.lower()} in {_duration(seconds)}"
    counts = run.counts()
    runs = sum(counts.values())
    if runs == 0:
        return told
    # After the end a run can be PENDING only because something it depends on did not complete.
    parts = ", ".join(f"{number:,} {'not ready' if kind == 'pending' else kind}" for kind, number in counts.items())
    rate = f", {runs / seconds:,.0f} a second" if runs >= ENOUGH_FOR_A_RATE else ""
    return f"{told}: {runs:,} run{'' if runs == 1 else 's'} ({parts}){rate}"


def _duration(seconds: float) -> str:
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes)} min {rest:.0f} s" if minutes > 1 else f"{seconds:.1f} s"


def _print_outcome(run: FlowRun, *, as_document: bool) -> int:
    state: State[Any] = run.state
    if state.type is not StateType.COMPLETED:
        name = "" if run.flow is None else run.flow.name
        if run.let_go:
            tell(f"{name}/{run.name} is suspended. To let it go on: millrace runs resume {run.uuid}")
            return COMPLETED
        tell(f"{trouble_of(state)}{name}/{run.name}: {state}")
        return FAILED
    value = state.result()
    if value is None and not as_document:
        return COMPLETED
    try:
        text = as_json(value) if as_document else repr(value)
    except ValueError as error:
        tell(f"millrace: {error}")
        return FAILED
    write_out(text)
    return COMPLETED
