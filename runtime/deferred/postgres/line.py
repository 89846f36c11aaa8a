"""The line: the connection by which a process lives as a worker, and on which it is told what happens in the queue.

Decides how it holds on. The line does nothing but listen and hold locks. When it is lost, as where the server is
started again, another one is made, the locks are taken again, and whoever listens looks at once, since what was told
in between was not heard. A worker whose lock somebody else has found free in between is no worker any more; its next
exchange says so. Each worker watches another one, and is rung when that is over.

All of it is on the queue's own loop, and so are the calls that it makes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping
from contextlib import suppress
from typing import Any

import attrs

from millrace.runtime.deferred.postgres import changing, workers
from millrace.runtime.one_line import engine_logger
from millrace.runtime.stores.postgres.connecting import LOOK_AFTER_CLIENT, Connection, Connector, is_lost, shut

_logger = engine_logger("deferred")


@attrs.define(eq=False)
class Session:
    """A worker of this process.

    Args:
        number: Its number.
        keys: The keys of the tasks that it can run.
        ring: Called when there may be something new for it.
        suspects: Some worker may be over.
        turn: So many exchanges it has had.
        changed: Set when somebody else may be the one that it watches.
    """

    number: int
    keys: frozenset[str]
    ring: Callable[[], None]
    suspects: bool = True
    turn: int = 0
    changed: asyncio.Event = attrs.field(factory=asyncio.Event)


class Line:
    """The line of one process.

    Args:
        connector: Makes connections.
        ended: Called with the ids of runs that have ended; with None where that is to be looked for.
        return_seconds: How long others may take to come back after the server was away, before they are looked at.
    """

    def __init__(
        self, connector: Connector, ended: Callable[[Collection[int] | None], None], return_seconds: float
    ) -> None:
        self._connector = connector
        self._ended = ended
        self._return_seconds = return_seconds
        self._using = asyncio.Lock()  # a connection does one thing at a time
        self._tasks: set[asyncio.Task[None]] = set()
        self._watches: dict[int, asyncio.Task[None]] = {}  # by the worker's number
        self._over = False
        self.sessions: dict[int, Session] = {}  # by the worker's number
        self.connection: Connection | None = None

    async def open(self) -> None:
        """Listen from now on.

        Raises:
            StoreError: the server lets nobody in.
        """
        connection = await self._connector.connect(**LOOK_AFTER_CLIENT)
        try:
            await self._settle_on(connection)
        except BaseException:
            connection.terminate()
            raise

    async def close(self) -> None:
        """Listen no more, and be no worker any more."""
        self._over = True
        tasks = [*self._tasks, *self._watches.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connection, self.connection = self.connection, None
        if connection is not None:
            await shut(connection)

    async def enlist(self, name: str, keys: Collection[str], ring: Callable[[], None], at: int) -> int:
        """Become a worker. See `port.Queue`."""
        number: int = await self._use(lambda connection: workers.enlist(connection, name, at))
        session = self.sessions[number] = Session(number, frozenset(keys), ring)
        self._watches[number] = asyncio.get_running_loop().create_task(self._watch(session))
        return number

    async def let_go(self, number: int) -> None:
        """A worker is none any more."""
        self.sessions.pop(number, None)
        watch = self._watches.pop(number, None)
        if watch is not None:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        with suppress(*self._connector.errors):  # else it is lost, and the lock with it
            await self._use(lambda connection: workers.let_go(connection, number))

    async def _use(self, act: Callable[[Connection], Coroutine[Any, Any, Any]]) -> Any:
        async with self._using:
            if self.connection is None or self.connection.is_closed():
                raise ConnectionError("the connection that listens is lost")
            return await act(self.connection)

    # Holding on.

    async def _settle_on(self, connection: Connection) -> None:
        heard: Mapping[str, Callable[[str], None]] = {
            changing.OFFERS: self._offered,
            changing.ENDS: lambda run: self._ended([int(run, 16)]),
            changing.COMERS: lambda _: self._somebody_came_or_went(),
        }
        for what, call in heard.items():
            channel = await changing.channel_of(connection, what)
            await connection.add_listener(channel, lambda *told, call=call: call(told[-1]))
        self.connection = connection
        connection.add_termination_listener(lambda _: self._lost(connection))
        if connection.is_closed():
            self._lost(connection)

    def _offered(self, by: str) -> None:
        for number, session in list(self.sessions.items()):
            if str(number) != by:
                session.ring()

    def _somebody_came_or_went(self) -> None:
        for session in self.sessions.values():
            session.changed.set()

    def _lost(self, connection: Connection) -> None:
        if self._over or self.connection is not connection:
            return
        self.connection = None
        task = asyncio.get_running_loop().create_task(self._come_back())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _come_back(self) -> None:
        while not self._over:
            connection: Connection | None = None
            try:
                connection = await self._connector.connect_again(float("inf"), **LOOK_AFTER_CLIENT)
                for number in list(self.sessions):
                    await workers.hold_again(connection, number)
                await self._settle_on(connection)
            except self._connector.errors as error:  # ours, that it is refused, is one of them
                if connection is not None:
                    connection.terminate()
                    if is_lost(error, connection):
                        continue
                said = self._connector.reported(error, "come back to")
                _logger.error("%s What is told there is not heard here any more.", said)  # noqa: TRY400  # it says all
                return
            self._offered("")
            self._ended(None)
            return

    # Watching another one.

    async def _watch(self, session: Session) -> None:
        waiting: asyncio.Task[None] | None = None
        watched: int | None = None
        try:
            while True:
                session.changed.clear()
                try:
                    found = await self._use(lambda connection: workers.neighbour_of(connection, session.number))
                    if found != watched or waiting is None:
                        await _stop(waiting)
                        watched = found
                        waiting = None if found is None else asyncio.create_task(self._await_end(found))
                    await _either(waiting, session.changed)
                    if waiting is not None and waiting.done():
                        over, waiting = waiting, None
                        over.result()
                        session.suspects = True
                        session.ring()
                        await session.changed.wait()
                except self._connector.errors:  # the server is away, and with it the locks of all
                    waiting = None
                    await asyncio.sleep(self._return_seconds)
        finally:
            await _stop(waiting)

    async def _await_end(self, number: int) -> None:
        await workers.await_end(self._connector, number)


async def _either(waiting: asyncio.Task[None] | None, changed: asyncio.Event) -> None:
    """Wait until one of the two has happened."""
    change = asyncio.ensure_future(changed.wait())
    try:
        await asyncio.wait([change] if waiting is None else [change, waiting], return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _stop(change)


async def _stop(task: asyncio.Task[Any] | None) -> None:
    if task is not None:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
