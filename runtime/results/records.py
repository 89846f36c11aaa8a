"""Records: a value and what is known about it, as one blob.

Decides the format. A blob is sealed: near its beginning stands a digest of all the rest, made with the store's key
where it has one, and nothing else is looked at before that is found right. Does not know how values are written, nor
where blobs lie.

    3 bytes   "MRR"
    1 byte    version of the format
    1 byte    seal: 0 for SHA-256, 1 for HMAC-SHA-256 with a key
    32 bytes  digest of these five bytes and of all that follows
    8 bytes   when it was made
    8 bytes   when it expires; the smallest number for never
    4 bytes   length of the key
    1 byte    length of the serializer's tag
    the key, the tag, and what the serializer wrote

Times are signed microseconds since the epoch, texts are UTF-8, numbers begin with the highest byte.
"""

from __future__ import annotations

import struct
from datetime import UTC, datetime
from typing import Final, Generic, TypeVar

import attrs

from millrace.actors.errors import ConfigurationError, SerializationError
from millrace.actors.timestamps import from_nanoseconds, to_nanoseconds
from millrace.runtime.results.refusals import shown

R_co = TypeVar("R_co", covariant=True)

FORMAT_VERSION: Final = 1

_MAGIC: Final = b"MRR"
_HEAD: Final = struct.Struct(">3sBB32s")
_FACTS: Final = struct.Struct(">qqIB")
_DIGEST: Final = 0
_SIGNED: Final = 1
_NEVER: Final = -(2**63)
_LONGEST_TAG: Final = 255


def _aware(expiration: datetime | None) -> datetime | None:
    if expiration is None:
        return None
    if not isinstance(expiration, datetime) or expiration.tzinfo is None:
        raise ConfigurationError("expiration", expiration, "a datetime with a time zone, or None")
    return expiration.astimezone(UTC)


@attrs.frozen
class ResultMetadata:
    """What is known about a result.

    Args:
        key: What it lies under.
        serializer: The tag of the serializer that wrote it.
        created: When it was made; an aware datetime.
        expiration: From when on it is not good enough for a cache; None: it always is.
        format_version: Of the blob.
    """

    key: str
    serializer: str
    created: datetime
    expiration: datetime | None = attrs.field(default=None, converter=_aware)
    format_version: int = FORMAT_VERSION

    def expired(self, now: datetime) -> bool:
        """Whether it has expired."""
        return self.expiration is not None and self.expiration <= now


@attrs.frozen(eq=False)
class ResultRecord(Generic[R_co]):
    """A result and what is known about it.

    Args:
        metadata: What is known.
        value: The result.
    """

    metadata: ResultMetadata
    value: R_co = attrs.field(repr=False)

    @property
    def result(self) -> R_co:
        """The value, by the name that it has in Prefect."""
        return self.value

    @property
    def key(self) -> str:
        """What it lies under."""
        return self.metadata.key

    @property
    def expiration(self) -> datetime | None:
        """From when on it is not good enough for a cache; an aware datetime, or None."""
        return self.metadata.expiration

    @property
    def serializer(self) -> str:
        """The tag of the serializer that wrote it."""
        return self.metadata.serializer


def pack(metadata: ResultMetadata, payload: bytes, signing_key: bytes | None) -> bytes:
    """The blob of a record.

    Args:
        metadata: What is known about the value.
        payload: What the serializer wrote.
        signing_key: Signs the blob, where there is one.

    Raises:
        SerializationError: the serializer's tag is too long.
    """
    key = metadata.key.encode("utf-8", "surrogatepass")
    tag = metadata.serializer.encode("utf-8", "surrogatepass")
    if len(tag) > _LONGEST_TAG:
        raise SerializationError("write a record", f"the tag of a serializer has at most {_LONGEST_TAG} bytes")
    expires = _NEVER if metadata.expiration is None else to_nanoseconds(metadata.expiration) // 1000
    facts = _FACTS.pack(to_nanoseconds(metadata.created) // 1000, expires, len(key), len(tag))
    kind = _DIGEST if signing_key is None else _SIGNED
    beginning = _MAGIC + bytes((metadata.format_version, kind))
    digest = _digest(signing_key, beginning, facts, key, tag, payload)
    return b"".join((beginning, digest, facts, key, tag, payload))


def unpack(blob: bytes, key: str, signing_key: bytes | None) -> tuple[ResultMetadata, bytes]:
    """What a blob holds.

    Args:
        blob: The blob.
        key: What it was found under.
        signing_key: What it has to be signed with; None where it must not be.

    Returns:
        What is known about the value, and what the serializer wrote.

    Raises:
        SerializationError: it is no record, or another one than was written here, or not signed as it should be.
    """
    problem = _broken_seal(blob, signing_key)
    if problem is not None:
        raise _refused(key, problem)
    # What follows was written by whoever could make the digest, which without a key is anybody.
    try:
        created, expires, key_length, tag_length = _FACTS.unpack_from(blob, _HEAD.size)
        key_at = _HEAD.size + _FACTS.size
        tag_at = key_at + key_length
        payload_at = tag_at + tag_length
        found_key = blob[key_at:tag_at].decode("utf-8", "surrogatepass")
        metadata = ResultMetadata(
            key=found_key,
            serializer=blob[tag_at:payload_at].decode("utf-8", "surrogatepass"),
            created=from_nanoseconds(created * 1000),
            expiration=None if expires == _NEVER else from_nanoseconds(expires * 1000),
        )
    except (struct.error, UnicodeDecodeError, OverflowError):
        raise _refused(key, "it is no record") from None
    if payload_at > len(blob):
        raise _refused(key, "it is no record")
    if found_key != key:
        raise _refused(key, f"it is the record of '{shown(found_key)}'")
    return metadata, blob[payload_at:]


def _refused(key: str, reason: str) -> SerializationError:
    return SerializationError(f"read the record of '{shown(key)}'", reason)


def _broken_seal(blob: bytes, signing_key: bytes | None) -> str | None:
    """Why a blob is not trusted; None if it is."""
    import hmac  # noqa: PLC0415  # a program that keeps nothing never needs it

    if len(blob) < _HEAD.size:
        return "it is cut off"
    magic, version, kind, digest = _HEAD.unpack_from(blob)
    if magic != _MAGIC:
        return "it is no record"
    if version != FORMAT_VERSION:
        return f"it has version {version} of the format, and this reads version {FORMAT_VERSION}"
    if kind != (_DIGEST if signing_key is None else _SIGNED):
        return "it is signed, or should be: whether records are is up to the store's signing key"
    view = memoryview(blob)
    if not hmac.compare_digest(digest, _digest(signing_key, view[: _HEAD.size - len(digest)], view[_HEAD.size :])):
        return "it was changed or cut off" if signing_key is None else "it was changed, or signed with another key"
    return None


def _digest(signing_key: bytes | None, *parts: bytes | memoryview) -> bytes:
    # What they import loads OpenSSL, which a program that keeps nothing never needs. The last part may be large.
    if signing_key is None:
        import hashlib  # noqa: PLC0415

        made = hashlib.sha256(b"".join(parts[:-1]))
        made.update(parts[-1])
        return made.digest()
    import hmac  # noqa: PLC0415

    signed = hmac.new(signing_key, b"".join(parts[:-1]), "sha256")
    signed.update(parts[-1])
    return signed.digest()
