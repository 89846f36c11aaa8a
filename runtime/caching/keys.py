"""Keys: the cache key of a run, as the engine asks for it.

Decides that a key which cannot be computed means no caching and one warning, and remembers for each task what it has
warned of and what its last key was made of: digests of the parts, never the values, and for as long as the task lives.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

from millrace.actors.errors import CacheKeyError, Unhashable
from millrace.runtime.caching.parts import NoKey, Part
from millrace.runtime.caching.policies import CachePolicy, key_and_parts
from millrace.runtime.one_line import engine_logger

if TYPE_CHECKING:
    from millrace.runtime.run_contexts import TaskRunContext
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.task_definition import TaskDefinition

_LOGGER: Final = engine_logger("caching")

Digests = dict[str, int]
"""From the label of a part to a hash of its token, which means something in this process only."""


class _Memory:
    """What is known of a task."""

    __slots__ = ("last", "warned")

    def __init__(self) -> None:
        self.last: Digests | None = None  # what the last key was made of
        self.warned: dict[tuple[str, str], object] = {}  # from part and kind of problem to who warned


_MEMORIES: Final[WeakKeyDictionary[TaskDefinition, _Memory]] = WeakKeyDictionary()


def key_of(
    policy: CachePolicy, of: TaskRun | TaskRunContext, inputs: dict[str, Any], flow_parameters: dict[str, Any]
) -> str | None:
    """The cache key of a run.

    Args:
        policy: The task's policy.
        of: The run, or its context.
        inputs: The run's arguments by name, with futures replaced by their results.
        flow_parameters: The arguments of the flow around it by name; empty outside of flows.

    Returns:
        The key; None for no caching, because the policy says so or because a part of the key cannot be computed. For
        the latter there is a warning, once for each task and reason.
    """
    try:
        found = key_and_parts(policy, of, inputs, flow_parameters, {})
    except CacheKeyError as error:
        _warn(of.task, error)
        return None
    if isinstance(found, NoKey):
        return None
    key, parts = found
    _memory(of.task).last = digests_of(parts)
    return key


def digests_of(parts: list[Part]) -> Digests:
    """What is remembered of the parts of a key."""
    digests = {label: hash(token) for label, token in parts}
    if len(digests) < len(parts):  # two policies of one class have one label
        digests = {}
        for label, token in parts:
            digests[label] = hash((token, digests[label])) if label in digests else hash(token)
    return digests


def last_digests(task: TaskDefinition) -> Digests | None:
    """What the last key of a task was made of; None where there was none yet."""
    memory = _MEMORIES.get(task)
    return None if memory is None else memory.last


def _memory(task: TaskDefinition) -> _Memory:
    memory = _MEMORIES.get(task)
    return memory if memory is not None else _MEMORIES.setdefault(task, _Memory())


def _warn(task: TaskDefinition, error: CacheKeyError) -> None:
    cause = error.__cause__
    # By kind and not by text: what an exception says may be another for each run.
    problem = cause.culprit if isinstance(cause, Unhashable) else type(cause).__name__
    mine = object()
    if _memory(task).warned.setdefault((error.part, problem), mine) is mine:
        # As text: the error knows the frames it came through, and handlers may keep what they are given.
        _LOGGER.warning("Task '%s' runs without caching: %s", task.name, str(error))
