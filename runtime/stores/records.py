"""Records: what is written to a store.

Decides what is known of a run once it is recorded. Values only, and plain ones: ids are numbers of 128 bits, times are
nanoseconds since the epoch, and what users' code has made stands there as bytes. Made for each transition of each run.
"""

from __future__ import annotations

from collections.abc import Mapping

import attrs

from millrace.actors.states import StateType

LARGEST_ID = (1 << 128) - 1

CHILD_BITS = 32
"""A flow run's own children are numbered from its id upwards, so far at most; see `ports.IdSource`."""


@attrs.frozen
class Value:
    """What a user's code has made, as bytes; or why it is not there.

    Args:
        tag: Names the serializer; empty where there are no bytes.
        blob: The bytes; None where the value could not be kept.
        missing: What kind of value it was, and why it was not kept; empty where it was.
    """

    tag: str
    blob: bytes | None
    missing: str = ""


@attrs.frozen
class Entry:
    """Where a flow can be found by another process.

    Args:
        file: The file it is defined in; empty where there is none.
        module: The module's name.
        name: The flow in the module: the qualified name of its function.
    """

    file: str
    module: str
    name: str


@attrs.define(eq=False)
class FlowRunMade:
    """A flow run has been made. The first of its records; it is PENDING from then on, as its first state.

    Args:
        id: Its id.
        at: When.
        name: Its display name.
        flow: The flow's name.
        version: The flow's version, where it has one.
        parent: The flow run around it.
        parent_task_run: The task run in that one that has started it.
        entry: Where the flow can be found.
        parameters: By name, as they were given.
        tags: Its tags.
    """

    id: int
    at: int
    name: str
    flow: str
    version: str | None
    parent: int | None
    parent_task_run: int | None
    entry: Entry
    parameters: Mapping[str, Value]
    tags: frozenset[str]


@attrs.define(eq=False)
class TaskRunMade:
    """A task run has been made. The first of its records; it is PENDING from then on, as its first state.

    Args:
        id: Its id.
        at: When.
        flow_run: The flow run it belongs to; None outside of any.
        task: The task's name.
        key: Its position among the runs of its task in the flow run.
        parent: The task run that has started it.
        tags: Its tags.
        inputs: What it depends on: ids of runs, by parameter; None for nothing.
    """

    id: int
    at: int
    flow_run: int | None
    task: str
    key: int
    parent: int | None
    tags: frozenset[str]
    inputs: Mapping[str, list[str]] | None


@attrs.define(eq=False)
class Entered:
    """A run has entered a state: an accepted transition.

    Args:
        run: The run's id.
        is_flow: It is a flow run.
        sequence: The state's position among those of its run, from 0, without gaps.
        type: The state's type.
        name: The state's name; None for the usual one.
        message: Its message.
        at: When.
        cause: What led to it.
        details: What else the state says, as JSON; None for nothing.
        data: The result, or what else the state holds; None for nothing.
        ended: The run has ended with this.
        attempts: How many attempts it has had.
        run_name: The run's display name, where it was given one after it was made.
    """

    run: int
    is_flow: bool
    sequence: int
    type: StateType
    name: str | None
    message: str | None
    at: int
    cause: str
    details: str | None = None
    data: Value | None = None
    ended: bool = False
    attempts: int = 0
    run_name: str | None = None


@attrs.define(eq=False)
class Called:
    """The body of a flow run has called a task or a flow.

    Args:
        flow_run: The flow run.
        attempt: Which attempt of its body this was, counted from 0 over all processes that have run it.
        order: Which call of the attempt, counted from 0.
        path: Of the strand that has made it, as numbers: `0.2`; empty for the body itself. See `strands`.
        name: What was called.
        place: Which call of that in the strand, counted from 0; a map counts its items.
        first: The id of the run that it made, of a map's first run.
        count: How many runs.
        marks: Of its arguments; see `marks`. Empty where nothing is known of them.
    """

    flow_run: int
    attempt: int
    order: int
    path: str
    name: str
    place: int
    first: int
    count: int
    marks: bytes = b""


@attrs.define(eq=False)
class Answered:
    """A pause of a flow run has ended because somebody resumed it.

    Args:
        flow_run: The flow run.
        key: Names the pause, as JSON; one with the same key does not happen again.
        value: What the run was resumed with.
    """

    flow_run: int
    key: str
    value: Value


@attrs.define(eq=False)
class Renamed:
    """A flow run has got another display name.

    Args:
        flow_run: The flow run.
        name: The name.
    """

    flow_run: int
    name: str


@attrs.define(eq=False)
class Undone:
    """A task run has been rolled back: its result does not count any more.

    Args:
        run: The run's id.
    """

    run: int


Record = FlowRunMade | TaskRunMade | Entered | Called | Answered | Renamed | Undone
"""What stands in a group."""
