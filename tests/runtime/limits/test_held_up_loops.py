"""A sync call on a loop holds up whatever runs there: who wants a slot that code of that loop has waits in vain."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from threading import Event
from typing import Any

import pytest

from millrace import DeadlockError, Engine, as_completed, concurrency, flow, task
from millrace.runtime import effects
from millrace.runtime.waiting import ThreadWaiter
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


@task(tags=["db"])
async def tagged() -> None:
    """Has a slot, and does nothing."""


@task(tags=["db"])
async def tagged_generator() -> AsyncIterator[int]:
    """Has one while somebody iterates over it."""
    yield 1


@task
async def takes_a_slot(how: str) -> None:
    if how == "call":
        await tagged()
    elif how == "iterate":
        assert [each async for each in tagged_generator()] == [1]
    else:
        async with concurrency("db"):
            pass


@pytest.mark.parametrize("how", ["block", "call", "iterate"])
@pytest.mark.anyio
async def test_a_sync_call_on_a_loop_waits_in_vain_for_a_slot_that_code_of_the_loop_is_served_meanwhile(
    how: str,
) -> None:
    release = Event()

    @task(tags=["db"])
    def holds() -> None:
        assert release.wait(PATIENCE)

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
        following = takes_a_slot.submit(how)
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


@task
async def steps() -> None:
    await asyncio.sleep(0)


@flow
async def steps_in_a_flow() -> None:
    await asyncio.sleep(0)


async def counts() -> AsyncIterator[int]:
    await asyncio.sleep(0)
    yield 1


@task
def takes(number: int) -> int:
    return number


def needs_its_loop(how: str) -> None:
    """Wait, in a thread, for something that goes on with the loop of the flow."""
    if how == "task":
        steps()  # type: ignore[unused-coroutine]
    elif how == "flow":
        steps_in_a_flow()  # type: ignore[unused-coroutine]
    elif how == "stream":
        assert list(takes.stream(counts())) == [1]
    elif how == "streams":
        assert list(takes.stream(takes.stream(counts()))) == [1]


@pytest.mark.parametrize("how", ["hook", "task", "flow", "stream", "streams"])
@pytest.mark.parametrize("first", ["call", "wait"])
@pytest.mark.anyio
async def test_a_sync_call_on_a_loop_waits_in_vain_for_a_slot_of_a_thread_that_waits_for_that_loop(
    first: str, how: str
) -> None:
    """Found by simulations: an async hook of a sync task, say, is called on the loop of its flow."""
    called, goes_on = Event(), Event()

    def before(*_: Any) -> None:
        called.set()
        assert goes_on.wait(PATIENCE)

    async def hook(*_: Any) -> None:
        await asyncio.sleep(0)

    @task(tags=["db"])
    def wants() -> str:
        return "served"

    @task(tags=["db"], on_running=[before, *([hook] if how == "hook" else [])])
    def holds() -> str:
        needs_its_loop(how)
        return "held"

    @task
    async def lets_it(engine: Engine) -> None:
        await until(lambda: bool(engine.limits["db"].waiters()))
        goes_on.set()

    @flow
    def inner(engine: Engine) -> str:
        future = wants.submit()
        if first == "call":
            _ = lets_it.submit(engine)
        return future.result()

    @flow
    async def work(engine: Engine) -> str:
        holding = holds.submit()
        await until(called.is_set)
        if first == "wait":
            goes_on.set()
        with pytest.raises(DeadlockError, match="holds slots"):
            inner(engine)
        return str(await holding)

    async with Engine(limits={"db": 1}, threads=4) as engine:
        assert await work(engine) == "held"
        assert engine.limits["db"].waiters() == []


@pytest.mark.anyio
async def test_who_waits_for_a_flow_in_the_background_waits_in_vain_for_what_that_wants_a_slot_for() -> None:
    """Found by a simulation: whoever had started the flow was taken for who waits for its tasks."""

    @task(tags=["db"])
    async def wants() -> None:
        """Never runs."""

    @flow
    async def inner(held: asyncio.Event) -> None:
        await held.wait()
        _ = wants.submit()

    @task
    async def holds(engine: Engine) -> None:
        held = asyncio.Event()
        ended = engine.start(inner, held)
        async with concurrency("db"):
            held.set()
            with pytest.raises(DeadlockError):
                await ended

    @flow
    async def work(engine: Engine) -> None:
        await holds.submit(engine)

    async with Engine(limits={"db": 1}) as engine:
        await work(engine)


@pytest.mark.anyio
async def test_a_thread_that_is_about_to_hear_that_its_hook_is_over_holds_up_nobody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over, heard = Event(), Event()

    class Slow(ThreadWaiter):
        def wait(self, timeout: float | None = None) -> bool:
            in_time = super().wait(timeout)
            over.set()
            assert heard.wait(PATIENCE)
            return in_time

    monkeypatch.setattr(effects, "ThreadWaiter", Slow)

    async def hook(*_: Any) -> None:
        await asyncio.sleep(0)

    @task(tags=["db"], on_running=[hook])
    def holds() -> str:
        return "held"

    @task
    async def lets_it_hear(engine: Engine) -> None:
        await until(lambda: bool(engine.limits["db"].waiters()))
        heard.set()

    @task(tags=["db"])
    def wants() -> str:
        return "served"

    @flow
    def inner(engine: Engine) -> str:
        future, _ = wants.submit(), lets_it_hear.submit(engine)
        return future.result()

    @flow
    async def work(engine: Engine) -> tuple[str, str]:
        holding = holds.submit()
        await until(over.is_set)
        return inner(engine), str(await holding)

    async with Engine(limits={"db": 1}, threads=4) as engine:
        assert await work(engine) == ("served", "held")
