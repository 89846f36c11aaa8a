"""Tokens: how the content of a value is written down for a hash.

Decides the encoding, and nothing about which values there are. A token is a string of bytes that says where it ends, so
tokens can stand in a row and be told apart again: no two rows of tokens are the same bytes. Each begins with a letter
for its kind. What is small stands in the token as it is, all else as a digest of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from hashlib import sha256
from typing import Any, Final

_LONG: Final = 1_024
"""From this length on, a text or bytes stands as its digest, so that it is not copied on the way."""


class Token(bytes):
    """A token that was made ahead; among the parts of a value it stands for itself."""

    __slots__ = ()


class Order(IntEnum):
    """What the order of parts says."""

    KEPT = 0  # it matters
    FREE = 1  # it does not, as in a set
    PAIRS = 2  # two by two they belong together, and the order of the pairs does not matter, as in a dict


class Opened:
    """A value taken apart: its kind, and the parts that say what is in it.

    Args:
        value: The value; it is kept, so that its identity stays its own. None for a part that stands for no object.
        kind: One letter.
        children: The parts.
        order: What their order says.
    """

    __slots__ = ("children", "deep", "identity", "kind", "order", "parts", "value")

    def __init__(self, value: object, kind: bytes, children: Iterable[Any], order: Order = Order.KEPT) -> None:
        self.value = value
        self.identity = id(self if value is None else value)
        self.kind = kind
        self.children = iter(children)
        self.order = order
        self.deep = False  # whether a part has parts
        self.parts: list[bytes] = []  # the tokens of the parts so far

    def token(self) -> bytes:
        """The token, once every part has given its own."""
        parts = self.parts
        if self.order is Order.PAIRS:
            parts = [first + second for first, second in zip(parts[::2], parts[1::2], strict=True)]
        if self.order is not Order.KEPT:
            parts.sort()
        return b"#" + sha256(self.kind + b"".join(parts)).digest()


def text(value: str) -> bytes:
    """The token of a string."""
    data = value.encode("utf-8", "surrogatepass")
    return b"s%d:%b" % (len(data), data) if len(data) < _LONG else b"S" + sha256(data).digest()


def blob(value: bytes) -> bytes:
    """The token of bytes."""
    return b"b%d:%b" % (len(value), value) if len(value) < _LONG else b"B" + sha256(value).digest()


def _whole(value: int) -> bytes:
    return b"i%x;" % value  # hexadecimal: no limit to the digits


def _number(value: float) -> bytes:
    return b"f%a;" % value


LEAVES: Final[dict[type, Callable[[Any], bytes]]] = {
    type(None): lambda _: b"N",
    bool: lambda value: b"T" if value else b"F",
    int: _whole,
    float: _number,
    str: text,
    bytes: blob,
    Token: lambda token: token,
}
"""The tokens of what has no parts, by exact type."""


def name_of(thing: Any) -> Token:
    """The token of a class or function by its name alone."""
    module = getattr(thing, "__module__", None) or ""
    return Token(b"n" + text(f"{module}") + text(f"{getattr(thing, '__qualname__', type(thing).__qualname__)}"))
