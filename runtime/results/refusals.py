"""Refusals: what goes wrong between values and bytes, as one kind of error.

Decides what such an error shows: never the value, and nothing that could break a line of a log.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

from millrace.actors.errors import SerializationError
from millrace.actors.telling import text_of

_LONGEST: Final = 200


def shown(text: str) -> str:
    """A text that somebody else may have written, on one line and not too long."""
    cut = text if len(text) <= _LONGEST else text[:_LONGEST] + "…"
    return cut if cut.isprintable() else repr(cut)[1:-1]


def shown_type(value: object) -> str:
    """What kind of value it is."""
    kind = type(value)
    return shown(f"{kind.__module__}.{kind.__qualname__}".removeprefix("builtins."))


@contextmanager
def refusing(attempted: str) -> Generator[None]:
    """Turn whatever the block raises into a `SerializationError`.

    Args:
        attempted: What is attempted on what.
    """
    try:
        yield
    except SerializationError:
        raise
    except Exception as error:  # values and blobs bring code of their own, which may raise anything
        raise refusal(attempted, error) from error


def refusal(attempted: str, error: Exception) -> SerializationError:
    """What was raised, as a refusal of what was attempted."""
    text = shown(text_of(error)).rstrip(".")
    return SerializationError(attempted, f"{type(error).__name__}: {text}" if text else type(error).__name__)
