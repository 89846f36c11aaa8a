"""The scheduler of a simulation: who runs next, and what time it is.

Threads of a simulation are threads of the machine, of which one runs at a time: it holds the baton, and passes it on
where it would block, or where the seed says that it is interrupted. So all that happens is in one order, which follows
from the seed alone. Time is a number, and passes when nobody can go on; or a little with every step, where the seed
has made the machine slow. Decides nothing about engines.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tests.simulation.stand_ins import SimThread

START_NS: Final = 1_700_000_000_000_000_000

LONGEST_SECONDS: Final = 10_000
"""After so long, as the simulation counts it, what has not ended never will."""

BUSY_STEPS: Final = 300
"""After so many steps in which nobody waits for a time, they take longer: something spins."""

LONGEST_TURN: Final = 400
"""After so many steps somebody else has a turn: nobody is starved for ever."""

MOST_RAISED: Final = 300
"""So often a failure may be swallowed."""

MOST_RAISED_DOOMED: Final = 30
"""So often a thread may swallow that all is over, before it is left where it is."""

REAL_SECONDS: Final = 20.0
"""How long a thread may take to end when all is over."""

_RealLock = threading.Lock


class Failed(BaseException):  # it is what is so
    """The simulation cannot go on. No body can swallow it: whoever waits next has it again."""


class Stuck(Failed):
    """Nobody can go on, and no time is waited for."""


class Doomed(BaseException):  # likewise
    """The simulation is over: raised in threads that are left."""


class TooLong(Failed):
    """There were too many steps: it goes in circles."""


class Killed(Failed):
    """The process is no more. What its threads do from then on, while they are taken away, never was."""


class Participant:
    """A thread of the simulation."""

    __slots__ = ("baton", "deadline", "doomed", "finished", "name", "raised", "ready")

    def __init__(self, name: str) -> None:
        self.name = name
        self.baton = _RealLock()
        self.baton.acquire()
        self.ready: Callable[[], bool] | None = None  # None: can go on
        self.deadline: int | None = None  # ns; goes on then, whatever `ready` says
        self.finished = False
        self.doomed = False
        self.raised = 0  # so often it was told that it is


class Scheduler:
    """Passes the baton. Made on the thread that begins with it.

    Args:
        rng: Decides.
        switching: How likely a thread is interrupted where it could be.
        dawdling: How likely time passes at a step, although somebody can go on.
        max_steps: After so many it goes in circles.
    """

    def __init__(self, rng: random.Random, switching: float, dawdling: float = 0.0, max_steps: int = 10_000) -> None:
        self.rng = rng
        self.switching = switching
        self.dawdling = dawdling
        self.max_steps = max_steps
        self.now = START_NS
        self.last = START_NS + LONGEST_SECONDS * 1_000_000_000
        self.steps = 0
        self.since_switch = 0
        self.busy = 0  # steps since somebody waited for a time
        self.main = Participant("main")
        self.current = self.main
        self.participants = [self.main]
        self.over = False
        self.failed: Failed | None = None
        self._raised = 0
        self.left_behind = threading.Event()  # set when the main thread does not obey, or has ended
        self.threads_made = 0
        self.log: Callable[[str], None] | None = None
        self.dump: Callable[[], str] = lambda: ""

    # Time.

    def steady(self) -> int:
        """Nanoseconds that never go back."""
        return self.now

    def seconds(self) -> float:
        """The same in seconds."""
        return self.now / 1e9

    def sleep(self, seconds: float) -> None:
        """Block the thread at hand for so long."""
        if seconds <= 0:
            self.switch()
        else:
            self.block(_never, self.now + round(seconds * 1e9))

    # The baton.

    def step(self) -> None:
        """Something has been done: time may pass, and somebody else may have a turn."""
        self.steps += 1
        if self.current.doomed:
            self._doom(self.current)
        if self.failed is not None and self.current is self.main:
            self._raise()
        if self.steps > self.max_steps and not self.over:
            self._fail(TooLong(f"more than {self.steps:,} steps\n{self.dump()}"))
        self.busy += 1
        self.now += 10_000 if self.busy < BUSY_STEPS else 20_000_000  # so what spins comes to the end of its time
        if self.dawdling and self.rng.random() < self.dawdling:
            self.now += self.rng.choice((1_000, 1_000_000, 50_000_000))

    def maybe(self) -> None:
        """Interrupt the thread at hand, if the seed says so."""
        self.since_switch += 1
        wanted = self.since_switch > LONGEST_TURN or (self.switching and self.rng.random() < self.switching)
        if wanted and len(self.participants) > 1 and not self.over:
            self.switch()

    def switch(self) -> None:
        """Give somebody else a turn, or nobody."""
        me = self.current
        if me.doomed:
            return
        me.ready = me.deadline = None
        self._pass(me)

    def block(self, ready: Callable[[], bool], deadline: int | None = None) -> bool:
        """Wait until something is so, or a time has come.

        Returns:
            Whether it is so.
        """
        me = self.current
        if me.doomed:
            self._doom(me)
        if self.failed is not None and me is self.main:
            self._raise()
        me.ready, me.deadline = ready, deadline
        self._pass(me)
        return ready()

    def kill(self) -> None:
        """End the process, now."""
        if self.failed is None and not self.over:
            self.failed = Killed("the process is killed")
            self.switch()

    def _doom(self, me: Participant) -> None:
        """All is over, and a thread that is left goes on; one that does so whatever it is told is left where it is."""
        me.raised += 1
        if me.raised > MOST_RAISED_DOOMED:
            self.main.baton.release()
            _forever()
        raise Doomed

    def _fail(self, failed: Failed) -> None:
        if self.failed is None:
            self.failed = failed
        self._raise()

    def _raise(self) -> None:
        """The simulation cannot go on; whoever swallows that too often is left behind."""
        assert self.failed is not None
        self._raised += 1
        if self._raised > MOST_RAISED:
            self.left_behind.set()
            _forever()
        raise self.failed

    def _pass(self, me: Participant) -> None:
        self.since_switch = 0
        self.steps += 1
        if self.steps > self.max_steps and self.failed is None and not self.over:
            self.failed = TooLong(f"more than {self.steps:,} steps\n{self.dump()}")
        following = self._choose()
        if following is not me:
            self.current = following
            following.baton.release()
            me.baton.acquire()
        if self.failed is not None and me is self.main:
            self._raise()
        if me.doomed:
            raise Doomed

    def _choose(self) -> Participant:
        while True:
            if self.failed is not None:
                self.main.ready = self.main.deadline = None
                return self.main
            if self.now > self.last and not self.over:
                self.failed = TooLong(
                    f"it has not ended after {(self.now - START_NS) / 1e9:,.0f} seconds\n{self.dump()}"
                )
                continue
            able = [each for each in self.participants if each.ready is None or _is_due(each, self.now) or each.ready()]
            if able:
                chosen = able[0] if len(able) == 1 else able[self.rng.randrange(len(able))]
                chosen.ready = chosen.deadline = None
                if self.log is not None and len(self.participants) > 1:
                    self.log(f"> {chosen.name}")
                return chosen
            times = [each.deadline for each in self.participants if each.deadline is not None]
            if not times:
                self.failed = Stuck(f"nobody can go on\n{self.dump()}")
                continue
            self.busy = 0
            self.now = max(self.now, min(times))

    # Threads.

    def begin(self, thread: SimThread) -> Participant:
        """A thread has been started: it has a turn some time."""
        participant = Participant(thread.name)
        self.participants.append(participant)
        return participant

    def end(self, participant: Participant) -> None:
        """The thread at hand ends."""
        participant.finished = True
        self.participants.remove(participant)
        following = self.main if self.over else self._choose()
        self.current = following
        following.baton.release()

    def finish(self) -> list[str]:
        """End all threads that are left. On the main one.

        Returns:
            Those that do not end.
        """
        self.over = True
        stubborn: list[str] = []
        for each in [each for each in self.participants if each is not self.main]:
            each.doomed = True
            self.current = each
            each.baton.release()
            if not self.main.baton.acquire(timeout=REAL_SECONDS):
                stubborn.append(each.name)
        self.current = self.main
        return stubborn


def _forever() -> None:
    lock = _RealLock()
    lock.acquire()
    lock.acquire()


def _never() -> bool:
    return False


def _is_due(each: Participant, now: int) -> bool:
    return each.deadline is not None and each.deadline <= now


_scheduler: list[Scheduler] = []  # of the simulation at hand; at most one


def scheduler() -> Scheduler:
    """The scheduler of the simulation at hand."""
    return _scheduler[-1]
