"""The engine of tests: in virtual time, with faults on request, and a memory of what has run.

Decides which attempts fail by request, and what is remembered of a run. Everything else is as in any engine: bodies run
where they do, on the loop of the test and on threads.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial
from threading import Lock
from typing import TYPE_CHECKING, Any
from uuid import UUID

import attrs

from millrace.actors.errors import ConfigurationError
from millrace.actors.events import Event, Journal
from millrace.actors.states import State, StateType
from millrace.runtime.base_task import BaseTask
from millrace.runtime.context import CURRENT
from millrace.runtime.engine import Engine
from millrace.runtime.flow import BaseFlow
from millrace.runtime.settings import whole_number
from millrace.runtime.testing.clock import VirtualClock
from millrace.runtime.testing.mover import Mover

if TYPE_CHECKING:
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.task_site import TaskSite

Runnable = BaseTask[Any, Any] | BaseFlow[Any, Any]


@attrs.define(eq=False)
class SeenRun:
    """What an engine of tests remembers of a run.

    Args:
        id: The run's id.
        of: Its task or flow.
        name: Its name.
        states: Every state it has had, first to last.
    """

    id: UUID
    of: Runnable
    name: str
    states: list[State[Any]]

    @property
    def state(self) -> State[Any]:
        """The last state."""
        return self.states[-1]

    @property
    def run_count(self) -> int:
        """How many attempts there were."""
        return sum(state.type is StateType.RUNNING for state in self.states)


@attrs.define(eq=False)
class Fault:
    """Attempts of a task that fail by request.

    Args:
        task: The task.
        attempts: Up to which attempt of each run; None for all.
        error: What they raise.
        raised: How many have.
    """

    task: BaseTask[Any, Any]
    attempts: int | None
    error: BaseException | type[BaseException]
    raised: int = 0


class VirtualEngine(Engine):
    """An engine for tests.

    Its time passes when it waits for nothing else, so that delays between attempts take none; or when `clock` is told
    to advance. Its random numbers, and with them the jitter of delays, are the same every time.

    Args:
        clock: The time; by default a clock of its own.
        threads: As for `Engine`.
        grace_seconds: As for `Engine`.
        seed: What its random numbers are made of.
    """

    def __init__(
        self,
        clock: VirtualClock | None = None,
        *,
        threads: int | None = None,
        grace_seconds: float = 5.0,
        seed: str = "",
    ) -> None:
        self.clock = VirtualClock() if clock is None else clock
        super().__init__(
            threads=threads,
            grace_seconds=grace_seconds,
            clock=self.clock.now,
            timers=self.clock,
            random=random.Random(seed).randbytes,
        )
        self._faults: list[Fault] = []
        self._seen: dict[UUID, SeenRun] = {}  # task runs, as they were made
        self._begun: list[FlowRun] = []
        self._guard = Lock()
        self.equip = self._equip
        mover = Mover(self, self.clock)
        self.clock.watch(mover.timed)
        self.subscribe(mover.happened)

    @contextmanager
    def fail(
        self,
        task: BaseTask[Any, Any],
        attempts: int | None = 1,
        error: BaseException | type[BaseException] = RuntimeError,
    ) -> Generator[Fault]:
        """Make attempts of a task fail inside the block, as if its function raised something before it did anything.

        Args:
            task: The task. Changed copies of it, and copies that are bound to an object, fail too.
            attempts: The first so many attempts of each of its runs; None for all.
            error: What is raised: an exception, or a class of exceptions.

        Yields:
            The fault; `raised` tells how many attempts have failed by it.

        Raises:
            ConfigurationError: it is no task, not a number of attempts, or no exception.
        """
        if not isinstance(task, BaseTask):
            raise ConfigurationError("task", task, "a task, as @task makes them")
        if attempts is not None:
            whole_number("attempts", attempts, 1)
        if not isinstance(error, BaseException) and not (isinstance(error, type) and issubclass(error, BaseException)):
            raise ConfigurationError("error", error, "an exception, or a class of exceptions")
        fault = Fault(task, attempts, error)
        self._faults.append(fault)
        try:
            yield fault
        finally:
            self._faults.remove(fault)

    def runs(self, of: Runnable | None = None) -> list[SeenRun]:
        """The runs that there have been, in the order in which they were made.

        Args:
            of: A task, or a flow; of changed copies and bound ones too. By default all task runs.
        """
        if isinstance(of, BaseFlow):
            return [
                SeenRun(run.uuid, run.flow, run.name, run.history())
                for run in self._begun
                if run.flow is not None and _function(run.flow) is _function(of)
            ]
        with self._guard:
            seen = list(self._seen.values())
        return [each for each in seen if of is None or _function(each.of) is _function(of)]

    # What the engine does that is of interest here.

    def enlist(self, run: FlowRun) -> None:
        """Keep account of a flow run that starts, and remember it."""
        super().enlist(run)
        self._begun.append(run)

    def _equip(self, site: TaskSite) -> None:
        """A task is about to run somewhere for the first time."""
        site.journal = Journal(partial(self._note, site.task))
        site.fn = self._failing(site.task, site.fn)
        site.source = self._failing(site.task, site.source)

    def _note(self, task: BaseTask[Any, Any], event: Event) -> None:
        run_id = event.task_run_id
        if run_id is not None:
            with self._guard:
                seen = self._seen.setdefault(run_id, SeenRun(run_id, task, event.run_name, []))
                seen.name = event.run_name
                seen.states.append(event.state)
        self.listeners.publish(event)

    def _failing(self, task: BaseTask[Any, Any], fn: Callable[..., Any]) -> Callable[..., Any]:
        def body(*args: Any, **kwargs: Any) -> Any:
            self._fail_if_told(task)
            return fn(*args, **kwargs)

        return body

    def _fail_if_told(self, task: BaseTask[Any, Any]) -> None:
        run = CURRENT.get()
        if run is None:
            return  # a generator that was made in a run, and goes on outside of it
        for fault in tuple(self._faults):
            if _function(fault.task) is _function(task) and (fault.attempts is None or run.run_count <= fault.attempts):
                with self._guard:
                    fault.raised += 1
                raise fault.error


def _function(of: Runnable) -> Any:
    """What a task or a flow was made of, whatever it is bound to."""
    return getattr(of.fn, "__func__", of.fn)
