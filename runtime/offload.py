"""The offload: sync bodies on threads of the engine's own.

Decides how many threads there are and which run each takes next. Threads are started when work comes and none is
free, up to a limit; they end after a while without work, and none is there before something asks for one. The event
loop's default executor is left alone: it belongs to the host.

A map is *held* by one thread as long as its bodies take no time (`actors/pace.py`): it stands in line for nobody else,
because other threads would only be in each other's way, and in that of a host's loop, for which the interpreter is free
when one thread lets go of it. Where a body blocks, the map goes back into line for others; that one does is noticed
by the lookout (`runtime/lookout.py`), or told by the body that waits for other runs.

A worker that waits for other runs lends its place: while it blocks another thread may be started for it, so that
nesting never runs out of workers, whatever the limit. A body that goes on after its run was cancelled or timed out is
*abandoned*: its thread is busy, and counts, until the function returns. Others stand in for abandoned threads, as many
as the limit allows threads at all; so bodies that never return cannot bring the engine to a halt at once, and cannot
fill the process with threads either.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Generator
from contextlib import contextmanager, suppress
from queue import Empty, SimpleQueue
from threading import Lock, Thread, current_thread
from threading import enumerate as enumerate_threads
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Final, Union

from millrace.actors.task_run import TaskRunActor
from millrace.runtime.attempt import execute
from millrace.runtime.idling import Idling
from millrace.runtime.lending import set_lender
from millrace.runtime.lookout import Lookout
from millrace.runtime.loop_lane import execute_async
from millrace.runtime.loops import finish_loop, new_loop
from millrace.runtime.priorities import Ranks, priority_on
from millrace.runtime.settings import THREADS, whole_number
from millrace.runtime.stack import ROOM_TO_START, check_room
from millrace.runtime.thread_calls import Call

if TYPE_CHECKING:
    from millrace.runtime.engine_stats import OffloadStats
    from millrace.runtime.lanes import RunSource
    from millrace.runtime.runs import TaskRun

IDLE_SECONDS: Final = 10.0
"""A thread without work for so long ends."""

LOOP_GRACE_SECONDS: Final = 1.0
"""How long what an async body left behind on its worker's loop may take to stop when the worker ends."""

TURN_SECONDS: Final = 0.0005
"""How long a thread takes runs from one map before it looks for other work."""


def _nothing() -> None: ...


class _RankedWork:
    """Stands in the queue for a piece of work that has a rank."""

    __slots__ = ()


_RANKED: Final = _RankedWork()
_Work = Union["TaskRun", "RunSource", Call]


class Worker(Thread):
    """A thread of an offload.

    Args:
        offload: The offload.
        target: What it does.
        name: Its name.
    """

    def __init__(self, offload: Offload, target: Callable[[], None], name: str) -> None:
        super().__init__(target=target, name=name, daemon=True)
        self.offload = offload
        self.steps = 0  # goes up with each body of a map, and whenever it comes to hold one
        self.free = False  # counted among those that wait for work, or are about to; its own business


class Offload:
    """Threads for sync bodies. See the module's docstring.

    Args:
        limit: How many threads may run bodies at once.
        name: Prefix of the threads' names.
    """

    has_priorities = True

    def __init__(self, limit: int, name: str = "millrace") -> None:
        self.limit = limit
        self._name = name
        self._work: SimpleQueue[_Work | _RankedWork | None] = SimpleQueue()  # None: end, if there are too many
        self._ranks: Ranks[_Work] | None = None  # with another priority than the usual one; None: never any
        self._lock = Lock()
        self._threads: set[Thread] = set()
        self._held: dict[Thread, RunSource] = {}  # by who takes runs from it; whoever takes one out puts it in line
        self._lookout: Lookout[Thread] = Lookout(f"{name}-lookout", self._steps, self._stuck, IDLE_SECONDS)
        self._running: dict[Thread, TaskRun] = {}
        self._abandoned: set[Thread] = set()  # running a body that its run has been ended, or goes on, without
        self._loops: dict[Thread, asyncio.AbstractEventLoop] = {}  # of the workers that have run an async body
        self._idle = 0  # threads that wait for work, or are about to
        self._lent: set[Thread] = set()  # blocked in a body that waits for other runs
        self._closed = False
        self._made = 0

    # From any thread.

    def dispatch(self, run: TaskRun, priority: int = 0) -> None:
        """Put a run in line."""
        self._put(run, priority)

    def dispatch_map(self, source: RunSource, priority: int = 0) -> None:
        """Put all the runs of a map or a stream in line."""
        if source not in tuple(self._held.values()):  # else whoever holds it looks once more before it is let go of
            self._put(source, priority)

    def call(self, call: Call) -> None:
        """Have a function called."""
        self._put(call)

    def post(self, call: Callable[[], None]) -> None:
        """Call something when a thread has time for it. No thread is started and no lock is taken: for finalizers."""
        self._work.put(Call(call, (), _nothing))

    def check_room(self) -> None:
        """Check that the stack does for starting a thread, where more work could be the reason to start one.

        Raises:
            RecursionError: it does not. Later, when the run is counted, nobody could end it.
        """
        if self._work.qsize() >= self._idle and (len(self._threads) < self.limit or self._lent or self._abandoned):
            check_room(ROOM_TO_START)

    def stop(self, run: TaskRun) -> None:
        """Cancel an async body at its await. A sync one goes on: its run ends now, its thread is abandoned."""
        if run.task.is_async:
            handle = run.handle
            if handle is not None:
                handle.cancel_soon()
        else:
            for thread, body in tuple(self._running.items()):
                if body is run:
                    self.abandon(thread, run)
            run.abandon_body()
            run.engine.rationing.stop_waiting(run)

    def abandon(self, thread: Thread, run: TaskRun) -> None:
        """A thread runs a body that nobody waits for any more; another one may be started for it meanwhile.

        Args:
            thread: The thread; a no-op where it is not one of these.
            run: Whose body it is; a no-op where the thread has gone on to another.
        """
        if self._running.get(thread) is run:
            self._abandoned.add(thread)
            if self._running.get(thread) is not run:  # it has returned in this moment
                self._abandoned.discard(thread)
            self._let_go(thread)
            self._staff()

    @property
    def _away(self) -> int:
        """Threads that others may stand in for: lent ones, and abandoned ones up to the limit's number."""
        abandoned = sum(thread not in self._lent for thread in tuple(self._abandoned))
        return len(self._lent) + min(abandoned, self.limit)

    @contextmanager
    def _lending(self) -> Generator[None]:
        me = current_thread()
        with self._lock:
            self._lent.add(me)
        self._stuck(me)
        self._staff()
        try:
            yield
        finally:
            with self._lock:
                self._lent.discard(me)

    def stats(self) -> OffloadStats:
        """The threads at this moment."""
        from millrace.runtime.engine_stats import OffloadStats  # noqa: PLC0415  # seldom asked for, and slow to import

        with self._lock:
            running = list(self._running.values())
            return OffloadStats(
                threads=len(self._threads),
                busy=len(running),
                lent=len(self._lent),
                abandoned=len(self._abandoned),
                limit=self.limit,
            )

    def close(self, *, wait: bool = True) -> None:
        """End the threads; one with an abandoned body ends when that returns.

        Args:
            wait: Block until those without a body have ended.
        """
        with self._lock:
            self._closed = True
            threads = list(self._threads)
        for _ in threads:
            self._work.put(None)
        self._lookout.close(wait=wait)
        for thread in threads if wait else ():
            if thread not in self._running and thread is not current_thread():
                thread.join()

    def join(self, seconds: float) -> int:
        """After `close`: wait for the threads whose bodies go on, so long at most; how many are left."""
        until = perf_counter() + seconds
        threads = [each for each in tuple(self._threads) if each is not current_thread()]
        for thread in threads:
            thread.join(max(0.0, until - perf_counter()))
        return sum(each.is_alive() for each in threads)

    def _put(self, work: _Work, priority: int = 0) -> None:
        if priority:
            with self._lock:
                ranks = self._ranks = self._ranks or Ranks()
            ranks.put(priority, work)
            self._work.put(_RANKED)  # behind the others, but whoever takes any of them looks at the ranks
        else:
            self._work.put(work)
        if self._work.qsize() > self._idle:
            self._staff()

    def _staff(self) -> None:
        """Start a thread if there is work that no idle thread will take, and the limit allows."""
        with self._lock:
            if self._closed or self._work.qsize() <= self._idle or len(self._threads) - self._away >= self.limit:
                return
            self._made += 1
            thread = Worker(self, self._run, f"{self._name}-{self._made}")
            thread.start()  # in the lock: whoever closes the offload may join every thread that it finds
            self._threads.add(thread)

    # On any thread, the lookout's among them.

    def _steps(self) -> dict[Thread, int]:
        return {thread: thread.steps for thread in tuple(self._held) if isinstance(thread, Worker)}

    def _stuck(self, thread: Thread) -> None:
        """The body that a thread is at blocks: if it holds a map, others are to take from that."""
        run = self._running.get(thread)
        if run is not None:
            run.node.task.pace.blocks()
        self._let_go(thread)

    def _let_go(self, thread: Thread) -> None:
        source = self._held.pop(thread, None)
        if source is not None and source.more:
            with suppress(RuntimeError):  # no thread can be started: it is in line, and one of those there are takes it
                self._put(source, priority_on(source.lane))

    # On a worker thread.

    def _run(self) -> None:
        set_lender(self._lending)
        me = current_thread()
        assert isinstance(me, Worker)
        while self._serve(me):
            pass

    def _serve(self, me: Worker) -> bool:
        """Take the next work; False when this thread is to end. In a frame of its own: an idle thread holds no run."""
        source = self._next(me)
        if source is None:
            return False
        try:
            if isinstance(source, TaskRunActor):
                self._execute(source, me)
            elif isinstance(source, Call):
                source.make()
                # Before that is told: whoever waits for it may come with the next call while we are on our way back,
                # and that is no reason to start a thread. With one more than there is work for, they take turns.
                self._becomes_free(me)
                source.tell()
            else:
                while self._execute_some(source, me):
                    pass
        finally:
            del source  # an exception of its body holds the frames below, and the run holds that
        return True

    def _next(self, me: Worker) -> _Work | None:
        """The next work; None when this thread is to end."""
        if len(self._threads) - self._away <= self.limit:
            try:
                work = self._work.get_nowait()
            except Empty:
                work = self._wait_for_work(me)
            if me.free:
                self._is_free_no_more(me)
            if work is not None and self._ranks is not None:
                work = self._first(self._ranks, work)
            if work is not None:
                assert not isinstance(work, _RankedWork)  # there are ranks where there is one of these
                return work
        if me.free:
            self._is_free_no_more(me)
        with self._lock:
            self._threads.discard(me)
        loop = self._loops.pop(me, None)
        if loop is not None:
            finish_loop(loop, LOOP_GRACE_SECONDS)
        # Looked at again after that: work brought in between counted on this thread.
        if self._work.qsize() > self._idle:
            self._staff()
        return None

    def _first(self, ranks: Ranks[_Work], work: _Work | _RankedWork) -> _Work | None:
        """What comes first: a piece of work that was taken, or something that has a rank.

        For each piece that has one, a `_RANKED` stands in the queue. So what is passed over is given the usual rank,
        and the `_RANKED` of what has passed it stands for it from then on.
        """
        if not isinstance(work, _RankedWork):
            return ranks.first_or(work)
        found = ranks.first(above=-1)
        if found is not None:
            return found[1]
        # What comes after all the others: it stays where it is as long as there are others.
        for _ in range(self._work.qsize()):
            try:
                other = self._work.get_nowait()
            except Empty:
                break
            if other is not None and not isinstance(other, _RankedWork):
                self._work.put(work)
                return ranks.first_or(other)
            self._work.put(other)
        found = ranks.first()
        return None if found is None else found[1]

    def _wait_for_work(self, me: Worker) -> _Work | _RankedWork | None:
        if not me.free:
            self._becomes_free(me)
        try:
            return self._work.get(timeout=IDLE_SECONDS)
        except Empty:
            return None

    def _becomes_free(self, me: Worker) -> None:
        with self._lock:
            self._idle += 1
        me.free = True

    def _is_free_no_more(self, me: Worker) -> None:
        with self._lock:
            self._idle -= 1
        me.free = False

    def _execute(self, run: TaskRun, me: Thread) -> None:
        self._running[me] = run
        try:
            if run.node.task.is_async:
                self._loop_of(me).run_until_complete(execute_async(run))
            else:
                execute(run)
        except BaseException as error:  # noqa: BLE001  # the worker goes on, whatever went through the body
            run.crash(error)  # a dead letter where it is on record already
        finally:
            del self._running[me], run
            self._abandoned.discard(me)

    def _loop_of(self, me: Thread) -> asyncio.AbstractEventLoop:
        """The loop that a worker keeps for async bodies, so that what they open there can be used again."""
        loop = self._loops.get(me)
        if loop is None:
            loop = self._loops[me] = new_loop()
        return loop

    def _execute_some(self, source: RunSource, me: Worker) -> bool:
        """Take runs from a map for a short while.

        Returns:
            Whether to go on with it: nobody else is to take from it, and there is nothing else to do.
        """
        task = source.site.task
        pace = None if task.is_async else task.pace  # an async body may wait at any time
        if pace is None or pace.apart:
            if source.more:
                self._put(source, priority_on(source.lane))
            count, seconds = self._take_turn(source, me)
            if pace is not None:
                pace.took(count, seconds)
            self._yield_after(seconds)
            return False
        me.steps += 1
        self._held[me] = source
        try:
            if self.limit > 1:
                self._lookout.watch()
            idling = Idling()
            count, seconds = self._take_turn(source, me)
            pace.took(count, *idling.seconds())
            self._yield_after(seconds)
            return self._keeps(source, me)
        finally:
            self._let_go(me)

    @staticmethod
    def _yield_after(seconds: float) -> None:
        """Who waits for the interpreter, as a loop's thread does, is not to wait for it from all of us."""
        if seconds > TURN_SECONDS:
            sleep(0)

    def _take_turn(self, source: RunSource, me: Worker) -> tuple[int, float]:
        """Execute runs from a map for a short while; how many, and for how long."""
        began = now = perf_counter()
        until = began + TURN_SECONDS
        count = 0
        # One at a time: what a thread has taken no other can, and its body may wait for those after it.
        while runs := source.take(1):
            self._execute(runs.pop(), me)
            me.steps += 1
            count += 1
            now = perf_counter()
            if now > until:
                break
        return count, now - began

    def _keeps(self, source: RunSource, me: Worker) -> bool:
        """Whether a thread that has held a map is to go on with it at once."""
        return (
            source.more
            and self._work.qsize() == 0
            and len(self._threads) - self._away <= self.limit
            and self._held.pop(me, None) is not None
        )


def abandon_on(ident: int, run: TaskRun) -> None:
    """A body goes on, on a thread that may belong to an offload: see `Offload.abandon`.

    Args:
        ident: What the system knows the thread by.
        run: Whose body it is.
    """
    for thread in enumerate_threads():
        if thread.ident == ident and isinstance(thread, Worker):
            thread.offload.abandon(thread, run)


def thread_limit(threads: int | None) -> int:
    """How many threads may run bodies at once: as told, else `MILLRACE_THREADS`, else by the number of cores.

    Raises:
        ConfigurationError: it is no whole number, or less than 1.
    """
    if threads is not None:
        return whole_number("threads", threads, 1)
    return THREADS.read() or min(32, (os.cpu_count() or 1) + 4)
