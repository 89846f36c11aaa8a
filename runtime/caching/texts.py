"""Texts: the source of functions and classes, as it stands in their files.

Decides when there is one to go by: not for a lambda, since one line may hold several, not for what was typed in or made
by `exec`, and not where the file says something else by now. Does not know what takes its place then. Reading a source
is slow, so what was read is kept for as long as the function or class lives.
"""

from __future__ import annotations

import inspect
import re
import tokenize
from collections.abc import Callable
from types import CodeType, FunctionType
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

from millrace.runtime.caching.tokens import Token, text

T = TypeVar("T")


class Kept(Generic[T]):
    """Something that is made once for each function or class, and kept while that lives."""

    __slots__ = ("_found", "_make")

    def __init__(self, make: Callable[[FunctionType | type], T]) -> None:
        self._make = make
        # From the function to the code it had then, which a module that is reloaded in place may exchange.
        self._found: WeakKeyDictionary[FunctionType | type, tuple[CodeType | None, T]] = WeakKeyDictionary()

    def __call__(self, thing: FunctionType | type) -> T:
        """What was made for it."""
        code: CodeType | None = getattr(thing, "__code__", None)
        try:
            found = self._found.get(thing)
        except TypeError:  # a metaclass whose classes have no hash
            return self._make(thing)
        if found is not None and found[0] is code:
            return found[1]
        made = self._make(thing)
        self._found[thing] = (code, made)
        return made


def _read(thing: FunctionType | type) -> Token | None:
    if isinstance(thing, type):
        return _text_of(thing, f"class {thing.__name__}")
    code = thing.__code__  # of a function, getsource() would look at what it wraps
    # What stands under a name in brackets may be another text that was typed in: `python -c` keeps its own there.
    return None if code.co_filename.startswith("<") else _text_of(code, f"def {code.co_name}")


def _text_of(thing: CodeType | type, begins: str) -> Token | None:
    try:
        found = inspect.getsource(thing)
    except (OSError, TypeError, SyntaxError, tokenize.TokenError):  # no file, or one that is no Python by now
        return None
    return Token(text(found)) if re.search(rf"\b{re.escape(begins)}\b", found) else None


source_text: Final = Kept(_read)
"""The token of the text of a function, without what it wraps, or of a class; None where there is none to go by."""
