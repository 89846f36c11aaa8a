"""Serving: how programs run a worker.

Decides which engine it works on, what tasks it takes, and what signals mean to it. The engine is the one that has the
store open in this process, so that its limits and its store hold for what is served; else one of the worker's own,
which has no store: the states of what it runs stand in the queue.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import BlockingCallOnLoop, ConfigurationError, TaskDefinitionError, TerminationSignal
from millrace.runtime.base_task import BaseTask
from millrace.runtime.deferred.delaying import check_deferrable
from millrace.runtime.deferred.opening import queue_for
from millrace.runtime.deferred.worker import Worker
from millrace.runtime.engine import Engine
from millrace.runtime.flow import BaseFlow
from millrace.runtime.loops import run_in_new_loop
from millrace.runtime.running import running_loop
from millrace.runtime.settings import whole_number

if TYPE_CHECKING:
    from millrace.runtime.stores.port import Store

AT_ONCE = 10
"""How many runs a worker has at a time where nobody says."""


class TaskWorker:
    """Runs what is put off: takes runs of some tasks from the queue of a store, one after another, and runs them.

    Args:
        *tasks: The tasks.
        limit: How many runs it may have at a time; None for no limit.
        store: The store, or its URL; by default that of the engine at hand, else that of `MILLRACE_STORE`.

    Raises:
        TaskDefinitionError: one is no task, or cannot be served: a generator, or bound to an object.
        ConfigurationError: there are none, or two with one key; or the limit is less than 1.
    """

    def __init__(
        self, *tasks: BaseTask[Any, Any], limit: int | None = AT_ONCE, store: Store | str | None = None
    ) -> None:
        if not tasks:
            raise ConfigurationError("tasks", (), "at least one task to serve")
        self.limit: int | None = None if limit is None else _checked_limit(limit)
        self.tasks: dict[str, BaseTask[Any, Any]] = {}  # by key
        for task in tasks:
            _check_served(task)
            if self.tasks.setdefault(task.task_key, task) is not task:
                raise ConfigurationError("tasks", task.name, "tasks with different code: workers know them by that")
        self._store = store
        self._worker: Worker | None = None
        self._stopped = False  # before it began
        self._done = False

    async def start(self) -> None:
        """Serve, until it is stopped or cancelled.

        Raises:
            ConfigurationError: there is no store, or it has no queue.
            StoreError: the queue cannot be used, or has failed.

        Cancellation: no more runs are taken. Those that were get the engine's grace period to end by themselves; async
        ones that have not are cancelled then, and given back; sync ones are waited for. Then it goes on up.
        """
        queue, engine = queue_for(self._store)
        own = None if engine is not None else Engine(threads=self.limit)
        try:
            self._worker = Worker(queue, engine or own or Engine.current(), self.tasks, self.limit)
            if self._stopped:
                self._worker.stop()
            await self._worker.work()
        finally:
            self._done = self._worker is not None
            if own is not None:
                await own.aclose(cancel=True)

    def stop(self) -> None:
        """Stop it, as a cancellation does. From any thread; returns at once."""
        self._stopped = True
        if self._worker is not None:
            self._worker.stop()

    def run(self) -> None:
        """Serve from sync code: blocks until it is stopped, or Ctrl-C or a request to terminate has stopped it.

        The first signal stops it as a cancellation does; the second ends all at once. Signals are heard in the main
        thread only.

        Raises:
            BlockingCallOnLoop: a loop runs on this thread.
            KeyboardInterrupt: a second signal came.
            StoreError, ConfigurationError: see `start`.
        """
        if running_loop() is not None:
            raise BlockingCallOnLoop("serve(...)", "await aserve(...)")
        try:
            run_in_new_loop(self.start)
        except (KeyboardInterrupt, TerminationSignal):
            if not self._done:
                raise


def serve(*tasks: BaseTask[Any, Any], limit: int | None = AT_ONCE, store: Store | str | None = None) -> None:
    """Run what is put off of some tasks, here, until Ctrl-C or a request to terminate. See `TaskWorker.run`.

    Args:
        *tasks: The tasks.
        limit: How many runs at a time; None for no limit.
        store: The store, or its URL; by default that of the engine at hand, else that of `MILLRACE_STORE`.

    Raises:
        TaskDefinitionError: one is no task, or cannot be served.
        ConfigurationError: there are none; the limit is less than 1; there is no store, or it has no queue.
        BlockingCallOnLoop: a loop runs on this thread; use `await aserve(...)`.
        StoreError: the queue cannot be used, or has failed.
    """
    TaskWorker(*tasks, limit=limit, store=store).run()


async def aserve(*tasks: BaseTask[Any, Any], limit: int | None = AT_ONCE, store: Store | str | None = None) -> None:
    """The same in async code: serves until it is cancelled. See `serve`, and for cancellation `TaskWorker.start`."""
    await TaskWorker(*tasks, limit=limit, store=store).start()


def _checked_limit(limit: object) -> int:
    if isinstance(limit, bool) or not isinstance(limit, int):
        raise ConfigurationError("limit", limit, "a whole number, 1 or more; or None for no limit")
    return whole_number("limit", limit, 1)


def _check_served(task: object) -> None:
    if not isinstance(task, BaseTask):
        hint = "Decorate it with @task."
        if asyncio.iscoroutine(task):
            task.close()
            hint = "Pass the task itself, not a call of it."
        elif isinstance(task, BaseFlow):
            hint = "It is a flow; only tasks are served."
        raise TaskDefinitionError(f"Cannot serve {task!r}, a {type(task).__name__}: expected a task. {hint}")
    check_deferrable(task, "be served")
