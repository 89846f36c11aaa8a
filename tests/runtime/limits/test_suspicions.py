"""Who is called beside the body of a holder and needs its slots: where that body awaits it, neither would go on."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from millrace import DeadlockError, Engine, concurrency, flow, task
from millrace.runtime.limits.gathered import Held
from tests.checkpoints import turns, until

came: list[str] = []


@task(tags=["db"], task_run_name="inner")
async def inner() -> None:
    came.append("inner")


@task(tags=["db"], task_run_name="inner")
def sync_inner() -> None:
    came.append("inner")


@task(task_run_name="between")
async def between() -> None:
    await inner()


@task(task_run_name="inner")
async def called_block() -> None:
    await block()


async def block() -> None:
    async with concurrency("db"):
        came.append("inner")


async def grouped(*calls: Coroutine[Any, Any, Any]) -> None:
    async with asyncio.TaskGroup() as group:
        for each in calls:
            group.create_task(each)


async def gathered(*calls: Coroutine[Any, Any, Any]) -> None:
    await asyncio.gather(*calls)


async def awaited_task() -> None:
    await asyncio.create_task(inner())


async def after(event: asyncio.Event, error: Exception | None = None) -> None:
    await event.wait()
    if error is not None:
        raise error


async def outcome_of(way: Callable[[], Awaitable[Any]], limit: int = 1) -> Any:
    """What comes of a task that holds a slot and awaits something, or the error, out of its groups."""
    came.clear()

    @task(tags=["db"], task_run_name="outer")
    async def outer() -> Any:
        return await way()

    @flow
    async def work() -> Any:
        return await outer.submit()

    async with Engine(limits={"db": limit}) as engine:
        try:
            return await work()
        except (DeadlockError, ValueError) as error:
            return error
        except ExceptionGroup as group:
            found: Any = group
            while isinstance(found, ExceptionGroup):
                found = found.exceptions[0]
            return found
        finally:
            assert (engine.limits["db"].held, engine.limits["db"].waiters()) == (0, [])


CERTAIN: dict[str, Callable[[], Awaitable[Any]]] = {
    "gather": lambda: asyncio.gather(inner(), inner()),
    "group": lambda: grouped(inner(), inner()),
    "asyncio task": awaited_task,
    "called block": lambda: asyncio.gather(called_block()),
    "through a task": lambda: asyncio.gather(between()),
    "gather in a group": lambda: grouped(gathered(between())),
    "group in a gather": lambda: asyncio.gather(grouped(inner(), between())),
    "group in a group": lambda: grouped(grouped(inner()), between()),
}


@pytest.mark.anyio
@pytest.mark.parametrize("how", CERTAIN)
async def test_who_needs_the_slot_of_a_body_that_awaits_it_by_means_of_asyncio_is_told(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    error = await outcome_of(CERTAIN[how])
    assert isinstance(error, DeadlockError)
    assert (error.waiter, error.holder) == ("task run 'inner'", "task run 'outer'")
    assert came == []
    assert caplog.records == []


@pytest.mark.anyio
async def test_a_body_that_awaits_its_own_block_by_means_of_asyncio_is_told() -> None:
    error = await outcome_of(lambda: asyncio.gather(block()))
    assert isinstance(error, DeadlockError)
    assert (error.waiter, error.holder) == ("task run 'outer'", "task run 'outer'")


@pytest.mark.anyio
async def test_code_outside_of_any_run_that_awaits_its_own_block_by_means_of_asyncio_is_told() -> None:
    async with Engine(limits={"db": 1}), concurrency("db"):
        with pytest.raises(DeadlockError, match="code outside of any run"):
            await asyncio.gather(block())


@pytest.mark.anyio
async def test_all_who_were_gathered_are_told_one_by_one() -> None:
    async def outcomes() -> list[Any]:
        return list(await asyncio.gather(inner(), between(), return_exceptions=True))

    assert [type(each) for each in await outcome_of(outcomes)] == [DeadlockError, DeadlockError]


@pytest.mark.anyio
async def test_two_bodies_that_hold_all_slots_together_and_gather_who_needs_them_are_told() -> None:
    held = asyncio.Event()

    @task(tags=["db"])
    async def outer(*, first: bool) -> Any:
        if first:
            await held.wait()
        held.set()
        return await asyncio.gather(inner(), return_exceptions=True)

    @flow
    async def work() -> list[Any]:
        both = outer.submit(first=True), outer.submit(first=False)
        return [outcome for each in both for outcome in await each]

    came.clear()
    async with Engine(limits={"db": 2}):
        outcomes = await work()
    assert any(isinstance(each, DeadlockError) for each in outcomes)
    assert outcomes.count(None) == len(came)  # the one goes on with what the other has given back


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["gather", "group"])
async def test_as_long_as_something_else_that_is_awaited_may_fail_nobody_is_refused(how: str) -> None:
    event = asyncio.Event()

    async def both() -> None:
        asyncio.get_running_loop().call_later(0, asyncio.get_running_loop().call_soon, event.set)
        calls = inner(), after(event, ValueError("it failed"))
        await (gathered(*calls) if how == "gather" else grouped(*calls))

    error = await outcome_of(both)
    assert str(error) == "it failed"


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["gather", "group"])
async def test_when_all_else_that_is_awaited_has_ended_who_needs_the_slot_is_told(how: str) -> None:
    event = asyncio.Event()
    futures: list[asyncio.Future[None]] = []

    async def all_three() -> None:
        loop = asyncio.get_running_loop()
        futures.append(loop.create_future())
        calls = inner(), after(event), after(event)
        loop.call_later(0, event.set)
        loop.call_later(0, loop.call_soon, futures[0].set_result, None)
        await (asyncio.gather(*calls, futures[0]) if how == "gather" else grouped(*calls))

    assert isinstance(await outcome_of(all_three), DeadlockError)


async def joined(task: asyncio.Task[None]) -> None:
    await task


LATER: dict[str, Callable[[asyncio.Task[None]], Awaitable[Any]]] = {
    "awaited": lambda task: task,
    "gathered": lambda task: asyncio.gather(task, turns()),
    "called": joined,
}
STEPS: dict[str, Callable[[], Awaitable[Any]]] = {
    "sleeps": lambda: asyncio.sleep(0.001),
    "gives way": lambda: asyncio.sleep(0),
    "takes many steps": lambda: turns(100),
    "waits for another": lambda: asyncio.create_task(turns()),
}


@pytest.mark.anyio
@pytest.mark.parametrize("how", LATER)
@pytest.mark.parametrize("before", STEPS)
async def test_a_body_that_does_something_else_first_is_seen_when_it_awaits_who_needs_its_slot(
    before: str, how: str
) -> None:
    async def way() -> None:
        task = asyncio.create_task(inner())
        await STEPS[before]()
        await LATER[how](task)

    error = await outcome_of(way)

    assert isinstance(error, DeadlockError)
    assert "'db'" in str(error)
    assert came == []


@pytest.mark.anyio
async def test_who_finds_a_slot_beside_that_of_the_body_is_served() -> None:
    assert await outcome_of(lambda: asyncio.gather(*[inner() for _ in range(5)]), limit=2) == [None] * 5
    assert came == ["inner"] * 5


@pytest.mark.anyio
async def test_what_a_body_has_called_and_does_not_await_is_served_when_the_body_is_done() -> None:
    tasks: list[asyncio.Task[None]] = []

    async def left() -> str:
        tasks.append(asyncio.create_task(inner()))
        await turns()
        await asyncio.gather(turns())
        return "done"

    @task(tags=["db"])
    async def outer() -> str:
        return await left()

    @flow
    async def work() -> str:
        done: str = await outer.submit()
        await tasks[0]
        return done

    came.clear()
    async with Engine(limits={"db": 1}):
        assert await work() == "done"
    assert came == ["inner"]


@pytest.mark.anyio
@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize("before", STEPS)
async def test_who_needs_the_slot_of_a_body_whose_gather_has_just_failed_is_served_afterwards(
    before: str, depth: int
) -> None:
    tasks: list[asyncio.Task[None]] = []

    async def fails() -> None:
        await STEPS[before]()
        raise ValueError("on purpose")

    @task(tags=["db"])
    async def outer() -> str:
        tasks.append(asyncio.create_task(inner()))
        failing: Awaitable[Any] = asyncio.create_task(fails())
        for _ in range(depth - 1):
            failing = asyncio.gather(failing)
        with pytest.raises(ValueError, match="on purpose"):
            await asyncio.gather(tasks[0], failing)
        return "failed"

    @flow
    async def work() -> str:
        failed: str = await outer.submit()
        await tasks[0]
        return failed

    came.clear()
    async with Engine(limits={"db": 1}):
        assert await work() == "failed"
    assert came == ["inner"]


@pytest.mark.anyio
async def test_a_body_that_does_not_mind_what_has_failed_is_seen_to_await_the_rest() -> None:
    async def fails() -> None:
        raise ValueError("on purpose")

    error = await outcome_of(lambda: asyncio.gather(asyncio.gather(fails(), inner(), return_exceptions=True)))

    assert error == [[error[0][0], error[0][1]]]
    assert [type(each) for each in error[0]] == [ValueError, DeadlockError]


@pytest.mark.anyio
async def test_what_asyncio_does_not_tell_is_not_certain() -> None:
    class Strange:
        """A task of another make, without those attributes."""

    held = Held([], [])
    assert not held.by(Strange())  # type: ignore[arg-type]
    assert len(held.open) == 1


UNCERTAIN: dict[str, Callable[[], Awaitable[Any]]] = {
    "wait": lambda: asyncio.wait([asyncio.ensure_future(inner())]),
    "shield": lambda: asyncio.shield(inner()),
    "thread": lambda: asyncio.to_thread(sync_inner),
    "block": lambda: asyncio.wait([asyncio.ensure_future(block())]),
}


@pytest.mark.anyio
@pytest.mark.parametrize("how", UNCERTAIN)
async def test_where_it_is_not_certain_that_the_body_awaits_it_there_is_a_warning(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    @task(tags=["db"], task_run_name="outer")
    async def outer() -> None:
        await UNCERTAIN[how]()

    @flow
    async def work(engine: Engine) -> None:
        future = outer.submit()
        await until(lambda: len(caplog.records) > 0 and len(engine.limits["db"].waiters()) > 0)
        assert came == []
        engine.limits.resize("db", 3)
        await future

    came.clear()
    with caplog.at_level(logging.WARNING, "millrace.limits"):
        async with Engine(limits={"db": 1}) as engine:
            await work(engine)
    who = "outer" if how == "block" else "inner"
    assert [each.getMessage() for each in caplog.records] == [
        (
            f"A slot of 'db' is waited for by task run '{who}', and held by task run 'outer', whose body has called it."
            " If that waits for it, as by asyncio.gather or a TaskGroup, neither goes on: map or submit it instead."
        )
    ]


@pytest.mark.anyio
async def test_of_what_was_submitted_it_is_known_who_waits_for_it_and_nobody_is_warned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    later: list[Any] = []

    @task(tags=["db"])
    async def inner() -> str:
        async with concurrency("gpu"):
            return "served"

    @task(tags=["db"])
    async def outer(engine: Engine) -> None:
        async with concurrency("gpu"):
            later.append(inner.submit())
            await until(lambda: len(engine.limits["db"].waiters()) == 1)

    @flow
    async def work(engine: Engine) -> str:
        await outer.submit(engine)
        served: str = await later[0]
        return served

    with caplog.at_level(logging.WARNING, "millrace.limits"):
        async with Engine(limits={"db": 1, "gpu": 1}) as engine:
            assert await work(engine) == "served"
    assert caplog.records == []
