"""The engine: what the flows of one program share.

Decides which engine a call belongs to: the one of the run it is made in, else the one that was entered around it, else
the default one. Holds the threads, the loops, the journal, the roll and the ports; threads and loops come into being
when something asks for them. What each of these does is its own matter, and so is the end of all of them.
"""

from __future__ import annotations

import asyncio
import functools
import os
from collections.abc import Callable, Container, Mapping
from contextvars import Token
from threading import Thread
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, Self, TypeVar

from millrace.actors.errors import (
    BlockingCallOnLoop,
    EngineClosed,
    FlowDefinitionError,
    RunNotFound,
)
from millrace.actors.events import Event, Journal
from millrace.actors.messages import Admit
from millrace.actors.seconds import checked_seconds
from millrace.actors.states import State
from millrace.runtime.context import CURRENT
from millrace.runtime.engine_loops import EngineLoops
from millrace.runtime.engines import default_engine, remember
from millrace.runtime.entering import ENTERED, Entry, entered_engine
from millrace.runtime.flow_run import FlowRun
from millrace.runtime.futures import FlowFuture
from millrace.runtime.grace import Grace
from millrace.runtime.listeners import Listeners
from millrace.runtime.loop_lane import LoopLane
from millrace.runtime.offload import Offload, thread_limit
from millrace.runtime.ports import Clock, IdSource, system_clock
from millrace.runtime.rationing import Rationing, wanted_limits
from millrace.runtime.roll import Roll
from millrace.runtime.run_ids import is_id, number_of
from millrace.runtime.running import running_loop
from millrace.runtime.scope_ending import LOOP_ENDED
from millrace.runtime.settings import MONITOR
from millrace.runtime.thread_calls import Call
from millrace.runtime.timers import LoopTimers, Timers

if TYPE_CHECKING:
    from uuid import UUID

    from millrace.actors.tickets import Amount
    from millrace.runtime.asgi import Lifespan
    from millrace.runtime.engine_stats import EngineStats
    from millrace.runtime.flow import AsyncFlow, BaseFlow, Flow
    from millrace.runtime.limits import Limits
    from millrace.runtime.monitor import LoopMonitor
    from millrace.runtime.results import MemoryLockManager
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.stores.chronicle import Chronicle
    from millrace.runtime.stores.port import Store
    from millrace.runtime.stores.writer import StoreWriter
    from millrace.runtime.task_site import TaskSite

P = ParamSpec("P")
R = TypeVar("R")


class Engine:
    """Runs flows and tasks.

    `async with Engine() as engine:`, or `with` in sync code, makes it the engine of the calls in the block, and closes
    it at the end: what still runs is waited for, or cancelled when the block is left by an exception. In async code it
    is also the engine, until it is closed, of all other calls on the same loop that are in no block of their own:
    entered in the lifespan of an ASGI application, it serves the request handlers, which run in other tasks. A handler
    that the server calls in a thread is on no loop; there, pass the engine on, as in `engine.start(flow)`. Of several
    on one loop the last one entered counts. Without any, a default engine is made on first use.

    Args:
        threads: How many sync functions may run at once on the engine's own threads; by default `MILLRACE_THREADS`,
            else four more than there are cores, 32 at most.
        grace_seconds: How long a cancelled body may take to stop before its run is given up.
        limits: By name: how many at once, a `RateLimit`, or an `AdaptiveLimit`; beside those of `MILLRACE_LIMITS`.
        store: Where runs are recorded, so that they outlive the process: a URL, as `"sqlite:///runs.db"`, or a store.
            It is opened now, and the runs are ended that a dead process has left there. By default nothing is
            recorded.
        monitor: A loop that has not answered for so many seconds, because code on it blocks, is named in the log, and
            the code, too; by default `MILLRACE_MONITOR`, and where that is not set nobody looks.
        clock: Nanoseconds since the epoch, which never go back; by default the time of the machine, kept from going
            back where that is set back. Another one is for simulations.
        timers: What wakes waiting runs; for simulations.
        random: Gives random bytes; for simulations.

    Raises:
        ConfigurationError: an option is out of range.
        StoreError: the store cannot be opened, or is refused, or another process has it.
    """

    def __init__(
        self,
        *,
        threads: int | None = None,
        grace_seconds: float = 5.0,
        limits: Mapping[str, Amount] | None = None,
        store: Store | str | None = None,
        monitor: float | None = None,
        clock: Clock = system_clock,
        timers: Timers | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        # What may be refused comes before the store is opened, which is somebody's to close.
        self.grace_seconds: float = checked_seconds("grace_seconds", grace_seconds)
        self.offload: Offload = Offload(thread_limit(threads))
        looks_after: LoopMonitor | None = None
        if (seconds := MONITOR.read() if monitor is None else monitor) is not None:
            from millrace.runtime.monitor import LoopMonitor  # noqa: PLC0415  # few engines are looked after

            looks_after = LoopMonitor(seconds)
        wanted = wanted_limits(limits)
        self.now = clock
        self.timers: Timers = timers or LoopTimers(clock)
        self.ids: IdSource = IdSource(clock, random)
        self._random = random
        self.chronicle: Chronicle | None = None  # puts runs on record; None: nobody does
        if store is not None:
            from millrace.runtime.stores.opening import open_chronicle  # noqa: PLC0415  # most engines have no store

            self.chronicle = open_chronicle(store, clock)
        self.journal: Journal = Journal(keeper=None if self.chronicle is None else self.chronicle.note)
        self.closed: bool = False
        self.listeners: Listeners = Listeners(self.journal, self._writer)
        self.loops: EngineLoops = EngineLoops(self.grace_seconds, self._writer, looks_after, self._loop_ends)
        self.lane_here: Callable[[], LoopLane] = self.loops.lane_here  # of the running loop; asked for at every call
        self._grace = Grace(self)
        self.roll: Roll = Roll()
        self._background: set[asyncio.Task[Any] | Thread] = set()
        self._entries: list[Entry] = []
        self._tokens: list[Token[Engine | None]] = []  # of the blocks of sync code that it was entered in
        self.equip: Callable[[TaskSite], None] | None = None  # changes what a task has in a flow run; for tests
        self.rationing: Rationing = Rationing(self)
        remember(self)
        self.root: FlowRun = FlowRun(self, None, {})
        self.root.ask(Admit(clock()))
        self.rationing.begin(wanted)
        if self.chronicle is not None:
            self.chronicle.steer(self)

    @functools.cached_property
    def locks(self) -> MemoryLockManager:
        """Locks of cache keys, for policies that ask for them and name no manager."""
        from millrace.runtime.results import MemoryLockManager  # noqa: PLC0415  # few engines need it

        return MemoryLockManager()

    @property
    def limits(self) -> Limits:
        """How many may do something at once, and how often; by name."""
        return self.rationing.limits

    def draw(self) -> float:
        """A random number, at least 0 and less than 1."""
        return (int.from_bytes(self._random(8), "big") >> 11) / 2**53

    # Which engine.

    @staticmethod
    def current() -> Engine:
        """The engine that a call made here belongs to."""
        run = CURRENT.get()
        if run is not None:
            return run.scope.engine
        return entered_engine() or default_engine()

    # Places to run.

    def own_lane(self, held: Container[asyncio.AbstractEventLoop] = ()) -> LoopLane:
        """The lane of a loop of the engine's own. See `EngineLoops.own_lane`."""
        return self.loops.own_lane(held)

    def _loop_ends(self, lane: LoopLane) -> None:
        """A loop is being shut down: what is left there never runs, and whoever waits for it is to know."""
        lane.give_back(RuntimeError(LOOP_ENDED))
        self.root.give_up_the_dead(lane.loop)

    # The store.

    @property
    def _writer(self) -> StoreWriter | None:
        return None if self.chronicle is None else self.chronicle.writer

    def when_committed(self, run: TaskRun | FlowRun, *, helps: bool = False) -> None:
        """Have the end of a run told, which is withheld, as soon as its record is committed. See `Chronicle`."""
        if self.chronicle is not None:
            self.chronicle.when_committed(run, helps=helps)

    def must_not_block(self) -> bool:
        """Whether this is the thread that others wait for, which writes to the store."""
        return self.chronicle is not None and self.chronicle.writer.here

    def call_elsewhere(self, fn: Callable[..., Any], *args: Any) -> None:
        """Call something that may block, on one of the engine's threads."""
        self.offload.call(Call(fn, args, lambda: None))

    # Flow runs.

    def start(self, flow: Flow[P, R] | AsyncFlow[P, R], *args: P.args, **kwargs: P.kwargs) -> FlowFuture[R]:
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
            FlowDefinitionError: it is not a flow.
        """
        if not hasattr(type(flow), "begin"):
            raise not_a_flow(flow, "Engine.start()")
        return flow.start(self, args, kwargs)

    def resume(
        self,
        run_id: UUID | str,
        flow: BaseFlow[Any, Any] | None = None,
        *,
        force: bool = False,
        any_arguments: bool = False,
    ) -> FlowFuture[Any]:
        """Run a recorded flow run again, in the background. Reads the store, and so blocks for a moment.

        Args:
            run_id: See `resume_run`, as for the others.
            flow: The flow.
            force: Run it although it has ended its process again and again.
            any_arguments: Give calls the results that they had come to with other arguments, too.

        Returns:
            The future of the flow run.

        Raises:
            RunNotFound: there is no such run in the store.
            RunNotResumable: it has completed, was cancelled, or is running; or its flow or parameters cannot be had.
        """
        from millrace.runtime.stores.resuming import start_resumed  # noqa: PLC0415  # most engines have no store

        return start_resumed(self, run_id, flow, force=force, any_arguments=any_arguments)

    async def cancel(self, run_id: UUID | str) -> State[Any]:
        """Cancel a flow run and wait for its end.

        Args:
            run_id: Its id.

        Returns:
            The state it ended in.

        Raises:
            RunNotFound: no flow run with that id is running here, nor is one in the engine's store.
            RunEnded: it has ended already. (In the store.)
            OwnerUnreachable: the process that runs it is over, or does not answer. (In a store of several processes.)

        Cancellation: only the wait ends.
        """
        if self.chronicle is not None and not self.runs_flow(number_of(run_id)):
            from millrace.runtime.stores import by_id  # noqa: PLC0415  # most engines have no store

            steered = by_id.Steered(self.chronicle.writer.store, self)
            return await by_id.elsewhere(lambda: by_id.cancel(steered, run_id))
        run = self.find_flow_run(run_id)
        run.cancel()
        return await FlowFuture[Any].of(run).wait_async()

    def find_flow_run(self, run_id: UUID | str) -> FlowRun:
        """A flow run that has not ended.

        Args:
            run_id: Its id.

        Raises:
            RunNotFound: there is none with that id.
        """
        run = self.roll.get(number_of(run_id))
        if run is None:
            raise RunNotFound(run_id)
        return run

    def has_flow_run(self, run_id: UUID | str) -> bool:
        """Whether what is given is the id of a flow run that is here, and has not ended."""
        return is_id(run_id) and self.runs_flow(number_of(run_id))

    def runs_flow(self, run_id: int) -> bool:
        """Whether a flow run with that id is here, and has not ended."""
        return run_id in self.roll

    def is_let_go(self, run_id: int) -> bool:
        """Whether a flow run with that id is here, has not ended, and nobody sees it through."""
        run = self.roll.get(run_id)
        return run is not None and run.let_go

    def flow_runs(self) -> list[FlowRun]:
        """The flow runs that have not ended."""
        return self.roll.runs()

    def enlist(self, run: FlowRun) -> None:
        """Keep account of a flow run that starts."""
        self.roll.enter(run)

    def discharge(self, run: FlowRun) -> None:
        """A flow run has ended, and so has all that was to be done then."""
        self.roll.strike(run)

    def expect_end(self, run: TaskRun | FlowRun, scope: FlowRun) -> None:
        """Give up a run that was told to stop, if it has not when its grace is over.

        Args:
            run: The run.
            scope: Says which loop may keep the time.
        """
        self._grace.expect_end(run, scope)

    def keep(self, worker: asyncio.Task[Any] | Thread) -> None:
        """Hold on to what runs a flow in the background: a loop holds its tasks weakly."""
        self._background.add(worker)

    def let_go(self, worker: asyncio.Task[Any] | Thread) -> None:
        """What ran a flow in the background has ended."""
        self._background.discard(worker)

    # Events.

    def subscribe(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Have every accepted transition told, in order for each run, on the thread that made it.

        With a store a transition is told when it is committed, on the thread that has written it.

        Args:
            listener: Quick, as the run waits for it meanwhile. What it raises is logged and stops nothing.

        Returns:
            A function that ends the subscription.

        Raises:
            ConfigurationError: it cannot be called.
        """
        return self.listeners.add(listener)

    def stats(self) -> EngineStats:
        """What the engine holds at this moment."""
        from millrace.runtime.engine_stats import EngineStats  # noqa: PLC0415  # seldom asked for, and slow to import

        return EngineStats.of(self)

    # The end.

    @property
    def lifespan(self) -> Lifespan:
        """For `FastAPI(lifespan=engine.lifespan)`; see `millrace.asgi.lifespan`."""
        from millrace.runtime.asgi import Lifespan  # noqa: PLC0415  # few engines are part of an application

        return Lifespan(self)

    def __enter__(self) -> Self:
        """Make it the engine of the calls in a block of sync code, and close it at the end."""
        if self.closed:
            raise EngineClosed("enter it again")
        self._tokens.append(ENTERED.set(self))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.close(cancel=error is not None)
        finally:
            ENTERED.reset(self._tokens.pop())

    async def __aenter__(self) -> Self:
        if self.closed:
            raise EngineClosed("enter it again")
        self._entries.append(Entry(self))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        entry = self._entries.pop()
        entry.leave_context()
        try:
            await self.aclose(cancel=error is not None)
        finally:
            entry.leave_loop()  # not before: whoever calls while it closes is to hear that it does

    async def aclose(self, *, cancel: bool = False) -> None:
        """Accept nothing new, wait for what runs, and end the engine's threads.

        Args:
            cancel: Cancel what runs instead of waiting for it to end by itself. What does not stop is given up in time.

        Cancellation: cancels what runs, waits for its end, and goes on up.
        """
        from millrace.runtime.engine_ending import end_async  # noqa: PLC0415  # not needed before

        await end_async(self, cancel=cancel)

    def close(self, *, cancel: bool = False) -> None:
        """The same as `aclose`, from sync code: blocks until what runs has ended.

        Raises:
            BlockingCallOnLoop: something runs, and this is the thread of a loop; use `await engine.aclose()` there.
        """
        if running_loop() is not None and (self.roll or self.root.live):
            raise BlockingCallOnLoop("Engine.close()", "await engine.aclose()")
        from millrace.runtime.engine_ending import end  # noqa: PLC0415  # not needed before

        end(self, cancel=cancel)

    def cancel_all(self, reason: str = "The engine is closing.") -> None:
        """Cancel all that runs, in flows and outside of any; returns at once."""
        for run in self.flow_runs():
            run.cancel(reason)
        self.root.interrupt(reason)

    def give_up_the_dead(self) -> None:
        """End the runs of loops that were closed under them: nothing else will."""
        for scope in (*self.flow_runs(), self.root):
            scope.give_up_the_dead()


def not_a_flow(thing: object, call: str) -> FlowDefinitionError:
    """The error for something that was given in place of a flow; a coroutine is closed, since nobody will await it."""
    hint = "Decorate it with @flow."
    if hasattr(type(thing), "submit"):  # a task; by its class, whose module imports this one
        hint = "Call the task itself, or have a flow call it."
    if asyncio.iscoroutine(thing):
        hint = "Pass the flow itself, not a call of it."
        thing.close()
    return FlowDefinitionError(f"{call} of {thing!r}, a {type(thing).__name__}: expected a flow. {hint}")


def current_scope() -> FlowRun:
    """The flow run that a call made here belongs to; outside of any, the engine's own scope."""
    run = CURRENT.get()
    if isinstance(run, FlowRun):  # mostly, and quicker than asking it for its scope, which it is
        return run
    return Engine.current().root if run is None else run.scope
