"""Ids: the engine counts whole numbers, users read UUIDs. The one place to convert.

The module of UUIDs is imported when somebody reads the first one: many programs never do.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uuid import UUID


def to_uuid(number: int) -> UUID:
    """The id of a run, as users read it."""
    from uuid import UUID  # noqa: PLC0415  # see above

    return UUID(int=number)


def parsed_uuid(given: UUID | str) -> UUID:
    """A UUID, also from its text.

    Raises:
        ValueError: it is none.
    """
    from uuid import UUID  # noqa: PLC0415  # see above

    if isinstance(given, UUID):
        return given
    try:
        return UUID(given)
    except (AttributeError, TypeError):  # neither a UUID nor a text
        raise ValueError(given) from None
