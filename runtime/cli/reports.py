"""Reports: how an exception is shown to the person at the terminal.

Decides which frames of a traceback are shown: those of the user's code and of the libraries it calls, not the
engine's and not those of the import system.
"""

from __future__ import annotations

import importlib
import traceback
from pathlib import Path

import millrace.actors
import millrace.runtime
from millrace.actors.states import State, get_state_exception
from millrace.actors.telling import text_of, told_of

_HIDDEN = (
    *(str(Path(package.__file__ or "").parent) for package in (millrace.actors, millrace.runtime)),
    "<frozen importlib",
    str(importlib.__file__),
)


def traceback_of(error: BaseException) -> str:
    """The traceback of an exception, without the frames that are hidden; only the last line where none is left."""
    told = traceback.TracebackException.from_exception(error)
    _hide_frames(told, set())
    return "".join(told.format())


def _hide_frames(told: traceback.TracebackException, seen: set[int]) -> None:
    if id(told) in seen:
        return
    seen.add(id(told))
    told.stack[:] = [frame for frame in told.stack if not frame.filename.startswith(_HIDDEN)]
    for other in (told.__cause__, told.__context__, *(told.exceptions or ())):
        if other is not None:
            _hide_frames(other, seen)


def last_line_of(error: BaseException) -> str:
    """The exception's type and message on one line."""
    lines = text_of(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def trouble_of(state: State[object]) -> str:
    """What is behind a state that is not COMPLETED: a traceback, or what takes several lines to say; else empty."""
    try:
        error = get_state_exception(state)
    except (TypeError, ValueError):
        return ""  # the user's own state, with something else in it
    if error.__traceback__ is not None:
        return traceback_of(error)
    told = told_of(error)
    return f"{told}\n" if "\n" in told else ""
