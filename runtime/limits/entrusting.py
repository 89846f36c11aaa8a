"""Entrusting: runs of tasks with limits that a task runner of somebody else's sees to.

Decides that the runner is given such a run when it has its slots, and not before, and that it keeps them until the
runner's promise is kept or broken: what goes on in between, other attempts too, is nothing that the engine knows of.
What it depends on comes first, so that nobody holds a slot and waits for somebody who waits for it.

A run that has its slots at once is the runner's own from the start. For one that has to wait there is a promise of the
engine's meanwhile, which comes to what the runner's comes to, and its flow run counts it until the runner has it.
"""

from __future__ import annotations

import concurrent.futures
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import copy_context
from threading import Lock, local
from typing import TYPE_CHECKING, Any, ClassVar

from millrace.actors.messages import HandedOver, Spawned, Watch
from millrace.actors.states import AwaitingConcurrencySlot, Cancelled, State, StateType
from millrace.actors.tickets import Limit, Ticket
from millrace.runtime.futures import Future, future_of
from millrace.runtime.holding import place_here, split
from millrace.runtime.inputs import scan
from millrace.runtime.running import running_loop
from millrace.runtime.sources import PromiseSource

if TYPE_CHECKING:
    from millrace.runtime.base_task import BaseTask
    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.limits.acting import ActingLimiter
    from millrace.runtime.loop_lane import LoopLane
    from millrace.runtime.runners import TaskRunner

_FAILED = {StateType.COMPLETED: False, StateType.FAILED: True}


class Entrusting:
    """Makes such runs for one engine, and hands them over. From any thread.

    Args:
        limiter: The engine's.
        needs: What runs with such tags need.
    """

    def __init__(
        self, limiter: ActingLimiter, needs: Callable[[frozenset[str]], tuple[tuple[Limit, int], ...]]
    ) -> None:
        self.limiter = limiter
        self._needs = needs
        self._here = local()  # `line`: what this thread is to hand over, after what it is handing over right now

    def submit(  # noqa: PLR0917  # what a call is made of
        self,
        scope: FlowRun,
        runner: TaskRunner,
        task: BaseTask[Any, Any],
        parameters: Mapping[str, Any],
        wait_for: Any,
        priority: int,
    ) -> Future[Any]:
        """Have a runner see to a run as soon as that has its slots.

        Returns:
            The runner's future, if that is now; else one that comes to the same.

        Raises:
            Exception: the runner's, if it was asked now.
            InputResolutionError: an argument could not be looked into.
            EngineClosed: the flow run has ended.
        """
        scope.check_open(f"submit task '{task.name}'")
        site, tags = scope.tagged(scope.site(task))
        inputs = scan(str, (), parameters, wait_for, scope)
        site.entrusted = site.entrusted or task.entrusted()
        call = (site.entrusted, parameters, wait_for)
        run = Entrusted(self, scope, runner, call, self._needs(tags), priority)
        upstreams = [] if inputs is None else [upstream for upstream, _ in inputs.upstreams]
        return run.begin(upstreams)

    def hand_over(self, run: Entrusted) -> None:
        """Hand over one that has waited: in turn, because one that ends in no time makes way for the next."""
        line: deque[Entrusted] | None = getattr(self._here, "line", None)
        if line is not None:
            line.append(run)
            return
        line = self._here.line = deque([run])
        try:
            while line:
                line.popleft().hand_over_late()
        finally:
            self._here.line = None


class Entrusted(PromiseSource):
    """One such run, until its runner has it; and what gives back its slots.

    Args:
        entrusting: Hands it over.
        scope: Its flow run.
        runner: Sees to it.
        call: What that is given.
        needs: What it needs.
        priority: Of those who wait for that.
    """

    is_flow: ClassVar[bool] = False

    __slots__ = (
        "_call", "_context", "_counting", "_entrusting", "_future", "_lane", "_missing", "_own", "_reason", "_runner",
        "_scope", "_ticket", "_waiting",
    )  # fmt: skip

    def __init__(  # noqa: PLR0917  # see above
        self,
        entrusting: Entrusting,
        scope: FlowRun,
        runner: TaskRunner,
        call: tuple[BaseTask[Any, Any], Mapping[str, Any], Any],
        needs: tuple[tuple[Limit, int], ...],
        priority: int,
    ) -> None:
        self._own: concurrent.futures.Future[Any] = concurrent.futures.Future()
        super().__init__(self._own, scope.engine.ids.fresh_uuid())
        self._entrusting = entrusting
        self._scope = scope
        self._runner = runner
        self._call = call
        held, others = split(place_here())
        self._ticket = Ticket(needs, self, self, priority=priority, beside=(*held, *others))  # nobody here waits for it
        self._context = copy_context()
        self._lane: LoopLane | None = None if running_loop() is None else scope.engine.lane_here()
        self._ticket.lane = self._lane or scope.lane_that_turns()
        self._waiting = [True]  # empty once it was handed over, or cancelled; taking something out is atomic
        self._future: Future[Any] | None = None  # the runner's
        self._reason: str | None = None  # why it is to be cancelled
        self._counting = Lock()
        self._missing = 0  # of what it depends on, what has not ended

    @property
    def name(self) -> str:
        """The run's name."""
        return f"{self._call[0].name}-{self.uuid.hex[-3:]}"

    @property
    def id(self) -> int:
        """The run's id, as a number."""
        return self.uuid.int

    @property
    def told_state(self) -> State[Any]:
        """The state that may be told: as long as it waits for its slots, that it does; then what the runner's says."""
        if self.done:
            return self.state
        if self._future is not None:
            told: State[Any] = self._future.source.told_state
            return told
        return AwaitingConcurrencySlot() if self._waiting and not self._missing else super().told_state

    # How it begins.

    def begin(self, upstreams: list[Any]) -> Future[Any]:
        """Ask for its slots when what it depends on has ended. See `Entrusting.submit`."""
        self._scope.tell(Spawned(1))
        self._scope.keep_going().add_entrusted(self)
        self._missing = len(upstreams) + 1
        for upstream in upstreams:
            upstream.tell(Watch(_Upstream(self)))
        if not self.one_less():
            return Future[Any].of(self)
        if self._ticket.error is not None:
            self._hand_over_soon()
            return Future[Any].of(self)
        found = self._hand_over()
        return Future[Any].of(self) if found is None else found

    def one_less(self) -> bool:
        """Something that it depends on has ended. Whether it has its slots, or was refused them, with that."""
        with self._counting:
            self._missing -= 1
            missing = self._missing
        return not missing and bool(self._waiting) and self.limiter.request(self._ticket)

    def _hand_over_soon(self) -> None:
        """Where it was submitted: on that loop; or, from a thread, wherever this is."""
        lane = self._lane
        if lane is None:
            self._entrusting.hand_over(self)
        elif lane.loop.is_closed():
            self.cancel("Its event loop has ended.")
        else:
            lane.post(self.hand_over_late)

    def upstream_ended(self) -> None:
        """Something that it depends on has ended, after it was submitted."""
        if self.one_less():
            self._hand_over_soon()

    def hand_over_late(self) -> None:
        """Give the run to its runner, after it has waited: what goes wrong there is its outcome."""
        if self._ticket.error is not None:
            if self._leave():
                self._own.set_exception(self._ticket.error)
                self._scope.tell(HandedOver(1))
            return
        try:
            self._hand_over()
        except BaseException as error:  # noqa: BLE001  # there is nobody else to be told of it
            self._own.set_exception(error)

    def _hand_over(self) -> Future[Any] | None:
        """Give the run to its runner: its future; None where it was cancelled before."""
        if not self._leave():
            return None
        try:
            future: Future[Any] = self._context.run(future_of, self._runner, *self._call)
            source = future.source
        except BaseException:
            self.limiter.give_back(self._ticket)
            raise
        finally:
            self._scope.tell(HandedOver(1))
        self._future = future
        source.tell(Watch(self))
        if self._reason is not None:
            source.cancel(self._reason)
        return future

    # How it ends.

    def _leave(self) -> bool:
        """Wait no longer; whether that is new."""
        try:
            self._waiting.pop()
        except IndexError:
            return False
        self._scope.ongoing.discard_entrusted(self)
        return True

    def cancel(self, reason: str) -> None:
        """Ask for its end: at once as long as it waits, then as its runner's future sees fit."""
        self._reason = reason
        if self._leave():
            self.limiter.give_back(self._ticket)
            self._own.set_result(Cancelled(message=reason))
            self._scope.tell(HandedOver(1))
        elif self._future is not None:
            self._future.source.cancel(reason)

    def notify(self, source: Any) -> None:
        """The runner's promise was kept or broken."""
        self.limiter.give_back(self._ticket, failed=_FAILED.get(source.type))
        self._own.set_result(source.state)

    # As the bell of its ticket.

    @property
    def limiter(self) -> ActingLimiter:
        """Who serves it."""
        return self._entrusting.limiter

    def served(self, _ticket: Ticket) -> bool:
        """It has its slots, or was refused them."""
        self._hand_over_soon()
        return True


class _Upstream:
    """Tells such a run of the end of something that it depends on."""

    __slots__ = ("_run",)

    def __init__(self, run: Entrusted) -> None:
        self._run = run

    def notify(self, _source: Any) -> None:
        """It has ended."""
        self._run.upstream_ended()
