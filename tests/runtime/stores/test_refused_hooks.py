"""Direct calls that are refused on a loop: with a store the caller waits for their hooks, which do without its loop."""

from __future__ import annotations

import asyncio
from threading import Thread
from typing import Any

import pytest

from millrace import BlockingCallOnLoop, Engine, State
from tests.loose import flow, task
from tests.runtime.worlds import PATIENCE


def test_an_async_hook_for_a_call_that_would_have_blocked_the_loop_is_called_on_another_one() -> None:
    came: list[str] = []

    async def hook(_task: Any, _run: Any, state: State[Any]) -> None:
        await asyncio.sleep(0)
        came.append(state.name)

    @task(tags=["saw"], on_failure=[hook])
    def carve() -> None: ...

    @task(tags=["saw"])
    async def holds() -> None:
        await taken.put(None)
        await asyncio.Event().wait()

    taken: asyncio.Queue[None] = asyncio.Queue()

    @flow
    async def body() -> None:
        future = holds.submit()
        await taken.get()
        with pytest.raises(BlockingCallOnLoop):
            carve()
        future.cancel()
        await future.wait_async()

    async def main() -> None:
        async with Engine(store="memory:", limits={"saw": 1}):
            await body()
        came.append("closed")

    thread = Thread(target=asyncio.run, args=(main(),), daemon=True)  # a loop that is blocked ends no test
    thread.start()
    thread.join(PATIENCE)
    assert came == ["Failed", "closed"]
