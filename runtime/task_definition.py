"""What a task is made of: its function, its options and its hooks, and what each attempt of its runs comes with.

Decides how options become what runs are made with, and whether there is more to an attempt than the body. Knows nothing
of calls, and not where runs go: see `base_task`.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any, Self, TypeVar, Unpack, cast

from millrace.actors.instructions import Order
from millrace.actors.pace import Pace
from millrace.actors.seconds import checked_limit
from millrace.actors.states import StateType
from millrace.runtime.binding import Bindable
from millrace.runtime.conduct import conduct
from millrace.runtime.deadlines import Deadline
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.hooks import Hook, checked_hooks
from millrace.runtime.prints import logs_prints
from millrace.runtime.runs import TaskRun
from millrace.runtime.settings import RESULTS_PERSIST_BY_DEFAULT
from millrace.runtime.task_options import (
    TaskOptions,
    check_names,
    flag_of,
    hooks_of,
    keeps_results,
    retry_policy_of,
    run_name_of,
    tags_of,
    text_of,
)

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from millrace.actors.policies import Delays, RetryPolicy
    from millrace.runtime.caching import CachePolicy
    from millrace.runtime.keeping import Keeping
    from millrace.runtime.recording import Recording
    from millrace.runtime.results import Serializer, Storage
    from millrace.runtime.run_names import RunName
    from millrace.runtime.storage_keys import StorageKey

H = TypeVar("H", bound=Callable[..., Any])

RESERVED = ("return_state", "wait_for")
"""Names that calls of a task use themselves."""


class TaskDefinition(Bindable):
    """What a task is made of.

    Attributes:
        fn: The bare function.
        name: For people.
        task_key: The same in every process as long as name and source of the function are.
    """

    is_async = False
    is_generator = False

    def __init__(self, fn: Callable[..., Any], **options: Unpack[TaskOptions]) -> None:
        check_names(options)
        self.options = options
        self.take_function(fn, RESERVED)
        self.name: str = text_of(options, "name") or str(getattr(self.fn, "__name__", type(self.fn).__name__))
        described = text_of(options, "description")
        self.description: str | None = inspect.getdoc(self.fn) if described is None else described
        self.tags: frozenset[str] = tags_of(options)
        self.pace: Pace = Pace()  # of its bodies, on threads
        self.version: str | None = text_of(options, "version")
        self.task_run_name: str | Callable[..., str] | None = options.get("task_run_name")
        self.run_name: RunName | None = run_name_of(options, "task_run_name", self.shape, self.name)
        self.retry_policy: RetryPolicy = retry_policy_of(options)
        self.retries: int = self.retry_policy.retries
        self.retry_delay_seconds: Delays | None = options.get("retry_delay_seconds")
        self.retry_jitter_factor: float | None = options.get("retry_jitter_factor")
        self.retry_condition_fn: Callable[..., Any] | None = self.retry_policy.condition
        self.timeout_seconds: float | None = checked_limit("timeout_seconds", options.get("timeout_seconds"))
        self.interruptible: bool = flag_of(options, "interruptible") is not False
        self.interrupts: bool = self.interruptible and not self.is_async  # a body that is over its time
        self.log_prints: bool | None = flag_of(options, "log_prints")
        self.persist_result: bool | None = flag_of(options, "persist_result")
        self.refresh_cache: bool | None = flag_of(options, "refresh_cache")
        self.cache_result_in_memory: bool = flag_of(options, "cache_result_in_memory") is not False
        self.result_storage: Storage | str | Path | None = options.get("result_storage")
        self.result_serializer: Serializer | str | None = options.get("result_serializer")
        self.result_storage_key: str | None = text_of(options, "result_storage_key")
        self.cache_key_fn: Callable[..., str | None] | None = options.get("cache_key_fn")
        self.cache_expiration: timedelta | None = options.get("cache_expiration")
        self.cache_policy: CachePolicy | None = options.get("cache_policy")
        # Parameters that results do not tell of.
        self.left_out: frozenset[str] = getattr(self.cache_policy, "left_out", frozenset())
        self.storage_key: StorageKey | None = None
        self.keeps_results: bool | None = keeps_results(options)
        if self.keeps_results or self.cache_expiration is not None:
            from millrace.runtime.keeping import check_keeping  # noqa: PLC0415  # few tasks keep anything

            check_keeping(self)
        self.on_running_hooks: list[Hook] = hooks_of(options, "on_running")
        self.on_completion_hooks: list[Hook] = hooks_of(options, "on_completion")
        self.on_failure_hooks: list[Hook] = hooks_of(options, "on_failure")
        self.on_commit_hooks: list[Hook] = hooks_of(options, "on_commit")
        self.on_rollback_hooks: list[Hook] = hooks_of(options, "on_rollback")
        functools.update_wrapper(cast("Any", self), self.fn)

    def with_options(self, **changes: Unpack[TaskOptions]) -> Self:
        """A copy of the task with some options changed; those that are left out stay, None gives the default.

        Raises:
            ConfigurationError: an option has the wrong type or is out of range.
        """
        check_names(changes)
        return type(self)(self.definition(), **(self._present_options() | changes))

    def _present_options(self) -> TaskOptions:
        """The options, with the hooks that were added since."""
        present: TaskOptions = {
            "tags": self.tags,  # what was given may be an iterator, and used up
            "on_running": self.on_running_hooks,
            "on_completion": self.on_completion_hooks,
            "on_failure": self.on_failure_hooks,
            "on_commit": self.on_commit_hooks,
            "on_rollback": self.on_rollback_hooks,
        }
        return self.options | present

    @functools.cached_property
    def task_key(self) -> str:
        """What the task is called in caches and queues: its function's name and the start of a hash of its source."""
        from millrace.runtime.caching import task_key  # noqa: PLC0415  # most tasks never need it

        return task_key(self.fn)

    @property
    def body(self) -> Callable[..., Any]:
        """What a submitted run calls."""
        return self.fn

    def deadline(self, run: TaskRun, attempt: int) -> Deadline:
        """The time that an attempt has, where there is a limit to that."""
        return Deadline(run, self.timeout_seconds or 0.0, attempt)

    # Hooks, as decorators.

    def on_running(self, hook: H) -> H:
        """Call a function, with task, run and state, whenever a body begins."""
        self.on_running_hooks += checked_hooks("on_running", [hook])
        return hook

    def on_completion(self, hook: H) -> H:
        """Call a function, with task, run and state, whenever a run is COMPLETED."""
        self.on_completion_hooks += checked_hooks("on_completion", [hook])
        return hook

    def on_failure(self, hook: H) -> H:
        """Call a function, with task, run and state, whenever a run is FAILED."""
        self.on_failure_hooks += checked_hooks("on_failure", [hook])
        return hook

    def on_commit(self, hook: H) -> H:
        """Call a function, with the transaction, whenever a run's result is committed."""
        self.on_commit_hooks += checked_hooks("on_commit", [hook])
        return hook

    def on_rollback(self, hook: H) -> H:
        """Call a function, with the transaction, whenever one is rolled back after a run."""
        self.on_rollback_hooks += checked_hooks("on_rollback", [hook])
        return hook

    def hooks_at(self, kind: StateType) -> Sequence[Hook]:
        """The hooks for runs that have entered a state of a type."""
        if kind is StateType.COMPLETED:
            return self.on_completion_hooks
        if kind is StateType.FAILED:
            return self.on_failure_hooks
        return self.on_running_hooks if kind is StateType.RUNNING else ()

    def recorder(self, scope: FlowRun) -> tuple[Callable[..., Recording] | None, Keeping | None]:
        """What makes, for each attempt in a flow run, what it does about its result; and how results are kept there."""
        asked = (
            self.keeps_results is not None
            or scope.persist_result is not None
            or scope.transactional
            or self.on_commit_hooks
            or self.on_rollback_hooks
            or RESULTS_PERSIST_BY_DEFAULT.read()
        )
        if not asked or (
            self.keeps_results is False and not (scope.transactional or self.on_commit_hooks or self.on_rollback_hooks)
        ):
            return None, None
        from millrace.runtime.keeping import keeping_of, recording_of  # noqa: PLC0415  # few tasks keep anything

        return recording_of, keeping_of(self, scope)

    def conductor(
        self, scope: FlowRun, *, takes_slots: bool
    ) -> Callable[[TaskRun], Coroutine[Any, Any, Order | None]] | None:
        """What sees attempts through in a flow run; None where there is nothing to an attempt but the body."""
        conducted = (
            takes_slots
            or self.retry_policy.asks
            or self.run_name is not None
            or self.on_running_hooks
            or self.on_completion_hooks
            or self.on_failure_hooks
            or self.recorder(scope)[0] is not None
            or self.log_prints is False  # a body around it may have its prints logged
            or logs_prints(self.log_prints, scope.log_prints)
        )
        return conduct if conducted else None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.name!r}>"
