"""Hooks: what users want done when a run changes its state.

Decides that hooks are called in order, and that one that raises is logged by its name and stops nothing. Does not know
when they are called.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import ConfigurationError, Signal
from millrace.actors.states import State
from millrace.runtime.one_line import engine_logger
from millrace.runtime.running import running_loop

if TYPE_CHECKING:
    from millrace.runtime.effects import Effects

Hook = Callable[..., Any]
"""Called with the task or flow, the run, and the state it has entered; sync or async."""

_logger = engine_logger("hooks")


def checked_hooks(option: str, hooks: object) -> tuple[Hook, ...]:
    """The hooks that an option was given.

    Raises:
        ConfigurationError: it is no collection of functions.
    """
    if hooks is None:
        return ()
    if isinstance(hooks, Iterable) and not isinstance(hooks, (str, bytes)):
        several = tuple(hooks)
        if all(callable(hook) for hook in several):
            return several
    raise ConfigurationError(option, hooks, "a list of functions of task or flow, run and state")


def name_of_hook(hook: Hook) -> str:
    """What a log calls a hook."""
    return str(getattr(hook, "__name__", None) or type(hook).__name__)


async def call_hooks(hooks: Iterable[Hook], owner: Any, run: Any, state: State[Any], fx: Effects) -> None:
    """Call hooks, one after the other.

    Args:
        hooks: The hooks.
        owner: The task or flow.
        run: Its run.
        state: The state it has entered.
        fx: How an async one is seen through.

    Cancellation: reaches the hook that is being awaited; the others are not called.
    """
    for hook in hooks:
        try:
            await fx.call(hook, owner, run, state)
        except BaseException as error:
            if not is_own(error):
                raise
            _logger.exception("Hook '%s' of run '%s' raised.", name_of_hook(hook), run.name)


def is_own(error: BaseException) -> bool:
    """Whether an error that comes out of a user's function is its own; else it is meant for whoever called that.

    An interrupt and a signal are meant for the program, and a cancellation for the asyncio task at hand if somebody
    asked for it. What else there is, an exit for instance, ends the function and nothing more.
    """
    if isinstance(error, asyncio.CancelledError):
        task = None if running_loop() is None else asyncio.current_task()
        return task is None or not task.cancelling()
    return not isinstance(error, (KeyboardInterrupt, GeneratorExit, Signal))
