"""Which event loop runs on this thread. Asked for every call, so by the quick way that raises nothing."""

from __future__ import annotations

import asyncio


def running_loop() -> asyncio.AbstractEventLoop | None:
    """The loop that runs on this thread; None where none does."""
    return asyncio._get_running_loop()  # noqa: SLF001  # public for those who make loops; get_running_loop raises
