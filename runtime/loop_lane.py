"""The loop lane: async bodies on one event loop, and the engine's door into that loop from other threads.

Decides the order of async runs on a loop and how long they may hold it: runs that never wait are taken one after
another until a time budget is used up, then the loop gets a turn, so that a host's handlers stay responsive while a
map of a million items runs. Maps and streams take turns with each other, and with single runs. Where a single run has
come between them the loop gets its turn sooner: somebody may wait for that run, and go on. So it does for a while when
its last turn took time, because then it is not only ours: a request to a host takes several turns of its loop, and
waits for us before each of them.

Nothing is installed in the loop: no task factory, no signal handler, no policy. A lane belongs to one engine and one
loop.
"""

from __future__ import annotations

import asyncio
import types
from collections import deque
from collections.abc import Callable, Generator
from contextlib import suppress
from contextvars import Context
from threading import Lock
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.instructions import EXECUTE, SETTLE, Order
from millrace.actors.messages import Admit
from millrace.actors.task_run import TaskRunActor
from millrace.runtime.attempt import Suspended, admit, begin, start
from millrace.runtime.priorities import Ranks
from millrace.runtime.running import running_loop

if TYPE_CHECKING:
    from millrace.runtime.deadlines import Line
    from millrace.runtime.lanes import RunSource
    from millrace.runtime.runs import TaskRun
    from millrace.runtime.stores.writer import StoreWriter
    from millrace.runtime.timers import TimerQueue

BUDGET_SECONDS: Final = 0.0005
"""How long runs may hold the loop before it gets a turn."""

SHORT_BUDGET_SECONDS: Final = 0.0001
"""The same while others are there who have something to do."""

GUESTS_SECONDS: Final = 0.00005
"""How long a turn of the loop takes, at least, in which others had something to do. An empty one is a system call."""

GUESTS_STAY: Final = 16
"""For so many turns they are expected to come again."""

CHUNK: Final = 16
"""Runs taken from a map at a time, or singly started ones in a row, or any between two looks at the clock."""


class Posted:
    """A call that somebody waits for who may outlive the loop.

    Args:
        call: The call.
        lost: Called in its place, from any thread, where the loop was closed before.
    """

    __slots__ = ("_call", "lost")

    def __init__(self, call: Callable[[], None], lost: Callable[[], None]) -> None:
        self._call = call
        self.lost = lost

    def __call__(self) -> None:
        """Make the call."""
        self._call()


class LoopLane:
    """Runs async bodies on one event loop. See the module's docstring.

    Args:
        loop: The loop.
        writer: Writes what is recorded of the runs; they are taken no faster than that. None: nothing is recorded.
    """

    has_priorities = True

    def __init__(self, loop: asyncio.AbstractEventLoop, writer: StoreWriter | None = None) -> None:
        self.loop = loop
        self._writer = writer
        self._ready: deque[TaskRun] = deque()  # started singly, or waited for something
        self._row = 0  # so many of these were taken in a row, while maps were in line
        self._chunk: deque[TaskRun] = deque()  # taken from a map
        self._maps: deque[RunSource] = deque()  # maps and streams
        self._urgent: Ranks[TaskRun | RunSource] | None = None  # with a priority above the usual one; None: never any
        self._patient: Ranks[TaskRun | RunSource] | None = None  # the same below it
        self._hurry = False  # a single run was taken from between maps since the loop had its last turn
        self._guests = 0  # for so many turns others are expected to have something to do
        self._awake = False  # a worker is on its way, or takes runs right now; set by whoever brings work
        self._worker: asyncio.Task[None] | None = None  # the last one that was made
        self._calls: deque[Callable[[], None]] = deque()
        self._called = False  # the loop has been asked to empty `_calls`
        self.timers: TimerQueue | None = None  # made when the first timer is set here
        self.deadlines: dict[float, Line] = {}  # by seconds: of the attempts whose time is kept here
        self._guard = Lock()

    def timers_or(self, queue: TimerQueue) -> TimerQueue:
        """The lane's timers: the given ones, if it has none yet."""
        with self._guard:
            if self.timers is None:
                self.timers = queue
            return self.timers

    @property
    def here(self) -> bool:
        """Whether the calling code runs in this loop."""
        return running_loop() is self.loop

    # From any thread.

    def dispatch(self, run: TaskRun, priority: int = 0) -> None:
        """Put a run in line."""
        if priority:
            self._ranks(priority).put(priority, run)
        else:
            self._ready.append(run)
        if not self._awake:
            self._wake()

    def dispatch_map(self, source: RunSource, priority: int = 0) -> None:
        """Put all the runs of a map or a stream in line, unless it stands there."""
        if source.in_line:
            return
        source.in_line = True
        if priority:
            self._ranks(priority).put(priority, source)
        else:
            self._maps.append(source)
        if not self._awake:
            self._wake()

    def _ranks(self, priority: int) -> Ranks[TaskRun | RunSource]:
        with self._guard:
            if priority > 0:
                ranks = self._urgent = self._urgent or Ranks()
            else:
                ranks = self._patient = self._patient or Ranks()
            return ranks

    def stop(self, run: TaskRun) -> None:
        """Cancel the body of a run at its await."""
        if self.here:
            run.stop_body()
        else:
            self.post(run.stop_body)

    def post(self, call: Callable[[], None]) -> None:
        """Call something on the loop, soon; many calls cost one wake-up."""
        self._calls.append(call)
        if not self._called:
            self._called = True
            self._soon(self._run_calls)

    def drop_calls(self) -> None:
        """The loop is closed: say so to those whose calls will not come."""
        self._called = False  # first: whoever posts from now on finds the loop closed
        while self._calls:
            with suppress(IndexError):  # another thread drops them too
                call = self._calls.popleft()
                if isinstance(call, Posted):
                    call.lost()

    def heal(self) -> None:
        """See to it that work is taken even after somebody cancelled every task of the loop, ours among them."""
        worker = self._worker
        if worker is not None and worker.cancelled() and self._awake:
            self._worker = None
            self.give_back(asyncio.CancelledError())

    def give_back(self, error: BaseException) -> None:
        """End all that stands in line, because the loop does not run it any more."""
        self._awake = False  # first: what is brought in from now on wakes a worker
        left: list[TaskRun | RunSource] = []
        for line in (self._maps, self._chunk, self._ready):
            while line:
                left.append(line.popleft())
        for ranks in (self._urgent, self._patient):
            while ranks is not None and (found := ranks.first()) is not None:
                left.append(found[1])
        for each in left:
            if isinstance(each, TaskRunActor):
                each.crash(error)
            else:
                each.in_line = False
                each.cancel()

    def _wake(self) -> None:
        self._awake = True
        self._soon(self._start_worker)

    def _soon(self, call: Callable[[], None]) -> None:
        # An empty context: the handle must not keep alive what happened to be current here.
        if self.here:
            self.loop.call_soon(call, context=Context())
        else:
            try:
                self.loop.call_soon_threadsafe(call, context=Context())
            except RuntimeError:
                if not self.loop.is_closed():
                    raise
                # A closed loop runs nothing any more, and whoever waited there is gone with it.
                self.give_back(RuntimeError("its event loop was closed"))
                self.drop_calls()

    # On the loop.

    def _run_calls(self) -> None:
        calls = self._calls
        self._called = False  # before the first call: what is posted from now on asks for another round
        for _ in range(len(calls)):
            calls.popleft()()

    def _start_worker(self) -> None:
        self._worker = self.loop.create_task(self._work(), context=Context())

    def _start_successor(self) -> None:
        if self.loop.get_task_factory() is None:
            self._start_worker()
        else:  # an eager one would run it here and now, inside of this worker, and the next one inside of that
            self.loop.call_soon(self._start_worker, context=Context())

    def _next(self) -> TaskRun | None:
        """The next run; None when there is no work, and then the lane sleeps until some is brought."""
        while True:
            if self._urgent is not None and (run := self._ranked(self._urgent)) is not None:
                return run
            if self._ready and self._row < CHUNK:
                if self._chunk or self._maps:
                    self._row += 1
                    self._hurry = True
                return self._ready.popleft()
            if self._chunk:
                return self._chunk.popleft()
            self._row = 0
            if self._maps:
                self._take_chunk()
            elif not self._ready:
                if self._patient is not None and (run := self._ranked(self._patient)) is not None:
                    return run
                self._awake = False
                # Looked at again after that: work brought in between was told that a worker is awake.
                if not (self._ready or self._maps or self._urgent or self._patient):
                    return None
                self._awake = True

    def _take_chunk(self) -> None:
        """The map or stream whose turn it is gives some of its runs, and stands behind the others again."""
        source = self._maps.popleft()
        source.in_line = False  # before it is looked at: what comes to it later puts it in line again
        self._chunk.extend(source.take(CHUNK))
        if source.more and not source.in_line:
            source.in_line = True
            self._maps.append(source)

    def _ranked(self, ranks: Ranks[TaskRun | RunSource]) -> TaskRun | None:
        """The next run of those with a priority; None where there is none."""
        while (found := ranks.first()) is not None:
            priority, first = found
            if isinstance(first, TaskRunActor):
                return first
            first.in_line = False  # see `_take_chunk`
            ranks.put(priority, *first.take(CHUNK))
            if first.more and not first.in_line:
                first.in_line = True
                ranks.put(priority, first)
        return None

    async def _work(self) -> None:  # noqa: C901, PLR0912  # the hot loop: what it calls it pays for
        """Take runs until one has to wait for something; then that body keeps this task, and another worker goes on."""
        until = perf_counter() + BUDGET_SECONDS
        taken = 0
        run = None
        awake = True  # this is the worker that takes runs
        try:
            if self._writer is not None:
                await self._room()
            while (run := self._next()) is not None:
                order = run.ask(Admit(run.node.now())) if run.node.conduct is None else EXECUTE
                if order is None and run.granted:
                    order = admit(run)
                while order is EXECUTE:
                    begun = start(run)
                    if isinstance(begun, Suspended):
                        self._start_successor()
                        awake = False
                        order = await begun
                        if order is EXECUTE:
                            await execute_async(run, order)
                        elif order is not None:
                            run.perform(order)
                        return
                    order = begun
                if order is SETTLE:
                    run.settle_up()  # what its task wants done at the end is seen to by what conducts an attempt
                elif order is not None:
                    run.perform(order)
                taken += 1
                if taken % CHUNK == 0 and (self._hurry or perf_counter() > until):
                    self._hurry = False
                    budget = await self._turn_of_the_loop()
                    if self._writer is not None:
                        await self._room()
                    until = perf_counter() + budget
        except BaseException as error:
            # An interrupt that hit a body, or a fault of the engine's own: it ends this run and this task, not the
            # lane.
            if run is not None and not run.ended:
                run.crash(error)
            if awake:
                if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
                    self.give_back(error)  # somebody ends all tasks of the loop: nothing more is to run there
                else:
                    self._start_successor()
            raise

    @types.coroutine
    def _turn_of_the_loop(self) -> Generator[None, Any, float]:
        """Let the loop go on with all else; how long runs may hold it after that, in seconds."""
        began = perf_counter()
        yield
        if perf_counter() - began > GUESTS_SECONDS:
            self._guests = GUESTS_STAY
        elif self._guests:
            self._guests -= 1
        return SHORT_BUDGET_SECONDS if self._guests else BUDGET_SECONDS

    async def _room(self) -> None:
        """Wait until what has come about so far is written, if that is much."""
        writer = self._writer
        if writer is not None and writer.is_full:
            room = self.loop.create_future()
            writer.when_room(lambda: self.post(lambda: None if room.done() else room.set_result(None)))
            await room


async def execute_async(run: TaskRun, order: Order | Suspended | None = None) -> None:
    """Run an async body in the caller's task: from admission to the end, or to where it waits for another attempt.

    Args:
        run: The run.
        order: What has come of it so far, if it has been admitted already.
    """
    try:
        if order is None:
            order = begin(run)
        while True:
            if order is EXECUTE:
                order = start(run)
            elif isinstance(order, Suspended):
                order = await order
            else:
                break
        if order is SETTLE:
            run.settle_up()  # as above
        elif order is not None:
            run.perform(order)
    finally:
        del run  # from Python 3.12 on the frame of the body holds this one, and the run holds its exception
