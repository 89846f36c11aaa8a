"""Turns: which of several threads takes work, and which stands in for it.

Decides that one of them at a time *leads*: it takes work and does it, one piece after another. Where more is in line
another *stands in*: it looks after the leader now and then, and takes the lead when what the leader does turns out to
block. All others rest. So work that is done in no time is done by one thread, and whoever else wants the interpreter,
as the loop of a host does, competes with one thread and not with all of them; and of work that blocks as much is done
at once as there are threads.

A thread that has lost the lead, or has let go of it before it does what may block, goes on with that by itself, and
comes back when it is done. Knows no thread, no clock and no work: times come in, and who is told to do what is the
answer. Not to be called by two at once.

Decides, too, which work is worth a thread of its own, by its pace: what was seen to block, or takes long enough that
others may get on meanwhile, as where it lets go of the interpreter while it computes.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import Final, Generic, TypeVar

W = TypeVar("W")

ENOUGH: Final = 5
"""So many doubtful looks count as much as one that is not."""

PATIENCE_SECONDS: Final = 0.001
"""A leader that does the same for longer may be blocked. Who stands in first looks after so long, and looks again."""

MOST_PATIENCE_SECONDS: Final = 0.016
"""Each time that the leader has got on, who stands in waits twice as long for the next look; at most so long."""

QUICK_SECONDS: Final = 0.0001
"""Pieces of work that take longer are worth a thread each."""

SLOW_TURNS: Final = 3
"""After so many turns in a row with such pieces it is taken to be so: there are other reasons why one takes long."""

APART_SECONDS: Final = 0.05
"""For so long threads then let go of the lead before they do a piece of that work. After that it is looked at anew."""


class Pace:
    """How quickly work of one kind is done. Told and asked by whoever leads, one at a time."""

    __slots__ = ("_apart_until", "_slow_turns")

    def __init__(self) -> None:
        self._apart_until = 0.0
        self._slow_turns = 0  # in a row

    def is_slow(self, now: float) -> bool:
        """Whether the lead is to be let go of before a piece of it is done."""
        return self._apart_until > now

    def took(self, pieces: int, seconds: float, now: float) -> None:
        """So many pieces were done in a turn of a leader."""
        self._slow_turns = self._slow_turns + 1 if seconds > pieces * QUICK_SECONDS else 0
        if self._slow_turns >= SLOW_TURNS:
            self.blocks(now)

    def blocks(self, now: float) -> None:
        """A piece of it was seen to block."""
        self._apart_until = now + APART_SECONDS


class Place(Enum):
    """What a thread without work is to do."""

    LEADS = auto()
    """Take work."""

    STANDS_IN = auto()
    """Wait for the lead, and look after the leader in a moment."""

    RESTS = auto()
    """Wait until it is called."""


class Turns(Generic[W]):
    """See the module's docstring."""

    __slots__ = ("_called", "_looks", "_resting", "_seen", "leader", "patience", "since", "stand_in")

    def __init__(self) -> None:
        # None also while there is work: then somebody is on the way to it. Set to None by one that lets go of the lead.
        self.leader: W | None = None
        self.stand_in: W | None = None
        self._called: W | None = None  # on its way; it takes whatever place it finds. One at a time
        # When what the leader does now began. The leader sets it without asking anybody; it is to see if that changes.
        self.since = 0.0
        self.patience = PATIENCE_SECONDS  # how long who stands in waits before it looks
        self._seen: float | None = None  # what `since` was when it looked; None: it has not yet
        self._looks = 0  # how often it was the same after that, where only that counts
        self._resting: list[
            W
        ] = []  # the last to come is the first to be called, so that who is not needed is found out

    @property
    def resting(self) -> tuple[W, ...]:
        """Those that wait until they are called."""
        return tuple(self._resting)

    @property
    def lacks_a_thread(self) -> bool:
        """Whether more work would be a reason to have one thread more."""
        return not self._resting and self.stand_in is None and self._called is None

    def come(self, worker: W, *, wanted: bool) -> Place:
        """Somebody has nothing to do.

        Args:
            worker: Who; also one that had a place and was woken up.
            wanted: Whether there is work in line.
        """
        self._forget(worker)
        if wanted and (self.leader is None or self.leader is worker):
            if self.leader is None:
                self._lead(worker)
            return Place.LEADS
        if self.leader is worker:
            self.leader = None
        if wanted and (self.stand_in is None or self.stand_in is worker):
            if self.stand_in is None:
                self._stand_in(worker)
            return Place.STANDS_IN
        if self.stand_in is worker:
            self.stand_in = None
        self._resting.append(worker)
        return Place.RESTS

    def call(self) -> W | None:
        """There is work in line: who is to be woken up for it, to lead or to stand in.

        Whoever comes first leads, and that need not be the one that is woken up: a thread that runs is sooner there.
        None where nobody is needed, or nobody is there: see `lacks_a_thread`.
        """
        if self._called is None:
            if self.leader is None and self.stand_in is not None:
                self._called = self.stand_in
            elif self._resting and (self.leader is None or self.stand_in is None):
                self._called = self._resting.pop()
            return self._called
        return None

    def expect(self, worker: W) -> None:
        """A new one is on its way, because one was lacking."""
        self._called = worker

    def look(self, worker: W, now: float, *, doubtful: bool) -> bool:
        """Who stands in looks. It takes the lead if the leader does the same as when it looked before.

        Once is not enough: what holds the interpreter for long, such as a collection of garbage, holds up both.

        Args:
            worker: Who stands in; anybody else changes nothing.
            now: The time, on the clock of `since`.
            doubtful: There may be other reasons why the leader has not got on: that counts less.

        Returns:
            Whether it has taken the lead from another.
        """
        if self.stand_in is not worker or self.leader is None:
            return False
        if self._seen != self.since:
            got_on = now - self.since < PATIENCE_SECONDS
            self.patience = min(2 * self.patience, MOST_PATIENCE_SECONDS) if got_on else PATIENCE_SECONDS
            self._seen, self._looks = self.since, 0
            return False
        self._looks += 1 if doubtful else ENOUGH
        if self._looks < ENOUGH:
            return False
        self._lead(worker)
        return True

    def leave(self, worker: W) -> None:
        """Somebody ends."""
        self._forget(worker)
        if self.leader is worker:
            self.leader = None
        if self.stand_in is worker:
            self.stand_in = None

    def _forget(self, worker: W) -> None:
        """It neither rests nor is on its way any more."""
        if self._called is worker:
            self._called = None
        if worker in self._resting:
            self._resting.remove(worker)

    def _lead(self, worker: W) -> None:
        self.leader = worker
        self._seen, self.patience = None, PATIENCE_SECONDS
        if self.stand_in is worker:
            self.stand_in = None

    def _stand_in(self, worker: W) -> None:
        self.stand_in = worker
        self._seen, self.patience = None, PATIENCE_SECONDS
