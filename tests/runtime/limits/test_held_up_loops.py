"""A sync call on a loop holds up whatever runs there: who wants a slot that code of that loop has waits in vain."""

from __future__ import annotations

import asyncio
from threading import Event
from typing import Any

import pytest

from millrace import DeadlockError, Engine, as_completed, concurrency, flow, task
from tests.checkpoints import until
from tests.runtime.worlds import ASYNC, PATIENCE


@pytest.mark.parametrize("how", ["end", "result", "iterate", "call", "subflow"])
@pytest.mark.anyio
async def test_a_sync_call_on_a_loop_waits_in_vain_for_what_wants_a_slot_that_code_of_the_loop_has(how: str) -> None:
    @ASYNC.task(tags=["db"])
    async def holds(gate: asyncio.Event) -> str:
        await gate.wait()
        return "held"

    @ASYNC.task(tags=["db"])
    def wants() -> str:
        return "served"

    @flow
    def innermost() -> Any:
        return wants.submit()

    @flow
    def inner() -> Any:
        if how == "iterate":
            return [each.result() for each in as_completed([wants.submit()])]
        if how == "call":
            return wants()
        if how == "subflow":
            return innermost()
        future = wants.submit()
        return future.result() if how == "result" else future

    @flow
    async def work(engine: Engine) -> str:
        gate = asyncio.Event()
        other = holds.submit(gate)
        await until(lambda: engine.limits["db"].held == 1)
        with pytest.raises(DeadlockError, match="holds slots"):
            _ = inner()
        gate.set()
        return str(await other)

    async with Engine(limits={"db": 1}) as engine:
        assert await work(engine) == "held"
        assert engine.limits["db"].waiters() == []


CALLS = ("flow in a flow", "task in a flow", "flow in a task", "task in a task")


@pytest.mark.parametrize("how", CALLS)
@pytest.mark.anyio
async def test_a_sync_call_on_a_loop_waits_in_vain_for_what_calls_code_that_wants_such_a_slot(how: str) -> None:
    inside, outside = how.split(" in a ")
    kinds: dict[str, Any] = {"flow": flow, "task": task}

    @task(tags=["db"])
    async def holds(gate: asyncio.Event) -> None:
        await gate.wait()

    @kinds[inside]  # type: ignore[untyped-decorator]
    async def wants() -> str:
        async with concurrency("db"):
            return "served"

    @kinds[outside]  # type: ignore[untyped-decorator]
    async def between() -> str:
        await asyncio.sleep(0)
        return str(await wants())

    @flow
    def inner() -> Any:
        return between()

    @flow
    async def work(engine: Engine) -> None:
        gate = asyncio.Event()
        other = holds.submit(gate)
        await until(lambda: engine.limits["db"].held == 1)
        with pytest.raises(DeadlockError):
            _ = inner()
        gate.set()
        await other

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)
        assert engine.limits["db"].waiters() == []


@pytest.mark.anyio
async def test_a_call_that_the_code_of_a_task_does_not_wait_for_is_served_after_that() -> None:
    left: list[asyncio.Task[str]] = []

    @flow
    async def wants() -> str:
        async with concurrency("db"):
            return "served"

    @task
    async def leaves(engine: Engine) -> str:
        left.append(asyncio.create_task(wants()))
        await until(lambda: bool(engine.limits["db"].waiters()))
        return "done"

    @flow
    async def work(engine: Engine) -> tuple[str, str]:
        async with concurrency("db"):
            done = await leaves(engine)
        return done, await left[0]

    async with Engine(limits={"db": 1}) as engine:
        assert await work(engine) == ("done", "served")


@pytest.mark.anyio
async def test_a_sync_call_on_a_loop_holds_up_who_holds_a_slot_there_and_waits_for_something_else() -> None:
    release = Event()

    @task
    def goes_on() -> None:
        assert release.wait(PATIENCE)

    @task
    async def holds() -> None:
        async with concurrency("db"):
            await goes_on.submit()

    @task(tags=["db"])
    def wants() -> None:
        """Never runs."""

    @flow
    def inner() -> Any:
        return wants.submit()

    @flow
    async def work(engine: Engine) -> None:
        other = holds.submit()
        await until(lambda: engine.limits["db"].held == 1)
        with pytest.raises(DeadlockError):
            _ = inner()
        release.set()
        await other

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)


@pytest.mark.anyio
async def test_a_sync_call_on_a_loop_waits_in_vain_for_a_slot_that_code_of_the_loop_is_served_meanwhile() -> None:
    release = Event()

    @task(tags=["db"])
    def holds() -> None:
        assert release.wait(PATIENCE)

    @task
    async def comes_next() -> None:
        async with concurrency("db"):
            pass

    @task(tags=["db"])
    def wants() -> None:
        """Never runs."""

    @task
    async def releases(engine: Engine) -> None:
        await until(lambda: len(engine.limits["db"].waiters()) == 2)
        release.set()

    @flow
    def inner(engine: Engine) -> Any:
        last, _ = wants.submit(), releases.submit(engine)
        return last.result()

    @flow
    async def work(engine: Engine) -> None:
        holding = holds.submit()
        await until(lambda: engine.limits["db"].held == 1)
        following = comes_next.submit()
        await until(lambda: len(engine.limits["db"].waiters()) == 1)
        with pytest.raises(DeadlockError):
            _ = inner(engine)
        await holding
        await following

    async with Engine(limits={"db": 1}, threads=4) as engine:
        await work(engine)


@pytest.mark.anyio
async def test_a_sync_call_on_a_loop_waits_for_what_wants_a_slot_that_code_elsewhere_has() -> None:
    release = Event()

    @task(tags=["db"])
    def holds() -> str:
        assert release.wait(20)
        return "held"

    @task(tags=["db"])
    def wants() -> str:
        return "served"

    @task
    async def releases(engine: Engine) -> None:
        await until(lambda: bool(engine.limits["db"].waiters()))
        release.set()

    @flow
    def inner(engine: Engine) -> Any:
        future, _ = wants.submit(), releases.submit(engine)
        return future.result()

    @flow
    async def work(engine: Engine) -> tuple[Any, str]:
        other = holds.submit()
        await until(lambda: engine.limits["db"].held == 1)
        return inner(engine), str(await other)

    async with Engine(limits={"db": 1}, threads=4) as engine:
        served, other = await work(engine)
    assert (served, other) == ("served", "held")
