"""The control of a store in a file: a socket beside it. See `control.Control` for what it does.

Decides how the owner deals with those who connect: each has one request, in one line, and so long to say it; a line
that is too long or makes no sense is not answered; whoever has not said anything makes room for others when there are
many. Nothing that connects keeps the others from being heard. The listening is done by a loop in a thread of its own,
so that it goes on whatever the loops of flows are busy with; what is asked is done by a thread for each request.
"""

from __future__ import annotations

import asyncio
import socket
import sys
from contextlib import suppress
from pathlib import Path
from threading import Thread
from typing import Any, Final

from millrace.actors.errors import OwnerUnreachable
from millrace.runtime.one_line import engine_logger
from millrace.runtime.stores.control import (
    MOST_BYTES,
    PATIENCE_SECONDS,
    Hear,
    NobodyListens,
    Reply,
    Request,
    error_of,
    reply_of_line,
    reply_to_line,
)
from millrace.runtime.stores.sqlite import places

HEARING_SECONDS: Final = 5.0
"""How long a visitor may take to say what it wants, and to take the answer."""

MOST_VISITORS: Final = 100
"""How many may be connected at once."""

_LEAVE_IT: Final[dict[str, Any]] = {} if sys.version_info < (3, 13) else {"cleanup_socket": False}
"""Whose socket lies at the place when it is to be removed is looked at here, and more closely."""

_logger = engine_logger("store")


class SocketControl:
    """The control of one file.

    Args:
        database: The file.
    """

    is_shared = False

    def __init__(self, database: Path) -> None:
        self._database = database
        self._listener: Listener | None = None

    def listen(self, hear: Hear) -> None:
        """Take requests. See `control.Control`."""
        try:
            bound, place = places.bind(self._database)
        except OSError as error:
            _logger.warning(
                "Runs in %s cannot be cancelled, paused or resumed by other processes: no socket can be made there. %s",
                self._database,
                error,
            )
            return
        self._listener = Listener(bound, place, hear)

    def ask(self, request: Request, patience: float | None = PATIENCE_SECONDS) -> Reply:
        """Ask the owner. See `control.Control`."""
        attempted = f"have '{request.verb}' done by the process that has {self._database} open"
        try:
            connection = places.connect(self._database)
            if connection is None:
                raise NobodyListens
            with connection:
                reply = _ask(connection, request.to_line(), patience)
            error = error_of(reply)
        except TimeoutError:
            reason = f"it did not answer within {patience:g} seconds"
            advice = "It is stopped, or busy; what was asked may be done later."
            raise OwnerUnreachable(attempted, reason, advice) from None
        except (OSError, ValueError) as broken:
            raise OwnerUnreachable(attempted, f"the connection to it broke ({broken})") from broken
        if error is not None:
            raise error
        return reply

    def close(self) -> None:
        """Take no requests any more."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.stop()

    def abandon(self) -> None:
        """In the child of a fork: the socket is the parent's."""
        listener, self._listener = self._listener, None
        if listener is not None:
            listener.abandon()


def _ask(connection: socket.socket, line: bytes, patience: float | None) -> Reply:
    connection.settimeout(patience)
    connection.sendall(line)
    with connection.makefile("rb") as incoming:
        answer = incoming.readline(MOST_BYTES + 1)
    if not answer:
        raise ConnectionResetError("it ended before it answered")
    return reply_of_line(answer)


def _identity(place: Path) -> tuple[int, int]:
    """What tells a socket from another one at the same place; numbers of inodes are used again."""
    status = place.lstat()
    return status.st_ino, status.st_ctime_ns


class Listener:
    """Listens at a socket, in a thread of its own, from when it is made.

    Args:
        bound: The socket, bound to its place.
        place: Where that is.
        hear: Takes the requests.
    """

    def __init__(self, bound: socket.socket, place: Path, hear: Hear) -> None:
        self._bound = bound
        self._place = place
        self._made = _identity(place)
        self._hear = hear
        self._visitors: set[asyncio.Task[Any]] = set()
        self._silent: dict[asyncio.Task[Any], None] = {}  # visitors that have not said anything, the first one first
        bound.listen(MOST_VISITORS)  # from now on who connects is heard, if not at once
        self._loop = asyncio.SelectorEventLoop()
        self._over = asyncio.Event()
        self._thread = Thread(target=self._run, name="millrace-control", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Listen no more; waits for the end of the thread. From any other thread."""
        with suppress(RuntimeError):  # the loop is closed: the thread has ended by itself
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(HEARING_SECONDS)
        self._remove()

    def abandon(self) -> None:
        """In the child of a fork, which has no such thread: the socket and its place are the parent's."""
        self._bound.close()

    def _remove(self) -> None:
        with suppress(OSError):
            if _identity(self._place) == self._made:
                self._place.unlink()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception:
            _logger.exception("The control at %s has failed; other processes are not heard any more.", self._place)
        finally:
            self._bound.close()
            self._loop.close()

    async def _serve(self) -> None:
        server = await asyncio.start_unix_server(self._meet, sock=self._bound, limit=MOST_BYTES, **_LEAVE_IT)
        await self._over.wait()
        server.close()
        visitors = list(self._visitors)
        for visitor in visitors:
            visitor.cancel()
        await asyncio.gather(*visitors, return_exceptions=True)

    async def _meet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        visitor = asyncio.current_task()
        assert visitor is not None  # this is a task's body
        if len(self._visitors) >= MOST_VISITORS:
            if not self._silent:
                writer.transport.abort()
                return
            next(iter(self._silent)).cancel()
        self._visitors.add(visitor)
        self._silent[visitor] = None
        try:
            await self._serve_visitor(visitor, reader, writer)
        except (OSError, ValueError, TimeoutError, asyncio.LimitOverrunError, asyncio.IncompleteReadError) as error:
            _logger.debug("A visitor at %s was sent away: %r", self._place, error)
        except asyncio.CancelledError:
            pass  # it makes room for another one, or all is over; nobody awaits this task
        finally:
            self._silent.pop(visitor, None)
            self._visitors.discard(visitor)
            writer.transport.abort()  # what was to be said has been, or nobody takes it

    async def _serve_visitor(
        self, visitor: asyncio.Task[Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        if not places.is_same_user(writer.get_extra_info("socket")):
            raise PermissionError("it is another user")
        async with asyncio.timeout(HEARING_SECONDS):
            line = await reader.readuntil(b"\n")
        writer.transport.set_write_buffer_limits(0)  # so that an answer is gone when it is drained
        request = Request.of_line(line)
        self._silent.pop(visitor, None)
        reply = await self._obey(request, reader)
        if reply is not None:
            writer.write(reply_to_line(reply))
            async with asyncio.timeout(HEARING_SECONDS):
                await writer.drain()

    async def _obey(self, request: Request, reader: asyncio.StreamReader) -> Reply | None:
        """Have a request done, and wait for the answer; None where the visitor has gone before."""
        answered: asyncio.Future[Reply] = self._loop.create_future()

        def settle(reply: Reply) -> None:
            if not answered.done():
                answered.set_result(reply)

        def answer(reply: Reply) -> None:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(settle, reply)

        Thread(target=self._hear, args=(request, answer), name="millrace-control-request", daemon=True).start()
        gone = self._loop.create_task(reader.read(1))
        try:
            await asyncio.wait((answered, gone), return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
        return answered.result() if answered.done() else None
