"""The store in a database of PostgreSQL's. See `port.Store` for what it does.

Decides which connection does what. One holds the lease and listens, one writes, and one, made when somebody reads, only
reads. The one that writes belongs to a loop that turns on the writer's thread, while that has something to write; the
others are on a loop in a thread of the store's own.

A connection that is lost says nothing of the group that was on its way: it may be committed, or yet become so. But
groups are numbered, so it is written again with its number over another connection, and the server says whether that is
the second time. Any other error is the end: nothing is tried again that was refused.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable, Coroutine, Mapping
from concurrent.futures import CancelledError
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from contextvars import Context
from threading import Lock
from typing import TYPE_CHECKING, Any, Concatenate, Final, ParamSpec, TypeVar

from millrace.actors.errors import RunNotFound, RunNotResumable, StoreError, StoreFenced, StoreMissing
from millrace.actors.states import StateType
from millrace.runtime.loops import finish_loop, new_loop
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.control import Control
from millrace.runtime.stores.faults import reach
from millrace.runtime.stores.group_rows import GroupRows
from millrace.runtime.stores.port import Group, Opened, Owner
from millrace.runtime.stores.postgres import facts, owners, reading, removing, writing
from millrace.runtime.stores.postgres.address import Address
from millrace.runtime.stores.postgres.connecting import (
    WAIT_FOR_DISK,
    Connect,
    Connection,
    Connector,
    abandon,
    is_lost,
    shut,
)
from millrace.runtime.stores.postgres.lease import RETURN_SECONDS, Lease
from millrace.runtime.stores.postgres.migrating import check_schema
from millrace.runtime.stores.postgres.notify_control import NotifyControl
from millrace.runtime.stores.postgres.own_loop import OwnLoop, left_to_parents
from millrace.runtime.stores.records import Answered, Called, Value
from millrace.runtime.stores.rows import FlowRunRow, RunFilter, StateRow, StoreFacts, TaskRunRow

if TYPE_CHECKING:
    from millrace.runtime.deferred.port import Queue

P = ParamSpec("P")
T = TypeVar("T")

_UNREADABLE: Final = ("22021", "22P05", "22000")  # a text that the server, or the driver, cannot take

_IS_OWNER: Final = "SELECT 1 FROM owners WHERE token = $1 AND ended IS NULL FOR SHARE"
_LOCK_RUN: Final = "SELECT 1 FROM flow_runs WHERE id = $1 FOR UPDATE"
_CLAIM: Final = "UPDATE flow_runs SET owner = $1, ended = NULL, suspended = false WHERE id = $2"


class PostgresStore:
    """Runs in a database that several processes write to, on one host or on many.

    Args:
        url: Where it is: `postgresql://user:password@host:5432/database`. What asyncpg knows may stand behind a
            question mark, as `sslmode`, and so may `schema` (by default `millrace`; it is made where it is missing),
            `synchronous_commit` (what a commit waits for; by default what the server says, but never `off`), and
            `reconnect_seconds` (how long the store tries to get a lost connection back; 30 by default).
        return_seconds: How long another owner may take to come back that has lost its connection, before this one says
            that it is over.
        connect: Makes connections; for tests.

    Raises:
        ConfigurationError: the URL is none, or an option has a value that cannot be used.
        MissingExtra: asyncpg is not installed.
    """

    def __init__(self, url: str, *, return_seconds: float = RETURN_SECONDS, connect: Connect | None = None) -> None:
        self._address = Address(url)
        self._connector = Connector(self._address, connect)
        self._return_seconds = return_seconds
        self._own = OwnLoop()
        self._lease: Lease | None = None
        self._loop: asyncio.AbstractEventLoop | None = None  # the writer's
        self._writer: Connection | None = None  # None after it was lost, too
        self._failed: StoreError | None = None
        self._reader: Connection | None = None
        self._reading: asyncio.Lock | None = None
        self._queue: Queue | None = None  # made when somebody asks
        self._queueing = Lock()
        self._control = NotifyControl(self._own, lambda: self._connector, lambda: self._lease, self._lent)

    @property
    def name(self) -> str:
        """Says where it is; who connects, and how, is left out."""
        return self._address.name

    @property
    def control(self) -> Control | None:
        """The way to its owners. See `port.Store`."""
        return self._control

    @property
    def any_thread(self) -> bool:
        """The connection that writes turns on a loop of the thread that has opened it."""
        return False

    @property
    def queue(self) -> Queue:
        """Where runs are put off to: in a schema beside this one, with `_queue` behind its name."""
        from millrace.runtime.deferred.postgres import PostgresQueue  # noqa: PLC0415  # few programs put runs off

        with self._queueing:  # there is one, whichever threads ask first
            if self._queue is None:
                self._queue = PostgresQueue(self._connector)
            return self._queue

    def __repr__(self) -> str:
        return f"PostgresStore({self.name!r})"

    # Writing.

    def open(self, owner: Owner) -> Opened:
        """Become an owner. See `port.Store`."""
        try:
            lease = Lease(self._connector, self._return_seconds)
            opened = self._own.run(lease.take(owner))
            self._lease = lease
            self._failed = None
            self._loop = Context().run(new_loop)
            self._writer = self._turn(self._connect_writer())
        except BaseException as error:
            self.close()
            if isinstance(error, self._connector.errors):
                raise self._connector.reported(error, "open the store") from None
            raise
        return opened

    def _turn(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine on the loop of this thread, which is the writer's."""
        if self._loop is None:
            coroutine.close()
            raise StoreError(self.name, "write to", "it is not open")
        return self._loop.run_until_complete(coroutine)

    async def _connect_writer(self, until: float | None = None) -> Connection:
        settings = dict(writing.SETTINGS)
        if self._address.synchronous_commit is not None:
            settings["synchronous_commit"] = self._address.synchronous_commit
        if until is None:
            connection = await self._connector.connect(**settings)
        else:
            connection = await self._connector.connect_again(until, **settings)
        try:
            if self._address.synchronous_commit is None:
                await connection.execute(WAIT_FOR_DISK)
        except BaseException:
            connection.terminate()
            raise
        return connection

    def append(self, group: Group) -> None:
        """Write a group in one transaction. See `port.Store`."""
        try:
            self._turn(self._write(group))
        except BaseException as error:  # noqa: BLE001  # whatever it was, the group is not acknowledged
            if isinstance(error, (*self._connector.errors, ValueError)):
                error = self._connector.reported(error, "write a group of records to")
            if isinstance(error, StoreError):
                self._failed = error
            group.done(error)
        else:
            reach("group committed")
            group.done(None)
            reach("group acknowledged")

    async def _write(self, group: Group) -> None:
        if self._failed is not None:
            raise self._failed
        rows = GroupRows(group.token, group.records)
        parts, undone = writing.parts_of(rows), rows.undone()
        reach("group encoded")

        async def write(connection: Connection) -> bool:
            return await writing.write(connection, group.token, group.number, parts, undone)

        refused: tuple[type[BaseException], ...] = (*self._connector.errors, ValueError)
        try:
            written = await self._insist(write)
        except refused as error:
            code = getattr(error, "sqlstate", None)
            if not isinstance(error, UnicodeError) and code not in _UNREADABLE:
                raise
            parts = writing.harmless(parts)  # nothing was written, so it may be tried in another form
            written = await self._insist(write)
        if not written:
            raise StoreFenced(self.name, group.token)

    async def _insist(self, act: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Do something that may be done twice: again, when the connection was lost."""
        until: float | None = None
        while True:
            try:
                if self._writer is None:
                    until = until or time.monotonic() + self._address.reconnect_seconds
                    self._writer = await self._connect_writer(until)
                return await act(self._writer)
            except self._connector.errors as error:
                if not is_lost(error, self._writer):
                    raise
                if self._writer is not None:
                    self._writer.terminate()
                    self._writer = None

    def claim(self, run_id: int, token: int, at: int) -> FlowRunRow:  # noqa: ARG002  # others keep it
        """Become the owner of a flow run. See `port.Store`."""

        async def claim(connection: Connection) -> FlowRunRow:
            await connection.execute(_LOCK_RUN, id_of(run_id))
            run = await reading.read_flow_run(connection, run_id)
            if run is None:
                raise RunNotFound(run_id)
            if not run.is_free:
                owner = await connection.fetchval("SELECT name FROM owners WHERE token = $1", run.owner)
                raise RunNotResumable(run.name, f"it is {run.state.type}, and {owner} runs it")
            await connection.execute(_CLAIM, token, id_of(run_id))
            reach("run claimed")
            return run

        return self._transact(f"claim run {run_id:032x} in", token, claim)

    def claim_task_run(self, run_id: int, token: int, sequence: int) -> bool:
        """Become the owner of a task run that is to be run again. See `port.Store`."""
        attempted, wanted = f"claim task run {run_id:032x} in", (token, id_of(run_id), sequence)
        return self._transact(attempted, token, lambda connection: owners.claim_task_run(connection, *wanted))

    def end_dead_owner(self, run_id: int, token: int, at: int) -> bool:
        """End the owner of a run if it is over. See `port.Store`."""

        async def end(connection: Connection) -> bool:
            owner = await connection.fetchval("SELECT owner FROM flow_runs WHERE id = $1", id_of(run_id))
            return owner not in {None, token} and await owners.end_when_over(connection, owner, at)

        try:
            return self._turn(self._insist(end))
        except self._connector.errors as error:
            raise self._connector.reported(error, f"look for the owner of run {run_id:032x} in") from None

    def remove(self, run_id: int, token: int) -> None:
        """Remove a flow run. See `port.Store`."""
        attempted = f"remove run {run_id:032x} from"
        self._transact(attempted, token, lambda connection: removing.remove(connection, run_id))

    def remove_task_runs(self, before: int, token: int, most: int) -> int:
        """Remove task runs outside of any flow. See `port.Store`."""
        attempted = "remove task runs from"
        return self._transact(attempted, token, lambda connection: removing.remove_loose(connection, before, most))

    def sweep(self, token: int, most: int) -> int:
        """Remove what belonged to flow runs that are removed. See `port.Store`."""
        return self._transact("remove task runs from", token, lambda connection: removing.sweep(connection, most))

    def _transact(self, attempted: str, token: int, act: Callable[[Connection], Coroutine[Any, Any, T]]) -> T:
        """Do something in a transaction of its own, as an owner.

        Where the connection is lost before the commit, nothing has come of it and it is done again. Where it is lost
        in the commit nobody knows, and that is what is said.
        """
        done: list[T] = []  # what is to be committed

        async def transact(connection: Connection) -> None:
            async with connection.transaction():
                if await connection.fetchval(_IS_OWNER, token) is None:
                    raise StoreFenced(self.name, token)
                done.append(await act(connection))

        async def transact_once(connection: Connection) -> None:
            try:
                await transact(connection)
            except self._connector.errors as error:
                if done and is_lost(error, connection):
                    connection.terminate()
                    self._writer = None
                    reason = "the connection was lost in the commit, and nobody knows whether it was done"
                    raise StoreError(self.name, attempted, reason, "Look at the run, and try again.") from None
                raise

        try:
            self._turn(self._insist(transact_once))
        except self._connector.errors as error:
            raise self._connector.reported(error, attempted) from None
        return done[0]

    def close(self) -> None:
        """Let go of the store. See `port.Store`."""
        self._control.close()
        writer, self._writer = self._writer, None
        loop, self._loop = self._loop, None
        lease, self._lease = self._lease, None
        try:
            if loop is not None:
                if writer is not None:
                    loop.run_until_complete(shut(writer))
                finish_loop(loop, 0)
        finally:
            self._own.close(self._let_go(lease))
            with self._queueing:  # another store at the same place has a queue of its own from now on
                queue, self._queue = self._queue, None
            if queue is not None:
                queue.close()

    async def _let_go(self, lease: Lease | None) -> None:
        if self._reading is not None:
            async with self._reading:  # after what is being read
                reader, self._reader = self._reader, None
            self._reading = None
            if reader is not None:
                await shut(reader)
        if lease is not None:
            await lease.give_back()

    def abandon(self) -> None:
        """In the child of a fork: leave everything to the parent."""
        lease = None if self._lease is None else self._lease.connection
        for connection in (lease, self._writer, self._reader):
            if connection is not None:
                abandon(connection)
        left_to_parents.extend((self._lease, self._writer, self._reader, self._loop))
        self._lease = self._writer = self._reader = self._loop = self._reading = None
        self._queueing = Lock()
        self._control.abandon()
        self._own.abandon()

    # Reading.

    def _read(
        self, query: Callable[Concatenate[Connection, P], Coroutine[Any, Any, T]], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        async def read() -> T:
            if self._reading is None:
                self._reading = asyncio.Lock()
            async with self._reading:
                try:
                    return await query(await self._readable(), *args, **kwargs)
                except self._connector.errors as error:
                    if self._reader is None or not is_lost(error, self._reader):
                        raise
                    self._reader.terminate()
                    self._reader = None
                    until = time.monotonic() + self._address.reconnect_seconds
                    self._reader = await self._connector.connect_again(until)
                    return await query(self._reader, *args, **kwargs)

        try:
            return self._own.run(read())
        except CancelledError:
            raise StoreError(self.name, "read from", "it was closed meanwhile") from None
        except self._connector.errors as error:
            raise self._connector.reported(error, "read from") from None

    async def _readable(self) -> Connection:
        if self._reader is None:
            reader = await self._connector.connect()
            try:
                version = await check_schema(reader, self._address)
            except BaseException:
                reader.terminate()
                raise
            if not version:
                await shut(reader)
                raise StoreMissing(self.name, "nothing was ever written to it")
            self._reader = reader
        return self._reader

    def _lent(self) -> AbstractAsyncContextManager[Connection] | None:
        """The connection that reads, for something else; None where there is none, and so no loop that is at work."""
        return None if self._reader is None else self._borrowed()

    @asynccontextmanager
    async def _borrowed(self) -> AsyncGenerator[Connection]:
        """The connection that reads, if it is at rest, else another one. On the store's own loop."""
        connection = None
        if self._reading is not None and not self._reading.locked():
            connection, self._reader = self._reader, None
        if connection is None or connection.is_closed():
            connection = await self._connector.connect()
        broken: tuple[type[BaseException], ...] = (*self._connector.errors, asyncio.CancelledError, TimeoutError)
        try:
            yield connection
        except broken:
            connection.terminate()  # nobody knows what it is doing
            raise
        finally:
            if self._reader is None and self._reading is not None and not connection.is_closed():
                self._reader = connection
            else:
                await shut(connection)

    def read_flow_run(self, run_id: int) -> FlowRunRow | None:
        """A flow run. See `port.Store`."""
        return self._read(reading.read_flow_run, run_id)

    def read_flow_runs(self, wanted: RunFilter) -> list[FlowRunRow]:
        """Flow runs, newest first."""
        return self._read(reading.read_flow_runs, wanted)

    def read_task_run(self, run_id: int) -> TaskRunRow | None:
        """A task run. See `port.Store`."""
        return self._read(reading.read_task_run, run_id)

    def read_task_runs(self, wanted: RunFilter) -> list[TaskRunRow]:
        """Task runs, newest first."""
        return self._read(reading.read_task_runs, wanted)

    def read_states(self, run_id: int) -> list[StateRow]:
        """All states of a run, first to last."""
        return self._read(reading.read_states, run_id)

    def read_finished(self, before: int, parked: int, after: int, limit: int) -> list[int]:
        """Flow runs that are over. See `port.Store`."""
        return self._read(facts.read_finished, before, parked, after, limit)

    def count_task_runs(self, flow_run_id: int) -> Mapping[tuple[str, StateType], int]:
        """How many task runs a flow run has."""
        return self._read(facts.count_task_runs, flow_run_id)

    def read_facts(self) -> StoreFacts:
        """What there is in the database."""
        return self._read(facts.read_facts)

    def read_calls(self, flow_run_id: int) -> list[Called]:
        """What the body of a flow run has called."""
        return self._read(reading.read_calls, flow_run_id)

    def read_results(self, flow_run_id: int) -> Mapping[int, Value | None]:
        """The results of what a flow run has called."""
        return self._read(reading.read_results, flow_run_id)

    def read_names(self, flow_run_id: int) -> Mapping[int, tuple[str, str | None]]:
        """How the states of what has completed are called."""
        return self._read(reading.read_names, flow_run_id)

    def read_answers(self, flow_run_id: int) -> list[Answered]:
        """What a flow run has been resumed with so far."""
        return self._read(reading.read_answers, flow_run_id)

    def last_id(self, flow_run_id: int) -> int:
        """The largest id that a run of a flow run has."""
        return self._read(reading.last_id, flow_run_id)
