"""Tables: rows of text that fit the terminal.

Decides how text from elsewhere is made harmless before it is shown: names and messages are whatever users and their
errors have made them, and a control character in one could move the cursor, or forge a line. Decides which column gives
way where a row is too long.
"""

from __future__ import annotations

import os
import shutil
import sys
import unicodedata
from collections.abc import Sequence
from typing import Final

from millrace.runtime.one_line import one_line

_GAP: Final = "  "
_NARROWEST: Final = 8
_WIDE: Final = frozenset("WF")


def harmless(text: object) -> str:
    """Text on one line, with nothing in it that a terminal would obey."""
    return one_line(str(text))


def terminal_width() -> int | None:
    """How many characters fit into a line of stdout; None where it is no terminal, and all does."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() or "COLUMNS" in os.environ else None


def table(rows: Sequence[Sequence[str]], flexible: int, width: int | None) -> str:
    """Rows below each other, the first of which are the titles.

    Args:
        rows: Their cells, as many in each.
        flexible: The column that is shortened where rows are too long; where that is not enough, they are cut off.
        width: How many characters fit into a line; None for any number.
    """
    cells = [[harmless(cell) for cell in row] for row in rows]
    widths = [max(map(columns, column)) for column in zip(*cells, strict=True)]
    if width is not None:
        excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
        if excess > 0:
            widths[flexible] = max(min(widths[flexible], _NARROWEST), widths[flexible] - excess)
    lines = (_GAP.join(map(_fitted, row, widths)).rstrip() for row in cells)
    return "\n".join(line if width is None else _fitted(line, width).rstrip() for line in lines)


def fitted_line(text: str, width: int | None) -> str:
    """A line, cut where it is too long."""
    return harmless(text) if width is None else _fitted(harmless(text), width).rstrip()


def columns(text: str) -> int:
    """How many columns of a terminal a text takes."""
    if text.isascii():
        return len(text)
    return sum(0 if unicodedata.combining(each) else 1 + (unicodedata.east_asian_width(each) in _WIDE) for each in text)


def _fitted(text: str, width: int) -> str:
    """A text with exactly so many columns."""
    taken = columns(text)
    if taken > width:
        kept = ""
        for each in text:
            if columns(kept + each) > width - 1:
                break
            kept += each
        text, taken = f"{kept}…", columns(kept) + 1
    return text + " " * (width - taken)
