"""The lease: what makes a process an owner, for as long as it lives.

Decides how an owner holds on to its lock: by a connection that does nothing else but listen. When that is lost, as
where the server is started again, it makes another one, and is the owner still unless somebody has found the lock free
in between. It watches one other owner, and ends the runs of that one when it is over; the owners stand in a circle in
which each watches the one before, so that whoever dies is noticed. An owner that has only lost its connection is given
a moment to come back.

Does not know what it listens for: others say so.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, Final

from millrace.actors.errors import StoreError
from millrace.runtime.one_line import engine_logger
from millrace.runtime.stores.port import Opened, Owner
from millrace.runtime.stores.postgres import owners
from millrace.runtime.stores.postgres.connecting import LOOK_AFTER_CLIENT, Connection, Connector, is_lost, shut
from millrace.runtime.stores.postgres.migrating import migrate

RETURN_SECONDS: Final = 5.0
"""How long an owner whose connection ended may take to come back, before its neighbour says that it is over."""

_logger = engine_logger("store")


class Lease:
    """The lease of one owner. All of it on the store's own loop.

    Args:
        connector: Makes connections.
        return_seconds: See `RETURN_SECONDS`.
    """

    def __init__(self, connector: Connector, return_seconds: float = RETURN_SECONDS) -> None:
        self._connector = connector
        self._return_seconds = return_seconds
        self._connection: Connection | None = None
        self._using = asyncio.Lock()  # a connection does one thing at a time
        self._listeners: dict[str, Callable[[], None]] = {}  # by channel
        self._tasks: set[asyncio.Task[None]] = set()
        self._over = False  # given back, or somebody else has ended this owner
        self._owners_changed = asyncio.Event()
        self.token = 0
        self.channel = ""

    async def take(self, owner: Owner) -> Opened:
        """Become an owner.

        Raises:
            StoreError: the server does not let anybody in, or the schema is refused.
        """
        connection = await self._connector.connect(**LOOK_AFTER_CLIENT)
        try:
            await migrate(connection, self._connector.address)
            self.token, crashed = await owners.become_owner(connection, owner)
            everybody = await owners.owners_channel(connection)
            self.channel = owners.channel_of(everybody, self.token)
            self._listeners[everybody] = self._owners_changed.set
            await self._settle_on(connection)
        except BaseException as error:
            connection.terminate()
            if isinstance(error, self._connector.errors):
                raise self._connector.reported(error, "open the store") from None
            raise
        self._begin(self._watch())
        return Opened(self.token, crashed)

    @property
    def connection(self) -> Connection | None:
        """The one whose session has the lock; None while there is none."""
        return self._connection

    async def give_back(self) -> None:
        """Be no owner any more."""
        self._over = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        connection, self._connection = self._connection, None
        if connection is not None:
            await shut(connection)

    async def listen(self, callback: Callable[[], None]) -> None:
        """Have something called when the owner is asked for something: now, and each time from now on."""
        self._listeners[self.channel] = callback
        connection = self._connection
        if connection is not None and not connection.is_closed():
            async with self._using:
                with suppress(*self._connector.errors):  # then it comes back, and listens
                    await self._listen_to(connection, self.channel)
        callback()

    async def use(self, act: Callable[[Connection], Coroutine[Any, Any, Any]]) -> Any:
        """Do something with the connection.

        Raises:
            ConnectionError: there is none at the moment.
            Exception: what it raises.
        """
        async with self._using:
            if self._connection is None or self._connection.is_closed():
                raise ConnectionError("it is lost")
            return await act(self._connection)

    # Holding on.

    async def _settle_on(self, connection: Connection) -> None:
        """Take a connection whose session has the lock as the one that is used."""
        for channel in self._listeners:
            await self._listen_to(connection, channel)
        self._connection = connection
        connection.add_termination_listener(lambda _: self._lost(connection))
        if connection.is_closed():
            self._lost(connection)

    async def _listen_to(self, connection: Connection, channel: str) -> None:
        await connection.add_listener(channel, lambda *_: self._listeners[channel]())

    def _lost(self, connection: Connection) -> None:
        if self._over or self._connection is not connection:
            return
        self._connection = None
        self._begin(self._come_back())

    async def _come_back(self) -> None:
        """Hold the lock again, with another connection."""
        while not self._over:
            try:
                connection = await self._connector.connect_again(float("inf"), **LOOK_AFTER_CLIENT)
            except StoreError as refused:
                _logger.error("%s The runs of this process may be taken for dead.", refused)  # noqa: TRY400  # it says all
                return
            try:
                if not await owners.hold_again(connection, self.token):
                    self._over = True
                    _logger.error(
                        "Owner %d of %s lost its connection, and was taken for dead: its runs are crashed.",
                        self.token,
                        self._connector.address.name,
                    )
                    await shut(connection)
                    return
                await self._settle_on(connection)
            except self._connector.errors as error:
                connection.terminate()
                if is_lost(error, connection):
                    continue
                said = self._connector.reported(error, "come back to")
                _logger.error("%s The runs of this process may be taken for dead.", said)  # noqa: TRY400  # it says all
                return
            for callback in list(self._listeners.values()):
                callback()  # what was told in between was not heard
            return

    # Watching another one.

    async def _watch(self) -> None:
        while not self._over:
            self._owners_changed.clear()
            try:
                neighbour = await self.use(lambda connection: owners.neighbour_of(connection, self.token))
                if neighbour is not None and await self._is_gone(neighbour):
                    await self._end(neighbour)
                    continue
            except self._connector.errors as error:
                if not is_lost(error):
                    _logger.warning("Another owner cannot be watched. %s", self._connector.reported(error, "read from"))
                await self._pause()
                continue
            await self._owners_changed.wait()

    async def _pause(self) -> None:
        """Wait until something has changed, and not for long: what was lost may be there again."""
        with suppress(TimeoutError):
            async with asyncio.timeout(max(1.0, self._return_seconds)):
                await self._owners_changed.wait()

    async def _is_gone(self, neighbour: int) -> bool:
        """Wait for the end of a neighbour; False where another one may be the neighbour before that."""
        waiting = asyncio.ensure_future(self._await_end(neighbour))
        changed = asyncio.ensure_future(self._owners_changed.wait())
        try:
            await asyncio.wait((waiting, changed), return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                return False
            waiting.result()
        finally:
            for each in (waiting, changed):
                each.cancel()
            await asyncio.gather(waiting, changed, return_exceptions=True)
        await asyncio.sleep(self._return_seconds)
        return True

    async def _await_end(self, token: int) -> None:
        await await_end(self._connector, token)

    async def _end(self, neighbour: int) -> None:
        crashed = await self.use(lambda connection: owners.end_if_over(connection, neighbour, time.time_ns()))
        if crashed:
            _logger.warning(
                "Owner %d of %s is over, and %d flow runs of it are crashed.",
                neighbour,
                self._connector.address.name,
                len(crashed),
            )

    def _begin(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def await_end(connector: Connector, token: int) -> None:
    """Wait until an owner is over, or has lost its connection, with a connection of its own."""
    connection = await connector.try_to_connect(**LOOK_AFTER_CLIENT)
    try:
        await owners.await_end(connection, token)
    finally:
        await shut(connection)
