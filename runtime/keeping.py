"""Keeping: what is kept of a task run's result, and what is found in its place.

Decides which runs look into a cache and keep their results, where and under which key; that a result is written before
its run's end is told; and that one which cannot be written leaves the run COMPLETED, with a warning. How a transaction
goes is decided by `transactions`, what a key is made of by `caching`, what a hit means by the run's actor.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextvars import Context
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import attrs

from millrace.actors.errors import ConfigurationError, SerializationError, StorageError
from millrace.actors.isolation import IsolationLevel
from millrace.actors.messages import Propose
from millrace.actors.outcomes import return_value_to_state
from millrace.actors.states import State, StateDetails, StateType
from millrace.actors.stored_result import Found
from millrace.actors.task_run import holds_states
from millrace.actors.timestamps import from_nanoseconds
from millrace.runtime.caching import DEFAULT, NO_CACHE, CacheKeyFnPolicy, CachePolicy, Explanation, explain, key_of
from millrace.runtime.caching.policies import NoCache
from millrace.runtime.context import TaskRunContext
from millrace.runtime.effects import Effects
from millrace.runtime.engine import current_scope
from millrace.runtime.recording import NOT_RECORDED, Recording
from millrace.runtime.results import ResultStore, StoredValue, serializer_of, storage_of
from millrace.runtime.runs import TaskRun
from millrace.runtime.settings import RESULTS_PERSIST_BY_DEFAULT, TASKS_DISABLE_CACHING, TASKS_REFRESH_CACHE
from millrace.runtime.storage_keys import StorageKey
from millrace.runtime.transactions import Transaction, get_transaction

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.flow_run import FlowRun

ROLLED_BACK: Final = "RolledBack"
"""Name of the COMPLETED state of a run whose transaction was rolled back."""

_logger = logging.getLogger("millrace.results")


def check_keeping(task: BaseTask[Any, Any]) -> None:
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
    if task.result_storage is not None:
        task.result_storage = storage_of(task.result_storage)
    if task.result_serializer is not None:
        task.result_serializer = serializer_of(task.result_serializer)
    if task.result_storage_key is not None:
        task.storage_key = StorageKey.of(task.result_storage_key, task.shape)


def explain_cache(task: BaseTask[Any, Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Explanation:
    """Why a call of a task would be, or would not be, taken from its cache. See `BaseTask.cache_explain`."""
    scope = current_scope()
    keeping = keeping_of(task, scope)
    run = TaskRun(scope.site(task), scope.id, 0, None, args, kwargs, Context(), task.tags, scope.engine.offload)
    parameters = task.shape.by_name(args, kwargs)
    context = TaskRunContext(task, run, parameters, from_nanoseconds(run.created))
    policy = NO_CACHE if keeping is None else keeping.policy
    return explain(task, policy, context, parameters, scope.parameters)


@attrs.frozen
class Keeping:
    """How the results of a task are kept in one flow run.

    Args:
        policy: What makes the key of a run's result; `NO_CACHE` where nothing is looked up.
        store: Where results are; None where none are kept.
        refresh: Do not look for a result; write another one.
    """

    policy: CachePolicy
    store: ResultStore | None
    refresh: bool


def keeping_of(task: BaseTask[Any, Any], scope: FlowRun) -> Keeping | None:
    """How the results of a task are kept in a flow run; None where nothing is kept and nothing looked up."""
    caches = task.cache_policy is not None and not isinstance(task.cache_policy, NoCache)
    asked = caches or any((task.result_storage, task.result_serializer, task.result_storage_key))
    persists = task.persist_result
    if persists is None and not asked:
        persists = scope.persist_result
        if persists is None:
            persists = RESULTS_PERSIST_BY_DEFAULT.read()
    if persists is False:
        return None
    policy = task.cache_policy
    if policy is None:
        policy = NO_CACHE if task.result_storage_key is not None else DEFAULT
    if TASKS_DISABLE_CACHING.read():
        policy = NO_CACHE
    locks = policy.lock_manager
    if locks is None and policy.isolation_level == IsolationLevel.SERIALIZABLE:
        locks = scope.engine.locks
    store = ResultStore(
        policy.key_storage or task.result_storage or scope.result_storage,
        serializer=task.result_serializer or scope.result_serializer,
        lock_manager=locks,
        clock=scope.engine.now,
    )
    refresh = TASKS_REFRESH_CACHE.read() if task.refresh_cache is None else task.refresh_cache
    return Keeping(policy, store, refresh)


def recording_of(run: TaskRun, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Recording:
    """What is to be kept of a run's result."""
    task = run.task
    keeping = run.node.keeping
    if keeping is None and get_transaction() is None and not (task.on_commit_hooks or task.on_rollback_hooks):
        return NOT_RECORDED
    key = cache_key = None
    if keeping is not None:
        parameters = task.shape.by_name(args, kwargs)
        started = from_nanoseconds(run.started or run.created)
        cache_key = key_of(
            keeping.policy, TaskRunContext(task, run, parameters, started), parameters, run.scope.parameters
        )
        key = cache_key or run.uuid.hex if task.storage_key is None else task.storage_key.make(parameters, run)
    return Transacted(run, keeping, key, cache_key)


class Transacted(Recording):
    """A result in a transaction of its run's own, inside the one that is current where the run was started."""

    __slots__ = ("_begun", "_cache_key", "_expires", "_keeping", "_key", "_nested", "_run", "_transaction")

    def __init__(self, run: TaskRun, keeping: Keeping | None, key: str | None, cache_key: str | None) -> None:
        self._run = run
        self._keeping = keeping
        self._key = key
        self._cache_key = cache_key
        self._expires: datetime | None = None
        self._nested = get_transaction() is not None
        # Only a key of a cache, or one that the user chose, can be there already.
        known = cache_key is not None or run.task.storage_key is not None
        self._transaction = Transaction(
            key,
            None if keeping is None else keeping.store,
            isolation_level=None if keeping is None or not known else keeping.policy.isolation_level,
            overwrite=keeping is None or keeping.refresh or not known,
            logger=_logger,
        )
        self._begun = False

    async def begin(self, fx: Effects) -> State[Any] | None:
        """Begin the transaction, and look for a result under the key."""
        await self._transaction._begin(fx)  # noqa: SLF001
        self._begun = True
        if self._cache_key is None and not self._transaction.is_committed():
            return None
        details = StateDetails(cache_key=self._cache_key, refresh_cache=self._transaction.overwrite or None)
        found: Found | None = None
        record = self._transaction.read() if self._transaction.is_committed() else None
        if record is not None:
            found = Found(self._in_state(record.value), record.expiration)
        return State(type=StateType.RUNNING, data=found, state_details=details)

    async def keep(self, value: Any, fx: Effects) -> Any:
        """Write the result, or stage it for the transaction around; with the hooks of the task."""
        run, transaction = self._run, self._transaction
        result = value
        if holds_states(value):
            state = return_value_to_state(value)
            if not state.is_completed():
                return value
            result = state.data
        written = await self._write(result, fx) if self._keeping is not None else False
        if not written:
            transaction.write_on_commit = False
        task = run.task
        transaction.stage(
            self._record(result) if written and self._nested else None,
            on_rollback_hooks=[self._rolled_back, *task.on_rollback_hooks],
            on_commit_hooks=task.on_commit_hooks,
        )
        return self._in_state(result) if written and result is value else value

    async def leave(self, fx: Effects) -> None:
        """Commit the transaction, or roll it back where the run did not come to a result."""
        if self._begun:
            completed = self._run.type is StateType.COMPLETED
            await self._transaction._leave(fx, None if completed else _NotCompleted())  # noqa: SLF001

    async def _write(self, result: Any, fx: Effects) -> bool:
        """Write a result now, or see whether it can be written when the transaction around is committed."""
        keeping, transaction = self._keeping, self._transaction
        assert keeping is not None  # checked by the caller
        store = keeping.store
        assert store is not None  # there is one wherever something is kept
        if self._run.task.cache_expiration is not None:
            self._expires = from_nanoseconds(self._run.node.now()) + self._run.task.cache_expiration
        try:
            if self._nested:
                store.serializer.dumps(result)
                return True
            transaction.write_on_commit = False
            if store.blocking:
                await fx.io(store.persist, self._record(result))
            else:
                store.persist(self._record(result))
        except (SerializationError, StorageError) as error:
            _logger.warning("The result of task run '%s' is not kept. %s", self._run.name, error)
            return False
        return True

    def _record(self, result: Any) -> Any:
        keeping = self._keeping
        assert keeping is not None  # checked by the caller
        assert keeping.store is not None
        assert self._key is not None
        return keeping.store.create_record(self._key, result, expiration=self._expires)

    def _in_state(self, result: Any) -> Any:
        """What stands for a result in the state: itself, or where it lies."""
        keeping = self._keeping
        if keeping is None or keeping.store is None or self._key is None or self._run.task.cache_result_in_memory:
            return result
        return StoredValue(keeping.store, self._key)

    def _rolled_back(self, _transaction: Transaction) -> None:
        run = self._run
        state = State[Any](
            type=StateType.COMPLETED, name=ROLLED_BACK, message="It was rolled back with its transaction."
        )
        run.tell(Propose(state, run.node.now(), force=True))


class _NotCompleted(Exception):  # never raised: it tells a transaction that its block has failed
    """The run did not come to a result."""
