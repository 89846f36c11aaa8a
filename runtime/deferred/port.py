"""The port: what every queue of task runs does.

Decides the contract between those who put runs off, the workers that run them, and those who wait for their ends;
`tests/runtime/deferred/contract` checks it, for each of them. A queue is also the record of its runs: of their states,
and of what they came to. Everything may be called from any thread, and what changes something is on record when the
call returns.

**Workers.** Who takes runs enlists, and is a worker until it leaves or its process ends, however it ends. A run that
was taken belongs to that worker, and to no other one, until the worker tells of its end, or gives it back; if the
worker is over instead, the queue itself gives back what it had, at once where another worker is there. So a run is
begun at least once. One that has outlived so many workers is given up (`verdicts`).

**Order.** Of what a worker may take, the first ids come first. A run that waits for others of its queue cannot be taken
before all of these have ended, whatever they came to.

**Bells.** A worker has its bell rung when there may be something new for it: a run to take, or one of its own that is
to be cancelled. A watcher is called once when its run has ended. Nobody asks again and again.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Protocol

import attrs

from millrace.actors.states import StateType
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.rows import RunFilter, StateRow, TaskRunRow


@attrs.frozen
class Job:
    """A task run that is put off.

    Args:
        id: Its id.
        task: The task's name.
        key: The task's key, by which workers know what they can run.
        at: When it was put off, in nanoseconds since the epoch.
        call: The arguments.
        tags: The run's tags.
        flow_run: The id of the flow run that has put it off; None outside of any.
        awaited: The ids of runs that were given to wait for without data.
        lost: How many workers have ended while they had it.
    """

    id: int
    task: str
    key: str
    at: int
    call: Value
    tags: frozenset[str] = frozenset()
    flow_run: int | None = None
    awaited: tuple[int, ...] = ()
    lost: int = 0


@attrs.frozen
class Step:
    """A state that a run enters. See `stores.records.Entered`."""

    type: StateType
    name: str
    message: str | None
    at: int
    cause: str
    details: str | None = None


@attrs.frozen
class Told:
    """What a worker tells of a run that it has.

    Args:
        id: The run's id.
        steps: The states that it has entered since the worker last told.
        ended: The last of these is its end.
        data: What the last state holds.
        stored: The key in the task's result storage that the result lies under, where it is not in `data`.
        returned: The run is given back instead: another worker may take it.
    """

    id: int
    steps: Sequence[Step]
    ended: bool = False
    data: Value | None = None
    stored: str | None = None
    returned: bool = False


@attrs.frozen
class Taken:
    """What an exchange gives to a worker.

    Args:
        jobs: Runs that belong to it from now on.
        cancelled: By id of a run of its own that is to be cancelled: why.
    """

    jobs: Sequence[Job] = ()
    cancelled: Mapping[int, str] = attrs.field(factory=dict)


@attrs.frozen
class JobRow:
    """A run as it is now. See `Job` and `Told`.

    Args:
        id: Its id.
        task: The task's name.
        key: The task's key.
        tags: Its tags.
        flow_run: The flow run that has put it off.
        created: When it was put off.
        state: Its present state.
        ended: When it ended; None before.
        lost: How many workers have ended while they had it.
        data: What its present state holds. None in lists.
        stored: Where the result lies, if not there.
        started: When it first began; None before.
        attempts: How many attempts it has had.
    """

    id: int
    task: str
    key: str
    tags: frozenset[str]
    flow_run: int | None
    created: int
    state: StateRow
    ended: int | None
    lost: int
    data: Value | None
    stored: str | None
    started: int | None = None
    attempts: int = 0

    @property
    def as_task_run(self) -> TaskRunRow:
        """The same as stores tell of task runs. It belongs to no flow run, and has the usual name."""
        return TaskRunRow(
            self.id, f"{self.task}-{self.id & 0xFFF:03x}", None, self.task, 0, None, self.tags, {}, self.state,
            self.created, self.started, self.ended, self.attempts, False, self.data,
        )  # fmt: skip


class Queue(Protocol):
    """Where runs are put off to. See the module's docstring."""

    @property
    def name(self) -> str:
        """Says where it is, for people."""
        ...

    @property
    def url(self) -> str:
        """What `opening.queue_at` finds it by, in this process, and where it can be there in others."""
        ...

    @property
    def is_there(self) -> bool:
        """Whether anybody has used it as yet; looking makes nothing."""
        ...

    @property
    def blocking(self) -> bool:
        """Whether what changes something may block, so that a worker does not do it on a loop."""
        ...

    def put(self, job: Job, awaited: Collection[int] = (), end: Told | None = None) -> None:
        """Put a run off.

        Args:
            job: The run. It is Scheduled from now on.
            awaited: The runs that are to have ended before it is taken; those that are not known here count as ended.
            end: It has ended already.

        Raises:
            StoreError: it cannot be written, or there is a run with that id.
        """
        ...

    def cancel(self, job: int, reason: str, at: int) -> None:
        """Cancel a run: at once where no worker has it, else the worker is told. Nothing, where it has ended.

        Raises:
            RunNotFound: there is none with that id.
        """
        ...

    # For workers.

    def enlist(self, name: str, keys: Collection[str], ring: Callable[[], None], at: int) -> int:
        """Become a worker.

        Args:
            name: Says who that is: host and process.
            keys: The keys of the tasks that it can run.
            ring: Called, from any thread, when there may be something new for it. Quick, and raises nothing.
            at: What time it is.

        Returns:
            The worker's number.
        """
        ...

    def exchange(self, worker: int, told: Sequence[Told], most: int | None, at: int) -> Taken:
        """Tell of the runs that the worker has, and take others.

        Args:
            worker: The worker's number.
            told: What there is to tell; of runs that it has.
            most: How many to take at most; None for no limit.
            at: What time it is.

        Raises:
            StoreFenced: it is no worker any more, and nothing was changed.
        """
        ...

    def leave(self, worker: int, at: int) -> None:
        """Be a worker no more. What it has taken, and has not ended, is given back."""
        ...

    # For those who wait and look.

    def read(self, job: int) -> JobRow | None:
        """A run as it is now; None where there is none with that id."""
        ...

    def read_states(self, job: int) -> list[StateRow]:
        """All states of a run, first to last."""
        ...

    def read_all(self, wanted: RunFilter) -> list[JobRow]:
        """Runs, newest first: those that a filter asks for, without what they hold. They belong to no flow run."""
        ...

    def watch(self, job: int, call: Callable[[], None]) -> None:
        """Have something called, once and from any thread, when a run has ended; at once where it has.

        The run may be unknown as yet. What is called is quick, and raises nothing.
        """
        ...

    def unwatch(self, job: int, call: Callable[[], None]) -> None:
        """Call it off."""
        ...

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """How many runs nobody has taken yet, by name and key of the task."""
        ...

    def prune(self, before: int, *, counts_only: bool = False) -> int:
        """Remove runs that ended before a time; or only count them. Returns how many."""
        ...

    def close(self) -> None:
        """Let go of what it holds in this process. Who uses it again has it opened again."""
        ...
