"""`millrace run`: a flow from the words of a command to an exit code.

Decides the order of things, what is printed where, and which exit code a final state means.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Generator
from contextlib import contextmanager, nullcontext
from time import perf_counter
from types import ModuleType
from typing import Any, Final

import attrs

from millrace.actors.errors import ConfigurationError, FlowNotFound, MillraceError, SignatureMismatchError
from millrace.actors.states import State, StateType
from millrace.runtime.cli.interrupts import EXIT_CODE as INTERRUPTED
from millrace.runtime.cli.interrupts import Interrupts
from millrace.runtime.cli.logs import cli_logger, log_events, log_setbacks, set_up_logging
from millrace.runtime.cli.parameters import read_parameters
from millrace.runtime.cli.progress import Progress
from millrace.runtime.cli.reports import last_line_of, traceback_of, trouble_of
from millrace.runtime.cli.results import as_json
from millrace.runtime.cli.screen import Screen, has_colour, is_live
from millrace.runtime.cli.targets import Target
from millrace.runtime.engine import Engine
from millrace.runtime.flow import BaseFlow
from millrace.runtime.flow_body import see_through, see_through_async
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.loops import run_in_new_loop

COMPLETED, FAILED, USAGE = 0, 1, 2

ENOUGH_FOR_A_RATE: Final = 100


@attrs.frozen
class _Stop(Exception):  # an exit, not an error
    """The command ends here.

    Args:
        code: Its exit code.
        text: What is told on stderr.
    """

    code: int
    text: str


def run_command(options: argparse.Namespace) -> int:
    """Run a flow as the options say, and return the exit code."""
    try:
        with _stdout_to_stderr() if options.json else nullcontext():
            run, interrupted = _run(options)
        return INTERRUPTED if interrupted else _print_outcome(run, as_document=options.json)
    except _Stop as stop:
        _tell(stop.text)
        return stop.code
    except KeyboardInterrupt:  # before the flow began
        return INTERRUPTED


def _run(options: argparse.Namespace) -> tuple[FlowRun, bool]:
    """The flow's run, ended; and whether an interrupt ended it.

    Raises:
        _Stop: it could not be begun.
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
    target = Target.parse(target_text)
    try:
        parameters = read_parameters(pairs, document)
        module = _load(target)
        set_up_logging(verbosity)  # after the file, which may have a wish of its own
        flow = target.pick(module)
        call = flow.shape.call_of(parameters)
    except (ConfigurationError, FlowNotFound, SignatureMismatchError) as error:
        raise _Stop(USAGE, f"millrace: {error}") from None
    engine = Engine.current()
    if verbosity > 0:
        engine.subscribe(log_events if verbosity > 1 else log_setbacks)
    try:
        return flow, flow.begin(engine, *call), call
    except MillraceError as error:
        raise _Stop(USAGE, f"millrace: {error}") from None


def _load(target: Target) -> ModuleType:
    try:
        return target.load()
    except (FlowNotFound, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  # whatever a file raises is its author's affair
        raise _Stop(
            FAILED, f"{traceback_of(error)}millrace: '{target.source}' raised on import: {last_line_of(error)}"
        ) from None


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


def _tell(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def _print_outcome(run: FlowRun, *, as_document: bool) -> int:
    state: State[Any] = run.state
    if state.type is not StateType.COMPLETED:
        name = "" if run.flow is None else run.flow.name
        _tell(f"{trouble_of(state)}{name}/{run.name}: {state}")
        return FAILED
    value = state.result()
    if value is None and not as_document:
        return COMPLETED
    try:
        text = as_json(value) if as_document else repr(value)
    except ValueError as error:
        _tell(f"millrace: {error}")
        return FAILED
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return COMPLETED


@contextmanager
def _stdout_to_stderr() -> Generator[None, None, None]:
    """Let everything that is written to stdout in the block go to stderr, by this process and by those it starts."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
