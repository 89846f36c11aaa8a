"""Task runs that are inside at the same time, counted: they stay for a moment, or until so many are there."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from tests.runtime.worlds import World


class Crowd:
    """Counts how many are inside at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.inside = 0
        self.most = 0

    def __enter__(self) -> None:
        with self._lock:
            self.inside += 1
            self.most = max(self.most, self.inside)

    def __exit__(self, *_error: object) -> None:
        with self._lock:
            self.inside -= 1

    def passing(self, world: World) -> Any:
        """A task that goes in, lets others go on, and gives its argument back."""

        @world.task
        async def passes(x: Any) -> Any:
            with self:
                if world.async_tasks:
                    await asyncio.sleep(0)
            return x

        return passes

    def gathering(self, world: World, number: int) -> Any:
        """A task whose runs stay inside until so many are there."""
        gate = world.gate()

        @world.task
        async def gathers(x: Any) -> Any:
            with self:
                if self.inside == number:
                    gate.open()
                await gate.passed()
            return x

        return gathers
