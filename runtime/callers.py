"""Callers: whose code goes on, or ends, only after a run that it has called is over.

Decides what of that is certain: sync code goes on after its call; a flow run ends after all that it has called; and
async code of a task goes on after what it awaits in its own asyncio task. What it awaits in others, as by
`asyncio.gather`, it may do without.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun


def caller_of(run: TaskRun | FlowRun, scope: FlowRun, parent: int | None) -> TaskRun | FlowRun | None:
    """The run whose code has called one directly; None where it is not certain to wait for that.

    Args:
        run: The one.
        scope: The flow run that it belongs to.
        parent: The id of the task run in there that has called it; None if the flow run itself has.
    """
    if parent is None:
        return scope
    caller = scope.children.get(parent)
    if caller is None or run.blocks or caller.blocks:
        return caller
    outer = _place_of(caller)
    return caller if outer is None or outer == _place_of(run) else None


def _place_of(run: Any) -> int | None:
    """Where an async body goes on; None in the first step of one that was not called, and where nobody noted it."""
    if run.is_flow:
        body = None if run.conductor is None else run.conductor.body
    elif getattr(run.lane, "is_a_call", False):
        place: int | None = run.lane.place
        return place
    else:
        body = run.handle
    return None if body is None else body.place
