"""Outcomes: what an exception, a returned value, or several states make of a run.

This module alone decides which state a body's end amounts to and what the message says, and how
several states are judged as one. It does not know whose body it was, nor whether the state will be
accepted. Which exception a state stands for is known to `state`; both ways stand here for users.

Conflicts: of several states that are not all COMPLETED, a cancelled one counts before a paused one,
and a paused one before one that failed or has not finished.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from types import GeneratorType, NoneType
from typing import Any, Final

from millrace.actors.errors import FlowPauseTimeout, Pause, StateDefinitionError, TerminationSignal
from millrace.actors.state import State, make_state
from millrace.actors.state_details import DEFAULT_NAMES, TERMINAL, StateDetails, StateType
from millrace.actors.state_exceptions import (
    aget_state_exception,
    get_state_exception,
    is_state,
    is_state_iterable,
    raise_state_exception,
)
from millrace.actors.telling import told_of

__all__ = (
    "PLAIN",
    "StateGroup",
    "aget_state_exception",
    "aggregate",
    "exception_to_crashed_state",
    "exception_to_failed_state",
    "failure",
    "get_state_exception",
    "holds_states",
    "is_state",
    "is_state_iterable",
    "judged",
    "not_to_be_retried",
    "pause_in",
    "raise_state_exception",
    "return_value_to_state",
    "timed_out",
)

TIMED_OUT: Final = "TimedOut"
"""Name of the FAILED state of a run that ran into a timeout."""

PLAIN: Final = frozenset({NoneType, bool, int, float, str, bytes, dict})
"""The types of what is mostly returned; none of them is a state, or holds states that decide. Quick to ask for."""

_CANCELLATIONS: Final = {("asyncio.exceptions", "CancelledError"), ("trio", "Cancelled")}


class StateGroup:
    """Several states and how many of them are what.

    Args:
        states: The states.
    """

    __slots__ = ("states", "type_counts")

    def __init__(self, states: Iterable[State[Any]]) -> None:
        self.states: list[State[Any]] = list(states)
        self.type_counts: Counter[StateType] = Counter(state.type for state in self.states)

    @property
    def total_count(self) -> int:
        """How many there are."""
        return len(self.states)

    @property
    def completed_count(self) -> int:
        """How many are COMPLETED."""
        return self.type_counts[StateType.COMPLETED]

    @property
    def cancelled_count(self) -> int:
        """How many are CANCELLED."""
        return self.type_counts[StateType.CANCELLED]

    @property
    def paused_count(self) -> int:
        """How many are PAUSED."""
        return self.type_counts[StateType.PAUSED]

    @property
    def fail_count(self) -> int:
        """How many are FAILED or CRASHED."""
        return self.type_counts[StateType.FAILED] + self.type_counts[StateType.CRASHED]

    @property
    def final_count(self) -> int:
        """How many are final."""
        return sum(self.type_counts[kind] for kind in TERMINAL)

    @property
    def not_final_count(self) -> int:
        """How many are not final."""
        return self.total_count - self.final_count

    def all_completed(self) -> bool:
        """Whether each is COMPLETED."""
        return self.completed_count == self.total_count

    def any_cancelled(self) -> bool:
        """Whether one is CANCELLED."""
        return self.cancelled_count > 0

    def any_failed(self) -> bool:
        """Whether one is FAILED or CRASHED."""
        return self.fail_count > 0

    def any_paused(self) -> bool:
        """Whether one is PAUSED."""
        return self.paused_count > 0

    def all_final(self) -> bool:
        """Whether each is final."""
        return self.not_final_count == 0

    def counts_message(self) -> str:
        """The counts as text, without those that are zero."""
        counts = [f"total={self.total_count}"]
        if self.not_final_count:
            counts.append(f"not_final={self.not_final_count}")
        # In the order of the types, so that the text does not depend on that of the states.
        counts += [f"'{kind}'={self.type_counts[kind]}" for kind in StateType if self.type_counts[kind]]
        return ", ".join(counts)

    def verdict(self) -> tuple[StateType, str]:
        """What the states amount to as one: a type, and a message that counts them."""
        total = self.total_count
        if self.all_completed():
            return StateType.COMPLETED, "All states completed."
        if self.any_cancelled():
            return StateType.CANCELLED, f"{self.cancelled_count}/{total} states cancelled."
        if self.any_paused():
            return StateType.PAUSED, f"{self.paused_count}/{total} states paused."
        if self.any_failed():
            return StateType.FAILED, f"{self.fail_count}/{total} states failed."
        return StateType.FAILED, f"{self.not_final_count}/{total} states are not final."

    def __repr__(self) -> str:
        return f"StateGroup<{self.counts_message()}>"


def aggregate(states: State[Any] | Iterable[State[Any]]) -> State[Any]:
    """The state that one state of another run, or several states, amount to.

    Args:
        states: One state, or several. They stay in the data of the new state, as they are given.
    """
    group = StateGroup([states] if isinstance(states, State) else states)
    kind, message = group.verdict()
    return _proposal(kind, DEFAULT_NAMES[kind], message, states)


def return_value_to_state(value: Any) -> State[Any]:
    """The state that a body's returned value makes of its run.

    A state made by hand is used as it is. A state of another run, or a list, set or tuple of states
    and nothing else, is aggregated. Everything else is the result of a COMPLETED run; a generator
    is read to its end here, into a list.
    """
    if is_state(value):
        return value if value.hand_made else aggregate(value)
    if is_state_iterable(value):
        return aggregate(value)
    if type(value) is GeneratorType:
        value = list(value)
    return _proposal(StateType.COMPLETED, "Completed", None, value)


def judged(value: Any) -> State[Any]:
    """The same, of a run that has to end: where that cannot be said, because code of the user's raises, it fails."""
    try:
        return return_value_to_state(value)
    except Exception as error:  # noqa: BLE001 - whatever it is, the run has ended
        return failure(error)


def holds_states(value: Any) -> bool:
    """Whether a returned value is a state, or a collection of nothing but states, and so decides by itself."""
    return type(value) not in PLAIN and (is_state(value) or is_state_iterable(value))


def exception_to_failed_state(
    exc: BaseException | None = None, *, message: str | None = None, name: str | None = None
) -> State[Any]:
    """The FAILED state that an exception of a body makes of its run.

    Args:
        exc: The exception; the active one where it is not given.
        message: What to say before the exception's own text.
        name: What to call the state.

    Raises:
        StateDefinitionError: No exception is given, and none is active. A `ValueError`.
    """
    error = sys.exception() if exc is None else exc
    if error is None:
        raise StateDefinitionError("No exception was given, and there is none active. Give one.")
    text = told_of(error) if not message else f"{message.rstrip()} {told_of(error)}"
    return _proposal(StateType.FAILED, name or "Failed", text, error)


def failure(error: Exception) -> State[Any]:
    """The FAILED state that an exception of a run's own body makes of it; a timeout of its own code is named so."""
    if isinstance(error, TimeoutError) and not isinstance(error, FlowPauseTimeout):
        return exception_to_failed_state(error, message="Its own code ran into a timeout:", name=TIMED_OUT)
    return exception_to_failed_state(error)


def pause_in(error: BaseException) -> Pause | None:
    """The pause that has ended a body, also where it came out of a group of tasks; None if nothing was paused."""
    while isinstance(error, BaseExceptionGroup):
        some = error.subgroup(Pause)
        if some is None:
            return None
        error = some.exceptions[0]
    return error if isinstance(error, Pause) else None


def not_to_be_retried(state: State[Any]) -> State[Any]:
    """The same state, which says that another attempt is not to follow it."""
    details = StateDetails(retriable=False)
    return State(type=state.type, name=state.name, message=state.message, data=state.data, state_details=details)


def timed_out(error: TimeoutError) -> State[Any]:
    """The FAILED state of a run whose time is over.

    Args:
        error: Says which run and how much time it had.
    """
    return _proposal(StateType.FAILED, TIMED_OUT, str(error), error)


def exception_to_crashed_state(exc: BaseException) -> State[Any]:
    """The CRASHED state that something from outside of a body makes of its run.

    Args:
        exc: What ended the run.
    """
    if _is_cancellation(exc):
        message = "The run was cancelled by the runtime environment."
    elif isinstance(exc, KeyboardInterrupt):
        message = "The run was ended by an interrupt signal."
    elif isinstance(exc, TerminationSignal):
        message = "The run was ended by a termination signal."
    elif isinstance(exc, SystemExit):
        message = "The run was ended by a Python system exit call."
    else:
        message = f"The run was ended by an unexpected exception: {told_of(exc)}"
    return _proposal(StateType.CRASHED, "Crashed", message, exc)


def _proposal(kind: StateType, name: str, message: str | None, data: Any) -> State[Any]:
    """A state that a run is still to adopt; its time is that of the adoption."""
    return make_state(kind, name, message, data, None, None, None, -1)


def _is_cancellation(exc: BaseException) -> bool:
    # By name, because this floor imports no event loop. The classes of concurrent.futures are left
    # out: that error is an Exception and means that some future of the body was cancelled.
    return any((kind.__module__, kind.__qualname__) in _CANCELLATIONS for kind in type(exc).__mro__)
