"""Tickets and limits: what the limiter keeps account with.

A ticket is what somebody has, or waits for: so and so much of each of one or more limits, all at once or nothing. A
limit says how much of it there is at a time, and knows who waits for it, in the order in which they come up. What
follows from any of it is decided by the `limiter`; everything here is touched in its turn only, unless said otherwise.

A ticket is *inside* of another one if that is not given back before this one was served and used: because it is asked
for by the very code that holds the other; or because it was asked for by something that this code waits for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import Enum, auto
from typing import Any, ClassVar, Final, Protocol

from millrace.actors.adaptive import AdaptiveLimit, Estimator
from millrace.actors.line import Line
from millrace.actors.token_bucket import Bucket, RateLimit

Amount = int | AdaptiveLimit | RateLimit
"""How users say how much of a limit there is: how many at once, or that it is to be found out, or how often."""

NEVER: Final = -1
"""In place of a time: not before somebody gives something back."""


class Owner(Protocol):
    """Whose a ticket is: a run."""

    @property
    def name(self) -> str:
        """The display name."""
        ...

    is_flow: ClassVar[Any]


class Standing(Enum):
    """What a ticket is good for."""

    NEW = auto()
    """Nobody has been asked yet."""

    WAITS = auto()
    """It stands in the queue of each of its limits."""

    HELD = auto()
    """Its owner has what is on it."""

    GONE = auto()
    """It was given back, or never will be served."""


class Ticket:
    """What somebody has of some limits, or waits for.

    Args:
        needs: How much of which limits.
        owner: Whose it is; None for code outside of any run.
        bell: Of the upper floor: told when it is served, or refused; opaque here.
        around: Tickets that the very code holds that asks for this one.
        outside: Tickets of code that has started something inside of which this one is asked for: if it waits, it may
            well be for that.
        place: Of the upper floor: tells apart pieces of code that go on beside each other; opaque here.
        timed: It will be refused by somebody when its time is over, so that nobody waits for ever because of it.
        priority: The higher, the sooner it is served.
        beside: Tickets of code that has itself started what asks for this one, and says for what it waits.
    """

    __slots__ = (
        "alarm", "around", "bell", "beside", "due", "error", "inside", "lane", "needs", "outside", "owner", "place",
        "priority", "since", "standing", "targets", "timed",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917  # made for every attempt, and keywords cost
        self,
        needs: Sequence[tuple[Limit, int]],
        owner: Owner | None,
        bell: Any,
        around: tuple[Ticket, ...] = (),
        outside: tuple[Ticket, ...] = (),
        place: int = 0,
        timed: bool = False,  # noqa: FBT001, FBT002
        priority: int = 0,
        beside: tuple[Ticket, ...] = (),
    ) -> None:
        self.needs = needs
        self.owner = owner
        self.bell = bell
        self.around = around
        self.outside = outside
        self.place = place
        self.timed = timed
        self.priority = priority
        self.beside = beside
        self.standing = Standing.NEW
        self.error: Exception | None = None  # why it never will be served
        self.since = 0  # when it was served, ns
        self.due = 0  # when it is to be looked at again, ns; 0: not before something happens
        self.inside = 0  # tickets that wait and have this one around them
        self.targets: tuple[Any, ...] = ()  # all that its holder waits for at the moment, each as in `Waiting.holds_up`
        self.lane: Any = None  # of the upper floor: where `due` is kept; there where something comes with time
        self.alarm: Any = None  # of the upper floor, for `due`

    @property
    def held(self) -> bool:
        """Whether its owner has what is on it. From any thread: it stays so until the owner gives it back."""
        return self.standing is Standing.HELD

    @property
    def stuck(self) -> bool:
        """Whether it is not given back, as far as is known, before something else has happened."""
        return bool(self.inside or self.targets)

    @property
    def waits(self) -> bool:
        """Whether its holder waits at the moment for something."""
        return bool(self.targets)

    @property
    def called(self) -> str:
        """Whose it is, for people."""
        owner = self.owner
        return "code outside of any run" if owner is None else f"{_kind(owner)} run '{owner.name}'"


def _kind(owner: Owner) -> str:
    return "flow" if owner.is_flow else "task"


class Limit:
    """What all limits are. Of which kind one is does not change.

    Args:
        name: Its name.
    """

    comes_with_time: ClassVar = False
    """Whether somebody may wait for nothing but a time."""

    __slots__ = ("name", "queue", "removed", "widest")

    def __init__(self, name: str) -> None:
        self.name = name
        self.queue: Line[Ticket] = Line()  # who waits
        self.widest = 0  # no ticket in the queue wants more; 0 where it is empty
        self.removed = False  # it limits nothing any more, and nobody waits for it

    @property
    def most(self) -> int:
        """More than that never will be there at once."""
        raise NotImplementedError

    def free_at(self, occupy: int, at: int) -> int:
        """When so much of it is there: `at` if that is now; else later, or `NEVER`."""
        raise NotImplementedError

    def take(self, ticket: Ticket, occupy: int, at: int) -> None:
        """Take what is there."""
        raise NotImplementedError

    def give_back(self, ticket: Ticket, occupy: int, at: int, *, failed: bool | None) -> bool:
        """Give back what a ticket had of it; `failed` as in `GiveBack`. Whether there is less of it from now on."""
        raise NotImplementedError

    def change(self, amount: Amount, at: int) -> bool:
        """Have another amount of it from now on; False where that is of another kind."""
        raise NotImplementedError


class SlotLimit(Limit):
    """How many at once.

    Args:
        name: Its name.
        amount: How many; or how that is found out.
    """

    __slots__ = ("estimator", "held", "holders", "size", "stuck")

    def __init__(self, name: str, amount: int | AdaptiveLimit) -> None:
        super().__init__(name)
        self.estimator: Estimator | None  # finds out the size; None: it stays what it is
        self.size: int  # 1 or more
        self._set(amount)
        self.holders: dict[Ticket, int] = {}  # who has how many
        self.held = 0  # their sum; above the size only where that has become less, or by one alone that found it empty
        self.stuck = 0  # of these, what is held by tickets that are stuck

    @property
    def most(self) -> int:
        """More than that never will be there at once."""
        return self.size if self.estimator is None else self.estimator.maximum

    def fits(self, occupy: int, held: int) -> bool:
        """Whether so much more can be had, where so much is held.

        One that is found out may be smaller than what somebody wants, who then gets it when nobody else has any.
        """
        return held + occupy <= self.size or (held == 0 and self.estimator is not None)

    def free_at(self, occupy: int, at: int) -> int:
        """See `Limit`."""
        return at if self.removed or self.fits(occupy, self.held) else NEVER

    def take(self, ticket: Ticket, occupy: int, at: int) -> None:  # noqa: ARG002  # see `Limit`
        """See `Limit`."""
        self.holders[ticket] = occupy
        self.held += occupy

    def give_back(self, ticket: Ticket, occupy: int, at: int, *, failed: bool | None) -> bool:
        """See `Limit`."""
        del self.holders[ticket]
        self.held -= occupy
        if ticket.stuck:
            self.stuck -= occupy
        if self.estimator is None or failed is None:
            return False
        before = self.size
        self.estimator.observe(ticket.since, at, self.held + occupy, failed=failed)
        self.size = self.estimator.limit
        return self.size < before

    def change(self, amount: Amount, at: int) -> bool:  # noqa: ARG002  # see `Limit`
        """See `Limit`."""
        if isinstance(amount, RateLimit):
            return False
        self._set(amount)
        return True

    def _set(self, amount: int | AdaptiveLimit) -> None:
        if isinstance(amount, AdaptiveLimit):
            self.estimator = amount.estimator()
            self.size = self.estimator.limit
        else:
            self.estimator = None
            self.size = amount


class TokenLimit(Limit):
    """How often. What is taken of it is gone, and comes in again with time.

    Args:
        name: Its name.
        rate: How often.
    """

    comes_with_time: ClassVar = True

    __slots__ = ("bucket",)

    def __init__(self, name: str, rate: RateLimit) -> None:
        super().__init__(name)
        self.bucket = Bucket(rate)

    @property
    def most(self) -> int:
        """More than that never will be there at once."""
        return self.bucket.rate.burst

    def free_at(self, occupy: int, at: int) -> int:
        """See `Limit`."""
        return at if self.removed else self.bucket.ready_at(occupy, at)

    def take(self, ticket: Ticket, occupy: int, at: int) -> None:  # noqa: ARG002  # see `Limit`
        """See `Limit`."""
        if not self.removed:
            self.bucket.take(occupy, at)

    def give_back(self, ticket: Ticket, occupy: int, at: int, *, failed: bool | None) -> bool:  # noqa: ARG002  # see `Limit`
        """See `Limit`."""
        return False

    def change(self, amount: Amount, at: int) -> bool:
        """See `Limit`."""
        if not isinstance(amount, RateLimit):
            return False
        self.bucket.change(amount, at)
        return True


def make_limit(name: str, amount: Amount) -> Limit:
    """A limit of the kind that an amount is of."""
    return TokenLimit(name, amount) if isinstance(amount, RateLimit) else SlotLimit(name, amount)


Limits = Mapping[str, Limit]
"""By name."""
