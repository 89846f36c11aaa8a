"""The control of a store in a database: rows, and the server's NOTIFY. See `control.Control` for what it does.

Decides how a request gets to the owner of a run: who asks puts it in a table and has the owner notified, and waits for
the notification that the answer is there. So neither polls, requests may be larger than a notification, and one that
was told while the owner had lost its connection is found in the table. Whom to ask stands with the run: its owner.
Where that one is over nobody listens, and whoever asks may do it.

Whoever may write to the tables can ask, and is as trusted as the code.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from threading import Thread
from typing import Any, Final

from millrace.actors.errors import OwnerUnreachable
from millrace.runtime.one_line import engine_logger
from millrace.runtime.stores.columns import id_of
from millrace.runtime.stores.control import (
    PATIENCE_SECONDS,
    Hear,
    NobodyListens,
    Reply,
    Request,
    error_of,
    reply_of_line,
    reply_to_line,
)
from millrace.runtime.stores.postgres import owners
from millrace.runtime.stores.postgres.connecting import Connection, Connector, shut
from millrace.runtime.stores.postgres.lease import Lease, await_end
from millrace.runtime.stores.postgres.own_loop import OwnLoop, run_apart

_TAKE: Final = "UPDATE requests SET taken = true WHERE owner = $1 AND NOT taken RETURNING id, line"
_ANSWER: Final = (
    "WITH answered AS (UPDATE requests SET answer = $2 WHERE id = $1 RETURNING asker) "
    "SELECT pg_notify(asker, '') FROM answered"
)
_ASK: Final = (
    "WITH asked AS (INSERT INTO requests (id, owner, asker, line) VALUES ($1, $2, $3, $4)) SELECT pg_notify($5, '')"
)
_READ: Final = "SELECT answer FROM requests WHERE id = $1 AND answer IS NOT NULL"
_FORGET: Final = "DELETE FROM requests WHERE id = $1"
_OWNER_OF: Final = "SELECT owner FROM flow_runs WHERE id = $1"

_AT_ONCE_SECONDS: Final = 0.25

_logger = engine_logger("store")


class NotifyControl:
    """The control of one store.

    Args:
        loop: The store's own.
        connector: Makes connections.
        lease: The lease that this process has; None while it is no owner.
        lent: Gives a connection of the store's own loop for a while, where it has one anyway.
    """

    is_shared = True

    def __init__(
        self,
        loop: OwnLoop,
        connector: Callable[[], Connector],
        lease: Callable[[], Lease | None],
        lent: Callable[[], AbstractAsyncContextManager[Connection] | None],
    ) -> None:
        self._lent = lent
        self._loop = loop
        self._connector = connector
        self._lease = lease
        self._inbox: Inbox | None = None

    def listen(self, hear: Hear) -> None:
        """Take requests. See `control.Control`."""
        lease = self._lease()
        assert lease is not None  # whoever listens has opened the store
        self._inbox = Inbox(lease, hear)
        self._loop.run(self._inbox.open())

    def ask(self, request: Request, patience: float | None = PATIENCE_SECONDS) -> Reply:
        """Ask the owner of the run; of what is about no run, whether anybody is there. See `control.Control`."""
        if request.run is None and request.verb != "greet":
            raise NobodyListens  # whoever asks can do it as well
        connector = self._connector()
        broken_by: tuple[type[BaseException], ...] = (*connector.errors, ValueError)
        try:
            lent = None if patience is None else self._lent()  # else it may be longer than the store is open here
            if lent is None:
                reply = run_apart(self._ask_apart(connector, request, patience))
            else:
                reply = self._loop.run(self._ask_with(lent, connector, request, patience))
            error = error_of(reply)
        except TimeoutError:
            reason = f"it did not answer within {patience:g} seconds"
            advice = "It is stopped, or busy; what was asked may be done later."
            raise OwnerUnreachable(self._attempted(request), reason, advice) from None
        except CancelledError:
            reason = "the store was closed here meanwhile"
            raise OwnerUnreachable(self._attempted(request), reason) from None
        except broken_by as broken:
            if isinstance(broken, OwnerUnreachable):
                raise
            said = connector.reported(broken, "reach").reason
            raise OwnerUnreachable(self._attempted(request), f"the server could not be asked ({said})") from None
        if error is not None:
            raise error
        return reply

    def _attempted(self, request: Request) -> str:
        return f"have '{request.verb}' done by the process that has {self._connector().address.name} open"

    async def _ask_apart(self, connector: Connector, request: Request, patience: float | None) -> Reply:
        connection = await connector.connect()
        try:
            return await self._ask(connector, connection, request, patience)
        finally:
            await shut(connection)

    async def _ask_with(
        self,
        lent: AbstractAsyncContextManager[Connection],
        connector: Connector,
        request: Request,
        patience: float | None,
    ) -> Reply:
        async with lent as connection:
            return await self._ask(connector, connection, request, patience)

    async def _ask(
        self, connector: Connector, connection: Connection, request: Request, patience: float | None
    ) -> Reply:
        everybody = await owners.owners_channel(connection)
        lease = self._lease()
        living = [token for token, _ in await connection.fetch(owners.LIVING)]
        others = [token for token in living if lease is None or token != lease.token]
        asking = [_Asking(connector, connection, each, owners.channel_of(everybody, each)) for each in others]
        if request.run is not None:
            owner = await connection.fetchval(_OWNER_OF, id_of(request.run))
            if owner is None:  # it has begun a moment ago: whoever is greeted has written what it knows
                await _tell_all(asking, Request("greet"), PATIENCE_SECONDS)
                owner = await connection.fetchval(_OWNER_OF, id_of(request.run))
            asking = [each for each in asking if each.token == owner]
        if not asking:
            raise NobodyListens
        return await _tell_all(asking, request, patience)

    def close(self) -> None:
        """Take no requests any more."""
        inbox, self._inbox = self._inbox, None
        if inbox is not None:
            inbox.close()

    def abandon(self) -> None:
        """In the child of a fork: the connection is the parent's."""
        self._inbox = None


async def _tell_all(asking: Sequence[_Asking], request: Request, patience: float | None) -> Reply:
    """Ask each for something; the answer of the last one."""
    reply: Reply = {}
    for each in asking:
        async with asyncio.timeout(patience):
            reply = await each.answer_to(request)
    return reply


class _Asking:
    """One request to one owner.

    Args:
        connector: Makes connections.
        connection: The one of who asks.
        token: The owner's.
        channel: Where it hears that it is asked.
    """

    def __init__(self, connector: Connector, connection: Connection, token: int, channel: str) -> None:
        self._connector = connector
        self._connection = connection
        self.token = token
        self._channel = channel

    async def answer_to(self, request: Request) -> Reply:
        """Ask, and wait for the answer; where that does not come at once, with an eye on the owner.

        Raises:
            OwnerUnreachable: it is over, or the connection is.
        """
        number = uuid.uuid4()
        answered = asyncio.Event()
        asker = f"millrace_asker_{number.hex}"
        connection = self._connection

        def wake(*_: object) -> None:
            answered.set()

        connection.add_termination_listener(wake)
        await connection.add_listener(asker, wake)
        waiting: list[asyncio.Task[Any]] = [asyncio.ensure_future(answered.wait())]
        try:
            await connection.execute(_ASK, number.bytes, self.token, asker, request.to_line(), self._channel)
            done, _ = await asyncio.wait(waiting, timeout=_AT_ONCE_SECONDS)
            if not done:
                waiting.append(asyncio.ensure_future(await_end(self._connector, self.token)))
                await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            answer: bytes | None = await connection.fetchval(_READ, number.bytes)
        finally:
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
            connection.remove_termination_listener(wake)
            with suppress(*self._connector.errors):
                await connection.execute(_FORGET, number.bytes)
                await connection.remove_listener(asker, wake)
        if answer is None:
            reason = "it ended before it answered"
            raise OwnerUnreachable(f"have '{request.verb}' done by owner {self.token} of the store", reason)
        return reply_of_line(answer)


class Inbox:
    """Takes the requests to one owner.

    Args:
        lease: The owner's.
        hear: Takes them.
    """

    def __init__(self, lease: Lease, hear: Hear) -> None:
        self._lease = lease
        self._hear = hear
        self._closed = False
        self._unsent: dict[bytes, bytes] = {}  # answers, by request
        self._tasks: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        """Take what is there, and what comes."""
        await self._lease.listen(self._look)

    def close(self) -> None:
        """Take nothing any more."""
        self._closed = True

    def _look(self) -> None:
        """Something may be there. On the store's own loop."""
        task = asyncio.get_running_loop().create_task(self._take())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _take(self) -> None:
        lease = self._lease
        with suppress(ConnectionError):  # it is lost, and looks again when it is back
            await self._send()
            taken = [] if self._closed else await lease.use(lambda each: each.fetch(_TAKE, lease.token))
            for number, line in taken:
                self._have_done(number, line)

    def _have_done(self, number: bytes, line: bytes) -> None:
        try:
            request = Request.of_line(line)
        except ValueError as error:
            _logger.debug("A request to owner %d was left alone: %r", self._lease.token, error)
            return
        loop = asyncio.get_running_loop()

        def answer(reply: Reply) -> None:
            if self._closed:
                return  # the store is let go of; who asks is told that by the end of the lease
            self._unsent[number] = reply_to_line(reply)
            with suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self._look)

        Thread(target=self._hear, args=(request, answer), name="millrace-control-request", daemon=True).start()

    async def _send(self) -> None:
        """Send the answers that there are."""
        for number in list(self._unsent):
            line = self._unsent.pop(number, None)
            if line is None:
                continue
            try:
                await self._lease.use(partial(_tell, number=number, line=line))
            except BaseException:
                self._unsent[number] = line
                raise


async def _tell(connection: Connection, number: bytes, line: bytes) -> None:
    await connection.execute(_ANSWER, number, line)
