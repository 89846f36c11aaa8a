"""Flows inside an async service: requests start them, look after them and cancel them, and none waits for one.

The service is a small HTTP server made of asyncio alone, and this script is its client too:

    POST   /count/5      starts a flow that counts to five, and answers with the run's id
    GET    /runs/ID      answers with the run's name and state
    DELETE /runs/ID      cancels it, and answers with the state it ended in

The engine lives as long as its `async with` block: leaving that waits for what still runs.
"""

import asyncio
import json
from uuid import UUID

from millrace import Engine, FlowFuture, flow, task

step_taken = asyncio.Event()  # lets the client below wait for something to happen, instead of for some time


@task
async def take_step(number: int, pause: float) -> int:
    await asyncio.sleep(pause)
    step_taken.set()
    return number


@flow
async def count_to(most: int, pause: float = 0.001) -> int:
    return max([await take_step(number, pause) for number in range(1, most + 1)])


class Service:
    """Answers requests. Its engine runs on the loop of the server, beside the handlers."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.runs: dict[UUID, FlowFuture[int]] = {}

    async def answer(self, method: str, path: str) -> dict[str, object]:
        what, _, argument = path.strip("/").partition("/")
        if method == "POST" and what == "count":
            future = self.engine.start(count_to, int(argument))
            self.runs[future.flow_run_id] = future
            return {"id": str(future.flow_run_id)}
        future = self.runs[UUID(argument)]
        if method == "DELETE" and not future.done():
            await self.engine.cancel(future.flow_run_id)
        return {"name": future.name, "state": str(future.state)}

    async def handle(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        method, path, _ = (await reader.readline()).decode().split()
        while (await reader.readline()).strip():
            pass  # headers, up to the empty line
        body = json.dumps(await self.answer(method, path)).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()


async def ask(port: int, method: str, path: str) -> dict[str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    found: dict[str, str] = json.loads(answer.partition(b"\r\n\r\n")[2])
    print(f"{method:<6} {path.partition('-')[0]:<16} {found}")
    return found


async def main() -> None:
    async with Engine() as engine:
        service = Service(engine)
        server = await asyncio.start_server(service.handle, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]

            short = await ask(port, "POST", "/count/3")
            await service.runs[UUID(short["id"])].wait_async()
            await ask(port, "GET", f"/runs/{short['id']}")

            endless = await ask(port, "POST", "/count/1000000")
            step_taken.clear()
            await step_taken.wait()
            await ask(port, "DELETE", f"/runs/{endless['id']}")
    print(f"The engine is closed: {engine.stats().flow_runs} flows are left.")


if __name__ == "__main__":
    asyncio.run(main())
