"""Annotations: what a caller says about one argument, by wrapping it.

This module alone decides how a value is wrapped, unwrapped and compared. What each wrapper means to
the search for futures and to a map is decided by those. Annotations nest, in any order, and are
values: two of the same kind around equal values are equal.
"""

from __future__ import annotations

from typing import Generic, Self, TypeVar

from millrace.actors.values import Value, put

T = TypeVar("T")


class Annotation(Value, Generic[T]):
    """Base of all annotations.

    Args:
        value: What is wrapped.
    """

    __slots__ = ("value",)

    value: T

    def __init__(self, value: T) -> None:
        put(self, "value", value)

    def unwrap(self) -> T:
        """What is wrapped; one layer is taken off."""
        return self.value

    def rewrap(self, value: T) -> Self:
        """The same annotation around another value."""
        return type(self)(value)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


# Lower case, because they read as words in a call: fetch(quote(page)).


class allow_failure(Annotation[T]):  # noqa: N801
    """Let an upstream run that failed through: its exception is the argument.

    Args:
        value: A future or state, or something that holds some.
    """

    __slots__ = ()


class quote(Annotation[T]):  # noqa: N801
    """Pass a value as it is: nothing in it is looked for, and no dependency is recorded.

    Args:
        value: What is passed as it is.
    """

    __slots__ = ()

    def unquote(self) -> T:
        """What is wrapped."""
        return self.value


class opaque(Annotation[T]):  # noqa: N801
    """Resolve the value itself where it is a future or a state, and do not look inside the result.

    Args:
        value: A future or state, or something large.
    """

    __slots__ = ()


class unmapped(Annotation[T]):  # noqa: N801
    """In a map, pass the value whole to every run and do not spread it.

    Args:
        value: What is passed whole.
    """

    __slots__ = ()
