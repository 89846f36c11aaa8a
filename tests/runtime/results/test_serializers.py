"""Serializers: what round-trips, what is refused, and which one a tag names."""

from __future__ import annotations

import bz2
import gzip
import lzma
import pickle
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from millrace import ConfigurationError, SerializationError
from millrace.runtime.results import (
    CompressedSerializer,
    JSONSerializer,
    PickleSerializer,
    Serializer,
    register_serializer,
    serializer_of,
)
from millrace.runtime.results import serializers as module
from tests.runtime.results.sending import sent

EVERY_WAY = ["zlib", "gzip", "bz2", "lzma"]
COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "zlib": zlib.compress,
    "gzip": gzip.compress,
    "bz2": bz2.compress,
    "lzma": lzma.compress,
}


class Recursive:
    def __reduce__(self) -> Any:
        return Recursive, (Recursive(),)


@pytest.fixture(autouse=True)
def _registrations_end_with_the_test(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_factories", dict(module._factories))


@pytest.mark.parametrize("tag", ["pickle", "json", "compressed/pickle", "compressed/json"])
def test_a_value_comes_back_as_it_was(tag: str) -> None:
    serializer = serializer_of(tag)
    value = {"name": "crawl", "sizes": [1, 2.5, None, True], "at": (1, {2})}

    assert serializer.tag == tag
    assert serializer.loads(serializer.dumps(value)) == value


def test_a_pickle_has_the_fifth_protocol() -> None:
    assert PickleSerializer().dumps([1])[:2] == b"\x80\x05"


@pytest.mark.parametrize("value", [threading.Lock(), lambda: None, (each for each in ""), Recursive()])
def test_what_cannot_be_pickled_is_refused_by_its_type(value: object) -> None:
    with pytest.raises(SerializationError, match=r"^Could not pickle a value of type '.+': \w+: .+\.$"):
        PickleSerializer().dumps(value)


@pytest.mark.parametrize(
    "blob",
    [b"", b"\x80", pickle.dumps([1])[:-1], b"cno.such.module\nname\n.", b"\x80\x05\x8e" + b"\xff" * 8, b"not a pickle"],
)
def test_bytes_that_are_no_pickle_are_refused(blob: bytes) -> None:
    with pytest.raises(SerializationError, match=r"^Could not read a pickle: "):
        PickleSerializer().loads(blob)


def test_a_refusal_stays_on_one_line() -> None:
    with pytest.raises(SerializationError) as caught:
        PickleSerializer().loads(b"cno.such\x1b[31m\x85module\nname\n.")

    assert str(caught.value).isprintable()
    assert caught.value.__cause__ is not None


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_compressed_value_is_smaller_and_comes_back(way: Any) -> None:
    serializer = CompressedSerializer("pickle", way)
    value = ["the same again"] * 1000

    blob = serializer.dumps(value)

    assert len(blob) < len(PickleSerializer().dumps(value))
    assert serializer.loads(blob) == value


@pytest.mark.parametrize("written", EVERY_WAY)
@pytest.mark.parametrize("read", EVERY_WAY)
def test_a_change_of_the_way_of_compressing_loses_nothing(written: Any, read: Any) -> None:
    blob = CompressedSerializer("json", written).dumps([1, 2])

    assert CompressedSerializer("json", read).loads(blob) == [1, 2]


@pytest.mark.parametrize("way", EVERY_WAY)
def test_what_is_written_can_be_read_by_the_library_itself(way: Any) -> None:
    read: dict[str, Callable[[bytes], bytes]] = {
        "zlib": zlib.decompress,
        "gzip": gzip.decompress,
        "bz2": bz2.decompress,
        "lzma": lzma.decompress,
    }

    assert read[way](CompressedSerializer("json", way).dumps([1, 2])) == b"[1,2]"


@pytest.mark.parametrize("way", EVERY_WAY)
@pytest.mark.parametrize("beside", [-1, 0, 1])
def test_the_limit_counts_the_bytes_before_they_are_compressed(way: Any, beside: int) -> None:
    serializer = CompressedSerializer("json", way, limit=1000)
    text = "x" * (1000 - 2 + beside)  # JSON adds two quotation marks
    blob = COMPRESS[way](b'"' + text.encode() + b'"')

    if beside <= 0:
        assert serializer.loads(serializer.dumps(text)) == text
        assert serializer.loads(blob) == text
    else:
        with pytest.raises(SerializationError, match=r"it has 1,001 bytes, and the limit is 1,000\.$"):
            serializer.dumps(text)
        with pytest.raises(SerializationError, match=r"it has more than 1,000 bytes, which is the limit\.$"):
            serializer.loads(blob)


@pytest.mark.parametrize("way", EVERY_WAY)
def test_a_bomb_is_refused_within_the_limit_of_memory(way: Any) -> None:
    limit = 8 * 1024 * 1024
    bomb = COMPRESS[way](bytes(4 * limit))
    serializer = CompressedSerializer("pickle", way, limit=limit)
    assert 1000 * len(bomb) < 4 * limit

    tracemalloc.start()
    try:
        with pytest.raises(SerializationError, match="it has more than 8,388,608 bytes"):
            serializer.loads(bomb)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * limit


def test_lzma_that_asks_for_too_much_memory_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_DICTIONARY", 1024 * 1024)

    with pytest.raises(SerializationError, match=r"^Could not decompress a value: LZMAError: Memory usage limit"):
        CompressedSerializer("json", "lzma").loads(lzma.compress(b"[]"))


@pytest.mark.parametrize("way", EVERY_WAY)
def test_compressed_bytes_that_were_cut_off_or_added_to_are_refused(way: Any) -> None:
    serializer = CompressedSerializer("json", way)
    blob = serializer.dumps(list(range(100)))

    for length in range(len(blob)):
        with pytest.raises(SerializationError, match=r"^Could not decompress a value: "):
            serializer.loads(blob[:length])
    with pytest.raises(SerializationError, match=r"it does not end where it should\.$"):
        serializer.loads(blob + blob)


def test_bytes_that_are_not_compressed_are_refused() -> None:
    with pytest.raises(SerializationError, match=r"it is compressed in none of the ways that are known\.$"):
        CompressedSerializer("json").loads(b"[1]")


def bad_compressed() -> Iterator[Any]:
    yield lambda: CompressedSerializer(CompressedSerializer("json")), "serializer"
    yield lambda: CompressedSerializer("compressed/json"), "serializer"
    yield lambda: CompressedSerializer("json", "rar"), "compression"  # type: ignore[arg-type]
    yield lambda: CompressedSerializer("json", limit=0), "limit"
    yield lambda: CompressedSerializer("json", limit=1.5), "limit"  # type: ignore[arg-type]


@pytest.mark.parametrize(("make", "name"), list(bad_compressed()), ids=["a", "b", "c", "d", "e"])
def test_options_of_a_compressed_serializer_are_checked(make: Callable[[], object], name: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        make()

    assert caught.value.name == name


def test_a_serializer_may_be_registered_under_a_tag() -> None:
    class Points:
        tag = "points"

        def dumps(self, value: Any) -> bytes:
            return bytes(value)

        def loads(self, blob: bytes) -> Any:
            return list(blob)

    register_serializer("points", Points)
    register_serializer("points", Points)  # the same again, as when a module is loaded again

    assert serializer_of("points").tag == "points"
    compressed = serializer_of("compressed/points")
    assert compressed.tag == "compressed/points"
    assert compressed.loads(compressed.dumps([1, 2])) == [1, 2]


def test_a_tag_belongs_to_one_serializer() -> None:
    with pytest.raises(ConfigurationError, match="'tag' takes a tag that belongs to no other serializer yet"):
        register_serializer("pickle", JSONSerializer)

    assert serializer_of("pickle") == PickleSerializer()


@pytest.mark.parametrize("tag", ["", "Pickle", "a/b", "x" * 33, "é", "a b", "os.system\n", 3, None])
def test_a_tag_is_a_short_word(tag: Any) -> None:
    with pytest.raises(ConfigurationError):
        register_serializer(tag, PickleSerializer)


def test_a_factory_is_something_to_call() -> None:
    with pytest.raises(ConfigurationError):
        register_serializer("points", PickleSerializer())  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "option",
    ["", "yaml", "compressed/", "compressed/yaml", "compressed/compressed/json", PickleSerializer, 3, object()],
)
def test_what_names_no_serializer_is_refused(option: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        serializer_of(option)

    assert caught.value.name == "serializer"


def test_a_refused_tag_is_told_which_there_are() -> None:
    with pytest.raises(ConfigurationError, match="takes a serializer or one of 'json', 'pickle', also after"):
        serializer_of("yaml")


def test_without_an_option_the_settings_say(monkeypatch: pytest.MonkeyPatch) -> None:
    assert serializer_of(None).tag == "pickle"

    monkeypatch.setenv("MILLRACE_RESULTS_DEFAULT_SERIALIZER", "compressed/json")

    assert serializer_of(None).tag == "compressed/json"


@pytest.mark.parametrize("serializer", [PickleSerializer(), JSONSerializer(), CompressedSerializer("json", "lzma")])
def test_serializers_are_values(serializer: Serializer) -> None:
    copy = sent(serializer)

    assert copy == serializer
    assert hash(copy) == hash(serializer)
    assert serializer_of(serializer) is serializer
