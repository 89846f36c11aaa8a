"""Pipes: the runs of a stream, from its inputs to their outcomes.

Decides when the runs of a stream come into being (when their turn comes to start), who hears of their ends, and what
closing a stream does to what is on its way. How much is on its way is decided by the window. A pipe stands in a lane's
line as a map does. Does not know where inputs come from, nor how anybody iterates.

Nothing goes on by itself in a pipe but the runs: items are asked for by whoever takes outcomes, each time they do. So a
stream that nobody asks comes to rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from millrace.actors.errors import CancelledRun, ForeignFuture, InputResolutionError, StreamInUse
from millrace.actors.messages import Born, ChildrenDropped, Spawned
from millrace.actors.stored_result import Found, StoredResult
from millrace.actors.window import Window
from millrace.runtime import interrupting
from millrace.runtime.futures import Future
from millrace.runtime.inputs import scan
from millrace.runtime.marks import mark_of_item
from millrace.runtime.nesting import LEAVES
from millrace.runtime.runs import TaskRun
from millrace.runtime.stream_parts import END, MORE, WAIT, Common, Source, Word
from millrace.runtime.waking import Waker

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop

    from millrace.runtime.flow_run import FlowRun
    from millrace.runtime.lanes import Lane
    from millrace.runtime.streamed import StreamReplay
    from millrace.runtime.task_site import TaskSite

LEFT: Final = "Its stream was closed before this run had ended."


class Pipe:
    """What a lane takes the runs of a stream from, and what hears of their ends. See the module's docstring.

    Args:
        site: The task as it stands in its flow run.
        lane: Where the runs are executed.
        window: How much is on its way.
        waker: Wakes whoever waits for outcomes.
        common: What its runs have in common.
        states: Final states are given, in place of results.
    """

    __slots__ = (
        "_alive", "_annotations", "_asked", "_constants", "_context", "_inputs", "_open", "_owed", "_plain", "_replay",
        "_replayed", "_wait_for", "closed", "in_line", "lane", "later", "parent", "site", "source", "states", "tags",
        "waker", "window",
    )  # fmt: skip

    def __init__(
        self,
        site: TaskSite,
        lane: Lane,
        window: Window,
        waker: Waker,
        common: Common,
        *,
        states: bool,
    ) -> None:
        self.site = site
        self.lane = lane
        self.window = window
        self.waker = waker
        self.states = states
        self.parent = common.parent
        self.source: Source | None = None  # given once, right after this
        self.later: Callable[[Callable[[], None]], None]  # calls something soon, takes no lock; given likewise
        self.in_line = False  # it stands in a loop lane's line
        self.closed: str | None = None  # why it was closed; None as long as it was not
        self._open = [True]  # empty once it was closed; taking something out of a list is atomic
        self._owed = [True]  # empty once what was on its way then has been cancelled; likewise
        self._asked = False  # somebody asks for an outcome right now
        self._constants = common.constants
        self._annotations = common.annotations
        self._context = common.context
        self.tags = common.tags
        self._wait_for = common.wait_for
        # (id, key, item) of each run that has not been made; in order
        self._inputs: deque[tuple[int, int, Any]] = deque()
        self._alive: dict[int, Any] = {}  # by id: made, and not ended
        self._replay = common.replay  # the stream as it stands on record
        self._replayed: dict[int, Found] = {}  # by id: results that are on record of runs that have not been made
        self._plain = not common.constants and not common.annotations and common.wait_for is None

    @property
    def scope(self) -> FlowRun:
        """The flow run that the runs belong to."""
        return self.site.scope

    @property
    def name(self) -> str:
        """What errors call the stream."""
        return f"the stream of task '{self.site.task.name}'"

    def move_to(self, site: TaskSite) -> None:
        """Make the runs that are to come at another site of the same task."""
        self.site = site

    # For a lane.

    @property
    def more(self) -> bool:
        """Whether runs are left to be started, at this moment."""
        return bool(self._inputs)

    @property
    def unmade(self) -> int:
        """How many runs have not been made yet."""
        return len(self._inputs)

    @staticmethod
    def holds_back(_run: TaskRun) -> bool:
        """Whether a run is still to be taken: none of a stream is there before."""
        return False

    def take(self, most: int) -> list[TaskRun]:
        """The next runs to start, at most so many; empty when there are none at this moment. From any thread."""
        ready: list[TaskRun] = []
        inputs, alive = self._inputs, self._alive
        told = self.site.journal.listening
        while inputs and not ready:
            born: list[TaskRun] = []
            misfits: list[tuple[TaskRun, Exception]] = []
            now = self.site.now()  # one number for all of them: they are made before any of them begins
            for _ in range(most):
                try:
                    run_id, key, item = inputs.popleft()
                except IndexError:  # others take, too
                    break
                run = self._make(run_id, key, now, item, misfits)
                run.watchers = [self]
                if told:  # nobody may come upon a run before it is told that there is one
                    run.record("created")
                    self._go_on(run)
                alive[run_id] = run
                born.append(run)
                if not run.unready and run_id not in self._replayed:
                    ready.append(run)
            self._announce(born, misfits)
        return ready

    def _go_on(self, run: TaskRun) -> None:
        if self._replay is not None and self._replay.replay.has_leftovers:
            run.go_on(self._replay.replay)

    def _announce(self, born: list[TaskRun], misfits: list[tuple[TaskRun, Exception]]) -> None:
        self.scope.tell(Born(tuple(born)))
        for run in born:
            if self._replayed and (found := self._replayed.pop(run.id, None)) is not None:
                run.take_over(found)
            elif run.unready:
                run.watch_upstreams()
        for run, error in misfits:
            run.fail_unstarted(error)
        if self.closed is not None:  # while they were being made
            for run in born:
                run.cancel(self.closed)

    def _make(self, run_id: int, key: int, now: int, item: Any, misfits: list[tuple[TaskRun, Exception]]) -> TaskRun:
        site, scope = self.site, self.site.scope
        inputs = None
        kwargs = self._constants
        args: tuple[Any, ...]
        error: Exception | None = None
        if run_id in self._replayed:
            args, kwargs = (), {}
        elif self._plain and item.__class__ in LEAVES and id(item) not in scope.tracker.known():
            args = (item,)
        else:
            for annotation in self._annotations:
                item = annotation.rewrap(item)
            args = (item,)
            try:
                inputs = scan(site.task.shape.name_of, args, kwargs, self._wait_for, scope)
            except (ForeignFuture, InputResolutionError) as refused:
                error = refused
                args, kwargs = (), {}
        run = TaskRun(
            site, run_id, key, now, self.parent, args, kwargs, self._context, self.tags, self.lane, inputs
        )  # fmt: skip
        if error is not None:
            misfits.append((run, error))
        return run

    def notify(self, run: Any) -> None:
        """A run has ended. From any thread."""
        number = run.id
        self._alive.pop(number, None)
        replay = self.site.scope.replay
        if replay is not None:
            replay.forget(number)  # within a process streams are run anew, and what they hold does not grow
        self.window.arrive(number, run)
        if self.closed is not None:
            self._drop()
        if self.waker.waiter is not None:
            self.waker.wake()

    # For a source.

    def feed(self, items: list[Any]) -> None:
        """Put a run for each item in line.

        Raises:
            EngineClosed: the flow run has ended, or the engine is closing.
        """
        if not items:
            return
        scope = self.scope
        attempted = f"go on with {self.name}"
        if self.closed is not None:
            return
        scope.check_open(attempted)
        if not scope.admits:
            scope.pauses.refuse_if_suspended()
        self.start(items)

    def start(self, items: list[Any]) -> None:
        """See `feed`."""
        scope, count = self.scope, len(items)
        first_id, first_key = scope.number(self.site, count)
        numbers = range(first_id, first_id + count)
        self.window.enter(numbers)
        if self._replay is not None:
            self._replayed |= self._recorded(self._replay, numbers, items)
        scope.tell(Spawned(count))
        self._inputs.extend(zip(numbers, range(first_key, first_key + count), items, strict=True))
        self.lane.dispatch_map(self)
        if self.closed is not None:
            self._drop()

    def _recorded(self, stream: StreamReplay, numbers: range, items: list[Any]) -> dict[int, Found]:
        task = self.site.task
        marks = b""
        if stream.on_record:
            marks = b"".join([mark_of_item(task.shape, (item,), self._constants, task.left_out) for item in items])
        return stream.pull(numbers, marks, task.result_serializer)

    def end(self, fault: BaseException | None = None) -> None:
        """The source has no more items.

        Args:
            fault: What it raised instead of one.
        """
        if fault is not None:
            fault.add_note(
                f"Raised by the source of {self.name}, when it was asked for item {self.window.pulled + 1:,}."
            )
        self.window.end(fault)
        self.waker.wake()

    # For whoever takes outcomes.

    def advance(self) -> Any:
        """Ask the source for what there is room for; the run whose outcome is to be given next, or a word.

        Raises:
            Exception: what the source raised, when all has been given that it gave before.
            CancelledRun: the stream was closed from outside.
            StreamInUse: somebody else is asking right now.
        """
        if self._asked:
            raise StreamInUse(self.name, "somebody else is asking it for a result right now")
        self._asked = True
        try:
            window = self.window
            if self.closed is not None or window.wanted() or (found := window.take()) is None:  # not the ordinary way
                found = self._advance()
            if self._replay is not None and not isinstance(found, Word):
                self._replay.give(found.id, in_order=window.ordered)
            return found
        except BaseException as error:
            self.close()
            if error is self.window.fault:
                self.window.fault = None
            raise
        finally:
            self._asked = False

    def _advance(self) -> Any:
        window = self.window
        if self.closed is not None:
            if self.closed is LEFT:
                return END
            raise CancelledRun(f"The s{self.name.removeprefix('the s')} was closed. {self.closed}")
        wanted = window.wanted()
        pulled = window.pulled
        if wanted and self.source is not None:
            interrupting.check()
            self.source.pull(wanted)
        found = window.take()
        if found is not None:
            return found
        if window.over:
            self.close()
            if window.fault is not None:
                raise window.fault
            return END
        return MORE if window.pulled != pulled and window.wanted() else WAIT

    def outcome(self, run: Any) -> Any:
        """What is given for a run that has ended: its state, its result, or where that lies.

        Raises:
            Exception: what it raised; then the stream is closed.
        """
        if self.states:
            run.see()
            return run.state
        try:
            return run.take(raise_on_failure=True)
        except BaseException:
            self.close()
            raise
        finally:
            del run  # the frame of an exception raised here must not hold the run that holds the exception

    def passed_on(self, run: Any) -> Any:
        """The same for a stream whose source this is: where the result lies in a storage, a future."""
        value = self.outcome(run)
        if isinstance(value, StoredResult):
            return Future[Any].of(run)
        if not self.states:
            run.remember(value)
        return value

    # The end.

    def cancel(self, reason: str = "Its event loop has ended.") -> None:
        """Ask for no more items, and cancel what is on its way. From any thread; returns at once.

        The source is not closed before somebody comes to know of this, or the scope ends: it is whoever asks it that
        it may belong to.

        Args:
            reason: Why, as a sentence; the runs' states say it, and whoever asks for more is told.
        """
        self._shut(reason)
        try:
            self._owed.pop()
        except IndexError:  # it has been done
            return
        self._drop()
        for run in reversed(tuple(self._alive.values())):
            run.cancel(self.closed or reason)
        self.waker.wake()

    def close(self, reason: str = LEFT) -> None:
        """The same, and let go of the source."""
        self.cancel(reason)
        if self.source is not None:
            self.source.close()
        self.settle()

    def leave(self) -> None:
        """Nobody can ask for more. From a finalizer, which may come when the thread at hand holds any lock at all.

        The source is closed now; what is on its way is cancelled soon, elsewhere.
        """
        if not self._shut(LEFT):
            return
        if self.source is not None:
            self.source.leave()
        self.later(self.close)

    def _shut(self, reason: str) -> bool:
        """Ask for no more items from now on; whether that is new."""
        try:
            self._open.pop()
        except IndexError:
            return False
        self.closed = reason
        return True

    def settle(self) -> None:
        """Be forgotten by the scope, if nothing is left to be done: it was closed, and so was the source."""
        if self.closed is None or (self.source is not None and self.source.closing):
            return
        scope = self.scope
        scope.ongoing.discard(self)
        self.waker.wake()
        if scope.joiner is not None:
            scope.joiner.notify(scope)  # the end of the scope may wait for nothing else

    def _drop(self) -> None:
        """Nobody takes what is here any more."""
        dropped = 0
        while self._inputs:
            try:
                self._inputs.popleft()
            except IndexError:  # a lane takes it in this moment
                break
            dropped += 1
        if dropped:
            self.scope.tell(ChildrenDropped(dropped))
        for run in self.window.drain():
            run.see()  # a failure that nobody wants to hear of any more

    @property
    def closing(self) -> bool:
        """Whether it was closed, and its source is not done with that."""
        return self.closed is not None and self.source is not None and self.source.closing

    @property
    def scopes(self) -> tuple[FlowRun, ...]:
        """The flow runs that these belong to: its own, and that of the stream before."""
        return (self.scope, *(() if self.inner is None else self.inner.scopes))

    def covers(self, run: Any) -> bool:
        """Whether a run is on its way here, or in a stream before."""
        inner = self.inner
        return run.id in self._alive or (inner is not None and inner.covers(run))

    @property
    def turns_on(self) -> AbstractEventLoop | None:
        """The loop that the source is asked on, if nothing comes before that goes on; else None."""
        window, inner = self.window, self.inner
        if window.pulled != window.given or window.exhausted or self.closed is not None:
            return None
        return getattr(self.source, "loop", None) if inner is None else inner.turns_on

    @property
    def left(self) -> int:
        """How many runs have been made and have not ended."""
        return len(self._alive)

    @property
    def at_rest(self) -> bool:
        """Whether, after it was closed, all that was on its way has ended."""
        return not self._owed and not self._alive and not self.closing and (self.inner is None or self.inner.at_rest)

    @property
    def inner(self) -> Pipe | None:
        """The stream that is its source; None where it is none."""
        return getattr(self.source, "inner", None)
