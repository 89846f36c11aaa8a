"""Input hash: the key function that Prefect's users know, for those who bring it along.

Decides nothing: what goes into a key, and how, is settled by `parts`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.runtime.caching.parts import content_parts, joined, source_part
from millrace.runtime.caching.sources import task_key
from millrace.runtime.caching.tokens import text

if TYPE_CHECKING:
    from millrace.runtime.run_contexts import TaskRunContext


def task_input_hash(context: TaskRunContext, arguments: dict[str, Any]) -> str | None:
    """A `cache_key_fn`: the key of a run is a hash of the task and of all arguments.

    Args:
        context: The run's context.
        arguments: Its arguments by name.

    Returns:
        The key.

    Raises:
        CacheKeyError: an argument cannot be hashed; it names it.
    """
    fn = context.task.fn
    task = "task", text(task_key(fn))
    return joined([task, source_part(fn), *content_parts("input", arguments)])
