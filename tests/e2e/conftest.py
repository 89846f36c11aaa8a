"""Async tests here run on asyncio alone: what is looked at is what is said, not how loops differ."""

from __future__ import annotations

import signal

import pytest


@pytest.fixture
def anyio_backend() -> str:
    """The event loop."""
    return "asyncio"


@pytest.fixture(scope="session", autouse=True)
def _interrupts_arrive() -> None:
    """Let programs that tests start hear of Ctrl-C: whoever runs the tests in the background has it ignored."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
