"""Beginnings: what a branch of a flow's body is known by, when the body is run again.

Branches run beside each other, and which of them comes first is not the same in every attempt. So the order of their
first calls does not tell them apart, but these calls do: what is called, and with what. Decides which arguments say so:
plain values and what is made of them, by their text, which is the same in another process too; of all others their
type alone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final
from zlib import crc32

Arguments = Callable[[], tuple[tuple[Any, ...], Mapping[str, Any]]]
"""Gives the arguments of a call, or those of the first run of a map."""

ALIKE: Final = 1 << 20
"""So many branches of one strand may begin alike."""

_PLAIN: Final = frozenset({int, str, float, bool, bytes, complex, type(None)})
_DEPTH: Final = 4
_MOST: Final = 64  # items of a collection that are looked at


def no_arguments() -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of a call of which nobody knows any."""
    return (), {}


def beginning(name: str, count: int, arguments: Arguments) -> int:
    """A number for a first call; the same for calls that are alike.

    Args:
        name: What is called.
        count: How many runs there are.
        arguments: Of the call.
    """
    args, kwargs = arguments()
    shown = [name, str(count), *(_told(each, _DEPTH) for each in args)]
    shown += [f"{key}={_told(value, _DEPTH)}" for key, value in sorted(kwargs.items())]
    return crc32("\0".join(shown).encode("utf-8", "backslashreplace"))


def _told(value: Any, depth: int) -> str:
    kind = value.__class__
    if kind in _PLAIN:
        return repr(value)
    if depth and kind in (list, tuple):
        return f"{kind.__name__}({','.join(_told(each, depth - 1) for each in value[:_MOST])};{len(value)})"
    if depth and kind is dict:
        items = (f"{_told(key, depth - 1)}:{_told(each, depth - 1)}" for key, each in list(value.items())[:_MOST])
        return f"dict({','.join(items)};{len(value)})"
    return f"{kind.__module__}.{kind.__qualname__}"
