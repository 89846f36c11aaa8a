"""Plans: what a simulation runs, as data.

A plan says which flows there are, what their bodies and those of their tasks do, and what happens to them from outside.
It is a tree of tuples, so that parts of it can be left out to find the smallest plan that fails.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import attrs

Options = tuple[tuple[str, Any], ...]


@attrs.frozen
class Op:
    """One thing that a body does.

    Args:
        kind: What.
        seconds: How long, where that matters.
        on: Which of the futures that the body has got so far.
        count: How many, where that matters.
        how: How an outcome is taken, and other choices.
        task: A task.
        flow: A flow.
        ops: What is done inside.
    """

    kind: str
    seconds: float = 0.0
    on: tuple[int, ...] = ()
    count: int = 0
    how: str = ""
    task: TaskPlan | None = None
    flow: FlowPlan | None = None
    ops: tuple[Op, ...] = ()


@attrs.frozen
class TaskPlan:
    """A task.

    Args:
        name: Its name.
        kind: `async`, `sync`, `async-generator` or `generator`.
        ops: What its body does.
        options: Of the task.
        fails: So many attempts of each run raise at their end.
        error: What they raise.
        hooks: What its hooks do.
    """

    name: str
    kind: str = "async"
    ops: tuple[Op, ...] = ()
    options: Options = ()
    fails: int = 0
    error: str = "ValueError"
    hooks: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class FlowPlan:
    """A flow.

    Args:
        name: Its name.
        kind: `async` or `sync`.
        ops: What its body does.
        options: Of the flow.
        returns: What it returns: `none`, `data` or `futures`.
        fails: So many attempts of each run raise at their end.
        error: What they raise.
        hooks: What its hooks do.
    """

    name: str
    kind: str = "async"
    ops: tuple[Op, ...] = ()
    options: Options = ()
    returns: str = "data"
    fails: int = 0
    error: str = "ValueError"
    hooks: tuple[tuple[str, str], ...] = ()


@attrs.frozen
class Act:
    """Something that happens from outside.

    Args:
        after: Seconds after the act before.
        what: What.
        which: A number that picks the run.
        where: `loop` or `thread`.
    """

    after: float
    what: str
    which: int = 0
    where: str = "loop"


@attrs.frozen
class Top:
    """A flow that is called from outside of any.

    Args:
        flow: The flow.
        way: `await`, `scope`, `start` or `thread`.
    """

    flow: FlowPlan
    way: str


@attrs.frozen
class Death:
    """How a life of the process ends.

    Args:
        at: `time`, or a moment of a group: `begun`, `synced`, `written` and `acknowledged`.
        when: After so many seconds; at which of these moments.
        power: What was not brought to the disk is lost, or a part of it.
    """

    at: str
    when: float
    power: bool = False


@attrs.frozen
class StorePlan:
    """Where runs are recorded, and what befalls that.

    Args:
        kind: `memory`, or `sqlite` on a disk whose power can be cut.
        slow: How likely a group takes time.
        fails_at: Which group of the first process fails; 0: none.
        fails: Whether it fails `before` or `after` it is written.
        deaths: How the first lives of the process end.
    """

    kind: str = "memory"
    slow: float = 0.0
    fails_at: int = 0
    fails: str = "before"
    deaths: tuple[Death, ...] = ()


@attrs.frozen
class Plan:
    """What a simulation runs.

    Args:
        tops: The flows.
        acts: What happens to them.
        threads: Of the engine.
        limits: Of the engine, by name.
        ending: `calm`: all is let go on until it has ended. `cancel`: the engine is closed at once.
        store: Where runs are recorded; None: nowhere.
        pace: Seconds from one call of the flows to the next, where they are called several times.
    """

    tops: tuple[Top, ...]
    acts: tuple[Act, ...]
    threads: int = 2
    limits: tuple[tuple[str, int], ...] = ()
    ending: str = "calm"
    store: StorePlan | None = None
    pace: float = 0.1


def flows_in(plan: Plan) -> dict[str, FlowPlan]:
    """All flows of a plan, by name."""
    found = [top.flow for top in plan.tops]
    for each in found:  # grows
        found += [op.flow for op in _ops_in(each.ops) if op.flow is not None]
    return {each.name: each for each in found}


def tasks_of(plan: Plan, kinds: Collection[str]) -> set[str]:
    """Names of the tasks that ops of some kinds start, in the bodies of flows."""
    flows = flows_in(plan).values()
    ops = [op for each in flows for op in _ops_in(each.ops)]
    return {op.task.name for op in ops if op.task is not None and op.kind in kinds}


def left_behind_by_tasks(plan: Plan) -> set[str]:
    """Names of the tasks that code calls which the body of a task leaves behind, perhaps after that has ended."""
    flows = flows_in(plan).values()
    tasks = [op.task for each in flows for op in _ops_in(each.ops) if op.task is not None]
    ops = [op for each in tasks for op in _ops_in(each.ops)]
    return {op.task.name for op in ops if op.task is not None and op.kind == "leak"}


def _ops_in(ops: tuple[Op, ...]) -> list[Op]:
    found = list(ops)
    for each in found:  # grows
        found += each.ops
        found += each.task.ops if each.task is not None else ()
    return found
