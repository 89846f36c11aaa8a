"""The model server: a real one, in a process of its own, on this machine's loopback, whose capacity is known.

Decides how such a server behaves: it takes in any number of requests, works at so many at once, each for the same time,
and has the others wait. So its throughput is `capacity / latency` and its knee lies at its capacity. The protocol is a
line with the item's number, and the same line back; a connection serves one request after another.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from typing import Any, Final, Self

import attrs

from millrace.actors.errors import ConfigurationError, EngineError

HOST: Final = "127.0.0.1"
BACKLOG: Final = 4096
START_SECONDS: Final = 30.0

Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def _check(_server: object, field: attrs.Attribute[Any], value: object) -> None:
    whole = field.name == "capacity"
    kinds = int if whole else (int, float)
    if isinstance(value, bool) or not isinstance(value, kinds) or not 0 < float(value) < float("inf"):
        raise ConfigurationError(field.name, value, "a whole number, 1 or more" if whole else "a number above 0")


@attrs.define(eq=False)
class ModelServer:
    """A server on the loopback, and what calls it. Open it with `async with`; that starts and ends its process.

    Args:
        capacity: How many requests it works at, at once.
        latency: Seconds that it works at one.
    """

    capacity: int = attrs.field(default=16, validator=_check)
    latency: float = attrs.field(default=0.02, validator=_check)
    _process: asyncio.subprocess.Process | None = attrs.field(default=None, init=False)
    _port: int = attrs.field(default=0, init=False)
    _idle: list[Connection] = attrs.field(factory=list, init=False)

    async def __aenter__(self) -> Self:
        """Start the process, and wait until it listens.

        Raises:
            EngineError: it ended before.

        Cancellation: ends the process.
        """
        command = (sys.executable, "-m", "millrace.runtime.benching.loopback", str(self.capacity), str(self.latency))
        self._process = await asyncio.create_subprocess_exec(
            *command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        try:
            assert self._process.stdout is not None  # it was asked for
            async with asyncio.timeout(START_SECONDS):
                told = await self._process.stdout.readline()
        except BaseException:
            await self.__aexit__()
            raise
        if not told:
            await self.__aexit__()
            raise EngineError("Could not start the model server: its process ended before it listened.")
        self._port = int(told)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connections, and end the process. Cancellation: the process is killed."""
        for _reader, writer in self._idle:
            writer.close()
        self._idle.clear()
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None  # it was asked for
            process.stdin.close()  # which is how the server is told
            try:
                async with asyncio.timeout(5):
                    await process.wait()
            except BaseException:
                process.kill()
                raise

    async def __call__(self, item: int) -> int:
        """Send a request and wait for the answer.

        Cancellation: the connection is closed; the server works on.
        """
        reader, writer = self._idle.pop() if self._idle else await asyncio.open_connection(HOST, self._port)
        try:
            writer.write(b"%d\n" % item)
            answer = int(await reader.readline())
        except BaseException:
            writer.close()
            raise
        self._idle.append((reader, writer))
        return answer


async def serve(capacity: int, latency: float) -> None:
    """Serve until stdin is closed, having printed the port."""
    places = asyncio.Semaphore(capacity)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                async with places:
                    await asyncio.sleep(latency)
                writer.write(line)
        except ConnectionError:
            pass  # whoever asked does not want to know any more
        finally:
            writer.close()

    server = await asyncio.start_server(answer, HOST, 0, backlog=BACKLOG)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    stdin = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stdin), sys.stdin)
    await stdin.read()
    server.close()


def main(arguments: Sequence[str]) -> None:
    """The server's process."""
    capacity, latency = arguments
    asyncio.run(serve(int(capacity), float(latency)))


if __name__ == "__main__":
    main(sys.argv[1:])
