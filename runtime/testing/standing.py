"""Standing: whether an engine waits for nothing but time.

Decides which runs are at work and which merely wait. A run that has started others which have not ended is taken to
wait for these, and one that waits for a limit for those who hold it, or for a time. Another one that has started none
is at work if its body runs, or if it is about to; but not before the moment that it waits for, nor before what it
depends on has ended. Does not know who moves the time.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import Enum, auto
from typing import TYPE_CHECKING, Any

from millrace.actors.states import StateType
from millrace.actors.timestamps import to_nanoseconds
from millrace.runtime.runners import SequentialTaskRunner

if TYPE_CHECKING:
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.testing.clock import VirtualClock


class Standing(Enum):
    """What an engine is about."""

    NO_WAIT = auto()
    """No run waits for a time."""

    AT_WORK = auto()
    """Some run waits for a time, and another one is at work."""

    WAITS = auto()
    """Some run waits for a time, and none is at work."""


def standing_of(engine: Engine, clock: VirtualClock) -> Standing:
    """What an engine is about at this moment."""
    waits = works = False
    limited = engine.rationing.waiting()
    for run in _leaves(engine):
        if run is None:
            works = True
        elif run.id in limited:  # before it runs, or in its body
            waits |= limited[run.id]
        elif _awaits_time(run, clock):
            waits = True
        elif _works(run):
            works = True
    if not waits:
        return Standing.NO_WAIT
    return Standing.AT_WORK if works else Standing.WAITS


class Threads(Enum):
    """What the threads are about that sync bodies run on."""

    IDLE = auto()
    """There are none with a body."""

    BLOCKED = auto()
    """Some have bodies that wait for others. When they go on, no loop tells."""

    AT_WORK = auto()
    """Some have bodies that do not wait, or whose end is being told."""


def threads_of(engine: Engine) -> Threads:
    """What the engine's threads are about, and those that sync flows have been called on."""
    stats = engine.offload.stats()
    if stats.busy > stats.lent + stats.abandoned:
        return Threads.AT_WORK
    return Threads.BLOCKED if stats.lent or any(run.blocks and run.live for run in engine.flow_runs()) else Threads.IDLE


def _leaves(engine: Engine) -> Iterator[Any]:
    """The runs that have started no others that are alive; None for each map that has runs which are not made yet."""
    scopes: list[FlowRun] = [engine.root, *engine.flow_runs()]
    living: list[Any] = [child for scope in scopes for child in tuple(scope.children.values()) if not child.ended]
    parents = {run.caller if run.is_flow else run.parent for run in living}  # task runs, by id
    for run in living:
        if run.id not in parents and not _has_children(run):
            yield run
    for scope in scopes:
        if scope.parent is None and scope.flow is not None and not scope.ended and not _has_children(scope):
            yield scope
        if scope.live > len(scope.children) and not isinstance(scope.runner, SequentialTaskRunner):
            yield None


def _has_children(run: Any) -> bool:
    return run.is_flow and any(not child.ended for child in tuple(run.children.values()))


def _awaits_time(run: Any, clock: VirtualClock) -> bool:
    """Whether a run waits for a moment that has not come."""
    if run.type is not StateType.SCHEDULED:
        return False
    scheduled = run.state.state_details.scheduled_time
    return scheduled is not None and clock.expects(to_nanoseconds(scheduled))  # else it is about to run


def _works(run: Any) -> bool:
    """Whether a run that has started no others goes on by itself."""
    around = run.parent if run.is_flow else run.scope
    if around is not None and run.id in around.dormant:
        return False  # a generator between two values
    if run.is_flow:
        return run.conductor is None or run.conductor.ready  # else it waits for what its arguments need
    if run.type is StateType.PENDING:
        return not run.unready and not isinstance(run.scope.runner, SequentialTaskRunner)
    return True
