"""Parts of streams: what pipes, what feeds them and what empties them have to say to each other. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import Context
from typing import TYPE_CHECKING, Any, Final, Protocol

import attrs

from millrace.actors.annotations import Annotation

if TYPE_CHECKING:
    from millrace.runtime.streamed import StreamReplay


class Word:
    """What `advance` says instead of an outcome."""

    __slots__ = ("_name",)

    def __init__(self, name: str) -> None:
        self._name = name

    def __repr__(self) -> str:
        return self._name


WAIT: Final = Word("wait")
"""There is nothing to give before something has happened that wakes the waker."""
MORE: Final = Word("more")
"""There is nothing to give yet, and more items may be asked for; others may have a turn before that."""
END: Final = Word("end")
"""The stream is over."""


class Source(Protocol):
    """Where the inputs of a pipe come from."""

    def pull(self, most: int) -> None:
        """Feed the pipe with items that are there, at most so many; never waits for others than the source itself."""
        ...

    def close(self) -> None:
        """No more items are asked for: let go of them. From any thread; a second time, nothing happens."""
        ...

    def leave(self) -> None:
        """The same from a finalizer."""
        ...

    @property
    def closing(self) -> bool:
        """Whether it has been closed, and is not done with that. The pipe is to `settle` then."""
        ...


@attrs.frozen
class Common:
    """What the runs of a stream have in common.

    Args:
        constants: Arguments that each gets, by name.
        annotations: Stand around each item, the innermost first.
        context: Where the stream was made.
        tags: Of each.
        parent: The id of the task run that made the stream.
        wait_for: What each waits for.
        replay: The stream on record; None where there is none.
    """

    constants: Mapping[str, Any]
    annotations: tuple[Annotation[Any], ...]
    context: Context
    tags: frozenset[str]
    parent: int | None
    wait_for: Any
    replay: StreamReplay | None = None
