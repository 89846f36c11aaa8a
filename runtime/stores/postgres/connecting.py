"""Connecting: connections to the server, and what their errors mean.

Decides which errors say that a connection is lost, so that another one may be made, and what of an error is shown.
"""

from __future__ import annotations

import asyncio
import importlib
import os
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Final, Protocol

from millrace.actors.errors import MissingExtra, StoreError
from millrace.runtime.stores.postgres.address import Address, settings_of

CONNECT_SECONDS: Final = 10.0
"""How long the server may take to let somebody in."""

OLDEST: Final = 140_000
"""The oldest version of the server that is used, as its `server_version_num`."""

_LOST: Final = ("57P01", "57P02", "57P03", "53300")  # it shuts down, has crashed, is about to start, is full
_CONNECTION_CLASS: Final = "08"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 2.0

WATCH: Final = {"TCP_KEEPIDLE": 20, "TCP_KEEPINTVL": 10, "TCP_KEEPCNT": 3, "TCP_USER_TIMEOUT": 45_000}
"""How a connection is watched from this side; seconds, a number of times, and milliseconds for what is on its way."""

WAIT_FOR_DISK: Final = (
    "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"
)
"""Has commits wait for the disk where the server would not."""

LOOK_AFTER_CLIENT: Final = {"client_connection_check_interval": "5000", "statement_timeout": "0"}
"""For a connection that waits for long: so often the server looks whether somebody is at the other end still."""

Connect = Callable[..., Awaitable[Any]]
"""Makes a connection, as `asyncpg.connect` does; for tests, one that fails where it is told to."""


class Connection(Protocol):
    """What is used of a connection."""

    async def execute(self, query: str, *values: Any) -> str:
        """Run a statement; without values, several."""
        ...

    async def fetch(self, query: str, *values: Any) -> Sequence[Any]:
        """The rows of a query."""
        ...

    async def fetchrow(self, query: str, *values: Any) -> Any:
        """The first row of a query; None for none."""
        ...

    async def fetchval(self, query: str, *values: Any) -> Any:
        """The first value of the first row."""
        ...

    def transaction(self) -> AbstractAsyncContextManager[Any]:
        """A block that is a transaction."""
        ...

    async def add_listener(self, channel: str, callback: Callable[..., None]) -> None:
        """Have something called for each notification on a channel."""
        ...

    async def remove_listener(self, channel: str, callback: Callable[..., None]) -> None:
        """Have it called no more."""
        ...

    def remove_termination_listener(self, callback: Callable[..., None]) -> None:
        """Likewise."""
        ...

    def add_termination_listener(self, callback: Callable[..., None]) -> None:
        """Have something called when the connection ends."""
        ...

    def is_closed(self) -> bool:
        """Whether it has ended."""
        ...

    async def close(self, *, timeout: float) -> None:
        """Say goodbye."""
        ...

    def terminate(self) -> None:
        """End it at once."""
        ...


class Connector:
    """Makes connections to one address.

    Args:
        address: Where to.
        connect: Makes one.
    """

    def __init__(self, address: Address, connect: Connect | None) -> None:
        self.address = address
        self._driver = driver()
        self._connect: Connect = connect or self._driver.connect
        self.errors: tuple[type[BaseException], ...] = (
            self._driver.PostgresError,
            self._driver.InterfaceError,
            self._driver.InternalClientError,
            OSError,
        )
        """What a connection raises."""

    def to(self, address: Address) -> Connector:
        """One like this to another address."""
        return Connector(address, self._connect)

    async def connect(self, **settings: str) -> Connection:
        """A connection.

        Args:
            **settings: What it has the server set, beside what all have.

        Raises:
            StoreError: there is none to be had.
        """
        try:
            return await self.try_to_connect(**settings)
        except self.errors as error:
            raise self.reported(error, "connect to") from None
        except ValueError as error:  # what stands in the URL makes no sense
            raise self.reported(error, "connect to") from None

    async def try_to_connect(self, **settings: str) -> Connection:
        """The same, and raises what the driver raises."""
        connection: Connection = await self._connect(
            self.address.dsn.get(),
            timeout=CONNECT_SECONDS,
            command_timeout=None,
            server_settings={**settings_of(self.address), **settings},
        )
        try:
            keep_watch(connection)
            await connection.set_type_codec(  # type: ignore[attr-defined]
                "uuid", encoder=bytes, decoder=bytes, schema="pg_catalog", format="binary"
            )
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def connect_again(self, until: float, **settings: str) -> Connection:
        """A connection in the place of one that was lost: as soon as the server lets somebody in.

        Args:
            until: When to give up, by the monotonic clock.
            **settings: As for `connect`.

        Raises:
            StoreError: there was none to be had until then.
        """
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self.try_to_connect(**settings)
            except self.errors as error:
                if not is_lost(error) or time.monotonic() + pause > until:
                    raise self.reported(error, "connect again to") from None
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def reported(self, error: BaseException, attempted: str) -> StoreError:
        """What the driver or the server says, as an error of ours; an error of ours as it is."""
        if isinstance(error, StoreError):
            return error
        code = getattr(error, "sqlstate", None)
        said = " ".join(str(error).split()) or type(error).__name__
        text = self.address.harmless(said).rstrip(".")
        return StoreError(self.address.name, attempted, f"{text}{f' ({code})' if code else ''}")


def is_lost(error: BaseException, connection: Connection | None = None) -> bool:
    """Whether an error says that the connection is lost, or that the server lets nobody in yet.

    Args:
        error: The error.
        connection: What it was raised by; None while there was none.
    """
    if isinstance(error, StoreError):
        return False
    code = getattr(error, "sqlstate", None) or ""
    lost = isinstance(error, OSError) or code in _LOST or code.startswith(_CONNECTION_CLASS)
    return lost or (connection is not None and connection.is_closed())


def driver() -> Any:
    """The driver.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module("asyncpg")
    except ImportError:
        raise MissingExtra("A store in a database of PostgreSQL's", "postgres") from None


async def shut(connection: Connection) -> None:
    """Close a connection, whatever state it is in."""
    try:
        await connection.close(timeout=CONNECT_SECONDS)
    except Exception:  # noqa: BLE001  # it has ended, or ends now
        connection.terminate()


def abandon(connection: Connection) -> None:
    """In the child of a fork: hold on to a connection of the parent's no longer, and say nothing to the server.

    Else its session would live as long as the child. The number of the descriptor stays taken, since the objects that
    were inherited know it.
    """
    descriptor = _descriptor_of(connection)
    if descriptor is not None:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, descriptor)
        os.close(nothing)


def keep_watch(connection: Connection) -> None:
    """Have the system find out within a minute that the host of the server is gone, where it would else take hours."""
    descriptor = _descriptor_of(connection)
    if descriptor is None or os.name == "nt":  # where a socket has no descriptor, and the defaults stay
        return
    with socket.socket(fileno=os.dup(descriptor)) as copy:
        if copy.family not in {socket.AF_INET, socket.AF_INET6}:
            return
        copy.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in WATCH.items():
            option = getattr(socket, name, None)  # not every system has each of them
            if option is not None:
                copy.setsockopt(socket.IPPROTO_TCP, option, value)


def _descriptor_of(connection: Connection) -> int | None:
    """The number of a connection's socket; None where it has none any more."""
    transport = getattr(connection, "_transport", None)  # there is no public way to it
    carrier = None if transport is None else transport.get_extra_info("socket")
    return None if carrier is None else int(carrier.fileno())
