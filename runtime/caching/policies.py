"""Cache policies: what a task's cache key is made of.

Decides which parts a key has, and how policies are joined, reduced and configured. A key is made of all of its parts or
of none: where one cannot be computed there is no key. A part that has nothing to say, such as the inputs of a task that
takes none, is left out. Does not know what is stored under a key, nor what a missing one means for a run.

The parts of the policies here are known one by one, so that it can be told which of them made a difference. A policy of
somebody else's, or a function, gives one key, and that is its one part.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, Final, Self, TypeVar
from uuid import UUID

import attrs

from millrace.actors.errors import CacheKeyError, ConfigurationError
from millrace.actors.isolation import IsolationLevel
from millrace.runtime.caching.parts import NoKey, Part, content_parts, joined, source_part
from millrace.runtime.caching.tokens import text
from millrace.runtime.run_contexts import TaskRunContext

C = TypeVar("C")

CacheKeyFn = Callable[[TaskRunContext, dict[str, Any]], str | None]
"""Takes the context of a run and its arguments by name, and gives a key; None for no caching."""


def _isolation(value: Any) -> IsolationLevel | None:
    try:
        return None if value is None else IsolationLevel(value)
    except ValueError:
        levels = " or ".join(IsolationLevel)
        raise ConfigurationError("isolation_level", value, f"{levels}, or None") from None


class CachePolicy:
    """What the cache key of a task is made of.

    Derive from it and give `compute_key` to make one of your own. Join policies with `+`, leave an input out with `-`.

    Args:
        key_storage: Where results are kept under their keys; None for the place where the task keeps its results.
        isolation_level: What two runs with one key do at the same time; None for the default.
        lock_manager: What keeps them apart.

    Raises:
        ConfigurationError: there is no such isolation level.
    """

    # Defaults of the class, so that a class derived from it need not call this one's __init__.
    key_storage: Any = None
    isolation_level: IsolationLevel | None = None
    lock_manager: Any = None

    def __init__(
        self,
        key_storage: Any = None,
        isolation_level: IsolationLevel | str | None = None,
        lock_manager: Any = None,
    ) -> None:
        self.key_storage = key_storage
        self.isolation_level = _isolation(isolation_level)
        self.lock_manager = lock_manager

    @property
    def left_out(self) -> frozenset[str]:
        """Parameters of which it is said that a result does not depend on them; none where that is not known."""
        return frozenset()

    @classmethod
    def from_cache_key_fn(cls, cache_key_fn: CacheKeyFn) -> CacheKeyFnPolicy:
        """A policy whose key a function gives.

        Args:
            cache_key_fn: Takes the context of a run and its arguments by name; gives a key, or None for no caching.
        """
        return CacheKeyFnPolicy(cache_key_fn)

    def configure(
        self,
        key_storage: Any = None,
        lock_manager: Any = None,
        isolation_level: IsolationLevel | str | None = None,
    ) -> Self:
        """A copy of the policy with other places and locks; what is left out stays.

        Args:
            key_storage: Where results are kept under their keys.
            lock_manager: What keeps runs with one key apart.
            isolation_level: What two runs with one key do at the same time.

        Raises:
            ConfigurationError: there is no such isolation level.
        """
        given = {
            "key_storage": key_storage,
            "isolation_level": _isolation(isolation_level),
            "lock_manager": lock_manager,
        }
        changed: Self = _changed(self, {name: value for name, value in given.items() if value is not None})
        return changed

    def compute_key(
        self,
        task_ctx: TaskRunContext,
        inputs: dict[str, Any],
        flow_parameters: dict[str, Any],
        **kwargs: Any,
    ) -> str | None:
        """The key of a run.

        Args:
            task_ctx: The run's context.
            inputs: The run's arguments by name.
            flow_parameters: The arguments of the flow around it by name; empty outside of flows.
            **kwargs: What later versions may add.

        Returns:
            The key; None for no caching.

        Raises:
            CacheKeyError: a part of the key cannot be computed.
        """
        raise NotImplementedError(f"{type(self).__name__} has no compute_key().")

    def __add__(self, other: CachePolicy | None) -> CachePolicy:
        """A policy whose keys are made of what both make theirs of."""
        if other is None or isinstance(other, NoCache):
            return self
        if not isinstance(other, CachePolicy):
            return NotImplemented
        return CompoundCachePolicy(
            (*_flat(self), *_flat(other)),
            key_storage=_agreed("key_storage", self.key_storage, other.key_storage),
            isolation_level=_agreed("isolation_level", self.isolation_level, other.isolation_level),
            lock_manager=_agreed("lock_manager", self.lock_manager, other.lock_manager),
        )

    def __sub__(self, names: str | Collection[str]) -> CachePolicy:
        """The policy without some inputs; a policy that does not look at single inputs stays as it is."""
        return self if _names(names) is not None else NotImplemented


def _changed(policy: CachePolicy, values: dict[str, Any]) -> Any:
    changed = copy.copy(policy)
    for name, value in values.items():
        object.__setattr__(changed, name, value)  # policies do not change, but this one is new
    return changed


def _agreed(name: str, first: C | None, second: C | None) -> C | None:
    if first is not None and second is not None and first != second:
        raise ConfigurationError(name, second, f"one value in policies that are joined, and it is {first!r} in another")
    return second if first is None else first


def _names(names: Any) -> frozenset[str] | None:
    """Names that were given in one of the allowed ways; None where they were not."""
    if isinstance(names, str):
        return frozenset([names])
    if isinstance(names, Collection) and all(isinstance(name, str) for name in names):
        return frozenset(names)
    return None


def _exclusions(names: Any) -> frozenset[str]:
    found = _names(names)
    if found is None:
        raise ConfigurationError("exclude", names, "the names of parameters")
    return found


def _flat(policy: CachePolicy) -> tuple[CachePolicy, ...]:
    return policy.policies if isinstance(policy, CompoundCachePolicy) else (policy,)


@attrs.frozen(kw_only=True)
class _Configured(CachePolicy):
    """What the policies here share. Those without fields of their own are compared and printed by this class."""

    key_storage: Any = None
    isolation_level: IsolationLevel | None = attrs.field(default=None, converter=_isolation)
    lock_manager: Any = None


class _Structured(_Configured):
    """A policy whose parts are known one by one."""

    __slots__ = ()

    def parts(self, of: Any, inputs: Any, flow_parameters: Any, kwargs: Any) -> list[Part] | NoKey:
        """The parts of a key; none where there is nothing to say.

        Args:
            of: The run, or its context.
            inputs: As for `compute_key`.
            flow_parameters: Likewise.
            kwargs: Likewise.

        Raises:
            CacheKeyError: one of them cannot be computed.
        """
        raise NotImplementedError

    def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:
        """The key of a run: a hash of its parts; None where there is no part."""
        parts = self.parts(task_ctx, inputs, flow_parameters, kwargs)
        return None if isinstance(parts, NoKey) or not parts else joined(parts)


@attrs.frozen
class Inputs(_Structured):
    """The arguments of a run, by their content.

    Args:
        exclude: Parameters to leave out; names that a task does not have do not matter.
    """

    exclude: frozenset[str] = attrs.field(default=frozenset(), converter=_exclusions)

    @property
    def left_out(self) -> frozenset[str]:
        """Those that are excluded."""
        return self.exclude

    def parts(self, of: Any, inputs: Any, flow_parameters: Any, kwargs: Any) -> list[Part] | NoKey:  # noqa: ARG002
        """One for each argument."""
        if not inputs:
            return []
        # That there are inputs, and none of them counts, is a key of its own.
        return content_parts("input", inputs, self.exclude) or [("inputs", b"")]

    def __sub__(self, names: str | Collection[str]) -> CachePolicy:
        """The policy without some more inputs."""
        more = _names(names)
        if more is None:
            return NotImplemented
        fewer: Inputs = _changed(self, {"exclude": self.exclude | more})
        return fewer


class TaskSource(_Structured):
    """The source of the task's function; not that of the functions it calls."""

    __slots__ = ()

    def parts(self, of: Any, inputs: Any, flow_parameters: Any, kwargs: Any) -> list[Part] | NoKey:  # noqa: ARG002
        """The source."""
        return NoKey("there is no task run") if of is None else [source_part(of.task.fn)]


class FlowParameters(_Structured):
    """The arguments of the flow around a run, by their content; nothing outside of flows."""

    __slots__ = ()

    def parts(self, of: Any, inputs: Any, flow_parameters: Any, kwargs: Any) -> list[Part] | NoKey:  # noqa: ARG002
        """One for each argument."""
        return content_parts("flow parameter", flow_parameters or {})


def _with_one_inputs(policies: Collection[CachePolicy]) -> tuple[CachePolicy, ...]:
    """Those that look at inputs as one, which comes last."""
    flat = [each for policy in policies for each in _flat(policy) if not isinstance(each, NoCache)]
    excluded = [each.exclude for each in flat if type(each) is Inputs]
    others = [each for each in flat if type(each) is not Inputs]
    return (*others, Inputs(frozenset[str]().union(*excluded))) if excluded else tuple(others)


@attrs.frozen
class CompoundCachePolicy(_Structured):
    """Several policies joined. Made by `+`.

    Args:
        policies: The policies. Those that look at inputs become one, which leaves out what any of them does; the order
            of the others counts.
    """

    policies: tuple[CachePolicy, ...] = attrs.field(converter=_with_one_inputs)

    @property
    def left_out(self) -> frozenset[str]:
        """Those of its inputs, where none of the others looks at arguments."""
        if not all(type(each) in _BLIND for each in self.policies if type(each) is not Inputs):
            return frozenset()
        return frozenset[str]().union(*(each.left_out for each in self.policies))

    def parts(self, of: Any, inputs: Any, flow_parameters: Any, kwargs: Any) -> list[Part] | NoKey:
        """Those of all policies."""
        parts: list[Part] = []
        for policy in self.policies:
            found = _parts_of(policy, of, inputs, flow_parameters, kwargs)
            if isinstance(found, NoKey):
                return found
            parts += found
        return parts

    def __sub__(self, names: str | Collection[str]) -> CachePolicy:
        """The policy without some inputs."""
        more = _names(names)
        if more is None:
            return NotImplemented
        changed: CompoundCachePolicy = _changed(self, {"policies": tuple(each - more for each in self.policies)})
        return changed


class NoCache(_Configured):
    """No key: nothing is cached. Joined with another policy it says nothing."""

    __slots__ = ()

    def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:  # noqa: ARG002
        """None."""
        return None

    def __add__(self, other: CachePolicy | None) -> CachePolicy:
        """The other one."""
        if other is None:
            return self
        return other if isinstance(other, CachePolicy) else NotImplemented


class RunId(_Configured):
    """The flow run, or the task run outside of flows; nothing is met again in another one."""

    __slots__ = ()

    def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:  # noqa: ARG002
        """The id."""
        return None if task_ctx is None else _run_id(*task_ctx.task_run.ids())

    def parts(self, of: Any) -> list[Part] | NoKey:
        """The id, where it is part of a key."""
        if of is None:
            return NoKey("run id gave no key")
        run = of.task_run if isinstance(of, TaskRunContext) else of
        flow_run, task_run = run.ids()
        if flow_run is None:
            return [(_LABELS[RunId], text(_run_id(flow_run, task_run)))]
        return [(_LABELS[RunId], _flow_run_token(flow_run))]


def _run_id(flow_run: int | None, task_run: int | None) -> str:
    return str(UUID(int=task_run if flow_run is None else flow_run))


@lru_cache(16)
def _flow_run_token(flow_run: int) -> bytes:
    """What stands for a flow run in the keys of all of its tasks, which come one after another."""
    return text(_run_id(flow_run, None))


def is_of_one_run(policy: CachePolicy) -> bool:
    """Whether a key of a policy is met in one flow run only, as its id is part of it."""
    return type(policy) is RunId or (type(policy) is CompoundCachePolicy and any(map(is_of_one_run, policy.policies)))


_BLIND: Final = frozenset({TaskSource, FlowParameters, RunId})
"""What does not look at the arguments of a run."""


@attrs.frozen
class CacheKeyFnPolicy(_Configured):
    """What a function gives.

    Args:
        cache_key_fn: Takes the context of a run and its arguments by name; gives a key, or None for no caching.
    """

    cache_key_fn: CacheKeyFn

    def compute_key(self, task_ctx: Any, inputs: Any, flow_parameters: Any, **kwargs: Any) -> str | None:  # noqa: ARG002
        """The function's key, as it is."""
        return self.cache_key_fn(task_ctx, inputs)


_STRUCTURED: Final = frozenset({Inputs, TaskSource, FlowParameters, CompoundCachePolicy})
"""By exact type: a class derived from one of them may compute its key in its own way."""

_LABELS: Final[dict[type, str]] = {RunId: "run id", CacheKeyFnPolicy: "cache_key_fn"}


def _parts_of(policy: CachePolicy, of: Any, inputs: Any, flow_parameters: Any, kwargs: Any) -> list[Part] | NoKey:
    if type(policy) in _STRUCTURED:
        return policy.parts(of, inputs, flow_parameters, kwargs)  # type: ignore[attr-defined, no-any-return]
    if type(policy) is RunId:
        return policy.parts(of)
    found = _single(policy, of, inputs, flow_parameters, kwargs)
    return found if isinstance(found, NoKey) else [found[1]]


def key_and_parts(
    policy: CachePolicy, of: Any, inputs: Any, flow_parameters: Any, kwargs: Any
) -> tuple[str, list[Part]] | NoKey:
    """The key of a run, and what it is made of.

    Args:
        policy: The policy.
        of: The run, of which a context is made if somebody's own policy or function asks for it; or its context; or
            None, where there is no run.
        inputs: The run's arguments by name.
        flow_parameters: The arguments of the flow around it by name.
        kwargs: What else a policy's `compute_key` is given.

    Raises:
        CacheKeyError: a part cannot be computed.
    """
    if type(policy) in _STRUCTURED:
        parts: list[Part] | NoKey = policy.parts(of, inputs, flow_parameters, kwargs)  # type: ignore[attr-defined]
        if isinstance(parts, NoKey):
            return parts
        return (joined(parts), parts) if parts else NoKey("there is nothing to make a key of")
    found = _single(policy, of, inputs, flow_parameters, kwargs)
    return found if isinstance(found, NoKey) else (found[0], [found[1]])


def _single(policy: CachePolicy, of: Any, inputs: Any, flow_parameters: Any, kwargs: Any) -> tuple[str, Part] | NoKey:
    """The key that a policy gives as a whole, and the same as a part."""
    if type(policy) is NoCache:
        return NoKey("the policy is NO_CACHE")
    label = _LABELS.get(type(policy)) or f"policy '{type(policy).__name__}'"
    task_ctx: Any = of if of is None or isinstance(of, TaskRunContext) else TaskRunContext.of(of, inputs)
    try:
        key = policy.compute_key(task_ctx=task_ctx, inputs=inputs, flow_parameters=flow_parameters, **kwargs)
    except CacheKeyError:
        raise
    except Exception as error:  # whatever the user's code raises
        raise CacheKeyError(label, f"it raised {error!r}") from error
    if key is None:
        return NoKey(f"{label} gave no key")
    if not isinstance(key, str) or not key:
        given = "an empty string" if isinstance(key, str) else f"a '{type(key).__name__}'"
        raise CacheKeyError(label, f"it gave {given}; expected is a string with something in it, or None")
    return key, (label, text(key))


INPUTS: Final = Inputs()
TASK_SOURCE: Final = TaskSource()
FLOW_PARAMETERS: Final = FlowParameters()
RUN_ID: Final = RunId()
NO_CACHE: Final = NoCache()
NONE: Final = NO_CACHE
DEFAULT: Final = INPUTS + TASK_SOURCE + RUN_ID
