"""The table of transitions: which state may follow which.

This table alone says what is possible; `rules` says what is allowed right now. A pair that is not here is refused with
ABORT and changes nothing. Terminal states have no successors: a run leaves one only by force or by a retry of its flow.
"""

from __future__ import annotations

from typing import Final

from millrace.actors.states import TERMINAL, StateType

_S = StateType

TRANSITIONS: Final[dict[StateType, frozenset[StateType]]] = {
    _S.SCHEDULED: frozenset({
        _S.SCHEDULED, _S.PENDING, _S.RUNNING, _S.PAUSED, _S.CANCELLING,
        _S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.CRASHED,
    }),
    _S.PENDING: frozenset({
        _S.SCHEDULED, _S.PENDING, _S.RUNNING, _S.PAUSED, _S.CANCELLING,
        _S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.CRASHED,
    }),
    _S.RUNNING: frozenset({
        _S.SCHEDULED, _S.RUNNING, _S.PAUSED, _S.CANCELLING,
        _S.COMPLETED, _S.FAILED, _S.CANCELLED, _S.CRASHED,
    }),
    _S.PAUSED: frozenset({
        _S.SCHEDULED, _S.PENDING, _S.RUNNING, _S.PAUSED, _S.CANCELLING, _S.FAILED, _S.CANCELLED, _S.CRASHED,
    }),
    _S.CANCELLING: frozenset({_S.CANCELLED, _S.CRASHED}),
}  # fmt: skip
"""From a run's state to those that may follow. Task runs and flow runs share it; what differs are their rules."""

assert not TERMINAL & TRANSITIONS.keys(), "a terminal state has no successors"


def possible(current: StateType, proposed: StateType) -> bool:
    """Whether the table has the pair."""
    return proposed in TRANSITIONS.get(current, ())
