"""Parts: what a cache key is put together from.

Decides how arguments and sources become parts of a key, and how parts become a key. Does not know which parts a policy
asks for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Any, Final, NamedTuple

import attrs

from millrace.actors.errors import CacheKeyError, Unhashable
from millrace.runtime.caching.hashing import token_of
from millrace.runtime.caching.sources import source_token
from millrace.runtime.caching.tokens import text

_FORMAT: Final = b"millrace 1:"
"""What a key is made of and how; with another number no key of today's is met any more."""

_ADVICE: Final = "Leave it out, as in `cache_policy - {name!r}`, or say with a cache_key_fn what of it counts."


class Part(NamedTuple):
    """A part of a key.

    Args:
        label: What it is called, as in `input 'page'`.
        token: Tells its value from any other.
    """

    label: str
    token: bytes


@attrs.frozen
class NoKey:
    """In place of a key or of its parts.

    Args:
        reason: Why there is none; a clause without a full stop.
    """

    reason: str


def joined(parts: list[Part]) -> str:
    """The key that parts make together; their order counts."""
    return sha256(_FORMAT + b"".join([text(label) + token for label, token in parts])).hexdigest()


def content_parts(kind: str, values: Mapping[str, Any], leave_out: Collection[str] = ()) -> list[Part]:
    """A part for each value, in the order of their names.

    Raises:
        CacheKeyError: a value has no hash; it names it.
    """
    parts: list[Part] = []
    for name in sorted(values):
        if name not in leave_out:
            label = f"{kind} '{name}'"
            try:
                parts.append(Part(label, token_of(values[name])))
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
        return Part("source", source_token(fn))
    except Unhashable as error:
        raise CacheKeyError("source", error.reason) from error
