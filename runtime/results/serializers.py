"""Serializers: from a value to bytes and back, and which one a tag names.

Decides what a serializer has to be able to do, and how much a compressed blob may grow. A tag is a short word that
stands in every record; it names a way of writing, and the reader alone says which of them it reads.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal, Protocol

import attrs

from millrace.actors.errors import ConfigurationError, SerializationError
from millrace.runtime.results.json_serializer import JSONSerializer
from millrace.runtime.results.refusals import refusal, refusing, shown_type
from millrace.runtime.settings import RESULTS_DEFAULT_SERIALIZER


class Serializer(Protocol):
    """Makes bytes of values and values of bytes. Its methods may be called from several threads at once."""

    @property
    def tag(self) -> str:
        """Names the way of writing, in each record."""
        ...

    def dumps(self, value: Any) -> bytes:
        """The bytes of a value.

        Raises:
            SerializationError: it has none.
        """
        ...

    def loads(self, blob: bytes) -> Any:
        """The value of such bytes.

        Raises:
            SerializationError: they are none of this serializer's.
        """
        ...


_PROTOCOL: Final = 5


@attrs.frozen
class PickleSerializer:
    """Writes values as pickles, which Python itself can read only with what their classes are made of.

    Reading a pickle runs whatever its writer wanted. It is for storages that nobody but this program and its user can
    write to; where others can, take JSON, or give the store a `signing_key`.
    """

    @property
    def tag(self) -> str:
        """Names this way of writing."""
        return "pickle"

    def dumps(self, value: Any) -> bytes:
        """The pickle of a value.

        Raises:
            SerializationError: it cannot be pickled.
        """
        import pickle  # noqa: PLC0415  # a program that keeps nothing never needs it

        try:
            return pickle.dumps(value, protocol=_PROTOCOL)
        except SerializationError:
            raise
        except Exception as error:  # a value brings code of its own, which may raise anything
            raise refusal(f"pickle a value of type '{shown_type(value)}'", error) from error

    def loads(self, blob: bytes) -> Any:
        """The value of a pickle.

        Raises:
            SerializationError: it cannot be read, or its classes are not there.
        """
        import pickle  # noqa: PLC0415  # a program that keeps nothing never needs it

        with refusing("read a pickle"):
            return pickle.loads(blob)  # noqa: S301  # the store asks for it only if it was configured to


Compression = Literal["zlib", "gzip", "bz2", "lzma"]

LIMIT: Final = 256 * 1024 * 1024
"""How many bytes a compressed value may have before it is compressed."""

_DICTIONARY: Final = 32 * 1024 * 1024  # what lzma may take to read; what it writes here needs a third of it

# What the bytes of each way of compressing begin with. All are read, whatever is written: each is as harmless.
_BEGINNINGS: Final[dict[bytes, Compression]] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bz2",
    b"\xfd7zXZ\x00": "lzma",
    b"\x78": "zlib",
}


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


def _compress(compression: Compression, blob: bytes) -> bytes:
    match compression:
        case "zlib":
            import zlib  # noqa: PLC0415  # so are they all: a Python may be built without

            return zlib.compress(blob)
        case "gzip":
            import zlib  # noqa: PLC0415

            return zlib.compress(blob, wbits=zlib.MAX_WBITS | 16)
        case "bz2":
            import bz2  # noqa: PLC0415

            return bz2.compress(blob)
        case "lzma":
            import lzma  # noqa: PLC0415

            return lzma.compress(blob)


def _decompressor(compression: Compression) -> _Decompressor:
    match compression:
        case "zlib" | "gzip":
            import zlib  # noqa: PLC0415

            return zlib.decompressobj(zlib.MAX_WBITS | (16 if compression == "gzip" else 0))
        case "bz2":
            import bz2  # noqa: PLC0415

            return bz2.BZ2Decompressor()
        case "lzma":
            import lzma  # noqa: PLC0415

            return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DICTIONARY)


def _inner_serializer(option: Serializer | str) -> Serializer:
    return serializer_of(option)


@attrs.frozen
class CompressedSerializer:
    """Compresses what another serializer writes.

    It reads what was compressed in any of the ways, so a change of the way loses no results.

    Args:
        serializer: The other one, or its tag.
        compression: How to compress.
        limit: How many bytes a value may have before it is compressed. One that has more is neither written nor read,
            so that a few kilobytes cannot fill the memory.

    Raises:
        ConfigurationError: an option is none of these.
    """

    serializer: Serializer = attrs.field(converter=_inner_serializer)
    compression: Compression = "zlib"
    limit: int = attrs.field(default=LIMIT, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if isinstance(self.serializer, CompressedSerializer):
            raise ConfigurationError("serializer", self.serializer, "a serializer that does not compress")
        if self.compression not in _BEGINNINGS.values():
            raise ConfigurationError("compression", self.compression, "'zlib', 'gzip', 'bz2' or 'lzma'")
        if not isinstance(self.limit, int) or self.limit < 1:
            raise ConfigurationError("limit", self.limit, "a number of bytes, 1 or more")

    @property
    def tag(self) -> str:
        """That of the other serializer after `compressed/`."""
        return _COMPRESSED + self.serializer.tag

    def dumps(self, value: Any) -> bytes:
        """The compressed bytes of a value.

        Raises:
            SerializationError: the other serializer refuses it, or it is too large.
        """
        blob = self.serializer.dumps(value)
        attempted = f"compress a value of type '{shown_type(value)}'"
        if len(blob) > self.limit:
            raise SerializationError(attempted, f"it has {len(blob):,} bytes, and the limit is {self.limit:,}")
        with refusing(attempted):
            return _compress(self.compression, blob)

    def loads(self, blob: bytes) -> Any:
        """The value of such bytes.

        Raises:
            SerializationError: they are compressed in none of the ways, or too large, or the other serializer refuses
                them.
        """
        attempted = "decompress a value"
        compression: Compression | None = next(
            (way for start, way in _BEGINNINGS.items() if bytes(blob[: len(start)]) == start), None
        )
        if compression is None:
            raise SerializationError(attempted, "it is compressed in none of the ways that are known")
        with refusing(attempted):
            source = _decompressor(compression)
            found = source.decompress(blob, self.limit + 1)
        if len(found) > self.limit:
            raise SerializationError(attempted, f"it has more than {self.limit:,} bytes, which is the limit")
        if not source.eof or source.unused_data:
            raise SerializationError(attempted, "it does not end where it should")
        return self.serializer.loads(found)


_COMPRESSED: Final = "compressed/"
_TAG: Final = re.compile(r"[a-z0-9][a-z0-9_.+-]{0,31}")
_EXPECTED_TAG: Final = "1 to 32 lower case letters, digits and any of '_.+-'"

_factories: dict[str, Callable[[], Serializer]] = {"pickle": PickleSerializer, "json": JSONSerializer}


def register_serializer(tag: str, factory: Callable[[], Serializer]) -> None:
    """Give a serializer a tag that options may name it by, also after `compressed/`.

    Args:
        tag: A short word.
        factory: Makes the serializer; a class, for example. What it makes may have another tag in its records.

    Raises:
        ConfigurationError: the tag is none, or belongs to another serializer.
    """
    if not isinstance(tag, str) or _TAG.fullmatch(tag) is None:
        raise ConfigurationError("tag", tag, _EXPECTED_TAG)
    if not callable(factory):
        raise ConfigurationError("factory", factory, "a function that makes a serializer")
    if _factories.setdefault(tag, factory) is not factory:
        raise ConfigurationError("tag", tag, "a tag that belongs to no other serializer yet")


def serializer_of(option: Serializer | str | None) -> Serializer:
    """The serializer that an option names.

    Args:
        option: A serializer; a registered tag, as it is or after `compressed/`; None for what the settings say.

    Raises:
        ConfigurationError: it names none.
    """
    if option is None:
        option = RESULTS_DEFAULT_SERIALIZER.read()
    if isinstance(option, str):
        inner = option.removeprefix(_COMPRESSED)
        factory = _factories.get(inner)
        if factory is None:
            known = ", ".join(f"'{tag}'" for tag in sorted(_factories))
            raise ConfigurationError("serializer", option, f"a serializer or one of {known}, also after 'compressed/'")
        return factory() if inner == option else CompressedSerializer(factory())
    methods = ("dumps", "loads")
    if isinstance(option, type) or not all(callable(getattr(option, name, None)) for name in methods):
        raise ConfigurationError("serializer", option, "a serializer or the tag of one")
    if not isinstance(getattr(option, "tag", None), str):
        raise ConfigurationError("serializer", option, "a serializer with a tag")
    return option
