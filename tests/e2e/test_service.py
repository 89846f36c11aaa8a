"""The example of a service, behind a real server and asked by a real client, over a socket."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import signal
import socket
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from types import ModuleType
from typing import Any
from uuid import uuid4

import httpx
import pytest
import uvicorn

from millrace import Engine
from tests.e2e.programs import ROOT, started

pytestmark = pytest.mark.anyio

EXAMPLE = ROOT / "examples" / "service.py"
FOR_EVER = 1e6
PATIENCE = 30.0


@pytest.fixture(scope="module")
def service() -> ModuleType:
    """The example as a module."""
    spec = importlib.util.spec_from_file_location("service", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = module  # where FastAPI looks up what annotations name
    try:
        spec.loader.exec_module(module)
    finally:
        del sys.modules["service"]
    return module


class Server(uvicorn.Server):
    """Tells when it accepts connections."""

    def __init__(self, app: Any) -> None:
        super().__init__(uvicorn.Config(app, log_config=None, ws="none", lifespan="on", timeout_graceful_shutdown=1))
        self.accepts = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start up."""
        await super().startup(sockets)
        self.accepts.set()


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the application."""
    server = Server(app)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        serving = asyncio.create_task(server.serve([listening]))
        await server.accepts.wait()
        try:
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
                yield client
        finally:
            server.should_exit = True
            await serving


@pytest.fixture
async def client(service: ModuleType) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of the service."""
    async with served(service.app) as client:
        yield client


async def started_crawl(client: httpx.AsyncClient, pages: int, pause: float = 0.0) -> str:
    """The path of a crawl."""
    answer = await client.post("/crawls", params={"pages": pages, "pause": pause})
    assert answer.status_code == 202
    return f"/crawls/{answer.json()['id']}"


class Stream:
    """Server-sent events, as they come."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.aiter_lines()

    async def next(self) -> tuple[str, Any]:
        """The next event and its data."""
        event = await anext(self._lines)
        data = await anext(self._lines)
        assert await anext(self._lines) == ""
        return event.removeprefix("event: "), json.loads(data.removeprefix("data: "))

    async def rest(self) -> list[tuple[str, Any]]:
        """All events that are left."""
        found: list[tuple[str, Any]] = []
        while not found or found[-1][0] != "end":
            found.append(await self.next())
        return found


async def test_a_crawl_is_started_and_gives_its_result(client: httpx.AsyncClient) -> None:
    path = await started_crawl(client, pages=25)

    assert (await client.get(f"{path}/result")).json() == 2 * sum(range(10)) + sum(range(5))
    ended = (await client.get(path)).json()
    assert (ended["state"], ended["tasks"]) == ("Completed", {"completed": 25})


async def test_its_progress_is_streamed_to_the_end(client: httpx.AsyncClient) -> None:
    path = await started_crawl(client, pages=200, pause=0.02)

    async with client.stream("GET", f"{path}/progress") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        *counts, last, end = await Stream(response).rest()

    assert end == ("end", "Completed()")
    assert last == ("progress", {"completed": 200})
    completed = [each.get("completed", 0) for _, each in counts]
    assert completed == sorted(completed)
    assert all(sum(each.values()) == 200 for _, each in counts)


async def test_nothing_is_sent_while_nothing_changes(client: httpx.AsyncClient) -> None:
    path = await started_crawl(client, pages=3, pause=FOR_EVER)

    async with client.stream("GET", f"{path}/progress") as response:
        stream = Stream(response)
        counts: dict[str, int] = {}
        while counts != {"running": 3}:
            _, counts = await stream.next()
        following = asyncio.create_task(stream.next())
        for _ in range(5):
            assert (await client.get(path)).json()["state"] == "Running"
        assert not following.done()

        assert (await client.delete(path)).json()["state"].startswith("Cancelled(")
        _, counts = await following
        rest = await stream.rest()

    assert rest[-1][1].startswith("Cancelled(")
    assert [counts, *(each for _, each in rest[:-1])][-1] == {"cancelled": 3}


async def test_a_crawl_can_be_cancelled_and_then_has_no_result(client: httpx.AsyncClient) -> None:
    path = await started_crawl(client, pages=3, pause=FOR_EVER)

    assert (await client.delete(path)).json()["state"].startswith("Cancelled(")

    answer = await client.get(f"{path}/result")
    assert answer.status_code == 409
    assert answer.json()["detail"].startswith("The crawl has no result: it is Cancelled(")
    assert (await client.delete(path)).json()["state"].startswith("Cancelled(")


async def test_it_stays_responsive_while_many_tasks_run(client: httpx.AsyncClient) -> None:
    path = await started_crawl(client, pages=200_000)

    for _ in range(25):
        answer = (await client.get(path)).json()
        assert answer["state"] == "Running"
        assert sum(answer["tasks"].values()) == 200_000
    small = await started_crawl(client, pages=5)
    assert (await client.get(f"{small}/result")).json() == 10
    assert (await client.delete(path)).json()["state"].startswith("Cancelled(")


async def test_who_leaves_a_stream_is_not_told_any_more(client: httpx.AsyncClient) -> None:
    engine = Engine.current()
    path = await started_crawl(client, pages=3, pause=FOR_EVER)

    async with client.stream("GET", f"{path}/progress") as response:
        await Stream(response).next()
        assert len(engine.listeners._listeners) == 1
    async with asyncio.timeout(PATIENCE):
        while engine.listeners._listeners:  # the server hears of it in its own time
            await client.get(path)

    await client.delete(path)


async def test_an_unknown_crawl_is_not_found(client: httpx.AsyncClient) -> None:
    for answer in (await client.get(f"/crawls/{uuid4()}"), await client.delete(f"/crawls/{uuid4()}")):
        assert answer.status_code == 404
        assert answer.json()["detail"].startswith("There is no crawl ")


async def test_when_the_server_stops_what_runs_is_waited_for(service: ModuleType) -> None:
    async with served(service.app) as client:
        engine = Engine.current()
        path = await started_crawl(client, pages=500, pause=0.05)
        (run,) = engine.flow_runs()
        assert path.endswith(str(run.uuid))

    assert engine.closed
    assert run.state.is_completed()
    assert Engine.current() is not engine


def test_as_a_programme_it_drains_when_it_is_told_to_stop() -> None:
    with started(EXAMPLE, "0") as programme:
        assert programme.stderr is not None
        line = programme.stderr.readline()
        while "Uvicorn running on " not in line:
            assert line, "It ended before it was running."
            line = programme.stderr.readline()
        with httpx.Client(base_url=line.split()[4], timeout=PATIENCE) as client:
            assert client.post("/crawls", params={"pages": 3, "pause": 0.5}).status_code == 202
            assert client.post("/crawls", params={"pages": 3, "pause": FOR_EVER}).status_code == 202
        programme.send_signal(signal.SIGTERM)
        out, err = programme.communicate(timeout=PATIENCE)

    assert out.splitlines()[-1] == "Crawls: {'Completed': 1, 'Cancelled': 1}"
    assert "Application shutdown complete." in err
    assert programme.returncode == -signal.SIGTERM
