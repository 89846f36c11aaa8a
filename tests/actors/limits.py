"""A limiter with hands that only note what they were told, for tests of the lower floor."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from millrace.actors.instructions import Order, Serve
from millrace.actors.limiter import Limiter
from millrace.actors.limiter_messages import Blocks, Change, GiveBack, GoesOn, LookAgain, Refuse, Take
from millrace.actors.tickets import Amount, SlotLimit, Ticket


class Named:
    """Whose a ticket is."""

    is_flow: ClassVar = False

    def __init__(self, name: str) -> None:
        self.name = name


class Noted(Limiter):
    """Notes which tickets were served or refused after they had waited, and when others are to be looked at again."""

    def __init__(self, **limits: Amount) -> None:
        super().__init__()
        self.at = 0
        self.told: list[Ticket] = []
        self.due: list[tuple[Ticket, int]] = []
        for name, amount in limits.items():
            self.change(name, amount, exists=False)

    def perform(self, instruction: Order) -> None:
        assert isinstance(instruction, Serve)
        self.told += instruction.tickets
        self.due += [(ticket, ticket.due) for ticket in instruction.due]

    def ticket(
        self,
        *,
        of: str | Named = "somebody",
        around: Sequence[Ticket] = (),
        outside: Sequence[Ticket] = (),
        beside: Sequence[Ticket] = (),
        timed: bool = False,
        priority: int = 0,
        **needs: int,
    ) -> Ticket:
        """A new ticket."""
        wanted = [(self.limits[name], occupy) for name, occupy in needs.items()]
        owner = Named(of) if isinstance(of, str) else of
        return Ticket(wanted, owner, None, tuple(around), tuple(outside), 0, timed, priority, tuple(beside))

    def take(self, **what: Any) -> Ticket:
        """Ask for so much of each limit."""
        ticket = self.ticket(**what)
        self.tell(Take(ticket, self.at))
        return ticket

    def give_back(self, ticket: Ticket, *, failed: bool | None = None) -> list[Ticket]:
        """Give back a ticket; who is told of that."""
        return self._told(GiveBack(ticket, self.at, failed))

    def refuse(self, ticket: Ticket, error: Exception) -> list[Ticket]:
        """Let a ticket wait no longer; who is told of that."""
        return self._told(Refuse(ticket, error, self.at))

    def look_again(self, ticket: Ticket) -> list[Ticket]:
        """A ticket's time has come; who is told of that."""
        return self._told(LookAgain(ticket, self.at))

    def blocks(self, *tickets: Ticket, target: object = None, run: object = None) -> list[Ticket]:
        """A run, which holds tickets, waits for something; who is told of that."""
        return self._told(Blocks(tickets, target, self.at, run))

    def goes_on(self, *tickets: Ticket, target: object = None, run: object = None) -> None:
        """It waits no longer."""
        self.tell(GoesOn(tickets, target, run))

    def change(self, name: str, amount: Amount | None, *, exists: bool = True) -> list[Ticket]:
        """Change a limit; who is told of that.

        Raises:
            Exception: what spoke against it.
        """
        errors: list[Exception | None] = []
        told = self._told(Change(name, amount, self.at, exists=exists, done=errors.append))
        assert len(errors) == 1
        if errors[0] is not None:
            raise errors[0]
        return told

    def held(self, name: str) -> int:
        """How many slots are held."""
        limit = self.limits[name]
        assert isinstance(limit, SlotLimit)
        assert limit.held == sum(limit.holders.values())
        return limit.held

    def size(self, name: str) -> int:
        """How many slots there are."""
        limit = self.limits[name]
        assert isinstance(limit, SlotLimit)
        return limit.size

    def _told(self, message: Blocks | Change | GiveBack | LookAgain | Refuse) -> list[Ticket]:
        before = len(self.told)
        self.tell(message)
        return self.told[before:]
