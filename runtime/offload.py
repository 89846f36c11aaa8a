"""The offload: sync bodies on threads of the engine's own.

Decides how many threads there are and which run each takes next. Threads are started when work comes and none is
free, up to a limit; they end after a while without work, and none is there before something asks for one. The event
loop's default executor is left alone: it belongs to the host.

Threads take turns (`actors/turns.py`): one takes work, and another stands in for it, so that bodies that do not block
are not run by more threads than the interpreter can run at a time. Where a body blocks for longer than a moment, or
bodies take longer than it costs to pass the turn on, the next thread takes the next run, and so on up to the limit.
For a while after that has been seen of a task, each thread passes its turn on before it runs one of its bodies.

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
from threading import Lock, Thread, current_thread
from threading import enumerate as enumerate_threads
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Final, Union

from millrace.actors.task_run import TaskRunActor
from millrace.actors.turns import Place, Turns
from millrace.runtime.attempt import execute
from millrace.runtime.lending import set_lender
from millrace.runtime.loop_lane import execute_async
from millrace.runtime.loops import finish_loop, new_loop
from millrace.runtime.priorities import priority_on
from millrace.runtime.settings import THREADS, whole_number
from millrace.runtime.stack import ROOM_TO_START, check_room
from millrace.runtime.work_line import Call, WorkLine

if TYPE_CHECKING:
    from millrace.runtime.engine_stats import OffloadStats
    from millrace.runtime.lanes import RunSource
    from millrace.runtime.runs import TaskRun

IDLE_SECONDS: Final = 10.0
"""A thread without work for so long ends."""

LOOP_GRACE_SECONDS: Final = 1.0
"""How long what an async body left behind on its worker's loop may take to stop when the worker ends."""

TURN_SECONDS: Final = 0.0005
"""How long a thread takes runs from one map before it looks for other work, and lets go of the interpreter."""

LATE_SECONDS: Final = 0.0005
"""A thread that is woken up so much later than it was to be has waited for the interpreter."""


def _nothing() -> None: ...


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
        self._bell = Lock()
        self._bell.acquire()

    def ring(self) -> None:
        """Have it look what there is for it to do. From any thread; takes no lock."""
        with suppress(RuntimeError):  # it has been rung for, and has not looked yet
            self._bell.release()

    def wait(self, seconds: float) -> bool:
        """Wait until somebody rings. Whether somebody did; it may have been about something that is over."""
        return self._bell.acquire(timeout=seconds)


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
        self._line: WorkLine[_Work] = WorkLine()
        self._lock = Lock()
        self._threads: set[Worker] = set()
        self._turns: Turns[Worker] = Turns()  # guarded by the lock; what is read without it is looked at again
        self._held: RunSource | None = None  # the leader takes from it, and it is not in line. As above
        self._running: dict[Thread, TaskRun] = {}
        self._abandoned: set[Thread] = set()  # running a body that its run has been ended, or goes on, without
        self._loops: dict[Thread, asyncio.AbstractEventLoop] = {}  # of the workers that have run an async body
        self._lent: set[Thread] = set()  # blocked in a body that waits for other runs
        self._closed = False
        self._made = 0

    # From any thread.

    def dispatch(self, run: TaskRun, priority: int = 0) -> None:
        """Put a run in line."""
        self._put(run, priority)

    def dispatch_map(self, source: RunSource, priority: int = 0) -> None:
        """Put all the runs of a map or a stream in line."""
        self._put(source, priority)

    def call(self, call: Call) -> None:
        """Have a function called."""
        self._put(call)

    def post(self, call: Callable[[], None]) -> None:
        """Call something when a thread has time for it. No thread is started and no lock is taken: for finalizers."""
        self._line.put(Call(call, (), _nothing))
        if self._turns.leader is None:
            for worker in self._turns.resting[-1:]:
                worker.ring()

    def check_room(self) -> None:
        """Check that the stack does for starting a thread, where more work could be the reason to start one.

        Raises:
            RecursionError: it does not. Later, when the run is counted, nobody could end it.
        """
        if self._turns.lacks_a_thread and (len(self._threads) < self.limit or self._lent or self._abandoned):
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
        self._let_go(me)
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
        for thread in threads:
            thread.ring()
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
        self._line.put(work, priority)
        if self._turns.leader is None or self._turns.stand_in is None:
            self._staff()

    def _line_up_rest(self, source: RunSource | None) -> None:
        """Put a map in line again, for what is left of it."""
        if source is not None and source.more:
            self._line.put(source, priority_on(source.lane))

    @property
    def _wanted(self) -> bool:
        """Whether there is more to do than what threads do right now."""
        return self._held is not None or self._line.filled

    def _staff(self) -> None:
        """If there is work in line, see to it that somebody leads and somebody stands in; one thread at a time."""
        with self._lock:
            if not self._wanted:
                return
            worker = self._turns.call()
            if worker is not None:
                worker.ring()
            elif self._turns.lacks_a_thread and not self._closed and len(self._threads) - self._away < self.limit:
                self._made += 1
                worker = Worker(self, self._run, f"{self._name}-{self._made}")
                worker.start()  # in the lock: whoever closes the offload may join every thread that it finds
                self._threads.add(worker)
                self._turns.expect(worker)

    def _let_go(self, thread: Thread) -> None:
        """What a thread does may block: if it leads, another one is to take what is in line."""
        with self._lock:
            held = self._take_lead_from(thread)
        self._line_up_rest(held)
        self._staff()

    def _take_lead_from(self, thread: Thread) -> RunSource | None:
        """Under the lock. What it has taken runs from, if it led: to be put in line again."""
        if self._turns.leader is not thread:
            return None
        self._turns.leader = None
        held, self._held = self._held, None
        return held

    # On a worker thread.

    def _run(self) -> None:
        set_lender(self._lending)
        me = current_thread()
        assert isinstance(me, Worker)
        try:
            place = self._place(me)
            while place is not None:
                if place is Place.LEADS:
                    self._take_turn(me)
                    place = self._place(me)
                else:
                    seconds = self._turns.patience if place is Place.STANDS_IN else IDLE_SECONDS
                    due = perf_counter() + seconds
                    # Looked at once more, now that it rests: work that came in between counted on it.
                    rung = place is Place.RESTS and self._turns.leader is None and self._line.filled
                    rung = rung or me.wait(seconds)
                    place = self._place(me, None if rung else perf_counter() - due)
        finally:
            self._end(me)

    def _take_turn(self, me: Worker) -> None:
        until = perf_counter() + TURN_SECONDS
        while self._turns.leader is me and self._serve(me, until):
            pass
        if self._wanted:
            sleep(0)  # who waits for the interpreter, as a loop's thread does, gets it now and not in five milliseconds

    def _place(self, me: Worker, late: float | None = None) -> Place | None:
        """What a thread without work is to do; None: end.

        Args:
            me: The thread.
            late: It has waited in vain, and so many seconds longer than it was to. None: it has not.
        """
        held = None
        with self._lock:
            wanted = self._wanted
            if len(self._threads) - self._away > self.limit or (self._closed and not wanted):
                return None
            if late is not None:
                if me in self._turns.resting:
                    return None
                held = self._look(me, late) if wanted else None
            place = self._turns.come(me, wanted=wanted)
        self._line_up_rest(held)
        return place

    def _look(self, me: Worker, late: float) -> RunSource | None:
        """Look after the leader, under the lock. What it has taken runs from, if it leads no more: as above."""
        now, run = perf_counter(), self._running.get(self._turns.leader)  # type: ignore[arg-type]  # None: no run
        if not self._turns.look(me, now, doubtful=run is None or late > LATE_SECONDS):
            return None
        if run is not None:
            run.node.pace.blocks(now)
        held, self._held = self._held, None
        return held

    def _end(self, me: Worker) -> None:
        with self._lock:
            held = self._take_lead_from(me)
            self._turns.leave(me)
            self._threads.discard(me)
            others = list(self._threads) if self._closed else []
        self._line_up_rest(held)
        self._staff()  # work brought in while it ended counted on this thread
        for other in others:
            other.ring()  # there may have been work when it looked last
        loop = self._loops.pop(me, None)
        if loop is not None:
            finish_loop(loop, LOOP_GRACE_SECONDS)

    def _serve(self, me: Worker, until: float) -> bool:
        """Take the next work; False when the turn is over. In a frame of its own: an idle thread holds no run."""
        work = self._line.next()
        if work is None:
            return False
        if self._turns.stand_in is None and self._line.filled:
            self._staff()  # what was put in line while one was on its way counted on that
        try:
            if isinstance(work, TaskRunActor):
                self._execute_alone(work, me)
            elif isinstance(work, Call):
                self._let_go(me)
                work.make()
            else:
                self._execute_some(work, me, until)
        finally:
            del work  # an exception of its body holds the frames below, and the run holds that
        return perf_counter() < until

    def _execute(self, run: TaskRun, me: Worker) -> None:
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

    def _execute_alone(self, run: TaskRun, me: Worker) -> None:
        """Execute a run that was started singly."""
        pace = run.node.pace  # not the site: an exception of the body may hold this frame, and the site's scope that
        self._turns.since = began = perf_counter()
        if run.node.task.is_async or pace.is_slow(began):
            self._let_go(me)
        self._execute(run, me)
        del run
        if self._turns.leader is me:
            now = perf_counter()
            pace.took(1, now - began, now)

    def _execute_some(self, source: RunSource, me: Worker, until: float) -> None:
        """Take runs from a map for a while; then other work gets its turn."""
        turns = self._turns
        turns.since = began = now = perf_counter()
        # One at a time: what a thread has taken no other can, and its body may wait for those after it.
        runs = source.take(1)
        pace = runs[0].node.pace if runs else None
        apart = pace is not None and (runs[0].node.task.is_async or pace.is_slow(began))
        leads = self._hold(me, source, apart=apart)
        count = 0
        while runs:
            if leads:
                turns.since = now
            self._execute(runs.pop(), me)
            count += 1
            now = perf_counter()
            if now > until or (leads and turns.leader is not me):
                break
            runs = source.take(1)
        if leads and self._release(me, source) and pace is not None:
            pace.took(count, now - began, now)

    def _hold(self, me: Worker, source: RunSource, *, apart: bool) -> bool:
        """See to what is left of a map while one of its runs is executed.

        Args:
            me: The thread that has taken the run.
            source: The map.
            apart: Others may take from it meanwhile.

        Returns:
            Whether this thread leads, and no others take from it.
        """
        more = source.more
        with self._lock:
            leads = self._turns.leader is me and not apart
            if leads:
                self._held = source if more else None
        if not leads:
            self._line_up_rest(source)
            self._let_go(me)
        elif self._turns.stand_in is None:
            self._staff()
        return leads

    def _release(self, me: Worker, source: RunSource) -> bool:
        """The turn with a map is over. Whether this thread has led all the time."""
        with self._lock:
            led = self._turns.leader is me
            if led:
                self._held = None
        if led:
            self._line_up_rest(source)
        return led


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
