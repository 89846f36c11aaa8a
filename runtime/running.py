"""Which event loop runs on this thread. Asked for every call, so by the quick way that raises nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

running_loop: Final[Callable[[], asyncio.AbstractEventLoop | None]] = asyncio._get_running_loop  # noqa: SLF001
"""The loop that runs on this thread; None where none does.

The very function, which is public for those who make loops: get_running_loop raises, and one around it costs a call.
"""
