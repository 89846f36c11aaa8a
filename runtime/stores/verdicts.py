"""Verdicts: what all stores decide in the same way about runs that nobody runs any more."""

from __future__ import annotations

import json
from typing import Final

from millrace.actors.errors import RunNotRemovable
from millrace.actors.states import StateType
from millrace.runtime.stores.port import OWNER_DIED
from millrace.runtime.stores.records import LARGEST_ID, Entered
from millrace.runtime.stores.rows import StateRow

_SUSPENDS: Final = {StateType.PAUSED: "pause_reschedule", StateType.SCHEDULED: "deferred"}
"""By type of the state: what stands in its details where nobody runs the run until somebody wants that."""


MOST_DEATHS: Final = 10
"""A run that has ended its process so often is parked: it is run again only by force, and kept until somebody looks."""

_MILLISECOND_NS: Final = 1_000_000
_TIME_SHIFT: Final = 80


def first_id_at(at: int) -> int:
    """The smallest id that a run can have that was made at a time, or later.

    Args:
        at: Nanoseconds since the epoch.
    """
    return min(max(0, at) // _MILLISECOND_NS << _TIME_SHIFT, LARGEST_ID)


def suspends(kind: StateType, details: str | None) -> bool:
    """Whether nobody runs a flow run in a state of such a type, with such details: it is suspended, or made ahead."""
    word = None if details is None else _SUSPENDS.get(kind)
    return word is not None and bool(json.loads(details or "{}").get(word))


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


def cancel_notice(state: StateRow, at: int) -> Entered:
    """The CANCELLED state of a flow run that nobody runs.

    Args:
        state: The state that it was in.
        at: When somebody wanted it.
    """
    message = "It was cancelled while nobody ran it."
    kind = StateType.CANCELLED
    return Entered(state.run, True, state.sequence + 1, kind, None, message, max(at, state.at), "cancelled", ended=True)


def check_removable(name: str, kind: str, parent: object, ended: int | None, *, suspended: bool) -> None:
    """Check that a flow run may be removed.

    Raises:
        RunNotRemovable: it may not.
    """
    if parent is not None:
        raise RunNotRemovable(name, "it belongs to another run", "Remove that one; this one goes with it.")
    if suspended:
        ahead = kind == StateType.SCHEDULED
        waits = "was made ahead, and waits to be executed" if ahead else "is suspended, and waits to be resumed"
        raise RunNotRemovable(name, f"it {waits}", "Cancel it first.")
    if ended is None:
        raise RunNotRemovable(name, f"it is {kind}", "Cancel it first.")
