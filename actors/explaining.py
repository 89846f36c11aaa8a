"""Explaining: why a state is what it is, in one sentence.

Decides which of the things that a state holds are worth saying, and in which words. Reads nothing but the state: no
run, no storage. What a message says already is not said in other words.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import MillraceError
from millrace.actors.state_details import TERMINAL, StateType
from millrace.actors.stored_result import CACHED, MISSING, StoredResult
from millrace.actors.telling import told_of

if TYPE_CHECKING:
    from datetime import datetime

    from millrace.actors.state import State

    Inside = Callable[[Any], Sequence[State[Any]]]
    """The states in the data of a state, where that is a state, or a collection of nothing but states."""

LONGEST: Final = 300
"""Characters of a sentence; what is longer is cut."""

DEEPEST: Final = 100
"""How many states in one another are looked into."""

_TROUBLE: Final = (StateType.FAILED, StateType.CRASHED, StateType.CANCELLED)

_PLAIN: Final = {
    StateType.SCHEDULED: "it waits for its time",
    StateType.PENDING: "it has not started yet",
    StateType.RUNNING: "its body runs",
    StateType.PAUSED: "it waits to be resumed",
    StateType.CANCELLING: "its body has been told to stop, and no reason was given",
    StateType.CANCELLED: "it was cancelled, and no reason was given",
    StateType.CRASHED: "something outside of its body ended it, and nothing more is known",
    StateType.FAILED: "nothing more is known",
}


def explain(state: State[Any], inside: Inside) -> str:
    """One sentence that says why a state is what it is.

    Args:
        state: The state.
        inside: Gives the states in the data of one.
    """
    told = f"{state.name}: {_reason(state, inside).rstrip('.')}{_and_more(state)}"
    told = told if len(told) < LONGEST else f"{told[: LONGEST - 2].rstrip()}…"
    return f"{told}."


def _reason(state: State[Any], inside: Inside) -> str:
    """What the state says of itself; and, of several states that it was made of, the first that is to blame."""
    reason = _own_reason(state)
    if state.type is StateType.COMPLETED or not state.message or "the first: " in state.message:
        return reason
    blamed = _innermost(state, inside)
    if blamed is state:
        return reason
    return f"{reason.rstrip('.')}; the first: {blamed.name}, {_own_reason(blamed)}"


def _own_reason(state: State[Any]) -> str:
    if state.type is StateType.COMPLETED:
        return _on_one_line(state.message) if state.message else _of_completed(state)
    message = state.message or (state.data if isinstance(state.data, str) else None)
    if isinstance(state.data, MillraceError) and message == told_of(state.data):
        message = str(state.data)  # an error of the engine's own tells the whole story without its name
    if not message and isinstance(state.data, BaseException):
        message = told_of(state.data)
    return _on_one_line(message) if message else _PLAIN[state.type]


def _of_completed(state: State[Any]) -> str:
    key = state.state_details.cache_key
    if state.name == CACHED:
        return "its result was there already" + ("" if key is None else f", under the cache key '{key}'")
    if state.data is MISSING:
        return "it came to a result, which was not kept"
    if isinstance(state.data, StoredResult):
        return "it came to a result, which lies in its storage"
    return "it came to no result" if state.data is None else f"it came to a result, of type {type(state.data).__name__}"


def _innermost(state: State[Any], inside: Inside) -> State[Any]:
    """Of the states in a state, and in these again, the first that is to blame; the state itself if it has none."""
    for _ in range(DEEPEST):
        states = inside(state.data)
        blamed = next((each for each in states if each.type in _TROUBLE and _as_bad_as(each, state)), None)
        if blamed is None and not any(each.type in _TROUBLE for each in states):
            blamed = next((each for each in states if each.type not in TERMINAL), None)
        if blamed is None:
            break
        state = blamed
    return state


def _as_bad_as(inner: State[Any], outer: State[Any]) -> bool:
    """Whether a state is of the kind that the other one was made for."""
    return (inner.type is StateType.CANCELLED) is (outer.type is StateType.CANCELLED)


def _and_more(state: State[Any]) -> str:
    """What the details add."""
    details = state.state_details
    if state.type is StateType.FAILED and details.attempts is not None:
        return f" (attempt {details.attempts:,}, the last one)"
    if state.type is StateType.SCHEDULED and details.scheduled_time is not None:
        return f" (due at {_shown(details.scheduled_time)})"
    if state.type is StateType.PAUSED and details.pause_timeout is not None:
        return f" (until {_shown(details.pause_timeout)})"
    return ""


def _shown(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S %Z}"


def _on_one_line(text: str) -> str:
    return " ".join(text.split())
