"""States that the rules make for one run, and nobody else has seen: the quick ways, and small ones for runs that wait.

Decides what these hold, which is what they would hold had somebody made them by hand, and a test compares the two. When
one becomes its run's state, it is not copied: see `State.adopt`.
"""

# ruff: noqa: SLF001 - as in `state`, whose states these are

from __future__ import annotations

from typing import Any, Final

from millrace.actors.state import UNSEEN, State, make_state
from millrace.actors.state_details import DEFAULT_NAMES, RETRYING, Looked, StateDetails, StateType
from millrace.actors.stored_result import Found

_RUNNING_NAME: Final = DEFAULT_NAMES[StateType.RUNNING]


def make_retrying(message: str) -> State[Any]:
    """Make a RUNNING state that a run is to adopt, and nobody else has seen: the quick way.

    Args:
        message: For people.
    """
    return make_state(StateType.RUNNING, RETRYING, message, None, None, None, None, UNSEEN)


def make_awaiting(name: str, message: str, scheduled: int) -> State[Any]:
    """Make a SCHEDULED state that a run is to adopt, and nobody else has seen: the small way, for many runs that wait.

    Args:
        name: What to call it.
        message: For people.
        scheduled: When the run goes on, in nanoseconds since the epoch.
    """
    state = make_state(StateType.SCHEDULED, name, message, None, None, None, None, UNSEEN)
    state._details = scheduled
    return state


def make_looked(name: str | None, data: Any, looked: Looked) -> State[Any]:
    """Make a RUNNING state that a run is to adopt which has looked into the cache: the quick way.

    Args:
        name: What to call it; None for the usual name.
        data: What was found, if anything.
        looked: What there is to say of that.
    """
    state = make_state(StateType.RUNNING, name or _RUNNING_NAME, None, data, None, None, None, UNSEEN)
    state._details = looked
    return state


def make_found(found: Found, looked: State[Any]) -> State[Any]:
    """Make the COMPLETED state that a run is to adopt whose result was there already.

    Args:
        found: The result, and what the state is to say.
        looked: The RUNNING state that says under which key was looked.
    """
    details, expires = looked._details, found.expires
    if isinstance(details, Looked):
        if details.cache_expiration is not expires:
            details = details._replace(cache_expiration=expires)
    elif isinstance(details, StateDetails):
        key, transition = details.cache_key, details.transition_id
        if key is not None and details.cache_expiration is not expires:
            details = StateDetails(cache_key=key, cache_expiration=expires, transition_id=transition)
    state = make_state(StateType.COMPLETED, found.name, found.message, found.data, None, None, None, UNSEEN)
    state._details = details
    return state
