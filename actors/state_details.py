"""The types a state can have, and the details that can go with it. Values only.

This module alone decides which types there are, which of them end a run, and what a state is called
that was given no name. Users import all of it from `states`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

from millrace.actors.errors import ConfigurationError
from millrace.actors.timestamps import as_aware
from millrace.actors.uuids import parsed_uuid
from millrace.actors.values import Value, put

if TYPE_CHECKING:
    from datetime import datetime
    from uuid import UUID


class StateType(StrEnum):
    """What a run can be, as far as the rules are concerned. A state's name may say more."""

    SCHEDULED = "SCHEDULED"
    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    CRASHED = "CRASHED"
    PAUSED = "PAUSED"
    CANCELLING = "CANCELLING"


TERMINAL: Final = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CANCELLED, StateType.CRASHED})
"""The types that end a run."""

DEFAULT_NAMES: Final[dict[StateType, str]] = {kind: kind.title() for kind in StateType}
"""What a state of each type is called where it is given no name."""

RETRYING: Final = "Retrying"
"""What the RUNNING state of an attempt is called that is not the first."""


class AnyState:
    """What every state is, and nothing else: by which one is known where `state` cannot be imported."""

    __slots__ = ()


def as_kind(value: StateType | str) -> StateType:
    """A type of state, also by its name.

    Raises:
        ConfigurationError: there is none such.
    """
    if type(value) is StateType:
        return value  # mostly; looking a member up costs more than all the rest of making a state
    try:
        return StateType(value)
    except ValueError:
        raise ConfigurationError("type", value, f"one of {', '.join(StateType)}") from None


def _as_uuid(value: UUID | str | None) -> UUID | None:
    try:
        return None if value is None else parsed_uuid(value)
    except ValueError:
        raise ConfigurationError("state_details", value, "UUIDs, or their text, as ids") from None


def _as_optional_aware(value: datetime | None) -> datetime | None:
    return None if value is None else as_aware("state_details", value)


class StateDetails(Value):
    """What a state may say besides its type, name, message and data. Never changed once made.

    Args:
        flow_run_id: The flow run that the state belongs to; None where it was made by hand.
        task_run_id: The task run that the state belongs to; None where it was made by hand.
        child_flow_run_id: The subflow run that the task run stands for.
        scheduled_time: The time before which the run does not start. Without a zone: UTC.
        cache_key: The key under which the result is cached.
        cache_expiration: The time from which on the cached result is not used. Without a zone: UTC.
        pause_timeout: The time at which the pause ends in failure. Without a zone: UTC.
        pause_reschedule: The run's process ends its work on the run while it is paused.
        pause_key: A pause with the same key happens once only.
        run_input_keyset: The keys under which the input of a resumed run is kept.
        refresh_cache: The run computes its result anew and writes it over the cached one.
        retriable: False: not to be tried again although retries are left.
        transition_id: A proposal with an id that set a state already gives that state again.
        untrackable_result: The result cannot be told apart by identity, so nothing depends on it.
        deferred: The run waits in a queue for a worker.
        attempts: How many attempts the run had made when it failed, where there were several.
    """

    __slots__ = (
        "attempts",
        "cache_expiration",
        "cache_key",
        "child_flow_run_id",
        "deferred",
        "flow_run_id",
        "pause_key",
        "pause_reschedule",
        "pause_timeout",
        "refresh_cache",
        "retriable",
        "run_input_keyset",
        "scheduled_time",
        "task_run_id",
        "transition_id",
        "untrackable_result",
    )

    flow_run_id: UUID | None
    task_run_id: UUID | None
    child_flow_run_id: UUID | None
    scheduled_time: datetime | None
    cache_key: str | None
    cache_expiration: datetime | None
    pause_timeout: datetime | None
    pause_reschedule: bool
    pause_key: str | None
    run_input_keyset: dict[str, str] | None
    refresh_cache: bool | None
    retriable: bool | None
    transition_id: UUID | None
    untrackable_result: bool
    deferred: bool | None
    attempts: int | None

    def __init__(
        self,
        *,
        flow_run_id: UUID | str | None = None,
        task_run_id: UUID | str | None = None,
        child_flow_run_id: UUID | str | None = None,
        scheduled_time: datetime | None = None,
        cache_key: str | None = None,
        cache_expiration: datetime | None = None,
        pause_timeout: datetime | None = None,
        pause_reschedule: bool = False,
        pause_key: str | None = None,
        run_input_keyset: dict[str, str] | None = None,
        refresh_cache: bool | None = None,
        retriable: bool | None = None,
        transition_id: UUID | str | None = None,
        untrackable_result: bool = False,
        deferred: bool | None = None,
        attempts: int | None = None,
    ) -> None:
        put(self, "flow_run_id", _as_uuid(flow_run_id))
        put(self, "task_run_id", _as_uuid(task_run_id))
        put(self, "child_flow_run_id", _as_uuid(child_flow_run_id))
        put(self, "scheduled_time", _as_optional_aware(scheduled_time))
        put(self, "cache_key", cache_key)
        put(self, "cache_expiration", _as_optional_aware(cache_expiration))
        put(self, "pause_timeout", _as_optional_aware(pause_timeout))
        put(self, "pause_reschedule", pause_reschedule)
        put(self, "pause_key", pause_key)
        put(self, "run_input_keyset", run_input_keyset)
        put(self, "refresh_cache", refresh_cache)
        put(self, "retriable", retriable)
        put(self, "transition_id", _as_uuid(transition_id))
        put(self, "untrackable_result", untrackable_result)
        put(self, "deferred", deferred)
        put(self, "attempts", attempts)


class Looked(NamedTuple):
    """All that the details of a state say whose run has looked into the cache, but for the ids.

    Args:
        cache_key: Under which key.
        cache_expiration: From when on what was found does not count any more.
        refresh_cache: Whether nothing was to be found, so that the result is made anew.
    """

    cache_key: str | None
    cache_expiration: datetime | None
    refresh_cache: bool | None
