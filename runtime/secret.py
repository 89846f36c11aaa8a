"""Secrets: values that no text shows and nothing writes down.

Decides where such a value may go: to whoever asks for it by name, and nowhere by itself. What is made of it on the way
(its repr, a name from a template, an error, a log) shows that there is one. It is written only as a reference, which
says where the value is to be had. Does not know who would have shown or written it.
"""

from __future__ import annotations

import os
from typing import Any, Final, Generic, NoReturn, TypeVar, cast

from millrace.actors.errors import ConfigurationError, SecretMissing, SerializationError

T_co = TypeVar("T_co", covariant=True)

_MASK: Final = "***"


class Secret(Generic[T_co]):
    """A value that is shown nowhere, and that only `get()` gives.

    `repr`, `str` and any format of it show `***`. It cannot be pickled, written as JSON, or be part of a cache's key,
    unless it was made by `from_env`: then the name of the variable is what is written. A copy is the same object.

    Args:
        value: The value. Of a class whose own repr shows it, so keep no other reference to it where texts are made.
    """

    __slots__ = ("_reference", "_value")

    def __init__(self, value: T_co) -> None:
        self._value = value
        self._reference: str | None = None  # the variable it is to be read from; the value is nothing then

    @classmethod
    def from_env(cls, name: str) -> Secret[str]:
        """A secret that lies in a variable of the environment, and is read there each time it is asked for.

        It may be sent to other processes, and recorded: as the name, never the value.

        Args:
            name: The variable's.

        Raises:
            ConfigurationError: that is no name of a variable.
        """
        if not isinstance(name, str) or not name or "=" in name or not name.isprintable():
            raise ConfigurationError("name", name, "the name of a variable of the environment")
        made: Secret[str] = Secret("")
        made._reference = name
        return made

    def get(self) -> T_co:
        """The value.

        Raises:
            SecretMissing: the variable it lies in is not set here.
        """
        if self._reference is None:
            return self._value
        value = os.environ.get(self._reference)
        if value is None:
            raise SecretMissing(self._reference)
        return cast("T_co", value)

    def __repr__(self) -> str:
        return f"Secret({_MASK})" if self._reference is None else f"Secret.from_env({self._reference!r})"

    def __str__(self) -> str:
        return _MASK

    def __format__(self, spec: str) -> str:
        return _MASK

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        if self._reference is not None or other._reference is not None:
            return self._reference == other._reference
        one, another = self._value, other._value
        if isinstance(one, str) and isinstance(another, str):
            # In a time that does not tell where they differ.
            from hmac import compare_digest  # noqa: PLC0415  # it loads OpenSSL, for which most programs have no use

            return compare_digest(one.encode("utf-8", "surrogatepass"), another.encode("utf-8", "surrogatepass"))
        return bool(one == another)

    def __hash__(self) -> int:
        return hash((Secret, self._value, self._reference))

    def __copy__(self) -> Secret[T_co]:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Secret[T_co]:
        return self

    def __getstate__(self) -> NoReturn:
        raise _refusal()

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        if self._reference is None:
            raise _refusal()
        return Secret.from_env, (self._reference,)


def _refusal() -> SerializationError:
    return SerializationError(
        "write a secret", "nobody is to read it; one in the environment, Secret.from_env(name), is written as that name"
    )
