"""The screen: one line that is redrawn at the bottom of a terminal, below whatever else is written to it.

Decides when the line may be drawn: never in the middle of somebody's line. What goes to stdout and stderr meanwhile
passes through here, so that it stands above the line and not in it.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Generator
from contextlib import contextmanager
from threading import RLock
from typing import Any, TextIO, cast

_CLEAR = "\r\x1b[K"


def is_live(stream: TextIO) -> bool:
    """Whether a line can be redrawn there: a terminal, and one that says what it is."""
    return stream.isatty() and os.environ.get("TERM", "") not in {"", "dumb"}


def has_colour(stream: TextIO) -> bool:
    """Whether colours are wanted there.

    Source: the convention of https://no-color.org.
    """
    return is_live(stream) and not os.environ.get("NO_COLOR")


class Screen:
    """A terminal with a line of its own at the bottom. See the module's docstring.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._lock = RLock()
        self._shown = False
        self._mid_line = False  # somebody has written a part of a line

    @property
    def width(self) -> int:
        """How many characters fit into the line."""
        return max(20, shutil.get_terminal_size().columns - 1)

    def draw(self, line: str) -> None:
        """Show a line in place of the one before."""
        with self._lock:
            if not self._mid_line:
                self._stream.write(f"\r{line}\x1b[K")
                self._stream.flush()
                self._shown = True

    def clear(self) -> None:
        """Take the line away."""
        with self._lock:
            if self._shown:
                self._stream.write(_CLEAR)
                self._stream.flush()
                self._shown = False

    def write_above(self, stream: TextIO, text: str) -> int:
        """Write to a stream that shows up on this terminal."""
        with self._lock:
            self.clear()
            written = stream.write(text)
            if text:
                self._mid_line = not text.endswith("\n")
            if not self._mid_line:
                stream.flush()
            return written

    @contextmanager
    def taking_over(self) -> Generator[None, None, None]:
        """Let what is printed in the block stand above the line."""
        former = sys.stdout, sys.stderr
        if sys.stdout.isatty():
            sys.stdout = cast("TextIO", _Above(self, sys.stdout))
        sys.stderr = cast("TextIO", _Above(self, sys.stderr))
        try:
            yield
        finally:
            self.clear()
            sys.stdout, sys.stderr = former


class _Above:
    """A stream whose text stands above the screen's line."""

    def __init__(self, screen: Screen, stream: TextIO) -> None:
        self._screen = screen
        self._stream = stream

    def write(self, text: str) -> int:
        return self._screen.write_above(self._stream, text)

    def writelines(self, lines: list[str]) -> None:
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
