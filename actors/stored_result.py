"""Results that are not in their state: kept in a storage, or not kept at all.

This module alone decides what stands in a state's data then. It does not know what a storage is;
the upper floor derives from `StoredResult`. Users import both names from `states`.
"""

from __future__ import annotations

from enum import Enum
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import MissingResult

if TYPE_CHECKING:
    from datetime import datetime


class _Missing(Enum):
    MISSING = "missing"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing.MISSING
"""In place of a state's data: there was a result, and it was not kept."""


CACHED: Final = "Cached"
"""Name of the COMPLETED state of a run that got its result from the cache."""


class Found:
    """In the data of a proposed RUNNING state: what lies in the cache under the run's key.

    Args:
        data: The result, or where it lies.
        expires: From when on it does not count any more; None: never.
        name: What the state of a run is called that gets it.
        message: What that says.
    """

    __slots__ = ("data", "expires", "message", "name")

    def __init__(
        self, data: Any, expires: datetime | None = None, name: str = CACHED, message: str | None = None
    ) -> None:
        self.data = data
        self.expires = expires
        self.name = name
        self.message = message


class StoredResult:
    """In place of a state's data: a value that lies in a storage. The upper floor derives from it.

    A base class and not a protocol: a user's own value may well have methods of these names, and
    must be handed out as it is.
    """

    __slots__ = ()

    @property
    def blocking(self) -> bool:
        """Whether reading it may block, so that it is not to be done on an event loop."""
        return True

    def load(self) -> Any:
        """Read the value, blocking the calling thread.

        Raises:
            MissingResult: The value is not there any more.
        """
        raise NotImplementedError

    async def aload(self) -> Any:
        """Read the value without blocking the loop.

        Cancellation: the reading may go on in its thread; nothing is changed either way.

        Raises:
            MissingResult: The value is not there any more.
        """
        raise NotImplementedError


def loaded(data: Any) -> Any:
    """The data of a state, read from its storage where it lies in one."""
    return data.load() if isinstance(data, StoredResult) else data


async def aloaded(data: Any) -> Any:
    """Like `loaded`, without blocking the loop.

    Cancellation: as for `StoredResult.aload`.
    """
    return await data.aload() if isinstance(data, StoredResult) else data


def kept(data: Any) -> Any:
    """The data of a state, where it was kept.

    Raises:
        MissingResult: It was not.
    """
    if data is MISSING:
        raise MissingResult
    return data
