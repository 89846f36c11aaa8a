"""Outcalls: functions of users' that are called in the middle of something, where nothing may come out of them.

Decides what becomes of what they raise: it is logged, whatever it is, as the run whose turn it is cannot be left half
done. An interrupt was meant for the program and only happened to hit such a function, so it is handed on.
"""

from __future__ import annotations

import _thread
from contextlib import suppress
from typing import Any

from millrace.runtime.one_line import EngineLogger


def log_raised(logger: EngineLogger, error: BaseException, told: str, *args: Any) -> None:
    """Log what such a function raised.

    Args:
        logger: Where.
        error: What was raised.
        told: What to say, with places for the rest.
        *args: What goes there.
    """
    with suppress(Exception):  # the handlers of a logger are somebody's, too
        logger.error(told, *args, exc_info=error, stacklevel=2)
    if isinstance(error, KeyboardInterrupt):
        _thread.interrupt_main()
