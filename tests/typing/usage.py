"""Ordinary use, as the type checkers have to see it. Checked by `make types`, never run.

A line that must be refused says so to both checkers. Should mypy refuse it no more, it says so itself: an ignore that
nothing needs is an error.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Coroutine, Generator
from datetime import timedelta
from pathlib import Path
from typing import Any, assert_type

from millrace import (
    INPUTS,
    AsyncGeneratorTask,
    AsyncTask,
    Completed,
    Engine,
    FlowFuture,
    Future,
    FutureList,
    GeneratorTask,
    State,
    Stream,
    StreamCounts,
    Task,
    TaskRun,
    Transaction,
    allow_failure,
    as_completed,
    flow,
    run,
    run_task,
    task,
    unmapped,
    wait,
)


@task
async def fetch(url: str) -> bytes:
    return url.encode()


@task
def links(page: bytes) -> list[str]:
    return page.decode().split()


@task(retries=3, retry_delay_seconds=[1, 2.5], tags=["slow"])
async def weigh(amount: int, unit: str = "kg") -> float:
    return amount * len(unit)


@flow
async def crawl(urls: list[str]) -> int:
    assert_type(await fetch("a"), bytes)
    assert_type(links(b""), list[str])
    assert_type(await weigh(1, unit="g"), float)
    assert_type(links(b"", return_state=True), State[list[str]])
    assert_type(await fetch("a", return_state=True), State[bytes])

    page = assert_type(fetch.submit("a"), Future[bytes])
    found = assert_type(links.submit(page), Future[list[str]])
    later = assert_type(links.submit(allow_failure(page)), Future[list[str]])
    heavy = assert_type(weigh.submit(2), Future[float])
    assert_type(await page, bytes)
    assert_type(found.state, State[list[str]])
    assert_type(await found.wait_async(), State[list[str]])
    assert_type(await later, list[str])
    assert_type(await heavy, float)

    every = assert_type(links.map(fetch.map(urls), wait_for=[page]), FutureList[list[str]])
    first = assert_type(every[0], Future[list[str]])
    some = assert_type(every[:2], FutureList[list[str]])
    assert_type(await first, list[str])
    assert_type(await some, list[list[str]])
    assert_type(await every, list[list[str]])
    async for done in as_completed(every):
        ended = assert_type(done, Future[list[str]])
        assert_type(await ended, list[str])
    scaled = weigh.map(range(3), unmapped("t"))
    assert_type(await scaled, list[float])

    # Wrong arguments are wrong here as they are for the function.
    await fetch(1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    links(b"", 2)  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    await weigh.submit("1", colour="red")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    return len(urls)


@flow(name="daily report")
def report(day: int) -> str:
    parts = weigh.map([day])
    assert_type(parts.result(), list[float])
    assert_type(parts[0].result(), float)
    assert_type(wait(parts).done, set[Future[float]])
    return str(day)


assert_type(run(crawl, urls=["a"]), int)
assert_type(run(report, 1), str)
assert_type(report(1), str)
assert_type(report(1, return_state=True), State[str])
assert_type(Completed(data=3), State[int])
assert_type(Completed(data=3).result(), int)
started = assert_type(Engine().start(report, 1), FlowFuture[str])
run(crawl, 1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
report("x")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
assert_type(started.flow_run.counts(), dict[str, int])


# Streams, and what has a bound or a priority.


@flow
async def index(paths: list[str]) -> None:
    pages = assert_type(fetch.stream(paths, max_in_flight=8), Stream[bytes])
    async for found in links.stream(pages, ordered=True):
        assert_type(found, list[str])
    states = assert_type(weigh.stream(range(3), on_error="state", unit="t"), Stream[State[float]])
    async with states as closed_at_the_end:
        async for state in closed_at_the_end:
            assert_type(state, State[float])
            assert_type(state.result(), float)
    for line in lines.stream(paths, limit=3):
        assert_type(line, list[str])
    assert_type(pages.counts(), StreamCounts)
    soon = assert_type(links.submit(b"", priority=3), Future[list[str]])
    every = assert_type(links.map([b""], priority=3, max_in_flight=2, wait_for=[soon]), FutureList[list[str]])
    assert_type(await every, list[list[str]])
    fetch.stream(paths, on_error="ignore")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    fetch.stream(3)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


# Generator tasks.


@task
def lines(path: str, limit: int = 10) -> Generator[str]:
    yield path * limit


@task
def totals(start: int) -> Generator[int, float, str]:
    sent = yield start
    return str(sent)


@task(retries=2)
async def ticks(seconds: float) -> AsyncGenerator[int]:
    yield round(seconds)


@flow
async def streams(path: str) -> int:
    for line in lines(path, limit=3):
        assert_type(line, str)
    async for tick in ticks(1.5):
        assert_type(tick, int)
    text = lines.submit(path)
    assert_type(lines(path), Generator[str, Any, Any])
    assert_type(ticks(1), AsyncGenerator[int, Any])
    assert_type(totals(1), Generator[int, Any, Any])
    assert_type(lines(fetch.submit(path)), Generator[str, Any, Any])
    assert_type(lines(path, wait_for=[text]), Generator[str, Any, Any])
    assert_type(await text, list[str])
    assert_type(text.state, State[list[str]])
    assert_type(await ticks.submit(1), list[int])
    every = assert_type(lines.map([path], limit=3), FutureList[list[str]])
    assert_type(await every, list[list[str]])
    assert_type(await ticks.map([1, 2]), list[list[int]])

    # As a call of the function they would be wrong, too.
    lines(1)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]
    lines(path, colour="red")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue]
    ticks("1")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    async for _ in lines(path):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    for _ in ticks(1):  # type: ignore[attr-defined]  # pyright: ignore[reportGeneralTypeIssues]
        pass
    return 1


# Methods.


class Shop:
    def __init__(self, price: float) -> None:
        self.price = price

    @task
    def total(self, count: int, *, tax: float = 0.2) -> float:
        return self.price * count * (1 + tax)

    @task(timeout_seconds=5)
    async def order(self, name: str) -> bool:
        return bool(name)

    @task
    def shelves(self, first: int) -> Generator[list[str]]:
        yield [str(first)]

    @task
    async def visitors(self, most: int) -> AsyncGenerator[str]:
        yield str(most)

    @task
    @classmethod
    def open(cls, price: float) -> Shop:
        return cls(price)

    @task
    @staticmethod
    def rounded(price: float) -> int:
        return round(price)


@flow
async def shops(shop: Shop) -> None:
    assert_type(shop.total(3), float)
    assert_type(shop.total(3, tax=0.1), float)
    assert_type(shop.total(3, return_state=True), State[float])
    later = assert_type(shop.total.submit(3), Future[float])
    every = assert_type(shop.total.map([1, 2], tax=0.1), FutureList[float])
    assert_type([await later, *await every], list[float])
    assert_type(Shop.total(shop, 3), float)
    assert_type(await shop.order("a"), bool)
    assert_type(await shop.order.submit("a"), bool)
    assert_type(shop.shelves(1), Generator[list[str], Any, Any])
    assert_type(await shop.shelves.submit(1), list[list[str]])
    assert_type(shop.visitors(1), AsyncGenerator[str, Any])
    assert_type(shop.open(2.5), Shop)
    assert_type(Shop.rounded(2.5), int)

    shop.total("3")  # type: ignore[arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]
    shop.total()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]
    shop.shelves.submit()  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]


# Options.


def named(parameters: dict[str, Any]) -> str:
    return str(parameters)


def on_end(_task: Any, run: TaskRun, state: State[Any]) -> None:
    run.cancel(str(state))


async def on_end_later(_task: Any, run: TaskRun, state: State[Any]) -> None:
    on_end(_task, run, state)


@task(
    name="all of them",
    description="Every option",
    tags={"a", "b"},
    version="1",
    task_run_name=named,
    retries=3,
    retry_delay_seconds=lambda retries: [1.0] * retries,
    retry_jitter_factor=0.5,
    retry_condition_fn=lambda _task, _run, state: state.is_failed(),
    timeout_seconds=2.5,
    interruptible=False,
    log_prints=True,
    cache_policy=INPUTS,
    cache_expiration=timedelta(hours=1),
    refresh_cache=False,
    persist_result=True,
    result_storage=Path("results"),
    result_serializer="json",
    result_storage_key="{n}",
    cache_result_in_memory=False,
    on_running=[on_end],
    on_completion=[on_end, on_end_later],
    on_failure=(on_end,),
)
def every_option(n: int) -> str:
    return str(n)


@every_option.on_failure
def failed(_task: Any, run: TaskRun, _state: State[Any]) -> None:
    run.cancel("it failed")


@every_option.on_rollback
def rolled_back(transaction: Transaction) -> None:
    transaction.set("rolled back", value=True)


assert_type(every_option(1), str)
assert_type(every_option.name, str)
assert_type(every_option.task_key, str)
failed(every_option, TaskRun, Completed())  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
changed = every_option.with_options(retries=0, tags=["c"], task_run_name="{n}", log_prints=None)
assert_type(changed(1), str)
assert_type(changed.submit(1).result(), str)
assert_type(lines.with_options(name="other")("a"), Generator[str, Any, Any])
assert_type(ticks.with_options(retries=None)(1), AsyncGenerator[int, Any])
every_option.with_options(retrys=1)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
every_option.with_options(retries="1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


@task(retrys=1)  # type: ignore[call-overload, untyped-decorator]  # pyright: ignore[reportCallIssue, reportUntypedFunctionDecorator]
def misspelled() -> None: ...


# Running a task by hand.


@flow
async def by_hand() -> None:
    assert_type(run_task(links, {"page": b""}), list[str])
    assert_type(run_task(links, {"page": b""}, return_type="state"), State[list[str]])
    fetching = assert_type(run_task(fetch, {"url": "a"}), Coroutine[Any, Any, bytes])
    assert_type(await fetching, bytes)
    assert_type(await run_task(fetch, {"url": "a"}, return_type="state"), State[bytes])
    assert_type(run_task(lines, {"path": "a"}, wait_for=[fetch.submit("a")]), Generator[str, Any, Any])
    assert_type(run_task(ticks, {"seconds": 1}), AsyncGenerator[int, Any])
    run_task(links, {"page": b""}, return_type="future")  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]


def any_task(a: Task[..., int], b: AsyncTask[[str], bytes], c: GeneratorTask[..., str]) -> Generator[Any]:
    yield assert_type(a(1), int)
    yield assert_type(b("a"), Coroutine[Any, Any, bytes])
    yield from c("a")


def any_async_task(d: AsyncGeneratorTask[[float], int]) -> AsyncGenerator[int, Any]:
    any_task(rounded_twice, fetch, lines)
    return assert_type(d(1.5), AsyncGenerator[int, Any])


@task
def rounded_twice(n: float) -> int:
    return round(n)
