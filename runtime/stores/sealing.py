"""Sealing: what stands in a store, so that nobody can have written it who has not the key.

Decides what is sealed, and with what: where `MILLRACE_STORE_KEY` is set, each value that users' code has made, and
where the flow of a run is found, with HMAC-SHA-256 over the version of the format, over where it stands, and over its
bytes. A seal is looked at before anything else; with a key what has none is refused, and without one what has one.
"""

from __future__ import annotations

import hmac
from hashlib import sha256
from typing import Final

from millrace.actors.errors import SerializationError
from millrace.runtime.settings import STORE_KEY
from millrace.runtime.stores.records import Entry, Value

SEALED: Final = "sealed:"
"""Before the tag of the serializer."""

ENTRY: Final = ""
"""Among the parameters of a flow run: no parameter, but the seal of where its flow is."""

_FORMAT: Final = b"millrace store seal 1"
_LENGTH: Final = 32
_TAG: Final = "entry"


def result_of(run: int) -> str:
    """Where a result stands: that of a run."""
    return f"{run:032x} result"


def parameter_of(run: int, name: str) -> str:
    """Where a parameter of a flow run stands."""
    return f"{run:032x} parameter {name}"


def answer_of(run: int, key: str) -> str:
    """Where that stands which a flow run was resumed with."""
    return f"{run:032x} answer {key}"


def call_of(run: int, task_key: str) -> str:
    """Where the arguments of a run that was put off stand: they are meant for that task, and no other one."""
    return f"{run:032x} call of {task_key}"


def sealed(value: Value, where: str) -> Value:
    """A value with its seal, where there is a key.

    Raises:
        ConfigurationError: the key is none.
    """
    key = STORE_KEY.read()
    if key is None or value.blob is None:
        return value
    return Value(SEALED + value.tag, _digest(key, where, value.tag, value.blob) + value.blob)


def opened(value: Value, where: str) -> Value:
    """A value without its seal, which was found right.

    Raises:
        SerializationError: it is another's, or it has none although there is a key.
        ConfigurationError: the key is none.
    """
    key = STORE_KEY.read()
    if key is None or value.blob is None:
        return value
    attempted = "read a recorded value"
    if not value.tag.startswith(SEALED):
        raise SerializationError(attempted, "it is not sealed, and MILLRACE_STORE_KEY is set")
    tag, digest, blob = value.tag.removeprefix(SEALED), value.blob[:_LENGTH], value.blob[_LENGTH:]
    if not hmac.compare_digest(digest, _digest(key, where, tag, blob)):
        raise SerializationError(attempted, "its seal is not that of MILLRACE_STORE_KEY, or it was changed, or moved")
    return Value(tag, blob, value.missing)


def seal_of(run: int, flow: str, entry: Entry) -> dict[str, Value]:
    """The seal of where the flow of a run is, as it stands among its parameters; nothing where there is no key."""
    value = sealed(Value(_TAG, _words(flow, entry)), parameter_of(run, ENTRY))
    return {ENTRY: value} if value.tag != _TAG else {}


def check_entry(run: int, flow: str, entry: Entry, seal: Value | None) -> None:
    """Check where the flow of a run is, before anything is imported from there.

    Raises:
        SerializationError: that was changed, or is not sealed although there is a key.
        ConfigurationError: the key is none.
    """
    value = opened(seal or Value(_TAG, b""), parameter_of(run, ENTRY))
    if STORE_KEY.read() is not None and (value.tag != _TAG or value.blob != _words(flow, entry)):
        raise SerializationError("find the flow of a run", "where it is was changed on record")


def _words(flow: str, entry: Entry) -> bytes:
    return _joined(*(each.encode("utf-8", "surrogatepass") for each in (flow, entry.file, entry.module, entry.name)))


def _joined(*parts: bytes) -> bytes:
    return b"".join(len(part).to_bytes(8, "big") + part for part in parts)


def _digest(key: bytes, where: str, tag: str, blob: bytes) -> bytes:
    told = _joined(_FORMAT, where.encode("utf-8", "surrogatepass"), tag.encode(), blob)
    return hmac.new(key, told, sha256).digest()
