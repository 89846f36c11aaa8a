"""`millrace run`: a flow from the words of a command to an exit code.

Decides the order of things, what is printed where, and which exit code a final state means.
"""

from __future__ import annotations

import argparse
import sys
from contextlib import nullcontext
from time import perf_counter
from typing import Any, Final

from millrace.actors.errors import ConfigurationError, FlowNotFound, MillraceError, SignatureMismatchError
from millrace.actors.states import State, StateType
from millrace.runtime.cli.interrupts import EXIT_CODE as INTERRUPTED
from millrace.runtime.cli.interrupts import Interrupts
from millrace.runtime.cli.logs import cli_logger, log_events, log_setbacks, set_up_logging
from millrace.runtime.cli.parameters import read_parameters
from millrace.runtime.cli.progress import Progress
from millrace.runtime.cli.reports import trouble_of
from millrace.runtime.cli.results import as_json
from millrace.runtime.cli.screen import Screen, has_colour, is_live
from millrace.runtime.cli.stopping import FAILED, USAGE, Stop, load, stdout_to_stderr, tell, write_out
from millrace.runtime.cli.targets import A_FLOW, Target
from millrace.runtime.engine import Engine
from millrace.runtime.flow import BaseFlow
from millrace.runtime.flow_body import see_through, see_through_async
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.loops import run_in_new_loop

COMPLETED: Final = 0

ENOUGH_FOR_A_RATE: Final = 100


def run_command(options: argparse.Namespace) -> int:
    """Run a flow as the options say, and return the exit code."""
    try:
        with stdout_to_stderr() if options.json else nullcontext():
            run, interrupted = _run(options)
        return INTERRUPTED if interrupted else _print_outcome(run, as_document=options.json)
    except Stop as stop:
        tell(stop.text)
        return stop.code
    except KeyboardInterrupt:  # before the flow began
        return INTERRUPTED


def _run(options: argparse.Namespace) -> tuple[FlowRun, bool]:
    """The flow's run, ended; and whether an interrupt ended it.

    Raises:
        Stop: it could not be begun.
    """
    verbosity = options.verbose - options.quiet
    live = is_live(sys.stderr) and verbosity >= 0
    colour = has_colour(sys.stderr)
    screen = Screen(sys.stderr) if live else None
    with nullcontext() if screen is None else screen.taking_over():
        flow, run, call = _begin(options.target, options.pairs, options.params, verbosity)
        title = f"{flow.name}/{run.name}"
        began = perf_counter()

        def announce() -> None:
            cli_logger.warning(f"Cancelling {title}; press Ctrl-C again to stop at once.")

        with Progress(run, title, screen, colour=colour), Interrupts(run, announce) as interrupts:
            _see_through(flow, run, call)
        cli_logger.info(_summary(run, title, perf_counter() - began))
    return run, interrupts.happened and run.type is not StateType.COMPLETED


def _begin(
    target_text: str, pairs: list[str], document: str | None, verbosity: int
) -> tuple[BaseFlow[Any, Any], FlowRun, tuple[tuple[Any, ...], dict[str, Any]]]:
    target = Target.parse(target_text, A_FLOW)
    try:
        parameters = read_parameters(pairs, document)
        module = load(target)
        set_up_logging(verbosity)  # after the file, which may have a wish of its own
        flow = target.pick(module)
        call = flow.shape.call_of(parameters)
    except (ConfigurationError, FlowNotFound, SignatureMismatchError) as error:
        raise Stop(USAGE, f"millrace: {error}") from None
    engine = Engine.current()
    if verbosity > 0:
        engine.subscribe(log_events if verbosity > 1 else log_setbacks)
    try:
        return flow, flow.begin(engine, *call), call
    except MillraceError as error:
        raise Stop(USAGE, f"millrace: {error}") from None


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
