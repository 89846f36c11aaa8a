"""Marks: small numbers that are made of arguments, to tell whether a call is made with the same ones again.

Decides which arguments tell: plain values, and collections, by their text, which is the same in another process too. Of
all others nothing is known but their type, and a call is never said to have changed because of those. Long texts and
collections tell by their beginning, their end and their length.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Mapping, Sequence
from enum import Enum
from typing import TYPE_CHECKING, Any, Final, Protocol

if TYPE_CHECKING:
    from millrace.runtime.mapping import Plan
    from millrace.runtime.shape import Shape

Marks = bytes
"""Four bytes for each argument of a call, or for each run of a map; zeros where nothing is known of it."""

WIDTH: Final = 4

UNKNOWN: Final = bytes(WIDTH)

_PLAIN: Final = frozenset({int, str, float, bool, bytes, complex, type(None), range})
_SAID_BY_REPR: Final = frozenset({  # by module and name: most programs need not import all of them
    ("datetime", "datetime"), ("datetime", "date"), ("datetime", "time"), ("datetime", "timedelta"),
    ("decimal", "Decimal"), ("uuid", "UUID"), ("pathlib", "PosixPath"), ("pathlib", "WindowsPath"),
    ("pathlib", "PurePosixPath"), ("pathlib", "PureWindowsPath"), ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"), ("pathlib._local", "PurePosixPath"), ("pathlib._local", "PureWindowsPath"),
})  # fmt: skip
_DEPTH: Final = 4
_MOST: Final = 64  # items of a collection that are looked at, from either end
_LONGEST: Final = 4096  # characters of a text, likewise


class Arguments(Protocol):
    """The arguments of a call. Looked at only where they are put on record, or compared with what is."""

    def first(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """Those of the call, or of the first run of a map."""
        ...

    def marks(self) -> Marks:
        """Their marks."""
        ...

    def what(self, index: int) -> str:
        """What the mark at an index stands for, as an error says it."""
        ...


class NoArguments:
    """Of a call of which nobody knows any."""

    def first(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """See `Arguments`."""
        return (), {}

    def marks(self) -> Marks:
        """See `Arguments`."""
        return b""

    def what(self, index: int) -> str:
        """See `Arguments`."""
        return f"argument {index + 1}"


class CallArguments:
    """Of one call.

    Args:
        shape: Of what is called.
        args: By position.
        kwargs: By name.
        left_out: Parameters that do not count: what is called does not depend on them.
    """

    __slots__ = ("_args", "_kwargs", "_left_out", "_shape")

    def __init__(
        self, shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any], left_out: frozenset[str] = frozenset()
    ) -> None:
        self._shape = shape
        self._args = args
        self._kwargs = kwargs
        self._left_out = left_out

    def first(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """See `Arguments`."""
        return counted(self._shape, self._args, self._kwargs, self._left_out)

    def marks(self) -> Marks:
        """One for each argument."""
        if not self._left_out:
            return marks_of_call(self._shape, self._args, self._kwargs)
        named = in_order(self._shape, self._args, self._kwargs)
        return b"".join([UNKNOWN if name in self._left_out else _mark(value) for name, value in named])

    def what(self, index: int) -> str:
        """The name of the parameter."""
        named = in_order(self._shape, self._args, self._kwargs)
        return f"'{named[index][0]}'" if index < len(named) else "number of arguments"


class MapArguments:
    """Of a map.

    Args:
        shape: Of the task.
        plan: Has them.
        left_out: As for `CallArguments`.
    """

    __slots__ = ("_left_out", "_plan", "_shape")

    def __init__(self, shape: Shape, plan: Plan, left_out: frozenset[str] = frozenset()) -> None:
        self._shape = shape
        self._plan = plan
        self._left_out = left_out

    def first(self) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
        """See `Arguments`."""
        return counted(self._shape, *self._plan.first_call(), self._left_out)

    def marks(self) -> Marks:
        """One for each run."""
        plan, shape = self._plan, self._shape
        items = plan.only_items
        if items is not None and not self._left_out:
            return b"".join([_mark(item) for item in items])
        return b"".join([mark_of_item(shape, *plan.call(index), self._left_out) for index in range(plan.size)])

    def what(self, index: int) -> str:
        """Which run."""
        return f"item {index}"


NO_ARGUMENTS: Final[Arguments] = NoArguments()


def marks_of_call(shape: Shape, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Marks:
    """The marks of a call, one for each argument, in the order of its parameters.

    Args:
        shape: Of what is called.
        args: By position.
        kwargs: By name; one that could stand at its position is taken as if it did.
    """
    if not kwargs:
        return b"".join([_mark(each) for each in args])
    return b"".join([_mark(value) for _, value in in_order(shape, args, kwargs)])


def in_order(shape: Shape, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The arguments of a call with their names: first those by position, and those that follow them; then by name."""
    named = [(shape.name_of(index), value) for index, value in enumerate(args)]
    left = dict(kwargs)
    for name in shape.positional[len(args) :]:
        if name not in left:
            break
        named.append((name, left.pop(name)))
    return [*named, *sorted(left.items())]


def counted(
    shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any], left_out: frozenset[str]
) -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of a call without those that do not count."""
    if not left_out:
        return args, kwargs
    return (), {name: value for name, value in in_order(shape, args, kwargs) if name not in left_out}


def mark_of_item(
    shape: Shape, args: tuple[Any, ...], kwargs: Mapping[str, Any], left_out: frozenset[str] = frozenset()
) -> Marks:
    """The one mark of a run among many: of all of its arguments that count; unknown where none does."""
    if left_out:
        args, kwargs = counted(shape, args, kwargs, left_out)
        if not kwargs:
            return UNKNOWN
    if len(args) == 1 and not kwargs:
        return _mark(args[0])
    marks = marks_of_call(shape, args, kwargs)
    return UNKNOWN if UNKNOWN in _parts(marks) else crc32(marks).to_bytes(WIDTH, "big")


def differs(before: Marks, now: Marks) -> int | None:
    """Which of two calls' marks differs first, counted from 0; None where none is known to."""
    if not before or not now or before == now:
        return None
    for index, (one, other) in enumerate(zip(_parts(before), _parts(now), strict=False)):
        if UNKNOWN not in {one, other} and one != other:
            return index
    return None if len(before) == len(now) else min(len(before), len(now)) // WIDTH


def part(marks: Marks, index: int) -> Marks:
    """The mark at an index; empty where there is none."""
    return marks[index * WIDTH : (index + 1) * WIDTH]


def _parts(marks: Marks) -> list[Marks]:
    return [marks[start : start + WIDTH] for start in range(0, len(marks), WIDTH)]


def _mark(value: Any) -> Marks:
    if value.__class__ is int and -_WHOLE < value < _WHOLE:  # mostly, and much quicker
        text = repr(value)
    else:
        text = told(value)
        if text.endswith(_NOTHING_MORE):
            return UNKNOWN
    return crc32(text.encode("utf-8", "backslashreplace")).to_bytes(WIDTH, "big")


_WHOLE: Final = 1 << 63
_NOTHING_MORE: Final = "?"


def told(value: Any, depth: int = _DEPTH) -> str:  # noqa: PLR0911  # one for each kind of value
    """What a value tells, as text; the name of its type and a `?` where that is nothing more."""
    kind = value.__class__
    if kind in (str, bytes) and len(value) > 2 * _LONGEST:
        return f"{value[:_LONGEST]!r}{value[-_LONGEST:]!r};{len(value)}"
    if kind is int and value.bit_length() > _LONGEST:  # its decimal digits are refused
        return f"{value:x}"
    if kind in _PLAIN or (kind.__module__, kind.__qualname__) in _SAID_BY_REPR:
        return repr(value)
    if depth and kind in (list, tuple):
        return f"{kind.__name__}({_items(value, depth)};{len(value)})"
    if depth and kind in (set, frozenset):
        return f"{kind.__name__}({','.join(sorted(told(each, depth - 1) for each in value))})"
    if depth and kind is dict:
        shown = _items([each for pair in value.items() for each in pair], depth)
        return f"dict({shown};{len(value)})"
    if isinstance(value, Enum):
        return f"{kind.__qualname__}.{value.name}"
    return f"{kind.__module__}.{kind.__qualname__}{_NOTHING_MORE}"


def _items(items: Sequence[Any], depth: int) -> str:
    looked_at = items if len(items) <= 2 * _MOST else (*items[:_MOST], *items[-_MOST:])
    return ",".join([told(each, depth - 1) for each in looked_at])
