"""`millrace runs`: what is on record of runs, and runs of other processes told what to do.

Decides what each command prints, and which exit code an error means. What is done is done by `by_id`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Mapping
from time import time_ns
from typing import Any, Final
from uuid import UUID

from millrace.actors.errors import (
    ConfigurationError,
    EngineError,
    MillraceError,
    NotPausedError,
    PauseRefused,
    RunEnded,
    RunNotRemovable,
    RunNotResumable,
)
from millrace.actors.states import StateType
from millrace.runtime.cli import documents
from millrace.runtime.cli.finding import find_flow_run, find_run, short_ids
from millrace.runtime.cli.showing import (
    events_of,
    listing,
    listing_of_task_runs,
    shown_flow_run,
    shown_task_run,
    tree_of,
)
from millrace.runtime.cli.tables import fitted_line, harmless, terminal_width
from millrace.runtime.cli.times import moment, seconds_in
from millrace.runtime.stores import by_id, put_off
from millrace.runtime.stores.by_id import Steered
from millrace.runtime.stores.control import NobodyListens, Request
from millrace.runtime.stores.records import LARGEST_ID
from millrace.runtime.stores.rows import MOST_ROWS, FlowRunRow, RunFilter
from millrace.runtime.stores.verdicts import first_id_at

DONE, NOT_DONE, WRONG = 0, 1, 2

_NOT_NOW: Final = (NotPausedError, PauseRefused, RunEnded, RunNotRemovable, RunNotResumable, EngineError)
"""Errors that are nothing wrong with the command."""


def steering_command(actions: Mapping[str, Callable[[argparse.Namespace, Steered], int]], options: Any) -> int:
    """Run one of several commands about a store.

    Args:
        actions: By name, what each does; it gives the exit code.
        options: The words of the command.

    Returns:
        The exit code.
    """
    try:
        with Steered.of(options.store) as steered:
            return actions[options.action](options, steered)
    except MillraceError as error:
        sys.stderr.write(f"millrace: {harmless(error)}\n")
        return NOT_DONE if isinstance(error, _NOT_NOW) else WRONG
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


def runs_command(options: argparse.Namespace) -> int:
    """Run one of the commands of `millrace runs`, and return the exit code."""
    return steering_command(_ACTIONS, options)


def say(text: str) -> None:
    """Print something on stdout."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def say_document(value: Any) -> None:
    """Print something as JSON."""
    say(json.dumps(value, ensure_ascii=False, indent=2))


# Looking.


def _ls(options: argparse.Namespace, steered: Steered) -> int:
    if options.put_off:
        return _ls_put_off(options, steered)
    if options.task is not None:
        raise ConfigurationError("--task", ",".join(options.task), "to stand beside --put-off")
    rows = steered.store.read_flow_runs(_filter(options, options.flow))
    if options.json:
        say_document([documents.of_flow_run(row) for row in rows])
    elif rows:
        ids = short_ids(steered.store, [row.id for row in rows])
        say(listing(rows, ids, time_ns(), terminal_width()))
    return DONE


def _ls_put_off(options: argparse.Namespace, steered: Steered) -> int:
    if options.flow is not None or options.all:
        raise ConfigurationError("--put-off", True, "neither --flow nor --all beside it")
    queue = put_off.queue_of(steered.store)
    rows = [] if queue is None else [row.as_task_run for row in queue.read_all(_filter(options, options.task))]
    if options.json:
        say_document([documents.of_task_run(row) for row in rows])
    elif rows:
        say(listing_of_task_runs(rows, time_ns(), terminal_width()))
    return DONE


def _filter(options: argparse.Namespace, of: list[str] | None) -> RunFilter:
    if not 1 <= options.limit <= MOST_ROWS:
        raise ConfigurationError("--limit", options.limit, f"a whole number from 1 to {MOST_ROWS:,}")
    now = time_ns()
    return RunFilter(
        first=0 if options.since is None else first_id_at(moment("--since", options.since, now)),
        last=LARGEST_ID if options.until is None else first_id_at(moment("--until", options.until, now)) - 1,
        types=_types(options.state),
        names=options.name,
        of=of,
        tags=options.tag,
        outermost=not options.all,
        limit=options.limit,
    )


def _types(words: list[str] | None) -> list[StateType] | None:
    if words is None:
        return None
    try:
        return [StateType(each.strip().upper()) for word in words for each in word.split(",")]
    except ValueError:
        expected = f"one or more of {', '.join(kind.lower() for kind in StateType)}"
        raise ConfigurationError("--state", ",".join(words), expected) from None


def _show(options: argparse.Namespace, steered: Steered) -> int:
    row = find_run(steered, options.run)
    width, now = terminal_width(), time_ns()
    if isinstance(row, FlowRunRow):
        shown, document = shown_flow_run(row, steered.store, now), documents.of_flow_run(row)
    else:
        shown, document = shown_task_run(row, now), documents.of_task_run(row)
    if options.json:
        say_document(document | {"parameters": dict(shown.values)} if isinstance(row, FlowRunRow) else document)
    else:
        say("\n".join(fitted_line(line, width) for line in shown.lines))
    return DONE


def _tree(options: argparse.Namespace, steered: Steered) -> int:
    tree = tree_of(steered.store, find_flow_run(steered, options.run))
    if options.json:
        say_document(tree.to_document())
    else:
        width, now = terminal_width(), time_ns()
        say("\n".join(fitted_line(line, width) for line in tree.lines(now)))
    return DONE


def _events(options: argparse.Namespace, steered: Steered) -> int:
    row, store = find_run(steered, options.run), steered.store
    states = store.read_states(row.id) if isinstance(row, FlowRunRow) else put_off.read_states(store, row.id)
    if options.json:
        say_document([documents.of_event(state) for state in states])
    else:
        say(events_of(states, terminal_width()))
    return DONE


# Steering.


def _cancel(options: argparse.Namespace, steered: Steered) -> int:
    rows = [find_flow_run(steered, word) for word in options.runs]
    rows = [by_id.begin_cancelling(steered, UUID(int=row.id)) for row in rows]
    for row in rows:
        if options.no_wait:
            say(f"{_called(row)}  is being cancelled")
        else:
            by_id.wait_for_end(steered, row)
            _say_state(steered, row)
    return DONE


def _pause(options: argparse.Namespace, steered: Steered) -> int:
    row = find_flow_run(steered, options.run)
    timeout = None if options.timeout is None else seconds_in("--timeout", options.timeout)
    by_id.pause(steered, UUID(int=row.id), timeout, None, suspends=options.suspend)
    _say_state(steered, row)
    return DONE


def _resume(options: argparse.Namespace, steered: Steered) -> int:
    row = find_flow_run(steered, options.run)
    given = _input(options.input)
    wanted = {"input": given, "again": True, "force": options.force, "any_arguments": options.any_arguments}
    request = Request("resume", row.id, wanted)
    try:
        steered.ask(request)
    except NobodyListens:
        return _resume_here(options, row, given)
    _say_state(steered, row)
    return DONE


def _resume_here(options: argparse.Namespace, row: FlowRunRow, given: Any) -> int:
    """Run a flow run again in this process, as nobody has the store open: `millrace resume`."""
    from millrace.runtime.cli.running import run_command  # noqa: PLC0415  # the other commands run no flow

    return run_command(
        argparse.Namespace(
            command="resume",
            run=str(UUID(int=row.id)),
            run_input=given,
            flow=None,
            force=options.force,
            any_arguments=options.any_arguments,
            store=options.store,
            json=False,
            verbose=0,
            quiet=0,
        )
    )


def _input(text: str | None) -> Any:
    if text is None:
        return None
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigurationError("--input", text, f"JSON ({error})") from None


def _rm(options: argparse.Namespace, steered: Steered) -> int:
    for row in [find_flow_run(steered, word) for word in options.runs]:
        steered.ask_or_do(Request("remove", row.id), None)
        say(f"{_called(row)}  removed")
    return DONE


def _say_state(steered: Steered, row: FlowRunRow) -> None:
    now = steered.store.read_flow_run(row.id)
    say(f"{_called(row)}  {harmless('removed' if now is None else now.state.name)}")


def _called(row: FlowRunRow) -> str:
    return harmless(f"{row.flow}/{row.name}")


_ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace, Steered], int]]] = {
    "ls": _ls,
    "show": _show,
    "tree": _tree,
    "events": _events,
    "cancel": _cancel,
    "pause": _pause,
    "resume": _resume,
    "rm": _rm,
}
