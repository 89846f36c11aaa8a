"""Holding: what the code at hand holds of limits, and for what it waits meanwhile.

Decides which of these tickets are held by the very code that waits, and not by code around it that goes on beside it;
and which of those others were held by the code that has started it. Where nothing is held and there are no limits, who
waits pays a look at two context variables.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from threading import get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from millrace.runtime.context import CURRENT
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


def around(run: Any, place: int) -> tuple[tuple[Ticket, ...], tuple[Ticket, ...], tuple[Ticket, ...]]:
    """The tickets around one that a run asks for.

    Args:
        run: The run; None for code outside of any.
        place: Where it asks.

    Returns:
        Those that the code there holds itself; of the others, those that it is outside of, and those it is beside.
    """
    own, others = split(place)
    if not others:
        return own, (), ()
    beside = tuple(each for each in others if _started(each.owner, run))
    return own, tuple(each for each in others if each not in beside), beside


def _started(holder: Any, run: Any) -> bool:
    """Whether the code of a run itself has started another one, or belongs to it."""
    if run is None or holder is None or run is holder:
        return True
    if run.is_flow:
        return False
    return (run.parent is None and run.scope is holder) if holder.is_flow else bool(run.parent == holder.id)


def waits_for(target: Any, run: Any = None) -> AbstractContextManager[None]:
    """What to wait in, so that it is known who waits for whom, and what is held meanwhile.

    Args:
        target: What is waited for: a run; what stands for several; or None for whatever was started.
        run: Who waits; by default the run that the code at hand belongs to.
    """
    run = run or CURRENT.get()
    if HOLDING.get() or (run is not None and run.engine.rationing.tags):
        return _Waits(target, run)
    return _NOTHING


class _Waits:
    __slots__ = ("_run", "_target", "_tickets")

    def __init__(self, target: Any, run: Any) -> None:
        self._target = target
        self._run = run
        self._tickets: dict[ActingLimiter, list[Ticket]] = {}

    def __enter__(self) -> None:
        own, _ = split(place_here())
        if self._run is not None and self._run.engine.rationing.tags:
            self._tickets[self._run.engine.limits.limiter] = []
        for ticket in own:
            self._tickets.setdefault(ticket.bell.limiter, []).append(ticket)
        for limiter, tickets in self._tickets.items():
            limiter.holds_up(tickets, self._target, self._run)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for limiter, tickets in self._tickets.items():
            limiter.goes_on(tickets, self._target, self._run)
