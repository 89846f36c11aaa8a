"""ASGI: an engine in the lifespan of an application, and the way from a request to it.

Decides what the beginning and the end of an application mean for its engine: it is entered when the server starts the
application; when the server stops it, what still runs is waited for, so long, and then cancelled. Knows the protocol,
and neither FastAPI nor Starlette nor a server: what those want is a function from the application to an async context
manager, and what that gives is in the state of every request.

    engine = Engine()
    app = FastAPI(lifespan=engine.lifespan)

    @app.post("/crawl")
    async def start(engine: Annotated[Engine, Depends(asgi.get_engine)], urls: list[str]) -> str:
        return str(engine.start(crawl, urls).flow_run_id)
"""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any, Final, Protocol

import attrs

from millrace.actors.errors import ConfigurationError
from millrace.actors.seconds import checked_wait
from millrace.runtime.engine import Engine
from millrace.runtime.one_line import engine_logger

STATE_KEY: Final = "millrace_engine"
"""Under which name the engine is in the state of a request: `request.state.millrace_engine`."""

DRAIN_SECONDS: Final = 20.0
"""How long what runs may take to end by itself when the application is stopped: platforms tend to kill it after 30."""

HostLifespan = Callable[[Any], AbstractAsyncContextManager[Any]]
"""The lifespan of an application, as Starlette and FastAPI take it: gives a mapping or None."""

_logger = engine_logger("asgi")


class Connection(Protocol):
    """A request, or a websocket: what has the scope of an ASGI connection."""

    @property
    def scope(self) -> Any:
        """The scope, a mapping."""
        ...


@attrs.frozen
class Lifespan:
    """The lifespan of an application that has an engine. Made by `Engine.lifespan` and `lifespan`."""

    engine: Engine | Callable[[], Engine]
    drain_seconds: float | None = DRAIN_SECONDS
    host: HostLifespan | None = None

    @asynccontextmanager
    async def __call__(self, app: Any) -> AsyncGenerator[dict[str, Any]]:
        """Enter the engine for as long as the application is served.

        Args:
            app: The application.

        Yields:
            The state that the application's own lifespan gives, and the engine under `millrace_engine`.

        Raises:
            EngineClosed: the engine was closed before.

        Cancellation: what runs is cancelled, and waited for.
        """
        async with AsyncExitStack() as stack:
            state: Mapping[str, Any] | None = None
            if self.host is not None:
                state = await stack.enter_async_context(self.host(app))
            engine = self.engine if isinstance(self.engine, Engine) else self.engine()
            await engine.__aenter__()
            stack.push_async_exit(partial(self._leave, engine))
            yield {**(state or {}), STATE_KEY: engine}

    async def _leave(self, engine: Engine, *left_by: Any) -> None:
        """Close the engine; what still runs when the time is over is cancelled."""
        over: asyncio.TimerHandle | None = None
        if self.drain_seconds is not None:
            over = asyncio.get_running_loop().call_later(self.drain_seconds, self._cancel, engine)
        try:
            await engine.__aexit__(*left_by)
        finally:
            if over is not None:
                over.cancel()

    def _cancel(self, engine: Engine) -> None:
        stats = engine.stats()
        if stats.flow_runs or stats.task_runs:
            told = "%g seconds were not enough: %s flow runs and %s task runs are cancelled, as the application stops."
            _logger.warning(told, self.drain_seconds, stats.flow_runs, stats.task_runs)
            engine.cancel_all("The application was stopped.")


def lifespan(
    engine: Engine | Callable[[], Engine],
    *,
    drain_seconds: float | None = DRAIN_SECONDS,
    host: HostLifespan | None = None,
) -> Lifespan:
    """The lifespan of an application that has an engine: `FastAPI(lifespan=asgi.lifespan(engine, drain_seconds=5))`.

    The engine is entered when the application starts, so flows and tasks that its handlers call on the loop belong to
    it. When the application stops, nothing new is accepted, and what runs is waited for.

    Args:
        engine: The engine, which is closed when the application stops; or what makes one, such as `Engine`, for an
            application that is started more than once, as in tests.
        drain_seconds: How long what runs may take to end by itself; then it is cancelled, and gets the engine's
            `grace_seconds` to stop. None for no limit.
        host: The application's own lifespan. It is entered before the engine and left after it, so what it opens is
            there for flows as long as they run.

    Returns:
        What Starlette, FastAPI, and others that go by their example take as `lifespan`.

    Raises:
        ConfigurationError: `drain_seconds` is no time, or `engine` is neither of the two.
    """
    drain_seconds = checked_wait("drain_seconds", drain_seconds)
    if not isinstance(engine, Engine) and not callable(engine):
        raise ConfigurationError("engine", engine, "an Engine, or a function that makes one")
    return Lifespan(engine, drain_seconds, host)


class EngineOfConnection:
    """A dependency: gives the engine of the application that a request was made to."""

    @property
    def __signature__(self) -> inspect.Signature:
        """What FastAPI reads to know what to call a dependency with; it goes by Starlette's type."""
        requests = sys.modules.get("starlette.requests")
        wanted: Any = inspect.Parameter.empty if requests is None else requests.HTTPConnection
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        return inspect.Signature([inspect.Parameter("connection", kind, annotation=wanted)])

    async def __call__(self, connection: Connection) -> Engine:
        """The engine of the application that a request was made to.

        Args:
            connection: The request, or the websocket.

        Returns:
            The engine in whose lifespan the application is; without one, that of a call made here.
        """
        state: Mapping[str, Any] = connection.scope.get("state") or {}
        engine: Engine | None = state.get(STATE_KEY)
        return Engine.current() if engine is None else engine


get_engine: Final = EngineOfConnection()
"""The engine of a request: in FastAPI `Depends(asgi.get_engine)`, elsewhere `await asgi.get_engine(request)`.

It is awaited, so FastAPI calls it on the loop, and handlers that it calls in threads get the engine of the loop too.
"""
