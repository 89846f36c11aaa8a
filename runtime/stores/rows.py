"""Rows: what is read from a store, and how is asked for it.

Decides what may be asked. Values only, as plain as the records they were made of.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import attrs

from millrace.actors.states import StateType
from millrace.runtime.stores.records import LARGEST_ID, Entry, Value

MOST_ROWS = 1_000
"""How many rows are read at a time, at most."""


@attrs.frozen
class StateRow:
    """A state that a run has entered. See `records.Entered`."""

    run: int
    sequence: int
    type: StateType
    name: str
    message: str | None
    at: int
    cause: str
    details: str | None


@attrs.frozen
class FlowRunRow:
    """A flow run as it is now.

    Args:
        id: Its id.
        name: Its display name.
        flow: The flow's name.
        version: The flow's version.
        parent: The flow run around it.
        parent_task_run: The task run in that one that has started it.
        entry: Where the flow can be found.
        tags: Its tags.
        state: Its present state.
        created: When it was made.
        started: When its body first began; None before.
        ended: When it ended; None before.
        attempts: How many attempts its body has had.
        owner: The token of who runs it, or ran it last.
        deaths: How often its owner has died while it ran.
        suspended: It has not ended, and nobody runs it until somebody wants that; it may have been made ahead.
        parameters: By name. Empty in lists, where nobody has asked for them.
        data: What its present state holds. None in lists.
    """

    id: int
    name: str
    flow: str
    version: str | None
    parent: int | None
    parent_task_run: int | None
    entry: Entry
    tags: frozenset[str]
    state: StateRow
    created: int
    started: int | None
    ended: int | None
    attempts: int
    owner: int
    deaths: int
    suspended: bool
    parameters: Mapping[str, Value] = attrs.field(factory=dict)
    data: Value | None = None

    @property
    def is_free(self) -> bool:
        """Whether nobody runs it, so that it may be claimed."""
        return self.ended is not None or self.suspended

    @property
    def ahead(self) -> bool:
        """Whether it was made ahead, and has not begun."""
        return self.suspended and self.state.type is StateType.SCHEDULED


@attrs.frozen
class TaskRunRow:
    """A task run as it is now. See `FlowRunRow` and `records.TaskRunMade`."""

    id: int
    name: str
    flow_run: int | None
    task: str
    key: int
    parent: int | None
    tags: frozenset[str]
    inputs: Mapping[str, list[str]]
    state: StateRow
    created: int
    started: int | None
    ended: int | None
    attempts: int
    undone: bool
    data: Value | None = None


@attrs.frozen(kw_only=True)
class RunFilter:
    """Which runs are read: those for which all of this holds; newest first.

    Args:
        first: The smallest id.
        last: The largest id.
        types: The types of the present state, one of these; None for any.
        names: The display name, one of these.
        of: The name of the flow or task, one of these.
        tags: All of these are among its tags.
        flow_run: For task runs, the flow run they belong to; for flow runs, the one around them.
        outermost: For flow runs: no flow run is around it.
        limit: How many, at most.
    """

    first: int = 0
    last: int = LARGEST_ID
    types: Collection[StateType] | None = None
    names: Collection[str] | None = None
    of: Collection[str] | None = None
    tags: Collection[str] = ()
    flow_run: int | None = None
    outermost: bool = False
    limit: int = attrs.field(default=50, validator=[attrs.validators.ge(1), attrs.validators.le(MOST_ROWS)])


def fits(run: FlowRunRow | TaskRunRow, wanted: RunFilter, of: str, around: int | None) -> bool:
    """Whether a run is among those that a filter asks for; `outermost` is not looked at.

    Args:
        run: The run.
        wanted: The filter.
        of: The name of its flow or task.
        around: The flow run that it belongs to.
    """
    return (
        wanted.first <= run.id <= wanted.last
        and (wanted.types is None or run.state.type in wanted.types)
        and (wanted.names is None or run.name in wanted.names)
        and (wanted.of is None or of in wanted.of)
        and set(wanted.tags) <= run.tags
        and (wanted.flow_run is None or around == wanted.flow_run)
    )


@attrs.frozen
class StoreFacts:
    """What there is in a store.

    Args:
        owner: Says who has opened it last; empty for nobody.
        opened: When that was; None for never.
        flow_runs: How many flow runs, by type of the present state.
        task_runs: How many task runs.
        size: How many bytes it takes.
        free: How many of those hold nothing any more, and are used again.
        schema: The version of its schema; 0 where it has none.
    """

    owner: str
    opened: int | None
    flow_runs: Mapping[StateType, int]
    task_runs: int
    size: int = 0
    free: int = 0
    schema: int = 0
