"""The example of a service, behind a real server and asked by a real client in a process of its own.

Needs what the tests need: fastapi, uvicorn and httpx.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import socket
import sys
from contextlib import suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from benchmarks.works.maps import async_map, threaded_map
from benchmarks.works.probes import on_new_loop

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "service.py"
TASKS = 100_000  # of each map
WARM = 100  # requests that do not count

MAPS = {"async": async_map, "sync": threaded_map}


def latency(requests: int, busy_with: str) -> dict[str, float]:
    """Milliseconds from a request to its answer: half and 99 of 100 take no longer; idle, and while maps run.

    Args:
        requests: How many are sent, one after another, idle and again while maps run.
        busy_with: Of what kind of tasks the maps are.
    """
    return on_new_loop(_serve(requests, busy_with))


async def _serve(requests: int, busy_with: str) -> dict[str, float]:
    import uvicorn  # noqa: PLC0415  # only this work needs it

    async def nothing() -> None: ...

    app = _example().app
    app.get("/nothing")(nothing)
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, ws="none", lifespan="on"))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        serving = asyncio.create_task(server.serve([listening]))
        url = f"http://127.0.0.1:{listening.getsockname()[1]}/nothing"
        idle = await _ask(url, requests)
        mapping = asyncio.create_task(_map_on_and_on(MAPS[busy_with]))
        busy = await _ask(url, requests)
        mapping.cancel()
        with suppress(asyncio.CancelledError):
            await mapping
        server.should_exit = True
        await serving
    return {f"idle_{name}": value for name, value in idle.items()} | {
        f"busy_{name}": value for name, value in busy.items()
    }


async def _map_on_and_on(flow: Any) -> None:
    while True:
        await flow(TASKS)


async def _ask(url: str, requests: int) -> dict[str, float]:
    command = (sys.executable, "-m", "benchmarks.works.service_client", url, str(WARM), str(requests))
    client = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    printed, _ = await client.communicate()
    found: dict[str, float] = json.loads(printed)
    return found


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("service", EXAMPLE)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{EXAMPLE.name} is not there")
    module = importlib.util.module_from_spec(spec)
    sys.modules["service"] = module  # where FastAPI looks up what annotations name
    spec.loader.exec_module(module)
    return module
