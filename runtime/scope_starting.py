"""Starting: how runs come into a scope.

Decides what numbers they get, what their task is there, and which of them need not run again. A run is counted by the
supervisor before anybody can hear of it, so that the end of its flow waits for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextvars import copy_context
from threading import Lock
from typing import TYPE_CHECKING, Any

from millrace.actors.errors import EngineClosed
from millrace.actors.messages import Born, Spawned
from millrace.actors.stored_result import Found
from millrace.runtime import interrupting
from millrace.runtime.context import CURRENT, TAGS
from millrace.runtime.future_list import FutureList
from millrace.runtime.inputs import dependencies, scan
from millrace.runtime.mapping import Cursor, Plan
from millrace.runtime.marks import CallArguments, MapArguments
from millrace.runtime.ongoing import NOTHING_GOES_ON, Ongoing
from millrace.runtime.runs import TaskRun
from millrace.runtime.scope_lanes import ScopeLanes
from millrace.runtime.stack import ROOM_TO_START, check_room
from millrace.runtime.task_site import TaskSite
from millrace.runtime.tracking import NOTHING_TAKEN, Tracker

if TYPE_CHECKING:
    from millrace.actors.token_bucket import RateLimit
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.given import Given
    from millrace.runtime.lanes import Lane
    from millrace.runtime.pauses import Pauses
    from millrace.runtime.replaying import Replay


class ScopeStarting(ScopeLanes):
    """A flow run, as far as starting something in it goes. See the module's docstring."""

    __slots__ = ("_next_id", "_sites", "_subflows", "lock", "ongoing", "replay", "tracker", "transactional")

    ongoing: Ongoing
    replay: Replay | None
    tracker: Tracker
    transactional: bool
    lock: Lock
    _next_id: int
    _sites: dict[tuple[int, int], TaskSite]
    _subflows: dict[str, int]

    @property
    def pauses(self) -> Pauses:
        """What is known of its pauses."""
        raise NotImplementedError

    def site(self, task: BaseTask[Any, Any]) -> TaskSite:
        """The task as it stands in this run."""
        site = self._sites.get(task.identity)
        if site is None:
            site = self._sites.setdefault(task.identity, TaskSite(task, self.scope))
            if not site.takes_slots and self.engine.rationing.concerns(task.tags):
                return self.rationed(site)  # there is a limit that there was not a moment ago
        return site

    def tagged(self, site: TaskSite) -> tuple[TaskSite, frozenset[str]]:
        """A task where tags are added to its own; and all of them."""
        added = TAGS.get()
        if not added:
            return site, site.task.tags
        tags = site.task.tags | added
        if not site.takes_slots and self.engine.rationing.concerns(tags):
            site = self.rationed(site)
        return site, tags

    def keep_track(self) -> Tracker:
        """What remembers results that are taken. Made with the first of them."""
        with self.lock:
            if self.tracker is NOTHING_TAKEN:
                self.tracker = Tracker()
            return self.tracker

    def keep_going(self) -> Ongoing:
        """What knows of maps and streams. Made with the first of them."""
        with self.lock:
            if self.ongoing is NOTHING_GOES_ON:
                self.ongoing = Ongoing(self.lock)
            return self.ongoing

    def begin_transactions(self) -> None:
        """A transaction begins here: what is started from now on takes part in it."""
        if self.transactional:
            return
        with self.lock:
            self.transactional = True
            self._sites = {key: site.again() for key, site in self._sites.items()}

    def ration(self, tags: frozenset[str]) -> None:
        """There are new limits: tasks with these tags take slots from now on, also in maps and streams that go on."""
        for site in tuple(self._sites.values()):
            if not tags.isdisjoint(site.task.tags):
                self.rationed(site)
        for each in self.ongoing.every():
            if not tags.isdisjoint(each.tags):
                each.move_to(self.rationed(each.site))

    def rationed(self, site: TaskSite) -> TaskSite:
        """A task whose runs take slots from now on."""
        with self.lock:
            present = self._sites.get(site.task.identity, site)
            if not present.takes_slots:
                present = self._sites[site.task.identity] = present.again(takes_slots=True)
            return present

    def sites(self) -> dict[TaskSite, int]:
        """The tasks that have run here, each with how many of its runs are not made yet. Empty after the end."""
        unmade = dict.fromkeys(tuple(self._sites.values()), 0)
        for site, count in self.ongoing.unmade():
            unmade[site] = unmade.get(site, 0) + count
        return unmade

    def number(self, site: TaskSite, count: int = 1) -> tuple[int, int]:
        """The first id and the first key for so many new runs of a task."""
        with self.lock:
            run_id, key = self._next_id, site.calls
            self._next_id += count
            site.calls += count
        return run_id, key

    def number_subflow(self, name: str) -> tuple[int, int]:
        """The id and the key of the task run that stands for a new subflow."""
        with self.lock:
            run_id, key = self._next_id, self._subflows.get(name, 0)
            self._next_id += 1
            self._subflows[name] = key + 1
        return run_id, key

    def go_on_after(self, last_id: int) -> None:
        """Number what is started here from an id on: those up to that were given by another process."""
        with self.lock:
            self._next_id = max(self._next_id, last_id + 1)

    def start_run(  # noqa: C901, PLR0912, PLR0917  # what a call is made of; and what it calls, it pays for
        self,
        task: BaseTask[Any, Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        wait_for: Any,
        lane: Lane,
        given: Given | None = None,
        *,
        in_line: bool,
    ) -> TaskRun:
        """Make a run of a task and count it as a child.

        Args:
            task: The task.
            args: Positional arguments; they fit.
            kwargs: Keyword arguments; they fit.
            wait_for: Dependencies without data.
            lane: Where it is to run.
            given: What somebody else has settled about the run.
            in_line: Put it in line as soon as what it waits for has ended; else that is the caller's to do.

        Raises:
            EngineClosed: this run has ended, or its engine is closing.
            InputResolutionError: an argument could not be looked into.
            ConfigurationError: the id that is given is that of a run that is going on.
            RecursionError: the stack would not do for starting a thread, or for a record.
        """
        interrupting.check()
        if self.ended or self.flow is None or self.engine.chronicle is not None:
            self.check_open(f"start task '{task.name}'")
        if not self.admits:
            self.pauses.refuse_if_suspended()
        site = self._sites.get(task.identity) or self.site(task)  # there from the task's second call on
        tags = task.tags
        if TAGS.get():
            site, tags = self.tagged(site)
        inputs = scan(task.shape.name_of, args, kwargs, wait_for, self)
        run_id, key = self.number(site)
        if given is not None:
            run_id = given.id_in(self.scope, run_id, task.name)
            inputs = given.added_to(inputs)
        current = CURRENT.get()
        found = None
        replay = self.replay
        if replay is not None and (current is self or (replay.on_record and current is not None)):
            yields = task.is_generator and not in_line
            found = self._found(replay, task, run_id, (args, kwargs), body_of(current), yields=yields)
        if found is not None:
            inputs = None  # what it depends on does not matter any more
        parent = None if current is None or current.is_flow else current.id
        run = TaskRun(site, run_id, key, site.now(), parent, args, kwargs, copy_context(), tags, lane, inputs)
        if not site.journal.listening:
            order = self.ask(Spawned(1, (run,)))
            if order is not None:
                self.perform(order)
        else:  # counted before it is told of, so that the flow's end waits; and put in place after that
            self.tell(Spawned(1))
            if given is None:
                run.record("created")
            else:
                given.tell_of(run)
            if replay is not None and replay.has_leftovers:
                run.go_on(replay)
            self.tell(Born((run,)))
        if found is not None:
            run.take_over(found)
        elif run.unready:
            run.watch_upstreams()
        elif in_line:
            lane.dispatch(run)
        return run

    @staticmethod
    def _found(
        replay: Replay,
        task: BaseTask[Any, Any],
        run_id: int,
        call: tuple[tuple[Any, ...], Mapping[str, Any]],
        body: TaskRun | None,
        *,
        yields: bool,
    ) -> Found | None:
        """What a call by the body had come to in an earlier attempt, if it had completed."""
        arguments, serializer = CallArguments(task.shape, *call, task.left_out), task.result_serializer
        again = yields and not replay.on_record  # what it yields is not kept
        found = replay.call(
            task.name, run_id, 1, arguments, body=body, again=again, yields=yields, serializer=serializer
        ).get(0)
        return replay.recall(run_id, found, serializer) if found is not None and yields else found

    def start_map(
        self, task: BaseTask[Any, Any], plan: Plan, wait_for: Any, lane: Lane, rate: RateLimit | None = None
    ) -> FutureList[Any]:
        """Put a run of a task for every item in line.

        Raises:
            EngineClosed: this run has ended, or its engine is closing.
            RecursionError: as for `start_run`.
        """
        interrupting.check()
        self.check_open(f"map task '{task.name}'")
        if not self.admits:
            self.pauses.refuse_if_suspended()
        if not task.is_async:
            self.engine.offload.check_room()
        site, tags = self.tagged(self.site(task))
        if rate is not None:
            site = self.rationed(site)
        first_id, first_key = self.number(site, plan.size)
        current = CURRENT.get()
        parent = None if current is None or current.is_flow else current.id
        if site.takes_slots:
            lane = self.engine.limits.in_front_of(lane, site, rate, parent)
        replayed, replay = None, self.replay
        if replay is not None and (current is self or (replay.on_record and current is not None)):
            arguments, serializer = MapArguments(task.shape, plan, task.left_out), task.result_serializer
            body = body_of(current)
            replayed = replay.call(task.name, first_id, plan.size, arguments, body=body, serializer=serializer)
        cursor = Cursor(
            site,
            plan,
            first_id,
            first_key,
            parent=parent,
            context=copy_context(),
            tags=tags,
            lane=lane,
            wait_for=None if wait_for is None else dependencies(wait_for),
            replayed=replayed,
            leftovers=replay if replay is not None and replay.has_leftovers else None,
        )
        futures: FutureList[Any] = FutureList(cursor=cursor)
        if plan.size:
            self.tell(Spawned(plan.size))  # first: whoever comes upon the map may drop what it has not made
            self.keep_going().add_map(cursor)
            if self.stopping or self.ended:  # whoever stops or ends the run may have looked before
                cursor.cancel()
            lane.dispatch_map(cursor)
        return futures

    def check_open(self, attempted: str) -> None:
        """Check that something can be started here.

        Raises:
            EngineClosed: the flow run has ended; or, outside of flows, the engine is closing.
            StoreError: the store has failed.
            RecursionError: the stack would not do for a record.
        """
        if self.ended:
            raise EngineClosed(f"{attempted} in flow run '{self.name}', which has ended")
        if self.flow is None and self.engine.closed:
            raise EngineClosed(attempted)
        if self.engine.chronicle is not None:
            self.engine.chronicle.check_recording()
            check_room(ROOM_TO_START)  # nothing is to be raised any more once a run is counted


def body_of(current: Any) -> TaskRun | None:
    """The run of a task whose body the code at hand belongs to; None where that is a flow's."""
    return None if current.is_flow else current
