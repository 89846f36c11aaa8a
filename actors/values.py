"""Values: small things that are what their fields are, and stay so.

Decides once what that means: equal, hashed and shown by their fields, never changed, and made anew where one of them is
to be another. The fields are the slots, in their order; a class says in its own `__init__` what they are made of.

Written out, and not made by attrs: these classes are made at every import of millrace, and attrs takes longer to be
imported, and then to make them, than a third of all the rest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar, dataclass_transform

V = TypeVar("V", bound="Value")

put: Final = object.__setattr__
"""Sets a field of a value that is being made."""


@dataclass_transform(frozen_default=True)
class Value:
    """Base of all of them."""

    __slots__ = ()
    __match_args__: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        fields = (*cls.__match_args__, *cls.__dict__.get("__slots__", ()))
        setattr(cls, "__match_args__", fields)  # noqa: B010  # checkers take it for something that only they may set

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return all(getattr(self, name) == getattr(other, name) for name in self.__match_args__)

    def __hash__(self) -> int:
        return hash((self.__class__, *self.__getstate__().values()))

    def __repr__(self) -> str:
        said = ", ".join(f"{name}={value!r}" for name, value in self.__getstate__().items())
        return f"{type(self).__name__}({said})"

    def __getstate__(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__match_args__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            put(self, name, value)

    if not TYPE_CHECKING:  # who checks types knows that fields are not set, and would let anything be set with these

        def __setattr__(self, name: str, value: object) -> None:
            raise AttributeError(f"{type(self).__name__}.{name} cannot be set: it is a value, which never changes.")

        def __delattr__(self, name: str) -> None:
            raise AttributeError(f"{type(self).__name__}.{name} cannot be deleted: it is a value, which never changes.")


def with_changes(value: V, /, **changes: Any) -> V:
    """The same value with other fields.

    Args:
        value: The value, which stays as it is.
        changes: What these fields are to be.
    """
    return type(value)(**{**value.__getstate__(), **changes})
