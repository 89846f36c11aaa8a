"""`millrace bench limits`: from the words of the command to an exit code.

Decides what is checked before anything is measured, what is printed and written when it has been, and what becomes of a
measurement that is interrupted: what there is by then is shown.
"""

from __future__ import annotations

import argparse
import os
import platform
import shlex
import sys
from contextlib import AbstractContextManager, nullcontext
from datetime import UTC, datetime
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import attrs

from millrace.actors.errors import (
    ConfigurationError,
    MillraceError,
    TerminationSignal,
)
from millrace.runtime.benching.charts.picture import picture
from millrace.runtime.benching.contenders import RIVALS
from millrace.runtime.benching.document import as_json
from millrace.runtime.benching.figures import FILLS
from millrace.runtime.benching.knee import Verdict
from millrace.runtime.benching.measuring import measure
from millrace.runtime.benching.models import MODELS, make_model
from millrace.runtime.benching.page import as_html
from millrace.runtime.benching.plan import Plan
from millrace.runtime.benching.report import Report, Setting, make_report
from millrace.runtime.benching.table import as_text, plain
from millrace.runtime.benching.trials import Trial
from millrace.runtime.benching.works import Work, read_inputs, work_of_model, work_of_task
from millrace.runtime.cli.bench_options import ITEMS
from millrace.runtime.cli.bench_progress import progress_of
from millrace.runtime.cli.interrupts import EXIT_CODE as INTERRUPTED
from millrace.runtime.cli.logs import set_up_logging
from millrace.runtime.cli.parameters import read_parameters
from millrace.runtime.cli.screen import has_colour
from millrace.runtime.cli.stopping import FAILED, USAGE, Stop, load, stdout_to_stderr, tell, write_out
from millrace.runtime.cli.targets import A_TASK, Target
from millrace.runtime.loops import run_in_new_loop
from millrace.runtime.rationing import wanted_limits
from millrace.runtime.settings import whole_number

MODEL: Final = "model:"
TERMINATED: Final = 143
"""128 and the number of SIGTERM, as shells have it."""

_COLOURS: Final = {"knee": "32;1", "error": "31;1", "quiet": "2", "strong": "1"}


@attrs.frozen
class _Asked:
    """The command, checked."""

    work: Work
    plan: Plan
    setting: Setting
    html: Path | None
    svg: Path | None


def bench_command(options: argparse.Namespace) -> int:
    """Measure as the options say, and return the exit code."""
    try:
        asked = _check(options)
    except Stop as stop:
        tell(stop.text)
        return stop.code
    except MillraceError as error:
        tell(f"millrace: {error}")
        return USAGE
    except KeyboardInterrupt:  # before anything was measured
        return INTERRUPTED
    trials: list[Trial] = []
    code = 0
    try:
        with _out_of_the_way(options), progress_of(asked.plan, quiet=options.quiet > 0) as progress:
            run_in_new_loop(lambda: measure(asked.work, asked.plan, trials, progress))
    except KeyboardInterrupt:
        code = INTERRUPTED
    except TerminationSignal:
        code = TERMINATED
    except MillraceError as error:
        tell(f"millrace: {error}")
        code = FAILED
    report = make_report(asked.setting, asked.plan, trials)
    if trials or not code:
        _show(report, asked, options)
    elif code != FAILED:
        tell("millrace: interrupted before the first limit was measured: its items had not ended.")
    return code or (FAILED if report.finding.verdict is Verdict.FAILED else 0)


def _out_of_the_way(options: argparse.Namespace) -> AbstractContextManager[None]:
    """What the task prints goes to stderr: stdout is for the result."""
    set_up_logging(options.verbose - options.quiet)
    return stdout_to_stderr() if options.json else nullcontext()


# Before.


def _check(options: argparse.Namespace) -> _Asked:
    """All that can be wrong about the command is found here, before the first item is begun."""
    limits = read_limits(options.limits)
    items = None if options.items is None else whole_number("--items", options.items, 1)
    inputs = None if options.inputs is None else read_inputs(Path(options.inputs))
    html, svg = (None if name is None else _writable(option, Path(name)) for option, name in _outputs(options))
    plan = Plan(
        limits=limits,
        rounds=whole_number("--rounds", options.rounds, 1),
        seconds=_seconds(options.seconds),
        rivals=_rivals() if options.compare else (),
        adaptive=options.adaptive,
    )
    work = _work(options, items, inputs)
    unfilled = [limit for limit in limits if work.count < FILLS * limit]
    if unfilled:
        tell(
            f"millrace: {work.count:,} items are too few for a limit of {unfilled[0]:,}, as each has to be filled "
            f"{FILLS} times: limits above {work.count // FILLS:,} are left out of the fit. Give more with --items."
        )
    limited = sorted(work.task.tags & wanted_limits(None).keys())
    if limited:
        tell(
            f"millrace: MILLRACE_LIMITS limits the task too, by its tag {', '.join(map(repr, limited))}: what more "
            "than that would bring cannot be seen."
        )
    setting = Setting(
        target=options.target,
        command=shlex.join(["millrace", *options.words]),
        items=work.count,
        started=datetime.now(UTC).isoformat(timespec="seconds"),
        machine=_machine(),
    )
    return _Asked(work, plan, setting, html, svg)


def _work(options: argparse.Namespace, items: int | None, inputs: list[Any] | None) -> Work:
    parameters = read_parameters(options.pairs, options.params)
    if options.target.startswith(MODEL):
        name = options.target.removeprefix(MODEL)
        return work_of_model(name, make_model(name, parameters), items or (ITEMS if inputs is None else len(inputs)))
    if options.target in MODELS and not Path(options.target).exists():
        meant = f"'{MODEL}{options.target}' for the model of that name"
        raise ConfigurationError("FILE.py:TASK", options.target, meant)
    target = Target.parse(options.target, A_TASK)
    subject = target.pick(load(target))
    return work_of_task(options.target, subject, parameters, items or (ITEMS if inputs is None else None), inputs)


def read_limits(text: str) -> tuple[int, ...]:
    """The limits of `1,2,4`: in order, each once.

    Raises:
        ConfigurationError: one is no whole number above 0.
    """
    expected = "whole numbers, 1 or more, as in 1,2,4,8"
    try:
        found = {int(each) for each in text.split(",")}
    except ValueError:
        raise ConfigurationError("--limits", text, expected) from None
    if min(found) < 1:
        raise ConfigurationError("--limits", text, expected)
    return tuple(sorted(found))


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise ConfigurationError("--seconds", text, "a number of seconds above 0")
    return seconds


def _outputs(options: argparse.Namespace) -> tuple[tuple[str, str | None], ...]:
    if options.html and options.svg and Path(options.html).resolve() == Path(options.svg).resolve():
        raise ConfigurationError("--svg", options.svg, "another file than --html")
    return ("--html", options.html), ("--svg", options.svg)


def _writable(option: str, path: Path) -> Path:
    """The path, if it can be written; tried, because nobody can tell otherwise."""
    there = path.exists()
    try:
        with path.open("a", encoding="utf-8"):
            pass
        if not there:
            path.unlink()
    except OSError as error:
        raise ConfigurationError(option, str(path), f"a file that can be written ({error.strerror})") from None
    return path


def _rivals() -> tuple[str, ...]:
    """All that can be compared here; what is not installed is told."""
    if find_spec("aiometer") is not None:
        return tuple(RIVALS)
    tell("millrace: aiometer is left out of the comparison: pip install 'millrace[bench]'.")
    return tuple(name for name in RIVALS if name != "aiometer")


def _machine() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # as in `millrace --version`

    try:
        own = version("millrace")
    except PackageNotFoundError:
        own = "from its source tree"
    return {
        "millrace": own,
        "Python": f"{platform.python_version()} ({platform.python_implementation()})",
        "system": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "loop": "uvloop" if find_spec("uvloop") is not None else "asyncio",
    }


# After.


def _show(report: Report, asked: _Asked, options: argparse.Namespace) -> None:
    write_out(
        as_json(report).rstrip() if options.json else as_text(report, _paint if has_colour(sys.stdout) else plain)
    )
    for path, text in ((asked.html, as_html), (asked.svg, picture)):
        if path is not None:
            try:
                path.write_text(text(report), encoding="utf-8")
                tell(f"written: {path}")
            except OSError as error:  # it could be written before; the figures are not lost
                tell(f"millrace: {path} could not be written: {error.strerror}.")


def _paint(text: str, how: str) -> str:
    return f"\x1b[{_COLOURS[how]}m{text}\x1b[0m"
