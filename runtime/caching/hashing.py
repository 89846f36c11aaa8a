"""Hashing: what of a value counts for a cache key.

Decides which values are the same: those of the same type with the same content, whatever process they are in. So 1,
1.0, True and "1" are four values, a list is not a tuple, and the order of a dict or a set does not matter (that of an
OrderedDict does). In particular:

- An object of an attrs class or dataclass counts by its fields, without those that comparisons leave out (`eq=False`,
  `compare=False`).
- An enum's member counts by its name and value.
- A function counts by its qualified name, its source, its defaults and what its closure holds; a class by its qualified
  name and source. What they refer to by global names does not count.
- Everything else counts by what pickle would keep of it. Not by pickle's bytes: these tell two equal values apart by
  which of their parts are one object, and the order of sets changes from process to process.

A value that contains itself has no hash, and neither has what pickle cannot take apart. How deep a value is nested does
not matter, and a part that stands in many places is looked at once. Does not know what becomes of a hash.
"""

from __future__ import annotations

import copyreg
import dataclasses
from collections import OrderedDict
from collections.abc import Callable, Iterator
from enum import Enum
from hashlib import sha256
from itertools import chain
from pathlib import PosixPath, PurePath, PurePosixPath, PureWindowsPath, WindowsPath
from types import CodeType, FunctionType, MappingProxyType, MethodType
from typing import Any, Final

from millrace.actors.errors import Unhashable
from millrace.actors.telling import text_of
from millrace.runtime.caching.arrays import opened_array
from millrace.runtime.caching.texts import source_text
from millrace.runtime.caching.tokens import LEAVES, Opened, Order, Token, name_of

_ABSENT: Final = Token(b"-")
"""In place of something that is not there."""

_BUILT_IN: Final = (dict, list, tuple, set, frozenset, str, bytes, int, float)
"""Types with a content of their own, of which the fields of a class derived from them do not tell."""

_PROTOCOL: Final = 4
"""Of pickle; later ones keep large content apart."""

_DEEPEST: Final = 1_000_000
"""Where a value is taken for one without an end, such as one that makes its parts anew whenever it is looked at."""

_PLACE: Final = frozenset({"__module__", "__qualname__", "__firstlineno__"})
"""Members of a class that say where it stands."""

_SMALL: Final = 16
"""So many parts that have no parts are looked at again, where they stand in several places, rather than remembered."""


def hash_value(value: object) -> str:
    """A hash of the content of a value.

    Args:
        value: The value.

    Returns:
        64 hexadecimal digits, the same in every process with the same version of Python.

    Raises:
        Unhashable: the value has none; the error says why, and which type is to blame.
    """
    return sha256(token_of(value)).hexdigest()


def token_of(value: object) -> bytes:
    """The token of a value.

    Raises:
        Unhashable: the value has none.
    """
    leaf = LEAVES.get(type(value))
    return leaf(value) if leaf is not None else _walk(value)


def _walk(root: object) -> bytes:
    """The token of a value with parts, without a call per level."""
    # From the id of each part on the way, or met before, to its token and itself; None on the way.
    known: dict[int, tuple[bytes, object] | None] = {id(root): None}
    opened = _open(root)
    stack: list[Opened] = []
    while True:
        parts = opened.parts
        for child in opened.children:
            leaf = LEAVES.get(type(child))
            if leaf is not None:
                parts.append(leaf(child))
                continue
            identity = id(child)
            if identity in known:
                before = known[identity]
                if before is None:
                    raise _unhashable(child, "contains itself")
                parts.append(before[0])
                continue
            known[identity] = None
            stack.append(opened)
            opened = child if type(child) is Opened else _open(child)
            break
        else:
            token = opened.token()
            if not stack:
                return token
            if opened.value is not None and (opened.deep or len(parts) > _SMALL):
                known[opened.identity] = (token, opened.value)
            else:
                del known[opened.identity]
            opened = stack.pop()
            opened.deep = True
            opened.parts.append(token)
            continue
        if len(stack) > _DEEPEST:
            raise _unhashable(root, f"is nested more than {_DEEPEST:,} deep")


def _unhashable(value: object, problem: str) -> Unhashable:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return Unhashable(f"a '{name}' {problem}", name)


def _open(value: Any) -> Opened:
    """Take a value apart.

    Raises:
        Unhashable: it cannot be; whatever its own code raised is the cause.
    """
    opener = _OPENERS.get(type(value))
    try:
        return opener(value) if opener is not None else _open_object(value)
    except Unhashable:
        raise
    except Exception as error:
        raise _unhashable(value, f"cannot be taken apart ({text_of(error)})") from error


def _open_object(value: Any) -> Opened:
    kind = type(value)
    if isinstance(value, Enum):
        return Opened(value, b"m", [name_of(kind), value._name_, value._value_])
    if isinstance(value, type):
        return _open_class(value)
    array = opened_array(value)
    if array is not None:
        return array
    if not isinstance(value, _BUILT_IN):
        # A class that only derives from one with fields may hold more than they say.
        if "__attrs_attrs__" in kind.__dict__:
            return _open_fields(value, [each.name for each in kind.__attrs_attrs__ if each.eq])
        if "__dataclass_fields__" in kind.__dict__:
            return _open_fields(value, [each.name for each in dataclasses.fields(value) if each.compare])
    return _open_pickled(value)


def _open_fields(value: Any, names: list[str]) -> Opened:
    fields = chain.from_iterable((name, getattr(value, name, _ABSENT)) for name in names)
    return Opened(value, b"a", [name_of(type(value)), *fields])


def _open_pickled(value: Any) -> Opened:
    """As what pickle would keep: how the object is made again, its state, and its items."""
    kind = type(value)
    reducer = copyreg.dispatch_table.get(kind)
    reduced = reducer(value) if reducer is not None else value.__reduce_ex__(_PROTOCOL)
    if isinstance(reduced, str):
        return Opened(value, b"g", [name_of(kind), getattr(value, "__module__", None) or "", reduced])
    given: list[Any] = [*reduced, None, None, None, None]
    make, args, state, items, pairs, set_state = given[:6]
    if isinstance(value, (set, frozenset)):
        args = (Opened(None, b"e", list(value), Order.FREE),)
    return Opened(
        value,
        b"o",
        [
            name_of(kind),
            _by_name(make),
            Opened(None, b"t", [_by_name(each) for each in args]),
            state,
            _ABSENT if items is None else Opened(None, b"l", list(items)),
            _ABSENT if pairs is None else _open_pairs(pairs, ordered=isinstance(value, OrderedDict)),
            _ABSENT if set_state is None else set_state,
        ],
    )


def _by_name(part: Any) -> Any:
    """What pickle would import: a class or function by its name alone."""
    return name_of(part) if isinstance(part, (type, FunctionType)) else part


def _open_pairs(pairs: Iterator[tuple[Any, Any]], *, ordered: bool) -> Opened:
    return Opened(None, b"d", list(chain.from_iterable(pairs)), Order.KEPT if ordered else Order.PAIRS)


def _open_class(value: type) -> Opened:
    source: Any = source_text(value)
    if source is None:  # of what it does, its functions tell, and what is simple in it
        members = [(name, _code_in(each)) for name, each in vars(value).items() if name not in _PLACE]
        told = [(name, each) for name, each in members if isinstance(each, CodeType) or type(each) in LEAVES]
        source = _open_pairs(iter(told), ordered=False)
    return Opened(value, b"c", [name_of(value), source])


def _code_in(member: Any) -> Any:
    """The code of a method, of whatever kind; another member of a class as it is."""
    function = getattr(member, "__func__", getattr(member, "fget", member))
    return getattr(function, "__code__", member)


def _open_function(value: FunctionType) -> Opened:
    held: list[Any] = []
    for cell in value.__closure__ or ():
        try:
            held.append(cell.cell_contents)
        except ValueError:  # what it will hold has no value yet
            held.append(_ABSENT)
    source = source_text(value) or value.__code__
    return Opened(value, b"u", [name_of(value), source, value.__defaults__, value.__kwdefaults__, *held])


def _open_code(value: CodeType) -> Opened:
    """What the code does, not where it stands."""
    counts = (value.co_argcount, value.co_posonlyargcount, value.co_kwonlyargcount, value.co_flags)
    names = (value.co_names, value.co_varnames, value.co_freevars, value.co_cellvars)
    return Opened(value, b"k", [value.co_code, value.co_exceptiontable, value.co_consts, *names, *counts])


def _open_path(value: PurePath) -> Opened:
    # Without the module, which has another name in some versions.
    return Opened(value, b"p", [type(value).__name__, str(value)])


def _open_view(value: memoryview) -> Opened:
    return Opened(value, b"v", [value.format, value.shape, value.tobytes()])


def _flat(value: Any) -> list[Any]:
    return list(chain.from_iterable(value.items()))


_OPENERS: Final[dict[type, Callable[[Any], Opened]]] = {
    list: lambda value: Opened(value, b"l", list(value)),
    tuple: lambda value: Opened(value, b"t", value),
    dict: lambda value: Opened(value, b"d", _flat(value), Order.PAIRS),
    set: lambda value: Opened(value, b"e", list(value), Order.FREE),
    frozenset: lambda value: Opened(value, b"z", value, Order.FREE),
    MappingProxyType: lambda value: Opened(value, b"x", _flat(value), Order.PAIRS),
    memoryview: _open_view,
    CodeType: _open_code,
    FunctionType: _open_function,
    MethodType: lambda value: Opened(value, b"h", [value.__func__, value.__self__]),
    **dict.fromkeys((PosixPath, PurePosixPath, PureWindowsPath, WindowsPath), _open_path),
}
"""How values are taken apart, by exact type; what is not here is looked at more closely."""
