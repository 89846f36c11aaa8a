"""Lending: a worker that waits for other runs gives its place away meanwhile.

Decides that a place is lent once, however many parts of one body wait at a time. How it is lent is said by the pool
that the worker belongs to, on each of its threads; whoever blocks asks here.
"""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from threading import local
from typing import Final

NOTHING: Final[AbstractContextManager[None]] = nullcontext()
"""To wait in where nobody need know of it: the same one for all who wait, as there may be very many."""

_here = local()  # .place: the place of the worker on this thread; absent on other threads


class _Place:
    """The place of one worker. Touched by its own thread only."""

    __slots__ = ("_lend", "_lent", "_waits")

    def __init__(self, lend: Callable[[], AbstractContextManager[None]]) -> None:
        self._lend = lend
        self._waits = 0  # parts of the body that wait at this moment; an async body may have several
        self._lent: AbstractContextManager[None] | None = None  # there exactly while `_waits` is not 0

    @contextmanager
    def lent(self) -> Generator[None]:
        self._waits += 1
        if self._lent is None:
            self._lent = self._lend()
            self._lent.__enter__()
        try:
            yield
        finally:
            self._waits -= 1
            if self._waits == 0:
                lent, self._lent = self._lent, None
                lent.__exit__(None, None, None)


def set_lender(lender: Callable[[], AbstractContextManager[None]]) -> None:
    """Say how the place of the worker on this thread is lent."""
    _here.place = _Place(lender)


def lend() -> AbstractContextManager[None]:
    """Lend this thread's place for as long as the block lasts; nothing happens on threads that are nobody's worker."""
    place: _Place | None = getattr(_here, "place", None)
    return NOTHING if place is None else place.lent()
