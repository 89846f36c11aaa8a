"""The monitor: a loop that is blocked is named, with the code that blocks it; and nobody looks unless told to."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Iterator

import pytest

from millrace import ConfigurationError, Engine, flow
from millrace.runtime.monitor import LoopMonitor
from tests.runtime.worlds import PATIENCE

SELDOM = 2_000.0
"""Seconds. The thread of a monitor looks at half of them, and so never; tests look themselves."""


class Looking:
    """A monitor whose time is the test's."""

    def __init__(self) -> None:
        self.at = 0.0
        self.monitor = LoopMonitor(SELDOM, lambda: self.at)

    def look(self, at: float) -> None:
        self.at = at
        self.monitor.look()


@pytest.fixture
def looking() -> Iterator[Looking]:
    made = Looking()
    yield made
    made.monitor.stop()


def holds_up(looking: Looking, seconds: float) -> None:
    """Code that does not give its loop a turn for so long."""
    looking.look(looking.at)
    looking.look(looking.at + seconds)


@pytest.mark.anyio
async def test_the_code_that_blocks_a_loop_is_named(looking: Looking, caplog: pytest.LogCaptureFixture) -> None:
    looking.monitor.watch(asyncio.get_running_loop(), threading.get_ident())

    holds_up(looking, SELDOM)

    (message,) = caplog.messages
    assert "has been blocked for 2e+03 s" in message
    assert f"'{threading.current_thread().name}'" in message
    assert ", called by holds_up (" in message
    assert message.index("holds_up") < message.index("test_the_code_that_blocks_a_loop_is_named")


@pytest.mark.anyio
async def test_each_time_is_told_once_and_so_is_its_end(looking: Looking, caplog: pytest.LogCaptureFixture) -> None:
    looking.monitor.watch(asyncio.get_running_loop(), threading.get_ident())

    for _ in range(2):
        holds_up(looking, SELDOM)
        holds_up(looking, SELDOM)
        await asyncio.sleep(0)

    assert [" ".join(each.split(" ")[5:8]) for each in caplog.messages] == [
        "'MainThread' has been", "'MainThread' goes on;",
    ] * 2  # fmt: skip


@pytest.mark.anyio
async def test_a_loop_that_answers_in_time_is_not_named(looking: Looking, caplog: pytest.LogCaptureFixture) -> None:
    looking.monitor.watch(asyncio.get_running_loop(), threading.get_ident())

    for _ in range(3):
        holds_up(looking, SELDOM - 1)
        await asyncio.sleep(0)

    assert caplog.messages == []


def test_a_loop_that_nobody_runs_is_not_blocked(looking: Looking, caplog: pytest.LogCaptureFixture) -> None:
    loop = asyncio.new_event_loop()
    looking.monitor.watch(loop, threading.get_ident())
    holds_up(looking, 2 * SELDOM)

    loop.close()
    looking.look(4 * SELDOM)

    assert caplog.messages == []


class Listener(logging.Handler):
    """Says when something is logged."""

    def __init__(self) -> None:
        super().__init__()
        self.heard = threading.Event()
        self.messages: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.messages.append(record.getMessage())
        self.heard.set()


@pytest.fixture
def listener() -> Iterator[Listener]:
    made = Listener()
    logger = logging.getLogger("millrace.loop")
    logger.addHandler(made)
    yield made
    logger.removeHandler(made)


@pytest.mark.anyio
async def test_an_engine_names_the_flow_that_blocks_its_loop(listener: Listener) -> None:
    @flow
    async def blocks() -> bool:
        return listener.heard.wait(PATIENCE)  # as a call to a driver that is not async

    async with Engine(monitor=0.005):
        assert await blocks()

    assert "test_an_engine_names_the_flow_that_blocks_its_loop.<locals>.blocks" in listener.messages[0]


def test_an_engine_looks_after_loops_of_its_own(listener: Listener, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_MONITOR", "0.005")

    @flow
    async def blocks() -> bool:
        return listener.heard.wait(PATIENCE)

    with Engine() as engine:
        assert engine.start(blocks).result()

    assert ".blocks (" in listener.messages[0]


@pytest.mark.anyio
async def test_nobody_looks_unless_told_to() -> None:
    @flow
    async def body() -> list[str]:
        return [each.name for each in threading.enumerate() if "monitor" in each.name]

    async with Engine():
        assert await body() == []


@pytest.mark.parametrize("seconds", [0, -1.0, True, "2", float("nan"), float("inf")])
def test_what_is_no_number_of_seconds_is_refused(seconds: float) -> None:
    with pytest.raises(ConfigurationError, match=r"^'monitor' takes a number of seconds above 0, not"):
        Engine(monitor=seconds)
