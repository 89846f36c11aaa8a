"""A storage that writes down what is done to it, and the ways to run a task, for tests of results that are kept."""

from __future__ import annotations

import asyncio
from threading import Lock
from typing import Any, cast

from millrace import FutureList, MemoryStorage, State, quote
from millrace.runtime.running import running_loop
from tests.runtime.worlds import PATIENCE, World

HOWS = ("call", "submit", "map")


class Ledger(MemoryStorage):
    """Keeps bytes in memory, and says that it may block, so that it is not to be used on an event loop."""

    blocking = True

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self.done: list[str] = []  # "read", "write" and so on, in order
        self.on_loops = 0  # how much of that on the thread of a running loop

    def _note(self, what: str) -> None:
        with self._lock:
            self.done.append(what)
            self.on_loops += running_loop() is not None

    @property
    def keys(self) -> list[str]:
        """The keys that there is something under."""
        return list(self._blobs)

    def read(self, key: str) -> bytes:
        """The bytes under a key."""
        self._note("read")
        return super().read(key)

    def write(self, key: str, blob: bytes) -> None:
        """Put bytes under a key."""
        self._note("write")
        super().write(key, blob)

    def delete(self, key: str) -> None:
        """Take away what is under a key."""
        self._note("delete")
        super().delete(key)

    def clear(self) -> None:
        """Take away everything."""
        self._blobs.clear()


async def state_of(world: World, how: str, run: Any, *args: Any, **kwargs: Any) -> State[Any]:
    """Run a task in the body of a flow, and give its final state."""
    if how == "call":
        return cast("State[Any]", await world.call(run, *args, return_state=True, **kwargs))
    future = run.submit(*args, **kwargs) if how == "submit" else run.map(*([arg] for arg in args), **kwargs)
    ended = await world.ended(future)
    return cast("State[Any]", ended[0] if isinstance(future, FutureList) else ended)


async def result_of(world: World, how: str, run: Any, *args: Any) -> Any:
    """Run a task in the body of a flow, and give its result."""
    if how == "call":
        return await world.call(run, *args)
    if how == "submit":
        return await world.result(run.submit(*args))
    return (await world.result(run.map(*([arg] for arg in args))))[0]


def in_flow(world: World, how: str, run: Any, *args: Any, **options: Any) -> State[Any]:
    """Run a task in a flow of its own, and give its final state.

    Args:
        world: Which kinds of flows and tasks.
        how: How the task is run.
        run: The task.
        *args: Its arguments.
        **options: As for `World.body`.
    """

    async def body() -> Any:
        return quote(await state_of(world, how, run, *args))

    return cast("State[Any]", world.body(body, **options).unquote())


def outside(how: str, run: Any, *args: Any) -> State[Any]:
    """Run a task outside of any flow, and give its final state."""
    if how == "call" and run.is_async:
        return cast("State[Any]", asyncio.run(run(*args, return_state=True)))
    if how == "call":
        return cast("State[Any]", run(*args, return_state=True))
    futures = run.map(*([arg] for arg in args)) if how == "map" else [run.submit(*args)]
    assert futures[0].wait(PATIENCE)
    return cast("State[Any]", futures[0].state)
