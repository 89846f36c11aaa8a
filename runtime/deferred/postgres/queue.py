"""The queue in a database of PostgreSQL's. See `port.Queue` for what it does.

Decides which connection does what: one is the *line*, which listens and holds the locks of this process's workers, and
one does all else, each thing in a transaction. Both are on a loop in a thread of the queue's own, and so is what the
server tells; what is called about ends is called in another thread, as it may look into the queue.

A connection that is lost says nothing of the transaction that was on its way. So everything may be done twice: a run is
put off once by its id, an exchange is done once by its number. Transactions that have locked each other out are done
again by whoever was thrown out.
"""

from __future__ import annotations

import asyncio
import atexit
import os
import time
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import nullcontext, suppress
from threading import RLock
from typing import Any, Final, TypeVar
from weakref import WeakSet

from millrace.actors.errors import RunNotFound, StoreError, StoreFenced
from millrace.runtime.deferred.port import Job, JobRow, Taken, Told
from millrace.runtime.deferred.postgres import changing, reading
from millrace.runtime.deferred.postgres.line import Line
from millrace.runtime.stores.postgres.connecting import (
    WAIT_FOR_DISK,
    Connection,
    Connector,
    abandon,
    is_lost,
    shut,
)
from millrace.runtime.stores.postgres.migrating import check_schema, migrate
from millrace.runtime.stores.postgres.own_loop import OwnLoop, left_to_parents
from millrace.runtime.stores.rows import RunFilter, StateRow

SUFFIX: Final = "_queue"
"""What the name of the queue's schema has after that of the store's."""

RETURN_SECONDS: Final = 5.0
"""How long workers may take to come back when the server has been away, before they are looked at."""

_PACKAGE: Final = "millrace.runtime.deferred.postgres"
_LOCKED_OUT: Final = ("40P01", "40001")  # a deadlock that the server has ended, and transactions that cannot both be
_MOST_TRIES: Final = 20
_AT_A_TIME: Final = 500
"""How many runs are removed before others get their turn."""

T = TypeVar("T")

_made: WeakSet[PostgresQueue] = WeakSet()


class PostgresQueue:
    """Runs that are put off in a database, for workers on one host or on many.

    Args:
        connector: Makes connections to the store.
        return_seconds: See `RETURN_SECONDS`.
    """

    blocking = True

    def __init__(self, connector: Connector, return_seconds: float = RETURN_SECONDS) -> None:
        address = connector.address.beside(SUFFIX)
        self._connector = connector.to(address)
        self._return_seconds = return_seconds
        self.name: str = f"the queue of {connector.address.name}"
        self.url: str = connector.address.name  # without who connects: futures that are sent carry it along
        self._lock = RLock()  # of what is open in this process
        self._own = OwnLoop()
        self._using = asyncio.Lock()
        self._connection: Connection | None = None
        self._line: Line | None = None
        self._opening = asyncio.Lock()
        self._calls: ThreadPoolExecutor | None = None  # in whose thread watchers are called
        self._watchers: dict[int, list[Callable[[], None]]] = {}  # by id of the run
        self._known = False  # the schema is there
        _made.add(self)

    @property
    def is_there(self) -> bool:
        """Whether there is such a schema."""

        async def look() -> bool:
            connection = await self._connector.connect()
            try:
                return bool(await check_schema(connection, self._connector.address, _PACKAGE))
            finally:
                await shut(connection)

        self._known = self._known or self._run("look for", look())
        return self._known

    # Connections.

    def _run(self, attempted: str, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run something on the own loop.

        Raises:
            StoreError: the server, or the way to it, has failed.
        """
        try:
            return self._own.run(coroutine)
        except CancelledError:
            raise StoreError(self.name, attempted, "it was closed meanwhile") from None
        except self._connector.errors as error:
            raise self._reported(error, attempted) from None

    def _reported(self, error: BaseException, attempted: str) -> StoreError:
        said = self._connector.reported(error, attempted)
        return said if isinstance(error, StoreError) else StoreError(self.name, attempted, said.reason)

    async def _connect(self, until: float | None) -> Connection:
        address = self._connector.address
        chosen = {} if address.synchronous_commit is None else {"synchronous_commit": address.synchronous_commit}
        if until is None:
            connection = await self._connector.connect(**chosen)
        else:
            connection = await self._connector.connect_again(until, **chosen)
        try:
            await migrate(connection, address, _PACKAGE)
            if not chosen:
                await connection.execute(WAIT_FOR_DISK)
        except BaseException:
            connection.terminate()
            raise
        self._known = True
        return connection

    def _do(self, attempted: str, act: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Do something in a transaction: again, where the connection was lost, or others were in the way."""
        return self._run(attempted, self._insist(act))

    def _read(self, query: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """The answer to a question, which is one statement."""
        return self._run("read from", self._insist(query, transaction=False))

    async def _insist(self, act: Callable[[Connection], Coroutine[Any, Any, T]], *, transaction: bool = True) -> T:
        until: float | None = None
        tries = 0
        async with self._using:
            while True:
                connection = self._connection
                try:
                    if connection is None:
                        connection = self._connection = await self._connect(until)
                    async with connection.transaction() if transaction else nullcontext():
                        result = await act(connection)
                except self._connector.errors as error:
                    tries += 1
                    if getattr(error, "sqlstate", None) in _LOCKED_OUT and tries < _MOST_TRIES:
                        continue
                    if connection is None or not is_lost(error, connection):
                        raise
                    connection.terminate()
                    self._connection = None
                    until = until or time.monotonic() + self._connector.address.reconnect_seconds
                else:
                    return result

    async def _lined(self) -> Line:
        """The line, which is open."""
        async with self._opening:
            if self._line is None:
                await self._insist(_nothing)  # the schema is there
                line = Line(self._connector, self._told_of_ends, self._return_seconds)
                await line.open()
                self._line = line
            return self._line

    def close(self) -> None:
        """Let go of connections, but for those of workers, and of who waits at this moment."""
        with self._lock:
            line = self._line
            if self._watchers or (line is not None and line.sessions):
                return
            self._own.close(self._let_go())
            self._line = None
            self._using, self._opening = asyncio.Lock(), asyncio.Lock()
            calls, self._calls = self._calls, None
        if calls is not None:
            calls.shutdown(wait=False)

    async def _let_go(self) -> None:
        connection, self._connection = self._connection, None
        if self._line is not None:
            await self._line.close()
        if connection is not None:
            await shut(connection)

    def abandon(self) -> None:
        """In the child of a fork: leave everything to the parent."""
        line = None if self._line is None else self._line.connection
        for each in (line, self._connection):
            if each is not None:
                abandon(each)
        left_to_parents.extend((self._line, self._connection, self._calls))
        self._lock, self._using, self._opening = RLock(), asyncio.Lock(), asyncio.Lock()
        self._line = self._connection = self._calls = None
        self._watchers = {}
        self._own.abandon()

    # Putting off.

    def put(self, job: Job, awaited: Collection[int] = (), end: Told | None = None) -> None:
        """Put a run off. See `port.Queue`."""
        tries = 0

        async def put(connection: Connection) -> None:
            nonlocal tries
            tries += 1
            if not await changing.put(connection, job, awaited):
                if tries > 1:
                    return  # it was committed, and only the answer was lost
                raise StoreError(self.name, "put a run into", f"there is a run with the id {job.id:032x} already")
            if end is not None:
                await changing.end(connection, job.id.to_bytes(16, "big"), end)
            else:
                await changing.notify(connection, changing.OFFERS)

        self._do("put a run into", put)

    def cancel(self, job: int, reason: str, at: int) -> None:
        """Cancel a run. See `port.Queue`."""
        try:
            self._do("cancel a run in", lambda connection: changing.cancel(connection, job, reason, at))
        except LookupError:
            raise RunNotFound(f"{job:032x}", store=self.name) from None

    # Workers.

    def enlist(self, name: str, keys: Collection[str], ring: Callable[[], None], at: int) -> int:
        """Become a worker. See `port.Queue`."""

        async def enlist() -> int:
            line = await self._lined()
            number = await line.enlist(name, keys, ring, at)
            await self._insist(lambda connection: changing.notify(connection, changing.COMERS))
            return number

        with self._lock:
            return self._run("enlist a worker in", enlist())

    def exchange(self, worker: int, told: Sequence[Told], most: int | None, at: int) -> Taken:
        """Tell of runs, and take others. See `port.Queue`."""
        line = self._line
        session = None if line is None else line.sessions.get(worker)
        if session is None:
            raise StoreFenced(self.name, worker)
        session.turn += 1
        suspects = session.suspects

        async def exchange(connection: Connection) -> Taken | None:
            return await changing.exchange(
                connection, worker, session.turn, told, session.keys, most, at, suspects=suspects
            )

        async def take_turn() -> Taken | None:
            taken = await self._insist(exchange)
            if suspects:
                session.suspects = False
                session.changed.set()
            return taken

        taken = self._run("tell of runs to", take_turn())
        if taken is None:
            raise StoreFenced(self.name, worker)
        return taken

    def leave(self, worker: int, at: int) -> None:
        """Be a worker no more. See `port.Queue`."""
        line = self._line
        if line is None or worker not in line.sessions:
            return

        async def leave() -> None:
            try:
                await self._insist(lambda connection: changing.leave(connection, worker, at))
            finally:
                await line.let_go(worker)

        with self._lock:
            self._run("leave", leave())

    # Ends.

    def watch(self, job: int, call: Callable[[], None]) -> None:
        """Have something called when a run has ended. See `port.Queue`."""
        with self._lock:
            self._run("listen to", self._lined())
            self._watchers.setdefault(job, []).append(call)
        row = self.read(job)
        if row is not None and row.ended is not None:
            self._call_those_of([job])

    def unwatch(self, job: int, call: Callable[[], None]) -> None:
        """Call it off."""
        with self._lock:
            left = [each for each in self._watchers.pop(job, ()) if each != call]
            if left:
                self._watchers[job] = left

    def _told_of_ends(self, jobs: Collection[int] | None) -> None:
        """Runs have ended, or it is to be looked which. On the own loop."""
        if jobs is not None and not any(job in self._watchers for job in jobs):
            return
        if self._calls is None:
            self._calls = ThreadPoolExecutor(1, "millrace-queue")
        self._calls.submit(self._look if jobs is None else lambda: self._call_those_of(jobs))

    def _look(self) -> None:
        with self._lock:
            watched = list(self._watchers)
        with suppress(StoreError):  # who comes back once more looks once more
            self._call_those_of(self._read(lambda connection: reading.ended_among(connection, watched)))

    def _call_those_of(self, jobs: Collection[int]) -> None:
        with self._lock:
            calls = [call for job in jobs for call in self._watchers.pop(job, ())]
        for call in calls:
            call()

    # Reading.

    def read(self, job: int) -> JobRow | None:
        """A run as it is now. See `port.Queue`."""
        return self._read(lambda connection: reading.row(connection, job))

    def read_states(self, job: int) -> list[StateRow]:
        """All states of a run, first to last."""
        return self._read(lambda connection: reading.states(connection, job))

    def read_all(self, wanted: RunFilter) -> list[JobRow]:
        """Runs, newest first. See `port.Queue`."""
        return self._read(lambda connection: reading.rows(connection, wanted))

    def waiting(self) -> Mapping[tuple[str, str], int]:
        """How many runs nobody has taken yet."""
        return self._read(reading.waiting)

    def prune(self, before: int, *, counts_only: bool = False) -> int:
        """Remove runs that ended before a time."""
        if not self.is_there:
            return 0
        if counts_only:
            return self._read(lambda connection: reading.count_ended(connection, before))
        removed = 0
        while True:
            count = self._do("remove runs from", lambda connection: changing.remove(connection, before, _AT_A_TIME))
            removed += count
            if count < _AT_A_TIME:
                return removed


async def _nothing(_connection: Connection) -> None:
    pass


def _leave_to_parents() -> None:
    for each in list(_made):
        each.abandon()


@atexit.register
def _close_all() -> None:
    for each in list(_made):
        with suppress(StoreError):
            each.close()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_to_parents)
