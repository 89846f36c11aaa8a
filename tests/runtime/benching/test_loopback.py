"""The model server: a real one, over real sockets."""

from __future__ import annotations

import asyncio
import shutil

import pytest

from millrace.actors.errors import EngineError
from millrace.runtime.benching.loopback import ModelServer


@pytest.mark.anyio
async def test_it_answers_all_and_its_process_ends_with_the_block() -> None:
    async with ModelServer(capacity=4, latency=0.0005) as server:
        process = server._process
        assert process is not None
        answers = await asyncio.gather(*(server(item) for item in range(40)))
        again = await asyncio.gather(*(server(item) for item in range(40)))
        connections = len(server._idle)

    assert answers == again == list(range(40))
    assert connections == 40  # used over again
    assert process.returncode == 0


@pytest.mark.anyio
async def test_a_request_that_is_cancelled_takes_its_connection_along() -> None:
    async with ModelServer(capacity=1, latency=0.0005) as server:
        assert await server(1) == 1
        waiting = asyncio.ensure_future(server(2))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        assert server._idle == []
        assert await server(3) == 3


@pytest.mark.anyio
async def test_a_server_that_cannot_be_started_is_an_error_and_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = ModelServer()
    monkeypatch.setattr("sys.executable", shutil.which("true"))

    with pytest.raises(EngineError, match="Could not start the model server: its process ended before it listened"):
        await server.__aenter__()

    assert server._process is None
