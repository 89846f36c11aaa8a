"""The engine: what the flows of one program share.

Decides which engine a call belongs to: the one of the run it is made in, else the one whose `async with` it is in, else the
default one, which is made on first use. Holds the threads, the lanes into event loops, the journal and the ports; all of them
come into being when something asks for them. No state is bound to a loop but the lane of that loop.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from contextvars import ContextVar, Token
from threading import Lock, Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from uuid import UUID

import attrs

from millrace.actors.errors import EngineClosed, RunNotFound
from millrace.actors.events import Event, Journal
from millrace.actors.messages import Admit
from millrace.actors.states import State
from millrace.runtime.context import CURRENT
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.futures import FlowFuture
from millrace.runtime.loop_lane import LoopLane
from millrace.runtime.loops import LoopThread
from millrace.runtime.offload import Offload, OffloadStats, thread_limit
from millrace.runtime.ports import Clock, IdSource, system_clock
from millrace.runtime.timers import LoopTimers, Timers

if TYPE_CHECKING:
    from millrace.runtime.flow import Flow

R = TypeVar("R")

_active: ContextVar[Engine | None] = ContextVar("millrace_engine", default=None)


@attrs.frozen
class EngineStats:
    """What an engine holds at one moment.

    Args:
        flow_runs: Flow runs that have not ended.
        task_runs: Task runs that have not ended, inside flows and outside.
        threads: Its own threads for sync functions.
    """

    flow_runs: int
    task_runs: int
    threads: OffloadStats


class Engine:
    """Runs flows and tasks.

    `async with Engine() as engine:` makes it the engine of the calls in the block, and closes it at the end: what still runs
    is waited for, or cancelled when the block is left by an exception. Without any, a default engine is made on first use.

    Args:
        threads: How many sync functions may run at once on the engine's own threads; by default `MILLRACE_THREADS`, else
            four more than there are cores, 32 at most.
        grace_seconds: How long a cancelled body may take to stop before its run is given up.
        clock: Nanoseconds since the epoch; for simulations.
        timers: What wakes waiting runs; for simulations.
        random: Gives random bytes; for simulations.

    Raises:
        ConfigurationError: an option is out of range.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        grace_seconds: float = 5.0,
        clock: Clock = system_clock,
        timers: Timers | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self.now = clock
        self.timers: Timers = timers or LoopTimers(clock)
        self.ids = IdSource(clock, random)
        self.journal = Journal()
        self.closed = False
        self.grace_seconds = grace_seconds
        self.offload = Offload(thread_limit(threads))
        self._lanes: dict[
            int, LoopLane
        ] = {}  # by id of the loop, which the lane keeps alive; closed ones are let go of
        self._own: LoopThread | None = None
        self._lock = Lock()
        self._subscribers: list[Callable[[Event], None]] = []
        self._flow_runs: dict[int, FlowRun] = {}  # by id: not ended
        self._background: set[asyncio.Task[Any] | Thread] = set()
        self._token: Token[Engine | None] | None = None
        self.root = FlowRun(self, None, {})
        self.root.ask(Admit(clock()))

    # Which engine.

    @staticmethod
    def current() -> Engine:
        """The engine that a call made here belongs to."""
        run = CURRENT.get()
        if run is not None:
            return run.scope.engine
        return _active.get() or default_engine()

    # Places to run.

    def lane_here(self) -> LoopLane:
        """The lane of the running loop."""
        loop = asyncio.get_running_loop()
        lane = self._lanes.get(id(loop))
        if lane is None or lane.loop is not loop:
            lane = LoopLane(loop)
            with self._lock:
                self._lanes = {key: each for key, each in self._lanes.items() if not each.loop.is_closed()}
                self._lanes[id(loop)] = lane
        return lane

    def own_lane(self) -> LoopLane:
        """The lane of the engine's own loop, which is started now if it was not."""
        with self._lock:
            if self._own is None:
                self._own = LoopThread("millrace-loop")
            return self._own.lane

    # Flow runs.

    def start(self, flow: Flow[..., Any], *args: Any, **kwargs: Any) -> FlowFuture[Any]:
        """Start a flow in the background: on the running loop, else on the engine's own; a sync flow in a thread.

        Args:
            flow: The flow.
            *args: Its positional arguments.
            **kwargs: Its keyword arguments.

        Returns:
            The future of the flow run.

        Raises:
            EngineClosed: the engine is closing.
            ParameterBindError: the call does not fit.
        """
        return flow.start(self, args, kwargs)

    async def cancel(self, run_id: UUID) -> State[Any]:
        """Cancel a flow run and wait for its end.

        Returns:
            The state it ended in.

        Raises:
            RunNotFound: no flow run with that id is running here.

        Cancellation: only the wait ends.
        """
        run = self.find_flow_run(run_id)
        run.cancel()
        return await FlowFuture[Any].of(run).wait_async()

    def find_flow_run(self, run_id: UUID) -> FlowRun:
        """A flow run that has not ended.

        Raises:
            RunNotFound: there is none with that id.
        """
        run = self._flow_runs.get(run_id.int)
        if run is None:
            raise RunNotFound(run_id)
        return run

    def flow_runs(self) -> list[FlowRun]:
        """The flow runs that have not ended."""
        return list(self._flow_runs.values())

    def enlist(self, run: FlowRun) -> None:
        """Keep account of a flow run that starts.

        Raises:
            EngineClosed: the engine is closing.
        """
        if self.closed:
            raise EngineClosed(f"start flow '{run.flow.name if run.flow else ''}'")
        self._flow_runs[run.id] = run

    def discharge(self, run: FlowRun) -> None:
        """A flow run has ended."""
        self._flow_runs.pop(run.id, None)

    def keep(self, worker: asyncio.Task[Any] | Thread) -> None:
        """Hold on to what runs a flow in the background: a loop holds its tasks weakly."""
        self._background.add(worker)

    def let_go(self, worker: asyncio.Task[Any] | Thread) -> None:
        """What ran a flow in the background has ended."""
        self._background.discard(worker)

    # Events.

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Have every accepted transition told, in order for each run, on the thread that made it.

        Args:
            listener: Quick; what it raises is the engine's problem and yours, so it should not.

        Returns:
            A function that ends the subscription.
        """
        with self._lock:
            self._subscribers = [*self._subscribers, listener]
            self.journal.sink = self._publish

        def unsubscribe() -> None:
            with self._lock:
                self._subscribers = [each for each in self._subscribers if each is not listener]
                if not self._subscribers:
                    self.journal.sink = None

        return unsubscribe

    def _publish(self, event: Event) -> None:
        for listener in self._subscribers:
            listener(event)

    def stats(self) -> EngineStats:
        """What the engine holds at this moment."""
        flow_runs = self.flow_runs()
        return EngineStats(
            flow_runs=len(flow_runs),
            task_runs=self.root.live
            + sum(run.live - sum(child.is_flow for child in tuple(run.children.values())) for run in flow_runs),
            threads=self.offload.stats(),
        )

    # The end.

    async def __aenter__(self) -> Self:
        if self.closed:
            raise EngineClosed("enter it again")
        self._token = _active.set(self)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _active.reset(self._token)
            self._token = None
        await self.aclose(cancel=error is not None)

    async def aclose(self, *, cancel: bool = False) -> None:
        """Accept nothing new, wait for what runs, and end the engine's threads.

        Args:
            cancel: Cancel what runs instead of waiting for it to end by itself.

        Cancellation: cancels what runs, then goes on up.
        """
        self.closed = True
        try:
            if cancel:
                self._cancel_all()
            await self._drain()
        except BaseException:
            self._cancel_all()
            raise
        finally:
            self._close_threads()

    def close(self, *, cancel: bool = False) -> None:
        """The same as `aclose`, from sync code: blocks until what runs has ended."""
        self.closed = True
        if cancel:
            self._cancel_all()
        for run in (*self._flow_runs.values(), self.root):
            if run is self.root:
                run.join()
            else:
                FlowFuture[Any].of(run).wait()
        self._close_threads()

    def _cancel_all(self) -> None:
        for run in self.flow_runs():
            run.cancel("The engine is closing.")
        self.root.interrupt("The engine is closing.")

    async def _drain(self) -> None:
        for run in self.flow_runs():
            await FlowFuture[Any].of(run).wait_async()
        await self.root.join_async()

    def _close_threads(self) -> None:
        self.offload.close()
        if self._own is not None:
            self._own.close()
            self._own = None


_default: list[Engine] = []
_default_lock = Lock()


def default_engine() -> Engine:
    """The engine of calls that are made in no other; made on first use, and again after it was closed or forked."""
    with _default_lock:
        if not _default or _default[0].closed:
            _default[:] = [Engine()]
        return _default[0]


def _forget_default() -> None:
    """A fork has none of its parent's threads: the child makes an engine of its own."""
    global _default_lock  # noqa: PLW0603  # the parent may have held it at the fork
    _default_lock = Lock()
    _default.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_default)


def current_scope() -> FlowRun:
    """The flow run that a call made here belongs to; outside of any, the engine's own scope."""
    run = CURRENT.get()
    return Engine.current().root if run is None else run.scope
