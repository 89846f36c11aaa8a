"""A web service that runs flows, with FastAPI: requests start them, follow them, take their results and cancel them.

    $ python examples/service.py 8000                           # needs fastapi and uvicorn
    $ curl -X POST 'localhost:8000/crawls?pages=200'            # starts a flow, and answers with the run's id
    $ curl localhost:8000/crawls/ID                             # its name and state
    $ curl -N localhost:8000/crawls/ID/progress                 # server-sent events, until it has ended
    $ curl localhost:8000/crawls/ID/result                      # as soon as there is one
    $ curl -X DELETE localhost:8000/crawls/ID                   # cancels it

The engine lives as long as the application, and flows run on the loop of the server, beside its handlers: neither waits
for the other. When the server is told to stop, what runs has two seconds to end.
"""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from uuid import UUID

from millrace import Engine, Event, FlowFuture, asgi, flow, task

try:
    import uvicorn
    from fastapi import Depends, FastAPI, HTTPException, Request
    from fastapi.responses import StreamingResponse
except ModuleNotFoundError as missing:
    sys.exit(f"There is no {missing.name} here, and this example is a service. Install it: pip install fastapi uvicorn")

MESSAGES_A_SECOND = 20
KEPT = 1000


@task(retries=2, retry_delay_seconds=0.1)
async def count_words(page: int, pause: float) -> int:
    await asyncio.sleep(pause)  # stands for a request to somewhere
    text = "word " * (page % 10)
    return len(text.split())


@flow
async def crawl(pages: int, pause: float) -> int:
    return sum(await count_words.map(range(pages), pause))


# What the handlers share.


@asynccontextmanager
async def own_lifespan(_: FastAPI) -> AsyncGenerator[dict[str, Any]]:
    """What the application opens for itself, such as a pool of connections: it is there as long as flows run."""
    futures: dict[UUID, FlowFuture[int]] = {}
    yield {"futures": futures}
    print("Crawls:", dict(Counter(future.state.name for future in futures.values())))


def future_of(run_id: UUID, request: Request) -> FlowFuture[int]:
    found: FlowFuture[int] | None = request.state.futures.get(run_id)
    if found is None:
        raise HTTPException(404, f"There is no crawl {run_id}, or it was long ago.")
    return found


GivenEngine = Annotated[Engine, Depends(asgi.get_engine)]
GivenFuture = Annotated[FlowFuture[int], Depends(future_of)]

app = FastAPI(lifespan=asgi.lifespan(Engine, drain_seconds=2, host=own_lifespan))


# The handlers.


@app.post("/crawls", status_code=202)
async def start(request: Request, engine: GivenEngine, pages: int, pause: float = 0.01) -> dict[str, str]:
    future = engine.start(crawl, pages, pause)
    futures = request.state.futures
    futures[future.flow_run_id] = future
    for run_id in [each for each, known in futures.items() if known.done()][:-KEPT]:
        del futures[run_id]
    return {"id": str(future.flow_run_id)}


@app.get("/crawls/{run_id}")
async def look(future: GivenFuture) -> dict[str, object]:
    return {"name": future.name, "state": future.state.name, "tasks": future.flow_run.counts()}


@app.get("/crawls/{run_id}/progress", response_class=StreamingResponse)
async def follow(engine: GivenEngine, future: GivenFuture) -> StreamingResponse:
    async def messages() -> AsyncGenerator[str]:
        async for counts in progress(engine, future):
            yield f"event: progress\ndata: {json.dumps(counts)}\n\n"
        yield f"event: end\ndata: {json.dumps(str(future.state))}\n\n"

    return StreamingResponse(messages(), media_type="text/event-stream", headers={"Cache-Control": "no-store"})


@app.get("/crawls/{run_id}/result")
async def result(future: GivenFuture) -> int:
    state = await future.wait_async()
    if not state.is_completed():
        raise HTTPException(409, f"The crawl has no result: it is {state}.")
    return await state.aresult()


@app.delete("/crawls/{run_id}")
async def cancel(engine: GivenEngine, future: GivenFuture) -> dict[str, str]:
    state = future.state if future.done() else await engine.cancel(future.flow_run_id)
    return {"state": str(state)}


async def progress(engine: Engine, future: FlowFuture[int]) -> AsyncGenerator[dict[str, int]]:
    """The task runs of a flow run, counted by state: now, whenever that changes, and at the end.

    Nobody asks again and again: the engine tells of every transition, on the thread that makes it, so what hears of it
    only wakes this generator up. A client that reads slowly misses what is between two messages, and nothing piles up.
    """
    loop, changed = asyncio.get_running_loop(), asyncio.Event()

    def wake(_: object) -> None:
        if not changed.is_set():
            loop.call_soon_threadsafe(changed.set)

    def hear(event: Event) -> None:
        if event.flow_run_id == future.flow_run_id:
            wake(event)

    unsubscribe = engine.subscribe(hear)
    try:
        future.add_done_callback(wake)
        while not future.done():
            yield future.flow_run.counts()
            await changed.wait()
            await asyncio.sleep(1 / MESSAGES_A_SECOND)
            changed.clear()
        yield future.flow_run.counts()
    finally:
        unsubscribe()


if __name__ == "__main__":
    # The stream of a progress is an open connection: the server is not to wait for its end before the flows may end.
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), timeout_graceful_shutdown=1)
