"""Explanations: why a run would be, or would not be, taken from the cache.

Decides what is compared, the parts of a key with those of the task's last one, and how it is told. Nothing is looked up
where results are kept: one may have expired there, or never have arrived.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import attrs

from millrace.actors.errors import CacheKeyError
from millrace.runtime.caching.keys import digests_of, last_digests
from millrace.runtime.caching.parts import NoKey
from millrace.runtime.caching.policies import CachePolicy, key_and_parts

if TYPE_CHECKING:
    from millrace.runtime.run_contexts import TaskRunContext
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.task_definition import TaskDefinition


@attrs.frozen(kw_only=True)
class Explanation:
    """Why a run would be, or would not be, taken from the cache. As a string it is one sentence.

    Args:
        key: The key; None where there is no caching.
        differs: The parts of the key that differ from the last one, as in `input 'page'`.
        agrees: The parts that are the same.
        reason: Where nothing was compared, why not.
    """

    key: str | None = None
    differs: tuple[str, ...] = ()
    agrees: tuple[str, ...] = ()
    reason: str | None = None

    @property
    def hit(self) -> bool:
        """Whether the key is the same as the last one."""
        return self.key is not None and self.reason is None and not self.differs

    def __str__(self) -> str:
        if self.key is None:
            return f"no caching: {self.reason}"
        if self.reason is not None:
            return f"miss: {self.reason}"
        agrees = f"{_listed(self.agrees)} {'agrees' if len(self.agrees) == 1 else 'agree'}"
        if not self.differs:
            return f"hit: {agrees} with the last key"
        differs = f"{_listed(self.differs)} {'differs' if len(self.differs) == 1 else 'differ'} from the last key"
        return f"miss: {differs}; {agrees}" if self.agrees else f"miss: {differs}"


def explain(
    task: TaskDefinition,
    policy: CachePolicy,
    of: TaskRun | TaskRunContext,
    inputs: dict[str, Any],
    flow_parameters: dict[str, Any],
) -> Explanation:
    """Compare the key that a run would have with the last one that its task had.

    Nothing is warned of, and the key does not become the task's last one.

    Args:
        task: The task.
        policy: Its policy.
        of: The run, or its context.
        inputs: The run's arguments by name.
        flow_parameters: The arguments of the flow around it by name; empty outside of flows.

    Returns:
        Which parts of the key differ and which do not.
    """
    try:
        found = key_and_parts(policy, of, inputs, flow_parameters, {})
    except CacheKeyError as error:
        return Explanation(reason=str(error))
    if isinstance(found, NoKey):
        return Explanation(reason=found.reason)
    key, parts = found
    last = last_digests(task)
    if last is None:
        return Explanation(key=key, reason="no key was computed before")
    now = digests_of(parts)
    labels = dict.fromkeys((*now, *last))
    differs = tuple(label for label in labels if now.get(label) != last.get(label))
    return Explanation(key=key, differs=differs, agrees=tuple(label for label in labels if label not in differs))


def _listed(labels: Sequence[str]) -> str:
    """As one says it: a, b and c."""
    return " and ".join(filter(None, (", ".join(labels[:-1]), *labels[-1:])))
