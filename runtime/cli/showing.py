"""Showing: what is on record of runs, as text for people.

Decides what is worth a line, and that runs of one task, or of one flow, are counted where there are many of them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final
from uuid import UUID

import attrs

from millrace.actors.errors import MillraceError
from millrace.actors.states import StateType
from millrace.runtime.cli import documents
from millrace.runtime.cli.tables import table
from millrace.runtime.cli.times import ago, iso, length
from millrace.runtime.stores.encoding import decode, serializer_for
from millrace.runtime.stores.port import Store
from millrace.runtime.stores.records import LARGEST_ID, Value
from millrace.runtime.stores.rows import MOST_ROWS, FlowRunRow, RunFilter, StateRow, TaskRunRow
from millrace.runtime.stores.sealing import ENTRY, parameter_of

MOST_SUBFLOWS: Final = 10
"""How many runs of one flow, inside of one flow run, are shown one by one; more are counted."""


def listing(rows: Sequence[FlowRunRow], ids: Sequence[str], now: int, width: int | None) -> str:
    """Flow runs as a table.

    Args:
        rows: The runs.
        ids: What is shown of their ids.
        now: The present, in nanoseconds since the epoch.
        width: How many characters fit into a line; None for any number.
    """
    titles = ("ID", "RUN", "STATE", "CREATED", "TOOK", "TAGS")
    cells = [
        (
            run_id,
            f"{row.flow}/{row.name}",
            row.state.name,
            ago(row.created, now),
            _took(row, now),
            ", ".join(sorted(row.tags)),
        )
        for row, run_id in zip(rows, ids, strict=True)
    ]
    return table([titles, *cells], 1, width)


def listing_of_task_runs(rows: Sequence[TaskRunRow], now: int, width: int | None) -> str:
    """Task runs as a table, each with its whole id, by which alone it can be found.

    Args:
        rows: The runs.
        now: The present, in nanoseconds since the epoch.
        width: How many characters fit into a line; None for any number.
    """
    titles = ("ID", "RUN", "STATE", "CREATED", "TOOK", "TAGS")
    cells = [
        (
            f"{row.id:032x}",
            row.name,
            row.state.name,
            ago(row.created, now),
            _took(row, now),
            ", ".join(sorted(row.tags)),
        )
        for row in rows
    ]
    return table([titles, *cells], 1, width)


def events_of(states: Sequence[StateRow], width: int | None) -> str:
    """The states of a run as a table."""
    titles = ("#", "TIME", "STATE", "CAUSE", "MESSAGE")
    cells = [(str(row.sequence), iso(row.at) or "", row.name, row.cause, row.message or "") for row in states]
    return table([titles, *cells], 4, width)


def _took(row: FlowRunRow | TaskRunRow, now: int) -> str:
    """How long a run has been at it: to its end, or until now where somebody is."""
    if row.started is None or (row.ended is None and row.state.type is StateType.PAUSED):
        return ""
    return length((row.ended or now) - row.started)


# One run.


@attrs.frozen
class Shown:
    """A run, as it is shown.

    Args:
        lines: What is shown.
        values: Its parameters, by name, as Python shows them.
    """

    lines: Sequence[str]
    values: Mapping[str, str]


def shown_flow_run(row: FlowRunRow, store: Store, now: int) -> Shown:
    """A flow run with its parameters, and what it has inside."""
    values = {
        name: _readable(value, parameter_of(row.id, name)) for name, value in row.parameters.items() if name != ENTRY
    }
    entry = row.entry
    counts: Counter[StateType] = Counter()
    for (_, kind), count in store.count_task_runs(row.id).items():
        counts[kind] += count
    facts = [
        *_common(row, now),
        ("flow", row.flow if row.version is None else f"{row.flow}, version {row.version}"),
        ("from", f"{entry.file or entry.module}:{entry.name}"),
        *((f"parameter {name}", value) for name, value in values.items()),
        ("task runs", _counted(counts)),
        ("part of", "" if row.parent is None else str(UUID(int=row.parent))),
        ("died with its process", "" if not row.deaths else f"{row.deaths:,} times" if row.deaths > 1 else "once"),
    ]
    return Shown(_aligned(f"{row.flow}/{row.name}", facts), values)


def shown_task_run(row: TaskRunRow, now: int) -> Shown:
    """A task run."""
    inputs = ((f"needs for {name}", ", ".join(ids)) for name, ids in row.inputs.items())
    facts = [
        *_common(row, now),
        ("task", row.task),
        ("part of", "" if row.flow_run is None else str(UUID(int=row.flow_run))),
        *inputs,
        ("rolled back", "yes" if row.undone else ""),
    ]
    return Shown(_aligned(row.name, facts), {})


def _common(row: FlowRunRow | TaskRunRow, now: int) -> list[tuple[str, str]]:
    state = row.state
    return [
        ("id", str(UUID(int=row.id))),
        ("state", state.name if state.message is None else f"{state.name}: {state.message}"),
        ("created", _moment(row.created, now)),
        ("began", _moment(row.started, now)),
        ("ended", _moment(row.ended, now)),
        ("took", _took(row, now)),
        ("attempts", str(row.attempts)),
        ("tags", ", ".join(sorted(row.tags))),
    ]


def _moment(at: int | None, now: int) -> str:
    return "" if at is None else f"{iso(at)} ({ago(at, now)})"


def _aligned(title: str, facts: Sequence[tuple[str, str]]) -> list[str]:
    said = [(name, value) for name, value in facts if value]
    width = max(len(name) for name, _ in said)
    return [title, *(f"  {name:<{width}}  {value}" for name, value in said)]


def _readable(value: Value, where: str) -> str:
    try:
        return repr(decode(value, serializer_for(), where=where))
    except MillraceError:
        return f"({value.missing or 'not to be read here'})"
    except Exception as error:  # noqa: BLE001  # what `repr` of somebody else's class does
        return f"(its repr() raised {type(error).__name__})"


# What is inside of one.


@attrs.frozen
class Tree:
    """A flow run and what is inside of it.

    Args:
        row: The run.
        counts: Its task runs, by task: how many by type of state.
        flows: Its subflows of which there are many, counted in the same way.
        inside: Its subflows that are shown one by one.
    """

    row: FlowRunRow
    counts: Mapping[str, Mapping[StateType, int]]
    flows: Mapping[str, Mapping[StateType, int]]
    inside: list[Tree] = attrs.field(factory=list)

    def lines(self, now: int) -> Iterator[str]:
        """The tree as it is shown."""
        stack: list[tuple[Tree, str, str]] = [(self, "", "")]
        while stack:  # not by recursion: flows may be nested deeper than calls may
            tree, first, rest = stack.pop()
            row = tree.row
            took = _took(row, now)
            yield f"{first}{row.flow}/{row.name}  {row.state.name}{took and f', took {took}'}"
            counted = [
                *(f"{name}: {_counted(kinds)}" for name, kinds in tree.counts.items()),
                *(f"{name}/…: {_counted(kinds)}" for name, kinds in tree.flows.items()),
            ]
            for at, line in enumerate(counted):
                last = at == len(counted) - 1 and not tree.inside
                yield f"{rest}{'└── ' if last else '├── '}{line}"
            children = [(each, f"{rest}├── ", f"{rest}│   ") for each in tree.inside]
            if children:
                children[-1] = children[-1][0], f"{rest}└── ", f"{rest}    "
            stack.extend(reversed(children))

    def to_document(self) -> dict[str, Any]:
        """The tree as JSON has it."""
        whole: dict[str, Any] = {}
        stack: list[tuple[Tree, dict[str, Any]]] = [(self, whole)]
        while stack:
            tree, document = stack.pop()
            document.update(documents.of_flow_run(tree.row))
            document["task_runs"] = {name: _named(kinds) for name, kinds in tree.counts.items()}
            document["counted_subflows"] = {name: _named(kinds) for name, kinds in tree.flows.items()}
            document["subflows"] = [{} for _ in tree.inside]
            stack.extend(zip(tree.inside, document["subflows"], strict=True))
        return whole


def tree_of(store: Store, row: FlowRunRow) -> Tree:
    """Read a flow run and what is inside of it."""
    whole, children = _branch(store, row)
    stack = [(whole, children)]
    while stack:
        tree, inside = stack.pop()
        for each in inside:
            branch, its_children = _branch(store, each)
            tree.inside.append(branch)
            stack.append((branch, its_children))
    return whole


def _branch(store: Store, row: FlowRunRow) -> tuple[Tree, list[FlowRunRow]]:
    """A flow run with what is counted of it, and the subflows that are shown one by one."""
    counts: dict[str, Counter[StateType]] = {}
    for (task, kind), count in store.count_task_runs(row.id).items():
        counts.setdefault(task, Counter())[kind] = count
    subflows = list(_subflows(store, row.id))
    by_flow = Counter(each.flow for each in subflows)
    flows: dict[str, Counter[StateType]] = {}
    for each in subflows:
        if each.parent_task_run is not None:
            _leave_out(counts, each)
        if by_flow[each.flow] > MOST_SUBFLOWS:
            flows.setdefault(each.flow, Counter())[each.state.type] += 1
    return Tree(row, counts, flows), [each for each in subflows if by_flow[each.flow] <= MOST_SUBFLOWS]


def _leave_out(counts: dict[str, Counter[StateType]], subflow: FlowRunRow) -> None:
    """Do not count the task run that stands for a subflow."""
    kinds = counts.get(subflow.flow)
    if kinds is None:
        return
    kind = subflow.state.type if kinds[subflow.state.type] else next(iter(kinds))
    kinds[kind] -= 1
    kinds += Counter()  # without those that are 0
    if not kinds:
        del counts[subflow.flow]


def _subflows(store: Store, run_id: int) -> Iterator[FlowRunRow]:
    """The subflows of a flow run, the first one first."""
    found: list[FlowRunRow] = []
    last = LARGEST_ID
    while page := store.read_flow_runs(RunFilter(flow_run=run_id, last=last, limit=MOST_ROWS)):
        found += page
        last = page[-1].id - 1
    return reversed(found)


def _counted(kinds: Mapping[StateType, int]) -> str:
    return ", ".join(f"{count:,} {kind.lower()}" for kind, count in sorted(kinds.items()))


def _named(kinds: Mapping[StateType, int]) -> dict[str, int]:
    return {str(kind): count for kind, count in sorted(kinds.items())}
