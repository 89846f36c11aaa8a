"""Hooks: what users want done when a run changes its state.

Decides that hooks are called in order, and that one that raises is logged by its name and stops nothing. Does not know
when they are called.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import ConfigurationError
from millrace.actors.states import State

if TYPE_CHECKING:
    from millrace.runtime.effects import Effects

Hook = Callable[..., Any]
"""Called with the task or flow, the run, and the state it has entered; sync or async."""

_logger = logging.getLogger("millrace.hooks")


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
        except Exception:
            _logger.exception("Hook '%s' of run '%s' raised.", name_of_hook(hook), run.name)
