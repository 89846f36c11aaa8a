"""Binding: a flow or a task in a class body is a method, as the function it was made of would be.

Decides what access through an instance or a class gives: a copy whose function is bound, or the thing itself. Two
copies that are bound to the same object are equal, as bound methods are. Decides also how such a thing is pickled: by
its name, as functions are, where it has one in a module that can be imported.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from types import MethodType
from typing import Any, Final, Protocol, Self, TypeVar

from millrace.runtime.shape import Shape

T_co = TypeVar("T_co", covariant=True)

_DESCRIPTORS: Final = (classmethod, staticmethod)


def function_in(fn: Any) -> Any:
    """The function that a classmethod or staticmethod wraps; anything else is given back."""
    return fn.__func__ if isinstance(fn, _DESCRIPTORS) else fn


class ClassLevel(Protocol[T_co]):
    """What a flow or task made of a classmethod or staticmethod is for type checkers: the same through every access."""

    def __get__(self, instance: object, owner: type[Any] | None = None, /) -> T_co: ...


class Bindable:
    """What is made of a function and may stand in a class body in its place.

    Attributes:
        fn: The function; in a bound copy, the bound method.
        shape: The parameters that calls have to give; in a bound copy, without the first one.
        identity: The same for all copies that are bound to the same object, for as long as one of them lives.
    """

    fn: Callable[..., Any]
    shape: Shape
    identity: tuple[int, int]
    _kind: Callable[[Any], Any] | None = None  # classmethod or staticmethod, where the function was in one
    _origin: Bindable | None = None  # what a bound copy is a copy of
    _receiver: object = None  # the instance or class that a bound copy is bound to
    original: Bindable | None = None  # what an entrusted copy is a copy of, and is pickled as

    def take_function(self, fn: Any, reserved: tuple[str, ...]) -> None:
        """Take the function, out of the classmethod or staticmethod where it is in one.

        Args:
            fn: What the decorator was put on.
            reserved: Names that its parameters must not have.

        Raises:
            ReservedArgumentError: a parameter has a reserved name.
        """
        if isinstance(fn, _DESCRIPTORS):
            self._kind = type(fn)
        self.fn = function_in(fn)
        self.shape = Shape(self.fn, reserved)
        self.identity = (id(self), id(None))

    def definition(self) -> Any:
        """What a changed copy is to be made of: the function, in what it was in."""
        return self.fn if self._kind is None or self._origin is not None else self._kind(self.fn)

    @property
    def receiver(self) -> tuple[str, object] | None:
        """What a bound copy is bound to, and the parameter that takes it; None where it is not bound."""
        origin = self._origin
        if origin is None:
            return None
        return "self" if origin.shape is self.shape else origin.shape.names[0], self._receiver

    def bound_to(self, instance: object, owner: type[Any] | None = None) -> Self:
        """What access as an attribute of a class or of its instance gives.

        Args:
            instance: Where it is accessed through; None for the class.
            owner: The class.

        Returns:
            A copy that is bound to the instance, or to the class where it was made of a classmethod; the thing itself
            where there is nothing to bind to, or where its function is not of the kind that becomes a method.
        """
        receiver = owner or type(instance) if self._kind is classmethod else instance
        if receiver is None or self._origin is not None or not (self._kind is classmethod or self._is_method()):
            return self
        method = MethodType(self.fn, receiver)
        copy = object.__new__(type(self))
        vars(copy).update(
            vars(self),
            identity=(id(self), id(receiver)),
            fn=method,
            __wrapped__=method,
            shape=self.shape.of_method(),
            _origin=self,
            _receiver=receiver,
        )
        return copy

    def _is_method(self) -> bool:
        """Whether the function in a class body is a method; what merely can be called is not."""
        return self._kind is None and hasattr(self.fn, "__get__") and not isinstance(self.fn, (MethodType, partial))

    def entrusted(self) -> Self:
        """A copy for task runners of somebody else's: what it needs of limits is there already, whoever runs it."""
        copy = object.__new__(type(self))
        vars(copy).update(vars(self), identity=(id(copy), id(None)), original=self)
        return copy

    def __reduce_ex__(self, protocol: Any) -> Any:
        if self.original is not None:
            return _itself, (self.original,)
        if self._origin is not None:
            return _bound, (self._origin, self._receiver)
        name = name_in_module(self)
        if name is not None and self.__module__ != "__main__":
            return name
        return super().__reduce_ex__(protocol)  # by value, which only some picklers can: the function goes along

    def __setstate__(self, state: dict[str, Any]) -> None:
        vars(self).update(state, identity=(id(self), id(None)))

    def __eq__(self, other: object) -> bool:
        return self is other or (isinstance(other, Bindable) and self.identity == other.identity)

    def __hash__(self) -> int:
        return hash(self.identity)


def name_in_module(thing: Bindable) -> str | None:
    """The qualified name under which its module has a thing; None where it has something else there, or nothing."""
    name: str = getattr(thing, "__qualname__", "")
    found: Any = sys.modules.get(thing.__module__)
    for part in name.split("."):
        found = getattr(found, part, None)
    return name if found is thing else None


def _itself(original: Bindable) -> Bindable:
    return original


def _bound(origin: Bindable, receiver: Any) -> Bindable:
    return origin.bound_to(None, receiver) if origin._kind is classmethod else origin.bound_to(receiver)  # noqa: SLF001
