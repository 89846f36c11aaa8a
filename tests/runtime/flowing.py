"""Streams in tests: sources that are looked at, and iterating in both kinds of flow."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Generator
from typing import Any

from tests.runtime.worlds import World


async def each_of(world: World, stream: Any) -> AsyncIterator[Any]:
    """What a stream gives, with `async for` in async flows and `for` in sync ones."""
    if world.async_flows:
        async for value in stream:
            yield value
    else:
        for value in stream:
            yield value


async def all_of(world: World, stream: Any) -> list[Any]:
    """All that a stream gives."""
    return [value async for value in each_of(world, stream)]


class Spring:
    """A source of numbers, from 0 on.

    Args:
        most: How many; None for no end.
        fails_at: It raises in place of this one.

    Attributes:
        asked: How often it was asked for one.
        closed: It was closed, or came to its end.
    """

    def __init__(self, most: int | None = None, fails_at: int | None = None) -> None:
        self.most = most
        self.fails_at = fails_at
        self.asked = 0
        self.closed = False

    def _next(self) -> int | None:
        number = self.asked
        self.asked += 1
        if number == self.fails_at:
            raise LookupError(f"no number {number}")
        return None if number == self.most else number

    def plain(self) -> Generator[int]:
        """As a generator."""
        try:
            while (number := self._next()) is not None:
                yield number
        finally:
            self.closed = True

    async def asynchronous(self) -> AsyncGenerator[int]:
        """As an async generator."""
        try:
            while (number := self._next()) is not None:
                yield number
        finally:
            self.closed = True

    def of(self, kind: str) -> Any:
        """One of these, by name."""
        return self.plain() if kind == "plain" else self.asynchronous()


KINDS = ("plain", "asynchronous")
