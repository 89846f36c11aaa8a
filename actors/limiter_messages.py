"""What the limiter can be told. Every message carries the time it speaks of, in nanoseconds since the epoch."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from millrace.actors.mailbox import Message
from millrace.actors.tickets import Amount, Ticket


class Take(Message):
    """Ask for what is on a ticket.

    Args:
        ticket: It is new.
    """

    __slots__ = ("at", "ticket")

    def __init__(self, ticket: Ticket, at: int) -> None:
        self.ticket = ticket
        self.at = at


class GiveBack(Message):
    """What is on a ticket is not needed any more, or not wanted after all. A second time, nothing happens.

    Args:
        ticket: In whatever standing.
        failed: What it was needed for has failed; None where that says nothing about the limit.
    """

    __slots__ = ("at", "failed", "ticket")

    def __init__(self, ticket: Ticket, at: int, failed: bool | None = None) -> None:  # noqa: FBT001
        self.ticket = ticket
        self.at = at
        self.failed = failed

    control = True  # never refused, because then it would be lost


class Refuse(Message):
    """A ticket is not to wait any longer. Nothing happens where it does not.

    Args:
        ticket: The ticket.
        error: Why.
    """

    __slots__ = ("at", "error", "ticket")

    def __init__(self, ticket: Ticket, error: Exception, at: int) -> None:
        self.ticket = ticket
        self.error = error
        self.at = at

    control = True


class LookAgain(Message):
    """It is the time that a ticket was due.

    Args:
        ticket: The ticket.
    """

    __slots__ = ("at", "ticket")

    def __init__(self, ticket: Ticket, at: int) -> None:
        self.ticket = ticket
        self.at = at

    control = True


class Blocks(Message):
    """Somebody waits for the end of runs.

    Args:
        tickets: What they hold, by the code that waits.
        target: What they wait for: a run, or what stands for several; None for whatever they have started.
        run: Who that is, or what `Place`; None for code outside of any run.
    """

    __slots__ = ("at", "run", "target", "tickets")

    def __init__(self, tickets: Sequence[Ticket], target: object, at: int, run: object = None) -> None:
        self.tickets = tickets
        self.target = target
        self.at = at
        self.run = run


class GoesOn(Message):
    """They wait no longer.

    Args:
        tickets: As in `Blocks`.
        target: Likewise.
        run: Likewise.
    """

    __slots__ = ("run", "target", "tickets")

    def __init__(self, tickets: Sequence[Ticket], target: object = None, run: object = None) -> None:
        self.tickets = tickets
        self.target = target
        self.run = run


class Change(Message):
    """Make a limit, or change how much of it there is, or remove it.

    Args:
        name: Its name.
        amount: How much from now on; None for no limit at all.
        exists: Whether it has to be there already; else it must not.
        done: Called in the limiter's turn, with what spoke against it, or None.
    """

    __slots__ = ("amount", "at", "done", "exists", "name")

    def __init__(
        self, name: str, amount: Amount | None, at: int, *, exists: bool, done: Callable[[Exception | None], None]
    ) -> None:
        self.name = name
        self.amount = amount
        self.at = at
        self.exists = exists
        self.done = done
