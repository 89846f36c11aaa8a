"""Holding: what the code at hand holds of limits, and for what it waits meanwhile.

Decides which of these tickets are held by the very code that waits, and not by code around it that goes on beside it;
and which of those others were held by the code that has started it. Who blocks the thread of a loop holds up whatever
runs there, and so that, and who waits for something there, waits for the same. Where nothing is held and there are no
limits, who waits pays a look at two context variables.
"""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager
from contextvars import ContextVar
from threading import RLock, get_ident
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.awaits import Place
from millrace.runtime.context import CURRENT
from millrace.runtime.lending import NOTHING
from millrace.runtime.running import running_loop

if TYPE_CHECKING:
    from millrace.actors.tickets import Ticket
    from millrace.runtime.limits.acting import ActingLimiter

HOLDING: ContextVar[tuple[Ticket, ...]] = ContextVar("millrace_holding", default=())
"""The tickets around the code at hand, the innermost first; some may have been given back."""


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


def waits_for(target: Any, run: Any = None, *, blocks: bool = False) -> AbstractContextManager[None]:
    """What to wait in, so that it is known who waits for whom, and what is held meanwhile.

    Args:
        target: What is waited for: a run; what stands for several; or None for whatever was started.
        run: Who waits; by default the run that the code at hand belongs to.
        blocks: It blocks this thread, and the loop that runs on that, if one does.
    """
    run = run or CURRENT.get()
    if HOLDING.get() or (run is not None and run.engine.rationing.tags):
        return _Waits(target, run, blocks=blocks)
    return NOTHING


class Started:
    """What a flow run has started, as something to be waited for. See `Several`.

    Args:
        scope: The flow run.
    """

    __slots__ = ("_scope",)

    def __init__(self, scope: Any) -> None:
        self._scope = scope

    @property
    def scopes(self) -> tuple[Any, ...]:
        """The flow run."""
        return (self._scope,)

    def covers(self, run: Any) -> bool:
        """Whether it has started a run."""
        return (run.parent if run.is_flow else run.scope) is self._scope


def served_on(loop: asyncio.AbstractEventLoop | None, ticket: Ticket) -> None:
    """A run that is to begin on a loop was served. If that loop is held up, what it was served waits for the same."""
    waits = _held_up.get(loop) if _held_up else None
    if waits is not None and ticket.held:
        waits.include(ticket)


def _held_on(loop: asyncio.AbstractEventLoop, limiter: ActingLimiter) -> dict[Ticket, None]:
    """What is held by code on the loop of this thread, or by runs that are to begin there."""
    from millrace.actors.tickets import SlotLimit  # noqa: PLC0415  # few programs have limits

    places = {id(each) for each in asyncio.all_tasks()}
    slots = [limit for limit in limiter.limits.values() if isinstance(limit, SlotLimit)]
    held = dict.fromkeys(each for limit in slots for each in tuple(limit.holders))
    return {each: None for each in held if each.place in places or (not each.place and loop_of(each.owner) is loop)}


def loop_of(run: Any) -> Any:
    """The loop on which a run begins, or on which the thread turns that it begins in; None where there is none."""
    lane = getattr(run, "lane", None)
    return getattr(lane, "awaited_on", None) or getattr(lane, "loop", None)


class _Waits:
    __slots__ = ("_loop", "_outer", "_place", "_run", "_target", "_tickets")

    def __init__(self, target: Any, run: Any, *, blocks: bool) -> None:
        self._target = target
        self._run = run
        self._loop = running_loop() if blocks else None
        self._place = Place(self._loop)
        self._tickets: dict[ActingLimiter, list[Ticket]] = {}
        self._outer: _Waits | None = None  # this is a call within what that waits for

    def __enter__(self) -> None:
        own, _ = split(place_here())
        if self._run is not None and self._run.engine.rationing.tags:
            self._tickets[self._run.engine.limits.limiter] = []
        for ticket in own:
            self._tickets.setdefault(ticket.bell.limiter, []).append(ticket)
        if self._loop is not None:
            with _holding_up:
                self._outer = _held_up.get(self._loop)
                _held_up[self._loop] = self
                for limiter, tickets in self._tickets.items():
                    tickets += [each for each in _held_on(self._loop, limiter) if each not in tickets]
        for limiter, tickets in self._tickets.items():
            limiter.holds_up(tuple(tickets), self._target, self._run)
            if self._loop is not None:
                limiter.holds_up((), self._target, self._place)

    def include(self, ticket: Ticket) -> None:
        """Somebody holds a ticket from now on who is held up by this."""
        limiter = ticket.bell.limiter
        with _holding_up:
            tickets = self._tickets.get(limiter)
            if tickets is None or ticket in tickets or _held_up.get(self._loop) is not self:
                return
            tickets.append(ticket)
            limiter.holds_up((ticket,), self._target, None)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._loop is not None:
            with _holding_up:
                if self._outer is None:
                    del _held_up[self._loop]
                else:
                    _held_up[self._loop] = self._outer
        for limiter, tickets in self._tickets.items():
            if self._loop is not None:
                limiter.goes_on((), self._target, self._place)
            limiter.goes_on(tickets, self._target, self._run)


_held_up: Final[dict[asyncio.AbstractEventLoop | None, _Waits]] = {}
"""The loops whose threads are blocked, by whom."""

_holding_up: Final = RLock()
"""Held by who changes that, or what is held up by it; whoever was refused by that may be served in the same call."""
