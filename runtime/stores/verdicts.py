"""Verdicts: what all stores decide in the same way about runs that nobody runs any more."""

from __future__ import annotations

import json

from millrace.actors.states import StateType
from millrace.runtime.stores.port import OWNER_DIED
from millrace.runtime.stores.records import Entered
from millrace.runtime.stores.rows import StateRow

SUSPENDS = "pause_reschedule"
"""What stands in the details of the state of a run that is suspended: nobody runs it until it is resumed."""


def suspends(kind: StateType, details: str | None) -> bool:
    """Whether a flow run in a state of such a type, with such details, is suspended."""
    return kind is StateType.PAUSED and details is not None and bool(json.loads(details).get(SUSPENDS))


def death_message(owner: str) -> str:
    """What the state of a run says whose owner is over."""
    return f"The run was not ended by its process, {owner}, which is over."


def death_notice(state: StateRow, at: int, owner: str, *, is_flow: bool) -> Entered:
    """The CRASHED state of a run whose owner is over.

    Args:
        state: The state that it was in.
        at: When that was found.
        owner: Says who that was.
        is_flow: It is a flow run.
    """
    return Entered(
        state.run,
        is_flow,
        state.sequence + 1,
        StateType.CRASHED,
        None,
        death_message(owner),
        max(at, state.at),
        OWNER_DIED,
        ended=True,
    )
