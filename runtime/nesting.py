"""Nesting: values inside values, and copies of a structure with something else in it.

Decides what a collection is: lists, tuples, sets, dicts (keys too), named tuples, attrs classes and dataclasses. What
is looked for in it, and what takes its place, is told from outside. Two things hold for every copy: a part that holds
nothing to replace is the very same object in it, and a part that stands in several places, or inside itself, does so in
the copy too.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, Final, TypeGuard

from millrace.actors.annotations import Annotation, opaque, quote
from millrace.actors.errors import InputResolutionError
from millrace.actors.mailbox import Mailbox

LEAVES: Final = frozenset({
    int, str, float, bool, bytes, bytearray, complex, type(None), type, range, slice, memoryview,
})  # fmt: skip
"""Types that never hold anything: most arguments, and all that a quick check lets through."""

_UNSET: Final = object()
"""The value of a field that has none."""

_TOO_DEEP: Final = "it is nested too deeply"


def held_by(value: Any, name: str) -> list[Any] | None:
    """What a collection holds, in a fixed order; None for what is no collection.

    Args:
        value: The collection, perhaps.
        name: The parameter, for errors.

    Raises:
        InputResolutionError: the collection's own code raised something.
    """
    kind = value.__class__
    if kind in LEAVES or isinstance(value, Mailbox):
        return None  # a run, which is an attrs class too, is a thing and not a collection
    try:
        if issubclass(kind, (list, tuple, set, frozenset)):
            return list(value)
        if issubclass(kind, dict):
            return [each for item in value.items() for each in item]
        fields = fields_of(value)
        return None if fields is None else [getattr(value, field, _UNSET) for field in fields]
    except Exception as error:  # whatever the user's code raises
        raise InputResolutionError(name, f"looking into a {kind.__name__} raised {error!r}") from error


def fields_of(value: Any) -> list[str] | None:
    """The names of the fields of an object of an attrs class or dataclass; None for other objects."""
    kind = value.__class__
    if hasattr(kind, "__attrs_attrs__"):
        return [each.name for each in kind.__attrs_attrs__]
    if hasattr(kind, "__dataclass_fields__"):  # there is none without the module, so that it is there already
        import dataclasses  # noqa: PLC0415

        return [each.name for each in dataclasses.fields(kind)]
    return None


def _blank(value: Any, plain: tuple[type, ...]) -> Any:
    """The copy of a mutable collection, to be filled; None for a tuple or frozenset, which is made with its items."""
    if isinstance(value, (tuple, frozenset)):
        return None
    if isinstance(value, plain):
        return []
    import copy  # noqa: PLC0415  # nothing else needs it

    clone: Any = copy.copy(value)
    if isinstance(value, (list, set, dict)):
        clone.clear()
    return clone


def _fill(clone: Any, value: Any, items: list[Any]) -> None:
    kind = clone.__class__
    if issubclass(kind, list):
        clone.extend(items)
    elif issubclass(kind, set):
        clone.update(items)
    elif issubclass(kind, dict):
        for key, item in zip(items[::2], items[1::2], strict=True):
            clone[key] = item  # not by update(), which counts in a Counter
    else:
        for field, item in zip(fields_of(value) or (), items, strict=True):
            if item is not _UNSET:
                object.__setattr__(clone, field, item)  # frozen ones too: the copy is nobody's yet


def _frozen(value: Any, items: list[Any]) -> Any:
    kind = value.__class__
    return kind._make(items) if hasattr(kind, "_make") else kind(items)


def is_annotation(value: Any) -> TypeGuard[Annotation[Any]]:
    """Whether a value is an annotation."""
    return isinstance(value, Annotation)


class _InsideItselfError(Exception):
    """A collection holds itself."""


class Replacement:
    """What is replaced in a value, and by what.

    Args:
        name: The parameter, for errors.
        targets: The types that are replaced.
        convert: Gives what takes the place of one.
        unwrap: Take annotations off; else they stay, around what was replaced in them.
        plain: Lists of these types become plain ones where something in them is replaced.
    """

    def __init__(
        self,
        name: str,
        targets: tuple[type, ...],
        convert: Callable[[Any], Any],
        *,
        unwrap: bool,
        plain: tuple[type, ...] = (),
    ) -> None:
        self._name = name
        self._targets = targets
        self._convert = convert
        self._unwrap = unwrap
        self._plain = plain

    def of(self, value: Any) -> Any:
        """The value with all targets in it replaced; the same object where it holds none.

        Raises:
            InputResolutionError: it is nested too deeply, or the code of a collection raised something.
        """
        try:
            try:
                return self._tree(value, {})
            except _InsideItselfError:
                return self._graph(value)
        except RecursionError:
            raise InputResolutionError(self._name, _TOO_DEEP) from None

    def _inside(self, annotation: Annotation[Any]) -> bool:
        """Whether something in an annotation is replaced."""
        if isinstance(annotation, quote):
            return False
        return not isinstance(annotation, opaque) or isinstance(annotation.unwrap(), (*self._targets, Annotation))

    def _wrapped(self, annotation: Annotation[Any], inner: Any) -> Any:
        if self._unwrap:
            return inner
        return annotation if inner is annotation.unwrap() else annotation.rewrap(inner)

    def _tree(self, value: Any, known: dict[int, tuple[Any, Any]]) -> Any:
        # known: id of a collection -> (the collection, what it became; _UNSET while it is looked into). Each is looked
        # into once.
        if value.__class__ in LEAVES:
            return value
        if isinstance(value, self._targets):
            return self._convert(value)
        if is_annotation(value):
            inner = value.unwrap()
            return self._wrapped(value, self._tree(inner, known) if self._inside(value) else inner)
        before = known.get(id(value))
        if before is not None:
            if before[1] is _UNSET:
                raise _InsideItselfError
            return before[1]
        items = held_by(value, self._name)
        if items is None:
            return value
        known[id(value)] = (value, _UNSET)
        replaced = [self._tree(item, known) for item in items]
        result = value if _same(replaced, items) else self._copy(value, replaced)
        known[id(value)] = (value, result)
        return result

    def _copy(self, value: Any, items: list[Any]) -> Any:
        with _explained(self._name, value):
            clone = _blank(value, self._plain)
            if clone is None:
                return _frozen(value, items)
            _fill(clone, value, items)
            return clone

    # A value that holds itself somewhere.

    def _graph(self, value: Any) -> Any:
        held = self._everything_in(value)
        touched = self._what_changes(held)

        def copied(part: Any, done: dict[int, Any]) -> Any:
            if isinstance(part, self._targets):
                return self._convert(part)
            if is_annotation(part):
                inner = part.unwrap()
                return self._wrapped(part, copied(inner, done) if self._inside(part) else inner)
            if id(part) not in touched:
                return part
            if id(part) in done:
                return done[id(part)]
            # What can be changed is made before what it holds, so that a part inside itself finds its own copy.
            with _explained(self._name, part):
                clone = _blank(part, self._plain)
            if clone is not None:
                done[id(part)] = clone
            items = [copied(item, done) for item in held[id(part)][1]]
            if id(part) in done and clone is None:
                return done[id(part)]  # a tuple inside itself was made on the way
            with _explained(self._name, part):
                if clone is None:
                    clone = done[id(part)] = _frozen(part, items)
                else:
                    _fill(clone, part, items)
            return clone

        return copied(value, {})

    def _everything_in(self, value: Any) -> dict[int, tuple[Any, list[Any]]]:
        """By id: each collection and annotation in a value, and what it holds."""
        found: dict[int, tuple[Any, list[Any]]] = {}
        left = [value]
        while left:
            part = left.pop()
            if id(part) in found or isinstance(part, self._targets):
                continue
            items: list[Any] | None
            if is_annotation(part):
                items = [part.unwrap()] if self._inside(part) else []
            else:
                items = held_by(part, self._name)
            if items is not None:
                found[id(part)] = (part, items)
                left.extend(items)
        return found

    def _what_changes(self, held: dict[int, tuple[Any, list[Any]]]) -> Collection[int]:
        """The ids of the parts that hold something to replace, however far inside."""
        holders: dict[int, list[int]] = {}
        left: list[int] = []
        for key, (part, items) in held.items():
            for item in items:
                holders.setdefault(id(item), []).append(key)
            if (self._unwrap and isinstance(part, Annotation)) or any(
                isinstance(item, self._targets) for item in items
            ):
                left.append(key)
        touched: set[int] = set()
        while left:
            key = left.pop()
            if key not in touched:
                touched.add(key)
                left.extend(holders.get(key, ()))
        return touched


def _same(new: Iterable[Any], old: Iterable[Any]) -> bool:
    return all(one is other for one, other in zip(new, old, strict=True))


class _explained:  # noqa: N801  # reads as a word after `with`
    """Names the parameter where the code of a collection raises something while it is copied."""

    __slots__ = ("_name", "_value")

    def __init__(self, name: str, value: Any) -> None:
        self._name = name
        self._value = value

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if isinstance(error, Exception) and not isinstance(error, RecursionError):
            made = self._value.__class__.__name__
            raise InputResolutionError(
                self._name, f"making a {made} with the results in it raised {error!r}"
            ) from error
