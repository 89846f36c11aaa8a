"""Lending: a worker that waits for other runs gives its place away meanwhile.

Decides nothing: a pool of workers says here, on each of its threads, how its place is lent, and whoever blocks asks.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from threading import local

_here = local()  # .lender: how the place of the worker on this thread is lent; absent on other threads


def set_lender(lender: Callable[[], AbstractContextManager[None]] | None) -> None:
    """Say how the place of the worker on this thread is lent."""
    _here.lender = lender


def lend() -> AbstractContextManager[None]:
    """Lend this thread's place for as long as the block lasts; nothing happens on threads that are nobody's worker."""
    lender = getattr(_here, "lender", None)
    return nullcontext() if lender is None else lender()
