"""States, as they are made by hand: a constructor for each, and the door to the modules below.

This module alone decides which states have a constructor, and what each does with the times it is
given. What a state is, `state` knows; its types and details are those of `state_details`.
"""

# ruff: noqa: N802 - a constructor is named like the state that it makes

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from millrace.actors import ambient
from millrace.actors.errors import StateDefinitionError
from millrace.actors.keywords import Keywords
from millrace.actors.seconds import checked_wait
from millrace.actors.state import State, make_state
from millrace.actors.state_details import DEFAULT_NAMES, RETRYING, TERMINAL, StateDetails, StateType
from millrace.actors.state_exceptions import (
    aget_state_exception,
    get_state_exception,
    is_state,
    is_state_iterable,
    raise_state_exception,
)
from millrace.actors.stored_result import MISSING, StoredResult
from millrace.actors.timestamps import as_aware, from_nanoseconds
from millrace.actors.values import with_changes

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID

__all__ = (
    "DEFAULT_NAMES",
    "MISSING",
    "TERMINAL",
    "AwaitingConcurrencySlot",
    "AwaitingRetry",
    "Cancelled",
    "Cancelling",
    "Completed",
    "Crashed",
    "Failed",
    "Late",
    "Paused",
    "Pending",
    "Retrying",
    "Running",
    "Scheduled",
    "State",
    "StateDetails",
    "StateType",
    "StoredResult",
    "Suspended",
    "aget_state_exception",
    "get_state_exception",
    "is_state",
    "is_state_iterable",
    "make_state",
    "raise_state_exception",
)

R = TypeVar("R")


class _Stamp(Keywords, total=False):
    message: str | None
    state_details: StateDetails | Mapping[str, Any] | None
    timestamp: datetime | None
    id: UUID | None


class _NamedStamp(_Stamp, total=False):
    name: str | None


class _Unnamed(_Stamp, total=False):
    data: Any


class _Named(_Unnamed, total=False):
    name: str | None


@overload
def Completed(**given: Unpack[_NamedStamp]) -> State[None]: ...
@overload
def Completed(*, data: R, **given: Unpack[_NamedStamp]) -> State[R]: ...
def Completed(*, data: Any = None, **given: Unpack[_NamedStamp]) -> State[Any]:
    """A COMPLETED state; what is given is as for `State`.

    Args:
        data: The result.
    """
    return State(type=StateType.COMPLETED, data=data, **given)


def Running(**given: Unpack[_Named]) -> State[Any]:
    """A RUNNING state; what is given is as for `State`."""
    return State(type=StateType.RUNNING, **given)


def Retrying(**given: Unpack[_Unnamed]) -> State[Any]:
    """A RUNNING state named Retrying: a further attempt; what is given is as for `State`."""
    return State(type=StateType.RUNNING, name=RETRYING, **given)


def Failed(**given: Unpack[_Named]) -> State[Any]:
    """A FAILED state; what is given is as for `State`."""
    return State(type=StateType.FAILED, **given)


def Crashed(**given: Unpack[_Named]) -> State[Any]:
    """A CRASHED state; what is given is as for `State`."""
    return State(type=StateType.CRASHED, **given)


def Cancelling(**given: Unpack[_Named]) -> State[Any]:
    """A CANCELLING state; what is given is as for `State`."""
    return State(type=StateType.CANCELLING, **given)


def Cancelled(**given: Unpack[_Named]) -> State[Any]:
    """A CANCELLED state; what is given is as for `State`."""
    return State(type=StateType.CANCELLED, **given)


def Pending(**given: Unpack[_Named]) -> State[Any]:
    """A PENDING state; what is given is as for `State`."""
    return State(type=StateType.PENDING, **given)


def Scheduled(*, scheduled_time: datetime | None = None, **given: Unpack[_Named]) -> State[Any]:
    """A SCHEDULED state; what else is given is as for `State`.

    Args:
        scheduled_time: The time before which the run does not start; now where it is not given.

    Raises:
        StateDefinitionError: The time is given a second time, in `state_details`.
        ConfigurationError: It is no time.
    """
    if scheduled_time is not None:
        details = _details(given)
        if details.scheduled_time is not None:
            raise StateDefinitionError(
                "The scheduled time is given twice: as 'scheduled_time' and in 'state_details'. Give it once."
            )
        scheduled_time = as_aware("scheduled_time", scheduled_time)
        given["state_details"] = with_changes(details, scheduled_time=scheduled_time)
    return State(type=StateType.SCHEDULED, **given)


def AwaitingRetry(*, scheduled_time: datetime | None = None, **given: Unpack[_Unnamed]) -> State[Any]:
    """A SCHEDULED state named AwaitingRetry: the last attempt failed; the rest as for `Scheduled`.

    Args:
        scheduled_time: As there.
    """
    return Scheduled(scheduled_time=scheduled_time, name="AwaitingRetry", **given)


def AwaitingConcurrencySlot(*, scheduled_time: datetime | None = None, **given: Unpack[_Unnamed]) -> State[Any]:
    """A SCHEDULED state named AwaitingConcurrencySlot: a limit holds it; else as `Scheduled`.

    Args:
        scheduled_time: As there.
    """
    return Scheduled(scheduled_time=scheduled_time, name="AwaitingConcurrencySlot", **given)


def Late(*, scheduled_time: datetime | None = None, **given: Unpack[_Unnamed]) -> State[Any]:
    """A SCHEDULED state named Late: its time has passed; the rest as for `Scheduled`.

    Args:
        scheduled_time: As there.
    """
    return Scheduled(scheduled_time=scheduled_time, name="Late", **given)


def Paused(
    *,
    timeout_seconds: float | None = None,
    pause_expiration_time: datetime | None = None,
    reschedule: bool = False,
    pause_key: str | None = None,
    **given: Unpack[_Named],
) -> State[Any]:
    """A PAUSED state; what else is given is as for `State`.

    Args:
        timeout_seconds: How long from now the run may be paused.
        pause_expiration_time: The time until which it may be paused, in place of that.
        reschedule: The process ends its work on the run; resuming runs the flow again.
        pause_key: A pause with the same key happens once only.

    Raises:
        StateDefinitionError: Both times are given, or one stands in `state_details`.
        ConfigurationError: One of them is no time.
    """
    details = _details(given)
    if details.pause_timeout is not None:
        raise StateDefinitionError(
            "The end of a pause is given as 'timeout_seconds' or 'pause_expiration_time', not in 'state_details'."
        )
    if pause_expiration_time is not None:
        pause_expiration_time = as_aware("pause_expiration_time", pause_expiration_time)
    seconds = checked_wait("timeout_seconds", timeout_seconds)
    if seconds is not None:
        if pause_expiration_time is not None:
            raise StateDefinitionError(
                "The end of a pause is given twice: as 'timeout_seconds' and as 'pause_expiration_time'. Give one."
            )
        pause_expiration_time = from_nanoseconds(ambient.now_ns() + round(seconds * 1e9))
    given["state_details"] = with_changes(
        details,
        pause_timeout=pause_expiration_time,
        pause_reschedule=reschedule or details.pause_reschedule,
        pause_key=details.pause_key if pause_key is None else pause_key,
    )
    return State(type=StateType.PAUSED, **given)


def Suspended(
    *,
    timeout_seconds: float | None = None,
    pause_expiration_time: datetime | None = None,
    pause_key: str | None = None,
    **given: Unpack[_Unnamed],
) -> State[Any]:
    """A PAUSED state named Suspended, that reschedules; the rest as for `Paused`.

    Args:
        timeout_seconds: As there.
        pause_expiration_time: As there.
        pause_key: As there.
    """
    return Paused(
        name="Suspended",
        reschedule=True,
        timeout_seconds=timeout_seconds,
        pause_expiration_time=pause_expiration_time,
        pause_key=pause_key,
        **given,
    )


def _details(given: _Named) -> StateDetails:
    details = given.get("state_details")
    if isinstance(details, StateDetails):
        return details
    return StateDetails(**(details or {}))
