"""An engine in the lifespan of an application: when it is entered and left, and how requests find it."""

from __future__ import annotations

import asyncio
import inspect
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, Any, NamedTuple

import anyio
import httpx
import pytest
from fastapi import Depends, FastAPI
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from millrace import ConfigurationError, Engine, EngineClosed, asgi
from tests.loose import flow, task

pytestmark = pytest.mark.anyio

APP = object()
NEVER = 1e9
SECONDS = "a number of seconds, 0 or more, or None for no limit"


def asgi_lifespan(engine: Any, drain_seconds: float | None = NEVER, **options: Any) -> asgi.Lifespan:
    return asgi.lifespan(engine, drain_seconds=drain_seconds, **options)


async def for_ever(begun: asyncio.Event) -> None:
    begun.set()
    await asyncio.Event().wait()


flow_for_ever, task_for_ever = flow(for_ever), task(for_ever)


async def running(engine: Engine, *, as_task: bool = False) -> Any:
    """The future of a run that has begun and never ends."""
    begun = asyncio.Event()
    future = task_for_ever.submit(begun) if as_task else engine.start(flow_for_ever, begun)
    await begun.wait()
    return future


# Entering and leaving.


async def test_code_in_other_tasks_of_the_loop_belongs_to_the_engine_as_long_as_it_is_served() -> None:
    engine = Engine()
    entered, leave = asyncio.Event(), asyncio.Event()

    async def server() -> None:
        async with engine.lifespan(APP) as state:
            assert state == {"millrace_engine": engine}
            entered.set()
            await leave.wait()

    async with anyio.create_task_group() as group:
        group.start_soon(server)
        await entered.wait()
        assert Engine.current() is engine
        leave.set()

    assert engine.closed
    assert Engine.current() is not engine


async def test_what_runs_is_waited_for() -> None:
    engine = Engine()
    gate = asyncio.Event()

    @flow
    async def patient() -> str:
        await gate.wait()
        return "done"

    async with asgi_lifespan(engine)(APP):
        future = engine.start(patient)
        asyncio.get_running_loop().call_soon(gate.set)

    assert await future == "done"


@pytest.mark.parametrize("as_task", [False, True], ids=["a flow", "a task"])
async def test_when_the_time_is_over_what_runs_is_cancelled(*, as_task: bool, caplog: pytest.LogCaptureFixture) -> None:
    engine = Engine()

    async with asgi_lifespan(engine, 0)(APP):
        future = await running(engine, as_task=as_task)

    assert future.state.is_cancelled()
    what = "0 flow runs and 1 task runs" if as_task else "1 flow runs and 0 task runs"
    (told,) = caplog.messages
    assert told == f"0 seconds were not enough: {what} are cancelled, as the application stops."


async def test_when_nothing_runs_any_more_nothing_is_said(caplog: pytest.LogCaptureFixture) -> None:
    async with asgi_lifespan(Engine(), 0)(APP):
        pass

    assert caplog.messages == []


async def test_what_does_not_stop_when_it_is_cancelled_is_given_up() -> None:
    engine = Engine(grace_seconds=0)
    begun, stop = asyncio.Event(), asyncio.Event()

    @flow
    async def stubborn() -> None:
        begun.set()
        while not stop.is_set():
            try:
                await stop.wait()
            except asyncio.CancelledError:
                continue

    async with asgi_lifespan(engine, 0)(APP):
        future = engine.start(stubborn)
        await begun.wait()

    stop.set()
    assert future.state.is_crashed()
    assert "It did not stop within 0 seconds of being cancelled." in str(future.state.data)


async def test_an_application_that_fails_cancels_what_runs() -> None:
    engine = Engine()

    futures: list[Any] = []

    async def application() -> None:
        async with asgi_lifespan(engine)(APP):
            futures.append(await running(engine))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await application()

    assert futures[0].state.is_cancelled()


async def test_while_it_is_left_nothing_new_is_accepted() -> None:
    engine = Engine()
    gate = asyncio.Event()
    told: list[str] = []

    @flow
    async def patient() -> None:
        await gate.wait()

    def handler() -> None:
        with pytest.raises(EngineClosed) as closed:
            _ = engine.start(patient)
        told.append(str(closed.value))
        gate.set()

    async with asgi_lifespan(engine)(APP):
        _ = engine.start(patient)
        asyncio.get_running_loop().call_soon(handler)

    (closed,) = told
    assert closed.startswith("Cannot start flow 'patient': the engine is closed.")


async def test_an_engine_serves_once_and_what_makes_one_serves_again() -> None:
    engine = Engine()
    async with engine.lifespan(APP):
        pass
    with pytest.raises(EngineClosed):
        async with engine.lifespan(APP):
            pass

    served: list[Engine] = []
    again = asgi_lifespan(Engine)
    for _ in range(2):
        async with again(APP) as state:
            served.append(state["millrace_engine"])
            assert Engine.current() is served[-1]

    assert served[0] is not served[1]
    assert all(each.closed for each in served)


# The application's own lifespan.


@pytest.mark.parametrize("state", [None, {"pool": "the pool"}], ids=["no state", "state"])
async def test_the_applications_own_is_around_it(state: dict[str, Any] | None) -> None:
    engine = Engine()
    told: list[Any] = []

    @asynccontextmanager
    async def own(app: Any) -> AsyncGenerator[dict[str, Any] | None]:
        told.append((app, "opened", engine.closed))
        yield state
        told.append(("closed", future.done()))

    async with asgi_lifespan(engine, 0, host=own)(APP) as given:
        assert given == {**(state or {}), "millrace_engine": engine}
        future = await running(engine)

    assert told == [(APP, "opened", False), ("closed", True)]


async def test_if_the_applications_own_fails_the_engine_is_not_entered() -> None:
    engine = Engine()

    @asynccontextmanager
    async def own(_: Any) -> AsyncGenerator[None]:
        raise ZeroDivisionError
        yield

    with pytest.raises(ZeroDivisionError):
        async with asgi_lifespan(engine, host=own)(APP):
            pass

    assert Engine.current() is not engine
    assert not engine.closed


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"drain_seconds": -1}, f"'drain_seconds' takes {SECONDS}, not -1."),
        ({"drain_seconds": float("nan")}, f"'drain_seconds' takes {SECONDS}, not nan."),
        ({"drain_seconds": "20"}, f"'drain_seconds' takes {SECONDS}, not '20'."),
        ({"engine": 3}, "'engine' takes an Engine, or a function that makes one, not 3."),
    ],
)
async def test_wrong_options_are_told(options: dict[str, Any], told: str) -> None:
    given: dict[str, Any] = {"engine": Engine, **options}

    with pytest.raises(ConfigurationError) as error:
        asgi.lifespan(**given)

    assert str(error.value) == told


# From a request to the engine.


class SomeConnection(NamedTuple):
    """What the packages' own have."""

    scope: Any


@asynccontextmanager
async def served(app: Any) -> AsyncGenerator[httpx.AsyncClient]:
    """A client of an application, between the beginning and the end that a server would tell it of."""
    state: dict[str, Any] = {}
    to_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    from_app: asyncio.Queue[dict[str, str]] = asyncio.Queue()
    lifespan = asyncio.create_task(app({"type": "lifespan", "state": state}, to_app.get, from_app.put))
    to_app.put_nowait({"type": "lifespan.startup"})
    assert await from_app.get() == {"type": "lifespan.startup.complete"}

    async def with_state(scope: Any, receive: Any, send: Any) -> None:
        await app({**scope, "state": state.copy()}, receive, send)

    async with httpx.AsyncClient(transport=httpx.ASGITransport(with_state), base_url="http://app") as client:
        yield client
    to_app.put_nowait({"type": "lifespan.shutdown"})
    assert await from_app.get() == {"type": "lifespan.shutdown.complete"}
    await lifespan


Given = Annotated[Engine, Depends(asgi.get_engine)]


async def test_handlers_of_fastapi_get_the_engine_on_the_loop_and_in_threads() -> None:
    engine = Engine()
    app = FastAPI(lifespan=engine.lifespan)
    found: list[bool] = []

    @flow
    async def answer(question: str) -> str:
        return f"{question}!"

    @app.get("/async")
    async def in_the_loop(given: Given) -> str:
        found.append(given is engine is Engine.current())
        answered: str = await answer("async")
        return answered

    @app.get("/sync")
    def in_a_thread(given: Given) -> str:
        found.append(given is engine)
        answered: str = given.start(answer, "sync").result()
        return answered

    async with served(app) as client:
        assert [(await client.get(path)).json() for path in ("/async", "/sync")] == ["async!", "sync!"]

    assert found == [True, True]
    assert engine.closed


async def test_handlers_of_starlette_ask_for_it() -> None:
    engine = Engine()

    async def handler(request: Request) -> PlainTextResponse:
        assert request.state.millrace_engine is engine
        return PlainTextResponse(str(await asgi.get_engine(request) is engine))

    async with served(Starlette(routes=[Route("/", handler)], lifespan=engine.lifespan)) as client:
        assert (await client.get("/")).text == "True"


async def test_each_of_two_applications_on_one_loop_gets_its_own() -> None:
    engines = [Engine(), Engine()]
    apps = [FastAPI(lifespan=engine.lifespan) for engine in engines]

    def handler(given: Given) -> int:
        return engines.index(given)

    for app in apps:
        app.get("/")(handler)

    async with served(apps[0]) as first, served(apps[1]) as second:
        assert [(await client.get("/")).json() for client in (first, second)] == [0, 1]


async def test_without_a_lifespan_it_is_the_engine_of_a_call_made_here() -> None:
    for scope in ({}, {"state": None}, {"state": {"other": 1}}):
        async with Engine() as engine:
            assert await asgi.get_engine(SomeConnection(scope)) is engine


async def test_the_dependency_does_without_the_packages_it_serves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "starlette.requests")

    assert str(inspect.signature(asgi.get_engine)) == "(connection)"


async def test_the_state_a_run_ends_in_says_why_it_was_cancelled() -> None:
    engine = Engine()

    async with asgi_lifespan(engine, 0)(APP):
        future = await running(engine)

    assert "The application was stopped." in {state.message for state in future.flow_run.history()}
