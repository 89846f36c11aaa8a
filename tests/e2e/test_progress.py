"""What the command line counts while a flow runs, and how it says so."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from millrace import Engine, FlowFuture, flow, task
from millrace.runtime.cli.progress import Counts, Ledger, Picture, Progress

COUNTS = [
    Counts("fetch", total=2000, ended=812, running=20, retrying=3, failed=1),
    Counts("parse", total=10, ended=10),
    Counts("links", total=812, ended=790, running=2, not_ready=1),
]
PICTURE = Picture("crawl/quiet-otter", "running", COUNTS, 41.4)


def fitted(width: int) -> str:
    line = PICTURE.fitted(width, colour=False)
    assert len(line) <= width
    return line


def test_the_line_shows_everything_where_there_is_room() -> None:
    assert " ".join(fitted(160).split()) == (
        "crawl/quiet-otter running fetch 812/2,000 · 20 running · 3 retrying · 1 failed parse 10/10"
        " links 790/812 · 2 running · 1 not ready 41 runs/s"
    )
    assert fitted(160).endswith("   41 runs/s")


@pytest.mark.parametrize(
    ("width", "expected"),
    [
        (124, "fetch 812/2,000 · 3 retrying · 1 failed   parse 10/10   links 790/812 · 1 not ready"),
        (114, "fetch 812/2,000 · 3 retrying · 1 failed   links 790/812 · 1 not ready   +1"),
        (90, "fetch 812/2,000 · 3 retrying · 1 failed   +2"),
        (60, ""),
    ],
)
def test_what_does_not_fit_gives_way_in_order_of_importance(width: int, expected: str) -> None:
    line = fitted(width)

    assert line.removeprefix("crawl/quiet-otter  running").removesuffix("41 runs/s").strip() == expected


def test_colours_take_no_room() -> None:
    plain, coloured = PICTURE.fitted(160, colour=False), PICTURE.fitted(160, colour=True)

    assert "\x1b[31m1 failed\x1b[0m" in coloured
    assert "\x1b[33m3 retrying\x1b[0m" in coloured
    for code in ("\x1b[0m", "\x1b[1m", "\x1b[31m", "\x1b[33m"):
        coloured = coloured.replace(code, "")
    assert coloured == plain


@pytest.mark.parametrize(("rate", "told"), [(0.0, "0 runs/s"), (0.25, "0.2 runs/s"), (1234.5, "1,234 runs/s")])
def test_a_rate_is_told_as_precisely_as_it_is_of_use(rate: float, told: str) -> None:
    assert Picture("a/b", "running", [], rate).plain() == f"a/b  running   {told}"


async def turns(number: int = 20) -> None:
    """Let the loop go on for a while; nothing here waits for time."""
    for _ in range(number):
        await asyncio.sleep(0)


async def counted(future: FlowFuture[int], gate: asyncio.Event, ledger: Ledger) -> tuple[list[Counts], list[Counts]]:
    """The counts while the flow is held up by the gate, and those after its end."""
    await turns()
    during = ledger.look()
    gate.set()
    await future.wait_async()
    return during, ledger.look()


@pytest.mark.anyio
async def test_runs_are_counted_by_task_and_state() -> None:
    gate = asyncio.Event()

    @task(retries=1, retry_delay_seconds=3600)
    async def fetch(number: int) -> int:
        if number == 3:
            raise ConnectionError(number)
        if number > 5:
            await gate.wait()
        return number

    @task
    async def parse(number: int) -> int:
        if number == 1:
            raise ValueError(number)
        return number

    @flow
    async def crawl() -> int:
        fetched = fetch.map(range(10))
        parsed = parse.map(fetched)
        await gate.wait()
        fetched[3].cancel()
        return len([await each.wait_async() for each in parsed])

    async with Engine() as engine:
        future = engine.start(crawl)
        during, after = await counted(future, gate, Ledger(future.source))

    assert during == [
        Counts("fetch", total=10, ended=5, running=4, retrying=1),
        Counts("parse", total=10, ended=5, failed=1),
    ]
    assert [(each.name, each.total, each.ended) for each in after] == [("fetch", 10, 10), ("parse", 10, 10)]


@pytest.mark.anyio
async def test_the_tasks_of_subflows_are_counted_and_stay_counted() -> None:
    first_over, gate = asyncio.Event(), asyncio.Event()

    @task
    async def step(until: asyncio.Event) -> int:
        await until.wait()
        return 1

    @flow
    async def part(until: asyncio.Event) -> int:
        return await step(until)

    @flow
    async def whole() -> int:
        return await part(first_over) + await part(gate)

    async with Engine() as engine:
        future = engine.start(whole)
        ledger = Ledger(future.source)
        await turns()
        ledger.look()
        first_over.set()
        during, after = await counted(future, gate, ledger)

    assert during == [Counts("step", total=2, ended=1, running=1)]
    assert after == [Counts("step", total=2, ended=2)]


@pytest.mark.anyio
async def test_where_nothing_can_be_redrawn_lines_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="millrace.cli")
    gate = asyncio.Event()
    logged = threading.Event()

    def note(_record: logging.LogRecord) -> bool:
        logged.set()
        return True

    caplog.handler.addFilter(note)

    @task
    async def fetch(number: int) -> int:
        await gate.wait()
        return number

    @flow
    async def crawl() -> list[int]:
        return await fetch.map(range(3))

    async with Engine() as engine:
        future = engine.start(crawl)
        await turns()
        with Progress(future.source, "crawl/quiet-otter", None, every=0.001):
            await asyncio.get_running_loop().run_in_executor(None, logged.wait)
            gate.set()
            await future

    assert caplog.messages[0] == "crawl/quiet-otter  running   fetch 0/3 · 3 running   0 runs/s"
