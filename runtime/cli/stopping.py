"""Stopping: how a command ends before it has begun, and what all commands do about their target and their output.

Decides what is told, and the exit code, where a file cannot be imported.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import contextmanager
from types import ModuleType
from typing import Any, Final

import attrs

from millrace.actors.errors import FlowNotFound, TaskNotFound
from millrace.runtime.cli.reports import last_line_of, traceback_of
from millrace.runtime.cli.targets import Target

FAILED: Final = 1
USAGE: Final = 2


@attrs.frozen
class Stop(Exception):  # an exit, not an error
    """The command ends here.

    Args:
        code: Its exit code.
        text: What is told on stderr.
    """

    code: int
    text: str


def load(target: Target[Any]) -> ModuleType:
    """Import the file or module of a target.

    Raises:
        Stop: its code raised.
        FlowNotFound, TaskNotFound: there is none.
    """
    try:
        return target.load()
    except (FlowNotFound, TaskNotFound, KeyboardInterrupt):
        raise
    except BaseException as error:  # noqa: BLE001  # whatever a file raises is its author's affair
        raise Stop(
            FAILED, f"{traceback_of(error)}millrace: '{target.source}' raised on import: {last_line_of(error)}"
        ) from None


def tell(text: str) -> None:
    """Say something that is not the result."""
    sys.stderr.write(f"{text}\n")


def write_out(text: str) -> None:
    """Write the result."""
    try:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the reader has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


@contextmanager
def stdout_to_stderr() -> Generator[None, None, None]:
    """Let everything that is written to stdout in the block go to stderr, by this process and by those it starts."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(kept, 1)
        os.close(kept)
