"""Ordinary use, as the type checkers have to see it. Checked by `make types`, never run.

A line that must be refused says so to both checkers. Should mypy refuse it no more, it says so itself: an ignore that
nothing needs is an error.
"""

from __future__ import annotations

from typing import assert_type

from millrace import (
    Completed,
    Engine,
    FlowFuture,
    Future,
    FutureList,
    State,
    allow_failure,
    as_completed,
    flow,
    run,
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
