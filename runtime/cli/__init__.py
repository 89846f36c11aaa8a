"""The command line: `millrace`, which is also `python -m millrace`.

Decides which commands and options there are. What a command needs is imported when it is run, so that `--help` is
quick.

Exit codes: 0 the flow completed; 1 it failed, crashed or was cancelled, or its file raised; 2 the command was wrong;
130 it was interrupted with Ctrl-C.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from millrace.runtime.cli.bench_options import add_bench
from millrace.runtime.cli.commands import add_any_arguments, add_commands

EPILOG = """\
exit codes:
  0    the flow completed, or was suspended and is on record
  1    it failed, crashed or was cancelled, or its file raised when it was imported
  2    the command was wrong: no such flow, parameters that do not fit
  130  interrupted: Ctrl-C once cancels the flow and waits for its end, twice stops at once
"""

RUN_DESCRIPTION = """\
Run a flow here and now, in this process.

The result goes to stdout, everything else to stderr. Without --json it is printed as Python shows it,
and None is not printed.
"""

RUN_EPILOG = """\
examples:
  millrace run crawl.py                                   the only flow in the file
  millrace run crawl.py:crawl -p depth=3 -p site=example.org
  millrace run shop.flows:nightly --params '{"day": "2026-11-20"}' --json

With --json, objects of attrs and dataclasses become JSON objects, tuples and sets become lists, dates, paths
and UUIDs become strings; what JSON cannot hold becomes the string that repr() gives.
"""

RESUME_DESCRIPTION = """\
Run a recorded run again, here and now: one that crashed, as a run does when its process is killed, that
failed, or that was suspended; or one that was made ahead and has not begun.

The body runs from its beginning. Calls of tasks that had completed get their results without running
again; the first one that had not is run, and all that follows.
"""

RESUME_EPILOG = """\
examples:
  millrace run crawl.py --store sqlite:///runs.db
  millrace resume 0199f3c2 --store sqlite:///runs.db
"""

SERVE_DESCRIPTION = """\
Run what is put off of some tasks, with delay or apply_async, in this process, until Ctrl-C or SIGTERM.

Then no more runs are taken. Those that were have a few seconds to end; async ones that have not are given
back, for another worker. A second Ctrl-C stops at once.
"""

SERVE_EPILOG = """\
examples:
  millrace serve mail.py:send --store sqlite:///runs.db
  millrace serve shop.tasks:charge shop.tasks:refund --limit 4

The store is that of --store, else that of MILLRACE_STORE.

exit codes:
  0    it was stopped
  1    the queue failed, or a file raised when it was imported
  2    the command was wrong: no such task, no store
  130  it was stopped at once
"""

_DONE_BY = {
    "run": ("running", "run_command"),
    "resume": ("running", "run_command"),
    "retry": ("running", "run_command"),
    "serve": ("serving", "serve_command"),
    "bench": ("bench", "bench_command"),
    "runs": ("runs", "runs_command"),
    "store": ("store", "store_command"),
}
"""By command: the module and the function in it that does it; imported when it is needed, as --help does without."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Its words, without the programme's name; by default those the process was started with.

    Returns:
        The exit code.
    """
    parser = _parser()
    try:
        options = parser.parse_args(argv)
    except SystemExit as stop:  # argparse has said why
        return int(stop.code or 0)
    if options.version or options.command == "version":
        print(f"millrace {_version()}")  # noqa: T201  # what was asked for
        return 0
    if options.command is None:
        parser.print_help(sys.stderr)
        return 2
    options.words = sys.argv[1:] if argv is None else list(argv)
    module, function = _DONE_BY[options.command]
    command: Callable[[argparse.Namespace], int] = getattr(import_module(f"millrace.runtime.cli.{module}"), function)
    return command(options)


def _parser() -> argparse.ArgumentParser:
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(
        prog="millrace",
        description="Run flows from the terminal.",
        epilog=EPILOG,
        formatter_class=layout,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="store_true", help="show the version and exit")
    commands = parser.add_subparsers(dest="command", metavar="command", title="commands")
    commands.add_parser("version", help="show the version", allow_abbrev=False)
    run = commands.add_parser(
        "run",
        help="run a flow",
        description=RUN_DESCRIPTION,
        epilog=RUN_EPILOG,
        formatter_class=layout,
        allow_abbrev=False,
    )
    run.add_argument(
        "target",
        metavar="FILE.py:FLOW",
        help="the flow, in a file or in a module (package.module:FLOW); FLOW may be left out where there is one only",
    )
    run.add_argument(
        "-p",
        dest="pairs",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="a parameter; the value is read as JSON where it is JSON, else as a string; can be repeated",
    )
    run.add_argument("--params", metavar="JSON", help="parameters as one JSON object; those of -p come on top")
    run.add_argument(
        "--id", dest="run", metavar="RUN", help="a run that is on record, instead of a new one: see millrace resume"
    )
    run.set_defaults(force=False, any_arguments=False, run_input=None)
    _add_common(run)
    resume = commands.add_parser(
        "resume",
        aliases=["retry"],  # what one looks for after a failure
        help="run a recorded run again, from what it had come to",
        description=RESUME_DESCRIPTION,
        epilog=RESUME_EPILOG,
        formatter_class=layout,
        allow_abbrev=False,
    )
    resume.add_argument("run", metavar="RUN", help="the id of the run, or a beginning of it that no other run has")
    resume.add_argument(
        "--flow", metavar="FILE.py:FLOW", help="the flow; by default it is taken from where it was when the run began"
    )
    resume.add_argument("--force", action="store_true", help="run it although it has ended its process again and again")
    add_any_arguments(resume)
    resume.set_defaults(run_input=None)
    _add_common(resume)
    _add_serve(commands)
    add_bench(commands)
    add_commands(commands)
    return parser


def _add_serve(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = commands.add_parser(
        "serve",
        help="run what is put off of some tasks",
        description=SERVE_DESCRIPTION,
        epilog=SERVE_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    serve.add_argument(
        "targets",
        metavar="FILE.py:TASK",
        nargs="+",
        help="a task, in a file or in a module (package.module:TASK); TASK may be left out where there is one only",
    )
    serve.add_argument("--store", metavar="URL", help="the store, as sqlite:///runs.db; else that of MILLRACE_STORE")
    serve.add_argument("--limit", metavar="N", default=10, help="how many runs at a time (10)")
    serve.add_argument("-v", "--verbose", action="count", default=0, help="log more; twice for everything")
    serve.add_argument("-q", "--quiet", action="count", default=0, help="warnings only; twice for errors only")


def _add_common(command: argparse.ArgumentParser) -> None:
    """The options of all commands that run a flow."""
    command.add_argument(
        "--store",
        metavar="URL",
        help="where runs are recorded, as sqlite:///runs.db; by default what MILLRACE_STORE says, else nowhere",
    )
    command.add_argument("--json", action="store_true", help="print the result as one JSON document")
    command.add_argument("-v", "--verbose", action="count", default=0, help="log more; twice for everything")
    command.add_argument(
        "-q", "--quiet", action="count", default=0, help="no progress, warnings only; twice for errors only"
    )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415  # --help does without it

    try:
        return version("millrace")
    except PackageNotFoundError:
        return "(not installed: run from its source tree)"
