"""The queue in memory: what other queues do, for workers of this process.

Decides nothing that the port does not. Its workers are over when they leave, and at no other time.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from threading import Lock
from typing import Final

import attrs

from millrace.actors.errors import RunNotFound, StoreError, StoreFenced
from millrace.actors.states import StateType
from millrace.runtime.deferred import verdicts
from millrace.runtime.deferred.port import Job, JobRow, Step, Taken, Told
from millrace.runtime.one_line import engine_logger
from millrace.runtime.stores.records import Value
from millrace.runtime.stores.rows import RunFilter, StateRow, fits

_logger = engine_logger("deferred")

_numbers: Final = itertools.count(1)


@attrs.define(eq=False)
class _Entry:
    """What is known of one run."""

    job: Job
    states: list[StateRow]
    awaits: set[int]  # runs that have not ended
    worker: int | None = None
    cancel: str | None = None
    ended: int | None = None
    data: Value | None = None
    stored: str | None = None

    def enter(self, step: Step) -> None:
        """The run enters a state."""
        self.states.append(
            StateRow(
                self.job.id, len(self.states), step.type, step.name, step.message, step.at, step.cause, step.details
            )
        )

    def row(self) -> JobRow:
        """The run as it is now."""
        job = self.job
        return JobRow(
            job.id, job.task, job.key, job.tags, job.flow_run, job.at, self.states[-1], self.ended, job.lost, self.data,
            self.stored, next((state.at for state in self.states if state.type is StateType.RUNNING), None),
            sum(state.type is StateType.RUNNING for state in self.states),
        )  # fmt: skip


@attrs.frozen(eq=False)
class _Worker:
    name: str
    keys: frozenset[str]
    ring: Callable[[], None]
    held: dict[int, _Entry] = attrs.field(factory=dict)  # by id


class MemoryQueue:
    """Runs that are put off within one process. See the module's docstring."""

    blocking = False

    def __init__(self) -> None:
        self.url: str = f"memory:{next(_numbers)}"
        self.name: str = "the queue in memory"
        self._lock = Lock()  # never held while somebody is called
        self._entries: dict[int, _Entry] = {}  # by id, as they came
        # By key: a heap of ids of those that may be taken, and of some that have ended since. None is empty.
        self._ready: dict[str, list[int]] = {}
        self._workers: dict[int, _Worker] = {}
        self._watchers: dict[int, list[Callable[[], None]]] = {}  # by id
        self._dependants: dict[int, list[int]] = {}  # by id of a run that has not ended: those that wait for it

    @property
    def is_there(self) -> bool:
        """It always is."""
        return True

    # Putting off.

    def put(self, job: Job, awaited: Collection[int] = (), end: Told | None = None) -> None:
        """Put a run off. See `port.Queue`."""
        calls: list[Callable[[], None]] = []
        with self._lock:
            if job.id in self._entries:
                raise StoreError(self.name, "put a run into", f"there is a run with the id {job.id:032x} already")
            live = {each for each in awaited if each in self._entries and self._entries[each].ended is None}
            entry = self._entries[job.id] = _Entry(job, [], live)
            entry.enter(verdicts.put_off(job))
            for each in live:
                self._dependants.setdefault(each, []).append(job.id)
            if end is not None:
                calls = self._tell(entry, end)
            elif not live:
                calls = self._offer(entry)
        _call(calls)

    def cancel(self, job: int, reason: str, at: int) -> None:
        """Cancel a run. See `port.Queue`."""
        calls: list[Callable[[], None]] = []
        with self._lock:
            entry = self._entries.get(job)
            if entry is None:
                raise RunNotFound(f"{job:032x}", store=self.name)
            if entry.ended is None:
                if entry.worker is None:
                    calls = self._end(entry, verdicts.cancelled(reason, at))
                else:
                    entry.cancel = reason
                    calls = [self._workers[entry.worker].ring]
        _call(calls)

    # Workers.

    def enlist(self, name: str, keys: Collection[str], ring: Callable[[], None], at: int) -> int:  # noqa: ARG002
        """Become a worker. See `port.Queue`."""
        number = next(_numbers)
        with self._lock:
            self._workers[number] = _Worker(name, frozenset(keys), ring)
        return number

    def exchange(self, worker: int, told: Sequence[Told], most: int | None, at: int) -> Taken:
        """Tell of runs, and take others. See `port.Queue`."""
        calls: list[Callable[[], None]] = []
        with self._lock:
            found = self._workers.get(worker)
            if found is None:
                raise StoreFenced(self.name, worker)
            for each in told:
                if each.id in found.held:
                    calls += self._tell(found.held[each.id], each, found.name)
            cancelled = {key: entry.cancel for key, entry in found.held.items() if entry.cancel is not None}
            jobs: list[Job] = []
            while (most is None or len(jobs) < most) and (entry := self._next(found.keys)) is not None:
                entry.worker = worker
                entry.enter(verdicts.taken(found.name, at))
                found.held[entry.job.id] = entry
                jobs.append(entry.job)
        _call([call for call in calls if call is not found.ring])
        return Taken(jobs, cancelled)

    def leave(self, worker: int, at: int) -> None:
        """Be a worker no more. See `port.Queue`."""
        calls: list[Callable[[], None]] = []
        with self._lock:
            found = self._workers.pop(worker, None)
            if found is not None:
                for entry in list(found.held.values()):
                    calls += self._give_back(entry, found.name, at)
        _call(calls)

    # What follows from what. All under the lock; they give what is to be called when it is free.

    def _tell(self, entry: _Entry, told: Told, worker: str = "") -> list[Callable[[], None]]:
        if told.returned:
            return self._give_back(entry, worker, told.steps[-1].at)
        last = len(told.steps) - told.ended
        for step in told.steps[:last]:
            entry.enter(step)
        if not told.ended:
            return []
        entry.data, entry.stored = told.data, told.stored
        return self._end(entry, told.steps[-1])

    def _give_back(self, entry: _Entry, worker: str, at: int) -> list[Callable[[], None]]:
        step, over = verdicts.given_back(worker, entry.cancel, at)
        if over:
            return self._end(entry, step)
        entry.enter(step)
        self._let_go(entry)
        return self._offer(entry)

    def _offer(self, entry: _Entry) -> list[Callable[[], None]]:
        key = entry.job.key
        heapq.heappush(self._ready.setdefault(key, []), entry.job.id)
        rings = [worker.ring for worker in self._workers.values() if key in worker.keys]
        if not rings:
            _logger.info("A run of task '%s' waits until somebody in this process serves it.", entry.job.task)
        return rings

    def _next(self, keys: Collection[str]) -> _Entry | None:
        """The first of those with one of the keys that may be taken; it is in no line any more."""
        while found := [key for key in keys if key in self._ready]:
            key = min(found, key=lambda each: self._ready[each][0])
            line = self._ready[key]
            entry = self._entries.get(heapq.heappop(line))
            if not line:
                del self._ready[key]
            if entry is not None and entry.ended is None:
                return entry
        return None

    def _let_go(self, entry: _Entry) -> None:
        """No worker has the run any more."""
        holder = None if entry.worker is None else self._workers.get(entry.worker)
        if holder is not None:
            holder.held.pop(entry.job.id, None)
        entry.worker = None

    def _end(self, entry: _Entry, step: Step) -> list[Callable[[], None]]:
        entry.enter(step)
        self._let_go(entry)
        entry.ended = step.at
        entry.job = attrs.evolve(entry.job, call=Value("", None, "arguments of a run that has ended"))
        calls = self._watchers.pop(entry.job.id, [])
        for each in self._dependants.pop(entry.job.id, ()):
            dependant = self._entries[each]
            dependant.awaits.discard(entry.job.id)
            if not dependant.awaits and dependant.ended is None:
                calls += self._offer(dependant)
        return calls

    # Waiting and looking.

    def read(self, job: int) -> JobRow | None:
        """A run as it is now. See `port.Queue`."""
        with self._lock:
            entry = self._entries.get(job)
            return None if entry is None else entry.row()

    def read_states(self, job: int) -> list[StateRow]:
        """All states of a run, first to last."""
        with self._lock:
            entry = self._entries.get(job)
            return [] if entry is None else list(entry.states)

    def read_all(self, wanted: RunFilter) -> list[JobRow]:
        """Runs, newest first. See `port.Queue`."""
        with self._lock:
            rows = [self._entries[key].row() for key in sorted(self._entries, reverse=True)]
        found = [attrs.evolve(row, data=None) for row in rows if fits(row.as_task_run, wanted, row.task, None)]
        return found[: wanted.limit]

    def watch(self, job: int, call: Callable[[], None]) -> None:
        """Have something called when a run has ended. See `port.Queue`."""
        with self._lock:
            entry = self._entries.get(job)
            if entry is None or entry.ended is None:
                self._watchers.setdefault(job, []).append(call)
                return
        call()

    def unwatch(self, job: int, call: Callable[[], None]) -> None:
        """Call it off."""
        with self._lock:
            left = [each for each in self._watchers.pop(job, ()) if each != call]
            if left:
                self._watchers[job] = left

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """How many runs nobody has taken yet."""
        with self._lock:
            idle = [each.job for each in self._entries.values() if each.ended is None and each.worker is None]
        return Counter((job.task, job.key) for job in idle)

    def prune(self, before: int, *, counts_only: bool = False) -> int:
        """Remove runs that ended before a time."""
        with self._lock:
            old = [key for key, each in self._entries.items() if each.ended is not None and each.ended < before]
            for key in () if counts_only else old:
                del self._entries[key]
        return len(old)

    def close(self) -> None:
        """Nothing is held beside the runs."""


def _call(calls: Sequence[Callable[[], None]]) -> None:
    for call in dict.fromkeys(calls):
        call()
