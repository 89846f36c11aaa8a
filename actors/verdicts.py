"""Verdicts: what an actor answers to the proposal of a state. Values only."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, NamedTuple

from millrace.actors.states import State


class Answer(StrEnum):
    """The four answers to a proposal."""

    ACCEPT = "ACCEPT"
    REJECT = "REJECT"
    WAIT = "WAIT"
    ABORT = "ABORT"


class Verdict(NamedTuple):
    """An actor's answer to the proposal of a state.

    Args:
        answer: Which of the four it is.
        state: The run's state after the answer: the proposed one (ACCEPT), another one (REJECT), the old one otherwise.
        reason: Why, for ABORT and REJECT; a sentence without a full stop.
        until: For WAIT, the time in nanoseconds since the epoch from which on the proposal may succeed.
    """

    answer: Answer
    state: State[Any] | None = None
    reason: str = ""
    until: int = 0


def accept(state: State[Any]) -> Verdict:
    """The proposed state is the run's state now."""
    return Verdict(Answer.ACCEPT, state)


def reject(state: State[Any], reason: str) -> Verdict:
    """Another state was set instead."""
    return Verdict(Answer.REJECT, state, reason)


def wait(until: int, reason: str) -> Verdict:
    """Not yet; the run is woken at `until`."""
    return Verdict(Answer.WAIT, None, reason, until)


def abort(reason: str) -> Verdict:
    """No, and the run keeps its state."""
    return Verdict(Answer.ABORT, None, reason)
