"""Messages: what a run's actor can be told. Facts in the past tense, requests in the imperative.

Values only; each carries the time it speaks of, because no actor has a clock. Never changed after they are sent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs

from millrace.actors.mailbox import Message
from millrace.actors.states import State
from millrace.actors.verdicts import Verdict

# `define`, not `frozen`: two messages are made for every task run, and freezing triples what making one costs.


@attrs.define(eq=False)
class Admit(Message):
    """Propose RUNNING for an attempt that is about to start.

    Args:
        at: Nanoseconds since the epoch, as everywhere here.
    """

    at: int


@attrs.define(eq=False)
class Returned(Message):
    """The body returned.

    Args:
        value: What it returned.
    """

    value: Any
    at: int


@attrs.define(eq=False)
class Raised(Message):
    """The body raised, or was interrupted.

    Args:
        error: What it raised.
        cancelled: That is the cancellation of an event loop.
    """

    error: BaseException
    at: int
    cancelled: bool = False


@attrs.define(eq=False)
class Stopped(Message):
    """The run is ended from outside of its body: it cannot start, or it is given up.

    Args:
        state: What this makes of the run if nothing speaks against it: FAILED or CRASHED.
        interrupted: Where a cancellation was asked for, the run is CANCELLED.
    """

    state: State[Any]
    at: int
    interrupted: bool = False


@attrs.define(eq=False)
class Propose(Message):
    """Propose any state from outside.

    Args:
        force: Pass by the rules.
        reply: Gets the verdict, in the actor's turn.
    """

    state: State[Any]
    at: int
    force: bool = False
    reply: Callable[[Verdict], None] | None = None


@attrs.define(eq=False)
class Cancel(Message):
    """End the run: at once where it does not run yet, else as soon as its body has stopped.

    Args:
        reason: Goes into the state's message.
    """

    reason: str
    at: int

    control = True


@attrs.define(eq=False)
class Interrupt(Message):
    """The flow's body was interrupted from outside: cancel the children, so that the run can end.

    Args:
        reason: Why; the children's states say it.
    """

    reason: str
    at: int

    control = True


@attrs.define(eq=False)
class UpstreamEnded(Message):
    """One of the runs that this one waits for has ended.

    Args:
        good: It is COMPLETED, or its failure is allowed.
        name: The upstream run's name.
        state: The state it ended in.
    """

    good: bool
    name: str
    state: State[Any]
    at: int


@attrs.define(eq=False)
class Watch(Message):
    """Ask to be told of the end; told at once when it is past.

    Args:
        watcher: An object of the upper floor; opaque here.
    """

    watcher: Any


@attrs.define(eq=False)
class Unwatch(Message):
    """Take a watcher back.

    Args:
        watcher: What `Watch` carried.
    """

    watcher: Any


@attrs.define(eq=False)
class Spawned(Message):
    """Children were started: one, or a whole map at once.

    Args:
        count: How many.
        children: Those that exist already, by id; a map makes its children as they come up.
    """

    count: int
    children: tuple[Any, ...] = ()


@attrs.define(eq=False)
class Born(Message):
    """Children that were counted before have been made.

    Args:
        children: The runs.
    """

    children: tuple[Any, ...]


@attrs.define(eq=False)
class ChildEnded(Message):
    """A child has its final state.

    Args:
        child: The run.
    """

    child: Any


@attrs.define(eq=False)
class ChildrenDropped(Message):
    """Children that were counted but never made will not be: their map was cancelled.

    Args:
        count: How many.
    """

    count: int


@attrs.define(eq=False)
class ChildSeen(Message):
    """Somebody took a failed child's result, exception or state.

    Args:
        child: The run.
    """

    child: Any
