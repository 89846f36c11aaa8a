"""One line: texts of somebody else's, so that none of them can pass for a line of a log that it is not.

Decides which characters could, and that the engine's own loggers escape them in whatever a message is filled in with:
names, exceptions, values. A traceback has its lines all the same. What users log themselves is theirs.
"""

from __future__ import annotations

import logging
import re
from typing import Any, Final

_FORGING: Final = "[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
"""Controls, ends of lines, what turns the direction of writing, and halves of characters, which no log can encode.

A pattern; compiled when it is used first, which takes a sixtieth of the whole import.
"""


def one_line(text: str) -> str:
    """The text with such characters escaped, as Python would write them in a string."""
    return re.sub(_FORGING, _escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")


class EngineLogger(logging.LoggerAdapter[logging.Logger]):
    """A logger of the engine's own."""

    def log(self, level: int, msg: object, *args: object, **kwargs: Any) -> None:
        """Log a message, with each text that it is filled in with on one line."""
        if self.isEnabledFor(level):
            kwargs["stacklevel"] = kwargs.get("stacklevel", 1) + 1
            super().log(level, msg, *map(_shown, args), **kwargs)


def _shown(argument: object) -> object:
    return argument if isinstance(argument, (int, float)) else one_line(str(argument))


def engine_logger(subject: str) -> EngineLogger:
    """The engine's logger for a subject, as in `millrace.hooks`."""
    return EngineLogger(logging.getLogger(f"millrace.{subject}"), {})
