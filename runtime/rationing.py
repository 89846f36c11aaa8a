"""Rationing: what an engine knows of limits as long as it has none, which is ordinarily for good.

Decides nothing. The limits themselves are made, and what they need is imported, when somebody makes the first or asks.
"""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import ConfigurationError
from millrace.runtime.context import TAGS
from millrace.runtime.futures import future_of
from millrace.runtime.settings import LIMITS

if TYPE_CHECKING:
    from millrace.actors.tickets import Amount
    from millrace.actors.token_bucket import RateLimit
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.engine import Engine
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.futures import Future
    from millrace.runtime.limits import Limits
    from millrace.runtime.runners import TaskRunner
    from millrace.runtime.runs import TaskRun


class Rationing:
    """The limits of one engine, if it has any. From any thread.

    Args:
        engine: The engine.
    """

    __slots__ = ("_engine", "_limits", "_lock", "tags")

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._limits: Limits | None = None
        self._lock = Lock()
        self.tags: frozenset[str] = frozenset()  # the names of the limits: tasks with one of these tags take slots

    def begin(self, limits: Mapping[str, Amount]) -> None:
        """Make those that the engine begins with."""
        for name, amount in limits.items():
            self.limits.create(name, amount)

    @property
    def limits(self) -> Limits:
        """The limits; made now if they were not there."""
        if self._limits is None:
            from millrace.runtime.limits import Limits  # noqa: PLC0415  # few engines need it

            with self._lock:
                self._limits = self._limits or Limits(self._engine)
        return self._limits

    def concerns(self, tags: frozenset[str]) -> bool:
        """Whether runs with such tags take slots."""
        return not self.tags.isdisjoint(tags)

    def entrust(  # noqa: PLR0917  # what a call is made of
        self,
        scope: FlowRun,
        runner: TaskRunner,
        task: BaseTask[Any, Any],
        parameters: Mapping[str, Any],
        wait_for: Any,
        priority: int,
    ) -> Future[Any]:
        """Have a task runner of somebody else's see to a run: at once, or where it takes slots, when it has them."""
        if self.tags and self.concerns(task.tags | TAGS.get()):
            return self.limits.entrusting.submit(scope, runner, task, parameters, wait_for, priority)
        return future_of(runner, task, parameters, wait_for)

    def stop_waiting(self, run: TaskRun | FlowRun) -> None:
        """A run is to stop: wake its body where that waits for a limit in a thread."""
        if self._limits is not None:
            self._limits.stop_waiting(run.id)

    def waiting(self) -> dict[int, bool]:
        """The runs that wait for a limit, by id; each with whether it waits for a time with that."""
        return {} if self._limits is None else self._limits.waiting()


def wanted_limits(limits: Mapping[str, Amount] | None) -> Mapping[str, Amount]:
    """The limits that an engine begins with: those of the setting, and those that are given, which come first.

    Raises:
        ConfigurationError: they are no mapping, or one of them is no limit.
    """
    if limits is not None and not isinstance(limits, Mapping):
        raise ConfigurationError("limits", limits, "a mapping from names to limits, such as {'http': 20}")
    wanted = {**LIMITS.read(), **(limits or {})}
    if wanted:
        from millrace.runtime.limits.amounts import checked_amount, checked_name  # noqa: PLC0415  # few engines have any

        for name, amount in wanted.items():
            checked_amount(checked_name(name), amount)
    return wanted


def checked_rate(value: Any) -> RateLimit | None:
    """Check the rate of a map or a stream: a whole number is so many a second, and None is none.

    Raises:
        ConfigurationError: it is neither a number nor a rate.
    """
    from millrace.actors.token_bucket import RateLimit  # noqa: PLC0415  # few maps have one

    if value is None or isinstance(value, RateLimit):
        return value
    try:
        return RateLimit(value)
    except ConfigurationError:
        raise ConfigurationError("rate_limit", value, "a RateLimit, or how many a second, 1 or more") from None
