"""The options of a task: which there are, what each takes, which contradict each other, and their defaults.

All that `@task` and `with_options` are given is checked here, when the task is made, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import ConfigurationError, TaskDefinitionError
from millrace.actors.keywords import Keywords
from millrace.actors.policies import Delays, RetryPolicy
from millrace.runtime.hooks import Hook, checked_hooks
from millrace.runtime.settings import TASK_DEFAULT_RETRIES, TASK_DEFAULT_RETRY_DELAY_SECONDS

if TYPE_CHECKING:
    from datetime import timedelta
    from pathlib import Path

    from millrace.runtime.caching import CachePolicy
    from millrace.runtime.results import Serializer, Storage
    from millrace.runtime.run_names import RunName
    from millrace.runtime.shape import Shape


class TaskOptions(Keywords, total=False):
    """What `@task(...)` and `with_options(...)` take; what is left out, or None, has its default.

    Args:
        name: For people; the function's.
        description: The function's docstring.
        tags: Of every run.
        version: The user's own.
        task_run_name: Of every run: a template such as `"fetch-{url}"`, or a function of nothing or of `parameters`;
            the task's name and the end of the run's id.
        retries: How often a failed attempt is tried again; `MILLRACE_TASK_DEFAULT_RETRIES`, or 0.
        retry_delay_seconds: How long to wait before each retry: a number, a list whose last one repeats, or a function
            from the number of retries to one of these.
        retry_jitter_factor: How far a delay is spread around its mean, as a share of it; not at all.
        retry_condition_fn: Called with task, run and state before each retry; sync or async. What is not true, and an
            error, mean no.
        timeout_seconds: How long an attempt may take; without limit.
        interruptible: Whether a sync body that has timed out gets an exception raised in its thread; True.
        log_prints: Whether `print` in the body goes to the run's logger; as the flow says.
        cache_policy: Makes the key of a run's result; no caching, or `DEFAULT` where results are persisted.
        cache_key_fn: A function from context and arguments to that key, in place of a policy.
        cache_expiration: How long a cached result is used, where results are kept; for ever.
        refresh_cache: Run although a result is in the cache, and write it anew.
        persist_result: Whether results are kept in a storage; where another option asks for one, or the flow does.
        result_storage: Where: a storage, a folder, or a URL; the flow's.
        result_serializer: How: a serializer or the tag of one; the flow's.
        result_storage_key: Under which key: a template of the parameters; the cache's key, or one of the run's own.
        cache_result_in_memory: Whether the run holds its persisted result as well; True.
        on_running: Called with task, run and state when a body begins; sync or async.
        on_completion: The same when a run is COMPLETED.
        on_failure: The same when a run is FAILED.
        on_commit: Called with the transaction in which a run's result was committed.
        on_rollback: Called with the transaction that was rolled back after a run.
    """

    name: str | None
    description: str | None
    tags: Iterable[str] | None
    version: str | None
    task_run_name: str | Callable[..., str] | None
    retries: int | None
    retry_delay_seconds: Delays | None
    retry_jitter_factor: float | None
    retry_condition_fn: Callable[..., Any] | None
    timeout_seconds: float | None
    interruptible: bool | None
    log_prints: bool | None
    cache_policy: CachePolicy | None
    cache_key_fn: Callable[..., str | None] | None
    cache_expiration: timedelta | None
    refresh_cache: bool | None
    persist_result: bool | None
    result_storage: Storage | str | Path | None
    result_serializer: Serializer | str | None
    result_storage_key: str | None
    cache_result_in_memory: bool | None
    on_running: Sequence[Hook] | None
    on_completion: Sequence[Hook] | None
    on_failure: Sequence[Hook] | None
    on_commit: Sequence[Hook] | None
    on_rollback: Sequence[Hook] | None


NAMES = frozenset(TaskOptions.__annotations__)


def check_names(options: Mapping[str, Any]) -> None:
    """Check that all options exist.

    Raises:
        TaskDefinitionError: one does not; a `TypeError`, as for a function that does not take an argument.
    """
    for name in options:
        if name not in NAMES:
            known = ", ".join(sorted(NAMES))
            raise TaskDefinitionError(f"A task has no option '{name}'. There are: {known}.")


def retry_policy_of(options: TaskOptions) -> RetryPolicy:
    """The retry policy that the options, and the settings where they say nothing, ask for.

    Raises:
        ConfigurationError: one cannot be used.
    """
    retries = options.get("retries")
    delays = options.get("retry_delay_seconds")
    if retries is None:
        retries = TASK_DEFAULT_RETRIES.read()
    if delays is None:
        delays = TASK_DEFAULT_RETRY_DELAY_SECONDS.read()
    return RetryPolicy.of(retries, delays, options.get("retry_jitter_factor"), options.get("retry_condition_fn"))


def tags_of(options: TaskOptions) -> frozenset[str]:
    """The tags.

    Raises:
        ConfigurationError: they are no collection of strings.
    """
    tags = options.get("tags")
    if tags is None:
        return frozenset()
    if isinstance(tags, str) or not isinstance(tags, Iterable):
        raise ConfigurationError("tags", tags, "a collection of strings, not one string")
    several = tuple(tags)
    if not all(isinstance(tag, str) for tag in several):
        raise ConfigurationError("tags", tags, "a collection of strings")
    return frozenset(several)


def text_of(options: Mapping[str, Any], name: str) -> str | None:
    """An option that is text.

    Raises:
        ConfigurationError: it is not.
    """
    text = options.get(name)
    if text is not None and not isinstance(text, str):
        raise ConfigurationError(name, text, "a string")
    return text


def run_name_of(options: Mapping[str, Any], name: str, shape: Shape, owner: str) -> RunName | None:
    """An option that gives runs their names.

    Args:
        options: All options.
        name: The one.
        shape: Of the function.
        owner: The name of the task or flow, for errors.

    Raises:
        ConfigurationError: it is neither a template nor a function, or names something that is no parameter.
    """
    if options.get(name) is None:
        return None
    from millrace.runtime.run_names import RunName  # noqa: PLC0415  # slow to import, and most runs have usual names

    return RunName.of(name, options[name], shape, owner=owner)


def flag_of(options: Mapping[str, Any], name: str) -> bool | None:
    """An option that is true or false, or not given.

    Raises:
        ConfigurationError: it is something else.
    """
    flag = options.get(name)
    if flag is not None and not isinstance(flag, bool):
        raise ConfigurationError(name, flag, "True or False")
    return flag


def hooks_of(options: Mapping[str, Any], name: str) -> list[Hook]:
    """An option that is a list of hooks.

    Raises:
        ConfigurationError: it is something else.
    """
    return list(checked_hooks(name, options.get(name)))


def keeps_results(options: TaskOptions) -> bool | None:
    """Whether the options ask for results to be kept, or looked up: None where they do not say.

    Raises:
        ConfigurationError: they contradict each other.
    """
    persists = flag_of(options, "persist_result")
    asks = [name for name in _ASKING if _asks(name, options.get(name))]
    if options.get("cache_policy") is not None and options.get("cache_key_fn") is not None:
        raise ConfigurationError("cache_key_fn", options.get("cache_key_fn"), "nothing beside a cache_policy")
    useless = asks if options.get("cache_expiration") is None else [*asks, "cache_expiration"]
    if persists is False and useless:
        raise ConfigurationError("persist_result", persists, f"True, or nothing, beside {' and '.join(useless)}")
    return True if asks else persists


_ASKING = ("cache_policy", "cache_key_fn", "result_storage", "result_serializer", "result_storage_key")
"""Options that ask for results to be kept."""


def _asks(name: str, value: object) -> bool:
    if value is None or name != "cache_policy":
        return value is not None
    from millrace.runtime.caching.policies import NoCache  # noqa: PLC0415  # imported already by whoever has a policy

    return not isinstance(value, NoCache)
