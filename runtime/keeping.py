"""Keeping: which task runs keep their results, or look for one in a cache: where, and under which key.

Decides what the options of tasks, flows and settings come to together. When a result is written is decided by
`transacted`, what a cache key is made of by `caching`, what a hit means by the run's actor.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextvars import Context
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import attrs

from millrace.actors.errors import ConfigurationError
from millrace.actors.isolation import IsolationLevel
from millrace.actors.outcomes import holds_states
from millrace.runtime.caching import (
    DEFAULT,
    NO_CACHE,
    CacheKeyFnPolicy,
    CachePolicy,
    Explanation,
    explain,
    is_of_one_run,
    key_of,
)
from millrace.runtime.effects import Effects
from millrace.runtime.engine import current_scope
from millrace.runtime.own_keys import OwnKeys
from millrace.runtime.recording import NOT_RECORDED, Recording
from millrace.runtime.results import ResultStore, StoredValue, serializer_of, storage_of
from millrace.runtime.runs import TaskRun
from millrace.runtime.settings import RESULTS_PERSIST_BY_DEFAULT, TASKS_DISABLE_CACHING, TASKS_REFRESH_CACHE
from millrace.runtime.storage_keys import StorageKey
from millrace.runtime.task_site import TaskSite
from millrace.runtime.transacted import Transacted, warn_of
from millrace.runtime.transactions import get_transaction

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.task_definition import TaskDefinition


def check_keeping(task: TaskDefinition) -> None:
    """Check the options of a task about its results, and make of them what runs need.

    Raises:
        ConfigurationError: one has the wrong type or is out of range.
    """
    if task.cache_key_fn is not None:
        if not callable(task.cache_key_fn):
            raise ConfigurationError("cache_key_fn", task.cache_key_fn, "a function of context and arguments")
        task.cache_policy = CacheKeyFnPolicy(task.cache_key_fn)
    elif task.cache_policy is not None and not isinstance(task.cache_policy, CachePolicy):
        raise ConfigurationError("cache_policy", task.cache_policy, "a policy, such as INPUTS or TASK_SOURCE + INPUTS")
    expiration = task.cache_expiration
    if expiration is not None and (not isinstance(expiration, timedelta) or expiration <= timedelta(0)):
        raise ConfigurationError("cache_expiration", expiration, "a timedelta above zero")
    task.result_storage, task.result_serializer = check_kept_where(task.result_storage, task.result_serializer)
    if task.result_storage_key is not None:
        task.storage_key = StorageKey.of(task.result_storage_key, task.shape)


def check_kept_where(storage: Any, serializer: Any) -> tuple[Any, Any]:
    """Check the options that say where and how results are kept, and make of them what runs need.

    Args:
        storage: What a task or flow was given as `result_storage`, if anything.
        serializer: What it was given as `result_serializer`, if anything.

    Raises:
        ConfigurationError: one has the wrong type.
    """
    return (
        None if storage is None else _made_of("result_storage", storage_of, storage),
        None if serializer is None else _made_of("result_serializer", serializer_of, serializer),
    )


def _made_of(option: str, make: Callable[[Any], Any], value: object) -> Any:
    try:
        return make(value)
    except ConfigurationError as error:
        raise ConfigurationError(option, error.value, error.expected) from None


def explain_cache(task: BaseTask[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Explanation:
    """Why a call of a task would be, or would not be, taken from its cache. See `BaseTask.cache_explain`."""
    scope = current_scope()
    inputs = _inputs_of(task, args, kwargs)
    keeping = keeping_of(task, scope)
    if keeping is None:
        return Explanation(reason="the task keeps no results")
    if TASKS_DISABLE_CACHING.read():
        return Explanation(reason=f"{TASKS_DISABLE_CACHING.name} says so")
    if keeping.refresh:
        return Explanation(reason="results are to be made anew")
    if task.storage_key is not None:
        return Explanation(reason="results are looked for by result_storage_key, and by no policy")
    site = TaskSite(task, scope)  # one of its own: the call is not made, and not counted
    run = TaskRun(site, scope.id, 0, site.now(), None, args, kwargs, Context(), task.tags, scope.engine.offload)
    return explain(task, keeping.policy, run, inputs, scope.parameters)


@attrs.frozen
class Keeping:
    """How the results of a task are kept in one flow run.

    Args:
        policy: What makes the key of a run's result; `NO_CACHE` where nothing is looked up.
        store: Where results are.
        refresh: Do not look for a result; write another one.
        own_keys: The own keys of the flow run, where the keys that the policy makes are such.
        waiting: By id of the run: attempts that are not to begin yet, as another run is at work on their key.
    """

    policy: CachePolicy
    store: ResultStore
    refresh: bool
    own_keys: OwnKeys | None = None
    waiting: dict[int, Transacted] = attrs.field(factory=dict, init=False, repr=False)

    def give_up(self, run: TaskRun) -> None:
        """A run is not to begin after all: let go of what it has waited for, if it has that by now."""
        waiting = self.waiting.get(run.id)
        if waiting is not None and waiting.served:
            waiting.give_up()


def keeping_of(task: TaskDefinition, scope: FlowRun) -> Keeping | None:
    """How the results of a task are kept in a flow run; None where nothing is kept and nothing looked up."""
    if not _first(task.keeps_results, scope.persist_result, RESULTS_PERSIST_BY_DEFAULT.read()):
        return None
    refresh: bool = _first(task.refresh_cache, TASKS_REFRESH_CACHE.read())
    policy = task.cache_policy
    if policy is None:
        policy = NO_CACHE if task.result_storage_key is not None else DEFAULT
    if TASKS_DISABLE_CACHING.read():
        policy, refresh = NO_CACHE, True
    locks = policy.lock_manager
    if locks is None and policy.isolation_level == IsolationLevel.SERIALIZABLE:
        locks = scope.engine.locks
    store = ResultStore(
        _first(policy.key_storage, task.result_storage, scope.result_storage),
        serializer=_first(task.result_serializer, scope.result_serializer),
        lock_manager=locks,
        cache_result_in_memory=task.cache_result_in_memory,
        clock=scope.engine.now,
    )
    return Keeping(policy, store, refresh, scope.own_keys() if is_of_one_run(policy) else None)


async def keep_result_of_flow(run: FlowRun, value: Any, fx: Effects) -> Any:
    """Keep what the body of a flow has returned, under the id of its run.

    Args:
        run: The flow run, whose results are to be kept.
        value: What the body has returned; nothing, and states, are not kept: they say what becomes of the run.
        fx: How it is written.

    Returns:
        What is to stand in the data of the run's final state.
    """
    if value is None or holds_states(value):
        return value
    in_memory = run.flow is None or run.flow.cache_result_in_memory
    key = run.uuid.hex
    try:
        store = ResultStore(
            run.result_storage,
            serializer=run.result_serializer,
            cache_result_in_memory=in_memory,
            clock=run.engine.now,
        )
        if store.blocking:
            await fx.io(store.write, key, value)
        else:
            store.write(key, value)
    except Exception as error:  # noqa: BLE001  # values, serializers and storages bring code of their own
        warn_of(run, error)
        return value
    return value if in_memory else StoredValue(store, key)


def _first(*options: Any) -> Any:
    """The first option that was given. Not the first that is true: a storage may be empty."""
    return next((option for option in options if option is not None), None)


def recording_of(run: TaskRun, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Recording:
    """What is to be kept of a run's result."""
    task = run.task
    keeping = run.node.keeping
    if keeping is None:
        transacted = get_transaction() is not None or task.on_commit_hooks or task.on_rollback_hooks
        return Transacted(run) if transacted else NOT_RECORDED
    waited = keeping.waiting.pop(run.id, None)
    if waited is not None:
        return waited
    inputs = _inputs_of(task, args, kwargs)
    cache_key = key_of(keeping.policy, run, inputs, run.scope.parameters)
    chosen = None if task.storage_key is None else task.storage_key.make(inputs, run)
    return Transacted(run, keeping, chosen or cache_key, cache_key)


def _inputs_of(task: TaskDefinition, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by name, with what a method is called on: that makes a difference, too."""
    parameters = task.shape.by_name(args, kwargs)
    receiver = task.receiver
    return parameters if receiver is None else {receiver[0]: receiver[1], **parameters}
