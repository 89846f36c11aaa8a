"""Parts: what a cache key is put together from.

Decides how arguments and sources become parts of a key, and how parts become a key. Does not know which parts a policy
asks for.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Any, Final

import attrs

from millrace.actors.errors import CacheKeyError, Unhashable
from millrace.runtime.caching.hashing import token_of
from millrace.runtime.caching.sources import source_token
from millrace.runtime.caching.tokens import text

_FORMAT: Final = b"millrace 1:"
"""What a key is made of and how; with another number no key of today's is met any more."""

_LAYOUTS: Final = 1_024
"""So many sets of names are remembered as they stand in keys; a program has about as many as it has cached tasks."""

_ADVICE: Final = "Leave it out, as in `cache_policy - {name!r}`, or say with a cache_key_fn what of it counts."


Part = tuple[str, bytes]
"""A part of a key: what it is called, as in `input 'page'`; and what tells its value from any other."""


@attrs.frozen
class NoKey:
    """In place of a key or of its parts.

    Args:
        reason: Why there is none; a clause without a full stop.
    """

    reason: str


def joined(parts: list[Part]) -> str:
    """The key that parts make together; their order counts."""
    return sha256(_FORMAT + b"".join([_label_token(label) + token for label, token in parts])).hexdigest()


_label_token: Final = lru_cache(_LAYOUTS)(text)  # labels are names of parameters, and come again with every run


@lru_cache(_LAYOUTS)
def _laid_out(kind: str, names: tuple[str, ...], leave_out: frozenset[str]) -> tuple[tuple[str, str], ...]:
    """Names that count and the labels of their parts, in the order of the names."""
    return tuple([(name, f"{kind} '{name}'") for name in sorted(names) if name not in leave_out])


def content_parts(kind: str, values: Mapping[str, Any], leave_out: frozenset[str] = frozenset()) -> list[Part]:
    """A part for each value, in the order of their names.

    Raises:
        CacheKeyError: a value has no hash; it names it.
    """
    parts: list[Part] = []
    for name, label in _laid_out(kind, tuple(values), leave_out):
        try:
            parts.append((label, token_of(values[name])))
        except Unhashable as error:
            advice = _ADVICE.format(name=name) if kind == "input" else ""
            raise CacheKeyError(label, error.reason, advice) from error
    return parts


def source_part(fn: Any) -> Part:
    """The source of a task's function.

    Raises:
        CacheKeyError: what stands for it has no hash.
    """
    try:
        return "source", source_token(fn)
    except Unhashable as error:
        raise CacheKeyError("source", error.reason) from error
