"""Acting for the limiter: who is told that a ticket was served, and who keeps the time for one that is due.

Decides nothing. A ticket's bell says what is to happen when it is served: a run of a task is put in line again, which
takes no thread and no asyncio task before that; a thread or a coroutine that waits in its body is woken.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Protocol

from millrace.actors.instructions import Order, Serve
from millrace.actors.limiter import Limiter
from millrace.actors.limiter_messages import Blocks, GiveBack, GoesOn, LookAgain, Take
from millrace.actors.tickets import Ticket

if TYPE_CHECKING:
    from millrace.runtime.ports import Clock
    from millrace.runtime.timers import Timers


class TicketBell(Protocol):
    """What a ticket is made with."""

    @property
    def limiter(self) -> ActingLimiter:
        """Who serves it."""
        ...

    def served(self, ticket: Ticket, /) -> bool:
        """It is held now, or refused. From any thread, once, and not while it is being asked for.

        Returns:
            Whether there is somebody for whom that matters.
        """
        ...


class ActingLimiter(Limiter):
    """The limiter of one engine, with hands.

    Args:
        now: The engine's clock.
        timers: Its timers.
    """

    __slots__ = ("_timers", "now")

    def __init__(self, now: Clock, timers: Timers) -> None:
        super().__init__()
        self.now = now
        self._timers = timers

    def request(self, ticket: Ticket) -> bool:
        """Ask for what is on a new ticket.

        Returns:
            Whether that is settled: it is held, or refused. If not, its bell tells.
        """
        order = self.ask(Take(ticket, self.now()))
        if not isinstance(order, Serve):
            return False
        if order.due:
            self._set_alarms(order.due)
        return ticket in order.tickets

    def give_back(self, ticket: Ticket, *, failed: bool | None = None) -> None:
        """Give back what is on a ticket, in whatever standing it is. A second time, nothing happens."""
        order = self.ask(GiveBack(ticket, self.now(), failed))
        if ticket.alarm is not None:
            _call_off(ticket)
        if order is not None:
            self.perform(order)

    def holds_up(self, tickets: Sequence[Ticket], target: object, run: object) -> None:
        """A run, whose code holds tickets, waits for something. See `Blocks`."""
        self.tell(Blocks(tickets, target, self.now(), run))

    def goes_on(self, tickets: Sequence[Ticket], target: object, run: object) -> None:
        """It waits no longer."""
        self.tell(GoesOn(tickets, target, run))

    def perform(self, instruction: Order) -> None:
        """Tell those whose tickets were served or refused, and set timers for those that wait for a time."""
        assert isinstance(instruction, Serve)  # it gives no other
        told: deque[Ticket] = deque()
        self._follow(instruction, told)
        while told:  # in a row, and not nested: one that nobody wants is given back, which serves the next
            ticket = told.popleft()
            bell: TicketBell = ticket.bell
            if bell.served(ticket):
                continue
            order = self.ask(GiveBack(ticket, self.now()))
            if isinstance(order, Serve):
                self._follow(order, told)

    def _follow(self, instruction: Serve, told: deque[Ticket]) -> None:
        if instruction.due:
            self._set_alarms(instruction.due)
        for ticket in instruction.tickets:
            if ticket.alarm is not None:
                _call_off(ticket)
            told.append(ticket)

    def _set_alarms(self, tickets: Sequence[Ticket]) -> None:
        for ticket in tickets:
            if ticket.alarm is not None:
                _call_off(ticket)
            ticket.alarm = self._timers.call_at(ticket.due, self._look_at(ticket), partial(getattr, ticket, "lane"))

    def _look_at(self, ticket: Ticket) -> Callable[[], None]:
        return lambda: self.tell(LookAgain(ticket, self.now()))


def _call_off(ticket: Ticket) -> None:
    alarm, ticket.alarm = ticket.alarm, None
    if alarm is not None:
        alarm.call_off()
