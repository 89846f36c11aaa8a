"""Generator tasks: bodies that yield through to whoever iterates over the call.

Decides into which run such a call turns, and when: one that nobody iterates over makes none at all. What becomes of a
run is `iterating`'s.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Generator, Mapping
from contextvars import Context
from functools import partial
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import BlockingCallOnLoop
from millrace.runtime.engine import current_scope
from millrace.runtime.iterating import Iteration
from millrace.runtime.iterations import LoopIteration, ThreadIteration
from millrace.runtime.step_lanes import LoopSteps, ThreadSteps
from millrace.runtime.stepping import Steps, through, through_async
from millrace.runtime.yields import Recalled

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.given import Given


def yield_through(  # noqa: PLR0917  # what a call is made of
    task: BaseTask[Any, Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any,
    given: Given | None = None,
    context: Context | None = None,
) -> Generator[Any, Any, Any]:
    """Call a generator task: a generator that begins the run when it is first asked for a value.

    Args:
        task: The task.
        args: Positional arguments; they fit.
        kwargs: Keyword arguments; they fit.
        wait_for: Dependencies without data.
        given: What somebody else has settled about the run.
        context: Where to make the run; by default where the first value is asked for.
    """
    begin = partial(_begin_here, task, args, kwargs, wait_for, given)
    return through(begin if context is None else partial(context.run, begin))


def yield_through_async(  # noqa: PLR0917  # see above
    task: BaseTask[Any, Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    wait_for: Any,
    given: Given | None = None,
    context: Context | None = None,
) -> AsyncGenerator[Any, Any]:
    """Call an async generator task: an async generator that begins the run when it is first asked for a value.

    Cancellation: reaches the body at its await; between two values, it is the caller's alone.
    """
    begin = partial(_begin_on_loop, task, args, kwargs, wait_for, given)
    return through_async(begin if context is None else partial(context.run, begin))


def _begin_here(
    task: BaseTask[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Any, given: Given | None
) -> Steps:
    scope = current_scope()
    lane = ThreadSteps()
    run = scope.start_run(task, args, kwargs, wait_for, lane, given, in_line=False)
    if run.unready and not run.ended and scope.blocks_here():
        error = BlockingCallOnLoop(f"{task.name}(...) with a future that is not done", "await the future first")
        run.fail_unstarted(error)
        run.see()
        raise error
    return _recalling(ThreadIteration(run, lane))


def _begin_on_loop(
    task: BaseTask[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], wait_for: Any, given: Given | None
) -> Steps:
    scope = current_scope()
    turns = scope.engine.lane_here()
    lane = LoopSteps(turns, None)  # who asks for a step says so
    run = scope.start_run(task, args, kwargs, wait_for, lane, given, in_line=False)
    return _recalling(LoopIteration(run, lane, turns))


def _recalling(steps: Iteration) -> Steps:
    """The call, behind what is on record of it."""
    replay = steps.run.scope.replay
    recalled = None if replay is None else replay.recalled(steps.run.id)
    return steps if recalled is None else Recalled(steps, recalled)
