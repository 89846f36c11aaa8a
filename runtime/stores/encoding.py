"""Encoding: between what runs hold and what records do.

Decides what becomes of a value that cannot be kept: a note of what it was, and why; the run goes on. A value is read
with the serializer that the reader has, and only if the record names the same: what stands in a store chooses no code.
"""

from __future__ import annotations

import json
from collections.abc import Hashable, Mapping
from datetime import datetime
from typing import Any, Final
from uuid import UUID

from millrace.actors.errors import SerializationError
from millrace.actors.states import State, StateDetails, StateType, make_state
from millrace.actors.stored_result import MISSING
from millrace.actors.telling import told_of
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.results.refusals import shown_type
from millrace.runtime.results.serializers import Serializer, serializer_of
from millrace.runtime.settings import STORE_RESULT_LIMIT
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.rows import StateRow
from millrace.runtime.stores.sealing import opened, sealed
from millrace.runtime.yields import TAG, Yielded, Yields, yielded_from

_HELD: Final = frozenset({StateType.COMPLETED, StateType.FAILED, StateType.CRASHED, StateType.CANCELLED})
"""The types of states of which the data are recorded; others hold what matters to the engine only."""

_IDS: Final = ("flow_run_id", "task_run_id")  # a state's own, which follow from its run
_NO_DETAILS: Final = StateDetails()


def holds_data(kind: StateType) -> bool:
    """Whether what a state of a type holds is recorded."""
    return kind in _HELD


def encode(value: Any, serializer: Serializer, limit: int | None = None, *, where: str | None = None) -> Value:
    """A value as bytes, or a note of why it has none. Never raises.

    Args:
        value: The value.
        serializer: What makes bytes of it.
        limit: How many it may have; by default what the settings say, which takes longer to find out than the rest.
        where: Where it is to stand in a store, for its seal; see `sealing`. None for what has none.
    """
    made = _encoded(value, serializer, limit)
    return made if where is None else sealed(made, where)


def _encoded(value: Any, serializer: Serializer, limit: int | None) -> Value:
    if value is MISSING:
        return Value("", None, "a result that was not kept")
    if value.__class__ is Yields:
        return Value(*value.written())
    try:
        blob = serializer.dumps(value)
    except Exception as error:  # noqa: BLE001  # values and serializers bring code of their own
        reason = error.reason if isinstance(error, SerializationError) else told_of(error)
        return Value("", None, f"a value of type '{shown_type(value)}', which cannot be serialized ({reason})")
    if limit is None:
        limit = STORE_RESULT_LIMIT.read()
    if len(blob) > limit:
        size = f"it has {len(blob):,} bytes, and the limit is {limit:,}"
        return Value("", None, f"a value of type '{shown_type(value)}', which is too large ({size})")
    return Value(serializer.tag, blob)


def decode(value: Value | None, serializer: Serializer, *, where: str | None = None) -> Any:
    """The value of a record; None for none. Of a generator that was iterated over, what it returned.

    Args:
        value: As the record has it.
        serializer: What reads it.
        where: Where it stands in a store, as for `encode`.

    Raises:
        SerializationError: it was not kept, or was written by another serializer, or cannot be read.
    """
    found = recall(value, serializer, where=where)
    return found.returned if found.__class__ is Yielded else found


def recall(value: Value | None, serializer: Serializer, *, where: str | None = None) -> Any:
    """The same for a call that is made again: of a generator that was iterated over, what it yielded, too.

    Raises:
        SerializationError: as for `decode`.
    """
    if value is None:
        return None
    attempted = "read a recorded value"
    if value.blob is None:
        raise SerializationError(attempted, f"it was {value.missing}")
    if where is not None:
        value = opened(value, where)
    blob = value.blob or b""
    yields, tag = value.tag.startswith(TAG), value.tag.removeprefix(TAG)
    if tag != serializer.tag:
        raise SerializationError(attempted, f"it was written as '{tag}', and what reads it here is '{serializer.tag}'")
    return yielded_from(blob, serializer) if yields else serializer.loads(blob)


def serializer_for(*options: Any) -> Serializer:
    """The first serializer that is given, else that of the settings."""
    return serializer_of(next((option for option in options if option is not None), None))


# Keys of pauses.


def key_as_text(key: Hashable) -> str | None:
    """The key of a pause as JSON; None for one that means nothing in another process."""
    if isinstance(key, str) or (isinstance(key, tuple) and all(isinstance(part, (str, int)) for part in key)):
        return json.dumps(key, ensure_ascii=False)
    return None


def key_of_text(text: str) -> Hashable:
    """The key that was written so."""
    key = json.loads(text)
    return tuple(key) if isinstance(key, list) else key


# Details of states.


def details_as_text(details: StateDetails | None) -> str | None:
    """What the details of a state say besides the ids of its run, as JSON; None for nothing."""
    if details is None:
        return None
    said = {
        name: _plain(value)
        for name in StateDetails.__match_args__
        if name not in _IDS and (value := getattr(details, name)) != getattr(_NO_DETAILS, name)
    }
    return json.dumps(said, ensure_ascii=False) if said else None


def _plain(value: Any) -> Any:
    if isinstance(value, UUID):
        return str(value)
    return value.isoformat() if isinstance(value, datetime) else value


_TIMES: Final = frozenset({"scheduled_time", "cache_expiration", "pause_timeout"})


def state_of(row: StateRow, flow_run: int | None, task_run: int | None, data: Any = None) -> State[Any]:
    """A state that was recorded, with the id that it had.

    Args:
        row: The record.
        flow_run: The id of the flow run it belongs to.
        task_run: The id of the task run it belongs to; None for one of the flow run itself.
        data: What it holds.
    """
    state = make_state(row.type, row.name, row.message, data, row.at, flow_run, task_run, row.sequence)
    if row.details is None:
        return state
    said: Mapping[str, Any] = json.loads(row.details)
    known = StateDetails.__match_args__
    fields: dict[str, Any] = {
        name: datetime.fromisoformat(value) if name in _TIMES else value
        for name, value in said.items()
        if name in known
    }
    details = StateDetails(**fields)
    whole = State[Any](
        type=row.type, name=row.name, message=row.message, data=data, state_details=details,
        timestamp=from_nanoseconds(row.at),
    )  # fmt: skip
    return whole.adopt(row.at, flow_run, task_run, row.sequence)
