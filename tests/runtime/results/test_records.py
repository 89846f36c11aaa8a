"""Records: sealed blobs. What was not written here under this key is refused before anything in it is looked at."""

from __future__ import annotations

import hashlib
import hmac
import pickle
import random
import struct
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import attrs
import pytest

from millrace import ConfigurationError, SerializationError
from millrace.runtime.results import CompressedSerializer, MemoryStorage, ResultMetadata, ResultStore
from millrace.runtime.results.records import pack, unpack

KEY = bytes(range(32))
CREATED = datetime(2026, 11, 20, 12, 0, 0, 123456, tzinfo=UTC)
EXECUTED: list[str] = []


def canary(name: str) -> None:
    EXECUTED.append(name)


class Evil:
    def __reduce__(self) -> Any:
        return canary, ("executed",)


EVIL = pickle.dumps(Evil())


@pytest.fixture(autouse=True)
def _nothing_executed_yet() -> None:
    EXECUTED.clear()


def metadata(key: str = "a", **others: Any) -> ResultMetadata:
    return ResultMetadata(key, others.pop("serializer", "pickle"), CREATED, **others)


@pytest.mark.parametrize("signing_key", [None, KEY])
@pytest.mark.parametrize("key", ["a", "x" * 4096, "../../etc/passwd", "a\x00b", "é", "\ud800"])
@pytest.mark.parametrize(
    "expiration", [None, CREATED, datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)]
)
def test_a_record_comes_back_as_it_was(signing_key: bytes | None, key: str, expiration: datetime | None) -> None:
    known = metadata(key, expiration=expiration)

    assert unpack(pack(known, b"payload", signing_key), key, signing_key) == (known, b"payload")


def test_an_expiration_has_a_time_zone_and_comes_back_in_utc() -> None:
    berlin = datetime(2026, 7, 1, 12, tzinfo=timezone(timedelta(hours=2)))

    assert str(metadata(expiration=berlin).expiration) == "2026-07-01 10:00:00+00:00"
    with pytest.raises(ConfigurationError, match="'expiration' takes a datetime with a time zone, or None"):
        metadata(expiration=datetime(2026, 7, 1))  # noqa: DTZ001  # that is what is refused


@pytest.mark.parametrize(("after", "expired"), [(-1, False), (0, True), (1, True)])
def test_a_record_expires_at_the_moment_that_it_says(after: int, expired: bool) -> None:
    assert metadata(expiration=CREATED).expired(CREATED + timedelta(microseconds=after)) is expired
    assert not metadata().expired(CREATED + timedelta(microseconds=after))


@pytest.mark.parametrize("signing_key", [None, KEY])
def test_a_record_with_any_byte_changed_is_refused(signing_key: bytes | None) -> None:
    blob = pack(metadata(), b"payload", signing_key)

    for at in range(len(blob)):
        for flip in (1, 0x80, 0xFF):
            changed = blob[:at] + bytes([blob[at] ^ flip]) + blob[at + 1 :]
            with pytest.raises(SerializationError, match=r"^Could not read the record of 'a': "):
                unpack(changed, "a", signing_key)


@pytest.mark.parametrize("signing_key", [None, KEY])
def test_a_record_that_was_cut_off_or_added_to_is_refused(signing_key: bytes | None) -> None:
    blob = pack(metadata(), b"payload", signing_key)

    for length in range(len(blob)):
        with pytest.raises(SerializationError):
            unpack(blob[:length], "a", signing_key)
    with pytest.raises(SerializationError):
        unpack(blob + b"\0", "a", signing_key)


@pytest.mark.parametrize("signing_key", [None, KEY])
def test_a_record_that_was_moved_to_another_key_is_refused(signing_key: bytes | None) -> None:
    blob = pack(metadata("a"), b"payload", signing_key)

    with pytest.raises(SerializationError, match=r"^Could not read the record of 'b': it is the record of 'a'\.$"):
        unpack(blob, "b", signing_key)


def test_what_is_signed_and_what_is_not_is_up_to_the_reader() -> None:
    signed, unsigned = pack(metadata(), b"", KEY), pack(metadata(), b"", None)

    for blob, signing_key in [(signed, None), (unsigned, KEY)]:
        with pytest.raises(SerializationError, match="it is signed, or should be"):
            unpack(blob, "a", signing_key)


def test_another_key_signs_nothing() -> None:
    with pytest.raises(SerializationError, match="it was changed, or signed with another key"):
        unpack(pack(metadata(), b"", KEY), "a", KEY[::-1])


def test_a_digest_is_no_signature() -> None:
    """Somebody who knows the format marks a record as signed, and puts a digest in the signature's place."""
    body = pack(metadata(), EVIL, None)[37:]
    beginning = b"MRR\x01\x01"

    with pytest.raises(SerializationError, match="signed with another key"):
        unpack(beginning + hashlib.sha256(beginning + body).digest() + body, "a", KEY)
    with pytest.raises(SerializationError, match="signed with another key"):
        unpack(beginning + hmac.digest(b"", beginning + body, "sha256") + body, "a", KEY)


def test_a_record_of_another_version_is_refused_by_its_version() -> None:
    with pytest.raises(SerializationError, match="it has version 2 of the format, and this reads version 1"):
        unpack(pack(metadata(format_version=2), b"", None), "a", None)


def sealed(body: bytes, beginning: bytes = b"MRR\x01\x00") -> bytes:
    """What anybody can make who knows the format."""
    return beginning + hashlib.sha256(beginning + body).digest() + body


def facts(created: int = 0, expires: int = 0, key: int = 1, tag: int = 6) -> bytes:
    return struct.pack(">qqIB", created, expires, key, tag)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        facts()[:-1],
        facts(),
        facts() + b"a",
        facts(key=2**32 - 1) + b"apickle",
        facts(tag=255) + b"apickle",
        facts(created=2**62) + b"apickle",
        facts(created=-(2**62)) + b"apickle",
        facts(expires=2**63 - 1) + b"apickle",
        facts(expires=-(2**63) + 1) + b"apickle",
        facts() + b"\xffpickle",
        facts() + b"a\xff\xff\xff\xff\xff\xff",
    ],
)
def test_a_sealed_blob_with_nonsense_in_it_is_refused(body: bytes) -> None:
    with pytest.raises(SerializationError, match=r"^Could not read the record of 'a': it is no record"):
        unpack(sealed(body), "a", None)


def test_a_hostile_key_does_not_break_the_line() -> None:
    blob = pack(metadata("evil\n2026-11-20 ERROR \x1b[31m" + "x" * 4096), b"", None)

    with pytest.raises(SerializationError) as caught:
        unpack(blob, "b\n", None)

    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 1000


# Blobs that somebody puts into the storage who can write to it and knows the format, but not the signing key.

TAGS = [
    "pickle",
    "compressed/pickle",
    "json",
    "compressed/json",
    "",
    "PICKLE",
    "os.system",
    "pickle\x00",
    "builtins.eval",
]


class Given:
    """Writes what it is given."""

    tag = "given"

    def dumps(self, value: Any) -> bytes:
        return bytes(value)

    def loads(self, blob: bytes) -> Any:
        return blob


def payloads() -> Iterator[bytes]:
    yield EVIL
    for way in ("zlib", "gzip", "bz2", "lzma"):
        once = CompressedSerializer(Given(), way).dumps(EVIL)
        yield once
        yield CompressedSerializer(Given(), "zlib").dumps(once)
    yield pickle.dumps([Evil(), {"a": Evil()}])
    yield pickle.dumps(Evil(), protocol=0)
    yield b'{"$":"pickle","v":"%s"}' % EVIL.hex().encode()
    yield b'{"$":"test_records.canary","v":["executed"]}'
    yield b'{"$":"tuple","v":{"$":"Evil","v":[]}}'


def hostile() -> Iterator[bytes]:
    for payload in payloads():
        yield payload
        for tag in TAGS:
            yield pack(metadata("k", serializer=tag), payload, None)
            yield pack(metadata("k", serializer=tag), payload, b"not the right signing key")
    nested = pack(metadata("k", serializer="json"), pack(metadata("k"), EVIL, None), None)
    yield nested
    yield pack(metadata("k", serializer="pickle"), nested, None)


BLOBS = list(hostile())
READERS = {
    "json": ResultStore(MemoryStorage(), serializer="json"),
    "compressed json": ResultStore(MemoryStorage(), serializer="compressed/json", accept=["json"]),
    "signed pickle": ResultStore(MemoryStorage(), serializer="pickle", signing_key=KEY, accept=["compressed/pickle"]),
}


@pytest.mark.parametrize("reader", READERS.values(), ids=READERS)
def test_no_hostile_blob_is_executed(reader: ResultStore) -> None:
    assert len(BLOBS) >= 200

    for blob in BLOBS:
        reader.storage.write("k", blob)
        with pytest.raises(SerializationError):
            reader.read("k")
        with pytest.raises(SerializationError):
            reader.find("k")

    assert EXECUTED == []


def test_hostile_blobs_in_random_places_are_not_executed_either() -> None:
    draw = random.Random(11)
    store = READERS["json"]

    for _ in range(300):
        blob = bytearray(draw.choice(BLOBS))
        at = draw.randrange(len(blob))
        blob[at : at + draw.randrange(8)] = EVIL
        store.storage.write("k", bytes(blob))
        with pytest.raises(SerializationError):
            store.read("k")

    assert EXECUTED == []


def test_a_store_that_reads_pickles_would_have_executed_it() -> None:
    """So the canary sings, and the tests above could have failed."""
    store = ResultStore(MemoryStorage(), serializer="pickle")
    store.storage.write("k", pack(metadata("k"), EVIL, None))

    store.read("k")

    assert EXECUTED == ["executed"]


def test_a_record_does_not_show_its_value() -> None:
    record = ResultStore(MemoryStorage()).create_record("a", "s3cret")

    assert "s3cret" not in repr(record)
    assert record.value == record.result == "s3cret"
    assert (record.key, record.serializer, record.expiration) == ("a", "pickle", None)
    assert attrs.evolve(record.metadata, key="b").key == "b"
