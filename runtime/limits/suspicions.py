"""Suspicions: who waits for slots of the very code that has called it, beside itself.

Decides what becomes of such a wait. Where that code is certain to go on only after it, because both are asyncio tasks
and the one awaits the other, the limiter is told so, and it decides as it does for every other wait. Else all may be
well: nothing is refused, and a warning is logged. Of what was submitted it is known anyway who waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterable
from contextvars import Context
from threading import Lock
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary, WeakSet

from millrace.actors.tickets import SlotLimit, Standing, Ticket
from millrace.runtime.here_lanes import CALLED
from millrace.runtime.limits.gathered import Held
from millrace.runtime.one_line import engine_logger
from millrace.runtime.running import running_loop

if TYPE_CHECKING:
    from millrace.runtime.limits.acting import ActingLimiter

_logger = engine_logger("limits")

_SUSPICION: Final = (
    "A slot of '%s' is waited for by %s, and held by %s, whose body has called it. If that waits for it, as by"
    " asyncio.gather or a TaskGroup, neither goes on: map or submit it instead."
)

_AT_ONCE: Final = 16
_PAUSE_SECONDS: Final = 0.1
"""A holder is looked at after each of its steps, and each look goes through all tasks of the loop: many have pauses."""


class Gathered:
    """Runs that somebody waits for by means of asyncio. See `Several`."""

    __slots__ = ("_runs",)

    def __init__(self, runs: Collection[Any]) -> None:
        self._runs = runs

    def covers(self, run: Any) -> bool:
        """Whether a run is one of them."""
        return run in self._runs


class _Waits:
    """Those that wait on one loop."""

    __slots__ = ("failed", "is_looked_at", "looks", "tickets", "watched")

    def __init__(self) -> None:
        self.tickets: WeakKeyDictionary[asyncio.Future[Any], Ticket] = WeakKeyDictionary()  # by task
        self.watched: WeakSet[asyncio.Future[Any]] = WeakSet()  # after which it is looked again
        self.is_looked_at = False  # or will be soon
        self.looks = 0  # since nobody waited
        self.failed: WeakSet[asyncio.Future[Any]] = WeakSet()  # and was awaited, at the last look


class Suspicions:
    """The suspicions of one engine. From any thread.

    Args:
        limiter: The engine's.
    """

    __slots__ = ("_limiter", "_lock", "_suspected", "_waits")

    def __init__(self, limiter: ActingLimiter) -> None:
        self._limiter = limiter
        self._lock = Lock()
        self._suspected: set[str] = set()  # names of limits that were warned of
        self._waits: WeakKeyDictionary[asyncio.AbstractEventLoop, _Waits] = WeakKeyDictionary()

    def add(self, ticket: Ticket) -> None:
        """A ticket waits, where it is asked for."""
        if not _is_called(ticket):
            return
        loop = running_loop()
        task = None if loop is None else asyncio.current_task()
        if loop is None or task is None:
            self._warn(ticket)
            return
        with self._lock:
            waits = self._waits.setdefault(loop, _Waits())
        waits.tickets[task] = ticket
        self._look_soon(loop, waits)

    def _look_soon(self, loop: asyncio.AbstractEventLoop, waits: _Waits) -> None:
        """Look when all that comes up in this turn of the loop has begun to wait."""
        if waits.is_looked_at:
            return
        waits.is_looked_at = True
        waits.looks += 1
        if waits.looks <= _AT_ONCE:
            loop.call_soon(self._look, loop, waits, context=Context())
        else:
            loop.call_later(_PAUSE_SECONDS, self._look, loop, waits, context=Context())

    def _look(self, loop: asyncio.AbstractEventLoop, waits: _Waits) -> None:
        waits.is_looked_at = False
        waiting = {task: ticket for task, ticket in waits.tickets.items() if ticket.standing is Standing.WAITS}
        waits.tickets = WeakKeyDictionary(waiting)
        if not waiting:
            waits.looks = 0
            return
        around = (each for ticket in waiting.values() for each in (*ticket.beside, *ticket.outside) if each.held)
        outer = dict.fromkeys(around)  # the inner ones first: then a long chain of them is no deep one
        if _may_be_stuck(waiting.values(), outer.keys()):
            self._say_what_holds_up(loop, waits, waiting, outer)
        for ticket in waiting.values():
            if ticket.standing is Standing.WAITS:
                self._warn(ticket)

    def _say_what_holds_up(
        self,
        loop: asyncio.AbstractEventLoop,
        waits: _Waits,
        waiting: dict[asyncio.Future[Any], Ticket],
        outer: Iterable[Ticket],
    ) -> None:
        """Tell the limiter of those whose code is certain to wait for others that wait.

        Args:
            loop: This one.
            waits: All of it.
            waiting: The tickets that wait, by the tasks that ask for them.
            outer: The tickets of those that have started them.
        """
        tasks = asyncio.all_tasks(loop)
        held = Held(waiting.keys(), tasks, waits.failed)
        places = {id(each): each for each in tasks}
        told: list[tuple[tuple[Ticket], object]] = []
        for ticket in outer:
            task = places.get(ticket.place)
            found = () if task is None or ticket.waits else held.by(task)
            if found:
                owners = {waiting[each].owner for each in found}
                told.append(((ticket,), None if None in owners else Gathered(owners)))
        for tickets, target in told:
            self._limiter.holds_up(tickets, target, None)
        for tickets, target in told:  # whoever was refused goes on, and so may they
            self._limiter.goes_on(tickets, target, None)
        waits.failed = WeakSet(held.failed)
        for future in held.open - set(waits.watched):
            waits.watched.add(future)
            future.add_done_callback(lambda _: self._look_soon(loop, waits), context=Context())
        if held.steps:
            self._look_soon(loop, waits)

    def _warn(self, ticket: Ticket) -> None:
        """Warn, once for each limit."""
        for name, holder in _held_by_callers(ticket).items():
            with self._lock:
                known = name in self._suspected
                self._suspected.add(name)
            if not known:
                _logger.warning(_SUSPICION, name, ticket.called, holder.called)


def _may_be_stuck(waiting: Iterable[Ticket], outer: Collection[Ticket]) -> bool:
    """Whether all that is there of a limit is held by those around its waiters, as far as it is not stuck anyway."""
    limits = {limit for ticket in waiting for limit, _ in ticket.needs}
    return any(
        all(each in outer or each.stuck for each in tuple(limit.holders))
        for limit in limits
        if isinstance(limit, SlotLimit)
    )


def _is_called(ticket: Ticket) -> bool:
    """Whether one that waits is asked for by what the code of a holder has called, however far down."""
    run: Any = ticket.owner
    if isinstance(getattr(run, "lane", None), CALLED):
        return bool(ticket.beside or ticket.outside)
    return any(each.owner is run for each in ticket.beside)


def _held_by_callers(ticket: Ticket) -> dict[str, Ticket]:
    """By name of the limit: who has called the one that waits for a ticket, and holds slots of what that wants."""
    run: Any = ticket.owner
    called = isinstance(getattr(run, "lane", None), CALLED)
    beside = [each for each in ticket.beside if called or each.owner is run]
    found: dict[str, Ticket] = {}
    for limit, _ in ticket.needs:
        holders = limit.holders if isinstance(limit, SlotLimit) else {}
        holder = next((each for each in beside if each in holders), None)
        if holder is not None:
            found[limit.name] = holder
    return found
