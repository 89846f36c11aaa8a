"""Holding: what the code at hand holds of limits, and for what it waits meanwhile.

Decides which of these tickets are held by the very code that waits, and not by code around it that goes on beside it.
Code that holds nothing pays a look at one context variable.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from millrace.runtime.running import running_loop

if TYPE_CHECKING:
    from millrace.actors.tickets import Ticket
    from millrace.runtime.limits.acting import ActingLimiter

HOLDING: ContextVar[tuple[Ticket, ...]] = ContextVar("millrace_holding", default=())
"""The tickets around the code at hand, the innermost first; some may have been given back."""

_NOTHING: Final = nullcontext()


def place_here() -> int:
    """Tells apart pieces of code that go on beside each other: by asyncio task, or by thread."""
    return get_ident() if running_loop() is None else id(asyncio.current_task())


def split(place: int) -> tuple[tuple[Ticket, ...], tuple[Ticket, ...]]:
    """The tickets around the code at hand: those that it holds itself, and the others."""
    holding = HOLDING.get()
    if not holding:
        return (), ()
    held = [each for each in holding if each.held]
    return tuple(each for each in held if each.place == place), tuple(each for each in held if each.place != place)


def waits_for(run: Any) -> AbstractContextManager[None]:
    """What to wait in, so that it is known what is held meanwhile.

    Args:
        run: What is waited for; None where that is not one run.
    """
    return _Waits(run) if HOLDING.get() else _NOTHING


class _Waits:
    __slots__ = ("_run", "_tickets")

    def __init__(self, run: Any) -> None:
        self._run = run
        self._tickets: dict[ActingLimiter, list[Ticket]] = defaultdict(list)

    def __enter__(self) -> None:
        own, _ = split(place_here())
        for ticket in own:
            self._tickets[ticket.bell.limiter].append(ticket)
        for limiter, tickets in self._tickets.items():
            limiter.holds_up(tickets, self._run)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for limiter, tickets in self._tickets.items():
            limiter.goes_on(tickets)
