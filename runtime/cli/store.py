"""`millrace store`: what there is in a store, and what is removed from it."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from time import time_ns
from typing import TYPE_CHECKING, Final

from millrace.runtime.cli import documents
from millrace.runtime.cli.runs import DONE, say, say_document, steering_command
from millrace.runtime.cli.tables import harmless
from millrace.runtime.cli.times import ago, moment
from millrace.runtime.stores.by_id import Steered
from millrace.runtime.stores.control import Request
from millrace.runtime.stores.rows import MOST_ROWS
from millrace.runtime.stores.verdicts import MOST_DEATHS

if TYPE_CHECKING:
    from millrace.runtime.deferred.port import Queue

_UNITS: Final = ("bytes", "KiB", "MiB", "GiB", "TiB")
_STEP: Final = 1024


def store_command(options: argparse.Namespace) -> int:
    """Run one of the commands of `millrace store`, and return the exit code."""
    return steering_command(_ACTIONS, options)


def _info(options: argparse.Namespace, steered: Steered) -> int:
    facts, is_open = steered.store.read_facts(), steered.has_owner
    if options.json:
        say_document(documents.of_facts(steered.store.name, facts, is_open=is_open))
        return DONE
    opened = ago(facts.opened, time_ns())
    owner = f"{facts.owner}, {opened}" if is_open else f"nobody; the last was {facts.owner}, {opened}"
    kinds = ", ".join(f"{count:,} {kind.lower()}" for kind, count in sorted(facts.flow_runs.items()))
    say(harmless(steered.store.name))
    say(f"  open to    {harmless(owner)}")
    say(f"  flow runs  {sum(facts.flow_runs.values()):,}{kinds and f': {kinds}'}")
    say(f"  task runs  {facts.task_runs:,}")
    say(f"  size       {size(facts.size)}, of which {size(facts.free)} are free")
    return DONE


def size(count: int) -> str:
    """A number of bytes, for people."""
    amount, unit = float(count), 0
    while amount >= _STEP and unit < len(_UNITS) - 1:
        amount, unit = amount / _STEP, unit + 1
    return f"{count} {_UNITS[0]}" if unit == 0 else f"{amount:.1f} {_UNITS[unit]}"


def _prune(options: argparse.Namespace, steered: Steered) -> int:
    before = moment("--older-than", options.older_than, time_ns())
    if options.dry_run:
        count, last = 0, 0
        while found := steered.store.read_finished(before, MOST_DEATHS, last, MOST_ROWS):
            count, last = count + len(found), found[-1]
        put_off = _prune_queue(steered, before, counts_only=True)
        say(f"{_runs(count, 'flow run')} would be removed, {_inside(count)}{put_off}.")
        return DONE
    done = steered.ask_or_do(Request("prune", None, {"before": before}), None)
    loose = done["task_runs"]
    more = f", and {_runs(loose, 'task run')} outside of any flow" if loose else ""
    more += _prune_queue(steered, before, counts_only=False)
    count = done["flow_runs"]
    say(f"Removed {_runs(count, 'flow run')} {_inside(count)}{more}.")
    return DONE


def _prune_queue(steered: Steered, before: int, *, counts_only: bool) -> str:
    """Remove what was put off and ended before a time, or only count it; said in words where there is any."""
    queue: Queue | None = getattr(steered.store, "queue", None)
    count = 0 if queue is None else queue.prune(before, counts_only=counts_only)
    return f", and {_runs(count, 'run')} that had been put off" if count else ""


def _runs(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def _inside(count: int) -> str:
    return f"with all inside of {'it' if count == 1 else 'them'}"


_ACTIONS: Final[Mapping[str, Callable[[argparse.Namespace, Steered], int]]] = {"info": _info, "prune": _prune}
