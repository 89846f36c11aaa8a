"""Models: services whose limits are known, for trying things out and for checking what measures them.

Decides how long each item takes, and whether it fails. Nothing depends on chance beyond the seed: what an item draws
depends on its number alone, so that it is the same under every limit. Time passes only in the `sleep` that is given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from random import Random
from typing import Any, Final, Protocol

import attrs

from millrace.actors.errors import ConfigurationError
from millrace.runtime.benching.loopback import ModelServer

Sleep = Callable[[float], Awaitable[object]]


class Overloaded(Exception):
    """What a model raises that has more to do than it can."""


class Model(Protocol):
    """Work that is built in: an async context manager, open while it is used, that is called with an item's number."""

    async def __aenter__(self) -> object: ...
    async def __aexit__(self, *_: object) -> None: ...
    async def __call__(self, item: int) -> object:
        """Do the work of one item."""
        ...


class _AlwaysOpen:
    """A model with nothing to open."""

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, *_: object) -> None:
        return None


def _positive(_model: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
        raise ConfigurationError(field.name, value, "a number above 0")


def _not_negative(_model: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise ConfigurationError(field.name, value, "a number, 0 or more")


def _whole(_model: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigurationError(field.name, value, "a whole number, 1 or more")


def _any_whole(_model: object, field: attrs.Attribute[Any], value: object) -> None:
    if isinstance(value, bool) or not isinstance(value, int):
        raise ConfigurationError(field.name, value, "a whole number")


@attrs.define(eq=False)
class Fixed(_AlwaysOpen):
    """Every item takes the same time, however many there are: throughput rises with the limit, without end.

    Args:
        latency: Seconds.
        sleep: Lets time pass.
    """

    latency: float = attrs.field(default=0.05, validator=_positive)
    sleep: Sleep = asyncio.sleep

    async def __call__(self, item: int) -> int:
        """Wait."""
        await self.sleep(self.latency)
        return item


@attrs.define(eq=False)
class Queue(_AlwaysOpen):
    """M/M/c: so many servers behind one queue, each busy with an item for an exponentially distributed time.

    Args:
        servers: How many.
        service: Mean seconds.
        seed: Of the times.
        sleep: Lets time pass.
    """

    servers: int = attrs.field(default=16, validator=_whole)
    service: float = attrs.field(default=0.05, validator=_positive)
    seed: int = attrs.field(default=0, validator=_any_whole)
    sleep: Sleep = asyncio.sleep
    _places: asyncio.Semaphore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._places = asyncio.Semaphore(self.servers)

    async def __call__(self, item: int) -> int:
        """Wait for a server, and be served."""
        async with self._places:
            await self.sleep(Random(f"{self.seed}/{item}").expovariate(1 / self.service))  # no secret
        return item


@attrs.define(eq=False)
class Saturating(_AlwaysOpen):
    """A service that shares its capacity among all that is in it, and loses some of it when it has too much.

    Args:
        capacity: With so many in it, it does as much as it can.
        latency: Seconds that an item takes up to there.
        overload: What each time its capacity beyond it costs, as a share.
        sleep: Lets time pass.
    """

    capacity: int = attrs.field(default=16, validator=_whole)
    latency: float = attrs.field(default=0.05, validator=_positive)
    overload: float = attrs.field(default=0.1, validator=_not_negative)
    sleep: Sleep = asyncio.sleep
    _inside: int = attrs.field(default=0, init=False)

    async def __call__(self, item: int) -> int:
        """Take as long as the number of items in the service says that it takes."""
        self._inside += 1
        try:
            load = self._inside / self.capacity
            await self.sleep(self.latency * max(1.0, load) * (1 + self.overload * max(0.0, load - 1)))
        finally:
            self._inside -= 1
        return item


@attrs.define(eq=False)
class Failing(_AlwaysOpen):
    """A service that refuses what is too much for it.

    Args:
        most: So many it takes in; one more fails, in a tenth of the time.
        latency: Seconds that an item takes.
        sleep: Lets time pass.
    """

    most: int = attrs.field(default=24, validator=_whole)
    latency: float = attrs.field(default=0.05, validator=_positive)
    sleep: Sleep = asyncio.sleep
    _inside: int = attrs.field(default=0, init=False)

    async def __call__(self, item: int) -> int:
        """Wait, or fail.

        Raises:
            Overloaded: there are as many in it as it takes.
        """
        if self._inside >= self.most:
            await self.sleep(self.latency / 10)
            raise Overloaded(f"{self.most} are in it, and more it does not take")
        self._inside += 1
        try:
            await self.sleep(self.latency)
        finally:
            self._inside -= 1
        return item


MODELS: Final[Mapping[str, Callable[..., Model]]] = {
    "fixed": Fixed,
    "mmc": Queue,
    "saturating": Saturating,
    "failing": Failing,
    "server": ModelServer,
}


def make_model(name: str, parameters: Mapping[str, Any]) -> Model:
    """A model by its name.

    Raises:
        ConfigurationError: there is none by that name, it has no such parameter, or a value is out of range.
    """
    kind = MODELS.get(name)
    if kind is None:
        raise ConfigurationError("model", name, f"one of {', '.join(MODELS)}")
    known = parameters_of(name)
    for each in parameters:
        if each not in known:
            raise ConfigurationError(f"model:{name}", each, f"one of its parameters: {', '.join(known)}")
    return kind(**parameters)


def parameters_of(name: str) -> dict[str, Any]:
    """The parameters of a model, with what they are by default."""
    kind: Any = MODELS[name]
    return {field.name: field.default for field in attrs.fields(kind) if field.init and field.name != "sleep"}
