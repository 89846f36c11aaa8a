"""Isolation: what two who are about to write under one key see of each other. Values only."""

from __future__ import annotations

from enum import StrEnum


class IsolationLevel(StrEnum):
    """How much those who write under one key keep out of each other's way."""

    READ_COMMITTED = "READ_COMMITTED"
    """All go ahead; what is seen is what was written to the end. The last one's value stays."""

    SERIALIZABLE = "SERIALIZABLE"
    """One goes ahead and the others wait for it, by a lock. It needs a lock manager."""
