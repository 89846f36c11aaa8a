"""What is wrong with a value: where inside it, and how that is said.

Decides how paths are written and how much of a value is shown. Knows no annotation and no converter.
"""

from __future__ import annotations

from collections.abc import Iterable
from reprlib import Repr
from typing import Any, Final

from millrace.actors.telling import told_of

SHOWN: Final = 80
"""Characters of a value that an error shows at most: values may be long, and may be secret."""

TOLD: Final = 200
"""Characters of another exception's text that are repeated at most."""

MOST: Final = 20
"""Problems that are told of one collection; what is beyond them is not converted any more."""

Problem = tuple[str, str]
"""The path inside the value, as in `.retries` or `[3].url`, and what is wrong there."""

_repr = Repr()
_repr.maxstring = _repr.maxother = _repr.maxlong = SHOWN


class Wrong(Exception):
    """A value cannot be converted.

    Args:
        problems: What is wrong in it, and where.
    """

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__(self.problems)

    def inside(self, step: str) -> list[Problem]:
        """The problems as they are seen from outside of a collection or an object.

        Args:
            step: From there to the value, as in `[3]`.
        """
        return [(step + path, text) for path, text in self.problems]


def wrong(text: str) -> Wrong:
    """One problem with the value itself."""
    return Wrong([("", text)])


def unfit(value: Any, expected: str) -> Wrong:
    """The value is something else than what was expected, as in "a whole number"."""
    return wrong(f"{shown(value)} is not {expected}")


def shown(value: Any) -> str:
    """A value for an error: its repr, shortened."""
    try:
        text = _repr.repr(value)
    except Exception:  # noqa: BLE001  # a repr of somebody's, or of a number with too many digits
        text = object.__repr__(value)
    return shortened(text, SHOWN)


def told(error: BaseException) -> str:
    """An exception of somebody else's, in one line."""
    return shortened(" ".join(told_of(error).split()), TOLD)


def shortened(text: str, most: int) -> str:
    """A text without its middle where it is too long."""
    half = (most - 3) // 2
    return text if len(text) <= most else f"{text[:half]}...{text[-half:]}"


def field(name: Any) -> str:
    """The step of a path to a field: `.name`."""
    return f".{name}" if isinstance(name, str) and name.isidentifier() else item(name)


def item(key: Any) -> str:
    """The step of a path to an item: `[3]` or `['a']`."""
    return f"[{shown(key)}]"
