"""Messages: what a run's actor can be told. Facts in the past tense, requests in the imperative.

Values only; each carries the time it speaks of, because no actor has a clock. Never changed after they are sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import FlowPauseTimeout
from millrace.actors.mailbox import Message
from millrace.actors.policies import Advice
from millrace.actors.states import State
from millrace.actors.verdicts import Verdict

if TYPE_CHECKING:
    from uuid import UUID

# Plain classes: three messages are told for every task run, and a class that attrs makes costs the import a third of a
# millisecond.


class Admit(Message):
    """Propose RUNNING for an attempt that is about to start.

    Args:
        at: Nanoseconds since the epoch, as everywhere here.
        state: The RUNNING state, where it has more to say than its time: the key of its cache, and in its data what
            was `Found` under that.
    """

    __slots__ = ("at", "state")

    def __init__(self, at: int, state: State[Any] | None = None) -> None:
        self.at = at
        self.state = state


class Made(Message):
    """The run is there: it can be found from now on, and whoever listens is told of its first state.

    Args:
        ahead: The SCHEDULED state of a run that nobody executes yet; None for one that is about to begin.
    """

    __slots__ = ("ahead", "at")
    control = True

    def __init__(self, at: int, ahead: State[Any] | None = None) -> None:
        self.at = at
        self.ahead = ahead


class TakeUp(Message):
    """Somebody is about to execute the run, which was made ahead, or is suspended and its body has ended for now.

    Args:
        reply: Gets whether that is to be, in the actor's turn: not where somebody else was first, or it was cancelled.
        paused: The id of the state that it is suspended by; None for a run that was made ahead.
    """

    __slots__ = ("at", "paused", "reply")

    def __init__(self, reply: Callable[[bool], None], at: int, paused: UUID | None = None) -> None:
        self.reply = reply
        self.at = at
        self.paused = paused


class Leave(Message):
    """The run is on record, and nobody executes it in this process: nobody is to wait for it here.

    It is suspended, or was made ahead.
    """

    __slots__ = ()


class Committed(Message):
    """The end of the run has been recorded for good, so that it may be told.

    Args:
        at: Nanoseconds since the epoch.
        error: Why it was not, and never will be.
    """

    __slots__ = ("at", "error")

    def __init__(self, at: int, error: Exception | None = None) -> None:
        self.at = at
        self.error = error


class Returned(Message):
    """The body returned.

    Args:
        value: What it returned.
        attempt: Which attempt it was, counted from 1; 0 for the present one, whichever that is.
        advice: On a retry, where the policy asks for it and the value is a failure.
    """

    __slots__ = ("advice", "at", "attempt", "value")

    def __init__(self, value: Any, at: int, attempt: int = 0, advice: Advice | None = None) -> None:
        self.value = value
        self.at = at
        self.attempt = attempt
        self.advice = advice


class Raised(Message):
    """The body raised, or was interrupted.

    Args:
        error: What it raised.
        cancelled: That is the cancellation of an event loop.
        attempt: Which attempt it was, counted from 1; 0 for the present one, whichever that is.
        advice: On a retry, where the policy asks for it.
        for_good: Whoever drives the body is being ended, too: a crash leads to no restart.
    """

    __slots__ = ("advice", "at", "attempt", "cancelled", "error", "for_good")

    def __init__(  # noqa: PLR0917  # told for every run that fails
        self,
        error: BaseException,
        at: int,
        cancelled: bool = False,  # noqa: FBT001, FBT002
        attempt: int = 0,
        advice: Advice | None = None,
        for_good: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        self.error = error
        self.at = at
        self.cancelled = cancelled
        self.attempt = attempt
        self.advice = advice
        self.for_good = for_good


class Expired(Message):
    """The time of an attempt is over.

    Args:
        seconds: How much it had.
        attempt: Which attempt, counted from 1.
        stops: The body can be stopped, and the attempt is over when it has; else the attempt is over now, and its body
            is left to itself.
        advice: On a retry, where the policy asks for it.
    """

    __slots__ = ("advice", "at", "attempt", "seconds", "stops")

    def __init__(self, seconds: float, at: int, attempt: int, *, stops: bool, advice: Advice | None = None) -> None:
        self.seconds = seconds
        self.at = at
        self.attempt = attempt
        self.stops = stops
        self.advice = advice

    control = True


class Queued(Message):
    """The next attempt has to wait for slots of its tags' limits; the run is put in line when it has them.

    Args:
        attempts: How many there have been when that was found.
        limits: What it waits for, for people.
    """

    __slots__ = ("at", "attempts", "limits")

    def __init__(self, limits: str, at: int, attempts: int) -> None:
        self.limits = limits
        self.at = at
        self.attempts = attempts


class Judged(Message):
    """The supervisor has said what follows from a crash.

    Args:
        state: The CRASHED state.
        restart: The run is started again; else it stays as it is.
    """

    __slots__ = ("at", "restart", "state")

    def __init__(self, state: State[Any], at: int, *, restart: bool) -> None:
        self.state = state
        self.at = at
        self.restart = restart


class Stopped(Message):
    """The run is ended from outside of its body: it cannot start, or it is given up.

    Args:
        state: What this makes of the run if nothing speaks against it: FAILED or CRASHED.
        interrupted: Where a cancellation was asked for, the run is CANCELLED.
    """

    __slots__ = ("at", "interrupted", "state")

    def __init__(self, state: State[Any], at: int, interrupted: bool = False) -> None:  # noqa: FBT001, FBT002
        self.state = state
        self.at = at
        self.interrupted = interrupted


class Propose(Message):
    """Propose any state from outside.

    Args:
        force: Pass by the rules.
        reply: Gets the verdict, in the actor's turn.
    """

    __slots__ = ("at", "force", "reply", "state")

    def __init__(
        self,
        state: State[Any],
        at: int,
        force: bool = False,  # noqa: FBT001, FBT002
        reply: Callable[[Verdict], None] | None = None,
    ) -> None:
        self.state = state
        self.at = at
        self.force = force
        self.reply = reply


class Cancel(Message):
    """End the run: at once where it does not run yet, else as soon as its body has stopped.

    Args:
        reason: Goes into the state's message.
    """

    __slots__ = ("at", "reason")

    def __init__(self, reason: str, at: int) -> None:
        self.reason = reason
        self.at = at

    control = True


class Interrupt(Message):
    """The flow's body was interrupted from outside: cancel the children, so that the run can end.

    Args:
        reason: Why; the children's states say it.
    """

    __slots__ = ("at", "reason")

    def __init__(self, reason: str, at: int) -> None:
        self.reason = reason
        self.at = at

    control = True


class UpstreamEnded(Message):
    """One of the runs that this one waits for has ended.

    Args:
        good: It is COMPLETED, or its failure is allowed.
        name: The upstream run's name.
        state: The state it ended in.
    """

    __slots__ = ("at", "good", "name", "state")

    def __init__(self, good: bool, name: str, state: State[Any], at: int) -> None:  # noqa: FBT001
        self.good = good
        self.name = name
        self.state = state
        self.at = at


class Watch(Message):
    """Ask to be told of the end; told at once when it is past.

    Args:
        watcher: An object of the upper floor; opaque here.
    """

    __slots__ = ("watcher",)

    def __init__(self, watcher: Any) -> None:
        self.watcher = watcher


class Unwatch(Message):
    """Take a watcher back.

    Args:
        watcher: What `Watch` carried.
    """

    __slots__ = ("watcher",)

    def __init__(self, watcher: Any) -> None:
        self.watcher = watcher


class Spawned(Message):
    """Children were started: one, or a whole map at once.

    It goes ahead of data: the end of the body, which may wait in the same line, is to find them counted.

    Args:
        count: How many.
        children: Those that exist already, by id; a map makes its children as they come up.
    """

    __slots__ = ("children", "count")
    control = True

    def __init__(self, count: int, children: tuple[Any, ...] = ()) -> None:
        self.count = count
        self.children = children


class Born(Message):
    """Children that were counted before have been made.

    Args:
        children: The runs.
    """

    __slots__ = ("children",)

    def __init__(self, children: tuple[Any, ...]) -> None:
        self.children = children


class ChildEnded(Message):
    """A child has its final state.

    Args:
        child: The run.
    """

    __slots__ = ("child",)

    def __init__(self, child: Any) -> None:
        self.child = child


class ChildCrashed(Message):
    """A child has crashed, and wants to know what follows.

    Args:
        child: The run.
        state: The CRASHED state.
    """

    __slots__ = ("at", "child", "state")

    def __init__(self, child: Any, state: State[Any], at: int) -> None:
        self.child = child
        self.state = state
        self.at = at


class HandedOver(Message):
    """Children that were counted but not made are somebody else's from now on: they count no more.

    Args:
        count: How many.
    """

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


class ChildrenDropped(Message):
    """Children that were counted but never made will not be: their map was cancelled.

    Args:
        count: How many.
    """

    __slots__ = ("count",)

    def __init__(self, count: int) -> None:
        self.count = count


class Resume(Message):
    """The run is to go on after a pause.

    Args:
        paused: The id of the state that the run was paused by.
    """

    __slots__ = ("at", "paused")

    def __init__(self, paused: UUID, at: int) -> None:
        self.paused = paused
        self.at = at


class Lapsed(Message):
    """The time in which the run had to be resumed is over.

    Args:
        paused: The id of the state that the run was paused by.
        error: Says so.
    """

    __slots__ = ("at", "error", "paused")

    def __init__(self, paused: UUID, error: FlowPauseTimeout, at: int) -> None:
        self.paused = paused
        self.error = error
        self.at = at


class ChildSeen(Message):
    """Somebody took a failed child's result, exception or state.

    Args:
        child: The run.
    """

    __slots__ = ("child",)

    def __init__(self, child: Any) -> None:
        self.child = child
