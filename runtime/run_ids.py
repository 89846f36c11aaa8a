"""Ids of runs, as users give them: a UUID, or its text.

Decides what is one, and that what is none names no run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from millrace.actors.errors import RunNotFound
from millrace.actors.uuids import parsed_uuid

if TYPE_CHECKING:
    from uuid import UUID


def number_of(run_id: UUID | str, kind: str = "flow run") -> int:
    """A run's id as a number.

    Args:
        run_id: The id.
        kind: What it is to be the id of.

    Raises:
        RunNotFound: it is no id.
    """
    try:
        return parsed_uuid(str(run_id)).int
    except ValueError:
        raise RunNotFound(run_id, kind) from None


def is_id(run_id: object) -> bool:
    """Whether something is the id of a run, and not only the beginning of one."""
    try:
        parsed_uuid(str(run_id))
    except ValueError:
        return False
    return True
