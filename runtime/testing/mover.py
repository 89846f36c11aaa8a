"""Mover: lets virtual time pass when an engine waits for nothing else.

Decides when to look and how long to make sure. Whether anything else is waited for is said by `standing`. Before time
passes the loop gets a number of turns in which nothing may happen, so that whoever was woken gets on with what comes
next. Where threads were woken, each of these turns takes a moment of real time, because no loop says when they go on.

A body that is at work holds the time up. But what it does may be to wait for one of the others, in a way that no engine
sees: with a queue, say. So it does that for a short while of real time, and then time passes all the same.
"""

from __future__ import annotations

from contextvars import Context
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Final

from millrace.runtime.testing.standing import Standing, Threads, standing_of, threads_of

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.testing.clock import VirtualClock

TURNS: Final = 24
"""Turns of the loop in which nothing happens, before time passes."""

THREAD_TURNS: Final = 3
"""The same where threads may have been woken."""

THREAD_TURN_SECONDS: Final = 0.002
"""How long such a turn takes."""

PATIENCE_SECONDS: Final = 0.25
"""How long bodies that are at work hold the time up, if nothing else happens."""

_PATIENCE_TURNS: Final = round(PATIENCE_SECONDS / THREAD_TURN_SECONDS)


class Mover:
    """Moves a clock for an engine. See the module's docstring."""

    def __init__(self, engine: Engine, clock: VirtualClock) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = Lock()
        self._happened = 0  # transitions, timers set, and moves of the clock so far
        self._looking = False  # loops have been asked for a look, or one for the next turn of it
        self._asked: object = None  # what they have been asked with; who was asked with something else has no turn
        self._waiting: LoopLane | None = None  # whose loop tells when patience ends; None: there is no need

    def happened(self, _event: object = None) -> None:
        """Something has happened: look whether time may pass. From any thread."""
        with self._lock:
            self._happened += 1
            if self._looking or not self._may_move():
                return
            self._looking = True
        self._begin()

    def timed(self) -> None:
        """A timer was set: its loop is to look, too. One that is looking may be held up from now on."""
        with self._lock:
            self._happened += 1
            if not self._may_move():
                return
            self._looking = True
        self._begin()

    def _may_move(self) -> bool:
        return self._clock.moves_by_itself and self._clock.first() is not None

    def _begin(self) -> None:
        """Ask the loops that are to keep the time for a look: one of them turns, if others are held up."""
        asked = self._asked = object()
        for lane in self._clock.lanes() or [self._engine.own_lane()]:
            lane.post(partial(self._look, lane, asked, 0, -1))

    # On the loop of a lane.

    def _look(self, lane: LoopLane, asked: object, before: int, quiet: int) -> None:
        """Take one turn of a look.

        Args:
            lane: Of the loop.
            asked: What the loop was asked with.
            before: What had happened at the turn before.
            quiet: Turns since something happened; less than 0 in the first.
        """
        with self._lock:
            if self._asked is not asked:
                return  # another loop is at it, or will be
            asked = self._asked = object()
        happened = self._happened
        quiet = quiet + 1 if happened == before or quiet < 0 else 0
        turns, seconds = self._turns()
        enough = quiet >= turns
        if quiet == 0 or enough:
            standing = standing_of(self._engine, self._clock) if self._may_move() else Standing.NO_WAIT
            if standing is not Standing.WAITS:
                if standing is Standing.AT_WORK:
                    self._have_patience(lane, happened)
                self._end(happened)
                return
            if enough:
                self._clock.move_on()
                quiet = -1
        if seconds:
            lane.loop.call_later(seconds, self._look, lane, asked, happened, quiet, context=Context())
        else:
            lane.loop.call_soon(self._look, lane, asked, happened, quiet, context=Context())

    def _turns(self) -> tuple[int, float]:
        """In how many turns nothing is to happen, and how many seconds each takes."""
        threads = threads_of(self._engine)
        if threads is Threads.AT_WORK:
            return _PATIENCE_TURNS, THREAD_TURN_SECONDS
        return (THREAD_TURNS, THREAD_TURN_SECONDS) if threads is Threads.BLOCKED else (TURNS, 0.0)

    def _end(self, happened: int) -> None:
        """End a look, unless something has happened since it was taken."""
        with self._lock:
            self._looking = again = self._happened != happened and self._may_move()
        if again:
            self._begin()

    def _have_patience(self, lane: LoopLane, happened: int) -> None:
        """Something is at work: look again if nothing has come of it for a while."""
        if self._waiting is None or self._waiting.loop.is_closed():
            self._waiting = lane
            lane.loop.call_later(PATIENCE_SECONDS, self._lose_patience, happened, context=Context())

    def _lose_patience(self, happened: int) -> None:
        self._waiting = None
        if (
            happened == self._happened
            and self._may_move()
            and standing_of(self._engine, self._clock) is Standing.AT_WORK
        ):
            self._clock.move_on()
        self.happened()
