"""JSON: values as text that says itself what they are.

Decides how each kind of value is written, so that it comes back as what it was without anybody declaring its type:
what JSON has is written as it is, everything else as `{"$": tag, "v": content}`. A tag is a short word from a list that
the reader has; nothing in a text is ever looked up as a name of a module or a class. What is on no list is refused when
it is written: a value that came back as something else would be found out only when a cache is hit.
"""

from __future__ import annotations

import base64
import enum
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NoReturn, cast
from uuid import UUID

import attrs

from millrace.actors.errors import ConfigurationError, SerializationError
from millrace.runtime.results.refusals import refusing, shown, shown_type

if TYPE_CHECKING:
    from cattrs import Converter

NESTING: Final = 64
"""How many collections and objects may stand inside each other."""

ITEMS: Final = 10_000_000
"""How many items a value may have in all its collections; one that holds a list a thousand times has that many more."""

_MARK: Final = "$"
_CONTENT: Final = "v"

_WRITING: Final = "write a value as JSON"
_READING: Final = "read a value from JSON"

Part = Callable[[Any], Any]


def _unbased(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


# From the exact type of a value that holds no others: its tag, what is written, and how that is read.
_LEAVES: Final[dict[type, tuple[str, Part, Part]]] = {
    bytes: ("bytes", lambda value: base64.b64encode(value).decode("ascii"), _unbased),
    bytearray: ("bytearray", lambda value: base64.b64encode(value).decode("ascii"), lambda v: bytearray(_unbased(v))),
    datetime: ("datetime", datetime.isoformat, datetime.fromisoformat),
    date: ("date", date.isoformat, date.fromisoformat),
    time: ("time", time.isoformat, time.fromisoformat),
    timedelta: ("timedelta", lambda value: [value.days, value.seconds, value.microseconds], lambda v: timedelta(*v)),
    UUID: ("uuid", str, UUID),
    Decimal: ("decimal", str, Decimal),
    type(Path()): ("path", str, Path),
}

# From the exact type of a collection that JSON does not have to its tag. Each is made of a list.
_COLLECTIONS: Final[dict[type, str]] = {tuple: "tuple", set: "set", frozenset: "frozenset"}

_DICT: Final = "dict"  # with keys that are not strings, or with one that is the mark

_READ_LEAF: Final = {tag: read for tag, _, read in _LEAVES.values()}
_READ_COLLECTION: Final = {tag: kind for kind, tag in _COLLECTIONS.items()}
_RESERVED: Final = frozenset({*_READ_LEAF, *_READ_COLLECTION, _DICT})


def _named(types: Mapping[str, type] | Iterable[type]) -> dict[str, type]:
    if isinstance(types, Mapping):
        return dict(cast("Mapping[str, type]", types))
    named: dict[str, type] = {}
    for kind in types:
        if not isinstance(kind, type):
            raise ConfigurationError("types", kind, "classes, or a mapping from tags to classes")
        if named.setdefault(kind.__name__, kind) is not kind:
            raise ConfigurationError("types", kind, f"one class named '{kind.__name__}'; give a mapping from tags")
    return named


def _tags_of(types: Mapping[str, type]) -> dict[type, str]:
    return {kind: tag for tag, kind in types.items()}


@attrs.frozen
class JSONSerializer:
    """Writes values as JSON, and executes nothing when it reads them.

    It writes what JSON has, and bytes, bytearrays, tuples, sets, frozen sets, dicts with any keys, datetimes, dates,
    times, timedeltas, UUIDs, decimals and paths. They come back equal and of the same type; a time zone comes back as
    its offset. Attrs classes, dataclasses, enums and named tuples have to be registered; the fields of an attrs class
    or dataclass may hold anything that can be written, whatever their annotations say. Exact types count: a subclass
    is another class.

    Refused are classes that are not registered, numbers that are not finite, integers longer than Python reads,
    strings that are no valid Unicode, collections nested deeper than 64, and more than ten million items.

    Args:
        types: The classes that may be written and read, or a mapping from short tags to them. A class's tag is its
            name where none is given. To rename a class, keep its tag.
        converter: A cattrs converter of one's own, which then takes registered classes of any kind to pieces and puts
            them together; None for one that keeps the fields as they are.
    """

    types: Mapping[str, type] = attrs.field(factory=dict, converter=_named)
    converter: Converter | None = attrs.field(default=None, kw_only=True)
    _tags: dict[type, str] = attrs.field(
        init=False, repr=False, eq=False, default=attrs.Factory(lambda self: _tags_of(self.types), takes_self=True)
    )
    _made: list[Converter] = attrs.field(init=False, repr=False, eq=False, factory=list)  # none before it is needed

    def __attrs_post_init__(self) -> None:
        for tag, kind in self.types.items():
            if not isinstance(tag, str) or not tag or tag in _RESERVED:
                raise ConfigurationError(
                    "types", tag, f"tags that are words, and none of {', '.join(sorted(_RESERVED))}"
                )
            if not isinstance(kind, type) or (self.converter is None and not _has_parts(kind)):
                raise ConfigurationError("types", kind, "attrs classes, dataclasses, enums and named tuples")

    @property
    def tag(self) -> str:
        """Names this way of writing."""
        return "json"

    def __hash__(self) -> int:
        return hash(tuple(self.types.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return _remade, (dict(self.types), self.converter)

    def dumps(self, value: Any) -> bytes:
        """The JSON of a value, in UTF-8.

        Raises:
            SerializationError: it cannot be written so that it comes back as it is.
        """
        import json  # noqa: PLC0415  # a program that keeps no JSON never needs it

        with refusing(_WRITING):
            plain = _Writer(self._tags, self._taken_apart).plain(value, NESTING)
            return json.dumps(
                plain, ensure_ascii=False, allow_nan=False, check_circular=False, separators=(",", ":")
            ).encode()

    def loads(self, blob: bytes) -> Any:
        """The value of such bytes.

        Raises:
            SerializationError: they are none of its, or name a class that is not registered here.
        """
        import json  # noqa: PLC0415  # a program that keeps no JSON never needs it

        with refusing(_READING):
            return _Reader(self.types, self._put_together).value(json.loads(str(blob, "utf-8")), NESTING)

    def _taken_apart(self, value: Any) -> Any:
        return self._cattrs().unstructure(value, unstructure_as=type(value))

    def _put_together(self, parts: Any, kind: type) -> Any:
        return self._cattrs().structure(parts, kind)

    def _cattrs(self) -> Converter:
        if self.converter is not None:
            return self.converter
        if not self._made:
            self._made.append(_shallow_converter())
        return self._made[0]


def _remade(types: dict[str, type], converter: Converter | None) -> JSONSerializer:
    return JSONSerializer(types, converter=converter)


def _is_named_tuple(kind: type) -> bool:
    return issubclass(kind, tuple) and hasattr(kind, "_fields") and hasattr(kind, "_make")


def _has_parts(kind: type) -> bool:
    return attrs.has(kind) or is_dataclass(kind) or issubclass(kind, enum.Enum) or _is_named_tuple(kind)


def _shallow_converter() -> Converter:
    """A converter that looks one level deep: the values of fields say themselves what they are."""
    from cattrs import Converter  # noqa: PLC0415  # slow to import, and needed for registered classes only
    from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override  # noqa: PLC0415  # likewise

    converter = Converter()
    as_it_is = override(unstruct_hook=lambda value: value, struct_hook=lambda value, _: value)

    def fields(kind: Any) -> dict[str, Any]:
        return dict.fromkeys(
            [each.name for each in attrs.fields(kind)] if attrs.has(kind) else kind.__dataclass_fields__, as_it_is
        )

    def has_fields(kind: Any) -> bool:
        return isinstance(kind, type) and (attrs.has(kind) or is_dataclass(kind))

    def is_named_tuple(kind: Any) -> bool:
        return isinstance(kind, type) and _is_named_tuple(kind)

    converter.register_unstructure_hook_factory(
        has_fields,
        lambda kind: make_dict_unstructure_fn(kind, converter, _cattrs_include_init_false=True, **fields(kind)),
    )
    converter.register_structure_hook_factory(
        has_fields,
        lambda kind: make_dict_structure_fn(
            kind, converter, _cattrs_include_init_false=True, _cattrs_forbid_extra_keys=True, **fields(kind)
        ),
    )
    converter.register_unstructure_hook_func(is_named_tuple, list)
    converter.register_structure_hook_func(is_named_tuple, lambda parts, kind: kind(*parts))
    return converter


def _too_deep(attempted: str) -> NoReturn:
    raise SerializationError(attempted, f"its collections are nested deeper than {NESTING}, or hold themselves")


class _Writer:
    """Makes one value plain: what JSON has."""

    def __init__(self, tags: Mapping[type, str], taken_apart: Part) -> None:
        self._tags = tags
        self._taken_apart = taken_apart
        self._items = ITEMS  # how many more there may be

    def plain(self, value: Any, room: int) -> Any:
        """What JSON has for a value.

        Args:
            value: The value.
            room: How many levels of nesting are left for it.
        """
        kind = type(value)
        if value is None or kind is str or kind is bool or kind is int:
            return value
        if kind is float:
            if not math.isfinite(value):
                raise SerializationError(_WRITING, "JSON has no number that is not finite")
            return value
        if kind in _LEAVES:
            tag, write, _ = _LEAVES[kind]
            return {_MARK: tag, _CONTENT: write(value)}
        return self._compound(value, kind, room - 1)

    def _compound(self, value: Any, kind: type, room: int) -> Any:
        if room < 0:
            _too_deep(_WRITING)
        if kind in self._tags:
            parts = self._taken_apart(value)
            if type(parts) is kind:
                raise SerializationError(_WRITING, f"the converter does not take a '{shown_type(value)}' to pieces")
            return {_MARK: self._tags[kind], _CONTENT: self.plain(parts, room + 1)}
        if kind is not list and kind is not dict and kind not in _COLLECTIONS:
            raise SerializationError(
                _WRITING,
                f"there is no way to write a value of type '{shown_type(value)}'; name its class in"
                " JSONSerializer(types=[...]), or return plain data",
            )
        self._items -= len(value)
        if self._items < 0:
            raise SerializationError(_WRITING, f"it has more than {ITEMS:,} items")
        if kind is dict:
            if _MARK not in value and all(type(key) is str for key in value):
                return {key: self.plain(item, room) for key, item in value.items()}
            pairs = [[self.plain(key, room), self.plain(item, room)] for key, item in value.items()]
            return {_MARK: _DICT, _CONTENT: pairs}
        items = [self.plain(each, room) for each in value]
        return items if kind is list else {_MARK: _COLLECTIONS[kind], _CONTENT: items}


class _Reader:
    """Makes one value of what JSON has."""

    def __init__(self, types: Mapping[str, type], put_together: Callable[[Any, type], Any]) -> None:
        self._types = types
        self._put_together = put_together

    def value(self, plain: Any, room: int) -> Any:
        """The value that was written so.

        Args:
            plain: What JSON has.
            room: How many levels of nesting are left for it.
        """
        kind = type(plain)
        if kind is list:
            if room == 0:
                _too_deep(_READING)
            return [self.value(each, room - 1) for each in plain]
        if kind is dict:
            if _MARK in plain:
                return self._tagged(plain, room)
            if room == 0:
                _too_deep(_READING)
            return {key: self.value(item, room - 1) for key, item in plain.items()}
        if kind is float and not math.isfinite(plain):
            raise SerializationError(_READING, "it has a number that is not finite")
        return plain

    def _tagged(self, plain: dict[str, Any], room: int) -> Any:
        tag = plain[_MARK]
        if len(plain) != 2 or _CONTENT not in plain or type(tag) is not str:  # noqa: PLR2004  # the tag and the content
            raise SerializationError(_READING, "it has an object with a tag that is not written as this writes them")
        content = plain[_CONTENT]
        if tag in _READ_LEAF:
            return _READ_LEAF[tag](content)
        if tag in _READ_COLLECTION:
            return _READ_COLLECTION[tag](self._listed(content, room))
        if tag == _DICT:
            if room == 0:
                _too_deep(_READING)
            return {self.value(key, room - 1): self.value(item, room - 1) for key, item in content}
        if tag in self._types:
            return self._put_together(self.value(content, room), self._types[tag])
        raise SerializationError(_READING, f"no class is registered here as '{shown(tag)}'")

    def _listed(self, content: Any, room: int) -> list[Any]:
        if type(content) is not list:
            raise SerializationError(_READING, "it has a collection that is not written as a list")
        made: list[Any] = self.value(content, room)
        return made
