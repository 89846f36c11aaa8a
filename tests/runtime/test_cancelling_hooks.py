"""Hooks that cancel the run which is about to begin: its body never does, and nothing else is cancelled for that."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest

from millrace import Engine, Failed, propose_state, quote
from tests.loose import flow, task
from tests.runtime.worlds import ASYNC, SYNC, World

BODY = "body"
HOWS = pytest.mark.parametrize("how", ["submit", "call", "map"])


class Begun:
    """Hooks for the beginning of a run, the last of which ends it; and what has begun in spite of that."""

    def __init__(self, hooks: str) -> None:
        self.noted: list[str] = []
        self.hooks: list[Callable[..., Any]] = [self._stop_later if hooks == "async" else self._stop]
        if hooks == "sync after async":  # then the asyncio task at hand belongs to the run, and is cancelled
            self.hooks.insert(0, self._wait)

    async def _wait(self, _owner: Any, _run: Any, _state: Any) -> None:
        await asyncio.sleep(0)

    def _stop(self, _owner: Any, run: Any, state: Any) -> None:
        self.noted.append(state.name)
        run.cancel("not now")

    async def _stop_later(self, owner: Any, run: Any, state: Any) -> None:
        await asyncio.sleep(0)
        self._stop(owner, run, state)


@pytest.fixture(params=["sync", "async", "sync after async"])
def begun(request: pytest.FixtureRequest) -> Begun:
    """Hooks of each kind."""
    return Begun(request.param)


@HOWS
@pytest.mark.parametrize("options", [{}, {"timeout_seconds": 60}, {"retries": 2}], ids=str)
def test_a_task_whose_run_is_cancelled_by_its_own_hook_never_begins(
    world: World, how: str, options: dict[str, Any], begun: Begun
) -> None:
    @world.task(on_running=begun.hooks, **options)
    def carve(_wood: str) -> None:
        begun.noted.append(BODY)

    @world.task(on_running=[lambda *_: None])
    def polish() -> str:
        return "shiny"

    async def body() -> Any:
        if how == "call":
            carved = await world.call(carve, "oak", return_state=True)
        else:
            futures = carve.submit("oak") if how == "submit" else carve.map(["oak"])
            state = await world.ended(futures)
            carved = state if how == "submit" else state[0]
        return quote((carved, await world.call(polish), await world.result(polish.submit())))

    carved, *polished = world.body(body).unquote()
    assert carved.is_cancelled()
    assert carved.message == "not now"
    assert polished == ["shiny", "shiny"]  # what has cancelled the one leaves nothing behind for the next
    assert begun.noted == ["Running"]


@pytest.mark.parametrize("options", [{}, {"timeout_seconds": 60}, {"retries": 2}], ids=str)
def test_a_flow_whose_run_is_cancelled_by_its_own_hook_never_begins(
    world: World, options: dict[str, Any], begun: Begun
) -> None:
    @world.flow(on_running=begun.hooks, **options)
    def inner() -> None:
        begun.noted.append(BODY)

    async def body() -> Any:
        state = await world.call(inner, return_state=True)
        if world.async_flows:
            await asyncio.sleep(0)
        return quote(state)

    state = world.body(body).unquote()
    assert state.is_cancelled()
    assert begun.noted == ["Running"]


def test_a_flow_that_nothing_is_around_never_begins_either(world: World, begun: Begun) -> None:
    @world.flow(on_running=begun.hooks)
    def whole() -> None:
        begun.noted.append(BODY)

    assert world.run(whole, return_state=True).is_cancelled()
    assert begun.noted == ["Running"]


def test_a_generator_of_either_kind_whose_run_is_cancelled_by_its_own_hook_never_begins(begun: Begun) -> None:
    @task(on_running=begun.hooks)
    def carve() -> Iterator[str]:
        begun.noted.append(BODY)
        yield "oak"

    @task(on_running=begun.hooks)
    async def carve_async() -> AsyncIterator[str]:
        begun.noted.append(BODY)
        yield "oak"

    @flow(on_running=begun.hooks)
    def whole() -> Iterator[str]:
        begun.noted.append(BODY)
        yield "oak"

    @flow
    async def body() -> Any:
        found: list[str] = []
        for called in (carve, whole):
            try:
                found += list(called())
            except Exception as error:  # noqa: BLE001  # which one is told below
                found.append(type(error).__name__)
        try:
            found += [each async for each in carve_async()]
        except Exception as error:  # noqa: BLE001
            found.append(type(error).__name__)
        await asyncio.sleep(0)
        return quote(found)

    assert asyncio.run(body()).unquote() == ["CancelledRun"] * 3
    assert begun.noted == ["Running"] * 3


@pytest.mark.parametrize("kind", [SYNC, ASYNC], ids=lambda world: world.name)
def test_a_run_that_its_own_hook_has_forced_to_its_end_never_begins(kind: World) -> None:
    noted: list[str] = []

    def force(_task: Any, run: Any, _state: Any) -> None:
        propose_state(Failed(message="not now"), task_run_id=run.uuid, force=True)

    @kind.task(on_running=[force])
    def carve() -> None:
        noted.append(BODY)

    async def body() -> Any:
        return quote(await kind.ended(carve.submit()))

    state = kind.body(body, engine=Engine()).unquote()
    assert state.is_failed()
    assert state.message == "not now"
    assert noted == []
