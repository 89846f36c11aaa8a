"""Who is called beside the body of a holder and needs its slots: nobody knows whether that waits for it; it is told."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from millrace import Engine, concurrency, flow, task
from tests.checkpoints import until


@pytest.mark.anyio
@pytest.mark.parametrize("how", ["gather", "task group", "thread", "block", "called block"])
async def test_who_may_wait_in_vain_for_slots_of_the_body_that_has_called_it_is_warned_of(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    came: list[str] = []

    @task(tags=["db"], task_run_name="inner")
    async def inner() -> None:
        came.append("inner")

    @task(tags=["db"], task_run_name="inner")
    def sync_inner() -> None:
        came.append("inner")

    @task(task_run_name="inner")
    async def plain() -> None:
        await block()

    async def block() -> None:
        async with concurrency("db"):
            came.append("inner")

    async def grouped() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(inner())

    ways: dict[str, Any] = {
        "gather": lambda: asyncio.gather(inner(), inner()),
        "task group": grouped,
        "thread": lambda: asyncio.to_thread(sync_inner),
        "block": lambda: asyncio.gather(block()),
        "called block": lambda: asyncio.gather(plain()),
    }

    @task(tags=["db"], task_run_name="outer")
    async def outer() -> None:
        await ways[how]()

    @flow
    async def work(engine: Engine) -> None:
        future = outer.submit()
        await until(lambda: len(caplog.records) > 0 and len(engine.limits["db"].waiters()) > 0)
        assert came == []
        engine.limits.resize("db", 3)
        await future

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
