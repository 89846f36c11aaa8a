"""Beginnings: what a branch of a flow's body is known by, when the body is run again.

Branches run beside each other, and which of them comes first is not the same in every attempt. So the order of their
first calls does not tell them apart, but these calls do: what is called, and with what. What arguments say is for
`marks` to decide.
"""

from __future__ import annotations

from binascii import crc32
from collections.abc import Callable, Mapping
from typing import Any, Final

from millrace.runtime.marks import told

Arguments = Callable[[], tuple[tuple[Any, ...], Mapping[str, Any]]]
"""Gives the arguments of a call, or those of the first run of a map."""

ALIKE: Final = 1 << 20
"""So many branches of one strand may begin alike."""


def no_arguments() -> tuple[tuple[Any, ...], Mapping[str, Any]]:
    """The arguments of a call of which nobody knows any."""
    return (), {}


def beginning(name: str, count: int, arguments: Arguments) -> int:
    """A number for a first call; the same for calls that are alike.

    Args:
        name: What is called.
        count: How many runs there are.
        arguments: Of the call.
    """
    args, kwargs = arguments()
    shown = [name, str(count), *(told(each) for each in args)]
    shown += [f"{key}={told(value)}" for key, value in sorted(kwargs.items())]
    return crc32("\0".join(shown).encode("utf-8", "backslashreplace"))
