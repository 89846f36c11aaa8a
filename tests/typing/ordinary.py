"""Ordinary use on which three type checkers agree: mypy, pyright and ty. Checked by `make types`, never run.

`usage.py` goes further, for the first two: what has to be refused, methods, and what a state's constructor is given.
ty, which is young, does not follow those yet.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Coroutine, Generator
from datetime import timedelta
from typing import Any, assert_type

from millrace import (
    INPUTS,
    Engine,
    FlowFuture,
    FlowRun,
    Future,
    FutureList,
    JSONSerializer,
    MemoryStorage,
    ResultStore,
    Secret,
    State,
    StateType,
    Task,
    TaskRun,
    ThreadPoolTaskRunner,
    allow_failure,
    as_completed,
    atransaction,
    exponential_backoff,
    flow,
    get_run_logger,
    run,
    run_task,
    task,
    unmapped,
    wait,
)


@task
def length(text: str) -> int:
    return len(text)


@task(retries=3, retry_delay_seconds=exponential_backoff(2), timeout_seconds=5, tags=["http"])
async def fetch(url: str, *, headers: dict[str, str] | None = None) -> bytes:
    await asyncio.sleep(0)
    return url.encode()


@task(cache_policy=INPUTS, cache_expiration=timedelta(days=1), result_storage=MemoryStorage())
def words(page: bytes, least: int = 1) -> list[str]:
    return page.decode().split()[least:]


@task
def numbers(most: int) -> Generator[int]:
    yield from range(most)


@task
async def ticks(count: int) -> AsyncGenerator[float]:
    for number in range(count):
        yield float(number)


@flow
def plain(texts: list[str]) -> int:
    assert_type(length("a"), int)
    assert_type(words(b"", least=2), list[str])

    later = assert_type(length.submit("a"), Future[int])
    assert_type(later.result(), int)
    assert_type(later.result(timeout=1.5), int)
    assert_type(later.wait(), bool)
    assert_type(later.state, State[int])
    assert_type(later.done(), bool)

    every = assert_type(length.map(texts), FutureList[int])
    assert_type(every.result(), list[int])
    first = assert_type(every[0], Future[int])
    assert_type([each.result() for each in every], list[int])
    assert_type(words.map([b"a"], least=unmapped(2)).result(), list[list[str]])
    assert_type(wait(every).done, set[Future[int]])

    upstream = fetch.submit("/")
    one = assert_type(words.submit(upstream), Future[list[str]])
    other = assert_type(words.submit(allow_failure(upstream)), Future[list[str]])
    many = assert_type(words.map(fetch.map(texts)), FutureList[list[str]])
    assert_type(length("b", wait_for=[first, one, other, many]), int)
    for number in numbers(3):
        assert_type(number, int)
    assert_type(numbers.submit(3).result(), list[int])

    get_run_logger().info("counted")
    return sum(every.result())


@flow(name="later", task_runner=ThreadPoolTaskRunner(max_workers=2), retries=1, timeout_seconds=60)
async def crawl(urls: list[str]) -> dict[str, int]:
    assert_type(await fetch("/"), bytes)
    fetching = assert_type(fetch("/", headers={}), Coroutine[Any, Any, bytes])
    assert_type(await fetching, bytes)
    later = assert_type(fetch.submit("/"), Future[bytes])
    assert_type(await later, bytes)
    assert_type(await later.wait_async(), State[bytes])
    pages = assert_type(fetch.map(urls), FutureList[bytes])
    assert_type(await pages, list[bytes])
    async for done in as_completed(pages):
        assert_type(await assert_type(done, Future[bytes]), bytes)
    async for tick in ticks(3):
        assert_type(tick, float)
    assert_type(await ticks.submit(3), list[float])
    async for count in length.stream(urls, max_in_flight=8):
        assert_type(count, int)
    assert_type(plain(urls), int)
    async with atransaction(key="all") as txn:
        txn.set("count", 1)
    return dict(zip(urls, map(len, await pages), strict=True))


def given(token: Secret[str]) -> int:
    assert_type(Secret([token]).get(), list[Secret[str]])
    assert_type(Secret.from_env("TOKEN"), Secret[str])
    return len(assert_type(token.get(), str))


def look(flow_run: FlowRun, task_run: TaskRun, state: State[int], store: ResultStore) -> None:
    assert_type(flow_run.counts(), dict[str, int])
    assert_type(task_run.name, str)
    assert_type(state.type, StateType)
    assert_type(state.name, str)
    assert_type(state.is_failed(), bool)
    assert_type(state.result(), int)
    assert_type(store.exists("key"), bool)
    assert_type(JSONSerializer().dumps(1), bytes)


async def service() -> None:
    async with Engine(threads=4) as engine:
        short = assert_type(engine.start(crawl, ["/"]), FlowFuture[dict[str, int]])
        assert_type(await short, dict[str, int])
        assert_type(await engine.cancel(short.flow_run_id), State[Any])


def takes(any_task: Task[[str], int]) -> Future[int]:
    return any_task.submit("a")


assert_type(run(plain, ["a"]), int)
assert_type(run(crawl, urls=["a"]), dict[str, int])
assert_type(run_task(length, {"text": "a"}), int)
assert_type(plain(["a"]), int)
assert_type(length.with_options(retries=1)("a"), int)
assert_type(length.name, str)
assert_type(length.retries, int)
