"""Task runners: where a flow's submitted tasks run.

Decides, for each runner, the lane of a run and the order of runs; the run's actor, its retries and its states stay
with the engine. A runner is a description; each flow run starts a duplicate of its own and closes it at its end.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Mapping
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from millrace.actors.errors import TaskRunnerError
from millrace.actors.messages import Watch
from millrace.actors.telling import shown
from millrace.runtime.engine import current_scope
from millrace.runtime.future_list import FutureList
from millrace.runtime.futures import Future
from millrace.runtime.mapping import plan_map
from millrace.runtime.offload import Offload, thread_limit
from millrace.runtime.running import running_loop
from millrace.runtime.runs import TaskRun
from millrace.runtime.settings import whole_number

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.lanes import Lane, RunSource


class TaskRunner(ABC):
    """Where a flow's submitted tasks run.

    Derive from it for a runner of one's own; its `submit` returns a `Future` around a promise of its own.
    """

    _started = False  # of the class, as a runner of one's own may have a constructor that calls no other

    @property
    def name(self) -> str:
        """A short name, for people."""
        return type(self).__name__.removesuffix("TaskRunner").lower()

    @abstractmethod
    def duplicate(self) -> Self:
        """A runner with the same settings that has not been started."""

    @abstractmethod
    def submit(self, task: BaseTask[Any, Any], parameters: Mapping[str, Any], wait_for: Any = None) -> Future[Any]:
        """Start a run.

        Args:
            task: The task.
            parameters: Its arguments by name.
            wait_for: Dependencies without data.

        Returns:
            The run's future.

        Raises:
            TaskRunnerError: the runner has not been started. A `RuntimeError`.
        """

    def map(self, task: BaseTask[Any, Any], parameters: Mapping[str, Any], wait_for: Any = None) -> FutureList[Any]:
        """Start a run for each item, as `Task.map` does.

        Raises:
            TaskRunnerError: the runner has not been started. A `RuntimeError`.
            MappingMissingIterable: there is nothing to spread.
            MappingLengthMismatch: the iterables are not of one length.
        """
        self.check_started("map a task")
        args, kwargs = task.shape.call_of(parameters)
        plan = plan_map(task.shape, args, kwargs)
        calls = (plan.call(index) for index in range(plan.size))
        return FutureList([self.submit(task, task.shape.by_name(*call), wait_for) for call in calls])

    def begun(self) -> TaskRunner:
        """A duplicate that has been started.

        Raises:
            TaskRunnerError: what was to make the duplicate gave something else.
        """
        twin: Any = self.duplicate()
        if not isinstance(twin, TaskRunner):
            told = f"its duplicate() gave {shown(twin)}"
            raise TaskRunnerError("run a flow", self, told, "Have it return a runner with the same settings.")
        return twin.__enter__()

    def check_started(self, attempted: str) -> None:
        """Check that the runner is open.

        Raises:
            TaskRunnerError: it has not been started, or was closed.
        """
        if not self._started:
            raise TaskRunnerError(attempted, self, "it is not started", "Use it in a `with` block.")

    def __enter__(self) -> Self:
        if self._started:
            raise TaskRunnerError("start anew", self, "it is started already", "Use duplicate() for another one.")
        self._started = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._started = False

    def settings(self) -> tuple[Any, ...]:
        """What makes two runners equal, beside their class."""
        return ()

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and isinstance(other, TaskRunner) and other.settings() == self.settings()

    def __hash__(self) -> int:
        return hash((type(self), self.settings()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self.settings()))})"


class LaneTaskRunner(TaskRunner):
    """A runner of the engine's own kind: it says on which lane a run's body is executed, and the actor stays here."""

    @abstractmethod
    def lane(self, task: BaseTask[Any, Any], scope: FlowRun) -> Lane:
        """Where the runs of a task are executed."""

    def started_lane(self, task: BaseTask[Any, Any], scope: FlowRun, attempted: str) -> Lane:
        """The same, of a runner that has to be open.

        Args:
            task: The task.
            scope: Where its runs belong.
            attempted: What is to be done there, as in "submit".

        Raises:
            TaskRunnerError: the runner has not been started. A `RuntimeError`.
        """
        self.check_started(f"{attempted} task '{task.name}'")
        return self.lane(task, scope)

    def submit(self, task: BaseTask[Any, Any], parameters: Mapping[str, Any], wait_for: Any = None) -> Future[Any]:
        """Start a run. See `TaskRunner.submit`."""
        scope = current_scope()
        lane = self.started_lane(task, scope, "submit")
        args, kwargs = task.shape.call_of(parameters)
        return Future.of(scope.start_run(task, args, kwargs, wait_for, lane, in_line=True))

    def map(self, task: BaseTask[Any, Any], parameters: Mapping[str, Any], wait_for: Any = None) -> FutureList[Any]:
        """Start a run for each item. See `TaskRunner.map`."""
        scope = current_scope()
        lane = self.started_lane(task, scope, "map")
        args, kwargs = task.shape.call_of(parameters)
        return scope.start_map(task, plan_map(task.shape, args, kwargs), wait_for, lane)


class DefaultTaskRunner(LaneTaskRunner):
    """Async tasks on the flow's loop, sync ones on the engine's threads; what a flow without a runner has."""

    def duplicate(self) -> Self:
        """A runner with the same settings."""
        return type(self)()

    def lane(self, task: BaseTask[Any, Any], scope: FlowRun) -> Lane:
        """The engine's own place for this kind of task."""
        return task.own_lane(scope)


class SequentialTaskRunner(LaneTaskRunner):
    """One run after another, in the order of submission.

    What a task submits itself has a line of its own, so that a task may wait for its children.
    """

    def __init__(self) -> None:
        self._line: SequentialLane | None = None

    def duplicate(self) -> Self:
        """A runner with the same settings."""
        return type(self)()

    def lane(self, task: BaseTask[Any, Any], scope: FlowRun) -> Lane:  # noqa: ARG002  # the same for all
        """The one line that both kinds of task stand in."""
        if self._line is None:
            self._line = SequentialLane(lambda run: run.task.own_lane(scope))
        return self._line


class SequentialLane:
    """Executes one run at a time, on the lane that is its own; the next begins when the one before has ended."""

    def __init__(self, own_lane: Callable[[TaskRun], Lane]) -> None:
        self._own_lane = own_lane
        self._lock = Lock()  # never held while runs are told something: what follows from that may come back here
        self._waiting: dict[int | None, deque[TaskRun | RunSource]] = {}  # by parent task run: in order; none is empty
        self._current: dict[int | None, TaskRun | None] = {}  # by parent: has begun and not ended; None: being chosen

    def dispatch(self, run: TaskRun) -> None:
        """Put a run in line; one that has begun goes on at once."""
        with self._lock:
            begun = self._current.get(run.parent) is run
            if not begun:
                self._waiting.setdefault(run.parent, deque()).append(run)
        if begun:
            self._own_lane(run).dispatch(run)
        else:
            self._next(run.parent)

    def dispatch_map(self, source: RunSource) -> None:
        """Put the runs of a map or a stream in line."""
        with self._lock:
            self._waiting.setdefault(source.parent, deque()).append(source)
        self._next(source.parent)

    def stop(self, run: TaskRun) -> None:
        """Cancel the body of a run where it is executed."""
        self._own_lane(run).stop(run)

    def notify(self, run: TaskRun) -> None:
        """A run has ended: the next one begins."""
        with self._lock:
            if self._current.get(run.parent) is run:
                del self._current[run.parent]
        self._next(run.parent)

    def _next(self, parent: int | None) -> None:
        while True:
            with self._lock:
                line = self._waiting.get(parent)
                if parent in self._current or not line:
                    return
                self._current[parent] = None
                source = line[0]
            run = source if isinstance(source, TaskRun) else next(iter(source.take(1)), None)
            with self._lock:
                if isinstance(source, TaskRun) or not source.more:
                    line.popleft()
                    if not line:
                        del self._waiting[parent]
                if run is None or run.done:
                    del self._current[parent]
                    continue
                self._current[parent] = run
            run.tell(Watch(self))
            self._own_lane(run).dispatch(run)
            return


class ThreadPoolTaskRunner(LaneTaskRunner):
    """Every task on a pool of threads; an async task runs in a loop that its worker keeps.

    Args:
        max_workers: How many bodies may run at once; by default as many as the engine's own threads. A body that
            waits for other runs does not count meanwhile.

    Raises:
        ConfigurationError: it is no number of workers.
    """

    def __init__(self, max_workers: int | None = None) -> None:
        self.max_workers: int | None = None if max_workers is None else whole_number("max_workers", max_workers, 1)
        self._pool: Offload | None = None
        self._scopes: set[FlowRun] = set()

    def duplicate(self) -> Self:
        """A runner with the same settings."""
        return type(self)(self.max_workers)

    def settings(self) -> tuple[Any, ...]:
        """The number of workers."""
        return (self.max_workers,)

    def lane(self, task: BaseTask[Any, Any], scope: FlowRun) -> Lane:  # noqa: ARG002  # the same for all
        """The pool."""
        if self._pool is None:
            self._pool = Offload(self.max_workers or thread_limit(None), "millrace-pool")
        self._scopes.add(scope)
        return self._pool

    def cancel_all(self) -> None:
        """Cancel every run of this runner that has not ended; those in line never start."""
        for scope in self._scopes:
            scope.cancel_lane(self._pool)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        super().__exit__(kind, error, trace)
        pool, self._pool = self._pool, None
        if pool is not None:
            # On a loop's thread nothing is waited for: the threads end by themselves.
            pool.close(wait=running_loop() is None)
