"""The writer: one thread at a time that tells a store all that an engine's runs do.

Decides when records are written, and by whom. They stand in one line, in the order in which they came about, with
*receipts* among them: whoever waits for a run's end is told when all that stands before its receipt is committed. Who
has the *turn* takes what has come together since anybody last looked, as one group; so the slower the disk, the larger
the groups. A record that nobody waits for is written a moment later, so that it can go along with one that somebody
does wait for.

The turn belongs to a thread of the writer's. A thread that could only wait for its own receipt takes it where it is
free, and writes the group itself: two ways between threads take as long as half a commit.

When the store fails the writer is over: what was not acknowledged never will be, and who waits for it is told so. The
store is not tried again; what it was told before, and has not acknowledged, may be in it or not.

Does not know what a store is made of, nor what runs do.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from contextvars import Context
from queue import Empty, SimpleQueue
from socket import gethostname
from threading import Condition, Lock, Thread, get_ident
from typing import Any, Final, TypeVar
from weakref import WeakSet

from millrace.actors.errors import StoreError, TerminationSignal
from millrace.actors.events import Event
from millrace.actors.states import StateType
from millrace.actors.telling import told_of
from millrace.runtime.lending import lend
from millrace.runtime.one_line import engine_logger
from millrace.runtime.running import running_loop
from millrace.runtime.settings import STORE_KEY, STORE_RESULT_LIMIT
from millrace.runtime.stack import ROOM_TO_RECORD, has_room
from millrace.runtime.stores.encoding import encode
from millrace.runtime.stores.faults import reach
from millrace.runtime.stores.line_items import Errand, LineItem, Publication, Receipt, Unencoded
from millrace.runtime.stores.port import Group, Opened, Owner, Store
from millrace.runtime.stores.records import Called, Entered, Record
from millrace.runtime.stores.sealing import result_of
from millrace.runtime.streamed import Pulls

T = TypeVar("T")

_logger = engine_logger("store")

LINGER_SECONDS: Final = 0.005
"""How long a record that nobody waits for may stand in line."""

MOST_RECORDS: Final = 6_000
"""How many records a group has, at most."""

BOUND: Final = 20_000
"""How many may stand in line before those who bring more are held up; a group or two fit in on top."""


_writers: WeakSet[StoreWriter] = WeakSet()  # with a thread, which a fork does not have


class StoreWriter:
    """Writes to a store. See the module's docstring.

    Args:
        store: The store, which is opened now.
        now: The time, in nanoseconds since the epoch.

    Raises:
        StoreError: the store cannot be opened, or is refused.
    """

    def __init__(self, store: Store, now: Callable[[], int]) -> None:
        self.store = store
        self.failed: StoreError | None = None
        self.opened = Opened(0)
        self._now = now
        self._line: deque[LineItem] = deque()
        self._turn = Lock()  # of whoever writes
        self._helper = 0  # the thread that has it, where that is not the writer's own
        self._taken: deque[Receipt | Errand | Publication] = deque()  # by who writes: what follows from the commit
        self._unwritten = False  # and records, which are not written yet
        self._asleep = False  # the thread waits for something to stand in line
        self._lingering = False  # it waits a moment for something that somebody waits for
        self._urgent = False  # something like that stands in line
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._number = 0  # of the last group
        self._committed: SimpleQueue[BaseException | None] = SimpleQueue()
        self._room = Condition(Lock())  # there is room in the line again
        self._waiting_for_room: list[Callable[[], None]] = []  # guarded by that
        self._seals = STORE_KEY.read() is not None  # once: most stores have none, and results are many
        self._warned: set[str] = set()  # tasks of which a result could not be kept
        self._stopped = False  # the thread is to end
        self._over = False  # it has ended: what is put in line now is answered by whoever puts it there
        self._ident = 0
        self._helped = store.any_thread
        self._ended = False  # nobody calls any more what is to be called at the end. Guarded by the room's lock, too
        self._on_end: list[Callable[[], None]] = []
        started: SimpleQueue[BaseException | None] = SimpleQueue()
        self._thread = Thread(target=self._run, args=(started,), name="millrace-store", daemon=True)
        self._thread.start()
        error = started.get()
        if error is not None:
            self._thread.join()
            raise error
        _writers.add(self)

    # From any thread.

    def put(self, record: Record | Unencoded) -> None:
        """Put a record in line. In the turn of its run's actor, so it never waits."""
        self._line.append(record)
        if self._asleep:
            self._asleep = False
            self._bell.put(None)

    def publish(self, listener: Callable[[Event], None], event: Event) -> None:
        """Have an event told to a listener when all that stands before it is committed."""
        self._line.append((listener, event))
        if self._asleep:
            self._asleep = False
            self._bell.put(None)

    def when_committed(
        self, done: Callable[[Any, StoreError | None], None], subject: Any = None, *, helps: bool = False
    ) -> None:
        """Have something called when all that was put in line so far is committed. By whoever writes then.

        Args:
            done: Called with the subject, and with None, or with why that never will be.
            subject: What it is about.
            helps: This thread is about to call `help`. If it does not, the receipt is found a moment later.
        """
        self._put_urgent(Receipt(done, subject), wakes=not helps)

    def _put_urgent(self, item: Receipt | Errand, *, wakes: bool = True) -> None:
        self._line.append(item)
        self._urgent = True
        if wakes or self._asleep:  # who lingers finds it a moment later, and who sleeps never would
            self._wake()
        if self._over:
            self.work_off()

    def _wake(self) -> None:
        """Have the thread look at the line, unless it is at work, and will look before it rests."""
        if self._asleep or self._lingering:
            self._asleep = self._lingering = False
            self._bell.put(None)

    def help(self) -> None:
        """Write what stands in line, if nobody does: for a thread that could only wait for a receipt of its own.

        Not on the thread of a loop, which has others to serve; nor where the store is one thread's alone.
        """
        if self._helped and running_loop() is None and has_room(ROOM_TO_RECORD) and self._turn.acquire(blocking=False):
            try:
                self._in_turn(Context().run, self._write_some)  # with nothing that belongs to whoever helps
            except BaseException as interrupt:  # of this thread, by somebody who insists
                if self._unwritten:
                    self._fail(interrupt)
                self._urgent = True  # the thread goes on with it, or tells those who wait that it cannot
                raise
            finally:
                self._turn.release()
                if self._urgent:
                    self._wake()
        else:
            self._wake()

    def _in_turn(self, call: Callable[..., Any], *arguments: Any) -> None:
        """Call something on a thread that has the turn, and is not the writer's own."""
        self._helper = get_ident()
        try:
            call(*arguments)
        finally:
            self._helper = 0

    def do(self, call: Callable[[], T]) -> T:
        """Have something done by whoever writes when all that was put in line so far is committed, and wait.

        Raises:
            StoreError: the store has failed.
            Exception: what it raises.
        """
        if self.here:
            self.work_off()
            if self.failed is not None:
                raise self.failed
            return call()
        outcomes: SimpleQueue[tuple[T | None, BaseException | None]] = SimpleQueue()

        def run() -> None:
            try:
                outcomes.put((call(), None))
            except BaseException as error:  # noqa: BLE001  # raised to whoever asked
                outcomes.put((None, error))

        self._put_urgent(Errand(run, lambda error: outcomes.put((None, error))))
        with lend():
            value, error = outcomes.get()
        if error is not None:
            raise error
        return value  # type: ignore[return-value]

    def flush(self) -> None:
        """Wait until all that was put in line so far is committed.

        Raises:
            StoreError: it never will be.
        """
        self.do(lambda: None)

    @property
    def here(self) -> bool:
        """Whether this is the thread that writes, which must not wait for itself."""
        return get_ident() in {self._ident, self._helper}

    @property
    def is_full(self) -> bool:
        """Whether so much stands in line that those who bring more are to wait."""
        return len(self._line) > BOUND

    def wait_for_room(self) -> None:
        """Block this thread while the line is full; not on the thread of a loop, which has others to serve."""
        if not self.is_full or self.here or running_loop() is not None:
            return
        with lend(), self._room:
            self._room.wait_for(lambda: not self.is_full)

    def when_room(self, call: Callable[[], None]) -> None:
        """Have something called when the line is not full: now, or by whoever writes."""
        with self._room:
            full = self.is_full
            if full:
                self._waiting_for_room.append(call)
        if not full:
            call()

    def stop(self, on_end: Callable[[], None] | None = None) -> None:
        """Write what stands in line, let go of the store, and end the thread; returns at once.

        Args:
            on_end: Called by the thread as the last thing it does; now, where it has ended before.
        """

        def end() -> None:
            self._stopped = True

        def end_after(_error: StoreError) -> None:
            end()

        with self._room:
            ended = self._ended
            if on_end is not None and not ended:
                self._on_end.append(on_end)
        if on_end is not None and ended:
            on_end()
        self._put_urgent(Errand(end, end_after))

    def join(self, seconds: float) -> None:
        """Wait for the end of the thread, so long at most."""
        if not self.here:
            self._thread.join(seconds)

    def abandon(self) -> None:
        """In the child of a fork, which has no such thread: nothing is written any more."""
        forked = StoreError(
            self.store.name, "write to", "this process is a fork of the one that has it open", "Make another engine."
        )
        self.failed = forked
        self._over = self._ended = True
        self._asleep = self._lingering = False  # there is nobody to wake
        self._turn, self._room = Lock(), Condition(Lock())  # another thread may have had them
        getattr(self.store, "abandon", self.store.close)()

    # On the writer's thread, or on one that helps.

    def _run(self, started: SimpleQueue[BaseException | None]) -> None:
        self._ident = get_ident()
        try:
            self.opened = self.store.open(Owner(f"process {os.getpid()} on {gethostname()}", self._now()))
        except BaseException as error:  # noqa: BLE001  # raised where the engine is made
            started.put(error)
            return
        started.put(None)
        try:
            while not self._stopped:
                self._wait()
                with self._turn:
                    self.work_off()
        finally:
            self._close()

    def _close(self) -> None:
        try:
            with self._turn:
                self.failed = self.failed or StoreError(self.store.name, "write to", "its engine is closed")
                self._over = True
                self.work_off()  # what came too late is told so
                self.store.close()
        except Exception:
            _logger.exception("The store %s could not be closed.", self.store.name)
        finally:
            with self._room:
                self._ended = True
            for call in self._on_end:
                call()

    def _wait(self) -> None:
        """Wait until something stands in line, and a moment unless somebody waits for it.

        The first moment begins when the last group is written, and whoever brings a record within it wakes nobody:
        among calls one after another it is only the receipts that wake this thread.
        """
        self._linger()
        if self._line or self._taken:
            return
        self._asleep = True
        if self._line:  # put there before that was said
            self._asleep = False
            return
        self._bell.get()
        self._linger()

    def _linger(self) -> None:
        """Wait for something that somebody waits for, but only a moment, and another for each in which others write."""
        number = -1
        while number != self._number and not self._urgent:
            number = self._number
            self._lingering = True
            if not self._urgent:  # put there before that was said
                with suppress(Empty):
                    self._bell.get(timeout=LINGER_SECONDS)
            self._lingering = False

    def work_off(self) -> None:
        """Write all that stands in line."""
        if not self.here:
            with self._turn:
                self._in_turn(self.work_off)
            return
        while self._line or self._taken:
            self._write_some()
            if not self.is_full:
                self._tell_room()

    def _tell_room(self) -> None:
        with self._room:
            waiting, self._waiting_for_room = self._waiting_for_room, []
            self._room.notify_all()
        for call in waiting:
            call()

    def _write_some(self) -> None:
        """Write one group, and do what its commit allows."""
        self._urgent = False
        self._unwritten = True
        line, taken = self._line, self._taken
        limit = STORE_RESULT_LIMIT.read()
        records: list[Record] = []
        pulls = Pulls()
        while line and len(records) < MOST_RECORDS:
            item: Any = line.popleft()
            kind = item.__class__
            if kind is Receipt or kind is tuple:
                taken.append(item)
            elif kind is Unencoded:
                records.append(self._encoded(item, limit))
            elif kind is Errand:
                taken.append(item)
                break
            elif kind is not Called or not pulls.take(item):
                records.append(item)
        if line:
            self._urgent = True
        if records and self.failed is None:
            reach("group taken")
            self._append(records)
        self._unwritten = False
        while taken:
            self._do(taken.popleft())

    def _encoded(self, item: Unencoded, limit: int) -> Entered:
        record = item.record
        if self.failed is None:
            record.data = encode(
                item.data, item.serializer, limit, where=result_of(record.run) if self._seals else None
            )
            if record.data.missing and record.type is StateType.COMPLETED and item.task not in self._warned:
                self._warned.add(item.task)
                _logger.warning(
                    "What '%s' came to in run %032x is not recorded: it is %s. If its flow is resumed, it runs again.",
                    item.task,
                    record.run,
                    record.data.missing,
                )
        return record

    def _append(self, records: Sequence[Record]) -> None:
        self._number += 1
        self.store.append(Group(self.opened.token, self._number, records, self._committed.put))
        error = self._committed.get()
        if error is not None:
            self._fail(error)
            if self._helper and isinstance(error, (KeyboardInterrupt, TerminationSignal)):
                raise error

    def _fail(self, error: BaseException) -> None:
        if isinstance(error, StoreError):
            self.failed = error
        else:
            self.failed = StoreError(self.store.name, "write a group of records to", told_of(error))
            self.failed.__cause__ = error
        _logger.error("%s Runs that go on are not recorded any more, and end as crashed.", self.failed)

    def _do(self, item: Receipt | Errand | tuple[Callable[[Event], None], Event]) -> None:
        """Do what a commit allows, or say that there was none. Faults of what is called end nothing here."""
        try:
            if isinstance(item, tuple):
                listener, event = item
                listener(event)
            elif isinstance(item, Receipt):
                item.done(item.subject, self.failed)
            elif self.failed is None:
                item.call()
            else:
                item.failed(self.failed)
        except BaseException as error:
            _logger.exception("What was to follow a commit to %s failed.", self.store.name)
            if self._helper and isinstance(error, (KeyboardInterrupt, TerminationSignal)):
                raise


def _after_fork() -> None:
    for writer in tuple(_writers):
        writer.abandon()
    _writers.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
