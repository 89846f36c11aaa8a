"""The options of a flow: which there are, what each takes, and their defaults.

All that `@flow` and `with_options` are given is checked here, when the flow is made, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import ConfigurationError, FlowDefinitionError
from millrace.actors.keywords import Keywords
from millrace.actors.policies import LET_IT_CRASH, CrashPolicy, Delays, RetryPolicy
from millrace.runtime.hooks import Hook
from millrace.runtime.runners import TaskRunner
from millrace.runtime.settings import FLOW_DEFAULT_RETRIES, FLOW_DEFAULT_RETRY_DELAY_SECONDS

if TYPE_CHECKING:
    from pathlib import Path

    from millrace.runtime.results import Serializer, Storage


class FlowOptions(Keywords, total=False):
    """What `@flow(...)` and `with_options(...)` take; what is left out, or None, has its default.

    Args:
        name: For people; the function's.
        description: The function's docstring.
        version: The user's own.
        flow_run_name: Of every run: a template such as `"crawl-{day}"`, or a function of nothing or of `parameters`; an
            adjective and an animal.
        retries: How often the body is run again when the run fails; `MILLRACE_FLOW_DEFAULT_RETRIES`, or 0. Task runs
            that the body itself has started and that completed before give their results without running again.
        retry_delay_seconds: How long to wait before each retry: a number, or a list whose last one repeats.
        task_runner: Where submitted tasks run; the flow's loop for async ones, threads for sync ones.
        timeout_seconds: How long an attempt may take; without limit.
        validate_parameters: Whether arguments are converted to what their annotations ask for; True.
        persist_result: Whether the results of the flow and of its tasks are kept in a storage; as the flow around says.
        result_storage: Where: a storage, a folder, or a URL; as the flow around says.
        result_serializer: How: a serializer or the tag of one; as the flow around says.
        cache_result_in_memory: Whether the run holds its persisted result as well; True.
        log_prints: Whether `print` in the body and in its tasks goes to the run's logger; as the flow around says.
        crash_policy: What is done about task runs that crash; nothing.
        on_running: Called with flow, run and state when the body begins; sync or async.
        on_completion: The same when a run is COMPLETED.
        on_failure: The same when a run is FAILED.
        on_cancellation: The same when a run that is cancelled has stopped.
        on_crashed: The same when a run is CRASHED.
    """

    name: str | None
    description: str | None
    version: str | None
    flow_run_name: str | Callable[..., str] | None
    retries: int | None
    retry_delay_seconds: Delays | None
    task_runner: TaskRunner | None
    timeout_seconds: float | None
    validate_parameters: bool | None
    persist_result: bool | None
    result_storage: Storage | str | Path | None
    result_serializer: Serializer | str | None
    cache_result_in_memory: bool | None
    log_prints: bool | None
    crash_policy: CrashPolicy | None
    on_running: Sequence[Hook] | None
    on_completion: Sequence[Hook] | None
    on_failure: Sequence[Hook] | None
    on_cancellation: Sequence[Hook] | None
    on_crashed: Sequence[Hook] | None


NAMES = frozenset(FlowOptions.__annotations__)


def check_names(options: Mapping[str, Any]) -> None:
    """Check that all options exist.

    Raises:
        FlowDefinitionError: one does not; a `TypeError`, as for a function that does not take an argument.
    """
    for name in options:
        if name not in NAMES:
            known = ", ".join(sorted(NAMES))
            raise FlowDefinitionError(f"A flow has no option '{name}'. There are: {known}.")


def retry_policy_of(options: FlowOptions) -> RetryPolicy:
    """The retry policy that the options, and the settings where they say nothing, ask for.

    Raises:
        ConfigurationError: one cannot be used.
    """
    retries = options.get("retries")
    delays = options.get("retry_delay_seconds")
    if retries is None:
        retries = FLOW_DEFAULT_RETRIES.read()
    if delays is None:
        delays = FLOW_DEFAULT_RETRY_DELAY_SECONDS.read()
    return RetryPolicy.of(retries, delays)


def crash_policy_of(options: FlowOptions) -> CrashPolicy:
    """The crash policy.

    Raises:
        ConfigurationError: it is none.
    """
    policy = options.get("crash_policy")
    if policy is not None and not isinstance(policy, CrashPolicy):
        raise ConfigurationError("crash_policy", policy, "a CrashPolicy")
    return LET_IT_CRASH if policy is None else policy


def kept_where(options: FlowOptions) -> tuple[Any, Any]:
    """The storage and the serializer of results; None where the options do not say.

    Raises:
        ConfigurationError: one has the wrong type.
    """
    storage, serializer = options.get("result_storage"), options.get("result_serializer")
    if storage is None and serializer is None:
        return None, None
    from millrace.runtime.keeping import check_kept_where  # noqa: PLC0415  # few flows keep anything

    return check_kept_where(storage, serializer)


def task_runner_of(options: FlowOptions) -> TaskRunner | None:
    """The task runner.

    Raises:
        ConfigurationError: it is none.
    """
    runner = options.get("task_runner")
    if runner is not None and not isinstance(runner, TaskRunner):
        raise ConfigurationError("task_runner", runner, "a TaskRunner, such as ThreadPoolTaskRunner()")
    return runner
