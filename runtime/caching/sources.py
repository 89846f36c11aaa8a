"""Sources: what stands for the code of a task, in its cache keys and in its own key.

Decides what belongs to the code of whatever can be called: a function's own source and that of what it wraps, a
partial's arguments, the class of an object. What a closure or an object holds does not belong to it, since that changes
while the programme runs. Where there is no text to go by, the compiled code stands for it.
"""

from __future__ import annotations

from functools import partial
from hashlib import sha256
from types import FunctionType, MethodType
from typing import Any, Final

from millrace.actors.errors import Unhashable
from millrace.runtime.caching.hashing import token_of
from millrace.runtime.caching.texts import Kept, source_text
from millrace.runtime.caching.tokens import Token, name_of

_DIGITS: Final = 8


def source_token(fn: Any) -> bytes:
    """The token of the source of a task's function.

    Args:
        fn: A function, method, partial, or anything else that can be called.

    Raises:
        Unhashable: it is a partial of something that has no hash.
    """
    if isinstance(fn, FunctionType):
        return _own_source(fn)
    if isinstance(fn, (MethodType, staticmethod, classmethod)):
        return source_token(fn.__func__)
    if isinstance(fn, partial):
        return token_of(("partial", Token(source_token(fn.func)), fn.args, fn.keywords))
    wrapped = getattr(fn, "__wrapped__", None)
    if callable(wrapped):
        return token_of((name_of(type(fn)), Token(source_token(wrapped))))
    kind = type(fn)
    return token_of(kind if isinstance(getattr(kind, "__call__", None), FunctionType) else fn)  # noqa: B004  # not whether


def task_key(fn: Any, name: str | None = None) -> str:
    """A key for a task that is the same in every process: its name, and the beginning of a hash of its source.

    Args:
        fn: The task's function, or anything else that can be called.
        name: What to put in place of the last part of the function's qualified name.

    Returns:
        The key, as in `fetch-1a2b3c4d`; with `unknown` for the hash where there is no source and no code.
    """
    try:
        digits = sha256(source_token(fn)).hexdigest()[:_DIGITS]
    except Unhashable:
        digits = "unknown"
    return f"{name or _short_name(fn)}-{digits}"


def _short_name(fn: Any) -> str:
    while isinstance(fn, partial):
        fn = fn.func
    qualified: str = getattr(fn, "__qualname__", type(fn).__qualname__)
    return qualified.rpartition(".")[2]


def _made(fn: FunctionType | type) -> Token:
    text = source_text(fn)
    own: Any = text if text is not None else fn.__code__  # type: ignore[union-attr]  # classes do not come here
    wrapped = getattr(fn, "__wrapped__", None)
    inner = Token(source_token(wrapped)) if callable(wrapped) else None
    return Token(token_of((own, inner)))


_own_source: Final = Kept(_made)
"""The token of the source of a function and of what it wraps."""
