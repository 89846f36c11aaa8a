"""The context of a run: which run the code at hand belongs to, and its tags. How users see it is `run_contexts`.

Decides nothing. It travels in `contextvars`, so it goes along into asyncio tasks, engine threads and copied contexts,
and concurrent runs never see each other's.
"""

from __future__ import annotations

from asyncio import AbstractEventLoop
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from millrace.actors.errors import ConfigurationError
from millrace.actors.uuids import to_uuid

if TYPE_CHECKING:
    from uuid import UUID

    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.runs import TaskRun

CURRENT: ContextVar[TaskRun | FlowRun | None] = ContextVar("millrace_current_run", default=None)
ATTEMPT: ContextVar[int] = ContextVar("millrace_attempt", default=0)
"""Which attempt of its run this code belongs to, counted from 1; 0 where nobody asks."""
HELD: ContextVar[frozenset[AbstractEventLoop]] = ContextVar("millrace_held_loops", default=frozenset())
"""Loops that do not turn before this code has ended: a direct call that waits for it was made on their threads."""
TAGS: ContextVar[frozenset[str]] = ContextVar("millrace_tags", default=frozenset())


@contextmanager
def tags(*new: str) -> Generator[frozenset[str]]:
    """Add tags to the runs that are started inside the block.

    Args:
        new: The tags; those of enclosing blocks stay.

    Yields:
        All tags in force.

    Raises:
        ConfigurationError: one of them is no text.
    """
    for tag in new:
        if not isinstance(tag, str):
            raise ConfigurationError("tags", tag, "strings, each by itself")
    both = TAGS.get() | frozenset(new)
    token = TAGS.set(both)
    try:
        yield both
    finally:
        TAGS.reset(token)


def current_run_id() -> UUID | None:
    """The id of the innermost run, for logs; None outside."""
    current = CURRENT.get()
    return None if current is None else to_uuid(current.id)
