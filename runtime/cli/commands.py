"""Commands about a store: `millrace runs …` and `millrace store …`, as words.

Decides what they and their options are called. What they do is imported when one is run.
"""

from __future__ import annotations

import argparse
from typing import Any

RUN_HELP = "the run: its id, the beginning of that, or its name"

RUNS_EPILOG = """\
examples:
  millrace runs ls --state failed,crashed --since 2h
  millrace runs tree 0199f3c2
  millrace runs cancel quiet-otter --store sqlite:///runs.db
  millrace runs resume quiet-otter --input '{"approved": true}'

The store is that of --store, else that of MILLRACE_STORE. A run that another process is at is cancelled, paused and
resumed there. With --json, ids are complete and times are ISO 8601.

exit codes:
  0    done
  1    it could not be done: the run has ended, is not paused, or its process does not answer
  2    the command was wrong: no such run, no store
"""

_Commands = Any  # argparse names no type for what `add_subparsers` gives


def add_commands(commands: _Commands) -> None:
    """Add the commands to those of the programme."""
    _add_runs(_group(commands, "runs", "look at runs that are on record, and steer them", RUNS_EPILOG))
    _add_store(_group(commands, "store", "look after a store of runs", None))


def _group(commands: _Commands, name: str, text: str, epilog: str | None) -> _Commands:
    group = commands.add_parser(
        name,
        help=text,
        description=f"{text.capitalize()}.",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    return group.add_subparsers(dest="action", metavar="command", title="commands", required=True)


def _command(group: _Commands, name: str, text: str) -> argparse.ArgumentParser:
    made: argparse.ArgumentParser = group.add_parser(
        name, help=text, description=f"{text.capitalize()}.", allow_abbrev=False
    )
    made.add_argument("--store", metavar="URL", help="the store, as sqlite:///runs.db; else that of MILLRACE_STORE")
    return made


def _add_runs(runs: _Commands) -> None:
    _add_listing(_command(runs, "ls", "list flow runs, the newest first"))
    for name, text in (
        ("show", "show what is on record of a run"),
        ("tree", "show what is inside of a flow run"),
        ("events", "show the states that a run has had, first to last"),
    ):
        each = _command(runs, name, text)
        each.add_argument("run", metavar="RUN", help=RUN_HELP)
        each.add_argument("--json", action="store_true", help="as one JSON document")
    cancel = _command(runs, "cancel", "cancel flow runs, and wait for their end")
    cancel.add_argument("runs", metavar="RUN", nargs="+", help=RUN_HELP)
    cancel.add_argument("--no-wait", action="store_true", help="do not wait")
    pause = _command(runs, "pause", "pause a flow run: what runs goes on, and nothing is started")
    pause.add_argument("run", metavar="RUN", help=RUN_HELP)
    pause.add_argument("--suspend", action="store_true", help="end the work on it for now, until it is resumed")
    pause.add_argument(
        "--timeout", metavar="TIME", help="it fails if it is not resumed by then: 90s, 2h, 1d; else it stays paused"
    )
    resume = _command(runs, "resume", "let a flow run go on that is paused or suspended, or run it again after a crash")
    resume.add_argument("run", metavar="RUN", help=RUN_HELP)
    resume.add_argument("--input", metavar="JSON", help="what it waits for")
    resume.add_argument("--force", action="store_true", help="although it has ended its process again and again")
    add_any_arguments(resume)
    remove = _command(runs, "rm", "remove flow runs that have ended, and all inside of them, from the store")
    remove.add_argument("runs", metavar="RUN", nargs="+", help=RUN_HELP)


def add_any_arguments(resume: argparse.ArgumentParser) -> None:
    """Add the option by which results of before are given to calls with other arguments."""
    resume.add_argument(
        "--any-arguments",
        action="store_true",
        help="give calls the results that they had come to, also where their arguments are others now",
    )


def _add_listing(ls: argparse.ArgumentParser) -> None:
    ls.add_argument(
        "--state", metavar="STATE", action="append", help="in one of these states: failed,crashed; can be repeated"
    )
    ls.add_argument("--flow", metavar="NAME", action="append", help="of one of these flows; can be repeated")
    ls.add_argument(
        "--put-off", action="store_true", help="task runs that were put off to workers, in place of flow runs"
    )
    ls.add_argument("--task", metavar="NAME", action="append", help="with --put-off: of one of these tasks; likewise")
    ls.add_argument("--name", metavar="NAME", action="append", help="with one of these names; can be repeated")
    ls.add_argument("--tag", metavar="TAG", action="append", default=[], help="with all of these tags; can be repeated")
    ls.add_argument("--since", metavar="TIME", help="made in this time, 90s, 2h, 7d, or since 2026-11-20T08:00")
    ls.add_argument("--until", metavar="TIME", help="made before this time, or until then")
    ls.add_argument("--all", action="store_true", help="subflows too")
    ls.add_argument("--limit", metavar="N", type=int, default=50, help="so many at most (50)")
    ls.add_argument("--json", action="store_true", help="as one JSON document")


def _add_store(store: _Commands) -> None:
    info = _command(store, "info", "show what there is in the store, and how large it is")
    info.add_argument("--json", action="store_true", help="as one JSON document")
    prune = _command(store, "prune", "remove flow runs that ended long ago, and all inside of them")
    prune.add_argument(
        "--older-than", metavar="TIME", required=True, help="ended longer ago than that, 12h, 30d, or before 2026-11-20"
    )
    prune.add_argument("--dry-run", action="store_true", help="only say how many that would be")
