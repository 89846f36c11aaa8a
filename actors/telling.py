"""Telling: values and exceptions of somebody else's, as text in a message.

This module alone decides what is said of one whose own text cannot be had, since `__repr__` and `__str__` may raise
whatever they like, and how much of a value is shown. It does not know what the message is about.
"""

from __future__ import annotations

from typing import Final

_HIDDEN: Final = "its text cannot be shown"
_LONGEST: Final = 200


def text_of(error: BaseException) -> str:
    """What an exception says."""
    try:
        return str(error)
    except Exception:  # noqa: BLE001 - the exception is the user's, and so is what its text does
        return _HIDDEN


def told_of(error: BaseException) -> str:
    """An exception's type and what it says."""
    name, text = type(error).__name__, text_of(error)
    if text is _HIDDEN:
        return f"{name} ({text})"
    return f"{name}: {text}" if text else name


def shown(value: object) -> str:
    """A value's repr, with its middle left out where it is long."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - a repr of somebody's, or of a number with too many digits
        text = object.__repr__(value)
    half = (_LONGEST - 3) // 2
    return text if len(text) <= _LONGEST else f"{text[:half]}...{text[-half:]}"
